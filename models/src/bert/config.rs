// SPDX-License-Identifier: AGPL-3.0-or-later
//! `config.json` of a BERT-family model.

use std::collections::BTreeMap;

use bho_engine::layers::Activation;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ModelError;

/// Largest value accepted for any dimension: far above real models, far below overflow.
const MAX_DIM: usize = 1 << 20;

/// Most layers accepted.
const MAX_LAYERS: usize = 1024;

/// The settings that shape the network.
#[derive(Debug, Clone, PartialEq)]
pub struct BertConfig {
    /// Class name in `architectures`, e.g. `BertModel`.
    pub architecture: String,
    /// Embeddings in the table.
    pub vocab: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward part.
    pub ffn: usize,
    /// Activation of the feed-forward part.
    pub activation: Activation,
    /// Longest sequence.
    pub positions: usize,
    /// Segment embeddings.
    pub types: usize,
    /// Added to variances in layer norms.
    pub eps: f32,
    /// Labels of the head, by index; empty without one.
    pub labels: Vec<String>,
    /// Whether labels do not exclude each other (`problem_type` `multi_label_classification`).
    pub multi_label: bool,
    /// What shared a scale when the linear layers were trained to be ternary (`ternary_scale`).
    pub ternary_scale: Option<TernaryScale>,
}

/// What shares a scale among ternary weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TernaryScale {
    /// A matrix, as in BitNet b1.58 (arXiv:2402.17764, §2).
    Matrix,
    /// An output row.
    Row,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    architectures: Vec<String>,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    #[serde(default = "gelu")]
    hidden_act: String,
    max_position_embeddings: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default = "eps")]
    layer_norm_eps: f64,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
    id2label: Option<BTreeMap<String, String>>,
    label2id: Option<BTreeMap<String, Value>>,
    num_labels: Option<usize>,
    problem_type: Option<String>,
    ternary_scale: Option<String>,
}

fn gelu() -> String {
    "gelu".into()
}
fn two() -> usize {
    2
}
fn eps() -> f64 {
    1e-12
}

impl BertConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] naming `file`, the key and what would be accepted; [`ModelError::Labels`] for a label map
    /// that contradicts itself.
    pub fn from_json(file: &str, config: &Value) -> Result<Self, ModelError> {
        let invalid = |message: String| ModelError::invalid(format!("{file}: config"), message);
        let raw = Raw::deserialize(config).map_err(|e| match wrong_key(config) {
            Some((key, e)) => invalid(format!("{key}: {e}")),
            None => invalid(e.to_string()),
        })?;
        for (key, value, max) in [
            ("vocab_size", raw.vocab_size, MAX_DIM),
            ("hidden_size", raw.hidden_size, MAX_DIM),
            ("num_hidden_layers", raw.num_hidden_layers, MAX_LAYERS),
            ("num_attention_heads", raw.num_attention_heads, MAX_DIM),
            ("intermediate_size", raw.intermediate_size, MAX_DIM),
            ("max_position_embeddings", raw.max_position_embeddings, MAX_DIM),
            ("type_vocab_size", raw.type_vocab_size, MAX_DIM),
        ] {
            if !(1..=max).contains(&value) {
                return Err(invalid(format!("{key} is {value}; accepted: 1..={max}")));
            }
        }
        if raw.max_position_embeddings < 3 {
            return Err(invalid("max_position_embeddings must leave room for a token".into()));
        }
        let (hidden, heads) = (raw.hidden_size, raw.num_attention_heads);
        if !hidden.is_multiple_of(heads) {
            let message = format!("hidden_size {hidden} is not a multiple of {heads} heads");
            return Err(invalid(message));
        }
        let Some(activation) = Activation::from_name(&raw.hidden_act) else {
            let (found, known) = (&raw.hidden_act, Activation::NAMES);
            return Err(invalid(format!("hidden_act {found:?}; accepted: {known}")));
        };
        match raw.position_embedding_type.as_deref() {
            None | Some("absolute") => {}
            Some(other) => {
                let message = format!("position_embedding_type {other:?}; accepted: absolute");
                return Err(invalid(message));
            }
        }
        if raw.is_decoder {
            return Err(invalid("is_decoder is set; this is an encoder".into()));
        }
        if !(raw.layer_norm_eps >= 0.0 && raw.layer_norm_eps <= 1.0) {
            let found = raw.layer_norm_eps;
            return Err(invalid(format!("layer_norm_eps is {found}; accepted: 0..=1")));
        }
        let multi_label = match raw.problem_type.as_deref() {
            None | Some("single_label_classification") => false,
            Some("multi_label_classification") => true,
            Some(other) => {
                let message = format!(
                    "problem_type {other:?}; accepted: single_label_classification, \
                     multi_label_classification"
                );
                return Err(invalid(message));
            }
        };
        let ternary_scale = match raw.ternary_scale.as_deref() {
            None => None,
            Some("matrix") => Some(TernaryScale::Matrix),
            Some("row") => Some(TernaryScale::Row),
            Some(other) => {
                return Err(invalid(format!("ternary_scale {other:?}; accepted: matrix, row")));
            }
        };
        let architecture = raw.architectures.first().map_or("BertModel", String::as_str).to_owned();
        let labels = labels(raw.id2label, raw.num_labels)
            .and_then(|labels| agree(labels, raw.label2id.as_ref()))
            .map_err(|message| ModelError::labels(file, message))?;
        Ok(Self {
            architecture,
            vocab: raw.vocab_size,
            hidden,
            layers: raw.num_hidden_layers,
            heads,
            ffn: raw.intermediate_size,
            activation,
            positions: raw.max_position_embeddings,
            types: raw.type_vocab_size,
            eps: raw.layer_norm_eps as f32,
            labels,
            multi_label,
            ternary_scale,
        })
    }

    /// Whether the model classifies whole sequences.
    pub fn has_sequence_head(&self) -> bool {
        self.architecture.ends_with("ForSequenceClassification")
    }

    /// Whether the model labels tokens.
    pub fn has_token_head(&self) -> bool {
        self.architecture.ends_with("ForTokenClassification")
    }
}

/// The first key whose value alone makes a config unreadable, as serde does not say which it was.
fn wrong_key(config: &Value) -> Option<(&str, serde_json::Error)> {
    let sound = json!({
        "vocab_size": 1, "hidden_size": 1, "num_hidden_layers": 1, "num_attention_heads": 1,
        "intermediate_size": 1, "max_position_embeddings": 1,
    });
    config.as_object()?.iter().find_map(|(key, value)| {
        let mut probe = sound.clone();
        probe[key] = value.clone();
        Raw::deserialize(probe).err().map(|e| (key.as_str(), e))
    })
}

/// `id2label` in order of index; transformers' default of two labels without one.
fn labels(
    map: Option<BTreeMap<String, String>>,
    count: Option<usize>,
) -> Result<Vec<String>, String> {
    let Some(map) = map else {
        return match count.unwrap_or(2) {
            n @ 1..=100_000 => Ok((0..n).map(|i| format!("LABEL_{i}")).collect()),
            n => Err(format!("num_labels is {n}; accepted: 1..=100000")),
        };
    };
    let mut labels = vec![None; map.len()];
    for (id, label) in map {
        let slot = id.parse::<usize>().ok().and_then(|i| labels.get_mut(i));
        match slot {
            Some(slot) if slot.is_none() => *slot = Some(label),
            _ => return Err(format!("id2label has key {id:?}; keys must be 0, 1, 2, ...")),
        }
    }
    Ok(labels.into_iter().flatten().collect())
}

/// The labels, if `label2id` gives none of them another index: which of the two maps is right, nobody could tell.
fn agree(
    labels: Vec<String>,
    ids: Option<&BTreeMap<String, Value>>,
) -> Result<Vec<String>, String> {
    for (label, id) in ids.into_iter().flatten() {
        let place = labels.iter().position(|known| known == label);
        if let (Some(place), Some(id)) = (place, id.as_u64())
            && labels.get(usize::try_from(id).unwrap_or(usize::MAX)) != Some(label)
        {
            return Err(format!(
                "label2id gives {label:?} the index {id}, id2label {place}; both must agree"
            ));
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn minimal() -> Value {
        json!({
            "vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 12,
        })
    }

    #[test]
    fn defaults_are_those_of_transformers() {
        let config = BertConfig::from_json("c", &minimal()).unwrap();
        assert_eq!((config.types, config.activation), (2, Activation::Gelu));
        assert_eq!(config.labels, ["LABEL_0", "LABEL_1"]);
    }

    #[test]
    fn label_maps_that_contradict_each_other_are_refused() {
        let read = |ids: Value| {
            let mut config = minimal();
            config["id2label"] = json!({"0": "safe", "1": "toxic"});
            config["label2id"] = ids;
            BertConfig::from_json("c", &config)
        };
        assert_eq!(read(json!({"safe": 0, "toxic": 1})).unwrap().labels, ["safe", "toxic"]);
        assert!(read(json!({"other": 7})).is_ok());
        for (ids, expected) in [
            (json!({"safe": 1, "toxic": 0}), "gives \"safe\" the index 1, id2label 0"),
            (json!({"toxic": 9}), "gives \"toxic\" the index 9, id2label 1"),
        ] {
            let error = read(ids).unwrap_err();
            assert!(matches!(error, ModelError::Labels { .. }));
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn each_fault_names_its_key() {
        for (key, value, expected) in [
            ("hidden_size", json!(7), "not a multiple of 2 heads"),
            ("hidden_size", json!(0), "hidden_size is 0"),
            ("num_hidden_layers", json!(100_000), "num_hidden_layers is 100000"),
            ("vocab_size", json!(-1), "invalid value"),
            ("hidden_act", json!("swish"), "accepted: gelu"),
            ("position_embedding_type", json!("relative_key"), "accepted: absolute"),
            ("id2label", json!({"0": "a", "2": "b"}), "id2label has key \"2\""),
            ("is_decoder", json!(true), "is_decoder"),
            ("problem_type", json!("regression"), "accepted: single_label_classification"),
            ("ternary_scale", json!("column"), "accepted: matrix, row"),
        ] {
            let mut config = minimal();
            config[key] = value;
            let error = BertConfig::from_json("c", &config).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
