// SPDX-License-Identifier: AGPL-3.0-or-later
//! Texts without the sentences that the guard will not let through.

use bho_engine::CancelToken;
use bho_guard::{GuardError, Mode, Source};
use serde_json::Value;

use super::{MAX_PHRASES, Screening};
use crate::agents::Fields;
use crate::text;

impl Screening {
    /// A node's input with everything taken out that made its output unsafe, for a second run.
    ///
    /// A text that the guard would not let out, or that holds one of the phrases the output was
    /// blocked for, loses the sentences at fault; if that does not help, it goes as a whole.
    /// Emptied list items are dropped.
    pub(crate) fn safer(
        &self,
        input: &Fields,
        phrases: &[String],
        cancel: &CancelToken,
    ) -> Result<Fields, GuardError> {
        let phrases: Vec<&str> = phrases
            .iter()
            .map(|phrase| phrase.trim())
            .filter(|phrase| phrase.len() > 2)
            .take(MAX_PHRASES)
            .collect();
        let mut out = input.clone();
        for value in out.values_mut() {
            self.safer_value(value, &phrases, cancel)?;
        }
        Ok(out)
    }

    fn safer_value(
        &self,
        value: &mut Value,
        phrases: &[&str],
        cancel: &CancelToken,
    ) -> Result<(), GuardError> {
        match value {
            Value::String(text) => {
                let as_said = (Mode::Output, Source::Dialogue);
                if let Some(safe) = self.safer_text(text, phrases, as_said, cancel)? {
                    *text = safe;
                }
            }
            Value::Array(items) => {
                let mut kept = Vec::with_capacity(items.len());
                for mut item in std::mem::take(items) {
                    let was_empty = is_empty(&item);
                    self.safer_value(&mut item, phrases, cancel)?;
                    if was_empty || !is_empty(&item) {
                        kept.push(item);
                    }
                }
                *items = kept;
            }
            Value::Object(map) => {
                for value in map.values_mut() {
                    self.safer_value(value, phrases, cancel)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }

    /// The text without its unsafe sentences; `None` when nothing in it is unsafe.
    fn safer_text(
        &self,
        text: &str,
        phrases: &[&str],
        (mode, source): (Mode, Source),
        cancel: &CancelToken,
    ) -> Result<Option<String>, GuardError> {
        let unsafe_text = |text: &str| -> Result<bool, GuardError> {
            Ok(phrases.iter().any(|phrase| text.contains(phrase))
                || !self.check(text, mode, source, cancel)?.card.allowed)
        };
        if !unsafe_text(text)? {
            return Ok(None);
        }
        let mut kept = String::new();
        for range in text::sentences(text) {
            let sentence = &text[range];
            if !unsafe_text(sentence)? {
                if !kept.is_empty() {
                    kept.push(' ');
                }
                kept.push_str(sentence);
            }
        }
        // Sentences may be harmless one by one and not together.
        Ok(Some(if unsafe_text(&kept)? { String::new() } else { kept }))
    }

    /// What is left of a retrieved text without its sentences at fault, redacted; nothing if that does not help.
    pub(super) fn neutralised(
        &self,
        text: &str,
        mode: Mode,
        cancel: &CancelToken,
    ) -> Result<String, GuardError> {
        let as_found = (mode, Source::Retrieved);
        let rest = self.safer_text(text, &[], as_found, cancel)?.unwrap_or_default();
        let verdict = self.check(&rest, mode, Source::Retrieved, cancel)?;
        Ok(if verdict.card.allowed { verdict.card.text.clone() } else { String::new() })
    }
}

/// Whether a text, or the `text` of a map, is empty.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Object(map) => map.get("text").is_some_and(is_empty),
        _ => false,
    }
}
