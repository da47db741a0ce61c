// SPDX-License-Identifier: AGPL-3.0-or-later
//! Cheap views of a text that detectors share.

pub(crate) mod bytes;
pub(crate) mod checksum;
pub(crate) mod context;
pub(crate) mod dates;
pub(crate) mod numbers;
pub(crate) mod placeholder;
pub(crate) mod tokens;
pub(crate) mod wordtable;

/// The nearest `char` boundary at or before `at`, which may lie past the end.
///
/// (`str::floor_char_boundary` is newer than this project's minimum Rust.)
pub(crate) fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The character that ends just before `at`.
pub(crate) fn char_before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

/// The character that starts at `at`.
pub(crate) fn char_after(text: &str, at: usize) -> Option<char> {
    text[at..].chars().next()
}

/// Whether a name or number goes on over this character, so that a candidate beside it is part of something longer.
pub(crate) fn is_wordlike(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
