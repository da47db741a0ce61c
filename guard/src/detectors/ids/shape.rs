// SPDX-License-Identifier: AGPL-3.0-or-later
//! The notation in which rules say how a number is written.
//!
//! | in a shape | in the text |
//! |---|---|
//! | `9` | a digit |
//! | `A` | a letter, either case |
//! | `X` | a digit or a letter |
//! | a space | a space, dash or full stop, or nothing |
//! | `-` `.` `/` | that character (a dash of any length for `-`), or nothing |
//!
//! Separators are all there or all missing, and those written as spaces are all the same: `9 9 9` is `1 2 3`, `1-2-3` or
//! `123`, not `1 23` nor `1 2-3`.

use crate::text::{char_after, char_before, is_wordlike};

/// Characters of the longest identifier (a driving licence of Great Britain with its issue number: 18).
const MAX_CHARS: usize = 24;

/// No shape begins with so many digits.
const MOST_DIGITS: usize = 31;

/// The forms in which one kind of number is written.
pub(super) struct Shapes {
    forms: &'static [&'static str],
    /// Bit `n`: some form may begin with exactly `n` digits. What most numbers fail is so known before a form is looked at.
    leads: u32,
}

impl Shapes {
    pub(super) const fn new(forms: &'static [&'static str]) -> Self {
        let mut leads = 0;
        let mut i = 0;
        while i < forms.len() {
            leads |= leads_of(forms[i].as_bytes());
            i += 1;
        }
        Self { forms, leads }
    }

    /// Whether any form begins with exactly so many digits.
    pub(super) fn may_begin_with(&self, digits: usize) -> bool {
        self.leads >> digits.min(MOST_DIGITS) & 1 == 1
    }

    /// The first form that stands at `start`.
    pub(super) fn find(&self, text: &str, start: usize) -> Option<Hit> {
        self.forms.iter().find_map(|form| at(text, start, form))
    }
}

/// How many digits a form may begin with, as bits: those before its first separator, and those before its first letter when
/// separators are left out.
const fn leads_of(form: &[u8]) -> u32 {
    let (mut bits, mut digits, mut i) = (0, 0, 0);
    while i < form.len() {
        match form[i] {
            b'9' => digits += 1,
            // A letter or a digit: any number from here on.
            b'X' => return bits | !0 << digits,
            b'A' => return bits | 1 << digits,
            _ => bits |= 1 << digits,
        }
        i += 1;
    }
    bits | 1 << digits
}

/// How many digits stand at `start`.
pub(super) fn leading_digits(text: &str, start: usize) -> usize {
    text.as_bytes()[start..].iter().take(MOST_DIGITS).take_while(|b| b.is_ascii_digit()).count()
}

/// A number that has the form of a shape.
pub(super) struct Hit {
    chars: [u8; MAX_CHARS],
    len: usize,
    /// Where it ends in the text.
    pub(super) end: usize,
    /// Whether it is written with separators.
    pub(super) grouped: bool,
}

impl Hit {
    /// Its letters, in upper case, and digits.
    pub(super) fn chars(&self) -> &[u8] {
        &self.chars[..self.len]
    }
}

/// What of `shape` stands at `start`, if it is no part of something longer.
fn at(text: &str, start: usize, shape: &str) -> Option<Hit> {
    let bytes = text.as_bytes();
    let mut hit = Hit { chars: [0; MAX_CHARS], len: 0, end: start, grouped: false };
    let mut first = None;
    let mut free = None;
    for form in shape.bytes() {
        let here = *bytes.get(hit.end)?;
        let fits = match form {
            b'9' => here.is_ascii_digit(),
            b'A' => here.is_ascii_alphabetic(),
            b'X' => here.is_ascii_alphanumeric(),
            _ => {
                let (kind, len) = separator(&bytes[hit.end..]);
                let there = match form {
                    b' ' => matches!(kind, b' ' | b'-' | b'.') && *free.get_or_insert(kind) == kind,
                    literal => kind == literal,
                };
                if *first.get_or_insert(there) != there {
                    return None;
                }
                hit.end += if there { len } else { 0 };
                continue;
            }
        };
        if !fits {
            return None;
        }
        *hit.chars.get_mut(hit.len)? = here.to_ascii_uppercase();
        hit.len += 1;
        hit.end += 1;
    }
    hit.grouped = first == Some(true);
    let spaced = hit.grouped && free == Some(b' ');
    (begins(text, start, spaced) && ends(text, hit.end, spaced)).then_some(hit)
}

/// The separator at the start of `bytes` and its length; 0 if there is none.
fn separator(bytes: &[u8]) -> (u8, usize) {
    match bytes {
        [b @ (b' ' | b'-' | b'.' | b'/'), ..] => (*b, 1),
        [0xC2, 0xA0, ..] => (b' ', 2),
        [0xE2, 0x80, 0x87 | 0x89 | 0xAF, ..] => (b' ', 3),
        [0xE2, 0x80, 0x90..=0x95, ..] | [0xE2, 0x88, 0x92, ..] => (b'-', 3),
        _ => (0, 0),
    }
}

/// Whether an identifier may begin at `start`. `spaced`: its own groups are parted by spaces, so a digit before a space may
/// belong to it.
fn begins(text: &str, start: usize, spaced: bool) -> bool {
    let Some(before) = char_before(text, start) else {
        return true;
    };
    let beyond = char_before(text, start - before.len_utf8());
    match before {
        c if is_wordlike(c) => false,
        '+' | '$' | '€' | '£' | '@' | '%' | '&' => false,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '.' | ',' | '/' | '\\' => {
            !beyond.is_some_and(|c| c.is_ascii_digit() || before != ',' && c.is_alphanumeric())
        }
        ' ' | '\u{a0}' | '\u{202f}' => !(spaced && beyond.is_some_and(|c| c.is_ascii_digit())),
        _ => true,
    }
}

/// Whether an identifier may end at `end`.
fn ends(text: &str, end: usize, spaced: bool) -> bool {
    let Some(after) = char_after(text, end) else {
        return true;
    };
    let beyond = char_after(text, end + after.len_utf8());
    match after {
        c if is_wordlike(c) => false,
        '@' | '%' | '=' => false,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '/' | '\\' => {
            !beyond.is_some_and(char::is_alphanumeric)
        }
        '.' | ',' | ':' => !beyond.is_some_and(|c| c.is_ascii_digit()),
        ' ' | '\u{a0}' | '\u{202f}' => !(spaced && beyond.is_some_and(|c| c.is_ascii_digit())),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(text: &str, shape: &str) -> Option<(String, bool)> {
        at(text, 0, shape).map(|h| (String::from_utf8_lossy(h.chars()).into_owned(), h.grouped))
    }

    #[test]
    fn separators_are_all_there_or_all_missing_and_alike() {
        let some = |chars: &str, grouped| Some((chars.to_owned(), grouped));
        assert_eq!(hit("12 34 5", "99 99 9"), some("12345", true));
        assert_eq!(hit("12\u{2013}34\u{2013}5", "99 99 9"), some("12345", true));
        assert_eq!(hit("12345", "99 99 9"), some("12345", false));
        assert_eq!(hit("12 345", "99 99 9"), None);
        assert_eq!(hit("12 34-5", "99 99 9"), None);
        assert_eq!(hit("12.34-5a", "99.99-9A"), some("12345A", true));
        assert_eq!(hit("12-34.5a", "99.99-9A"), None);
    }

    #[test]
    fn a_form_is_looked_at_only_where_it_may_stand() {
        let may = |form: &'static str| {
            (0..20).filter(|&n| leads_of(form.as_bytes()) >> n & 1 == 1).collect::<Vec<u32>>()
        };
        assert_eq!(may("99 999-A"), [2, 5]);
        assert_eq!(may("A99"), [0]);
        assert_eq!(may("999999999"), [9]);
        assert_eq!(may("99X9")[..3], [2, 3, 4]);
        assert_eq!(may("XX.99").len(), 20);
        assert_eq!(leading_digits("a123b", 1), 3);
    }

    #[test]
    fn a_part_of_something_longer_is_no_hit() {
        let inside = |text: &str| at(text, text.find("12 3").unwrap(), "99 9").is_some();
        assert!(inside("no 12 3."));
        assert!(inside("12 3, 4"));
        assert!(inside("(12 3)"));
        for text in
            ["1 12 3", "12 3 4", "x12 3", "é12 3", "12 3a", "4-12 3", "0.12 3", "12 3,4", "$12 3"]
        {
            assert!(!inside(text), "{text}");
        }
    }

    #[test]
    fn a_shape_longer_than_the_text_or_the_buffer_is_no_hit() {
        assert!(at("12", 0, "999").is_none());
        assert!(at(&"1".repeat(40), 0, &"9".repeat(40)).is_none());
    }
}
