// SPDX-License-Identifier: AGPL-3.0-or-later
//! Names and shapes of a BERT checkpoint's tensors, in the order a converted file has them.

use super::config::BertConfig;
use crate::weights::Weights;

/// What a tensor is, and so how it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TensorKind {
    /// Matrix `[rows, cols]` of a linear layer, quantized when converted.
    Linear { rows: usize, cols: usize },
    /// Table `[rows, dim]`, quantized by row when converted.
    Table { rows: usize, dim: usize },
    /// Matrix `[rows, cols]` that stays float: the small heads.
    Float { rows: usize, cols: usize },
    /// Vector `[len]`, float.
    Vector { len: usize },
}

/// A tensor the architecture needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorSpec {
    /// Name without the checkpoint's prefix, but with `classifier.` for heads.
    pub(crate) name: String,
    pub(crate) kind: TensorKind,
    /// Outside the trunk: never prefixed.
    pub(crate) head: bool,
}

/// Every tensor of a model of this config.
pub(crate) fn tensor_specs(config: &BertConfig) -> Vec<TensorSpec> {
    let (hidden, ffn) = (config.hidden, config.ffn);
    let mut specs = Vec::new();
    let mut add = |name: String, kind: TensorKind, head: bool| {
        specs.push(TensorSpec { name, kind, head });
    };
    let linear = |add: &mut dyn FnMut(String, TensorKind, bool), name: &str, rows, cols| {
        add(format!("{name}.weight"), TensorKind::Linear { rows, cols }, false);
        add(format!("{name}.bias"), TensorKind::Vector { len: rows }, false);
    };
    let norm = |add: &mut dyn FnMut(String, TensorKind, bool), name: &str| {
        for part in ["weight", "bias"] {
            add(format!("{name}.{part}"), TensorKind::Vector { len: hidden }, false);
        }
    };
    for (table, rows) in [
        ("word_embeddings", config.vocab),
        ("position_embeddings", config.positions),
        ("token_type_embeddings", config.types),
    ] {
        let kind = TensorKind::Table { rows, dim: hidden };
        add(format!("embeddings.{table}.weight"), kind, false);
    }
    norm(&mut add, "embeddings.LayerNorm");
    for i in 0..config.layers {
        let layer = format!("encoder.layer.{i}");
        for part in ["query", "key", "value"] {
            linear(&mut add, &format!("{layer}.attention.self.{part}"), hidden, hidden);
        }
        linear(&mut add, &format!("{layer}.attention.output.dense"), hidden, hidden);
        norm(&mut add, &format!("{layer}.attention.output.LayerNorm"));
        linear(&mut add, &format!("{layer}.intermediate.dense"), ffn, hidden);
        linear(&mut add, &format!("{layer}.output.dense"), hidden, ffn);
        norm(&mut add, &format!("{layer}.output.LayerNorm"));
    }
    if config.has_sequence_head() {
        let kind = TensorKind::Float { rows: hidden, cols: hidden };
        add("pooler.dense.weight".into(), kind, false);
        add("pooler.dense.bias".into(), TensorKind::Vector { len: hidden }, false);
    }
    if config.has_sequence_head() || config.has_token_head() {
        let labels = config.labels.len();
        let kind = TensorKind::Float { rows: labels, cols: hidden };
        add("classifier.weight".into(), kind, true);
        add("classifier.bias".into(), TensorKind::Vector { len: labels }, true);
    }
    specs
}

/// What stands before the trunk's tensor names in this file: nothing, or e.g. `bert.`.
pub(crate) fn find_prefix(weights: &Weights) -> String {
    const FIRST: &str = "embeddings.word_embeddings.weight";
    weights
        .tensors()
        .keys()
        .find_map(|name| name.strip_suffix(FIRST))
        .unwrap_or_default()
        .to_owned()
}

impl TensorSpec {
    /// The tensor's name in a file with this prefix; early checkpoints called the parameters of
    /// layer norms `gamma` and `beta`.
    pub(crate) fn name_in(&self, weights: &Weights, prefix: &str) -> String {
        let name = if self.head { self.name.clone() } else { format!("{prefix}{}", self.name) };
        if !weights.tensors().contains_key(&name) && name.contains("LayerNorm") {
            let old = name.replace(".weight", ".gamma").replace(".bias", ".beta");
            if weights.tensors().contains_key(&old) {
                return old;
            }
        }
        name
    }
}
