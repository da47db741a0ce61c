// SPDX-License-Identifier: AGPL-3.0-or-later
//! Linear layers: ternary or int8 weights as the file holds them, or float weights.

use bho_kernels::{Dequant, F32Matrix, Int8View, Kernels, QuantRows, TernaryView};

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
    /// As [`TernaryView`].
    Ternary(Packed),
    /// As [`Int8View`].
    Int8(Packed),
    Float(F32Matrix),
}

/// Integer weights as kernels read them.
#[derive(Debug, Clone)]
struct Packed {
    bytes: WeightBytes,
    /// What one step of each row is worth.
    scales: Vec<f32>,
    /// Sum of each row's weights: what the zero points of activations are multiplied by.
    sums: Vec<i32>,
}

/// Rows of activations, quantized once for all ternary and int8 layers that read them: to int8 over
/// each row's own range, with a zero point.
///
/// BitNet b1.58 quantizes by the absolute maximum (arXiv:2402.17764, §2). The range of a row is at most
/// twice that, so a step is never longer here and, where values lie to one side (behind GELU), about half
/// as long; the zero point costs one product for each sum.
pub struct Rows<'a> {
    float: &'a [f32],
    quant: &'a QuantRows,
}

impl<'a> Rows<'a> {
    /// Prepares `x` (`[rows, cols]`) for `layers`, which have as many inputs each.
    ///
    /// # Errors
    /// When `x` is not a whole number of rows.
    pub fn new(
        kernels: &dyn Kernels,
        layers: &[&Linear],
        x: &'a [f32],
        scratch: &'a mut QuantRows,
    ) -> Result<Self, EngineError> {
        if let Some(layer) = layers.iter().find(|layer| !matches!(layer.weights, Weights::Float(_)))
        {
            scratch.quantize_range(kernels, x, layer.cols)?;
        }
        Ok(Self { float: x, quant: scratch })
    }
}

impl Linear {
    /// A layer over packed ternary weights.
    ///
    /// - `bytes`: [`TernaryView`]'s packing of `[rows, cols]`; `scales`, `bias`: `[rows]`; a scale of the
    ///   whole matrix is the same in all rows
    ///
    /// # Errors
    /// [`EngineError::Kernel`] when the sizes do not fit, or weights hold the unused code.
    pub fn ternary(
        (rows, cols): (usize, usize),
        bytes: WeightBytes,
        scales: Vec<f32>,
        bias: Option<Vec<f32>>,
    ) -> Result<Self, EngineError> {
        let view = TernaryView::new(rows, cols, bytes.as_bytes())?;
        view.check_codes()?;
        let sums = view.row_sums();
        Self::check(rows, "weight scales", scales.len())?;
        Self::check(rows, "bias", bias.as_ref().map_or(rows, Vec::len))?;
        Ok(Self { rows, cols, weights: Weights::Ternary(Packed { bytes, scales, sums }), bias })
    }

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
        Ok(Self { rows, cols, weights: Weights::Int8(Packed { bytes, scales, sums }), bias })
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

    /// `ternary`, `int8` or `f32`.
    pub fn precision(&self) -> &'static str {
        match self.weights {
            Weights::Ternary(_) => "ternary",
            Weights::Int8(_) => "int8",
            Weights::Float(_) => "f32",
        }
    }

    /// Bytes of weights, scales and bias.
    pub fn bytes(&self) -> usize {
        let bias = self.bias.as_ref().map_or(0, |b| b.len() * 4);
        bias + match &self.weights {
            Weights::Ternary(Packed { bytes, scales, sums })
            | Weights::Int8(Packed { bytes, scales, sums }) => {
                bytes.len() + (scales.len() + sums.len()) * 4
            }
            Weights::Float(matrix) => matrix.bytes(),
        }
    }

    /// Computes `y` (`[rows of x, rows]`) from rows prepared for this layer.
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
            Weights::Ternary(packed) => {
                let w = TernaryView::new(self.rows, self.cols, packed.bytes.as_bytes())?;
                kernels.ternary_linear(w, x.quant.view(), packed.dequant(bias), y)?;
            }
            Weights::Int8(packed) => {
                let w = Int8View::new(self.rows, self.cols, packed.bytes.as_bytes())?;
                kernels.int8_linear(w, x.quant.view(), packed.dequant(bias), y)?;
            }
            Weights::Float(matrix) => kernels.f32_linear(matrix.view(), bias, x.float, y)?,
        }
        Ok(())
    }
}

impl Packed {
    fn dequant<'a>(&'a self, bias: Option<&'a [f32]>) -> Dequant<'a> {
        Dequant { row_scales: &self.scales, row_sums: Some(&self.sums), bias }
    }
}

#[cfg(test)]
mod tests {
    use bho_kernels::{TernaryMatrix, available};

    use super::*;
    use crate::storage::Storage;

    fn bytes(packed: &[u8]) -> WeightBytes {
        WeightBytes::new(&Storage::Heap(packed.into()), 0..packed.len()).unwrap()
    }

    /// Not of one sign, nor around 0: rows have zero points.
    fn inputs(rows: usize, cols: usize) -> Vec<f32> {
        (0..rows * cols).map(|i| (i as f32 * 0.37).sin() * 1.5 + (i / cols) as f32 - 0.4).collect()
    }

    #[test]
    fn ternary_layers_are_float_layers_of_the_same_weights_on_every_backend() {
        for (rows, cols, tokens) in [(5, 3, 1), (16, 16, 2), (37, 84, 7), (48, 200, 19)] {
            let codes: Vec<i8> = (0..rows * cols).map(|i| (i * i % 11 % 3) as i8 - 1).collect();
            let scales: Vec<f32> = (0..rows).map(|r| 0.02 + r as f32 * 0.01).collect();
            let bias: Vec<f32> = (0..rows).map(|r| r as f32 * 0.1 - 1.0).collect();
            let floats: Vec<f32> =
                codes.iter().enumerate().map(|(i, &c)| scales[i / cols] * f32::from(c)).collect();
            let packed = TernaryMatrix::pack(rows, cols, &codes).unwrap();
            let ternary =
                Linear::ternary((rows, cols), bytes(packed.as_bytes()), scales, Some(bias.clone()));
            let ternary = ternary.unwrap();
            let float = Linear::float((rows, cols), &floats, Some(bias)).unwrap();
            assert_eq!((ternary.precision(), float.precision()), ("ternary", "f32"));
            let x = inputs(tokens, cols);
            let mut first: Option<Vec<f32>> = None;
            for kernels in available() {
                let (mut quant, mut unused) = (QuantRows::new(), QuantRows::new());
                let mut y = vec![0f32; tokens * rows];
                let prepared = Rows::new(kernels, &[&float, &ternary], &x, &mut quant).unwrap();
                ternary.forward(kernels, &prepared, &mut y).unwrap();
                // What the int8 values stand for, through the float layer.
                let view = prepared.quant.view();
                assert!(view.has_zeros());
                let back: Vec<f32> = (0..tokens)
                    .flat_map(|t| {
                        let q = view.quant(t);
                        let row = view.padded_row(t)[..cols].iter();
                        row.map(move |&v| q.scale * (i32::from(v) - q.zero) as f32)
                    })
                    .collect();
                let mut expected = vec![0f32; tokens * rows];
                let exact = Rows::new(kernels, &[&float], &back, &mut unused).unwrap();
                float.forward(kernels, &exact, &mut expected).unwrap();
                for (found, expected) in y.iter().zip(&expected) {
                    let off = (found - expected).abs();
                    assert!(off < 1e-4 * (1.0 + expected.abs()), "{} {off}", kernels.name());
                }
                assert!(*first.get_or_insert_with(|| y.clone()) == y, "{}", kernels.name());
            }
        }
    }

    #[test]
    fn sizes_that_do_not_fit_and_the_unused_code_are_refused() {
        let tile = vec![0b01_01_01_01u8; 64];
        let layer = |tile: &[u8], scales: usize, bias: usize| {
            let (scales, bias) = (vec![1.0; scales], Some(vec![0.0; bias]));
            Linear::ternary((3, 9), bytes(tile), scales, bias).map(drop)
        };
        assert!(layer(&tile, 3, 3).is_ok());
        let mut spoilt = tile.clone();
        spoilt[63] |= 0b11_00_00_00;
        for wrong in
            [layer(&tile[..63], 3, 3), layer(&tile, 2, 3), layer(&tile, 3, 4), layer(&spoilt, 3, 3)]
        {
            assert!(matches!(wrong, Err(EngineError::Kernel(_))), "{wrong:?}");
        }
    }
}
