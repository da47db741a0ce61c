// SPDX-License-Identifier: AGPL-3.0-or-later
//! What `bho eval summary`, `claims`, `retrieval` and `similarity` share: reading, the agent that is asked, and the parts that
//! every report has.
//!
//! Each task has its own file: what a line may hold, how it is asked, what is measured.

pub(crate) mod claims;
pub(crate) mod retrieval;
pub(crate) mod similarity;
mod subject;
pub(crate) mod summary;

use std::collections::BTreeMap;

use anyhow::bail;
use bho_guard::Guard;
use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) use subject::Subject;

use super::bootstrap::Bootstrap;
use super::document::{BootstrapReport, ModelReport};
use super::latency::Latency;
use super::lines::{DataFile, Record, short_name, short_records};
use super::mistakes::{Masking, without_personal_data};
use crate::exit::Failure;
use crate::input::StreamArg;

/// Longest line, in bytes.
pub(crate) const MAX_LINE: usize = 4 << 20;
/// Mistakes that are listed.
const LISTED: usize = 20;

/// How lines are to be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// Lines to read of each file.
    pub(crate) limit: Option<usize>,
    /// The key of the group.
    pub(crate) group: Option<String>,
}

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Of [`Data::files`].
    pub(crate) file: usize,
    pub(crate) line: u64,
    pub(crate) group: Option<String>,
}

/// The note of lines behind the one where the work was stopped.
pub(crate) const NOT_ASKED: &str = "not measured: the work was stopped before";

/// What was left aside, and in how many lines.
pub(crate) type Notes = BTreeMap<String, usize>;

/// Files of lines, each an item.
#[derive(Debug)]
pub(crate) struct Data<T> {
    pub(crate) items: Vec<T>,
    pub(crate) files: Vec<DataFile>,
    pub(crate) notes: Notes,
}

impl<T> Data<T> {
    /// Reads the lines of all streams. `item` gives none for a line that is not used, having noted why. With several files,
    /// each is a group of its own where its lines name none.
    ///
    /// # Errors
    /// The first line that cannot be used, as `FILE:LINE:COLUMN`; no lines at all.
    pub(crate) fn read(
        streams: &[StreamArg],
        reading: &Reading,
        accepted: &str,
        mut item: impl FnMut(&Record<'_>, Place, &mut Notes) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<Self> {
        let mut data = Self { items: Vec::new(), files: Vec::new(), notes: Notes::new() };
        for (file, stream) in streams.iter().enumerate() {
            let name = short_name(&stream.name());
            let first = data.items.len();
            let own_group = (streams.len() > 1).then(|| name.clone());
            let sha256 = short_records(stream, reading.limit, MAX_LINE, accepted, |record| {
                let group = record.group(reading.group.as_deref()).or_else(|| own_group.clone());
                let place = Place { file, line: record.line, group };
                data.items.extend(item(record, place, &mut data.notes)?);
                Ok(())
            })?;
            data.files.push(DataFile { file: name, sha256, texts: data.items.len() - first });
        }
        if data.items.is_empty() {
            let name = streams.first().map_or_else(String::new, StreamArg::name);
            let notes: Vec<_> = data.notes.keys().map(String::as_str).collect();
            let why = if notes.is_empty() { accepted.to_owned() } else { notes.join("; ") };
            bail!("{name}: there is nothing to measure; {why}");
        }
        Ok(data)
    }

    /// Leaves out the items from `count` on, which were not asked about because of `stopped`.
    ///
    /// # Errors
    /// `stopped` where nothing is left.
    pub(crate) fn end_at(
        &mut self,
        count: usize,
        stopped: Option<Failure>,
    ) -> Result<Option<Failure>, Failure> {
        match stopped {
            Some(stopped) if count == 0 => Err(stopped),
            stopped => {
                if count < self.items.len() {
                    self.notes.insert(NOT_ASKED.to_owned(), self.items.len() - count);
                    self.items.truncate(count);
                }
                Ok(stopped)
            }
        }
    }

    /// The items of each group, where there is more than one.
    pub(crate) fn groups(&self, place: impl Fn(&T) -> &Place) -> Vec<(String, Vec<usize>)> {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (i, item) in self.items.iter().enumerate() {
            if let Some(group) = &place(item).group {
                groups.entry(group.clone()).or_default().push(i);
            }
        }
        if groups.len() < 2 { Vec::new() } else { groups.into_iter().collect() }
    }
}

/// Counts one more line that was treated so.
fn note(notes: &mut Notes, what: &str) {
    *notes.entry(what.to_owned()).or_default() += 1;
}

/// The text under the first of the keys, which must not be blank, of at most `max` bytes.
fn text(record: &Record<'_>, keys: &[&str], max: usize, accepted: &str) -> anyhow::Result<String> {
    match record.first(keys) {
        Some((key, Value::String(text))) => checked(record, key, text, max),
        Some((key, _)) => Err(record.fault(key, format!("`{key}` is not a text; {accepted}"))),
        None => Err(record.fault("", format!("the line has no `{}`; {accepted}", keys[0]))),
    }
}

/// A text, or a list of texts, under one of the keys; none where the line has none of them.
fn texts(
    record: &Record<'_>,
    keys: &[&str],
    max: usize,
    accepted: &str,
) -> anyhow::Result<Option<Vec<String>>> {
    let Some((key, value)) = record.first(keys) else { return Ok(None) };
    let wrong = || record.fault(key, format!("`{key}` is no text or list of texts; {accepted}"));
    let list = match value {
        Value::String(text) => vec![checked(record, key, text, max)?],
        Value::Array(items) => items
            .iter()
            .map(|item| checked(record, key, item.as_str().ok_or_else(wrong)?, max))
            .collect::<anyhow::Result<_>>()?,
        _ => return Err(wrong()),
    };
    Ok(Some(list))
}

fn checked(record: &Record<'_>, key: &str, text: &str, max: usize) -> anyhow::Result<String> {
    if text.trim().is_empty() {
        return Err(record.fault(key, format!("`{key}` holds an empty text")));
    }
    if text.len() > max {
        let kib = max >> 10;
        return Err(record.fault(key, format!("`{key}` holds a text of more than {kib} KiB")));
    }
    Ok(text.to_owned())
}

/// What every report begins with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Head {
    pub(crate) format: &'static str,
    pub(crate) version: &'static str,
    pub(crate) data: Vec<DataFile>,
    pub(crate) notes: Notes,
    pub(crate) models: Vec<ModelReport>,
    pub(crate) pipeline: Option<String>,
    pub(crate) bootstrap: BootstrapReport,
    pub(crate) latency: Option<Latency>,
    pub(crate) machine: Option<String>,
}

/// What is measured, with what.
pub(crate) struct Measuring<'a> {
    pub(crate) bootstrap: Bootstrap,
    /// Masks the texts of [`Case`]s; none leaves texts out.
    pub(crate) masking: Option<&'a Guard>,
}

impl Measuring<'_> {
    /// A text that a report may show.
    fn shown(&self, text: &str) -> Option<String> {
        let guard = self.masking?;
        let masking = Masking { guard, mode: bho_guard::Mode::Output };
        Some(without_personal_data(text, &masking))
    }
}

/// A line that is worth looking at, mostly as a mistake.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Case {
    pub(crate) kind: &'static str,
    pub(crate) file: String,
    pub(crate) line: u64,
    pub(crate) group: Option<String>,
    /// What is to be known of it: numbers and words, no texts.
    #[serde(flatten)]
    pub(crate) about: Map<String, Value>,
    /// Personal data that the guard's rules find is masked; none when texts are left out.
    pub(crate) texts: Vec<String>,
}

/// A figure for people and programs, without noise behind the fourth decimal.
fn rounded(value: f64) -> Value {
    let value = (value * 1e4).round() / 1e4;
    serde_json::Number::from_f64(value + 0.0).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests;
