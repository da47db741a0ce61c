// SPDX-License-Identifier: AGPL-3.0-or-later
//! NEON with dot products (Armv8.2 `dotprod`: Cortex-A55, A76, Neoverse N1, Apple A13 and later):
//! `sdot` adds four products to each of 4 lanes. Its form by element takes the activation quad from
//! any quarter of a register, so one load of 16 activations serves the four planes of a tile.
//!
//! Ternary: codes fit signed bytes as they are. One token: planes 0 to 2 are masked where they
//! stand, which saves the shifts; codes of plane `p` then count `4^p` times, and each plane has its
//! own sums. Many tokens: planes are unpacked to one sum for all, in registers for up to two blocks
//! of 8 tokens, else once into the cache ([`blocked`]).
//!
//! Int8: `sdot` has no unsigned operand, so the top bit of the codes is flipped (`w = code - 128`)
//! and `128 · Σ x` is put back once per token.
//!
//! Headroom: `sdot` adds in 32 bits. Where masked, a tile adds at most `4 · 48 · 128` to a lane of
//! plane 2 (code 3, which only a hostile file holds): [`TILES_PER_SHIFT`] tiles stay below `2^31`.
//!
//! Instructions of the inner loops as compiled (loads, prefetches and the loop itself included),
//! for the 256 products of a tile and a token or as many of int8, 16 of them `sdot`; no sums are
//! spilled:
//!
//! | tokens | ternary | int8 |
//! |---|---|---|
//! | 1 | 39 | 48 |
//! | 2 | 34 | 34.5 |
//! | 4 | 25.5 | 25.8 |
//! | 8 | 23 | 22.8 |
//! | 8, prepared in the cache | 20.8 | 20.8 |
//!
//! Preparing takes 37 instructions a ternary tile and 40 for as many int8 weights, once for all
//! tokens. It takes away the work beside `sdot` that competes with it for the vector units: 3 of 19
//! instructions of ternary and 2 of 18 of int8 for each tile and token.

use core::arch::aarch64::*;
use core::arch::asm;
use core::ops::Range;

use super::Ran;
use super::blocked::{Block, Blocks, Sums, blocked, with_tokens};
use super::neon::{Corrected, add_sums, even_steps, four_times, has, load, load_x, prefetch};
use crate::backend::Kernels;
use crate::formats::{AlignedBytes, Int8View, PANEL, RowsView, TILE_BYTES, TernaryView};
use crate::sink::Sink;

struct NeonDotprod;

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    has!("neon", "dotprod").then_some(&NeonDotprod as _)
}

super::kernels!(
    NeonDotprod, "neon_dotprod", "neon,dotprod"; super::neon_f16::Fcvt => super::neon_int4::Sdot
);

/// Tokens that share one pass over half a panel: 8 x 2 sums hide the latency of `sdot` and leave
/// registers for as many activations.
const TOKENS: usize = 8;

/// Above this many tokens, weights are prepared once in the cache rather than in registers for each
/// block of tokens.
const PREPARE_ABOVE: usize = 2 * TOKENS;

/// Tiles whose sums fit 32 bits in every plane; see the module's headroom.
const TILES_PER_SHIFT: usize = 1 << 14;

/// `sum[i] += Σ_j codes[4i + j] · x[4 · QUAD + j]`.
#[target_feature(enable = "neon,dotprod")]
#[inline]
pub(super) fn sdot<const QUAD: i32>(
    mut sum: int32x4_t,
    codes: int8x16_t,
    x: int8x16_t,
) -> int32x4_t {
    // SAFETY: works on registers alone; the function's features hold the instruction.
    unsafe {
        asm!("sdot {:v}.4s, {:v}.16b, {:v}.4b[{}]",
            inout(vreg) sum, in(vreg) codes, in(vreg) x, const QUAD,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// Codes of int8 weights as the weights themselves.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn signed(codes: uint8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(0x80)))
}

/// Codes of at most 127 as they are.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn small(codes: uint8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(codes)
}

/// Ternary sums of one token over one panel, planes masked where they stand.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn ternary_gemv(tiles: &[Block], x: &[[i8; 16]]) -> [i32; PANEL] {
    let masks = [3, 3 << 2, 3 << 4].map(|mask| vdupq_n_u8(mask));
    let mut total = [0; PANEL];
    for (tiles, x) in tiles.chunks(TILES_PER_SHIFT).zip(x.chunks(TILES_PER_SHIFT)) {
        let mut sums = [[vdupq_n_s32(0); 4]; 4];
        for (tile, x) in tiles.iter().zip(x) {
            prefetch::<0>(tile);
            let x = load_x(x);
            for q in 0..4 {
                let w = load(tile, q);
                let [w0, w1, w2] = masks.map(|mask| small(vandq_u8(w, mask)));
                let [s0, s1, s2, s3] = &mut sums[q];
                *s0 = sdot::<0>(*s0, w0, x);
                *s1 = sdot::<1>(*s1, w1, x);
                *s2 = sdot::<2>(*s2, w2, x);
                *s3 = sdot::<3>(*s3, small(vshrq_n_u8::<6>(w)), x);
            }
        }
        for q in 0..4 {
            // Exact: all of s1's products are multiples of 4, all of s2's of 16.
            let [s0, s1, s2, s3] = sums[q];
            let sum = vsraq_n_s32::<4>(vsraq_n_s32::<2>(vaddq_s32(s0, s3), s1), s2);
            add_sums(&mut total, q, sum);
        }
    }
    total
}

/// Adds the ternary sums of `T` tokens over quarters `first..first + Q` of one panel to `sums`.
#[target_feature(enable = "neon,dotprod")]
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
    let mut acc = [[vdupq_n_s32(0); Q]; T];
    for i in 0..tiles.len() {
        if Q == 4 {
            prefetch::<0>(&tiles[i]);
        }
        let x: [int8x16_t; T] = core::array::from_fn(|t| load_x(&x[t][i]));
        let mut w: [uint8x16_t; Q] = core::array::from_fn(|q| load(&tiles[i], first + q));
        four_times!(PLANE, {
            for q in 0..Q {
                let codes = small(vandq_u8(w[q], mask));
                for t in 0..T {
                    acc[t][q] = sdot::<PLANE>(acc[t][q], codes, x[t]);
                }
            }
            w = w.map(|w| vshrq_n_u8::<2>(w));
        });
    }
    for t in 0..T {
        for q in 0..Q {
            add_sums(&mut sums[t], first + q, acc[t][q]);
        }
    }
}

/// Makes `$name`, which adds the sums of `T` tokens over quarters `first..first + Q` of int8 blocks
/// to `sums`. `$codes` turns 16 codes into what `$dot` multiplies. The sums of a block's quad have
/// `S` registers to rotate through: one token alone would wait for its sums.
macro_rules! dot_rows {
    ($name:ident, $features:literal, $codes:ident, $dot:ident) => {
        #[target_feature(enable = $features)]
        #[inline]
        fn $name<const T: usize, const Q: usize, const S: usize>(
            blocks: &[$crate::arch::blocked::Block],
            first: usize,
            x: [&[[i8; 16]]; T],
            sums: &mut [[i32; PANEL]],
        ) {
            assert!(first <= 4 - Q);
            let (fours, rest) = blocks.as_chunks::<4>();
            let last = x.map(|row| row.get(fours.len()).map_or(&[][..], |x| x.as_chunks::<4>().0));
            let x = x.map(|row| &row[..fours.len()]);
            let mut acc = [[[vdupq_n_s32(0); S]; Q]; T];
            for i in 0..fours.len() {
                let x: [int8x16_t; T] = core::array::from_fn(|t| load_x(&x[t][i]));
                four_times!(QUAD, {
                    if Q == 4 {
                        prefetch::<{ QUAD as usize }>(&fours[i][0]);
                    }
                    for q in 0..Q {
                        let w = $codes(load(&fours[i][QUAD as usize], first + q));
                        for t in 0..T {
                            let sum = &mut acc[t][q][QUAD as usize % S];
                            *sum = $dot::<QUAD>(*sum, w, x[t]);
                        }
                    }
                });
            }
            for (i, block) in rest.iter().enumerate() {
                for t in 0..T {
                    let quad = vdupq_n_s32(i32::from_le_bytes(last[t][i].map(|x| x as u8)));
                    for q in 0..Q {
                        let w = $codes(load(block, first + q));
                        acc[t][q][0] = $dot::<0>(acc[t][q][0], w, vreinterpretq_s8_s32(quad));
                    }
                }
            }
            for t in 0..T {
                for q in 0..Q {
                    for s in 0..S {
                        add_sums(&mut sums[t], first + q, acc[t][q][s]);
                    }
                }
            }
        }
    };
}
pub(super) use dot_rows;

dot_rows!(int8_rows, "neon,dotprod", signed, sdot);
dot_rows!(prepared_rows, "neon,dotprod", small, sdot);

/// All tokens over each panel, `$T` tokens and `$Q` quarters at a time: `$rows::<T, Q>`.
macro_rules! few {
    ($w:ident, $x:ident, $sink:ident, $T:ident in $($n:literal)*, $Q:ident, $rows:expr) => {
        let step = even_steps($x.rows(), [$($n),*].len());
        for p in 0..$w.panels() {
            let tiles = $w.panel(p).as_chunks().0;
            for t in (0..$x.rows()).step_by(step) {
                with_tokens!(($x.rows() - t).min(step), $T in $($n)*, {
                    const $Q: usize = if $T <= 4 { 4 } else { 2 };
                    let rows = core::array::from_fn(|i| $x.padded_row(t + i).as_chunks().0);
                    let mut sums = [[0; PANEL]; $T];
                    for first in (0..4).step_by($Q) {
                        $rows(tiles, first, rows, &mut sums);
                    }
                    $sink.put_tokens(t, p * PANEL, &sums);
                });
            }
        }
    };
}
pub(super) use few;

/// Weights as their file holds them.
pub(super) trait Packed {
    /// Int8 blocks to a tile, in inputs.
    const BLOCKS: usize;
    fn panels(&self) -> usize;
    fn tiles(&self, panel: usize) -> &[Block];
}

impl Packed for TernaryView<'_> {
    const BLOCKS: usize = 4;

    fn panels(&self) -> usize {
        TernaryView::panels(self)
    }

    fn tiles(&self, panel: usize) -> &[Block] {
        self.panel(panel).as_chunks().0
    }
}

impl Packed for Int8View<'_> {
    const BLOCKS: usize = 1;

    fn panels(&self) -> usize {
        Int8View::panels(self)
    }

    fn tiles(&self, panel: usize) -> &[Block] {
        self.panel(panel).as_chunks().0
    }
}

/// Weights in the form that a register tile reads, made a stretch at a time.
pub(super) struct Prepared<W> {
    w: W,
    token_group: usize,
    prepare: fn(&[Block], &mut [Block]),
    copy: AlignedBytes,
}

impl<W: Packed> Prepared<W> {
    /// `prepare` turns tiles into an even number of blocks, the last of which may belong to no tile.
    pub(super) fn new(w: W, token_group: usize, prepare: fn(&[Block], &mut [Block])) -> Self {
        Self { w, token_group, prepare, copy: AlignedBytes::default() }
    }
}

impl<W: Packed> Blocks for Prepared<W> {
    fn panels(&self) -> usize {
        self.w.panels()
    }

    fn len(&self) -> usize {
        (self.w.tiles(0).len() * W::BLOCKS).next_multiple_of(2)
    }

    fn stretch<const P: usize>(&mut self, panel: usize, blocks: Range<usize>) -> [&[Block]; P] {
        const { assert!(P == 1) };
        self.copy.reshape(blocks.len() * TILE_BYTES);
        let tiles = self.w.tiles(panel);
        let end = tiles.len().min(blocks.end / W::BLOCKS);
        (self.prepare)(&tiles[blocks.start / W::BLOCKS..end], self.copy.as_chunks_mut().0);
        [self.copy.as_chunks().0; P]
    }

    fn token_group(&self) -> usize {
        self.token_group
    }
}

/// [`signed`] for whole blocks.
fn sign(blocks: &[Block], copy: &mut [Block]) {
    for (block, copy) in blocks.iter().zip(copy) {
        *copy = block.map(|code| code ^ 0x80);
    }
}

/// Ternary codes in the order of int8 blocks: plane by plane.
fn unpack(tiles: &[Block], copy: &mut [Block]) {
    for (tile, planes) in tiles.iter().zip(copy.as_chunks_mut::<4>().0) {
        for (plane, codes) in planes.iter_mut().enumerate() {
            *codes = tile.map(|byte| byte >> (2 * plane) & 3);
        }
    }
}

/// Prepared blocks through the caches; see [`blocked`].
#[target_feature(enable = "neon,dotprod")]
fn many<S: Sink>(w: impl Blocks, x: RowsView<'_>, sink: &mut S) {
    blocked(w, x, sink, |panels, tokens, block, sums: &mut Sums<TOKENS, 1>| {
        with_tokens!(tokens.len(), T in 1 2 3 4 5 6 7 8, {
            const Q: usize = if T <= 4 { 4 } else { 2 };
            let rows = core::array::from_fn(|i| {
                x.padded_row(tokens.start + i)[4 * block..].as_chunks().0
            });
            for first in (0..4).step_by(Q) {
                prepared_rows::<T, Q, 1>(panels[0], first, rows, &mut sums[0]);
            }
        });
    });
}

#[target_feature(enable = "neon,dotprod")]
pub(super) fn ternary<S: Sink>(w: TernaryView<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    if x.rows() == 1 {
        let row = x.padded_row(0).as_chunks().0;
        for p in 0..w.panels() {
            sink.put(0, p * PANEL, &ternary_gemv(w.panel(p).as_chunks().0, row));
        }
        Ran("neon_dotprod", "gemv")
    } else if x.rows() <= PREPARE_ABOVE {
        few!(w, x, sink, T in 1 2 3 4 5 6 7 8, Q, ternary_rows::<T, Q>);
        Ran("neon_dotprod", "8x8")
    } else {
        many(Prepared::new(w, 1, unpack), x, &mut sink);
        Ran("neon_dotprod", "8x8/unpacked")
    }
}

#[target_feature(enable = "neon,dotprod")]
fn int8<S: Sink>(w: Int8View<'_>, x: RowsView<'_>, sink: S) -> Ran {
    let corrections = (0..x.rows()).map(|t| 128 * x.quant(t).sum).collect();
    let mut sink = Corrected { sink, corrections };
    if x.rows() <= PREPARE_ABOVE {
        few!(w, x, sink, T in 1 2 3 4 5 6 7 8, Q, int8_rows::<T, Q, { if T == 1 { 4 } else { 1 } }>);
        Ran("neon_dotprod", if x.rows() == 1 { "gemv" } else { "8x8" })
    } else {
        many(Prepared::new(w, 1, sign), x, &mut sink);
        Ran("neon_dotprod", "8x8/signed")
    }
}

/// `sdot` on 16 bytes.
#[target_feature(enable = "neon,dotprod")]
fn peak(rounds: u64) -> u64 {
    const SUMS: usize = 16;
    let (w, x) = core::hint::black_box((vdupq_n_s8(1), vdupq_n_s8(1)));
    let mut sums = [vdupq_n_s32(0); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = sdot::<0>(*sum, w, x);
        }
    }
    core::hint::black_box(sums);
    rounds * (SUMS * 16) as u64
}
