// SPDX-License-Identifier: AGPL-3.0-or-later
//! Multi-head self-attention over sequences packed one after another, without padding.

use std::ops::Range;

use bho_kernels::{AttentionHead, PANEL};

use crate::compute::Compute;
use crate::error::EngineError;

/// Queries, keys and values of all heads, `[tokens, heads · dim]` each.
#[derive(Debug, Clone, Copy)]
pub struct AttentionInput<'a> {
    /// Queries.
    pub q: &'a [f32],
    /// Keys.
    pub k: &'a [f32],
    /// Values.
    pub v: &'a [f32],
    /// Number of heads.
    pub heads: usize,
    /// Values per head.
    pub dim: usize,
}

/// Bidirectional attention (arXiv:1706.03762, §3.2), each sequence by itself.
///
/// `out` has the layout `[sequence][head][token][dim]`: each task writes its own stretch. Read it
/// back with the same order of sequences.
///
/// # Errors
/// [`EngineError::Kernel`] when the buffers do not fit.
pub fn attention(
    compute: &Compute,
    input: &AttentionInput<'_>,
    sequences: &[Range<usize>],
    out: &mut [f32],
) -> Result<(), EngineError> {
    attend_all(compute, input, sequences.iter().map(|keys| (keys.clone(), keys.clone())), out)
}

/// [`attention`] of the first token of each sequence alone, to the same bits; no sequence is empty.
///
/// `input.q` has a row for each sequence, and so has `out`: `[sequences, heads · dim]` both.
///
/// # Errors
/// [`EngineError::Kernel`] when the buffers do not fit.
pub fn attention_of_first(
    compute: &Compute,
    input: &AttentionInput<'_>,
    sequences: &[Range<usize>],
    out: &mut [f32],
) -> Result<(), EngineError> {
    let rows = sequences.iter().enumerate().map(|(row, keys)| (row..row + 1, keys.clone()));
    attend_all(compute, input, rows, out)
}

/// All heads of the queries and keys, as ranges of rows, of each sequence.
fn attend_all(
    compute: &Compute,
    input: &AttentionInput<'_>,
    sequences: impl ExactSizeIterator<Item = (Range<usize>, Range<usize>)>,
    mut out: &mut [f32],
) -> Result<(), EngineError> {
    let mut tasks = Vec::with_capacity(sequences.len() * input.heads);
    for (queries, keys) in sequences {
        for head in 0..input.heads {
            let (chunk, rest) = out.split_at_mut(queries.len() * input.dim);
            out = rest;
            tasks.push((queries.clone(), keys.clone(), head, chunk));
        }
    }
    compute.for_each(tasks, |(queries, keys, head, chunk)| {
        attend(compute, input, queries, keys, head, chunk)
    })
}

/// One head of one sequence: keys and values are laid out in panels, then the kernel runs.
fn attend(
    compute: &Compute,
    input: &AttentionInput<'_>,
    queries: Range<usize>,
    sequence: Range<usize>,
    head: usize,
    out: &mut [f32],
) -> Result<(), EngineError> {
    let AttentionInput { q, k, v, heads, dim } = *input;
    let (stride, keys, first) = (heads * dim, sequence.len(), head * dim);
    let mut kt = vec![0f32; keys.next_multiple_of(PANEL) * dim];
    let mut values = vec![0f32; keys * dim.next_multiple_of(PANEL)];
    for (s, token) in sequence.clone().enumerate() {
        let key = &k[token * stride + first..][..dim];
        let panel = &mut kt[s / PANEL * dim * PANEL..];
        for (d, &value) in key.iter().enumerate() {
            panel[d * PANEL + s % PANEL] = value;
        }
        let value = &v[token * stride + first..][..dim];
        for (p, part) in value.chunks(PANEL).enumerate() {
            values[(p * keys + s) * PANEL..][..part.len()].copy_from_slice(part);
        }
    }
    let head = AttentionHead {
        q: &q[queries.start * stride + first..],
        stride,
        queries: queries.len(),
        keys,
        dim,
        kt: &kt,
        v: &values,
        scale: 1.0 / (dim as f32).sqrt(),
    };
    Ok(compute.kernels().attention(&head, &mut Vec::new(), out)?)
}
