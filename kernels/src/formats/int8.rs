// SPDX-License-Identifier: AGPL-3.0-or-later
//! The int8 block format: 8-bit weights in offset binary, 16 rows x 4 inputs to 64 bytes.
//!
//! Byte `4r + j` of a block is `weight[r, 4b + j] + 128`. Blocks follow each other along the
//! inputs, panels along the rows; what lies past the edge holds 128 (weight 0). Offset binary
//! makes the weights the unsigned operand that dot-product instructions want, so that the signed
//! activations need no shift and the correction is one sum per token.

use alloc::vec::Vec;

use super::{AlignedBytes, MAX_DIM, PANEL, TILE_BYTES};
use crate::error::KernelError;

/// Inputs per block.
pub const INT8_BLOCK_COLS: usize = 4;

/// Int8 weights owned by this value; see [`Int8View`] for borrowed (mapped) ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Int8Matrix {
    rows: usize,
    cols: usize,
    blocks: AlignedBytes,
}

/// Int8 weights `[rows, cols]` over packed bytes that live elsewhere, such as a mapped file.
#[derive(Debug, Clone, Copy)]
pub struct Int8View<'a> {
    rows: usize,
    cols: usize,
    blocks: &'a [u8],
}

super::packed!(
    Int8Matrix,
    Int8View,
    blocks,
    "int8",
    [Int8View::MAX_COLS, INT8_BLOCK_COLS, TILE_BYTES]
);

impl Int8Matrix {
    /// Packs `[rows, cols]` row-major weights.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] or [`KernelError::Shape`].
    pub fn pack(rows: usize, cols: usize, weights: &[i8]) -> Result<Self, KernelError> {
        let bytes = Int8View::packed_len(rows, cols)?;
        KernelError::check("int8 weights", rows * cols, weights.len())?;
        let panel_bytes = Int8View::panel_bytes(cols);
        let mut blocks = AlignedBytes::new(bytes, 128);
        for (r, row) in weights.chunks_exact(cols).enumerate() {
            let panel = &mut blocks[r / PANEL * panel_bytes..][..panel_bytes];
            for (k, &w) in row.iter().enumerate() {
                let block = k / INT8_BLOCK_COLS * TILE_BYTES;
                panel[block + 4 * (r % PANEL) + k % INT8_BLOCK_COLS] = (w as u8) ^ 0x80;
            }
        }
        Ok(Self { rows, cols, blocks })
    }

    /// Quantizes `[rows, cols]` row-major weights per row, symmetrically to -127..=127, and packs
    /// them. Returns the scale of each row: `weight ≈ scale · int8`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] or [`KernelError::Shape`].
    pub fn quantize(
        rows: usize,
        cols: usize,
        weights: &[f32],
    ) -> Result<(Self, Vec<f32>), KernelError> {
        Int8View::packed_len(rows, cols)?;
        KernelError::check("weights", rows * cols, weights.len())?;
        let mut quantized = Vec::with_capacity(weights.len());
        let mut scales = Vec::with_capacity(rows);
        for row in weights.chunks_exact(cols) {
            let absmax = row.iter().fold(0f32, |m, w| m.max(w.abs()));
            // An all-zero row keeps a finite scale.
            let scale = if absmax > 0.0 { absmax / 127.0 } else { 1.0 };
            quantized.extend(row.iter().map(|w| libm::rintf(w / scale).clamp(-127.0, 127.0) as i8));
            scales.push(scale);
        }
        Ok((Self::pack(rows, cols, &quantized)?, scales))
    }
}

impl<'a> Int8View<'a> {
    /// Most inputs: `255 · 128 · 2^16 < 2^31`, so no 32-bit sum can wrap.
    pub const MAX_COLS: usize = 1 << 16;

    /// The blocks of one panel, 64 bytes for every 4 inputs.
    pub fn panel(&self, index: usize) -> &'a [u8] {
        let bytes = Self::panel_bytes(self.cols);
        &self.blocks[index * bytes..][..bytes]
    }

    /// The weight of row `r`, input `k`.
    pub fn get(&self, r: usize, k: usize) -> i8 {
        let block = &self.panel(r / PANEL)[k / INT8_BLOCK_COLS * TILE_BYTES..];
        (block[4 * (r % PANEL) + k % INT8_BLOCK_COLS] ^ 0x80) as i8
    }

    /// Sum of the weights of each row, for [`crate::Dequant::row_sums`].
    pub fn row_sums(&self) -> Vec<i32> {
        let mut sums = Vec::with_capacity(self.panels() * PANEL);
        let padded = self.cols.next_multiple_of(INT8_BLOCK_COLS) as i32;
        for p in 0..self.panels() {
            let mut lanes = [0i32; TILE_BYTES];
            let (blocks, _) = self.panel(p).as_chunks::<TILE_BYTES>();
            for block in blocks {
                for (lane, &byte) in lanes.iter_mut().zip(block) {
                    *lane += i32::from(byte);
                }
            }
            // The padding's code 128 is a weight of 0 and goes with the offset.
            sums.extend(
                lanes.as_chunks::<4>().0.iter().map(|l| l.iter().sum::<i32>() - 128 * padded),
            );
        }
        sums.truncate(self.rows);
        sums
    }

    /// The weights as `[rows, cols]` row-major values.
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
    fn blocks_have_the_documented_layout() {
        let mut weights = vec![0i8; 16 * 8];
        weights[5 * 8 + 6] = -128; // row 5, block 1, j 2
        let packed = Int8Matrix::pack(16, 8, &weights).unwrap();
        let mut expected = [128u8; 128];
        expected[64 + 4 * 5 + 2] = 0;
        assert_eq!(packed.as_bytes(), expected);
    }

    #[test]
    fn quantizing_keeps_each_row_within_half_a_step() {
        let weights: Vec<f32> = (0..7 * 11).map(|i| (i as f32 * 0.7).sin() * i as f32).collect();
        let (packed, scales) = Int8Matrix::quantize(7, 11, &weights).unwrap();
        for r in 0..7 {
            for k in 0..11 {
                let back = scales[r] * f32::from(packed.view().get(r, k));
                assert!((back - weights[r * 11 + k]).abs() <= 0.5001 * scales[r]);
            }
        }
    }

    #[test]
    fn an_all_zero_row_stays_zero() {
        let (packed, scales) = Int8Matrix::quantize(1, 4, &[0.0; 4]).unwrap();
        assert_eq!((packed.view().unpack(), scales), (vec![0; 4], vec![1.0]));
    }

    #[test]
    fn too_many_inputs_are_refused() {
        assert!(Int8View::packed_len(1, Int8View::MAX_COLS).is_ok());
        assert!(Int8View::packed_len(1, Int8View::MAX_COLS + 1).is_err());
    }
}
