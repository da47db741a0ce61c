// SPDX-License-Identifier: AGPL-3.0-or-later
//! Typed values out of the YAML tree; what does not fit is a fault and reading goes on.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::yaml::{Entry, Kind, Node, Path, Value};

use super::Pos;
use super::fault::{Faults, quoted};
use super::words::Words;

/// A map of the schema, its keys checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'d, 'p> {
    entries: &'d [Entry],
    /// Where it stands in the file.
    pub(super) pos: Pos,
    /// Where it stands in the configuration.
    pub(super) path: Path<'p>,
}

impl<'d> Section<'d, '_> {
    /// The value of a key, unless it is missing or nothing.
    fn value(&self, key: &str) -> Option<&'d Node> {
        self.entry(key).map(|entry| &entry.value).filter(|value| !value.is_null())
    }

    /// The entry of a key.
    pub(super) fn entry(&self, key: &str) -> Option<&'d Entry> {
        self.entries.iter().find(|entry| &*entry.key == key)
    }

    /// All entries.
    pub(super) fn entries(&self) -> &'d [Entry] {
        self.entries
    }
}

/// Why a value is not taken.
enum Misfit {
    /// It is of another type.
    Type,
    /// It is of the type, and what is wrong with it is this.
    Value(&'static str, String),
}

impl Faults {
    /// Reads a map that may hold `keys` and no others. Nothing at all is an empty map.
    pub(super) fn section<'d, 'p>(
        &mut self,
        node: &'d Node,
        path: Path<'p>,
        keys: &[&'static str],
    ) -> Option<Section<'d, 'p>> {
        let section = self.open_section(node, path)?;
        for entry in section.entries {
            if !keys.contains(&&*entry.key) {
                let hint = self.suggestion(&entry.key, keys.iter().copied());
                let message = format!("{} is not a key here", quoted(&entry.key));
                self.error("unknown_key", &path.key(&entry.key), entry.key_pos, message).hint =
                    hint;
            }
        }
        Some(section)
    }

    /// Reads a map with any keys.
    pub(super) fn open_section<'d, 'p>(
        &mut self,
        node: &'d Node,
        path: Path<'p>,
    ) -> Option<Section<'d, 'p>> {
        match node.kind() {
            Kind::Map(entries) => Some(Section { entries, pos: node.pos, path }),
            Kind::Scalar(_) if node.is_null() => {
                Some(Section { entries: &[], pos: node.pos, path })
            }
            Kind::Scalar(_) | Kind::Seq(_) => {
                self.wrong_type(node, &path, "a map of keys and values");
                None
            }
        }
    }

    /// Reads the map under `key`, if there is one.
    pub(super) fn child<'d, 'p>(
        &mut self,
        section: &'p Section<'d, '_>,
        key: &'static str,
        keys: &[&'static str],
    ) -> Option<Section<'d, 'p>> {
        self.section(section.value(key)?, section.path.key(key), keys)
    }

    /// Reads the map with any keys under `key`, if there is one.
    pub(super) fn open_child<'d, 'p>(
        &mut self,
        section: &'p Section<'d, '_>,
        key: &'static str,
    ) -> Option<Section<'d, 'p>> {
        self.open_section(section.value(key)?, section.path.key(key))
    }

    /// Faults a key that has to be there and is not, or holds nothing.
    pub(super) fn require(&mut self, section: &Section<'_, '_>, key: &'static str) {
        let path = section.path.key(key);
        match section.entry(key) {
            None => {
                let message = format!("the key `{key}` is missing");
                self.error("missing_key", &path, section.pos, message);
            }
            Some(entry) if entry.value.is_null() => {
                let message = format!("the key `{key}` has no value");
                self.error("missing_key", &path, entry.key_pos, message);
            }
            Some(_) => {}
        }
    }

    /// Reads any text.
    pub(super) fn text(&mut self, section: &Section<'_, '_>, key: &'static str) -> Option<String> {
        self.leaf(section.value(key)?, &section.path.key(key), "a text", |node| {
            node.text().map(str::to_owned).ok_or(Misfit::Type)
        })
    }

    /// Reads text that is not empty.
    pub(super) fn name(&mut self, section: &Section<'_, '_>, key: &'static str) -> Option<String> {
        self.leaf(section.value(key)?, &section.path.key(key), "a text", |node| {
            let text = node.text().ok_or(Misfit::Type)?;
            if text.trim().is_empty() {
                return Err(Misfit::Value("empty_text", "must not be empty".to_owned()));
            }
            Ok(text.to_owned())
        })
    }

    /// Reads `true` or `false` into `into`.
    pub(super) fn boolean(
        &mut self,
        section: &Section<'_, '_>,
        key: &'static str,
        into: &mut bool,
    ) {
        if let Some(node) = self.given(section, key)
            && let Some(value) = self.boolean_at(node, &section.path.key(key))
        {
            *into = value;
        }
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean_at(&mut self, node: &Node, path: &Path<'_>) -> Option<bool> {
        self.leaf(node, path, "`true` or `false`", |node| {
            match node.scalar().map(|scalar| scalar.value) {
                Some(Value::Bool(value)) => Ok(value),
                _ => Err(Misfit::Type),
            }
        })
    }

    /// Reads a whole number into `into`.
    pub(super) fn integer<T: TryFrom<u64>>(
        &mut self,
        section: &Section<'_, '_>,
        key: &'static str,
        range: RangeInclusive<u64>,
        into: &mut T,
    ) {
        if let Some(node) = self.given(section, key)
            && let Some(value) = self.integer_at(node, &section.path.key(key), range)
            && let Ok(value) = T::try_from(value)
        {
            *into = value;
        }
    }

    /// Reads a whole number that may be missing or `null`.
    pub(super) fn optional_integer(
        &mut self,
        section: &Section<'_, '_>,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        self.integer_at(section.value(key)?, &section.path.key(key), range)
    }

    /// Reads a whole number, or `auto` as none.
    pub(super) fn auto_or_integer(
        &mut self,
        section: &Section<'_, '_>,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let node = section.value(key)?;
        if node.text() == Some("auto") {
            return None;
        }
        let path = section.path.key(key);
        self.leaf(node, &path, "`auto` or a whole number", |node| whole(node, &range))
    }

    fn integer_at(
        &mut self,
        node: &Node,
        path: &Path<'_>,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        self.leaf(node, path, "a whole number", |node| whole(node, &range))
    }

    /// Reads a number that may be missing or `null`.
    pub(super) fn optional_number(
        &mut self,
        section: &Section<'_, '_>,
        key: &'static str,
        range: RangeInclusive<f64>,
    ) -> Option<f64> {
        self.leaf(section.value(key)?, &section.path.key(key), "a number", |node| {
            let value = match node.scalar().map(|scalar| scalar.value) {
                Some(Value::Int(value)) => value as f64,
                Some(Value::Float(value)) => value,
                _ => return Err(Misfit::Type),
            };
            // Not-a-number is in no range.
            if range.contains(&value) { Ok(value) } else { Err(out_of_range(node, &range)) }
        })
    }

    /// Reads one of a few words into `into`.
    pub(super) fn choice<T: Words>(
        &mut self,
        section: &Section<'_, '_>,
        key: &'static str,
        into: &mut T,
    ) {
        let Some(node) = self.given(section, key) else { return };
        let path = section.path.key(key);
        let words = T::WORDS.iter().map(|(word, _)| *word);
        let expected = words.clone().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let expected = format!("one of {expected}");
        let Some(text) = node.text() else {
            self.wrong_type(node, &path, &expected);
            return;
        };
        if let Some((_, value)) = T::WORDS.iter().find(|(word, _)| *word == text) {
            *into = *value;
            return;
        }
        let message = format!("`{path}` must be {expected}, found {}", found(node));
        let hint = self.suggestion(text, words).filter(|hint| hint.starts_with("did"));
        self.error("unknown_word", &path, node.pos, message).hint = hint;
    }

    /// Reads a list of texts that are not empty; nothing at all is an empty list.
    pub(super) fn names(&mut self, section: &Section<'_, '_>, key: &'static str) -> Vec<String> {
        let Some(node) = section.value(key) else { return Vec::new() };
        let path = section.path.key(key);
        let Kind::Seq(items) = node.kind() else {
            let fault = self.wrong_type(node, &path, "a list of texts");
            if node.text().is_some() {
                fault.hint("put it in a list: `[...]`");
            }
            return Vec::new();
        };
        let mut names = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let path = path.index(i);
            names.extend(self.leaf(item, &path, "a text", |node| match node.text() {
                None => Err(Misfit::Type),
                Some("") => Err(Misfit::Value("empty_text", "must not be empty".to_owned())),
                Some(text) => Ok(text.to_owned()),
            }));
        }
        names
    }

    /// Reads any value as JSON. Numbers that JSON cannot hold are faults.
    pub(super) fn json(&mut self, node: &Node, path: &Path<'_>) -> serde_json::Value {
        match node.kind() {
            Kind::Seq(items) => {
                let items = items.iter().enumerate();
                items.map(|(i, item)| self.json(item, &path.index(i))).collect()
            }
            Kind::Map(entries) => serde_json::Value::Object(self.json_map(entries, path)),
            Kind::Scalar(scalar) => match scalar.value {
                Value::Null => serde_json::Value::Null,
                Value::Bool(value) => value.into(),
                Value::Text => scalar.text.as_str().into(),
                Value::Int(value) => match (i64::try_from(value), u64::try_from(value)) {
                    (Ok(value), _) => value.into(),
                    (_, Ok(value)) => value.into(),
                    _ => self.json_float(value as f64, node, path),
                },
                Value::Float(value) => self.json_float(value, node, path),
            },
        }
    }

    /// Reads a map of any values as JSON.
    pub(super) fn json_map(
        &mut self,
        entries: &[Entry],
        path: &Path<'_>,
    ) -> serde_json::Map<String, serde_json::Value> {
        let pair =
            |entry: &Entry| (entry.key.to_string(), self.json(&entry.value, &path.key(&entry.key)));
        entries.iter().map(pair).collect()
    }

    fn json_float(&mut self, value: f64, node: &Node, path: &Path<'_>) -> serde_json::Value {
        if !value.is_finite() {
            let message = format!("{} is not a finite number", found(node));
            self.error("out_of_range", path, node.pos, message);
        }
        value.into()
    }

    /// The value of a key that, where it is given, must not be nothing.
    fn given<'d>(&mut self, section: &Section<'d, '_>, key: &'static str) -> Option<&'d Node> {
        let entry = section.entry(key)?;
        if entry.value.is_null() {
            let message = format!("the key `{key}` has no value");
            self.error("missing_key", &section.path.key(key), entry.key_pos, message)
                .hint("leave the key out to have its default");
            return None;
        }
        Some(&entry.value)
    }

    fn leaf<T>(
        &mut self,
        node: &Node,
        path: &Path<'_>,
        expected: &str,
        read: impl FnOnce(&Node) -> Result<T, Misfit>,
    ) -> Option<T> {
        match read(node) {
            Ok(value) => Some(value),
            Err(Misfit::Type) => {
                self.wrong_type(node, path, expected);
                None
            }
            Err(Misfit::Value(code, what)) => {
                self.error(code, path, node.pos, format!("`{path}` {what}"));
                None
            }
        }
    }

    /// Faults a value of another type than expected.
    pub(super) fn wrong_type(
        &mut self,
        node: &Node,
        path: &Path<'_>,
        expected: &str,
    ) -> &mut super::Fault {
        let subject = match path.to_string() {
            path if path.is_empty() => "a pipeline".to_owned(),
            path => format!("`{path}`"),
        };
        let message = format!("{subject} must be {expected}, found {}", found(node));
        let hint = type_hint(node, expected);
        let fault = self.error("wrong_type", path, node.pos, message);
        fault.hint = hint;
        fault
    }
}

fn whole(node: &Node, range: &RangeInclusive<u64>) -> Result<u64, Misfit> {
    match node.scalar().map(|scalar| scalar.value) {
        Some(Value::Int(value)) => match u64::try_from(value) {
            Ok(value) if range.contains(&value) => Ok(value),
            _ => Err(out_of_range(node, range)),
        },
        _ => Err(Misfit::Type),
    }
}

fn out_of_range<T: Display>(node: &Node, range: &RangeInclusive<T>) -> Misfit {
    let text = node.scalar().map_or("", |scalar| &scalar.text);
    let (min, max) = (range.start(), range.end());
    Misfit::Value("out_of_range", format!("must be from {min} to {max}, found {}", quoted(text)))
}

/// What to do about a value of the wrong type, for the mistakes YAML invites.
fn type_hint(node: &Node, expected: &str) -> Option<String> {
    let scalar = node.scalar()?;
    match scalar.value {
        Value::Int(_) | Value::Float(_) | Value::Bool(_) if expected == "a text" => {
            Some("put it in quotes".to_owned())
        }
        Value::Text if expected.contains("true") => {
            let word = scalar.text.to_ascii_lowercase();
            match &*word {
                "yes" | "on" | "y" => Some("write `true`".to_owned()),
                "no" | "off" | "n" => Some("write `false`".to_owned()),
                "true" | "false" => Some("take the quotes off".to_owned()),
                _ => None,
            }
        }
        Value::Text if expected.contains("number") && scalar.text.parse::<f64>().is_ok() => {
            Some("take the quotes off".to_owned())
        }
        _ => None,
    }
}

/// What there is instead of what was expected. Texts are shown only where they look like a word.
pub(super) fn found(node: &Node) -> String {
    let scalar = match node.kind() {
        Kind::Seq(_) => return "a list".to_owned(),
        Kind::Map(_) => return "a map".to_owned(),
        Kind::Scalar(scalar) => scalar,
    };
    let is_word = scalar.text.len() <= 32
        && scalar.text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    match scalar.value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) => format!("`{}`", scalar.text),
        Value::Int(_) | Value::Float(_) => format!("the number {}", quoted(&scalar.text)),
        Value::Text if scalar.text.is_empty() => "an empty text".to_owned(),
        Value::Text if is_word => format!("the text `{}`", scalar.text),
        Value::Text => "a text".to_owned(),
    }
}
