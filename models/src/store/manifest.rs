// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the store knows of a model: its files, where they come from and under which licence.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::names;
use crate::error::ModelError;

/// The one version of the manifest.
pub(crate) const FORMAT: u32 = 1;

/// Largest manifest read, in bytes.
pub(crate) const MAX_BYTES: u64 = 4 << 20;

/// Most files of a model.
pub(crate) const MAX_FILES: usize = 4096;

/// Largest file that is believed, in bytes.
const MAX_SIZE: u64 = 1 << 50;

/// A model of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format, 1.
    pub format: u32,
    /// What the model is called here.
    pub name: String,
    /// Where it was pulled from.
    pub source: Origin,
    /// The revision there: of a hub, the commit.
    pub revision: Option<String>,
    /// Its licence, as the source states it.
    pub licence: Option<String>,
    /// When it was pulled, in UTC (RFC 3339).
    pub pulled: String,
    /// Its files.
    pub files: Vec<StoredFile>,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// What sort of place that is.
    pub kind: OriginKind,
    /// Address of the file, of the repository on its hub, or the folder.
    pub location: String,
}

/// What sort of place a model comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OriginKind {
    /// A repository of a model hub.
    Hub,
    /// A single file.
    Url,
    /// A folder or file of this machine.
    Local,
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredFile {
    /// Path within the model, with `/` between its parts.
    pub path: String,
    /// sha256 of its bytes, lower-case hex: the name of the blob.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// What the sum was held against when the file came; none where it was only recorded.
    pub checked: Option<Checked>,
}

/// Who said what the sha256 of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checked {
    /// Whoever pulled it.
    User,
    /// The hub it comes from.
    Hub,
}

impl Manifest {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// The file that is the model, within the folder of its files; none where the folder is it.
    pub fn entry(&self) -> Option<&StoredFile> {
        let with = |extension: &str| {
            let suffix = format!(".{extension}");
            self.files.iter().filter(move |file| file.path.ends_with(&suffix)).collect::<Vec<_>>()
        };
        match self.files.as_slice() {
            [file] => Some(file),
            _ => match (with("gguf").as_slice(), with("safetensors").is_empty()) {
                ([file], true) => Some(file),
                _ => None,
            },
        }
    }

    /// Reads and checks the manifest at `path`.
    ///
    /// # Errors
    /// Naming the file and the key that is wrong.
    pub(crate) fn read(path: &Path) -> Result<Self, ModelError> {
        let text = crate::package::read_text(path, MAX_BYTES)?.ok_or_else(|| {
            ModelError::read(path, std::io::Error::from(std::io::ErrorKind::NotFound))
        })?;
        let invalid = |message: String| ModelError::invalid(path.display().to_string(), message);
        let manifest: Self = serde_json::from_str(&text)
            .map_err(|e| invalid(format!("not a manifest of the model store: {e}")))?;
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if stem != Some(manifest.name.as_str()) {
            return Err(invalid(format!("name: {:?} is not the name of the file", manifest.name)));
        }
        manifest.check().map_err(invalid)?;
        Ok(manifest)
    }

    /// Whether it can be kept and its files laid out in a folder.
    ///
    /// # Errors
    /// The key that is wrong and what would be accepted.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("format: {}; this version reads {FORMAT}", self.format));
        }
        names::check_name(&self.name).map_err(|e| format!("name: {:?}: {e}", self.name))?;
        if self.files.is_empty() || self.files.len() > MAX_FILES {
            return Err(format!("files: {} of them; accepted: 1 to {MAX_FILES}", self.files.len()));
        }
        for file in &self.files {
            if !names::is_sha256(&file.sha256) {
                let shown = file.sha256.chars().take(80).collect::<String>();
                return Err(format!(
                    "files: {:?}: sha256 {shown:?}; accepted: 64 lower-case hex digits",
                    file.path
                ));
            }
            if file.size > MAX_SIZE {
                return Err(format!("files: {:?}: size {} cannot be", file.path, file.size));
            }
        }
        check_paths(self.files.iter().map(|file| file.path.as_str()))
            .map_err(|e| format!("files: {e}"))
    }
}

/// Whether files of these paths can lie in one folder of any system: each within it, no two the
/// same but for case, none where another has a folder.
///
/// # Errors
/// Naming the path.
pub(crate) fn check_paths<'a>(paths: impl Iterator<Item = &'a str> + Clone) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for path in paths.clone() {
        names::check_path(path).map_err(|e| format!("path {path:?}: {e}"))?;
        if !seen.insert(path.to_lowercase()) {
            return Err(format!("path {path:?} is there twice, or twice but for case"));
        }
    }
    for path in paths {
        let lower = path.to_lowercase();
        let mut folders = lower.match_indices('/').map(|(at, _)| &lower[..at]);
        if let Some(folder) = folders.find(|folder| seen.contains(*folder)) {
            return Err(format!("path {path:?} lies below {folder:?}, which is a file"));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn manifest(name: &str, files: &[(&str, &str, u64)]) -> Manifest {
        let stored = |&(path, sha256, size): &(&str, &str, u64)| StoredFile {
            path: path.into(),
            sha256: sha256.into(),
            size,
            checked: None,
        };
        Manifest {
            format: FORMAT,
            name: name.into(),
            source: Origin { kind: OriginKind::Local, location: "here".into() },
            revision: None,
            licence: Some("MIT".into()),
            pulled: "2026-11-21T00:00:00Z".into(),
            files: files.iter().map(stored).collect(),
        }
    }

    #[test]
    fn the_entry_is_the_file_a_model_consists_of() {
        let sum = "0".repeat(64);
        let entry = |paths: &[&str]| {
            let files: Vec<_> = paths.iter().map(|path| (*path, sum.as_str(), 1)).collect();
            manifest("m", &files).entry().map(|file| file.path.clone())
        };
        assert_eq!(entry(&["x.bin"]).as_deref(), Some("x.bin"));
        assert_eq!(entry(&["README.md", "m.gguf"]).as_deref(), Some("m.gguf"));
        assert_eq!(entry(&["a.gguf", "b.gguf"]), None);
        assert_eq!(entry(&["model.safetensors", "config.json"]), None);
        assert_eq!(entry(&["model.safetensors", "m.gguf"]), None);
    }

    #[test]
    fn every_key_that_could_mislead_is_checked() {
        let sum = "0".repeat(64);
        let good = manifest("m", &[("a/b", &sum, 1), ("a/c", &sum, 1)]);
        assert_eq!(good.check(), Ok(()));
        let wrong = |change: &dyn Fn(&mut Manifest), message: &str| {
            let mut bad = good.clone();
            change(&mut bad);
            let error = bad.check().unwrap_err();
            assert!(error.contains(message), "{error}");
        };
        wrong(&|m| m.format = 2, "this version reads 1");
        wrong(&|m| m.name = "../m".into(), "name: ");
        wrong(&|m| m.files.clear(), "accepted: 1 to");
        wrong(&|m| m.files[0].sha256 = "../../etc".into(), "64 lower-case hex digits");
        wrong(&|m| m.files[0].size = u64::MAX, "cannot be");
        wrong(&|m| m.files[1].path = "../b".into(), "\"..\"");
        wrong(&|m| m.files[1].path = "A/B".into(), "twice");
        wrong(&|m| m.files[1].path = "a".into(), "is a file");
        wrong(&|m| m.files = vec![m.files[0].clone(); 5000], "5000 of them");
    }
}
