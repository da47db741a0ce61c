// SPDX-License-Identifier: AGPL-3.0-or-later
//! A decoder-only transformer: what all architectures have in common, with their differences as
//! data. `bho-models` builds one from a config and named tensors.

use bho_kernels::Kernels;

use super::kv::{KvKind, KvShape};
use super::norm::RmsNorm;
use super::projection::Projection;
use super::rope::RotaryEmbedding;
use crate::error::EngineError;
use crate::layers::Embeddings;
use crate::storage::WeightBytes;

/// Sizes and constants.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; `heads` is a multiple of it (arXiv:2305.13245).
    pub kv_heads: usize,
    /// Values per head.
    pub head_dim: usize,
    /// Token ids.
    pub vocab: usize,
    /// Positions the model was made for.
    pub context: usize,
    /// What embeddings are multiplied by.
    pub embedding_scale: f32,
    /// What `q · k` is multiplied by, usually `1/√head_dim`.
    pub attention_scale: f32,
    /// Whether a position sees only those before it and itself.
    pub causal: bool,
}

/// Between the two halves of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GateActivation {
    /// `silu(gate) · up` (arXiv:2002.05202).
    Silu,
    /// `relu(gate)² · up` (arXiv:2109.08668).
    ReluSquared,
    /// `gelu(gate) · up`, by the tanh approximation.
    GeluTanh,
}

impl GateActivation {
    /// `gate = f(gate) · up`.
    pub(super) fn apply(self, kernels: &dyn Kernels, gate: &mut [f32], up: &[f32]) {
        match self {
            Self::Silu => kernels.silu(gate),
            Self::ReluSquared => kernels.relu_squared(gate),
            Self::GeluTanh => kernels.gelu_tanh(gate),
        }
        kernels.mul(gate, up);
    }
}

/// One transformer block. Norms that an architecture lacks are none.
#[derive(Debug)]
pub struct DecoderLayer {
    /// Before the attention.
    pub attention_norm: Option<RmsNorm>,
    /// To queries, `heads x head_dim` outputs.
    pub query: Projection,
    /// To keys, `kv_heads x head_dim` outputs.
    pub key: Projection,
    /// To values, as keys.
    pub value: Projection,
    /// On each query head.
    pub query_norm: Option<RmsNorm>,
    /// On each key head.
    pub key_norm: Option<RmsNorm>,
    /// Which of the model's rotary embeddings turns queries and keys.
    pub rope: usize,
    /// Positions a token sees at most, itself included.
    pub window: Option<usize>,
    /// On the joined heads, before the output projection.
    pub attention_sub_norm: Option<RmsNorm>,
    /// From the joined heads.
    pub output: Projection,
    /// On what the attention adds to the residual stream.
    pub attention_post_norm: Option<RmsNorm>,
    /// Before the feed-forward layer.
    pub ffn_norm: Option<RmsNorm>,
    /// The half that is activated.
    pub gate: Projection,
    /// The half that is multiplied by it.
    pub up: Projection,
    /// Between the two.
    pub activation: GateActivation,
    /// Before the down projection.
    pub ffn_sub_norm: Option<RmsNorm>,
    /// Back to the residual stream.
    pub down: Projection,
    /// On what the feed-forward layer adds to the residual stream.
    pub ffn_post_norm: Option<RmsNorm>,
}

impl DecoderLayer {
    /// Its seven projections.
    pub fn projections(&self) -> [&Projection; 7] {
        let Self { query, key, value, output, gate, up, down, .. } = self;
        [query, key, value, output, gate, up, down]
    }
}

/// Where token vectors come from.
#[derive(Debug)]
pub enum TokenEmbeddings {
    /// A table of its own.
    Table(Embeddings),
    /// The rows of the output head.
    Head,
}

/// A decoder-only transformer.
#[derive(Debug)]
pub struct DecoderModel {
    pub(super) config: DecoderConfig,
    pub(super) embeddings: TokenEmbeddings,
    pub(super) ropes: Vec<RotaryEmbedding>,
    pub(super) layers: Vec<DecoderLayer>,
    pub(super) norm: RmsNorm,
    /// To logits; none for models that only give vectors.
    pub(super) head: Option<Projection>,
}

impl DecoderModel {
    /// Puts the parts together.
    ///
    /// # Errors
    /// [`EngineError::Shape`] naming the first part whose size contradicts the config.
    pub fn new(
        config: DecoderConfig,
        embeddings: TokenEmbeddings,
        ropes: Vec<RotaryEmbedding>,
        layers: Vec<DecoderLayer>,
        norm: RmsNorm,
        head: Option<Projection>,
    ) -> Result<Self, EngineError> {
        let model = Self { config, embeddings, ropes, layers, norm, head };
        model.check()?;
        Ok(model)
    }

    fn check(&self) -> Result<(), EngineError> {
        let c = &self.config;
        let fail = |part: &str, expected: String, found: String| {
            Err(EngineError::Shape { tensor: part.into(), expected, found })
        };
        if c.kv_heads == 0 || c.head_dim == 0 || !c.heads.is_multiple_of(c.kv_heads) || c.heads == 0
        {
            let found = format!("{} heads, {} of keys and values", c.heads, c.kv_heads);
            return fail("attention", "query heads a multiple of KV heads".into(), found);
        }
        let (Some(q), Some(kv)) =
            (c.heads.checked_mul(c.head_dim), c.kv_heads.checked_mul(c.head_dim))
        else {
            return fail("attention", "heads that fit memory".into(), format!("{}", c.heads));
        };
        let projection = |what: String, p: &Projection, rows: usize, cols: usize| {
            if (p.rows(), p.cols()) == (rows, cols) {
                return Ok(());
            }
            fail(&what, format!("{rows} x {cols}"), format!("{} x {}", p.rows(), p.cols()))
        };
        let norm = |what: String, norm: Option<&RmsNorm>, dim: usize| match norm {
            Some(norm) if norm.dim() != dim => {
                fail(&what, format!("{dim} values"), format!("{}", norm.dim()))
            }
            _ => Ok(()),
        };
        for (i, layer) in self.layers.iter().enumerate() {
            let name = |part: &str| format!("layer {i}: {part}");
            let ffn = layer.gate.rows();
            projection(name("query"), &layer.query, q, c.hidden)?;
            projection(name("key"), &layer.key, kv, c.hidden)?;
            projection(name("value"), &layer.value, kv, c.hidden)?;
            projection(name("output"), &layer.output, c.hidden, q)?;
            projection(name("gate"), &layer.gate, ffn, c.hidden)?;
            projection(name("up"), &layer.up, ffn, c.hidden)?;
            projection(name("down"), &layer.down, c.hidden, ffn)?;
            for (part, gain, dim) in [
                ("attention norm", &layer.attention_norm, c.hidden),
                ("query norm", &layer.query_norm, c.head_dim),
                ("key norm", &layer.key_norm, c.head_dim),
                ("attention sub-norm", &layer.attention_sub_norm, q),
                ("attention post-norm", &layer.attention_post_norm, c.hidden),
                ("feed-forward norm", &layer.ffn_norm, c.hidden),
                ("feed-forward sub-norm", &layer.ffn_sub_norm, ffn),
                ("feed-forward post-norm", &layer.ffn_post_norm, c.hidden),
            ] {
                norm(name(part), gain.as_ref(), dim)?;
            }
            match self.ropes.get(layer.rope) {
                Some(rope) if rope.rotated() <= c.head_dim => {}
                rope => {
                    let found = rope.map_or("none".into(), |rope| format!("{}", rope.rotated()));
                    return fail(&name("rope"), format!("at most {} values", c.head_dim), found);
                }
            }
        }
        norm("final norm".into(), Some(&self.norm), c.hidden)?;
        if let Some(head) = &self.head {
            projection("output head".into(), head, c.vocab, c.hidden)?;
        }
        match &self.embeddings {
            TokenEmbeddings::Table(table) if table.rows() != c.vocab || table.dim() != c.hidden => {
                let found = format!("{} x {}", table.rows(), table.dim());
                fail("embeddings", format!("{} x {}", c.vocab, c.hidden), found)
            }
            TokenEmbeddings::Head if self.head.is_none() => {
                fail("embeddings", "a table".into(), "none, and no output head to share".into())
            }
            _ => Ok(()),
        }
    }

    /// Sizes and constants.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Its blocks.
    pub fn layers(&self) -> &[DecoderLayer] {
        &self.layers
    }

    /// The output head.
    pub fn head(&self) -> Option<&Projection> {
        self.head.as_ref()
    }

    /// What a KV cache of this model holds.
    pub fn kv_shape(&self, kind: KvKind) -> KvShape {
        let DecoderConfig { kv_heads: heads, head_dim: dim, .. } = self.config;
        KvShape { layers: self.layers.len(), heads, dim, kind }
    }

    /// Bytes of weights that one token reads: projections and the head.
    pub fn token_bytes(&self) -> usize {
        let layers = self.layers.iter().flat_map(DecoderLayer::projections);
        layers.chain(&self.head).map(Projection::bytes).sum()
    }

    /// The packed weights that a token reads, in the order it reads them.
    pub fn packed(&self) -> Vec<WeightBytes> {
        let layers = self.layers.iter().flat_map(DecoderLayer::projections);
        layers.chain(&self.head).filter_map(Projection::packed).cloned().collect()
    }

    /// The vector of a token, `[hidden]`.
    pub(super) fn embed(&self, token: u32, out: &mut [f32]) -> Result<(), EngineError> {
        let token = token as usize;
        match (&self.embeddings, &self.head) {
            (TokenEmbeddings::Table(table), _) => {
                out.fill(0.0);
                table.add_to(token, out)?;
            }
            (TokenEmbeddings::Head, Some(head)) if token < head.rows() => head.row(token, out),
            _ => {
                let last = self.config.vocab - 1;
                return Err(EngineError::Input(format!("token {token}; ids are 0..={last}")));
            }
        }
        // Half-precision tables are mapped, too large to be looked at as a whole when loading.
        if let Some(&value) = out.iter().find(|value| !value.is_finite()) {
            let what = format!("the embedding of token {token}");
            return Err(EngineError::NotFinite { what, value });
        }
        if self.config.embedding_scale != 1.0 {
            out.iter_mut().for_each(|v| *v *= self.config.embedding_scale);
        }
        Ok(())
    }
}
