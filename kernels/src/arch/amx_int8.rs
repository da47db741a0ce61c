// SPDX-License-Identifier: AGPL-3.0-or-later
//! AMX (Sapphire Rapids and later): `tdpbsud` multiplies a tile of 16 tokens x 64 inputs by a tile
//! of 64 inputs x 16 rows and adds to a tile of 16 x 16 sums.
//!
//! The packed formats are the instruction's operands already. Activations are rows with a stride
//! of 64-byte multiples, as `tileloadd` reads them. A row of the weights' tile is 4 inputs of 16
//! rows: an int8 block, so that 16 consecutive blocks are one tile. Ternary weights are unpacked
//! to such blocks a stretch at a time, which stay in the cache for all tokens ([`blocked`]).
//!
//! Counts, with the cycles of Intel's Optimization Reference Manual, for a step of 64 inputs: 32
//! tokens x 32 rows are 4 products of 16 cycles for 4 loads of 8 cycles each (two lines a cycle),
//! so the loads hide behind the products, if the caches deliver 4 KiB in 64 cycles. The four sums take turns: each waits 64 cycles for its next product, longer
//! than the 52 that one takes. Up to 16 tokens take 2 products for 3 loads and wait for the 52.
//! Sums are loaded and stored once a stretch of 12 steps: 4 loads of 8 and 4 stores of 16 cycles
//! for 768 cycles of products. Unpacking writes 32 lines a step, in as many cycles, once for all
//! tokens that share the stretch.
//!
//! Few tokens: AMX takes 52 cycles a step for 32 rows, and 32 to unpack, however few there are.
//! `vpdpbusd` on 64 bytes takes 16 cycles a token, and 28 to unpack in registers: as much at 3 to
//! 4 tokens. Below [`MIN_TOKENS`], which leaves room for what was not counted (configuration, the
//! copy of a last block, a lower clock), the AVX-512 VNNI loops do the work.
//!
//! Headroom: products widen to 32 bits by themselves and do not saturate.
//!
//! Every tile always has 16 rows of 64 bytes. Where the matrix has less, zero rows of activations
//! and zero blocks of weights fill it up.

use alloc::vec;
use core::arch::asm;

use super::Ran;
use super::avx512_vnni;
use super::blocked::{Block, Blocks, Sums, Unpacked, blocked};
use crate::backend::Kernels;
use crate::formats::{Int8View, RowsView, TILE_BYTES, TernaryView};
use crate::sink::Sink;

struct AmxInt8;

pub(crate) fn detect() -> Option<&'static dyn Kernels> {
    avx512_vnni::detect()?;
    let has = super::x86_cpu::may_use_amx_int8();
    #[cfg(bho_emulate)]
    let has = has || super::emulate::install();
    has.then_some(&AmxInt8 as _)
}

super::kernels!(
    AmxInt8, "amx_int8", "avx512f,avx512bw,avx512vnni"; super::f16c::F16cWide
        => super::avx512_vnni::QuadDot,
    super::avx512_dense::few_tokens
);

/// Rows of a tile: tokens, rows of sums, blocks of weights.
const TILE_ROWS: usize = 16;

/// Tokens of one pass: two tiles.
const TOKENS: usize = 2 * TILE_ROWS;

/// Panels of one pass, a tile each.
const PANELS: usize = 2;

/// Fewer tokens go to AVX-512 VNNI; see the module's count.
const MIN_TOKENS: usize = 6;

/// What `ldtilecfg` reads (Intel SDM volume 1, 18.1).
#[repr(C, align(64))]
struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// All eight tiles with 16 rows of 64 bytes.
static CONFIG: TileConfig = TileConfig {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// This thread's tiles, configured as long as it lives.
struct Tiles(());

impl Tiles {
    #[inline]
    fn configure() -> Self {
        // SAFETY: `detect` saw AMX and the permission to use it; the configuration is a valid one.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags));
        }
        Self(())
    }

    /// Adds the products of `steps` x 64 inputs to `sums`: of 16 or 32 tokens, as many as there
    /// are `rows`, `stride` apart, with the blocks of two panels.
    #[inline]
    fn multiply(
        &self,
        rows: &[i8],
        stride: usize,
        [b0, b1]: [&[Block]; PANELS],
        steps: usize,
        sums: &mut Sums<TOKENS, PANELS>,
    ) {
        let tokens = rows.len().div_ceil(stride);
        assert!(steps > 0 && tokens.is_multiple_of(TILE_ROWS));
        assert!(rows.len() >= (tokens - 1) * stride + steps * 64);
        assert!(b0.len() >= steps * TILE_ROWS && b1.len() >= steps * TILE_ROWS);
        if tokens == TOKENS {
            // SAFETY: the tiles are configured while `self` lives. Loads of the two tiles of rows
            // and of the two panels, and loads and stores of the sums stay within what the
            // assertions saw: 16 rows of 64 bytes from each address.
            unsafe {
                asm!(
                    "tileloadd tmm0, [{sums} + {line}*1]",
                    "tileloadd tmm1, [{sums} + {line}*1 + 2048]",
                    "tileloadd tmm2, [{sums} + {line}*1 + 1024]",
                    "tileloadd tmm3, [{sums} + {line}*1 + 3072]",
                    "2:",
                    "tileloadd tmm4, [{a0} + {stride}*1]",
                    "tileloadd tmm6, [{b0} + {line}*1]",
                    "tileloadd tmm7, [{b1} + {line}*1]",
                    "tdpbsud tmm0, tmm4, tmm6",
                    "tdpbsud tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{a1} + {stride}*1]",
                    "tdpbsud tmm2, tmm5, tmm6",
                    "tdpbsud tmm3, tmm5, tmm7",
                    "add {a0}, 64",
                    "add {a1}, 64",
                    "add {b0}, 1024",
                    "add {b1}, 1024",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{sums} + {line}*1], tmm0",
                    "tilestored [{sums} + {line}*1 + 2048], tmm1",
                    "tilestored [{sums} + {line}*1 + 1024], tmm2",
                    "tilestored [{sums} + {line}*1 + 3072], tmm3",
                    sums = in(reg) sums.as_mut_ptr(),
                    line = in(reg) TILE_BYTES,
                    a0 = inout(reg) rows.as_ptr() => _,
                    a1 = inout(reg) rows.as_ptr().add(TILE_ROWS * stride) => _,
                    stride = in(reg) stride,
                    b0 = inout(reg) b0.as_ptr() => _,
                    b1 = inout(reg) b1.as_ptr() => _,
                    steps = inout(reg) steps => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        } else {
            assert!(tokens == TILE_ROWS);
            // SAFETY: as above, with one tile of rows.
            unsafe {
                asm!(
                    "tileloadd tmm0, [{sums} + {line}*1]",
                    "tileloadd tmm1, [{sums} + {line}*1 + 2048]",
                    "2:",
                    "tileloadd tmm4, [{a0} + {stride}*1]",
                    "tileloadd tmm6, [{b0} + {line}*1]",
                    "tileloadd tmm7, [{b1} + {line}*1]",
                    "tdpbsud tmm0, tmm4, tmm6",
                    "tdpbsud tmm1, tmm4, tmm7",
                    "add {a0}, 64",
                    "add {b0}, 1024",
                    "add {b1}, 1024",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{sums} + {line}*1], tmm0",
                    "tilestored [{sums} + {line}*1 + 2048], tmm1",
                    sums = in(reg) sums.as_mut_ptr(),
                    line = in(reg) TILE_BYTES,
                    a0 = inout(reg) rows.as_ptr() => _,
                    stride = in(reg) stride,
                    b0 = inout(reg) b0.as_ptr() => _,
                    b1 = inout(reg) b1.as_ptr() => _,
                    steps = inout(reg) steps => _,
                    out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    }
}

impl Drop for Tiles {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `detect` saw AMX. Tiles back in their initial state cost nothing to save.
        unsafe {
            asm!("tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags));
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn ternary<S: Sink>(w: TernaryView<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    if x.rows() < MIN_TOKENS {
        return avx512_vnni::ternary(w, x, sink);
    }
    many(Unpacked::<PANELS>::new(w), x, &mut sink);
    Ran("amx_int8", "32x32/unpacked")
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn int8<S: Sink>(w: Int8View<'_>, x: RowsView<'_>, mut sink: S) -> Ran {
    if x.rows() < MIN_TOKENS {
        return avx512_vnni::int8(w, x, sink);
    }
    many(w, x, &mut sink);
    Ran("amx_int8", "32x32")
}

/// Int8 blocks through the caches; see [`blocked`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn many<S: Sink>(w: impl Blocks, x: RowsView<'_>, sink: &mut S) {
    let stride = x.padded_row_len();
    // The tokens of a last, shorter block, with rows of zeros up to whole tiles.
    let whole = x.rows() / TOKENS * TOKENS;
    let mut last = vec![0i8; (x.rows() - whole).next_multiple_of(TILE_ROWS) * stride];
    last[..(x.rows() - whole) * stride].copy_from_slice(x.padded_rows(whole..x.rows()));

    let tiles = Tiles::configure();
    blocked(w, x, sink, |panels, tokens, block, sums: &mut Sums<TOKENS, PANELS>| {
        let whole = tokens.len() == TOKENS;
        let rows = &(if whole { x.padded_rows(tokens) } else { &last })[4 * block..];
        // An odd last panel is multiplied twice: as fast as once, and the copy is left aside.
        let panels = [panels[0], panels[panels.len() - 1]];
        let steps = panels[0].len() / TILE_ROWS;
        if steps > 0 {
            tiles.multiply(rows, stride, panels, steps, sums);
        }
        let rest = panels.map(|panel| &panel[steps * TILE_ROWS..]);
        if !rest[0].is_empty() {
            let mut edge = [[[0; TILE_BYTES]; TILE_ROWS]; PANELS];
            for (edge, rest) in edge.iter_mut().zip(rest) {
                edge[..rest.len()].copy_from_slice(rest);
            }
            tiles.multiply(&rows[steps * 64..], stride, edge.each_ref().map(|e| &e[..]), 1, sums);
        }
    });
}

/// `tdpbusd` on four sums.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn peak(rounds: u64) -> u64 {
    let _tiles = Tiles::configure();
    if rounds > 0 {
        // SAFETY: the tiles are configured, and hold zeros.
        unsafe {
            asm!(
                "2:",
                "tdpbusd tmm0, tmm4, tmm6",
                "tdpbusd tmm1, tmm4, tmm7",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                "dec {rounds}",
                "jnz 2b",
                rounds = inout(reg) rounds => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nomem, nostack),
            );
        }
    }
    rounds * (4 * TILE_ROWS * TILE_ROWS * TILE_BYTES) as u64
}

#[cfg(all(test, bho_emulate))]
mod tests {
    use super::super::{emulate, x86_cpu};
    use super::*;
    use crate::formats::{Int8Matrix, QuantRows, TernaryMatrix};

    #[test]
    fn runs_as_many_instructions_as_the_docs_count_and_releases_the_tiles() {
        let kernels = detect().expect("emulated at least");
        // 13 steps: a stretch of 12 and one of 1. 80 tokens: two passes of 32, one of 16.
        const COLS: usize = 13 * 64;
        let x = QuantRows::from_int8(&[1; 80 * COLS], COLS).unwrap();
        let int8 = Int8Matrix::pack(32, COLS, &[1; 32 * COLS]).unwrap();
        let ternary = TernaryMatrix::pack(32, COLS, &[1; 32 * COLS]).unwrap();
        for run in 0..2 {
            let (before, _) = emulate::observe();
            let mut y = vec![0; 80 * 32];
            if run == 0 {
                kernels.int8_gemm(int8.view(), x.view(), &mut y).unwrap();
            } else {
                kernels.ternary_gemm(ternary.view(), x.view(), &mut y).unwrap();
            }
            assert_eq!(y, [COLS as i32; 80 * 32]);
            let (after, configured) = emulate::observe();
            assert!(!configured);
            let counted = |count: fn(&emulate::Counts) -> u64| count(&after) - count(&before);
            let real = x86_cpu::may_use_amx_int8();
            let expected = |count: u64| if real { 0 } else { count };
            assert_eq!(counted(|c| c.configurations), expected(1));
            assert_eq!(counted(|c| c.products), expected(13 * (2 * 4 + 2)));
            assert_eq!(counted(|c| c.loads), expected(13 * (2 * 4 + 3) + 2 * (2 * 4 + 2)));
            assert_eq!(counted(|c| c.stores), expected(2 * (2 * 4 + 2)));
        }
    }

    #[test]
    fn few_tokens_run_on_avx512_and_say_so() {
        let kernels = detect().expect("emulated at least");
        let w = Int8Matrix::pack(16, 64, &[1; 16 * 64]).unwrap();
        for (tokens, isa) in [(1, "avx512_vnni"), (5, "avx512_vnni"), (6, "amx_int8")] {
            let x = QuantRows::from_int8(&vec![1; tokens * 64], 64).unwrap();
            let ran = kernels.int8_gemm(w.view(), x.view(), &mut vec![0; tokens * 16]).unwrap();
            assert_eq!(ran.isa, isa, "{tokens} tokens");
        }
    }
}
