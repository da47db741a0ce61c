// SPDX-License-Identifier: AGPL-3.0-or-later
//! Products of f32 rows with panels of 16 outputs.

use super::{LANES, Lanes};
use crate::error::KernelError;
use crate::formats::F32View;

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

/// `y[t, r] = Σ_k w[r, k] · x[t, k] + bias[r]` with `w` packed as `[rows/16][cols][16]`.
#[inline(always)]
pub(crate) fn f32_linear(
    w: F32View<'_>,
    bias: Option<&[f32]>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), KernelError> {
    let (rows, cols) = (w.rows(), w.cols());
    let tokens = x.len() / cols;
    KernelError::check("activations", tokens * cols, x.len())?;
    KernelError::check("output", tokens * rows, y.len())?;
    KernelError::check("bias", rows, bias.map_or(rows, <[f32]>::len))?;
    for p in 0..w.panels() {
        let row0 = p * LANES;
        let width = LANES.min(rows - row0);
        lanes_matmul_rows(w.panel(p), x, cols, tokens, |t, sums| {
            let out = &mut y[t * rows + row0..][..width];
            out.copy_from_slice(&sums[..width]);
            if let Some(bias) = bias {
                for (o, &b) in out.iter_mut().zip(&bias[row0..]) {
                    *o += b;
                }
            }
        });
    }
    Ok(())
}
