// SPDX-License-Identifier: AGPL-3.0-or-later
//! Countries, by a list: the model knows towns and states, and hardly any country.

use std::collections::HashMap;
use std::sync::OnceLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::evidence::Mark;
use super::words::{Case, Words};

/// How sure a country's name is to be a place.
const SURE: f32 = 0.9;

/// The names of a first word: the rest of each, and whether small letters may name it.
type Names = HashMap<String, Vec<(Vec<String>, bool)>>;

fn names() -> &'static Names {
    static NAMES: OnceLock<Names> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names = Names::new();
        for line in include_str!("countries.txt").lines().filter(|line| !line.starts_with('#')) {
            let (name, alone) = line.strip_prefix('*').map_or((line, true), |name| (name, false));
            let mut words =
                name.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(fold);
            if let Some(first) = words.next() {
                names.entry(first).or_default().push((words.collect(), alone));
            }
        }
        // The longest first: "South Georgia and the ..." before "South ...".
        names
            .values_mut()
            .for_each(|rest| rest.sort_by_key(|(words, _)| std::cmp::Reverse(words.len())));
        names
    })
}

/// A word without accents, in small letters.
fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    word.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
}

/// Marks the names of countries as places.
///
/// One that is also a person's name stays a name where the model or a neighbour says so: "Chad said", "Jordan Smith".
pub(super) fn mark(words: &mut Words<'_>, marks: &mut [Mark]) {
    let mut i = 0;
    while i < words.len() {
        let last = country(words, i);
        if let Some(last) = last {
            let person = last == i && is_person(words, marks, i);
            let address =
                (i..=last).any(|j| marks[j] == Mark::Address && words.list[j].address > SURE);
            if !person && !address {
                marks[i..=last].fill(Mark::Place);
                words.list[i..=last].iter_mut().for_each(|w| w.place = w.place.max(SURE));
            }
        }
        i = last.unwrap_or(i) + 1;
    }
}

/// The last word of the country's name that begins with a word.
fn country(words: &Words<'_>, i: usize) -> Option<usize> {
    let word = &words.list[i];
    if word.case == Case::Lower || word.linked || word.taken {
        return None;
    }
    let rests = names().get(&fold(words.word(i)))?;
    rests.iter().find_map(|(rest, alone)| {
        let last = i + rest.len();
        let whole = last < words.len()
            && (i + 1..=last).zip(rest).all(|(j, part)| {
                matches!(words.gap(j), " " | "-" | "'" | "’" | "\n") && fold(words.word(j)) == *part
            });
        (whole && (*alone || word.case != Case::Silent)).then_some(last)
    })
}

/// Whether a country's name of one word is a person's here.
fn is_person(words: &Words<'_>, marks: &[Mark], i: usize) -> bool {
    let named = |j: usize| marks.get(j) == Some(&Mark::Name) && words.list[j].name > 0.5;
    let beside = i > 0 && words.gap(i) == " " && named(i - 1)
        || i + 1 < words.len() && words.gap(i + 1) == " " && named(i + 1);
    let ambiguous = || {
        names()
            .get(&fold(words.word(i)))
            .is_some_and(|all| all.iter().any(|(rest, alone)| rest.is_empty() && !alone))
    };
    beside || named(i) && ambiguous()
}
