// SPDX-License-Identifier: AGPL-3.0-or-later
//! Where weight bytes live: in a mapped file, in the program itself, or on the heap.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::control::CancelToken;
use crate::error::EngineError;
use crate::huge::{HUGE_PAGE, PageArena, Pages};
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
///
/// Bytes of a mapped file can be moved to huge pages while they are in use ([`promote`]).
#[derive(Debug, Clone)]
pub struct WeightBytes {
    storage: Storage,
    range: Range<usize>,
    /// Where the same bytes are on huge pages, once they are; clones share it.
    promoted: Arc<OnceLock<Promoted>>,
}

/// A part of an arena.
#[derive(Debug)]
struct Promoted {
    arena: Arc<PageArena>,
    range: Range<usize>,
}

/// Bytes of an arena that weights are moved to: large enough that little of its last huge page is
/// lost, small enough that memory is not held twice for long.
const ARENA: usize = 64 << 20;

/// Bytes that are copied before their pages of the file are dropped: an output head is larger than an arena by far.
const STEP: usize = 4 << 20;

/// Copies mapped weights to huge pages, which stream faster than small ones, and drops their pages of
/// the file from this process; whoever reads them meanwhile sees the same bytes either way.
///
/// Weights are taken in order until `budget` bytes are used or `cancel` is set; those that are no
/// part of a mapped file stay. Returns the bytes that were moved.
///
/// # Errors
/// [`EngineError::Memory`] when the system has none; what is moved by then stays so.
pub fn promote(
    weights: &[WeightBytes],
    budget: usize,
    cancel: &CancelToken,
) -> Result<usize, EngineError> {
    let mapped = |weights: &&WeightBytes| {
        matches!(weights.storage, Storage::Mapped(_)) && weights.promoted.get().is_none()
    };
    let mut rest: Vec<_> = weights.iter().filter(mapped).collect();
    let mut moved = 0;
    while !rest.is_empty() && !cancel.is_cancelled() {
        // As many as fit an arena, at least one; each on a cache line.
        let (mut len, mut count) = (0usize, 0);
        for weights in &rest {
            let next = len.saturating_add(weights.len().next_multiple_of(64));
            if count > 0 && next > ARENA {
                break;
            }
            (len, count) = (next, count + 1);
        }
        let pages = len.next_multiple_of(HUGE_PAGE);
        if moved + pages > budget {
            break;
        }
        let mut arena = PageArena::new(len, Pages::Huge).map_err(EngineError::Memory)?;
        let mut at = 0;
        let group: Vec<_> = rest.drain(..count).collect();
        for weights in &group {
            let copy = &mut arena.as_mut_bytes()[at..][..weights.len()];
            let (mut from, bytes) = (weights.range.start, weights.as_bytes());
            for (copy, bytes) in copy.chunks_mut(STEP).zip(bytes.chunks(STEP)) {
                copy.copy_from_slice(bytes);
                // Who reads them before the copy is in use has them read again.
                weights.storage.release(from..from + bytes.len());
                from += bytes.len();
            }
            at += weights.len().next_multiple_of(64);
        }
        let (arena, mut at) = (Arc::new(arena), 0);
        for weights in group {
            let range = at..at + weights.len();
            at += weights.len().next_multiple_of(64);
            // Somebody else may have moved it meanwhile.
            let _ = weights.promoted.set(Promoted { arena: arena.clone(), range });
            weights.storage.release(weights.range.clone());
        }
        moved += pages;
    }
    Ok(moved)
}

impl WeightBytes {
    /// The bytes `range` of `storage`; `None` when the range is not inside it.
    pub fn new(storage: &Storage, range: Range<usize>) -> Option<Self> {
        storage.as_bytes().get(range.clone())?;
        Some(Self { storage: storage.clone(), range, promoted: Arc::default() })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self.promoted.get() {
            Some(Promoted { arena, range }) => &arena.as_bytes()[range.clone()],
            None => &self.storage.as_bytes()[self.range.clone()],
        }
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
        Self { storage: Storage::Heap(bytes.into()), range, promoted: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promoted_weights_are_the_same_bytes_within_the_budget() {
        let path = std::env::temp_dir().join(format!("bho-promote-{}", std::process::id()));
        let bytes: Vec<u8> = (0..5u32 << 20).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let storage = Storage::map(&path).unwrap();
        let part = |range: Range<usize>| WeightBytes::new(&storage, range).unwrap();
        let heap = WeightBytes::from(vec![1, 2, 3]);
        let weights = [part(3..70), part(0..3 << 20), heap, part(1 << 20..5 << 20)];
        let clone = weights[1].clone();
        let cancel = CancelToken::new();
        // Nothing fits.
        assert_eq!(promote(&weights, HUGE_PAGE, &cancel).unwrap(), 0);
        let moved = promote(&weights, 64 << 20, &cancel).unwrap();
        assert_eq!(moved, 8 << 20);
        for (weights, range) in
            [(&weights[0], 3..70), (&weights[1], 0..3 << 20), (&weights[3], 1 << 20..5 << 20)]
        {
            assert!(weights.promoted.get().is_some() && weights.as_bytes() == &bytes[range]);
        }
        assert!(clone.promoted.get().is_some() && weights[2].promoted.get().is_none());
        assert_eq!(weights[0].as_bytes().as_ptr().align_offset(64), 0);
        assert_eq!(promote(&weights, 64 << 20, &cancel).unwrap(), 0);
        cancel.cancel();
        assert_eq!(promote(&[part(0..100)], 64 << 20, &cancel).unwrap(), 0);
        std::fs::remove_file(&path).unwrap();
    }
}
