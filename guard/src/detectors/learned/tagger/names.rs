// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whole names from the words of them: with titles, initials, particles and hyphens; the same names again further on.

use std::collections::{HashMap, HashSet};

use super::evidence::{FAINT, Mark, is_any_title};
use super::found::Found;
use super::labels::NAME;
use super::lists::{COMMON, ORGANISATIONS, PARTICLES, SUFFIXES, TITLES, among};
use super::words::{Case, Words};

/// A word beside a name's is one too from here on.
const BESIDE: f32 = 0.1;
/// Particles and initials between two words of a name at most.
const BETWEEN: usize = 3;
/// What is left of the probability of a name that a word makes an organisation's.
const ORGANISATION: f32 = 0.5;
/// What is left of the probability of a word that is no name elsewhere in the text, and how often it must stand there.
const MOSTLY_NOT: f32 = 0.5;
const OFTEN: usize = 4;
/// How sure a name must be for its words to be names elsewhere, and how sure those are.
const SURE: f32 = 0.85;
const AGAIN: f32 = 0.6;

/// The first and the last word of a name.
struct Run {
    first: usize,
    last: usize,
    p: f32,
}

/// Names in the text.
pub(super) fn find(words: &Words<'_>, marks: &[Mark], out: &mut Vec<Found>) {
    let mut runs = Vec::new();
    let mut i = 0;
    while i < words.len() {
        if marks[i] != Mark::Name {
            i += 1;
            continue;
        }
        let run = run(words, marks, i, runs.last().map_or(0, |run: &Run| run.last + 1));
        i = run.last + 1;
        runs.push(run);
    }
    let found = |run: &Run, p: f32, rule| Found {
        span: words.span(run.first, run.last),
        kind: NAME,
        rule,
        p,
        floor: 0.0,
    };
    let consistent = consistent(words, &runs);
    for run in &runs {
        let mut p = run.p;
        if is_organisation(words, run.last) {
            p *= ORGANISATION;
        }
        if run.first == run.last && consistent.get(words.word(run.first)) == Some(&false) {
            p *= MOSTLY_NOT;
        }
        out.push(found(run, p, "person"));
    }
    for i in again(words, marks, &runs) {
        out.push(found(&Run { first: i, last: i, p: AGAIN }, AGAIN, "person_again"));
    }
}

/// The name that the word at `seed` belongs to; nothing before word `from` does.
fn run(words: &Words<'_>, marks: &[Mark], seed: usize, from: usize) -> Run {
    let name = |i: usize| if marks[i] == Mark::Name { words.list[i].name } else { 0.0 };
    let mut last = seed;
    let mut p = name(seed);
    while let Some(next) = next(words, marks, last) {
        p = p.max(name(next));
        last = next;
    }
    let mut first = seed;
    while first > from && leads(words, marks, first - 1) && is_inner(words, first) {
        first -= 1;
    }
    // A name that a comma turned round: "Smith, John".
    if last == seed && words.list[seed].given < 0.5 && is_turned(words, marks, seed) {
        last += 1;
        p = p.max(name(last));
    }
    while first > from
        && is_any_title(words, first - 1)
        && matches!(words.gap(first), " " | ". " | ".")
    {
        first -= 1;
    }
    while last + 1 < words.len()
        && matches!(words.gap(last + 1), " " | ", " | ". ")
        && words.list[last + 1].case != Case::Lower
        && among(words.word(last + 1), SUFFIXES)
    {
        last += 1;
    }
    Run { first, last, p }
}

/// The next word of a name that goes on behind word `last`, particles and initials skipped.
fn next(words: &Words<'_>, marks: &[Mark], last: usize) -> Option<usize> {
    let mut i = last + 1;
    while i < words.len() && i <= last + 1 + BETWEEN && is_inner(words, i) {
        if belongs(words, marks, i) {
            return Some(i);
        }
        let initial = is_initial(words, i);
        let particle = among(words.word(i), PARTICLES) && !words.list[i].linked;
        if !initial && !particle {
            return None;
        }
        i += 1;
    }
    None
}

/// Whether what stands before a word may stand inside a name.
fn is_inner(words: &Words<'_>, i: usize) -> bool {
    let short = |i: usize| {
        i.checked_sub(1)
            .is_some_and(|j| words.word(j).chars().count() <= 2 || among(words.word(j), TITLES))
    };
    match words.gap(i) {
        " " | "  " | "-" => true,
        // Not "Ann's".
        "'" | "’" => words.word(i).chars().count() > 1,
        ". " | "." => short(i),
        _ => false,
    }
}

/// Whether a word that stands behind a name's is one of its.
fn belongs(words: &Words<'_>, marks: &[Mark], i: usize) -> bool {
    let word = &words.list[i];
    let capital = matches!(word.case, Case::Start | Case::Inside);
    let hyphen = words.gap(i) == "-" && capital;
    let least = match word.case {
        Case::Start | Case::Inside => BESIDE,
        // "Jonas SAVIMBI"
        Case::Upper => 0.06 * BESIDE,
        Case::Silent => 1.5 * BESIDE,
        Case::Lower => 1.0,
    };
    let weak = marks[i] == Mark::Nothing && word.name >= least;
    marks[i] == Mark::Name
        || !word.taken && !word.linked && marks[i] != Mark::Number && (hyphen || weak)
}

/// Whether a word in front of a name is a part of it: an initial, or the front of a compound.
fn leads(words: &Words<'_>, marks: &[Mark], i: usize) -> bool {
    let free = marks[i] == Mark::Nothing && !words.list[i].taken && !words.list[i].linked;
    let compound =
        words.gap(i + 1) == "-" && matches!(words.list[i].case, Case::Inside | Case::Start);
    free && (is_initial(words, i) && words.gap(i + 1).starts_with('.')
        || compound && words.word(i).len() > 2)
}

fn is_initial(words: &Words<'_>, i: usize) -> bool {
    let mut chars = words.word(i).chars();
    chars.next().is_some_and(char::is_alphabetic)
        && chars.next().is_none()
        && words.list[i].case != Case::Lower
}

/// Whether a given name follows a surname after a comma, and no list goes on.
fn is_turned(words: &Words<'_>, marks: &[Mark], i: usize) -> bool {
    let comma = |i: usize| i < words.len() && words.gap(i).starts_with(',');
    i + 1 < words.len()
        && words.gap(i + 1) == ", "
        && !comma(i)
        && marks[i + 1] == Mark::Name
        && words.list[i + 1].given >= 0.5
        && !comma(i + 2)
        && !(i + 2 < words.len() && among(words.word(i + 2), &["and", "und", "et", "y", "or"]))
}

/// Whether a word right behind a name, or its last, makes it an organisation's: "Smith Ltd", "Kroll Bond Ratings Agency".
fn is_organisation(words: &Words<'_>, last: usize) -> bool {
    let says = |i: usize| words.list[i].case != Case::Lower && among(words.word(i), ORGANISATIONS);
    let beside = |i: usize| i < words.len() && matches!(words.gap(i), " " | ", " | " & ");
    let capital = |i: usize| matches!(words.list[i].case, Case::Inside | Case::Start);
    says(last)
        || beside(last + 1)
            && (says(last + 1) || capital(last + 1) && beside(last + 2) && says(last + 2))
}

/// The words of the text that are a name by themselves now and then, and something else mostly: `false` for those.
fn consistent<'t>(words: &Words<'t>, runs: &[Run]) -> HashMap<&'t str, bool> {
    let mut seen: HashMap<&str, (usize, f32)> = HashMap::new();
    for run in runs.iter().filter(|run| run.first == run.last) {
        seen.insert(words.word(run.first), (0, 0.0));
    }
    for (i, word) in words.list.iter().enumerate().filter(|(_, word)| word.read) {
        if let Some((count, sum)) = seen.get_mut(words.word(i)) {
            *count += 1;
            *sum += word.name;
        }
    }
    let mostly = |(count, sum): (usize, f32)| count < OFTEN || sum >= FAINT * count as f32;
    seen.into_iter().map(|(word, stats)| (word, mostly(stats))).collect()
}

/// Words that are nothing by themselves, but parts of a sure name elsewhere in the text.
fn again(words: &Words<'_>, marks: &[Mark], runs: &[Run]) -> Vec<usize> {
    let known: HashSet<&str> = runs
        .iter()
        .filter(|run| run.p >= SURE && run.first < run.last)
        .flat_map(|run| run.first..=run.last)
        .filter(|&i| marks[i] == Mark::Name && words.list[i].name >= 0.5 && is_telling(words, i))
        .map(|i| words.word(i))
        .collect();
    if known.is_empty() {
        return Vec::new();
    }
    let mut inside = vec![false; words.len()];
    runs.iter().flat_map(|run| run.first..=run.last).for_each(|i| inside[i] = true);
    let free = |i: &usize| {
        marks[*i] == Mark::Nothing && !inside[*i] && !words.list[*i].taken && !words.list[*i].linked
    };
    (0..words.len())
        .filter(free)
        .filter(|&i| is_telling(words, i) && known.contains(words.word(i)))
        .collect()
}

/// Whether a word is told from others by its letters.
fn is_telling(words: &Words<'_>, i: usize) -> bool {
    let word = words.word(i);
    matches!(words.list[i].case, Case::Inside | Case::Start)
        && word.chars().count() > 2
        && !among(word, COMMON)
}
