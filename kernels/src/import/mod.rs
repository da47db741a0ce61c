// SPDX-License-Identifier: AGPL-3.0-or-later
//! Ternary weights as other programs pack them, into tiles, without loss.
//!
//! A [`ForeignTernary`] is the bytes of one tensor with its shape and [`TernaryFormat`]. All sizes
//! are checked when it is made, codes and scales as they are read. [`ForeignTernary::for_each_panel`]
//! keeps one panel in memory, so a converter can stream a mapped file; [`ForeignTernary::import`]
//! gives the whole matrix.
//!
//! ```
//! use bho_kernels::{ForeignTernary, HfScale, TernaryFormat};
//!
//! // Rows 0, 1, 2, 3 of one column from the low bits up: codes 0, 1, 2, 1.
//! let format = TernaryFormat::HfPacked(HfScale::Multiply(0.5));
//! let imported = ForeignTernary::new(format, 4, 1, &[0b01_10_01_00])?.import()?;
//! assert_eq!(imported.weights.view().unpack(), [-1, 0, 1, 0]);
//! assert_eq!(imported.row_scales, [0.5; 4]);
//! # Ok::<(), bho_kernels::ImportError>(())
//! ```

mod hf_packed;
mod i2_s;
mod tq1_0;
mod tq2_0;

use alloc::vec::Vec;

use half::f16;

pub use hf_packed::HfScale;
pub use i2_s::I2sLayout;

use crate::error::KernelError;
use crate::formats::{AlignedBytes, PACK_COLS, PANEL, TernaryMatrix, TernaryView, pack_panel};

/// Code of weight 0.
const ZERO: u8 = 1;

/// Inputs of a block of llama.cpp's ternary formats.
const BLOCK_COLS: usize = 256;

// A panel is packed in steps that no block of any format straddles.
const _: () = assert!(PACK_COLS.is_multiple_of(BLOCK_COLS));

/// How another program packed ternary weights.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum TernaryFormat {
    /// Hugging Face transformers' `weight` U8 `[ceil(rows / 4), cols]` with its `weight_scale`.
    HfPacked(HfScale),
    /// GGUF type 36 of bitnet.cpp: one scale per tensor. The file does not say which layout.
    I2S(I2sLayout),
    /// GGUF type 34 of llama.cpp: five weights in a byte, a scale per 256 inputs.
    Tq1_0,
    /// GGUF type 35 of llama.cpp: four weights in a byte, a scale per 256 inputs.
    Tq2_0,
}

/// One foreign tensor `[rows, cols]` over bytes that live elsewhere, such as a mapped file.
#[derive(Debug, Clone, Copy)]
pub struct ForeignTernary<'a> {
    format: TernaryFormat,
    rows: usize,
    cols: usize,
    bytes: &'a [u8],
    /// Scale of the whole tensor; 0 in the formats that have one per block.
    scale: f32,
}

/// A foreign tensor as this crate computes with it: `weight = row_scales[row] · {-1, 0, +1}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// `[rows, cols]`.
    pub weights: TernaryMatrix,
    /// `[rows]`, ready for [`crate::Dequant::row_scales`]: one value repeated where the format has
    /// one scale per tensor; 0 for a row of zeros where it has one per block.
    pub row_scales: Vec<f32>,
}

/// Sixteen rows (fewer at the end) of a foreign tensor, packed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TernaryPanel<'p> {
    /// Which panel: it begins at row `16 * index`.
    pub index: usize,
    /// 64 bytes for every 16 inputs, as [`TernaryView::panel`] gives them.
    pub tiles: &'p [u8],
    /// Scales of the rows that exist, as in [`Imported::row_scales`].
    pub row_scales: &'p [f32],
}

/// Why a foreign tensor was not imported.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A dimension is zero or absurd.
    #[error(transparent)]
    Dimension(#[from] KernelError),
    /// The format packs whole blocks of inputs only.
    #[error("{format}: {cols} columns; a multiple of {multiple} is needed")]
    Columns {
        /// Which format.
        format: &'static str,
        /// Inputs of a block.
        multiple: usize,
        /// What was given.
        cols: usize,
    },
    /// The bytes are not those of a tensor of this shape.
    #[error("{format} [{rows}, {cols}]: expected {expected} bytes, found {found}")]
    Length {
        /// Which format.
        format: &'static str,
        /// Rows of the tensor.
        rows: usize,
        /// Columns of the tensor.
        cols: usize,
        /// What the shape asks for.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A weight has the unused code 3.
    #[error("{format}: row {row}, column {col} holds code 3; codes are 0, 1, 2 for -1, 0, +1")]
    Code {
        /// Which format.
        format: &'static str,
        /// Row of the weight.
        row: usize,
        /// Column of the weight.
        col: usize,
    },
    /// The scale of the whole tensor is NaN or infinite, or 0 where it divides.
    #[error("{format}: the tensor's scale makes its weights {scale}; a finite one is needed")]
    Scale {
        /// Which format.
        format: &'static str,
        /// What a weight of +1 would be worth.
        scale: f32,
    },
    /// The scale of a block is not finite.
    #[error("{format}: row {row}, block {block} has scale {found}; a finite one is needed")]
    BlockScale {
        /// Which format.
        format: &'static str,
        /// Row of the block.
        row: usize,
        /// Block within the row, 256 inputs each.
        block: usize,
        /// What it holds.
        found: f32,
    },
    /// Two blocks of a row have weights other than 0 and different scales.
    #[error(
        "{format}: row {row}, block {block} has scale {found}, the blocks before it {expected}; \
         only rows of one scale are imported without loss"
    )]
    MixedScales {
        /// Which format.
        format: &'static str,
        /// Row of the block.
        row: usize,
        /// Block within the row, 256 inputs each.
        block: usize,
        /// Scale of the row's blocks so far.
        expected: f32,
        /// Scale of this block.
        found: f32,
    },
}

impl TernaryFormat {
    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::HfPacked(_) => "HF packed",
            Self::I2S(_) => "I2_S",
            Self::Tq1_0 => "TQ1_0",
            Self::Tq2_0 => "TQ2_0",
        }
    }

    /// Inputs and bytes of a block.
    fn block(self) -> (usize, usize) {
        match self {
            Self::HfPacked(_) => (1, 1),
            Self::I2S(layout) => layout.block(),
            Self::Tq1_0 => (BLOCK_COLS, tq1_0::BYTES),
            Self::Tq2_0 => (BLOCK_COLS, tq2_0::BYTES),
        }
    }

    /// Bytes of a `[rows, cols]` tensor, scales included where they are part of it.
    ///
    /// # Errors
    /// [`ImportError::Dimension`], [`ImportError::Columns`].
    pub fn packed_len(self, rows: usize, cols: usize) -> Result<usize, ImportError> {
        TernaryView::packed_len(rows, cols)?;
        let (multiple, block_bytes) = self.block();
        if !cols.is_multiple_of(multiple) {
            return Err(ImportError::Columns { format: self.name(), multiple, cols });
        }
        let (packed_rows, trailer) = match self {
            Self::HfPacked(_) => (rows.div_ceil(4), 0),
            Self::I2S(_) => (rows, i2_s::TRAILER),
            Self::Tq1_0 | Self::Tq2_0 => (rows, 0),
        };
        // Cannot wrap where usize has 64 bits: rows and columns are at most 2^24.
        (cols / multiple)
            .checked_mul(block_bytes)
            .and_then(|row| row.checked_mul(packed_rows)?.checked_add(trailer))
            .ok_or_else(|| {
                KernelError::Dimension { what: "packed size", max: usize::MAX, found: rows }.into()
            })
    }
}

impl<'a> ForeignTernary<'a> {
    /// Takes the bytes of a tensor, neither more nor fewer, without reading weights yet.
    ///
    /// # Errors
    /// Those of [`TernaryFormat::packed_len`], [`ImportError::Length`], [`ImportError::Scale`].
    pub fn new(
        format: TernaryFormat,
        rows: usize,
        cols: usize,
        bytes: &'a [u8],
    ) -> Result<Self, ImportError> {
        let expected = format.packed_len(rows, cols)?;
        let (name, found) = (format.name(), bytes.len());
        if expected != found {
            return Err(ImportError::Length { format: name, rows, cols, expected, found });
        }
        let scale = match format {
            TernaryFormat::HfPacked(scale) => scale.factor(),
            TernaryFormat::I2S(_) => i2_s::scale(bytes),
            TernaryFormat::Tq1_0 | TernaryFormat::Tq2_0 => 0.0,
        };
        if !scale.is_finite() {
            return Err(ImportError::Scale { format: name, scale });
        }
        Ok(Self { format, rows, cols, bytes, scale })
    }

    /// Output rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Packs one panel after another and hands each to `f`; holds one panel at a time.
    ///
    /// # Errors
    /// The first of `f`, [`ImportError::Code`], [`ImportError::BlockScale`] and
    /// [`ImportError::MixedScales`]; what `f` was given before is good.
    pub fn for_each_panel<E: From<ImportError>>(
        &self,
        mut f: impl FnMut(TernaryPanel<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut tiles = AlignedBytes::new(self.panel_bytes(), 0);
        for index in 0..self.rows.div_ceil(PANEL) {
            let scales = self.read_panel(index, &mut tiles)?;
            let row_scales = &scales[..self.panel_rows(index)];
            f(TernaryPanel { index, tiles: &tiles, row_scales })?;
        }
        Ok(())
    }

    /// Packs the whole tensor.
    ///
    /// # Errors
    /// [`ImportError::Code`], [`ImportError::BlockScale`] or [`ImportError::MixedScales`].
    pub fn import(&self) -> Result<Imported, ImportError> {
        let mut tiles = AlignedBytes::new(TernaryView::packed_len(self.rows, self.cols)?, 0);
        let mut row_scales = Vec::with_capacity(self.rows);
        for (index, tiles) in tiles.chunks_exact_mut(self.panel_bytes()).enumerate() {
            let scales = self.read_panel(index, tiles)?;
            row_scales.extend_from_slice(&scales[..self.panel_rows(index)]);
        }
        Ok(Imported { weights: TernaryMatrix::from_tiles(self.rows, self.cols, tiles), row_scales })
    }

    /// Writes one row as floats, `out[col] = scale · {-1, 0, +1}` with each block's own scale: rows of
    /// several scales, which are not imported, are read as well.
    ///
    /// A weight 0, or one of a block with scale 0, becomes +0.
    ///
    /// # Errors
    /// [`ImportError::Dimension`] for a row that the tensor does not have or an `out` that is not as
    /// long as a row, [`ImportError::Code`] or [`ImportError::BlockScale`].
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) -> Result<(), ImportError> {
        KernelError::check("row as floats", self.cols, out.len())?;
        KernelError::dimension("row, from 1", self.rows, row.saturating_add(1))?;
        let mut codes = [0; BLOCK_COLS];
        for (block, out) in out.chunks_mut(BLOCK_COLS).enumerate() {
            let (codes, mut scale) = (&mut codes[..out.len()], self.scale);
            self.read_codes(row, block * BLOCK_COLS, codes, &mut scale)?;
            for (y, code) in out.iter_mut().zip(codes) {
                *y = if *code == ZERO { 0.0 } else { scale * (f32::from(*code) - 1.0) };
            }
        }
        Ok(())
    }

    fn panel_bytes(&self) -> usize {
        TernaryView::panel_bytes(self.cols)
    }

    fn panel_rows(&self, index: usize) -> usize {
        PANEL.min(self.rows - index * PANEL)
    }

    fn read_panel(&self, index: usize, tiles: &mut [u8]) -> Result<[f32; PANEL], ImportError> {
        let mut scales = [self.scale; PANEL];
        pack_panel(self.panel_rows(index), self.cols, tiles, |r, col, codes| {
            self.read_codes(index * PANEL + r, col, codes, &mut scales[r])
        })?;
        Ok(scales)
    }

    /// Codes of `row` from `col` on, whole blocks; `scale` as [`Self::read_blocks`] has it.
    fn read_codes(
        &self,
        row: usize,
        col: usize,
        codes: &mut [u8],
        scale: &mut f32,
    ) -> Result<(), ImportError> {
        match self.format {
            TernaryFormat::HfPacked(_) => self.read_hf_packed(row, col, codes),
            TernaryFormat::I2S(layout) => self.read_i2_s(layout, row, col, codes),
            TernaryFormat::Tq1_0 => self.read_blocks(row, col, codes, scale, tq1_0::unpack),
            TernaryFormat::Tq2_0 => self.read_blocks(row, col, codes, scale, tq2_0::unpack),
        }
    }

    /// Reads blocks of 256 inputs that end in an f16 scale. `row_scale` is 0 until a block of the
    /// row has a weight other than 0; from then on such blocks must have the same scale.
    fn read_blocks<const BYTES: usize>(
        &self,
        row: usize,
        col: usize,
        codes: &mut [u8],
        row_scale: &mut f32,
        unpack: impl Fn(&[u8; BYTES], &mut [u8; BLOCK_COLS]),
    ) -> Result<(), ImportError> {
        let format = self.format.name();
        let (blocks, _) = self.bytes.as_chunks::<BYTES>();
        let first = col / BLOCK_COLS;
        let blocks = blocks[row * (self.cols / BLOCK_COLS) + first..].iter();
        let (codes, _) = codes.as_chunks_mut::<BLOCK_COLS>();
        for (i, (codes, bytes)) in codes.iter_mut().zip(blocks).enumerate() {
            unpack(bytes, codes);
            self.check_codes(row, col + i * BLOCK_COLS, codes)?;
            let block = first + i;
            let found = f16::from_le_bytes([bytes[BYTES - 2], bytes[BYTES - 1]]).to_f32();
            if !found.is_finite() {
                return Err(ImportError::BlockScale { format, row, block, found });
            }
            if found == 0.0 {
                codes.fill(ZERO);
            } else if codes.iter().fold(0, |other, code| other | (code ^ ZERO)) != 0 {
                if *row_scale != 0.0 && *row_scale != found {
                    let expected = *row_scale;
                    return Err(ImportError::MixedScales { format, row, block, expected, found });
                }
                *row_scale = found;
            }
        }
        Ok(())
    }

    /// Refuses code 3 among the codes of `row` from `col` on.
    fn check_codes(&self, row: usize, col: usize, codes: &[u8]) -> Result<(), ImportError> {
        // Without a branch per weight, so that it runs on vectors.
        if codes.iter().fold(0, |bad, code| bad | (code & (code >> 1))) == 0 {
            return Ok(());
        }
        let col = col + codes.iter().take_while(|&&code| code != 3).count();
        Err(ImportError::Code { format: self.format.name(), row, col })
    }
}

/// Spreads 2-bit codes: of every `W` bytes, byte `j` holds inputs `j`, `W + j`, `2 W + j` and
/// `3 W + j` at the bits `shifts` says.
fn spread<const W: usize>(bytes: &[u8], shifts: [u32; 4], codes: &mut [u8]) {
    let (bytes, _) = bytes.as_chunks::<W>();
    for (bytes, codes) in bytes.iter().zip(codes.chunks_exact_mut(4 * W)) {
        for (codes, shift) in codes.chunks_exact_mut(W).zip(shifts) {
            for (code, byte) in codes.iter_mut().zip(bytes) {
                *code = byte >> shift & 3;
            }
        }
    }
}
