// SPDX-License-Identifier: AGPL-3.0-or-later
//! Root mean square normalisation (arXiv:1910.07467).

use bho_kernels::Kernels;

/// `x · gain / √(mean(x²) + eps)`.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    gain: Vec<f32>,
    eps: f32,
}

impl RmsNorm {
    /// A norm of rows as long as `gain`.
    pub fn new(gain: Vec<f32>, eps: f32) -> Self {
        Self { gain, eps }
    }

    /// Length of a row.
    pub fn dim(&self) -> usize {
        self.gain.len()
    }

    /// Normalises every row of `x`, `[rows, dim]`.
    pub(super) fn apply(&self, kernels: &dyn Kernels, x: &mut [f32]) {
        for row in x.chunks_exact_mut(self.gain.len()) {
            kernels.rms_norm(row, &self.gain, self.eps);
        }
    }
}
