// SPDX-License-Identifier: AGPL-3.0-or-later
//! Finds the rules' phrases in a text, word by word, in one pass.
//!
//! A text becomes a row of words, each with its number in the rules' vocabulary. A rule is tried where its first step's
//! word stands, over the next [`REACH`] words at most, by a bit mask of the positions reached: the work per word has a
//! fixed bound, whatever the text is.
//!
//! Many rules begin with words such as "you" or "not", which stand everywhere. So words are gone through from the last to
//! the first, and for each rule the nearest word ahead of its rarest step is known: a rule is tried only where that is
//! near enough. Which of these stand anywhere near is also known as one set, so that most words that could begin a dozen
//! rules are done with after one look.

use super::rules::{LONGEST, Rules, Step};
use super::{Family, Hit};
use crate::detector::DetectContext;
use crate::error::GuardError;
use crate::text::bytes::alphanumeric_end;
use crate::text::wordtable::WordTable;

/// A rule's phrase spans at most this many words.
pub(super) const REACH: usize = 64;
/// Words are matched in blocks of this many, so that memory does not grow with the text.
const BLOCK: usize = 4096;
/// Words of more bytes are in no vocabulary.
pub(super) const MAX_WORD: usize = 32;

/// What "do not ignore the previous instructions" keeps of the weight of its contrary.
const DENIED: f32 = 0.4;

/// The numbers of words.
pub(super) type Vocabulary = WordTable<u16>;

/// A set of words, by number.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct WordSet([u64; Self::CAPACITY / 64]);

impl WordSet {
    /// Numbers a set can hold.
    pub(super) const CAPACITY: usize = 1536;

    pub(super) fn insert(&mut self, id: usize) {
        self.0[id / 64] |= 1 << (id % 64);
    }

    fn contains(&self, id: usize) -> bool {
        self.0[id / 64] >> (id % 64) & 1 == 1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        (0..Self::CAPACITY).filter(|id| self.contains(*id))
    }
}

impl Default for WordSet {
    fn default() -> Self {
        Self([0; Self::CAPACITY / 64])
    }
}

/// One word of the text.
struct Word {
    /// Its number, 0 for one that no rule uses.
    id: usize,
    start: usize,
    end: usize,
    /// A sentence ended between the word before and this one.
    opens: bool,
}

/// Appends a hit for every phrase of every rule.
pub(super) fn find(
    text: &str,
    ctx: &DetectContext<'_>,
    hits: &mut Vec<Hit>,
) -> Result<(), GuardError> {
    let rules = Rules::get();
    // English has a word to five or six bytes.
    let mut words: Vec<Word> = Vec::with_capacity((text.len() / 5).min(BLOCK + REACH));
    let mut reader = Reader::new(text, &rules.vocabulary);
    let mut ahead = Ahead::new(rules);
    let mut denied = false;
    loop {
        let more = reader.fill(&mut words, BLOCK + REACH);
        let complete = if more { BLOCK } else { words.len() };
        ahead.clear(words.len());
        for at in (0..words.len()).rev() {
            let id = words[at].id;
            if id == 0 {
                continue;
            }
            let openings = &rules.by_opener[id];
            let may_match = !openings.alone.is_empty() || openings.needs.meets(&ahead.near);
            if may_match && at < complete {
                let denied = || match at.checked_sub(1) {
                    _ if words[at].opens => false,
                    Some(before) => rules.denials.contains(words[before].id),
                    None => denied,
                };
                match_at(rules, &words[at..], at, &ahead, denied, hits);
            }
            ahead.add(rules, id, at);
        }
        if !more {
            return Ok(());
        }
        denied = rules.denials.contains(words[complete - 1].id);
        words.drain(..complete);
        ctx.check_cancelled()?;
    }
}

/// Rarest steps of rules, by their place in [`Rules::rare`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RareSet([u64; Self::CAPACITY / 64]);

impl RareSet {
    /// Places a set can hold.
    pub(super) const CAPACITY: usize = 192;

    pub(super) fn insert(&mut self, place: u16) {
        self.0[usize::from(place / 64)] |= 1 << (place % 64);
    }

    fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |any, (a, b)| any | a & b) != 0
    }

    /// The places that are in both.
    fn shared<'s>(&'s self, other: &'s Self) -> impl Iterator<Item = u16> + 's {
        self.0.iter().zip(&other.0).zip(0u16..).flat_map(|((a, b), word)| {
            let mut left = a & b;
            std::iter::from_fn(move || {
                let place = (left != 0).then(|| 64 * word + left.trailing_zeros() as u16);
                left &= left.wrapping_sub(1);
                place
            })
        })
    }
}

/// Where the nearest word of each rule's rarest step stands, of the words gone through so far.
struct Ahead {
    /// By the place of the step: the word's, or `usize::MAX`.
    nearest: Vec<usize>,
    /// Those of the last few words: all of the last [`LONGEST`], and some further ones, which `nearest` tells apart.
    near: RareSet,
    /// Those of the words since `near` was last begun again.
    latest: RareSet,
    begun: usize,
}

impl Ahead {
    fn new(rules: &Rules) -> Self {
        Self {
            nearest: vec![usize::MAX; rules.rare.len()],
            near: RareSet::default(),
            latest: RareSet::default(),
            begun: 0,
        }
    }

    /// Begins again with words that end before `end`.
    fn clear(&mut self, end: usize) {
        self.nearest.fill(usize::MAX);
        (self.near, self.latest) = Default::default();
        self.begun = end;
    }

    #[inline(always)]
    fn add(&mut self, rules: &Rules, id: usize, at: usize) {
        if self.begun - at > LONGEST {
            self.near = std::mem::take(&mut self.latest);
            self.begun = at;
        }
        let words = &rules.rare_of[id];
        if words.is_empty() {
            return;
        }
        for &rare in words {
            self.nearest[usize::from(rare)] = at;
            self.latest.insert(rare);
            self.near.insert(rare);
        }
    }
}

/// Tries every rule that may begin with the first word, which stands at `at`; `denied`: whether a "not" stands right before
/// it.
#[inline(never)]
fn match_at(
    rules: &Rules,
    words: &[Word],
    at: usize,
    ahead: &Ahead,
    denied: impl Fn() -> bool,
    hits: &mut Vec<Hit>,
) {
    let openings = &rules.by_opener[words[0].id];
    let mut attempt = |index: usize| {
        let rule = &rules.all[index];
        if let Some(last) = reach(&rule.steps[1..], words) {
            hits.push(Hit {
                span: words[0].start..words[last].end,
                family: rule.family,
                rule: index,
                weight: if matches!(rule.family, Family::InstructionOverride | Family::SafetyBypass)
                    && denied()
                {
                    rule.weight * DENIED
                } else {
                    rule.weight
                },
            });
        }
    };
    openings.alone.iter().copied().for_each(&mut attempt);
    for rare in openings.needs.shared(&ahead.near) {
        let distance = ahead.nearest[usize::from(rare)].wrapping_sub(at);
        let behind = openings.before.partition_point(|opening| opening.rare < rare);
        openings.before[behind..]
            .iter()
            .take_while(|opening| opening.rare == rare)
            .filter(|opening| distance <= opening.within)
            .for_each(|opening| attempt(opening.rule));
    }
}

/// The nearest word at which all steps are done, if they can be.
fn reach(steps: &[Step], words: &[Word]) -> Option<usize> {
    let words = &words[..words.len().min(REACH)];
    // Bit i: the steps so far can end at word i.
    let mut ends: u64 = 1;
    for step in steps {
        let mut next: u64 = 0;
        let mut left = ends;
        while left != 0 {
            let from = left.trailing_zeros() as usize;
            left &= left - 1;
            for (to, word) in words.iter().enumerate().skip(from + 1).take(step.gap + 1) {
                if word.opens && !step.crosses {
                    break;
                }
                if step.words.contains(word.id) {
                    next |= 1 << to;
                }
            }
        }
        if next == 0 {
            return None;
        }
        ends = next;
    }
    Some(ends.trailing_zeros() as usize)
}

/// Splits a text into words: runs of letters and digits. Apostrophes are dropped ("don't" is `dont`).
struct Reader<'t, 'v> {
    text: &'t str,
    at: usize,
    opens: bool,
    vocabulary: &'v Vocabulary,
}

impl<'t, 'v> Reader<'t, 'v> {
    fn new(text: &'t str, vocabulary: &'v Vocabulary) -> Self {
        Self { text, at: 0, opens: false, vocabulary }
    }

    /// Reads until there are `want` words; false at the end of the text.
    fn fill(&mut self, words: &mut Vec<Word>, want: usize) -> bool {
        let bytes = self.text.as_bytes();
        while words.len() < want {
            // Between words.
            let start = loop {
                let Some(&b) = bytes.get(self.at) else {
                    return false;
                };
                match b {
                    b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => break self.at,
                    b'.' | b'!' | b'?' | b';' => {
                        self.opens = true;
                        self.at += 1;
                    }
                    b'\n' => {
                        // A line that is wrapped goes on; an empty line ends the sentence.
                        self.opens |= bytes[self.at + 1..].first() == Some(&b'\n');
                        self.at += 1;
                    }
                    0..=127 => self.at += 1,
                    _ => {
                        let c = self.char();
                        if c.is_alphanumeric() {
                            break self.at;
                        }
                        self.at += c.len_utf8();
                    }
                }
            };
            let id = self.word();
            words.push(Word { id, start, end: self.at, opens: std::mem::take(&mut self.opens) });
            // What follows most words.
            self.at += usize::from(bytes.get(self.at) == Some(&b' '));
        }
        true
    }

    /// Reads one word from where the reader stands; its number.
    fn word(&mut self) -> usize {
        let bytes = self.text.as_bytes();
        let start = self.at;
        self.at = alphanumeric_end(bytes, start);
        if matches!(bytes.get(self.at), Some(b'\'' | 0x80..)) {
            return self.word_with_more(start);
        }
        self.number(&bytes[start..self.at])
    }

    /// The same of one that may go on with an apostrophe or a letter outside ASCII.
    fn word_with_more(&mut self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut word = Letters { bytes: [0; MAX_WORD + 1], len: 0 };
        word.push(&bytes[start..self.at]);
        loop {
            match bytes.get(self.at) {
                Some(b) if b.is_ascii_alphanumeric() => {
                    word.push(&[*b]);
                    self.at += 1;
                }
                Some(b'\'') if bytes.get(self.at + 1).is_some_and(u8::is_ascii_alphabetic) => {
                    self.at += 1;
                }
                Some(128..) => {
                    let c = self.char();
                    let next = self.at + c.len_utf8();
                    if c == '\u{2019}' && bytes.get(next).is_some_and(u8::is_ascii_alphabetic) {
                        self.at = next;
                        continue;
                    }
                    if !c.is_alphanumeric() {
                        break;
                    }
                    self.at = next;
                    for lower in c.to_lowercase() {
                        word.push(lower.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                }
                _ => break,
            }
        }
        self.number(word.as_bytes())
    }

    fn number(&self, word: &[u8]) -> usize {
        if word.len() > MAX_WORD {
            return 0;
        }
        self.vocabulary.get(word).map_or(0, usize::from)
    }

    fn char(&self) -> char {
        // The reader only ever stops on boundaries, where a character follows.
        self.text[self.at..].chars().next().unwrap_or(' ')
    }
}

/// The letters of a word, as many as tell that it is none of the vocabulary.
struct Letters {
    /// One more than a word of the vocabulary has.
    bytes: [u8; MAX_WORD + 1],
    len: usize,
}

impl Letters {
    fn push(&mut self, more: &[u8]) {
        for &b in more {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = b;
                self.len += 1;
            }
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
