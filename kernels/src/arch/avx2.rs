// SPDX-License-Identifier: AGPL-3.0-or-later
//! AVX2 (Haswell, Zen and later): a 64-byte tile is two registers of 8 rows each.
//!
//! Ternary: `vpmaddubsw` multiplies codes (0..=2) by activations and adds pairs into 16 bits.
//! A pair is at least `2 · 2 · -128 = -512` and at most `2 · 2 · 127 = 508`; 64 of them, one for
//! each of four planes of 16 tiles, stay in -32768..=32512 and are then widened to 32 bits.
//!
//! Int8: 8-bit products of pairs do not fit 16 bits (`2 · 255 · 128`), so weights and activations
//! are widened first and `vpmaddwd` adds pairs of exact 16-bit products into 32 bits.

use core::arch::x86_64::*;

use super::Ran;
use crate::backend::Kernels;
use crate::formats::{Int8View, PANEL, RowsView, TILE_BYTES, TernaryView};
use crate::sink::Sink;

struct Avx2;

cpufeatures::new!(avx2, "avx2");

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    avx2::get().then_some(&Avx2 as _)
}

super::kernels!(Avx2, "avx2", "avx2");

/// Tiles whose sums fit 16 bits; see the module's headroom.
const TILES_PER_WIDENING: usize = 16;

#[target_feature(enable = "avx2")]
#[inline]
fn load(half: &[u8; 32]) -> __m256i {
    // SAFETY: the array is 32 readable bytes; the load asks for no alignment.
    unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
}

/// Writes 8 sums to `out[at..at + 8]`.
#[target_feature(enable = "avx2")]
#[inline]
fn store(out: &mut [i32; PANEL], at: usize, sums: __m256i) {
    let half = &mut out[at..at + 8];
    // SAFETY: the slice is 32 writable bytes; the store asks for no alignment.
    unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), sums) };
}

/// Ternary sums of `T` tokens over one panel.
#[target_feature(enable = "avx2")]
#[inline]
fn ternary_tile<const T: usize>(
    tiles: &[[u8; TILE_BYTES]],
    x: [&[[i8; 16]]; T],
) -> [[i32; PANEL]; T] {
    let mask = _mm256_set1_epi8(3);
    let ones = _mm256_set1_epi16(1);
    let mut sums = [[_mm256_setzero_si256(); 2]; T];
    let x = x.map(|row| &row[..tiles.len()]);
    for start in (0..tiles.len()).step_by(TILES_PER_WIDENING) {
        let end = tiles.len().min(start + TILES_PER_WIDENING);
        let mut narrow = [[_mm256_setzero_si256(); 2]; T];
        for i in start..end {
            let (halves, _) = tiles[i].as_chunks::<32>();
            let mut w = [load(&halves[0]), load(&halves[1])];
            for plane in 0..4 {
                let codes = w.map(|w| _mm256_and_si256(w, mask));
                for t in 0..T {
                    let (quads, _) = x[t][i].as_chunks::<4>();
                    let quad = i32::from_ne_bytes(quads[plane].map(|v| v as u8));
                    let quad = _mm256_set1_epi32(quad);
                    for h in 0..2 {
                        let pairs = _mm256_maddubs_epi16(codes[h], quad);
                        narrow[t][h] = _mm256_add_epi16(narrow[t][h], pairs);
                    }
                }
                w = w.map(|w| _mm256_srli_epi16::<2>(w));
            }
        }
        for t in 0..T {
            for h in 0..2 {
                let wide = _mm256_madd_epi16(narrow[t][h], ones);
                sums[t][h] = _mm256_add_epi32(sums[t][h], wide);
            }
        }
    }
    sums.map(|halves| {
        let mut out = [0i32; PANEL];
        store(&mut out, 0, halves[0]);
        store(&mut out, 8, halves[1]);
        out
    })
}

/// Int8 sums of `T` tokens over rows `8 · half..` of one panel, written to `out`.
#[target_feature(enable = "avx2")]
#[inline]
fn int8_half<const T: usize>(
    blocks: &[[u8; TILE_BYTES]],
    half: usize,
    x: [&[[i16; 4]]; T],
    out: &mut [[i32; PANEL]; T],
) {
    // Lanes: two sums for each of 4 rows, in two registers.
    let mut sums = [[_mm256_setzero_si256(); 2]; T];
    let x = x.map(|row| &row[..blocks.len()]);
    for (b, block) in blocks.iter().enumerate() {
        let bytes: &[u8; 32] = &block.as_chunks::<32>().0[half];
        let w = load(bytes);
        let w = [
            _mm256_cvtepu8_epi16(_mm256_castsi256_si128(w)),
            _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(w)),
        ];
        for t in 0..T {
            let quad = x[t][b];
            let quad = i64::from_ne_bytes(bytes_of(quad));
            let quad = _mm256_set1_epi64x(quad);
            for g in 0..2 {
                sums[t][g] = _mm256_add_epi32(sums[t][g], _mm256_madd_epi16(w[g], quad));
            }
        }
    }
    for t in 0..T {
        // [a0 a0' a1 a1' | a2 a2' a3 a3'] and the same of rows 4..8 -> one sum a row, in order.
        let rows = _mm256_hadd_epi32(sums[t][0], sums[t][1]);
        store(&mut out[t], 8 * half, _mm256_permute4x64_epi64::<0b11_01_10_00>(rows));
    }
}

#[inline(always)]
fn bytes_of(quad: [i16; 4]) -> [u8; 8] {
    let [a, b, c, d] = quad.map(i16::to_ne_bytes);
    [a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]]
}

#[target_feature(enable = "avx2")]
fn ternary<S: Sink>(w: TernaryView<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    let row = |t: usize| x.padded_row(t).as_chunks::<16>().0;
    for p in 0..w.panels() {
        let (tiles, _) = w.panel(p).as_chunks::<TILE_BYTES>();
        let mut t = 0;
        while t + 4 <= x.rows() {
            let sums = ternary_tile::<4>(tiles, core::array::from_fn(|i| row(t + i)));
            for (i, sums) in sums.iter().enumerate() {
                sink.put(t + i, p * PANEL, sums);
            }
            t += 4;
        }
        while t < x.rows() {
            let [sums] = ternary_tile::<1>(tiles, [row(t)]);
            sink.put(t, p * PANEL, &sums);
            t += 1;
        }
    }
    Ran("avx2", if x.rows() == 1 { "gemv" } else { "4x16" })
}

#[target_feature(enable = "avx2")]
fn int8<S: Sink>(w: Int8View<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    // Tokens that share one pass: 6 x 2 sums fill the 16 registers.
    const TOKENS: usize = 6;
    let quads = w.cols().div_ceil(4);
    let mut wide: alloc::vec::Vec<[i16; 4]> = alloc::vec::Vec::with_capacity(quads * x.rows());
    for t in 0..x.rows() {
        let (row, _) = x.padded_row(t).as_chunks::<4>();
        wide.extend(row[..quads].iter().map(|q| q.map(i16::from)));
    }
    let row = |t: usize| &wide[t * quads..][..quads];
    for p in 0..w.panels() {
        let (blocks, _) = w.panel(p).as_chunks::<TILE_BYTES>();
        let mut t = 0;
        while t + TOKENS <= x.rows() {
            let mut sums = [[0i32; PANEL]; TOKENS];
            for half in 0..2 {
                let rows = core::array::from_fn(|i| row(t + i));
                int8_half::<TOKENS>(blocks, half, rows, &mut sums);
            }
            for (i, sums) in sums.iter().enumerate() {
                sink.put(t + i, p * PANEL, sums);
            }
            t += TOKENS;
        }
        while t < x.rows() {
            let mut sums = [[0i32; PANEL]; 1];
            for half in 0..2 {
                int8_half::<1>(blocks, half, [row(t)], &mut sums);
            }
            sink.put(t, p * PANEL, &sums[0]);
            t += 1;
        }
    }
    Ran("avx2", if x.rows() == 1 { "gemv" } else { "6x8" })
}

/// `vpmaddubsw` and the 16-bit addition that goes with it.
#[target_feature(enable = "avx2")]
fn peak(rounds: u64) -> u64 {
    const SUMS: usize = 10;
    let mut sums = [_mm256_setzero_si256(); SUMS];
    for _ in 0..rounds {
        let (w, x) = core::hint::black_box((_mm256_set1_epi8(1), _mm256_set1_epi8(1)));
        for sum in &mut sums {
            *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(w, x));
        }
    }
    core::hint::black_box(sums);
    rounds * SUMS as u64 * 32
}
