// SPDX-License-Identifier: AGPL-3.0-or-later
//! How much of a stream models read.

use std::ops::Range;

use crate::card::PartlyRead;
use crate::reading::{Reading, WINDOW_BYTES};

/// Of what lies behind the budget of a text, models read this part at most.
const SHARE: usize = 8;

/// Sentences are read in order as far as the budget of a text reaches; behind it, those that are worth it, as long as no
/// more than a [`SHARE`]th of what lies there was read. Which these are depends on the text alone, not on its pieces.
pub(super) struct Budget {
    /// Bytes that are read in any case.
    free: usize,
    seen: usize,
    read: usize,
    /// Where the last sentence ended.
    reach: usize,
    /// What was left unread, in bytes of the whole text; the end of it.
    unread: Vec<Range<usize>>,
}

impl Budget {
    pub(super) fn new(windows: usize) -> Self {
        Self {
            free: windows.saturating_mul(WINDOW_BYTES),
            seen: 0,
            read: 0,
            reach: 0,
            unread: Vec::new(),
        }
    }

    /// Whether models read a sentence, of which this part of the whole text is new.
    pub(super) fn allows(&mut self, sentence: Range<usize>, worth: impl FnOnce() -> bool) -> bool {
        // The last words of a sentence that was cut come again, and what was withheld never comes.
        let fresh = sentence.end.saturating_sub(sentence.start.max(self.reach));
        self.reach = self.reach.max(sentence.end);
        self.seen += fresh;
        let beyond = self.seen.saturating_sub(self.free) / SHARE;
        let fits = self.read.saturating_add(fresh) <= self.free.saturating_add(beyond);
        if fits && (self.seen <= self.free || worth()) {
            self.read += fresh;
            return true;
        }
        match self.unread.last_mut() {
            Some(last) if last.end >= sentence.start => last.end = last.end.max(sentence.end),
            _ => self.unread.push(sentence),
        }
        false
    }

    /// Forgets what stands before a place that nothing looks at again.
    pub(super) fn forget(&mut self, before: usize) {
        let past = self.unread.partition_point(|unread| unread.end <= before);
        self.unread.drain(..past);
    }

    /// What these detectors left unread, for the decision about what is held.
    pub(super) fn left_out(&self, readers: &[&'static str]) -> Vec<Reading> {
        if self.unread.is_empty() {
            return Vec::new();
        }
        let reading = |detector: &&'static str| Reading {
            detector,
            windows: 0,
            of_windows: 0,
            unread: self.unread.clone(),
        };
        readers.iter().map(reading).collect()
    }

    /// As the card of the whole says it.
    pub(super) fn partly_read(&self, readers: &[&'static str]) -> Vec<PartlyRead> {
        if self.read >= self.seen {
            return Vec::new();
        }
        let partly = |detector: &&str| PartlyRead {
            detector: (*detector).to_owned(),
            bytes: self.read,
            of_bytes: self.seen,
            windows: self.read.div_ceil(WINDOW_BYTES),
            of_windows: self.seen.div_ceil(WINDOW_BYTES),
        };
        readers.iter().map(partly).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_read_up_to_the_budget_and_then_what_is_worth_it() {
        let mut budget = Budget::new(1);
        let sentence = |i: usize| i * 64..(i + 1) * 64;
        let read: Vec<usize> =
            (0..100).filter(|&i| budget.allows(sentence(i), || i % 10 == 7 || i > 50)).collect();
        assert_eq!(read[..8], [0, 1, 2, 3, 4, 5, 6, 7], "the budget of a text");
        assert!(read[8..].iter().all(|i| i % 10 == 7 || *i > 50), "{read:?}");
        // An eighth of the 92 sentences behind it.
        assert_eq!(read.len(), 8 + 92 / 8, "{read:?}");
        assert!(read.last().is_some_and(|last| *last > 90), "to the end: {read:?}");
        let [card] = &budget.partly_read(&["m"])[..] else { panic!("one reader") };
        assert_eq!((card.bytes, card.of_bytes), (read.len() * 64, 6400));
        assert_eq!((card.windows, card.of_windows), ((read.len() * 64).div_ceil(512), 13));
        let [left] = &budget.left_out(&["m"])[..] else { panic!("one reader") };
        assert!(left.leaves_out(&sentence(8)) && !left.leaves_out(&sentence(7)));
        budget.forget(6300);
        assert!(budget.left_out(&["m"]).iter().all(|left| !left.leaves_out(&(0..6000))));
    }

    #[test]
    fn a_short_text_is_read_whole() {
        let mut budget = Budget::new(2);
        assert!((0..16).all(|i| budget.allows(i * 64..(i + 1) * 64, || false)));
        assert!(budget.partly_read(&["m"]).is_empty() && budget.left_out(&["m"]).is_empty());
        let mut endless = Budget::new(usize::MAX);
        assert!((0..16).all(|i| endless.allows(i * 4096..(i + 1) * 4096, || false)));
    }
}
