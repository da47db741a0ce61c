// SPDX-License-Identifier: AGPL-3.0-or-later
//! Cache blocking for many tokens, shared by all backends.
//!
//! Three loops around a backend's register tile: tokens in blocks whose activations stay in the
//! second-level cache, panels, and stretches of inputs whose weights stay in the first-level cache
//! while all tokens of the block go by. Ternary weights are unpacked to codes once a stretch,
//! which are then int8 blocks: one register tile serves both formats.

use alloc::vec::Vec;
use core::ops::Range;

use crate::formats::{AlignedBytes, Int8View, PANEL, RowsView, TILE_BYTES, TernaryView};
use crate::sink::Sink;

/// Four inputs of the 16 rows of a panel.
pub(super) type Block = [u8; TILE_BYTES];

/// Sums of `T` tokens over each of `P` panels.
pub(super) type Sums<const T: usize, const P: usize> = [[[i32; PANEL]; T]; P];

/// Activations of `T` tokens from `t` on, inputs from `input` on.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, const T: usize> {
    pub(super) x: RowsView<'a>,
    pub(super) t: usize,
    pub(super) input: usize,
}

impl<'a, const T: usize> Rows<'a, T> {
    /// The first `len` groups of four inputs of each token: rows are padded to whole tiles.
    #[inline(always)]
    pub(super) fn quads(self, len: usize) -> [&'a [[i8; 4]]; T] {
        let mut quads: [&[[i8; 4]]; T] = [&[]; T];
        for (i, quads) in quads.iter_mut().enumerate() {
            *quads = &self.x.padded_row(self.t + i)[self.input..].as_chunks().0[..len];
        }
        quads
    }
}

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
    /// Tokens that the register tile multiplies together: blocks of tokens start at multiples.
    #[inline(always)]
    fn token_group(&self) -> usize {
        1
    }
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
        let mut stretch: [&[Block]; P] = [&[]; P];
        for (p, stretch) in stretch.iter_mut().enumerate().take(self.panels() - panel) {
            *stretch = &self.panel(panel + p).as_chunks().0[blocks.clone()];
        }
        stretch
    }
}

/// Ternary weights, unpacked a stretch at a time.
pub(super) struct Unpacked<'a, const P: usize> {
    w: TernaryView<'a>,
    codes: [AlignedBytes; P],
}

impl<'a, const P: usize> Unpacked<'a, P> {
    pub(super) fn new(w: TernaryView<'a>) -> Self {
        Self { w, codes: core::array::from_fn(|_| AlignedBytes::default()) }
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
            codes.reshape(0);
            if panel + p < self.w.panels() {
                let tiles: &[Block] = self.w.panel(panel + p).as_chunks().0;
                unpack(&tiles[blocks.start / 4..blocks.end / 4], codes);
            }
        }
        let mut stretch: [&[Block]; P] = [&[]; P];
        for (stretch, codes) in stretch.iter_mut().zip(&self.codes) {
            *stretch = codes.as_chunks().0;
        }
        stretch
    }
}

/// Unpacks tiles to codes in the order of int8 blocks: plane by plane.
#[inline(always)]
fn unpack(tiles: &[Block], codes: &mut AlignedBytes) {
    codes.reshape(tiles.len() * 4 * TILE_BYTES);
    for (tile, planes) in tiles.iter().zip(codes.chunks_exact_mut(4 * TILE_BYTES)) {
        for (plane, codes) in planes.as_chunks_mut::<TILE_BYTES>().0.iter_mut().enumerate() {
            for (code, byte) in codes.iter_mut().zip(tile) {
                *code = byte >> (2 * plane) & 3;
            }
        }
    }
}

/// Calls `$body` with `$count` as the constant `$T`, which is one of the literals.
macro_rules! with_tokens {
    ($count:expr, $T:ident in $($n:literal)*, $body:expr) => {
        match $count {
            $($n => {
                const $T: usize = $n;
                $body
            })*
            _ => unreachable!("more tokens than a register tile holds"),
        }
    };
}
pub(super) use with_tokens;

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
        // As even as can be: 9 tokens are 5 and 4, not 8 and a lonely one.
        let step = (end - first).div_ceil((end - first).div_ceil(T));
        // AMX multiplies 16 tokens as fast as one.
        let step = step.next_multiple_of(if T.is_multiple_of(16) { 16 } else { 1 });
        let step = step.next_multiple_of(w.token_group());
        for panel in (0..w.panels()).step_by(P) {
            let panels = P.min(w.panels() - panel);
            sums.clear();
            sums.resize((end - first).div_ceil(step), [[[0; PANEL]; T]; P]);
            for start in (0..w.len()).step_by(STRETCH) {
                let blocks = start..w.len().min(start + STRETCH);
                let stretch: [&[Block]; P] = w.stretch(panel, blocks);
                for (t, sums) in (first..end).step_by(step).zip(&mut sums) {
                    tile(&stretch[..panels], t..end.min(t + step), start, sums);
                }
            }
            for (t, sums) in (first..end).step_by(step).zip(&sums) {
                let tokens = t..end.min(t + step);
                for (p, sums) in sums.iter().take(panels).enumerate() {
                    let row0 = (panel + p) * PANEL;
                    if tokens.len() == T {
                        sink.put_tokens(t, row0, sums);
                    } else {
                        for (sums, t) in sums.iter().zip(tokens.clone()) {
                            sink.put(t, row0, sums);
                        }
                    }
                }
            }
        }
    }
}
