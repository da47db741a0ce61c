// SPDX-License-Identifier: AGPL-3.0-or-later
//! What needs sums over a whole row: normalisation and softmax.

use super::activation::map;
use super::exp::exp_negative;
use super::reduce::{max_by, sum_by};
use super::same_length;

/// Correctly rounded. Without `std`, by a crate whose instruction is older than AVX: the switch
/// costs as much as half the norm of a short row.
#[inline(always)]
fn sqrt(x: f32) -> f32 {
    #[cfg(feature = "std")]
    return x.sqrt();
    #[cfg(not(feature = "std"))]
    return libm::sqrtf(x);
}

/// Layer normalisation of one row in place.
#[inline(always)]
pub(crate) fn layer_norm(x: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) {
    same_length("gain", x.len(), gain.len());
    same_length("bias", x.len(), bias.len());
    let n = x.len() as f32;
    let mean = sum_by(x, 0.0, |v| v) / n;
    let var = sum_by(x, mean, |v| (v - mean) * (v - mean)) / n;
    let inv = 1.0 / sqrt(var + eps);
    for ((v, &g), &b) in x.iter_mut().zip(gain).zip(bias) {
        *v = (*v - mean) * inv * g + b;
    }
}

/// Root mean square normalisation of one row in place.
#[inline(always)]
pub(crate) fn rms_norm(x: &mut [f32], gain: &[f32], eps: f32) {
    same_length("gain", x.len(), gain.len());
    let mean = sum_by(x, 0.0, |v| v * v) / x.len() as f32;
    let inv = 1.0 / sqrt(mean + eps);
    for (v, &g) in x.iter_mut().zip(gain) {
        *v = *v * inv * g;
    }
}

/// Softmax of one row in place.
#[inline(always)]
pub(crate) fn softmax(x: &mut [f32]) {
    let inv = softmax_unscaled(x);
    map(x, |v| v * inv);
}

/// Softmax but for the factor that makes the sum 1, which is returned.
#[inline(always)]
pub(super) fn softmax_unscaled(x: &mut [f32]) -> f32 {
    let max = max_by(x, f32::NEG_INFINITY, |v| v);
    map(x, |v| exp_negative(v - max));
    1.0 / sum_by(x, 0.0, |v| v)
}
