// SPDX-License-Identifier: AGPL-3.0-or-later
//! Attention of one head over one whole sequence, as encoders need it.

use alloc::vec::Vec;

use super::LANES;
use super::linear::{F32_TOKENS, lanes_matmul_rows};
use super::norm::softmax_unscaled;
use crate::backend::AttentionHead;
use crate::error::KernelError;
use crate::formats::MAX_DIM;

/// `out = softmax(q · kᵀ · scale) · v`; `scores` holds a row for each query of a block.
#[inline(always)]
pub(crate) fn attention(
    head: &AttentionHead<'_>,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) -> Result<(), KernelError> {
    let AttentionHead { q, stride, queries, keys, dim, kt, v, .. } = *head;
    KernelError::dimension("attention keys", MAX_DIM, keys)?;
    KernelError::dimension("attention head size", stride.min(MAX_DIM), dim)?;
    // No buffer is as long as a product that saturates.
    KernelError::check("keys", keys.next_multiple_of(LANES).saturating_mul(dim), kt.len())?;
    KernelError::check("values", dim.next_multiple_of(LANES).saturating_mul(keys), v.len())?;
    KernelError::check("attention output", queries.saturating_mul(dim), out.len())?;
    let before = queries.checked_sub(1);
    let needed = before.map_or(0, |before| before.saturating_mul(stride).saturating_add(dim));
    if q.len() < needed {
        return Err(KernelError::Shape { what: "queries", expected: needed, found: q.len() });
    }
    scores.resize(F32_TOKENS * keys.next_multiple_of(LANES), 0.0);
    attend(head, scores, out);
    Ok(())
}

/// [`attention`] with checked shapes, and with slices that are known not to overlap.
#[inline(always)]
fn attend(head: &AttentionHead<'_>, scores: &mut [f32], out: &mut [f32]) {
    let AttentionHead { q, stride, queries, keys, dim, kt, v, scale } = *head;
    let key_panels = keys.div_ceil(LANES);
    let padded = key_panels * LANES;
    let mut t0 = 0;
    while t0 < queries {
        let block = F32_TOKENS.min(queries - t0);
        for p in 0..key_panels {
            let panel = &kt[p * dim * LANES..][..dim * LANES];
            lanes_matmul_rows(panel, &q[t0 * stride..], stride, block, |t, sums| {
                let row = &mut scores[t * padded + p * LANES..][..LANES];
                for (o, &s) in row.iter_mut().zip(sums) {
                    *o = s * scale;
                }
            });
        }
        let mut inv = [0f32; F32_TOKENS];
        for t in 0..block {
            let row = &mut scores[t * padded..][..padded];
            // Whole lanes are faster: what is no key weighs nothing.
            row[keys..].fill(f32::NEG_INFINITY);
            inv[t] = softmax_unscaled(row);
        }
        for (d, panel) in v.chunks_exact(keys * LANES).enumerate() {
            let width = LANES.min(dim - d * LANES);
            lanes_matmul_rows(panel, scores, padded, block, |t, sums| {
                let out = &mut out[(t0 + t) * dim + d * LANES..][..width];
                for (o, &s) in out.iter_mut().zip(sums) {
                    *o = s * inv[t];
                }
            });
        }
        t0 += block;
    }
}
