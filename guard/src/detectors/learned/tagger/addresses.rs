// SPDX-License-Identifier: AGPL-3.0-or-later
//! The parts of an address as one, over commas and line breaks; places that are no part of one by themselves.

use super::evidence::{FAINT, Mark};
use super::found::Found;
use super::labels::{ADDRESS, PLACE};
use super::lists::{COUNTED, PARTICLES, POSTCODES, UNITS, among};
use super::words::{Case, Words};

/// Words without a mark between two parts of an address at most.
const FILLERS: usize = 3;

/// What is left of the probability of numbers without a name, and of one word without a number: under even odds.
const ALONE: f32 = 0.45;

/// What is left of the probability of "port 8443".
const COUNT: f32 = 0.3;

/// Addresses and places in the text.
pub(super) fn find(words: &Words<'_>, marks: &mut [Mark], out: &mut Vec<Found>) {
    let part = |marks: &[Mark], i: usize| matches!(marks[i], Mark::Address | Mark::Place);
    let mut i = 0;
    while i < words.len() {
        if !part(marks, i) {
            i += 1;
            continue;
        }
        let (first, mut last) = (i, i);
        let mut numbered = is_number(words.word(i));
        let mut j = i + 1;
        while j < words.len() && j - last <= FILLERS + 1 && is_near(words.gap(j)) {
            if part(marks, j) {
                last = j;
                numbered |= marks[j] == Mark::Address && is_number(words.word(j));
            } else if !(is_filler(words, marks, j) || numbered && is_faint_name(words, marks, j)) {
                break;
            }
            j += 1;
        }
        group(words, marks, first, last, out);
        // What looked like a name was the town.
        marks[first..=last]
            .iter_mut()
            .filter(|m| **m == Mark::Name)
            .for_each(|m| *m = Mark::Address);
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

/// Whether a word is a name so faint that, after a house number and before the rest of an address, it is a town's.
fn is_faint_name(words: &Words<'_>, marks: &[Mark], i: usize) -> bool {
    marks[i] == Mark::Name && words.list[i].name < 0.85 && !words.list[i].taken
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_digit())
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
    let unit = |i: usize| {
        marks[i] == Mark::Nothing && words.word(i).len() > 2 && among(words.word(i), UNITS)
    };
    let begin = start - usize::from(start > 0 && is_near(words.gap(start)) && unit(start - 1));
    let floor = (start..=end).map(|i| words.list[i].ruled).fold(0.0, f32::max);
    let p = sureness(words, marks, start, end, floor);
    let floor = if floor < 0.7 { 0.0 } else { floor };
    out.push(Found {
        span: words.span(begin, end),
        kind: ADDRESS,
        rule: "address_parts",
        p,
        floor,
    });
}

/// How probable an address of these words is: as its second-best part, for one part alone is seldom an address.
fn sureness(words: &Words<'_>, marks: &[Mark], first: usize, last: usize, floor: f32) -> f32 {
    let (mut best, mut second) = (0.0f32, 0.0f32);
    for (word, mark) in words.list[first..=last].iter().zip(&marks[first..=last]) {
        let p = match mark {
            Mark::Address => word.address,
            Mark::Place => word.place,
            _ => continue,
        };
        (best, second) = if p > best { (p, best) } else { (best, second.max(p)) };
    }
    let lettered = |i: usize| {
        marks[i] == Mark::Place || words.word(i).chars().filter(|c| c.is_alphabetic()).count() > 2
    };
    if floor > 0.0 || is_postcode(words, first) {
        best
    } else if is_count(words, first, last) {
        best * COUNT
    } else if first == last || !(first..=last).any(lettered) {
        best * ALONE
    } else {
        second
    }
}

/// Whether these are one word and numbers behind it, and the word is one that counts things, or one in small letters where
/// a street would have a capital: "port 8443", "page 317", "node 14".
fn is_count(words: &Words<'_>, first: usize, last: usize) -> bool {
    let counted = words.list[first].case == Case::Lower || among(words.word(first), COUNTED);
    counted
        && first < last
        && !is_number(words.word(first))
        && (first + 1..=last).all(|i| words.word(i).bytes().any(|b| b.is_ascii_digit()))
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
