// SPDX-License-Identifier: AGPL-3.0-or-later
//! Ternary (1.58-bit) and int8 matrix kernels for CPUs.
//!
//! Weights stay packed as the file holds them ([`TernaryView`], [`DenseTernaryView`], [`Int8View`]:
//! zero copies from a mapped file), activations are quantized per token ([`QuantRows`]), and one backend is chosen
//! per process at run time ([`kernels`]). All backends give the same bits.
//!
//! ```
//! use bho_kernels::{QuantRows, TernaryMatrix, kernels};
//!
//! let weights = TernaryMatrix::pack(2, 3, &[1, 0, -1, 1, 1, 1])?;
//! let x = QuantRows::from_int8(&[10, 20, 30], 3)?;
//! let mut y = [0; 2];
//! kernels()?.ternary_gemm(weights.view(), x.view(), &mut y)?;
//! assert_eq!(y, [10 - 30, 10 + 20 + 30]);
//! # Ok::<(), bho_kernels::KernelError>(())
//! ```
//!
//! The crate needs only `core` and `alloc`. The feature `std` (on by default) adds [`kernels`], the
//! choice made once per process from the environment, and finer detection on aarch64.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]
#![allow(clippy::needless_range_loop, reason = "lane loops read best by index")]

extern crate alloc;

#[allow(unsafe_code, reason = "intrinsics; each block says why it is sound")]
mod arch;
mod backend;
mod error;
mod formats;
mod import;
#[cfg(feature = "std")]
pub mod oracle;
mod sink;
mod vecmath;

pub use backend::{
    AttentionHead, Dequant, KernelName, Kernels, RowQuant, available, best, by_name,
};
#[cfg(feature = "std")]
pub use backend::{ISA_VARIABLE, kernels};
pub use error::KernelError;
pub use formats::{
    DENSE_TERNARY_TILE_COLS, DenseTernaryMatrix, DenseTernaryView, F16_LINE_BYTES, F16Matrix,
    F16View, F32Matrix, F32View, INT4_GROUP, INT4_TILE_BYTES, INT4_TILE_COLS, INT8_BLOCK_COLS,
    Int4Matrix, Int4View, Int8Matrix, Int8View, MAX_DIM, PANEL, QuantRows, RowsView,
    TERNARY_TILE_COLS, TILE_BYTES, TernaryMatrix, TernaryView,
};
pub use half::{bf16, f16};
pub use import::{
    ForeignTernary, HfScale, I2sLayout, ImportError, Imported, TernaryFormat, TernaryPanel,
};
pub use vecmath::{KvColumns, KvRows, RopeStyle};
