// SPDX-License-Identifier: AGPL-3.0-or-later
//! Finds the rules' phrases in a text, word by word, in one pass.
//!
//! A text becomes a row of words, each with its number in the rules' vocabulary. A rule is tried where its first step's
//! word stands, over the next [`REACH`] words at most, by a bit mask of the positions reached: the work per word has a
//! fixed bound, whatever the text is.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::rules::{Rules, Step};
use super::{Family, Hit};
use crate::detector::DetectContext;
use crate::error::GuardError;

/// A rule's phrase spans at most this many words.
pub(super) const REACH: usize = 64;
/// Words are matched in blocks of this many, so that memory does not grow with the text.
const BLOCK: usize = 4096;
/// Words of more bytes are in no vocabulary.
pub(super) const MAX_WORD: usize = 32;

/// What "do not ignore the previous instructions" keeps of the weight of its contrary.
const DENIED: f32 = 0.4;

/// Words by their [`key`].
pub(super) type Vocabulary = HashMap<u128, usize, BuildHasherDefault<KeyHasher>>;

/// A set of words, by number.
#[derive(Clone)]
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
    let mut words: Vec<Word> = Vec::new();
    let mut reader = Reader::new(text, &rules.vocabulary);
    let mut denied = false;
    loop {
        let more = reader.fill(&mut words, BLOCK + REACH);
        let complete = if more { BLOCK } else { words.len() };
        for at in 0..complete {
            match_at(rules, &words[at..], denied && !words[at].opens, hits);
            denied = rules.denials.contains(words[at].id);
        }
        if !more {
            return Ok(());
        }
        words.drain(..complete);
        ctx.check_cancelled()?;
    }
}

/// Tries every rule that may begin with the first word; `denied`: a "not" stands right before it.
fn match_at(rules: &Rules, words: &[Word], denied: bool, hits: &mut Vec<Hit>) {
    for &index in &rules.by_opener[words[0].id] {
        let rule = &rules.all[index];
        if let Some(last) = reach(&rule.steps[1..], words) {
            hits.push(Hit {
                span: words[0].start..words[last].end,
                family: rule.family,
                rule: index,
                weight: if denied
                    && matches!(rule.family, Family::InstructionOverride | Family::SafetyBypass)
                {
                    rule.weight * DENIED
                } else {
                    rule.weight
                },
            });
        }
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

/// The key of a lower-case word: its bytes for words of up to 16, a fold of them for longer ones.
pub(super) fn key(word: &str) -> u128 {
    let mut key = Key::default();
    word.bytes().for_each(|b| key.push(b));
    key.finish()
}

#[derive(Default)]
struct Key {
    folded: u128,
    len: usize,
}

impl Key {
    fn push(&mut self, byte: u8) {
        self.folded = self.folded.rotate_left(8) ^ u128::from(byte);
        self.len += 1;
    }

    fn finish(&self) -> u128 {
        self.folded ^ (self.len as u128) << 120
    }
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
        }
        true
    }

    /// Reads one word from where the reader stands; its number.
    fn word(&mut self) -> usize {
        let bytes = self.text.as_bytes();
        let mut key = Key::default();
        loop {
            match bytes.get(self.at) {
                Some(b @ (b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')) => {
                    key.push(b.to_ascii_lowercase());
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
                        let mut buffer = [0; 4];
                        lower.encode_utf8(&mut buffer).bytes().for_each(|b| key.push(b));
                    }
                }
                _ => break,
            }
        }
        if key.len > MAX_WORD {
            return 0;
        }
        self.vocabulary.get(&key.finish()).copied().unwrap_or(0)
    }

    fn char(&self) -> char {
        // The reader only ever stops on boundaries, where a character follows.
        self.text[self.at..].chars().next().unwrap_or(' ')
    }
}

/// Multiplies and folds a key. The table's words come from the lexicon, so nobody can choose colliding ones.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.write_u128(u128::from(b)));
    }

    fn write_u128(&mut self, key: u128) {
        let (low, high) = (key as u64, (key >> 64) as u64);
        let mixed = (low ^ self.0)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(high.wrapping_mul(0xC2B2_AE3D_27D4_EB4F));
        self.0 = mixed ^ mixed >> 32;
    }
}
