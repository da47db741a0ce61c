// SPDX-License-Identifier: AGPL-3.0-or-later
//! Plain loops that say what the right answer is. Tests and benches compare every backend to
//! these; nothing here shares code with what it judges.

use crate::RopeStyle;

/// `y[t, r] = Σ_k w[r, k] · x[t, k]`, exact in 64 bits.
///
/// - `w`: `[rows, cols]`, `x`: `[tokens, cols]`, both row-major; returns `[tokens, rows]`
pub fn matmul_int(w: &[i8], x: &[i8], rows: usize, cols: usize) -> Vec<i64> {
    let tokens = x.len() / cols;
    let mut y = vec![0i64; tokens * rows];
    for t in 0..tokens {
        for r in 0..rows {
            for k in 0..cols {
                y[t * rows + r] += i64::from(w[r * cols + k]) * i64::from(x[t * cols + k]);
            }
        }
    }
    y
}

/// `y[t, r] = Σ_k w[r, k] · x[t, k] + bias[r]` in 64-bit floats.
pub fn matmul_f64(w: &[f32], x: &[f32], bias: &[f32], rows: usize, cols: usize) -> Vec<f64> {
    let tokens = x.len() / cols;
    let mut y = vec![0f64; tokens * rows];
    for t in 0..tokens {
        for r in 0..rows {
            let mut sum = f64::from(bias[r]);
            for k in 0..cols {
                sum += f64::from(w[r * cols + k]) * f64::from(x[t * cols + k]);
            }
            y[t * rows + r] = sum;
        }
    }
    y
}

/// Layer normalisation of one row (arXiv:1607.06450) in 64-bit floats.
pub fn layer_norm(x: &[f32], gain: &[f32], bias: &[f32], eps: f64) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let var = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    x.iter()
        .zip(gain.iter().zip(bias))
        .map(|(&v, (&g, &b))| {
            (f64::from(v) - mean) / (var + eps).sqrt() * f64::from(g) + f64::from(b)
        })
        .collect()
}

/// Root mean square normalisation of one row (arXiv:1910.07467) in 64-bit floats.
pub fn rms_norm(x: &[f32], gain: &[f32], eps: f64) -> Vec<f64> {
    let mean = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / x.len() as f64;
    x.iter().zip(gain).map(|(&v, &g)| f64::from(v) / (mean + eps).sqrt() * f64::from(g)).collect()
}

/// Rotary position embedding of one row (arXiv:2104.09864, eq. 34) in 64-bit floats.
pub fn rope(x: &[f32], cos: &[f32], sin: &[f32], style: RopeStyle) -> Vec<f64> {
    let mut y = vec![0f64; x.len()];
    for i in 0..cos.len() {
        let (a, b) = match style {
            RopeStyle::Halves => (i, i + cos.len()),
            RopeStyle::Interleaved => (2 * i, 2 * i + 1),
        };
        let (re, im) = (f64::from(x[a]), f64::from(x[b]));
        let (cos, sin) = (f64::from(cos[i]), f64::from(sin[i]));
        y[a] = re * cos - im * sin;
        y[b] = re * sin + im * cos;
    }
    y
}

/// Softmax of one row in 64-bit floats.
pub fn softmax(x: &[f32]) -> Vec<f64> {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let e: Vec<f64> = x.iter().map(|&v| (f64::from(v) - f64::from(max)).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|v| v / sum).collect()
}

/// The error function by its Maclaurin series (small `x`) and continued fraction (large `x`).
pub fn erf(x: f64) -> f64 {
    if x.abs() < 2.5 {
        let mut term = x;
        let mut sum = x;
        for n in 1..100 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    } else {
        // erfc(x) = exp(-x²)/√π · 1/(x + (1/2)/(x + 1/(x + (3/2)/(x + ...))))
        let a = x.abs();
        let mut tail = a;
        for n in (1..80).rev() {
            tail = a + f64::from(n) / 2.0 / tail;
        }
        x.signum() * (1.0 - (-a * a).exp() / std::f64::consts::PI.sqrt() / tail)
    }
}
