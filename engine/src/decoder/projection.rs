// SPDX-License-Identifier: AGPL-3.0-or-later
//! Linear layers of decoders: packed weights as the file holds them, shared out by rows.

use std::ops::Range;

use bho_kernels::{
    DenseTernaryView, Dequant, F32Matrix, Int8View, Kernels, PANEL, QuantRows, TernaryView,
};

use super::norm::RmsNorm;
use crate::error::EngineError;
use crate::storage::WeightBytes;

/// `y = W · x + b`, with an RMSNorm of its own before it where the model has one.
#[derive(Debug, Clone)]
pub struct Projection {
    rows: usize,
    cols: usize,
    weights: Packed,
    /// `[rows]`: what one step of the weights is worth.
    scales: Vec<f32>,
    bias: Option<Vec<f32>>,
    activations: Activations,
    input_norm: Option<RmsNorm>,
}

/// Weights as kernels read them.
#[derive(Debug, Clone)]
pub enum Packed {
    /// As [`TernaryView`].
    Ternary(WeightBytes),
    /// As [`DenseTernaryView`].
    TernaryDense(WeightBytes),
    /// As [`Int8View`].
    Int8(WeightBytes),
    /// Floats, packed in memory.
    Float(F32Matrix),
}

/// How the inputs of a layer are rounded before integer products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activations {
    /// To int8 by the row's absolute maximum: what BitNet b1.58 was trained with
    /// (arXiv:2402.17764, §2).
    Int8,
    /// To 16 bits by the row's absolute maximum, finer than the half precision that other models
    /// were trained with; multiplied as two int8 rows in one pass over the weights.
    Int16,
    /// Not at all: float weights.
    Float,
}

/// Inputs prepared for projections that take them alike.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    float: Vec<f32>,
    quant: QuantRows,
    /// Sums of the halves of 16-bit inputs.
    halves: Vec<f32>,
    rows: usize,
}

impl Projection {
    /// A layer of `(rows, cols)` weights.
    ///
    /// - `scales`, `bias`: `[rows]`; scales of float weights are not used and may be empty
    ///
    /// # Errors
    /// [`EngineError::Kernel`] when sizes do not fit, or ternary weights hold the unused code.
    pub fn new(
        (rows, cols): (usize, usize),
        weights: Packed,
        scales: Vec<f32>,
        bias: Option<Vec<f32>>,
        activations: Activations,
    ) -> Result<Self, EngineError> {
        let check = |what, found| match found == rows {
            true => Ok(()),
            false => Err(bho_kernels::KernelError::Shape { what, expected: rows, found }),
        };
        match &weights {
            Packed::Ternary(bytes) => {
                TernaryView::new(rows, cols, bytes.as_bytes())?;
            }
            Packed::TernaryDense(bytes) => {
                DenseTernaryView::new(rows, cols, bytes.as_bytes())?;
            }
            Packed::Int8(bytes) => {
                Int8View::new(rows, cols, bytes.as_bytes())?;
            }
            Packed::Float(matrix) => {
                check("float weights", matrix.view().rows())?;
                let found = matrix.view().cols();
                if found != cols {
                    let what = "float weights";
                    return Err(
                        bho_kernels::KernelError::Shape { what, expected: cols, found }.into()
                    );
                }
            }
        }
        let activations = match weights {
            Packed::Float(_) => Activations::Float,
            _ => {
                check("weight scales", scales.len())?;
                activations
            }
        };
        check("bias", bias.as_ref().map_or(rows, Vec::len))?;
        Ok(Self { rows, cols, weights, scales, bias, activations, input_norm: None })
    }

    /// The same layer with a norm before it.
    ///
    /// # Errors
    /// [`EngineError::Kernel`] when the norm is of another length.
    pub fn with_input_norm(mut self, norm: RmsNorm) -> Result<Self, EngineError> {
        if norm.dim() != self.cols {
            let (expected, found) = (self.cols, norm.dim());
            return Err(
                bho_kernels::KernelError::Shape { what: "input norm", expected, found }.into()
            );
        }
        self.input_norm = Some(norm);
        Ok(self)
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes of weights and scales: what a token reads.
    pub fn bytes(&self) -> usize {
        let vectors = self.scales.len() + self.bias.as_ref().map_or(0, Vec::len);
        vectors * 4
            + match &self.weights {
                Packed::Ternary(bytes) | Packed::TernaryDense(bytes) | Packed::Int8(bytes) => {
                    bytes.len()
                }
                Packed::Float(matrix) => matrix.bytes(),
            }
    }

    /// The packed weights where they are; none for floats.
    pub fn packed(&self) -> Option<&WeightBytes> {
        match &self.weights {
            Packed::Ternary(bytes) | Packed::TernaryDense(bytes) | Packed::Int8(bytes) => {
                Some(bytes)
            }
            Packed::Float(_) => None,
        }
    }

    /// `ternary`, `ternary_dense`, `int8` or `f32`.
    pub fn precision(&self) -> &'static str {
        match self.weights {
            Packed::Ternary(_) => "ternary",
            Packed::TernaryDense(_) => "ternary_dense",
            Packed::Int8(_) => "int8",
            Packed::Float(_) => "f32",
        }
    }

    /// Whether inputs prepared for `other` are those of this layer.
    fn takes_the_inputs_of(&self, other: &Self) -> bool {
        self.input_norm.is_none()
            && other.input_norm.is_none()
            && (self.cols, self.activations) == (other.cols, other.activations)
    }

    /// Row `r` of the weights as floats, for embedding tables that share the head's weights.
    pub(super) fn row(&self, r: usize, out: &mut [f32]) {
        let scale = self.scales.get(r).copied().unwrap_or(1.0);
        // Views were checked when the layer was made.
        match &self.weights {
            Packed::Ternary(bytes) => {
                let view = TernaryView::new(self.rows, self.cols, bytes.as_bytes());
                let view = view.expect("checked");
                (0..self.cols).for_each(|k| out[k] = scale * f32::from(view.get(r, k)));
            }
            Packed::TernaryDense(bytes) => {
                let view = DenseTernaryView::new(self.rows, self.cols, bytes.as_bytes());
                let view = view.expect("checked");
                (0..self.cols).for_each(|k| out[k] = scale * f32::from(view.get(r, k)));
            }
            Packed::Int8(bytes) => {
                let view = Int8View::new(self.rows, self.cols, bytes.as_bytes()).expect("checked");
                (0..self.cols).for_each(|k| out[k] = scale * f32::from(view.get(r, k)));
            }
            Packed::Float(matrix) => {
                let panel = matrix.view().panel(r / PANEL);
                (0..self.cols).for_each(|k| out[k] = panel[k * PANEL + r % PANEL]);
            }
        }
    }

    /// The rows of worker `index` of `count`: whole panels, as even as they can be.
    pub(super) fn share(&self, index: usize, count: usize) -> Range<usize> {
        share(self.rows, index, count)
    }

    /// Prepares `x` (`[rows, cols]`) for this layer, unless it is prepared already for `last`.
    pub(super) fn prepare(
        &self,
        kernels: &dyn Kernels,
        last: Option<&Self>,
        x: &[f32],
        inputs: &mut Inputs,
    ) -> Result<(), EngineError> {
        if last.is_some_and(|last| self.takes_the_inputs_of(last)) {
            return Ok(());
        }
        inputs.rows = x.len() / self.cols;
        let Inputs { float, quant, .. } = inputs;
        let copied = self.input_norm.is_some() || self.activations == Activations::Float;
        if copied {
            float.clear();
            float.extend_from_slice(x);
        }
        if let Some(norm) = &self.input_norm {
            norm.apply(kernels, float);
        }
        let x = if copied { float } else { x };
        match self.activations {
            Activations::Int8 => _ = quant.quantize(kernels, x, self.cols)?,
            Activations::Int16 => _ = quant.quantize_wide(x, self.cols)?,
            Activations::Float => {}
        }
        Ok(())
    }

    /// `y = W[part] · x + b[part]`, `y`: `[inputs, part]`, `part` beginning at a panel.
    pub(super) fn forward(
        &self,
        kernels: &dyn Kernels,
        inputs: &mut Inputs,
        part: Range<usize>,
        y: &mut [f32],
    ) -> Result<(), EngineError> {
        if part.is_empty() {
            return Ok(());
        }
        let wide = self.activations == Activations::Int16;
        let Inputs { float, quant, halves, rows } = inputs;
        if wide {
            halves.clear();
            halves.resize(2 * *rows * part.len(), 0.0);
        }
        let bias = self.bias.as_ref().map(|bias| &bias[part.clone()]);
        let row_scales = match self.weights {
            Packed::Float(_) => &[],
            _ => &self.scales[part.clone()],
        };
        // With two rows an input, the bias would be added twice.
        let dequant = Dequant { row_scales, row_sums: None, bias: if wide { None } else { bias } };
        let out = if wide { &mut halves[..] } else { &mut *y };
        let shape = (part.len(), self.cols);
        match &self.weights {
            Packed::Ternary(bytes) => {
                let bytes = panels(bytes, &part, TernaryView::packed_len(PANEL, self.cols)?);
                let w = TernaryView::new(shape.0, shape.1, bytes)?;
                kernels.ternary_linear(w, quant.view(), dequant, out)?;
            }
            Packed::TernaryDense(bytes) => {
                let bytes = panels(bytes, &part, DenseTernaryView::packed_len(PANEL, self.cols)?);
                let w = DenseTernaryView::new(shape.0, shape.1, bytes)?;
                kernels.ternary_dense_linear(w, quant.view(), dequant, out)?;
            }
            Packed::Int8(bytes) => {
                let bytes = panels(bytes, &part, Int8View::packed_len(PANEL, self.cols)?);
                let w = Int8View::new(shape.0, shape.1, bytes)?;
                kernels.int8_linear(w, quant.view(), dequant, out)?;
            }
            Packed::Float(matrix) => {
                kernels.f32_linear(matrix.view().part(part), bias, float, out)?;
            }
        }
        if wide {
            let pairs = halves.chunks_exact(2 * shape.0).zip(y.chunks_exact_mut(shape.0));
            for (pair, y) in pairs {
                let (high, low) = pair.split_at(shape.0);
                for (r, y) in y.iter_mut().enumerate() {
                    *y = high[r] + low[r] + bias.map_or(0.0, |bias| bias[r]);
                }
            }
        }
        Ok(())
    }
}

/// Rows of part `index` of `count`: whole panels, as even as they can be.
fn share(rows: usize, index: usize, count: usize) -> Range<usize> {
    let panels = rows.div_ceil(PANEL);
    let edge = |i: usize| (panels * i / count * PANEL).min(rows);
    edge(index)..edge(index + 1)
}

/// The bytes of the panels that hold `rows`.
fn panels<'a>(bytes: &'a WeightBytes, rows: &Range<usize>, panel_bytes: usize) -> &'a [u8] {
    &bytes.as_bytes()[rows.start / PANEL * panel_bytes..rows.end.div_ceil(PANEL) * panel_bytes]
}
