// SPDX-License-Identifier: AGPL-3.0-or-later
//! Runs of digit groups: the raw material of phone, card and social security numbers, found in one pass.

use std::ops::Range;

/// Runs with fewer digits hold nothing any detector of numbers looks for.
const MIN_DIGITS: usize = 7;
/// Between two digit groups of a run: at most this many separator characters.
const MAX_GAP_CHARS: usize = 3;

/// All runs of a text.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    groups: Vec<Group>,
    runs: Vec<Range<usize>>,
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
        while let Some(offset) = bytes[at..].iter().position(u8::is_ascii_digit) {
            let first = numbers.groups.len();
            let mut start = at + offset;
            let mut digits = 0;
            loop {
                let end = start
                    + bytes[start..]
                        .iter()
                        .position(|b| !b.is_ascii_digit())
                        .unwrap_or(bytes.len() - start);
                numbers.groups.push(Group { start, end });
                digits += end - start;
                at = end;
                match gap_len(&bytes[end..]) {
                    Some(gap) => start = end + gap,
                    None => break,
                }
            }
            if digits < MIN_DIGITS {
                numbers.groups.truncate(first);
            } else {
                numbers.runs.push(first..numbers.groups.len());
            }
        }
        numbers
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
        assert_eq!(runs("1234    567"), Vec::<Vec<&str>>::new());
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
    fn few_digits_and_no_digits_give_nothing() {
        assert!(runs("").is_empty());
        assert!(runs("in 2021, 12 of 34").is_empty());
    }
}
