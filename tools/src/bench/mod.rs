// SPDX-License-Identifier: AGPL-3.0-or-later
//! Measuring: what this CPU could do at most, and what the kernels make of it.

pub(crate) mod e2e;
pub(crate) mod encoder;
pub(crate) mod kernels;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod report;
pub(crate) mod roofline;
pub(crate) mod team;

use std::fmt;
use std::str::FromStr;

use bho_engine::Pages;
use bho_kernels::{
    DenseTernaryView, Int8View, KernelError, KernelName, Kernels, RowsView, TernaryView,
};
use clap::ValueEnum;
use serde::Serialize;

/// A matrix product that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Op {
    /// ternary weights, four to a byte, times int8 activations
    Ternary,
    /// the same, five to a byte
    Dense,
    /// int8 weights times int8 activations
    Int8,
}

impl Op {
    /// As the table heads it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ternary => "ternary",
            Self::Dense => "dense",
            Self::Int8 => "int8",
        }
    }

    /// Bytes that a matrix takes packed.
    pub(crate) fn packed_len(self, shape: Shape) -> Result<usize, KernelError> {
        match self {
            Self::Ternary => TernaryView::packed_len(shape.rows, shape.cols),
            Self::Dense => DenseTernaryView::packed_len(shape.rows, shape.cols),
            Self::Int8 => Int8View::packed_len(shape.rows, shape.cols),
        }
    }

    /// `y = x · weightsᵀ` over packed `weights`.
    pub(crate) fn multiply(
        self,
        kernels: &dyn Kernels,
        shape: Shape,
        weights: &[u8],
        x: RowsView<'_>,
        y: &mut [i32],
    ) -> Result<KernelName, KernelError> {
        let Shape { rows, cols } = shape;
        match self {
            Self::Ternary => kernels.ternary_gemm(TernaryView::new(rows, cols, weights)?, x, y),
            Self::Dense => {
                kernels.ternary_dense_gemm(DenseTernaryView::new(rows, cols, weights)?, x, y)
            }
            Self::Int8 => kernels.int8_gemm(Int8View::new(rows, cols, weights)?, x, y),
        }
    }

    /// The weights as plain row-major numbers.
    pub(crate) fn unpack(self, shape: Shape, weights: &[u8]) -> Result<Vec<i8>, KernelError> {
        let Shape { rows, cols } = shape;
        Ok(match self {
            Self::Ternary => TernaryView::new(rows, cols, weights)?.unpack(),
            Self::Dense => DenseTernaryView::new(rows, cols, weights)?.unpack(),
            Self::Int8 => Int8View::new(rows, cols, weights)?.unpack(),
        })
    }
}

/// A weight matrix: `rows` outputs, `cols` inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl Shape {
    /// Largest number of rows and of columns: what int8 sums over columns can hold.
    const MAX: usize = 1 << 16;
    /// Most weights.
    const MAX_WEIGHTS: usize = 1 << 28;

    pub(crate) const fn new(rows: usize, cols: usize) -> Self {
        Self { rows, cols }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows, self.cols)
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| text.parse().ok().filter(|n| (1..=Self::MAX).contains(n));
        text.split_once('x')
            .and_then(|(rows, cols)| Some(Self::new(side(rows)?, side(cols)?)))
            .filter(|shape| shape.rows * shape.cols <= Self::MAX_WEIGHTS)
            .ok_or_else(|| {
                format!(
                    "expected ROWSxCOLS such as 2560x6912, each 1 to {}, at most {} weights",
                    Self::MAX,
                    Self::MAX_WEIGHTS
                )
            })
    }
}

/// Pages that weights lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PageSize {
    /// the system's smallest, usually 4 KiB
    Small,
    /// transparent huge pages, usually 2 MiB
    Huge,
}

impl From<PageSize> for Pages {
    fn from(pages: PageSize) -> Self {
        match pages {
            PageSize::Small => Self::Small,
            PageSize::Huge => Self::Huge,
        }
    }
}

/// Seeded pseudo-random bytes (SplitMix64, Steele et al. 2014), the same on every machine.
pub(crate) fn random_bytes(mut seed: u64) -> impl Iterator<Item = u8> {
    std::iter::repeat_with(move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    })
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_rows_by_columns_within_bounds() {
        assert_eq!("2560x6912".parse(), Ok(Shape::new(2560, 6912)));
        for wrong in ["", "x", "64", "64x", "0x64", "64x65537", "65536x65536", "64X64", "-1x2"] {
            let error = wrong.parse::<Shape>().unwrap_err();
            assert!(error.contains("ROWSxCOLS"), "{wrong}: {error}");
        }
    }
}
