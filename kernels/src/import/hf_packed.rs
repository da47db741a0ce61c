// SPDX-License-Identifier: AGPL-3.0-or-later
//! Hugging Face transformers' packed BitNet weights (`transformers.integrations.bitnet`).
//!
//! With `q = ceil(rows / 4)`, byte `[i, k]` holds rows `i`, `q + i`, `2 q + i` and `3 q + i` of
//! column `k`, from the low bits up. Rows past the end have code 0 in the file and are not read.

use super::{ForeignTernary, ImportError};

/// What `weight_scale` means, by the `linear_class` of the checkpoint's quantization config.
/// bf16 and f16 scales widen to f32 exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HfScale {
    /// `autobitlinear`: the layer's output is multiplied by it, so it is the row scale.
    Multiply(f32),
    /// `bitlinear`, the default: the output is divided by it, so the row scale is its inverse,
    /// rounded once to f32 (the only rounding of any import; the weights stay exact).
    Divide(f32),
}

impl HfScale {
    /// What a weight of +1 is worth.
    pub(super) fn factor(self) -> f32 {
        match self {
            Self::Multiply(scale) => scale,
            Self::Divide(scale) => scale.recip(),
        }
    }
}

impl ForeignTernary<'_> {
    pub(super) fn read_hf_packed(
        &self,
        row: usize,
        col: usize,
        codes: &mut [u8],
    ) -> Result<(), ImportError> {
        let packed_rows = self.rows.div_ceil(4);
        let (shift, packed_row) = (2 * (row / packed_rows), row % packed_rows);
        let bytes = &self.bytes[packed_row * self.cols + col..];
        for (code, byte) in codes.iter_mut().zip(bytes) {
            *code = byte >> shift & 3;
        }
        self.check_codes(row, col, codes)
    }
}
