// SPDX-License-Identifier: AGPL-3.0-or-later
//! The parts of an address as one, over commas and line breaks; places that are no part of one by themselves.

use super::evidence::{FAINT, Mark};
use super::found::Found;
use super::labels::{ADDRESS, PLACE};
use super::lists::{PARTICLES, POSTCODES, UNITS, among};
use super::words::{Case, Words};

/// Words without a mark between two parts of an address at most.
const FILLERS: usize = 3;

/// Addresses and places in the text.
pub(super) fn find(words: &Words<'_>, marks: &[Mark], out: &mut Vec<Found>) {
    let part = |i: usize| matches!(marks[i], Mark::Address | Mark::Place);
    let mut i = 0;
    while i < words.len() {
        if !part(i) {
            i += 1;
            continue;
        }
        let (first, mut last) = (i, i);
        let mut j = i + 1;
        while j < words.len() && j - last <= FILLERS + 1 && is_near(words.gap(j)) {
            if part(j) {
                last = j;
            } else if !is_filler(words, marks, j) {
                break;
            }
            j += 1;
        }
        group(words, marks, first, last, out);
        i = last + 1;
    }
}

/// Whether two parts of an address may stand this far apart: a comma, a line break, the marks of a quoted line.
fn is_near(gap: &str) -> bool {
    gap.len() <= 12
        && gap.chars().all(|c| {
            c.is_whitespace()
                || matches!(
                    c,
                    ',' | '.' | '-' | '/' | '#' | '\'' | '’' | '>' | '?' | '|' | '(' | ')'
                )
        })
        && gap.bytes().filter(|b| *b == b'\n').count() <= 2
}

/// Whether a word that nothing marks may stand inside an address.
fn is_filler(words: &Words<'_>, marks: &[Mark], i: usize) -> bool {
    let (word, text) = (&words.list[i], words.word(i));
    marks[i] == Mark::Nothing
        && !word.taken
        && (text.starts_with(|c: char| c.is_ascii_digit()) && text.len() <= 6
            || matches!(word.case, Case::Inside | Case::Upper | Case::Start)
            || among(text, UNITS)
            || among(text, PARTICLES)
            || text.len() <= 3 && word.case == Case::Silent)
}

/// A run of parts: an address with its towns, or only places.
fn group(words: &Words<'_>, marks: &[Mark], first: usize, last: usize, out: &mut Vec<Found>) {
    let Some(head) = (first..=last).find(|&i| marks[i] == Mark::Address) else {
        places(words, marks, first, last, out);
        return;
    };
    // Of the places before the first part, those on its line.
    let start = (first..head)
        .rev()
        .take_while(|&i| !words.gap(i + 1).contains('\n'))
        .last()
        .unwrap_or(head);
    if start > first {
        places(words, marks, first, start - 1, out);
    }
    // A postcode after the town, or a state.
    let mut end = last;
    while end + 1 < words.len()
        && end < last + 2
        && is_near(words.gap(end + 1))
        && is_code(words, marks, end + 1)
    {
        end += 1;
    }
    // "Apt." before the number of a flat.
    let begin = (start > 0
        && among(words.word(start - 1), UNITS)
        && is_near(words.gap(start))
        && marks[start - 1] == Mark::Nothing
        && words.word(start - 1).len() > 2)
        .then(|| start - 1)
        .unwrap_or(start);
    let address = |i: usize| if marks[i] == Mark::Address { words.list[i].address } else { 0.0 };
    let mut p = (start..=end).map(address).fold(0.0, f32::max);
    let floor = (start..=end).map(|i| words.list[i].ruled).fold(0.0, f32::max);
    // A number by itself is seldom of a house.
    let lone = (start..=end).all(|i| words.word(i).bytes().all(|b| b.is_ascii_digit()));
    if lone && floor == 0.0 && !is_postcode(words, start) {
        p *= 0.6;
    }
    let floor = if floor < 0.7 { 0.0 } else { floor };
    out.push(Found {
        span: words.span(begin, end),
        kind: ADDRESS,
        rule: "address_parts",
        p,
        floor,
    });
}

/// Whether a word is what ends an address: a postcode or the abbreviation of a state.
fn is_code(words: &Words<'_>, marks: &[Mark], i: usize) -> bool {
    let (word, text) = (&words.list[i], words.word(i));
    let line = !words.gap(i).contains(['.', '(', '?', '>']);
    let digits = (4..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let state = word.case == Case::Upper && text.len() == 2;
    line && marks[i] == Mark::Nothing && !word.taken && (digits || state)
}

/// Whether the words before a number say that it is a postcode.
fn is_postcode(words: &Words<'_>, i: usize) -> bool {
    (i.saturating_sub(4)..i).any(|j| among(words.word(j), POSTCODES))
}

/// Places, each a run of words with spaces or hyphens between them.
fn places(words: &Words<'_>, marks: &[Mark], first: usize, last: usize, out: &mut Vec<Found>) {
    let mut i = first;
    while i <= last {
        let start = i;
        i += 1;
        if marks[start] != Mark::Place {
            continue;
        }
        let mut end = start;
        let mut p = words.list[start].place;
        while i <= last && matches!(words.gap(i), " " | "-" | "'" | "’" | ". ") {
            // "São Paulo de Olivença": small words go with what follows them.
            if marks[i] == Mark::Place {
                (end, p) = (i, p.max(words.list[i].place));
            } else if !among(words.word(i), PARTICLES) {
                break;
            }
            i += 1;
        }
        i = i.max(end + 1);
        if p >= FAINT {
            out.push(Found {
                span: words.span(start, end),
                kind: PLACE,
                rule: "place",
                p,
                floor: 0.0,
            });
        }
    }
}
