// SPDX-License-Identifier: AGPL-3.0-or-later
//! AVX-VNNI (Alder Lake, Sierra Forest, Zen 5 and later): `vpdpbusd` on 32 bytes, so that a 64-byte
//! tile is two registers of 8 rows each, and 16 registers hold everything.
//!
//! `vpdpbusd` takes 5 cycles and two start in each, so ten sums must be under way: 6 tokens x 2
//! registers are twelve. With fewer tokens the sums are split further. Ternary planes are masked
//! where they stand, which also saves the shifts: a code in plane `p` then counts `4^p` times, has
//! a sum of its own, and the shift happens once per panel. One token has four such sums, two or
//! three tokens have two; from four tokens on each plane is shifted down and there is one.
//!
//! Headroom: `vpdpbusd` widens to 32 bits by itself and does not saturate. One tile adds at most
//! `4 · 192 · 128` to a lane of the sum of plane 3 (code 3, which only a hostile file holds); sums
//! of [`TILES_PER_SHIFT`] tiles stay below `2^31`.

use core::arch::x86_64::*;

use super::Ran;
use super::blocked::{Block, Blocks, Rows, Sums, Unpacked, blocked, with_tokens};
use crate::backend::Kernels;
use crate::formats::{Int8View, PANEL, RowsView, TernaryView};
use crate::sink::Sink;

struct AvxVnni;

cpufeatures::new!(avx2, "avx2");

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    let has = super::x86_cpu::has_avx_vnni();
    #[cfg(bho_emulate)]
    let has = has || super::emulate::install();
    (has && avx2::get() && super::x86_cpu::has_f16c()).then_some(&AvxVnni as _)
}

super::kernels!(AvxVnni, "avx_vnni", "avx2,avxvnni,f16c"; super::f16c::F16c => super::avx2::PairDot);

/// Tokens that share one pass over a panel; see the module's count.
const TOKENS: usize = 6;

/// Sums that each of 1 to [`TOKENS`] tokens is split into; see the module's count.
const SPLIT: [usize; TOKENS] = [4, 2, 2, 1, 1, 1];

/// Above this many tokens, unpacking into the cache costs less than unpacking for each block.
const UNPACK_ABOVE: usize = 2 * TOKENS;

/// Tiles whose sums fit 32 bits in every plane; see the module's headroom.
const TILES_PER_SHIFT: usize = 1 << 14;

/// How far ahead of the multiplications weights are fetched: DRAM answers after some 100 ns.
const PREFETCH_BYTES: usize = 2048;

/// Rows 0..8 and 8..16 of a tile, a block or their sums.
type Halves = [__m256i; 2];

/// Reads a tile or block, and asks for the one that comes [`PREFETCH_BYTES`] later.
#[target_feature(enable = "avx2,avxvnni")]
#[inline]
fn load(block: &Block) -> Halves {
    let ahead = block.as_ptr().wrapping_add(PREFETCH_BYTES);
    // SAFETY: a prefetch reads nothing: it may point anywhere.
    #[allow(unused_unsafe, reason = "a safe function in later compilers")]
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
    }
    let (halves, _) = block.as_chunks::<32>();
    // SAFETY: each half is 32 readable bytes; the loads ask for no alignment.
    unsafe {
        [
            _mm256_loadu_si256(halves[0].as_ptr().cast()),
            _mm256_loadu_si256(halves[1].as_ptr().cast()),
        ]
    }
}

#[target_feature(enable = "avx2,avxvnni")]
#[inline]
fn load_sums(sums: &[i32; PANEL]) -> Halves {
    let (halves, _) = sums.as_chunks::<8>();
    // SAFETY: each half is 32 readable bytes; the loads ask for no alignment.
    unsafe {
        [
            _mm256_loadu_si256(halves[0].as_ptr().cast()),
            _mm256_loadu_si256(halves[1].as_ptr().cast()),
        ]
    }
}

#[target_feature(enable = "avx2,avxvnni")]
#[inline]
fn store_sums(out: &mut [i32; PANEL], sums: Halves) {
    let (halves, _) = out.as_chunks_mut::<8>();
    for (half, sums) in halves.iter_mut().zip(sums) {
        // SAFETY: each half is 32 writable bytes; the store asks for no alignment.
        unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), sums) };
    }
}

#[target_feature(enable = "avx2,avxvnni")]
#[inline]
fn add(a: Halves, b: Halves) -> Halves {
    [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])]
}

/// Groups of `N` times four activations of each of `T` tokens.
type Groups<'a, const T: usize, const N: usize> = [&'a [[[i8; 4]; N]]; T];

/// The first `len` groups of each token: of a length that needs no checks in loops.
#[inline(always)]
fn groups<'a, const T: usize, const N: usize>(
    quads: &[&'a [[i8; 4]]; T],
    len: usize,
) -> Groups<'a, T, N> {
    let mut groups: Groups<'a, T, N> = [&[]; T];
    for t in 0..T {
        groups[t] = &quads[t].as_chunks().0[..len];
    }
    groups
}

/// Adds the products of four inputs of 16 rows with the activations `x[..][i][n]`.
#[target_feature(enable = "avx2,avxvnni")]
#[inline]
fn multiply<const T: usize, const N: usize>(
    sums: &mut [Halves; T],
    codes: Halves,
    x: &Groups<'_, T, N>,
    (i, n): (usize, usize),
) {
    for t in 0..T {
        let quad = _mm256_set1_epi32(i32::from_ne_bytes(x[t][i][n].map(|v| v as u8)));
        for h in 0..2 {
            sums[t][h] = _mm256_dpbusd_avx_epi32(sums[t][h], codes[h], quad);
        }
    }
}

/// Adds the int8 products of `T` tokens with one panel to `sums`. `N` sums of each take turns.
#[target_feature(enable = "avx2,avxvnni")]
#[inline]
fn int8_tile<const T: usize, const N: usize>(
    blocks: &[Block],
    x: Rows<'_, T>,
    sums: &mut [[i32; PANEL]; TOKENS],
) {
    let mut acc = [[[_mm256_setzero_si256(); 2]; T]; N];
    for t in 0..T {
        acc[0][t] = load_sums(&sums[t]);
    }
    let quads = x.quads(blocks.len());
    let (whole, rest) = blocks.as_chunks::<N>();
    let x = groups::<T, N>(&quads, whole.len());
    for i in 0..whole.len() {
        for n in 0..N {
            multiply(&mut acc[n], load(&whole[i][n]), &x, (i, n));
        }
    }
    let x = groups::<T, 1>(&quads, blocks.len());
    for (i, block) in rest.iter().enumerate() {
        multiply(&mut acc[0], load(block), &x, (whole.len() * N + i, 0));
    }
    for t in 0..T {
        let mut total = acc[0][t];
        for acc in &acc[1..] {
            total = add(total, acc[t]);
        }
        store_sums(&mut sums[t], total);
    }
}

/// Ternary sums of `T` tokens over one panel. `N` planes are masked where they stand, and have a
/// sum each.
#[target_feature(enable = "avx2,avxvnni")]
#[inline]
fn ternary_tile<const T: usize, const N: usize>(
    tiles: &[Block],
    x: Rows<'_, T>,
) -> [[i32; PANEL]; T] {
    let masks = [3, 3 << 2, 3 << 4, 3 << 6].map(|mask: u8| _mm256_set1_epi8(mask as i8));
    let mut total = [[_mm256_setzero_si256(); 2]; T];
    for (tiles, input) in tiles.chunks(TILES_PER_SHIFT).zip((0..).step_by(16 * TILES_PER_SHIFT)) {
        let x = groups::<T, 4>(&Rows { input, ..x }.quads(4 * tiles.len()), tiles.len());
        let mut acc = [[[_mm256_setzero_si256(); 2]; T]; N];
        for i in 0..tiles.len() {
            let mut tile = load(&tiles[i]);
            for first in (0..4).step_by(N) {
                for n in 0..N {
                    let codes = tile.map(|w| _mm256_and_si256(w, masks[n]));
                    multiply(&mut acc[n], codes, &x, (i, first + n));
                }
                // Bits shifted in from the neighbour byte fall to the mask.
                tile = tile.map(|w| match N {
                    1 => _mm256_srli_epi16::<2>(w),
                    _ => _mm256_srli_epi16::<4>(w),
                });
            }
        }
        for (n, acc) in acc.iter().enumerate() {
            // Exact: all of the products are multiples of 4^n.
            let shift = _mm_cvtsi32_si128(2 * n as i32);
            for t in 0..T {
                total[t] = add(total[t], acc[t].map(|sums| _mm256_sra_epi32(sums, shift)));
            }
        }
    }
    let mut sums = [[0; PANEL]; T];
    for t in 0..T {
        store_sums(&mut sums[t], total[t]);
    }
    sums
}

#[target_feature(enable = "avx2,avxvnni")]
fn ternary<S: Sink>(w: TernaryView<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    if x.rows() > UNPACK_ABOVE {
        many(Unpacked::<1>::new(w), x, &mut sink);
        return Ran("avx_vnni", "6x16/unpacked");
    }
    // One pass, or two that are even.
    let step = if x.rows() <= TOKENS { TOKENS } else { x.rows().div_ceil(2) };
    for p in 0..w.panels() {
        let tiles = w.panel(p).as_chunks().0;
        for t in (0..x.rows()).step_by(step) {
            with_tokens!((x.rows() - t).min(step), T in 1 2 3 4 5 6, {
                let rows = Rows::<T> { x, t, input: 0 };
                let sums = ternary_tile::<T, { SPLIT[T - 1] }>(tiles, rows);
                sink.put_tokens(t, p * PANEL, &sums);
            });
        }
    }
    Ran("avx_vnni", if x.rows() == 1 { "gemv" } else { "6x16" })
}

#[target_feature(enable = "avx2,avxvnni")]
fn int8<S: Sink>(w: Int8View<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    many(w, x, &mut sink);
    Ran("avx_vnni", if x.rows() == 1 { "gemv" } else { "6x16" })
}

/// Int8 blocks through the caches; see [`blocked`].
#[target_feature(enable = "avx2,avxvnni")]
fn many<S: Sink>(w: impl Blocks, x: RowsView<'_>, sink: &mut S) {
    blocked(w, x, sink, |panels, tokens, block, sums: &mut Sums<TOKENS, 1>| {
        with_tokens!(tokens.len(), T in 1 2 3 4 5 6, {
            let rows = Rows::<T> { x, t: tokens.start, input: 4 * block };
            int8_tile::<T, { SPLIT[T - 1] }>(panels[0], rows, &mut sums[0]);
        });
    });
}

/// `vpdpbusd` on 32 bytes.
#[target_feature(enable = "avx2,avxvnni")]
fn peak(rounds: u64) -> u64 {
    const SUMS: usize = 12;
    let (w, x) = core::hint::black_box((_mm256_set1_epi8(1), _mm256_set1_epi8(1)));
    let mut sums = [_mm256_setzero_si256(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_dpbusd_avx_epi32(*sum, w, x);
        }
    }
    core::hint::black_box(sums);
    rounds * SUMS as u64 * 32
}
