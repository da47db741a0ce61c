// SPDX-License-Identifier: AGPL-3.0-or-later
//! NEON as every 64-bit Arm CPU has it (Cortex-A53, A72): a 64-byte tile is four registers of 4
//! rows, and products of bytes are added up in 16 bits.
//!
//! Ternary: `smlal` and `smlal2` add 8 products each to 16-bit lanes. Codes are 0..=2 (3 in a
//! hostile file) and a lane gets four products a tile, one for each plane: at most `4 · 3 · 128 =
//! 1536` away from 0. After 21 tiles it is in -32256..=32004 and is widened to 32 bits.
//!
//! Int8: two products of signed bytes can add up to `2 · (-128)² = 32768`, one too many for 16
//! bits. So the odd blocks are read as `v = 127 - code = -(w + 1)`, signed bytes too, and their
//! products are subtracted: `smull` and `smlsl` leave `w · x - v · x'` in -32640..=32640, and
//! `sadalp` adds neighbours into 32 bits. What the offsets of even and odd blocks take off is put
//! back once per token: `Σ code · x = sum + 128 · Σ x - Σ (x of odd blocks)`.
//!
//! Instructions of the inner loops as compiled (loads, prefetches and the loop itself included),
//! for the 256 products of a tile and a token or as many of int8; no sums are spilled:
//!
//! | tokens | ternary | int8 |
//! |---|---|---|
//! | 1 | 68 | 88 |
//! | 2 | 52 | 84 |
//! | 4 | 50 | 74 |
//!
//! 32 of the former are `smlal`, and 48 of the latter `smull`, `smlsl` and `sadalp`. Weights are not
//! unpacked into a cache: 4 tokens share 24 instructions for that.

use core::arch::aarch64::*;
use core::arch::asm;

use alloc::vec::Vec;

use super::Ran;
use super::blocked::{Block, Sums, blocked, with_tokens};
use crate::backend::Kernels;
use crate::formats::{Int8View, PANEL, RowsView, TILE_BYTES, TernaryView};
use crate::sink::Sink;

struct Neon;

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    cfg!(target_feature = "neon").then_some(&Neon as _)
}

super::kernels!(Neon, "neon", "neon"; super::neon_f16::Fcvt => super::neon_int4::Smlal);

/// Tokens that share one pass over half a panel: 4 x 2 x 2 sums, which leaves registers for codes.
const TOKENS: usize = 4;

/// Tiles whose sums fit 16 bits; see the module's headroom.
const TILES_PER_WIDENING: usize = 21;

/// How far ahead of a matrix-vector product weights are fetched: DRAM answers after some 100 ns.
const PREFETCH_BYTES: usize = 2048;

/// Whether this CPU has all these features. Without `std`: whether the build takes them for granted.
macro_rules! has {
    ($($feature:tt),+) => {{
        #[cfg(feature = "std")]
        let has = true $(&& std::arch::is_aarch64_feature_detected!($feature))+;
        #[cfg(not(feature = "std"))]
        let has = true $(&& cfg!(target_feature = $feature))+;
        has
    }};
}
pub(super) use has;

/// Repeats the body with the constant `$P` = 0, 1, 2, 3: instructions take lanes as immediates.
macro_rules! four_times {
    ($P:ident, $body:expr) => {
        four_times!(@each $P, $body, 0 1 2 3)
    };
    (@each $P:ident, $body:expr, $($n:literal)*) => {
        $({
            const $P: i32 = $n;
            $body
        })*
    };
}
pub(super) use four_times;

/// Tokens to take at a time, at most `max`, so that no block is much smaller than another.
pub(super) fn even_steps(tokens: usize, max: usize) -> usize {
    tokens.div_ceil(tokens.div_ceil(max).max(1)).max(1)
}

/// Adds to every sum of a token what the offsets of its weights took off.
pub(super) struct Corrected<S> {
    pub(super) sink: S,
    /// For each token.
    pub(super) corrections: Vec<i32>,
}

impl<S: Sink> Sink for Corrected<S> {
    #[inline(always)]
    fn put_tokens<const T: usize>(&mut self, t: usize, row0: usize, sums: &[[i32; PANEL]; T]) {
        let mut sums = *sums;
        for (sums, correction) in sums.iter_mut().zip(&self.corrections[t..]) {
            sums.iter_mut().for_each(|sum| *sum = sum.wrapping_add(*correction));
        }
        self.sink.put_tokens(t, row0, &sums);
    }
}

/// Quarter `q` of a tile: rows `4q..4q + 4`.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn load(tile: &Block, q: usize) -> uint8x16_t {
    let bytes: &[u8; 16] = &tile.as_chunks().0[q];
    // SAFETY: the array is 16 readable bytes; the load asks for no alignment.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[target_feature(enable = "neon")]
#[inline]
pub(super) fn load_x(x: &[i8; 16]) -> int8x16_t {
    // SAFETY: the array is 16 readable bytes; the load asks for no alignment.
    unsafe { vld1q_s8(x.as_ptr()) }
}

/// Adds 4 sums to quarter `q` of `out`.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn add_sums(out: &mut [i32; PANEL], q: usize, sums: int32x4_t) {
    let out: &mut [i32; 4] = &mut out.as_chunks_mut().0[q];
    // SAFETY: the array is 16 readable and writable bytes; neither asks for an alignment beyond i32's.
    unsafe { vst1q_s32(out.as_mut_ptr(), vaddq_s32(vld1q_s32(out.as_ptr()), sums)) };
}

/// Asks for the weights that come after block `I`, counted from `block`, in this panel or the next.
#[inline(always)]
pub(super) fn prefetch<const I: usize>(block: &Block) {
    // SAFETY: a prefetch reads nothing: it may point anywhere.
    unsafe {
        asm!("prfm pldl1strm, [{}, #{}]", in(reg) block.as_ptr(),
            const PREFETCH_BYTES + I * TILE_BYTES, options(readonly, nostack, preserves_flags));
    }
}

/// Adds the ternary sums of `T` tokens over quarters `first..first + Q` of one panel to `sums`.
#[target_feature(enable = "neon")]
#[inline]
fn ternary_rows<const T: usize, const Q: usize>(
    tiles: &[Block],
    first: usize,
    x: [&[[i8; 16]]; T],
    sums: &mut [[i32; PANEL]; T],
) {
    assert!(first <= 4 - Q);
    let mask = vdupq_n_u8(3);
    let x = x.map(|row| &row[..tiles.len()]);
    let mut wide = [[vdupq_n_s32(0); Q]; T];
    for start in (0..tiles.len()).step_by(TILES_PER_WIDENING) {
        let end = tiles.len().min(start + TILES_PER_WIDENING);
        let mut narrow = [[[vdupq_n_s16(0); 2]; Q]; T];
        for i in start..end {
            if Q == 4 {
                prefetch::<0>(&tiles[i]);
            }
            let mut w: [uint8x16_t; Q] = core::array::from_fn(|q| load(&tiles[i], first + q));
            let x: [int32x4_t; T] =
                core::array::from_fn(|t| vreinterpretq_s32_s8(load_x(&x[t][i])));
            four_times!(PLANE, {
                let x: [int8x16_t; T] =
                    x.map(|x| vreinterpretq_s8_s32(vdupq_laneq_s32::<PLANE>(x)));
                for q in 0..Q {
                    let codes = vreinterpretq_s8_u8(vandq_u8(w[q], mask));
                    for t in 0..T {
                        let [low, high] = &mut narrow[t][q];
                        *low = vmlal_s8(*low, vget_low_s8(codes), vget_low_s8(x[t]));
                        *high = vmlal_high_s8(*high, codes, x[t]);
                    }
                }
                w = w.map(|w| vshrq_n_u8::<2>(w));
            });
        }
        for t in 0..T {
            for q in 0..Q {
                let [low, high] = narrow[t][q].map(|lanes| vpaddlq_s16(lanes));
                wide[t][q] = vaddq_s32(wide[t][q], vpaddq_s32(low, high));
            }
        }
    }
    for t in 0..T {
        for q in 0..Q {
            add_sums(&mut sums[t], first + q, wide[t][q]);
        }
    }
}

/// Adds the int8 sums of `T` tokens over quarters `first..first + Q` of one panel to `sums`, in the
/// module's offsets.
#[target_feature(enable = "neon")]
#[inline]
fn int8_rows<const T: usize, const Q: usize>(
    blocks: &[Block],
    first: usize,
    x: [&[[i8; 8]]; T],
    sums: &mut [[i32; PANEL]],
) {
    assert!(first <= 4 - Q);
    let load = |block: &Block, q: usize, offset: u8| {
        vreinterpretq_s8_u8(veorq_u8(load(block, first + q), vdupq_n_u8(offset)))
    };
    let quads = |x: &[i8; 8]| {
        // SAFETY: the array is 8 readable bytes; the load asks for no alignment.
        let x = vreinterpret_s32_s8(unsafe { vld1_s8(x.as_ptr()) });
        [vdupq_lane_s32::<0>(x), vdupq_lane_s32::<1>(x)].map(|x| vreinterpretq_s8_s32(x))
    };
    let mut acc = [[[vdupq_n_s32(0); 2]; Q]; T];
    let (pairs, rest) = blocks.as_chunks::<2>();
    let last = x.map(|row| row.get(pairs.len()));
    let x = x.map(|row| &row[..pairs.len()]);
    for i in 0..pairs.len() {
        let [even, odd] = &pairs[i];
        if T == 1 {
            prefetch::<0>(even);
            prefetch::<1>(even);
        }
        let w: [[int8x16_t; 2]; Q] =
            core::array::from_fn(|q| [load(even, q, 0x80), load(odd, q, 0x7f)]);
        for t in 0..T {
            let x = quads(&x[t][i]);
            for q in 0..Q {
                let [low, high] = &mut acc[t][q];
                let pair = vmull_s8(vget_low_s8(w[q][0]), vget_low_s8(x[0]));
                let pair = vmlsl_s8(pair, vget_low_s8(w[q][1]), vget_low_s8(x[1]));
                *low = vpadalq_s16(*low, pair);
                let pair = vmlsl_high_s8(vmull_high_s8(w[q][0], x[0]), w[q][1], x[1]);
                *high = vpadalq_s16(*high, pair);
            }
        }
    }
    if let [even] = rest {
        for t in 0..T {
            let [x, _] = quads(last[t].expect("rows are padded"));
            for q in 0..Q {
                let w = load(even, q, 0x80);
                let [low, high] = &mut acc[t][q];
                *low = vpadalq_s16(*low, vmull_s8(vget_low_s8(w), vget_low_s8(x)));
                *high = vpadalq_s16(*high, vmull_high_s8(w, x));
            }
        }
    }
    for t in 0..T {
        for q in 0..Q {
            // Two sums a row, four rows.
            let [low, high] = acc[t][q];
            add_sums(&mut sums[t], first + q, vpaddq_s32(low, high));
        }
    }
}

#[target_feature(enable = "neon")]
fn ternary<S: Sink>(w: TernaryView<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    let step = even_steps(x.rows(), TOKENS);
    for p in 0..w.panels() {
        let tiles = w.panel(p).as_chunks().0;
        for t in (0..x.rows()).step_by(step) {
            with_tokens!((x.rows() - t).min(step), T in 1 2 3 4, {
                const Q: usize = if T <= 2 { 4 } else { 2 };
                let rows = core::array::from_fn(|i| x.padded_row(t + i).as_chunks().0);
                let mut sums = [[0; PANEL]; T];
                for first in (0..4).step_by(Q) {
                    ternary_rows::<T, Q>(tiles, first, rows, &mut sums);
                }
                sink.put_tokens(t, p * PANEL, &sums);
            });
        }
    }
    Ran("neon", if x.rows() == 1 { "gemv" } else { "4x8" })
}

#[target_feature(enable = "neon")]
fn int8<S: Sink>(w: Int8View<'_>, x: RowsView<'_>, sink: S) -> Ran {
    let correction = |t| {
        let odd = x.padded_row(t).as_chunks::<8>().0.iter().flat_map(|pair| &pair[4..]);
        128 * x.quant(t).sum - odd.map(|&x| i32::from(x)).sum::<i32>()
    };
    let mut sink = Corrected { sink, corrections: (0..x.rows()).map(correction).collect() };
    if x.rows() == 1 {
        let row = x.padded_row(0).as_chunks().0;
        for p in 0..w.panels() {
            let mut sums = [[0; PANEL]; 1];
            int8_rows::<1, 4>(w.panel(p).as_chunks().0, 0, [row], &mut sums);
            sink.put_tokens(0, p * PANEL, &sums);
        }
        return Ran("neon", "gemv");
    }
    blocked(w, x, &mut sink, |panels, tokens, block, sums: &mut Sums<TOKENS, 1>| {
        debug_assert!(block % 2 == 0, "pairs of blocks stay together");
        with_tokens!(tokens.len(), T in 1 2 3 4, {
            let rows = core::array::from_fn(|i| {
                x.padded_row(tokens.start + i)[4 * block..].as_chunks().0
            });
            for first in [0, 2] {
                int8_rows::<T, 2>(panels[0], first, rows, &mut sums[0]);
            }
        });
    });
    Ran("neon", "4x8")
}

/// `smlal` on 8 bytes.
#[target_feature(enable = "neon")]
fn peak(rounds: u64) -> u64 {
    const SUMS: usize = 16;
    let (w, x) = core::hint::black_box((vdup_n_s8(1), vdup_n_s8(1)));
    let mut sums = [vdupq_n_s16(0); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            // By `asm!`: a compiler would multiply once and only add 16 times.
            // SAFETY: works on registers alone.
            unsafe {
                asm!("smlal {:v}.8h, {:v}.8b, {:v}.8b", inout(vreg) *sum, in(vreg) w, in(vreg) x,
                    options(pure, nomem, nostack, preserves_flags));
            }
        }
    }
    core::hint::black_box(sums);
    rounds * (SUMS * 8) as u64
}
