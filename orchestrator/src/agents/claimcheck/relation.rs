// SPDX-License-Identifier: AGPL-3.0-or-later
//! How one sentence bears on a claim, from similarity, shared words, numbers and polarity.
//!
//! Similarity alone cannot tell `is effective` from `is not effective`: an encoder puts them side
//! by side. So it only says whether a sentence speaks of the same thing; whether it agrees is
//! read from content words, quantities, negation and opposites.

use super::calibration::Calibration;
use super::judge::Reading;
use super::measures::{Measure, measures};
use crate::text::{Quantity, QuantityKind, Term, are_antonyms, quantities, terms};

/// What a sentence says of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Supports,
    Refutes,
    Neutral,
}

impl Relation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Supports => "supports",
            Self::Refutes => "refutes",
            Self::Neutral => "neutral",
        }
    }

    /// What probabilities come to at the thresholds of a calibration.
    pub(super) fn of(reading: Reading, calibration: &Calibration) -> Self {
        let Reading { supports, refutes } = reading;
        if refutes >= calibration.decide_refutes && refutes >= supports {
            Self::Refutes
        } else if supports >= calibration.decide_supports && supports > refutes {
            Self::Supports
        } else {
            Self::Neutral
        }
    }
}

/// From this probability on a sentence counts as support or refutation.
///
/// On fresh pairs three of four calls of support are right from here on; see
/// [`super::ClaimCheck`].
pub(super) const DECIDE: f64 = 0.6;

/// Least share of the claim's content, names counting more, that a sentence must have for a
/// difference (another number, a negation) to be about the same statement.
const ALIGN_COVERAGE: f64 = 0.5;
/// Least similarity for the same; unrelated sentences lie below 0.3 with MiniLM-class encoders.
const ALIGN_SIMILARITY: f64 = 0.35;

/// Credit for a content word that only the sentence before has: it is what a pronoun stands for.
const CONTEXT_CREDIT: f64 = 0.5;

/// Share of the claim's content, names aside, that must differ in polarity for a negation to
/// count; less will do in a short sentence. Long sentences negate something more often than they
/// negate the claim: at 0.2 everywhere, most such calls on retrieved passages were wrong.
const FLIP_SHARE: f64 = 0.4;
const FLIP_SHARE_SHORT: f64 = 0.2;
/// Share of the claim's content from which on a negation of another word denies the claim all the
/// same: the word is then most likely another for one of the claim's.
///
/// Chosen on development sets. At 0 CREAK's found refutations rise from 123 to 147 of 680, and
/// those right among the calls on Fool Me Twice's retrieved passages fall from 69% to 64%.
const SAME_STATEMENT: f64 = 0.75;
/// Content words of a short sentence, at most.
const SHORT: usize = 8;

/// Weight of a quantity of the claim among its content words.
const QUANTITY_WEIGHT: f64 = 1.5;

/// Support: logit = bias + similarity + similarity above [`CLOSE`] + the signs below.
///
/// Fitted by logistic regression on half of some 6000 pairs from the development sets of Fool Me
/// Twice, SNLI and CREAK with all-MiniLM-L6-v2 (fp32); which signs to use was decided by the other
/// half.
/// On fresh pairs with the int8 encoder (see [`super::ClaimCheck`]) 0.6 to 0.7 holds in 0.68 of
/// cases (SNLI 0.57, CREAK 0.71), 0.7 to 0.8 in 0.85, 0.8 to 0.9 in 0.91 and more in 0.89.
const SUPPORT: [f64; 3] = [-2.76, 4.0, 0.7];
const CLOSE: f64 = 0.75;
/// Every content word but light verbs, and every quantity of the claim is there.
const SUPPORT_COMPLETE: f64 = 1.9;
/// The claim has quantities and the sentence none of them.
const SUPPORT_NO_QUANTITY: f64 = -0.6;
/// Set by hand: the sets hardly ever swap a name, users do.
const SUPPORT_NO_NAME: f64 = -0.5;

/// Refutation, given a difference: logit = bias + similarity + coverage, fitted on the 250 such
/// pairs of the same sets, and what a difference of numbers adds: those sets often speak of
/// another year or count of the same thing, so it says less than a negation or an opposite.
const REFUTE: [f64; 3] = [-0.75, 2.2, 1.5];
const REFUTE_NUMBER: f64 = -1.3;

/// A claim, analysed once.
pub(super) struct Claim {
    terms: Vec<Term>,
    years: Vec<Quantity>,
    measures: Vec<Measure>,
}

/// A sentence's bearing on a claim.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judgement {
    pub(super) supports: f64,
    pub(super) refutes: f64,
}

/// What is compared, before it is weighed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Signs {
    /// Share of the claim's content that the sentence has, in 0..=1.
    pub(super) coverage: f64,
    /// Coverage without quantities: a different number is no other subject.
    pub(super) aligned: f64,
    names_missing: f64,
    /// All of it but light verbs, and more than one word: a single shared word says little.
    complete: bool,
    /// None of the claim's quantities agrees with one of the same kind.
    no_quantity: bool,
    number_differs: bool,
    pub(super) negated: bool,
    /// What is negated first is not of the claim: `does not charge for delivery` denies a charge,
    /// and leaves a claim on delivery open.
    pub(super) elsewhere: bool,
    pub(super) opposite: bool,
}

impl Claim {
    pub(super) fn new(claim: &str) -> Self {
        Self { terms: terms(claim), years: years(claim), measures: measures(claim) }
    }

    /// Folded content words, for cheap look-ups before anything is embedded.
    pub(super) fn stems(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().map(|t| t.stem.as_str())
    }

    /// Judges a sentence that lies at cosine `similarity` to the claim; `before` is the sentence
    /// before it in the same source, if any.
    pub(super) fn judge(&self, sentence: &str, before: Option<&str>, similarity: f64) -> Judgement {
        let signs = self.compare(sentence, before);
        let similarity = similarity.clamp(0.0, 1.0);
        let [bias, near, close] = SUPPORT;
        let when = |sign: bool, weight: f64| if sign { weight } else { 0.0 };
        let mut supports = sigmoid(
            bias + near * similarity
                + close * (similarity - CLOSE).max(0.0)
                + when(signs.complete, SUPPORT_COMPLETE)
                + when(signs.no_quantity, SUPPORT_NO_QUANTITY)
                + SUPPORT_NO_NAME * signs.names_missing,
        );
        let differs = signs.number_differs || signs.negated || signs.opposite;
        let aligned = signs.aligned >= ALIGN_COVERAGE && similarity >= ALIGN_SIMILARITY;
        let mut refutes = 0.0;
        let denies = signs.negated && !signs.elsewhere;
        if (signs.number_differs || denies || signs.opposite) && aligned {
            let logit = REFUTE[0] + REFUTE[1] * similarity + REFUTE[2] * signs.aligned;
            // The surer difference decides where there are two.
            let only_number = !denies && !signs.opposite;
            refutes = sigmoid(logit + when(only_number, REFUTE_NUMBER));
        }
        if differs {
            // What differs does not support, however close it is.
            supports *= 0.5 * (1.0 - refutes);
        }
        Judgement { supports, refutes }
    }

    /// Whether a folded word is in the claim: `a man and a woman` excludes neither.
    fn has(&self, stem: &str) -> bool {
        self.terms.iter().any(|t| t.stem == stem)
    }

    /// What claim and sentence have in common and where they differ.
    pub(super) fn compare(&self, sentence: &str, before: Option<&str>) -> Signs {
        let evidence = terms(sentence);
        let context = before.map(terms).unwrap_or_default();
        let mut signs = Signs::default();
        let (mut total, mut found, mut names, mut names_missing) = (0.0, 0.0, 0.0, 0.0);
        let (mut predicate, mut flipped, mut denied) = (0.0, 0.0, 0.0);
        let (mut resolved, mut weighty, mut absent, mut quantities_absent) = (false, 0, 0, 0);
        for term in &self.terms {
            total += term.weight;
            names += if term.name { term.weight } else { 0.0 };
            predicate += if term.name { 0.0 } else { term.weight };
            weighty += usize::from(term.weight >= 1.0);
            let same: Vec<&Term> = evidence.iter().filter(|t| t.stem == term.stem).collect();
            if !same.is_empty() {
                found += term.weight;
                // A word that stands both with and without negation contradicts nothing.
                if !term.name && same.iter().all(|t| t.negated != term.negated) {
                    flipped += term.weight;
                    let denies = |t: &Term| match (t.head, term.head) {
                        (Some(head), None) => self.has(&evidence[head].stem),
                        (None, Some(head)) => {
                            evidence.iter().any(|e| e.stem == self.terms[head].stem)
                        }
                        _ => false,
                    };
                    denied += if same.iter().all(|t| denies(t)) { term.weight } else { 0.0 };
                }
                continue;
            }
            if let Some(other) =
                evidence.iter().find(|t| are_antonyms(&t.stem, &term.stem) && !self.has(&t.stem))
            {
                // `not ineffective` says `effective`: the negation is spent on the opposite.
                let spent = other.negated != term.negated;
                signs.opposite |= !spent;
                resolved |= spent;
                found += term.weight;
                continue;
            }
            absent += usize::from(term.weight >= 1.0);
            if context.iter().any(|t| t.stem == term.stem) {
                found += CONTEXT_CREDIT * term.weight;
                names_missing += if term.name { (1.0 - CONTEXT_CREDIT) * term.weight } else { 0.0 };
            } else if term.name {
                names_missing += term.weight;
            }
        }
        signs.aligned = if total > 0.0 { found / total } else { 0.0 };
        signs.names_missing = if names > 0.0 { names_missing / names } else { 0.0 };
        let share = if evidence.len() <= SHORT { FLIP_SHARE_SHORT } else { FLIP_SHARE };
        let enough = |weight: f64| !resolved && weight > 0.0 && weight >= share * predicate;
        signs.negated = enough(flipped);
        signs.elsewhere = !enough(denied) && signs.aligned < SAME_STATEMENT;

        signs.no_quantity = !(self.years.is_empty() && self.measures.is_empty());
        let mut quantity = |agrees: bool, comparable: bool| {
            total += QUANTITY_WEIGHT;
            if agrees {
                found += QUANTITY_WEIGHT;
                signs.no_quantity = false;
            } else {
                quantities_absent += 1;
                signs.number_differs |= comparable;
            }
        };
        let stated = if self.years.is_empty() { Vec::new() } else { years(sentence) };
        for wanted in &self.years {
            quantity(stated.iter().any(|q| wanted.agrees(q)), !stated.is_empty());
        }
        let stated = if self.measures.is_empty() { Vec::new() } else { measures(sentence) };
        for wanted in &self.measures {
            let agrees = stated.iter().any(|m| m.kind == wanted.kind && wanted.agrees(m));
            quantity(agrees, stated.iter().any(|m| wanted.comparable(m)));
        }
        signs.coverage = if total > 0.0 { found / total } else { 0.0 };
        signs.complete = weighty > 1 && absent == 0 && quantities_absent == 0;
        signs
    }
}

fn years(text: &str) -> Vec<Quantity> {
    quantities(text).into_iter().filter(|q| q.kind == QuantityKind::Year).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(claim: &str, sentence: &str, similarity: f64) -> Relation {
        let Judgement { supports, refutes } = Claim::new(claim).judge(sentence, None, similarity);
        Relation::of(Reading { supports, refutes }, &super::super::calibration::RULES)
    }

    fn relation(claim: &str, sentence: &str) -> Relation {
        judged(claim, sentence, 0.8)
    }

    #[test]
    fn a_restatement_supports() {
        let sentence = "BitNet b1.58 stores every weight in about 1.58 bits.";
        assert_eq!(relation("BitNet uses 1.58-bit weights", sentence), Relation::Supports);
    }

    #[test]
    fn another_number_of_the_same_unit_refutes() {
        let sentence = "BitNet b1.58 stores every weight in about 1.58 bits.";
        assert_eq!(relation("BitNet uses 2-bit weights", sentence), Relation::Refutes);
        assert_eq!(
            relation("Gandhi was released in 1982.", "Gandhi was released in 1983."),
            Relation::Refutes
        );
        assert_ne!(relation("It has two dogs", "It has three cats"), Relation::Refutes);
        let sentence = "Checkpoints run when the log reaches 1000 pages, about 4 MB.";
        assert_eq!(relation("A checkpoint runs every 500 pages", sentence), Relation::Refutes);
        assert_eq!(
            relation("The road is 5 km long", "The road is 5000 m long."),
            Relation::Supports
        );
    }

    #[test]
    fn negation_refutes_and_double_negation_does_not() {
        let claim = "TinyBERT is effective for classification";
        assert_eq!(
            relation(claim, "TinyBERT is not effective for classification."),
            Relation::Refutes
        );
        assert_eq!(
            relation(claim, "TinyBERT is ineffective for classification."),
            Relation::Refutes
        );
        assert_eq!(
            relation(claim, "TinyBERT is not ineffective for classification."),
            Relation::Supports
        );
        assert_eq!(
            relation(claim, "It is not cheap, but TinyBERT is effective for classification."),
            Relation::Supports
        );
        assert_eq!(
            relation("Fax does not need internet", "Fax does not need any internet."),
            Relation::Supports
        );
    }

    #[test]
    fn what_is_denied_of_something_else_does_not_refute() {
        let sentence = "The carrier doesn't charge for a second delivery.";
        assert_eq!(relation("A second delivery is free", sentence), Relation::Neutral);
        assert_eq!(relation("The carrier charges for delivery", sentence), Relation::Refutes);
    }

    #[test]
    fn another_subject_is_neutral_even_if_negated() {
        let judged =
            Claim::new("BitNet uses 1.58-bit weights").judge("Cats do not like 3 dogs.", None, 0.1);
        assert!(judged.supports < 0.1 && judged.refutes == 0.0);
    }

    #[test]
    fn the_sentence_before_lends_its_names() {
        let claim = Claim::new("TinyBERT classifies text");
        let sentence = "It classifies text.";
        let alone = claim.judge(sentence, None, 0.5).supports;
        let led = claim.judge(sentence, Some("TinyBERT is small."), 0.5).supports;
        assert!(led > alone, "{led} {alone}");
    }

    #[test]
    fn a_claim_without_content_is_neutral() {
        for claim in ["", "it is", "\0", "😀"] {
            assert_eq!(judged(claim, "It is so.", 0.3), Relation::Neutral);
        }
    }
}
