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
use crate::vecmath::int4::{GroupDot, Line, Quads};

struct Avx512Vnni;

cpufeatures::new!(avx512, "avx512f", "avx512bw");

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    (avx512::get() && super::x86_cpu::has_avx512_vnni()).then_some(&Avx512Vnni as _)
}

super::kernels!(
    Avx512Vnni, "avx512_vnni", "avx512f,avx512bw,avx512vnni"; super::f16c::F16cWide => QuadDot,
    super::avx512_dense::few_tokens
);

/// Tokens that share one pass over a pair of panels: 8 x 2 sums hide the latency of `vpdpbusd`
/// (5 cycles, two a cycle).
const TOKENS: usize = 8;

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
pub(super) fn broadcast(quad: [i8; 4]) -> __m512i {
    _mm512_set1_epi32(i32::from_ne_bytes(quad.map(|v| v as u8)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
pub(super) fn load(bytes: &[u8; TILE_BYTES]) -> __m512i {
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

/// Proof of AVX-512 VNNI: only a function compiled with it can make one.
#[derive(Clone, Copy)]
pub(super) struct QuadDot(());

impl QuadDot {
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl GroupDot for QuadDot {
    #[inline(always)]
    fn dot(self, lines: &[Line; 4], x: &Quads) -> [i32; PANEL] {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        #[inline]
        fn go(lines: &[Line; 4], x: &Quads) -> [i32; PANEL] {
            let mask = _mm512_set1_epi8(15);
            // One sum for each half, so that one does not wait for the other.
            let (mut low, mut high) = (_mm512_setzero_si512(), _mm512_setzero_si512());
            for i in 0..4 {
                let codes = load(&lines[i]);
                let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), mask);
                low = _mm512_dpbusd_epi32(low, _mm512_and_si512(codes, mask), broadcast(x[2 * i]));
                high = _mm512_dpbusd_epi32(high, upper, broadcast(x[2 * i + 1]));
            }
            let mut sums = [0; PANEL];
            store_sums(&mut sums, _mm512_add_epi32(low, high));
            sums
        }
        // SAFETY: `self` was made by a function that had the features.
        unsafe { go(lines, x) }
    }
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
pub(super) fn prefetch(tile: &[u8; TILE_BYTES]) {
    let ahead = tile.as_ptr().wrapping_add(PREFETCH_BYTES);
    // SAFETY: a prefetch reads nothing: it may point anywhere.
    #[allow(unused_unsafe, reason = "a safe function in later compilers")]
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
    };
}

/// Ternary sums of `T` tokens over `P` panels side by side, one sum for each plane.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn ternary_few<const T: usize, const P: usize>(
    panels: [&[Block]; P],
    x: Rows<'_, T>,
) -> [[[i32; PANEL]; T]; P] {
    let masks = [3, 3 << 2, 3 << 4, 3 << 6].map(|mask: u8| _mm512_set1_epi8(mask as i8));
    let tiles = panels[0].len();
    let panels = panels.map(|panel| &panel[..tiles]);
    let x = x.quads(4 * tiles);
    let mut total = [[_mm512_setzero_si512(); T]; P];
    for start in (0..tiles).step_by(TILES_PER_SHIFT) {
        let mut sums = [[[_mm512_setzero_si512(); 4]; T]; P];
        for i in start..tiles.min(start + TILES_PER_SHIFT) {
            let mut w = [_mm512_setzero_si512(); P];
            for p in 0..P {
                prefetch(&panels[p][i]);
                w[p] = load(&panels[p][i]);
            }
            for plane in 0..4 {
                for t in 0..T {
                    let quad = broadcast(x[t][4 * i + plane]);
                    for p in 0..P {
                        let codes = _mm512_and_si512(w[p], masks[plane]);
                        sums[p][t][plane] = _mm512_dpbusd_epi32(sums[p][t][plane], codes, quad);
                    }
                }
            }
        }
        for p in 0..P {
            for t in 0..T {
                // Exact: all of plane k's products are multiples of 4^k.
                let [s0, s1, s2, s3] = sums[p][t];
                let low = _mm512_add_epi32(s0, _mm512_srai_epi32::<2>(s1));
                let high = _mm512_add_epi32(s2, _mm512_srai_epi32::<2>(s3));
                let sum = _mm512_add_epi32(low, _mm512_srai_epi32::<4>(high));
                total[p][t] = _mm512_add_epi32(total[p][t], sum);
            }
        }
    }
    stored(total)
}

/// Int8 sums of `T` tokens over `P` panels side by side.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn int8_few<const T: usize, const P: usize>(
    panels: [&[Block]; P],
    x: Rows<'_, T>,
) -> [[[i32; PANEL]; T]; P] {
    let blocks = panels[0].len();
    let panels = panels.map(|panel| &panel[..blocks]);
    let x = x.quads(blocks);
    let mut sums = [[_mm512_setzero_si512(); T]; P];
    for b in 0..blocks {
        let mut w = [_mm512_setzero_si512(); P];
        for p in 0..P {
            prefetch(&panels[p][b]);
            w[p] = load(&panels[p][b]);
        }
        for t in 0..T {
            let quad = broadcast(x[t][b]);
            for p in 0..P {
                sums[p][t] = _mm512_dpbusd_epi32(sums[p][t], w[p], quad);
            }
        }
    }
    stored(sums)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
pub(super) fn stored<const T: usize, const P: usize>(
    sums: [[__m512i; T]; P],
) -> [[[i32; PANEL]; T]; P] {
    let mut out = [[[0; PANEL]; T]; P];
    for p in 0..P {
        for t in 0..T {
            store_sums(&mut out[p][t], sums[p][t]);
        }
    }
    out
}

/// Walks all panels of `$w` if there is a loop for so many tokens: for `$T` of them `$P` panels side
/// by side, the rest one by one. Gives what ran.
///
/// Each of those side by side starts a stretch of panels of its own, so that what is fetched ahead at
/// the end of one is the next of its stretch.
macro_rules! few {
    ($tile:ident, $w:ident, $x:ident, $sink:ident, $($T:literal: $P:literal),*) => {
        match $x.rows() {
            $($T => {
                let x: Rows<'_, $T> = Rows { x: $x, t: 0, input: 0 };
                let panel = |p| $w.panel(p).as_chunks().0;
                let stretch = $w.panels() / $P;
                for p in 0..stretch {
                    let mut panels: [&[Block]; $P] = [&[]; $P];
                    for i in 0..$P {
                        panels[i] = panel(p + i * stretch);
                    }
                    for (i, sums) in $tile::<$T, $P>(panels, x).iter().enumerate() {
                        $sink.put_tokens(0, (p + i * stretch) * PANEL, sums);
                    }
                }
                for p in stretch * $P..$w.panels() {
                    let [sums] = $tile::<$T, 1>([panel(p)], x);
                    $sink.put_tokens(0, p * PANEL, &sums);
                }
                Some(Ran("avx512_vnni", if $T == 1 { "gemv" } else { concat!($T, "x", $P, "x16") }))
            })*
            _ => None,
        }
    };
}
pub(super) use few;

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
    if let Some(ran) = few!(ternary_few, w, x, sink, 1: 4, 2: 2, 3: 2, 4: 1) {
        return ran;
    }
    if x.rows() <= UNPACK_ABOVE {
        for p in (0..w.panels()).step_by(PANELS) {
            if p + PANELS <= w.panels() {
                ternary_panels::<S, PANELS>(w, p, x, &mut sink);
            } else {
                ternary_panels::<S, 1>(w, p, x, &mut sink);
            }
        }
        return Ran("avx512_vnni", "8x32");
    }
    many(Unpacked::<PANELS>::new(w), x, &mut sink);
    Ran("avx512_vnni", "8x32/unpacked")
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn int8<S: Sink>(w: Int8View<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    if let Some(ran) = few!(int8_few, w, x, sink, 1: 4, 2: 4, 3: 4, 4: 4) {
        return ran;
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
