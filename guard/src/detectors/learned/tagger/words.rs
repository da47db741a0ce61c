// SPDX-License-Identifier: AGPL-3.0-or-later
//! A text as words: how each is written, where it stands, and what the model thinks of it.

use std::ops::Range;

use bho_engine::TokenLabel;

use super::labels::{Entity, Labels, NUMBERS};
use super::lists::{TITLES, among};
use crate::text::is_wordlike;

/// How a word is written, as far as that says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// Its paragraph has no capitalised words, or its script no capitals.
    Silent,
    /// In small letters, among capitalised words.
    Lower,
    /// With a capital where any word would have one.
    Start,
    /// With a capital inside a sentence.
    Inside,
    /// In capitals, among words in small letters.
    Upper,
}

/// A stretch of letters, digits and `_`.
pub(super) struct Word {
    pub(super) span: Range<usize>,
    pub(super) case: Case,
    /// Part of an e-mail address, a domain, a path or a piece of program: no name whatever it looks like.
    pub(super) linked: bool,
    /// Whether the model has read it.
    pub(super) read: bool,
    /// What another detector is sure of; no part of anything here.
    pub(super) taken: bool,
    /// How sure the rules for addresses are that it belongs to one: a finding's score, or 0.
    pub(super) ruled: f32,
    /// Mean probabilities over the word's tokens, later those after weighing the evidence.
    pub(super) name: f32,
    pub(super) given: f32,
    pub(super) place: f32,
    pub(super) address: f32,
    /// The likeliest kind of number, an index into [`NUMBERS`], and its probability.
    pub(super) number: (u8, f32),
}

/// A text and its words.
pub(super) struct Words<'t> {
    pub(super) text: &'t str,
    pub(super) list: Vec<Word>,
}

impl<'t> Words<'t> {
    /// The words of a text, in order, unread as yet. Linear in the text.
    pub(super) fn of(text: &'t str) -> Self {
        let mut words = Self { text, list: Vec::new() };
        let mut at = 0;
        for chunk in text.split_whitespace() {
            // Both are slices of the same text.
            let start = at + text[at..].find(chunk).unwrap_or(0);
            at = start + chunk.len();
            let linked = is_link(chunk);
            let mut from = None;
            for (i, c) in chunk.char_indices().chain([(chunk.len(), ' ')]) {
                match (is_wordlike(c), from) {
                    (true, None) => from = Some(start + i),
                    (false, Some(first)) => {
                        words.list.push(unread(first..start + i, linked));
                        from = None;
                    }
                    _ => {}
                }
            }
        }
        words.read_case();
        words
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// A word as it is written.
    pub(super) fn word(&self, i: usize) -> &'t str {
        &self.text[self.list[i].span.clone()]
    }

    /// What stands between a word and the one before it; before the first word, nothing.
    pub(super) fn gap(&self, i: usize) -> &'t str {
        let from = i.checked_sub(1).map_or(self.list[i].span.start, |j| self.list[j].span.end);
        &self.text[from..self.list[i].span.start]
    }

    /// The bytes from one word to another.
    pub(super) fn span(&self, first: usize, last: usize) -> Range<usize> {
        self.list[first].span.start..self.list[last].span.end
    }

    /// Reads how the words of each paragraph are written.
    fn read_case(&mut self) {
        let mut first = 0;
        while first < self.list.len() {
            let end = (first + 1..self.list.len())
                .find(|&i| self.gap(i).bytes().filter(|b| *b == b'\n').count() > 1)
                .unwrap_or(self.list.len());
            let speaks = (first..end).any(|i| is_capitalised(self.word(i)));
            for i in first..end {
                self.list[i].case = if speaks { self.case(i) } else { Case::Silent };
            }
            first = end;
        }
    }

    fn case(&self, i: usize) -> Case {
        let word = self.word(i);
        match word.chars().next() {
            Some(c) if c.is_lowercase() => Case::Lower,
            Some(c) if c.is_uppercase() => {
                if word.chars().nth(1).is_some() && !word.chars().any(char::is_lowercase) {
                    Case::Upper
                } else if self.begins(i) {
                    Case::Start
                } else {
                    Case::Inside
                }
            }
            _ => Case::Silent,
        }
    }

    /// Whether a sentence, a line or a quotation begins with this word.
    fn begins(&self, i: usize) -> bool {
        let gap = self.gap(i);
        let Some(before) = i.checked_sub(1).map(|j| self.word(j)) else { return true };
        // "J. Smith" and "Mr. Smith" go on.
        if gap.trim_end() == "." && (before.chars().count() == 1 || among(before, TITLES)) {
            return false;
        }
        gap.contains(['.', '!', '?', ':', '\n', '"', '“', '„', '«'])
    }

    /// Takes in what a model says of a stretch of the text; tokens that do not begin within `of` are left out.
    ///
    /// - `tags`: of the text from byte `offset` on, in order
    pub(super) fn read(
        &mut self,
        tags: &[TokenLabel],
        offset: usize,
        of: &Range<usize>,
        labels: &Labels,
    ) {
        let mut run: Option<(usize, f32, Scores)> = None;
        for tag in tags {
            let span = tag.span.start + offset..tag.span.end + offset;
            if !of.contains(&span.start) {
                continue;
            }
            let i = self.list.partition_point(|word| word.span.end <= span.start);
            if self.list.get(i).is_none_or(|word| span.end <= word.span.start) {
                continue;
            }
            if run.as_ref().is_none_or(|run| run.0 != i) {
                self.settle(run.replace((i, 0.0, Scores::default())));
            }
            if let Some((_, count, scores)) = &mut run {
                *count += 1.0;
                scores.add(labels, &tag.probabilities);
            }
        }
        self.settle(run);
    }

    fn settle(&mut self, run: Option<(usize, f32, Scores)>) {
        let Some((i, count, scores)) = run else { return };
        let word = &mut self.list[i];
        word.read = true;
        word.name = word.name.max(scores.name / count);
        word.given = word.given.max(scores.given / count);
        word.place = word.place.max(scores.place / count);
        word.address = word.address.max(scores.address / count);
        for (kind, p) in (0u8..).zip(scores.numbers) {
            if p / count > word.number.1 {
                word.number = (kind, p / count);
            }
        }
    }
}

#[derive(Default)]
struct Scores {
    name: f32,
    given: f32,
    place: f32,
    address: f32,
    numbers: [f32; NUMBERS.len()],
}

impl Scores {
    fn add(&mut self, labels: &Labels, probabilities: &[f32]) {
        for (entity, p) in labels.read(probabilities) {
            match entity {
                Entity::Name { given } => {
                    self.name += p;
                    self.given += if given { p } else { 0.0 };
                }
                Entity::Place => self.place += p,
                Entity::Address => self.address += p,
                Entity::Number(kind) => self.numbers[usize::from(kind)] += p,
            }
        }
    }
}

fn unread(span: Range<usize>, linked: bool) -> Word {
    Word {
        span,
        case: Case::Silent,
        linked,
        read: false,
        taken: false,
        ruled: 0.0,
        name: 0.0,
        given: 0.0,
        place: 0.0,
        address: 0.0,
        number: (0, 0.0),
    }
}

/// "Ann", not "I" nor "USA".
fn is_capitalised(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(char::is_uppercase) && chars.next().is_some_and(char::is_lowercase)
}

/// Whether something between two spaces is an address of the net or a piece of program.
fn is_link(chunk: &str) -> bool {
    const SIGNS: &[&str] = &["://", "::", "()", "->", "=>", "</", "/>", "&&", "||", "=\"", "\\\\"];
    if chunk.bytes().all(|b| b.is_ascii_alphanumeric() || b == b',') {
        return false;
    }
    chunk.contains(['@', '_', '`', '{', '}', '='])
        || SIGNS.iter().any(|sign| chunk.contains(sign))
        || chunk.starts_with("www.")
        || is_domain(chunk)
        || chunk.matches('/').count() > 2
}

/// Whether a full stop in it stands before the end of a domain.
fn is_domain(chunk: &str) -> bool {
    #[rustfmt::skip]
    const ENDS: &[&str] = &[
        "com", "org", "net", "edu", "gov", "info", "biz", "io", "dev", "app", "ai", "co", "us", "uk", "de", "fr", "es", "it", "nl", "pl",
        "eu", "ca", "au", "in", "br", "jp", "ch", "at", "se", "no", "fi", "dk", "be", "pt", "ru", "cz", "gr", "ie", "nz", "tn", "hu",
        "si", "uy", "rs", "py", "js", "ts", "html", "toml", "json", "md", "txt", "pdf", "sh",
    ];
    chunk.match_indices('.').any(|(i, _)| {
        let end = chunk[i + 1..].split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
        chunk[..i].ends_with(|c: char| c.is_alphanumeric()) && ENDS.contains(&end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(text: &str) -> Vec<(&str, Case)> {
        let words = Words::of(text);
        (0..words.len()).map(|i| (words.word(i), words.list[i].case)).collect()
    }

    #[test]
    fn letters_speak_where_their_paragraph_has_capitals() {
        assert_eq!(
            cases("Dear Ann, see NASA. We do"),
            [
                ("Dear", Case::Start),
                ("Ann", Case::Inside),
                ("see", Case::Lower),
                ("NASA", Case::Upper),
                ("We", Case::Start),
                ("do", Case::Lower),
            ]
        );
        assert!(cases("i like ann").iter().all(|(_, case)| *case == Case::Silent));
        assert!(cases("I LIKE ANN").iter().all(|(_, case)| *case == Case::Silent));
        let two = cases("Ann ran\n\nann ran");
        assert_eq!((two[1].1, two[2].1), (Case::Lower, Case::Silent));
    }

    #[test]
    fn initials_and_titles_end_no_sentence() {
        for text in ["by J. Smith", "by Dr. Smith"] {
            assert_eq!(cases(text)[2], ("Smith", Case::Inside), "{text}");
        }
        assert_eq!(cases("We ran. Smith")[2].1, Case::Start);
    }

    #[test]
    fn links_and_code_are_told_from_words() {
        for chunk in
            ["ann@x.org", "ann.com/x", "Vec::new", "`Ann`", "snake_case", "a=b", "/usr/share/x"]
        {
            assert!(is_link(chunk), "{chunk}");
        }
        for chunk in [
            "Ann",
            "Ann,",
            "O'Brien",
            "Smith-Jones",
            "and/or",
            "end.Next",
            "(Ann)",
            "№",
            ">Ann",
            "St.",
        ] {
            assert!(!is_link(chunk), "{chunk}");
        }
    }
}
