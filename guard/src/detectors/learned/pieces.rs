// SPDX-License-Identifier: AGPL-3.0-or-later
//! A long text in pieces, so that a check can be stopped between them and memory stays bounded.

use std::ops::Range;

use crate::text::floor_boundary;

/// Bytes of a piece at most.
const PIECE: usize = 4096;
/// Bytes that a piece shares with the next: longer than a name or an address.
const SHARED: usize = 256;

/// Pieces that cover a run of the text, in order; one of them holds whole whatever is shorter than the overlap.
///
/// A piece ends after white space where there is some near its end, else between two characters.
pub(super) fn pieces(text: &str, run: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
    let text = &text[..run.end];
    let mut next = Some(run.start);
    std::iter::from_fn(move || {
        let start = next?;
        let end = cut(text, start + PIECE);
        next = (end < text.len()).then(|| cut(text, end - SHARED));
        Some(start..end)
    })
}

/// A boundary at or a little before `at`.
pub(super) fn cut(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    let at = floor_boundary(text, at);
    let near = floor_boundary(text, at.saturating_sub(SHARED / 2));
    let space = text[near..at].char_indices().rev().find(|(_, c)| c.is_whitespace());
    space.map_or(at, |(i, c)| near + i + c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) {
        check_from(text, 0);
        check_from(text, floor_boundary(text, text.len() / 3));
    }

    fn check_from(text: &str, from: usize) {
        let all: Vec<_> = pieces(text, from..text.len()).collect();
        assert_eq!(all.first().map(|p| p.start), Some(from));
        assert_eq!(all.last().map(|p| p.end), Some(text.len()));
        for pair in all.windows(2) {
            assert!(pair[1].start < pair[0].end && pair[1].start > pair[0].start, "{pair:?}");
            assert!(pair[0].end - pair[1].start >= SHARED / 2, "{pair:?}");
        }
        assert!(all.iter().all(|p| p.len() <= PIECE && text.get(p.clone()).is_some()));
    }

    #[test]
    fn pieces_overlap_and_reach_both_ends() {
        check("");
        check("a b");
        check(&"word ".repeat(5000));
        check(&"x".repeat(20_000));
        check(&"🦀".repeat(5000));
        check(&format!("{}{}", "é".repeat(4000), " a".repeat(4000)));
    }
}
