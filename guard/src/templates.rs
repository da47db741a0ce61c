// SPDX-License-Identifier: AGPL-3.0-or-later
//! The texts that stand in for a blocked one.

use crate::card::Mode;
use crate::finding::Category;

/// The safe text for a block.
///
/// Chosen by what was found and on which side, so that the reader learns what to change. The wording must itself pass
/// the guard: a test checks every template against the default policy.
#[must_use]
pub fn safe_text(cause: Category, mode: Mode) -> &'static str {
    match (cause, mode) {
        (Category::Toxicity, Mode::Input) => {
            "This message was not processed because its language is abusive. Please put it in a respectful way."
        }
        (Category::Toxicity, Mode::Output) => {
            "The answer was withheld because its language was not appropriate."
        }
        (Category::Jailbreak, Mode::Input) => {
            "This message was not processed because it looks like an attempt to change how the assistant works. \
             Please ask for what you need directly."
        }
        (Category::Jailbreak, Mode::Output) => {
            "The answer was withheld because it contained text that could steer a later step."
        }
        (Category::Pii(_), _) => "The text was withheld to protect personal data.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Guard, Policy};

    #[test]
    fn every_template_passes_the_guard_unchanged() {
        let guard = Guard::new(Policy::default()).unwrap();
        for mode in [Mode::Input, Mode::Output] {
            for cause in [
                Category::Toxicity,
                Category::Jailbreak,
                Category::Pii(crate::detectors::email::EMAIL),
            ] {
                let text = safe_text(cause, mode);
                let card = guard.check("template", text, mode).unwrap().card;
                assert!(card.allowed, "{cause:?} {mode:?}");
                assert_eq!(card.text, text);
            }
        }
    }
}
