// SPDX-License-Identifier: AGPL-3.0-or-later
//! What needs sums over a whole row: normalisation and softmax.

use super::activation::map;
use super::exp::exp;
use super::reduce::{max_by, sum_by};
use super::same_length;

/// Layer normalisation of one row in place.
#[inline(always)]
pub(crate) fn layer_norm(x: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) {
    same_length("gain", x.len(), gain.len());
    same_length("bias", x.len(), bias.len());
    let n = x.len() as f32;
    let mean = sum_by(x, |v| v) / n;
    let var = sum_by(x, |v| (v - mean) * (v - mean)) / n;
    let inv = 1.0 / libm::sqrtf(var + eps);
    for ((v, &g), &b) in x.iter_mut().zip(gain).zip(bias) {
        *v = (*v - mean) * inv * g + b;
    }
}

/// Root mean square normalisation of one row in place.
#[inline(always)]
pub(crate) fn rms_norm(x: &mut [f32], gain: &[f32], eps: f32) {
    same_length("gain", x.len(), gain.len());
    let mean = sum_by(x, |v| v * v) / x.len() as f32;
    let inv = 1.0 / libm::sqrtf(mean + eps);
    for (v, &g) in x.iter_mut().zip(gain) {
        *v = *v * inv * g;
    }
}

/// Softmax of one row in place.
#[inline(always)]
pub(crate) fn softmax(x: &mut [f32]) {
    let max = max_by(x, f32::NEG_INFINITY, |v| v);
    map(x, |v| exp(v - max));
    let inv = 1.0 / sum_by(x, |v| v);
    map(x, |v| v * inv);
}
