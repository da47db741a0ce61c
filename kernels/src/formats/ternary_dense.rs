// SPDX-License-Identifier: AGPL-3.0-or-later
//! The dense ternary format, t5: five weights to a byte, 1.6 bits each, in 64-byte tiles.
//!
//! A tile holds 16 rows x 20 inputs. Byte `4r + j` holds row `r`, inputs `4p + j` for `p = 0..5`.
//! Their codes 0, 1, 2 (for -1, 0, +1) are the digits of `m = 81·c0 + 27·c1 + 9·c2 + 3·c3 + c4`, and
//! the byte is the one in the middle of the interval that belongs to `m`:
//!
//! ```text
//! m / 243 <= byte / 256 < (m + 1) / 243        byte = round(256 · (m + 1/2) / 243)
//! ```
//!
//! So the first five base-3 digits of `byte / 256` are the codes: three times the byte carries out
//! `c0`, and its low 8 bits are the fraction that holds the other four. The 243 intervals cover
//! [0, 1): every byte decodes to five codes, and no bytes are malformed. Tiles follow each other
//! along the inputs, panels along the rows; what lies past the edge holds 128 (weights 0).

use alloc::vec::Vec;
use core::ops::Range;

use super::{AlignedBytes, MAX_DIM, PANEL, TILE_BYTES};
use super::{TernaryMatrix, TernaryView};
use crate::error::KernelError;

/// Inputs per tile of the dense format.
pub const DENSE_TERNARY_TILE_COLS: usize = 20;

/// Weights in a byte.
const TRITS: usize = 5;

/// Code of weight 0.
const ZERO: u8 = 1;

/// Ternary weights in the dense format, owned by this value; see [`DenseTernaryView`] for borrowed
/// (mapped) ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenseTernaryMatrix {
    rows: usize,
    cols: usize,
    tiles: AlignedBytes,
}

/// Ternary weights `[rows, cols]` in the dense format, over packed bytes that live elsewhere, such
/// as a mapped file.
#[derive(Debug, Clone, Copy)]
pub struct DenseTernaryView<'a> {
    rows: usize,
    cols: usize,
    tiles: &'a [u8],
}

/// The byte of five codes, `m` as in the format; `512·m + 499 = 486·m + (26·m + 499)`.
#[inline(always)]
fn encode(m: u8) -> u8 {
    m + ((26 * u16::from(m) + 499) / 486) as u8
}

/// The first code of a byte, `floor(3 · byte / 256)`, without leaving 8 bits.
#[inline(always)]
fn first_code(byte: u8) -> u8 {
    u8::from(byte > 85) + u8::from(byte > 170)
}

/// A panel repeats after this many inputs: 5 tiles of 2-bit codes, 4 dense ones.
const COMMON_COLS: usize = 80;

/// Bytes of the 2-bit tiles and of the dense tiles of [`COMMON_COLS`] inputs.
const COMMON_BYTES: (usize, usize) = (5 * TILE_BYTES, 4 * TILE_BYTES);

/// Codes of [`COMMON_COLS`] inputs of 16 rows: byte `4r + j` of entry `q` is that of input `4q + j`.
type Codes = [[u8; TILE_BYTES]; COMMON_COLS / 4];

/// Packs the 2-bit tiles of one panel, or of several where no code is 3.
fn pack_panel(tiles: &[u8], dense: &mut [u8]) {
    for (tiles, dense) in tiles.chunks(COMMON_BYTES.0).zip(dense.chunks_mut(COMMON_BYTES.1)) {
        let mut codes: Codes = [[ZERO; TILE_BYTES]; COMMON_COLS / 4];
        let planes = codes.as_chunks_mut::<4>().0;
        for (tile, planes) in tiles.as_chunks::<TILE_BYTES>().0.iter().zip(planes) {
            for (p, codes) in planes.iter_mut().enumerate() {
                *codes = tile.map(|byte| byte >> (2 * p) & 3);
            }
        }
        let planes = codes.as_chunks::<TRITS>().0;
        for (dense, planes) in dense.as_chunks_mut::<TILE_BYTES>().0.iter_mut().zip(planes) {
            for (b, byte) in dense.iter_mut().enumerate() {
                *byte = encode(planes.iter().fold(0, |m, codes| 3 * m + codes[b]));
            }
        }
    }
}

/// Unpacks one panel to 2-bit tiles.
#[inline(always)]
fn unpack_panel(dense: &[u8], tiles: &mut [u8]) {
    for (dense, tiles) in dense.chunks(COMMON_BYTES.1).zip(tiles.chunks_mut(COMMON_BYTES.0)) {
        let mut codes: Codes = [[ZERO; TILE_BYTES]; COMMON_COLS / 4];
        let planes = codes.as_chunks_mut::<TRITS>().0;
        for (dense, planes) in dense.as_chunks::<TILE_BYTES>().0.iter().zip(planes) {
            let mut fraction = *dense;
            for codes in planes {
                for (code, fraction) in codes.iter_mut().zip(&mut fraction) {
                    *code = first_code(*fraction);
                    *fraction = fraction.wrapping_mul(3);
                }
            }
        }
        let planes = codes.as_chunks::<4>().0;
        for (tile, planes) in tiles.as_chunks_mut::<TILE_BYTES>().0.iter_mut().zip(planes) {
            for (b, byte) in tile.iter_mut().enumerate() {
                *byte = (0..4).fold(0, |byte, p| byte | planes[p][b] << (2 * p));
            }
        }
    }
}

super::packed!(
    DenseTernaryMatrix,
    DenseTernaryView,
    tiles,
    "dense ternary",
    [MAX_DIM, DENSE_TERNARY_TILE_COLS, TILE_BYTES]
);

impl DenseTernaryMatrix {
    /// Packs `[rows, cols]` row-major weights in {-1, 0, +1}.
    ///
    /// # Errors
    /// As [`TernaryMatrix::pack`].
    pub fn pack(rows: usize, cols: usize, weights: &[i8]) -> Result<Self, KernelError> {
        Self::from_ternary(TernaryMatrix::pack(rows, cols, weights)?.view())
    }

    /// Packs the same weights denser; [`DenseTernaryView::to_ternary`] gives them back.
    ///
    /// # Errors
    /// [`KernelError::Code`] with the offset of the first byte that holds the unused code 3.
    pub fn from_ternary(w: TernaryView<'_>) -> Result<Self, KernelError> {
        w.check_codes()?;
        let (rows, cols) = (w.rows(), w.cols());
        let mut tiles = AlignedBytes::new(DenseTernaryView::packed_len(rows, cols)?, 0);
        for (p, dense) in tiles.chunks_exact_mut(DenseTernaryView::panel_bytes(cols)).enumerate() {
            pack_panel(w.panel(p), dense);
        }
        Ok(Self { rows, cols, tiles })
    }
}

impl<'a> DenseTernaryView<'a> {
    /// The tiles of one panel, 64 bytes for every 20 inputs.
    pub fn panel(&self, index: usize) -> &'a [u8] {
        let bytes = Self::panel_bytes(self.cols);
        &self.tiles[index * bytes..][..bytes]
    }

    /// The weight of row `r`, input `k`: -1, 0 or +1.
    pub fn get(&self, r: usize, k: usize) -> i8 {
        let within = k % DENSE_TERNARY_TILE_COLS;
        let tile = &self.panel(r / PANEL)[k / DENSE_TERNARY_TILE_COLS * TILE_BYTES..];
        let byte = tile[4 * (r % PANEL) + within % 4];
        let fraction = (0..within / 4).fold(byte, |fraction, _| fraction.wrapping_mul(3));
        first_code(fraction) as i8 - 1
    }

    /// The weights as `[rows, cols]` row-major values in {-1, 0, +1}.
    pub fn unpack(&self) -> Vec<i8> {
        let mut weights = Vec::with_capacity(self.rows * self.cols);
        for r in 0..self.rows {
            weights.extend((0..self.cols).map(|k| self.get(r, k)));
        }
        weights
    }

    /// The same weights as 2-bit tiles.
    pub fn to_ternary(&self) -> TernaryMatrix {
        let mut tiles = AlignedBytes::default();
        self.unpack_panels(0..self.panels(), &mut tiles);
        TernaryMatrix::from_tiles(self.rows, self.cols, tiles)
    }

    /// Unpacks some panels to 2-bit tiles in `tiles`.
    #[inline(always)]
    pub(crate) fn unpack_panels<'t>(
        &self,
        panels: Range<usize>,
        tiles: &'t mut AlignedBytes,
    ) -> TernaryView<'t> {
        let rows = self.rows.min(PANEL * panels.end) - PANEL * panels.start;
        let bytes = TernaryView::panel_bytes(self.cols);
        tiles.reshape(panels.len() * bytes);
        for (p, tiles) in panels.zip(tiles.chunks_exact_mut(bytes)) {
            unpack_panel(self.panel(p), tiles);
        }
        TernaryView::new(rows, self.cols, tiles).expect("as many tiles as these panels have")
    }
}
