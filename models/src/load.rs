// SPDX-License-Identifier: AGPL-3.0-or-later
//! From a file or a bundled model to something that runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bho_engine::{
    CancelToken, Classification, Compute, Embedding, Encoder, EngineError, ModelInfo, PairScores,
    Storage, TokenLabel, WindowScores,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::bert::BertEncoder;
use crate::decoder::DecoderEncoder;
use crate::error::ModelError;
use crate::package::Package;

/// Builds an encoder from a package and the sha256 of its file.
type Load = fn(&Package, &str, &Compute) -> Result<Arc<dyn Encoder>, ModelError>;

/// Architectures by `model_type` in `config.json`.
const ARCHITECTURES: &[(&str, Load)] = &[
    ("bert", BertEncoder::load_dyn),
    ("qwen3", DecoderEncoder::load_dyn),
    ("gemma3_text", DecoderEncoder::load_dyn),
];

/// Where a model's bytes come from.
#[derive(Debug, Clone)]
pub enum ModelSource {
    /// Part of the program.
    Bundled {
        /// Name in the manifest.
        name: String,
        /// sha256 in the manifest; a test holds the bytes against it.
        sha256: String,
        /// The file.
        bytes: &'static [u8],
    },
    /// A converted file, a safetensors file beside its `config.json`, or a folder.
    File(PathBuf),
}

impl ModelSource {
    /// A model at `path`.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(path.into())
    }
}

impl std::fmt::Display for ModelSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bundled { name, .. } => write!(f, "{name} (bundled)"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A model as read.
pub(crate) fn package_of(source: &ModelSource) -> Result<Package, ModelError> {
    match source {
        ModelSource::Bundled { name, bytes, .. } => {
            Package::from_storage(name, Storage::Static(bytes))
        }
        ModelSource::File(path) => Package::open(path),
    }
}

/// What a model gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// Vectors or labels: [`load_encoder`] loads it.
    Encoder,
    /// Text: [`crate::decoder::TextModel`] loads it.
    Decoder,
}

/// What a model is by its config; its tensors are not looked at.
///
/// # Errors
/// Naming the file that is missing or is no model, or an architecture that is neither.
pub fn model_kind(source: &ModelSource) -> Result<ModelKind, ModelError> {
    let package = package_of(source)?;
    if crate::decoder::is_known(&package.config) && !crate::decoder::gives_vectors(&package.config)
    {
        return Ok(ModelKind::Decoder);
    }
    if architecture(&package).is_ok() {
        return Ok(ModelKind::Encoder);
    }
    // Says which architectures there are.
    crate::decoder::spec(package.weights.name(), &package.config)?;
    Ok(ModelKind::Encoder)
}

/// Loads an encoder. int8 and ternary weights stay mapped where they are; a file is read once for its
/// sha256. Texts that are embedded get the model's default prompt before them, if it has one.
///
/// # Errors
/// Naming the file, and the key or tensor, that is missing or wrong.
pub fn load_encoder(
    source: &ModelSource,
    compute: &Compute,
) -> Result<Arc<dyn Encoder>, ModelError> {
    load_prompted_encoder(source, compute, None)
}

/// [`load_encoder`] with the prompt of this name instead of the default one; `""` is none.
///
/// # Errors
/// The same, and when the model has no such prompt.
pub fn load_prompted_encoder(
    source: &ModelSource,
    compute: &Compute,
    prompt: Option<&str>,
) -> Result<Arc<dyn Encoder>, ModelError> {
    load_package(&package_of(source)?, source, compute, prompt)
}

/// [`load_encoder`] with the `tokenizer.json` or `vocab.txt` of this folder instead of the model's own.
///
/// # Errors
/// The same, and when the folder has neither.
pub fn load_encoder_with_tokenizer(
    source: &ModelSource,
    compute: &Compute,
    folder: &Path,
) -> Result<Arc<dyn Encoder>, ModelError> {
    let tokenizer = crate::tokenizer::read_folder(folder)?.ok_or_else(|| {
        let folder = folder.display().to_string();
        ModelError::invalid(folder, "has no tokenizer; accepted: tokenizer.json, vocab.txt")
    })?;
    let mut package = package_of(source)?;
    package.tokenizer = Some(tokenizer);
    load_package(&package, source, compute, None)
}

fn load_package(
    package: &Package,
    source: &ModelSource,
    compute: &Compute,
    prompt: Option<&str>,
) -> Result<Arc<dyn Encoder>, ModelError> {
    let sha256 = match source {
        ModelSource::Bundled { sha256, .. } => sha256.clone(),
        ModelSource::File(_) => crate::hex(&Sha256::digest(package.weights.as_bytes())),
    };
    let prompt = match prompt.or(package.prompts.default_prompt_name.as_deref()) {
        None | Some("") => None,
        Some(name) => Some(package.prompts.prompts.get(name).ok_or_else(|| {
            let known = package.prompts.prompts.keys();
            let known: Vec<_> = known.map(|name| format!("{name:?}")).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            let message = format!("has no prompt {name:?}; it has: {known}");
            ModelError::invalid(package.weights.name(), message)
        })?),
    };
    let encoder = architecture(package)?(package, &sha256, compute)?;
    Ok(match prompt {
        Some(prompt) if !prompt.is_empty() => {
            Arc::new(Prompted { encoder, prompt: prompt.clone() })
        }
        _ => encoder,
    })
}

/// An encoder that puts a prompt before what it embeds; its tokens count among the text's.
struct Prompted {
    encoder: Arc<dyn Encoder>,
    prompt: String,
}

impl Encoder for Prompted {
    fn info(&self) -> &ModelInfo {
        self.encoder.info()
    }

    fn dim(&self) -> usize {
        self.encoder.dim()
    }

    fn labels(&self) -> &[String] {
        self.encoder.labels()
    }

    fn pair_labels(&self) -> &[String] {
        self.encoder.pair_labels()
    }

    fn embed(&self, texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        let texts: Vec<_> = texts.iter().map(|text| format!("{}{text}", self.prompt)).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        self.encoder.embed(&texts, cancel)
    }

    fn classify(
        &self,
        texts: &[(&str, Option<&str>)],
        cancel: &CancelToken,
    ) -> Result<Vec<Classification>, EngineError> {
        self.encoder.classify(texts, cancel)
    }

    fn classify_pairs(
        &self,
        pairs: &[(&str, &str)],
        cancel: &CancelToken,
    ) -> Result<Vec<PairScores>, EngineError> {
        self.encoder.classify_pairs(pairs, cancel)
    }

    fn classify_windows(
        &self,
        text: &str,
        cancel: &CancelToken,
    ) -> Result<Vec<WindowScores>, EngineError> {
        self.encoder.classify_windows(text, cancel)
    }

    fn tag(
        &self,
        texts: &[&str],
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<TokenLabel>>, EngineError> {
        self.encoder.tag(texts, cancel)
    }
}

/// The loader of a package's architecture.
pub(crate) fn architecture(package: &Package) -> Result<Load, ModelError> {
    let found = package.config.get("model_type").and_then(Value::as_str).unwrap_or_default();
    ARCHITECTURES.iter().find(|(name, _)| *name == found).map(|(_, load)| *load).ok_or_else(|| {
        let known = ARCHITECTURES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let message = format!("config: model_type {found:?} is not an encoder; known: {known}");
        ModelError::invalid(package.weights.name(), message)
    })
}
