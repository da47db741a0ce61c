// SPDX-License-Identifier: AGPL-3.0-or-later
//! Words around a candidate, which make a weak pattern likely or unlikely.

use std::ops::Range;

use super::{char_before, floor_boundary};

/// How far context reaches before a candidate, in bytes: about eight words. A bound, so that work stays linear.
const BEFORE: usize = 56;
/// How far context reaches after a candidate, in bytes: "(mobile)", "is my cell".
const AFTER: usize = 20;

/// What the words around a candidate say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// A word that announces the thing, e.g. "phone".
    For,
    /// A word that announces something else, e.g. "order".
    Against,
    /// Neither.
    Silent,
}

/// Words that announce a thing and words that announce another, lower-case; compared whole, never as substrings.
pub(crate) struct Cues {
    pub(crate) positive: &'static [&'static str],
    pub(crate) negative: &'static [&'static str],
}

impl Cues {
    /// Judges the words before the span, nearest first, then those just after it (positive ones only: what follows a
    /// number seldom denies it).
    pub(crate) fn around(&self, text: &str, span: &Range<usize>) -> Context {
        for word in words_before(text, span.start) {
            if is_one_of(word, self.positive) {
                return Context::For;
            }
            if is_one_of(word, self.negative) {
                return Context::Against;
            }
        }
        let stop = floor_boundary(text, span.end.saturating_add(AFTER));
        let after = text[span.end..stop].split(['\n', '.', ';', '!', '?']).next().unwrap_or("");
        if after.split(|c: char| !c.is_alphanumeric()).any(|word| is_one_of(word, self.positive)) {
            return Context::For;
        }
        Context::Silent
    }
}

impl Cues {
    /// Whether a positive word begins right at `at`: the "Fax" of "415-555-0100-Fax".
    pub(crate) fn announced_at(&self, text: &str, at: usize) -> bool {
        let stop = floor_boundary(text, at.saturating_add(AFTER));
        let word = text[at..stop].split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
        is_one_of(word, self.positive)
    }
}

/// The words before `at`, nearest first; a word that the window cuts is left out.
pub(crate) fn words_before(text: &str, at: usize) -> impl Iterator<Item = &str> {
    let start = floor_boundary(text, at.saturating_sub(BEFORE));
    let window = &text[start..at];
    let cut = char_before(text, start).is_some_and(char::is_alphanumeric);
    let window = if cut {
        window.find(|c: char| !c.is_alphanumeric()).map_or("", |i| &window[i..])
    } else {
        window
    };
    window.rsplit(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

fn is_one_of(word: &str, list: &[&str]) -> bool {
    // Rows of numbers are what this is asked about most, and no list holds a number.
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    if word.is_ascii() {
        return list.iter().any(|w| w.eq_ignore_ascii_case(word));
    }
    list.iter().any(|w| {
        w.eq_ignore_ascii_case(word) || word.chars().flat_map(char::to_lowercase).eq(w.chars())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUES: Cues = Cues { positive: &["lic", "téléphone"], negative: &["order"] };

    fn judge(before: &str, after: &str) -> Context {
        let text = format!("{before}123{after}");
        CUES.around(&text, &(before.len()..before.len() + 3))
    }

    #[test]
    fn words_are_compared_whole() {
        assert_eq!(judge("duplicate ", ""), Context::Silent);
        assert_eq!(judge("Lic. no ", ""), Context::For);
        assert_eq!(judge("TÉLÉPHONE: ", ""), Context::For);
    }

    #[test]
    fn the_nearest_word_decides() {
        assert_eq!(judge("lic order ", ""), Context::Against);
        assert_eq!(judge("order lic ", ""), Context::For);
    }

    #[test]
    fn words_after_count_within_the_sentence() {
        assert_eq!(judge("", " (lic)"), Context::For);
        assert_eq!(judge("", ". Lic"), Context::Silent);
    }

    #[test]
    fn a_word_may_follow_at_once() {
        assert!(CUES.announced_at("1-Lic.", 2));
        assert!(!CUES.announced_at("1-Licence", 2));
        assert!(!CUES.announced_at("1-", 2));
    }

    #[test]
    fn the_window_is_bounded_and_a_cut_word_does_not_count() {
        let far = format!("lic {}", "x ".repeat(40));
        assert_eq!(judge(&far, ""), Context::Silent);
        // The window begins inside this word, at its last three letters.
        let cut = format!("duplic{}", " ".repeat(53));
        assert_eq!(judge(&cut, ""), Context::Silent);
    }
}
