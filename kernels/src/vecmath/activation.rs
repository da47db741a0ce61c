// SPDX-License-Identifier: AGPL-3.0-or-later
//! Activation functions and the sums and products of rows, element by element.

use super::exp::exp;
use super::{LANES, padded, same_length};

/// Applies `f` to every value in place.
#[inline(always)]
pub(super) fn map(x: &mut [f32], f: impl Fn(f32) -> f32) {
    // The last 16 values, of which the tail is a part: one by one, it could take longer than all
    // the rest.
    let mut last = match x.last_chunk::<LANES>() {
        Some(window) => *window,
        None => padded(x, 0.0),
    };
    let tail = x.len() % LANES;
    if tail != 0 {
        // Not in a closure, which would be compiled without the features of the backend.
        for v in &mut last {
            *v = f(*v);
        }
    }
    // One flat loop: of a loop in a loop, compilers make gathers.
    for v in x.as_chunks_mut::<LANES>().0.as_flattened_mut() {
        *v = f(*v);
    }
    if tail != 0 {
        match x.last_chunk_mut::<LANES>() {
            Some(window) => *window = last,
            None => x.copy_from_slice(&last[..tail]),
        }
    }
}

/// `x · Φ(x) = max(x, 0) - |x| · Φ(-|x|)`, where `Φ(-a) ≈ (Σ_k c[k] · a^k)^8` up to `a = far` and
/// next to 0 beyond.
///
/// The eighth root of a bell's tail is smooth and slow, so a short polynomial serves: no
/// exponential and no division.
#[inline(always)]
fn gelu(v: f32, c: [f32; 9], far: f32) -> f32 {
    let a = v.abs();
    let mut p = c[8];
    for k in (0..8).rev() {
        p = p * a + c[k];
    }
    let p2 = p * p;
    let p4 = p2 * p2;
    let tail = a * (p4 * p4);
    positive(v) - if a > far { 0.0 } else { tail }
}

/// GELU with the error function: `x/2 · (1 + erf(x/√2))` (arXiv:1606.08415).
#[inline(always)]
pub(crate) fn gelu_erf(x: &mut [f32]) {
    // Minimax for 0..=5.5, weighted by what the error does to the result.
    const C: [f32; 9] = [
        0.917_004_05,
        -9.145_774e-2,
        -3.192_69e-2,
        -6.739_89e-4,
        1.506_268_7e-3,
        3.327_319e-5,
        -5.994_623e-5,
        7.429_567_6e-6,
        -2.926_137_1e-7,
    ];
    map(x, |v| gelu(v, C, 5.5));
}

/// GELU by its tanh approximation: `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`
/// (arXiv:1606.08415).
#[inline(always)]
pub(crate) fn gelu_tanh(x: &mut [f32]) {
    // As above, for 0..=5.1.
    const C: [f32; 9] = [
        0.917_004_35,
        -9.146_664e-2,
        -3.188_458e-2,
        -6.550_757e-4,
        1.530_386_6e-3,
        1.529_321e-4,
        -1.950_118_1e-4,
        4.465_857_6e-5,
        -3.446_743_7e-6,
    ];
    map(x, |v| gelu(v, C, 5.1));
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
