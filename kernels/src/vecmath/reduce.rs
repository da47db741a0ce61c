// SPDX-License-Identifier: AGPL-3.0-or-later
//! Sums and maxima of a row, in a fixed order.

use super::{LANES, Lanes, padded};

/// Running sums or maxima of a long row: twice the lanes, which hides the latency of the
/// additions.
const WIDE: usize = 2 * LANES;

/// Combines the lanes as a balanced tree: lane `i` with lane `i + 8`, then 4, 2, 1.
#[inline(always)]
fn tree(mut v: Lanes, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            v[i] = f(v[i], v[i + width]);
        }
        width /= 2;
    }
    v[0]
}

/// `f` over the values of every lane, first of 32 lanes, then of 16, then over the lanes.
///
/// `fill` is a value that changes nothing, `start` what there is before any value.
#[inline(always)]
fn reduce(
    x: &[f32],
    (start, fill): (f32, f32),
    get: impl Fn(f32) -> f32,
    f: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut wide = [start; WIDE];
    let (chunks, rest) = x.as_chunks::<WIDE>();
    for c in chunks {
        for i in 0..WIDE {
            wide[i] = f(wide[i], get(c[i]));
        }
    }
    let mut acc: Lanes = core::array::from_fn(|i| f(wide[i], wide[i + LANES]));
    let (chunks, rest) = rest.as_chunks::<LANES>();
    for c in chunks {
        for i in 0..LANES {
            acc[i] = f(acc[i], get(c[i]));
        }
    }
    if !rest.is_empty() {
        let last = padded(rest, fill);
        for i in 0..LANES {
            acc[i] = f(acc[i], get(last[i]));
        }
    }
    tree(acc, f)
}

/// Sum of `f` of every value; `f(zero)` is 0.
#[inline(always)]
pub(super) fn sum_by(x: &[f32], zero: f32, f: impl Fn(f32) -> f32) -> f32 {
    reduce(x, (0.0, zero), f, |a, b| a + b)
}

/// Largest of `f` of every value, at least `f(least)`, which is `start`. A NaN is never the largest.
#[inline(always)]
pub(super) fn max_by(x: &[f32], least: f32, f: impl Fn(f32) -> f32) -> f32 {
    // `b > a` instead of f32::max: one instruction.
    reduce(x, (f(least), least), &f, |a, b| if b > a { b } else { a })
}
