// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a word is, from what the model thinks of it, how it is written and what stands before it.

use super::lists::{
    CAPITAL_TITLES, COLON_CUES, COMMON, CUES, PAIR_CUES, PARTICLES, PREFIXES, SHIPS, TITLES, among,
};
use super::words::{Case, Word, Words};

/// From here on a word counts as something, though too faint to be acted on by itself.
pub(super) const FAINT: f32 = 0.25;
/// The model reads small letters only, so capitals tell what it cannot know; log-odds, as are the other weights.
/// Fitted on sentences of presidio-research and rounded, with room for other texts.
const NAME: Weights =
    Weights { slope: 0.7, silent: -0.6, lower: -3.5, start: -0.2, inside: 0.4, upper: -2.8 };
const PLACE: Weights =
    Weights { slope: 0.9, silent: 0.3, lower: -0.7, start: 0.8, inside: 0.8, upper: 1.2 };
const ADDRESS: Weights =
    Weights { slope: 0.9, silent: 0.9, lower: 0.5, start: 0.9, inside: 0.9, upper: 0.9 };
/// A word that announces a name stands before it: for a name, and against a place.
const CUE: f32 = 1.5;
/// A title stands before it.
const TITLE: f32 = 5.0;
/// It stands in a list with a name.
const LISTED: f32 = 1.5;
/// It is all of the text, so that nothing around it says what it is: a key phrase, a cell of a table.
const LONE: f32 = -2.0;
/// And it is in capitals, as acronyms are.
const LONE_UPPER: f32 = -4.0;
/// It has a capital inside, as products have: the model, which does not see it, may be as sure as it can be.
const MIXED: f32 = -5.0;

/// Log-odds of a class: `slope` times those of the model, plus what the word's case adds.
struct Weights {
    slope: f32,
    silent: f32,
    lower: f32,
    start: f32,
    inside: f32,
    upper: f32,
}

impl Weights {
    fn weigh(&self, p: f32, case: Case, more: f32) -> f32 {
        let case = match case {
            Case::Silent => self.silent,
            Case::Lower => self.lower,
            Case::Start => self.start,
            Case::Inside => self.inside,
            Case::Upper => self.upper,
        };
        let p = p.clamp(0.002, 0.998);
        let odds = self.slope * (p / (1.0 - p)).ln() + case + more;
        1.0 / (1.0 + (-odds).exp())
    }
}

/// What a word is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Nothing,
    Name,
    Place,
    Address,
    Number,
}

/// Weighs the evidence for each word: its probabilities become calibrated ones, and the likeliest its mark.
pub(super) fn weigh(words: &mut Words<'_>) -> Vec<Mark> {
    let mut marks = Vec::with_capacity(words.len());
    for i in 0..words.len() {
        let mark = judge(words, i, is_listed(words, &marks, i));
        marks.push(mark);
    }
    marks
}

/// Whether a word goes on a list of names: "Smith, Lee and ...".
fn is_listed(words: &Words<'_>, marks: &[Mark], i: usize) -> bool {
    let named = |i: usize| marks[i] == Mark::Name && words.list[i].name >= 0.5;
    let and = |i: usize| {
        words.gap(i) == " " && among(words.word(i), &["and", "&", "und", "et", "y", "e"])
    };
    i > 0 && words.gap(i) == ", " && named(i - 1)
        || i > 0 && words.gap(i) == " & " && named(i - 1)
        || i > 1 && words.gap(i) == " " && and(i - 1) && named(i - 2)
}

fn judge(words: &mut Words<'_>, i: usize, listed: bool) -> Mark {
    let text = words.word(i);
    let word = &words.list[i];
    let letters =
        !text.contains(|c: char| c.is_ascii_digit()) && text.contains(char::is_alphabetic);
    let titled = letters && word.case != Case::Lower && titled(words, i);
    // Hardly any word is near anything.
    let near = word.name.max(word.place).max(word.address).max(word.number.1) > 0.02;
    let plain = !near && !titled && word.ruled == 0.0;
    if word.taken || word.linked && word.ruled == 0.0 || plain {
        let word = &mut words.list[i];
        (word.name, word.place, word.address) = (0.0, 0.0, 0.0);
        return Mark::Nothing;
    }
    let common = letters && among(text, COMMON);
    let single = text.chars().count() < 2;
    let capitals = text.chars().count() > 1 && !text.contains(char::is_lowercase);
    let lone = match words.len() {
        1 if capitals => LONE_UPPER,
        1 => LONE,
        _ => 0.0,
    };
    let mixed = lone + if is_mixed(text) { MIXED } else { 0.0 };
    // What speaks for a person speaks against a place.
    let cue = if letters && cued(words, i) {
        CUE
    } else if listed {
        LISTED
    } else {
        0.0
    };
    let more = mixed + if titled { TITLE } else { cue };
    let ship = i > 0 && words.gap(i) == " " && among(words.word(i - 1), SHIPS);
    // A number is nobody's name, and no letter is one or a place by itself.
    let (case, named) = (word.case, letters && !single && !common && !ship);
    let name = if named { NAME.weigh(word.name, case, more) } else { 0.0 };
    let place = if named { PLACE.weigh(word.place, case, mixed - cue) } else { 0.0 };
    let filler = common && !among(text, PARTICLES) && word.address < 0.5;
    let address = if filler { 0.0 } else { ADDRESS.weigh(word.address, case, mixed) };
    let ruled = ruled(word);
    let word = &mut words.list[i];
    (word.name, word.place, word.address) = (name, place, address.max(ruled));
    let number = word.number.1;
    let best = name.max(place).max(word.address);
    if number > best && number >= FAINT {
        Mark::Number
    } else if best < FAINT {
        Mark::Nothing
    } else if word.address >= best || ruled > 0.0 {
        Mark::Address
    } else if place >= best {
        Mark::Place
    } else {
        Mark::Name
    }
}

/// Whether a word has a capital behind a small letter: "PowerShell", not "McDonald".
fn is_mixed(word: &str) -> bool {
    let mut small = false;
    let inside = word.char_indices().find(|(_, c)| {
        let found = small && c.is_uppercase();
        small |= c.is_lowercase();
        found
    });
    inside.is_some_and(|(i, _)| !PREFIXES.contains(&&word[..i]))
}

/// The probability that the rules' score for an address stands for.
fn ruled(word: &Word) -> f32 {
    if word.ruled < 0.7 { word.ruled / 0.7 * 0.5 } else { word.ruled }
}

/// Whether a title stands before a word: "Dr. Ann", "herr ann".
fn titled(words: &Words<'_>, i: usize) -> bool {
    i > 0 && is_title(words, i - 1, TITLES) && matches!(words.gap(i), " " | ". " | ".")
}

/// Whether a word is a title of the list, with a capital where capitals speak.
pub(super) fn is_title(words: &Words<'_>, i: usize, list: &[&str]) -> bool {
    words.list[i].case != Case::Lower && among(words.word(i), list)
}

/// Whether a word is a title before a name.
pub(super) fn is_any_title(words: &Words<'_>, i: usize) -> bool {
    let sure = is_title(words, i, TITLES);
    // "i miss ann"
    sure || words.list[i].case != Case::Silent && is_title(words, i, CAPITAL_TITLES)
}

/// Whether the words before one announce a name.
pub(super) fn cued(words: &Words<'_>, i: usize) -> bool {
    let Some(before) = i.checked_sub(1) else { return false };
    let (gap, word) = (words.gap(i), words.word(before));
    if gap.contains(['.', '?', '!']) || gap.len() > 12 {
        return false;
    }
    if gap.contains(':') {
        return among(word, COLON_CUES);
    }
    let pair = || {
        let first = words.word(before - 1);
        gap == " "
            && PAIR_CUES
                .iter()
                .any(|(a, b)| a.eq_ignore_ascii_case(first) && b.eq_ignore_ascii_case(word))
    };
    among(word, CUES) || before > 0 && pair()
}
