// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tensors held against what the config says there should be.

use std::collections::{BTreeSet, HashMap};

use super::audit::{Finding, Findings};
use super::open::{Container, Opened};
use crate::bert::{BertConfig, Scope, SubNorms, TensorKind, packed_shape, tensor_specs};
use crate::decoder::{DecoderSpec, HEAD, HeadSpec, Stored, scale_name, spec, table_scale};
use crate::source::Source;
use crate::weights::Weights;

/// Tensors that checkpoints carry and no model here reads.
const IDLE: [&str; 6] =
    ["rotary_emb.inv_freq", "position_ids", "rope_freqs.weight", "pooler.", "cls.", "masked_bias"];

/// One tensor of a model: any of these names with its shape.
struct Part {
    any: Vec<(String, Vec<usize>)>,
    /// Numbers of the model in it: scales and padding count for nothing.
    numbers: usize,
    required: bool,
}

impl Part {
    fn one(name: String, shape: Vec<usize>) -> Self {
        let numbers = shape.iter().product();
        Self { any: vec![(name, shape)], numbers, required: true }
    }

    fn optional(name: String, shape: Vec<usize>) -> Self {
        Self { required: false, numbers: 0, ..Self::one(name, shape) }
    }
}

/// What is expected of a model of this config.
fn parts(opened: &Opened) -> Option<Vec<Part>> {
    let config = opened.config.as_ref()?;
    if crate::decoder::is_known(config) {
        return Some(decoder_parts(&spec("", config).ok()?, opened.converted));
    }
    let Container::Safetensors(files) = &opened.container else { return None };
    let config = BertConfig::from_json("", config).ok()?;
    let weights = files.first()?;
    let Some(judge) = &opened.judge else {
        return Some(bert_parts(&config, &Scope::first(weights), weights, opened.converted));
    };
    let mut parts = bert_parts(&config, &Scope::default(), weights, opened.converted);
    if let Ok(config) = judge.check("", &config) {
        let mut further =
            bert_parts(&config, &Scope::judge(&judge.shared), weights, opened.converted);
        for part in &mut further {
            // Counted with the first network.
            if part.any.iter().any(|(name, _)| judge.shared.contains(name)) {
                part.numbers = 0;
            }
        }
        parts.extend(further);
    }
    Some(parts)
}

fn decoder_parts(spec: &DecoderSpec, converted: bool) -> Vec<Part> {
    let (vocab, hidden) = (spec.config.vocab, spec.config.hidden);
    let tied = matches!(spec.head, Some(HeadSpec::Tied));
    let mut parts = Vec::new();
    let mut matrix = |name: &str, rows: usize, cols: usize| {
        let weight = format!("{name}.weight");
        let (any, further) = if converted {
            let stored = |kind: Stored| (kind.tensor(name), kind.shape(rows, cols));
            (Stored::ALL.map(stored).to_vec(), Part::optional(scale_name(name), vec![rows]))
        } else {
            let packed = vec![rows.div_ceil(4), cols];
            let scale = Part::optional(format!("{weight}_scale"), vec![1]);
            (vec![(weight.clone(), vec![rows, cols]), (weight, packed)], scale)
        };
        parts.extend([Part { any, numbers: rows.saturating_mul(cols), required: true }, further]);
    };
    for part in spec.matrices() {
        matrix(&part.name, part.rows, part.cols);
    }
    if tied && converted {
        matrix(HEAD, vocab, hidden);
    }
    for norm in spec.norms() {
        parts.extend(norm.gain.clone().map(|gain| Part::one(gain, vec![norm.dim])));
    }
    for part in spec.matrices().filter(|matrix| matrix.bias) {
        parts.push(Part::one(format!("{}.bias", part.name), vec![part.rows]));
    }
    let table = (spec.embeddings.clone(), vec![vocab, hidden]);
    // Beside a tied head, the table is the same numbers again.
    let again = tied && converted;
    let numbers = if again { 0 } else { vocab.saturating_mul(hidden) };
    parts.push(Part { any: vec![table], numbers, required: !again });
    if converted {
        parts.push(Part::optional(table_scale(&spec.embeddings), vec![vocab]));
    }
    parts
}

fn bert_parts(config: &BertConfig, scope: &Scope, weights: &Weights, converted: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    for spec in tensor_specs(config, SubNorms::of(config, weights, scope)) {
        let name = spec.name_in(weights, scope);
        let other = |tensor: &str| scope.name(weights, tensor, spec.head);
        let scale = |rows| Part::optional(other(&format!("{}_scale", spec.name)), vec![rows]);
        let (shape, further) = match spec.kind {
            TensorKind::Linear { rows, cols } if converted => {
                let numbers = rows.saturating_mul(cols);
                let ternary = other(&Stored::Ternary.tensor(spec.layer()));
                let any = vec![
                    (name, packed_shape(rows, cols)),
                    (ternary, Stored::Ternary.shape(rows, cols)),
                ];
                let ternary_scale = Part::optional(other(&scale_name(spec.layer())), vec![rows]);
                parts.extend([Part { any, numbers, required: true }, scale(rows), ternary_scale]);
                continue;
            }
            TensorKind::Table { rows, dim } if converted => (vec![rows, dim], Some(scale(rows))),
            TensorKind::Linear { rows, cols }
            | TensorKind::Float { rows, cols }
            | TensorKind::Table { rows, dim: cols } => (vec![rows, cols], None),
            TensorKind::Vector { len } => (vec![len], None),
        };
        parts.push(Part::one(name, shape));
        parts.extend(further);
    }
    parts
}

/// Numbers of the model: by its config where that is known, else those that are stored.
pub(super) fn parameters(opened: &Opened) -> u64 {
    if let Some(parts) = parts(opened) {
        return parts.iter().fold(0, |sum, part| part_sum(sum, part.numbers));
    }
    match &opened.container {
        Container::Safetensors(files) => files
            .iter()
            .flat_map(Weights::tensors)
            .filter(|(name, _)| !name.ends_with("scale"))
            .fold(0, |sum, (_, tensor)| part_sum(sum, tensor.elements())),
        Container::Gguf(file) => {
            file.tensors().values().fold(0, |sum, tensor| part_sum(sum, tensor.elements()))
        }
    }
}

fn part_sum(sum: u64, numbers: usize) -> u64 {
    sum.saturating_add(numbers as u64)
}

/// Tensors that are missing, of another shape, or unknown; those in two files.
pub(super) fn check(opened: &Opened, findings: &mut Findings) {
    duplicates(opened, findings);
    let (Some(parts), Some(source)) = (parts(opened), &opened.source) else { return };
    let source: &dyn Source = source.as_ref();
    let mut known = BTreeSet::new();
    for part in &parts {
        known.extend(part.any.iter().map(|(name, _)| name.clone()));
        let found = part.any.iter().filter_map(|(name, shape)| {
            source.shape(name).map(|found| (name, found == *shape, found))
        });
        let found: Vec<_> = found.collect();
        let expected: Vec<_> =
            part.any.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect();
        if found.is_empty() && part.required {
            let message = format!("is missing; the config asks for {}", expected.join(" or "));
            findings.push(Finding::severe("missing", &part.any[0].0, message));
        }
        let scalar = |found: &Vec<usize>| !part.required && found.is_empty();
        if let Some((name, _, shape)) =
            found.iter().find(|(_, right, shape)| !right && !scalar(shape))
            && !found.iter().any(|(_, right, _)| *right)
        {
            let message =
                format!("has shape {shape:?}; the config asks for {}", expected.join(" or "));
            findings.push(Finding::severe("shape", name, message));
        }
        let names: BTreeSet<_> = found.iter().map(|(name, ..)| *name).collect();
        if names.len() > 1 {
            let all = names.into_iter().cloned().collect::<Vec<_>>().join(", ");
            let message = format!("is there more than once: {all}");
            findings.push(Finding::severe("duplicate", &part.any[0].0, message));
        }
    }
    for name in source.names() {
        if known.contains(&name) {
            continue;
        }
        let message = "is not used by a model of this config";
        findings.push(match IDLE.iter().any(|idle| name.contains(idle)) {
            true => Finding::note("unknown", &name, message),
            false => Finding::warning("unknown", &name, message),
        });
    }
}

/// Tensors in several files, and those that the index leaves out.
fn duplicates(opened: &Opened, findings: &mut Findings) {
    let Container::Safetensors(files) = &opened.container else { return };
    let mut seen: HashMap<&str, &str> = HashMap::new();
    let listed = opened.source.as_ref().map(|s| s.names().into_iter().collect::<BTreeSet<_>>());
    for file in files {
        for name in file.tensors().keys() {
            if let Some(other) = seen.insert(name, file.name()) {
                let message = format!("is in {other} and in {}", file.name());
                findings.push(Finding::severe("duplicate", name, message));
            }
            if listed.as_ref().is_some_and(|listed| !listed.contains(name)) {
                let message = format!("is in {} and not in the index", file.name());
                findings.push(Finding::warning("unknown", name, message));
            }
        }
    }
}
