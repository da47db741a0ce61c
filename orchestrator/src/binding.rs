// SPDX-License-Identifier: AGPL-3.0-or-later
//! References in bindings: `${source.x}`, `${nodes.<id>.<field>}`, `${result.x}`.
//!
//! A string is a [`Template`] of text and references; a YAML value with templates in it is a
//! [`Binding`]. A reference that is the whole string keeps the type of what it names; inside a
//! longer string it is interpolated: strings as they are, numbers and booleans plain, null as
//! nothing, lists and maps as compact JSON. Paths go through maps (`.key`, or `["any key"]` for
//! keys with dots) and lists (`[0]`). `$${` writes a literal `${`.

use std::fmt;

use serde_json::{Map, Value};

use crate::agents::Fields;

/// Most steps a path may have; a longer one is a mistake, or an attack on the stack.
const MAX_STEPS: usize = 64;

/// Names listed in a message before it is cut short.
const MAX_NAMES: usize = 12;

/// A reference or a template that cannot be read or resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BindingError {
    /// What is wrong and what would be accepted. Names fields, never their values.
    pub message: String,
    /// Byte in the template where it is wrong.
    pub offset: usize,
}

impl BindingError {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), offset }
    }
}

/// A string with references in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Text and references in order; adjacent texts are one part, and no text is empty.
    pub parts: Vec<Part>,
}

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text as it is.
    Text(String),
    /// A reference.
    Ref(Reference),
}

/// What a `${...}` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Where the path begins.
    pub root: Root,
    /// The way from there; empty means the root itself.
    pub path: Vec<Step>,
    /// Byte in the template where its `${` stands.
    pub offset: usize,
}

/// Where a reference begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// `source`: the pipeline's input.
    Source,
    /// `nodes.<id>`: the published result of a node.
    Node(String),
    /// `result`: what the node's own agent returned; in `io.outputs` only.
    Result,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A key of a map.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("${")?;
        match &self.root {
            Root::Source => f.write_str("source")?,
            Root::Node(id) => {
                f.write_str("nodes")?;
                write_key(f, id)?;
            }
            Root::Result => f.write_str("result")?,
        }
        for step in &self.path {
            match step {
                Step::Key(key) => write_key(f, key)?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        f.write_str("}")
    }
}

fn write_key(f: &mut fmt::Formatter<'_>, key: &str) -> fmt::Result {
    let plain = !key.is_empty() && !key.contains(is_special);
    if plain { write!(f, ".{key}") } else { write!(f, "[\"{key}\"]") }
}

/// Characters a bare key cannot hold.
fn is_special(c: char) -> bool {
    c.is_whitespace() || matches!(c, '.' | '[' | ']' | '{' | '}' | '$' | '"' | '\'')
}

/// Reads the references in a string.
///
/// # Errors
/// [`BindingError`] with the byte where the template is wrong: an unclosed or empty `${`, an
/// unknown root, a path that is not `.key` or `[index]` steps.
pub fn parse_template(text: &str) -> Result<Template, BindingError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(dollar) = text[at..].find('$').map(|i| at + i) {
        literal.push_str(&text[at..dollar]);
        let rest = &text[dollar..];
        if rest.starts_with("$${") {
            literal.push_str("${");
            at = dollar + 3;
        } else if rest.starts_with("${") {
            let mut parser = PathParser { text, at: dollar + 2, start: dollar };
            let reference = parser.reference()?;
            at = parser.at;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Ref(reference));
        } else {
            literal.push('$');
            at = dollar + 1;
        }
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Ok(Template { parts })
}

struct PathParser<'a> {
    text: &'a str,
    at: usize,
    /// Where the `${` stands.
    start: usize,
}

impl<'a> PathParser<'a> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn unclosed(&self) -> BindingError {
        BindingError::new(
            self.start,
            "`${` has no closing `}`; write `$${` for a literal `${`".to_owned(),
        )
    }

    fn reference(&mut self) -> Result<Reference, BindingError> {
        self.skip_blanks();
        let word_at = self.at;
        let word = self.bare_key()?;
        let mut path = Vec::new();
        loop {
            match self.peek() {
                Some('}') => break,
                Some(' ' | '\t') => {
                    self.skip_blanks();
                    match self.peek() {
                        Some('}') => break,
                        None => return Err(self.unclosed()),
                        Some(_) => {
                            return Err(BindingError::new(
                                self.at,
                                "a reference ends at a blank; expected `}`",
                            ));
                        }
                    }
                }
                Some('.') => {
                    self.at += 1;
                    path.push((self.at, Step::Key(self.bare_key()?.to_owned())));
                }
                Some('[') => {
                    let at = self.at;
                    path.push((at, self.bracket()?));
                }
                None => return Err(self.unclosed()),
                Some(_) => {
                    return Err(BindingError::new(self.at, "expected `.key`, `[index]` or `}`"));
                }
            }
            if path.len() > MAX_STEPS {
                return Err(BindingError::new(
                    self.start,
                    format!("the path has more than {MAX_STEPS} steps"),
                ));
            }
        }
        self.at += 1;

        let mut steps = path.into_iter();
        let root = match word {
            "source" => Root::Source,
            "result" => Root::Result,
            "nodes" => match steps.next() {
                Some((_, Step::Key(id))) => Root::Node(id),
                Some((at, Step::Index(_))) => {
                    return Err(BindingError::new(
                        at,
                        "`nodes` is read by id: `${nodes.<id>.<field>}`",
                    ));
                }
                None => {
                    return Err(BindingError::new(
                        word_at,
                        "`nodes` needs an id: `${nodes.<id>.<field>}`",
                    ));
                }
            },
            other => {
                let hint = nearest(other, ["source", "nodes", "result"])
                    .map(|near| format!(" (did you mean `{near}`?)"))
                    .unwrap_or_default();
                return Err(BindingError::new(
                    word_at,
                    format!(
                        "a reference begins with `source`, `nodes` or `result`, not `{other}`{hint}"
                    ),
                ));
            }
        };
        let path = steps.map(|(_, step)| step).collect();
        Ok(Reference { root, path, offset: self.start })
    }

    fn bare_key(&mut self) -> Result<&'a str, BindingError> {
        let rest = &self.text[self.at..];
        let len = rest.find(is_special).unwrap_or(rest.len());
        if len == rest.len() {
            return Err(self.unclosed());
        }
        if len == 0 {
            return Err(BindingError::new(
                self.at,
                "a name is missing; write `${source.text}` or `${nodes.<id>.text}`",
            ));
        }
        self.at += len;
        Ok(&rest[..len])
    }

    /// `[0]`, `["key"]` or `['key']`; `self.at` is at the `[`.
    fn bracket(&mut self) -> Result<Step, BindingError> {
        let open = self.at;
        self.at += 1;
        let (step, len) = match self.peek() {
            Some(quote @ ('"' | '\'')) => {
                let body = &self.text[self.at + 1..];
                let len = body.find(quote).ok_or_else(|| {
                    BindingError::new(open, format!("the quoted key has no closing {quote}"))
                })?;
                (Step::Key(body[..len].to_owned()), len + 2)
            }
            _ => {
                let body = &self.text[self.at..];
                let len = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
                let index = body[..len].parse().map_err(|_| {
                    BindingError::new(
                        open,
                        "a list item is `[0]`, `[1]`, ...; a key in brackets is quoted: `[\"key\"]`",
                    )
                })?;
                (Step::Index(index), len)
            }
        };
        self.at += len;
        if self.peek() != Some(']') {
            return Err(BindingError::new(open, "`[` has no closing `]`"));
        }
        self.at += 1;
        Ok(step)
    }
}

/// What a node gave, as references see it.
#[derive(Debug, Clone, Copy)]
pub struct NodeView<'a> {
    /// Published fields; empty when there are none.
    pub fields: &'a Fields,
    /// Why fields may be absent: the error of a failed node, or what blocked it.
    pub absent: Option<&'a str>,
}

/// What references can name while a binding is resolved.
pub struct Scope<'a> {
    /// The pipeline's input, after the guard.
    pub source: &'a Fields,
    /// Nodes that ended, by id.
    pub node: &'a dyn Fn(&str) -> Option<NodeView<'a>>,
    /// The agent's result, in `io.outputs`.
    pub result: Option<&'a Fields>,
}

/// What a reference (`'r`) names in a scope (`'a`).
enum Lookup<'r, 'a> {
    /// A field, or an item of one.
    Value(&'a Value),
    /// A whole root.
    Root(&'a Fields),
    /// The node failed or was blocked before it had this field.
    Missing { node: &'r str, error: &'a str },
}

impl Reference {
    fn find<'r, 'a>(&'r self, scope: &Scope<'a>) -> Result<Lookup<'r, 'a>, BindingError> {
        let (fields, absent, what) = match &self.root {
            Root::Source => (scope.source, None, "the source".to_owned()),
            Root::Node(id) => match (scope.node)(id) {
                Some(view) => (view.fields, view.absent.map(|e| (id, e)), format!("node `{id}`")),
                None => return Err(self.error(format!("node `{id}` has no result here"))),
            },
            Root::Result => match scope.result {
                Some(fields) => (fields, None, "the result".to_owned()),
                None => return Err(self.error("`result` is known in `io.outputs` only")),
            },
        };
        let Some((first, rest)) = self.path.split_first() else {
            return Ok(match absent {
                Some((node, error)) if fields.keys().all(|key| key.starts_with('_')) => {
                    Lookup::Missing { node, error }
                }
                _ => Lookup::Root(fields),
            });
        };
        let Step::Key(key) = first else {
            return Err(self.error(format!("{what} is a map, it has no item by number")));
        };
        let Some(mut value) = fields.get(key) else {
            return match absent {
                Some((node, error)) => Ok(Lookup::Missing { node, error }),
                None => Err(self.error(format!("{what} has no field `{key}`{}", has(fields, key)))),
            };
        };
        for step in rest {
            let next = match (step, value) {
                (Step::Key(key), Value::Object(map)) => map.get(key),
                (Step::Index(index), Value::Array(list)) => list.get(*index),
                _ => None,
            };
            value = next.ok_or_else(|| match (step, value) {
                (Step::Key(key), Value::Object(map)) => {
                    self.error(format!("there is no field `{key}`{}", has(map, key)))
                }
                (Step::Index(index), Value::Array(list)) => {
                    self.error(format!("there is no item {index} in a list of {}", list.len()))
                }
                (Step::Key(key), other) => {
                    self.error(format!("`{key}` is looked up in {}, not in a map", kind(other)))
                }
                (Step::Index(index), other) => self
                    .error(format!("item {index} is looked up in {}, not in a list", kind(other))),
            })?;
        }
        Ok(Lookup::Value(value))
    }

    fn error(&self, message: impl fmt::Display) -> BindingError {
        BindingError::new(self.offset, format!("{self}: {message}"))
    }
}

/// What a binding gave, and what it lacked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Missing(pub Vec<(String, String)>);

impl Missing {
    /// Notes that `node` gave nothing because of `error`; once a node.
    pub fn add(&mut self, node: &str, error: &str) {
        if !self.0.iter().any(|(known, _)| known == node) {
            self.0.push((node.to_owned(), error.to_owned()));
        }
    }
}

impl Template {
    /// The references in it, in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Ref(reference) => Some(reference),
            Part::Text(_) => None,
        })
    }

    /// Whether it is one reference to what is missing with its node.
    fn is_missing(&self, scope: &Scope<'_>) -> bool {
        match self.parts.as_slice() {
            [Part::Ref(reference)] => {
                matches!(reference.find(scope), Ok(Lookup::Missing { .. }))
            }
            _ => false,
        }
    }

    /// The value it stands for; a piece of a failed node is null, or nothing inside a string.
    ///
    /// # Errors
    /// [`BindingError`] naming the reference that names nothing, and the fields there are.
    pub fn resolve(&self, scope: &Scope<'_>) -> Result<Value, BindingError> {
        Ok(self.resolve_noting(scope, &mut Missing::default())?.unwrap_or(Value::Null))
    }

    /// Like [`Template::resolve`], noting failed nodes in `missing`; `None` when the whole value is
    /// missing with its node.
    ///
    /// # Errors
    /// As [`Template::resolve`].
    pub fn resolve_noting(
        &self,
        scope: &Scope<'_>,
        missing: &mut Missing,
    ) -> Result<Option<Value>, BindingError> {
        if let [Part::Ref(reference)] = self.parts.as_slice() {
            return Ok(match reference.find(scope)? {
                Lookup::Value(value) => Some(value.clone()),
                Lookup::Root(fields) => Some(Value::Object(public(fields))),
                Lookup::Missing { node, error } => {
                    missing.add(node, error);
                    None
                }
            });
        }
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Ref(reference) => match reference.find(scope)? {
                    Lookup::Value(Value::Null) => {}
                    Lookup::Value(Value::String(text)) => out.push_str(text),
                    // `Value` prints as compact JSON.
                    Lookup::Value(other) => out.push_str(&other.to_string()),
                    Lookup::Root(fields) => {
                        out.push_str(&Value::Object(public(fields)).to_string());
                    }
                    Lookup::Missing { node, error } => missing.add(node, error),
                },
            }
        }
        Ok(Some(Value::String(out)))
    }
}

/// A value of `io.inputs` or `io.outputs`, its templates read.
#[derive(Debug, Clone, PartialEq)]
pub enum Binding {
    /// A value without references.
    Literal(Value),
    /// A string with references.
    Template(Template),
    /// A list; items missing with their node are left out.
    List(Vec<Binding>),
    /// A map; values missing with their node are null.
    Map(Vec<(String, Binding)>),
}

impl Binding {
    /// Reads every template in a value.
    ///
    /// # Errors
    /// As [`parse_template`]; the offset counts within the string at fault.
    pub fn parse(value: &Value) -> Result<Self, BindingError> {
        Ok(match value {
            Value::String(text) => {
                let template = parse_template(text)?;
                if template.references().next().is_none() {
                    // Parsed all the same: `$${` in it became `${`.
                    let text = match template.parts.into_iter().next() {
                        Some(Part::Text(text)) => text,
                        _ => String::new(),
                    };
                    Self::Literal(Value::String(text))
                } else {
                    Self::Template(template)
                }
            }
            Value::Array(list) => {
                Self::List(list.iter().map(Self::parse).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => Self::Map(
                map.iter()
                    .map(|(key, value)| Ok((key.clone(), Self::parse(value)?)))
                    .collect::<Result<_, BindingError>>()?,
            ),
            other => Self::Literal(other.clone()),
        })
    }

    /// Calls `f` with every reference in it, in order.
    pub fn for_each_reference<'a>(&'a self, f: &mut impl FnMut(&'a Reference)) {
        match self {
            Self::Literal(_) => {}
            Self::Template(template) => template.references().for_each(f),
            Self::List(items) => items.iter().for_each(|item| item.for_each_reference(f)),
            Self::Map(items) => items.iter().for_each(|(_, item)| item.for_each_reference(f)),
        }
    }

    /// Notes which node gave which part of the value, as `(path, node id)`: `text`, `pieces[1]`.
    ///
    /// Paths are those of the resolved value, so items left out of a list are not counted. A
    /// string made of several nodes' pieces has no one giver and is not noted.
    pub fn givers(&self, path: &str, scope: &Scope<'_>, out: &mut Vec<(String, String)>) {
        match self {
            Self::Literal(_) => {}
            Self::Template(template) => {
                let mut ids = template.references().filter_map(|reference| match &reference.root {
                    Root::Node(id) => Some(id),
                    Root::Source | Root::Result => None,
                });
                if let Some(id) = ids.next()
                    && ids.all(|other| other == id)
                    && !template.is_missing(scope)
                {
                    out.push((path.to_owned(), id.clone()));
                }
            }
            Self::List(items) => {
                let kept = items.iter().filter(|item| match item {
                    Self::Template(template) => !template.is_missing(scope),
                    _ => true,
                });
                for (index, item) in kept.enumerate() {
                    item.givers(&format!("{path}[{index}]"), scope, out);
                }
            }
            Self::Map(items) => {
                for (key, item) in items {
                    item.givers(&format!("{path}.{key}"), scope, out);
                }
            }
        }
    }

    /// The value it stands for, failed nodes noted in `missing`; `None` when the whole value is
    /// missing with its node.
    ///
    /// # Errors
    /// As [`Template::resolve`].
    pub fn resolve(
        &self,
        scope: &Scope<'_>,
        missing: &mut Missing,
    ) -> Result<Option<Value>, BindingError> {
        Ok(Some(match self {
            Self::Literal(value) => value.clone(),
            Self::Template(template) => return template.resolve_noting(scope, missing),
            Self::List(items) => {
                let mut out = Vec::with_capacity(items.len());
                for item in items {
                    out.extend(item.resolve(scope, missing)?);
                }
                Value::Array(out)
            }
            Self::Map(items) => {
                let mut out = Map::new();
                for (key, item) in items {
                    let value = item.resolve(scope, missing)?.unwrap_or(Value::Null);
                    out.insert(key.clone(), value);
                }
                Value::Object(out)
            }
        }))
    }
}

/// The fields without the run's own (`_node`, `_moderation`, ...).
fn public(fields: &Fields) -> Fields {
    fields
        .iter()
        .filter(|(key, _)| !key.starts_with('_'))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// "; it has: a, b (did you mean `b`?)"
fn has(fields: &Fields, wanted: &str) -> String {
    let mut names: Vec<&str> =
        fields.keys().map(String::as_str).filter(|key| !key.starts_with('_')).collect();
    if names.is_empty() {
        return "; it has none".to_owned();
    }
    let near = nearest(wanted, names.iter().copied())
        .map(|near| format!(" (did you mean `{near}`?)"))
        .unwrap_or_default();
    let more = names.len().saturating_sub(MAX_NAMES);
    names.truncate(MAX_NAMES);
    let dots = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("; it has: {}{dots}{near}", names.join(", "))
}

/// The name that `wanted` is most likely a slip of.
fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Jaro-Winkler is quadratic: names longer than any real one are not worth comparing.
    if wanted.len() > 64 {
        return None;
    }
    names
        .into_iter()
        .filter(|name| name.len() <= 64)
        .take(256)
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        match value {
            Value::Object(map) => map,
            other => panic!("not a map: {other}"),
        }
    }

    /// Resolves in a world of one source, one good node `parse` and one failed node `bad`.
    fn resolve(value: &Value) -> Result<(Option<Value>, Missing), BindingError> {
        let source = fields(json!({
            "text": "hello", "n": 3, "yes": true, "none": null, "a.b": "dotted",
            "deep": {"list": [{"text": "zero"}, {"text": "one"}]}
        }));
        let parse = fields(json!({
            "text": "sum", "key_phrases": ["a", "b"], "_node": "parse"
        }));
        let nothing = Fields::new();
        let node = |id: &str| match id {
            "parse" => Some(NodeView { fields: &parse, absent: None }),
            "bad" => Some(NodeView { fields: &nothing, absent: Some("timeout:bad:5") }),
            _ => None,
        };
        let scope = Scope { source: &source, node: &node, result: None };
        let mut missing = Missing::default();
        let value = Binding::parse(value)?.resolve(&scope, &mut missing)?;
        Ok((value, missing))
    }

    fn value(template: impl Into<Value>) -> Value {
        resolve(&template.into()).unwrap().0.unwrap()
    }

    fn message(template: &str) -> (usize, String) {
        let error = resolve(&json!(template)).unwrap_err();
        (error.offset, error.message)
    }

    #[test]
    fn a_whole_reference_keeps_its_type() {
        assert_eq!(value(json!("${source.n}")), json!(3));
        assert_eq!(value(json!("${ source.yes }")), json!(true));
        assert_eq!(value(json!("${nodes.parse.key_phrases}")), json!(["a", "b"]));
        assert_eq!(value(json!("${source.deep.list[1]}")), json!({"text": "one"}));
        assert_eq!(value(json!("${source.deep['list'][0].text}")), json!("zero"));
        assert_eq!(value(json!("${source[\"a.b\"]}")), json!("dotted"));
        assert_eq!(value(json!("${source.none}")), Value::Null);
    }

    #[test]
    fn the_whole_node_comes_without_the_fields_of_the_run() {
        assert_eq!(
            value(json!("${nodes.parse}")),
            json!({"text": "sum", "key_phrases": ["a", "b"]})
        );
    }

    #[test]
    fn a_reference_inside_a_string_is_interpolated() {
        assert_eq!(
            value(json!(
                "<${source.text}|${source.n}|${source.yes}|${source.none}|${nodes.parse.key_phrases}>"
            )),
            json!("<hello|3|true||[\"a\",\"b\"]>")
        );
    }

    #[test]
    fn escapes_and_stray_dollars_are_text() {
        assert_eq!(value(json!("$${source.text}")), json!("${source.text}"));
        assert_eq!(value(json!("5$ and $$")), json!("5$ and $$"));
        assert_eq!(value(json!("$$${source.n}")), json!("$${source.n}"));
        assert_eq!(value(json!("")), json!(""));
    }

    #[test]
    fn values_are_resolved_through_lists_and_maps() {
        assert_eq!(
            value(json!({"pieces": ["${nodes.parse.text}", {"n": "${source.n}"}, 7]})),
            json!({"pieces": ["sum", {"n": 3}, 7]})
        );
    }

    #[test]
    fn pieces_of_a_failed_node_are_null_or_left_out_and_noted_once() {
        let (value, missing) =
            resolve(&json!({"a": "${nodes.bad.text}", "l": ["${nodes.bad.text}", "x"], "s": "<${nodes.bad.text}>"}))
                .unwrap();
        assert_eq!(value, Some(json!({"a": null, "l": ["x"], "s": "<>"})));
        assert_eq!(missing.0, [("bad".to_owned(), "timeout:bad:5".to_owned())]);
    }

    #[test]
    fn what_names_nothing_says_what_there_is() {
        let (offset, text) = message("ab ${nodes.parse.txt}");
        assert_eq!(offset, 3);
        assert_eq!(
            text,
            "${nodes.parse.txt}: node `parse` has no field `txt`; it has: text, key_phrases (did you mean `text`?)"
        );
        assert!(message("${source.deep.list[9].text}").1.contains("no item 9 in a list of 2"));
        assert!(message("${source.text.x}").1.contains("looked up in a text"));
        assert!(message("${nodes.nobody.text}").1.contains("node `nobody` has no result"));
        assert!(message("${result.text}").1.contains("io.outputs"));
    }

    #[test]
    fn mistakes_are_placed() {
        for (template, offset, part) in [
            ("a ${source.text", 2, "no closing `}`"),
            ("${", 0, "no closing"),
            ("${}", 2, "a name is missing"),
            ("${sorce.text}", 2, "did you mean `source`"),
            ("${nodes}", 2, "needs an id"),
            ("${nodes[0].text}", 7, "read by id"),
            ("${source..x}", 9, "a name is missing"),
            ("${source[x]}", 8, "quoted"),
            ("${source[0}", 8, "no closing `]`"),
            ("${source['x]}", 8, "no closing '"),
            ("${source.a b}", 11, "expected `}`"),
            ("${source[99999999999999999999999]}", 8, "[0]"),
        ] {
            let error = parse_template(template).unwrap_err();
            assert_eq!(error.offset, offset, "{template}: {error}");
            assert!(error.message.contains(part), "{template}: {error}");
        }
        assert!(parse_template(&format!("${{source{}}}", ".x".repeat(65))).is_err());
    }

    #[test]
    fn a_reference_prints_as_it_is_written() {
        for text in ["${source.a.b[3]}", "${nodes.n-1.text}", "${result[\"a.b\"]}", "${source}"] {
            let template = parse_template(text).unwrap();
            assert_eq!(template.references().next().unwrap().to_string(), text);
        }
    }
}
