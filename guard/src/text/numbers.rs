// SPDX-License-Identifier: AGPL-3.0-or-later
//! Digit groups, runs of them, and where an identifier may begin: the raw material of all detectors of numbers, found in one
//! pass.

use std::ops::Range;

use super::bytes::find;

/// Runs with fewer digits hold no number any detector looks for; dates and house numbers are read from the groups.
const MIN_DIGITS: usize = 6;
/// No identifier has more letters before its first digit (an Italian tax code has six, and up to five digits in letters).
const MAX_LETTERS: usize = 12;
/// Between two digit groups of a run: at most this many separator characters.
const MAX_GAP_CHARS: usize = 3;

/// All digit groups of a text, and those that make runs.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    groups: Vec<Group>,
    runs: Vec<Range<usize>>,
    starts: Vec<usize>,
}

/// A maximal stretch of ASCII digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Group {
    pub(crate) fn len(self) -> usize {
        self.end - self.start
    }

    /// The digits as text.
    pub(crate) fn digits(self, text: &str) -> &str {
        &text[self.start..self.end]
    }
}

/// What stands between two groups of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// One space, no-break or thin space included.
    Space,
    /// One hyphen or dash of any length.
    Dash,
    /// One full stop.
    Dot,
    /// One slash.
    Slash,
    /// More than one character, or a parenthesis.
    Mixed,
}

impl Numbers {
    /// One pass over the bytes.
    pub(crate) fn scan(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut numbers = Self::default();
        let mut at = 0;
        while let Some(mut start) = find(bytes, at, |b| b.is_ascii_digit()) {
            let first = numbers.groups.len();
            let first_start = numbers.starts.len();
            let mut digits = 0;
            let mut mixed = false;
            numbers.starts.extend(short_word_before(bytes, start));
            loop {
                let end = start
                    + bytes[start..]
                        .iter()
                        .position(|b| !b.is_ascii_digit())
                        .unwrap_or(bytes.len() - start);
                numbers.groups.push(Group { start, end });
                if let Some(token) = token_start(bytes, start) {
                    numbers.starts.push(token);
                    mixed |= token < start
                        || matches!(bytes[end..], [b, ..] | [b'.', b, ..] if b.is_ascii_alphabetic());
                }
                digits += end - start;
                at = end;
                match gap_len(&bytes[end..]) {
                    Some(gap) => start = end + gap,
                    None => break,
                }
            }
            if digits >= MIN_DIGITS {
                numbers.runs.push(first..numbers.groups.len());
            } else if !mixed {
                numbers.starts.truncate(first_start);
            }
        }
        numbers
    }

    /// All digit groups in order, those of short runs too.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Where an identifier with a digit in it may begin, in order: a group of a run, or the token of letters and digits that
    /// holds one.
    pub(crate) fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// Asks `take` about each group of each run, in order. It gets the run and the group's place in it, and answers with the
    /// place to go on from when it took the group.
    pub(crate) fn walk(&self, mut take: impl FnMut(&[Group], usize) -> Option<usize>) {
        for run in self.runs() {
            let mut at = 0;
            while at < run.len() {
                at = take(run, at).map_or(at + 1, |next| next.max(at + 1));
            }
        }
    }

    /// The runs in order, each a non-empty slice of groups.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &[Group]> {
        self.runs.iter().map(|run| &self.groups[run.clone()])
    }
}

/// What separates two neighbouring groups of a run.
pub(crate) fn gap(text: &str, left: Group, right: Group) -> Gap {
    match &text[left.end..right.start] {
        " " | "\u{a0}" | "\u{2007}" | "\u{2009}" | "\u{202f}" => Gap::Space,
        "." => Gap::Dot,
        "/" => Gap::Slash,
        "-" => Gap::Dash,
        other => {
            let mut chars = other.chars();
            match (chars.next(), chars.next()) {
                (Some('\u{2010}'..='\u{2015}' | '\u{2212}'), None) => Gap::Dash,
                _ => Gap::Mixed,
            }
        }
    }
}

/// Where the token of ASCII letters and digits begins whose first digit is at `digit`; none if that is not its first digit,
/// or if so many letters stand before it that it is no identifier.
fn token_start(bytes: &[u8], digit: usize) -> Option<usize> {
    let letters = bytes[..digit]
        .iter()
        .rev()
        .take(MAX_LETTERS + 1)
        .take_while(|b| b.is_ascii_alphabetic())
        .count();
    let start = digit - letters;
    let inside =
        start > 0 && (bytes[start - 1].is_ascii_alphanumeric() || bytes[start - 1] == b'_');
    (letters <= MAX_LETTERS && !inside).then_some(start)
}

/// Where a word of one or two letters begins that one space or hyphen parts from the digit at `digit`: the "QQ" of
/// "QQ 12 34 56 C".
fn short_word_before(bytes: &[u8], digit: usize) -> Option<usize> {
    let end = digit.checked_sub(1).filter(|&i| matches!(bytes[i], b' ' | b'-'))?;
    let letters = bytes[..end].iter().rev().take(3).take_while(|b| b.is_ascii_alphabetic()).count();
    let start = end - letters;
    let inside =
        start > 0 && (bytes[start - 1].is_ascii_alphanumeric() || bytes[start - 1] == b'_');
    (matches!(letters, 1 | 2) && !inside).then_some(start)
}

/// Bytes of separators at the start of `bytes`, if a digit follows them within the bound.
fn gap_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    for _ in 0..=MAX_GAP_CHARS {
        match bytes.get(at..)? {
            [b'0'..=b'9', ..] => return (at > 0).then_some(at),
            [b' ' | b'-' | b'.' | b'(' | b')' | b'/', ..] => at += 1,
            [0xC2, 0xA0, ..] => at += 2,
            // U+2007, U+2009, U+2010..=U+2015, U+202F
            [0xE2, 0x80, 0x87 | 0x89 | 0x90..=0x95 | 0xAF, ..] => at += 3,
            // U+2212, the minus sign
            [0xE2, 0x88, 0x92, ..] => at += 3,
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(text: &str) -> Vec<Vec<&str>> {
        Numbers::scan(text).runs().map(|run| run.iter().map(|g| g.digits(text)).collect()).collect()
    }

    #[test]
    fn groups_join_over_short_gaps_only() {
        assert_eq!(runs("(415) 555-0100"), [vec!["415", "555", "0100"]]);
        assert_eq!(runs("1234567, 7654321"), [vec!["1234567"], vec!["7654321"]]);
        assert_eq!(runs("1234    56"), Vec::<Vec<&str>>::new());
        assert_eq!(runs("12345    6"), Vec::<Vec<&str>>::new());
        assert_eq!(runs("12:34:56 in 1234567"), [vec!["1234567"]]);
    }

    #[test]
    fn unicode_separators_join_and_keep_char_boundaries() {
        let text = "078\u{2013}05\u{2013}1120 é 020\u{a0}7946\u{202f}0958";
        assert_eq!(runs(text), [vec!["078", "05", "1120"], vec!["020", "7946", "0958"]]);
        let numbers = Numbers::scan(text);
        let run = numbers.runs().next().unwrap();
        assert_eq!(gap(text, run[0], run[1]), Gap::Dash);
    }

    #[test]
    fn identifiers_begin_at_groups_of_runs_and_at_mixed_tokens() {
        let starts = |text: &str| Numbers::scan(text).starts().to_vec();
        assert_eq!(starts("in 2021 or 34"), Vec::<usize>::new());
        assert_eq!(starts("is 123-45-6789"), [0, 3, 7, 10]);
        assert_eq!(starts("a RSSMRA85T10A562S b"), [2]);
        assert_eq!(starts("QQ 12 34 56 C"), [0, 3, 6, 9]);
        assert_eq!(starts("counterrevolutionary1 x_1a é1a"), [29]);
    }

    #[test]
    fn a_walk_asks_about_each_group_that_is_not_taken() {
        let text = "12 345 678 90, 1234567";
        let mut asked = Vec::new();
        Numbers::scan(text).walk(|run, at| {
            asked.push(run[at].digits(text).to_owned());
            (run[at].len() == 3).then_some(at + 2)
        });
        assert_eq!(asked, ["12", "345", "90", "1234567"]);
    }

    #[test]
    fn few_digits_and_no_digits_give_nothing() {
        assert!(runs("").is_empty());
        assert!(runs("in 2021, 12 of 34").is_empty());
    }
}
