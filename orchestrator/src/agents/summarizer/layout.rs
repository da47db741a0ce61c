// SPDX-License-Identifier: AGPL-3.0-or-later
//! Writes the chosen sentences out.

use serde_json::{Value, json};

use super::draft::{Draft, Speaker};
use super::input;
use crate::text::{clip, ends_with_stop, squeeze};

/// How the summary is laid out.
pub(super) struct Layout {
    pub(super) max_sentences: usize,
    pub(super) max_chars: usize,
    pub(super) bullets: bool,
}

impl Layout {
    /// Characters a sentence takes at most, without what parts it from the next.
    pub(super) fn cost(&self, text: &str, draft: &Draft) -> usize {
        let mark = if self.bullets { 2 } else { 0 };
        mark + self.line(text, draft, None).chars().count()
    }

    /// A sentence as the summary shows it: with its speaker, unless that was `said` before, and
    /// in running text with a stop.
    fn line(&self, text: &str, draft: &Draft, said: Option<Speaker>) -> String {
        let mut line = squeeze(&text[draft.span.clone()]);
        if let Some(speaker) = draft.speaker.filter(|s| Some(*s) != said) {
            line = format!("{}: {line}", speaker.name(text));
        }
        if !self.bullets && !ends_with_stop(&line) && line.ends_with(char::is_alphanumeric) {
            line.push('.');
        }
        line
    }

    /// The summary and its `sentences` entries.
    pub(super) fn write(
        &self,
        text: &str,
        read: &[Draft],
        chances: &[f64],
        picked: &[usize],
        notes: &mut Vec<String>,
    ) -> (String, Vec<Value>) {
        let mark = if self.bullets { "- " } else { "" };
        let mut lines = Vec::new();
        let mut entries = Vec::new();
        let mut said = None;
        for &i in picked {
            let draft = &read[i];
            let mut span = draft.span.clone();
            let mut line = self.line(text, draft, said);
            said = draft.speaker.or_else(|| Speaker::named(text, &span));
            let room = self.max_chars.saturating_sub(mark.len());
            // Only a first sentence can be longer than the limit; see `pick`.
            if picked.len() == 1 && line.chars().count() > room {
                let (head, cut) = clip(&text[span.clone()], room.saturating_sub(1));
                span.end = span.start + head.len();
                line = squeeze(head);
                if cut {
                    line.push('\u{2026}');
                    notes.push("the sentence was cut at max_chars".to_owned());
                }
            }
            lines.push(format!("{mark}{line}"));
            entries.push(json!({
                "text": &text[span.clone()],
                "span": input::span(&span),
                "score": input::score(chances[i]),
            }));
        }
        let mut summary = lines.join(if self.bullets { "\n" } else { " " });
        if summary.chars().count() > self.max_chars {
            // Less room than a bullet and an ellipsis take.
            summary = summary.chars().take(self.max_chars).collect();
        }
        (summary, entries)
    }
}
