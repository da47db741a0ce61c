// SPDX-License-Identifier: AGPL-3.0-or-later
//! Rotary position embedding (arXiv:2104.09864) over whole rows of heads.

use bho_kernels::{Kernels, RopeStyle};

use crate::error::EngineError;

/// Angles per position, for the first values of each head.
#[derive(Debug, Clone)]
pub struct RotaryEmbedding {
    /// `[rotated/2]`: angle of one position.
    inv_freq: Vec<f32>,
    /// What cosines and sines are multiplied by (YaRN, arXiv:2309.00071, §3.4); 1 else.
    scale: f32,
}

/// Cosines and sines of a position, as scratch.
#[derive(Debug, Default)]
pub(super) struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RotaryEmbedding {
    /// From the angle that each pair of values turns by per position: models scale them for long
    /// contexts in various ways.
    ///
    /// - `inv_freq`: `[rotated/2]`; heads longer than `rotated` keep the rest as it is
    pub fn new(inv_freq: Vec<f32>, scale: f32) -> Self {
        Self { inv_freq, scale }
    }

    /// The usual angles, `base^(-2i / rotated)`, in f32 as PyTorch has them.
    pub fn inv_freq(base: f32, rotated: usize) -> Vec<f32> {
        let exponent = |i: usize| (2 * i) as f32 / rotated as f32;
        // Through f64: `powf` of f32 is not the same everywhere.
        let power = |i| f64::from(base).powf(f64::from(exponent(i))) as f32;
        (0..rotated / 2).map(|i| 1.0 / power(i)).collect()
    }

    /// Values of a head that turn.
    pub fn rotated(&self) -> usize {
        2 * self.inv_freq.len()
    }

    /// The angles of a position.
    pub(super) fn at(&self, position: usize, angles: &mut Angles) {
        angles.cos.clear();
        angles.sin.clear();
        for &freq in &self.inv_freq {
            // The product in f32, as the models were trained with; its cosine from f64.
            let (sin, cos) = f64::from(position as f32 * freq).sin_cos();
            angles.cos.push(cos as f32 * self.scale);
            angles.sin.push(sin as f32 * self.scale);
        }
    }

    /// Turns every head of `row`, `[heads, dim]`.
    pub(super) fn turn(
        kernels: &dyn Kernels,
        angles: &Angles,
        row: &mut [f32],
        dim: usize,
    ) -> Result<(), EngineError> {
        for head in row.chunks_exact_mut(dim) {
            let turned = &mut head[..2 * angles.cos.len()];
            kernels.rope(turned, &angles.cos, &angles.sin, RopeStyle::Halves)?;
        }
        Ok(())
    }
}
