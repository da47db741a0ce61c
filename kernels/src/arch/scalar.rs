// SPDX-License-Identifier: AGPL-3.0-or-later
//! The baseline: plain Rust that every CPU runs. Sixteen running sums a token, which compilers
//! turn into whatever vectors the target's baseline has.

use super::Ran;
use crate::backend::Kernels;
use crate::formats::{Int8View, PANEL, RowsView, TILE_BYTES, TernaryView};
use crate::sink::Sink;

struct Scalar;

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    Some(&Scalar)
}

super::kernels!(Scalar, "scalar");

/// `sums[r] += Σ_j codes[4r + j] · x[j]` for 16 rows of 4 codes.
#[inline(always)]
fn dot4(sums: &mut [i32; PANEL], codes: [u8; TILE_BYTES], x: [i8; 4]) {
    for r in 0..PANEL {
        for j in 0..4 {
            sums[r] += i32::from(codes[4 * r + j]) * i32::from(x[j]);
        }
    }
}

fn ternary<S: Sink>(w: TernaryView<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    for p in 0..w.panels() {
        let (tiles, _) = w.panel(p).as_chunks::<TILE_BYTES>();
        for t in 0..x.rows() {
            let mut sums = [0i32; PANEL];
            let (quads, _) = x.padded_row(t).as_chunks::<4>();
            for (tile, quads) in tiles.iter().zip(quads.chunks_exact(4)) {
                for (plane, &quad) in quads.iter().enumerate() {
                    dot4(&mut sums, tile.map(|b| b >> (2 * plane) & 3), quad);
                }
            }
            sink.put(t, p * PANEL, &sums);
        }
    }
    Ran("scalar", "1x16")
}

fn int8<S: Sink>(w: Int8View<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    for p in 0..w.panels() {
        let (blocks, _) = w.panel(p).as_chunks::<TILE_BYTES>();
        for t in 0..x.rows() {
            let mut sums = [0i32; PANEL];
            let (quads, _) = x.padded_row(t).as_chunks::<4>();
            for (&block, &quad) in blocks.iter().zip(quads) {
                dot4(&mut sums, block, quad);
            }
            sink.put(t, p * PANEL, &sums);
        }
    }
    Ran("scalar", "1x16")
}

fn peak(rounds: u64) -> u64 {
    let mut sums = [0i32; PANEL];
    for _ in 0..rounds {
        let (codes, x) = core::hint::black_box(([1u8; TILE_BYTES], [1i8; 4]));
        dot4(&mut sums, codes, x);
    }
    core::hint::black_box(sums);
    rounds * TILE_BYTES as u64
}
