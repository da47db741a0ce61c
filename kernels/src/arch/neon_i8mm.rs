// SPDX-License-Identifier: AGPL-3.0-or-later
//! NEON with 8-bit matrix products (Armv8.6 `i8mm`: Neoverse V1, Apple M2 and later): `usmmla`
//! multiplies 2 rows x 8 inputs of unsigned codes by 2 tokens x 8 inputs, 32 products to 16 of
//! `sdot`, and adds them in 32 bits.
//!
//! It wants 8 inputs of a row side by side where our tiles have 4. Weights are zipped into the cache
//! ([`blocked`]), quads of two planes or blocks of a row next to each other, and activations of two
//! tokens into pairs of 8, once for each matrix product. Codes are the unsigned operand: int8 needs
//! no offset. Sums come out as 2 rows x 2 tokens and are sorted once per stretch.
//!
//! Instructions of the inner loops as compiled (loads and the loop itself included), for the 256
//! products of a tile and a token or as many of int8, 8 of them `usmmla`; no sums are spilled:
//!
//! | tokens | both formats |
//! |---|---|
//! | 2 | 17 |
//! | 4 | 13.5 |
//! | 6 | 12 |
//!
//! Zipping takes 63 instructions a ternary tile and 66 for as many int8 weights, once for all tokens
//! (40 and 16 of them in the vector units, the others loads, stores and addresses).
//!
//! Few tokens do not earn that back: up to [`DOT_UP_TO`], ternary weights go to `neon_dotprod`, and
//! int8 ones to `usdot`, which takes the codes as they are (33 instructions for one token to 48 of
//! `sdot`). With 5 tokens, the vector units run 88 instructions a ternary tile instead of 104.

use core::arch::aarch64::*;
use core::arch::asm;
use core::convert::identity;

use alloc::vec::Vec;

use super::Ran;
use super::blocked::{Block, Blocks, Sums, blocked, with_tokens};
use super::neon::{add_sums, even_steps, four_times, has, load, load_x, prefetch};
use super::neon_dotprod::{self, Prepared, dot_rows, few};
use crate::backend::Kernels;
use crate::formats::{Int8View, PANEL, RowsView, TernaryView};
use crate::sink::Sink;

struct NeonI8mm;

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    has!("neon", "dotprod", "i8mm").then_some(&NeonI8mm as _)
}

super::kernels!(
    NeonI8mm, "neon_i8mm", "neon,dotprod,i8mm"; super::neon_f16::Fcvt => super::neon_int4::Sdot
);

/// Tokens that share one pass over a panel: 3 pairs x 8 pairs of rows leave just enough registers.
const TOKENS: usize = 6;

/// Up to this many tokens, dot products straight from the packed weights take less work.
const DOT_UP_TO: usize = 4;

/// `sum[i] += Σ_j codes[4i + j] · x[4 · QUAD + j]`.
#[target_feature(enable = "neon,dotprod,i8mm")]
#[inline]
fn usdot<const QUAD: i32>(mut sum: int32x4_t, codes: uint8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: works on registers alone; the function's features hold the instruction.
    unsafe {
        asm!("usdot {:v}.4s, {:v}.16b, {:v}.4b[{}]",
            inout(vreg) sum, in(vreg) codes, in(vreg) x, const QUAD,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// `sum[2r + t] += Σ_j codes[8r + j] · x[8t + j]`.
#[target_feature(enable = "neon,dotprod,i8mm")]
#[inline]
fn usmmla(mut sum: int32x4_t, codes: uint8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: works on registers alone; the function's features hold the instruction.
    unsafe {
        asm!("usmmla {:v}.4s, {:v}.16b, {:v}.16b",
            inout(vreg) sum, in(vreg) codes, in(vreg) x,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

dot_rows!(int8_rows, "neon,dotprod,i8mm", identity, usdot);

/// Writes rows `4q..4q + 4` of two blocks so that 8 inputs of a row are neighbours.
#[target_feature(enable = "neon")]
#[inline]
fn zip(even: uint8x16_t, odd: uint8x16_t, q: usize, copy: &mut [Block; 2]) {
    let [even, odd] = [even, odd].map(|codes| vreinterpretq_u32_u8(codes));
    let zipped = uint32x4x2_t(vzip1q_u32(even, odd), vzip2q_u32(even, odd));
    let out: &mut [u8; 32] = &mut copy.as_flattened_mut().as_chunks_mut().0[q];
    // SAFETY: the array is 32 writable bytes; the store asks for no alignment.
    unsafe { vst1q_u32_x2(out.as_mut_ptr().cast(), zipped) };
}

/// Zips pairs of int8 blocks. The partner of a last one without does not matter: the activations
/// past the edge are 0.
fn zip_blocks(blocks: &[Block], copy: &mut [Block]) {
    for (pair, copy) in blocks.chunks(2).zip(copy.as_chunks_mut::<2>().0) {
        let (even, odd) = (&pair[0], &pair[pair.len() - 1]);
        for q in 0..4 {
            // SAFETY: NEON is part of every target that this file is built for.
            unsafe { zip(load(even, q), load(odd, q), q, copy) };
        }
    }
}

/// Unpacks ternary tiles and zips planes 0 with 1 and 2 with 3.
fn zip_tiles(tiles: &[Block], copy: &mut [Block]) {
    for (tile, copy) in tiles.iter().zip(copy.as_chunks_mut::<4>().0) {
        let (copies, _) = copy.as_chunks_mut::<2>();
        for q in 0..4 {
            // SAFETY: NEON is part of every target that this file is built for.
            unsafe {
                let (w, mask) = (load(tile, q), vdupq_n_u8(3));
                let w1 = vandq_u8(vshrq_n_u8::<2>(w), mask);
                zip(vandq_u8(w, mask), w1, q, &mut copies[0]);
                let w2 = vandq_u8(vshrq_n_u8::<4>(w), mask);
                zip(w2, vshrq_n_u8::<6>(w), q, &mut copies[1]);
            }
        }
    }
}

/// Adds the sums of `U` pairs of tokens over a panel of zipped blocks to `sums`.
#[target_feature(enable = "neon,dotprod,i8mm")]
#[inline]
fn pair_rows<const U: usize>(
    blocks: &[Block],
    x: [&[[i8; 16]]; U],
    sums: &mut [[i32; PANEL]; TOKENS],
) {
    let blocks = blocks.as_chunks::<2>().0;
    let x = x.map(|pair| &pair[..blocks.len()]);
    let mut acc = [[vdupq_n_s32(0); 8]; U];
    for i in 0..blocks.len() {
        let x: [int8x16_t; U] = core::array::from_fn(|u| load_x(&x[u][i]));
        for r in 0..8 {
            let w = load(&blocks[i][r / 4], r % 4);
            for u in 0..U {
                acc[u][r] = usmmla(acc[u][r], w, x[u]);
            }
        }
    }
    for u in 0..U {
        for q in 0..4 {
            // [row 0: two tokens, row 1: two tokens] and rows 2, 3 -> four rows of each token.
            let [a, b] = [acc[u][2 * q], acc[u][2 * q + 1]];
            add_sums(&mut sums[2 * u], q, vuzp1q_s32(a, b));
            add_sums(&mut sums[2 * u + 1], q, vuzp2q_s32(a, b));
        }
    }
}

/// 8 activations of two tokens each; a last token without a partner gets zeros.
fn pair_tokens(x: RowsView<'_>) -> Vec<[i8; 16]> {
    let mut pairs = Vec::with_capacity(x.rows().div_ceil(2) * x.padded_row_len() / 8);
    for t in (0..x.rows()).step_by(2) {
        let even = x.padded_row(t).as_chunks::<8>().0;
        let odd = (t + 1 < x.rows()).then(|| x.padded_row(t + 1).as_chunks::<8>().0);
        for (i, even) in even.iter().enumerate() {
            let mut pair = [0; 16];
            pair[..8].copy_from_slice(even);
            if let Some(odd) = odd {
                pair[8..].copy_from_slice(&odd[i]);
            }
            pairs.push(pair);
        }
    }
    pairs
}

/// Zipped blocks through the caches; see [`blocked`].
#[target_feature(enable = "neon,dotprod,i8mm")]
fn many<S: Sink>(w: impl Blocks, x: RowsView<'_>, sink: &mut S) {
    let pairs = pair_tokens(x);
    let len = x.padded_row_len() / 8;
    blocked(w, x, sink, |panels, tokens, block, sums: &mut Sums<TOKENS, 1>| {
        debug_assert!(block % 2 == 0 && tokens.start % 2 == 0, "pairs stay together");
        with_tokens!(tokens.len().div_ceil(2), U in 1 2 3, {
            let pairs: [&[[i8; 16]]; U] = core::array::from_fn(|u| {
                &pairs[(tokens.start / 2 + u) * len..][..len][block / 2..]
            });
            pair_rows::<U>(panels[0], pairs, &mut sums[0]);
        });
    });
}

#[target_feature(enable = "neon,dotprod,i8mm")]
fn ternary<S: Sink>(w: TernaryView<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    if x.rows() <= DOT_UP_TO {
        return neon_dotprod::ternary(w, x, sink);
    }
    many(Prepared::new(w, 2, zip_tiles), x, &mut sink);
    Ran("neon_i8mm", "6x16/unpacked")
}

#[target_feature(enable = "neon,dotprod,i8mm")]
fn int8<S: Sink>(w: Int8View<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    if x.rows() <= DOT_UP_TO {
        few!(w, x, sink, T in 1 2 3 4, Q, int8_rows::<T, Q, { if T == 1 { 4 } else { 1 } }>);
        return Ran("neon_i8mm", if x.rows() == 1 { "gemv" } else { "4x16" });
    }
    many(Prepared::new(w, 2, zip_blocks), x, &mut sink);
    Ran("neon_i8mm", "6x16")
}

/// `usmmla`: 32 multiply-adds.
#[target_feature(enable = "neon,dotprod,i8mm")]
fn peak(rounds: u64) -> u64 {
    const SUMS: usize = 16;
    let (w, x) = core::hint::black_box((vdupq_n_u8(1), vdupq_n_s8(1)));
    let mut sums = [vdupq_n_s32(0); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = usmmla(*sum, w, x);
        }
    }
    core::hint::black_box(sums);
    rounds * (SUMS * 32) as u64
}
