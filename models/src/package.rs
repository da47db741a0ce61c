// SPDX-License-Identifier: AGPL-3.0-or-later
//! A model with all it needs: weights, config, tokenizer, pooling and provenance.
//!
//! Read from one file that `bho convert` wrote (everything rides in the safetensors metadata), or
//! from a Hugging Face folder.

mod judge;
mod sentence;

use std::collections::BTreeMap;
use std::path::Path;

use bho_engine::Storage;
use serde_json::Value;

use crate::error::ModelError;
use crate::source::Checkpoint;
use crate::weights::Weights;
use sentence::modules;

pub use judge::Judge;
pub(crate) use judge::same_tokenizer;
pub use sentence::Prompts;

/// Metadata keys of a file that `bho convert` wrote.
pub(crate) mod keys {
    /// Version of the format, [`super::FORMAT`].
    pub(crate) const FORMAT: &str = "bho.format";
    /// `config.json`, verbatim.
    pub(crate) const CONFIG: &str = "bho.config";
    /// `tokenizer.json`, verbatim.
    pub(crate) const TOKENIZER: &str = "bho.tokenizer";
    /// How token vectors become one: `mean`, `cls` or `last`.
    pub(crate) const POOLING: &str = "bho.pooling";
    /// What stands before texts by their use: [`super::Prompts`] as JSON.
    pub(crate) const PROMPTS: &str = "bho.prompts";
    /// Tokens of a window, special ones included.
    pub(crate) const MAX_TOKENS: &str = "bho.max_tokens";
    /// `config.json` of a second network, verbatim; what follows is of it, too.
    pub(crate) const JUDGE_CONFIG: &str = "bho.judge.config";
    /// Names of the first network's tensors that are also its own, as a JSON array.
    pub(crate) const JUDGE_SHARED: &str = "bho.judge.shared";
    /// Tokens of its window, special ones included.
    pub(crate) const JUDGE_MAX_TOKENS: &str = "bho.judge.max_tokens";
    /// sha256 of its source.
    pub(crate) const JUDGE_SOURCE_SHA256: &str = "bho.judge.source_sha256";
    /// Name of the model.
    pub(crate) const NAME: &str = "bho.name";
    /// The chat template, as Jinja.
    pub(crate) const CHAT_TEMPLATE: &str = "bho.chat_template";
    /// `tokenizer_config.json`, without the chat template.
    pub(crate) const TOKENIZER_CONFIG: &str = "bho.tokenizer_config";
    /// `generation_config.json`, verbatim.
    pub(crate) const GENERATION: &str = "bho.generation";
}

/// The one version of the file format.
pub(crate) const FORMAT: &str = "1";

/// Largest `config.json` or other small JSON file read, in bytes.
const MAX_JSON: u64 = 4 << 20;

/// Largest tokenizer read, in bytes; the biggest public ones are about 35 MB.
const MAX_TOKENIZER: u64 = 64 << 20;

/// How token vectors become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooling {
    /// Mean over all tokens, special ones included.
    #[default]
    Mean,
    /// The first token's vector.
    Cls,
    /// The last token's vector, as decoders have it.
    Last,
}

impl Pooling {
    const ALL: [Self; 3] = [Self::Mean, Self::Cls, Self::Last];

    /// What a model has that does not say.
    fn default_of(config: &Value) -> Self {
        if crate::decoder::gives_vectors(config) { Self::Last } else { Self::Mean }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
        }
    }
}

/// A model as read, before its layers are built.
#[derive(Debug, Clone)]
pub struct Package {
    /// Name for messages and traces.
    pub name: String,
    /// The tensors.
    pub weights: Weights,
    /// `config.json`.
    pub config: Value,
    /// `tokenizer.json`, or none.
    pub tokenizer: Option<String>,
    /// How token vectors become one.
    pub pooling: Pooling,
    /// What stands before texts by their use.
    pub prompts: Prompts,
    /// Tokens of a window, if the model says.
    pub max_tokens: Option<usize>,
    /// A second network, which judges pairs of texts.
    pub judge: Option<Judge>,
    /// How messages become a prompt, as Jinja.
    pub chat_template: Option<String>,
    /// `tokenizer_config.json`, without the chat template; null without one.
    pub tokenizer_config: Value,
    /// `generation_config.json`; null without one.
    pub generation: Value,
}

impl Package {
    /// Reads a converted file, a plain safetensors file beside its `config.json`, or a folder.
    ///
    /// # Errors
    /// Naming the file that is missing or wrong.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        if path.is_dir() {
            return Self::from_dir(path);
        }
        let weights = Weights::open(path)?;
        if weights.is_converted() {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            return Self::from_metadata(&stem, weights);
        }
        let dir = path.parent().unwrap_or(Path::new("."));
        Self::from_parts(dir, weights)
    }

    /// Reads a converted file from memory.
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_storage(name: &str, storage: Storage) -> Result<Self, ModelError> {
        Self::from_metadata(name, Weights::parse(name, storage)?)
    }

    /// Reads a converted file.
    pub(crate) fn from_metadata(name: &str, weights: Weights) -> Result<Self, ModelError> {
        let file = weights.name().to_owned();
        let meta = weights.metadata();
        let need = |key: &str| {
            meta.get(key)
                .ok_or_else(|| ModelError::invalid(&file, format!("metadata lacks {key:?}")))
        };
        if need(keys::FORMAT)? != FORMAT {
            let found = &meta[keys::FORMAT];
            let message = format!("format {found:?}; this version reads {FORMAT:?}");
            return Err(ModelError::invalid(file, message));
        }
        let config = parse_json(&format!("{file}: {}", keys::CONFIG), need(keys::CONFIG)?)?;
        let tokenizer = meta.get(keys::TOKENIZER).cloned();
        let pooling = match meta.get(keys::POOLING) {
            None => Pooling::default_of(&config),
            Some(name) => {
                let known = Pooling::ALL.into_iter().find(|pooling| pooling.name() == name);
                known.ok_or_else(|| {
                    let message = format!("pooling {name:?}; accepted: mean, cls, last");
                    ModelError::invalid(&file, message)
                })?
            }
        };
        let prompts = match meta.get(keys::PROMPTS) {
            None => Prompts::default(),
            Some(text) => {
                let name = format!("{file}: {}", keys::PROMPTS);
                Prompts::read(&name, parse_json(&name, text)?)?
            }
        };
        let max_tokens = number(&file, meta, keys::MAX_TOKENS)?;
        let judge = Judge::read(&file, meta)?;
        let name = meta.get(keys::NAME).cloned().unwrap_or_else(|| name.to_owned());
        let json = |key: &str| match meta.get(key) {
            Some(text) => parse_json(&format!("{file}: {key}"), text),
            None => Ok(Value::Null),
        };
        let chat_template = meta.get(keys::CHAT_TEMPLATE).cloned();
        let (tokenizer_config, generation) =
            (json(keys::TOKENIZER_CONFIG)?, json(keys::GENERATION)?);
        Ok(Self {
            name,
            config,
            tokenizer,
            pooling,
            prompts,
            max_tokens,
            judge,
            chat_template,
            tokenizer_config,
            generation,
            weights,
        })
    }

    /// Reads a checkpoint to convert: a folder, of one weights file or several, or one file beside
    /// its `config.json`.
    pub(crate) fn open_checkpoint(path: &Path) -> Result<(Self, Checkpoint), ModelError> {
        if path.is_dir() && path.join("model.safetensors.index.json").exists() {
            let checkpoint = Checkpoint::open(path)?;
            return Ok((Self::from_parts(path, checkpoint.files()[0].clone())?, checkpoint));
        }
        let package = Self::open(path)?;
        let checkpoint = Checkpoint::single(package.weights.clone());
        Ok((package, checkpoint))
    }

    fn from_dir(dir: &Path) -> Result<Self, ModelError> {
        let weights = dir.join("model.safetensors");
        if !weights.exists() {
            let shown = dir.display();
            let message = if dir.join("model.safetensors.index.json").exists() {
                "has weights in several files; `bho convert` makes one of them".to_owned()
            } else if dir.join("pytorch_model.bin").exists() {
                "has pytorch_model.bin, which can run code when read; save the model as \
                 safetensors"
                    .to_owned()
            } else {
                "has no model.safetensors".to_owned()
            };
            return Err(ModelError::invalid(shown.to_string(), message));
        }
        Self::from_parts(dir, Weights::open(&weights)?)
    }

    /// Weights plus the small files of a Hugging Face folder.
    fn from_parts(dir: &Path, weights: Weights) -> Result<Self, ModelError> {
        let path = dir.join("config.json");
        let config = read_json(&path)?.ok_or_else(|| {
            let message = "is no file that `bho convert` wrote and has no config.json beside it";
            ModelError::invalid(weights.name(), message)
        })?;
        let absolute = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let max_tokens = read_json(&dir.join("sentence_bert_config.json"))?
            .and_then(|v| v.get("max_seq_length")?.as_u64())
            .and_then(|v| usize::try_from(v).ok());
        let pooling = modules(dir)?.unwrap_or_else(|| Pooling::default_of(&config));
        let prompts_file = dir.join("config_sentence_transformers.json");
        let prompts = match read_json(&prompts_file)? {
            None => Prompts::default(),
            Some(json) => Prompts::read(&prompts_file.display().to_string(), json)?,
        };
        let tokenizer = crate::tokenizer::read_folder(dir)?;
        let mut tokenizer_config =
            read_json(&dir.join("tokenizer_config.json"))?.unwrap_or(Value::Null);
        let inner = tokenizer_config.as_object_mut().and_then(|map| map.remove("chat_template"));
        let chat_template = match read_text(&dir.join("chat_template.jinja"), MAX_JSON)? {
            Some(text) => Some(text),
            None => inner.and_then(default_template),
        };
        let generation = read_json(&dir.join("generation_config.json"))?.unwrap_or(Value::Null);
        Ok(Self {
            name,
            weights,
            config,
            tokenizer,
            pooling,
            prompts,
            max_tokens,
            judge: None,
            chat_template,
            tokenizer_config,
            generation,
        })
    }

    /// The metadata that lets one file hold this package.
    pub(crate) fn metadata(&self) -> BTreeMap<String, String> {
        let mut meta = metadata_of(&self.name, &self.config);
        meta.insert(keys::POOLING.to_owned(), self.pooling.name().to_owned());
        if let Some(tokenizer) = &self.tokenizer {
            meta.insert(keys::TOKENIZER.to_owned(), tokenizer.clone());
        }
        if !self.prompts.is_empty() {
            let json = serde_json::to_string(&self.prompts).unwrap_or_default();
            meta.insert(keys::PROMPTS.to_owned(), json);
        }
        if let Some(max) = self.max_tokens {
            meta.insert(keys::MAX_TOKENS.to_owned(), max.to_string());
        }
        meta
    }

    /// The same of a decoder, with what only those that write need.
    pub(crate) fn decoder_metadata(&self) -> BTreeMap<String, String> {
        let mut meta = self.metadata();
        if !crate::decoder::gives_vectors(&self.config) {
            meta.remove(keys::POOLING);
        }
        if let Some(template) = &self.chat_template {
            meta.insert(keys::CHAT_TEMPLATE.to_owned(), template.clone());
        }
        for (key, value) in
            [(keys::TOKENIZER_CONFIG, &self.tokenizer_config), (keys::GENERATION, &self.generation)]
        {
            if !value.is_null() {
                meta.insert(key.to_owned(), value.to_string());
            }
        }
        meta
    }
}

/// A number in the metadata, if it is there.
fn number(
    file: &str,
    meta: &BTreeMap<String, String>,
    key: &str,
) -> Result<Option<usize>, ModelError> {
    let read = |text: &String| {
        text.parse().map_err(|_| ModelError::invalid(file, format!("{key} is not a number")))
    };
    meta.get(key).map(read).transpose()
}

/// The least metadata of a converted file.
pub(crate) fn metadata_of(name: &str, config: &Value) -> BTreeMap<String, String> {
    BTreeMap::from([
        (keys::FORMAT.to_owned(), FORMAT.to_owned()),
        (keys::NAME.to_owned(), name.to_owned()),
        (keys::CONFIG.to_owned(), config.to_string()),
    ])
}

/// A template, or the one called `default` of several.
fn default_template(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(templates) => templates.iter().find_map(|entry| {
            let default = entry.get("name")?.as_str()? == "default";
            default.then(|| entry.get("template")?.as_str().map(str::to_owned))?
        }),
        _ => None,
    }
}

/// Refuses what is no file with bytes of its own: a pipe would wait for a writer.
pub(crate) fn regular(path: &Path) -> Result<(), ModelError> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            Err(ModelError::invalid(path.display().to_string(), "not a regular file"))
        }
        // Opening it says what is wrong.
        _ => Ok(()),
    }
}

/// Reads a file of at most `max` bytes as UTF-8; `None` if there is none.
pub(crate) fn read_text(path: &Path, max: u64) -> Result<Option<String>, ModelError> {
    use std::io::Read;
    regular(path)?;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(ModelError::read(path, e)),
    };
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|e| ModelError::read(path, e))?;
    let shown = path.display().to_string();
    if bytes.len() as u64 > max {
        let message = format!("larger than {} MiB, the most this file may have", max >> 20);
        return Err(ModelError::invalid(shown, message));
    }
    String::from_utf8(bytes).map(Some).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        ModelError::invalid(shown, format!("not UTF-8 at byte {at}"))
    })
}

/// Reads the tokenizer file at `path`; `None` if there is none.
pub(crate) fn read_tokenizer(path: &Path) -> Result<Option<String>, ModelError> {
    read_text(path, MAX_TOKENIZER)
}

/// Reads a small JSON file; `None` if there is none.
pub(crate) fn read_json(path: &Path) -> Result<Option<Value>, ModelError> {
    read_text(path, MAX_JSON)?
        .map(|text| parse_json(&path.display().to_string(), &text))
        .transpose()
}

fn parse_json(file: &str, text: &str) -> Result<Value, ModelError> {
    serde_json::from_str(text).map_err(|e| ModelError::invalid(file, format!("not JSON: {e}")))
}
