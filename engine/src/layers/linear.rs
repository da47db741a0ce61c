// SPDX-License-Identifier: AGPL-3.0-or-later
//! Linear layers: int8 weights as the file holds them, or float weights.

use bho_kernels::{Dequant, F32Matrix, Int8View, Kernels, QuantRows};

use crate::error::EngineError;
use crate::storage::WeightBytes;

/// `y = W · x + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    rows: usize,
    cols: usize,
    weights: Weights,
    bias: Option<Vec<f32>>,
}

#[derive(Debug, Clone)]
enum Weights {
    /// Packed as [`Int8View`], with the scale and the sum of each row.
    Int8 {
        bytes: WeightBytes,
        scales: Vec<f32>,
        sums: Vec<i32>,
    },
    Float(F32Matrix),
}

/// Rows of activations, quantized once for all int8 layers that read them.
pub struct Rows<'a> {
    float: &'a [f32],
    quant: &'a QuantRows,
}

impl<'a> Rows<'a> {
    /// Prepares `x` (`[rows, cols]`) for `layer` and others of the same kind.
    ///
    /// # Errors
    /// When `x` is not a whole number of rows.
    pub fn new(
        kernels: &dyn Kernels,
        layer: &Linear,
        x: &'a [f32],
        scratch: &'a mut QuantRows,
    ) -> Result<Self, EngineError> {
        if matches!(layer.weights, Weights::Int8 { .. }) {
            scratch.quantize_range(kernels, x, layer.cols)?;
        }
        Ok(Self { float: x, quant: scratch })
    }
}

impl Linear {
    /// A layer over packed int8 weights.
    ///
    /// - `bytes`: [`Int8View`]'s packing of `[rows, cols]`; `scales`, `bias`: `[rows]`
    ///
    /// # Errors
    /// [`EngineError::Kernel`] when the sizes do not fit.
    pub fn int8(
        (rows, cols): (usize, usize),
        bytes: WeightBytes,
        scales: Vec<f32>,
        bias: Option<Vec<f32>>,
    ) -> Result<Self, EngineError> {
        let sums = Int8View::new(rows, cols, bytes.as_bytes())?.row_sums();
        Self::check(rows, "weight scales", scales.len())?;
        Self::check(rows, "bias", bias.as_ref().map_or(rows, Vec::len))?;
        Ok(Self { rows, cols, weights: Weights::Int8 { bytes, scales, sums }, bias })
    }

    /// A layer over float weights, `[rows, cols]` row-major.
    ///
    /// # Errors
    /// [`EngineError::Kernel`] when the sizes do not fit.
    pub fn float(
        (rows, cols): (usize, usize),
        weights: &[f32],
        bias: Option<Vec<f32>>,
    ) -> Result<Self, EngineError> {
        Self::check(rows, "bias", bias.as_ref().map_or(rows, Vec::len))?;
        let weights = Weights::Float(F32Matrix::pack(rows, cols, weights)?);
        Ok(Self { rows, cols, weights, bias })
    }

    fn check(rows: usize, what: &'static str, found: usize) -> Result<(), EngineError> {
        if found == rows {
            Ok(())
        } else {
            Err(bho_kernels::KernelError::Shape { what, expected: rows, found }.into())
        }
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// `int8` or `f32`.
    pub fn precision(&self) -> &'static str {
        match self.weights {
            Weights::Int8 { .. } => "int8",
            Weights::Float(_) => "f32",
        }
    }

    /// Bytes of weights, scales and bias.
    pub fn bytes(&self) -> usize {
        let bias = self.bias.as_ref().map_or(0, |b| b.len() * 4);
        bias + match &self.weights {
            Weights::Int8 { bytes, scales, sums } => bytes.len() + (scales.len() + sums.len()) * 4,
            Weights::Float(matrix) => matrix.bytes(),
        }
    }

    /// Computes `y` (`[rows of x, rows]`) from rows prepared for a layer of the same kind.
    ///
    /// # Errors
    /// [`EngineError::Kernel`] when the sizes do not fit.
    pub fn forward(
        &self,
        kernels: &dyn Kernels,
        x: &Rows<'_>,
        y: &mut [f32],
    ) -> Result<(), EngineError> {
        let bias = self.bias.as_deref();
        match &self.weights {
            Weights::Int8 { bytes, scales, sums } => {
                let w = Int8View::new(self.rows, self.cols, bytes.as_bytes())?;
                let dequant = Dequant { row_scales: scales, row_sums: Some(sums), bias };
                kernels.int8_linear(w, x.quant.view(), dequant, y)?;
            }
            Weights::Float(matrix) => kernels.f32_linear(matrix.view(), bias, x.float, y)?,
        }
        Ok(())
    }
}
