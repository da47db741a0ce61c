// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a conversion did to each tensor.

use serde::Serialize;

/// One tensor of the result.
#[derive(Debug, Clone, Serialize)]
pub struct TensorReport {
    /// Name.
    pub name: String,
    /// Dimensions in the source.
    pub shape: Vec<usize>,
    /// Element type in the result.
    pub dtype: &'static str,
    /// Root mean square of the quantization error, relative to that of the values: the relative
    /// Frobenius error of a matrix. 0 for what was packed already.
    pub rms_error: f64,
    /// Largest absolute error.
    pub max_error: f64,
    /// Share of the values that are 0 in the result; none for what was packed already.
    pub zeros: Option<f64>,
    /// Cosine of the values and those of the result, as vectors; none where either is all zero, and
    /// for what was packed already.
    pub cosine: Option<f64>,
}

impl TensorReport {
    pub(crate) fn new(
        name: &str,
        shape: Vec<usize>,
        dtype: &'static str,
        rounding: Option<Rounding>,
    ) -> Self {
        let r = rounding.unwrap_or_default();
        let sizes = (r.norm * r.back_norm).sqrt();
        Self {
            name: name.into(),
            shape,
            dtype,
            rms_error: if r.norm > 0.0 { (r.error / r.norm).sqrt() } else { 0.0 },
            max_error: r.max,
            zeros: (r.count > 0).then(|| r.zeros as f64 / r.count as f64),
            cosine: (sizes > 0.0).then(|| (r.dot / sizes).clamp(-1.0, 1.0)),
        }
    }
}

/// What rounding did to the values of a tensor, summed up as they pass by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rounding {
    count: u64,
    zeros: u64,
    max: f64,
    /// Sums of squares: of the differences, of the values, of what became of them.
    error: f64,
    norm: f64,
    back_norm: f64,
    /// Sum of products.
    dot: f64,
}

impl Rounding {
    /// More values, and what became of each.
    pub(crate) fn add(&mut self, values: &[f32], back: impl IntoIterator<Item = f32>) {
        for (&v, b) in values.iter().zip(back) {
            let (difference, v, b_wide) = (f64::from(v - b), f64::from(v), f64::from(b));
            self.count += 1;
            self.zeros += u64::from(b == 0.0);
            self.max = self.max.max(difference.abs());
            self.error += difference.powi(2);
            self.norm += v.powi(2);
            self.back_norm += b_wide.powi(2);
            self.dot += v * b_wide;
        }
    }

    /// More rows, the codes that they became, and what a code of 1 is worth in each.
    pub(crate) fn add_rows(&mut self, values: &[f32], codes: &[i8], scales: &[f32]) {
        let cols = values.len() / scales.len().max(1);
        let rows = values.chunks_exact(cols.max(1)).zip(codes.chunks_exact(cols.max(1)));
        for ((row, codes), scale) in rows.zip(scales) {
            self.add(row, codes.iter().map(|&code| scale * f32::from(code)));
        }
    }
}
