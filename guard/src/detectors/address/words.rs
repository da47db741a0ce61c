// SPDX-License-Identifier: AGPL-3.0-or-later
//! Reading the words of an address, forwards and backwards, and what follows the street.

use super::lists::{AREAS, STATES, UNIT, among};
use crate::text::{char_after, char_before, is_wordlike};

/// The longest word of a street or town, in bytes: "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch" has 58.
const MAX_WORD: usize = 60;

/// A word and where it ends and begins.
#[derive(Clone, Copy)]
pub(super) struct Word<'t> {
    pub(super) text: &'t str,
    pub(super) start: usize,
}

impl Word<'_> {
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    pub(super) fn is_capital(&self) -> bool {
        self.text.chars().next().is_some_and(char::is_uppercase)
    }

    /// "5th", "42nd".
    pub(super) fn is_ordinal(&self) -> bool {
        let letters = self.text.trim_start_matches(|c: char| c.is_ascii_digit());
        letters.len() < self.text.len() && among(letters, &["st", "nd", "rd", "th"])
    }

    fn is_number(&self, digits: std::ops::RangeInclusive<usize>) -> bool {
        digits.contains(&self.text.len()) && self.text.bytes().all(|b| b.is_ascii_digit())
    }
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\'' | '’' | '-' | '.')
}

/// The word that begins at `at` after no more than three of `separators`.
pub(super) fn word_after<'t>(text: &'t str, at: usize, separators: &[char]) -> Option<Word<'t>> {
    let rest = &text[at..];
    let skip: usize =
        rest.chars().take(3).take_while(|c| separators.contains(c)).map(char::len_utf8).sum();
    if at > 0 && skip == 0 {
        return None;
    }
    let start = at + skip;
    let len: usize =
        text[start..].chars().take(MAX_WORD).take_while(|c| is_part(*c)).map(char::len_utf8).sum();
    let word = &text[start..start + len];
    // A full stop ends an abbreviation inside an address, and else the sentence.
    let bare = word.trim_end_matches(['.', '-', '\'', '’']);
    (!bare.is_empty()).then_some(Word { text: bare, start })
}

/// The word that ends at `at` before no more than three of `separators`.
pub(super) fn word_before<'t>(text: &'t str, at: usize, separators: &[char]) -> Option<Word<'t>> {
    let skip: usize = text[..at]
        .chars()
        .rev()
        .take(3)
        .take_while(|c| separators.contains(c))
        .map(char::len_utf8)
        .sum();
    let end = at - skip;
    let len: usize = text[..end]
        .chars()
        .rev()
        .take(MAX_WORD)
        .take_while(|c| is_part(*c))
        .map(char::len_utf8)
        .sum();
    (skip > 0 && len > 0).then(|| Word { text: &text[end - len..end], start: end - len })
}

/// Where the address ends whose street ends at `end`: behind a flat, then a town with its postcode, as far as they are there.
pub(super) fn tail(text: &str, end: usize) -> usize {
    let end = unit(text, end).unwrap_or(end);
    town(text, end).unwrap_or(end)
}

/// ", Apt. 5", " Suite 100", " #4".
fn unit(text: &str, end: usize) -> Option<usize> {
    const GAP: &[char] = &[' ', ',', '\n', '.'];
    let name = match word_after(text, end, GAP) {
        Some(word) if among(word.text, UNIT) => word.end(),
        Some(_) => return None,
        None => end,
    };
    let number = word_after(text, name, &[' ', '.', '#', ','])?;
    let named = name > end || text[end..number.start].ends_with('#');
    let short = number.text.len() <= 5
        && (number.text.len() == 1 || number.text.bytes().any(|b| b.is_ascii_digit()));
    (named && short).then_some(number.end())
}

/// ", Springfield, IL 62704", ", London SW1A 1AA", ", 10115 Berlin", ", 1012 AB Amsterdam".
fn town(text: &str, end: usize) -> Option<usize> {
    const GAP: &[char] = &[' ', ',', '\n', '\r', '.'];
    let mut at = end;
    for i in 0..5 {
        let word = word_after(text, at, GAP)?;
        if let Some(end) = postcode(text, word.start) {
            return Some(end);
        }
        if i == 0 && word.is_number(4..=5) {
            let mut last = word_after(text, word.end(), &[' '])?;
            if last.text.len() == 2 && last.text.bytes().all(|b| b.is_ascii_uppercase()) {
                last = word_after(text, last.end(), &[' '])?;
            }
            return last.is_capital().then(|| last.end());
        }
        if STATES.contains(&word.text) {
            return zip(text, word.end()).or_else(|| (i > 0).then(|| word.end()));
        }
        if !word.is_capital() {
            return None;
        }
        at = word.end();
    }
    None
}

/// Where a ZIP code after a state ends.
pub(super) fn zip(text: &str, state_end: usize) -> Option<usize> {
    let word = word_after(text, state_end, &[' '])?;
    let five = word.text.len() == 5 || word.text.len() == 10 && word.text.as_bytes()[5] == b'-';
    let digits = word.text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    (five && digits && word.text.as_bytes()[0] != b'-').then(|| word.end())
}

/// Where the postcode of the United Kingdom ends that begins at `start` (Royal Mail, "Programmers' guide", in upper case).
pub(super) fn postcode(text: &str, start: usize) -> Option<usize> {
    let rest = &text.as_bytes()[start..];
    let letters = rest.iter().take(3).take_while(|b| b.is_ascii_uppercase()).count();
    let digit = |i: usize| rest.get(i).is_some_and(u8::is_ascii_digit);
    if !matches!(letters, 1 | 2)
        || !digit(letters)
        || char_before(text, start).is_some_and(|c| is_wordlike(c) || c == '-')
    {
        return None;
    }
    let area = text.get(start..start + letters).filter(|area| AREAS.contains(area))?;
    let inward = |i: usize| {
        digit(i)
            && [i + 1, i + 2].iter().all(|&j| {
                rest.get(j).is_some_and(|b| b.is_ascii_uppercase() && !b"CIKMOV".contains(b))
            })
    };
    let outward = area.len() + 1;
    // A second digit or, in the middle of London, a letter.
    let long = rest.get(outward).is_some_and(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    [outward + usize::from(long), outward].into_iter().find_map(|out| {
        let gap = usize::from(rest.get(out) == Some(&b' '));
        let end = start + out + gap + 3;
        let whole = inward(out + gap) && !char_after(text, end).is_some_and(is_wordlike);
        whole.then_some(end)
    })
}
