// SPDX-License-Identifier: AGPL-3.0-or-later
//! The network: token ids in, a vector per token out.

use std::ops::Range;

use bho_engine::layers::{
    Activation, AttentionInput, Embeddings, LayerNorm, Linear, Rows, attention, attention_of_first,
};
use bho_engine::{CancelToken, Compute, EngineError};
use bho_kernels::QuantRows;

use super::config::BertConfig;
use super::load::Loader;
use super::spec::{Scope, SubNorms};
use crate::error::ModelError;
use crate::weights::Weights;

/// One sequence of token ids with the segment of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenSequence {
    /// Token ids, special ones included.
    pub ids: Vec<u32>,
    /// Segment of each token, as long as `ids`.
    pub types: Vec<u32>,
}

impl TokenSequence {
    /// A sequence of one segment.
    pub fn single(ids: Vec<u32>) -> Self {
        let types = vec![0; ids.len()];
        Self { ids, types }
    }
}

/// A BERT trunk with its heads, on ternary, int8 or float weights.
pub struct BertModel {
    config: BertConfig,
    compute: Compute,
    words: Embeddings,
    positions: Embeddings,
    types: Embeddings,
    norm: LayerNorm,
    layers: Vec<Layer>,
    /// Dense layer on the first token, then tanh; with a sequence head.
    pooler: Option<Linear>,
    classifier: Option<Linear>,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_sub_norm: Option<LayerNorm>,
    attention_out: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    ffn_sub_norm: Option<LayerNorm>,
    down: Linear,
    norm: LayerNorm,
}

impl BertModel {
    /// Builds the layers over `weights`; packed weights stay where they are mapped.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] naming the first tensor that is missing or has another shape.
    pub fn load(
        config: BertConfig,
        weights: &Weights,
        compute: &Compute,
    ) -> Result<Self, ModelError> {
        Self::load_in(&Scope::first(weights), config, weights, compute)
    }

    /// [`BertModel::load`] for any network of a file.
    pub(crate) fn load_in(
        scope: &Scope,
        config: BertConfig,
        weights: &Weights,
        compute: &Compute,
    ) -> Result<Self, ModelError> {
        let loader = Loader { weights, scope };
        let sub_norms = SubNorms::of(&config, weights, scope);
        loader.check(&config, sub_norms)?;
        let (hidden, ffn) = (config.hidden, config.ffn);
        let norm = |name: &str, len| loader.norm(name, len, config.eps);
        let sub_norm = |wanted: bool, name: &str, len| {
            wanted.then(|| loader.norm(name, len, config.eps)).transpose()
        };
        let mut layers = Vec::new();
        for i in 0..config.layers {
            let layer = format!("encoder.layer.{i}");
            let part =
                |name: &str, rows, cols| loader.linear(&format!("{layer}.{name}"), rows, cols);
            layers.push(Layer {
                query: part("attention.self.query", hidden, hidden)?,
                key: part("attention.self.key", hidden, hidden)?,
                value: part("attention.self.value", hidden, hidden)?,
                attention_sub_norm: sub_norm(
                    sub_norms.attention,
                    &format!("{layer}.{}", SubNorms::ATTENTION),
                    hidden,
                )?,
                attention_out: part("attention.output.dense", hidden, hidden)?,
                attention_norm: norm(&format!("{layer}.attention.output.LayerNorm"), hidden)?,
                up: part("intermediate.dense", ffn, hidden)?,
                ffn_sub_norm: sub_norm(sub_norms.ffn, &format!("{layer}.{}", SubNorms::FFN), ffn)?,
                down: part("output.dense", hidden, ffn)?,
                norm: norm(&format!("{layer}.output.LayerNorm"), hidden)?,
            });
        }
        let table =
            |name: &str, rows| loader.table(&format!("embeddings.{name}.weight"), rows, hidden);
        let pooler = config
            .has_sequence_head()
            .then(|| loader.matrix("pooler.dense", hidden, hidden, false))
            .transpose()?;
        let classifier = (config.has_sequence_head() || config.has_token_head())
            .then(|| loader.matrix("classifier", config.labels.len(), hidden, true))
            .transpose()?;
        Ok(Self {
            words: table("word_embeddings", config.vocab)?,
            positions: table("position_embeddings", config.positions)?,
            types: table("token_type_embeddings", config.types)?,
            norm: norm("embeddings.LayerNorm", hidden)?,
            layers,
            pooler,
            classifier,
            compute: compute.clone(),
            config,
        })
    }

    /// The settings of the network.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The kernels and threads it runs on.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// `ternary` or `int8` as the file has the linear layers, `f32` where they are float.
    pub fn precision(&self) -> &'static str {
        self.layers.first().map_or("f32", |l| l.query.precision())
    }

    /// Bytes of weights in use.
    pub fn weight_bytes(&self) -> u64 {
        let layers = self.layers.iter().flat_map(|l| {
            [&l.query, &l.key, &l.value, &l.attention_out, &l.up, &l.down].map(Linear::bytes)
        });
        let tables = [&self.words, &self.positions, &self.types].map(Embeddings::bytes);
        let heads = self.pooler.iter().chain(&self.classifier).map(Linear::bytes);
        layers.chain(tables).chain(heads).sum::<usize>() as u64
    }

    /// The last layer's vectors of all sequences, one after another: `[Σ len, hidden]`.
    ///
    /// Sequences are packed without padding, and a sequence's vectors do not depend on the others.
    /// Stops between layers when `cancel` does.
    ///
    /// # Errors
    /// [`EngineError::Input`] for an id, segment or length the model lacks;
    /// [`EngineError::Cancelled`].
    pub fn hidden_states(
        &self,
        sequences: &[TokenSequence],
        cancel: &CancelToken,
    ) -> Result<Vec<f32>, EngineError> {
        self.forward(sequences, Wanted::All, cancel)
    }

    /// The last layer's vector of each sequence's first token, to the same bits as in
    /// [`BertModel::hidden_states`]: `[sequences, hidden]`. The last layer's work on other tokens, but
    /// for their keys and values, is left out: five sixths of that layer.
    ///
    /// # Errors
    /// Those of [`BertModel::hidden_states`], and [`EngineError::Input`] for an empty sequence.
    pub fn first_states(
        &self,
        sequences: &[TokenSequence],
        cancel: &CancelToken,
    ) -> Result<Vec<f32>, EngineError> {
        if sequences.iter().any(|sequence| sequence.ids.is_empty()) {
            return Err(EngineError::Input("an empty sequence has no first token".into()));
        }
        self.forward(sequences, Wanted::First, cancel)
    }

    fn forward(
        &self,
        sequences: &[TokenSequence],
        wanted: Wanted,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>, EngineError> {
        let mut ranges = Vec::with_capacity(sequences.len());
        let mut total = 0;
        for sequence in sequences {
            self.check_sequence(sequence)?;
            ranges.push(total..total + sequence.ids.len());
            total += sequence.ids.len();
        }
        let mut pass = Pass::new(self, total);
        self.embed_tokens(sequences, &mut pass.hidden)?;
        let last = self.layers.len().saturating_sub(1);
        let of_layer = |i: usize| if i == last { wanted } else { Wanted::All };
        for (i, layer) in self.layers.iter().enumerate() {
            cancel.check()?;
            if i == 0 {
                pass.run_blocks(|block| self.project(layer, of_layer(i), block))?;
            }
            if of_layer(i) == Wanted::First {
                pass = self.finish_first(layer, &ranges, &pass)?;
                break;
            }
            pass.attend(&ranges)?;
            let next = self.layers.get(i + 1);
            let context = std::mem::take(&mut pass.context);
            pass.run_blocks(|block| {
                self.finish_layer(layer, &ranges, &context, block)?;
                // The next layer's projections need only this block's rows: one barrier less.
                next.map_or(Ok(()), |next| self.project(next, of_layer(i + 1), block))
            })?;
            pass.context = context;
        }
        cancel.check()?;
        finite("a hidden state behind the last layer", pass.hidden)
    }

    /// Attention and what is behind it, for the first token of each sequence: a pass of a row for each.
    fn finish_first<'m>(
        &'m self,
        layer: &Layer,
        ranges: &[Range<usize>],
        pass: &Pass<'m>,
    ) -> Result<Pass<'m>, EngineError> {
        let BertConfig { hidden, heads, .. } = self.config;
        let mut first = Pass::new(self, ranges.len());
        for (row, range) in first.hidden.chunks_exact_mut(hidden).zip(ranges) {
            row.copy_from_slice(&pass.hidden[range.start * hidden..][..hidden]);
        }
        first.run_blocks(|block| {
            let kernels = self.compute.kernels();
            let rows = Rows::new(kernels, &[&layer.query], block.hidden, &mut block.scratch.quant)?;
            layer.query.forward(kernels, &rows, block.q)
        })?;
        let input =
            AttentionInput { q: &first.q, k: &pass.k, v: &pass.v, heads, dim: hidden / heads };
        attention_of_first(&self.compute, &input, ranges, &mut first.context)?;
        let context = std::mem::take(&mut first.context);
        let rows: Vec<_> = (0..ranges.len()).map(|row| row..row + 1).collect();
        first.run_blocks(|block| self.finish_layer(layer, &rows, &context, block))?;
        Ok(first)
    }

    /// Logits of the sequence head for the vectors of one sequence (`[len, hidden]`, of which the first
    /// is read).
    ///
    /// # Errors
    /// [`EngineError::Input`] without such a head or for an empty sequence.
    pub fn sequence_logits(&self, hidden: &[f32]) -> Result<Vec<f32>, EngineError> {
        let (Some(pooler), Some(classifier)) = (&self.pooler, &self.classifier) else {
            return Err(EngineError::Input("the model has no sequence head".into()));
        };
        let first = hidden
            .get(..self.config.hidden)
            .ok_or_else(|| EngineError::Input("an empty sequence has no first token".into()))?;
        let mut pooled = self.dense(pooler, first)?;
        self.compute.kernels().tanh(&mut pooled);
        finite("a logit", self.dense(classifier, &pooled)?)
    }

    /// Logits of the token head for vectors `[len, hidden]`: `[len, labels]`.
    ///
    /// # Errors
    /// [`EngineError::Input`] without such a head.
    pub fn token_logits(&self, hidden: &[f32]) -> Result<Vec<f32>, EngineError> {
        match (&self.classifier, self.config.has_token_head()) {
            (Some(classifier), true) => finite("a logit", self.dense(classifier, hidden)?),
            _ => Err(EngineError::Input("the model has no token head".into())),
        }
    }

    fn dense(&self, layer: &Linear, x: &[f32]) -> Result<Vec<f32>, EngineError> {
        let kernels = self.compute.kernels();
        let mut quant = QuantRows::new();
        let mut y = vec![0f32; x.len() / layer.cols() * layer.rows()];
        layer.forward(kernels, &Rows::new(kernels, &[layer], x, &mut quant)?, &mut y)?;
        Ok(y)
    }

    fn check_sequence(&self, sequence: &TokenSequence) -> Result<(), EngineError> {
        let (len, max) = (sequence.ids.len(), self.config.positions);
        if len > max {
            let message = format!("a sequence of {len} tokens; the model has {max} positions");
            return Err(EngineError::Input(message));
        }
        if len != sequence.types.len() {
            let types = sequence.types.len();
            return Err(EngineError::Input(format!("{len} ids but {types} segment ids")));
        }
        Ok(())
    }

    fn embed_tokens(
        &self,
        sequences: &[TokenSequence],
        hidden: &mut [f32],
    ) -> Result<(), EngineError> {
        let mut rows = hidden.chunks_exact_mut(self.config.hidden);
        for sequence in sequences {
            for (position, (&id, &kind)) in sequence.ids.iter().zip(&sequence.types).enumerate() {
                let Some(row) = rows.next() else { return Ok(()) };
                self.words.add_to(id as usize, row)?;
                self.types.add_to(kind as usize, row)?;
                self.positions.add_to(position, row)?;
            }
        }
        self.norm.apply(self.compute.kernels(), hidden);
        Ok(())
    }

    /// Queries, keys and values of one block of tokens; no queries where the first tokens' are wanted
    /// alone, which are few.
    fn project(
        &self,
        layer: &Layer,
        wanted: Wanted,
        block: &mut Block<'_>,
    ) -> Result<(), EngineError> {
        let kernels = self.compute.kernels();
        let layers = [&layer.query, &layer.key, &layer.value];
        let rows = Rows::new(kernels, &layers, block.hidden, &mut block.scratch.quant)?;
        if wanted == Wanted::All {
            layer.query.forward(kernels, &rows, block.q)?;
        }
        layer.key.forward(kernels, &rows, block.k)?;
        layer.value.forward(kernels, &rows, block.v)
    }

    /// Everything behind attention, for one block of tokens.
    fn finish_layer(
        &self,
        layer: &Layer,
        ranges: &[Range<usize>],
        context: &[f32],
        block: &mut Block<'_>,
    ) -> Result<(), EngineError> {
        let kernels = self.compute.kernels();
        let BertConfig { hidden, ffn, heads, activation, .. } = self.config;
        let tokens = block.hidden.len() / hidden;
        let Scratch { quant, wide, narrow } = block.scratch;
        gather_heads(ranges, context, heads, hidden, block.first, block.q);
        narrow.resize(tokens * hidden, 0.0);
        if let Some(norm) = &layer.attention_sub_norm {
            norm.apply(kernels, block.q);
        }
        let rows = Rows::new(kernels, &[&layer.attention_out], block.q, quant)?;
        layer.attention_out.forward(kernels, &rows, narrow)?;
        kernels.add(block.hidden, narrow);
        layer.attention_norm.apply(kernels, block.hidden);

        wide.resize(tokens * ffn, 0.0);
        let rows = Rows::new(kernels, &[&layer.up], block.hidden, quant)?;
        layer.up.forward(kernels, &rows, wide)?;
        Activation::apply(activation, kernels, wide);
        if let Some(norm) = &layer.ffn_sub_norm {
            norm.apply(kernels, wide);
        }
        let rows = Rows::new(kernels, &[&layer.down], wide, quant)?;
        layer.down.forward(kernels, &rows, narrow)?;
        kernels.add(block.hidden, narrow);
        layer.norm.apply(kernels, block.hidden);
        Ok(())
    }
}

/// Copies attention's output for the tokens from `first` on from its `[sequence][head][token]`
/// layout into rows.
fn gather_heads(
    ranges: &[Range<usize>],
    context: &[f32],
    heads: usize,
    hidden: usize,
    first: usize,
    rows: &mut [f32],
) {
    let dim = hidden / heads;
    let mut sequence = ranges.partition_point(|r| r.end <= first);
    for (token, row) in (first..).zip(rows.chunks_exact_mut(hidden)) {
        while ranges[sequence].end <= token {
            sequence += 1;
        }
        let range = &ranges[sequence];
        let base = &context[range.start * hidden..range.end * hidden];
        for (head, out) in row.chunks_exact_mut(dim).enumerate() {
            let at = (head * range.len() + token - range.start) * dim;
            out.copy_from_slice(&base[at..at + dim]);
        }
    }
}

/// Which vectors of each sequence a pass is run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    First,
}

/// The values, if all are numbers: weights that are damaged give others, and a guard must not take those for a quiet text.
fn finite(what: &str, values: Vec<f32>) -> Result<Vec<f32>, EngineError> {
    match values.iter().find(|value| !value.is_finite()) {
        None => Ok(values),
        Some(&value) => Err(EngineError::NotFinite { what: what.to_owned(), value }),
    }
}

/// The activations of one forward pass.
struct Pass<'m> {
    model: &'m BertModel,
    /// Tokens of a block.
    block: usize,
    hidden: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    context: Vec<f32>,
    scratch: Vec<Scratch>,
}

/// Buffers of one block of tokens, kept from layer to layer.
#[derive(Default)]
struct Scratch {
    quant: QuantRows,
    wide: Vec<f32>,
    narrow: Vec<f32>,
}

/// The rows of one block of tokens.
struct Block<'a> {
    first: usize,
    hidden: &'a mut [f32],
    q: &'a mut [f32],
    k: &'a mut [f32],
    v: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl<'m> Pass<'m> {
    fn new(model: &'m BertModel, tokens: usize) -> Self {
        let block = model.compute.block_tokens(tokens).max(1);
        let zeros = || vec![0f32; tokens * model.config.hidden];
        let mut scratch = Vec::new();
        scratch.resize_with(tokens.div_ceil(block), Scratch::default);
        Self {
            model,
            block,
            hidden: zeros(),
            q: zeros(),
            k: zeros(),
            v: zeros(),
            context: zeros(),
            scratch,
        }
    }

    /// Runs `task` on every block of tokens, on all threads.
    fn run_blocks(
        &mut self,
        task: impl Fn(&mut Block<'_>) -> Result<(), EngineError> + Sync + Send,
    ) -> Result<(), EngineError> {
        let len = self.block * self.model.config.hidden;
        let blocks = self
            .hidden
            .chunks_mut(len)
            .zip(self.q.chunks_mut(len))
            .zip(self.k.chunks_mut(len).zip(self.v.chunks_mut(len)))
            .zip(&mut self.scratch)
            .enumerate()
            .map(|(i, (((hidden, q), (k, v)), scratch))| Block {
                first: i * self.block,
                hidden,
                q,
                k,
                v,
                scratch,
            })
            .collect();
        self.model.compute.for_each(blocks, |mut block| task(&mut block))
    }

    fn attend(&mut self, ranges: &[Range<usize>]) -> Result<(), EngineError> {
        let BertConfig { hidden, heads, .. } = self.model.config;
        let input =
            AttentionInput { q: &self.q, k: &self.k, v: &self.v, heads, dim: hidden / heads };
        attention(&self.model.compute, &input, ranges, &mut self.context)
    }
}
