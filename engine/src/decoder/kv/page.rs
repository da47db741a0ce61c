// SPDX-License-Identifier: AGPL-3.0-or-later
//! What pages are known by.

/// Where a page stands in the tree of known beginnings.
#[derive(Debug)]
pub(super) struct Page {
    /// Sequences that hold it.
    pub(super) users: usize,
    /// What it is known by, once it is full.
    pub(super) key: Option<Prefix>,
    /// What it stands behind, if it is kept as the unfinished end of a sequence.
    pub(super) tail: Option<Before>,
    /// When it was last given back.
    pub(super) idle_since: u64,
}

/// The page before and how often that had been reused, so that it never means another page; none
/// at the beginning.
pub(super) type Before = Option<(usize, u64)>;

/// A full page: its tokens, behind another page or at the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Prefix {
    pub(super) before: Before,
    pub(super) tokens: Box<[u32]>,
}
