// SPDX-License-Identifier: AGPL-3.0-or-later
//! A checkpoint of a decoder to one file that runs where it is mapped.
//!
//! Memory: a panel of rows and the scales, whatever the size of the model; pages of the source are
//! given back as they are done with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bho_engine::CancelToken;

use super::columns::fold;
use super::names::{HEAD, Stored, scale, table_scale};
use super::quantizer::{How, Layer, abs_mean, f32_bytes, three_values, write_layer, write_table};
use super::spec::{DecoderSpec, HeadSpec, MatrixSpec, Scale, WeightKind};
use crate::convert::{Progress, Rounding, TensorReport};
use crate::error::ModelError;
use crate::source::{PackedScale, Source};
use crate::weights::{FloatKind, TensorPlan, Writer};

/// How linear layers whose checkpoint has plain floats are stored.
///
/// Those of three values `-s, 0, s` a row are ternary in any case, and those of three values a column
/// where the layer before can take over the scales (TriLM in docs/architectures.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightFormat {
    /// int8 with a scale a row.
    #[default]
    Int8,
    /// As they are.
    F32,
    /// Ternary, rounded to the absolute mean of the whole matrix (arXiv:2402.17764, §2).
    Ternary,
    /// Ternary, each row rounded to its own absolute mean.
    TernaryRows,
}

/// How the output head is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeadFormat {
    /// int8 with a scale a row.
    #[default]
    Int8,
    /// 4 bits with an f16 scale for 32 inputs: about half the bytes, a coarser choice of tokens.
    Int4,
    /// Half precision.
    F16,
    /// As it is.
    F32,
}

/// How the embedding table is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmbedFormat {
    /// The head's weights where they are tied, else in the checkpoint's 16 bits.
    #[default]
    Auto,
    /// int8 with a scale a row; the head's weights where they are tied and int8.
    Int8,
    /// A table of its own in half precision, or in bfloat16 where the checkpoint has that.
    F16,
    /// A table of its own, in the checkpoint's precision.
    Own,
}

/// What the user decides about a decoder.
#[derive(Debug, Clone, Copy, Default)]
pub struct DecoderOptions {
    /// Of linear layers in floats.
    pub weights: WeightFormat,
    /// Of the output head.
    pub head: HeadFormat,
    /// Of the embedding table.
    pub embed: EmbedFormat,
    /// Whether ternary weights take 1.6 bits instead of 2: faster only with AVX-512 VNNI.
    pub dense: bool,
    /// Refuse linear layers that are packed as ternary already instead of keeping them.
    pub floats_only: bool,
}

/// A tensor of the result.
enum Part {
    /// Weights of the layer of this number.
    Weights(usize),
    /// Its scales.
    Scales(usize),
    /// A gain or bias of this length.
    Vector(usize),
    /// The embedding table.
    Table,
    /// Its scales.
    TableScales,
}

/// Converts a checkpoint; `metadata` goes into the file. Returns its size, its sha256, its tensors and
/// those of the source that are not used.
///
/// # Errors
/// Naming the tensor at fault; [`ModelError::Cancelled`]. Nothing is then left under `dst`.
pub(crate) fn convert(
    spec: &DecoderSpec,
    source: &dyn Source,
    options: &DecoderOptions,
    metadata: &BTreeMap<String, String>,
    (dst, force): (&Path, bool),
    cancel: &CancelToken,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> Result<(u64, String, Vec<TensorReport>, Vec<String>), ModelError> {
    let layers = layers(spec, source, options, cancel)?;
    let parts = parts(spec, source, options, &layers)?;
    let plans = parts.iter().map(|(plan, _)| plan.clone()).collect();
    let mut writer = Writer::create(dst, metadata, plans)?;
    let input = |part: &(TensorPlan, Part)| match part.1 {
        Part::Weights(i) => source.bytes(&layers[i].source),
        Part::Scales(_) | Part::TableScales => 0,
        Part::Vector(_) | Part::Table => source.bytes(&part.0.name),
    };
    let total = parts.iter().map(input).sum();
    let (mut done, mut reports) = (0, Vec::new());
    let mut scales: Vec<Vec<f32>> = vec![Vec::new(); layers.len()];
    let mut table_scales = Vec::new();
    for part in &parts {
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        let plan = &part.0;
        progress(&Progress { tensor: &plan.name, done, total });
        writer.begin(&plan.name)?;
        let mut report = |shape: Vec<usize>, error: Option<Rounding>| {
            reports.push(TensorReport::new(&plan.name, shape, plan.dtype, error));
        };
        match part.1 {
            Part::Weights(i) => {
                let (step, error) = write_layer(&layers[i], source, &mut writer, cancel)?;
                scales[i] = step;
                report(vec![layers[i].matrix.rows, layers[i].matrix.cols], error);
            }
            Part::Scales(i) => writer.data(&f32_bytes(&std::mem::take(&mut scales[i])))?,
            Part::Vector(len) => {
                let mut values = Vec::with_capacity(len);
                source.floats(&plan.name, len, 0..1, &mut values)?;
                writer.data(&f32_bytes(&values))?;
            }
            Part::Table => {
                let error = write_table(source, plan, &mut writer, &mut table_scales, cancel)?;
                report(plan.shape.clone(), Some(error));
            }
            Part::TableScales => writer.data(&f32_bytes(&table_scales))?,
        }
        done += input(part);
    }
    if cancel.is_cancelled() {
        return Err(ModelError::Cancelled);
    }
    let (bytes, sha256) = writer.finish(force)?;
    progress(&Progress { tensor: "", done: total, total });
    let mut used: BTreeSet<_> = parts.iter().map(|(plan, _)| plan.name.clone()).collect();
    for layer in &layers {
        used.extend([layer.source.clone(), format!("{}_scale", layer.source)]);
    }
    let left_out = source.names().into_iter().filter(|name| !used.contains(name)).collect();
    Ok((bytes, sha256, reports, left_out))
}

/// Decides about every linear layer, and checks that it is there.
fn layers(
    spec: &DecoderSpec,
    source: &dyn Source,
    options: &DecoderOptions,
    cancel: &CancelToken,
) -> Result<Vec<Layer>, ModelError> {
    let (vocab, hidden) = (spec.config.vocab, spec.config.hidden);
    let mut all: Vec<_> = spec.matrices().map(|matrix| (matrix.clone(), matrix.weight())).collect();
    if matches!(spec.head, Some(HeadSpec::Tied)) {
        let head = MatrixSpec::new(HEAD.into(), (vocab, hidden), WeightKind::Plain);
        all.push((head, spec.embeddings.clone()));
    }
    let layer = |(matrix, tensor): (MatrixSpec, String)| {
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        let how = decide(&matrix, &tensor, source, options)?;
        let stored = match how {
            How::Floats => Stored::Float,
            How::RowMax => Stored::Int8,
            How::Groups => Stored::Int4,
            How::Halves => Stored::Half,
            _ if options.dense => Stored::TernaryDense,
            _ => Stored::Ternary,
        };
        Ok(Layer { matrix, source: tensor, stored, how, columns: vec![], row_factors: vec![] })
    };
    let mut layers = all.into_iter().map(layer).collect::<Result<Vec<_>, _>>()?;
    fold(spec, &mut layers, source, cancel)?;
    Ok(layers)
}

/// Tensors of the result in file order: what kernels read in place first, as it is aligned.
fn parts(
    spec: &DecoderSpec,
    source: &dyn Source,
    options: &DecoderOptions,
    layers: &[Layer],
) -> Result<Vec<(TensorPlan, Part)>, ModelError> {
    let mut parts = Vec::new();
    let mut add = |name: String, dtype: &'static str, shape: Vec<usize>, part: Part| {
        let size = match dtype {
            "U8" | "I8" => 1,
            "F32" => 4,
            _ => 2,
        };
        let bytes = shape.iter().product::<usize>() * size;
        parts.push((TensorPlan { name, dtype, shape, bytes }, part));
    };
    for (i, Layer { matrix, stored, .. }) in layers.iter().enumerate() {
        let (name, shape) = (&matrix.name, stored.shape(matrix.rows, matrix.cols));
        let dtype = if *stored == Stored::Float { "F32" } else { "U8" };
        add(stored.tensor(name), dtype, shape, Part::Weights(i));
        if stored.has_scales() {
            add(scale(name), "F32", vec![matrix.rows], Part::Scales(i));
        }
    }
    for norm in spec.norms() {
        if let Some(gain) = &norm.gain {
            expect_shape(source, gain, &[norm.dim])?;
            add(gain.clone(), "F32", vec![norm.dim], Part::Vector(norm.dim));
        }
    }
    for matrix in spec.matrices().filter(|matrix| matrix.bias) {
        let name = format!("{}.bias", matrix.name);
        expect_shape(source, &name, &[matrix.rows])?;
        add(name, "F32", vec![matrix.rows], Part::Vector(matrix.rows));
    }
    let table = vec![spec.config.vocab, spec.config.hidden];
    expect_shape(source, &spec.embeddings, &table)?;
    let tied = matches!(spec.head, Some(HeadSpec::Tied));
    let shared = match options.embed {
        EmbedFormat::Auto => tied,
        EmbedFormat::Int8 => tied && options.head == HeadFormat::Int8,
        EmbedFormat::F16 | EmbedFormat::Own => false,
    };
    if !shared {
        let own = source.half(&spec.embeddings);
        let dtype = match options.embed {
            EmbedFormat::Int8 => "I8",
            EmbedFormat::F16 => own.unwrap_or(FloatKind::F16).name(),
            EmbedFormat::Auto | EmbedFormat::Own => own.map_or("F32", FloatKind::name),
        };
        add(spec.embeddings.clone(), dtype, table, Part::Table);
        if options.embed == EmbedFormat::Int8 {
            let name = table_scale(&spec.embeddings);
            add(name, "F32", vec![spec.config.vocab], Part::TableScales);
        }
    }
    // Scales are known once what they belong to is written.
    parts.sort_by_key(|(plan, part)| match part {
        Part::Table => 2,
        Part::TableScales => 3,
        _ => usize::from(plan.dtype != "U8"),
    });
    Ok(parts)
}

/// About what the weights of a converted model take, where linear layers that are not ternary become
/// int8, and the keys and values of a token in f16; in bytes.
pub(crate) fn memory_of(spec: &DecoderSpec) -> (u64, u64) {
    let size = |rows: usize, cols: usize| (rows as u64).saturating_mul(cols as u64);
    let matrix = |matrix: &MatrixSpec| match matrix.weights {
        WeightKind::BitNet(_) => size(matrix.rows, matrix.cols) / 4,
        WeightKind::Plain => size(matrix.rows, matrix.cols),
    };
    let c = &spec.config;
    // A tied head is the table in int8, another table has 16 bits.
    let table =
        size(c.vocab, c.hidden) * if matches!(spec.head, Some(HeadSpec::Tied)) { 1 } else { 2 };
    let weights = spec.matrices().map(matrix).fold(table, u64::saturating_add);
    let kv = size(c.kv_heads, c.head_dim).saturating_mul(spec.layers.len() as u64 * 4);
    (weights, kv)
}

fn expect_shape(source: &dyn Source, tensor: &str, expected: &[usize]) -> Result<(), ModelError> {
    match source.shape(tensor) {
        None => Err(source.error(tensor, format!("missing; expected shape {expected:?}"))),
        Some(found) if found == expected => Ok(()),
        Some(found) => {
            Err(source.error(tensor, format!("expected shape {expected:?}, found {found:?}")))
        }
    }
}

fn decide(
    matrix: &MatrixSpec,
    tensor: &str,
    source: &dyn Source,
    options: &DecoderOptions,
) -> Result<How, ModelError> {
    let (is_head, shape) = (matrix.name == HEAD, (matrix.rows, matrix.cols));
    let packed = match matrix.weights {
        WeightKind::BitNet(Scale::Multiply) => Some(PackedScale::Multiply),
        WeightKind::BitNet(Scale::Divide) => Some(PackedScale::Divide),
        _ => None,
    };
    if source.shape(tensor).is_some() && source.ternary(tensor, shape, packed)?.is_some() {
        if options.floats_only {
            let message =
                "is ternary already: there is nothing to quantize; `bho convert` keeps it";
            return Err(source.error(tensor, message.into()));
        }
        return Ok(How::Packed(packed));
    }
    expect_shape(source, tensor, &[matrix.rows, matrix.cols])?;
    match matrix.weights {
        WeightKind::BitNet(_) => abs_mean(tensor, shape, source).map(How::AbsMean),
        WeightKind::Plain if is_head => Ok(match options.head {
            HeadFormat::Int8 => How::RowMax,
            HeadFormat::Int4 => How::Groups,
            HeadFormat::F16 => How::Halves,
            HeadFormat::F32 => How::Floats,
        }),
        WeightKind::Plain if three_values(tensor, shape, source)? => Ok(How::ThreeValues),
        WeightKind::Plain => match options.weights {
            WeightFormat::F32 => Ok(How::Floats),
            WeightFormat::Int8 => Ok(How::RowMax),
            WeightFormat::Ternary => abs_mean(tensor, shape, source).map(How::AbsMean),
            WeightFormat::TernaryRows => Ok(How::RowAbsMean),
        },
    }
}
