// SPDX-License-Identifier: AGPL-3.0-or-later
//! The int4 format: 4-bit weights in groups of 32 inputs with an f16 scale each, 4.5 bits a weight.
//!
//! A tile is 16 rows x 64 inputs, two groups, in nine cache lines. Lines 0..4 and 4..8 hold a group
//! each: byte `4r + j` of line `i` has `weight[r, 8i + j] + 8` in its low half and
//! `weight[r, 8i + 4 + j] + 8` in its high half, so that both halves of a line are the blocks of four
//! inputs that dot-product instructions take. Line 8 holds the scales of the 16 rows, first of one
//! group, then of the other, little-endian. Past the edge codes are 8 (weight 0) and scales 0.

use alloc::vec;

use half::f16;

use super::{AlignedBytes, MAX_DIM, PANEL, TILE_BYTES};
use crate::error::KernelError;

/// Inputs that share a scale.
pub const INT4_GROUP: usize = 32;

/// Cache lines of a group's codes.
pub(crate) const GROUP_LINES: usize = 4;

/// Inputs of a tile.
pub const INT4_TILE_COLS: usize = 2 * INT4_GROUP;

/// Bytes of a tile.
pub const INT4_TILE_BYTES: usize = (2 * GROUP_LINES + 1) * TILE_BYTES;

/// Int4 weights owned by this value; see [`Int4View`] for borrowed (mapped) ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Int4Matrix {
    rows: usize,
    cols: usize,
    tiles: AlignedBytes,
}

/// Int4 weights `[rows, cols]` over packed bytes that live elsewhere, such as a mapped file.
#[derive(Debug, Clone, Copy)]
pub struct Int4View<'a> {
    rows: usize,
    cols: usize,
    tiles: &'a [u8],
}

super::packed!(Int4Matrix, Int4View, tiles, "int4", [MAX_DIM, INT4_TILE_COLS, INT4_TILE_BYTES]);

impl Int4Matrix {
    /// Quantizes `[rows, cols]` row-major weights: each group by the scale, of a few around its
    /// largest magnitude, that leaves the smallest squared error.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] or [`KernelError::Shape`].
    pub fn quantize(rows: usize, cols: usize, weights: &[f32]) -> Result<Self, KernelError> {
        let bytes = Int4View::packed_len(rows, cols)?;
        KernelError::check("weights", rows * cols, weights.len())?;
        let mut tiles = AlignedBytes::new(bytes, 0x88);
        let panel_bytes = Int4View::panel_bytes(cols);
        let no_scales = vec![0; TILE_BYTES];
        for tile in tiles.chunks_exact_mut(INT4_TILE_BYTES) {
            tile[2 * GROUP_LINES * TILE_BYTES..].copy_from_slice(&no_scales);
        }
        for (r, row) in weights.chunks_exact(cols).enumerate() {
            let panel = &mut tiles[r / PANEL * panel_bytes..][..panel_bytes];
            for (g, group) in row.chunks(INT4_GROUP).enumerate() {
                let tile = &mut panel[g / 2 * INT4_TILE_BYTES..][..INT4_TILE_BYTES];
                let (codes, scales) = tile.split_at_mut(2 * GROUP_LINES * TILE_BYTES);
                let codes = &mut codes[g % 2 * GROUP_LINES * TILE_BYTES..];
                let scale = best_scale(group);
                let inverse = inverse(scale);
                let at = 2 * (g % 2 * PANEL + r % PANEL);
                scales[at..at + 2].copy_from_slice(&scale.to_le_bytes());
                for (k, &w) in group.iter().enumerate() {
                    let byte = &mut codes[k / 8 * TILE_BYTES + 4 * (r % PANEL) + k % 4];
                    let code = (step(w, inverse) + 8.0) as u8;
                    *byte = match k % 8 < 4 {
                        true => *byte & 0xf0 | code,
                        false => *byte & 0x0f | code << 4,
                    };
                }
            }
        }
        Ok(Self { rows, cols, tiles })
    }
}

/// What weights are multiplied by; 0 for a scale of 0, which stands for nothing but 0.
fn inverse(scale: f16) -> f32 {
    if scale.to_f32() == 0.0 { 0.0 } else { 1.0 / scale.to_f32() }
}

/// The integer in -8..=7 that stands for `w`.
fn step(w: f32, inverse: f32) -> f32 {
    // 1.5 · 2^23: what is added to it keeps no fraction.
    const ROUND: f32 = 12_582_912.0;
    ((w * inverse).clamp(-8.0, 7.0) + ROUND) - ROUND
}

/// The scale that leaves the smallest squared error. A negative one lets -8 stand for the largest.
fn best_scale(group: &[f32]) -> f16 {
    let signed = group.iter().fold(0f32, |max, &w| if w.abs() > max.abs() { w } else { max });
    if signed == 0.0 || !signed.is_finite() {
        return f16::ZERO;
    }
    let error = |scale: f16| {
        let (inverse, scale) = (inverse(scale), scale.to_f32());
        // Lanes of their own, which compilers can keep in one register.
        let mut sums = [0f32; 8];
        for group in group.chunks(8) {
            for (sum, &w) in sums.iter_mut().zip(group) {
                let error = w - scale * step(w, inverse);
                *sum += error * error;
            }
        }
        sums.iter().sum::<f32>()
    };
    let (mut best, mut least) = (f16::MAX, f32::INFINITY);
    for i in 0..=8u8 {
        let scale = f16::from_f32(signed / -(8.5 - 0.25 * f32::from(i)));
        let error = error(scale);
        if scale.is_finite() && error < least {
            (best, least) = (scale, error);
        }
    }
    best
}

impl<'a> Int4View<'a> {
    /// The tiles of one panel.
    pub(crate) fn panel(&self, index: usize) -> &'a [[u8; INT4_TILE_BYTES]] {
        let tiles = self.cols.div_ceil(INT4_TILE_COLS);
        &self.tiles.as_chunks().0[index * tiles..][..tiles]
    }

    /// The weight of row `r`, input `k`: integer times scale.
    pub fn get(&self, r: usize, k: usize) -> f32 {
        let tile = &self.panel(r / PANEL)[k / INT4_TILE_COLS];
        let (group, k) = (k % INT4_TILE_COLS / INT4_GROUP, k % INT4_GROUP);
        let byte = tile[(group * GROUP_LINES + k / 8) * TILE_BYTES + 4 * (r % PANEL) + k % 4];
        let code = if k % 8 < 4 { byte & 15 } else { byte >> 4 };
        let at = 2 * GROUP_LINES * TILE_BYTES + 2 * (group * PANEL + r % PANEL);
        let scale = f16::from_le_bytes([tile[at], tile[at + 1]]);
        scale.to_f32() * (f32::from(code) - 8.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_have_the_documented_layout() {
        // The largest magnitude becomes -8 exactly, with a scale that is a power of two.
        let mut weights = vec![0f32; 17 * 70];
        weights[5 * 70 + 33] = -2.0; // row 5, group 1, line 0, low half, j 1
        weights[16 * 70 + 69] = 4.0; // panel 1, tile 1, group 0, line 0, high half, j 1
        let packed = Int4Matrix::quantize(17, 70, &weights).unwrap();
        let bytes = packed.as_bytes();
        assert_eq!(bytes.len(), 2 * 2 * INT4_TILE_BYTES);
        let scale = |at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32();
        assert_eq!(bytes[4 * 64 + 4 * 5 + 1], 0x80);
        assert_eq!(scale(8 * 64 + 2 * (16 + 5)), 0.25);
        let tile = 3 * INT4_TILE_BYTES;
        assert_eq!(bytes[tile + 1], 0x08);
        assert_eq!(scale(tile + 8 * 64), -0.5);
        let others = bytes.iter().filter(|&&b| b != 0x88 && b != 0).count();
        assert_eq!(others, 2 + 2, "two codes and the upper byte of two scales");
        for r in 0..17 {
            for k in 0..70 {
                assert_eq!(packed.view().get(r, k), weights[r * 70 + k], "row {r}, input {k}");
            }
        }
    }

    #[test]
    fn quantizing_is_within_half_a_step_of_the_group() {
        let weights: Vec<f32> = (0..7 * 100).map(|i| (i as f32 * 0.7).sin() * i as f32).collect();
        let packed = Int4Matrix::quantize(7, 100, &weights).unwrap();
        for (r, row) in weights.chunks_exact(100).enumerate() {
            for (g, group) in row.chunks(INT4_GROUP).enumerate() {
                let largest = group.iter().fold(0f32, |max, w| max.max(w.abs()));
                let error: f32 = (0..group.len())
                    .map(|k| (group[k] - packed.view().get(r, g * INT4_GROUP + k)).powi(2))
                    .sum();
                // A uniform error within half a step of an eighth of the largest magnitude.
                let uniform = (largest / 8.0).powi(2) / 12.0 * group.len() as f32;
                assert!(error <= 1.5 * uniform, "row {r}, group {g}: {error} of {uniform}");
            }
        }
    }

    #[test]
    fn what_is_no_number_or_too_large_stays_in_range() {
        for value in [f32::NAN, f32::INFINITY, 1e30, -1e30, 1e-30] {
            let packed = Int4Matrix::quantize(1, 3, &[value, 1.0, 0.0]).unwrap();
            assert!((0..3).all(|k| packed.view().get(0, k).is_finite()), "{value}");
        }
    }
}
