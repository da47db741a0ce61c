// SPDX-License-Identifier: AGPL-3.0-or-later
//! Where the sums of a matmul go: exact integers, or floats.
//!
//! Backends compute `Σ code · x`; a sink takes off the zero point and stores, so that the float
//! path never writes its integers to memory.

use crate::backend::Dequant;
use crate::error::KernelError;
use crate::formats::{PANEL, RowsView};

/// Takes 16 sums of one or more tokens at a time.
pub(crate) trait Sink {
    /// Stores `Σ code · x` of token `t`, rows `row0..row0 + 16` (fewer at the matrix's edge).
    #[inline(always)]
    fn put(&mut self, t: usize, row0: usize, sums: &[i32; PANEL]) {
        self.put_tokens(t, row0, core::array::from_ref(sums));
    }

    /// [`Sink::put`] for tokens `t..t + T`: what belongs to the rows is read once.
    fn put_tokens<const T: usize>(&mut self, t: usize, row0: usize, sums: &[[i32; PANEL]; T]);
}

/// A sink that also takes the sums of a matrix which is some of its rows.
pub(crate) trait SplitSink: Sink {
    /// The same sink, for as long as it is lent.
    type Part<'a>: Sink
    where
        Self: 'a;

    /// Row 0 of what it returns is row `row` of this one.
    fn rows_from(&mut self, row: usize) -> Self::Part<'_>;
}

/// Stores exact sums.
pub(crate) struct IntSink<'a> {
    x: RowsView<'a>,
    zero: i32,
    rows: usize,
    first_row: usize,
    y: &'a mut [i32],
}

/// Stores scaled floats.
pub(crate) struct FloatSink<'a> {
    x: RowsView<'a>,
    zero: i32,
    rows: usize,
    first_row: usize,
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
        Ok(Self { x, zero, rows, first_row: 0, y })
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
        Ok(Self { x, zero, rows, first_row: 0, dequant, y })
    }
}

impl SplitSink for IntSink<'_> {
    type Part<'a>
        = IntSink<'a>
    where
        Self: 'a;

    fn rows_from(&mut self, row: usize) -> IntSink<'_> {
        IntSink { first_row: self.first_row + row, y: self.y, ..*self }
    }
}

impl Sink for IntSink<'_> {
    #[inline(always)]
    fn put_tokens<const T: usize>(&mut self, t: usize, row0: usize, sums: &[[i32; PANEL]; T]) {
        let row0 = self.first_row + row0;
        for (i, sums) in sums.iter().enumerate() {
            let correction = self.zero.wrapping_mul(self.x.quant(t + i).sum);
            let sums = core::array::from_fn(|lane| sums[lane].wrapping_sub(correction));
            store(&mut self.y[(t + i) * self.rows..][..self.rows][row0..], &sums);
        }
    }
}

impl SplitSink for FloatSink<'_> {
    type Part<'a>
        = FloatSink<'a>
    where
        Self: 'a;

    fn rows_from(&mut self, row: usize) -> FloatSink<'_> {
        FloatSink { first_row: self.first_row + row, y: self.y, ..*self }
    }
}

impl Sink for FloatSink<'_> {
    #[inline(always)]
    fn put_tokens<const T: usize>(&mut self, t: usize, row0: usize, sums: &[[i32; PANEL]; T]) {
        let row0 = self.first_row + row0;
        let Dequant { row_scales, row_sums, bias } = self.dequant;
        // Whole panels have a length the compiler knows; the matrix's edge is padded with zeros.
        let lanes = |values: &[f32]| edge(&values[row0..], 0.0);
        let scales = lanes(row_scales);
        let row_sums = row_sums.map_or([0; PANEL], |s| edge(&s[row0..], 0));
        let bias = bias.map_or([0.0; PANEL], lanes);
        for (i, sums) in sums.iter().enumerate() {
            let quant = self.x.quant(t + i);
            let correction = self.zero.wrapping_mul(quant.sum);
            let y: [f32; PANEL] = core::array::from_fn(|lane| {
                let sum = sums[lane].wrapping_sub(correction);
                let sum = sum.wrapping_sub(quant.zero.wrapping_mul(row_sums[lane]));
                sum as f32 * (scales[lane] * quant.scale) + bias[lane]
            });
            store(&mut self.y[(t + i) * self.rows..][..self.rows][row0..], &y);
        }
    }
}

/// Writes 16 values, or as many as the matrix has rows left.
#[inline(always)]
fn store<T: Copy>(out: &mut [T], values: &[T; PANEL]) {
    match out.first_chunk_mut::<PANEL>() {
        Some(out) => *out = *values,
        None => out.copy_from_slice(&values[..out.len()]),
    }
}

/// The first 16 values, or fewer with padding.
#[inline(always)]
fn edge<T: Copy>(values: &[T], padding: T) -> [T; PANEL] {
    match values.first_chunk::<PANEL>() {
        Some(lanes) => *lanes,
        None => {
            let mut lanes = [padding; PANEL];
            lanes[..values.len()].copy_from_slice(values);
            lanes
        }
    }
}
