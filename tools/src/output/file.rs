// SPDX-License-Identifier: AGPL-3.0-or-later
//! Files that are whole or not there.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A file to be written later, whose place has been looked at already: better to fail before the
/// work than after it.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    /// A device or a pipe cannot be replaced by a rename.
    in_place: bool,
}

impl Target {
    /// Checks that a file can be put at `path`.
    pub(crate) fn new(path: PathBuf) -> anyhow::Result<Self> {
        let cannot = || format!("cannot write {}", path.display());
        let in_place = match fs::metadata(&path) {
            Ok(found) if found.is_dir() => bail!("{}: it is a directory", cannot()),
            Ok(found) => !found.is_file(),
            Err(_) => false,
        };
        let folder = folder(&path);
        if !fs::metadata(folder).with_context(cannot)?.is_dir() {
            bail!("{}: {} is not a directory", cannot(), folder.display());
        }
        if !in_place {
            // Tried out: what a folder lets one do is not told by its mode alone.
            unfinished(folder).with_context(cannot)?;
        }
        Ok(Self { path, in_place })
    }

    /// Writes the file: under another name first, then moved into place. Only its owner can read it.
    pub(crate) fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let cannot = || format!("cannot write {}", self.path.display());
        if self.in_place {
            return fs::write(&self.path, bytes).with_context(cannot);
        }
        let mut file = unfinished(folder(&self.path)).with_context(cannot)?;
        file.write_all(bytes).and_then(|()| file.as_file().sync_all()).with_context(cannot)?;
        file.persist(&self.path).map_err(|error| error.error).with_context(cannot)?;
        Ok(())
    }
}

/// Whether both are names of one file that is there.
pub(crate) fn same(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

/// A file that is gone again unless it is moved into place.
fn unfinished(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".bho-").suffix(".tmp").tempfile_in(folder)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.json");
        for text in ["first, longer", "second"] {
            Target::new(path.clone()).unwrap().write(text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn places_that_cannot_take_a_file_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let message = Target::new(dir.path().into()).unwrap_err().to_string();
        assert!(message.contains("directory"), "{message}");
        assert!(Target::new(dir.path().join("missing/trace.json")).is_err());
    }
}
