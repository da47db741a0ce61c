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

use super::attention::HeadBuffers;
use super::kv::{KvCache, Sequence};
use super::model::{DecoderLayer, DecoderModel};
use super::norm::RmsNorm;
use super::projection::{Inputs, Projection};
use crate::compute::Compute;
use crate::control::CancelToken;
use crate::error::EngineError;
use crate::spmd::Worker;

/// Tokens per thread from which on threads share out tokens instead of rows.
const TOKENS_PER_THREAD: usize = 24;

/// Most tokens that a thread takes through the layers at once.
const TOKENS_AT_ONCE: usize = 64;

/// Tokens that go to a thread together: later tokens attend to more, so threads take turns.
pub(super) const TURN: usize = 8;

/// Outputs of a matrix that are computed at a time for many tokens: what is done with them next finds
/// them in the second-level cache.
const ROWS: usize = 128;

/// Tokens from which on outputs are computed [`ROWS`] at a time. Fewer leave no room to gain, and
/// their kernels stream whole matrices best.
const MANY_TOKENS: usize = 24;

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
pub(super) struct Token {
    pub(super) slice: usize,
    pub(super) position: usize,
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
    /// Joined heads, or the gated values of the feed-forward layer.
    wide: Vec<f32>,
    up: Vec<f32>,
    out: Vec<f32>,
    inputs: Inputs,
    heads: HeadBuffers,
}

/// One worker's view of a pass.
pub(super) struct Pass<'a> {
    pub(super) model: &'a DecoderModel,
    pub(super) kernels: &'static dyn Kernels,
    pub(super) cache: &'a KvCache,
    pub(super) slices: &'a [Slice<'a>],
    pub(super) worker: &'a Worker<'a>,
    shared: &'a [RwLock<Shared>],
    /// Tokens of this worker.
    pub(super) tokens: &'a [Token],
    /// Whether rows are shared out, not tokens.
    pub(super) by_rows: bool,
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
    /// [`EngineError::NotFinite`] for an embedding or a final hidden state that is no number: once
    /// in the residual stream, a NaN stays, and the head's 8-bit inputs would hide it.
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
        // Of each turn, the tokens of each worker.
        let turns: Vec<Vec<Vec<Token>>> = (self.turns(&tokens, threads))
            .map(|tokens| match by_rows {
                true => vec![tokens.to_vec(); threads],
                false => shares(tokens, threads),
            })
            .collect();
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
                tokens: &[],
                by_rows,
                turn: 0,
            };
            for shares in &turns {
                pass.tokens = &shares[index];
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
            }
            worker.wait()?;
            if let Some(value) = not_finite(&finals) {
                let what = "the hidden state behind the last layer".into();
                return Err(EngineError::NotFinite { what, value });
            }
            if let Some(head) = &self.head
                && wants.iter().any(|&i| tokens[i].want == Want::Logits)
            {
                let finals = finals.read().unwrap_or_else(PoisonError::into_inner);
                let part = head.share(index, worker.count());
                let mut out = lock(&logits[index]);
                out.resize(wants.len() * part.len(), 0.0);
                head.prepare(compute.kernels(), None, None, &finals, &mut buffers.inputs)?;
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

/// A value that is no finite number.
fn not_finite(values: &RwLock<Vec<f32>>) -> Option<f32> {
    let values = values.read().unwrap_or_else(PoisonError::into_inner);
    values.iter().copied().find(|value| !value.is_finite())
}

impl DecoderModel {
    /// The tokens that go through all layers together: so few that what a layer makes of them stays in
    /// the second-level cache, so many that reading and unpacking the weights once more costs little.
    fn turns<'a>(&self, tokens: &'a [Token], threads: usize) -> impl Iterator<Item = &'a [Token]> {
        let most = TOKENS_AT_ONCE * threads;
        // A token that sees those behind it needs their keys in every layer.
        let turns = if self.config.causal { tokens.len().div_ceil(most) } else { 1 };
        tokens.chunks(tokens.len().div_ceil(turns).next_multiple_of(TURN * threads))
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
        b.heads.turn_to(model, self.tokens);
        for (i, layer) in model.layers.iter().enumerate() {
            cancel.check()?;
            self.attention(i, layer, b)?;
            self.feed_forward(layer, b)?;
        }
        model.norm.apply(self.kernels, &mut b.x);
        Ok(())
    }

    /// Whether this worker computes all there is for its tokens.
    pub(super) fn alone(&self) -> bool {
        !self.by_rows || self.worker.count() == 1
    }

    fn attention(
        &mut self,
        index: usize,
        layer: &DecoderLayer,
        b: &mut Buffers,
    ) -> Result<(), EngineError> {
        let heads = &mut b.heads;
        let projections = [&layer.query, &layer.key, &layer.value];
        let outputs = [&mut heads.query, &mut heads.key, &mut heads.value];
        self.project(projections, layer.attention_norm.as_ref(), &b.x, &mut b.inputs, outputs)?;
        self.attend(index, layer, heads, &mut b.wide)?;
        let norms = [&layer.attention_sub_norm, &layer.attention_post_norm];
        self.add_projected(&layer.output, norms, b)
    }

    fn feed_forward(&mut self, layer: &DecoderLayer, b: &mut Buffers) -> Result<(), EngineError> {
        self.gate(layer, b)?;
        let norms = [&layer.ffn_sub_norm, &layer.ffn_post_norm];
        self.add_projected(&layer.down, norms, b)
    }

    /// `wide = f(gate(norm(x))) · up(norm(x))`.
    fn gate(&mut self, layer: &DecoderLayer, b: &mut Buffers) -> Result<(), EngineError> {
        let (kernels, tokens) = (self.kernels, self.tokens.len());
        let (gate, up, norm) = (&layer.gate, &layer.up, layer.ffn_norm.as_ref());
        let part = self.part(gate, self.worker.index());
        let step = match up.takes_the_inputs_of(gate) {
            true => self.rows_at_a_time(part.len()),
            false => part.len(),
        };
        b.wide.resize(tokens * part.len(), 0.0);
        gate.prepare(kernels, None, norm, &b.x, &mut b.inputs)?;
        for first in part.clone().step_by(step.max(1)) {
            let rows = first..part.end.min(first + step);
            b.out.resize(tokens * rows.len(), 0.0);
            gate.forward(kernels, &mut b.inputs, rows.clone(), &mut b.out)?;
            b.up.resize(tokens * rows.len(), 0.0);
            up.prepare(kernels, Some(gate), norm, &b.x, &mut b.inputs)?;
            up.forward(kernels, &mut b.inputs, rows.clone(), &mut b.up)?;
            layer.activation.apply(kernels, &mut b.out, &b.up);
            let rows = first - part.start..rows.end - part.start;
            scatter(&b.out, rows, part.len(), &mut b.wide);
        }
        if self.alone() {
            return Ok(());
        }
        // Activated before it is exchanged: half as much.
        let wide = &mut b.wide;
        self.write_part(|shared| {
            shared.clear();
            shared.extend_from_slice(wide);
            Ok(())
        })?;
        wide.resize(tokens * gate.rows(), 0.0);
        self.read_parts(|pass, worker, shared| {
            scatter(shared, pass.part(gate, worker), gate.rows(), wide);
        });
        Ok(())
    }

    /// `x += post(projection(sub(wide)))`, with the norms `[sub, post]`.
    fn add_projected(
        &mut self,
        projection: &Projection,
        norms: [&Option<RmsNorm>; 2],
        b: &mut Buffers,
    ) -> Result<(), EngineError> {
        let (kernels, tokens, hidden) = (self.kernels, self.tokens.len(), projection.rows());
        let [sub, post] = norms.map(Option::as_ref);
        if !self.alone() || post.is_some() {
            self.project([projection], sub, &b.wide, &mut b.inputs, [&mut b.out])?;
            if let Some(norm) = post {
                norm.apply(kernels, &mut b.out);
            }
            kernels.add(&mut b.x, &b.out);
            return Ok(());
        }
        projection.prepare(kernels, None, sub, &b.wide, &mut b.inputs)?;
        let step = self.rows_at_a_time(hidden);
        for first in (0..hidden).step_by(step) {
            let rows = first..hidden.min(first + step);
            b.out.resize(tokens * rows.len(), 0.0);
            projection.forward(kernels, &mut b.inputs, rows.clone(), &mut b.out)?;
            for (x, out) in b.x.chunks_exact_mut(hidden).zip(b.out.chunks_exact(rows.len())) {
                kernels.add(&mut x[rows.clone()], out);
            }
        }
        Ok(())
    }

    /// How many of `rows` outputs are computed before something is done with them.
    fn rows_at_a_time(&self, rows: usize) -> usize {
        if self.tokens.len() < MANY_TOKENS { rows } else { ROWS.min(rows) }
    }

    /// Rows of `projection` that `worker` multiplies.
    fn part(&self, projection: &Projection, worker: usize) -> Range<usize> {
        if self.by_rows {
            projection.share(worker, self.worker.count())
        } else {
            0..projection.rows()
        }
    }

    /// All outputs of projections of the same `norm(x)` for this worker's tokens.
    fn project<const N: usize>(
        &mut self,
        projections: [&Projection; N],
        norm: Option<&RmsNorm>,
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
            projections[i].prepare(kernels, last, norm, x, inputs)?;
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
    pub(super) fn write_part(
        &self,
        write: impl FnOnce(&mut Vec<f32>) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let shared = &self.shared[self.worker.index()];
        write(&mut shared.write().unwrap_or_else(PoisonError::into_inner).parts[self.turn])?;
        Ok(self.worker.wait()?)
    }

    /// Reads what every worker has written, its own included.
    pub(super) fn read_parts(&mut self, mut read: impl FnMut(&Self, usize, &[f32])) {
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
