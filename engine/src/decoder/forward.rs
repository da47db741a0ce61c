// SPDX-License-Identifier: AGPL-3.0-or-later
//! One pass over the weights for the new tokens of any number of sequences.
//!
//! All threads run the whole pass (SPMD). Few tokens: each thread multiplies its share of every
//! matrix's rows, so that each weight is read once, and threads exchange results at a barrier; norms
//! and quantization, which are cheap, are done by each. Many tokens: each thread takes its share of
//! the tokens through the layers by itself, and meets the others only when keys and values are in
//! the cache. Either way a token's numbers are computed by the same operations in the same order:
//! they depend neither on the threads nor on what else is in the batch.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use bho_kernels::Kernels;

use super::kv::{KvCache, Sequence};
use super::model::{DecoderLayer, DecoderModel};
use super::norm::RmsNorm;
use super::projection::{Inputs, Projection};
use super::rope::{Angles, RotaryEmbedding};
use crate::compute::Compute;
use crate::control::CancelToken;
use crate::error::EngineError;
use crate::spmd::Worker;

/// Tokens per thread from which on threads share out tokens instead of rows.
const TOKENS_PER_THREAD: usize = 24;

/// Tokens that go to a thread together: later tokens attend to more, so threads take turns.
const TURN: usize = 8;

/// What is wanted of a token behind the last layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Nothing: only its keys and values are needed.
    Nothing,
    /// The logits of the next token, `[vocab]`.
    Logits,
    /// Its hidden state, normalised, `[hidden]`.
    Hidden,
}

/// The new tokens of one sequence, which [`KvCache::extend`] has made room for: its last `new` ones.
#[derive(Debug)]
pub struct Slice<'a> {
    /// The sequence.
    pub sequence: &'a Sequence,
    /// How many of its tokens are new.
    pub new: usize,
    /// What is wanted of each new token, or of the last one only.
    pub want: Wanted,
}

/// Which of the new tokens something is wanted of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The last one.
    Last(Want),
    /// All of them.
    All(Want),
}

/// One token of a batch.
#[derive(Debug, Clone, Copy)]
struct Token {
    slice: usize,
    position: usize,
    id: u32,
    want: Want,
}

/// Buffers of the forward passes of one model; one pass at a time uses them.
#[derive(Debug, Default)]
pub struct Scratch {
    workers: Vec<Mutex<Buffers>>,
    /// What each worker hands to the others.
    shared: Vec<RwLock<Shared>>,
}

/// One exchange may still be read while the next one is written.
#[derive(Debug, Default)]
struct Shared {
    parts: [Vec<f32>; 2],
}

/// Buffers of one worker.
#[derive(Debug, Default)]
struct Buffers {
    /// The residual stream, `[tokens, hidden]`.
    x: Vec<f32>,
    normed: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    heads: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    out: Vec<f32>,
    scores: Vec<f32>,
    inputs: Inputs,
    angles: Angles,
}

/// One worker's view of a pass.
struct Pass<'a> {
    model: &'a DecoderModel,
    kernels: &'static dyn Kernels,
    cache: &'a KvCache,
    slices: &'a [Slice<'a>],
    worker: &'a Worker<'a>,
    shared: &'a [RwLock<Shared>],
    /// Tokens of this worker.
    tokens: &'a [Token],
    /// Whether rows are shared out, not tokens.
    by_rows: bool,
    /// Which of the shared parts is written next.
    turn: usize,
}

impl DecoderModel {
    /// Runs the new tokens of `slices` through the model; keys and values go to `cache`.
    ///
    /// Returns what was wanted, in the order of the tokens: for each the logits or the hidden
    /// state.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`], seen between layers: the cache then holds nothing new that
    /// counts, and the sequences must be given back. [`EngineError::Input`] for a token id that the
    /// model lacks.
    pub fn forward(
        &self,
        compute: &Compute,
        cache: &KvCache,
        slices: &[Slice<'_>],
        scratch: &mut Scratch,
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        let tokens = tokens(slices)?;
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let threads = compute.threads();
        scratch.workers.resize_with(threads, Mutex::default);
        scratch.shared.resize_with(threads, RwLock::default);
        let by_rows = threads == 1 || tokens.len() < TOKENS_PER_THREAD * threads;
        let shares = match by_rows {
            true => vec![tokens.clone(); threads],
            false => shares(&tokens, threads),
        };
        let wants: Vec<_> =
            (0..tokens.len()).filter(|&i| tokens[i].want != Want::Nothing).collect();
        let hidden = self.config.hidden;
        // Hidden states of the tokens something is wanted of, then the parts of their logits.
        let finals = RwLock::new(vec![0f32; wants.len() * hidden]);
        let logits: Vec<_> = (0..threads).map(|_| Mutex::new(Vec::new())).collect();
        let Scratch { workers, shared } = &*scratch;
        compute.spmd(|worker| {
            let index = worker.index();
            let mut buffers = lock(&workers[index]);
            let mut pass = Pass {
                model: self,
                kernels: compute.kernels(),
                cache,
                slices,
                worker,
                shared,
                tokens: &shares[index],
                by_rows,
                turn: 0,
            };
            pass.run(&mut buffers, cancel)?;
            // Whoever has a token's state hands it over.
            if index == 0 || !by_rows {
                let mut finals = finals.write().unwrap_or_else(PoisonError::into_inner);
                let rows = buffers.x.chunks_exact(hidden);
                for (token, row) in shares[index].iter().zip(rows) {
                    let at = |i: &usize| same(&tokens[*i], token);
                    if let Some(i) = wants.iter().position(at) {
                        finals[i * hidden..][..hidden].copy_from_slice(row);
                    }
                }
            }
            worker.wait()?;
            if let Some(head) = &self.head
                && wants.iter().any(|&i| tokens[i].want == Want::Logits)
            {
                let finals = finals.read().unwrap_or_else(PoisonError::into_inner);
                let part = head.share(index, worker.count());
                let mut out = lock(&logits[index]);
                out.resize(wants.len() * part.len(), 0.0);
                head.prepare(compute.kernels(), None, &finals, &mut buffers.inputs)?;
                head.forward(compute.kernels(), &mut buffers.inputs, part, &mut out)?;
            }
            Ok(())
        })?;
        let finals = finals.into_inner().unwrap_or_else(PoisonError::into_inner);
        let logits: Vec<_> = logits
            .into_iter()
            .map(|m| m.into_inner().unwrap_or_else(PoisonError::into_inner))
            .collect();
        let output = wants.iter().enumerate().map(|(w, &i)| match tokens[i].want {
            Want::Logits => {
                let mut row = Vec::with_capacity(self.config.vocab);
                for part in &logits {
                    let width = part.len() / wants.len();
                    row.extend_from_slice(&part[w * width..][..width]);
                }
                row
            }
            _ => finals[w * hidden..][..hidden].to_vec(),
        });
        Ok(output.collect())
    }
}

fn same(a: &Token, b: &Token) -> bool {
    (a.slice, a.position) == (b.slice, b.position)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All new tokens, one after another.
fn tokens(slices: &[Slice<'_>]) -> Result<Vec<Token>, EngineError> {
    let mut tokens = Vec::new();
    for (slice, Slice { sequence, new, want }) in slices.iter().enumerate() {
        let Some(first) = sequence.len().checked_sub(*new) else {
            let (has, new) = (sequence.len(), *new);
            return Err(EngineError::Input(format!("{new} new tokens of a sequence of {has}")));
        };
        for (position, &id) in sequence.tokens().iter().enumerate().skip(first) {
            let want = match *want {
                Wanted::All(want) => want,
                Wanted::Last(want) if position + 1 == sequence.len() => want,
                Wanted::Last(_) => Want::Nothing,
            };
            tokens.push(Token { slice, position, id, want });
        }
    }
    Ok(tokens)
}

/// Tokens in turns: first to last thread, then back.
fn shares(tokens: &[Token], threads: usize) -> Vec<Vec<Token>> {
    let mut shares = vec![Vec::new(); threads];
    for (turn, chunk) in tokens.chunks(TURN).enumerate() {
        let at = turn % (2 * threads);
        shares[at.min(2 * threads - 1 - at)].extend_from_slice(chunk);
    }
    shares
}

impl Pass<'_> {
    /// All layers and the final norm; the result is in `x`.
    fn run(&mut self, b: &mut Buffers, cancel: &CancelToken) -> Result<(), EngineError> {
        let (model, hidden) = (self.model, self.model.config.hidden);
        b.x.resize(self.tokens.len() * hidden, 0.0);
        for (token, row) in self.tokens.iter().zip(b.x.chunks_exact_mut(hidden)) {
            model.embed(token.id, row)?;
        }
        for (i, layer) in model.layers.iter().enumerate() {
            cancel.check()?;
            self.attention(i, layer, b)?;
            self.feed_forward(layer, b)?;
        }
        model.norm.apply(self.kernels, &mut b.x);
        Ok(())
    }

    /// Whether this worker computes all there is for its tokens.
    fn alone(&self) -> bool {
        !self.by_rows || self.worker.count() == 1
    }

    fn attention(
        &mut self,
        index: usize,
        layer: &DecoderLayer,
        b: &mut Buffers,
    ) -> Result<(), EngineError> {
        let kernels = self.kernels;
        copy_normed(kernels, layer.attention_norm.as_ref(), &b.x, &mut b.normed);
        let projections = [&layer.query, &layer.key, &layer.value];
        let outputs = [&mut b.query, &mut b.key, &mut b.value];
        self.project(projections, &b.normed, &mut b.inputs, outputs)?;
        self.turn_heads(layer, b)?;
        self.store(index, b);
        if !self.by_rows {
            self.worker.wait()?;
        }
        self.attend(index, layer, b)?;
        if let Some(norm) = &layer.attention_sub_norm {
            norm.apply(kernels, &mut b.heads);
        }
        self.project([&layer.output], &b.heads, &mut b.inputs, [&mut b.out])?;
        add_to_residual(kernels, layer.attention_post_norm.as_ref(), b);
        Ok(())
    }

    /// Norms and rotations of queries and keys.
    fn turn_heads(&self, layer: &DecoderLayer, b: &mut Buffers) -> Result<(), EngineError> {
        let (kernels, config) = (self.kernels, &self.model.config);
        for (norm, rows) in [(&layer.query_norm, &mut b.query), (&layer.key_norm, &mut b.key)] {
            if let Some(norm) = norm {
                norm.apply(kernels, rows);
            }
        }
        let rope = &self.model.ropes[layer.rope];
        let queries = b.query.chunks_exact_mut(config.heads * config.head_dim);
        let keys = b.key.chunks_exact_mut(config.kv_heads * config.head_dim);
        for ((token, query), key) in self.tokens.iter().zip(queries).zip(keys) {
            rope.at(token.position, &mut b.angles);
            RotaryEmbedding::turn(kernels, &b.angles, query, config.head_dim)?;
            RotaryEmbedding::turn(kernels, &b.angles, key, config.head_dim)?;
        }
        Ok(())
    }

    /// KV heads that `worker` stores and attends with.
    fn heads_of(&self, worker: usize) -> impl Iterator<Item = usize> + use<> {
        let (first, step) = if self.by_rows { (worker, self.worker.count()) } else { (0, 1) };
        (first..self.model.config.kv_heads).step_by(step)
    }

    /// Keys and values of this worker's heads and tokens go to the cache.
    fn store(&self, index: usize, b: &Buffers) {
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

    /// Weighted values of all query heads for this worker's tokens, to `b.heads`.
    fn attend(
        &mut self,
        index: usize,
        layer: &DecoderLayer,
        b: &mut Buffers,
    ) -> Result<(), EngineError> {
        let config = &self.model.config;
        let group = config.heads / config.kv_heads;
        let (width, row) = (group * config.head_dim, config.heads * config.head_dim);
        b.heads.resize(self.tokens.len() * row, 0.0);
        for head in self.heads_of(self.worker.index()) {
            let cached = self.cache.read(index, head);
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            for (t, token) in self.tokens.iter().enumerate() {
                let seen = self.seen(layer, token);
                let positions = seen.len();
                let pages = self.slices[token.slice].sequence.pages();
                cached.read(pages, seen, config.head_dim, &mut keys, &mut values)?;
                let at = t * row + head * width..t * row + (head + 1) * width;
                b.scores.resize(group * positions, 0.0);
                let (query, scale) = (&b.query[at.clone()], config.attention_scale);
                self.kernels.kv_scores(query, &keys, scale, &mut b.scores)?;
                for scores in b.scores.chunks_exact_mut(positions) {
                    self.kernels.softmax(scores);
                }
                self.kernels.kv_values(&b.scores, &values, &mut b.heads[at])?;
            }
        }
        if self.alone() {
            return Ok(());
        }
        let heads = &mut b.heads;
        let (own, tokens) = (self.heads_of(self.worker.index()), self.tokens.len());
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

    fn feed_forward(&mut self, layer: &DecoderLayer, b: &mut Buffers) -> Result<(), EngineError> {
        let (kernels, tokens) = (self.kernels, self.tokens.len());
        copy_normed(kernels, layer.ffn_norm.as_ref(), &b.x, &mut b.normed);
        let (gate, up) = (&layer.gate, &layer.up);
        let part = self.part(gate, self.worker.index());
        for (projection, last, out) in [(gate, None, &mut b.gate), (up, Some(gate), &mut b.up)] {
            out.resize(tokens * part.len(), 0.0);
            projection.prepare(kernels, last, &b.normed, &mut b.inputs)?;
            projection.forward(kernels, &mut b.inputs, part.clone(), out)?;
        }
        // Activated before it is exchanged: half as much.
        layer.activation.apply(kernels, &mut b.gate, &b.up);
        if !self.alone() {
            let activated = &mut b.gate;
            self.write_part(|shared| {
                shared.clear();
                shared.extend_from_slice(activated);
                Ok(())
            })?;
            activated.resize(tokens * gate.rows(), 0.0);
            self.read_parts(|pass, worker, shared| {
                scatter(shared, pass.part(gate, worker), gate.rows(), activated);
            });
        }
        if let Some(norm) = &layer.ffn_sub_norm {
            norm.apply(kernels, &mut b.gate);
        }
        self.project([&layer.down], &b.gate, &mut b.inputs, [&mut b.out])?;
        add_to_residual(kernels, layer.ffn_post_norm.as_ref(), b);
        Ok(())
    }

    /// Rows of `projection` that `worker` multiplies.
    fn part(&self, projection: &Projection, worker: usize) -> Range<usize> {
        if self.by_rows {
            projection.share(worker, self.worker.count())
        } else {
            0..projection.rows()
        }
    }

    /// All outputs of projections of the same `x` for this worker's tokens.
    fn project<const N: usize>(
        &mut self,
        projections: [&Projection; N],
        x: &[f32],
        inputs: &mut Inputs,
        mut outputs: [&mut Vec<f32>; N],
    ) -> Result<(), EngineError> {
        let (kernels, tokens, index) = (self.kernels, self.tokens.len(), self.worker.index());
        for (projection, out) in projections.iter().zip(&mut outputs) {
            out.resize(tokens * projection.rows(), 0.0);
        }
        let ranges = projections.map(|projection| self.part(projection, index));
        let mut multiply = |i: usize, out: &mut [f32]| {
            let last = i.checked_sub(1).map(|last| projections[last]);
            projections[i].prepare(kernels, last, x, inputs)?;
            projections[i].forward(kernels, inputs, ranges[i].clone(), out)
        };
        if self.alone() {
            return (0..N).try_for_each(|i| multiply(i, outputs[i]));
        }
        self.write_part(|part| {
            part.resize(ranges.iter().map(|range| tokens * range.len()).sum(), 0.0);
            let mut rest = &mut part[..];
            for (i, range) in ranges.iter().enumerate() {
                let (out, behind) = rest.split_at_mut(tokens * range.len());
                multiply(i, out)?;
                rest = behind;
            }
            Ok(())
        })?;
        self.read_parts(|pass, worker, mut part| {
            for (projection, out) in projections.iter().zip(&mut outputs) {
                let range = pass.part(projection, worker);
                let (own, behind) = part.split_at(tokens * range.len());
                scatter(own, range, projection.rows(), out);
                part = behind;
            }
        });
        Ok(())
    }

    /// Writes what the other workers are to read, and waits until all have.
    fn write_part(
        &self,
        write: impl FnOnce(&mut Vec<f32>) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let shared = &self.shared[self.worker.index()];
        write(&mut shared.write().unwrap_or_else(PoisonError::into_inner).parts[self.turn])?;
        Ok(self.worker.wait()?)
    }

    /// Reads what every worker has written, its own included.
    fn read_parts(&mut self, mut read: impl FnMut(&Self, usize, &[f32])) {
        for (worker, shared) in self.shared.iter().enumerate() {
            let shared = shared.read().unwrap_or_else(PoisonError::into_inner);
            read(self, worker, &shared.parts[self.turn]);
        }
        self.turn ^= 1;
    }
}

/// Copies `part`, columns `range` of rows of `width`, to where it belongs in `out`.
fn scatter(part: &[f32], range: Range<usize>, width: usize, out: &mut [f32]) {
    if range.is_empty() {
        return;
    }
    for (row, out) in part.chunks_exact(range.len()).zip(out.chunks_exact_mut(width)) {
        out[range.clone()].copy_from_slice(row);
    }
}

/// `out = norm(x)`, or a copy where there is no norm.
fn copy_normed(kernels: &dyn Kernels, norm: Option<&RmsNorm>, x: &[f32], out: &mut Vec<f32>) {
    out.clear();
    out.extend_from_slice(x);
    if let Some(norm) = norm {
        norm.apply(kernels, out);
    }
}

/// `x += norm(out)`.
fn add_to_residual(kernels: &dyn Kernels, norm: Option<&RmsNorm>, b: &mut Buffers) {
    if let Some(norm) = norm {
        norm.apply(kernels, &mut b.out);
    }
    kernels.add(&mut b.x, &b.out);
}
