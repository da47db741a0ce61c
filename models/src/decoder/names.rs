// SPDX-License-Identifier: AGPL-3.0-or-later
//! Names and shapes of tensors in a converted file.
//!
//! A linear layer `x` is `x.ternary`, `x.ternary_dense` or `x.int8`, packed as the kernels read it,
//! with `x.scale`; `x.int4` or `x.f16`, packed too; or `x.weight` in floats. The rest keeps the checkpoint's names.

use bho_kernels::{
    DENSE_TERNARY_TILE_COLS, F16_LINE_BYTES, INT4_TILE_BYTES, INT4_TILE_COLS, INT8_BLOCK_COLS,
    PANEL, TERNARY_TILE_COLS, TILE_BYTES,
};

/// How a linear layer is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    Ternary,
    TernaryDense,
    Int8,
    Int4,
    Half,
    /// Row-major floats.
    Float,
}

impl Stored {
    pub(crate) const ALL: [Self; 6] =
        [Self::Ternary, Self::TernaryDense, Self::Int8, Self::Int4, Self::Half, Self::Float];

    pub(crate) fn tensor(self, layer: &str) -> String {
        let suffix = match self {
            Self::Ternary => "ternary",
            Self::TernaryDense => "ternary_dense",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
            Self::Half => "f16",
            Self::Float => "weight",
        };
        format!("{layer}.{suffix}")
    }

    pub(crate) fn shape(self, rows: usize, cols: usize) -> Vec<usize> {
        let (inputs, bytes) = match self {
            Self::Ternary => (TERNARY_TILE_COLS, TILE_BYTES),
            Self::TernaryDense => (DENSE_TERNARY_TILE_COLS, TILE_BYTES),
            Self::Int8 => (INT8_BLOCK_COLS, TILE_BYTES),
            Self::Int4 => (INT4_TILE_COLS, INT4_TILE_BYTES),
            Self::Half => (1, F16_LINE_BYTES),
            Self::Float => return vec![rows, cols],
        };
        vec![rows.div_ceil(PANEL), cols.div_ceil(inputs), bytes]
    }

    /// Whether a scale a row stands beside the weights.
    pub(crate) fn has_scales(self) -> bool {
        matches!(self, Self::Ternary | Self::TernaryDense | Self::Int8)
    }
}

/// What one step of each row's weights is worth.
pub(crate) fn scale(layer: &str) -> String {
    format!("{layer}.scale")
}

/// The same of an int8 table of this name.
pub(crate) fn table_scale(table: &str) -> String {
    format!("{table}_scale")
}

/// The head's own weights, or what a tied one is packed as.
pub(crate) const HEAD: &str = "lm_head";
