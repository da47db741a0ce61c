// SPDX-License-Identifier: AGPL-3.0-or-later
//! Names and shapes of a BERT checkpoint's tensors, in the order a converted file has them.

use std::collections::BTreeSet;

use super::config::BertConfig;
use crate::weights::Weights;

/// What stands before the names of a second network's tensors in a converted file.
pub(crate) const JUDGE: &str = "judge.";

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

/// Which layer norms of its own (SubLN, arXiv:2210.06423, as BitNet has them) every layer has, before the
/// linear layers that write to the residual stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SubNorms {
    /// `attention.output.sub_norm`, before `attention.output.dense`.
    pub(crate) attention: bool,
    /// `output.sub_norm`, before `output.dense`.
    pub(crate) ffn: bool,
}

impl SubNorms {
    pub(crate) const ATTENTION: &str = "attention.output.sub_norm";
    pub(crate) const FFN: &str = "output.sub_norm";

    /// Those of which any layer has a tensor: the others must have it then, too.
    pub(crate) fn of(config: &BertConfig, weights: &Weights, scope: &Scope) -> Self {
        let any = |norm: &str| {
            (0..config.layers).any(|i| {
                ["weight", "bias"].iter().any(|part| {
                    let name = format!("encoder.layer.{i}.{norm}.{part}");
                    weights.tensors().contains_key(&scope.name(weights, &name, false))
                })
            })
        };
        Self { attention: any(Self::ATTENTION), ffn: any(Self::FFN) }
    }
}

/// Every tensor of a model of this config.
pub(crate) fn tensor_specs(config: &BertConfig, sub_norms: SubNorms) -> Vec<TensorSpec> {
    let (hidden, ffn) = (config.hidden, config.ffn);
    let mut specs = Vec::new();
    let mut add = |name: String, kind: TensorKind, head: bool| {
        specs.push(TensorSpec { name, kind, head });
    };
    let linear = |add: &mut dyn FnMut(String, TensorKind, bool), name: &str, rows, cols| {
        add(format!("{name}.weight"), TensorKind::Linear { rows, cols }, false);
        add(format!("{name}.bias"), TensorKind::Vector { len: rows }, false);
    };
    let norm = |add: &mut dyn FnMut(String, TensorKind, bool), name: &str, len| {
        for part in ["weight", "bias"] {
            add(format!("{name}.{part}"), TensorKind::Vector { len }, false);
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
    norm(&mut add, "embeddings.LayerNorm", hidden);
    for i in 0..config.layers {
        let layer = format!("encoder.layer.{i}");
        for part in ["query", "key", "value"] {
            linear(&mut add, &format!("{layer}.attention.self.{part}"), hidden, hidden);
        }
        if sub_norms.attention {
            norm(&mut add, &format!("{layer}.{}", SubNorms::ATTENTION), hidden);
        }
        linear(&mut add, &format!("{layer}.attention.output.dense"), hidden, hidden);
        norm(&mut add, &format!("{layer}.attention.output.LayerNorm"), hidden);
        linear(&mut add, &format!("{layer}.intermediate.dense"), ffn, hidden);
        if sub_norms.ffn {
            norm(&mut add, &format!("{layer}.{}", SubNorms::FFN), ffn);
        }
        linear(&mut add, &format!("{layer}.output.dense"), hidden, ffn);
        norm(&mut add, &format!("{layer}.output.LayerNorm"), hidden);
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

/// Where the tensors of a network are in a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// What stands before the trunk's names: nothing, or e.g. `bert.`.
    trunk: String,
    /// The same of heads.
    head: String,
    /// Tensors of the first network that are this one's as well.
    shared: BTreeSet<String>,
}

impl Scope {
    /// The scope of a checkpoint, or of the first network of a converted file.
    pub(crate) fn first(weights: &Weights) -> Self {
        const FIRST: &str = "embeddings.word_embeddings.weight";
        let trunk = weights.tensors().keys().find_map(|name| name.strip_suffix(FIRST));
        Self { trunk: trunk.unwrap_or_default().to_owned(), ..Self::default() }
    }

    /// The scope of the second network of a converted file.
    pub(crate) fn judge(shared: &BTreeSet<String>) -> Self {
        Self { trunk: JUDGE.into(), head: JUDGE.into(), shared: shared.clone() }
    }

    /// The name in this file of a tensor; early checkpoints called the parameters of layer norms `gamma`
    /// and `beta`.
    pub(crate) fn name(&self, weights: &Weights, tensor: &str, head: bool) -> String {
        if self.shared.contains(tensor) {
            return tensor.to_owned();
        }
        let name = format!("{}{tensor}", if head { &self.head } else { &self.trunk });
        if name.contains("LayerNorm") && !weights.tensors().contains_key(&name) {
            let old = name.replace(".weight", ".gamma").replace(".bias", ".beta");
            if weights.tensors().contains_key(&old) {
                return old;
            }
        }
        name
    }
}

impl TensorSpec {
    /// The tensor's name in a file.
    pub(crate) fn name_in(&self, weights: &Weights, scope: &Scope) -> String {
        scope.name(weights, &self.name, self.head)
    }

    /// The linear layer whose weights these are.
    pub(crate) fn layer(&self) -> &str {
        self.name.trim_end_matches(".weight")
    }
}

/// Shape under which a converted file holds packed int8 weights: panels, blocks, rows, inputs.
pub(crate) fn packed_shape(rows: usize, cols: usize) -> Vec<usize> {
    let per_block = bho_kernels::INT8_BLOCK_COLS;
    vec![rows.div_ceil(bho_kernels::PANEL), cols.div_ceil(per_block), bho_kernels::PANEL, per_block]
}
