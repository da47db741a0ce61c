// SPDX-License-Identifier: AGPL-3.0-or-later
//! The numbers of a conversion: rows of floats in, packed weights, scales and what rounding cost out.
//!
//! Rows stream: a panel of them is in memory, and pages of the source are given back as they are
//! done with.

use bho_engine::CancelToken;
use bho_kernels::{
    DenseTernaryMatrix, F16Matrix, ImportError, Int4Matrix, Int8Matrix, PANEL, TernaryMatrix,
    TernaryView,
};
use half::{bf16, f16};

use super::names::Stored;
use super::spec::MatrixSpec;
use crate::convert::{AbsMean, Rounding};
use crate::error::ModelError;
use crate::source::{PackedScale, Source};
use crate::weights::{TensorPlan, Writer};

/// One linear layer of the result.
pub(super) struct Layer {
    pub(super) matrix: MatrixSpec,
    /// Name of the source's tensor.
    pub(super) source: String,
    pub(super) stored: Stored,
    pub(super) how: How,
    /// Of [`How::Columns`]: what a weight of +1 is worth in each column, the layer before included.
    pub(super) columns: Vec<f32>,
    /// What the scales of rows are multiplied by for the sake of the next layer's columns; empty
    /// where there is nothing to multiply by.
    pub(super) row_factors: Vec<f32>,
}

/// Where the numbers of a layer come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum How {
    /// Packed in the source.
    Packed(Option<PackedScale>),
    /// Floats rounded to what a weight of +1 is worth, their absolute mean.
    AbsMean(f32),
    /// The same by row.
    RowAbsMean,
    /// Floats, each row of which has three values.
    ThreeValues,
    /// Floats, each column of which has three values: their signs, times this. The rest is in the
    /// scales of the layer before.
    Columns(f32),
    /// Floats rounded to int8 by each row's maximum.
    RowMax,
    /// Floats rounded to 4 bits in groups.
    Groups,
    /// Floats rounded to half precision.
    Halves,
    /// Floats as they are.
    Floats,
}

/// Rows of floats read at a time.
const ROWS: usize = PANEL;

/// Bytes of floats that are read before the pages they came from are given back.
const RELEASE: usize = 32 << 20;

/// Calls `f` with the rows of a matrix, [`ROWS`] at a time, and gives their pages back as it goes.
fn for_each_rows(
    source: &dyn Source,
    tensor: &str,
    (rows, cols): (usize, usize),
    mut f: impl FnMut(&[f32]) -> Result<bool, ModelError>,
) -> Result<(), ModelError> {
    let (mut values, mut held) = (Vec::new(), 0);
    for start in (0..rows).step_by(ROWS) {
        values.clear();
        let end = rows.min(start + ROWS);
        source.floats(tensor, cols, start..end, &mut values)?;
        if !f(&values)? {
            break;
        }
        held += values.len() * 4;
        if held >= RELEASE {
            source.release(tensor, end);
            held = 0;
        }
    }
    source.release(tensor, rows);
    Ok(())
}

/// What a weight of +1 is worth in the whole matrix.
pub(super) fn abs_mean(
    tensor: &str,
    (rows, cols): (usize, usize),
    source: &dyn Source,
) -> Result<f32, ModelError> {
    let mut mean = AbsMean::default();
    for_each_rows(source, tensor, (rows, cols), |values| {
        mean.add(values);
        Ok(true)
    })?;
    Ok(mean.step().scale)
}

/// Whether each row's values are `-s`, 0 and `s`.
pub(super) fn three_values(
    tensor: &str,
    (rows, cols): (usize, usize),
    source: &dyn Source,
) -> Result<bool, ModelError> {
    let mut all = true;
    for_each_rows(source, tensor, (rows, cols), |values| {
        all = values.chunks_exact(cols).all(|row| {
            let step = step(row);
            row.iter().all(|v| *v == 0.0 || v.abs() == step)
        });
        Ok(all)
    })?;
    Ok(all)
}

/// The magnitude of a row's first value other than 0.
fn step(row: &[f32]) -> f32 {
    row.iter().map(|v| v.abs()).find(|v| *v > 0.0).unwrap_or(0.0)
}

/// `[cols]`: the `s` of each column whose values are `-s`, 0 and `s`, 0 for a column of zeros; none
/// where a column has other values.
pub(super) fn column_scales(
    tensor: &str,
    (rows, cols): (usize, usize),
    source: &dyn Source,
    cancel: &CancelToken,
) -> Result<Option<Vec<f32>>, ModelError> {
    let (mut scales, mut all) = (vec![0f32; cols], true);
    for_each_rows(source, tensor, (rows, cols), |values| {
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        all = values.chunks_exact(cols).all(|row| {
            row.iter().zip(&mut scales).all(|(v, scale)| {
                let size = v.abs();
                if *scale == 0.0 {
                    *scale = size;
                }
                size == 0.0 || size == *scale
            })
        });
        Ok(all)
    })?;
    Ok(all.then_some(scales))
}

/// Writes the weights of a layer, and returns its scales and what rounding did to it.
pub(super) fn write_layer(
    layer: &Layer,
    source: &dyn Source,
    writer: &mut Writer,
    cancel: &CancelToken,
) -> Result<(Vec<f32>, Option<Rounding>), ModelError> {
    let Layer { matrix: MatrixSpec { rows, cols, .. }, source: tensor, stored, how, .. } = layer;
    let (rows, cols, how) = (*rows, *cols, *how);
    let bad = |e: &dyn std::fmt::Display| source.error(tensor, e.to_string());
    let (mut scales, mut error) = (Vec::with_capacity(rows), Rounding::default());
    if let How::Packed(scale) = how {
        let packed = source
            .ternary(tensor, (rows, cols), scale)?
            .ok_or_else(|| source.error(tensor, "is no longer packed".into()))?;
        packed
            .for_each_panel(|panel| {
                scales.extend_from_slice(panel.row_scales);
                let rows = panel.row_scales.len();
                let write = |writer: &mut Writer| match stored {
                    Stored::TernaryDense => {
                        let tiles =
                            TernaryView::new(rows, cols, panel.tiles).map_err(|e| bad(&e))?;
                        let dense = DenseTernaryMatrix::from_ternary(tiles).map_err(|e| bad(&e))?;
                        writer.data(dense.as_bytes())
                    }
                    _ => writer.data(panel.tiles),
                };
                write(writer).map_err(PanelError::Model)
            })
            .map_err(|e| match e {
                PanelError::Model(e) => e,
                PanelError::Import(e) => bad(&e),
            })?;
        source.release(tensor, rows);
        return Ok((scales, None));
    }
    let mut codes = Vec::new();
    for_each_rows(source, tensor, (rows, cols), |values| {
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        let begin = scales.len();
        let count = values.len() / cols;
        codes.clear();
        let packed = match how {
            How::Floats => {
                writer.data(&f32_bytes(values))?;
                error.add(values, values.iter().copied());
                return Ok(true);
            }
            How::Groups => {
                let packed = Int4Matrix::quantize(count, cols, values).map_err(|e| bad(&e))?;
                let back = (0..values.len()).map(|i| packed.view().get(i / cols, i % cols));
                error.add(values, back);
                writer.data(packed.as_bytes())?;
                return Ok(true);
            }
            How::Halves => {
                let packed = F16Matrix::pack(count, cols, values).map_err(|e| bad(&e))?;
                let back = (0..values.len()).map(|i| packed.view().get(i / cols, i % cols));
                error.add(values, back);
                writer.data(packed.as_bytes())?;
                return Ok(true);
            }
            How::RowMax => {
                let (packed, steps) =
                    Int8Matrix::quantize(count, cols, values).map_err(|e| bad(&e))?;
                codes = packed.view().unpack();
                scales.extend(steps);
                packed.as_bytes().to_vec()
            }
            How::AbsMean(_)
            | How::RowAbsMean
            | How::ThreeValues
            | How::Columns(_)
            | How::Packed(_) => {
                for row in values.chunks_exact(cols) {
                    let step = match how {
                        How::AbsMean(step) | How::Columns(step) => step,
                        How::RowAbsMean => AbsMean::of(row).step().scale,
                        _ => step(row),
                    };
                    // What weights are multiplied by, as the reference has it.
                    let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
                    let code = |v: &f32| match how {
                        // Some columns are worth less than half a step.
                        How::Columns(_) => i8::from(*v > 0.0) - i8::from(*v < 0.0),
                        _ => (v * inverse).round_ties_even().clamp(-1.0, 1.0) as i8,
                    };
                    codes.extend(row.iter().map(code));
                    scales.push(step);
                }
                match stored {
                    Stored::TernaryDense => {
                        let packed = DenseTernaryMatrix::pack(count, cols, &codes);
                        packed.map_err(|e| bad(&e))?.as_bytes().to_vec()
                    }
                    _ => {
                        let packed = TernaryMatrix::pack(count, cols, &codes);
                        packed.map_err(|e| bad(&e))?.as_bytes().to_vec()
                    }
                }
            }
        };
        if let How::Columns(_) = how {
            let worth = codes.iter().zip(layer.columns.iter().cycle());
            error.add(values, worth.map(|(&code, scale)| scale * f32::from(code)));
        } else {
            error.add_rows(values, &codes, &scales[begin..]);
        }
        writer.data(&packed)?;
        Ok(true)
    })?;
    // Behind the reports, which are about the matrix as it was.
    for (scale, factor) in scales.iter_mut().zip(&layer.row_factors) {
        *scale *= factor;
    }
    Ok((scales, Some(error)))
}

/// What can go wrong while packed weights are turned into tiles.
enum PanelError {
    Model(ModelError),
    Import(ImportError),
}

impl From<ImportError> for PanelError {
    fn from(error: ImportError) -> Self {
        Self::Import(error)
    }
}

/// Writes the embedding table, and returns what rounding did to it; scales of int8 rows go to
/// `scales`.
pub(super) fn write_table(
    source: &dyn Source,
    plan: &TensorPlan,
    writer: &mut Writer,
    scales: &mut Vec<f32>,
    cancel: &CancelToken,
) -> Result<Rounding, ModelError> {
    let shape = (plan.shape[0], plan.shape[1]);
    let mut error = Rounding::default();
    let too_large = || {
        let message = "has values that half precision cannot hold; keep the table as it is";
        source.error(&plan.name, message.into())
    };
    for_each_rows(source, &plan.name, shape, |values| {
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        match plan.dtype {
            "I8" => {
                let rows = values.len() / shape.1;
                let (packed, steps) = Int8Matrix::quantize(rows, shape.1, values)
                    .map_err(|e| source.error(&plan.name, e.to_string()))?;
                let codes = packed.view().unpack();
                error.add_rows(values, &codes, &steps);
                writer.data(&bytes_of(&codes, i8::to_le_bytes))?;
                scales.extend(steps);
            }
            "F16" => {
                let back = values.iter().map(|&v| f16::from_f32(v).to_f32());
                if back.clone().any(f32::is_infinite) {
                    return Err(too_large());
                }
                error.add(values, back);
                writer.data(&bytes_of(values, |v| f16::from_f32(v).to_le_bytes()))?;
            }
            "BF16" => {
                error.add(values, values.iter().map(|&v| bf16::from_f32(v).to_f32()));
                writer.data(&bytes_of(values, |v| bf16::from_f32(v).to_le_bytes()))?;
            }
            _ => {
                error.add(values, values.iter().copied());
                writer.data(&f32_bytes(values))?;
            }
        }
        Ok(true)
    })?;
    Ok(error)
}

fn bytes_of<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&v| bytes(v)).collect()
}

pub(super) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    bytes_of(values, f32::to_le_bytes)
}
