// SPDX-License-Identifier: AGPL-3.0-or-later
//! Half-precision weights in panels of 16 output rows: `[rows/16][cols][16]`, little-endian, padded
//! with zeros.

use alloc::vec;
use alloc::vec::Vec;

use half::f16;

use super::{MAX_DIM, PANEL};
use crate::error::KernelError;

/// Bytes of 16 rows' weights of one input.
pub const F16_LINE_BYTES: usize = 2 * PANEL;

/// Half-precision weights owned by this value; see [`F16View`] for borrowed (mapped) ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct F16Matrix {
    rows: usize,
    cols: usize,
    panels: Vec<u8>,
}

/// Half-precision weights `[rows, cols]` over packed bytes that live elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct F16View<'a> {
    rows: usize,
    cols: usize,
    panels: &'a [u8],
}

super::packed!(F16Matrix, F16View, panels, "f16", [MAX_DIM, 1, F16_LINE_BYTES]);

impl F16Matrix {
    /// Packs `[rows, cols]` row-major weights, each rounded to the nearest.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] or [`KernelError::Shape`].
    pub fn pack(rows: usize, cols: usize, weights: &[f32]) -> Result<Self, KernelError> {
        let mut panels = vec![0; F16View::packed_len(rows, cols)?];
        KernelError::check("f16 weights", rows * cols, weights.len())?;
        for (r, row) in weights.chunks_exact(cols).enumerate() {
            let panel = &mut panels[r / PANEL * cols * F16_LINE_BYTES..];
            for (line, &w) in panel.chunks_exact_mut(F16_LINE_BYTES).zip(row) {
                line[2 * (r % PANEL)..][..2].copy_from_slice(&f16::from_f32(w).to_le_bytes());
            }
        }
        Ok(Self { rows, cols, panels })
    }
}

impl<'a> F16View<'a> {
    /// One panel, 16 weights for each input.
    pub(crate) fn panel(&self, index: usize) -> &'a [[u8; F16_LINE_BYTES]] {
        &self.panels.as_chunks().0[index * self.cols..][..self.cols]
    }

    /// The weight of row `r`, input `k`.
    pub fn get(&self, r: usize, k: usize) -> f32 {
        let line = &self.panel(r / PANEL)[k];
        f16::from_le_bytes([line[2 * (r % PANEL)], line[2 * (r % PANEL) + 1]]).to_f32()
    }
}
