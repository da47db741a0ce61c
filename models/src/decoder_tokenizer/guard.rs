// SPDX-License-Identifier: AGPL-3.0-or-later
//! Keeps special tokens out of text that others wrote.
//!
//! A chat template mixes its own special tokens with the text of messages, and the tokenizer sees
//! only the sum. So before rendering, every place in a message where a special token begins gets a
//! private character instead of the token's first one. The tokenizer looks for special tokens
//! while those stand there and turns them back before it goes on.

use std::borrow::Cow;
use std::collections::HashMap;

use tokenizers::tokenizer::NormalizedString;

/// First of the private characters: Supplementary Private Use Area-B, whose last 4094 are used.
const FIRST: u32 = 0x10_F000;

/// Last of the private characters.
const LAST: u32 = 0x10_FFFD;

/// The special tokens, by their first characters.
#[derive(Debug, Default)]
pub(super) struct Guard {
    tokens: HashMap<char, (char, Vec<String>)>,
    /// What the private characters stand for, from [`FIRST`] on.
    chars: Vec<char>,
}

impl Guard {
    pub(super) fn new<'t>(tokens: impl Iterator<Item = &'t str>) -> Result<Self, String> {
        let mut tokens: Vec<&str> = tokens.collect();
        tokens.sort_unstable();
        let mut guard = Self::default();
        for token in tokens {
            let Some(first) = token.chars().next() else { continue };
            if token.chars().any(private) {
                return Err("has a special token with a character above U+10EFFF".into());
            }
            if !guard.tokens.contains_key(&first) {
                let code = FIRST + guard.chars.len() as u32;
                let stand_in = char::from_u32(code)
                    .filter(|&c| private(c))
                    .ok_or("its special tokens begin with more than 4094 different characters")?;
                guard.chars.push(first);
                guard.tokens.insert(first, (stand_in, Vec::new()));
            }
            guard.tokens.entry(first).and_modify(|(_, list)| list.push(token.to_owned()));
        }
        Ok(guard)
    }

    /// The character to write for `c`, which begins `rest`.
    fn stand_in(&self, c: char, rest: &str) -> Option<char> {
        if private(c) {
            return Some(char::REPLACEMENT_CHARACTER);
        }
        let (stand_in, tokens) = self.tokens.get(&c)?;
        tokens.iter().any(|t| rest.starts_with(t.as_str())).then_some(*stand_in)
    }

    pub(super) fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut written = String::new();
        let mut done = 0;
        for (i, c) in text.char_indices() {
            if let Some(stand_in) = self.stand_in(c, &text[i..]) {
                written.push_str(&text[done..i]);
                written.push(stand_in);
                done = i + c.len_utf8();
            }
        }
        if done == 0 {
            return Cow::Borrowed(text);
        }
        written.push_str(&text[done..]);
        Cow::Owned(written)
    }

    /// Turns private characters back.
    pub(super) fn restore(&self, text: &mut NormalizedString) {
        if text.get().contains(private) {
            let original = |c: char| {
                let place = u32::from(c).checked_sub(FIRST)?;
                self.chars.get(place as usize).copied()
            };
            text.map(|c| original(c).unwrap_or(c));
        }
    }
}

fn private(c: char) -> bool {
    (FIRST..=LAST).contains(&u32::from(c))
}
