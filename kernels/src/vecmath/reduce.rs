// SPDX-License-Identifier: AGPL-3.0-or-later
//! Sums and maxima of a row, in the fixed order of lanes.

use super::{LANES, Lanes};

/// Sums the lanes as a balanced tree.
#[inline(always)]
pub(super) fn sum_lanes(mut v: Lanes) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            v[i] += v[i + width];
        }
        width /= 2;
    }
    v[0]
}

/// Adds up `f` of every value, 16 lanes side by side, the tail in its own lanes.
#[inline(always)]
pub(super) fn sum_by(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut acc = [0f32; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for c in chunks {
        for i in 0..LANES {
            acc[i] += f(c[i]);
        }
    }
    for (a, &v) in acc.iter_mut().zip(tail) {
        *a += f(v);
    }
    sum_lanes(acc)
}

/// Largest of `f` of every value; `start` for none.
#[inline(always)]
pub(super) fn max_by(x: &[f32], start: f32, f: impl Fn(f32) -> f32) -> f32 {
    // `a > b` instead of f32::max: one instruction, and a NaN never wins.
    let mut acc = [start; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for c in chunks {
        for i in 0..LANES {
            let v = f(c[i]);
            acc[i] = if v > acc[i] { v } else { acc[i] };
        }
    }
    let mut max = start;
    for v in acc.into_iter().chain(tail.iter().map(|&v| f(v))) {
        max = if v > max { v } else { max };
    }
    max
}
