// SPDX-License-Identifier: AGPL-3.0-or-later
//! Sentences for the detectors that judge them as a whole.

use super::{StreamGuard, edge, uncut};
use crate::detector::{DetectContext, Detector};
use crate::detectors::learned;
use crate::error::GuardError;
use crate::finding::{Category, Finding};
use crate::lists::DenyList;

/// A longer sentence is cut.
const MAX_SENTENCE: usize = 512;
/// Words at the end of a sentence that was cut which are judged again with what follows.
const SHARED_WORDS: usize = 8;

impl StreamGuard {
    /// Has models read the sentences that are over; all that is left when it is the `last` time.
    pub(super) fn judge(&mut self, last: bool) -> Result<(), GuardError> {
        while self.judged < self.text.len() {
            let rest = &self.text[self.judged..];
            let (len, cut) = match edge::sentence_end(rest, MAX_SENTENCE) {
                Some(sentence) => sentence,
                None if last => (rest.len(), false),
                None => return Ok(()),
            };
            let end = self.judged + len;
            let window = &self.text[self.before..end];
            let ctx = DetectContext::new(window, self.card.mode);
            // A tagger heeds what rules have found before it.
            let mut found = Vec::new();
            let reads = |d: &dyn Detector| self.readers.contains(&d.name());
            let rules = |d: &dyn Detector| !reads(d) && d.name() != DenyList::NAME;
            self.guard.detect(window, &ctx, rules, &mut found)?;
            self.scanned += window.len() as u64;
            let worth = || learned::worth_reading(window, &found);
            if self.budget.allows(self.base + self.judged..self.base + end, worth) {
                self.guard.detect(window, &ctx, reads, &mut found)?;
            }
            found.retain(|f| self.readers.contains(&f.detector));
            for finding in &mut found {
                finding.span = finding.span.start + self.before..finding.span.end + self.before;
            }
            let personal = |f: &Finding| matches!(f.category, Category::Pii(_));
            let mut judged = end;
            if cut {
                judged = edge::words_back(&self.text, end, SHARED_WORDS);
                let names: Vec<_> = found.iter().filter(|f| personal(f)).cloned().collect();
                judged = uncut(&names, judged);
                if judged <= self.judged {
                    judged = end;
                }
            }
            found.retain(|f| f.span.end > self.judged && (!personal(f) || f.span.start < judged));
            self.learned.extend(found);
            (self.before, self.judged) = (self.judged, judged);
        }
        Ok(())
    }
}
