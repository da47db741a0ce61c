// SPDX-License-Identifier: AGPL-3.0-or-later
//! Which spans are replaced when findings overlap, and the replacing.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::finding::{Category, Finding, PiiType};
use crate::policy::Policy;

/// A stretch of text that is to be replaced.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) span: Range<usize>,
    pub(crate) kind: PiiType,
    pub(crate) score: f32,
}

/// The stretches that a policy would have replaced if these were all the findings, each with its type and score: sorted,
/// without overlap. A card's `redactions` are this for all findings of the text.
#[must_use]
pub fn redacted<'f>(
    policy: &Policy,
    text: &str,
    findings: impl IntoIterator<Item = &'f Finding>,
) -> Vec<(Range<usize>, PiiType, f32)> {
    let target = |finding: &Finding| match finding.category {
        Category::Pii(kind)
            if finding.score >= policy.thresholds.pii_redact && policy.redacts(kind) =>
        {
            Some(Target { span: finding.span.clone(), kind, score: finding.score })
        }
        _ => None,
    };
    let targets = resolve(text, findings.into_iter().filter_map(target).collect());
    targets.into_iter().map(|t| (t.span, t.kind, t.score)).collect()
}

/// Makes the targets disjoint and sorts them.
///
/// Where targets overlap, the one with the higher score keeps its whole span; then the longer, then the earlier, then
/// the type's name decides. What a loser covers beyond the winners is still replaced, under its own type, as far as it
/// holds a letter or digit: every byte of personal data over the threshold goes, and not a byte besides.
///
/// `n log n` in the number of targets.
pub(crate) fn resolve(text: &str, mut targets: Vec<Target>) -> Vec<Target> {
    targets.retain(|t| !t.span.is_empty());
    targets.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| b.span.len().cmp(&a.span.len()))
            .then_with(|| a.span.start.cmp(&b.span.start))
            .then_with(|| a.kind.cmp(&b.kind))
    });
    // Start of each accepted span -> the accepted target. Disjoint at all times.
    let mut taken: BTreeMap<usize, Target> = BTreeMap::new();
    for target in targets {
        let mut free = Vec::new();
        let mut from = target.span.start;
        if let Some((_, before)) = taken.range(..=from).next_back() {
            from = from.max(before.span.end);
        }
        for (&start, other) in taken.range(target.span.start..target.span.end) {
            if from < start {
                free.push(from..start);
            }
            from = from.max(other.span.end);
        }
        if from < target.span.end {
            free.push(from..target.span.end);
        }
        let whole = free.len() == 1 && free[0] == target.span;
        for span in free {
            if whole || text[span.clone()].contains(char::is_alphanumeric) {
                taken.insert(span.start, Target { span, ..target.clone() });
            }
        }
    }
    taken.into_values().collect()
}

/// Puts `substitutes`, one a target, in the place of the targets, which must be sorted and disjoint, as [`resolve`] leaves
/// them.
pub(crate) fn apply(text: &str, targets: &[Target], substitutes: &[String]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (target, substitute) in targets.iter().zip(substitutes) {
        out.push_str(&text[from..target.span.start]);
        out.push_str(substitute);
        from = target.span.end;
    }
    out.push_str(&text[from..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PiiType = PiiType::new("a");
    const B: PiiType = PiiType::new("b");

    fn target(span: Range<usize>, kind: PiiType, score: f32) -> Target {
        Target { span, kind, score }
    }

    fn spans(resolved: &[Target]) -> Vec<(usize, usize, &'static str)> {
        resolved.iter().map(|t| (t.span.start, t.span.end, t.kind.key())).collect()
    }

    #[test]
    fn the_higher_score_keeps_its_span() {
        let got = resolve("0123456789", vec![target(0..6, A, 0.7), target(2..6, B, 0.9)]);
        assert_eq!(spans(&got), [(0, 2, "a"), (2, 6, "b")]);
    }

    #[test]
    fn equal_scores_go_to_the_longer_then_to_the_earlier() {
        let got = resolve("0123456789", vec![target(0..4, A, 0.9), target(2..9, B, 0.9)]);
        assert_eq!(spans(&got), [(0, 2, "a"), (2, 9, "b")]);
        let got = resolve("0123456789", vec![target(3..6, B, 0.9), target(1..4, A, 0.9)]);
        assert_eq!(spans(&got), [(1, 4, "a"), (4, 6, "b")]);
    }

    #[test]
    fn a_contained_loser_vanishes_and_a_wide_loser_is_split() {
        let got = resolve("0123456789", vec![target(2..4, A, 0.8), target(0..9, B, 0.9)]);
        assert_eq!(spans(&got), [(0, 9, "b")]);
        let got = resolve("0123456789", vec![target(0..9, B, 0.8), target(3..5, A, 0.9)]);
        assert_eq!(spans(&got), [(0, 3, "b"), (3, 5, "a"), (5, 9, "b")]);
    }

    #[test]
    fn remainders_of_punctuation_are_left_alone() {
        let got = resolve("123 (456)", vec![target(0..3, A, 0.9), target(0..5, B, 0.8)]);
        assert_eq!(spans(&got), [(0, 3, "a")]);
    }

    #[test]
    fn order_of_input_does_not_matter() {
        let all = [target(0..5, A, 0.9), target(3..8, B, 0.9), target(7..10, A, 0.7)];
        let forward = resolve("0123456789", all.to_vec());
        let backward = resolve("0123456789", all.iter().rev().cloned().collect());
        assert_eq!(forward, backward);
    }

    #[test]
    fn text_outside_is_kept_byte_for_byte() {
        let text = "é 123 — ü";
        let got = resolve(text, vec![target(3..6, A, 1.0)]);
        assert_eq!(apply(text, &got, &["[A]".to_owned()]), "é [A] — ü");
    }

    #[test]
    fn many_overlaps_stay_cheap() {
        let text = "0".repeat(200_000);
        let targets = (0..100_000)
            .map(|i| target(i..i + 1000, if i % 2 == 0 { A } else { B }, 0.9))
            .collect();
        let got = resolve(&text, targets);
        assert_eq!(got.first().map(|t| t.span.start), Some(0));
        assert!(got.windows(2).all(|w| w[0].span.end <= w[1].span.start));
    }
}
