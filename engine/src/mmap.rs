// SPDX-License-Identifier: AGPL-3.0-or-later
//! Files as memory: the one module outside the kernels with `unsafe` code.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::error::EngineError;

/// A file mapped read-only.
///
/// Loading costs nothing until pages are touched, and processes that map the same file share its
/// pages. Whoever truncates a mapped file in place makes every reader of it fault: writers must
/// replace files by rename, as `bho convert` does.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// [`EngineError::Io`] with the path, also for a directory or an empty file.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let fail = |source| EngineError::Io { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        if !meta.is_file() || meta.len() == 0 {
            let what = if meta.is_file() { "the file is empty" } else { "not a regular file" };
            return Err(fail(std::io::Error::new(std::io::ErrorKind::InvalidInput, what)));
        }
        // SAFETY: the mapping is private to readers and never written through. The remaining
        // hazard of mapping a file, another process changing it in place, cannot be ruled out from
        // here; it can fault or change values but every index into the bytes is checked against
        // the length fixed now, and weights have no invalid values.
        let map = unsafe { Mmap::map(&file) }.map_err(fail)?;
        Ok(Self(map))
    }

    /// The bytes of the file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_a_directory_and_an_empty_file_are_errors_with_their_path() {
        let dir = std::env::temp_dir();
        let empty = dir.join(format!("bho-empty-{}", std::process::id()));
        std::fs::write(&empty, b"").unwrap();
        for path in [Path::new("no/such/file"), &dir, &empty] {
            let error = MappedFile::open(path).unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
        std::fs::remove_file(&empty).unwrap();
    }
}
