// SPDX-License-Identifier: AGPL-3.0-or-later
//! Addresses and numbers in words: "ann [at] example (dot) org", "ann at example dot org", "four one five ...".

use std::ops::Range;

use super::triggers::MIN_DIGIT_WORDS;
use super::view::{Edit, Editor};
use super::words::{AT, DIGIT, DOT, digit_of, readings};

/// An address has no more labels than this behind its `@`.
const MAX_LABELS: usize = 8;
/// Most spaces on either side of a word in brackets.
const MAX_SPACES: usize = 3;

/// Writes such words as the signs they stand for, if there are any.
pub(crate) fn write_out(text: &str) -> Option<Edit> {
    let mut editor = Editor::new(text);
    let mut digits = Digits::default();
    // Behind the `@` of an address whose dots are still to come, and the end of the label behind the last dot.
    let mut in_address = 0..0;
    let mut label = 0;
    for word in Words::new(text) {
        if word.start < editor.done() {
            continue;
        }
        let lower = &text[word.clone()];
        let known = if lower.len() == 1 { 0 } else { readings(lower.as_bytes()) };
        if !digits.takes(text, &word, known) {
            digits.write(&mut editor);
        }
        if known & (AT | DOT) == 0 {
            continue;
        }
        let sign = if known & AT != 0 { "@" } else { "." };
        if let Some(whole) = bracketed(text, &word) {
            let after_word = text[..whole.start].ends_with(char::is_alphanumeric);
            if whole.start >= editor.done() && joins(text, &whole) && (sign == "@" || after_word) {
                editor.replace(whole, sign);
            }
        } else if known & AT != 0 {
            if let Some(dots) = spoken(text, &word) {
                let at = with_spaces(text, &word);
                in_address = at.end..dots;
                editor.replace(at, "@");
            }
        } else {
            let dot = with_spaces(text, &word);
            if in_address.contains(&word.start) || dot.start == label || follows_at(text, &dot) {
                let more = text.as_bytes()[dot.end..].iter();
                label =
                    dot.end + more.take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
                editor.replace(dot, ".");
            }
        }
    }
    digits.write(&mut editor);
    editor.finish()
}

/// The words of a text: runs of ASCII letters and digits.
struct Words<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl<'t> Words<'t> {
    fn new(text: &'t str) -> Self {
        Self { bytes: text.as_bytes(), at: 0 }
    }
}

impl Iterator for Words<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let rest = &self.bytes[self.at..];
        let start = self.at + rest.iter().position(u8::is_ascii_alphanumeric)?;
        let len = self.bytes[start..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        self.at = start + len;
        Some(start..self.at)
    }
}

/// The brackets around a word and the spaces around them: `[at]`, `( at )`, ` -at- `.
fn bracketed(text: &str, word: &Range<usize>) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let before = |at: usize| {
        at - bytes[..at].iter().rev().take(MAX_SPACES).take_while(|b| **b == b' ').count()
    };
    let after =
        |at: usize| at + bytes[at..].iter().take(MAX_SPACES).take_while(|b| **b == b' ').count();
    let open = before(word.start).checked_sub(1)?;
    let close = after(word.end);
    let pair = (bytes[open], *bytes.get(close)?);
    if !matches!(
        pair,
        (b'[', b']')
            | (b'(', b')')
            | (b'{', b'}')
            | (b'<', b'>')
            | (b'_', b'_')
            | (b'-', b'-')
            | (b'*', b'*')
    ) {
        return None;
    }
    Some(before(open)..after(close + 1))
}

/// Whether letters or digits stand on both sides of a range.
fn joins(text: &str, range: &Range<usize>) -> bool {
    text[..range.start].ends_with(|c: char| c.is_alphanumeric() || c == '_')
        && text[range.end..].starts_with(char::is_alphanumeric)
}

/// A word and one space on either side.
fn with_spaces(text: &str, word: &Range<usize>) -> Range<usize> {
    let bytes = text.as_bytes();
    let start = word.start
        - bytes[..word.start].iter().rev().take(MAX_SPACES).take_while(|b| **b == b' ').count();
    let end =
        word.end + bytes[word.end..].iter().take(MAX_SPACES).take_while(|b| **b == b' ').count();
    start..end
}

/// "ann at example dot org": where the address that "at" is in ends.
fn spoken(text: &str, at: &Range<usize>) -> Option<usize> {
    let whole = with_spaces(text, at);
    if !joins(text, &whole) || whole.len() < at.len() + 2 {
        return None;
    }
    let mut words = Words { bytes: text.as_bytes(), at: whole.end };
    let mut end = None;
    let mut label = words.next()?;
    for _ in 0..MAX_LABELS {
        let dot = match words.next() {
            Some(word) if text[label.end..word.start].trim() == "-" => {
                label = label.start..word.end;
                continue;
            }
            Some(word) => word,
            None => break,
        };
        if readings(text[dot.clone()].as_bytes()) & DOT == 0
            || !text[label.end..dot.start].trim().is_empty()
        {
            break;
        }
        let Some(next) = words.next() else {
            break;
        };
        if !text[dot.end..next.start].chars().all(|c| c == ' ') || dot.end == next.start {
            break;
        }
        label = next;
        end = Some(label.end);
    }
    let letters = |b: u8| b.is_ascii_alphabetic();
    end.filter(|_| (2..=10).contains(&label.len()) && text[label].bytes().all(letters))
}

/// "ann@example dot org": a dot in words behind an address that has its `@`.
fn follows_at(text: &str, dot: &Range<usize>) -> bool {
    const REACH: usize = 64;
    if !joins(text, dot) {
        return false;
    }
    let bytes = &text.as_bytes()[..dot.start];
    let token = &bytes[bytes.len().saturating_sub(REACH)..];
    let start = token.iter().rposition(u8::is_ascii_whitespace).map_or(0, |i| i + 1);
    token[start..].contains(&b'@')
}

/// A row of digits in words, single digits among them.
#[derive(Default)]
struct Digits {
    found: Vec<(Range<usize>, u8)>,
    words: usize,
}

impl Digits {
    /// Whether the word goes on with the row, or begins one.
    fn takes(&mut self, text: &str, word: &Range<usize>, known: u8) -> bool {
        let digit = if known & DIGIT != 0 {
            digit_of(&text[word.clone()])
        } else if word.len() == 1 {
            text.as_bytes().get(word.start).copied().filter(u8::is_ascii_digit)
        } else {
            None
        };
        let Some(digit) = digit else {
            return false;
        };
        if let Some((last, _)) = self.found.last() {
            let gap = &text[last.end..word.start];
            if gap.len() > MAX_SPACES
                || !gap.bytes().all(|b| matches!(b, b' ' | b'-' | b',' | b'.' | b'\n'))
            {
                return false;
            }
        }
        self.words += usize::from(word.len() > 1);
        self.found.push((word.clone(), digit));
        true
    }

    /// Ends the row, and writes it if it may be a number: counting is none.
    fn write(&mut self, editor: &mut Editor<'_>) {
        let found = std::mem::take(&mut self.found);
        let words = std::mem::take(&mut self.words);
        let rising = found.windows(2).filter(|w| w[1].1.abs_diff(w[0].1) == 1).count();
        if words < MIN_DIGIT_WORDS || 4 * rising > 3 * found.len() {
            return;
        }
        for (i, (word, digit)) in found.iter().enumerate() {
            if i > 0 {
                editor.drop_to(word.start);
            }
            editor.replace(word.clone(), char::from(*digit).encode_utf8(&mut [0; 4]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalise::testing::{assert_same, assert_views, view_of};

    #[test]
    fn words_become_signs() {
        assert_views(
            write_out,
            &[
                ("ann [at] example [dot] org!", "ann@example.org!"),
                ("ann(at)example(dot)org", "ann@example.org"),
                ("ann {AT} example {DOT} co {DOT} uk", "ann@example.co.uk"),
                ("ann_at_example.org", "ann@example.org"),
                ("mail ann at example dot org now", "mail ann@example.org now"),
                ("ann.lee AT mail DOT example DOT com", "ann.lee@mail.example.com"),
                ("ann@example dot org", "ann@example.org"),
                ("ann [at] example.org", "ann@example.org"),
                ("call four one five, five five five, oh one oh oh", "call 4155550100"),
                ("vier eins fünf", "vier eins fünf"),
            ]
            .iter()
            .filter(|(text, want)| text != want)
            .copied()
            .collect::<Vec<_>>(),
        );
    }

    #[test]
    fn ordinary_use_of_the_words_is_left() {
        assert_same(
            write_out,
            &[
                "",
                "See me at noon, dot your i's at the end.",
                "Look at this (at least once).",
                "We are at example.org",
                "one two three four five six seven eight nine",
                "at the dot org boom",
                "one one two",
                "The point at issue is the dot product",
            ],
        );
    }

    #[test]
    fn the_map_covers_the_words() {
        let source = "to ann at x dot io.";
        let view = view_of(write_out, source).unwrap();
        assert_eq!(view.text(), "to ann@x.io.");
        assert_eq!(&source[view.span(3..11)], "ann at x dot io");
    }
}
