// SPDX-License-Identifier: AGPL-3.0-or-later
//! Texts that the guard's models have read, for others that repeat sentences of them.

use std::ops::Range;

use bho_guard::{Guard, Verdict};

use crate::text;

/// Shortest text that is looked for in others: reading a shorter one costs less than the search is worth.
pub(super) const MIN_QUOTED: usize = 16;

/// A text that models read, as it was passed on.
pub(super) struct Quiet {
    text: Box<str>,
    /// Where its sentences start and end, both in order.
    starts: Vec<usize>,
    ends: Vec<usize>,
    /// What models suspect.
    loud: Vec<Range<usize>>,
}

impl Quiet {
    /// `None` where models have not read all of it, or where it is not known what of it they suspect.
    pub(super) fn of(verdict: &Verdict, text: &str, guard: &Guard) -> Option<Self> {
        let loud = guard.suspected_by_models(verdict)?;
        // Spans are those of the text before anything was taken out.
        if text.len() < MIN_QUOTED || !(loud.is_empty() || verdict.card.text == text) {
            return None;
        }
        let text = verdict.card.text.as_str();
        let (starts, ends) = text::sentences(text).map(|span| (span.start, span.end)).unzip();
        Some(Self { text: text.into(), starts, ends, loud })
    }

    /// What it weighs.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + 2 * self.starts.len() * size_of::<usize>()
    }

    /// Whether these are one or more whole sentences of the text, in a row, and quiet ones.
    pub(super) fn holds(&self, sentences: &str) -> bool {
        let quiet = |at: usize| {
            let end = at + sentences.len();
            self.starts.binary_search(&at).is_ok()
                && self.ends.binary_search(&end).is_ok()
                && !self.loud.iter().any(|loud| loud.start < end && at < loud.end)
        };
        self.text.match_indices(sentences).any(|(at, _)| quiet(at))
    }
}
