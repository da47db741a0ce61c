// SPDX-License-Identifier: AGPL-3.0-or-later
//! Detectors that ask a model. They are not built in: whoever has a model adds them to a guard.

mod moderator;
mod pieces;
mod recall;
mod tagger;
#[cfg(test)]
mod testing;

pub use moderator::Moderator;
pub use recall::Recall;
pub use tagger::{PiiTagger, TAGGED_TYPES};

use bho_engine::EngineError;

use crate::error::GuardError;

/// A model's failure as a detector's; models do not quote texts in errors.
fn failed(detector: &'static str, error: &EngineError) -> GuardError {
    match error {
        EngineError::Cancelled => GuardError::Cancelled,
        other => GuardError::Detector { detector, message: other.to_string() },
    }
}
