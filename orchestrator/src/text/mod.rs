// SPDX-License-Identifier: AGPL-3.0-or-later
//! Plain text analysis without a model: sentences, words, quantities, polarity, key phrases.
//!
//! Everything here is deterministic, works on any UTF-8 input (NUL bytes and emoji included) and
//! takes time linear in the length of the text. Spans are byte offsets into the text given.

pub mod function_words;
pub mod numbers;
pub mod phrases;
pub mod polarity;
pub mod sentences;
pub mod words;

pub use function_words::FunctionWords;
pub use numbers::{Bound, Quantity, QuantityKind, quantities};
pub use phrases::key_phrases;
pub use polarity::{Term, are_antonyms, terms};
pub use sentences::{Kind, Sentences, Turn, ends_with_stop, is_heading, sentences, speaker, turn};
pub use words::{Word, Words, is_stop_word, stem, term_id, words};

/// Collapses every run of whitespace to one space and trims the ends.
pub fn squeeze(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for part in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(part);
    }
    out
}

/// The longest prefix of at most `max` characters that ends at a word, and whether it is shorter
/// than the text.
///
/// A text whose first word is longer than `max` is cut inside it, at a character.
pub fn clip(text: &str, max: usize) -> (&str, bool) {
    let Some((cut, next)) = text.char_indices().nth(max) else { return (text, false) };
    let head = &text[..cut];
    if next.is_whitespace() {
        return (head.trim_end(), true);
    }
    let at_word = head.rfind(char::is_whitespace).map(|at| head[..at].trim_end());
    (at_word.filter(|kept| !kept.is_empty()).unwrap_or(head), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squeeze_leaves_single_spaces() {
        assert_eq!(squeeze(" a\n\n b\tc  "), "a b c");
        assert_eq!(squeeze("\n "), "");
    }

    #[test]
    fn clip_counts_characters_and_keeps_words_whole() {
        assert_eq!(clip("über alles hier", 10), ("über alles", true));
        assert_eq!(clip("über alles hier", 9), ("über", true));
        assert_eq!(clip("über", 4), ("über", false));
        assert_eq!(clip("😀😀😀", 2), ("😀😀", true));
        assert_eq!(clip("abc", 0), ("", true));
    }
}
