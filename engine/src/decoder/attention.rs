// SPDX-License-Identifier: AGPL-3.0-or-later
//! The attention of one pass: what is between the projections to heads and the one back.

use std::ops::Range;

use super::forward::{Pass, TURN, Token};
use super::model::{DecoderLayer, DecoderModel};
use super::rope::Angles;
use crate::error::EngineError;

/// Buffers of one worker.
#[derive(Debug, Default)]
pub(super) struct HeadBuffers {
    /// `[tokens, heads * head_dim]`.
    pub(super) query: Vec<f32>,
    /// `[tokens, kv_heads * head_dim]`.
    pub(super) key: Vec<f32>,
    /// As the keys.
    pub(super) value: Vec<f32>,
    /// Queries of a few tokens that share a KV head, then what they attend to.
    group: Vec<f32>,
    scores: Vec<f32>,
    /// Of each rotary embedding of the model.
    angles: Vec<Angles>,
}

impl HeadBuffers {
    /// Takes the angles of the tokens of a pass.
    pub(super) fn turn_to(&mut self, model: &DecoderModel, tokens: &[Token]) {
        self.angles.resize_with(model.ropes.len(), Angles::default);
        for (rope, angles) in model.ropes.iter().zip(&mut self.angles) {
            rope.at(tokens.iter().map(|token| token.position), angles);
        }
    }
}

impl Pass<'_> {
    /// Rotates queries and keys, caches keys and values, and weights values for this worker's
    /// tokens: all query heads, to `out`.
    pub(super) fn attend(
        &mut self,
        index: usize,
        layer: &DecoderLayer,
        b: &mut HeadBuffers,
        out: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        self.turn_heads(layer, b)?;
        self.store(index, b);
        if !self.by_rows {
            self.worker.wait()?;
        }
        out.resize(b.query.len(), 0.0);
        for head in self.heads_of(self.worker.index()) {
            for (first, run) in self.runs() {
                self.attend_run((index, head), layer, (first, run), b, out)?;
            }
        }
        match self.alone() {
            true => Ok(()),
            false => self.exchange_heads(out),
        }
    }

    /// Norms and rotations of queries and keys.
    fn turn_heads(&self, layer: &DecoderLayer, b: &mut HeadBuffers) -> Result<(), EngineError> {
        let (kernels, config) = (self.kernels, &self.model.config);
        for (norm, rows) in [(&layer.query_norm, &mut b.query), (&layer.key_norm, &mut b.key)] {
            if let Some(norm) = norm {
                norm.apply(kernels, rows);
            }
        }
        let (rope, angles) = (&self.model.ropes[layer.rope], &b.angles[layer.rope]);
        let queries = b.query.chunks_exact_mut(config.heads * config.head_dim);
        let keys = b.key.chunks_exact_mut(config.kv_heads * config.head_dim);
        for (t, (query, key)) in queries.zip(keys).enumerate() {
            rope.turn(kernels, angles, t, query, config.head_dim)?;
            rope.turn(kernels, angles, t, key, config.head_dim)?;
        }
        Ok(())
    }

    /// KV heads that `worker` stores and attends with.
    fn heads_of(&self, worker: usize) -> impl Iterator<Item = usize> + use<> {
        let (first, step) = if self.by_rows { (worker, self.worker.count()) } else { (0, 1) };
        (first..self.model.config.kv_heads).step_by(step)
    }

    /// Keys and values of this worker's heads and tokens go to the cache.
    fn store(&self, index: usize, b: &HeadBuffers) {
        let config = &self.model.config;
        for head in self.heads_of(self.worker.index()) {
            let mut pages = self.cache.write(index, head);
            for (t, token) in self.tokens.iter().enumerate() {
                let row = (t * config.kv_heads + head) * config.head_dim;
                let row = row..row + config.head_dim;
                let sequence = self.slices[token.slice].sequence;
                let rows = (&b.key[row.clone()], &b.value[row]);
                pages.write(self.kernels, sequence.pages(), token.position, rows);
            }
        }
    }

    /// This worker's tokens, up to [`TURN`] neighbours of one sequence at a time, each time with the
    /// index of the first.
    fn runs(&self) -> impl Iterator<Item = (usize, &[Token])> + use<'_> {
        let neighbours = |a: &Token, b: &Token| (a.slice, a.position + 1) == (b.slice, b.position);
        let mut first = 0;
        self.tokens.chunk_by(neighbours).flat_map(|run| run.chunks(TURN)).map(move |run| {
            first += run.len();
            (first - run.len(), run)
        })
    }

    /// Weighted values of the query heads of one KV head for tokens `run`, the first of which is
    /// number `first`.
    ///
    /// They read the cache together: scores of all positions that any of them sees, of which those a
    /// token must not see become weights of 0, which add nothing to its sums.
    fn attend_run(
        &self,
        (layer_index, head): (usize, usize),
        layer: &DecoderLayer,
        (first, run): (usize, &[Token]),
        b: &mut HeadBuffers,
        out: &mut [f32],
    ) -> Result<(), EngineError> {
        let config = &self.model.config;
        let per_token = config.heads / config.kv_heads;
        let (width, row) = (per_token * config.head_dim, config.heads * config.head_dim);
        let at =
            |t: usize| (first + t) * row + head * width..(first + t) * row + (head + 1) * width;
        b.group.clear();
        for t in 0..run.len() {
            b.group.extend_from_slice(&b.query[at(t)]);
        }
        // The first token sees the earliest position, the last one the latest.
        let (begin, end) =
            (self.seen(layer, &run[0]).start, self.seen(layer, &run[run.len() - 1]).end);
        let positions = end - begin;
        let pages = self.slices[run[0].slice].sequence.pages();
        let cached = self.cache.read(layer_index, head);
        let (keys, values) = cached.read(pages, begin..end, config.head_dim)?;
        b.scores.resize(run.len() * per_token * positions, 0.0);
        self.kernels.kv_scores(&b.group, &keys, config.attention_scale, &mut b.scores)?;
        let rows = b.scores.chunks_exact_mut(positions);
        for (token, scores) in run.iter().flat_map(|t| std::iter::repeat_n(t, per_token)).zip(rows)
        {
            let seen = self.seen(layer, token);
            let seen = seen.start - begin..seen.end - begin;
            scores[..seen.start].fill(0.0);
            scores[seen.end..].fill(0.0);
            self.kernels.softmax(&mut scores[seen]);
        }
        self.kernels.kv_values(&b.scores, &values, &mut b.group)?;
        for (t, heads) in b.group.chunks_exact(width).enumerate() {
            out[at(t)].copy_from_slice(heads);
        }
        Ok(())
    }

    /// Every worker gets the heads of all others.
    fn exchange_heads(&mut self, heads: &mut [f32]) -> Result<(), EngineError> {
        let config = &self.model.config;
        let (own, tokens) = (self.heads_of(self.worker.index()), self.tokens.len());
        let width = config.heads / config.kv_heads * config.head_dim;
        let row = config.heads * config.head_dim;
        self.write_part(|part| {
            part.clear();
            for head in own {
                for t in 0..tokens {
                    part.extend_from_slice(&heads[t * row + head * width..][..width]);
                }
            }
            Ok(())
        })?;
        self.read_parts(|pass, worker, part| {
            let mut rows = part.chunks_exact(width);
            for head in pass.heads_of(worker) {
                for t in 0..tokens {
                    let from = rows.next().expect("a row for each head and token");
                    heads[t * row + head * width..][..width].copy_from_slice(from);
                }
            }
        });
        Ok(())
    }

    /// Positions that a token attends to.
    fn seen(&self, layer: &DecoderLayer, token: &Token) -> Range<usize> {
        let end = match self.model.config.causal {
            true => token.position + 1,
            false => self.slices[token.slice].sequence.len(),
        };
        let first = layer.window.map_or(0, |window| (token.position + 1).saturating_sub(window));
        first..end
    }
}
