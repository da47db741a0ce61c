// SPDX-License-Identifier: AGPL-3.0-or-later
//! Opening a model for looking at: as much of it as can be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bho_engine::Storage;
use serde_json::{Value, json};

use crate::error::ModelError;
use crate::gguf::{GgufCheckpoint, GgufFile};
use crate::package::{FORMAT, Judge, Package, keys, read_json};
use crate::source::{Checkpoint, Source};
use crate::weights::Weights;

/// Most files of a checkpoint that are opened.
const MAX_FILES: usize = 4096;

/// A model, opened.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) container: Container,
    /// The same by the names of Hugging Face, where they are known.
    pub(super) source: Option<Box<dyn Source>>,
    /// Whether `bho convert` wrote it.
    pub(super) converted: bool,
    /// What the files say of themselves.
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) config: Option<Value>,
    /// `tokenizer.json`, or why there is none.
    pub(super) tokenizer: Option<String>,
    pub(super) chat_template: Option<String>,
    pub(super) tokenizer_config: Value,
    pub(super) generation: Value,
    /// The second network of an encoder.
    pub(super) judge: Option<Judge>,
    pub(super) licence: Option<String>,
    /// Files that could not be opened.
    pub(super) broken: Vec<ModelError>,
    /// What else was wrong: it can be looked at, but not run.
    pub(super) faults: Vec<ModelError>,
}

/// Where its tensors are.
pub(super) enum Container {
    Safetensors(Vec<Weights>),
    Gguf(GgufFile),
}

impl Container {
    pub(super) fn storages(&self) -> Vec<(&str, &Storage)> {
        match self {
            Self::Safetensors(files) => files.iter().map(|f| (f.name(), f.storage())).collect(),
            Self::Gguf(file) => vec![(file.name(), file.storage())],
        }
    }
}

impl Opened {
    /// Opens what `path` names.
    ///
    /// # Errors
    /// When nothing of it can be opened.
    pub(super) fn open(path: &Path) -> Result<Self, ModelError> {
        if path.is_dir() {
            let index = path.join("model.safetensors.index.json");
            if index.exists() && !path.join("model.safetensors").exists() {
                return Self::shards(path, &index);
            }
            let file = path.join("model.safetensors");
            let weights = Weights::open(&file)?;
            return Ok(Self::safetensors(file, path, vec![weights]));
        }
        if begins_with_gguf(path)? {
            return Self::gguf(path);
        }
        let weights = Weights::open(path)?;
        Ok(Self::safetensors(path.to_owned(), path, vec![weights]))
    }

    /// Opens a file that `bho convert` wrote and that is in memory.
    ///
    /// # Errors
    /// When it is not one.
    pub(super) fn memory(name: &str, storage: Storage) -> Result<Self, ModelError> {
        let package = Package::from_storage(name, storage)?;
        let weights = package.weights.clone();
        let mut this = Self::of_weights(name.into(), vec![weights.clone()]);
        this.take(package, Checkpoint::single(weights));
        Ok(this)
    }

    fn new(path: PathBuf, container: Container) -> Self {
        Self {
            path,
            container,
            source: None,
            converted: false,
            metadata: BTreeMap::new(),
            config: None,
            tokenizer: None,
            chat_template: None,
            tokenizer_config: Value::Null,
            generation: Value::Null,
            judge: None,
            licence: None,
            broken: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn shards(dir: &Path, index: &Path) -> Result<Self, ModelError> {
        let json = read_json(index)?.unwrap_or(Value::Null);
        let map = json.get("weight_map").and_then(Value::as_object);
        let listed = map.into_iter().flatten().filter_map(|(_, file)| file.as_str());
        let mut names: Vec<_> = listed.filter(|name| crate::source::is_shard(name)).collect();
        names.sort_unstable();
        names.dedup();
        let (mut files, mut broken) = (Vec::new(), Vec::new());
        for name in names.into_iter().take(MAX_FILES) {
            match Weights::open(&dir.join(name)) {
                Ok(weights) => files.push(weights),
                Err(error) => broken.push(error),
            }
        }
        if files.is_empty() {
            // Says what is wrong with the index, or with its first file.
            Checkpoint::open(dir)?;
        }
        let mut this = Self::safetensors(index.to_owned(), dir, files);
        this.faults.retain(|fault| broken.iter().all(|b| b.to_string() != fault.to_string()));
        this.broken = broken;
        Ok(this)
    }

    fn of_weights(path: PathBuf, files: Vec<Weights>) -> Self {
        let metadata = files.first().map(|file| file.metadata().clone()).unwrap_or_default();
        let mut this = Self::new(path, Container::Safetensors(files));
        this.converted = metadata.get(keys::FORMAT).is_some_and(|format| format == FORMAT);
        this.licence = metadata.get("bho.licence").or_else(|| metadata.get("license")).cloned();
        this.metadata = metadata;
        this
    }

    fn take(&mut self, package: Package, checkpoint: Checkpoint) {
        self.source = Some(Box::new(checkpoint));
        self.config = Some(package.config);
        self.tokenizer = package.tokenizer;
        self.chat_template = package.chat_template;
        self.tokenizer_config = package.tokenizer_config;
        self.generation = package.generation;
        self.judge = package.judge;
    }

    fn safetensors(path: PathBuf, model: &Path, files: Vec<Weights>) -> Self {
        let mut this = Self::of_weights(path, files);
        match Package::open_checkpoint(model) {
            Ok((package, checkpoint)) => this.take(package, checkpoint),
            Err(error) => this.faults.push(error),
        }
        if this.licence.is_none() && !this.converted {
            let dir = if model.is_dir() { Some(model) } else { model.parent() };
            this.licence = dir.and_then(licence_of);
        }
        this
    }

    fn gguf(path: &Path) -> Result<Self, ModelError> {
        let file = GgufFile::open(path)?;
        let mut this = Self::new(path.to_owned(), Container::Gguf(file.clone()));
        let shown = |value: &dyn std::fmt::Debug| format!("{value:?}");
        for (key, value) in file.metadata() {
            use crate::gguf::GgufValue as V;
            let text = match value {
                V::Str(text) => text.to_owned(),
                V::Uint(n) => shown(&n),
                V::Int(n) => shown(&n),
                V::Float(x) => shown(&x),
                V::Bool(b) => shown(&b),
                V::Array(array) => format!("<array of {}>", array.len()),
            };
            this.metadata.insert(key.to_owned(), text);
        }
        this.licence = this.metadata.get("general.license").cloned();
        let faults = &mut this.faults;
        let mut told = |error: ModelError| faults.push(error);
        match file.chat_template() {
            Ok(template) => this.chat_template = template.map(str::to_owned),
            Err(error) => told(error),
        }
        match file.tokenizer() {
            Ok(tokenizer) => {
                let text = |id: Option<u32>| id.and_then(|id| tokenizer.text(id));
                this.tokenizer_config =
                    json!({ "bos_token": text(tokenizer.bos), "eos_token": text(tokenizer.eos) });
                let ids = [tokenizer.eos, tokenizer.eot].into_iter().flatten();
                this.generation = json!({ "eos_token_id": ids.collect::<Vec<_>>() });
                this.tokenizer = Some(tokenizer.json);
            }
            Err(error) => told(error),
        }
        match GgufCheckpoint::new(file) {
            Ok(checkpoint) => {
                match checkpoint.config() {
                    Ok(config) => this.config = Some(config),
                    Err(error) => told(error),
                }
                this.source = Some(Box::new(checkpoint));
            }
            Err(error) => told(error),
        }
        Ok(this)
    }
}

/// Whether a file begins as GGUF does.
fn begins_with_gguf(path: &Path) -> Result<bool, ModelError> {
    use std::io::Read;
    let mut magic = [0; 4];
    crate::package::regular(path)?;
    let file = std::fs::File::open(path).map_err(|e| ModelError::read(path, e))?;
    let read = file.take(4).read(&mut magic).map_err(|e| ModelError::read(path, e))?;
    Ok(&magic[..read] == b"GGUF")
}

/// The licence a folder states: in the front matter of its README.md, or by a file of its own.
fn licence_of(dir: &Path) -> Option<String> {
    let readme = crate::package::read_text(&dir.join("README.md"), 4 << 20).ok().flatten();
    let stated = readme.as_deref().and_then(|text| {
        let (front, _) = text.strip_prefix("---\n")?.split_once("\n---")?;
        let line = front.lines().find_map(|line| line.strip_prefix("license:"))?;
        Some(line.trim().to_owned()).filter(|name| !name.is_empty())
    });
    let files = ["LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"];
    stated.or_else(|| {
        files.iter().find(|name| dir.join(name).is_file()).map(|name| format!("see {name}"))
    })
}
