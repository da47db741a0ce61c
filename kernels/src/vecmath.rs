// SPDX-License-Identifier: AGPL-3.0-or-later
//! Vector maths, written once as plain loops over [`LANES`] lanes.
//!
//! Each backend compiles these bodies with its own instruction set. No fused multiply-add and no
//! reassociation is used, and sums have a fixed order of lanes, so **every backend gives the same
//! bits**: a pipeline's answer does not depend on the machine.

use crate::backend::RowQuant;

/// Lanes of the fixed summation order; one AVX-512 register, two AVX2 registers, four NEON ones.
pub(crate) const LANES: usize = 16;

type Lanes = [f32; LANES];

/// Sums the lanes as a balanced tree.
#[inline(always)]
fn sum_lanes(mut v: Lanes) -> f32 {
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
fn sum_by(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
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
fn max_by(x: &[f32], start: f32, f: impl Fn(f32) -> f32) -> f32 {
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

/// Rounds to the nearest integer, ties to even, for |x| < 2^22; as a float and as an integer.
///
/// Adding 1.5 · 2^23 leaves no room for a fraction in the mantissa, whose low bits are then the
/// integer: unlike a cast, which must handle NaN and saturate, this is two additions a lane.
#[inline(always)]
fn round_small(x: f32) -> (f32, i32) {
    const MAGIC: f32 = 12_582_912.0;
    let shifted = x + MAGIC;
    (shifted - MAGIC, (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32))
}

/// `e^x` within 2 ulp for -87 <= x <= 88, clamped outside. Range reduction by ln 2 in two parts,
/// then the Cephes polynomial of degree 5.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let (n, power) = round_small(x * core::f32::consts::LOG2_E);
    let r = x - n * 0.693_359_4;
    let r = r + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_6e-1;
    p = p * r + 0.5;
    let e = p * r * r + r + 1.0;
    // Scale by 2^n through the exponent bits: n is in -126..=127 after the clamp.
    e * f32::from_bits((power.wrapping_add(127) << 23) as u32)
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

/// Applies `f` to every value in place.
#[inline(always)]
fn map(x: &mut [f32], f: impl Fn(f32) -> f32) {
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

/// Hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(x: &mut [f32]) {
    map(x, |v| {
        let e = 1.0 - 2.0 / (exp(2.0 * v.abs()) + 1.0);
        e.copysign(v)
    });
}

/// `max(x, 0)`.
#[inline(always)]
pub(crate) fn relu(x: &mut [f32]) {
    map(x, |v| if v > 0.0 { v } else { 0.0 });
}

/// `x += y`.
#[inline(always)]
pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    for (a, &b) in x.iter_mut().zip(y) {
        *a += b;
    }
}

/// Layer normalisation of one row in place.
#[inline(always)]
pub(crate) fn layer_norm(x: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) {
    let n = x.len() as f32;
    let mean = sum_by(x, |v| v) / n;
    let var = sum_by(x, |v| (v - mean) * (v - mean)) / n;
    let inv = 1.0 / libm::sqrtf(var + eps);
    for ((v, &g), &b) in x.iter_mut().zip(gain).zip(bias) {
        *v = (*v - mean) * inv * g + b;
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

/// Smallest range that is quantized as it is; less is noise around zero.
const MIN_RANGE: f32 = 1e-5;

/// Quantizes one row symmetrically.
#[inline(always)]
pub(crate) fn quantize_row(x: &[f32], out: &mut [i8]) -> RowQuant {
    let absmax = max_by(x, 0.0, f32::abs).clamp(MIN_RANGE, f32::MAX);
    let sum = quantize_by(x, out, 127.0 / absmax, 0);
    RowQuant { scale: absmax / 127.0, zero: 0, sum }
}

/// Quantizes one row over its own range.
#[inline(always)]
pub(crate) fn quantize_row_range(x: &[f32], out: &mut [i8]) -> RowQuant {
    let max = max_by(x, 0.0, |v| v);
    let min = -max_by(x, 0.0, |v| -v);
    // Halves first, so that the widest range stays finite.
    let range = ((max / 2.0 - min / 2.0) * 2.0).clamp(MIN_RANGE, f32::MAX);
    let inv = 255.0 / range;
    let zero = (-128 - round_small(min * inv).1).clamp(-128, 127);
    let sum = quantize_by(x, out, inv, zero);
    RowQuant { scale: range / 255.0, zero, sum }
}

/// Writes `x · inv + zero` as int8, ties to even, clamped; returns the sum.
#[inline(always)]
fn quantize_by(x: &[f32], out: &mut [i8], inv: f32, zero: i32) -> i32 {
    let quantize = |v: f32| {
        // A NaN falls to the lower bound.
        let v = if v * inv > -255.0 { v * inv } else { -255.0 };
        let q = round_small(if v < 255.0 { v } else { 255.0 }).1 + zero;
        let q = if q < 127 { q } else { 127 };
        if q > -128 { q } else { -128 }
    };
    let mut acc = [0i32; LANES];
    let (xc, xt) = x.as_chunks::<LANES>();
    let (oc, ot) = out.as_chunks_mut::<LANES>();
    for (c, o) in xc.iter().zip(oc) {
        for i in 0..LANES {
            let q = quantize(c[i]);
            acc[i] += q;
            o[i] = q as i8;
        }
    }
    let mut sum: i32 = acc.iter().sum();
    for (&v, o) in xt.iter().zip(ot) {
        let q = quantize(v);
        sum += q;
        *o = q as i8;
    }
    sum
}

/// Tokens that share one pass over packed f32 data.
const F32_TOKENS: usize = 4;

/// `acc[t] += Σ_k x[t][k] · w[k]` over 16 lanes of outputs.
///
/// - `w`: `[depth, 16]`; `x[t]`: at least `depth` values, read at `stride`
#[inline(always)]
fn lanes_matmul<const T: usize>(w: &[f32], x: [&[f32]; T]) -> [Lanes; T] {
    let mut acc = [[0f32; LANES]; T];
    let (rows, _) = w.as_chunks::<LANES>();
    let x = x.map(|row| &row[..rows.len()]);
    for (k, row) in rows.iter().enumerate() {
        for t in 0..T {
            let s = x[t][k];
            for i in 0..LANES {
                acc[t][i] += s * row[i];
            }
        }
    }
    acc
}

/// `put(t, lanes)` for every row of `x` (`[rows, stride]`, the first `depth` values used).
#[inline(always)]
fn lanes_matmul_rows(
    w: &[f32],
    x: &[f32],
    stride: usize,
    rows: usize,
    mut put: impl FnMut(usize, &Lanes),
) {
    let row = |t: usize| &x[t * stride..];
    let mut t = 0;
    while t + F32_TOKENS <= rows {
        let sums = lanes_matmul::<F32_TOKENS>(w, core::array::from_fn(|i| row(t + i)));
        for (i, s) in sums.iter().enumerate() {
            put(t + i, s);
        }
        t += F32_TOKENS;
    }
    while t < rows {
        put(t, &lanes_matmul::<1>(w, [row(t)])[0]);
        t += 1;
    }
}

/// `y[t, r] = Σ_k w[r, k] · x[t, k] + bias[r]` with `w` packed as `[rows/16][cols][16]`.
#[inline(always)]
pub(crate) fn f32_linear(w: &crate::F32View<'_>, bias: Option<&[f32]>, x: &[f32], y: &mut [f32]) {
    let (rows, cols) = (w.rows(), w.cols());
    let tokens = x.len() / cols;
    for p in 0..w.panels() {
        let row0 = p * LANES;
        let width = LANES.min(rows - row0);
        lanes_matmul_rows(w.panel(p), x, cols, tokens, |t, sums| {
            let out = &mut y[t * rows + row0..][..width];
            out.copy_from_slice(&sums[..width]);
            if let Some(bias) = bias {
                for (o, &b) in out.iter_mut().zip(&bias[row0..]) {
                    *o += b;
                }
            }
        });
    }
}

/// One attention head over one sequence: `out = softmax(q · kᵀ · scale) · v`.
///
/// - `q`: `[queries, stride]`, the first `dim` values of each row used
/// - `kt`: keys transposed in panels, `[keys/16][dim][16]`; `v`: `[dim/16][keys][16]`
/// - `scores`: scratch of `F32 keys` per query block; `out`: `[queries, dim]`
#[inline(always)]
pub(crate) fn attention_head(head: &crate::AttentionHead<'_>, scores: &mut [f32], out: &mut [f32]) {
    let crate::AttentionHead { q, stride, queries, keys, dim, kt, v, scale } = *head;
    let key_panels = keys.div_ceil(LANES);
    let padded = key_panels * LANES;
    let mut t0 = 0;
    while t0 < queries {
        let block = F32_TOKENS.min(queries - t0);
        for p in 0..key_panels {
            let panel = &kt[p * dim * LANES..][..dim * LANES];
            lanes_matmul_rows(panel, &q[t0 * stride..], stride, block, |t, sums| {
                let row = &mut scores[t * padded + p * LANES..][..LANES];
                for (o, &s) in row.iter_mut().zip(sums) {
                    *o = s * scale;
                }
            });
        }
        for t in 0..block {
            softmax(&mut scores[t * padded..][..keys]);
        }
        for (d, panel) in v.chunks_exact(keys * LANES).enumerate() {
            let width = LANES.min(dim - d * LANES);
            lanes_matmul_rows(panel, scores, padded, block, |t, sums| {
                out[(t0 + t) * dim + d * LANES..][..width].copy_from_slice(&sums[..width]);
            });
        }
        t0 += block;
    }
}
