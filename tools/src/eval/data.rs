// SPDX-License-Identifier: AGPL-3.0-or-later
//! Labelled texts and predictions about them, one JSON object a line.
//!
//! What a line may hold is told in `docs/evaluation.md`. The first line that cannot be used ends the reading: figures over the
//! rest would be about other data than they say.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{anyhow, bail};
use serde::Serialize;
use serde_json::{Map, Value};

use super::spans::{Found, Gold};
use super::types::Types;
use crate::input::StreamArg;

/// The signals that texts as a whole are labelled for, as `labels` names them.
pub(crate) const HEADS: [&str; 2] = ["toxicity", "jailbreak"];

const ACCEPTED: &str = "accepted: {\"text\": ..., \"spans\": [{\"start\", \"end\", \"type\"}], \"labels\": {\"toxicity\": 0|1, \
     \"jailbreak\": 0|1}, \"group\": ...}, presidio-research's {\"full_text\", \"spans\"}, or {\"text\", \"label\"} with --label";

/// Words that other data sets write for 1 and for 0.
const YES: &[&str] = &[
    "1",
    "true",
    "yes",
    "positive",
    "malicious",
    "injection",
    "jailbreak",
    "toxic",
    "hate",
    "offensive",
    "abusive",
    "unsafe",
    "harmful",
];
const NO: &[&str] = &[
    "0",
    "false",
    "no",
    "negative",
    "benign",
    "safe",
    "normal",
    "clean",
    "none",
    "neutral",
    "nohate",
    "nothate",
    "non-toxic",
    "legitimate",
];

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

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DataFile {
    pub(crate) file: String,
    /// Of all of it, whatever the limit.
    pub(crate) sha256: String,
    /// Texts used.
    pub(crate) texts: usize,
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

/// One line as an object, and where it stands.
struct Record<'a> {
    file: &'a str,
    line: u64,
    raw: Vec<u8>,
    fields: Map<String, Value>,
}

impl Record<'_> {
    /// An error about a key of the line; the column is where the key begins.
    fn fault(&self, key: &str, message: impl std::fmt::Display) -> anyhow::Error {
        let quoted = format!("\"{key}\"");
        let at = self.raw.windows(quoted.len()).position(|part| part == quoted.as_bytes());
        let (file, line, column) = (self.file, self.line, at.map_or(1, |at| at + 1));
        anyhow!("{file}:{line}:{column}: {message}")
    }

    fn text(&self) -> anyhow::Result<(&'static str, String)> {
        for key in ["text", "full_text"] {
            match self.fields.get(key) {
                Some(Value::String(text)) => return Ok((key, text.clone())),
                Some(_) => return Err(self.fault(key, format!("`{key}` is not a text"))),
                None => {}
            }
        }
        Err(self.fault("", format!("the line has no `text`; {ACCEPTED}")))
    }
}

/// Hands each line of a stream to `line`, up to a limit; gives the sha256 of the whole.
fn records(
    stream: &StreamArg,
    limit: Option<usize>,
    mut each: impl FnMut(&Record<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let mut lines = stream.json_lines()?.hashed();
    let file = stream.name();
    let mut read = 0;
    while limit.is_none_or(|limit| read < limit) {
        let Some((line, raw)) = lines.next_body()? else { break };
        let raw = raw.map_err(|message| anyhow!("{file}:{line}:1: {message}"))?;
        let value: Value = serde_json::from_slice(&raw).map_err(|error| {
            let hint = if raw.starts_with(b"[") {
                "; one object a line is expected: `jq -c '.[]'` makes lines of an array"
            } else {
                ""
            };
            anyhow!("{file}:{line}:{}: not valid JSON{hint}", error.column())
        })?;
        let Value::Object(fields) = value else {
            bail!("{file}:{line}:1: not an object; {ACCEPTED}");
        };
        each(&Record { file: &file, line, raw, fields })?;
        read += 1;
    }
    lines.sha256()
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
            let sha256 = records(stream, reading.limit, |record| {
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
        let (key, text) = record.text()?;
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
        let group = match record.fields.get(reading.group.as_deref().unwrap_or("group")) {
            Some(Value::String(group)) => Some(group.clone()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string()),
            _ => None,
        };
        Ok(Example { file: 0, line: record.line, text, spans, labels, group })
    }

    /// Reads predictions, one line for each example in the same order.
    ///
    /// # Errors
    /// As [`Data::read`]; and for a `text` that is not the example's, or another number of lines.
    pub(crate) fn predictions(
        &self,
        stream: &StreamArg,
        unit: Option<Unit>,
        types: &mut Types,
    ) -> anyhow::Result<Vec<Foreign>> {
        let mut all: Vec<Foreign> = Vec::with_capacity(self.examples.len());
        records(stream, Some(self.examples.len()), |record| {
            let example = &self.examples[all.len()];
            let (line, file) = (example.line, &self.files[example.file].file);
            let mut unit = unit;
            if record.fields.contains_key("text") || record.fields.contains_key("full_text") {
                let (key, text) = record.text()?;
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

/// A stretch as a line gives it.
struct Stretch {
    span: Range<usize>,
    name: String,
    score: f64,
}

/// Reads typed stretches, of which the span is in bytes of `text` then.
fn spans(
    record: &Record<'_>,
    value: &Value,
    text: &str,
    unit: Option<Unit>,
) -> anyhow::Result<Vec<Stretch>> {
    let fault = |message: String| record.fault("spans", message);
    let Value::Array(items) = value else {
        return Err(fault(format!("`spans` is not a list; {ACCEPTED}")));
    };
    // Byte offsets of characters, for those who count these.
    let chars: Vec<usize> = match items.is_empty() || text.is_ascii() {
        true => Vec::new(),
        false => text.char_indices().map(|(at, _)| at).chain([text.len()]).collect(),
    };
    let mut out = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let get = |keys: &[&str]| keys.iter().find_map(|key| item.get(key));
        let offset = |keys: &[&str]| {
            let value = get(keys).and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
            let key = keys[0];
            value
                .ok_or_else(|| fault(format!("spans[{i}] has no whole number `{key}`; {ACCEPTED}")))
        };
        let start = offset(&["start", "start_position"])?;
        let end = offset(&["end", "end_position"])?;
        let name = match get(&["type", "entity_type", "label"]) {
            Some(Value::String(name)) if !name.trim().is_empty() => name.clone(),
            _ => return Err(fault(format!("spans[{i}] has no `type`; {ACCEPTED}"))),
        };
        let score = match get(&["score"]) {
            None | Some(Value::Null) => 1.0,
            Some(score) => match score.as_f64().filter(|score| (0.0..=1.0).contains(score)) {
                Some(score) => score,
                None => return Err(fault(format!("spans[{i}].score is not within 0 and 1"))),
            },
        };
        let presidio = item.get("start_position").is_some().then_some(Unit::Chars);
        let in_bytes = || Some(start..end).filter(|span| text.get(span.clone()).is_some());
        let in_chars = || match chars.is_empty() {
            true => in_bytes(),
            false => Some(*chars.get(start)?..*chars.get(end)?),
        };
        let span = match (unit.or(presidio), get(&["value", "entity_value"])) {
            (Some(Unit::Chars), _) => in_chars(),
            (Some(Unit::Bytes), _) => in_bytes(),
            // What stands there tells which unit is meant.
            (None, Some(Value::String(value))) => {
                let is_value = |span: &Range<usize>| text.get(span.clone()) == Some(value);
                let span = in_bytes().filter(is_value).or_else(|| in_chars().filter(is_value));
                Some(span.ok_or_else(|| {
                    fault(format!("spans[{i}]: its `value` is not what stands at {start}..{end}, in bytes or in characters"))
                })?)
            }
            (None, _) => in_bytes(),
        };
        let span = span.filter(|span| !span.is_empty()).ok_or_else(|| {
            let (bytes, characters) = (text.len(), text.chars().count());
            let hint = if bytes == characters { "" } else { "; --offsets chars counts characters" };
            fault(format!(
                "spans[{i}]: {start}..{end} is no stretch of whole characters in a text of {bytes} bytes ({characters} characters){hint}"
            ))
        })?;
        out.push(Stretch { span, name, score });
    }
    Ok(out)
}

/// A label: 1 or 0, `true` or `false`, or one of the usual words; `null` is none.
fn label(record: &Record<'_>, key: &str, value: &Value) -> anyhow::Result<Option<bool>> {
    let is =
        |words: &[&str], word: &str| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    let found = match value {
        Value::Null => return Ok(None),
        Value::Bool(label) => Some(*label),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => None,
        },
        Value::String(word) if is(YES, word) => Some(true),
        Value::String(word) if is(NO, word) => Some(false),
        _ => None,
    };
    let refused = || {
        record.fault(
            key,
            format!(
                "`{key}` is no label; accepted: 0, 1, true, false, {}, {}",
                YES[3..].join(", "),
                NO[3..].join(", ")
            ),
        )
    };
    found.map(Some).ok_or_else(refused)
}

/// A file's name without its folders: reports are passed on.
fn short_name(name: &str) -> String {
    std::path::Path::new(name)
        .file_name()
        .map_or_else(|| name.to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(text: &str, reading: &Reading) -> anyhow::Result<Data> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut types = Types::new(&["email", "name"]);
        Data::read(&[StreamArg::File(path)], reading, &mut types)
    }

    fn read(text: &str) -> anyhow::Result<Data> {
        read_with(text, &Reading::default())
    }

    fn spans_of(text: &str) -> Vec<[usize; 2]> {
        let data = read(text).unwrap();
        data.examples[0]
            .spans
            .iter()
            .flatten()
            .map(|gold| [gold.span.start, gold.span.end])
            .collect()
    }

    #[test]
    fn the_three_forms_are_read() {
        let data = read(concat!(
            r#"{"text": "a@b.c", "spans": [{"start": 0, "end": 5, "type": "email"}], "labels": {"toxicity": 1}, "group": "g"}"#,
            "\n\n",
            r#"{"full_text": "é Ann", "spans": [{"entity_type": "PERSON", "entity_value": "Ann", "start_position": 2, "end_position": 5}]}"#,
            "\n",
            r#"{"text": "fine", "labels": {"toxicity": null, "jailbreak": false, "rude": 1}}"#,
        ))
        .unwrap();
        let [a, b, c] = &data.examples[..] else { panic!() };
        assert_eq!((a.line, b.line, c.line), (1, 3, 4));
        assert_eq!((a.labels, a.group.as_deref()), ([Some(true), None], Some("g")));
        assert_eq!(b.spans.as_ref().unwrap()[0].span, 3..6);
        assert_eq!((&c.spans, c.labels), (&None, [None, Some(false)]));
        assert_eq!(data.notes.len(), 1);
        assert_eq!(data.files[0].texts, 3);
        assert_eq!(data.files[0].sha256.len(), 64);
    }

    #[test]
    fn offsets_are_bytes_unless_the_line_or_the_flag_says_otherwise() {
        assert_eq!(
            spans_of(r#"{"text": "é Ann", "spans": [{"start": 3, "end": 6, "type": "name"}]}"#),
            [[3, 6]]
        );
        for start in [2, 3] {
            let line = format!(
                r#"{{"text": "é Ann", "spans": [{{"start": {start}, "end": {}, "type": "name", "value": "Ann"}}]}}"#,
                start + 3
            );
            assert_eq!(spans_of(&line), [[3, 6]]);
        }
        let reading = Reading { unit: Some(Unit::Chars), ..Reading::default() };
        let line = r#"{"text": "é Ann", "spans": [{"start": 2, "end": 5, "type": "name"}]}"#;
        let data = read_with(line, &reading).unwrap();
        assert_eq!(data.examples[0].spans.as_ref().unwrap()[0].span, 3..6);
    }

    #[test]
    fn one_label_needs_to_be_told_what_it_is_about() {
        let error = read(r#"{"text": "a", "label": 1}"#).unwrap_err().to_string();
        assert!(error.contains(":1:15: say what `label` is about"), "{error}");
        let reading = Reading { label: Some(1), group: Some("cls".into()), ..Reading::default() };
        let text = "{\"text\": \"a\", \"label\": \"malicious\", \"cls\": 3}\n{\"text\": \"b\", \"label\": 0, \"spans\": [3, 4]}\n{\"text\": \"c\", \"label\": 0, \"spans\": []}";
        let data = read_with(text, &reading).unwrap();
        assert_eq!(data.examples[0].labels, [None, Some(true)]);
        assert_eq!(data.examples[0].group.as_deref(), Some("3"));
        assert_eq!((data.examples[1].labels, data.notes.len()), ([None, Some(false)], 1));
        assert!(data.examples.iter().all(|example| example.spans.is_none()));
    }

    #[test]
    fn bad_lines_say_where_and_what_is_accepted() {
        for (line, message) in [
            ("{\"text\": \"a\"", ":1:12: not valid JSON"),
            ("[\n{\"text\": \"a\"}]", "jq -c"),
            ("3", ":1:1: not an object; accepted"),
            ("{\"txt\": \"a\"}", ":1:1: the line has no `text`; accepted"),
            ("{\"text\": 1}", ":1:2: `text` is not a text"),
            (r#"{"text": "a", "labels": 1}"#, ":1:15: `labels` is not an object"),
            (
                r#"{"text": "a", "labels": {"toxicity": 0.5}}"#,
                ":1:26: `toxicity` is no label; accepted: 0, 1",
            ),
            (r#"{"text": "a", "spans": {}}"#, ":1:15: `spans` is not a list"),
            (r#"{"text": "a", "spans": [{}]}"#, "spans[0] has no whole number `start`"),
            (r#"{"text": "a", "spans": [{"start": 0, "end": 1}]}"#, "spans[0] has no `type`"),
            (
                r#"{"text": "é", "spans": [{"start": 0, "end": 1, "type": "x"}]}"#,
                "2 bytes (1 characters); --offsets chars",
            ),
            (
                r#"{"text": "a", "spans": [{"start": 0, "end": 2, "type": "x"}]}"#,
                "0..2 is no stretch",
            ),
            (
                r#"{"text": "a", "spans": [{"start": 1, "end": 0, "type": "x"}]}"#,
                "1..0 is no stretch",
            ),
            (
                r#"{"text": "a", "spans": [{"start": 0, "end": 0, "type": "x"}]}"#,
                "0..0 is no stretch",
            ),
            (
                r#"{"text": "ab", "spans": [{"start": 0, "end": 1, "type": "x", "value": "b"}]}"#,
                "its `value` is not",
            ),
            (
                r#"{"text": "ab", "spans": [{"start": 0, "end": 1, "type": "x", "score": 2}]}"#,
                "spans[0].score",
            ),
            ("", "there are no texts"),
        ] {
            let error = read(line).unwrap_err().to_string();
            assert!(error.contains(message), "{line}: {error}");
        }
    }

    #[test]
    fn predictions_follow_the_data() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.jsonl");
        let mut types = Types::new(&["email", "name"]);
        let data = read("{\"text\": \"é Ann\", \"spans\": []}\n{\"text\": \"b\"}").unwrap();
        let mut predict = |text: &str| {
            std::fs::write(&path, text).unwrap();
            data.predictions(&StreamArg::File(path.clone()), None, &mut types)
        };
        let found = predict(concat!(
            r#"{"full_text": "é Ann", "spans": [{"start": 2, "end": 5, "type": "PERSON", "score": 0.5}], "scores": {"toxicity": 0.25}, "ms": 2.5}"#,
            "\n{}\n",
        ))
        .unwrap();
        assert_eq!(found[0].spans[0].span, 3..6);
        assert_eq!((found[0].scores, found[0].milliseconds), ([Some(0.25), None], Some(2.5)));
        assert_eq!(found[1], Foreign::default());
        for (text, message) in [
            ("{}", "1 lines of predictions for 2 texts"),
            (r#"{"text": "x"}"#, ":1:2: the text is not that of d.jsonl:1"),
            (r#"{"scores": {"toxicity": 2}}"#, "`scores.toxicity` is not"),
            (r#"{"ms": "fast"}"#, "`ms` is not a time"),
        ] {
            let error = predict(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn a_limit_shortens_the_data_and_not_the_checksum() {
        let text = "{\"text\": \"a\"}\n{\"text\": \"b\"}\n";
        let all = read(text).unwrap();
        let one = read_with(text, &Reading { limit: Some(1), ..Reading::default() }).unwrap();
        assert_eq!((all.examples.len(), one.examples.len()), (2, 1));
        assert_eq!(all.files[0].sha256, one.files[0].sha256);
    }
}
