// SPDX-License-Identifier: AGPL-3.0-or-later
//! The models that come with the program: a manifest and the files it names.

use std::collections::{BTreeMap, BTreeSet};

use bho_engine::{CancelToken, Storage};
use serde::{Deserialize, Serialize};

use super::names;
use crate::error::ModelError;
use crate::inspect::{self, ModelSizes};
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
    /// How large it is.
    pub sizes: ModelSizes,
    /// What it may be used for, and its place among the bundled models for that: 1 is the model of pipelines that name none,
    /// higher numbers are those that stand in for it where it is too slow.
    pub tiers: BTreeMap<ModelUse, u32>,
}

/// What a bundled model may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelUse {
    /// Behind the agents that judge and quote.
    Reasoner,
    /// Behind `bitnet.embed`.
    Embedder,
    /// Finds names and addresses for the guard.
    Tagger,
    /// Scores toxicity and jailbreaks for the guard.
    Moderator,
}

impl ModelUse {
    /// Its name in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reasoner => "reasoner",
            Self::Embedder => "embedder",
            Self::Tagger => "tagger",
            Self::Moderator => "moderator",
        }
    }
}

impl ModelEntry {
    /// Whether a model goes by this name or has it as an alias.
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// What is wrong with `bytes` as the file of this entry: their number, their sha256, what an audit finds severe, and
    /// where they say otherwise of themselves than the entry does.
    fn faults(
        &self,
        bytes: &'static [u8],
        cancel: &CancelToken,
    ) -> Result<Vec<String>, ModelError> {
        let mut faults = Vec::new();
        let length = bytes.len() as u64;
        compare(&mut faults, "bytes", &length.to_string(), &self.bytes.to_string());
        if length == self.bytes {
            let sum = crate::convert::sha256(&Storage::Static(bytes), cancel)?;
            compare(&mut faults, "sha256", &sum, &self.sha256);
        }
        let (name, sha256) = (self.name.clone(), self.sha256.clone());
        let found = match inspect::bundled(&ModelSource::Bundled { name, sha256, bytes }) {
            Ok(found) => found,
            // That is no fault of the file: nothing can be built here.
            Err(error @ ModelError::Engine(_)) => return Err(error),
            Err(error) => {
                faults.push(error.to_string());
                return Ok(faults);
            }
        };
        let class = found.architecture.as_deref();
        compare(&mut faults, "architecture", class.unwrap_or("none"), &self.architecture);
        for (key, stated) in [
            ("name", &self.name),
            ("licence", &self.licence),
            ("source", &self.source),
            ("revision", &self.revision),
        ] {
            let written = found.metadata.get(&format!("bho.{key}"));
            compare(&mut faults, key, written.map_or("none", String::as_str), stated);
        }
        let sizes = |sizes: Option<ModelSizes>| serde_json::to_value(sizes).unwrap_or_default();
        let (written, stated) = (sizes(found.sizes), sizes(Some(self.sizes)));
        for (key, stated) in stated.as_object().into_iter().flatten() {
            let written = written.get(key).map_or_else(|| "none".into(), ToString::to_string);
            compare(&mut faults, &format!("sizes: {key}"), &written, &stated.to_string());
        }
        let told = found.severe.into_iter().map(|f| format!("{}: {}", f.subject, f.message));
        faults.extend(told);
        Ok(faults)
    }
}

/// Notes where a file says otherwise of itself than the manifest.
fn compare(faults: &mut Vec<String>, key: &str, found: &str, stated: &str) {
    if found != stated {
        faults.push(format!("{key}: the file has {found}, the manifest says {stated}"));
    }
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
        Self::read(MANIFEST)
    }

    /// Reads a manifest.
    fn read(text: &str) -> Result<Self, ModelError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Manifest {
            model: Vec<ModelEntry>,
        }
        let invalid = |message: String| ModelError::invalid("models/manifest.toml", message);
        let manifest: Manifest = toml::from_str(text).map_err(|e| invalid(e.to_string()))?;
        let mut known = BTreeSet::new();
        let mut places: BTreeMap<ModelUse, BTreeSet<u32>> = BTreeMap::new();
        for entry in &manifest.model {
            let wrong =
                |key: &str, message: &str| invalid(format!("{}: {key}: {message}", entry.name));
            for name in std::iter::once(&entry.name).chain(&entry.aliases) {
                names::check_name(name).map_err(|e| wrong("name", &format!("{name:?}: {e}")))?;
                if !known.insert(name) {
                    return Err(wrong("name", &format!("{name:?} is there twice")));
                }
            }
            if !names::is_sha256(&entry.sha256) {
                return Err(wrong("sha256", "accepted: 64 lower-case hex digits"));
            }
            for (&used_as, &tier) in &entry.tiers {
                if !places.entry(used_as).or_default().insert(tier) {
                    let message = format!("{tier} as {} is another model's, too", used_as.name());
                    return Err(wrong("tiers", &message));
                }
            }
        }
        for (used_as, tiers) in places {
            if !tiers.iter().copied().eq(1..=tiers.len() as u32) {
                let (name, count) = (used_as.name(), tiers.len());
                return Err(invalid(format!("tiers: those as {name} are not 1 to {count}")));
            }
        }
        Ok(Self { entries: manifest.model })
    }

    /// All models, in the manifest's order.
    pub fn entries(&self) -> &[ModelEntry] {
        &self.entries
    }

    /// The entry of this name or alias.
    pub fn find(&self, name: &str) -> Option<&ModelEntry> {
        self.entries.iter().find(|entry| entry.is_called(name))
    }

    /// The model of pipelines that name none.
    pub fn first_choice(&self, used_as: ModelUse) -> Option<&ModelEntry> {
        self.entries.iter().find(|entry| entry.tiers.get(&used_as) == Some(&1))
    }

    /// What is wrong with the file of an entry, nothing if it is sound: its bytes, their sha256, whether it can be read and
    /// run, and whether it is what the manifest says.
    ///
    /// # Errors
    /// [`ModelError::Cancelled`]; [`ModelError::Engine`] where there are no kernels to build it on.
    pub fn verify(
        &self,
        entry: &ModelEntry,
        cancel: &CancelToken,
    ) -> Result<Vec<String>, ModelError> {
        match bytes(entry) {
            Ok(bytes) => entry.faults(bytes, cancel),
            Err(error) => Ok(vec![error.to_string()]),
        }
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
        let (name, sha256) = (entry.name.clone(), entry.sha256.clone());
        Ok(ModelSource::Bundled { name, sha256, bytes: bytes(entry)? })
    }
}

/// The file of an entry.
fn bytes(entry: &ModelEntry) -> Result<&'static [u8], ModelError> {
    let found = FILES.iter().find(|(file, _)| *file == entry.file);
    found.map(|(_, bytes)| *bytes).ok_or_else(|| {
        let message = format!("names {}, which this build does not contain", entry.file);
        ModelError::invalid("models/manifest.toml", message)
    })
}

#[cfg(test)]
mod tests {
    use bho_engine::Compute;

    use super::*;

    fn entry() -> (ModelEntry, &'static [u8]) {
        let store = ModelStore::bundled().unwrap();
        let entry = store.find("tinybert-guard").unwrap().clone();
        let bytes = bytes(&entry).unwrap();
        (entry, bytes)
    }

    fn faults(entry: &ModelEntry, bytes: &[u8]) -> Vec<String> {
        let bytes: &'static [u8] = bytes.to_vec().leak();
        entry.faults(bytes, &CancelToken::new()).unwrap()
    }

    #[test]
    fn the_bundled_files_are_what_the_manifest_says_of_them() {
        let (store, compute) = (ModelStore::bundled().unwrap(), Compute::new(1).unwrap());
        for entry in store.entries() {
            assert_eq!(
                store.verify(entry, &CancelToken::new()).unwrap(),
                [""; 0],
                "{}",
                entry.name
            );
            assert_eq!(bytes(entry).unwrap().as_ptr().align_offset(64), 0);
            assert!(!entry.tiers.is_empty(), "{}", entry.name);
            // Said of the file above; of what runs, here.
            let encoder = crate::load_encoder(&store.source(entry).unwrap(), &compute).unwrap();
            let info = encoder.info();
            assert_eq!(info.architecture, entry.architecture);
            assert_eq!(info.precision, entry.sizes.weights.name());
            assert_eq!(encoder.dim() as u64, entry.sizes.dimensions);
        }
        assert_eq!(FILES.len(), store.entries().len(), "a file that no model needs");
    }

    #[test]
    fn every_fault_of_a_file_is_told() {
        let (entry, bytes) = entry();
        let cancelled = CancelToken::new();
        cancelled.cancel();
        assert!(matches!(entry.faults(bytes, &cancelled), Err(ModelError::Cancelled)));
        // Cut in its tensors, in its header, and to nothing.
        for length in [bytes.len() - 1, 1000, 8, 7, 0] {
            let found = faults(&entry, &bytes[..length]);
            assert!(
                matches!(&found[..], [size, header] if size.starts_with(&format!("bytes: the file has {length}, the"))
                    && header.starts_with("tinybert-guard: not safetensors: ")),
                "{length}: {found:?}"
            );
        }
        let longer = faults(&entry, &[bytes, b"x"].concat());
        assert!(longer[0].starts_with("bytes: ") && longer.len() == 2, "{longer:?}");
        // A weight changed; the length of the header; a brace of it.
        for (at, parts) in [(bytes.len() / 2, 1), (0, 2), (7, 2), (8, 2)] {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1;
            let found = faults(&entry, &flipped);
            assert!(found[0].starts_with("sha256: ") && found.len() == parts, "{at}: {found:?}");
        }
    }

    #[test]
    fn what_the_manifest_has_wrong_is_told() {
        let (good, bytes) = entry();
        let told = |change: &dyn Fn(&mut ModelEntry), message: &str| {
            let mut entry = good.clone();
            change(&mut entry);
            let found = entry.faults(bytes, &CancelToken::new()).unwrap();
            assert!(matches!(&found[..], [fault] if fault.contains(message)), "{found:?}");
        };
        told(&|e| e.bytes += 1, "bytes: the file has");
        told(&|e| e.sha256 = "0".repeat(64), "sha256: the file has");
        told(
            &|e| e.architecture = "BertModel".into(),
            "the file has BertForSequenceClassification",
        );
        told(
            &|e| e.licence = "MIT".into(),
            "licence: the file has Apache-2.0, the manifest says MIT",
        );
        told(&|e| e.revision = "old".into(), ", the manifest says old");
        told(&|e| e.sizes.layers = 6, "sizes: layers: the file has 4, the manifest says 6");
        told(&|e| e.sizes.parameters -= 1, "sizes: parameters: the file has ");
        told(&|e| e.sizes.dimensions = 0, "sizes: dimensions: the file has 384");
        told(&|e| e.sizes.max_tokens = 512, "sizes: max_tokens: the file has 128");
        told(&|e| e.sizes.weights = inspect::WeightKind::Ternary, "weights: the file has \"int8\"");
        let mut absent = good.clone();
        absent.file = "../manifest.toml".into();
        let found = ModelStore::bundled().unwrap().verify(&absent, &CancelToken::new()).unwrap();
        assert!(found[0].contains("this build does not contain"), "{found:?}");
    }

    #[test]
    fn a_manifest_that_contradicts_itself_is_refused() {
        assert_eq!(ModelStore::read(MANIFEST).unwrap().entries().len(), FILES.len());
        for (from, to, message) in [
            ("[[model]]", "[[modell]]", "modell"),
            ("summary =", "sumary =", "sumary"),
            ("bytes = ", "bytes = -", "bytes"),
            ("layers = ", "layers = 0.5 + ", "layers"),
            ("weights = \"int8\"", "weights = \"int3\"", "int3"),
            ("sha256 = \"", "sha256 = \"../", "64 lower-case hex digits"),
            ("name = \"tinybert-guard\"", "name = \"rampart-pii\"", "there twice"),
            ("\"mini-embed-small\"", "\"minilm-l6-int8\"", "there twice"),
            ("name = \"rampart-pii\"", "name = \"../rampart\"", "../rampart"),
            ("{ tagger = 1 }", "{ moderator = 1 }", "as moderator is another model's"),
            ("{ tagger = 1 }", "{ tagger = 2 }", "as tagger are not 1 to 1"),
            ("{ tagger = 1 }", "{ painter = 1 }", "painter"),
        ] {
            assert!(MANIFEST.contains(from), "{from}");
            let error = ModelStore::read(&MANIFEST.replace(from, to)).unwrap_err().to_string();
            assert!(
                error.starts_with("models/manifest.toml: ") && error.contains(message),
                "{from}: {error}"
            );
        }
        assert!(ModelStore::read(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn the_licence_of_every_model_is_where_its_terms_are() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let terms = std::fs::read_to_string(root.join("THIRD_PARTY_LICENSES.md")).unwrap();
        for entry in ModelStore::bundled().unwrap().entries() {
            let file = format!("`models/bundled/{}`", entry.file);
            let section = terms.split("\n## ").find(|section| section.contains(&file));
            let section = section.unwrap_or_else(|| panic!("{file} is in no section"));
            for stated in [&entry.sha256, &entry.licence] {
                assert!(section.contains(stated.as_str()), "{file}: {stated}");
            }
            // The text of the licence: beside the models, or the address that a Creative Commons licence is named by.
            let (text, title) = match entry.licence.as_str() {
                "Apache-2.0" => ("models/LICENSE-APACHE-2.0", "Apache License"),
                "CC-BY-4.0" => ("models/NOTICE-RAMPART", "creativecommons.org/licenses/by/4.0"),
                other => panic!("{file}: {other}: say here where its text is"),
            };
            assert!(section.contains(&format!("]({text})")), "{file}: {text}");
            let text = std::fs::read_to_string(root.join(text)).unwrap();
            assert!(text.contains(title), "{file}: {title}");
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
