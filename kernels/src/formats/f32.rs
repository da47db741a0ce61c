// SPDX-License-Identifier: AGPL-3.0-or-later
//! Float weights in panels of 16 output rows, for the parity path and small heads.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::{MAX_DIM, PANEL};
use crate::error::KernelError;

/// Float weights owned by this value, packed as `[rows/16][cols][16]`, padded with zeros.
#[derive(Debug, Clone, PartialEq)]
pub struct F32Matrix {
    rows: usize,
    cols: usize,
    panels: Vec<f32>,
}

/// Borrowed form of [`F32Matrix`].
#[derive(Debug, Clone, Copy)]
pub struct F32View<'a> {
    rows: usize,
    cols: usize,
    panels: &'a [f32],
}

impl F32Matrix {
    /// Packs `[rows, cols]` row-major weights.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] or [`KernelError::Shape`].
    pub fn pack(rows: usize, cols: usize, weights: &[f32]) -> Result<Self, KernelError> {
        KernelError::dimension("f32 rows", MAX_DIM, rows)?;
        KernelError::dimension("f32 columns", MAX_DIM, cols)?;
        let size = |r: usize| r.checked_mul(cols);
        let (Some(len), Some(padded)) = (size(rows), size(rows.next_multiple_of(PANEL))) else {
            return Err(KernelError::Dimension { what: "f32 size", max: usize::MAX, found: rows });
        };
        KernelError::check("f32 weights", len, weights.len())?;
        let mut panels = vec![0f32; padded];
        for (r, row) in weights.chunks_exact(cols).enumerate() {
            let panel = &mut panels[r / PANEL * PANEL * cols..];
            for (k, &w) in row.iter().enumerate() {
                panel[k * PANEL + r % PANEL] = w;
            }
        }
        Ok(Self { rows, cols, panels })
    }

    /// The borrowed form the kernels take.
    pub fn view(&self) -> F32View<'_> {
        F32View { rows: self.rows, cols: self.cols, panels: &self.panels }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.panels.len() * size_of::<f32>()
    }
}

impl<'a> F32View<'a> {
    /// Output rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Some of the rows, from the beginning of a panel on.
    ///
    /// # Panics
    /// When `rows` does not begin at a panel, is empty or reaches past the end.
    pub fn part(&self, rows: Range<usize>) -> Self {
        assert!(rows.start.is_multiple_of(PANEL) && !rows.is_empty() && rows.end <= self.rows);
        let panels = rows.start / PANEL..rows.end.div_ceil(PANEL);
        let len = PANEL * self.cols;
        let panels = &self.panels[panels.start * len..panels.end * len];
        Self { rows: rows.len(), cols: self.cols, panels }
    }

    /// Panels of 16 rows, the last one possibly padded.
    pub fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL)
    }

    /// One panel, `[cols, 16]`.
    pub fn panel(&self, index: usize) -> &'a [f32] {
        let len = PANEL * self.cols;
        &self.panels[index * len..][..len]
    }
}
