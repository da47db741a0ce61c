// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a generation holds of the cache.

/// The positions of one generation.
#[derive(Debug, Default)]
pub struct Sequence {
    pub(super) pages: Vec<usize>,
    pub(super) tokens: Vec<u32>,
    /// Full pages that are known by their tokens already.
    pub(super) known: usize,
    /// Tokens that a pass has written.
    pub(super) written: usize,
}

impl Sequence {
    /// Tokens whose keys and values are cached.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub(crate) fn pages(&self) -> &[usize] {
        &self.pages
    }
}
