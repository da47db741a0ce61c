// SPDX-License-Identifier: AGPL-3.0-or-later
//! Long unbroken stretches of a text: the raw material of keys, tokens and addresses, found in one pass.

use std::ops::Range;

/// Shorter stretches hold nothing any detector of keys looks for.
const MIN_LEN: usize = 16;

/// A maximal stretch of ASCII letters, digits and `_ - + / .`, in bytes of the text.
pub(crate) type Token = Range<usize>;

/// All tokens of at least 16 bytes, in order.
///
/// Looks at the far end of each window first, so that ordinary prose is mostly skipped.
pub(crate) fn scan(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(window) = bytes.get(start..start + MIN_LEN) {
        match window.iter().rposition(|b| !is_part(*b)) {
            Some(offset) => start += offset + 1,
            None => {
                let end = span_end(bytes, start + MIN_LEN, usize::MAX, is_part);
                tokens.push(start..end);
                start = end + 1;
            }
        }
    }
    tokens
}

fn is_part(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'/' | b'.')
}

/// Where the stretch of bytes that `belongs` accepts, begun at `from`, ends; at most `limit` bytes on.
pub(crate) fn span_end(
    bytes: &[u8],
    from: usize,
    limit: usize,
    belongs: impl Fn(u8) -> bool,
) -> usize {
    let stop = from.saturating_add(limit).min(bytes.len());
    bytes[from..stop].iter().position(|b| !belongs(*b)).map_or(stop, |len| from + len)
}

/// The stretches of bytes within `token` that `belongs` accepts.
pub(crate) fn pieces<'a>(
    bytes: &'a [u8],
    token: &Token,
    belongs: impl Fn(u8) -> bool + 'a,
) -> impl Iterator<Item = Range<usize>> + 'a {
    let (mut at, stop) = (token.start, token.end);
    std::iter::from_fn(move || {
        let start = at + bytes[at..stop].iter().position(|b| belongs(*b))?;
        at = span_end(&bytes[..stop], start, usize::MAX, &belongs);
        Some(start..at)
    })
}

/// Shannon entropy of the bytes, in bits a byte: 0 for one byte repeated, `log2(len)` when all differ.
pub(crate) fn entropy(bytes: &[u8]) -> f32 {
    let mut counts = [0u32; 256];
    for &b in bytes {
        counts[usize::from(b)] += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "lengths of tokens, not of files")]
    let (len, counts) = (bytes.len() as f32, counts.into_iter().filter(|n| *n > 0));
    #[expect(clippy::cast_precision_loss, reason = "lengths of tokens, not of files")]
    counts.map(|n| n as f32 / len).map(|share| -share * share.log2()).sum()
}

/// How many different bytes there are.
pub(crate) fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    bytes.iter().filter(|b| !std::mem::replace(&mut seen[usize::from(**b)], true)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        scan(text).into_iter().map(|token| &text[token]).collect()
    }

    #[test]
    fn long_stretches_are_found_whole() {
        assert_eq!(found("a 0123456789abcdef, b"), ["0123456789abcdef"]);
        assert_eq!(found("0123456789abcde"), Vec::<&str>::new());
        assert_eq!(found("é0123456789abcdefé"), ["0123456789abcdef"]);
        assert_eq!(found("=a_b-c+d/e.f0123456789=x"), ["a_b-c+d/e.f0123456789"]);
        assert_eq!(
            found(&format!("{} {}", "x".repeat(40), "y".repeat(16))),
            ["x".repeat(40), "y".repeat(16)]
        );
        assert!(found("").is_empty() && found("words of an ordinary sentence, no more").is_empty());
    }

    #[test]
    fn pieces_part_a_token() {
        let text = "ab-cd--e";
        let got: Vec<_> =
            pieces(text.as_bytes(), &(0..8), |b| b != b'-').map(|p| &text[p]).collect();
        assert_eq!(got, ["ab", "cd", "e"]);
    }

    #[test]
    fn entropy_is_that_of_the_textbook() {
        assert_eq!(entropy(b"aaaa"), 0.0);
        assert_eq!(entropy(b"abab"), 1.0);
        assert_eq!(entropy(b"abcdefgh"), 3.0);
        assert_eq!(distinct(b"abcab"), 3);
    }
}
