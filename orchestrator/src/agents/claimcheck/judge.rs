// SPDX-License-Identifier: AGPL-3.0-or-later
//! What reads a window of evidence for or against a statement: a cross-encoder where the reasoner
//! has one, else rules.

use bho_engine::CancelToken;

use super::calibration::Calibration;
use super::cross::Cross;
use super::relation::Claim;
use super::rules::Rules;
use crate::agents::AgentError;
use crate::reasoner::Reasoner;

/// A claim, or a part of one, analysed once.
pub(super) struct Statement {
    pub(super) text: String,
    pub(super) claim: Claim,
}

impl Statement {
    pub(super) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { claim: Claim::new(&text), text }
    }
}

/// What a judge reads beside a statement.
pub(super) struct Exhibit<'a> {
    /// One to three sentences.
    pub(super) text: &'a str,
    /// The sentence before them in the same source.
    pub(super) before: Option<&'a str>,
    /// Cosine of statement and text.
    pub(super) similarity: f64,
}

/// Calibrated probabilities; what they leave of 1 is that the text says neither.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    pub(super) supports: f64,
    pub(super) refutes: f64,
}

impl Reading {
    /// The same, scaled to add up to 1 where it is more.
    pub(super) fn within_one(self) -> Self {
        let sum = (self.supports + self.refutes).max(1.0);
        Self { supports: self.supports / sum, refutes: self.refutes / sum }
    }
}

/// Reads evidence.
pub(super) trait Judge {
    /// How the result calls it.
    fn name(&self) -> &'static str;

    /// What turns its readings into verdicts.
    fn calibration(&self) -> &Calibration;

    /// Most sentences of a window that it reads well.
    fn max_sentences(&self) -> usize;

    /// One reading an exhibit, in order.
    ///
    /// # Errors
    /// A failure of the model, or that `cancel` stopped it.
    fn read(
        &self,
        statement: &Statement,
        exhibits: &[Exhibit<'_>],
        cancel: &CancelToken,
    ) -> Result<Vec<Reading>, AgentError>;
}

/// The best judge that the reasoner's models allow.
pub(super) fn choose(reasoner: &dyn Reasoner) -> Box<dyn Judge + '_> {
    match reasoner.entailer() {
        Some(entailer) => Box::new(Cross::new(entailer)),
        None => Box::new(Rules),
    }
}
