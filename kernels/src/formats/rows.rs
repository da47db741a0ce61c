// SPDX-License-Identifier: AGPL-3.0-or-later
//! Activations as int8 rows: a scale, a zero point and a sum per token.

use alloc::vec::Vec;
use core::ops::Range;

use crate::backend::{Kernels, RowQuant};
use crate::error::KernelError;

/// Rows are padded with zeros to a multiple of this, so kernels may read whole tiles.
const ROW_ALIGN: usize = 64;

/// Largest value of 16 bits whose high half stays within int8 when the low half is rounded down.
const WIDE_MAX: f32 = 32639.0;

/// 1.5 · 2^23: what is added to it keeps no fraction.
const ROUND: f32 = 12_582_912.0;

/// A block of activations quantized to int8, row by row; reusable as scratch.
#[derive(Debug, Clone, Default)]
pub struct QuantRows {
    data: Vec<i8>,
    quants: Vec<RowQuant>,
    cols: usize,
    stride: usize,
}

/// Int8 activations `[rows, cols]` as the matmul kernels read them.
#[derive(Debug, Clone, Copy)]
pub struct RowsView<'a> {
    data: &'a [i8],
    quants: &'a [RowQuant],
    cols: usize,
    stride: usize,
}

impl QuantRows {
    /// Empty scratch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Quantizes `[rows, cols]` values per row, symmetrically: absmax to ±127, ties to even, as
    /// BitNet b1.58 does (arXiv:2402.17764, §2).
    ///
    /// # Errors
    /// [`KernelError::Shape`] when `x` is not a whole number of rows, [`KernelError::Dimension`]
    /// for zero columns.
    pub fn quantize(
        &mut self,
        kernels: &dyn Kernels,
        x: &[f32],
        cols: usize,
    ) -> Result<RowsView<'_>, KernelError> {
        self.quantize_with(x, cols, |row, out| kernels.quantize_row(row, out))
    }

    /// Quantizes `[rows, cols]` values per row, each over its own range with a zero point: twice
    /// the resolution where values lie to one side, as behind a layer norm with outliers.
    ///
    /// # Errors
    /// As [`QuantRows::quantize`].
    pub fn quantize_range(
        &mut self,
        kernels: &dyn Kernels,
        x: &[f32],
        cols: usize,
    ) -> Result<RowsView<'_>, KernelError> {
        self.quantize_with(x, cols, |row, out| kernels.quantize_row_range(row, out))
    }

    /// Quantizes `[rows, cols]` values to 16 bits by the row's absolute maximum, as two int8 rows
    /// each: row `2t` holds what is worth 256 steps, row `2t + 1` the rest, so the products of both
    /// add up to that of row `t`. Rounded ties to even; off by at most `absmax / 64000` a value.
    ///
    /// # Errors
    /// As [`QuantRows::quantize`].
    pub fn quantize_wide(&mut self, x: &[f32], cols: usize) -> Result<RowsView<'_>, KernelError> {
        KernelError::dimension("activation columns", super::MAX_DIM, cols)?;
        let rows = x.len() / cols;
        KernelError::check("activations", rows * cols, x.len())?;
        self.reset(2 * rows, cols);
        for (t, row) in x.chunks_exact(cols).enumerate() {
            let absmax = row.iter().fold(0f32, |max, v| if v.abs() > max { v.abs() } else { max });
            // Not even a row of zeros divides by 0, and none overflows.
            let absmax = absmax.clamp(f32::MIN_POSITIVE * 65536.0, f32::MAX);
            let (inverse, scale) = (WIDE_MAX / absmax, absmax / WIDE_MAX);
            let (high, low) = self.data[2 * t * self.stride..].split_at_mut(self.stride);
            let (mut high_sum, mut low_sum) = (0, 0);
            for ((&v, high), low) in row.iter().zip(high).zip(low) {
                // Adding 1.5 * 2^23 leaves the nearest integer in the low bits, ties to even; a NaN
                // becomes some integer.
                let wide =
                    ((v * inverse + ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
                *low = wide as i8;
                *high = ((wide - i32::from(*low)) >> 8) as i8;
                high_sum += i32::from(*high);
                low_sum += i32::from(*low);
            }
            self.quants[2 * t] = RowQuant { scale: scale * 256.0, zero: 0, sum: high_sum };
            self.quants[2 * t + 1] = RowQuant { scale, zero: 0, sum: low_sum };
        }
        Ok(self.view())
    }

    fn quantize_with(
        &mut self,
        x: &[f32],
        cols: usize,
        quantize: impl Fn(&[f32], &mut [i8]) -> RowQuant,
    ) -> Result<RowsView<'_>, KernelError> {
        KernelError::dimension("activation columns", super::MAX_DIM, cols)?;
        let rows = x.len() / cols;
        KernelError::check("activations", rows * cols, x.len())?;
        self.reset(rows, cols);
        for (r, row) in x.chunks_exact(cols).enumerate() {
            let out = &mut self.data[r * self.stride..][..cols];
            self.quants[r] = quantize(row, out);
        }
        Ok(self.view())
    }

    /// Takes rows that are int8 already, with scale 1.
    ///
    /// # Errors
    /// As [`QuantRows::quantize`].
    pub fn from_int8(x: &[i8], cols: usize) -> Result<Self, KernelError> {
        KernelError::dimension("activation columns", super::MAX_DIM, cols)?;
        let rows = x.len() / cols;
        KernelError::check("activations", rows * cols, x.len())?;
        let mut this = Self::default();
        this.reset(rows, cols);
        for (r, row) in x.chunks_exact(cols).enumerate() {
            this.data[r * this.stride..][..cols].copy_from_slice(row);
            let sum = row.iter().map(|&v| i32::from(v)).sum();
            this.quants[r] = RowQuant { scale: 1.0, zero: 0, sum };
        }
        Ok(this)
    }

    /// The borrowed form the kernels take.
    pub fn view(&self) -> RowsView<'_> {
        RowsView { data: &self.data, quants: &self.quants, cols: self.cols, stride: self.stride }
    }

    fn reset(&mut self, rows: usize, cols: usize) {
        let stride = cols.next_multiple_of(ROW_ALIGN);
        if (stride, cols) != (self.stride, self.cols) {
            // The padding of other shapes may hold old values.
            self.data.clear();
        }
        self.data.resize(rows * stride, 0);
        self.quants.resize(rows, RowQuant::default());
        (self.cols, self.stride) = (cols, stride);
    }
}

impl<'a> RowsView<'a> {
    /// Number of rows (tokens).
    pub fn rows(&self) -> usize {
        self.quants.len()
    }

    /// Values per row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Row `t` with its zero padding: a multiple of 64 values, at least `cols`.
    #[inline]
    pub fn padded_row(&self, t: usize) -> &'a [i8] {
        &self.data[t * self.stride..][..self.stride]
    }

    /// The rows of `tokens` with their padding, [`RowsView::padded_row_len`] apart.
    #[inline]
    pub fn padded_rows(&self, tokens: Range<usize>) -> &'a [i8] {
        &self.data[tokens.start * self.stride..tokens.end * self.stride]
    }

    /// Values of a row with its padding.
    #[inline]
    pub fn padded_row_len(&self) -> usize {
        self.stride
    }

    /// What the int8 values of row `t` stand for, and their sum.
    #[inline]
    pub fn quant(&self, t: usize) -> RowQuant {
        self.quants[t]
    }

    /// Whether any row has a zero point.
    pub fn has_zeros(&self) -> bool {
        self.quants.iter().any(|q| q.zero != 0)
    }
}
