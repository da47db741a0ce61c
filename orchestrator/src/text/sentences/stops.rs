// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whether a stop ends its sentence.

use super::lines::floor;
use super::tables::{
    BEFORE_NUMBER, BEFORE_ORDINAL, CLOSES_LIST, GERMAN, MAY_END, MONTHS, NEVER_END, PARTICLES,
};
use crate::text::function_words::is_foreign;
use crate::text::words::{is_stop_word, words};

/// How far back from a full stop its word is read.
const MAX_TOKEN_BYTES: usize = 48;
/// Most stops, and most closing marks, that are taken as one; bounds the length of a sentence.
pub(super) const MAX_RUN: usize = 16;
/// Bytes that tell whether a text is German.
const LANGUAGE_BYTES: usize = 2048;

/// What a stop does.
pub(super) enum Stop {
    /// The sentence ends before this byte.
    Ends(usize),
    /// It goes on; scanning resumes here.
    Continues(usize),
}

/// A block of text that stops are looked at in.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) text: &'a str,
    /// First byte of the sentence.
    pub(super) start: usize,
    /// End of the block.
    pub(super) end: usize,
    /// Whether the text is German: its ordinals end with a full stop and its nouns are capitalised.
    pub(super) german: bool,
}

impl<'a> Block<'a> {
    fn char_at(&self, at: usize) -> char {
        self.text[at..self.end].chars().next().unwrap_or('\0')
    }

    fn skip_while(&self, at: usize, keep: impl Fn(char) -> bool) -> usize {
        let rest = &self.text[at..self.end];
        at + rest.find(|c| !keep(c)).unwrap_or(rest.len())
    }

    /// [`Block::skip_while`] over at most [`MAX_RUN`] characters.
    fn skip_run(&self, at: usize, keep: impl Fn(char) -> bool) -> usize {
        let run = self.text[at..self.end].chars().take(MAX_RUN).take_while(|&c| keep(c));
        at + run.map(char::len_utf8).sum::<usize>()
    }

    /// Decides on the stop of a script without spaces, `after` which the text goes on.
    pub(super) fn wide_stop_at(&self, i: usize, after: usize) -> Stop {
        let digit = |c: char| c.is_ascii_digit() || ('\u{FF10}'..='\u{FF19}').contains(&c);
        // `３．５`
        if self.char_at(i) == '\u{FF0E}'
            && self.text[self.start..i].ends_with(digit)
            && digit(self.char_at(after))
        {
            return Stop::Continues(after);
        }
        let run = self.skip_run(after, |c| is_wide_stop(c) || is_stop(c));
        let closed = self.skip_closers(run);
        // 「はい。」と言った。 goes on after the quotation.
        if closed > run && matches!(self.char_at(closed), 'と' | 'っ') {
            return Stop::Continues(closed);
        }
        Stop::Ends(closed)
    }

    /// Decides on the run of stops that begins at `i`.
    pub(super) fn stop_at(&self, i: usize) -> Stop {
        let run_end = self.skip_run(i, is_stop);
        let run = &self.text[i..run_end];
        let closed = self.skip_spaced_closer(self.skip_closers(run_end));
        if closed == self.end {
            return Stop::Ends(closed);
        }
        let next = self.char_at(closed);
        if !next.is_whitespace() {
            // `good.The film`: a space is missing. `fmt.Println` and `example.com` are whole.
            let glued = run == "."
                && closed == run_end
                && self.is_starter(closed, false)
                && self.token_before(i).bytes().all(|b| b.is_ascii_lowercase())
                && i - self.start > 2;
            return if glued { Stop::Ends(closed) } else { Stop::Continues(run_end) };
        }
        let word_at = self.skip_while(closed, char::is_whitespace);
        let word_at = self.skip_while(word_at, is_opener);
        if word_at == self.end {
            return Stop::Ends(closed);
        }
        let lower = self.char_at(word_at).is_lowercase();
        let ends = if run == "." {
            self.period_ends(i, word_at)
        } else if run.chars().all(|c| matches!(c, '.' | '\u{2026}')) {
            !lower
        } else {
            // `"Really?" he asked` goes on; `really? i think so` does not.
            !(lower && closed > run_end)
        };
        if ends { Stop::Ends(closed) } else { Stop::Continues(run_end) }
    }

    /// Whether the single full stop at `i` ends a sentence; the next word begins at `word_at`.
    fn period_ends(&self, i: usize, word_at: usize) -> bool {
        let follower = self.char_at(word_at);
        let lower = follower.is_lowercase();
        let token = self.token_before(i);
        if token.is_empty() {
            // A stop set off by spaces, as in tokenized corpora.
            return !lower && i > self.start;
        }
        let at_start = i - self.start == token.len();
        let letters = token.chars().count();
        let number = token.bytes().all(|b| b.is_ascii_digit());
        if at_start && (letters == 1 || (letters <= 3 && number)) {
            return false;
        }
        if number && letters <= 2 && self.is_ordinal(i - token.len(), word_at) {
            return false;
        }
        if letters == 1 && token.chars().all(char::is_alphabetic) && token != "I" {
            return self.is_starter(word_at, false);
        }
        let folded = token.to_lowercase();
        let within = |table: &[&str]| table.binary_search(&folded.as_str()).is_ok();
        let numbered = within(BEFORE_NUMBER) || (self.german && folded.ends_with("str"));
        if within(NEVER_END) || (numbered && follower.is_ascii_digit()) {
            return false;
        }
        if within(CLOSES_LIST) {
            return !lower;
        }
        // `an OS.` is no abbreviation, `EE. UU.` are.
        let acronym = letters < 4
            && !matches!(folded.as_str(), "ee" | "uu")
            && token.chars().all(char::is_uppercase);
        if (within(MAY_END) && !acronym) || is_dotted_acronym(token) {
            return self.is_starter(word_at, true);
        }
        !lower || ends_before_lower_case(token, letters)
    }

    /// Whether the number at `at` is a German ordinal before the word at `word_at`.
    fn is_ordinal(&self, at: usize, word_at: usize) -> bool {
        if !self.german {
            return false;
        }
        let next = self.word_at(word_at).to_lowercase();
        if MONTHS.binary_search(&next.as_str()).is_ok() {
            return true;
        }
        let before = self.text[self.start..at].trim_end();
        let mut from = before.len().saturating_sub(12);
        while !before.is_char_boundary(from) {
            from += 1;
        }
        let before = before[from..].rsplit(char::is_whitespace).next().unwrap_or("");
        BEFORE_ORDINAL.binary_search(&before.to_lowercase().as_str()).is_ok()
            && !self.is_starter(word_at, true)
    }

    /// The word that ends right before `i`, without opening quotes and brackets; of a word longer
    /// than any abbreviation, its last bytes.
    fn token_before(&self, i: usize) -> &'a str {
        let mut from = i.saturating_sub(MAX_TOKEN_BYTES).max(self.start);
        while !self.text.is_char_boundary(from) {
            from += 1;
        }
        let token = self.text[from..i].rsplit(char::is_whitespace).next().unwrap_or("");
        token.trim_start_matches(is_opener)
    }

    /// Skips closing quotes and brackets, and reference marks such as `[12]`.
    fn skip_closers(&self, at: usize) -> usize {
        let mut at = self.skip_run(at, is_closer);
        // Marks that open in one language and close in another close before a space.
        let next = self.char_at(at);
        if matches!(next, '\u{201C}' | '\u{2018}' | '\u{AB}') {
            let after = at + next.len_utf8();
            let then = self.char_at(after);
            if after == self.end || then.is_whitespace() || is_closer(then) {
                at = self.skip_run(after, is_closer);
            }
        }
        while self.text[at..self.end].starts_with('[') {
            let digits = self.skip_run(at + 1, |c| c.is_ascii_digit());
            if digits == at + 1 || digits - at > 4 || !self.text[digits..self.end].starts_with(']')
            {
                break;
            }
            at = digits + 1;
        }
        at
    }

    /// Skips a guillemet set off by a space, as in French: `« Viens ! » dit-il`.
    fn skip_spaced_closer(&self, at: usize) -> usize {
        let mut ahead = self.text[at..self.end].chars();
        let space = ahead.next().filter(|c| matches!(c, ' ' | '\u{A0}' | '\u{202F}'));
        let closes = space.filter(|_| ahead.next() == Some('\u{BB}')).filter(|_| {
            let said = &self.text[self.start..at];
            said.rfind('\u{AB}') > said.rfind('\u{BB}')
        });
        closes.map_or(at, |space| at + space.len_utf8() + '\u{BB}'.len_utf8())
    }

    /// The letters at `at`, as far as a function word could go.
    fn word_at(&self, at: usize) -> &'a str {
        // One character past the longest function word is enough to tell.
        let rest = &self.text[at..self.end];
        let end = rest
            .char_indices()
            .take(13)
            .find(|(_, c)| !c.is_alphabetic() && !matches!(c, '\'' | '\u{2019}'));
        &rest[..end.map_or(floor(rest, rest.len().min(52)), |(n, _)| n)]
    }

    /// Whether the word at `at` is one that opens sentences: a capitalised function word. Those
    /// that are parts of names as well count only as `articles`.
    fn is_starter(&self, at: usize, articles: bool) -> bool {
        let word = self.word_at(at);
        let mut chars = word.chars();
        // The `I` of a name and a sentence's look alike; the `À` of a sentence is no initial.
        if !chars.next().is_some_and(char::is_uppercase)
            || (word.len() == 1)
            || word.len() > 24
            || chars.any(char::is_uppercase)
        {
            return false;
        }
        let folded = word.to_lowercase();
        let folded = folded.as_str();
        // `C'est`, and after no initial `L'an`.
        if let Some((elided, _)) = folded.split_once(['\'', '\u{2019}'])
            && ["c", "d", "j", "l", "n", "qu", "s"].contains(&elided)
        {
            return articles || !["d", "l"].contains(&elided);
        }
        let particle = PARTICLES.binary_search(&folded).is_ok();
        if particle && !is_stop_word(word) {
            return articles;
        }
        is_stop_word(word) || is_foreign(folded)
    }
}

/// Whether a word before a full stop ends a sentence although the next is lower case: `it works.
/// it is fast`, but not `the dept. of` nor `mgmt. said`.
fn ends_before_lower_case(token: &str, letters: usize) -> bool {
    if !token.ends_with(char::is_alphabetic) {
        return true;
    }
    if letters < 3 {
        return is_stop_word(token) || token.eq_ignore_ascii_case("ok");
    }
    if !token.is_ascii() {
        return true;
    }
    let roman = token.bytes().all(|b| b"IVXLC".contains(&b));
    let spoken = token.bytes().any(|b| b"aeiouyAEIOUY".contains(&b));
    let shouted = token.bytes().all(|b| b.is_ascii_uppercase());
    !roman && (spoken || shouted || !token.bytes().all(|b| b.is_ascii_alphabetic()))
}

/// Whether the first bytes of a text hold words of German, and several.
pub(super) fn is_german(text: &str) -> bool {
    let (mut all, mut german) = (0, 0);
    let mut seen: Vec<&str> = Vec::new();
    for word in words(&text[..floor(text, LANGUAGE_BYTES)]) {
        all += 1;
        let folded = word.text.to_lowercase();
        if let Ok(at) = GERMAN.binary_search(&folded.as_str()) {
            german += 1;
            if !seen.contains(&GERMAN[at]) {
                seen.push(GERMAN[at]);
            }
        }
    }
    seen.len() >= 2 && german * 10 >= all
}

#[rustfmt::skip]
pub(super) fn is_stop(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '\u{2026}' | '\u{37E}' | '\u{589}' | '\u{203C}' | '\u{203D}'
        | '\u{2047}'..='\u{2049}')
}

/// Stops that need no space after them: of scripts that write none, and those that mark nothing else.
#[rustfmt::skip]
pub(super) fn is_wide_stop(c: char) -> bool {
    matches!(c, '\u{3002}' | '\u{FF01}' | '\u{FF1F}' | '\u{FF61}' | '\u{FF0E}' | '\u{61F}' | '\u{6D4}'
        | '\u{964}' | '\u{965}' | '\u{104B}' | '\u{1362}' | '\u{17D4}')
}

#[rustfmt::skip]
pub(super) fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '}' | '*' | '_' | '`' | '\u{BB}' | '\u{201D}'
        | '\u{2019}' | '\u{203A}' | '\u{300D}' | '\u{300F}' | '\u{FF09}' | '\u{3011}' | '\u{300B}')
}

#[rustfmt::skip]
pub(super) fn is_opener(c: char) -> bool {
    matches!(c, '"' | '\'' | '(' | '[' | '{' | '*' | '_' | '`' | '\u{AB}' | '\u{BB}' | '\u{201C}'
        | '\u{2018}' | '\u{201E}' | '\u{201A}' | '\u{2039}' | '\u{300C}' | '\u{300E}' | '\u{FF08}' | '\u{3010}'
        | '\u{300A}' | '\u{BF}' | '\u{A1}')
}

/// `U.S`, `a.m`, `Ph.D`, `J.-C`: short letter groups with points between (the last is not in it).
fn is_dotted_acronym(token: &str) -> bool {
    token.contains('.')
        && token.split('.').map(|part| part.trim_start_matches('-')).all(|part| {
            (1..=2).contains(&part.chars().count()) && part.chars().all(char::is_alphabetic)
        })
}

/// Whether a sentence ends with a stop, closing marks aside, or with a colon.
pub fn ends_with_stop(sentence: &str) -> bool {
    sentence
        .trim_end_matches(|c| is_closer(c) || c == '\u{201C}' || c == '\u{AB}')
        .ends_with(|c| is_stop(c) || is_wide_stop(c) || matches!(c, ':' | '\u{FF1A}'))
}
