// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whether the store still holds what was put there.

use std::collections::BTreeMap;

use bho_engine::CancelToken;
use serde::Serialize;

use super::local::LocalStore;
use super::manifest::Manifest;
use super::partial::{Partial, sha256_of};
use crate::convert::Progress;
use crate::error::ModelError;

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
    /// What is wrong with it; nothing if it is sound.
    pub faults: Vec<String>,
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
    /// Reads all blobs, or those of one model, and compares their sha256 with their names.
    ///
    /// # Errors
    /// [`ModelError::Unknown`]; a folder that cannot be read; [`ModelError::Cancelled`]. What is
    /// wrong with models and blobs is in the result.
    pub fn verify(
        &self,
        name: Option<&str>,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Verification, ModelError> {
        let mut listed = self.list()?;
        if let Some(name) = name {
            listed.retain(|listed| listed.name == name);
            if listed.is_empty() {
                return Err(self.unknown(name));
            }
        }
        let on_disk: BTreeMap<String, u64> = self.blobs()?.into_iter().collect();
        let wanted = |sum: &str| {
            name.is_none()
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
        let mut models = Vec::new();
        for listed in &listed {
            let faults = match &listed.manifest {
                Ok(manifest) => faults(manifest, &on_disk, &found),
                Err(error) => vec![error.to_string()],
            };
            models.push(VerifiedModel { name: listed.name.clone(), faults });
        }
        let mut unreferenced = Vec::new();
        // With a manifest that cannot be read, nobody knows what is needed.
        if name.is_none() && listed.iter().all(|listed| listed.manifest.is_ok()) {
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
        partial.retain(|partial| name.is_none_or(|name| name == partial.name));
        Ok(Verification {
            ok: models.iter().all(|model| model.faults.is_empty()),
            blobs: found.len(),
            bytes: total,
            models,
            unreferenced,
            partial,
        })
    }
}

fn needs(manifest: &Manifest, sha256: &str) -> bool {
    manifest.files.iter().any(|file| file.sha256 == sha256)
}

/// What is wrong with the files of a model.
fn faults(
    manifest: &Manifest,
    on_disk: &BTreeMap<String, u64>,
    found: &BTreeMap<&str, Result<String, String>>,
) -> Vec<String> {
    let mut faults = Vec::new();
    for file in &manifest.files {
        let (path, sum) = (&file.path, file.sha256.as_str());
        match (on_disk.get(sum), found.get(sum)) {
            (None, _) | (_, None) => faults.push(format!("{path}: blob {sum} is missing")),
            (_, Some(Err(error))) => faults.push(format!("{path}: {error}")),
            (_, Some(Ok(read))) if read != sum => {
                faults.push(format!("{path}: blob {sum} is damaged: its sha256 is {read}"));
            }
            (Some(&bytes), _) if bytes != file.size => {
                faults.push(format!("{path}: has {bytes} bytes, the manifest says {}", file.size));
            }
            _ => {}
        }
    }
    faults
}
