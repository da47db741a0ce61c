// SPDX-License-Identifier: AGPL-3.0-or-later
//! Where the sums of a matmul go: exact integers, or floats.
//!
//! Backends compute `Σ code · x`; a sink takes off the zero point and stores, so that the float
//! path never writes its integers to memory.

use crate::backend::Dequant;
use crate::error::KernelError;
use crate::formats::{PANEL, RowsView};

/// Takes 16 sums at a time.
pub(crate) trait Sink {
    /// Stores `Σ code · x` of token `t`, rows `row0..row0 + 16` (fewer at the matrix's edge).
    fn put(&mut self, t: usize, row0: usize, sums: &[i32; PANEL]);
}

/// Stores exact sums.
pub(crate) struct IntSink<'a> {
    x: RowsView<'a>,
    zero: i32,
    rows: usize,
    y: &'a mut [i32],
}

/// Stores scaled floats.
pub(crate) struct FloatSink<'a> {
    x: RowsView<'a>,
    zero: i32,
    rows: usize,
    dequant: Dequant<'a>,
    y: &'a mut [f32],
}

fn check(rows: usize, cols: usize, x: RowsView<'_>, y: usize) -> Result<(), KernelError> {
    KernelError::check("activation columns", cols, x.cols())?;
    KernelError::check("output", x.rows() * rows, y)
}

impl<'a> IntSink<'a> {
    pub(crate) fn new(
        (rows, cols): (usize, usize),
        zero: i32,
        x: RowsView<'a>,
        y: &'a mut [i32],
    ) -> Result<Self, KernelError> {
        check(rows, cols, x, y.len())?;
        Ok(Self { x, zero, rows, y })
    }
}

impl<'a> FloatSink<'a> {
    pub(crate) fn new(
        (rows, cols): (usize, usize),
        zero: i32,
        x: RowsView<'a>,
        dequant: Dequant<'a>,
        y: &'a mut [f32],
    ) -> Result<Self, KernelError> {
        check(rows, cols, x, y.len())?;
        KernelError::check("row scales", rows, dequant.row_scales.len())?;
        let row_sums = dequant.row_sums.map_or(if x.has_zeros() { 0 } else { rows }, <[i32]>::len);
        KernelError::check("row sums", rows, row_sums)?;
        KernelError::check("bias", rows, dequant.bias.map_or(rows, <[f32]>::len))?;
        Ok(Self { x, zero, rows, dequant, y })
    }
}

impl Sink for IntSink<'_> {
    #[inline(always)]
    fn put(&mut self, t: usize, row0: usize, sums: &[i32; PANEL]) {
        let correction = self.zero.wrapping_mul(self.x.quant(t).sum);
        let width = PANEL.min(self.rows - row0);
        let out = &mut self.y[t * self.rows + row0..][..width];
        for (o, s) in out.iter_mut().zip(sums) {
            *o = s.wrapping_sub(correction);
        }
    }
}

impl Sink for FloatSink<'_> {
    #[inline(always)]
    fn put(&mut self, t: usize, row0: usize, sums: &[i32; PANEL]) {
        let correction = self.zero.wrapping_mul(self.x.quant(t).sum);
        let quant = self.x.quant(t);
        let width = PANEL.min(self.rows - row0);
        let out = &mut self.y[t * self.rows + row0..][..width];
        let scales = &self.dequant.row_scales[row0..][..width];
        let value = |i: usize, row_sum: i32| {
            let sum = sums[i].wrapping_sub(correction);
            sum.wrapping_sub(quant.zero.wrapping_mul(row_sum)) as f32 * (scales[i] * quant.scale)
        };
        match (self.dequant.bias, self.dequant.row_sums, width) {
            // The full panel, with a length the compiler knows.
            (Some(bias), Some(row_sums), PANEL) => {
                let out = &mut out[..PANEL];
                let (bias, row_sums) = (&bias[row0..][..PANEL], &row_sums[row0..][..PANEL]);
                for i in 0..PANEL {
                    out[i] = value(i, row_sums[i]) + bias[i];
                }
            }
            (bias, row_sums, _) => {
                for (i, o) in out.iter_mut().enumerate() {
                    let row_sum = row_sums.map_or(0, |s| s[row0 + i]);
                    *o = value(i, row_sum) + bias.map_or(0.0, |b| b[row0 + i]);
                }
            }
        }
    }
}
