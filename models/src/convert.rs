// SPDX-License-Identifier: AGPL-3.0-or-later
//! A Hugging Face folder to one int8 file: weights quantized and packed, config, tokenizer and
//! provenance in the metadata.
//!
//! Memory: the source's mapping, one tensor as floats, and what comes last in the file (scales,
//! vectors, int8 embedding tables); packed matrices go straight out. The result is written under a
//! temporary name and renamed when it is whole. The same inputs and options give the same bytes.

mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bho_engine::{CancelToken, Storage};
use bho_kernels::{I2sLayout, Int8Matrix};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::bert::{BertConfig, TensorKind, find_prefix, packed_shape, tensor_specs};
use crate::decoder::{DecoderOptions, WeightFormat};
use crate::error::ModelError;
use crate::gguf::{GgufCheckpoint, GgufFile};
use crate::package::{Package, keys};
use crate::source::Source;
use crate::weights::{TensorPlan, Weights, Writer};

pub(crate) use report::Rounding;
pub use report::TensorReport;

/// What to record about the source, and whether to replace an existing file.
#[derive(Debug, Clone, Default)]
pub struct ConvertOptions {
    /// Name of the model; the folder's name without one.
    pub name: Option<String>,
    /// Where the source came from.
    pub source: Option<String>,
    /// Its revision there.
    pub revision: Option<String>,
    /// Its licence, as an SPDX expression.
    pub licence: Option<String>,
    /// Replace an existing file.
    pub force: bool,
    /// Of GGUF files: which machine quantized I2_S tensors, as the files do not say.
    pub i2s: I2sLayout,
    /// Of decoders: how weights, head and embeddings are stored.
    pub decoder: DecoderOptions,
}

/// How far a conversion is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The tensor being converted.
    pub tensor: &'a str,
    /// Bytes of input done.
    pub done: u64,
    /// Bytes of input in all.
    pub total: u64,
}

/// What a conversion made.
#[derive(Debug, Clone, Serialize)]
pub struct ConvertReport {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its sha256, lower-case hex.
    pub sha256: String,
    /// Its tensors, in file order.
    pub tensors: Vec<TensorReport>,
    /// Tensors of the source that the model does not use.
    pub left_out: Vec<String>,
}

/// One tensor's result, planned before it is computed.
struct Item {
    source: String,
    kind: TensorKind,
    plans: Vec<TensorPlan>,
}

/// Converts the float checkpoint in `src` to the int8 file `dst`.
///
/// Linear layers become int8 with a scale per output row, packed as the kernels read them;
/// embedding tables int8 with a scale per row; the rest f32.
///
/// # Errors
/// Naming the file or tensor at fault; [`ModelError::Cancelled`]. Nothing is then left under `dst`
/// that was not there before.
pub fn convert(
    src: &Path,
    dst: &Path,
    options: &ConvertOptions,
    cancel: &CancelToken,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> Result<ConvertReport, ModelError> {
    if dst.exists() && !options.force {
        let exists = std::io::Error::new(std::io::ErrorKind::AlreadyExists, "it exists already");
        return Err(ModelError::write(dst, exists));
    }
    // Found out now, not when gigabytes have been read.
    drop(crate::weights::temporary(dst)?);
    if src.extension().is_some_and(|extension| extension == "gguf") {
        refuse_source(dst, [src])?;
        return gguf(src, dst, options, cancel, progress);
    }
    let (mut package, checkpoint) = Package::open_checkpoint(src)?;
    refuse_source(dst, checkpoint.files().iter().map(|file| Path::new(file.name())))?;
    if let Some(name) = &options.name {
        package.name.clone_from(name);
    }
    if crate::decoder::is_known(&package.config) {
        let inputs: Vec<_> = checkpoint.files().iter().map(Weights::storage).collect();
        let metadata = metadata(package.decoder_metadata(), &inputs, options, cancel)?;
        return decoder(&package.config, &checkpoint, &metadata, dst, options, cancel, progress);
    }
    if !matches!(options.decoder.weights, WeightFormat::Int8 | WeightFormat::F32) {
        let message = "ternary weights are for decoders; an encoder becomes int8";
        return Err(ModelError::invalid(package.weights.name(), message));
    }
    crate::load::architecture(&package)?;
    let config = BertConfig::from_json(package.weights.name(), &package.config)?;
    let weights = package.weights.clone();
    if weights.tensors().values().any(|t| t.dtype == safetensors::Dtype::U8) {
        return Err(ModelError::invalid(weights.name(), "is quantized already"));
    }
    let mut items = plan(&config, &weights)?;
    // Packed matrices first: each is a multiple of 64 bytes, so all of them stay aligned.
    items.sort_by_key(|i| match i.kind {
        TensorKind::Linear { .. } => 0,
        TensorKind::Vector { .. } | TensorKind::Float { .. } => 1,
        TensorKind::Table { .. } => 2,
    });
    let metadata = metadata(package.metadata(), &[weights.storage()], options, cancel)?;
    // Scales are f32 and follow the packed matrices, bytes come last: everything stays aligned.
    let mut plans: Vec<_> = items.iter().flat_map(|i| i.plans.clone()).collect();
    plans.sort_by_key(|p| match p.dtype {
        "U8" => 0,
        "F32" => 1,
        _ => 2,
    });
    let mut writer = Writer::create(dst, &metadata, plans.clone())?;
    let total = items.iter().map(|i| source_bytes(&weights, i)).sum();
    let (mut done, mut reports) = (0, Vec::new());
    // Small results (scales, vectors) wait for their turn in the file; big ones go straight out.
    let mut waiting = Vec::new();
    for item in &items {
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        progress(&Progress { tensor: &item.source, done, total });
        let (parts, report) = quantize(&weights, item)?;
        for (plan, data) in item.plans.iter().zip(parts) {
            if plan.dtype == "U8" {
                writer.tensor(&plan.name, &data)?;
            } else {
                waiting.push((plan.name.clone(), data));
            }
        }
        reports.push(report);
        done += source_bytes(&weights, item);
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
    let (bytes, sha256) = writer.finish(options.force)?;
    progress(&Progress { tensor: "", done: total, total });
    let used: Vec<_> = items.iter().map(|i| i.source.as_str()).collect();
    let left_out =
        weights.tensors().keys().filter(|n| !used.contains(&n.as_str())).cloned().collect();
    Ok(ConvertReport { path: dst.into(), bytes, sha256, tensors: reports, left_out })
}

/// A conversion that replaced what it reads would leave nothing to try again from.
fn refuse_source<'a>(
    dst: &Path,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<(), ModelError> {
    let Ok(target) = std::fs::canonicalize(dst) else { return Ok(()) };
    if inputs.into_iter().any(|input| std::fs::canonicalize(input).is_ok_and(|i| i == target)) {
        let same = std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "it is the source; choose another name",
        );
        return Err(ModelError::write(dst, same));
    }
    Ok(())
}

/// A decoder in a GGUF file to one of ours.
fn gguf(
    src: &Path,
    dst: &Path,
    options: &ConvertOptions,
    cancel: &CancelToken,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> Result<ConvertReport, ModelError> {
    let file = GgufFile::open(src)?.with_i2s_layout(options.i2s);
    let checkpoint = GgufCheckpoint::new(file)?;
    let file = checkpoint.file();
    let (config, tokenizer) = (checkpoint.config()?, file.tokenizer()?);
    let stem = src.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = options.name.clone().unwrap_or(stem);
    let token = |id: Option<u32>| id.and_then(|id| tokenizer.text(id));
    let ends: Vec<_> = [tokenizer.eos, tokenizer.eot].into_iter().flatten().collect();
    let mut package = crate::package::metadata_of(&name, &config);
    package.insert(keys::TOKENIZER.into(), tokenizer.json.clone());
    let tokens = json!({ "bos_token": token(tokenizer.bos), "eos_token": token(tokenizer.eos) });
    package.insert(keys::TOKENIZER_CONFIG.into(), tokens.to_string());
    package.insert(keys::GENERATION.into(), json!({ "eos_token_id": ends }).to_string());
    if let Some(template) = file.chat_template()? {
        package.insert(keys::CHAT_TEMPLATE.into(), template.to_owned());
    }
    let metadata = metadata(package, &[file.storage()], options, cancel)?;
    decoder(&config, &checkpoint, &metadata, dst, options, cancel, progress)
}

/// A decoder's checkpoint to one file.
fn decoder(
    config: &Value,
    checkpoint: &dyn Source,
    metadata: &BTreeMap<String, String>,
    dst: &Path,
    options: &ConvertOptions,
    cancel: &CancelToken,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> Result<ConvertReport, ModelError> {
    let spec = crate::decoder::spec(checkpoint.name(), config)?;
    let target = (dst, options.force);
    let (bytes, sha256, tensors, left_out) = crate::decoder::convert(
        &spec,
        checkpoint,
        &options.decoder,
        metadata,
        target,
        cancel,
        progress,
    )?;
    Ok(ConvertReport { path: dst.into(), bytes, sha256, tensors, left_out })
}

/// What goes into the file beside tensors: config, tokenizer, and provenance, which is added here.
fn metadata(
    mut metadata: BTreeMap<String, String>,
    inputs: &[&Storage],
    options: &ConvertOptions,
    cancel: &CancelToken,
) -> Result<BTreeMap<String, String>, ModelError> {
    let mut sums = Vec::new();
    for input in inputs {
        sums.push(sha256(input, cancel)?);
    }
    metadata.insert("bho.source_sha256".into(), sums.join(" "));
    for (key, value) in [
        ("bho.source", &options.source),
        ("bho.revision", &options.revision),
        ("bho.licence", &options.licence),
    ] {
        if let Some(value) = value {
            metadata.insert(key.into(), value.clone());
        }
    }
    Ok(metadata)
}

/// sha256 of a file, whose pages are given back as they are read.
pub(crate) fn sha256(file: &Storage, cancel: &CancelToken) -> Result<String, ModelError> {
    const STEP: usize = 64 << 20;
    let (mut hash, mut at) = (Sha256::new(), 0);
    for chunk in file.as_bytes().chunks(STEP) {
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        hash.update(chunk);
        file.release(at..at + chunk.len());
        at += chunk.len();
    }
    Ok(crate::hex(&hash.finalize()))
}

fn source_bytes(weights: &Weights, item: &Item) -> u64 {
    weights.tensors().get(&item.source).map_or(0, |t| t.bytes() as u64)
}

/// Decides every tensor of the result, and checks every tensor of the source, before any work.
fn plan(config: &BertConfig, weights: &Weights) -> Result<Vec<Item>, ModelError> {
    let prefix = find_prefix(weights);
    let mut items = Vec::new();
    for spec in tensor_specs(config) {
        let source = spec.name_in(weights, &prefix);
        let tensor = weights.tensor(&source)?;
        let (expected, dtype, packed, scale) = match spec.kind {
            TensorKind::Linear { rows, cols } => {
                (vec![rows, cols], "U8", packed_shape(rows, cols), Some(rows))
            }
            TensorKind::Table { rows, dim } => (vec![rows, dim], "I8", vec![rows, dim], Some(rows)),
            TensorKind::Float { rows, cols } => (vec![rows, cols], "F32", vec![rows, cols], None),
            TensorKind::Vector { len } => (vec![len], "F32", vec![len], None),
        };
        if tensor.shape != expected {
            let message = format!("expected shape {expected:?}, found {:?}", tensor.shape);
            return Err(weights.error(&source, message));
        }
        let size = if dtype == "F32" { 4 } else { 1 };
        let bytes = packed.iter().product::<usize>() * size;
        let name = spec.name.clone();
        let mut plans = vec![TensorPlan { name, dtype, shape: packed, bytes }];
        if let Some(rows) = scale {
            let name = format!("{}_scale", spec.name);
            plans.push(TensorPlan { name, dtype: "F32", shape: vec![rows], bytes: rows * 4 });
        }
        items.push(Item { source, kind: spec.kind, plans });
    }
    Ok(items)
}

/// The bytes of each planned tensor of one item, with its error.
fn quantize(weights: &Weights, item: &Item) -> Result<(Vec<Vec<u8>>, TensorReport), ModelError> {
    let shape = weights.tensor(&item.source)?.shape.clone();
    let values = weights.floats(&item.source, &shape)?;
    let name = item.plans[0].name.clone();
    let dtype = item.plans[0].dtype;
    let bad = |e: bho_kernels::KernelError| weights.error(&item.source, e.to_string());
    let mut error = Rounding::default();
    let parts = match item.kind {
        TensorKind::Linear { rows, cols } | TensorKind::Table { rows, dim: cols } => {
            let (packed, scales) = Int8Matrix::quantize(rows, cols, &values).map_err(bad)?;
            let back = packed.view().unpack();
            error.add_rows(&values, &back, &scales);
            let codes = match item.kind {
                TensorKind::Table { .. } => back.iter().map(|&v| v as u8).collect(),
                _ => packed.as_bytes().to_vec(),
            };
            vec![codes, f32_bytes(&scales)]
        }
        TensorKind::Float { .. } | TensorKind::Vector { .. } => {
            error.add(&values, values.iter().copied());
            vec![f32_bytes(&values)]
        }
    };
    Ok((parts, TensorReport::new(&name, shape, dtype, Some(error))))
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
