// SPDX-License-Identifier: AGPL-3.0-or-later
//! Products with int4 weights: integer sums of a group, scaled and added up as floats.

use alloc::vec::Vec;

use half::f16;

use super::convert::HalfLanes;
use super::{LANES, Lanes};
use crate::error::KernelError;
use crate::formats::{
    GROUP_LINES, INT4_GROUP, INT4_TILE_BYTES, INT4_TILE_COLS, Int4View, PANEL, RowsView, TILE_BYTES,
};

/// Four inputs of the 16 rows of a panel, twice: in the low and in the high halves of bytes.
pub(crate) type Line = [u8; TILE_BYTES];

/// The inputs of one group, in blocks of four.
pub(crate) type Quads = [[i8; 4]; INT4_GROUP / 4];

/// Tokens that share one pass over a panel.
const TOKENS: usize = 4;

/// How far ahead of the multiplications weights are fetched, in bytes: DRAM answers after some 100 ns.
const PREFETCH_BYTES: usize = 2304;

/// One panel of 16 rows and `T` tokens; all slices have one item a tile.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a, const T: usize> {
    pub(crate) tiles: &'a [[u8; INT4_TILE_BYTES]],
    /// The inputs of the two groups of a tile.
    pub(crate) x: [&'a [[Quads; 2]]; T],
    /// What the codes of the two groups are too large by is taken off: `-8 · Σ x`.
    pub(crate) starts: [&'a [[i32; 2]]; T],
}

/// Sums over groups and panels: plain loops, or the instructions a backend has.
///
/// A value of the type is the proof that its instructions may run.
pub(crate) trait GroupDot: Copy {
    /// `Σ_g scale[r, g] · (start[t, g] + Σ_{k in g} code[r, k] · x[t, k])` of 16 rows: the sum of a
    /// group is exact, its product is rounded before it is added, groups follow in their order.
    #[inline(always)]
    fn panel<const T: usize>(self, halves: impl HalfLanes, panel: Panel<'_, T>) -> [Lanes; T] {
        let Panel { tiles, mut x, mut starts } = panel;
        for i in 0..T {
            (x[i], starts[i]) = (&x[i][..tiles.len()], &starts[i][..tiles.len()]);
        }
        let mut acc = [[0f32; LANES]; T];
        for n in 0..tiles.len() {
            prefetch(&tiles[n]);
            for half in 0..2 {
                let (codes, scales) = group(&tiles[n], half);
                let scales = halves.widen(&scales);
                for i in 0..T {
                    let (sums, start) = (self.dot(codes, &x[i][n][half]), starts[i][n][half]);
                    for l in 0..LANES {
                        acc[i][l] += (sums[l] + start) as f32 * scales[l];
                    }
                }
            }
        }
        acc
    }

    /// `Σ_k code[r, k] · x[k]` of 16 rows, exact.
    #[inline(always)]
    fn dot(self, lines: &[Line; GROUP_LINES], x: &Quads) -> [i32; LANES] {
        let mut sums = [0; LANES];
        for (line, x) in lines.iter().zip(x.as_chunks::<2>().0) {
            for r in 0..LANES {
                for j in 0..4 {
                    let byte = line[4 * r + j];
                    sums[r] += i32::from(byte & 15) * i32::from(x[0][j]);
                    sums[r] += i32::from(byte >> 4) * i32::from(x[1][j]);
                }
            }
        }
        sums
    }
}

impl GroupDot for super::PlainLanes {}

/// Asks for the weights that come after `tile`, in this panel or the next.
#[inline(always)]
pub(crate) fn prefetch(tile: &[u8; INT4_TILE_BYTES]) {
    for line in 0..INT4_TILE_BYTES / TILE_BYTES {
        crate::arch::prefetch(tile, PREFETCH_BYTES + line * TILE_BYTES);
    }
}

/// Codes and scales of the first or second group of a tile.
#[inline(always)]
pub(crate) fn group(
    tile: &[u8; INT4_TILE_BYTES],
    half: usize,
) -> (&[Line; GROUP_LINES], [f16; LANES]) {
    let (lines, _) = tile.as_chunks::<TILE_BYTES>();
    let mut scales = [f16::ZERO; LANES];
    let bytes = lines[2 * GROUP_LINES][half * 2 * LANES..].as_chunks().0;
    for (scale, bytes) in scales.iter_mut().zip(bytes) {
        *scale = f16::from_le_bytes(*bytes);
    }
    (&lines.as_chunks().0[half], scales)
}

/// `y[t, r] = x_scale[t] · Σ_g scale[r, g] · Σ_{k in g} w[r, k] · x[t, k] + bias[r]`.
#[inline(always)]
pub(crate) fn int4_linear(
    halves: impl HalfLanes,
    dots: impl GroupDot,
    w: Int4View<'_>,
    x: RowsView<'_>,
    bias: Option<&[f32]>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    KernelError::check("activation columns", w.cols(), x.cols())?;
    KernelError::check("output", x.rows() * w.rows(), y.len())?;
    KernelError::check("bias", w.rows(), bias.map_or(w.rows(), <[f32]>::len))?;
    KernelError::check("zero points of activations", 0, usize::from(x.has_zeros()))?;
    let tiles = x.padded_row_len() / INT4_TILE_COLS;
    let mut starts = Vec::with_capacity(x.rows() * tiles);
    for t in 0..x.rows() {
        for tile in x.padded_row(t).as_chunks::<INT4_GROUP>().0.as_chunks::<2>().0 {
            starts.push(tile.map(|group| -8 * group.iter().map(|&v| i32::from(v)).sum::<i32>()));
        }
    }
    let layer = Layer { w, x, tiles, starts: &starts, bias };
    for panel in 0..w.panels() {
        let mut t = 0;
        while t < x.rows() {
            t += match x.rows() - t {
                1 => layer.tokens::<1>(halves, dots, panel, t, y),
                2 => layer.tokens::<2>(halves, dots, panel, t, y),
                3 => layer.tokens::<3>(halves, dots, panel, t, y),
                _ => layer.tokens::<TOKENS>(halves, dots, panel, t, y),
            };
        }
    }
    Ok(())
}

/// What is multiplied, after all shapes were checked.
struct Layer<'a> {
    w: Int4View<'a>,
    x: RowsView<'a>,
    /// Tiles of a row.
    tiles: usize,
    /// `[tokens, tiles]`; see [`Panel::starts`].
    starts: &'a [[i32; 2]],
    bias: Option<&'a [f32]>,
}

impl Layer<'_> {
    /// Tokens `t..t + T` times one panel; returns `T`.
    #[inline(always)]
    fn tokens<const T: usize>(
        &self,
        halves: impl HalfLanes,
        dots: impl GroupDot,
        panel: usize,
        t: usize,
        y: &mut [f32],
    ) -> usize {
        let (tiles, count) = (self.w.panel(panel), self.tiles);
        let mut these = Panel { tiles, x: [&[]; T], starts: [&[]; T] };
        for i in 0..T {
            these.x[i] = self.x.padded_row(t + i).as_chunks().0.as_chunks().0.as_chunks().0;
            these.starts[i] = &self.starts[(t + i) * count..][..count];
        }
        let sums = dots.panel(halves, these);
        for i in 0..T {
            self.put(panel, t + i, &sums[i], y);
        }
        T
    }

    /// Scales the sums of one token and stores those that are rows of the matrix.
    #[inline(always)]
    fn put(&self, panel: usize, t: usize, sums: &Lanes, y: &mut [f32]) {
        let (row0, scale) = (panel * PANEL, self.x.quant(t).scale);
        let width = PANEL.min(self.w.rows() - row0);
        let out = &mut y[t * self.w.rows() + row0..][..width];
        for (l, out) in out.iter_mut().enumerate() {
            *out = sums[l] * scale + self.bias.map_or(0.0, |bias| bias[row0 + l]);
        }
    }
}
