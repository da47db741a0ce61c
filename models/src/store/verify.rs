// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whether the store still holds what was put there, and whether that can be read.

use std::collections::BTreeMap;
use std::path::Path;

use bho_engine::{CancelToken, Storage};
use serde::Serialize;
use serde::de::IgnoredAny;

use super::local::{Listed, LocalStore};
use super::manifest::{Manifest, StoredFile};
use super::partial::{Partial, sha256_of};
use crate::convert::Progress;
use crate::error::ModelError;
use crate::gguf::GgufFile;
use crate::package::{Package, read_tokenizer};
use crate::weights::Weights;

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verification {
    /// Whether everything that was looked at is as it was stored.
    pub ok: bool,
    /// Blobs that were read.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The models.
    pub models: Vec<VerifiedModel>,
    /// Blobs that no model needs; all of them could be removed.
    pub unreferenced: Vec<Unreferenced>,
    /// Downloads broken off.
    pub partial: Vec<Partial>,
}

/// One model.
#[derive(Debug, Clone, Serialize)]
pub struct VerifiedModel {
    /// Its name.
    pub name: String,
    /// Whether it is part of the program.
    pub bundled: bool,
    /// What is wrong with it; nothing if it is sound.
    pub faults: Vec<String>,
    /// What to do about it; none if it is sound.
    pub remedy: Option<String>,
}

/// A blob that no model needs.
#[derive(Debug, Clone, Serialize)]
pub struct Unreferenced {
    /// Its name: the sha256 it should have.
    pub sha256: String,
    /// Its bytes.
    pub bytes: u64,
    /// Whether it has that sha256.
    pub sound: bool,
}

impl LocalStore {
    /// Reads all blobs, or those of these models, compares their sha256 with their names and sees whether models can be read.
    ///
    /// # Errors
    /// [`ModelError::Unknown`]; a folder that cannot be read; [`ModelError::Cancelled`]. What is
    /// wrong with models and blobs is in the result.
    pub fn verify(
        &self,
        names: Option<&[&str]>,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Verification, ModelError> {
        let mut listed = self.list()?;
        if let Some(names) = names {
            if let Some(name) = names.iter().find(|name| listed.iter().all(|l| l.name != **name)) {
                return Err(self.unknown(name));
            }
            listed.retain(|listed| names.contains(&listed.name.as_str()));
        }
        let on_disk: BTreeMap<String, u64> = self.blobs()?.into_iter().collect();
        let wanted = |sum: &str| {
            names.is_none()
                || listed
                    .iter()
                    .flat_map(|listed| &listed.manifest)
                    .any(|manifest| needs(manifest, sum))
        };
        let total = on_disk.iter().filter(|(sum, _)| wanted(sum)).map(|(_, bytes)| bytes).sum();
        let (mut found, mut done) = (BTreeMap::new(), 0);
        for sum in on_disk.keys().filter(|sum| wanted(sum)) {
            let read = sha256_of(&self.blob(sum), cancel, &mut |bytes| {
                done += bytes;
                progress(&Progress { tensor: sum, done, total });
            });
            match read {
                Err(ModelError::Cancelled) => return Err(ModelError::Cancelled),
                read => found.insert(sum.as_str(), read.map_err(|e| e.to_string())),
            };
        }
        let models: Vec<_> =
            listed.iter().map(|listed| self.verified(listed, &on_disk, &found)).collect();
        let mut unreferenced = Vec::new();
        // With a manifest that cannot be read, nobody knows what is needed.
        if names.is_none() && listed.iter().all(|listed| listed.manifest.is_ok()) {
            let needed = |sum: &str| {
                listed
                    .iter()
                    .flat_map(|listed| &listed.manifest)
                    .any(|manifest| needs(manifest, sum))
            };
            for (sum, &bytes) in on_disk.iter().filter(|(sum, _)| !needed(sum)) {
                let sound = matches!(found.get(sum.as_str()), Some(Ok(read)) if read == sum);
                unreferenced.push(Unreferenced { sha256: sum.clone(), bytes, sound });
            }
        }
        let mut partial = Partial::all(self)?;
        partial.retain(|p| names.is_none_or(|names| names.contains(&p.name.as_str())));
        Ok(Verification {
            ok: models.iter().all(|model| model.faults.is_empty()),
            blobs: found.len(),
            bytes: total,
            models,
            unreferenced,
            partial,
        })
    }

    /// What is wrong with one model.
    fn verified(
        &self,
        Listed { name, manifest }: &Listed,
        on_disk: &BTreeMap<String, u64>,
        found: &BTreeMap<&str, Result<String, String>>,
    ) -> VerifiedModel {
        let mut model =
            VerifiedModel { name: name.clone(), bundled: false, faults: Vec::new(), remedy: None };
        let manifest = match manifest {
            Ok(manifest) => manifest,
            Err(error) => {
                model.faults.push(error.to_string());
                model.remedy = Some(format!("`bho models rm {name}`, then pull it again"));
                return model;
            }
        };
        let mut damaged = false;
        for file in &manifest.files {
            if let Some(fault) = damage(file, on_disk, found) {
                damaged = true;
                model.faults.push(format!("{}: {fault}", file.path));
            } else if let Err(error) = self.read(file) {
                model.faults.push(error.to_string());
            }
        }
        if damaged {
            let origin = &manifest.source.location;
            model.remedy = Some(format!("pull it again, from {origin}, or `bho models rm {name}`"));
        } else if !model.faults.is_empty() {
            let remedy = "it is as it was pulled: pull a sound one";
            model.remedy = Some(format!("{remedy}, or `bho models rm {name}`"));
        }
        model
    }

    /// Reads the header of a model's file, or all of a JSON file; other files are not looked at.
    fn read(&self, file: &StoredFile) -> Result<(), ModelError> {
        let (name, blob) = (file.path.as_str(), self.blob(&file.sha256));
        match Path::new(name).extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => {
                let weights = Weights::parse(name, Storage::map(&blob)?)?;
                if weights.is_converted() {
                    Package::from_metadata(name, weights)?;
                }
            }
            Some("gguf") => {
                GgufFile::parse(name, Storage::map(&blob)?)?;
            }
            Some("json") => {
                let text = read_tokenizer(&blob)?.unwrap_or_default();
                serde_json::from_str::<IgnoredAny>(&text)
                    .map_err(|e| ModelError::invalid(name, format!("not JSON: {e}")))?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn needs(manifest: &Manifest, sha256: &str) -> bool {
    manifest.files.iter().any(|file| file.sha256 == sha256)
}

/// How a file is not what was stored.
fn damage(
    file: &StoredFile,
    on_disk: &BTreeMap<String, u64>,
    found: &BTreeMap<&str, Result<String, String>>,
) -> Option<String> {
    let sum = file.sha256.as_str();
    match (on_disk.get(sum), found.get(sum)) {
        (None, _) | (_, None) => Some(format!("blob {sum} is missing")),
        (_, Some(Err(error))) => Some(error.clone()),
        (_, Some(Ok(read))) if read != sum => {
            Some(format!("blob {sum} is damaged: its sha256 is {read}"))
        }
        (Some(&bytes), _) if bytes != file.size => {
            Some(format!("has {bytes} bytes, the manifest says {}", file.size))
        }
        _ => None,
    }
}
