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

/// Implements what all packed formats share for `$matrix` and `$view`, whose bytes are `$field`: panels
/// of [`PANEL`] rows of tiles of `$cols` inputs in `$bytes`. Errors call the format `$name`; `$max` is
/// the most inputs.
macro_rules! packed {
    ($matrix:ident, $view:ident, $field:ident, $name:literal, [$max:expr, $cols:expr, $bytes:expr]) => {
        impl $matrix {
            /// The borrowed form the kernels take.
            pub fn view(&self) -> $view<'_> {
                $view { rows: self.rows, cols: self.cols, $field: &self.$field }
            }

            /// The packed bytes, as a file stores them.
            pub fn as_bytes(&self) -> &[u8] {
                &self.$field
            }
        }

        impl<'a> $view<'a> {
            /// Bytes that `[rows, cols]` weights take packed.
            ///
            /// # Errors
            /// [`KernelError::Dimension`] for a zero or absurd dimension.
            pub fn packed_len(rows: usize, cols: usize) -> Result<usize, KernelError> {
                KernelError::dimension(concat!($name, " rows"), MAX_DIM, rows)?;
                KernelError::dimension(concat!($name, " columns"), $max, cols)?;
                let size = rows.div_ceil(PANEL).checked_mul(Self::panel_bytes(cols));
                let what = concat!($name, " size");
                size.ok_or(KernelError::Dimension { what, max: usize::MAX, found: rows })
            }

            /// Wraps packed bytes without copying them.
            ///
            /// # Errors
            /// [`KernelError::Dimension`], or [`KernelError::Shape`] when the length does not fit.
            pub fn new(rows: usize, cols: usize, $field: &'a [u8]) -> Result<Self, KernelError> {
                let bytes = Self::packed_len(rows, cols)?;
                KernelError::check(concat!($name, " bytes"), bytes, $field.len())?;
                Ok(Self { rows, cols, $field })
            }

            /// Bytes of a panel; `cols` is at most [`MAX_DIM`].
            pub(crate) fn panel_bytes(cols: usize) -> usize {
                cols.div_ceil($cols) * $bytes
            }

            /// Output rows.
            pub fn rows(&self) -> usize {
                self.rows
            }

            /// Inputs.
            pub fn cols(&self) -> usize {
                self.cols
            }

            /// Panels of 16 rows, the last one possibly padded.
            pub fn panels(&self) -> usize {
                self.rows.div_ceil(PANEL)
            }
        }
    };
}
use packed;
