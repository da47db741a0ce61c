// SPDX-License-Identifier: AGPL-3.0-or-later
//! AVX-512 VNNI (Ice Lake, Zen 4 and later): one 64-byte tile is one register, `vpdpbusd` adds
//! four products to each of its 16 lanes, and the activation quad is a broadcast operand.
//!
//! Up to 4 tokens: planes are masked where they stand, which saves the shifts. A code in plane `p`
//! then counts `4^p` times, so each plane has its own sum and the shift happens once per panel. One
//! token takes four `vpandd` and four `vpdpbusd` a tile: 4 cycles on two ports.
//!
//! Many tokens: 8 tokens x 32 rows of sums stay in registers, 16 `vpdpbusd` for 10 loads. Planes are
//! unpacked in registers for up to two such blocks, else once into the cache ([`blocked`]).
//!
//! Headroom: `vpdpbusd` widens to 32 bits by itself and does not saturate. One tile adds at most
//! `4 · 192 · 128` to a lane of the sum of plane 3 (code 3, which only a hostile file holds); sums
//! of [`TILES_PER_SHIFT`] tiles stay below `2^31`.

use core::arch::x86_64::*;

use super::Ran;
use super::blocked::{Block, Blocks, Rows, Sums, Unpacked, blocked, with_tokens};
use crate::backend::Kernels;
use crate::formats::{Int8View, PANEL, RowsView, TILE_BYTES, TernaryView};
use crate::sink::Sink;

struct Avx512Vnni;

cpufeatures::new!(avx512, "avx512f", "avx512bw");

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    (avx512::get() && super::x86_cpu::has_avx512_vnni()).then_some(&Avx512Vnni as _)
}

super::kernels!(
    Avx512Vnni, "avx512_vnni", "avx512f,avx512bw,avx512vnni"; super::f16c::F16cWide
);

/// Tokens that share one pass over a pair of panels: 8 x 2 sums hide the latency of `vpdpbusd`
/// (5 cycles, two a cycle).
const TOKENS: usize = 8;

/// Names of the loops for up to four tokens.
const FEW: [&str; 4] = ["gemv", "2x16", "3x16", "4x16"];

/// Panels of one pass.
const PANELS: usize = 2;

/// Above this many tokens, unpacking into the cache costs less than unpacking for each block.
const UNPACK_ABOVE: usize = 2 * TOKENS;

/// Tiles whose sums fit 32 bits in every plane; see the module's headroom.
const TILES_PER_SHIFT: usize = 1 << 14;

/// How far ahead of the multiplications weights are fetched: DRAM answers after some 100 ns.
const PREFETCH_BYTES: usize = 2048;

/// Spreads four activations over all lanes.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn broadcast(quad: [i8; 4]) -> __m512i {
    _mm512_set1_epi32(i32::from_ne_bytes(quad.map(|v| v as u8)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn load(bytes: &[u8; TILE_BYTES]) -> __m512i {
    // SAFETY: the array is 64 readable bytes; the load asks for no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn load_sums(sums: &[i32; PANEL]) -> __m512i {
    // SAFETY: the array is 64 readable bytes; the load asks for no alignment.
    unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn store_sums(out: &mut [i32; PANEL], sums: __m512i) {
    // SAFETY: the array is 64 writable bytes; the store asks for no alignment.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sums) };
}

/// Adds the int8 products of `T` tokens with `P` panels to `sums`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn int8_tile<const T: usize, const P: usize>(
    panels: &[&[Block]],
    x: Rows<'_, T>,
    sums: &mut Sums<TOKENS, PANELS>,
) {
    let blocks = panels[0].len();
    let mut w = [&[][..]; P];
    let mut acc = [[_mm512_setzero_si512(); P]; T];
    for p in 0..P {
        w[p] = &panels[p][..blocks];
        for t in 0..T {
            acc[t][p] = load_sums(&sums[p][t]);
        }
    }
    let x = x.quads(blocks);
    for b in 0..blocks {
        for t in 0..T {
            let quad = broadcast(x[t][b]);
            for p in 0..P {
                acc[t][p] = _mm512_dpbusd_epi32(acc[t][p], load(&w[p][b]), quad);
            }
        }
    }
    for t in 0..T {
        for p in 0..P {
            store_sums(&mut sums[p][t], acc[t][p]);
        }
    }
}

/// Ternary sums of `T` tokens over `P` panels: each tile is unpacked in registers.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn ternary_tile<const T: usize, const P: usize>(
    w: TernaryView<'_>,
    panel: usize,
    x: Rows<'_, T>,
) -> [[[i32; PANEL]; T]; P] {
    let mut acc = [[_mm512_setzero_si512(); P]; T];
    let mask = _mm512_set1_epi8(3);
    let tiles = w.cols().div_ceil(16);
    let mut panels: [&[Block]; P] = [&[]; P];
    for p in 0..P {
        panels[p] = &w.panel(panel + p).as_chunks().0[..tiles];
    }
    let x = x.quads(4 * tiles);
    for i in 0..tiles {
        let mut tile = [_mm512_setzero_si512(); P];
        for p in 0..P {
            prefetch(&panels[p][i]);
            tile[p] = load(&panels[p][i]);
        }
        for plane in 0..4 {
            let codes = tile.map(|w| _mm512_and_si512(w, mask));
            for t in 0..T {
                let quad = broadcast(x[t][4 * i + plane]);
                for p in 0..P {
                    acc[t][p] = _mm512_dpbusd_epi32(acc[t][p], codes[p], quad);
                }
            }
            // Bits shifted in from the neighbour byte fall to the mask.
            tile = tile.map(|w| _mm512_srli_epi16::<2>(w));
        }
    }
    let mut sums = [[[0; PANEL]; T]; P];
    for t in 0..T {
        for p in 0..P {
            store_sums(&mut sums[p][t], acc[t][p]);
        }
    }
    sums
}

/// Asks for the weights that come after `tile`, in this panel or the next.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn prefetch(tile: &[u8; TILE_BYTES]) {
    let ahead = tile.as_ptr().wrapping_add(PREFETCH_BYTES);
    // SAFETY: a prefetch reads nothing: it may point anywhere.
    #[allow(unused_unsafe, reason = "a safe function in later compilers")]
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
    };
}

/// Adds the products of `T` tokens with tile `i`, one sum for each plane.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn add_planes<const T: usize>(
    tile: &Block,
    x: &[&[[i8; 4]]; T],
    i: usize,
    masks: [__m512i; 4],
    sums: &mut [[__m512i; 4]; T],
) {
    prefetch(tile);
    let tile = load(tile);
    for plane in 0..4 {
        let codes = _mm512_and_si512(tile, masks[plane]);
        for t in 0..T {
            let quad = broadcast(x[t][4 * i + plane]);
            sums[t][plane] = _mm512_dpbusd_epi32(sums[t][plane], codes, quad);
        }
    }
}

/// Ternary sums of `T` tokens over one panel, one for each plane, `TILES` tiles at a time with sums of
/// their own: enough of them that no `vpdpbusd` waits for the 5 cycles of the one before.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn ternary_few<const T: usize, const TILES: usize>(
    tiles: &[Block],
    x: Rows<'_, T>,
) -> [[i32; PANEL]; T] {
    let masks = [3, 3 << 2, 3 << 4, 3 << 6].map(|mask: u8| _mm512_set1_epi8(mask as i8));
    let x = x.quads(4 * tiles.len());
    let mut total = [_mm512_setzero_si512(); T];
    for start in (0..tiles.len()).step_by(TILES_PER_SHIFT) {
        let end = tiles.len().min(start + TILES_PER_SHIFT);
        let mut sums = [[[_mm512_setzero_si512(); 4]; T]; TILES];
        let mut i = start;
        while i + TILES <= end {
            for set in &mut sums {
                add_planes(&tiles[i], &x, i, masks, set);
                i += 1;
            }
        }
        while i < end {
            add_planes(&tiles[i], &x, i, masks, &mut sums[0]);
            i += 1;
        }
        for set in sums {
            for t in 0..T {
                // Exact: all of plane p's products are multiples of 4^p.
                let [s0, s1, s2, s3] = set[t];
                let low = _mm512_add_epi32(s0, _mm512_srai_epi32::<2>(s1));
                let high = _mm512_srai_epi32::<4>(_mm512_add_epi32(s2, _mm512_srai_epi32::<2>(s3)));
                total[t] = _mm512_add_epi32(total[t], _mm512_add_epi32(low, high));
            }
        }
    }
    let mut sums = [[0; PANEL]; T];
    for t in 0..T {
        store_sums(&mut sums[t], total[t]);
    }
    sums
}

/// Int8 sums of `T` tokens over one panel, `BLOCKS` blocks at a time with sums of their own.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn int8_few<const T: usize, const BLOCKS: usize>(
    blocks: &[Block],
    x: Rows<'_, T>,
) -> [[i32; PANEL]; T] {
    let x = x.quads(blocks.len());
    let add = |i: usize, sums: &mut [__m512i; T]| {
        prefetch(&blocks[i]);
        let w = load(&blocks[i]);
        for t in 0..T {
            sums[t] = _mm512_dpbusd_epi32(sums[t], w, broadcast(x[t][i]));
        }
    };
    let mut sets = [[_mm512_setzero_si512(); T]; BLOCKS];
    let mut i = 0;
    while i + BLOCKS <= blocks.len() {
        for set in &mut sets {
            add(i, set);
            i += 1;
        }
    }
    while i < blocks.len() {
        add(i, &mut sets[0]);
        i += 1;
    }
    let mut sums = [[0; PANEL]; T];
    for t in 0..T {
        let mut total = sets[0][t];
        for set in &sets[1..] {
            total = _mm512_add_epi32(total, set[t]);
        }
        store_sums(&mut sums[t], total);
    }
    sums
}

/// All tokens over the panels from `p` on, tiles unpacked in registers.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn ternary_panels<S: Sink, const P: usize>(
    w: TernaryView<'_>,
    p: usize,
    x: RowsView<'_>,
    sink: &mut S,
) {
    for t in (0..x.rows()).step_by(TOKENS) {
        with_tokens!((x.rows() - t).min(TOKENS), T in 1 2 3 4 5 6 7 8, {
            let sums = ternary_tile::<T, P>(w, p, Rows { x, t, input: 0 });
            for (i, sums) in sums.iter().enumerate() {
                sink.put_tokens(t, (p + i) * PANEL, sums);
            }
        });
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn ternary<S: Sink>(w: TernaryView<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    if (1..=4).contains(&x.rows()) {
        for p in 0..w.panels() {
            let tiles = w.panel(p).as_chunks().0;
            with_tokens!(x.rows(), T in 1 2 3 4, {
                const TILES: usize = if T == 1 { 2 } else { 1 };
                let sums = ternary_few::<T, TILES>(tiles, Rows { x, t: 0, input: 0 });
                sink.put_tokens(0, p * PANEL, &sums);
            });
        }
        Ran("avx512_vnni", FEW[x.rows() - 1])
    } else if x.rows() <= UNPACK_ABOVE {
        for p in (0..w.panels()).step_by(PANELS) {
            if p + PANELS <= w.panels() {
                ternary_panels::<S, PANELS>(w, p, x, &mut sink);
            } else {
                ternary_panels::<S, 1>(w, p, x, &mut sink);
            }
        }
        Ran("avx512_vnni", "8x32")
    } else {
        many(Unpacked::<PANELS>::new(w), x, &mut sink);
        Ran("avx512_vnni", "8x32/unpacked")
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn int8<S: Sink>(w: Int8View<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    if (1..=4).contains(&x.rows()) {
        for p in 0..w.panels() {
            let blocks = w.panel(p).as_chunks().0;
            with_tokens!(x.rows(), T in 1 2 3 4, {
                const BLOCKS: usize = 8 / T;
                let sums = int8_few::<T, BLOCKS>(blocks, Rows { x, t: 0, input: 0 });
                sink.put_tokens(0, p * PANEL, &sums);
            });
        }
        return Ran("avx512_vnni", FEW[x.rows() - 1]);
    }
    many(w, x, &mut sink);
    Ran("avx512_vnni", "8x32")
}

/// Int8 blocks through the caches; see [`blocked`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn many<S: Sink>(w: impl Blocks, x: RowsView<'_>, sink: &mut S) {
    blocked(w, x, sink, |panels, tokens, block, sums: &mut Sums<TOKENS, PANELS>| {
        with_tokens!(tokens.len(), T in 1 2 3 4 5 6 7 8, {
            let rows = Rows { x, t: tokens.start, input: 4 * block };
            match panels.len() {
                1 => int8_tile::<T, 1>(panels, rows, sums),
                _ => int8_tile::<T, PANELS>(panels, rows, sums),
            }
        });
    });
}

/// `vpdpbusd` on 64 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn peak(rounds: u64) -> u64 {
    const SUMS: usize = 12;
    let (w, x) = core::hint::black_box((_mm512_set1_epi8(1), _mm512_set1_epi8(1)));
    let mut sums = [_mm512_setzero_si512(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, w, x);
        }
    }
    core::hint::black_box(sums);
    rounds * (SUMS * TILE_BYTES) as u64
}
