// SPDX-License-Identifier: AGPL-3.0-or-later
//! Activation functions and the sums and products of rows, element by element.

use super::exp::exp;
use super::{LANES, same_length};

/// Applies `f` to every value in place.
#[inline(always)]
pub(super) fn map(x: &mut [f32], f: impl Fn(f32) -> f32) {
    let (chunks, tail) = x.as_chunks_mut::<LANES>();
    for c in chunks {
        for v in c {
            *v = f(*v);
        }
    }
    for v in tail {
        *v = f(*v);
    }
}

/// The error function within 5e-7 (Abramowitz and Stegun, 7.1.26).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let mut p = 1.061_405_4;
    p = p * t - 1.453_152_1;
    p = p * t + 1.421_413_8;
    p = p * t - 0.284_496_72;
    p = p * t + 0.254_829_6;
    let y = 1.0 - p * t * exp(-a * a);
    y.copysign(x)
}

/// GELU with the error function: `x/2 · (1 + erf(x/√2))` (arXiv:1606.08415).
#[inline(always)]
pub(crate) fn gelu_erf(x: &mut [f32]) {
    map(x, |v| 0.5 * v * (1.0 + erf(v * core::f32::consts::FRAC_1_SQRT_2)));
}

/// GELU by its tanh approximation (arXiv:1606.08415).
#[inline(always)]
pub(crate) fn gelu_tanh(x: &mut [f32]) {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    map(x, |v| {
        let u = SQRT_2_OVER_PI * (v + 0.044_715 * v * v * v);
        // tanh(u) = 1 - 2/(e^2u + 1)
        0.5 * v * (2.0 - 2.0 / (exp(2.0 * u) + 1.0))
    });
}

/// SiLU: `x / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn silu(x: &mut [f32]) {
    map(x, |v| {
        // On the side where the exponential is small: the largest values stay finite.
        let a = v.abs();
        let e = if a > 87.0 { 0.0 } else { exp(-a) };
        (if v < 0.0 { v * e } else { v }) / (1.0 + e)
    });
}

/// Hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(x: &mut [f32]) {
    map(x, |v| {
        let e = 1.0 - 2.0 / (exp(2.0 * v.abs()) + 1.0);
        e.copysign(v)
    });
}

/// `max(x, 0)`; a NaN stays one.
#[inline(always)]
fn positive(v: f32) -> f32 {
    if v < 0.0 { 0.0 } else { v }
}

/// `max(x, 0)`.
#[inline(always)]
pub(crate) fn relu(x: &mut [f32]) {
    map(x, positive);
}

/// `max(x, 0)²`.
#[inline(always)]
pub(crate) fn relu_squared(x: &mut [f32]) {
    map(x, |v| positive(v) * positive(v));
}

/// `x += y`.
#[inline(always)]
pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    same_length("addend", x.len(), y.len());
    for (a, &b) in x.iter_mut().zip(y) {
        *a += b;
    }
}

/// `x *= y`.
#[inline(always)]
pub(crate) fn mul(x: &mut [f32], y: &[f32]) {
    same_length("factor", x.len(), y.len());
    for (a, &b) in x.iter_mut().zip(y) {
        *a *= b;
    }
}
