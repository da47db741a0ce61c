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
        // Before it is opened: a pipe would wait for a writer.
        let meta = std::fs::metadata(path).map_err(fail)?;
        if !meta.is_file() {
            let what = "not a regular file";
            return Err(fail(std::io::Error::new(std::io::ErrorKind::InvalidInput, what)));
        }
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

    /// Drops the pages inside `range` from this process; they are read again when asked for.
    pub fn release(&self, range: std::ops::Range<usize>) {
        let page = 1 << 16; // a multiple of any page size in use
        let (start, end) = (range.start.next_multiple_of(page), range.end / page * page);
        if start < end && end <= self.0.len() {
            // SAFETY: the mapping is of a file and never written to, so what is dropped comes back
            // with the same bytes. Advice that is refused changes nothing.
            #[cfg(unix)]
            let _ = unsafe {
                self.0.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    start,
                    end - start,
                )
            };
        }
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
    fn released_pages_come_back() {
        let path = std::env::temp_dir().join(format!("bho-release-{}", std::process::id()));
        let bytes: Vec<u8> = (0..1 << 18).map(|i: u32| (i * 7 / 8) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = MappedFile::open(&path).unwrap();
        assert!(file.as_bytes() == bytes);
        for range in [0..1 << 18, 5..(1 << 17) + 3, 10..20, 0..usize::MAX] {
            file.release(range);
        }
        assert!(file.as_bytes() == bytes);
        std::fs::remove_file(&path).unwrap();
    }

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
