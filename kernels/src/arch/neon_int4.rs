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
//! them from there. It adds in 32 bits: at most `32 · 15 · 128` and the start.

use core::arch::aarch64::*;

use super::neon::{four_times, load, load_x};
use super::neon_dotprod::sdot;
use crate::formats::GROUP_LINES;
use crate::vecmath::{Group, GroupDot, Lanes, Line};

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
    fn add<const T: usize>(self, group: &Group<'_, T>, acc: &mut [Lanes; T]) {
        // SAFETY: `self` was made by a function that had the feature.
        unsafe {
            if T <= 2 {
                smlal_rows::<T, 4>(group, 0, acc);
            } else {
                // Half as many rows, so that the sums of more tokens stay in registers.
                smlal_rows::<T, 2>(group, 0, acc);
                smlal_rows::<T, 2>(group, 2, acc);
            }
        }
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
    fn add<const T: usize>(self, group: &Group<'_, T>, acc: &mut [Lanes; T]) {
        // SAFETY: `self` was made by a function that had the features.
        unsafe { sdot_rows(group, acc) }
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

/// Adds the scaled sums of quarter `q` of the rows. A product and a sum: fused, bits would differ.
#[target_feature(enable = "neon")]
#[inline]
fn add_scaled(acc: &mut Lanes, q: usize, sums: int32x4_t, scales: &Lanes) {
    let acc: &mut [f32; 4] = &mut acc.as_chunks_mut().0[q];
    let scales: &[f32; 4] = &scales.as_chunks().0[q];
    // SAFETY: the arrays are 16 readable bytes, the first writable; nothing asks for more alignment
    // than f32's.
    unsafe {
        let scaled = vmulq_f32(vcvtq_f32_s32(sums), vld1q_f32(scales.as_ptr()));
        vst1q_f32(acc.as_mut_ptr(), vaddq_f32(vld1q_f32(acc.as_ptr()), scaled));
    }
}

/// A group of `T` tokens with quarters `first..first + Q` of the rows, in the module's 16 bits.
#[target_feature(enable = "neon")]
#[inline]
fn smlal_rows<const T: usize, const Q: usize>(
    group: &Group<'_, T>,
    first: usize,
    acc: &mut [Lanes; T],
) {
    assert!(first <= 4 - Q);
    let mut sums = [[[vdupq_n_s16(0); 2]; Q]; T];
    for i in 0..GROUP_LINES {
        let w: [[int8x16_t; 2]; Q] = core::array::from_fn(|q| codes(&group.codes[i], first + q));
        for half in 0..2 {
            for t in 0..T {
                let quad = group.x[t][2 * i + half].map(|x| x as u8);
                let x = vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(quad)));
                for q in 0..Q {
                    let [low, high] = &mut sums[t][q];
                    *low = vmlal_s8(*low, vget_low_s8(w[q][half]), vget_low_s8(x));
                    *high = vmlal_high_s8(*high, w[q][half], x);
                }
            }
        }
    }
    for t in 0..T {
        let start = vdupq_n_s32(group.starts[t]);
        for q in 0..Q {
            // Two lanes a row, then one.
            let [low, high] = sums[t][q];
            let sum = vpadalq_s16(start, vpaddq_s16(low, high));
            add_scaled(&mut acc[t], first + q, sum, &group.scales);
        }
    }
}

/// A group of `T` tokens with all rows.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn sdot_rows<const T: usize>(group: &Group<'_, T>, acc: &mut [Lanes; T]) {
    let x: [[int8x16_t; 2]; T] = core::array::from_fn(|t| {
        let (halves, _) = group.x[t].as_flattened().as_chunks();
        [load_x(&halves[0]), load_x(&halves[1])]
    });
    let mut sums: [[int32x4_t; 4]; T] = core::array::from_fn(|t| [vdupq_n_s32(group.starts[t]); 4]);
    four_times!(LINE, {
        for q in 0..4 {
            let [low, high] = codes(&group.codes[LINE as usize], q);
            for t in 0..T {
                let (sum, x) = (&mut sums[t][q], x[t][LINE as usize / 2]);
                *sum = sdot::<{ LINE % 2 * 2 }>(*sum, low, x);
                *sum = sdot::<{ LINE % 2 * 2 + 1 }>(*sum, high, x);
            }
        }
    });
    for t in 0..T {
        for q in 0..4 {
            add_scaled(&mut acc[t], q, sums[t][q], &group.scales);
        }
    }
}
