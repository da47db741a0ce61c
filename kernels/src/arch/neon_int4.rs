// SPDX-License-Identifier: AGPL-3.0-or-later
//! Int4 on 64-bit Arm: a line of codes is four registers of 4 rows, whose halves of bytes (0..=15)
//! fit signed bytes as they are. Sums start at what the codes are too large by, so that nothing has
//! to be taken off them; products with the scales are added as on every other backend, not fused.
//!
//! NEON alone: `smlal` and `smlal2` add 8 products each to 16-bit lanes. A lane gets eight products
//! of a group, each in `15 · -128 = -1920` to `15 · 127 = 1905`: -15360..=15240. `addp` adds lanes to
//! their neighbours, -30720..=30480, and `sadalp` pairs of those into 32 bits.
//!
//! Dot products: a register holds four quads of activations, and `sdot` by element takes each of
//! them from there. It adds in 32 bits: at most `32 · 15 · 128` and the start. `neon_i8mm` takes
//! these loops too.
//!
//! Instructions of the inner loops as compiled (loads and scaling included, prefetches and the loop
//! over tiles not), for the 512 products of a group and a token:
//!
//! | tokens | `neon` | `neon_dotprod` |
//! |---|---|---|
//! | 1 | 153 | 103 |
//! | 2 | 141 | 79 |
//! | 4 | 141 | 72 |
//!
//! 64 of the former are `smlal` (or `smull`, the first), 32 of the latter `sdot`. With NEON alone a
//! pass takes two tokens, whose narrow sums take 16 registers. A few floats of those, and of four
//! tokens with `sdot`, are spilled.

use core::arch::aarch64::*;
use core::arch::asm;

use super::neon::{four_times, load, load_x};
use super::neon_dotprod::sdot;
use crate::formats::PANEL;
use crate::vecmath::int4::{GroupDot, Line, Panel, group, prefetch};
use crate::vecmath::{HalfLanes, Lanes};

/// Proof of NEON: only a function compiled with it can make one.
#[derive(Clone, Copy)]
pub(super) struct Smlal(());

impl Smlal {
    #[target_feature(enable = "neon")]
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl GroupDot for Smlal {
    #[inline(always)]
    fn panel<const T: usize>(self, halves: impl HalfLanes, panel: Panel<'_, T>) -> [Lanes; T] {
        let mut sums = [[0.0; PANEL]; T];
        let (pairs, last) = sums.as_chunks_mut::<2>();
        // SAFETY: `self` was made by a function that had the feature.
        unsafe {
            for (i, pair) in pairs.iter_mut().enumerate() {
                *pair = smlal_rows(halves, part(&panel, 2 * i));
            }
            if let [last] = last {
                [*last] = smlal_rows(halves, part(&panel, T - 1));
            }
        }
        sums
    }
}

/// Proof of NEON with dot products: only a function compiled with them can make one.
#[derive(Clone, Copy)]
pub(super) struct Sdot(());

impl Sdot {
    #[target_feature(enable = "neon,dotprod")]
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl GroupDot for Sdot {
    #[inline(always)]
    fn panel<const T: usize>(self, halves: impl HalfLanes, panel: Panel<'_, T>) -> [Lanes; T] {
        // SAFETY: `self` was made by a function that had the features.
        unsafe { sdot_rows(halves, panel) }
    }
}

/// Low and high halves of the codes of quarter `q` of a line: of one quad of inputs and the next.
#[target_feature(enable = "neon")]
#[inline]
fn codes(line: &Line, q: usize) -> [int8x16_t; 2] {
    let codes = load(line, q);
    [vandq_u8(codes, vdupq_n_u8(15)), vshrq_n_u8::<4>(codes)]
        .map(|codes| vreinterpretq_s8_u8(codes))
}

/// The same codes: a compiler that knows that none is negative widens them apart from `smlal`.
#[target_feature(enable = "neon")]
#[inline]
fn opaque(mut codes: int8x16_t) -> int8x16_t {
    // SAFETY: a comment, no instruction.
    unsafe {
        asm!("/* {:v} */", inout(vreg) codes, options(pure, nomem, nostack, preserves_flags));
    }
    codes
}

/// Quarter `q` of the rows.
#[target_feature(enable = "neon")]
#[inline]
fn quarter(rows: &Lanes, q: usize) -> float32x4_t {
    let rows: &[f32; 4] = &rows.as_chunks().0[q];
    // SAFETY: the array is 16 readable bytes; the load asks for no alignment beyond f32's.
    unsafe { vld1q_f32(rows.as_ptr()) }
}

/// A product and a sum: fused, the bits would not be those of other backends.
#[target_feature(enable = "neon")]
#[inline]
fn add_scaled(acc: float32x4_t, sums: int32x4_t, scales: float32x4_t) -> float32x4_t {
    vaddq_f32(acc, vmulq_f32(vcvtq_f32_s32(sums), scales))
}

/// Stores all quarters of each token.
#[target_feature(enable = "neon")]
#[inline]
fn stored<const T: usize>(sums: [[float32x4_t; 4]; T]) -> [Lanes; T] {
    let mut out = [[0.0; PANEL]; T];
    for t in 0..T {
        for q in 0..4 {
            let out: &mut [f32; 4] = &mut out[t].as_chunks_mut().0[q];
            // SAFETY: the array is 16 writable bytes; the store asks for no alignment beyond f32's.
            unsafe { vst1q_f32(out.as_mut_ptr(), sums[t][q]) };
        }
    }
    out
}

/// Tokens `t..t + N`.
fn part<'a, const T: usize, const N: usize>(panel: &Panel<'a, T>, t: usize) -> Panel<'a, N> {
    Panel {
        tiles: panel.tiles,
        x: core::array::from_fn(|i| panel.x[t + i]),
        starts: core::array::from_fn(|i| panel.starts[t + i]),
    }
}

/// Sums of `T` tokens over a panel, in the module's 16 bits.
#[target_feature(enable = "neon")]
#[inline]
fn smlal_rows<const T: usize>(
    halves: impl HalfLanes,
    Panel { tiles, x, starts }: Panel<'_, T>,
) -> [Lanes; T] {
    let x = x.map(|x| &x[..tiles.len()]);
    let starts = starts.map(|starts| &starts[..tiles.len()]);
    let mut acc = [[vdupq_n_f32(0.0); 4]; T];
    for n in 0..tiles.len() {
        prefetch(&tiles[n]);
        for half in 0..2 {
            let (lines, scales) = group(&tiles[n], half);
            let mut sums = [[[vdupq_n_s16(0); 2]; 4]; T];
            four_times!(LINE, {
                let w: [[int8x16_t; 2]; 4] =
                    core::array::from_fn(|q| codes(&lines[LINE as usize], q).map(|w| opaque(w)));
                for t in 0..T {
                    let (x, _) = x[t][n][half].as_flattened().as_chunks();
                    let x = vreinterpretq_s32_s8(load_x(&x[LINE as usize / 2]));
                    let x = [
                        vdupq_laneq_s32::<{ LINE % 2 * 2 }>(x),
                        vdupq_laneq_s32::<{ LINE % 2 * 2 + 1 }>(x),
                    ];
                    for q in 0..4 {
                        for (&w, x) in w[q].iter().zip(x) {
                            let (x, [low, high]) = (vreinterpretq_s8_s32(x), &mut sums[t][q]);
                            *low = vmlal_s8(*low, vget_low_s8(w), vget_low_s8(x));
                            *high = vmlal_high_s8(*high, w, x);
                        }
                    }
                }
            });
            let scales = halves.widen(&scales);
            for t in 0..T {
                let start = vdupq_n_s32(starts[t][n][half]);
                for q in 0..4 {
                    // Two lanes a row, then one.
                    let [low, high] = sums[t][q];
                    let sums = vpadalq_s16(start, vpaddq_s16(low, high));
                    acc[t][q] = add_scaled(acc[t][q], sums, quarter(&scales, q));
                }
            }
        }
    }
    stored(acc)
}

/// Sums of `T` tokens over a panel.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn sdot_rows<const T: usize>(
    halves: impl HalfLanes,
    Panel { tiles, x, starts }: Panel<'_, T>,
) -> [Lanes; T] {
    let x = x.map(|x| &x[..tiles.len()]);
    let starts = starts.map(|starts| &starts[..tiles.len()]);
    let mut acc = [[vdupq_n_f32(0.0); 4]; T];
    for n in 0..tiles.len() {
        prefetch(&tiles[n]);
        for half in 0..2 {
            let (lines, scales) = group(&tiles[n], half);
            let scales = halves.widen(&scales);
            let x: [[int8x16_t; 2]; T] = core::array::from_fn(|t| {
                let (x, _) = x[t][n][half].as_flattened().as_chunks();
                [load_x(&x[0]), load_x(&x[1])]
            });
            four_times!(Q, {
                const QUARTER: usize = Q as usize;
                let mut sums: [int32x4_t; T] =
                    core::array::from_fn(|t| vdupq_n_s32(starts[t][n][half]));
                four_times!(LINE, {
                    let [low, high] = codes(&lines[LINE as usize], QUARTER);
                    for t in 0..T {
                        let x = x[t][LINE as usize / 2];
                        sums[t] = sdot::<{ LINE % 2 * 2 }>(sums[t], low, x);
                        sums[t] = sdot::<{ LINE % 2 * 2 + 1 }>(sums[t], high, x);
                    }
                });
                for t in 0..T {
                    let sums = add_scaled(acc[t][QUARTER], sums[t], quarter(&scales, QUARTER));
                    acc[t][QUARTER] = sums;
                }
            });
        }
    }
    stored(acc)
}
