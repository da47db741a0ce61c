// SPDX-License-Identifier: AGPL-3.0-or-later
//! Layers built from tensors by name.

use bho_engine::layers::{Embeddings, LayerNorm, Linear};
use safetensors::Dtype;

use super::config::BertConfig;
use super::spec::{Scope, SubNorms, TensorKind, TensorSpec, packed_shape, tensor_specs};
use crate::decoder::{Stored, scale_name};
use crate::error::ModelError;
use crate::weights::Weights;

/// Builds the layers of one network of a file.
pub(super) struct Loader<'a> {
    pub(super) weights: &'a Weights,
    pub(super) scope: &'a Scope,
}

impl Loader<'_> {
    /// Checks every tensor's shape before anything is allocated for it.
    pub(super) fn check(&self, config: &BertConfig, sub_norms: SubNorms) -> Result<(), ModelError> {
        for spec in tensor_specs(config, sub_norms) {
            let (name, expected) = self.expected(&spec)?;
            let tensor = self.weights.tensor(&name)?;
            if tensor.shape != expected {
                let message = format!("expected shape {expected:?}, found {:?}", tensor.shape);
                return Err(self.weights.error(&name, message));
            }
        }
        Ok(())
    }

    /// The name under which the file has a tensor, and the shape it must have there.
    fn expected(&self, spec: &TensorSpec) -> Result<(String, Vec<usize>), ModelError> {
        let name = spec.name_in(self.weights, self.scope);
        if let TensorKind::Linear { rows, cols } = spec.kind
            && let Some(ternary) = self.ternary(spec.layer(), &name)?
        {
            return Ok((ternary, Stored::Ternary.shape(rows, cols)));
        }
        let dtype = self.weights.tensor(&name)?.dtype;
        let shape = match spec.kind {
            TensorKind::Linear { rows, cols } if dtype == Dtype::U8 => packed_shape(rows, cols),
            TensorKind::Linear { rows, cols }
            | TensorKind::Float { rows, cols }
            | TensorKind::Table { rows, dim: cols } => vec![rows, cols],
            TensorKind::Vector { len } => vec![len],
        };
        Ok((name, shape))
    }

    /// The tensor with the ternary tiles of a linear layer, whose weights are `weight` otherwise; none where
    /// the file has those.
    fn ternary(&self, layer: &str, weight: &str) -> Result<Option<String>, ModelError> {
        let name = self.name(&Stored::Ternary.tensor(layer));
        let has = |name: &str| self.weights.tensors().contains_key(name);
        match (self.weights.tensors().get(&name), has(weight)) {
            (None, true) => Ok(None),
            (None, false) => {
                let message = format!("missing, and so is {name}, one of which is needed");
                Err(self.weights.error(weight, message))
            }
            (Some(_), true) => {
                let message = format!("is there as {weight}, too; a layer has one of them");
                Err(self.weights.error(&name, message))
            }
            (Some(tensor), false) if tensor.dtype != Dtype::U8 => {
                let message = format!("expected U8, found {:?}", tensor.dtype);
                Err(self.weights.error(&name, message))
            }
            (Some(_), false) => Ok(Some(name)),
        }
    }

    fn name(&self, tensor: &str) -> String {
        self.scope.name(self.weights, tensor, false)
    }

    pub(super) fn norm(&self, name: &str, len: usize, eps: f32) -> Result<LayerNorm, ModelError> {
        let vector =
            |part: &str| self.weights.floats(&self.name(&format!("{name}.{part}")), &[len]);
        Ok(LayerNorm { gain: vector("weight")?, bias: vector("bias")?, eps })
    }

    /// A linear layer of the trunk, stored in any way.
    pub(super) fn linear(
        &self,
        layer: &str,
        rows: usize,
        cols: usize,
    ) -> Result<Linear, ModelError> {
        let weight = self.name(&format!("{layer}.weight"));
        let Some(ternary) = self.ternary(layer, &weight)? else {
            return self.matrix(layer, rows, cols, false);
        };
        let bias = self.weights.floats(&self.name(&format!("{layer}.bias")), &[rows])?;
        let scales = self.weights.floats(&self.name(&scale_name(layer)), &[rows])?;
        Linear::ternary((rows, cols), self.weights.bytes(&ternary)?, scales, Some(bias))
            .map_err(|e| self.weights.error(&ternary, e.to_string()))
    }

    /// A linear layer, not ternary; `head` when it is outside the trunk.
    pub(super) fn matrix(
        &self,
        layer: &str,
        rows: usize,
        cols: usize,
        head: bool,
    ) -> Result<Linear, ModelError> {
        let name = |part: &str| self.scope.name(self.weights, &format!("{layer}.{part}"), head);
        let weight = name("weight");
        let bias = self.weights.floats(&name("bias"), &[rows])?;
        let bad = |e: bho_engine::EngineError| self.weights.error(&weight, e.to_string());
        if self.weights.tensor(&weight)?.dtype == Dtype::U8 {
            let scales = self.weights.floats(&name("weight_scale"), &[rows])?;
            let bytes = self.weights.bytes(&weight)?;
            return Linear::int8((rows, cols), bytes, scales, Some(bias)).map_err(bad);
        }
        let values = self.weights.floats(&weight, &[rows, cols])?;
        Linear::float((rows, cols), &values, Some(bias)).map_err(bad)
    }

    /// An embedding table.
    pub(super) fn table(
        &self,
        table: &str,
        rows: usize,
        dim: usize,
    ) -> Result<Embeddings, ModelError> {
        let name = self.name(table);
        let bad = |e: bho_engine::EngineError| self.weights.error(&name, e.to_string());
        if self.weights.tensor(&name)?.dtype == Dtype::I8 {
            let scales = self.weights.floats(&self.name(&format!("{table}_scale")), &[rows])?;
            let bytes = self.weights.bytes(&name)?;
            return Embeddings::int8(&name, (rows, dim), bytes, scales).map_err(bad);
        }
        let values = self.weights.floats(&name, &[rows, dim])?;
        Embeddings::float(&name, (rows, dim), values).map_err(bad)
    }
}
