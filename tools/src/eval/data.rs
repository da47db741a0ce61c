// SPDX-License-Identifier: AGPL-3.0-or-later
//! Labelled texts and predictions about them, one JSON object a line.
//!
//! What a line may hold is told in `docs/evaluation.md`. The first line that cannot be used ends the reading: figures over the
//! rest would be about other data than they say.

mod fields;

use std::collections::BTreeMap;

use anyhow::bail;
use serde_json::Value;

use self::fields::{label, spans};
pub(crate) use super::lines::DataFile;
use super::lines::{Record, records, short_name};
use super::spans::{Found, Gold};
use super::types::Types;
use crate::input::StreamArg;

/// The signals that texts as a whole are labelled for, as `labels` names them.
pub(crate) const HEADS: [&str; 2] = ["toxicity", "jailbreak"];

const ACCEPTED: &str = "accepted: {\"text\": ..., \"spans\": [{\"start\", \"end\", \"type\"}], \"labels\": {\"toxicity\": 0|1, \
     \"jailbreak\": 0|1}, \"group\": ...}, presidio-research's {\"full_text\", \"spans\"}, or {\"text\", \"label\"} with --label";

/// A unit of offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Unit {
    /// bytes of UTF-8
    Bytes,
    /// characters (Unicode code points), as Python counts
    Chars,
}

/// How lines are to be understood.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// Which of [`HEADS`] the key `label` is about.
    pub(crate) label: Option<usize>,
    /// The key of the group.
    pub(crate) group: Option<String>,
    /// The unit of offsets; by the line's own form without it.
    pub(crate) unit: Option<Unit>,
    /// Texts to read of each file.
    pub(crate) limit: Option<usize>,
}

/// A text and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Example {
    /// Of [`Data::files`].
    pub(crate) file: usize,
    /// From 1.
    pub(crate) line: u64,
    pub(crate) text: String,
    /// None when the text is not labelled for personal data.
    pub(crate) spans: Option<Vec<Gold>>,
    /// In the order of [`HEADS`].
    pub(crate) labels: [Option<bool>; 2],
    pub(crate) group: Option<String>,
}

/// All that was read.
#[derive(Debug, Default)]
pub(crate) struct Data {
    pub(crate) examples: Vec<Example>,
    pub(crate) files: Vec<DataFile>,
    /// What was left aside, and in how many lines.
    pub(crate) notes: BTreeMap<String, usize>,
}

/// What somebody else's detector says of a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Foreign {
    pub(crate) spans: Vec<Found>,
    pub(crate) scores: [Option<f64>; 2],
    /// How long it took.
    pub(crate) milliseconds: Option<f64>,
}

/// Whether `spans` lists positions of characters, as toxic spans are given.
fn is_positions(spans: Option<&Value>) -> bool {
    spans.and_then(Value::as_array).and_then(|items| items.first()).is_some_and(Value::is_number)
}

/// The text of a line, and its key.
fn text_of(record: &Record<'_>) -> anyhow::Result<(&'static str, String)> {
    for key in ["text", "full_text"] {
        match record.fields.get(key) {
            Some(Value::String(text)) => return Ok((key, text.clone())),
            Some(_) => return Err(record.fault(key, format!("`{key}` is not a text"))),
            None => {}
        }
    }
    Err(record.fault("", format!("the line has no `text`; {ACCEPTED}")))
}

impl Data {
    /// Reads files of labelled texts.
    ///
    /// # Errors
    /// The first line that cannot be used, as `FILE:LINE:COLUMN`.
    pub(crate) fn read(
        streams: &[StreamArg],
        reading: &Reading,
        types: &mut Types,
    ) -> anyhow::Result<Self> {
        let mut data = Self::default();
        for (file, stream) in streams.iter().enumerate() {
            let first = data.examples.len();
            let mut positions = false;
            // With several files, each is a group of its own where its lines name none.
            let own_group = (streams.len() > 1).then(|| short_name(&stream.name()));
            let sha256 = records(stream, reading.limit, ACCEPTED, |record| {
                let mut example = data.example(record, reading, types)?;
                positions |= is_positions(record.fields.get("spans"));
                example.file = file;
                example.group = example.group.or_else(|| own_group.clone());
                data.examples.push(example);
                Ok(())
            })?;
            if positions {
                // An empty list says nothing of personal data where lists are of positions.
                let of_file = data.examples[first..].iter_mut();
                let empty = of_file.filter(|e| e.spans.as_ref().is_some_and(Vec::is_empty));
                empty.for_each(|example| example.spans = None);
            }
            let texts = data.examples.len() - first;
            data.files.push(DataFile { file: short_name(&stream.name()), sha256, texts });
        }
        if data.examples.is_empty() {
            bail!(
                "{}: there are no texts; {ACCEPTED}",
                streams.first().map_or_else(String::new, StreamArg::name)
            );
        }
        Ok(data)
    }

    fn note(&mut self, what: &str) {
        *self.notes.entry(what.to_owned()).or_default() += 1;
    }

    fn example(
        &mut self,
        record: &Record<'_>,
        reading: &Reading,
        types: &mut Types,
    ) -> anyhow::Result<Example> {
        let (key, text) = text_of(record)?;
        let spans = match record.fields.get("spans") {
            None | Some(Value::Null) => None,
            given if is_positions(given) => {
                self.note("`spans` lists positions, not typed stretches: not used");
                None
            }
            Some(value) => {
                let unit = reading.unit.or((key == "full_text").then_some(Unit::Chars));
                let spans = spans(record, value, &text, unit)?.into_iter();
                Some(spans.map(|s| Gold { span: s.span, label: types.label_of(&s.name) }).collect())
            }
        };
        let mut labels = [None; 2];
        match record.fields.get("labels") {
            None | Some(Value::Null) => {}
            Some(Value::Object(given)) => {
                for (name, value) in given {
                    match HEADS.iter().position(|head| head == name) {
                        Some(head) => labels[head] = label(record, name, value)?,
                        None => self
                            .note(&format!("`labels.{name}` is no signal of the guard: not used")),
                    }
                }
            }
            Some(_) => {
                return Err(
                    record.fault("labels", format!("`labels` is not an object; {ACCEPTED}"))
                );
            }
        }
        match (record.fields.get("label"), reading.label) {
            (Some(value), Some(head)) if labels[head].is_none() => {
                labels[head] = label(record, "label", value)?;
            }
            (Some(_), None) if labels == [None; 2] && spans.is_none() => {
                return Err(record.fault(
                    "label",
                    "say what `label` is about: --label toxicity or --label jailbreak",
                ));
            }
            _ => {}
        }
        if labels == [None; 2] && spans.is_none() {
            self.note("not labelled for anything");
        }
        let group = record.group(reading.group.as_deref());
        Ok(Example { file: 0, line: record.line, text, spans, labels, group })
    }

    /// Reads predictions, one line for each example in the same order. With `first`, as of data that was read up to a limit,
    /// more lines may follow.
    ///
    /// # Errors
    /// As [`Data::read`]; and for a `text` that is not the example's, or another number of lines.
    pub(crate) fn predictions(
        &self,
        stream: &StreamArg,
        unit: Option<Unit>,
        first: bool,
        types: &mut Types,
    ) -> anyhow::Result<Vec<Foreign>> {
        let mut all: Vec<Foreign> = Vec::with_capacity(self.examples.len());
        let most = self.examples.len() + usize::from(!first);
        records(stream, Some(most), ACCEPTED, |record| {
            let Some(example) = self.examples.get(all.len()) else {
                let message = format!("a line of predictions more than the {} texts", all.len());
                return Err(record.fault("", message));
            };
            let (line, file) = (example.line, &self.files[example.file].file);
            let mut unit = unit;
            if record.fields.contains_key("text") || record.fields.contains_key("full_text") {
                let (key, text) = text_of(record)?;
                if text != example.text {
                    let message = format!(
                        "the text is not that of {file}:{line}; predictions are in the order of the data"
                    );
                    return Err(record.fault(key, message));
                }
                unit = unit.or((key == "full_text").then_some(Unit::Chars));
            }
            let mut foreign = Foreign::default();
            if let Some(value) = record.fields.get("spans") {
                for s in spans(record, value, &example.text, unit)? {
                    if let Some(key) = types.found_as(&s.name) {
                        foreign.spans.push(Found { span: s.span, key, score: s.score });
                    }
                }
            }
            for key in ["scores", "labels"] {
                let Some(Value::Object(given)) = record.fields.get(key) else { continue };
                for (head, slot) in HEADS.iter().zip(&mut foreign.scores) {
                    let Some(value) = given.get(*head).filter(|value| !value.is_null()) else {
                        continue;
                    };
                    let score = value.as_f64().filter(|score| (0.0..=1.0).contains(score));
                    *slot = Some(score.ok_or_else(|| {
                        record.fault(key, format!("`{key}.{head}` is not a number within 0 and 1"))
                    })?);
                }
            }
            if let Some(value) = record.fields.get("ms") {
                let ms = value.as_f64().filter(|ms| *ms >= 0.0);
                foreign.milliseconds = Some(
                    ms.ok_or_else(|| record.fault("ms", "`ms` is not a time in milliseconds"))?,
                );
            }
            all.push(foreign);
            Ok(())
        })?;
        if all.len() < self.examples.len() {
            let (found, expected) = (all.len(), self.examples.len());
            bail!("{}: {found} lines of predictions for {expected} texts", stream.name());
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;
