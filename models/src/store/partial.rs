// SPDX-License-Identifier: AGPL-3.0-or-later
//! A file on its way into the store: what has come so far, and what must hold for the rest to fit.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use bho_engine::CancelToken;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::disk::{entries, make_folder, open_lock, write_whole};
use super::local::LocalStore;
use crate::error::ModelError;

/// Bytes hashed or copied between looks at the cancel token.
pub(super) const STEP: usize = 1 << 18;

/// Largest side-car read, in bytes.
const MAX_CAR: u64 = 64 << 10;

/// What is known of the whole, kept beside the bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SideCar {
    /// Model it is pulled for.
    pub(super) name: String,
    /// Where it comes from.
    pub(super) location: String,
    /// Strong entity tag of the version that is coming.
    pub(super) etag: Option<String>,
    /// Its bytes.
    pub(super) size: Option<u64>,
}

/// A download broken off, as found in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partial {
    /// Model it was pulled for.
    pub name: String,
    /// Where it comes from.
    pub location: String,
    /// Bytes that are there.
    pub bytes: u64,
    /// Bytes of the whole.
    pub size: Option<u64>,
    #[serde(skip)]
    path: PathBuf,
}

impl Partial {
    /// All downloads broken off.
    pub(super) fn all(store: &LocalStore) -> Result<Vec<Self>, ModelError> {
        let folder = store.partials();
        let data = |(file, bytes): (String, u64)| {
            file.ends_with(".data").then(|| {
                let path = folder.join(&file);
                let car = read_car(&path.with_extension("json")).unwrap_or_default();
                Self { name: car.name, location: car.location, bytes, size: car.size, path }
            })
        };
        Ok(entries(&folder)?.into_iter().filter_map(data).collect())
    }

    pub(super) fn remove(self) -> Result<(), ModelError> {
        for path in
            [&self.path, &self.path.with_extension("json"), &self.path.with_extension("lock")]
        {
            match fs::remove_file(path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(ModelError::Io {
                        action: "cannot remove",
                        path: path.into(),
                        source,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A file being received. No other process receives the same one meanwhile.
pub(super) struct Incoming {
    path: PathBuf,
    file: File,
    hash: Sha256,
    /// Bytes that are there.
    pub(super) bytes: u64,
    pub(super) car: SideCar,
    _lock: File,
}

impl Incoming {
    /// Opens what is there of the file at `location`, or begins it. Waits while another process
    /// receives the same; `waiting` is then called once.
    pub(super) fn open(
        store: &LocalStore,
        name: &str,
        location: &str,
        cancel: &CancelToken,
        waiting: &mut dyn FnMut(),
    ) -> Result<Self, ModelError> {
        let folder = store.partials();
        make_folder(&folder)?;
        let key = &crate::hex(&Sha256::digest(location))[..32];
        let path = folder.join(format!("{key}.data"));
        let lock = lock(&path.with_extension("lock"), cancel, waiting)?;
        let opened =
            File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|e| ModelError::write(&path, e))?;
        let fresh = SideCar { name: name.into(), location: location.into(), ..SideCar::default() };
        let mut this = Self { path, file, hash: Sha256::new(), bytes: 0, car: fresh, _lock: lock };
        match read_car(&this.path.with_extension("json")) {
            Some(car) if car.location == location => {
                this.car = SideCar { name: name.into(), ..car };
                this.read_back(cancel)?;
            }
            // Without it nobody knows what the bytes are.
            _ => this.restart()?,
        }
        if this.car.size.is_some_and(|size| this.bytes > size) {
            this.restart()?;
        }
        Ok(this)
    }

    /// Hashes what came in an earlier process.
    fn read_back(&mut self, cancel: &CancelToken) -> Result<(), ModelError> {
        let mut buffer = vec![0; STEP];
        loop {
            if cancel.is_cancelled() {
                return Err(ModelError::Cancelled);
            }
            let n = self.file.read(&mut buffer).map_err(|e| ModelError::read(&self.path, e))?;
            if n == 0 {
                return Ok(());
            }
            self.hash.update(&buffer[..n]);
            self.bytes += n as u64;
        }
    }

    /// Forgets the bytes, and which version they were of.
    pub(super) fn restart(&mut self) -> Result<(), ModelError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|e| ModelError::write(&self.path, e))?;
        (self.hash, self.bytes) = (Sha256::new(), 0);
        (self.car.etag, self.car.size) = (None, None);
        Ok(())
    }

    /// Keeps the side-car for a later process.
    pub(super) fn save_car(&self) -> Result<(), ModelError> {
        let text = serde_json::to_string(&self.car)
            .map_err(|e| ModelError::invalid(self.path.display().to_string(), e.to_string()))?;
        write_whole(&self.path.with_extension("json"), text.as_bytes())
    }

    /// Appends bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        self.file.write_all(bytes).map_err(|e| ModelError::write(&self.path, e))?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// sha256 of the bytes so far.
    pub(super) fn sha256(&self) -> String {
        crate::hex(&self.hash.clone().finalize())
    }

    /// Makes a blob of it. Gives its sha256.
    pub(super) fn finish(self, store: &LocalStore) -> Result<String, ModelError> {
        let sha256 = self.sha256();
        self.file.sync_all().map_err(|e| ModelError::write(&self.path, e))?;
        store.adopt(&self.path, &sha256)?;
        self.remove(&["json", "lock"]);
        Ok(sha256)
    }

    /// Forgets all of it.
    pub(super) fn abandon(self) {
        self.remove(&["data", "json", "lock"]);
    }

    /// Left behind, they would be small and harmless.
    fn remove(&self, extensions: &[&str]) {
        for extension in extensions {
            let _ = fs::remove_file(self.path.with_extension(extension));
        }
    }
}

/// sha256 of a file, in pieces; `tick` is told of the bytes of each.
///
/// # Errors
/// If it cannot be read; [`ModelError::Cancelled`].
pub(super) fn sha256_of(
    path: &Path,
    cancel: &CancelToken,
    tick: &mut dyn FnMut(u64),
) -> Result<String, ModelError> {
    let fail = |e| ModelError::read(path, e);
    let mut file = File::open(path).map_err(fail)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; STEP]);
    loop {
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        let n = file.read(&mut buffer).map_err(fail)?;
        if n == 0 {
            return Ok(crate::hex(&hash.finalize()));
        }
        hash.update(&buffer[..n]);
        tick(n as u64);
    }
}

fn read_car(path: &Path) -> Option<SideCar> {
    let text = crate::package::read_text(path, MAX_CAR).ok()??;
    serde_json::from_str(&text).ok()
}

fn lock(path: &Path, cancel: &CancelToken, waiting: &mut dyn FnMut()) -> Result<File, ModelError> {
    let mut told = false;
    loop {
        let file = open_lock(path)?;
        match file.try_lock() {
            // Whoever held it may have removed the name: the lock must be on the file that has it.
            Ok(()) if is_named(&file, path) => return Ok(file),
            Ok(()) => continue,
            Err(fs::TryLockError::WouldBlock) => {}
            Err(fs::TryLockError::Error(source)) => {
                return Err(ModelError::Io { action: "cannot lock", path: path.into(), source });
            }
        }
        if !told {
            (told, _) = (true, waiting());
        }
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[cfg(unix)]
fn is_named(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |found: &fs::Metadata| (found.dev(), found.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(a), Ok(b)) if id(&a) == id(&b))
}

/// An open file keeps its name elsewhere.
#[cfg(not(unix))]
fn is_named(_: &File, _: &Path) -> bool {
    true
}
