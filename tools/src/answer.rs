// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a model writes, on its way to who reads it: through the guard, if there is one.

use bho_guard::{Guard, GuardError, Mode, ModerationCard, StreamGuard};

use crate::exit::{Exit, Failure, OrFailed as _};
use crate::output;

/// A message or prompt as the guard lets it through.
///
/// # Errors
/// When it is blocked; what it says is never shown.
pub(crate) fn checked(guard: &Guard, what: &str, text: String) -> Result<String, Failure> {
    let card = guard.check(what, &text, Mode::Input).or_failed()?.card;
    if !card.allowed {
        return Err(Failure::said(Exit::Failed, format!("the {what} was {}", card.why)));
    }
    if !card.redactions.is_empty() {
        let redacted = output::count(card.redactions.len(), "redaction");
        output::warning(&format!("the {what} goes to the model with {redacted}"));
    }
    Ok(card.text)
}

/// An answer as it comes.
pub(crate) struct Answer {
    guard: Option<StreamGuard>,
    text: String,
    blocked: bool,
    failed: Option<GuardError>,
}

impl Answer {
    /// One that `guard` reads first, if there is one.
    pub(crate) fn new(guard: Option<&Guard>) -> Result<Self, Failure> {
        let stream =
            guard.map(|guard| StreamGuard::new(guard.clone(), "answer", Mode::Output)).transpose();
        Ok(Self { guard: stream.or_failed()?, text: String::new(), blocked: false, failed: None })
    }

    /// Takes what was written next; what of the answer may be shown by now.
    pub(crate) fn take(&mut self, piece: &str) -> String {
        let Some(stream) = &mut self.guard else { return piece.to_owned() };
        let released = stream.push(piece).unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            Default::default()
        });
        self.blocked |= released.blocked;
        self.text += &released.text;
        released.text
    }

    /// Whether nothing of what follows will be shown.
    pub(crate) fn is_over(&self) -> bool {
        self.blocked || self.failed.is_some()
    }

    /// The rest that may be shown, and what was decided if a guard has read it.
    ///
    /// # Errors
    /// When the guard could not do its work: then nothing more may be shown.
    pub(crate) fn finish(self) -> Result<Option<Guarded>, Failure> {
        let Some(stream) = self.guard else { return Ok(None) };
        let (released, card) = match self.failed {
            Some(error) => Err(error),
            None => stream.finish(),
        }
        .or_failed()?;
        let mut rest = released.text;
        if !card.allowed && !card.text.is_empty() {
            let gap = if self.text.is_empty() || self.text.ends_with('\n') { "" } else { "\n" };
            rest = format!("{gap}{}", card.text);
        }
        Ok(Some(Guarded { text: self.text + &rest, rest, card }))
    }
}

/// An answer that the guard has read to its end.
pub(crate) struct Guarded {
    /// All that was let through, with what stands in for what was blocked.
    pub(crate) text: String,
    /// The part of it that has not been shown.
    pub(crate) rest: String,
    pub(crate) card: ModerationCard,
}
