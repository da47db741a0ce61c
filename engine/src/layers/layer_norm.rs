// SPDX-License-Identifier: AGPL-3.0-or-later
//! Layer normalisation (arXiv:1607.06450).

use bho_kernels::Kernels;

/// Normalises rows to zero mean and unit variance, then scales and shifts them.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// `[dim]`.
    pub gain: Vec<f32>,
    /// `[dim]`.
    pub bias: Vec<f32>,
    /// Added to the variance.
    pub eps: f32,
}

impl LayerNorm {
    /// Normalises every row of `x` (`[rows, dim]`) in place.
    pub fn apply(&self, kernels: &dyn Kernels, x: &mut [f32]) {
        for row in x.chunks_exact_mut(self.gain.len()) {
            kernels.layer_norm(row, &self.gain, &self.bias, self.eps);
        }
    }
}
