// SPDX-License-Identifier: AGPL-3.0-or-later
//! Packed weight formats: what the files hold and the kernels read, one layout for every CPU.
//!
//! The formats store *unsigned codes with a zero point* in panels of [`PANEL`] output rows, so
//! that 64 consecutive bytes feed 16 lanes of a dot-product instruction with 4 inputs each:
//!
//! ```text
//! y[t, r] = Σ_k (code[r, k] - zero) · x[t, k] = Σ_k code[r, k] · x[t, k] - zero · Σ_k x[t, k]
//! ```
//!
//! The correction needs only the sum of the activations, which quantization yields for free.

mod aligned;
mod f16;
mod f32;
mod int4;
mod int8;
mod rows;
mod ternary;
mod ternary_dense;

pub(crate) use aligned::AlignedBytes;
pub use f16::{F16_LINE_BYTES, F16Matrix, F16View};
pub use f32::{F32Matrix, F32View};
pub(crate) use int4::GROUP_LINES;
pub use int4::{INT4_GROUP, INT4_TILE_BYTES, INT4_TILE_COLS, Int4Matrix, Int4View};
pub use int8::{INT8_BLOCK_COLS, Int8Matrix, Int8View};
pub use rows::{QuantRows, RowsView};
pub(crate) use ternary::{PACK_COLS, pack_panel};
pub use ternary::{TERNARY_TILE_COLS, TernaryMatrix, TernaryView};
pub use ternary_dense::{DENSE_TERNARY_TILE_COLS, DenseTernaryMatrix, DenseTernaryView};

/// Output rows per panel: the 32-bit lanes of an AVX-512 register.
pub const PANEL: usize = 16;

/// Bytes of one tile or block: one cache line, one AVX-512 register.
pub const TILE_BYTES: usize = 64;

/// Largest number of rows or columns of any matrix here; keeps every size far from overflow.
pub const MAX_DIM: usize = 1 << 24;
