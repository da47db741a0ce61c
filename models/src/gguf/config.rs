// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a file says of its architecture.

use super::GgufFile;
use super::value::GgufValue;
use crate::error::ModelError;

/// Largest dimension that is believed; the kernels take no larger one.
const MAX_DIMENSION: u64 = 1 << 24;

/// The `{architecture}.*` metadata of a decoder. Lengths and counts are at least 1.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufConfig {
    /// `general.architecture`, e.g. `llama`.
    pub architecture: String,
    /// `block_count`: layers.
    pub blocks: usize,
    /// `context_length`: positions trained for.
    pub context: usize,
    /// `embedding_length`: the hidden size.
    pub hidden: usize,
    /// `feed_forward_length`.
    pub feed_forward: usize,
    /// `attention.head_count`.
    pub heads: usize,
    /// `attention.head_count_kv`, or as many as heads.
    pub kv_heads: usize,
    /// `attention.key_length`, or `hidden / heads`.
    pub head_dim: usize,
    /// `rope.dimension_count`, or `head_dim`.
    pub rope_dims: usize,
    /// `rope.freq_base`, or 10000.
    pub rope_theta: f32,
    /// `rope.scaling.*`, where its type is not `none`. The factors of Llama 3 come instead as a
    /// tensor, `rope_freqs.weight`.
    pub rope_scaling: Option<GgufRopeScaling>,
    /// `attention.layer_norm_rms_epsilon`.
    pub rms_eps: f32,
    /// `vocab_size`, or the number of `tokenizer.ggml.tokens`, if the file has either.
    pub vocab: Option<usize>,
}

/// Metadata `rope.scaling.*`.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufRopeScaling {
    /// `type`, e.g. `linear` or `yarn`.
    pub kind: String,
    /// `factor`, or 1.
    pub factor: f32,
    /// `original_context_length`.
    pub original_context: Option<usize>,
}

impl GgufFile {
    /// `general.architecture`.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] when it is missing or no string.
    pub fn architecture(&self) -> Result<&str, ModelError> {
        let key = "general.architecture";
        self.str(key)?.ok_or_else(|| self.key_error(key, "missing"))
    }

    /// The configuration of a decoder.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] naming the key that is missing, of another type or out of range.
    pub fn config(&self) -> Result<GgufConfig, ModelError> {
        let architecture = self.architecture()?.to_owned();
        let key = |name: &str| format!("{architecture}.{name}");
        let need = |name: &str, value: Option<usize>| {
            value.ok_or_else(|| self.key_error(&key(name), "missing"))
        };
        let dimension = |name: &str| self.dimension(&key(name));
        let required = |name: &str| need(name, dimension(name)?);
        let float = |name: &str, default: Option<f32>| {
            let value = self.float(&key(name))?.or(default);
            let value = value.ok_or_else(|| self.key_error(&key(name), "missing"))?;
            if value > 0.0 {
                return Ok(value);
            }
            Err(self.key_error(&key(name), format!("{value}; a number above 0 is needed")))
        };

        let hidden = required("embedding_length")?;
        let heads = required("attention.head_count")?;
        let head_dim = match dimension("attention.key_length")? {
            Some(dim) => dim,
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => {
                let message = format!("{heads} heads do not divide {hidden}, and no key_length");
                return Err(self.key_error(&key("attention.head_count"), message));
            }
        };
        if let Some(dim) = dimension("attention.value_length")?.filter(|dim| *dim != head_dim) {
            let message = format!("{dim}; accepted: {head_dim}, as keys have");
            return Err(self.key_error(&key("attention.value_length"), message));
        }
        let rope_scaling = match self.str(&key("rope.scaling.type"))? {
            None | Some("none") => None,
            Some(kind) => Some(GgufRopeScaling {
                kind: kind.to_owned(),
                factor: float("rope.scaling.factor", Some(1.0))?,
                original_context: dimension("rope.scaling.original_context_length")?,
            }),
        };
        let tokens = self.array("tokenizer.ggml.tokens")?.map(|tokens| tokens.len());
        Ok(GgufConfig {
            blocks: required("block_count")?,
            context: required("context_length")?,
            hidden,
            feed_forward: required("feed_forward_length")?,
            heads,
            kv_heads: dimension("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            rope_dims: dimension("rope.dimension_count")?.unwrap_or(head_dim),
            rope_theta: float("rope.freq_base", Some(10_000.0))?,
            rope_scaling,
            rms_eps: float("attention.layer_norm_rms_epsilon", None)?,
            vocab: dimension("vocab_size")?.or(tokens),
            architecture,
        })
    }

    /// A length or count from 1, or an array of equal ones, one a layer.
    fn dimension(&self, key: &str) -> Result<Option<usize>, ModelError> {
        let value = match self.value(key) {
            Some(GgufValue::Array(array)) => {
                let mut values = array.iter();
                let first = values.next();
                if first.is_none() || values.any(|value| Some(value) != first) {
                    return Err(self.key_error(key, "an array whose elements differ, or of none"));
                }
                match first {
                    Some(GgufValue::Uint(v)) => Some(v),
                    Some(GgufValue::Int(v)) => u64::try_from(v).ok(),
                    _ => None,
                }
            }
            _ => match self.uint(key)? {
                None => return Ok(None),
                found => found,
            },
        };
        match value {
            Some(v @ 1..=MAX_DIMENSION) => Ok(Some(v as usize)),
            Some(v) => Err(self.key_error(key, format!("{v}; 1..={MAX_DIMENSION} are accepted"))),
            None => Err(self.key_error(key, "an array of other than integers from 1")),
        }
    }
}
