// SPDX-License-Identifier: AGPL-3.0-or-later
//! AVX2 (Haswell, Zen and later): a 64-byte tile is two registers of 8 rows each.
//!
//! Ternary: `vpmaddubsw` multiplies codes (0..=2) by activations and adds pairs into 16 bits. A
//! pair is at least `2 · 2 · -128 = -512` and at most `2 · 2 · 127 = 508`; 64 of them stay in
//! -32768..=32512 and are then widened to 32 bits.
//!
//! One token: two planes of four are masked where they stand, which saves shifts; the odd ones then
//! count 4 times. Their pairs lie in -2048..=2032, and 14 of them (7 tiles) in -28672..=28448.
//!
//! Int8: 8-bit products of pairs do not fit 16 bits (`2 · 255 · 128`), so weights and activations
//! are widened first and `vpmaddwd` adds pairs of exact 16-bit products into 32 bits. Even and odd
//! inputs are widened apart, by a mask and a shift: both of a row's pairs end in the row's lane.
//! Two multiplications and two additions for 32 products: at most 24 a cycle on three ports.

use core::arch::x86_64::*;

use alloc::vec::Vec;

use super::Ran;
use super::blocked::{Block, Rows, Sums, Unpacked, blocked, with_tokens};
use crate::backend::Kernels;
use crate::formats::{Int8View, PANEL, RowsView, TernaryView};
use crate::sink::Sink;
use crate::vecmath::int4::{GroupDot, Line, Quads};

struct Avx2;

cpufeatures::new!(avx2, "avx2");

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    (avx2::get() && super::x86_cpu::has_f16c()).then_some(&Avx2 as _)
}

super::kernels!(Avx2, "avx2", "avx2,f16c"; super::f16c::F16c => PairDot);

/// Tokens of a register tile: 6 x 2 sums leave 4 of 16 registers for weights and activations.
const TOKENS: usize = 6;

/// Tokens of an int8 register tile: 4 x 2 sums, four registers of weights.
const INT8_TOKENS: usize = 4;

/// Blocks whose ternary sums fit 16 bits; see the module's headroom.
const BLOCKS_PER_WIDENING: usize = 64;

/// Tiles whose sums of one token fit 16 bits; see the module's headroom.
const TILES_PER_WIDENING: usize = 7;

/// How far ahead of the multiplications weights are fetched: DRAM answers after some 100 ns.
const PREFETCH_BYTES: usize = 2048;

#[target_feature(enable = "avx2")]
#[inline]
fn load(half: &[u8; 32]) -> __m256i {
    // SAFETY: the array is 32 readable bytes; the load asks for no alignment.
    unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
}

/// Asks for the weights that come after `tile`, in this panel or the next.
#[target_feature(enable = "avx2")]
#[inline]
fn prefetch(tile: &Block) {
    let ahead = tile.as_ptr().wrapping_add(PREFETCH_BYTES);
    // SAFETY: a prefetch reads nothing: it may point anywhere.
    #[allow(unused_unsafe, reason = "a safe function in later compilers")]
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
    }
}

/// Proof of AVX2: only a function compiled with it can make one.
#[derive(Clone, Copy)]
pub(super) struct PairDot(());

impl PairDot {
    #[target_feature(enable = "avx2")]
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl GroupDot for PairDot {
    /// A pair of 4-bit codes and activations is within `±2 · 15 · 128`, and eight of them within 16 bits.
    #[inline(always)]
    fn dot(self, lines: &[Line; 4], x: &Quads) -> [i32; PANEL] {
        #[target_feature(enable = "avx2")]
        #[inline]
        fn go(lines: &[Line; 4], x: &Quads) -> [i32; PANEL] {
            let mut pairs = [_mm256_setzero_si256(); 2];
            for (line, x) in lines.iter().zip(x.as_chunks::<2>().0) {
                let quads = x.map(|x| _mm256_set1_epi32(i32::from_ne_bytes(x.map(|v| v as u8))));
                for (pairs, half) in pairs.iter_mut().zip(line.as_chunks::<32>().0) {
                    let (codes, mask) = (load(half), _mm256_set1_epi8(15));
                    let low = _mm256_and_si256(codes, mask);
                    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), mask);
                    *pairs = _mm256_add_epi16(*pairs, _mm256_maddubs_epi16(low, quads[0]));
                    *pairs = _mm256_add_epi16(*pairs, _mm256_maddubs_epi16(high, quads[1]));
                }
            }
            let mut sums = [0; PANEL];
            for (half, pairs) in pairs.into_iter().enumerate() {
                add_sums(&mut sums, half, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            }
            sums
        }
        // SAFETY: `self` was made by a function that had the feature.
        unsafe { go(lines, x) }
    }
}

/// Adds 8 sums to `out[8 · half..]`.
#[target_feature(enable = "avx2")]
#[inline]
fn add_sums(out: &mut [i32; PANEL], half: usize, sums: __m256i) {
    let half = &mut out[8 * half..][..8];
    // SAFETY: the slice is 32 bytes; neither the load nor the store asks for alignment.
    unsafe {
        let at = half.as_mut_ptr().cast();
        _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), sums));
    }
}

/// Spreads four activations over all lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn broadcast(quad: [i8; 4]) -> __m256i {
    _mm256_set1_epi32(i32::from_ne_bytes(quad.map(|v| v as u8)))
}

/// Sums of one token over `P` panels, whose tiles take turns: several streams keep more of DRAM's
/// answers in flight than one.
#[target_feature(enable = "avx2")]
#[inline]
fn ternary_gemv<const P: usize>(panels: [&[Block]; P], x: Rows<'_, 1>) -> [[i32; PANEL]; P] {
    let mut sums = [[0; PANEL]; P];
    let tiles = panels[0].len();
    let [x] = x.quads(4 * tiles);
    let (x, _) = x.as_chunks::<4>();
    for start in (0..tiles).step_by(TILES_PER_WIDENING) {
        let end = tiles.min(start + TILES_PER_WIDENING);
        for p in 0..P {
            add_tiles(&panels[p][start..end], &x[start..end], &mut sums[p]);
        }
    }
    sums
}

/// Adds the products of one token with at most [`TILES_PER_WIDENING`] tiles to `sums`.
#[target_feature(enable = "avx2")]
#[inline]
fn add_tiles(tiles: &[Block], x: &[[[i8; 4]; 4]], sums: &mut [i32; PANEL]) {
    let (even, odd) = (_mm256_set1_epi8(3), _mm256_set1_epi8(3 << 2));
    let ones = _mm256_set1_epi16(1);
    // Sums of even and odd planes for each half of the rows.
    let mut narrow = [[_mm256_setzero_si256(); 2]; 2];
    for (tile, x) in tiles.iter().zip(x) {
        prefetch(tile);
        let quads = x.map(|quad| broadcast(quad));
        let (halves, _) = tile.as_chunks::<32>();
        for h in 0..2 {
            let low = load(&halves[h]);
            let high = _mm256_srli_epi16::<4>(low);
            for (w, x) in [(low, [quads[0], quads[1]]), (high, [quads[2], quads[3]])] {
                let pairs = [
                    _mm256_maddubs_epi16(_mm256_and_si256(w, even), x[0]),
                    _mm256_maddubs_epi16(_mm256_and_si256(w, odd), x[1]),
                ];
                narrow[h][0] = _mm256_add_epi16(narrow[h][0], pairs[0]);
                narrow[h][1] = _mm256_add_epi16(narrow[h][1], pairs[1]);
            }
        }
    }
    for h in 0..2 {
        let [even, odd] = narrow[h].map(|sums| _mm256_madd_epi16(sums, ones));
        // Exact: all products of odd planes are multiples of 4.
        add_sums(sums, h, _mm256_add_epi32(even, _mm256_srai_epi32::<2>(odd)));
    }
}

/// Adds the products of `T` tokens with ternary codes of one panel to `sums`.
#[target_feature(enable = "avx2")]
#[inline]
fn ternary_tile<const T: usize>(codes: &[Block], x: Rows<'_, T>, [sums]: &mut Sums<TOKENS, 1>) {
    let ones = _mm256_set1_epi16(1);
    let x = x.quads(codes.len());
    for start in (0..codes.len()).step_by(BLOCKS_PER_WIDENING) {
        let mut narrow = [[_mm256_setzero_si256(); 2]; T];
        for b in start..codes.len().min(start + BLOCKS_PER_WIDENING) {
            let (halves, _) = codes[b].as_chunks::<32>();
            let w = [load(&halves[0]), load(&halves[1])];
            for t in 0..T {
                let quad = broadcast(x[t][b]);
                for h in 0..2 {
                    let pairs = _mm256_maddubs_epi16(w[h], quad);
                    narrow[t][h] = _mm256_add_epi16(narrow[t][h], pairs);
                }
            }
        }
        for t in 0..T {
            for h in 0..2 {
                add_sums(&mut sums[t], h, _mm256_madd_epi16(narrow[t][h], ones));
            }
        }
    }
}

/// Pairs of activations widened to 16 bits: those of even inputs, and those of odd ones. Apart, so
/// that each is loaded and spread over all lanes at once.
type Pairs<'a> = [&'a [i32]; 2];

/// Adds the products of `T` tokens with int8 blocks of one panel to `sums`.
#[target_feature(enable = "avx2")]
#[inline]
fn int8_tile<const T: usize>(
    blocks: &[Block],
    x: [Pairs<'_>; T],
    [sums]: &mut Sums<INT8_TOKENS, 1>,
) {
    let even = _mm256_set1_epi16(255);
    let x = x.map(|pairs| pairs.map(|pairs| &pairs[..blocks.len()]));
    let mut lanes = [[_mm256_setzero_si256(); 2]; T];
    for (b, block) in blocks.iter().enumerate() {
        prefetch(block);
        let (halves, _) = block.as_chunks::<32>();
        let w = [load(&halves[0]), load(&halves[1])];
        let w = [w.map(|w| _mm256_and_si256(w, even)), w.map(|w| _mm256_srli_epi16::<8>(w))];
        for t in 0..T {
            for (w, x) in w.iter().zip(x[t]) {
                let pair = _mm256_set1_epi32(x[b]);
                for h in 0..2 {
                    let products = _mm256_madd_epi16(w[h], pair);
                    lanes[t][h] = _mm256_add_epi32(lanes[t][h], products);
                }
            }
        }
    }
    for t in 0..T {
        for h in 0..2 {
            add_sums(&mut sums[t], h, lanes[t][h]);
        }
    }
}

#[target_feature(enable = "avx2")]
fn ternary<S: Sink>(w: TernaryView<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    if x.rows() == 1 {
        let x = Rows { x, t: 0, input: 0 };
        let panel = |p| w.panel(p).as_chunks().0;
        let mut p = 0;
        while p + 4 <= w.panels() {
            let panels = [panel(p), panel(p + 1), panel(p + 2), panel(p + 3)];
            for sums in ternary_gemv(panels, x) {
                sink.put(0, p * PANEL, &sums);
                p += 1;
            }
        }
        while p < w.panels() {
            let [sums] = ternary_gemv([panel(p)], x);
            sink.put(0, p * PANEL, &sums);
            p += 1;
        }
        return Ran("avx2", "gemv");
    }
    let tile = |panels: &[&[Block]], t: core::ops::Range<usize>, block, sums: &mut _| {
        with_tokens!(t.len(), T in 1 2 3 4 5 6, {
            let rows = Rows { x, t: t.start, input: 4 * block };
            ternary_tile::<T>(panels[0], rows, sums);
        });
    };
    blocked(Unpacked::<1>::new(w), x, &mut sink, tile);
    Ran("avx2", "6x16/unpacked")
}

#[target_feature(enable = "avx2")]
fn int8<S: Sink>(w: Int8View<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    let quads = w.cols().div_ceil(4);
    let pair = |low: i8, high: i8| i32::from(high) << 16 | i32::from(low) & 0xffff;
    let mut wide: Vec<i32> = Vec::with_capacity(2 * quads * x.rows());
    for t in 0..x.rows() {
        let row = &x.padded_row(t).as_chunks::<4>().0[..quads];
        wide.extend(row.iter().map(|quad| pair(quad[0], quad[2])));
        wide.extend(row.iter().map(|quad| pair(quad[1], quad[3])));
    }
    let tile = |panels: &[&[Block]], t: core::ops::Range<usize>, block, sums: &mut _| {
        with_tokens!(t.len(), T in 1 2 3 4, {
            let mut rows: [Pairs<'_>; T] = [[&[]; 2]; T];
            for (i, row) in wide.chunks_exact(2 * quads).skip(t.start).take(T).enumerate() {
                rows[i] = [&row[block..quads], &row[quads + block..]];
            }
            int8_tile::<T>(panels[0], rows, sums);
        });
    };
    blocked(w, x, &mut sink, tile);
    Ran("avx2", if x.rows() == 1 { "gemv" } else { "4x16" })
}

/// `vpmaddubsw` and the 16-bit addition that goes with it.
#[target_feature(enable = "avx2")]
fn peak(rounds: u64) -> u64 {
    const SUMS: usize = 10;
    let mut sums = [_mm256_setzero_si256(); SUMS];
    let (mut w, x) = core::hint::black_box((_mm256_set1_epi8(1), _mm256_set1_epi8(1)));
    for _ in 0..rounds {
        for sum in &mut sums {
            // SAFETY: no instruction; hides from the compiler that each product is the same.
            unsafe {
                core::arch::asm!("/* {} */", inout(ymm_reg) w, options(nomem, nostack, preserves_flags));
            }
            *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(w, x));
        }
    }
    core::hint::black_box(sums);
    rounds * SUMS as u64 * 32
}
