// SPDX-License-Identifier: AGPL-3.0-or-later
//! What an opened model is: sizes, config, tokenizer, memory.

use std::collections::HashSet;
use std::path::PathBuf;

use bho_engine::CancelToken;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::open::{Container, Opened};
use super::{Inspection, TensorInfo, shapes};
use crate::bert::BertConfig;
use crate::decoder::{memory_of, spec};
use crate::error::ModelError;
use crate::package::{Judge, keys};
use crate::weights::Weights;

/// Metadata values longer than this are reported by their size.
const SHOWN: usize = 2048;

/// Keys of a config that are shown.
const CONFIG: [&str; 27] = [
    "model_type",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "sliding_window",
    "hidden_act",
    "hidden_activation",
    "rms_norm_eps",
    "layer_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "partial_rotary_factor",
    "attention_bias",
    "mlp_bias",
    "tie_word_embeddings",
    "torch_dtype",
    "dtype",
    "quantization_config",
    "weight_bits",
    "input_bits",
    "ternary_scale",
];

/// Memory of a decoder that runs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Weights that are mapped, in bytes; of a checkpoint, about what `bho convert` makes of them.
    pub weights: u64,
    /// Keys and values of one token in f16, in bytes.
    pub kv_token: u64,
    /// Tokens of a text: the model's context, at most 4096.
    pub context: u64,
    /// Weights, and keys and values of one text of that length.
    pub total: u64,
}

/// The second network of an encoder, which judges pairs of texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JudgeFacts {
    /// Class name in its config.
    pub architecture: Option<String>,
    /// What its config says that matters most, as it says it.
    pub config: Map<String, Value>,
    /// What it tells apart, in the order of its head.
    pub labels: Vec<String>,
    /// Tensors that it has in common with the first network.
    pub shared: usize,
}

/// How large a model is, as its file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSizes {
    /// Weights and other numbers of the model, scales and padding left out.
    pub parameters: u64,
    /// Layers; of two networks in a file, those of the first.
    pub layers: u64,
    /// Numbers of a token's vector.
    pub dimensions: u64,
    /// Tokens that are read at once, special ones included.
    pub max_tokens: u64,
    /// How the matrices of its layers are stored.
    pub weights: WeightKind,
}

/// How the matrices of a model's layers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightKind {
    /// -1, 0 and +1, times a scale.
    Ternary,
    /// 8-bit integers, times a scale of each row.
    Int8,
    /// Floats.
    F32,
}

impl WeightKind {
    /// Its name, that of [`bho_engine::ModelInfo::precision`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Ternary => "ternary",
            Self::Int8 => "int8",
            Self::F32 => "f32",
        }
    }
}

/// What a tokenizer has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenizerFacts {
    /// `BPE`, `WordPiece`, `Unigram` or `WordLevel`.
    pub kind: String,
    /// Tokens of the model and added ones.
    pub tokens: usize,
    /// Added tokens, and those of them that are special.
    pub added: usize,
    /// Special tokens.
    pub special: usize,
    /// Text of the token that begins a text, if the configuration names one.
    pub bos: Option<String>,
    /// Text of the token that ends a text, if the configuration names one.
    pub eos: Option<String>,
}

/// All that is shown.
pub(super) fn inspection(opened: &Opened) -> Result<Inspection, ModelError> {
    let storages = opened.container.storages();
    let mut sums = Vec::new();
    for (_, storage) in &storages {
        sums.push(crate::convert::sha256(storage, &CancelToken::new())?);
    }
    let format = match &opened.container {
        Container::Gguf(file) => format!("GGUF v{}", file.version()),
        Container::Safetensors(_) if opened.converted => format!("bho v{}", crate::package::FORMAT),
        Container::Safetensors(_) => "safetensors".into(),
    };
    Ok(Inspection {
        path: opened.path.clone(),
        bytes: storages.iter().map(|(_, storage)| storage.as_bytes().len() as u64).sum(),
        sha256: sums.join(" "),
        format,
        architecture: architecture(opened),
        parameters: shapes::parameters(opened),
        config: opened.config.as_ref().map(shown).unwrap_or_default(),
        judge: opened.judge.as_ref().map(judge),
        tokenizer: tokenizer(opened),
        chat_template: opened.chat_template.clone(),
        memory: memory(opened),
        files: storages.iter().map(|(name, _)| PathBuf::from(name)).collect(),
        tensors: tensors(&opened.container),
        metadata: opened.metadata.iter().map(|(k, v)| (k.clone(), short(v))).collect(),
    })
}

/// The class that the config names; GGUF's own name of one that is not known.
pub(super) fn architecture(opened: &Opened) -> Option<String> {
    opened.config.as_ref().and_then(class).or_else(|| match &opened.container {
        Container::Gguf(file) => file.architecture().ok().map(str::to_owned),
        Container::Safetensors(_) => None,
    })
}

/// How large a converted model is; none where its config does not say.
pub(super) fn sizes(opened: &Opened) -> Option<ModelSizes> {
    let Container::Safetensors(files) = &opened.container else { return None };
    let config = opened.config.as_ref()?;
    let number = |key: &str| config.get(key)?.as_u64();
    let positions = number("max_position_embeddings")?;
    let window = opened.metadata.get(keys::MAX_TOKENS).and_then(|text| text.parse().ok());
    let tensors = || files.iter().flat_map(Weights::tensors);
    let weights = if tensors().any(|(name, _)| name.ends_with(".ternary")) {
        WeightKind::Ternary
    } else if tensors().any(|(_, tensor)| tensor.dtype == Dtype::U8) {
        WeightKind::Int8
    } else {
        WeightKind::F32
    };
    Some(ModelSizes {
        parameters: shapes::parameters(opened),
        layers: number("num_hidden_layers")?,
        dimensions: number("hidden_size")?,
        max_tokens: positions.min(window.unwrap_or(positions)),
        weights,
    })
}

/// The class that a config names.
fn class(config: &Value) -> Option<String> {
    config.get("architectures")?.get(0)?.as_str().map(str::to_owned)
}

/// What is shown of a config.
fn shown(config: &Value) -> Map<String, Value> {
    let entry = |key: &&str| Some(((*key).to_owned(), config.get(*key)?.clone()));
    CONFIG.iter().filter_map(entry).collect()
}

fn judge(judge: &Judge) -> JudgeFacts {
    JudgeFacts {
        architecture: class(&judge.config),
        config: shown(&judge.config),
        // What is wrong with them, an audit tells.
        labels: BertConfig::from_json("", &judge.config).map_or_else(|_| vec![], |c| c.labels),
        shared: judge.shared.len(),
    }
}

fn tensors(container: &Container) -> Vec<TensorInfo> {
    let mut all: Vec<TensorInfo> = match container {
        Container::Safetensors(files) => {
            let tensors = files.iter().enumerate().flat_map(|(i, file)| {
                file.tensors().iter().map(move |(name, tensor)| (i, name, tensor))
            });
            let info =
                |(file, name, tensor): (usize, &String, &crate::weights::Tensor)| TensorInfo {
                    name: name.clone(),
                    dtype: format!("{:?}", tensor.dtype),
                    shape: tensor.shape.clone(),
                    bytes: tensor.bytes() as u64,
                    offset: tensor.offset() as u64,
                    file,
                };
            tensors.map(info).collect()
        }
        Container::Gguf(file) => {
            let info = |(name, tensor): (&String, &crate::gguf::GgufTensor)| TensorInfo {
                name: name.clone(),
                dtype: tensor.kind.name().into(),
                shape: tensor.shape.clone(),
                bytes: tensor.bytes() as u64,
                offset: tensor.offset() as u64,
                file: 0,
            };
            file.tensors().iter().map(info).collect()
        }
    };
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn memory(opened: &Opened) -> Option<Memory> {
    let config = opened.config.as_ref()?;
    if !crate::decoder::is_known(config) {
        return None;
    }
    let spec = spec("", config).ok()?;
    let (estimate, kv_token) = memory_of(&spec);
    let stored: u64 = tensors(&opened.container).iter().map(|tensor| tensor.bytes).sum();
    let weights = if opened.converted { stored } else { estimate };
    let context = (spec.config.context as u64).min(4096);
    let total = weights.saturating_add(kv_token.saturating_mul(context));
    Some(Memory { weights, kv_token, context, total })
}

/// The parts of a `tokenizer.json` that are counted.
#[derive(Deserialize)]
struct Parts {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    vocab: Value,
}

#[derive(Deserialize)]
struct Added {
    id: u64,
    #[serde(default)]
    special: bool,
}

/// Facts of a tokenizer; none where it cannot be read, which an audit tells.
fn tokenizer(opened: &Opened) -> Option<TokenizerFacts> {
    let parts: Parts = serde_json::from_str(opened.tokenizer.as_deref()?).ok()?;
    let (ids, kind): (HashSet<u64>, _) = match &parts.model.vocab {
        Value::Object(map) => (map.values().filter_map(Value::as_u64).collect(), "BPE"),
        Value::Array(list) => ((0..list.len() as u64).collect(), "Unigram"),
        _ => (HashSet::new(), "unknown"),
    };
    let further = parts.added_tokens.iter().filter(|token| !ids.contains(&token.id)).count();
    let text = |key: &str| crate::decoder::special_text(&opened.tokenizer_config, key);
    Some(TokenizerFacts {
        kind: parts.model.kind.unwrap_or_else(|| kind.to_owned()),
        tokens: ids.len() + further,
        added: parts.added_tokens.len(),
        special: parts.added_tokens.iter().filter(|token| token.special).count(),
        bos: text("bos_token"),
        eos: text("eos_token"),
    })
}

fn short(value: &str) -> String {
    if value.len() <= SHOWN {
        return value.to_owned();
    }
    let what = match serde_json::from_str::<Value>(value) {
        Ok(Value::Object(_)) => "JSON object",
        Ok(_) => "JSON",
        Err(_) => "text",
    };
    format!("<{what}, {} bytes>", value.len())
}
