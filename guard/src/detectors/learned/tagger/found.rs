// SPDX-License-Identifier: AGPL-3.0-or-later
//! One thing in a text, before it becomes a finding.

use std::ops::Range;

use crate::finding::PiiType;

/// A thing and where it is.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) span: Range<usize>,
    pub(super) kind: PiiType,
    pub(super) rule: &'static str,
    /// How probable it is.
    pub(super) p: f32,
    /// The score of what it takes in of another detector's; its own is not lower.
    pub(super) floor: f32,
}

/// Scores are kept under those of detectors that validated what they found, which so win where both fire.
const CAP: f32 = 0.85;
/// The policy's default threshold, which even odds just reach.
const EVEN: f32 = 0.7;

impl Found {
    /// The score on the guard's scale: even odds are at the default threshold of 0.7, certainty at 0.85, and it is linear
    /// between, and below.
    pub(super) fn score(&self) -> f32 {
        let own = if self.p < 0.5 {
            self.p / 0.5 * EVEN
        } else {
            EVEN + (self.p - 0.5) / 0.5 * (CAP - EVEN)
        };
        own.max(self.floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_odds_are_at_the_default_threshold() {
        let score = |p, floor| {
            let found = Found { span: 0..1, kind: super::super::labels::NAME, rule: "", p, floor };
            found.score()
        };
        assert_eq!([score(0.0, 0.0), score(0.5, 0.0), score(1.0, 0.0)], [0.0, 0.7, 0.85]);
        assert!(score(0.49, 0.0) < 0.7 && score(0.75, 0.0) > 0.77);
        assert_eq!(score(0.6, 0.95), 0.95);
    }
}
