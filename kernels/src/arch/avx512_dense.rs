// SPDX-License-Identifier: AGPL-3.0-or-later
//! One to four tokens through dense ternary weights (t5) with AVX-512 VNNI, without unpacking them.
//!
//! The byte `v` of five codes carries out the first as `c = floor(3·v / 256)` and leaves the others
//! in `v' = 3·v mod 256`, so `256·c = 3·v - v'`. Both go through `vpdpbusd` as they are, and what a
//! comparison per code would cost is paid once per panel:
//!
//! ```text
//! v = tile
//! for p in 0..5: S += dot(v, x[p]); v = v + v + v (mod 256); R += dot(v, x[p])
//! Σ c · x = (3·S - R) / 256
//! ```
//!
//! For 64 bytes that is 10 `vpaddb` and, for each token, 10 `vpdpbusd`: 10 cycles on two ports with
//! one token, while DRAM takes some 12 to deliver them (16 GB/s to a core of 3 GHz). Three and four
//! tokens take longer than 2-bit tiles do, but less than unpacking to those first.
//!
//! Headroom: `vpdpbusd` widens to 32 bits by itself and wraps there, as do the additions, so
//! `3·S - R` is `256 · Σ c · x` modulo `2^32` whatever `S` and `R` went through. Codes are at most 2
//! (no byte has others) and activations lie in -128..=127, so after `n` inputs that value lies in
//! `-2^16 · n ..= 65024 · n`. Of [`TILES_PER_SHIFT`] tiles it is at least `-2^16 · 2^15 = -2^31` and
//! below `2^31`: it is its own residue, the arithmetic shift divides it exactly, and no bit is lost.

use core::arch::x86_64::*;

use super::Ran;
use super::avx512_vnni::{broadcast, few, load, prefetch, stored};
use super::blocked::{Block, Rows};
use crate::formats::{DENSE_TERNARY_TILE_COLS, DenseTernaryView, PANEL, RowsView};
use crate::sink::Sink;

/// Tiles whose sums fit 32 bits; see the module's headroom.
const TILES_PER_SHIFT: usize = (1 << 15) / DENSE_TERNARY_TILE_COLS;

/// Activations of a tile: five groups of four inputs.
type Quads = [[i8; 4]; DENSE_TERNARY_TILE_COLS / 4];

/// `3 · v` modulo 256 in each byte.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn thrice(v: __m512i) -> __m512i {
    let mut v = _mm512_add_epi8(v, _mm512_add_epi8(v, v));
    // SAFETY: no instruction. Hides from the compiler that powers of 3 come of it: it would multiply
    // the first `v` by 9, 27, 81 and 243, which bytes have no instruction for.
    unsafe {
        core::arch::asm!("/* {} */", inout(zmm_reg) v, options(pure, nomem, nostack, preserves_flags));
    }
    v
}

/// Sums of `T` tokens over `P` panels side by side.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn dense_few<const T: usize, const P: usize>(
    mut panels: [&[Block]; P],
    x: Rows<'_, T>,
) -> [[[i32; PANEL]; T]; P] {
    let tiles = panels[0].len();
    for panel in &mut panels {
        *panel = &panel[..tiles];
    }
    // Rows are padded, but not to whole dense tiles: the last one may reach past them.
    let mut rows: [&[Quads]; T] = [&[]; T];
    let mut last: [Quads; T] = [Default::default(); T];
    for t in 0..T {
        let quads = x.x.padded_row(x.t + t).as_chunks::<4>().0;
        rows[t] = quads.as_chunks().0;
        let rest = quads.as_chunks::<{ DENSE_TERNARY_TILE_COLS / 4 }>().1;
        last[t][..rest.len()].copy_from_slice(rest);
    }
    let mut total = [[_mm512_setzero_si512(); T]; P];
    for start in (0..tiles).step_by(TILES_PER_SHIFT) {
        let mut s = [[[_mm512_setzero_si512(); 2]; T]; P];
        let mut r = [[[_mm512_setzero_si512(); 2]; T]; P];
        for i in start..tiles.min(start + TILES_PER_SHIFT) {
            let mut v = [_mm512_setzero_si512(); P];
            for p in 0..P {
                prefetch(&panels[p][i]);
                v[p] = load(&panels[p][i]);
            }
            let mut quads = [&last[0]; T];
            for t in 0..T {
                quads[t] = rows[t].get(i).unwrap_or(&last[t]);
            }
            for plane in 0..DENSE_TERNARY_TILE_COLS / 4 {
                let set = if T * P <= 2 { plane % 2 } else { 0 };
                let next = v.map(|v| thrice(v));
                for t in 0..T {
                    let quad = broadcast(quads[t][plane]);
                    for p in 0..P {
                        s[p][t][set] = _mm512_dpbusd_epi32(s[p][t][set], v[p], quad);
                        r[p][t][set] = _mm512_dpbusd_epi32(r[p][t][set], next[p], quad);
                    }
                }
                v = next;
            }
        }
        for p in 0..P {
            for t in 0..T {
                let [s, r] = [s, r].map(|sums| _mm512_add_epi32(sums[p][t][0], sums[p][t][1]));
                let s = _mm512_add_epi32(s, _mm512_add_epi32(s, s));
                let sum = _mm512_srai_epi32::<8>(_mm512_sub_epi32(s, r));
                total[p][t] = _mm512_add_epi32(total[p][t], sum);
            }
        }
    }
    stored(total)
}

/// Multiplies up to four tokens, and says what ran.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn few_tokens<S: Sink>(
    w: DenseTernaryView<'_>,
    x: RowsView<'_>,
    sink: &mut S,
) -> Option<Ran> {
    few!(dense_few, w, x, sink, 1: 4, 2: 4, 3: 2, 4: 2)
}
