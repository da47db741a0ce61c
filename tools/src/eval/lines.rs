// SPDX-License-Identifier: AGPL-3.0-or-later
//! Lines of data, one JSON object each, and faults that are told by their place.

use anyhow::{anyhow, bail};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::input::StreamArg;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DataFile {
    pub(crate) file: String,
    /// Of all of it, whatever the limit.
    pub(crate) sha256: String,
    /// Lines used.
    pub(crate) texts: usize,
}

/// One line as an object, and where it stands.
pub(crate) struct Record<'a> {
    pub(crate) file: &'a str,
    /// From 1.
    pub(crate) line: u64,
    pub(crate) raw: Vec<u8>,
    pub(crate) fields: Map<String, Value>,
}

impl Record<'_> {
    /// An error about a key of the line; the column is where the key begins. `message` never repeats a value.
    pub(crate) fn fault(&self, key: &str, message: impl std::fmt::Display) -> anyhow::Error {
        let quoted = format!("\"{key}\"");
        let at = self.raw.windows(quoted.len()).position(|part| part == quoted.as_bytes());
        let (file, line, column) = (self.file, self.line, at.map_or(1, |at| at + 1));
        anyhow!("{file}:{line}:{column}: {message}")
    }

    /// The first of these keys that the line has and that is not null.
    pub(crate) fn first<'k>(&self, keys: &[&'k str]) -> Option<(&'k str, &Value)> {
        let mut found = keys.iter().filter_map(|key| Some((*key, self.fields.get(*key)?)));
        found.find(|(_, value)| !value.is_null())
    }

    /// The line's `group`, or what its `key` says of it.
    pub(crate) fn group(&self, key: Option<&str>) -> Option<String> {
        match self.fields.get(key.unwrap_or("group")) {
            Some(Value::String(group)) => Some(group.clone()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string()),
            _ => None,
        }
    }
}

/// Hands each line of a stream to `each`, up to a limit; gives the sha256 of the whole. `accepted` says what a line may be.
///
/// # Errors
/// The first line that is no object, or that `each` refuses, as `FILE:LINE:COLUMN`.
pub(crate) fn records(
    stream: &StreamArg,
    limit: Option<usize>,
    accepted: &str,
    each: impl FnMut(&Record<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    records_of(stream, stream.json_lines()?, limit, accepted, each)
}

/// The same of lines of at most `max` bytes.
pub(crate) fn short_records(
    stream: &StreamArg,
    limit: Option<usize>,
    max: usize,
    accepted: &str,
    each: impl FnMut(&Record<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    records_of(stream, stream.json_lines()?.at_most(max), limit, accepted, each)
}

fn records_of(
    stream: &StreamArg,
    lines: crate::input::JsonLines,
    limit: Option<usize>,
    accepted: &str,
    mut each: impl FnMut(&Record<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let mut lines = lines.hashed();
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
            bail!("{file}:{line}:1: not an object; {accepted}");
        };
        each(&Record { file: &file, line, raw, fields })?;
        read += 1;
    }
    lines.sha256()
}

/// A file's name without its folders: reports are passed on.
pub(crate) fn short_name(name: &str) -> String {
    std::path::Path::new(name)
        .file_name()
        .map_or_else(|| name.to_owned(), |name| name.to_string_lossy().into_owned())
}
