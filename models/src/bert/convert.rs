// SPDX-License-Identifier: AGPL-3.0-or-later
//! A checkpoint of an encoder, or two of one tokenizer, to one file.
//!
//! Memory: one tensor as floats, and what comes last in the file (scales, vectors, int8 embedding
//! tables); packed matrices go straight out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bho_engine::CancelToken;
use bho_kernels::{Int8Matrix, TernaryMatrix};

use super::config::{BertConfig, TernaryScale};
use super::spec::{JUDGE, Scope, SubNorms, TensorKind, packed_shape, tensor_specs};
use crate::convert::{ConvertReport, Progress, Rounding, TensorReport, ternarize};
use crate::decoder::{Stored, WeightFormat, scale_name};
use crate::error::ModelError;
use crate::weights::{TensorPlan, Weights, Writer};

/// A network to be converted.
pub(crate) struct Network<'a> {
    config: &'a BertConfig,
    weights: &'a Weights,
    scope: Scope,
    linear: Linear,
}

/// How the linear layers of a network are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Linear {
    Int8,
    Ternary(TernaryScale),
}

/// One tensor's result, planned before it is computed.
struct Item {
    /// Which of the networks it is of.
    network: usize,
    source: String,
    kind: TensorKind,
    plans: Vec<TensorPlan>,
}

/// All that is planned.
struct Plan {
    items: Vec<Item>,
    /// Tensors of the source that are used, by network.
    used: [BTreeSet<String>; 2],
    /// Names in the result of what both networks have.
    shared: BTreeSet<String>,
}

impl<'a> Network<'a> {
    /// A network whose linear layers become what is asked for.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] for scales that contradict the config's.
    pub(crate) fn new(
        config: &'a BertConfig,
        weights: &'a Weights,
        asked: WeightFormat,
    ) -> Result<Self, ModelError> {
        let linear = match (asked, config.ternary_scale) {
            (WeightFormat::Int8 | WeightFormat::F32, _) => Linear::Int8,
            (WeightFormat::Ternary, scale) => {
                Linear::Ternary(scale.unwrap_or(TernaryScale::Matrix))
            }
            (WeightFormat::TernaryRows, None | Some(TernaryScale::Row)) => {
                Linear::Ternary(TernaryScale::Row)
            }
            (WeightFormat::TernaryRows, Some(TernaryScale::Matrix)) => {
                let message =
                    "its ternary_scale is \"matrix\": it was not trained for a scale a row";
                return Err(ModelError::invalid(weights.name(), message));
            }
        };
        Ok(Self { config, weights, scope: Scope::first(weights), linear })
    }
}

/// The names of tensors that two networks share, and the rest of the conversion, which writes them.
pub(crate) struct Conversion<'a> {
    networks: &'a [Network<'a>],
    plan: Plan,
}

impl<'a> Conversion<'a> {
    /// Decides every tensor of the result, and checks every tensor of the sources, before any work: one
    /// network, or two.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] naming the tensor that is missing or has another shape.
    pub(crate) fn plan(networks: &'a [Network<'a>]) -> Result<Self, ModelError> {
        let mut plan =
            Plan { items: Vec::new(), used: Default::default(), shared: BTreeSet::new() };
        // Tensors of the first network by name.
        let mut first = BTreeMap::new();
        for (i, network) in networks.iter().enumerate().take(2) {
            let Network { config, weights, scope, .. } = network;
            for spec in tensor_specs(config, SubNorms::of(config, weights, scope)) {
                let source = spec.name_in(weights, scope);
                let plans = plans(network, &source, &spec.name, spec.layer(), spec.kind)?;
                plan.used[i].insert(source.clone());
                if i == 0 {
                    first.insert(spec.name, (source.clone(), spec.kind));
                } else if let Some((twin, kind)) = first.get(&spec.name)
                    && *kind == spec.kind
                    && stored_alike(&networks[0], network, spec.kind)
                    && same(networks[0].weights, twin, weights, &source)?
                {
                    plan.shared.extend(plans.into_iter().map(|plan| plan.name));
                    continue;
                }
                plan.items.push(Item { network: i, source, kind: spec.kind, plans });
            }
        }
        for item in plan.items.iter_mut().filter(|item| item.network > 0) {
            for plan in &mut item.plans {
                plan.name = format!("{JUDGE}{}", plan.name);
            }
        }
        // Packed matrices first: each is a multiple of 64 bytes, so all of them stay aligned.
        plan.items.sort_by_key(|i| match i.kind {
            TensorKind::Linear { .. } => 0,
            TensorKind::Vector { .. } | TensorKind::Float { .. } => 1,
            TensorKind::Table { .. } => 2,
        });
        Ok(Self { networks, plan })
    }

    /// Names in the result of what is stored once for both networks.
    pub(crate) fn shared(&self) -> &BTreeSet<String> {
        &self.plan.shared
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Naming the tensor at fault; [`ModelError::Cancelled`]. Nothing is then left under `dst`.
    pub(crate) fn write(
        self,
        metadata: &BTreeMap<String, String>,
        (dst, force): (&Path, bool),
        cancel: &CancelToken,
        progress: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<ConvertReport, ModelError> {
        let Self { networks, plan: Plan { items, used, shared } } = self;
        // Scales are f32 and follow the packed matrices, bytes come last: everything stays aligned.
        let mut plans: Vec<_> = items.iter().flat_map(|i| i.plans.clone()).collect();
        plans.sort_by_key(|p| match p.dtype {
            "U8" => 0,
            "F32" => 1,
            _ => 2,
        });
        let mut writer = Writer::create(dst, metadata, plans.clone())?;
        let bytes = |item: &Item| {
            let tensors = networks[item.network].weights.tensors();
            tensors.get(&item.source).map_or(0, |t| t.bytes() as u64)
        };
        let total = items.iter().map(bytes).sum();
        let (mut done, mut reports) = (0, Vec::new());
        // Small results (scales, vectors) wait for their turn in the file; big ones go straight out.
        let mut waiting = Vec::new();
        for item in &items {
            if cancel.is_cancelled() {
                return Err(ModelError::Cancelled);
            }
            progress(&Progress { tensor: &item.source, done, total });
            let (parts, report) = quantize(&networks[item.network], item)?;
            for (plan, data) in item.plans.iter().zip(parts) {
                if plan.dtype == "U8" {
                    writer.tensor(&plan.name, &data)?;
                } else {
                    waiting.push((plan.name.clone(), data));
                }
            }
            reports.push(report);
            done += bytes(item);
        }
        for plan in plans.iter().filter(|p| p.dtype != "U8") {
            if let Some(i) = waiting.iter().position(|(name, _)| *name == plan.name) {
                let (name, data) = waiting.swap_remove(i);
                writer.tensor(&name, &data)?;
            }
        }
        // Until the file has its name, a stop leaves nothing.
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        let (bytes, sha256) = writer.finish(force)?;
        progress(&Progress { tensor: "", done: total, total });
        let mut left_out = Vec::new();
        for (i, (network, used)) in networks.iter().zip(used).enumerate() {
            let names = network.weights.tensors().keys().filter(|name| !used.contains(*name));
            left_out.extend(names.map(|name| format!("{}{name}", if i == 0 { "" } else { JUDGE })));
        }
        let shared = shared.into_iter().collect();
        Ok(ConvertReport { path: dst.into(), bytes, sha256, tensors: reports, shared, left_out })
    }
}

/// What a tensor becomes, by its names without a prefix.
fn plans(
    network: &Network<'_>,
    source: &str,
    name: &str,
    layer: &str,
    kind: TensorKind,
) -> Result<Vec<TensorPlan>, ModelError> {
    let weight_scale = || format!("{name}_scale");
    let own = || name.to_owned();
    let (expected, (name, dtype, shape), scale) = match (kind, network.linear) {
        (TensorKind::Linear { rows, cols }, Linear::Int8) => {
            let packed = (own(), "U8", packed_shape(rows, cols));
            (vec![rows, cols], packed, Some((weight_scale(), rows)))
        }
        (TensorKind::Linear { rows, cols }, Linear::Ternary(_)) => {
            let packed = (Stored::Ternary.tensor(layer), "U8", Stored::Ternary.shape(rows, cols));
            (vec![rows, cols], packed, Some((scale_name(layer), rows)))
        }
        (TensorKind::Table { rows, dim }, _) => {
            let shape = vec![rows, dim];
            (shape.clone(), (own(), "I8", shape), Some((weight_scale(), rows)))
        }
        (TensorKind::Float { rows, cols }, _) => {
            let shape = vec![rows, cols];
            (shape.clone(), (own(), "F32", shape), None)
        }
        (TensorKind::Vector { len }, _) => (vec![len], (own(), "F32", vec![len]), None),
    };
    let found = &network.weights.tensor(source)?.shape;
    if *found != expected {
        let message = format!("expected shape {expected:?}, found {found:?}");
        return Err(network.weights.error(source, message));
    }
    let size = if dtype == "F32" { 4 } else { 1 };
    let bytes = shape.iter().product::<usize>() * size;
    let mut plans = vec![TensorPlan { name, dtype, shape, bytes }];
    plans.extend(scale.map(|(name, rows)| TensorPlan {
        name,
        dtype: "F32",
        shape: vec![rows],
        bytes: rows * 4,
    }));
    Ok(plans)
}

/// Whether the same values become the same bytes in both networks.
fn stored_alike(a: &Network<'_>, b: &Network<'_>, kind: TensorKind) -> bool {
    a.linear == b.linear || !matches!(kind, TensorKind::Linear { .. })
}

/// Whether two tensors of one shape hold the same values, of whatever type.
fn same(a: &Weights, in_a: &str, b: &Weights, in_b: &str) -> Result<bool, ModelError> {
    let (x, y) = (a.tensor(in_a)?, b.tensor(in_b)?);
    if x.dtype == y.dtype {
        return Ok(a.tensor_bytes(x) == b.tensor_bytes(y));
    }
    let bits = |weights: &Weights, name: &str, shape: &[usize]| {
        let values = weights.floats(name, shape)?;
        Ok::<_, ModelError>(values.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    Ok(bits(a, in_a, &x.shape)? == bits(b, in_b, &y.shape)?)
}

/// The bytes of each planned tensor of one item, with its error.
fn quantize(
    network: &Network<'_>,
    item: &Item,
) -> Result<(Vec<Vec<u8>>, TensorReport), ModelError> {
    let weights = network.weights;
    let shape = weights.tensor(&item.source)?.shape.clone();
    let values = weights.floats(&item.source, &shape)?;
    let bad = |e: bho_kernels::KernelError| weights.error(&item.source, e.to_string());
    let mut error = Rounding::default();
    let parts = match (item.kind, network.linear) {
        (TensorKind::Linear { rows, cols }, Linear::Ternary(scale)) => {
            let (codes, scales) = ternarize(&values, cols, scale == TernaryScale::Row);
            error.add_rows(&values, &codes, &scales);
            let packed = TernaryMatrix::pack(rows, cols, &codes).map_err(bad)?;
            vec![packed.as_bytes().to_vec(), f32_bytes(&scales)]
        }
        (TensorKind::Linear { rows, cols } | TensorKind::Table { rows, dim: cols }, _) => {
            let (packed, scales) = Int8Matrix::quantize(rows, cols, &values).map_err(bad)?;
            let back = packed.view().unpack();
            error.add_rows(&values, &back, &scales);
            let codes = match item.kind {
                TensorKind::Table { .. } => back.iter().map(|&v| v as u8).collect(),
                _ => packed.as_bytes().to_vec(),
            };
            vec![codes, f32_bytes(&scales)]
        }
        (TensorKind::Float { .. } | TensorKind::Vector { .. }, _) => {
            error.add(&values, values.iter().copied());
            vec![f32_bytes(&values)]
        }
    };
    let TensorPlan { name, dtype, .. } = &item.plans[0];
    Ok((parts, TensorReport::new(name, shape, dtype, Some(error))))
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
