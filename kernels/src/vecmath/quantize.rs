// SPDX-License-Identifier: AGPL-3.0-or-later
//! Rows of floats as int8.

use super::exp::round_small;
use super::reduce::max_by;
use super::same_length;
use crate::backend::RowQuant;

/// Smallest range that is quantized as it is; less is noise around zero.
const MIN_RANGE: f32 = 1e-5;

/// Quantizes one row symmetrically.
#[inline(always)]
pub(crate) fn quantize_row(x: &[f32], out: &mut [i8]) -> RowQuant {
    same_length("int8 values", x.len(), out.len());
    let absmax = max_by(x, 0.0, f32::abs).clamp(MIN_RANGE, f32::MAX);
    let sum = quantize_by(x, out, 127.0 / absmax, 0);
    RowQuant { scale: absmax / 127.0, zero: 0, sum }
}

/// Quantizes one row over its own range.
#[inline(always)]
pub(crate) fn quantize_row_range(x: &[f32], out: &mut [i8]) -> RowQuant {
    same_length("int8 values", x.len(), out.len());
    let max = max_by(x, 0.0, |v| v);
    let min = -max_by(x, 0.0, |v| -v);
    // Halves first, so that the widest range stays finite.
    let range = ((max / 2.0 - min / 2.0) * 2.0).clamp(MIN_RANGE, f32::MAX);
    let inv = 255.0 / range;
    let zero = (-128 - round_small(min * inv)).clamp(-128, 127);
    let sum = quantize_by(x, out, inv, zero);
    RowQuant { scale: range / 255.0, zero, sum }
}

/// Writes `x · inv + zero` as int8, ties to even, clamped; returns the sum.
#[inline(always)]
fn quantize_by(x: &[f32], out: &mut [i8], inv: f32, zero: i32) -> i32 {
    let (low, high) = ((-128 - zero) as f32, (127 - zero) as f32);
    let mut sum = 0;
    for (&v, o) in x.iter().zip(out) {
        // A NaN falls to the lower bound.
        let v = if v * inv > low { v * inv } else { low };
        let q = round_small(if v < high { v } else { high }) + zero;
        sum += q;
        *o = q as i8;
    }
    sum
}
