// SPDX-License-Identifier: AGPL-3.0-or-later
//! What single keys of a line hold.

use std::ops::Range;

use serde_json::Value;

use super::{ACCEPTED, Unit};
use crate::eval::lines::Record;

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

/// A stretch as a line gives it.
pub(super) struct Stretch {
    pub(super) span: Range<usize>,
    pub(super) name: String,
    pub(super) score: f64,
}

/// Reads typed stretches, of which the span is in bytes of `text` then.
pub(super) fn spans(
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
pub(super) fn label(record: &Record<'_>, key: &str, value: &Value) -> anyhow::Result<Option<bool>> {
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
