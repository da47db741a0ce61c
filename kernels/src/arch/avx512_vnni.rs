// SPDX-License-Identifier: AGPL-3.0-or-later
//! AVX-512 VNNI (Ice Lake, Zen 4 and later): one 64-byte tile is one register, `vpdpbusd` adds
//! four products to each of its 16 lanes, and the activation quad is a broadcast operand.
//!
//! Headroom: `vpdpbusd` widens to 32 bits by itself and does not saturate.

use core::arch::x86_64::*;

use super::Ran;
use crate::backend::Kernels;
use crate::formats::{Int8View, PANEL, RowsView, TILE_BYTES, TernaryView};
use crate::sink::Sink;

struct Avx512Vnni;

cpufeatures::new!(avx512, "avx512f", "avx512bw");

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    (avx512::get() && super::x86_cpu::has_avx512_vnni()).then_some(&Avx512Vnni as _)
}

super::kernels!(Avx512Vnni, "avx512_vnni", "avx512f,avx512bw,avx512vnni");

/// Tokens that share one pass over a weight panel pair: 8 x 2 sums hide the latency of
/// `vpdpbusd` (5 cycles, two a cycle) and leave registers for weights and masks.
const TOKENS: usize = 8;

/// Reads the four activations at `quad` of every row and spreads them over all lanes.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn broadcast<const T: usize>(x: &[&[i8]; T], quad: usize) -> [__m512i; T] {
    core::array::from_fn(|t| {
        debug_assert!(quad * 4 + 4 <= x[t].len());
        // SAFETY: rows are padded to whole tiles, and callers walk no further than the tiles.
        let four = unsafe { x[t].as_ptr().add(quad * 4).cast::<i32>().read_unaligned() };
        _mm512_set1_epi32(four)
    })
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn load(bytes: &[u8; TILE_BYTES]) -> __m512i {
    // SAFETY: the array is 64 readable bytes; the load asks for no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn store(sums: __m512i) -> [i32; PANEL] {
    let mut out = [0i32; PANEL];
    // SAFETY: the array is 64 writable bytes; the store asks for no alignment.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sums) };
    out
}

/// Int8 sums of `T` tokens over `P` panels.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn int8_tile<const T: usize, const P: usize>(
    panels: [&[[u8; TILE_BYTES]]; P],
    x: [&[i8]; T],
) -> [[__m512i; P]; T] {
    let mut sums = [[_mm512_setzero_si512(); P]; T];
    let blocks = panels[0].len();
    assert!(x.iter().all(|row| row.len() >= blocks * 4));
    assert!(panels.iter().all(|panel| panel.len() == blocks));
    for b in 0..blocks {
        let w: [__m512i; P] = core::array::from_fn(|p| load(&panels[p][b]));
        let x = broadcast(&x, b);
        for t in 0..T {
            for p in 0..P {
                sums[t][p] = _mm512_dpbusd_epi32(sums[t][p], w[p], x[t]);
            }
        }
    }
    sums
}

/// Ternary sums of `T` tokens over `P` panels: each tile is unpacked once for all tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn ternary_tile<const T: usize, const P: usize>(
    panels: [&[[u8; TILE_BYTES]]; P],
    x: [&[i8]; T],
) -> [[__m512i; P]; T] {
    let mut sums = [[_mm512_setzero_si512(); P]; T];
    let mask = _mm512_set1_epi8(3);
    let tiles = panels[0].len();
    assert!(x.iter().all(|row| row.len() >= tiles * 16));
    assert!(panels.iter().all(|panel| panel.len() == tiles));
    for i in 0..tiles {
        let tile: [__m512i; P] = core::array::from_fn(|p| load(&panels[p][i]));
        // Bits shifted in from the neighbour byte fall to the mask.
        let planes: [[__m512i; P]; 4] = [
            tile.map(|w| _mm512_and_si512(w, mask)),
            tile.map(|w| _mm512_and_si512(_mm512_srli_epi16::<2>(w), mask)),
            tile.map(|w| _mm512_and_si512(_mm512_srli_epi16::<4>(w), mask)),
            tile.map(|w| _mm512_and_si512(_mm512_srli_epi16::<6>(w), mask)),
        ];
        for (plane, codes) in planes.iter().enumerate() {
            let x = broadcast(&x, 4 * i + plane);
            for t in 0..T {
                for p in 0..P {
                    sums[t][p] = _mm512_dpbusd_epi32(sums[t][p], codes[p], x[t]);
                }
            }
        }
    }
    sums
}

/// Walks panels in pairs and tokens in blocks of eight, then what is left over.
macro_rules! walk {
    ($tile:ident, $w:ident, $x:ident, $sink:ident) => {{
        let mut p = 0;
        while p + 2 <= $w.panels() {
            let panels = [$w.panel(p), $w.panel(p + 1)].map(|b| b.as_chunks::<TILE_BYTES>().0);
            walk!(@tokens $tile, $x, $sink, p, panels, 2);
            p += 2;
        }
        if p < $w.panels() {
            let panels = [$w.panel(p).as_chunks::<TILE_BYTES>().0];
            walk!(@tokens $tile, $x, $sink, p, panels, 1);
        }
    }};
    (@tokens $tile:ident, $x:ident, $sink:ident, $p:ident, $panels:ident, $n:literal) => {{
        let mut t = 0;
        while t + TOKENS <= $x.rows() {
            walk!(@block $tile, $x, $sink, $p, $panels, $n, t, 8);
            t += TOKENS;
        }
        match $x.rows() - t {
            7 => walk!(@block $tile, $x, $sink, $p, $panels, $n, t, 7),
            6 => walk!(@block $tile, $x, $sink, $p, $panels, $n, t, 6),
            5 => walk!(@block $tile, $x, $sink, $p, $panels, $n, t, 5),
            4 => walk!(@block $tile, $x, $sink, $p, $panels, $n, t, 4),
            3 => walk!(@block $tile, $x, $sink, $p, $panels, $n, t, 3),
            2 => walk!(@block $tile, $x, $sink, $p, $panels, $n, t, 2),
            1 => walk!(@block $tile, $x, $sink, $p, $panels, $n, t, 1),
            _ => {}
        }
    }};
    (@block $tile:ident, $x:ident, $sink:ident, $p:ident, $panels:ident, $n:literal, $t:ident, $count:literal) => {{
        let rows: [&[i8]; $count] = core::array::from_fn(|i| $x.padded_row($t + i));
        let sums = $tile::<$count, $n>($panels, rows);
        for (i, token) in sums.iter().enumerate() {
            for (j, lanes) in token.iter().enumerate() {
                $sink.put($t + i, ($p + j) * PANEL, &store(*lanes));
            }
        }
    }};
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn ternary<S: Sink>(w: TernaryView<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    walk!(ternary_tile, w, x, sink);
    Ran("avx512_vnni", if x.rows() == 1 { "gemv" } else { "8x32" })
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn int8<S: Sink>(w: Int8View<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    walk!(int8_tile, w, x, sink);
    Ran("avx512_vnni", if x.rows() == 1 { "gemv" } else { "8x32" })
}

/// `vpdpbusd` on 64 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn peak(rounds: u64) -> u64 {
    const SUMS: usize = 12;
    let mut sums = [_mm512_setzero_si512(); SUMS];
    for _ in 0..rounds {
        let (w, x) = core::hint::black_box((_mm512_set1_epi8(1), _mm512_set1_epi8(1)));
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, w, x);
        }
    }
    core::hint::black_box(sums);
    rounds * (SUMS * TILE_BYTES) as u64
}
