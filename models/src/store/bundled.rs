// SPDX-License-Identifier: AGPL-3.0-or-later
//! The models that come with the program: a manifest and the files it names.

use serde::Deserialize;

use crate::error::ModelError;
use crate::load::ModelSource;

/// The manifest of the bundled models.
const MANIFEST: &str = include_str!("../../manifest.toml");

/// Bytes aligned as the kernels like them.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

/// Name and bytes of a file under `models/bundled/`.
macro_rules! bundled {
    ($file:literal) => {{
        static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!("../../bundled/", $file)));
        ($file, &FILE.0)
    }};
}

/// Bundled files by their name in the manifest. Being part of the program, they are mapped with
/// it: shared between processes and read from disk only where touched.
static FILES: &[(&str, &[u8])] = &[
    bundled!("bitnet-s-1.58b.safetensors"),
    bundled!("minilm-l6-int8.safetensors"),
    bundled!("rampart-pii-int8.safetensors"),
    bundled!("tinybert-guard-int8.safetensors"),
];

/// One model of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// Name.
    pub name: String,
    /// Other names pipelines may use.
    pub aliases: Vec<String>,
    /// File under `models/bundled/`.
    pub file: String,
    /// Class name in the model's config.
    pub architecture: String,
    /// sha256 of the file.
    pub sha256: String,
    /// Size of the file.
    pub bytes: u64,
    /// Licence of the weights, as an SPDX expression.
    pub licence: String,
    /// Where the weights come from.
    pub source: String,
    /// Their revision there.
    pub revision: String,
    /// What it is good for.
    pub summary: String,
}

/// The models known by name.
#[derive(Debug, Clone)]
pub struct ModelStore {
    entries: Vec<ModelEntry>,
}

impl ModelStore {
    /// The models inside the program.
    ///
    /// # Errors
    /// When the manifest is not sound (a test keeps it so).
    pub fn bundled() -> Result<Self, ModelError> {
        #[derive(Deserialize)]
        struct Manifest {
            model: Vec<ModelEntry>,
        }
        let manifest: Manifest = toml::from_str(MANIFEST)
            .map_err(|e| ModelError::invalid("models/manifest.toml", e.to_string()))?;
        Ok(Self { entries: manifest.model })
    }

    /// All models, in the manifest's order.
    pub fn entries(&self) -> &[ModelEntry] {
        &self.entries
    }

    /// The entry of this name or alias.
    pub fn find(&self, name: &str) -> Option<&ModelEntry> {
        self.entries.iter().find(|e| e.name == name || e.aliases.iter().any(|a| a == name))
    }

    /// The model of this name or alias.
    ///
    /// # Errors
    /// [`ModelError::Unknown`] naming those there are.
    pub fn resolve(&self, name: &str) -> Result<ModelSource, ModelError> {
        let entry = self.find(name).ok_or_else(|| {
            let all = self.entries.iter().flat_map(|e| {
                std::iter::once(e.name.as_str()).chain(e.aliases.iter().map(String::as_str))
            });
            let known = all.collect::<Vec<_>>().join(", ");
            ModelError::Unknown { name: name.into(), known }
        })?;
        self.source(entry)
    }

    /// The bytes of an entry.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] when the manifest names a file this build lacks.
    pub fn source(&self, entry: &ModelEntry) -> Result<ModelSource, ModelError> {
        let (_, bytes) = FILES.iter().find(|(file, _)| *file == entry.file).ok_or_else(|| {
            let message = format!("names {}, which this build does not contain", entry.file);
            ModelError::invalid("models/manifest.toml", message)
        })?;
        let (name, sha256) = (entry.name.clone(), entry.sha256.clone());
        Ok(ModelSource::Bundled { name, sha256, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_manifest_matches_the_bundled_files() {
        let store = ModelStore::bundled().unwrap();
        for entry in store.entries() {
            let ModelSource::Bundled { bytes, .. } = store.resolve(&entry.name).unwrap() else {
                panic!("{} is not bundled", entry.name);
            };
            assert_eq!(bytes.len() as u64, entry.bytes, "{}", entry.name);
            assert_eq!(crate::hex(&Sha256::digest(bytes)), entry.sha256, "{}", entry.name);
            assert_eq!(bytes.as_ptr().align_offset(64), 0);
        }
    }

    #[test]
    fn labels_of_the_documents_resolve() {
        let store = ModelStore::bundled().unwrap();
        for label in ["bitnet-s-1.58b", "mini-embed-small"] {
            assert!(store.resolve(label).is_ok(), "{label}");
        }
        let error = store.resolve("gpt-7").unwrap_err().to_string();
        assert!(error.contains("\"gpt-7\"") && error.contains("bitnet-s-1.58b"), "{error}");
    }
}
