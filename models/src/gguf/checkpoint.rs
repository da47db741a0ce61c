// SPDX-License-Identifier: AGPL-3.0-or-later
//! A GGUF file as a checkpoint to convert: with the names, the order of rows and the config of
//! Hugging Face.

use std::ops::Range;

use bho_kernels::ForeignTernary;
use serde_json::{Value, json};

use super::{GgufConfig, GgufFile, GgufTensor, GgufType};
use crate::error::ModelError;
use crate::source::{PackedScale, Source};
use crate::weights::FloatKind;

/// An architecture of GGUF and the class that computes the same.
struct Known {
    gguf: &'static str,
    class: &'static str,
    activation: &'static str,
    /// Norms inside the attention and before the down projection, as the class names them.
    sub_norms: Option<[&'static str; 2]>,
    /// Whether rows of queries and keys are in the order of rotary neighbours.
    reordered: bool,
}

const KNOWN: &[Known] = &[
    Known {
        gguf: "llama",
        class: "LlamaForCausalLM",
        activation: "silu",
        sub_norms: None,
        reordered: true,
    },
    Known {
        gguf: "bitnet",
        class: "BitnetForCausalLM",
        activation: "silu",
        sub_norms: Some(["self_attn.inner_attn_ln", "mlp.ffn_layernorm"]),
        reordered: false,
    },
    Known {
        gguf: "bitnet-b1.58",
        class: "BitNetForCausalLM",
        activation: "relu2",
        sub_norms: Some(["self_attn.attn_sub_norm", "mlp.ffn_sub_norm"]),
        reordered: false,
    },
    Known {
        gguf: "bitnet-25",
        class: "BitNetForCausalLM",
        activation: "relu2",
        sub_norms: Some(["self_attn.attn_sub_norm", "mlp.ffn_sub_norm"]),
        reordered: false,
    },
];

/// Names of a block's tensors: Hugging Face's, GGUF's.
const BLOCK: [(&str, &str); 9] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// A GGUF file under the names of Hugging Face.
pub(crate) struct GgufCheckpoint {
    file: GgufFile,
    known: &'static Known,
    config: GgufConfig,
}

impl GgufCheckpoint {
    /// Takes a file whose architecture is known.
    ///
    /// # Errors
    /// Naming the key at fault, and the architectures that are known.
    pub(crate) fn new(file: GgufFile) -> Result<Self, ModelError> {
        let found = file.architecture()?;
        let Some(known) = KNOWN.iter().find(|known| known.gguf == found) else {
            let all = KNOWN.iter().map(|known| known.gguf).collect::<Vec<_>>().join(", ");
            let message = format!("is {found:?}; known: {all}");
            return Err(file.key_error("general.architecture", message));
        };
        let config = file.config()?;
        Ok(Self { file, known, config })
    }

    /// The file.
    pub(crate) fn file(&self) -> &GgufFile {
        &self.file
    }

    /// A `config.json` that says the same.
    ///
    /// # Errors
    /// Naming what the file lacks, or has and no config can say.
    pub(crate) fn config(&self) -> Result<Value, ModelError> {
        let c = &self.config;
        let vocab = c.vocab.ok_or_else(|| {
            self.file.key_error("tokenizer.ggml.tokens", "missing; it tells the vocabulary")
        })?;
        // What the table has may be more: rows are padded.
        let vocab = self.file.tensors().get("token_embd.weight").map_or(vocab, GgufTensor::rows);
        let mut config = json!({
            "architectures": [self.known.class],
            "hidden_act": self.known.activation,
            "hidden_size": c.hidden,
            "intermediate_size": c.feed_forward,
            "num_hidden_layers": c.blocks,
            "num_attention_heads": c.heads,
            "num_key_value_heads": c.kv_heads,
            "head_dim": c.head_dim,
            "max_position_embeddings": c.context,
            "rms_norm_eps": c.rms_eps,
            "rope_theta": c.rope_theta,
            "vocab_size": vocab,
            "tie_word_embeddings": !self.file.tensors().contains_key("output.weight"),
        });
        if c.rope_dims != c.head_dim {
            if self.known.reordered {
                // Which rows turn together would have to be told apart from those that do not turn.
                let key = format!("{}.rope.dimension_count", c.architecture);
                let message =
                    format!("{}; accepted: {}, as of a whole head", c.rope_dims, c.head_dim);
                return Err(self.file.key_error(&key, message));
            }
            config["partial_rotary_factor"] = json!(c.rope_dims as f64 / c.head_dim as f64);
        }
        if let Some(scaling) = &c.rope_scaling {
            config["rope_scaling"] = json!({
                "rope_type": scaling.kind,
                "factor": scaling.factor,
                "original_max_position_embeddings": scaling.original_context,
            });
        }
        if self.file.tensors().contains_key("rope_freqs.weight") {
            config["rope_scaling"] = self.divisors()?;
        }
        let bias = |name: &str| self.file.tensors().contains_key(&format!("blk.0.{name}.bias"));
        config["attention_bias"] = json!(bias("attn_q") && bias("attn_output"));
        config["mlp_bias"] = json!(bias("ffn_up"));
        if bias("attn_q") && (self.known.reordered || !bias("attn_output")) {
            let message = "biases of queries and keys are not supported in this architecture";
            return Err(self.file.error("blk.0.attn_q.bias", message));
        }
        Ok(config)
    }

    /// Llama 3's scaling, of which a GGUF file has the outcome: a divisor for each pair.
    fn divisors(&self) -> Result<Value, ModelError> {
        let divisors = self.file.floats("rope_freqs.weight", &[self.config.rope_dims / 2])?;
        Ok(json!({ "rope_type": "divisors", "divisors": divisors }))
    }

    /// The name in the file of a tensor called `name` by Hugging Face.
    fn gguf_name(&self, name: &str) -> Option<String> {
        let whole = match name {
            "model.embed_tokens.weight" => Some("token_embd.weight"),
            "model.norm.weight" => Some("output_norm.weight"),
            "lm_head.weight" => Some("output.weight"),
            _ => None,
        };
        if let Some(whole) = whole {
            return Some(whole.to_owned());
        }
        let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
        let (part, kind) = rest.rsplit_once('.')?;
        let sub_norms =
            self.known.sub_norms.into_iter().flatten().zip(["attn_sub_norm", "ffn_sub_norm"]);
        let mut parts = BLOCK.into_iter().chain(sub_norms);
        let (_, gguf) = parts.find(|(hugging_face, _)| *hugging_face == part)?;
        Some(format!("blk.{layer}.{gguf}.{kind}"))
    }

    /// The name, or what would be one.
    fn name_or_same(&self, name: &str) -> String {
        self.gguf_name(name).unwrap_or_else(|| name.to_owned())
    }

    /// The row of the file that holds row `row` of a tensor called `name` by Hugging Face.
    fn row(&self, name: &str, row: usize) -> usize {
        let reordered = self.known.reordered
            && (name.contains(".q_proj.") || name.contains(".k_proj."))
            && self.config.head_dim.is_multiple_of(2);
        if !reordered {
            return row;
        }
        let (dim, half) = (self.config.head_dim, self.config.head_dim / 2);
        let (head, within) = (row / dim, row % dim);
        head * dim + 2 * (within % half) + within / half
    }
}

impl Source for GgufCheckpoint {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn names(&self) -> Vec<String> {
        // Those with a name of Hugging Face under it: what a conversion uses.
        let mut names: Vec<_> = self.file.tensors().keys().cloned().collect();
        let layers = 0..self.config.blocks;
        let norms = self.known.sub_norms.into_iter().flatten();
        let parts: Vec<_> = BLOCK.into_iter().map(|(name, _)| name).chain(norms).collect();
        let mut all: Vec<_> = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
            .map(str::to_owned)
            .into();
        for layer in layers {
            for part in &parts {
                all.extend(["weight", "bias"].map(|k| format!("model.layers.{layer}.{part}.{k}")));
            }
        }
        for name in all {
            if let Some(found) = self.gguf_name(&name)
                && let Some(slot) = names.iter_mut().find(|slot| **slot == found)
            {
                *slot = name;
            }
        }
        names
    }

    fn shape(&self, tensor: &str) -> Option<Vec<usize>> {
        self.file.tensors().get(&self.gguf_name(tensor)?).map(|tensor| tensor.shape.clone())
    }

    fn bytes(&self, tensor: &str) -> u64 {
        let found = self.gguf_name(tensor).and_then(|name| self.file.tensors().get(&name));
        found.map_or(0, |tensor| tensor.bytes() as u64)
    }

    fn half(&self, tensor: &str) -> Option<FloatKind> {
        match self.file.tensors().get(&self.gguf_name(tensor)?)?.kind {
            GgufType::F32 => None,
            GgufType::BF16 => Some(FloatKind::BF16),
            // Blocks of few bits: half precision is finer than they are.
            _ => Some(FloatKind::F16),
        }
    }

    fn floats(
        &self,
        tensor: &str,
        cols: usize,
        rows: Range<usize>,
        out: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let name = self.name_or_same(tensor);
        let found = self.file.tensor(&name)?;
        if found.cols() != cols || rows.end > found.rows() {
            let message = format!("expected rows of {cols} values, found {:?}", found.shape);
            return Err(self.file.error(&name, message));
        }
        let begin = out.len();
        out.resize(begin + rows.len() * cols, 0.0);
        let out = &mut out[begin..];
        if rows.clone().all(|row| self.row(tensor, row) == row) {
            return self.file.rows_f32(&name, rows, out);
        }
        for (row, out) in rows.zip(out.chunks_exact_mut(cols)) {
            let row = self.row(tensor, row);
            self.file.rows_f32(&name, row..row + 1, out)?;
        }
        Ok(())
    }

    fn ternary(
        &self,
        tensor: &str,
        _: (usize, usize),
        _: Option<PackedScale>,
    ) -> Result<Option<ForeignTernary<'_>>, ModelError> {
        let name = self.name_or_same(tensor);
        let found = self.file.ternary(&name)?;
        // Rows in another order, or a scale of its own: by way of floats, which loses nothing.
        let scaled = self
            .file
            .tensors()
            .contains_key(&format!("{}.scale", name.trim_end_matches(".weight")));
        let moved = found.is_some() && (0..2).any(|row| self.row(tensor, row) != row);
        if scaled && found.is_some() {
            return Err(self
                .file
                .error(&name, "has a separate scale tensor, which is not supported"));
        }
        Ok(found.filter(|_| !moved))
    }

    fn release(&self, tensor: &str, rows: usize) {
        self.file.release(&self.name_or_same(tensor), rows);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn rows_of_a_head_come_back_from_the_order_of_neighbours() {
        // Row 2i + h of a head of d in the file is row h * d/2 + i of the checkpoint.
        let d = 6;
        for i in 0..d / 2 {
            for h in 0..2 {
                let row = h * d / 2 + i;
                assert_eq!(2 * (row % (d / 2)) + row / (d / 2), 2 * i + h);
            }
        }
    }
}
