// SPDX-License-Identifier: AGPL-3.0-or-later
//! The store on disk: files by their sha256, models by their name.
//!
//! - `blobs/sha256/<hex>`: files, read-only
//! - `refs/<name>.json`: manifests
//! - `snapshots/<name>/`: a model's files under their own names, as links to the blobs
//! - `partial/`: downloads under way or broken off
//! - `lock`: held shared by pulls, exclusively while blobs are removed
//! - `links`: locked while a manifest and its links change
//!
//! Blobs and manifests are written under another name, synced and renamed: they are whole or not
//! there.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::disk::{
    discard, entries, locking, make_folder, open_lock, removing, sync_folder, writable, write_whole,
};
use super::manifest::Manifest;
use super::names;
use super::partial::Partial;
use crate::error::ModelError;

/// The models of one folder.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
}

/// A model of the store, or a manifest that cannot be used.
#[derive(Debug)]
pub struct Listed {
    /// Its name: that of the manifest's file.
    pub name: String,
    /// What the manifest says.
    pub manifest: Result<Manifest, ModelError>,
}

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The model.
    pub name: String,
    /// Blobs and broken-off downloads that are gone.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Why blobs that nothing seems to need were kept.
    pub kept: Option<String>,
}

impl LocalStore {
    /// The store in the folder `root`, which is made when something is put there.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All models, by name.
    ///
    /// # Errors
    /// If the folder of manifests is there and cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, ModelError> {
        let names = entries(&self.refs())?.into_iter().filter_map(|(file, _)| {
            let name = file.strip_suffix(".json")?;
            (!name.starts_with('.')).then(|| name.to_owned())
        });
        let listed =
            |name: String| Listed { manifest: Manifest::read(&self.reference(&name)), name };
        Ok(names.map(listed).collect())
    }

    /// The model of this name; none if there is none.
    ///
    /// # Errors
    /// If its manifest is damaged.
    pub fn get(&self, name: &str) -> Result<Option<Manifest>, ModelError> {
        // Any other text is no name and must not become a path.
        let path = self.reference(name);
        match names::check_name(name).is_ok() && path.try_exists().unwrap_or(true) {
            true => Manifest::read(&path).map(Some),
            false => Ok(None),
        }
    }

    /// Where a model can be read: its only file, else the folder of its files. Links are made where
    /// they are missing.
    ///
    /// # Errors
    /// Naming the blob that is missing, or the link that cannot be made.
    pub fn path(&self, manifest: &Manifest) -> Result<PathBuf, ModelError> {
        let folder = self.snapshots().join(&manifest.name);
        for file in &manifest.files {
            let blob = self.blob(&file.sha256);
            match fs::metadata(&blob) {
                Ok(found) if found.is_file() && found.len() == file.size => {}
                Ok(_) => return Err(damaged(&blob, manifest, "is not what was stored")),
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    return Err(damaged(&blob, manifest, "is missing"));
                }
                Err(e) => return Err(ModelError::read(&blob, e)),
            }
        }
        if !self.is_laid_out(manifest, &folder) {
            let _links = self.lock_links()?;
            self.lay_out(manifest)?;
        }
        Ok(manifest.entry().map_or_else(|| folder.clone(), |file| folder.join(&file.path)))
    }

    /// Whether there is a download broken off for this name.
    ///
    /// # Errors
    /// If the folder of downloads cannot be read.
    pub fn has_partial(&self, name: &str) -> Result<bool, ModelError> {
        Ok(Partial::all(self)?.iter().any(|partial| partial.name == name))
    }

    /// Removes a model, its links and broken-off downloads, and all blobs that no model needs.
    ///
    /// # Errors
    /// [`ModelError::Unknown`]; while a pull is under way; if something cannot be removed.
    pub fn remove(&self, name: &str) -> Result<Removed, ModelError> {
        let known = names::check_name(name).is_ok();
        let partials: Vec<_> = match known {
            true => Partial::all(self)?.into_iter().filter(|part| part.name == name).collect(),
            false => Vec::new(),
        };
        let reference = self.reference(name);
        let there = known && fs::symlink_metadata(&reference).is_ok();
        if !there && partials.is_empty() {
            return Err(self.unknown(name));
        }
        let _lock = self.lock_exclusive()?;
        let _links = self.lock_links()?;
        if there {
            fs::remove_file(&reference).map_err(|e| removing(&reference, e))?;
            sync_folder(&self.refs())?;
        }
        discard(&self.snapshots().join(name))?;
        let mut removed = Removed { name: name.into(), files: 0, bytes: 0, kept: None };
        for partial in partials {
            removed.files += 1;
            removed.bytes += partial.bytes;
            partial.remove()?;
        }
        let mut needed = BTreeSet::new();
        for listed in self.list()? {
            match listed.manifest {
                Ok(manifest) => needed.extend(manifest.files.into_iter().map(|file| file.sha256)),
                // What it needs is not known.
                Err(error) => {
                    removed.kept = Some(error.to_string());
                    return Ok(removed);
                }
            }
        }
        for (sha256, bytes) in self.blobs()? {
            if !needed.contains(&sha256) {
                let blob = self.blob(&sha256);
                writable(&blob);
                fs::remove_file(&blob).map_err(|e| removing(&blob, e))?;
                removed.files += 1;
                removed.bytes += bytes;
            }
        }
        Ok(removed)
    }

    /// The error about a name that is not in the store.
    pub fn unknown(&self, name: &str) -> ModelError {
        let all: Vec<_> =
            self.list().unwrap_or_default().into_iter().map(|listed| listed.name).collect();
        let known = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
        ModelError::Unknown { name: name.into(), known }
    }

    /// Names and sizes of all blobs.
    pub(crate) fn blobs(&self) -> Result<Vec<(String, u64)>, ModelError> {
        let mut all = entries(&self.blob_folder())?;
        all.retain(|(name, _)| names::is_sha256(name));
        Ok(all)
    }

    /// Where the blob of this sum is or would be.
    pub(crate) fn blob(&self, sha256: &str) -> PathBuf {
        self.blob_folder().join(sha256)
    }

    /// Where downloads under way are.
    pub(crate) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    /// Makes the blob of this sum out of a file that has been synced.
    pub(crate) fn adopt(&self, file: &Path, sha256: &str) -> Result<(), ModelError> {
        let (folder, blob) = (self.blob_folder(), self.blob(sha256));
        make_folder(&folder)?;
        writable(&blob);
        fs::rename(file, &blob).map_err(|e| ModelError::write(&blob, e))?;
        let mut permissions =
            fs::metadata(&blob).map_err(|e| ModelError::read(&blob, e))?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&blob, permissions).map_err(|e| ModelError::write(&blob, e))?;
        sync_folder(&folder)
    }

    /// Puts a manifest in place, and the links to its files.
    pub(crate) fn commit(&self, manifest: &Manifest) -> Result<(), ModelError> {
        manifest.check().map_err(|e| ModelError::invalid(&manifest.name, e))?;
        let text = serde_json::to_string_pretty(manifest)
            .map_err(|e| ModelError::invalid(&manifest.name, e.to_string()))?;
        let _links = self.lock_links()?;
        make_folder(&self.refs())?;
        write_whole(&self.reference(&manifest.name), format!("{text}\n").as_bytes())?;
        self.lay_out(manifest)
    }

    /// Keeps blobs from being removed as long as the result lives.
    pub(crate) fn lock_shared(&self) -> Result<File, ModelError> {
        let (file, path) = self.lock_file()?;
        file.lock_shared().map_err(|e| locking(&path, e))?;
        Ok(file)
    }

    /// Keeps other processes from changing manifests and links; held for moments only.
    fn lock_links(&self) -> Result<File, ModelError> {
        make_folder(&self.root)?;
        let path = self.root.join("links");
        let file = open_lock(&path)?;
        file.lock().map_err(|e| locking(&path, e))?;
        Ok(file)
    }

    fn lock_exclusive(&self) -> Result<File, ModelError> {
        let (file, path) = self.lock_file()?;
        file.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => {
                let busy = "a pull is under way; try again when it has ended";
                locking(&path, std::io::Error::new(ErrorKind::WouldBlock, busy))
            }
            TryLockError::Error(e) => locking(&path, e),
        })?;
        Ok(file)
    }

    fn lock_file(&self) -> Result<(File, PathBuf), ModelError> {
        make_folder(&self.root)?;
        let path = self.root.join("lock");
        Ok((open_lock(&path)?, path))
    }

    fn is_laid_out(&self, manifest: &Manifest, folder: &Path) -> bool {
        manifest.files.iter().all(|file| {
            let link = folder.join(&file.path);
            match fs::read_link(&link) {
                Ok(target) => target == link_target(&file.path, &file.sha256),
                Err(_) => fs::metadata(&link).is_ok_and(|found| found.len() == file.size),
            }
        })
    }

    /// Makes the folder of links anew, beside its place first, unless it is right.
    fn lay_out(&self, manifest: &Manifest) -> Result<(), ModelError> {
        let (snapshots, folder) = (self.snapshots(), self.snapshots().join(&manifest.name));
        if self.is_laid_out(manifest, &folder) && count(&folder) == manifest.files.len() {
            return Ok(());
        }
        make_folder(&snapshots)?;
        let fresh = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&snapshots)
            .map_err(|e| ModelError::write(&snapshots, e))?;
        for file in &manifest.files {
            let link = fresh.path().join(&file.path);
            make_folder(link.parent().unwrap_or(fresh.path()))?;
            self.link(&link, &file.path, &file.sha256).map_err(|e| ModelError::write(&link, e))?;
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(fresh.path(), open).map_err(|e| ModelError::write(&folder, e))?;
        }
        discard(&folder)?;
        fs::rename(fresh.keep(), &folder).map_err(|e| ModelError::write(&folder, e))
    }

    /// A symbolic link, or a hard one where there are none.
    fn link(&self, link: &Path, path: &str, sha256: &str) -> std::io::Result<()> {
        #[cfg(unix)]
        if std::os::unix::fs::symlink(link_target(path, sha256), link).is_ok() {
            return Ok(());
        }
        let _ = path;
        fs::hard_link(self.blob(sha256), link)
    }

    fn refs(&self) -> PathBuf {
        self.root.join("refs")
    }

    fn reference(&self, name: &str) -> PathBuf {
        self.refs().join(format!("{name}.json"))
    }

    fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    fn blob_folder(&self) -> PathBuf {
        self.root.join("blobs").join("sha256")
    }
}

/// From the place of a link to its blob: the store can be moved as a whole.
fn link_target(path: &str, sha256: &str) -> PathBuf {
    let up = "../".repeat(2 + path.matches('/').count());
    PathBuf::from(format!("{up}blobs/sha256/{sha256}"))
}

/// Files below a folder of links, which are not followed.
fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let each = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => count(&entry.path()),
        _ => 1,
    });
    each.sum()
}

fn damaged(blob: &Path, manifest: &Manifest, what: &str) -> ModelError {
    let message = format!(
        "{what}, and {} needs it; `bho models verify {0}` tells all, pulling again repairs it",
        manifest.name
    );
    ModelError::invalid(blob.display().to_string(), message)
}
