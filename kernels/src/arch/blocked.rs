// SPDX-License-Identifier: AGPL-3.0-or-later
//! Cache blocking for many tokens, shared by all backends.
//!
//! Three loops around a backend's register tile: tokens in blocks whose activations stay in the
//! second-level cache, panels, and stretches of inputs whose weights stay in the first-level cache
//! while all tokens of the block go by. Ternary weights are unpacked to codes once a stretch,
//! which are then int8 blocks: one register tile serves both formats.

use alloc::vec::Vec;
use core::ops::Range;

use crate::formats::{Int8View, PANEL, RowsView, TILE_BYTES, TernaryView};
use crate::sink::Sink;

/// Four inputs of the 16 rows of a panel.
pub(super) type Block = [u8; TILE_BYTES];

/// Sums of `T` tokens over each of `P` panels.
pub(super) type Sums<const T: usize, const P: usize> = [[[i32; PANEL]; T]; P];

/// Activations of a block of tokens: they leave room for weights in caches of 1 MiB.
const TOKEN_BYTES: usize = 512 << 10;

/// Blocks of two panels that share a first-level cache of 32 KiB with the activations: 24 KiB.
const STRETCH: usize = 192;

/// Weights as int8 blocks, from whatever format.
pub(super) trait Blocks {
    /// Number of panels.
    fn panels(&self) -> usize;
    /// Blocks in a panel.
    fn len(&self) -> usize;
    /// A stretch of `P` panels, the first of which is `panel`. Those past the end are empty.
    fn stretch<const P: usize>(&mut self, panel: usize, blocks: Range<usize>) -> [&[Block]; P];
}

impl Blocks for Int8View<'_> {
    #[inline(always)]
    fn panels(&self) -> usize {
        Int8View::panels(self)
    }

    #[inline(always)]
    fn len(&self) -> usize {
        self.cols().div_ceil(4)
    }

    #[inline(always)]
    fn stretch<const P: usize>(&mut self, panel: usize, blocks: Range<usize>) -> [&[Block]; P] {
        core::array::from_fn(|p| {
            if panel + p >= self.panels() {
                return &[][..];
            }
            &self.panel(panel + p).as_chunks().0[blocks.clone()]
        })
    }
}

/// Ternary weights, unpacked a stretch at a time.
pub(super) struct Unpacked<'a, const P: usize> {
    w: TernaryView<'a>,
    codes: [Vec<Block>; P],
}

impl<'a, const P: usize> Unpacked<'a, P> {
    pub(super) fn new(w: TernaryView<'a>) -> Self {
        Self { w, codes: core::array::from_fn(|_| Vec::new()) }
    }
}

impl<const N: usize> Blocks for Unpacked<'_, N> {
    #[inline(always)]
    fn panels(&self) -> usize {
        self.w.panels()
    }

    #[inline(always)]
    fn len(&self) -> usize {
        4 * self.w.cols().div_ceil(16)
    }

    #[inline(always)]
    fn stretch<const P: usize>(&mut self, panel: usize, blocks: Range<usize>) -> [&[Block]; P] {
        for (p, codes) in self.codes.iter_mut().enumerate() {
            codes.clear();
            if panel + p < self.w.panels() {
                let tiles: &[Block] = self.w.panel(panel + p).as_chunks().0;
                unpack(&tiles[blocks.start / 4..blocks.end / 4], codes);
            }
        }
        core::array::from_fn(|p| &self.codes[p][..])
    }
}

/// Unpacks tiles to codes in the order of int8 blocks: plane by plane.
#[inline(always)]
fn unpack(tiles: &[Block], codes: &mut Vec<Block>) {
    codes.resize(tiles.len() * 4, [0; TILE_BYTES]);
    for (tile, planes) in tiles.iter().zip(codes.as_chunks_mut::<4>().0) {
        for (plane, codes) in planes.iter_mut().enumerate() {
            for (code, byte) in codes.iter_mut().zip(tile) {
                *code = byte >> (2 * plane) & 3;
            }
        }
    }
}

/// Multiplies all tokens. `tile(panels, tokens, block, sums)` adds the products of up to `T` tokens
/// with up to `P` panels of one stretch, whose inputs start at `4 · block`, to `sums`.
#[inline(always)]
pub(super) fn blocked<S: Sink, const T: usize, const P: usize>(
    mut w: impl Blocks,
    x: RowsView<'_>,
    sink: &mut S,
    mut tile: impl FnMut(&[&[Block]], Range<usize>, usize, &mut Sums<T, P>),
) {
    let block = (TOKEN_BYTES / x.padded_row_len()).max(4 * T).next_multiple_of(T);
    let mut sums: Vec<Sums<T, P>> = Vec::new();
    for first in (0..x.rows()).step_by(block) {
        let end = x.rows().min(first + block);
        for panel in (0..w.panels()).step_by(P) {
            let panels = P.min(w.panels() - panel);
            sums.clear();
            sums.resize((end - first).div_ceil(T), [[[0; PANEL]; T]; P]);
            for start in (0..w.len()).step_by(STRETCH) {
                let blocks = start..w.len().min(start + STRETCH);
                let stretch: [&[Block]; P] = w.stretch(panel, blocks);
                for (t, sums) in (first..end).step_by(T).zip(&mut sums) {
                    tile(&stretch[..panels], t..end.min(t + T), start, sums);
                }
            }
            for (t, sums) in (first..end).step_by(T).zip(&sums) {
                for (p, sums) in sums.iter().take(panels).enumerate() {
                    let row0 = (panel + p) * PANEL;
                    if t + T <= end {
                        sink.put_tokens(t, row0, sums);
                    } else {
                        sums.iter().zip(t..end).for_each(|(sums, t)| sink.put(t, row0, sums));
                    }
                }
            }
        }
    }
}
