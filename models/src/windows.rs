// SPDX-License-Identifier: AGPL-3.0-or-later
//! Texts longer than an encoder's window: how they are cut, and how what comes out is joined.

use std::ops::Range;

/// Windows a text is read in at most; what lies behind is reported as truncated.
const MAX_WINDOWS: usize = 256;

/// Part of a window that overlaps the next: a quarter.
const OVERLAP: usize = 4;

/// Tokens of one forward pass at most; bounds the memory of activations.
const PASS_TOKENS: usize = 4096;

fn step(body: usize) -> usize {
    body - body / OVERLAP
}

/// Tokens of a text that windows of `body` tokens reach.
pub(crate) fn reach(body: usize) -> usize {
    step(body).saturating_mul(MAX_WINDOWS - 1).saturating_add(body)
}

/// Windows of at most `body` tokens that cover `tokens` tokens, which [`reach`] allows.
pub(crate) fn cut(tokens: usize, body: usize) -> Vec<Range<usize>> {
    let mut windows = Vec::new();
    let mut start = 0;
    while start < tokens {
        let end = tokens.min(start + body);
        windows.push(start..end);
        if end == tokens {
            break;
        }
        start += step(body);
    }
    windows
}

/// Sequences of these lengths in passes of bounded size, in order; a longer one goes alone.
pub(crate) fn passes(lengths: impl IntoIterator<Item = usize>) -> Vec<Range<usize>> {
    let mut passes: Vec<Range<usize>> = Vec::new();
    let mut tokens = 0usize;
    for (i, length) in lengths.into_iter().enumerate() {
        tokens = tokens.saturating_add(length);
        match passes.last_mut() {
            Some(pass) if tokens <= PASS_TOKENS => pass.end = i + 1,
            _ => {
                passes.push(i..i + 1);
                tokens = length;
            }
        }
    }
    passes
}

/// Divides by the L2 norm; a zero vector stays zero.
pub(crate) fn normalize(vector: &mut [f32]) {
    let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|v| *v /= norm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_overlap_by_a_quarter_and_reach_the_end() {
        assert!(cut(0, 8).is_empty());
        assert_eq!(cut(8, 8), std::slice::from_ref(&(0..8)));
        assert_eq!(cut(15, 8), [0..8, 6..14, 12..15]);
        let all = cut(reach(8), 8);
        assert_eq!((all.len(), all[MAX_WINDOWS - 1].end), (MAX_WINDOWS, reach(8)));
        assert_eq!(cut(3, 1), [0..1, 1..2, 2..3]);
    }

    #[test]
    fn passes_are_bounded_and_a_long_sequence_goes_alone() {
        assert!(passes([]).is_empty());
        assert_eq!(passes([4000, 96, 1]), [0..2, 2..3]);
        assert_eq!(passes([5000, 10, usize::MAX, 5]), [0..1, 1..2, 2..3, 3..4]);
    }
}
