// SPDX-License-Identifier: AGPL-3.0-or-later
//! Numbers that states give to people and firms, one file a country.
//!
//! A kind of number is an `IdRule`: how it is written, a check of its characters, and the words that announce it. One
//! walk over the places where an identifier may begin serves all rules of a detector.

pub mod au;
pub mod br;
pub mod ca;
pub mod de;
pub mod es;
pub mod fr;
pub mod gb;
pub mod india;
pub mod it;
pub mod license;
pub mod nl;
pub mod passport;
pub mod pl;
mod shape;
pub mod us;

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::context::{Context, Cues, words_before};
use shape::{Hit, Shapes};

/// Finds the numbers of one country, or of one purpose, by its rules.
///
/// Each number must have one of the rule's written forms and pass its check digits. Then the score is that of the form, or
/// 0.95 when a word nearby announces the number, and 0.4 less when one announces something else. Numbers that chance
/// meets often have a form score below the default threshold, so that they need the word.
pub struct IdDetector {
    name: &'static str,
    kinds: &'static [PiiType],
    rules: &'static [IdRule],
}

/// How one kind of number is recognised.
struct IdRule {
    kind: PiiType,
    /// The name of the rule in a finding.
    rule: &'static str,
    /// Written forms, in the notation of [`shape`].
    shapes: Shapes,
    /// The check: all letters (upper case) and digits, without separators.
    valid: fn(&[u8]) -> bool,
    /// The score without a word nearby, without separators.
    bare: f32,
    /// The score without a word nearby, with the usual separators.
    grouped: f32,
    /// The score beside a word that announces the number.
    cued: f32,
    /// Words that announce it, lower-case.
    cues: &'static [&'static str],
    /// If not empty, one of these must stand before the number too for a cue to count.
    also: &'static [&'static str],
}

impl IdRule {
    /// What rules share: nothing without a word, 0.95 with one.
    const BASE: Self = Self {
        kind: PiiType::new("id"),
        rule: "",
        shapes: Shapes::new(&[]),
        valid: |_| true,
        bare: 0.0,
        grouped: 0.0,
        cued: 0.95,
        cues: &[],
        also: &[],
    };
}

/// Words that announce other numbers.
const OTHERS: &[&str] = &[
    "order",
    "invoice",
    "tracking",
    "ticket",
    "serial",
    "isbn",
    "issn",
    "version",
    "sku",
    "part",
    "model",
    "patent",
    "phone",
    "tel",
    "fax",
    "mobile",
    "population",
    "doi",
    "commit",
    "hash",
    "build",
    "barcode",
    "ean",
    "upc",
    "imei",
];

impl Detector for IdDetector {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        self.kinds
    }

    fn hold(&self) -> Hold {
        Hold::NUMBER
    }

    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        for &start in ctx.numbers().starts() {
            let digits = shape::leading_digits(text, start);
            for rule in self.rules.iter().filter(|rule| rule.shapes.may_begin_with(digits)) {
                if let Some(hit) = rule.shapes.find(text, start)
                    && (rule.valid)(hit.chars())
                    && let score = rule.score(text, start, &hit)
                    && score > 0.0
                {
                    out.push(Finding::pii(rule.kind, start..hit.end, score, self.name, rule.rule));
                }
            }
        }
        Ok(())
    }
}

impl IdRule {
    fn score(&self, text: &str, start: usize, hit: &Hit) -> f32 {
        let alone = if hit.grouped { self.grouped } else { self.bare };
        let cues = Cues { positive: self.cues, negative: OTHERS };
        match cues.around(text, &(start..hit.end)) {
            Context::For if self.also.is_empty() => self.cued,
            Context::For
                if words_before(text, start)
                    .any(|word| self.also.iter().any(|w| w.eq_ignore_ascii_case(word))) =>
            {
                self.cued
            }
            Context::Against => (alone - 0.4).max(0.0),
            Context::For | Context::Silent => alone,
        }
    }
}

/// The values of the digits among the characters of an identifier.
fn digits(chars: &[u8]) -> Vec<u8> {
    chars.iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0').collect()
}

/// The number that a few digits write.
fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |n, b| n * 10 + u64::from(b - b'0'))
}

/// Whether all digits are the same, as in numbers made up to fill a field.
fn uniform(chars: &[u8]) -> bool {
    chars.windows(2).all(|pair| pair[0] == pair[1])
}
