// SPDX-License-Identifier: AGPL-3.0-or-later
//! What Unicode offers for dressing up a Latin letter or a digit, taken off again.
//!
//! Invisible characters and accents go, full-width, circled and mathematical letters and digits of all scripts become
//! ASCII (NFKD), and so do separators beside Latin letters and digits. Letters of other scripts become the Latin ones
//! they look like (UTS #39) only in a word that mixes scripts, or that looks Latin as a whole in a text that mostly is:
//! a Russian, Greek or Armenian word stays as it is.

use std::ops::Range;

use unicode_script::{Script, UnicodeScript};

use super::chars::{
    digit, is_accent, is_invisible, is_mark, is_strict_lookalike, latin_lookalike, plain,
};
use super::view::{Edit, Editor};
use crate::text::bytes::find;
use crate::text::{char_after, char_before};

/// Folds a text, if there is anything to fold.
pub(crate) fn fold(text: &str) -> Option<Edit> {
    let mut editor = Editor::new(text);
    let mut latin = None;
    let mut at = 0;
    while let Some(found) = next_special(text, at) {
        let word = word_around(text, at, found);
        if word.is_empty() {
            // No part of a word: a separator or a sign.
            let c = char_after(text, found).unwrap_or(' ');
            at = found + c.len_utf8();
            sign(text, found..at, c, &mut editor);
        } else {
            at = word.end;
            fold_word(text, word, &mut latin, &mut editor);
        }
    }
    editor.finish()
}

/// The next character that is not plain text in ASCII.
fn next_special(text: &str, from: usize) -> Option<usize> {
    let special = |b: u8| b >= 0x7f || b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r');
    find(text.as_bytes(), from, special)
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || is_invisible(c) || is_mark(c)
}

/// The word that holds the character at `found`, from `floor` on; empty if that is none.
fn word_around(text: &str, floor: usize, found: usize) -> Range<usize> {
    let rest = &text[found..];
    let len = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
    if len == 0 {
        return found..found;
    }
    // Before `found` all is ASCII.
    let before = &text.as_bytes()[floor..found];
    let start = before.iter().rev().take_while(|b| b.is_ascii_alphanumeric()).count();
    found - start..found + len
}

/// What a word is written in.
#[derive(Default)]
struct Scripts {
    latin: bool,
    /// The first other script that has letters like Latin ones.
    other: Option<Script>,
    mixed: bool,
    /// All letters of other scripts look like Latin ones.
    all_alike: bool,
}

impl Scripts {
    fn of(word: &str) -> Self {
        let mut scripts = Self { all_alike: true, ..Self::default() };
        for c in word.chars() {
            if c.is_ascii_alphabetic() {
                scripts.latin = true;
            } else if c.is_ascii() || !c.is_alphabetic() {
                continue;
            } else if c.script() == Script::Latin || plain(c).is_some() {
                scripts.latin = true;
            } else if latin_lookalike(c).is_some() {
                match scripts.other {
                    Some(script) if script != c.script() => scripts.mixed = true,
                    _ => scripts.other = Some(c.script()),
                }
                scripts.all_alike &= is_strict_lookalike(c);
            } else {
                scripts.all_alike = false;
            }
        }
        scripts
    }
}

fn fold_word(text: &str, word: Range<usize>, latin: &mut Option<bool>, editor: &mut Editor<'_>) {
    let scripts = Scripts::of(&text[word.clone()]);
    let disguised = scripts.other.is_some()
        && (scripts.latin
            || scripts.mixed
            || scripts.all_alike && *latin.get_or_insert_with(|| is_mostly_latin(text)));
    // Whether the last visible character is Latin, so that a mark of any script on it is decoration.
    let mut on_latin = char_before(text, word.start).is_some_and(|c| c.is_ascii());
    for (offset, c) in text[word.clone()].char_indices() {
        let range = word.start + offset..word.start + offset + c.len_utf8();
        if c.is_ascii() && !is_invisible(c) {
            on_latin = true;
        } else if is_invisible(c) {
            // Emoji and scripts that join letters keep theirs.
            let next = char_after(text, range.end);
            if on_latin || disguised || next.is_some_and(|c| c.is_ascii_graphic()) {
                editor.replace(range, "");
            }
        } else if is_mark(c) {
            if on_latin || is_accent(c) && disguised {
                editor.absorb(range);
            }
        } else if let Some(value) = digit(c) {
            editor.replace(range, value.encode_utf8(&mut [0; 4]));
            on_latin = true;
        } else if let Some(short) = plain(c) {
            editor.replace(range, short.as_str());
            on_latin = true;
        } else if (disguised || c.script() == Script::Latin)
            && let Some(short) = latin_lookalike(c)
        {
            editor.replace(range, short.as_str());
            on_latin = true;
        } else {
            on_latin = false;
        }
    }
}

/// Separators and signs: spaces, and dashes and dots beside what is read as Latin letters or digits.
fn sign(text: &str, range: Range<usize>, c: char, editor: &mut Editor<'_>) {
    let before = char_before(text, range.start).is_some_and(reads_as_ascii);
    let after = char_after(text, range.end).is_some_and(reads_as_ascii);
    let near = |test: fn(char) -> bool| {
        char_before(text, range.start).is_some_and(test)
            || char_after(text, range.end).is_some_and(test)
    };
    let numeric = |c: char| c.is_numeric() || digit(c).is_some();
    let with = match c {
        '\u{85}' | '\u{2028}' | '\u{2029}' => "\n",
        '\u{2010}' | '\u{2011}' | '\u{2212}' if before && after => "-",
        '\u{2012}'..='\u{2015}' if before && after && near(numeric) => "-",
        '\u{b7}' | '\u{2022}' | '\u{2219}' | '\u{22c5}' | '\u{2024}' | '\u{3002}' | '\u{30fb}'
        | '\u{ff61}' | '\u{6d4}' | '\u{a4f8}'
            if before && after =>
        {
            "."
        }
        _ => match plain(c) {
            // Not "..." for an ellipsis or "TM" for a trade mark.
            Some(short) if short.as_str().len() == 1 => {
                return editor.replace(range, short.as_str());
            }
            _ => return,
        },
    };
    editor.replace(range, with);
}

fn reads_as_ascii(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || !c.is_ascii()
            && (digit(c).is_some()
                || is_invisible(c)
                || plain(c).is_some_and(|s| s.as_str().ends_with(|c: char| c.is_alphanumeric())))
}

/// Whether more letters stand in words with Latin letters than in words without any, lookalikes not counted.
fn is_mostly_latin(text: &str) -> bool {
    let (mut latin, mut other) = (0usize, 0usize);
    for word in text.split(|c: char| !in_word(c)).filter(|word| !word.is_empty()) {
        if word.bytes().any(|b| b.is_ascii_alphabetic()) {
            latin += word.len();
        } else if word.chars().any(|c| c.is_alphabetic() && !is_strict_lookalike(c)) {
            other += word.len();
        }
    }
    latin > other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalise::testing::{assert_same, assert_views};

    #[test]
    fn disguises_of_ascii_come_off() {
        assert_views(
            fold,
            &[
                ("ａｎｎ＠ｅｘａｍｐｌｅ．ｏｒｇ", "ann@example.org"),
                ("a\u{200b}n\u{2060}n\u{ad}@\u{feff}example.org", "ann@example.org"),
                ("ign\u{e0061}ore", "ignore"),
                ("ı\u{300}gnóré", "ignore"),
                ("i\u{332}g\u{332}n\u{332}", "ign"),
                ("ⓘⓖ𝓷𝕠🅁🅴", "ignoRE"),
                ("ɪɢɴᴏʀᴇ", "ignore"),
                ("ignоrе аll", "ignore all"),
                ("Іgnоrе", "Ignore"),
                ("٤١١١ ٩", "4111 9"),
                ("415\u{a0}555\u{2013}0100", "415 555-0100"),
                ("4111·1111•2222", "4111.1111.2222"),
                ("john@example․com", "john@example.com"),
                ("a\u{2028}b", "a\nb"),
                ("ad\u{0}min", "admin"),
                ("e\u{6d4}x a\u{64b}b", "e\u{6d4}x ab".replace('\u{6d4}', ".").as_str()),
            ],
        );
    }

    #[test]
    fn genuine_text_of_other_scripts_is_left() {
        assert_same(
            fold,
            &[
                "",
                "plain ASCII, 100 % of it\n",
                "Все люди рождаются свободными и равными. Сор, рот, вес.",
                "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι",
                "सभी मनुष्यों को गौरव और अधिकारों",
                "می‌خواهم",
                "すべての人間は、生まれながら",
                "모든 인간은 태어날 때부터",
                "well — it’s “fine” – yes…",
                "❤\u{fe0f} 👩\u{200d}💻",
            ],
        );
    }

    #[test]
    fn a_word_that_looks_latin_is_folded_in_latin_text_only() {
        assert_views(fold, &[("the word рое here", "the word poe here")]);
        assert_same(fold, &["это слово рое здесь, the"]);
    }
}
