// SPDX-License-Identifier: AGPL-3.0-or-later
//! A YAML document as a tree in which every key and value knows its line and column.
//!
//! Built on the events of `saphyr-parser`. What is added: limits that hold before memory is spent, duplicate keys and
//! further documents as faults, merge keys, the core schema of YAML 1.2, and `${...}` unquoted in flow collections.

mod build;
mod mask;
mod path;
mod scalar;
mod source;

use std::ops::Range;
use std::rc::Rc;

use crate::config::Pos;

pub(crate) use mask::unused_characters;
pub(crate) use path::{Path, Step};

/// What a document may cost. Aliases count as if they were written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of the source.
    pub(crate) source_bytes: usize,
    /// Collections inside one another.
    pub(crate) depth: usize,
    /// Scalars, keys, lists and maps.
    pub(crate) nodes: usize,
    /// Bytes of all scalars and keys.
    pub(crate) text_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { source_bytes: 1 << 20, depth: 64, nodes: 100_000, text_bytes: 4 << 20 }
    }
}

/// Something wrong with the YAML itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct YamlFault {
    /// Stable word for the kind of fault.
    pub(crate) code: &'static str,
    /// Where in the tree, as far as known.
    pub(crate) path: String,
    /// Where in the file.
    pub(crate) pos: Pos,
    /// What is wrong.
    pub(crate) message: String,
    /// What would be accepted.
    pub(crate) hint: Option<String>,
}

impl YamlFault {
    fn new(code: &'static str, pos: Pos, message: impl Into<String>) -> Self {
        Self { code, path: String::new(), pos, message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What reading gave: a tree unless the text could not be read to its end, and every fault met.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The first document of the file.
    pub(crate) document: Option<Document>,
    /// Faults in the order they were met.
    pub(crate) faults: Vec<YamlFault>,
}

/// A document and the characters it came from.
#[derive(Debug)]
pub(crate) struct Document {
    /// The outermost value.
    pub(crate) root: Node,
    chars: Vec<char>,
}

/// A value and where it stands. Cloning shares the value.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    kind: Rc<Kind>,
    /// Position of the value; of the alias, where it came through one.
    pub(crate) pos: Pos,
    span: Range<usize>,
}

/// A value.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A leaf.
    Scalar(Scalar),
    /// A list.
    Seq(Vec<Node>),
    /// A map, keys unique and in the order of the file.
    Map(Vec<Entry>),
}

/// A leaf: its text, and what the core schema takes it for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    /// The text, escapes and folding applied.
    pub(crate) text: String,
    /// What it means.
    pub(crate) value: Value,
}

/// What a scalar means under the core schema of YAML 1.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number, `.inf` and `.nan` included.
    Float(f64),
    /// Text: quoted, in a block, or like nothing above.
    Text,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The key's text.
    pub(crate) key: Rc<str>,
    /// Where the key stands.
    pub(crate) key_pos: Pos,
    /// The value.
    pub(crate) value: Node,
}

impl Node {
    /// The value itself.
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The leaf, if it is one.
    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match self.kind() {
            Kind::Scalar(scalar) => Some(scalar),
            Kind::Seq(_) | Kind::Map(_) => None,
        }
    }

    /// The text of a text leaf.
    pub(crate) fn text(&self) -> Option<&str> {
        self.scalar().filter(|s| s.value == Value::Text).map(|s| s.text.as_str())
    }

    /// Whether there is nothing: `null`, `~` or no text at all.
    pub(crate) fn is_null(&self) -> bool {
        self.scalar().is_some_and(|s| s.value == Value::Null)
    }

    /// The items of a list; none for anything else.
    pub(crate) fn items(&self) -> &[Node] {
        match self.kind() {
            Kind::Seq(items) => items,
            Kind::Scalar(_) | Kind::Map(_) => &[],
        }
    }

    /// The entries of a map; none for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match self.kind() {
            Kind::Map(entries) => entries,
            Kind::Scalar(_) | Kind::Seq(_) => &[],
        }
    }

    /// The entry of a map with this key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| &*entry.key == key)
    }
}

impl Document {
    /// Positions of the `needle`s in the source of `node`, if there are exactly `count` of them.
    ///
    /// This finds the place of something inside a scalar, whatever its style: quoting and folding never change how
    /// often `${` occurs, save where an escape wrote it, and then the count differs.
    pub(crate) fn occurrences(&self, node: &Node, needle: &str, count: usize) -> Option<Vec<Pos>> {
        let chars = self.chars.get(node.span.clone())?;
        let needle: Vec<char> = needle.chars().collect();
        let mut found = Vec::new();
        let mut pos = node.pos;
        for (i, &c) in chars.iter().enumerate() {
            if chars[i..].starts_with(&needle) {
                found.push(pos);
            }
            if c == '\n' || (c == '\r' && chars.get(i + 1) != Some(&'\n')) {
                pos = Pos { line: pos.line + 1, column: 1 };
            } else {
                pos.column += 1;
            }
        }
        (found.len() == count).then_some(found)
    }
}

/// Reads one YAML document.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Parsed {
    match source::check(bytes, limits.source_bytes) {
        Ok(text) => build::build(text, limits),
        Err(fault) => Parsed { document: None, faults: vec![fault] },
    }
}

/// The fault of a source that is too large, for callers that know its size without reading it.
pub(crate) fn too_large(bytes: u64, limits: &Limits) -> YamlFault {
    source::too_large(bytes, limits.source_bytes)
}
