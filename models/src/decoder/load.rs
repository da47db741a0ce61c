// SPDX-License-Identifier: AGPL-3.0-or-later
//! A converted file to a decoder that runs. Packed weights stay mapped where they are.

use std::path::Path;

use bho_engine::decoder::{
    Activations, DecoderLayer, DecoderModel, Packed, Projection, RmsNorm, RotaryEmbedding,
    TokenEmbeddings,
};
use bho_engine::layers::Embeddings;
use bho_kernels::F32Matrix;
use safetensors::Dtype;

use super::architectures::spec;
use super::names::{HEAD, Stored, scale, table_scale};
use super::spec::{DecoderSpec, HeadSpec, LayerSpec, MatrixSpec, NormSpec, WeightKind};
use crate::error::ModelError;
use crate::package::Package;
use crate::weights::{FloatKind, Weights};

/// A decoder and what came with it.
#[derive(Debug)]
pub struct LoadedDecoder {
    /// The network.
    pub model: DecoderModel,
    /// Config, tokenizer and names.
    pub package: Package,
    /// Class name, e.g. `BitNetForCausalLM`.
    pub architecture: String,
    /// How the linear layers are stored, e.g. `ternary`.
    pub precision: String,
}

/// Loads a decoder from a file that `bho convert` wrote.
///
/// # Errors
/// Naming the file, and the key or tensor, that is missing or wrong.
pub fn load_decoder(path: &Path) -> Result<LoadedDecoder, ModelError> {
    from_package(Package::open(path)?)
}

pub(super) fn from_package(package: Package) -> Result<LoadedDecoder, ModelError> {
    let weights = &package.weights;
    let spec = spec(weights.name(), &package.config)?;
    let layers = spec.layers.iter().map(|layer| self::layer(weights, layer));
    let layers: Vec<_> = layers.collect::<Result<_, _>>()?;
    let head = match &spec.head {
        None => None,
        Some(HeadSpec::Own(matrix)) => Some(projection(weights, matrix)?),
        Some(HeadSpec::Tied) => {
            let shape = (spec.config.vocab, spec.config.hidden);
            Some(projection(weights, &MatrixSpec::new(HEAD.into(), shape, WeightKind::Plain))?)
        }
    };
    let embeddings = embeddings(weights, &spec)?;
    let norm = norm(weights, &spec.norm)?;
    let ropes = spec.ropes.iter().map(|(freq, scale)| RotaryEmbedding::new(freq.clone(), *scale));
    let precision = layers.first().map_or("none", |layer| layer.query.precision()).to_owned();
    let model = DecoderModel::new(spec.config, embeddings, ropes.collect(), layers, norm, head)?;
    Ok(LoadedDecoder { model, architecture: spec.architecture, precision, package })
}

fn layer(weights: &Weights, spec: &LayerSpec) -> Result<DecoderLayer, ModelError> {
    let matrix = |matrix: &MatrixSpec| projection(weights, matrix);
    let norm = |spec: &Option<NormSpec>| spec.as_ref().map(|spec| norm(weights, spec)).transpose();
    Ok(DecoderLayer {
        attention_norm: norm(&spec.attention_norm)?,
        query: matrix(&spec.query)?,
        key: matrix(&spec.key)?,
        value: matrix(&spec.value)?,
        query_norm: norm(&spec.query_norm)?,
        key_norm: norm(&spec.key_norm)?,
        rope: spec.rope,
        window: spec.window,
        attention_sub_norm: norm(&spec.attention_sub_norm)?,
        output: matrix(&spec.output)?,
        attention_post_norm: norm(&spec.attention_post_norm)?,
        ffn_norm: norm(&spec.ffn_norm)?,
        gate: matrix(&spec.gate)?,
        up: matrix(&spec.up)?,
        activation: spec.activation,
        ffn_sub_norm: norm(&spec.ffn_sub_norm)?,
        down: matrix(&spec.down)?,
        ffn_post_norm: norm(&spec.ffn_post_norm)?,
    })
}

fn norm(weights: &Weights, spec: &NormSpec) -> Result<RmsNorm, ModelError> {
    let mut gain = match &spec.gain {
        Some(name) => weights.floats(name, &[spec.dim])?,
        None => vec![1.0; spec.dim],
    };
    if spec.offset != 0.0 {
        gain.iter_mut().for_each(|g| *g += spec.offset);
    }
    Ok(RmsNorm::new(gain, spec.eps))
}

fn projection(weights: &Weights, spec: &MatrixSpec) -> Result<Projection, ModelError> {
    let (rows, cols) = (spec.rows, spec.cols);
    let there = |stored: &Stored| weights.tensors().contains_key(&stored.tensor(&spec.name));
    let found: Vec<Stored> = Stored::ALL.into_iter().filter(there).collect();
    if let [first, second, ..] = found.as_slice() {
        let message =
            format!("{} stands beside it; a layer has one of them", second.tensor(&spec.name));
        return Err(weights.error(&first.tensor(&spec.name), message));
    }
    let Some(stored) = found.first().copied() else {
        let names = Stored::ALL.map(|stored| stored.tensor(&spec.name)).join(", ");
        return Err(weights.error(&spec.name, format!("missing; one of {names} is needed")));
    };
    let name = stored.tensor(&spec.name);
    let tensor = weights.tensor(&name)?;
    let expected = stored.shape(rows, cols);
    if tensor.shape != expected {
        let message = format!("expected shape {expected:?}, found {:?}", tensor.shape);
        return Err(weights.error(&name, message));
    }
    let bad = |e: &dyn std::fmt::Display| weights.error(&name, e.to_string());
    let packed = match stored {
        Stored::Ternary => Packed::Ternary(weights.bytes(&name)?),
        Stored::TernaryDense => Packed::TernaryDense(weights.bytes(&name)?),
        Stored::Int8 => Packed::Int8(weights.bytes(&name)?),
        Stored::Int4 => Packed::Int4(weights.bytes(&name)?),
        Stored::Half => Packed::Half(weights.bytes(&name)?),
        Stored::Float => {
            let values = weights.floats(&name, &expected)?;
            Packed::Float(F32Matrix::pack(rows, cols, &values).map_err(|e| bad(&e))?)
        }
    };
    let scales = match stored.has_scales() {
        true => weights.floats(&scale(&spec.name), &[rows])?,
        false => Vec::new(),
    };
    let bias = match spec.bias {
        true => Some(weights.floats(&format!("{}.bias", spec.name), &[rows])?),
        false => None,
    };
    let activations = match spec.weights {
        WeightKind::BitNet(_) => Activations::Int8,
        WeightKind::Plain => Activations::Int16,
    };
    let layer = Projection::new((rows, cols), packed, scales, bias, activations);
    let layer = layer.map_err(|e| bad(&e))?;
    match &spec.input_norm {
        Some(spec) => Ok(layer.with_input_norm(norm(weights, spec)?)?),
        None => Ok(layer),
    }
}

fn embeddings(weights: &Weights, spec: &DecoderSpec) -> Result<TokenEmbeddings, ModelError> {
    let (name, shape) = (&spec.embeddings, (spec.config.vocab, spec.config.hidden));
    if matches!(spec.head, Some(HeadSpec::Tied)) && !weights.tensors().contains_key(name) {
        return Ok(TokenEmbeddings::Head);
    }
    let tensor = weights.tensor(name)?;
    let table = match (tensor.dtype, FloatKind::of(tensor.dtype)) {
        (Dtype::I8, _) | (_, Some(FloatKind::F16 | FloatKind::BF16)) => {
            if tensor.shape != [shape.0, shape.1] {
                let message = format!("expected shape {shape:?}, found {:?}", tensor.shape);
                return Err(weights.error(name, message));
            }
            let bytes = weights.bytes(name)?;
            match tensor.dtype {
                Dtype::I8 => {
                    let scales = weights.floats(&table_scale(name), &[shape.0])?;
                    Embeddings::int8(name, shape, bytes, scales)?
                }
                dtype => Embeddings::half(name, shape, bytes, dtype == Dtype::BF16)?,
            }
        }
        _ => Embeddings::float(name, shape, weights.floats(name, &[shape.0, shape.1])?)?,
    };
    Ok(TokenEmbeddings::Table(table))
}
