// SPDX-License-Identifier: AGPL-3.0-or-later
//! Files and folders that are whole or not there.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use crate::error::ModelError;

pub(super) fn removing(path: &Path, source: std::io::Error) -> ModelError {
    ModelError::Io { action: "cannot remove", path: path.into(), source }
}

pub(super) fn locking(path: &Path, source: std::io::Error) -> ModelError {
    ModelError::Io { action: "cannot lock", path: path.into(), source }
}

/// Opens a file to be locked.
pub(super) fn open_lock(path: &Path) -> Result<File, ModelError> {
    let opened = File::options().create(true).truncate(false).write(true).open(path);
    opened.map_err(|e| locking(path, e))
}

pub(super) fn make_folder(path: &Path) -> Result<(), ModelError> {
    fs::create_dir_all(path).map_err(|e| ModelError::write(path, e))
}

/// Names and sizes of a folder's files, sorted; nothing if there is no folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<(String, u64)>, ModelError> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(ModelError::read(folder, e)),
    };
    let mut all = Vec::new();
    for entry in listing {
        let entry = entry.map_err(|e| ModelError::read(folder, e))?;
        let found = entry.metadata().map_err(|e| ModelError::read(&entry.path(), e))?;
        if let (true, Ok(name)) = (found.is_file(), entry.file_name().into_string()) {
            all.push((name, found.len()));
        }
    }
    all.sort();
    Ok(all)
}

/// Writes a small file: under another name, synced, renamed.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let fail = |e| ModelError::write(path, e);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".bho-").suffix(".tmp");
    #[cfg(unix)]
    {
        // As any new file: what the umask allows, not the 0600 of temporary files.
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(fail)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(fail)?;
    file.persist(path).map_err(|e| fail(e.error))?;
    sync_folder(folder)
}

/// Makes renames in a folder last.
pub(super) fn sync_folder(folder: &Path) -> Result<(), ModelError> {
    // Elsewhere a folder cannot be opened as a file.
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| ModelError::write(folder, e))?;
    }
    Ok(())
}

/// Removes a folder of links, or whatever lies in its place.
pub(super) fn discard(path: &Path) -> Result<(), ModelError> {
    let gone = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Ok(found) if !found.is_dir() => fs::remove_file(path),
        _ => fs::remove_dir_all(path),
    };
    match gone {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(removing(path, e)),
        _ => Ok(()),
    }
}

/// Lets a blob be replaced or removed, where a read-only file cannot be.
pub(super) fn writable(path: &Path) {
    #[cfg(windows)]
    if let Ok(found) = fs::metadata(path) {
        let mut permissions = found.permissions();
        #[expect(clippy::permissions_set_readonly_false, reason = "no such bits on Windows")]
        permissions.set_readonly(false);
        let _ = fs::set_permissions(path, permissions);
    }
    #[cfg(not(windows))]
    let _ = path;
}
