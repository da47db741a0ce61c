// SPDX-License-Identifier: AGPL-3.0-or-later
//! Detectors that ask a model. They are not built in: whoever has a model adds them to a guard.

#[cfg(test)]
mod long;
mod moderator;
mod pieces;
mod plan;
mod recall;
mod tagger;
#[cfg(test)]
mod testing;

pub use moderator::Moderator;
pub use recall::Recall;
pub use tagger::{PiiTagger, TAGGED_TYPES};

use bho_engine::EngineError;

use crate::error::GuardError;
use crate::finding::Finding;

/// A model's failure as a detector's; models do not quote texts in errors.
fn failed(detector: &'static str, error: &EngineError) -> GuardError {
    match error {
        EngineError::Cancelled => GuardError::Cancelled,
        other => GuardError::Detector { detector, message: other.to_string() },
    }
}

/// Whether a sentence of a long text that comes in pieces is worth a model's time: something in it that rules have found,
/// or signs of what one of these detectors looks for.
///
/// - `found`: what rules say of it, of scores that mean something
pub(crate) fn worth_reading(sentence: &str, found: &[Finding]) -> bool {
    found.iter().any(|f| f.score >= SUSPECT)
        || moderator::signs(sentence) >= 1.0
        || tagger::signs(sentence) >= 1.0
}

/// What rules find with less is chance.
const SUSPECT: f32 = 0.3;
