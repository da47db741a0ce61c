// SPDX-License-Identifier: AGPL-3.0-or-later
//! What an architecture says of a model: which tensors there are, what is done with them and where.
//!
//! A spec is made from the config alone. `convert` fills it from a checkpoint, `load` from a
//! converted file, so both agree about names and shapes.

use bho_engine::decoder::{DecoderConfig, GateActivation};

/// A whole decoder.
#[derive(Debug, Clone)]
pub(crate) struct DecoderSpec {
    /// Class name, e.g. `BitNetForCausalLM`.
    pub(crate) architecture: String,
    pub(crate) config: DecoderConfig,
    /// Angles per position, and what cosines and sines are multiplied by, for each rotary
    /// embedding.
    pub(crate) ropes: Vec<(Vec<f32>, f32)>,
    /// `[vocab, hidden]`.
    pub(crate) embeddings: String,
    pub(crate) layers: Vec<LayerSpec>,
    pub(crate) norm: NormSpec,
    /// None for models that give vectors.
    pub(crate) head: Option<HeadSpec>,
}

/// Where logits come from.
#[derive(Debug, Clone)]
pub(crate) enum HeadSpec {
    /// The embedding table.
    Tied,
    /// A matrix of its own.
    Own(MatrixSpec),
}

/// One block, as [`bho_engine::decoder::DecoderLayer`].
#[derive(Debug, Clone)]
pub(crate) struct LayerSpec {
    pub(crate) attention_norm: Option<NormSpec>,
    pub(crate) query: MatrixSpec,
    pub(crate) key: MatrixSpec,
    pub(crate) value: MatrixSpec,
    pub(crate) query_norm: Option<NormSpec>,
    pub(crate) key_norm: Option<NormSpec>,
    pub(crate) rope: usize,
    pub(crate) window: Option<usize>,
    pub(crate) attention_sub_norm: Option<NormSpec>,
    pub(crate) output: MatrixSpec,
    pub(crate) attention_post_norm: Option<NormSpec>,
    pub(crate) ffn_norm: Option<NormSpec>,
    pub(crate) gate: MatrixSpec,
    pub(crate) up: MatrixSpec,
    pub(crate) activation: GateActivation,
    pub(crate) ffn_sub_norm: Option<NormSpec>,
    pub(crate) down: MatrixSpec,
    pub(crate) ffn_post_norm: Option<NormSpec>,
}

/// A linear layer.
#[derive(Debug, Clone)]
pub(crate) struct MatrixSpec {
    /// Name without `.weight`.
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) weights: WeightKind,
    pub(crate) bias: bool,
    pub(crate) input_norm: Option<NormSpec>,
}

/// How a checkpoint means its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WeightKind {
    /// BitNet b1.58: ternary, inputs rounded to int8.
    BitNet(Scale),
    /// As they are, inputs not rounded: ternary where each row's values are, else int8 or float as
    /// the user wants.
    Plain,
}

/// Where the scale of ternary weights comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// The absolute mean of float weights, which are rounded to it (arXiv:2402.17764, §2).
    AbsMean,
    /// A tensor `weight_scale` beside packed weights, which the output is multiplied by.
    Multiply,
    /// The same, which the output is divided by.
    Divide,
}

/// An RMSNorm.
#[derive(Debug, Clone)]
pub(crate) struct NormSpec {
    /// Name of the gain; none for a norm without one.
    pub(crate) gain: Option<String>,
    pub(crate) dim: usize,
    pub(crate) eps: f32,
    /// What is added to the gain as stored: 1 in Gemma.
    pub(crate) offset: f32,
}

impl MatrixSpec {
    pub(crate) fn new(name: String, (rows, cols): (usize, usize), weights: WeightKind) -> Self {
        Self { name, rows, cols, weights, bias: false, input_norm: None }
    }

    /// Name of the weights in a checkpoint.
    pub(crate) fn weight(&self) -> String {
        format!("{}.weight", self.name)
    }
}

impl NormSpec {
    pub(crate) fn new(gain: String, dim: usize, eps: f32) -> Self {
        Self { gain: Some(gain), dim, eps, offset: 0.0 }
    }
}

impl LayerSpec {
    pub(crate) fn matrices(&self) -> [&MatrixSpec; 7] {
        let Self { query, key, value, output, gate, up, down, .. } = self;
        [query, key, value, output, gate, up, down]
    }

    pub(crate) fn norms(&self) -> impl Iterator<Item = &NormSpec> {
        let own = [
            &self.attention_norm,
            &self.query_norm,
            &self.key_norm,
            &self.attention_sub_norm,
            &self.attention_post_norm,
            &self.ffn_norm,
            &self.ffn_sub_norm,
            &self.ffn_post_norm,
        ];
        let inputs = self.matrices().map(|matrix| &matrix.input_norm);
        own.into_iter().chain(inputs).filter_map(Option::as_ref)
    }
}

impl DecoderSpec {
    /// Every linear layer, the head last if it has weights of its own.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = &MatrixSpec> {
        let head = match &self.head {
            Some(HeadSpec::Own(matrix)) => Some(matrix),
            _ => None,
        };
        self.layers.iter().flat_map(LayerSpec::matrices).chain(head)
    }

    /// Every norm.
    pub(crate) fn norms(&self) -> impl Iterator<Item = &NormSpec> {
        let head = match &self.head {
            Some(HeadSpec::Own(matrix)) => matrix.input_norm.as_ref(),
            _ => None,
        };
        self.layers.iter().flat_map(LayerSpec::norms).chain([&self.norm]).chain(head)
    }
}
