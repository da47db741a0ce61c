// SPDX-License-Identifier: AGPL-3.0-or-later
//! What evidence comes to: of one statement by its strongest windows, of a compound claim by its
//! parts.

use super::calibration::Calibration;
use super::guards::{self, Overruled, Sides};
use super::judge::{Exhibit, Judge, Reading, Statement};
use super::relation::Relation;
use super::retrieve::Found;
use super::sources::Source;
use crate::agents::{AgentContext, AgentError};

/// Least similarity of a window that an undecided claim is shown beside; unrelated sentences lie
/// below it with MiniLM-class encoders.
const SPEAKS_OF_IT: f64 = 0.35;
/// Share of the claim's content from which on a window is shown however dissimilar.
const SHARES_ENOUGH: f64 = 0.5;

/// A window after judgement.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    pub(super) found: Found,
    pub(super) reading: Reading,
    pub(super) relation: Relation,
    pub(super) overruled: Vec<Overruled>,
}

impl Evidence {
    /// Probability of its relation.
    pub(super) fn strength(&self) -> f64 {
        let Reading { supports, refutes } = self.reading;
        match self.relation {
            Relation::Supports => supports,
            Relation::Refutes => refutes,
            Relation::Neutral => 1.0 - supports.max(refutes),
        }
    }

    /// Whether it is worth showing beside an undecided claim.
    pub(super) fn speaks_of_it(&self) -> bool {
        self.found.similarity >= SPEAKS_OF_IT || self.found.coverage >= SHARES_ENOUGH
    }
}

/// Judges windows and lets the guards overrule, in the order given.
pub(super) fn weigh(
    statement: &Statement,
    found: &[Found],
    sources: &[Source<'_>],
    judge: &dyn Judge,
    ctx: &AgentContext<'_>,
) -> Result<Vec<Evidence>, AgentError> {
    let exhibits: Vec<Exhibit<'_>> = found
        .iter()
        .map(|f| Exhibit {
            text: f.window.text(sources),
            before: f.window.before(sources),
            similarity: f.similarity,
        })
        .collect();
    let readings = judge.read(statement, &exhibits, ctx.cancel)?;
    let mut evidence = Vec::with_capacity(found.len());
    for ((found, reading), exhibit) in found.iter().zip(readings).zip(&exhibits) {
        ctx.cancel.check()?;
        let label = sources[found.window.source].label.as_str();
        let sides = Sides::new(statement, exhibit.text, exhibit.before, label);
        let (reading, overruled) = guards::apply(&sides, reading, judge.calibration());
        let relation = Relation::of(reading, judge.calibration());
        evidence.push(Evidence { found: found.clone(), reading, relation, overruled });
    }
    Ok(evidence)
}

/// What the evidence of one statement comes to; indices are into that evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Supported(usize),
    Refuted(usize),
    /// Support and refutation are about as strong as each other, or both strong.
    Mixed {
        for_it: usize,
        against: usize,
    },
    /// No window is strong enough.
    Undecided,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    /// Probability that the verdict holds, in 0..=1.
    pub(super) score: f64,
    /// Probabilities of the strongest support and refutation; they add up to at most 1, and what
    /// they leave is that nothing decides.
    pub(super) sides: Reading,
}

impl Verdict {
    pub(super) fn of(evidence: &[Evidence], calibration: &Calibration) -> Self {
        let strongest = |value: fn(&Reading) -> f64| {
            evidence
                .iter()
                .enumerate()
                .map(|(i, e)| (value(&e.reading), i))
                .reduce(|a, b| if b.0 > a.0 { b } else { a })
        };
        let (supports, for_it) = strongest(|r| r.supports).unwrap_or((0.0, 0));
        let (refutes, against) = strongest(|r| r.refutes).unwrap_or((0.0, 0));
        let best = supports.max(refutes);
        let decides =
            supports >= calibration.decide_supports || refutes >= calibration.decide_refutes;
        let apart = (supports - refutes).abs();
        let mixed = apart < calibration.margin || supports.min(refutes) >= calibration.mixed;
        let (outcome, score) = if evidence.is_empty() || !decides {
            (Outcome::Undecided, 1.0 - best)
        } else if mixed {
            (Outcome::Mixed { for_it, against }, 1.0 - apart)
        } else if supports > refutes {
            // The stronger side may lie below its own threshold and only the other above.
            match supports >= calibration.decide_supports {
                true => (Outcome::Supported(for_it), supports),
                false => (Outcome::Undecided, 1.0 - best),
            }
        } else {
            match refutes >= calibration.decide_refutes {
                true => (Outcome::Refuted(against), refutes),
                false => (Outcome::Undecided, 1.0 - best),
            }
        };
        Self { outcome, score, sides: Reading { supports, refutes }.within_one() }
    }

    pub(super) fn name(&self) -> &'static str {
        match self.outcome {
            Outcome::Supported(_) => "supported",
            Outcome::Refuted(_) => "refuted",
            Outcome::Mixed { .. } | Outcome::Undecided => "uncertain",
        }
    }

    /// Why it is uncertain, where it is.
    pub(super) fn reason(&self) -> Option<&'static str> {
        match self.outcome {
            Outcome::Supported(_) | Outcome::Refuted(_) => None,
            Outcome::Mixed { .. } => Some("the evidence contradicts itself"),
            Outcome::Undecided => Some("no sentence is close enough to decide"),
        }
    }
}

/// A verdict and the statement whose evidence it rests on: 0 is the whole claim, then its parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Resting {
    pub(super) verdict: Verdict,
    pub(super) on: usize,
}

/// The verdict on a claim from that on the whole, which is first, and those on its parts.
///
/// One refuted part refutes a claim, and all parts supported support it, unless the whole claim
/// reads as the contrary: then it is uncertain. Otherwise the whole decides.
pub(super) fn combine(verdicts: &[Verdict]) -> Resting {
    let whole = Resting { verdict: verdicts[0], on: 0 };
    let parts = || verdicts.iter().copied().enumerate().skip(1);
    if verdicts.len() < 2 {
        return whole;
    }
    // The whole says one thing and a part the other: both are told.
    let uncertain = |part: Verdict| {
        let whole = whole.verdict;
        let sides = Reading {
            supports: whole.sides.supports.max(part.sides.supports),
            refutes: whole.sides.refutes.max(part.sides.refutes),
        };
        let score = 1.0 - part.score.min(whole.score);
        let verdict = Verdict { outcome: Outcome::Undecided, score, sides: sides.within_one() };
        Resting { verdict, on: 0 }
    };
    let refuted = parts()
        .filter(|(_, v)| matches!(v.outcome, Outcome::Refuted(_)))
        .reduce(|a, b| if b.1.score > a.1.score { b } else { a });
    if let Some((on, verdict)) = refuted {
        return match whole.verdict.outcome {
            Outcome::Supported(_) => uncertain(verdict),
            Outcome::Refuted(_) if whole.verdict.score >= verdict.score => whole,
            _ => Resting { verdict, on },
        };
    }
    // A conjunction is no surer than its weakest part.
    let weakest = parts().reduce(|a, b| if b.1.score < a.1.score { b } else { a });
    let all = parts().all(|(_, v)| matches!(v.outcome, Outcome::Supported(_)));
    match (weakest.filter(|_| all), whole.verdict.outcome) {
        (Some((_, part)), Outcome::Refuted(_)) => uncertain(part),
        (Some((on, verdict)), Outcome::Undecided) => Resting { verdict, on },
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Mixed, Refuted, Supported, Undecided};

    fn verdict(outcome: Outcome, score: f64) -> Verdict {
        let sides = match outcome {
            Supported(_) => Reading { supports: score, refutes: 0.1 },
            Refuted(_) => Reading { supports: 0.1, refutes: score },
            Mixed { .. } | Undecided => Reading { supports: 0.3, refutes: 0.2 },
        };
        Verdict { outcome, score, sides }
    }

    #[test]
    fn parts_and_whole_are_combined_carefully() {
        let (yes, no, open) =
            (verdict(Supported(0), 0.8), verdict(Refuted(0), 0.7), verdict(Undecided, 0.6));
        let weak = verdict(Supported(0), 0.65);
        let mixed = verdict(Mixed { for_it: 0, against: 0 }, 0.9);
        for (verdicts, name, on) in [
            (&[yes][..], "supported", 0),
            (&[open, yes, weak], "supported", 2),
            (&[open, yes, open], "uncertain", 0),
            (&[open, yes, no], "refuted", 2),
            (&[yes, yes, no], "uncertain", 0),
            (&[yes, open, open], "supported", 0),
            (&[no, yes, yes], "uncertain", 0),
            (&[no, open, yes], "refuted", 0),
            (&[mixed, yes, yes], "uncertain", 0),
        ] {
            let resting = combine(verdicts);
            assert_eq!((resting.verdict.name(), resting.on), (name, on), "{verdicts:?}");
            assert!((0.0..=1.0).contains(&resting.verdict.score));
            let Reading { supports, refutes } = resting.verdict.sides;
            assert!(supports + refutes <= 1.0 + 1e-12, "{verdicts:?}");
        }
        // Torn: both sides are told, none for more than it is worth.
        let torn = combine(&[yes, yes, no]).verdict.sides;
        assert!((torn.supports - 0.8 / 1.5).abs() < 1e-12, "{torn:?}");
        assert!((torn.refutes - 0.7 / 1.5).abs() < 1e-12, "{torn:?}");
        assert_eq!(combine(&[open, yes, weak]).verdict.score, 0.65);
    }
}
