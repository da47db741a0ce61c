// SPDX-License-Identifier: AGPL-3.0-or-later
//! Where weight bytes live: in a mapped file, in the program itself, or on the heap.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::error::EngineError;
use crate::mmap::MappedFile;

/// A whole file's bytes; cloning shares them.
#[derive(Debug, Clone)]
pub enum Storage {
    /// A mapped file.
    Mapped(Arc<MappedFile>),
    /// Bytes that are part of the program (mapped by the loader, shared like any file).
    Static(&'static [u8]),
    /// Bytes on the heap.
    Heap(Arc<[u8]>),
}

impl Storage {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// As [`MappedFile::open`].
    pub fn map(path: &Path) -> Result<Self, EngineError> {
        Ok(Self::Mapped(Arc::new(MappedFile::open(path)?)))
    }

    /// Drops the pages that lie inside `range` of a mapped file from this process; they are read
    /// again when they are asked for. Does nothing to other bytes.
    pub fn release(&self, range: Range<usize>) {
        if let Self::Mapped(file) = self {
            file.release(range);
        }
    }

    /// All bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file.as_bytes(),
            Self::Static(bytes) => bytes,
            Self::Heap(bytes) => bytes,
        }
    }
}

/// A range of a [`Storage`]: one tensor's bytes, uncopied.
#[derive(Debug, Clone)]
pub struct WeightBytes {
    storage: Storage,
    range: Range<usize>,
}

impl WeightBytes {
    /// The bytes `range` of `storage`; `None` when the range is not inside it.
    pub fn new(storage: &Storage, range: Range<usize>) -> Option<Self> {
        storage.as_bytes().get(range.clone())?;
        Some(Self { storage: storage.clone(), range })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.storage.as_bytes()[self.range.clone()]
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}

impl From<Vec<u8>> for WeightBytes {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { storage: Storage::Heap(bytes.into()), range }
    }
}
