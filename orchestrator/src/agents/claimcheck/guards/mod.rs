// SPDX-License-Identifier: AGPL-3.0-or-later
//! Plain facts that overrule a fluent mistake of a judge: numbers, units, dates, negation,
//! quantifiers, names, comparisons. Each guard is one file and one line of [`GUARDS`].
//!
//! A guard never makes evidence of a text that the judge finds beside the point. It turns support
//! into refutation where the two state different facts of the same thing, takes support away where
//! the claim's fact is not in the text, and takes refutation away where the facts are the same.

mod comparatives;
mod dates;
mod entities;
mod negation;
mod numbers;
mod quantifiers;
mod units;

use super::calibration::{Calibration, Trust};
use super::judge::{Reading, Statement};
use super::relation::Relation;
use crate::text::{clip, sentences, squeeze};

/// A statement and a text beside it.
pub(super) struct Sides<'a> {
    pub(super) statement: &'a Statement,
    /// The window of evidence.
    pub(super) evidence: &'a str,
    /// Its sentence with most of the statement's words: what grammar is compared with.
    pub(super) sentence: &'a str,
    /// The sentence before the window; what it names counts as named.
    pub(super) before: &'a str,
    /// How the source is called; what it names counts as named.
    pub(super) label: &'a str,
}

impl<'a> Sides<'a> {
    pub(super) fn new(
        statement: &'a Statement,
        evidence: &'a str,
        before: Option<&'a str>,
        label: &'a str,
    ) -> Self {
        let coverage = |text: &str| statement.claim.compare(text, None).coverage;
        let sentence = sentences(evidence)
            .map(|span| &evidence[span])
            .map(|text| (coverage(text), text))
            .reduce(|a, b| if b.0 > a.0 { b } else { a })
            .map_or(evidence, |(_, text)| text);
        Self { statement, evidence, sentence, before: before.unwrap_or_default(), label }
    }
}

/// What a guard found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// The same thing, another fact.
    Conflicts,
    /// The claim's fact is not in the text.
    LeavesOpen,
    /// The facts are the same, though they are written differently.
    Agrees,
}

/// One finding, with what to tell a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) effect: Effect,
    pub(super) why: String,
}

impl Finding {
    fn new(effect: Effect, why: String) -> Option<Self> {
        Some(Self { effect, why })
    }
}

struct Guard {
    name: &'static str,
    find: fn(&Sides<'_>) -> Option<Finding>,
    trust: fn(&Trust) -> f64,
}

const GUARDS: &[Guard] = &[
    Guard { name: "numbers", find: numbers::find, trust: |t| t.numbers },
    Guard { name: "units", find: units::find, trust: |t| t.units },
    Guard { name: "dates", find: dates::find, trust: |t| t.dates },
    Guard { name: "negation", find: negation::find, trust: |t| t.negation },
    Guard { name: "quantifiers", find: quantifiers::find, trust: |t| t.quantifiers },
    Guard { name: "entities", find: entities::find, trust: |t| t.entities },
    Guard { name: "comparatives", find: comparatives::find, trust: |t| t.comparatives },
];

/// A judge's reading that a guard changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overruled {
    pub(super) guard: &'static str,
    pub(super) from: Relation,
    pub(super) to: Relation,
    pub(super) why: String,
}

/// Probability below which a side is not worth overruling.
const WORTH: f64 = 0.3;
/// What is left of the probability that a guard speaks against: far below any threshold.
const LEFT: f64 = 0.4;

/// The reading after the guards, and which of them changed the relation.
pub(super) fn apply(
    sides: &Sides<'_>,
    reading: Reading,
    calibration: &Calibration,
) -> (Reading, Vec<Overruled>) {
    let mut now = reading;
    let mut overruled = Vec::new();
    if reading.supports < WORTH && reading.refutes < WORTH {
        return (now, overruled);
    }
    let findings: Vec<(&Guard, Finding)> =
        GUARDS.iter().filter_map(|guard| Some((guard, (guard.find)(sides)?))).collect();
    // A sentence that denies the same number agrees in nothing else.
    let denied = || sides.statement.claim.compare(sides.sentence, None).negated;
    let differs = findings.iter().any(|(_, f)| f.effect != Effect::Agrees) || denied();
    for (guard, finding) in findings {
        let before = Relation::of(now, calibration);
        match finding.effect {
            Effect::Conflicts => {
                let moved = now.supports * (guard.trust)(&calibration.trust);
                now.refutes = now.refutes.max(moved);
                now.supports = (now.supports * LEFT).min(1.0 - now.refutes);
            }
            Effect::LeavesOpen => now.supports *= LEFT,
            // What else differs may be why the judge refutes.
            Effect::Agrees if !differs && reading.refutes > reading.supports => {
                let moved = now.refutes * (guard.trust)(&calibration.trust);
                now.supports = now.supports.max(moved);
                now.refutes = (now.refutes * LEFT).min(1.0 - now.supports);
            }
            Effect::Agrees => {}
        }
        let after = Relation::of(now, calibration);
        if after != before {
            overruled.push(Overruled {
                guard: guard.name,
                from: before,
                to: after,
                why: finding.why,
            });
        }
    }
    (now, overruled)
}

/// Whether two texts that lie close to each other state different facts.
pub(in crate::agents) fn differ(a: &str, b: &str) -> bool {
    let one_way = |a: &str, b: &str| {
        let statement = Statement::new(a);
        let sides = Sides::new(&statement, b, None, "");
        GUARDS
            .iter()
            .filter_map(|guard| (guard.find)(&sides))
            .any(|finding| finding.effect != Effect::Agrees)
    };
    one_way(a, b) || one_way(b, a)
}

/// The first guard that finds another fact of the same thing, and what it found.
pub(super) fn conflict(sides: &Sides<'_>) -> Option<(&'static str, String)> {
    GUARDS.iter().find_map(|guard| {
        let finding = (guard.find)(sides).filter(|f| f.effect == Effect::Conflicts)?;
        Some((guard.name, finding.why))
    })
}

/// A few words of a text, in quotes, for a reason.
pub(super) fn quote(text: &str) -> String {
    let flat = squeeze(text);
    let (shown, cut) = clip(&flat, 60);
    format!("\"{shown}{}\"", if cut { "\u{2026}" } else { "" })
}

/// Rows of `(claim, evidence, effect)` through one guard: the test that each file has.
#[cfg(test)]
fn check(find: fn(&Sides<'_>) -> Option<Finding>, rows: &[(&str, &str, Option<Effect>)]) {
    for (claim, evidence, effect) in rows {
        let statement = Statement::new(*claim);
        let finding = find(&Sides::new(&statement, evidence, None, ""));
        let found = finding.as_ref().map(|f| f.effect);
        assert_eq!(found, *effect, "claim: {claim}\nevidence: {evidence}\n{finding:?}");
        assert!(finding.is_none_or(|f| !f.why.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::calibration::CROSS;
    use super::*;

    fn applied(
        claim: &str,
        evidence: &str,
        supports: f64,
        refutes: f64,
    ) -> (Relation, Vec<Overruled>) {
        let statement = Statement::new(claim);
        let sides = Sides::new(&statement, evidence, None, "");
        let (now, overruled) = apply(&sides, Reading { supports, refutes }, &CROSS);
        assert!(
            now.supports >= 0.0 && now.refutes >= 0.0 && now.supports + now.refutes <= 1.0 + 1e-9
        );
        (Relation::of(now, &CROSS), overruled)
    }

    #[test]
    fn a_guard_overrules_and_says_why() {
        let (relation, overruled) =
            applied("The bridge has 4 lanes", "The bridge has 6 lanes.", 0.97, 0.01);
        assert_eq!(relation, Relation::Refutes);
        assert_eq!(overruled.len(), 1);
        assert_eq!((overruled[0].guard, overruled[0].from), ("numbers", Relation::Supports));
        assert!(overruled[0].why.contains("4 lanes") && overruled[0].why.contains("6 lanes"));
    }

    #[test]
    fn agreement_after_conversion_takes_a_refutation_away() {
        let road = ("The road is 5 km long", "The road is 5000 m long.");
        let (relation, overruled) = applied(road.0, road.1, 0.05, 0.9);
        assert_eq!(relation, Relation::Supports, "{overruled:?}");
        assert_eq!(overruled[0].guard, "units");
        // But not where something else differs.
        let (relation, _) = applied(road.0, "The road is not 5000 m long.", 0.05, 0.9);
        assert_eq!(relation, Relation::Refutes);
    }

    #[test]
    fn what_the_judge_leaves_open_no_guard_decides() {
        let (relation, overruled) = applied("It has 4 lanes", "It has 6 lanes.", 0.1, 0.1);
        assert_eq!((relation, overruled), (Relation::Neutral, Vec::new()));
    }

    #[test]
    fn close_texts_that_differ_are_told_apart() {
        assert!(differ("Solar panels cost 5 euros.", "Solar panels cost 7 euros."));
        assert!(differ("Solar panels cost 5 euros.", "Solar panels do not cost 5 euros."));
        assert!(!differ("Solar panels cost 5 euros.", "Panels of solar type cost 5 euros."));
    }
}
