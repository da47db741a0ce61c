// SPDX-License-Identifier: AGPL-3.0-or-later
//! Products with int4 weights: integer sums of a group, scaled and added up as floats.

use alloc::vec::Vec;

use half::f16;

use super::convert::HalfLanes;
use super::{LANES, Lanes};
use crate::error::KernelError;
use crate::formats::{
    GROUP_LINES, INT4_GROUP, INT4_TILE_BYTES, Int4View, PANEL, RowsView, TILE_BYTES,
};

/// Four inputs of the 16 rows of a panel, twice: in the low and in the high halves of bytes.
pub(crate) type Line = [u8; TILE_BYTES];

/// The inputs of one group, in blocks of four.
pub(crate) type Quads = [[i8; 4]; INT4_GROUP / 4];

const NO_INPUTS: Quads = [[0; 4]; INT4_GROUP / 4];

/// Tokens that share one pass over a panel.
const TOKENS: usize = 4;

/// How far ahead of the multiplications weights are fetched, in bytes: DRAM answers after some 100 ns.
const PREFETCH_BYTES: usize = 2304;

/// One group of inputs: of the 16 rows of a panel and of `T` tokens.
pub(crate) struct Group<'a, const T: usize> {
    pub(crate) codes: &'a [Line; GROUP_LINES],
    pub(crate) scales: Lanes,
    pub(crate) x: [&'a Quads; T],
    /// Where sums of codes start: what they are too large by is taken off, `-8 · Σ x`.
    pub(crate) starts: [i32; T],
}

/// Sums over one group: plain loops, or the instructions a backend has.
///
/// A value of the type is the proof that its instructions may run.
pub(crate) trait GroupDot: Copy {
    /// `acc[t, r] += scale[r] · (start[t] + Σ_k code[r, k] · x[t, k])`: the sum is exact, the product
    /// is rounded before it is added.
    #[inline(always)]
    fn add<const T: usize>(self, group: &Group<'_, T>, acc: &mut [Lanes; T]) {
        for t in 0..T {
            let sums = self.dot(group.codes, group.x[t]);
            for l in 0..LANES {
                acc[t][l] += (group.starts[t] + sums[l]) as f32 * group.scales[l];
            }
        }
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
    let groups = x.padded_row_len() / INT4_GROUP;
    let mut starts = Vec::with_capacity(x.rows() * groups);
    for t in 0..x.rows() {
        let row = x.padded_row(t).chunks_exact(INT4_GROUP);
        starts.extend(row.map(|group| -8 * group.iter().map(|&v| i32::from(v)).sum::<i32>()));
    }
    let layer = Layer { w, x, groups, starts: &starts, bias };
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
    /// Groups of a row, the last tile's included.
    groups: usize,
    /// `[tokens, groups]`; see [`Group::starts`].
    starts: &'a [i32],
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
        let tiles = self.w.panel(panel);
        let mut x: [&[Quads]; T] = [&[]; T];
        let mut starts: [&[i32]; T] = [&[]; T];
        for i in 0..T {
            x[i] = &self.x.padded_row(t + i).as_chunks().0.as_chunks().0[..2 * tiles.len()];
            starts[i] = &self.starts[(t + i) * self.groups..][..2 * tiles.len()];
        }
        let mut acc = [[0f32; LANES]; T];
        for (n, tile) in tiles.iter().enumerate() {
            for line in 0..INT4_TILE_BYTES / TILE_BYTES {
                crate::arch::prefetch(tile, PREFETCH_BYTES + line * TILE_BYTES);
            }
            let (lines, _) = tile.as_chunks::<TILE_BYTES>();
            for half in 0..2 {
                let Some(codes) = lines[half * GROUP_LINES..].first_chunk() else { break };
                let scales = halves.widen(&scales(&lines[2 * GROUP_LINES], half));
                let mut group = Group { codes, scales, x: [&NO_INPUTS; T], starts: [0; T] };
                for i in 0..T {
                    group.x[i] = &x[i][2 * n + half];
                    group.starts[i] = starts[i][2 * n + half];
                }
                dots.add(&group, &mut acc);
            }
        }
        for i in 0..T {
            self.put(panel, t + i, &acc[i], y);
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

/// The scales of one group in their line.
#[inline(always)]
fn scales(line: &Line, half: usize) -> [f16; LANES] {
    let mut scales = [f16::ZERO; LANES];
    for (scale, bytes) in scales.iter_mut().zip(line[half * 2 * LANES..].as_chunks().0) {
        *scale = f16::from_le_bytes(*bytes);
    }
    scales
}
