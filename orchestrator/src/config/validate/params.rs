// SPDX-License-Identifier: AGPL-3.0-or-later
//! Parameters against what the node's agent says it accepts.

use serde_json::Value;

use crate::agents::{Agent, AgentSpec, Given, ParamKind, ParamSpec};
use crate::binding::{Part, parse_template};
use crate::yaml::{Node, Path};

use super::super::fault::{Faults, quoted};
use super::super::reader::found;
use super::Context;

/// Checks the `params` of a node, and the values of its `io.inputs` that are parameters too.
pub(super) fn check(
    cx: &Context<'_>,
    i: usize,
    agent: &dyn Agent,
    path: &Path<'_>,
    faults: &mut Faults,
) {
    let spec = agent.spec();
    let mut given = Given::default();
    let tree = cx.sources[i].tree;
    let node = cx.node(i);
    if let Some(params) = tree.entry("params") {
        let path = path.key("params");
        for entry in params.value.entries() {
            let path = path.key(&entry.key);
            if let Some(param) = find(spec, &entry.key) {
                let content = node.params.get(&*entry.key);
                value(param, content, &entry.value, &path, &mut given, faults);
            } else {
                let message = format!("`{}` takes no parameter {}", spec.name, quoted(&entry.key));
                let hint = faults.suggestion(&entry.key, spec.params.iter().map(|p| p.name));
                faults.error("unknown_param", &path, entry.key_pos, message).hint = hint;
            }
        }
    }
    let io = tree.entry("io").map(|io| &io.value);
    let io_path = path.key("io");
    let inputs_path = io_path.key("inputs");
    let inputs = io.and_then(|io| io.entry("inputs"));
    for entry in inputs.map_or(&[][..], |inputs| inputs.value.entries()) {
        if let Some(param) = find(spec, &entry.key) {
            let content = node.inputs.as_ref().and_then(|inputs| inputs.get(&*entry.key));
            value(param, content, &entry.value, &inputs_path.key(&entry.key), &mut given, faults);
        }
    }
    // Without `io.inputs` the source and the parents' results may hold what is required.
    given.open |= node.inputs.is_none();
    together(cx, i, agent, &given, path, faults);
    let (Some(inputs), Some(bound)) = (inputs, &node.inputs) else { return };
    for param in spec.params.iter().filter(|param| param.required) {
        if !bound.contains_key(param.name) && !node.params.contains_key(param.name) {
            let message = format!("`{}` needs `{}`, which is not given", spec.name, param.name);
            faults
                .error("missing_param", &inputs_path, inputs.key_pos, message)
                .hint(format!("bind it in `io.inputs` or set it in `params`: {}", param.help));
        }
    }
}

/// What the agent itself says about the parameters that are right one by one.
fn together(
    cx: &Context<'_>,
    i: usize,
    agent: &dyn Agent,
    given: &Given,
    path: &Path<'_>,
    faults: &mut Faults,
) {
    let tree = cx.sources[i].tree;
    let params = tree.entry("params").map(|params| &params.value);
    let inputs =
        tree.entry("io").and_then(|io| io.value.entry("inputs")).map(|inputs| &inputs.value);
    let (params_path, io_path) = (path.key("params"), path.key("io"));
    let inputs_path = io_path.key("inputs");
    for fault in agent.check_params(given) {
        let mut places = [(inputs, &inputs_path), (params, &params_path)].into_iter();
        let found = places.find_map(|(map, path)| Some((map?.entry(fault.param)?, path)));
        let added = match found {
            Some((entry, path)) => {
                let path = path.key(fault.param);
                faults.error("bad_param", &path, entry.value.pos, fault.message)
            }
            None => faults.error("missing_param", path, tree.pos, fault.message),
        };
        added.hint(fault.accepted);
    }
}

fn find(spec: &'static AgentSpec, name: &str) -> Option<&'static ParamSpec> {
    spec.params.iter().find(|param| param.name == name)
}

fn value(
    param: &ParamSpec,
    content: Option<&Value>,
    node: &Node,
    path: &Path<'_>,
    given: &mut Given,
    faults: &mut Faults,
) {
    let Some(content) = content else { return };
    let Err(expected) = fits(param.kind, content) else {
        if matches!(refers(content), Refers::No) {
            given.known.insert(param.name.to_owned(), content.clone());
        } else {
            given.open = true;
        }
        return;
    };
    given.open = true;
    let message = format!("`{}` must be {expected}, found {}", param.name, found(node));
    faults.error("bad_param", path, node.pos, message).hint(param.help);
}

/// Whether a value is of the kind; if not, what would be.
fn fits(kind: ParamKind, value: &Value) -> Result<(), String> {
    match refers(value) {
        Refers::Whole => return Ok(()),
        Refers::Within
            if !matches!(
                kind,
                ParamKind::Int { .. } | ParamKind::Number { .. } | ParamKind::Bool | ParamKind::Map
            ) =>
        {
            return Ok(());
        }
        Refers::Within | Refers::No => {}
    }
    let (fits, expected) = match kind {
        ParamKind::Any => return Ok(()),
        ParamKind::Text => (value.is_string(), "a text".to_owned()),
        ParamKind::Map => (value.is_object(), "a map".to_owned()),
        ParamKind::Bool => (value.is_boolean(), "`true` or `false`".to_owned()),
        ParamKind::Int { min, max } => (
            value.as_i64().is_some_and(|value| (min..=max).contains(&value)),
            format!("a whole number {}", range(min, max, i64::MIN, i64::MAX)),
        ),
        ParamKind::Number { min, max } => (
            value.as_f64().is_some_and(|value| (min..=max).contains(&value)),
            format!("a number {}", range(min, max, f64::MIN, f64::MAX)),
        ),
        ParamKind::Choice(words) => (
            value.as_str().is_some_and(|value| words.contains(&value)),
            format!(
                "one of {}",
                words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
            ),
        ),
        ParamKind::TextOrList => (
            match value {
                Value::String(_) => true,
                Value::Array(items) => items.iter().all(is_text_item),
                _ => false,
            },
            "a text, or a list of texts or of maps with `text`".to_owned(),
        ),
    };
    if fits { Ok(()) } else { Err(expected.trim_end().to_owned()) }
}

/// `from 1 to 8`, leaving out an end that is no limit.
fn range<T: Copy + PartialOrd + std::fmt::Display>(min: T, max: T, least: T, most: T) -> String {
    match (min > least, max < most) {
        (true, true) => format!("from {min} to {max}"),
        (true, false) => format!("of at least {min}"),
        (false, true) => format!("of at most {max}"),
        (false, false) => String::new(),
    }
}

fn is_text_item(item: &Value) -> bool {
    match item {
        Value::String(_) => true,
        Value::Object(map) => map.get("text").is_some_and(Value::is_string),
        _ => false,
    }
}

enum Refers {
    /// The value is one reference, or a broken template, which is a fault elsewhere.
    Whole,
    /// A text with references in it.
    Within,
    No,
}

fn refers(value: &Value) -> Refers {
    let Some(text) = value.as_str().filter(|text| text.contains("${")) else { return Refers::No };
    match parse_template(text).as_ref().map(|template| &*template.parts) {
        Err(_) | Ok([Part::Ref(_)]) => Refers::Whole,
        Ok(parts) if parts.iter().any(|part| matches!(part, Part::Ref(_))) => Refers::Within,
        Ok(_) => Refers::No,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds() {
        let int = ParamKind::Int { min: 1, max: 8 };
        let number = ParamKind::Number { min: 0.0, max: f64::MAX };
        let choice = ParamKind::Choice(&["a", "b"]);
        for (kind, good, bad) in [
            (
                int,
                vec![json!(1), json!(8), json!("${source.k}")],
                vec![
                    json!(0),
                    json!(9),
                    json!(1.5),
                    json!("3"),
                    json!("k ${source.k}"),
                    json!([1]),
                ],
            ),
            (number, vec![json!(0), json!(2.5)], vec![json!(-0.1), json!("1"), json!(true)]),
            (choice, vec![json!("a"), json!("${source.c}")], vec![json!("c"), json!(1)]),
            (ParamKind::Text, vec![json!("x"), json!("$${x")], vec![json!(1), json!(null)]),
            (ParamKind::Bool, vec![json!(true)], vec![json!("true"), json!("a ${source.b}")]),
            (
                ParamKind::TextOrList,
                vec![json!("x"), json!([]), json!(["x", {"text": "y", "id": 1}, "${source.z}"])],
                vec![json!([1]), json!([{"id": 1}]), json!({"text": "x"})],
            ),
            (
                ParamKind::Map,
                vec![json!({}), json!({"a": [1]}), json!("${source.m}")],
                vec![json!(true), json!([]), json!("a ${source.m}")],
            ),
            (ParamKind::Any, vec![json!(null), json!({"a": [1]})], vec![]),
        ] {
            for value in good {
                assert_eq!(fits(kind, &value), Ok(()), "{kind:?} {value}");
            }
            for value in bad {
                assert!(fits(kind, &value).is_err(), "{kind:?} {value}");
            }
        }
        assert_eq!(fits(int, &json!(0)), Err("a whole number from 1 to 8".to_owned()));
        assert_eq!(fits(number, &json!(-1)), Err("a number of at least 0".to_owned()));
    }
}
