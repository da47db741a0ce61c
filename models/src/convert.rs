// SPDX-License-Identifier: AGPL-3.0-or-later
//! A Hugging Face folder to one file: weights quantized and packed, config, tokenizer and provenance in
//! the metadata.
//!
//! The result is written under a temporary name and renamed when it is whole. The same inputs and options
//! give the same bytes.

mod report;
mod ternary;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bho_engine::{CancelToken, Storage};
use bho_kernels::I2sLayout;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::bert::{BertConfig, Conversion, Network};
use crate::decoder::DecoderOptions;
use crate::error::ModelError;
use crate::gguf::{GgufCheckpoint, GgufFile};
use crate::package::{Judge, Package, keys, same_tokenizer};
use crate::source::Source;
use crate::weights::Weights;

pub(crate) use report::Rounding;
pub use report::TensorReport;
pub(crate) use ternary::{AbsMean, ternarize};

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
    /// Of decoders: how weights, head and embeddings are stored; its `weights` is for encoders, too.
    pub decoder: DecoderOptions,
    /// Of encoders: a checkpoint with a sequence head and the same tokenizer, which becomes the file's
    /// second network.
    pub judge: Option<PathBuf>,
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
    /// Tensors that both networks of the file have, stored once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<String>,
    /// Tensors of the source that the model does not use.
    pub left_out: Vec<String>,
}

/// Converts the float checkpoint in `src` to the file `dst`.
///
/// Of an encoder, linear layers become int8 with a scale per output row, or ternary as its config's
/// `ternary_scale` says (a scale for a matrix without one), packed as the kernels read them; embedding
/// tables int8 with a scale per row; the rest f32.
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
        refuse_judge(options.judge.as_deref(), package.weights.name())?;
        let inputs: Vec<_> = checkpoint.files().iter().map(Weights::storage).collect();
        let metadata = metadata(package.decoder_metadata(), &inputs, options, cancel)?;
        return decoder(&package.config, &checkpoint, &metadata, dst, options, cancel, progress);
    }
    crate::load::architecture(&package)?;
    encoder(&package, dst, options, cancel, progress)
}

/// An encoder's checkpoint, or two, to one file.
fn encoder(
    package: &Package,
    dst: &Path,
    options: &ConvertOptions,
    cancel: &CancelToken,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> Result<ConvertReport, ModelError> {
    let file = package.weights.name();
    let config = BertConfig::from_json(file, &package.config)?;
    refuse_quantized(&package.weights)?;
    let second = match &options.judge {
        None => None,
        Some(path) => Some(judge(path, package, &config, dst)?),
    };
    let asked = options.decoder.weights;
    let mut networks = vec![Network::new(&config, &package.weights, asked)?];
    if let Some((_, judge, config)) = &second {
        networks.push(Network::new(config, &judge.weights, asked)?);
    }
    let conversion = Conversion::plan(&networks)?;
    let mut metadata = metadata(package.metadata(), &[package.weights.storage()], options, cancel)?;
    if let Some((judge, package, _)) = &second {
        let judge = Judge { shared: conversion.shared().clone(), ..judge.clone() };
        metadata.extend(judge.metadata());
        let sum = sha256(package.weights.storage(), cancel)?;
        metadata.insert(keys::JUDGE_SOURCE_SHA256.to_owned(), sum);
    }
    conversion.write(&metadata, (dst, options.force), cancel, progress)
}

/// The checkpoint at `path` as the second network of `first`.
fn judge(
    path: &Path,
    first: &Package,
    config: &BertConfig,
    dst: &Path,
) -> Result<(Judge, Package, BertConfig), ModelError> {
    let package = Package::open(path)?;
    let file = package.weights.name();
    refuse_source(dst, [Path::new(file)])?;
    let kind = package.config.get("model_type").and_then(Value::as_str).unwrap_or_default();
    if kind != "bert" {
        let message = format!("config: model_type {kind:?}; a judge is accepted of: bert");
        return Err(ModelError::invalid(file, message));
    }
    refuse_quantized(&package.weights)?;
    let same = match (&package.tokenizer, &first.tokenizer) {
        (Some(own), Some(other)) => same_tokenizer(own, other),
        _ => false,
    };
    if !same {
        let message = format!(
            "its tokenizer is not that of {}; two networks of a file read the same tokens",
            first.weights.name()
        );
        return Err(ModelError::invalid(file, message));
    }
    let judge = Judge {
        config: package.config.clone(),
        max_tokens: package.max_tokens,
        shared: BTreeSet::new(),
    };
    let config = judge.check(file, config)?;
    Ok((judge, package, config))
}

fn refuse_quantized(weights: &Weights) -> Result<(), ModelError> {
    if weights.tensors().values().any(|t| t.dtype == safetensors::Dtype::U8) {
        return Err(ModelError::invalid(weights.name(), "is quantized already"));
    }
    Ok(())
}

fn refuse_judge(judge: Option<&Path>, file: &str) -> Result<(), ModelError> {
    if judge.is_some() {
        let message = "is a decoder; a judge is the second network of an encoder";
        return Err(ModelError::invalid(file, message));
    }
    Ok(())
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
    refuse_judge(options.judge.as_deref(), file.name())?;
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
    let shared = Vec::new();
    Ok(ConvertReport { path: dst.into(), bytes, sha256, tensors, shared, left_out })
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
