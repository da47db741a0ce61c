// SPDX-License-Identifier: AGPL-3.0-or-later
//! From parser events to the tree, with an explicit stack: no input makes it recurse.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use crate::config::Pos;

use super::mask::{Mask, mask};
use super::scalar::resolve;
use super::{Document, Entry, Kind, Limits, Node, Parsed, Scalar, Step, Value, YamlFault};

/// Reads the first document of `text`.
pub(super) fn build(text: &str, limits: &Limits) -> Parsed {
    let (masked, mask) = mask(text);
    let mut builder = Builder {
        limits,
        mask,
        faults: Vec::new(),
        stack: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        nodes: 0,
        text_bytes: 0,
    };
    let mut parser = Parser::new_from_str(&masked);
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((Event::DocumentStart(_), span)) => {
                documents += 1;
                if documents > 1 {
                    builder.faults.push(second_document(pos_of(span.start)));
                    break;
                }
                Ok(())
            }
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(builder.syntax(&error)),
        };
        if let Err(fault) = step {
            builder.faults.push(fault);
            return Parsed { document: None, faults: builder.faults };
        }
    }
    let Builder { root, mut faults, .. } = builder;
    if root.is_none() && faults.is_empty() {
        let pos = Pos { line: 1, column: 1 };
        faults.push(
            YamlFault::new("empty_file", pos, "the file holds no YAML value")
                .hint("a pipeline starts with `version`, `schema`, `name` and `nodes`"),
        );
    }
    let document = root.map(|root| Document { root, chars: text.chars().collect() });
    Parsed { document, faults }
}

/// What a finished value costs wherever it is used again.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    text_bytes: usize,
    height: usize,
}

/// A list or a map whose end has not come yet.
struct Frame {
    anchor: usize,
    pos: Pos,
    start: usize,
    weight: Weight,
    open: Open,
}

enum Open {
    Seq(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    /// Where each key was first given.
    seen: HashMap<Rc<str>, Pos>,
    /// Maps of `<<`, which give what the map itself does not.
    merges: Vec<Node>,
    next: Next,
}

/// What the next event of a map is.
#[derive(Default)]
enum Next {
    #[default]
    Key,
    Value(Rc<str>, Pos),
    /// The value of a key that is not used: given twice, or no scalar.
    Dropped(Rc<str>),
    Merge,
}

struct Builder<'a> {
    limits: &'a Limits,
    mask: Mask,
    faults: Vec<YamlFault>,
    stack: Vec<Frame>,
    root: Option<Node>,
    /// Finished anchors: an alias inside its own anchor finds nothing here.
    anchors: HashMap<usize, (Node, Weight)>,
    nodes: usize,
    text_bytes: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlFault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), span)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(Open::Seq(Vec::new()), anchor, tag.as_deref(), span)
            }
            Event::MappingStart(anchor, tag) => {
                self.open(Open::Map(OpenMap::default()), anchor, tag.as_deref(), span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), YamlFault> {
        let text = self.mask.undo(text).into_owned();
        let plain = style == ScalarStyle::Plain;
        let pos = pos_of(span.start);
        let value = match tag {
            Some(tag) => self.tagged(&text, plain, tag, pos),
            None if plain => resolve(&text),
            None => Value::Text,
        };
        let weight = Weight { nodes: 1, text_bytes: text.len(), height: 0 };
        let merge = plain && text == "<<";
        let kind = Rc::new(Kind::Scalar(Scalar { text, value }));
        let node = Node { kind, pos, span: range_of(span) };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        self.add(node, weight, weight, merge)
    }

    /// What a scalar with a tag means; a tag that is not of the core schema is a fault.
    fn tagged(&mut self, text: &str, plain: bool, tag: &Tag, pos: Pos) -> Value {
        let untagged = if plain { resolve(text) } else { Value::Text };
        if tag.handle.is_empty() && tag.suffix == "!" {
            return Value::Text;
        }
        if !tag.is_yaml_core_schema() {
            self.faults.push(self.unsupported_tag(tag, pos));
            return untagged;
        }
        let value = match (&*tag.suffix, resolve(text)) {
            ("str", _) => Some(Value::Text),
            ("null", value @ Value::Null)
            | ("bool", value @ Value::Bool(_))
            | ("int", value @ Value::Int(_))
            | ("float", value @ Value::Float(_)) => Some(value),
            ("float", Value::Int(value)) => Some(Value::Float(value as f64)),
            _ => None,
        };
        if value.is_none() {
            let message = format!("the value does not fit its tag `!!{}`", short(&tag.suffix));
            self.faults.push(YamlFault::new("bad_tag", pos, message));
        }
        value.unwrap_or(untagged)
    }

    fn unsupported_tag(&self, tag: &Tag, pos: Pos) -> YamlFault {
        let name = tag.to_string();
        let name = self.mask.undo(&name);
        YamlFault::new(
            "unsupported_tag",
            pos,
            format!("the tag `{}` is not supported", short(&name)),
        )
        .hint("tags have no meaning in a pipeline; take it out")
    }

    fn open(
        &mut self,
        open: Open,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), YamlFault> {
        let pos = pos_of(span.start);
        if self.stack.len() >= self.limits.depth {
            return Err(self.too_deep(pos));
        }
        if let Some(tag) = tag {
            let expected = if matches!(open, Open::Seq(_)) { "seq" } else { "map" };
            if !tag.is_yaml_core_schema() || tag.suffix != expected {
                self.faults.push(self.unsupported_tag(tag, pos));
            }
        }
        let weight = Weight { nodes: 1, text_bytes: 0, height: 1 };
        self.stack.push(Frame { anchor, pos, start: span.start.index(), weight, open });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Result<(), YamlFault> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let kind = match frame.open {
            Open::Seq(items) => Kind::Seq(items),
            Open::Map(map) => Kind::Map(map.finish()),
        };
        let node = Node {
            kind: Rc::new(kind),
            pos: frame.pos,
            span: frame.start..span.end.index().max(frame.start),
        };
        if frame.anchor != 0 {
            self.anchors.insert(frame.anchor, (node.clone(), frame.weight));
        }
        // What is inside was counted when it was added.
        let own = Weight { nodes: 1, ..Weight::default() };
        self.add(node, frame.weight, own, false)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), YamlFault> {
        let pos = pos_of(span.start);
        let Some((node, weight)) = self.anchors.get(&anchor).cloned() else {
            let message = "the alias stands inside the value it names, which would never end";
            return Err(YamlFault::new("alias_cycle", pos, message));
        };
        if self.stack.len() + weight.height > self.limits.depth {
            return Err(self.too_deep(pos));
        }
        self.add(Node { kind: node.kind, pos, span: range_of(span) }, weight, weight, false)
    }

    /// Puts a finished value where it belongs. `own` is what it costs beyond what was counted inside it already;
    /// `merge` marks a plain `<<`.
    fn add(
        &mut self,
        mut node: Node,
        weight: Weight,
        own: Weight,
        merge: bool,
    ) -> Result<(), YamlFault> {
        self.count(own, node.pos)?;
        let Some(frame) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        frame.weight.nodes = frame.weight.nodes.saturating_add(weight.nodes);
        frame.weight.text_bytes = frame.weight.text_bytes.saturating_add(weight.text_bytes);
        frame.weight.height = frame.weight.height.max(weight.height + 1);
        let map = match &mut frame.open {
            Open::Seq(items) => {
                items.push(node);
                return Ok(());
            }
            Open::Map(map) => map,
        };
        let fault = match std::mem::take(&mut map.next) {
            Next::Key => map.key(&node, merge),
            Next::Value(key, key_pos) => {
                // Nothing at all has no place of its own: its key's is nearer than the next token's.
                if node.is_null() && node.span.is_empty() {
                    node.pos = key_pos;
                }
                map.entries.push(Entry { key, key_pos, value: node });
                None
            }
            Next::Dropped(_) => None,
            Next::Merge => map.merge(node),
        };
        if let Some(mut fault) = fault {
            fault.path = path(&self.stack);
            self.faults.push(fault);
        }
        Ok(())
    }

    fn count(&mut self, own: Weight, pos: Pos) -> Result<(), YamlFault> {
        self.nodes = self.nodes.saturating_add(own.nodes);
        self.text_bytes = self.text_bytes.saturating_add(own.text_bytes);
        let (most, what) = if self.nodes > self.limits.nodes {
            (self.limits.nodes, "values")
        } else if self.text_bytes > self.limits.text_bytes {
            (self.limits.text_bytes, "bytes of text")
        } else {
            return Ok(());
        };
        let message = format!("the file holds more than {most} {what}, aliases written out");
        let mut fault = YamlFault::new("too_many_values", pos, message)
            .hint("an alias costs as much as what it stands for");
        fault.path = path(&self.stack);
        Err(fault)
    }

    fn too_deep(&self, pos: Pos) -> YamlFault {
        let most = self.limits.depth;
        YamlFault::new("too_deep", pos, format!("lists and maps are nested more than {most} deep"))
    }

    /// The fault of a parser error, in the parser's words and with advice for the usual causes.
    fn syntax(&self, error: &ScanError) -> YamlFault {
        if error.info().contains("recursion limit") {
            return self.too_deep(pos_of(*error.marker()));
        }
        let message = self.mask.undo(error.info());
        let mut fault = YamlFault::new("yaml_syntax", pos_of(*error.marker()), &*message);
        fault.path = path(&self.stack);
        let advice = [
            ("tab", "indent with spaces; YAML allows no tabs there"),
            ("unexpected end of stream", "a quote is not closed"),
            ("unknown anchor", "an alias `*name` needs an anchor `&name` before it"),
            ("cannot start any token", "text that starts with this character has to be quoted"),
            ("mapping values are not allowed", "text that holds `: ` has to be quoted"),
            (
                "in quoted scalar",
                "is this quote closed? A quoted text goes on until its quote ends it",
            ),
            ("invalid indentation", "is every bracket, brace and quote before this closed?"),
        ];
        match advice.iter().find(|(part, _)| message.contains(part)) {
            Some((_, advice)) => fault.hint(*advice),
            None => fault,
        }
    }
}

impl OpenMap {
    /// Takes the next key; a fault if it cannot be used.
    fn key(&mut self, node: &Node, merge: bool) -> Option<YamlFault> {
        let Some(scalar) = node.scalar() else {
            self.next = Next::Dropped("?".into());
            let message = "a list or a map cannot be a key here";
            return Some(YamlFault::new("bad_key", node.pos, message));
        };
        let key: Rc<str> = scalar.text.as_str().into();
        let first = match self.seen.entry(Rc::clone(&key)) {
            std::collections::hash_map::Entry::Vacant(slot) => {
                slot.insert(node.pos);
                None
            }
            std::collections::hash_map::Entry::Occupied(slot) => Some(*slot.get()),
        };
        if let Some(first) = first {
            let message = format!("the key `{}` is given twice; first at {first}", short(&key));
            self.next = Next::Dropped(key);
            return Some(YamlFault::new("duplicate_key", node.pos, message));
        }
        if !merge && scalar.text == "<<" {
            self.next = Next::Dropped(key);
            let message = "`<<` is the merge key; no other key can be called so";
            return Some(YamlFault::new("bad_key", node.pos, message));
        }
        if scalar.text.is_empty() && scalar.value == Value::Null {
            self.next = Next::Dropped(key);
            return Some(YamlFault::new("bad_key", node.pos, "the key before `:` is missing"));
        }
        self.next = if merge { Next::Merge } else { Next::Value(key, node.pos) };
        None
    }

    /// Takes the value of `<<`.
    fn merge(&mut self, node: Node) -> Option<YamlFault> {
        let is_map = |node: &Node| matches!(node.kind(), Kind::Map(_));
        if is_map(&node) {
            self.merges.push(node);
        } else if !node.items().is_empty() && node.items().iter().all(is_map) {
            self.merges.extend_from_slice(node.items());
        } else {
            let message = "the value of the merge key `<<` is neither a map nor a list of maps";
            return Some(YamlFault::new("bad_merge", node.pos, message).hint("write `<<: *name`"));
        }
        None
    }

    /// The map's own entries, then those it takes from its merges, earlier ones first.
    fn finish(mut self) -> Vec<Entry> {
        let mut merged: HashSet<Rc<str>> = HashSet::new();
        for entry in self.merges.iter().flat_map(Node::entries) {
            if !self.seen.contains_key(&entry.key) && merged.insert(Rc::clone(&entry.key)) {
                self.entries.push(entry.clone());
            }
        }
        self.entries
    }
}

fn second_document(pos: Pos) -> YamlFault {
    YamlFault::new("multiple_documents", pos, "a second document starts here")
        .hint("one file holds one pipeline; take out what follows, or the `---`")
}

/// Where the builder stands.
fn path(stack: &[Frame]) -> String {
    let mut out = String::new();
    for frame in stack {
        let step = match &frame.open {
            Open::Seq(items) => Step::Index(items.len()),
            Open::Map(map) => match &map.next {
                Next::Value(key, _) | Next::Dropped(key) => Step::Key(key),
                Next::Merge => Step::Key("<<"),
                Next::Key => continue,
            },
        };
        let first = out.is_empty();
        // Writing to a string does not fail.
        let _ = step.write(&mut out, first);
    }
    out
}

/// Parser columns count from 0.
fn pos_of(marker: Marker) -> Pos {
    Pos { line: marker.line().max(1), column: marker.col() + 1 }
}

fn range_of(span: Span) -> Range<usize> {
    span.start.index()..span.end.index().max(span.start.index())
}

/// At most 48 characters of `text`.
fn short(text: &str) -> String {
    match text.char_indices().nth(48) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Parsed {
        super::super::parse(text.as_bytes(), &Limits::default())
    }

    fn root(text: &str) -> Node {
        let parsed = parsed(text);
        assert_eq!(parsed.faults, []);
        parsed.document.unwrap().root
    }

    fn codes(text: &str) -> Vec<(&'static str, usize, usize)> {
        parsed(text).faults.iter().map(|f| (f.code, f.pos.line, f.pos.column)).collect()
    }

    fn at(node: &Node) -> (usize, usize) {
        (node.pos.line, node.pos.column)
    }

    #[test]
    fn keys_and_values_know_their_places() {
        let root = root("a: 1\r\nb:\r\n  - x\r\n  - {é: ü, d: \"q\"}\r\n");
        assert_eq!(at(&root), (1, 1));
        let b = root.entry("b").unwrap();
        assert_eq!((b.key_pos.line, b.key_pos.column), (2, 1));
        let items = b.value.items();
        assert_eq!((at(&items[0]), at(&items[1])), ((3, 5), (4, 5)));
        let d = items[1].entry("d").unwrap();
        assert_eq!((d.key_pos.column, at(&d.value)), (12, (4, 15)));
        assert_eq!(d.value.text(), Some("q"));
    }

    #[test]
    fn references_in_flow_maps_need_no_quotes() {
        let root = root("m: { a: ${source.text}, b: [${x.y[0].z}, 2] }");
        let m = &root.entry("m").unwrap().value;
        assert_eq!(m.entry("a").unwrap().value.text(), Some("${source.text}"));
        let b = &m.entry("b").unwrap().value;
        assert_eq!((b.items()[0].text(), at(b)), (Some("${x.y[0].z}"), (1, 28)));
        assert_eq!(at(&b.items()[1]), (1, 42));
    }

    #[test]
    fn occurrences_are_found_in_every_style() {
        for (text, expected) in [
            ("a: x ${b} ${c}", vec![(1, 6), (1, 11)]),
            ("a: \"x ${b} \\n ${c}\"", vec![(1, 7), (1, 15)]),
            ("a: 'x ${b}\n  ${c}'", vec![(1, 7), (2, 3)]),
            ("a: |\n  x ${b}\n  ${c}\n", vec![(2, 5), (3, 3)]),
            ("a: >-\n\n   ${b}\n   y ${c}\nb: ${d}\n", vec![(3, 4), (4, 6)]),
            ("a: x ${b}\r\n   ${c}\r\n", vec![(1, 6), (2, 4)]),
        ] {
            let document = parsed(text).document.unwrap();
            let node = &document.root.entry("a").unwrap().value;
            let found = document.occurrences(node, "${", 2).unwrap();
            let found: Vec<_> = found.iter().map(|p| (p.line, p.column)).collect();
            assert_eq!(found, expected, "{text:?}");
        }
        let document = parsed("a: \"\\x24{b} ${c}\"").document.unwrap();
        let node = &document.root.entry("a").unwrap().value;
        assert_eq!(document.occurrences(node, "${", 2), None);
    }

    #[test]
    fn scalars_follow_style_and_tag() {
        let value = |text: &str| root(text).scalar().unwrap().value;
        assert_eq!(value("12"), Value::Int(12));
        assert_eq!(value("'12'"), Value::Text);
        assert_eq!(value("|\n  12"), Value::Text);
        assert_eq!(value("!!str 12"), Value::Text);
        assert_eq!(value("! 12"), Value::Text);
        assert_eq!(value("!!int '12'"), Value::Int(12));
        assert_eq!(value("!!float 12"), Value::Float(12.0));
        assert_eq!(codes("!!int x"), [("bad_tag", 1, 1)]);
        assert_eq!(codes("a: !secret x"), [("unsupported_tag", 1, 4)]);
        assert_eq!(codes("a: !!set {x: 1}"), [("unsupported_tag", 1, 4)]);
    }

    #[test]
    fn duplicate_keys_name_both_places() {
        let parsed = parsed("a:\n  b: 1\n  c: 2\n  b: 3\na: 4\n");
        let seen: Vec<_> = parsed.faults.iter().map(|f| (f.path.as_str(), f.pos)).collect();
        assert_eq!(seen[0], ("a.b", Pos { line: 4, column: 3 }));
        assert_eq!(seen[1], ("a", Pos { line: 5, column: 1 }));
        assert_eq!(parsed.faults[0].message, "the key `b` is given twice; first at 2:3");
    }

    #[test]
    fn merge_keys_fill_what_is_missing() {
        let root = root("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  <<: [*x, *y]\n  a: 0\n");
        let z = &root.entry("z").unwrap().value;
        let values: Vec<_> =
            z.entries().iter().map(|e| (&*e.key, &*e.value.scalar().unwrap().text)).collect();
        assert_eq!(values, [("a", "0"), ("b", "2"), ("c", "4")]);
        assert_eq!(codes("<<: 1"), [("bad_merge", 1, 5)]);
        assert_eq!(codes("\"<<\": 1"), [("bad_key", 1, 1)]);
    }

    #[test]
    fn odd_documents_are_faults() {
        assert_eq!(codes(""), [("empty_file", 1, 1)]);
        assert_eq!(codes("# nothing\n"), [("empty_file", 1, 1)]);
        assert_eq!(codes("a: 1\n---\nb: 2\n"), [("multiple_documents", 2, 1)]);
        assert_eq!(codes("? [a]\n: 1\n"), [("bad_key", 1, 3)]);
        assert_eq!(codes(": 1\n"), [("bad_key", 1, 1)]);
        assert_eq!(codes("a: &a [*a]"), [("alias_cycle", 1, 8)]);
        assert_eq!(codes("a: *b"), [("yaml_syntax", 1, 4)]);
    }

    #[test]
    fn an_alias_costs_what_it_stands_for() {
        let mut bomb = String::from("a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
        for i in 1..30 {
            let refs = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert_eq!(codes(&bomb)[0].0, "too_many_values");
        let mut long = format!("t: &t {}\nl:\n", "x".repeat(100_000));
        long.push_str(&"- *t\n".repeat(100));
        assert_eq!(codes(&long)[0].0, "too_many_values");
    }

    #[test]
    fn depth_is_bounded_through_aliases_too() {
        assert_eq!(codes(&"[".repeat(100_000))[0].0, "too_deep");
        assert_eq!(codes(&"- ".repeat(500_000))[0].0, "too_deep");
        assert_eq!(parsed(&format!("{}{}", "[".repeat(64), "]".repeat(64))).faults, []);
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        let nested = format!("a: &a {}\nb: {}", deep(40), deep(40).replace("[]", "[*a]"));
        assert_eq!(codes(&nested)[0].0, "too_deep");
    }
}
