// SPDX-License-Identifier: AGPL-3.0-or-later
//! The ternary tile format: 1.58-bit weights as 2-bit codes in 64-byte tiles.
//!
//! A tile holds 16 rows x 16 inputs. Bits `2p..2p+2` of byte `4r + j` are the code of row `r`,
//! input `4p + j`; codes 0, 1, 2 mean -1, 0, +1. Tiles follow each other along the inputs, panels
//! along the rows; what lies past the edge of the matrix holds code 1 (weight 0).

use alloc::vec::Vec;
use core::convert::Infallible;

use super::{AlignedBytes, MAX_DIM, PANEL, TILE_BYTES};
use crate::error::KernelError;

/// Inputs per tile.
pub const TERNARY_TILE_COLS: usize = 16;

/// Every code of a byte set to 1: four zero weights.
const ZERO_BYTE: u8 = 0b01_01_01_01;

/// The high bits of 16 codes.
const HIGH_BITS: u32 = 0xaaaa_aaaa;

/// Ternary weights owned by this value; see [`TernaryView`] for borrowed (mapped) ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TernaryMatrix {
    rows: usize,
    cols: usize,
    tiles: AlignedBytes,
}

/// Ternary weights `[rows, cols]` over packed bytes that live elsewhere, such as a mapped file.
///
/// Wrapping them reads no codes: a code 3 in a hostile file acts as weight +2, which is wrong data
/// but never out of bounds. [`TernaryView::check_codes`] finds it.
#[derive(Debug, Clone, Copy)]
pub struct TernaryView<'a> {
    rows: usize,
    cols: usize,
    tiles: &'a [u8],
}

super::packed!(
    TernaryMatrix,
    TernaryView,
    tiles,
    "ternary",
    [MAX_DIM, TERNARY_TILE_COLS, TILE_BYTES]
);

impl TernaryMatrix {
    /// Packs `[rows, cols]` row-major weights in {-1, 0, +1}.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] or [`KernelError::Shape`]; [`KernelError::Code`] with the index
    /// of the first weight that is not ternary.
    pub fn pack(rows: usize, cols: usize, weights: &[i8]) -> Result<Self, KernelError> {
        let bytes = TernaryView::packed_len(rows, cols)?;
        KernelError::check("ternary weights", rows * cols, weights.len())?;
        if let Some(offset) = weights.iter().position(|w| !(-1..=1).contains(w)) {
            return Err(KernelError::Code { offset });
        }
        let mut tiles = AlignedBytes::new(bytes, ZERO_BYTE);
        let panel_bytes = TernaryView::panel_bytes(cols);
        let panels = weights.chunks(PANEL * cols).zip(tiles.chunks_exact_mut(panel_bytes));
        for (weights, tiles) in panels {
            let Ok(()) = pack_panel(weights.len() / cols, cols, tiles, |r, k, codes| {
                for (code, &w) in codes.iter_mut().zip(&weights[r * cols + k..]) {
                    *code = (w + 1) as u8;
                }
                Ok::<_, Infallible>(())
            });
        }
        Ok(Self { rows, cols, tiles })
    }

    /// Takes tiles of [`TernaryView::packed_len`] bytes that [`pack_panel`] wrote.
    pub(crate) fn from_tiles(rows: usize, cols: usize, tiles: AlignedBytes) -> Self {
        debug_assert_eq!(TernaryView::packed_len(rows, cols), Ok(tiles.len()));
        Self { rows, cols, tiles }
    }
}

/// Inputs that [`pack_panel`] asks for at a time: 16 rows of their codes stay in the first cache.
pub(crate) const PACK_COLS: usize = 512;

/// Writes the tiles of one panel of `rows` (at most 16) x `cols` weights.
///
/// `fill(row, col, codes)` gives the codes 0..=2 of a row's inputs `col..col + codes.len()`, where
/// `col` is a multiple of [`PACK_COLS`]. What lies past the edge becomes code 1.
///
/// # Errors
/// The first error of `fill`; the tiles are then partly written.
pub(crate) fn pack_panel<E>(
    rows: usize,
    cols: usize,
    tiles: &mut [u8],
    mut fill: impl FnMut(usize, usize, &mut [u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut codes = [[1u8; PACK_COLS]; PANEL];
    let chunks = tiles.chunks_mut(PACK_COLS / TERNARY_TILE_COLS * TILE_BYTES);
    for (col, tiles) in (0..cols).step_by(PACK_COLS).zip(chunks) {
        let width = PACK_COLS.min(cols - col);
        for (r, row) in codes[..rows].iter_mut().enumerate() {
            fill(r, col, &mut row[..width])?;
            row[width..].fill(1);
        }
        for (r, row) in codes.iter().enumerate() {
            let (row, _) = row.as_chunks::<TERNARY_TILE_COLS>();
            for (codes, tile) in row.iter().zip(tiles.chunks_exact_mut(TILE_BYTES)) {
                let planes = codes.as_chunks::<4>().0.iter().enumerate();
                let word =
                    planes.fold(0, |word, (p, codes)| word | u32::from_le_bytes(*codes) << (2 * p));
                tile[4 * r..][..4].copy_from_slice(&word.to_le_bytes());
            }
        }
    }
    Ok(())
}

impl<'a> TernaryView<'a> {
    /// Reads every byte and reports the first that holds the unused code 3.
    ///
    /// # Errors
    /// [`KernelError::Code`] with the byte's offset.
    pub fn check_codes(&self) -> Result<(), KernelError> {
        let wrong = |b: &u8| b & (b >> 1) & ZERO_BYTE != 0;
        // A tile at a time becomes vector code, a search by byte does not.
        let tiles = self.tiles.chunks_exact(TILE_BYTES);
        let any = |tile: &[u8]| tile.iter().fold(0, |bits, b| bits | b & (b >> 1)) & ZERO_BYTE;
        for (i, tile) in tiles.enumerate().filter(|(_, tile)| any(tile) != 0) {
            if let Some(byte) = tile.iter().position(wrong) {
                return Err(KernelError::Code { offset: i * TILE_BYTES + byte });
            }
        }
        Ok(())
    }

    /// Sum of the weights of each row, for [`crate::Dequant::row_sums`].
    pub fn row_sums(&self) -> Vec<i32> {
        let mut sums = Vec::with_capacity(self.panels() * PANEL);
        for p in 0..self.panels() {
            let mut lanes = [0u32; PANEL];
            let (tiles, _) = self.panel(p).as_chunks::<TILE_BYTES>();
            for tile in tiles {
                for (lane, word) in lanes.iter_mut().zip(tile.as_chunks::<4>().0) {
                    let word = u32::from_le_bytes(*word);
                    // The low bit of a code counts once, the high one twice.
                    *lane += word.count_ones() + (word & HIGH_BITS).count_ones();
                }
            }
            // The padding's code 1 is a weight of 0 and goes with the offset.
            let offset = (tiles.len() * TERNARY_TILE_COLS) as i32;
            sums.extend(lanes.map(|lane| lane as i32 - offset));
        }
        sums.truncate(self.rows);
        sums
    }

    /// The tiles of one panel, 64 bytes for every 16 inputs.
    pub fn panel(&self, index: usize) -> &'a [u8] {
        let bytes = Self::panel_bytes(self.cols);
        &self.tiles[index * bytes..][..bytes]
    }

    /// The weight of row `r`, input `k`: -1, 0 or +1 (+2 for the unused code).
    pub fn get(&self, r: usize, k: usize) -> i8 {
        let within = k % TERNARY_TILE_COLS;
        let tile = &self.panel(r / PANEL)[k / TERNARY_TILE_COLS * TILE_BYTES..];
        (tile[4 * (r % PANEL) + within % 4] >> (2 * (within / 4)) & 3) as i8 - 1
    }

    /// The weights as `[rows, cols]` row-major values in {-1, 0, +1}.
    pub fn unpack(&self) -> Vec<i8> {
        let mut weights = Vec::with_capacity(self.rows * self.cols);
        for r in 0..self.rows {
            weights.extend((0..self.cols).map(|k| self.get(r, k)));
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tile_has_the_documented_layout() {
        // Row 3, input 9 = plane 2, j 1: bits 4..6 of byte 4*3 + 1.
        let mut weights = vec![0i8; 256];
        weights[3 * 16 + 9] = 1;
        let packed = TernaryMatrix::pack(16, 16, &weights).unwrap();
        let mut expected = [ZERO_BYTE; 64];
        expected[13] = 0b01_10_01_01;
        assert_eq!(packed.as_bytes(), expected);
    }

    #[test]
    fn padding_holds_zero_weights() {
        let packed = TernaryMatrix::pack(1, 1, &[-1]).unwrap();
        assert_eq!(packed.as_bytes()[0], 0b01_01_01_00);
        assert!(packed.as_bytes()[1..].iter().all(|&b| b == ZERO_BYTE));
    }

    #[test]
    fn row_sums_are_those_of_the_weights() {
        let (rows, cols) = (19, 45);
        let weights: Vec<i8> = (0..rows * cols).map(|i| (i * i % 7 % 3) as i8 - 1).collect();
        let packed = TernaryMatrix::pack(rows, cols, &weights).unwrap();
        let expected = weights.chunks(cols).map(|row| row.iter().map(|&w| i32::from(w)).sum());
        assert_eq!(packed.view().row_sums(), expected.collect::<Vec<i32>>());
    }

    #[test]
    fn bad_shapes_and_codes_are_refused() {
        assert!(matches!(
            TernaryMatrix::pack(0, 4, &[]),
            Err(KernelError::Dimension { what: "ternary rows", .. })
        ));
        assert_eq!(TernaryMatrix::pack(1, 3, &[0, 2, 0]), Err(KernelError::Code { offset: 1 }));
        assert!(TernaryView::new(16, 16, &[0; 63]).is_err());
        assert!(TernaryView::packed_len(usize::MAX, usize::MAX).is_err());
        let mut tile = [ZERO_BYTE; 64];
        tile[7] = 0b00_11_00_00;
        let view = TernaryView::new(16, 16, &tile).unwrap();
        assert_eq!(view.check_codes(), Err(KernelError::Code { offset: 7 }));
    }
}
