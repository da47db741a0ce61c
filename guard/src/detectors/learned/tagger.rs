// SPDX-License-Identifier: AGPL-3.0-or-later
//! Names, addresses, places and numbers that only their context gives away, by a token classifier.

use std::ops::Range;
use std::sync::Arc;

use bho_engine::{CancelToken, Encoder, TokenLabel};

use super::failed;
use super::pieces::pieces;
use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::normalise::model_view;
use crate::text::{char_after, char_before, is_wordlike};

const NAME: PiiType = PiiType::new("name");
const ADDRESS: PiiType = PiiType::new("address");
const PLACE: PiiType = PiiType::new("place");
const TAX_ID: PiiType = PiiType::new("tax_id");
const BANK_ACCOUNT: PiiType = PiiType::new("bank_account");
const ROUTING_NUMBER: PiiType = PiiType::new("routing_number");
const GOVERNMENT_ID: PiiType = PiiType::new("government_id");
const PASSPORT: PiiType = PiiType::new("passport");
const DRIVER_LICENSE: PiiType = PiiType::new("driver_license");

/// The types the tagger reports.
pub const TAGGED_TYPES: &[PiiType] = &[
    NAME,
    ADDRESS,
    PLACE,
    TAX_ID,
    BANK_ACCOUNT,
    ROUTING_NUMBER,
    GOVERNMENT_ID,
    PASSPORT,
    DRIVER_LICENSE,
];

/// What the entities of a model's BIO labels are here. Entities that are not listed (`EMAIL`, `PHONE`, `URL`) are left
/// to the detectors that validate them.
const ENTITIES: &[(&str, PiiType, &str)] = &[
    ("GIVEN_NAME", NAME, "given_name"),
    ("SURNAME", NAME, "surname"),
    ("PER", NAME, "person"),
    ("PERSON", NAME, "person"),
    ("BUILDING_NUMBER", ADDRESS, "building_number"),
    ("STREET_NAME", ADDRESS, "street_name"),
    ("SECONDARY_ADDRESS", ADDRESS, "secondary_address"),
    ("CITY", PLACE, "city"),
    ("STATE", PLACE, "state"),
    ("LOC", PLACE, "location"),
    ("ZIP_CODE", ADDRESS, "zip_code"),
    ("TAX_ID", TAX_ID, "tax_id"),
    ("BANK_ACCOUNT", BANK_ACCOUNT, "bank_account"),
    ("ROUTING_NUMBER", ROUTING_NUMBER, "routing_number"),
    ("GOVERNMENT_ID", GOVERNMENT_ID, "government_id"),
    ("PASSPORT", PASSPORT, "passport"),
    ("DRIVERS_LICENSE", DRIVER_LICENSE, "drivers_license"),
];

/// Scores are kept just under those of detectors that validated what they found, which so win where both fire.
const CAP: f32 = 0.85;

/// Personal data as a token classifier with BIO labels sees it.
///
/// Tokens of one type that stand side by side (white space, commas, hyphens, full stops and apostrophes between them
/// allowed) make one finding; what is labelled of a word counts for the whole word. A finding's score is the mean
/// probability of its tokens, times 0.85.
pub struct PiiTagger {
    encoder: Arc<dyn Encoder>,
}

impl PiiTagger {
    /// A tagger over a token-classification model.
    ///
    /// # Errors
    /// [`GuardError::Detector`] when the model's labels are not `O` and `B-`/`I-` of entities, or name none that is known.
    pub fn new(encoder: Arc<dyn Encoder>) -> Result<Self, GuardError> {
        let fault = |message: String| GuardError::Detector { detector: "tagger", message };
        let name = &encoder.info().name;
        let mut known = false;
        for label in encoder.labels() {
            match label.split_once('-') {
                Some(("B" | "I", entity)) => known |= kind_of(entity).is_some(),
                _ if label == "O" => {}
                _ => {
                    let message = format!("model {name}: label {label:?}; accepted: O, B-X, I-X");
                    return Err(fault(message));
                }
            }
        }
        if !known {
            let entities: Vec<_> = ENTITIES.iter().map(|(entity, ..)| *entity).collect();
            let entities = entities.join(", ");
            let found = encoder.labels().join(", ");
            let accepted = "accepted: O, and B-X, I-X with X one or more of";
            return Err(fault(format!(
                "model {name} has the labels [{found}]; {accepted}: {entities}"
            )));
        }
        Ok(Self { encoder })
    }
}

impl Detector for PiiTagger {
    fn name(&self) -> &'static str {
        "tagger"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        TAGGED_TYPES
    }

    fn reads_views(&self) -> bool {
        false
    }

    fn hold(&self) -> Hold {
        Hold::SENTENCES
    }

    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let first = out.len();
        let view = model_view(text);
        for piece in pieces(view.text()) {
            ctx.check_cancelled()?;
            let part = &view.text()[piece.clone()];
            if !part.contains(char::is_alphanumeric) {
                continue;
            }
            let tags = self
                .encoder
                .tag(&[part], &CancelToken::new())
                .map_err(|error| failed(self.name(), &error))?;
            for found in tags.first().map_or(Vec::new(), |tags| entities(part, tags)) {
                let span = view.span(piece.start + found.span.start..piece.start + found.span.end);
                // In the overlap of two pieces the longer view of the same thing stays.
                let same = out[first..].iter().position(|other: &Finding| {
                    other.span.start < span.end && span.start < other.span.end
                });
                let finding =
                    Finding::pii(found.kind, span, found.score * CAP, self.name(), found.rule);
                match same {
                    None => out.push(finding),
                    Some(i) if out[first + i].span.len() < finding.span.len() => {
                        out[first + i] = finding;
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// One thing in a text, before it becomes a finding.
struct Entity {
    span: Range<usize>,
    kind: PiiType,
    rule: &'static str,
    /// Mean probability of its tokens.
    score: f32,
    tokens: usize,
}

fn kind_of(entity: &str) -> Option<(PiiType, &'static str)> {
    ENTITIES.iter().find(|(name, ..)| *name == entity).map(|(_, kind, rule)| (*kind, *rule))
}

/// Labelled tokens as entities: whole words, joined with their neighbours of the same type.
fn entities(text: &str, tags: &[TokenLabel]) -> Vec<Entity> {
    let mut found: Vec<Entity> = Vec::new();
    for tag in tags {
        let Some((kind, rule)) = tag.label.split_once('-').and_then(|(_, entity)| kind_of(entity))
        else {
            continue;
        };
        let span = whole_words(text, tag.span.clone());
        if span.is_empty() {
            continue;
        }
        let score = tag.probability;
        if let Some(last) = found.last_mut()
            && last.kind == kind
            && (span.start < last.span.end || joins(&text[last.span.end..span.start]))
        {
            let tokens = last.tokens as f32;
            last.score = (last.score * tokens + score) / (tokens + 1.0);
            last.tokens += 1;
            last.span.end = last.span.end.max(span.end);
            continue;
        }
        // A word that two labels share is the first one's.
        if found.last().is_some_and(|last| span.start < last.span.end) {
            continue;
        }
        found.push(Entity { span, kind, rule, score, tokens: 1 });
    }
    // A number is nobody's name.
    found.retain(|entity| {
        entity.kind != NAME || text[entity.span.clone()].contains(char::is_alphabetic)
    });
    found
}

/// The span grown to the edges of the words it lies in.
fn whole_words(text: &str, span: Range<usize>) -> Range<usize> {
    let Range { mut start, mut end } = span;
    if start >= end {
        return start..start;
    }
    while let Some(c) = char_before(text, start)
        && is_wordlike(c)
        && char_after(text, start).is_some_and(is_wordlike)
    {
        start -= c.len_utf8();
    }
    while let Some(c) = char_after(text, end)
        && is_wordlike(c)
        && char_before(text, end).is_some_and(is_wordlike)
    {
        end += c.len_utf8();
    }
    start..end
}

/// Whether two parts of one thing may stand this far apart.
fn joins(between: &str) -> bool {
    between.len() <= 3
        && between.chars().all(|c| matches!(c, ' ' | '\n' | '\r' | '\t' | ',' | '-' | '.' | '\''))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Fake;
    use super::*;
    use crate::card::Mode;

    fn found(text: &str) -> Vec<(&'static str, &str)> {
        let tagger = PiiTagger::new(Fake::tagger(&["O", "B-SURNAME"])).unwrap();
        let mut out = Vec::new();
        tagger.detect(text, &DetectContext::new(text, Mode::Input), &mut out).unwrap();
        out.iter()
            .map(|finding| match finding.category {
                crate::Category::Pii(kind) => (kind.key(), &text[finding.span.clone()]),
                _ => unreachable!(),
            })
            .collect()
    }

    #[test]
    fn neighbours_of_a_type_are_one_thing_and_words_are_whole() {
        assert_eq!(found("Dear Ann Smith of nowhere"), [("name", "Ann Smith")]);
        assert_eq!(found("Ann and Jo"), [("name", "Ann"), ("name", "Jo")]);
        assert_eq!(found("12 Elm for Ann"), [("address", "12 Elm"), ("name", "Ann")]);
    }

    #[test]
    fn numbers_are_no_names_and_validated_types_are_left_to_their_detectors() {
        assert!(found("4711 is x@y").is_empty());
        assert!(found("").is_empty());
        assert!(found("... !!").is_empty());
    }

    #[test]
    fn what_lies_in_two_pieces_is_found_once() {
        let filler = "word ".repeat(799);
        for shift in 0..60 {
            let text = format!("{filler}{} Ann Smith {filler}", "x ".repeat(shift));
            assert_eq!(found(&text), [("name", "Ann Smith")], "shift {shift}");
        }
    }

    #[test]
    fn labels_are_checked() {
        for (labels, expected) in [
            (&["LABEL_0", "LABEL_1"][..], "LABEL_0"),
            (&["O", "B-SHOE"], "GIVEN_NAME"),
            (&[], "GIVEN_NAME"),
        ] {
            let message = PiiTagger::new(Fake::tagger(labels)).err().map(|e| e.to_string());
            assert!(message.as_ref().is_some_and(|m| m.contains(expected)), "{message:?}");
        }
    }
}
