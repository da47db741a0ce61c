// SPDX-License-Identifier: AGPL-3.0-or-later
//! Products of f32 rows with panels of 16 outputs.

use alloc::vec;

use half::f16;

use super::convert::HalfLanes;
use super::{LANES, Lanes};
use crate::error::KernelError;
use crate::formats::{F16_LINE_BYTES, F16View, F32View};

/// Tokens that share one pass over packed f32 data.
pub(super) const F32_TOKENS: usize = 4;

/// `acc[t] += Σ_k x[t][k] · w[k]` over 16 lanes of outputs.
///
/// - `w`: `[depth, 16]`; `x[t]`: at least `depth` values, read at `stride`
#[inline(always)]
fn lanes_matmul<const T: usize>(w: &[f32], x: [&[f32]; T]) -> [Lanes; T] {
    let mut acc = [[0f32; LANES]; T];
    let (rows, _) = w.as_chunks::<LANES>();
    let x = x.map(|row| &row[..rows.len()]);
    for (k, row) in rows.iter().enumerate() {
        for t in 0..T {
            let s = x[t][k];
            for i in 0..LANES {
                acc[t][i] += s * row[i];
            }
        }
    }
    acc
}

/// `put(t, lanes)` for every row of `x` (`[rows, stride]`, the first `depth` values used).
#[inline(always)]
pub(super) fn lanes_matmul_rows(
    w: &[f32],
    x: &[f32],
    stride: usize,
    rows: usize,
    mut put: impl FnMut(usize, &Lanes),
) {
    let row = |t: usize| &x[t * stride..];
    let mut t = 0;
    while t + F32_TOKENS <= rows {
        let sums = lanes_matmul::<F32_TOKENS>(w, core::array::from_fn(|i| row(t + i)));
        for (i, s) in sums.iter().enumerate() {
            put(t + i, s);
        }
        t += F32_TOKENS;
    }
    while t < rows {
        put(t, &lanes_matmul::<1>(w, [row(t)])[0]);
        t += 1;
    }
}

/// Tokens of a linear layer, after its shapes were checked.
fn tokens(
    (rows, cols): (usize, usize),
    bias: Option<&[f32]>,
    x: &[f32],
    y: &[f32],
) -> Result<usize, KernelError> {
    let tokens = x.len() / cols;
    KernelError::check("activations", tokens * cols, x.len())?;
    KernelError::check("output", tokens * rows, y.len())?;
    KernelError::check("bias", rows, bias.map_or(rows, <[f32]>::len))?;
    Ok(tokens)
}

/// Stores the sums of the rows from `row0` on, as many as `y` has left.
#[inline(always)]
fn put(sums: &Lanes, bias: Option<&[f32]>, row0: usize, y: &mut [f32]) {
    let width = LANES.min(y.len() - row0);
    let out = &mut y[row0..][..width];
    out.copy_from_slice(&sums[..width]);
    if let Some(bias) = bias {
        for (o, &b) in out.iter_mut().zip(&bias[row0..]) {
            *o += b;
        }
    }
}

/// `y[t, r] = Σ_k w[r, k] · x[t, k] + bias[r]` with `w` packed as `[rows/16][cols][16]`.
#[inline(always)]
pub(crate) fn f32_linear(
    w: F32View<'_>,
    bias: Option<&[f32]>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), KernelError> {
    let (rows, cols) = (w.rows(), w.cols());
    let tokens = tokens((rows, cols), bias, x, y)?;
    for p in 0..w.panels() {
        lanes_matmul_rows(w.panel(p), x, cols, tokens, |t, sums| {
            put(sums, bias, p * LANES, &mut y[t * rows..][..rows]);
        });
    }
    Ok(())
}

/// [`f32_linear`] with weights in half precision.
#[inline(always)]
pub(crate) fn f16_linear(
    halves: impl HalfLanes,
    w: F16View<'_>,
    bias: Option<&[f32]>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), KernelError> {
    let (rows, cols) = (w.rows(), w.cols());
    let tokens = tokens((rows, cols), bias, x, y)?;
    // A panel is widened a stretch at a time, which stays in the first-level cache for all tokens.
    let mut stretch = [[0f32; LANES]; STRETCH];
    let mut sums = vec![[0f32; LANES]; tokens];
    for p in 0..w.panels() {
        sums.fill([0.0; LANES]);
        for (n, lines) in w.panel(p).chunks(STRETCH).enumerate() {
            for (wide, line) in stretch.iter_mut().zip(lines) {
                crate::arch::prefetch(line, PREFETCH_BYTES);
                *wide = halves.widen(&half_line(line));
            }
            for (t, sums) in sums.iter_mut().enumerate() {
                let x = &x[t * cols + n * STRETCH..][..lines.len()];
                for (wide, &x) in stretch.iter().zip(x) {
                    for l in 0..LANES {
                        sums[l] += x * wide[l];
                    }
                }
            }
        }
        for (t, sums) in sums.iter().enumerate() {
            put(sums, bias, p * LANES, &mut y[t * rows..][..rows]);
        }
    }
    Ok(())
}

/// Inputs whose widened weights stay in the first-level cache: 8 KiB.
const STRETCH: usize = 128;

/// How far ahead weights are fetched: DRAM answers after some 100 ns.
const PREFETCH_BYTES: usize = 2048;

#[inline(always)]
fn half_line(line: &[u8; F16_LINE_BYTES]) -> [f16; LANES] {
    let mut halves = [f16::ZERO; LANES];
    for (half, bytes) in halves.iter_mut().zip(line.as_chunks().0) {
        *half = f16::from_le_bytes(*bytes);
    }
    halves
}
