// SPDX-License-Identifier: AGPL-3.0-or-later
//! `tojson` as `json.dumps` of Python writes it, without HTML escapes.

use std::fmt::Write;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, Value};

use super::values::{Budget, invalid};

struct Style {
    ascii: bool,
    sort: bool,
    indent: Option<String>,
    item: String,
    key: String,
}

/// The filter: `ensure_ascii` (off), `indent`, `separators` and `sort_keys`.
pub(super) fn to_json(
    value: &Value,
    indent: Option<Value>,
    options: &Kwargs,
    budget: &Budget,
) -> Result<Value, Error> {
    let indent = match options.get::<Option<Value>>("indent")?.or(indent) {
        Some(text) if text.as_str().is_some() => text.as_str().map(str::to_owned),
        Some(n) if n.is_integer() => Some(" ".repeat(n.as_usize().unwrap_or(0).min(64))),
        _ => None,
    };
    let separators = options.get::<Option<Vec<String>>>("separators")?;
    let comma = if indent.is_some() { "," } else { ", " };
    let [item, key] = match separators.as_deref() {
        Some([item, key]) => [item.clone(), key.clone()],
        Some(_) => return Err(invalid("tojson: separators must be two strings")),
        None => [comma.into(), ": ".into()],
    };
    let style = Style {
        ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        indent,
        item,
        key,
    };
    options.assert_all_used()?;
    // The walk bounds the depth; what is written is counted once more below.
    budget.charge_all(value)?;
    let mut out = String::new();
    write(value, 0, &style, budget, &mut out)?;
    budget.charge(out.len())?;
    Ok(Value::from(out))
}

fn write(
    value: &Value,
    depth: usize,
    style: &Style,
    budget: &Budget,
    out: &mut String,
) -> Result<(), Error> {
    let line = |depth: usize, out: &mut String| -> Result<(), Error> {
        if let Some(indent) = &style.indent {
            budget.charge(depth * indent.len())?;
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
        Ok(())
    };
    let between = |n: usize, out: &mut String| -> Result<(), Error> {
        if n > 0 {
            budget.charge(style.item.len())?;
            out.push_str(&style.item);
        }
        line(depth + 1, out)
    };
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::String => quote(value.as_str().unwrap_or_default(), style.ascii, out),
        ValueKind::Number => {
            write!(out, "{value}").map_err(|_| invalid("tojson: a number cannot be written"))?;
        }
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            let mut n = 0;
            for item in value.try_iter()? {
                between(n, out)?;
                write(&item, depth + 1, style, budget, out)?;
                n += 1;
            }
            if n > 0 {
                line(depth, out)?;
            }
            out.push(']');
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sort {
                keys.sort();
            }
            out.push('{');
            for (n, key) in keys.iter().enumerate() {
                between(n, out)?;
                match key.as_str() {
                    Some(text) => quote(text, style.ascii, out),
                    None => quote(&key.to_string(), style.ascii, out),
                }
                budget.charge(style.key.len())?;
                out.push_str(&style.key);
                write(&value.get_item(key)?, depth + 1, style, budget, out)?;
            }
            if !keys.is_empty() {
                line(depth, out)?;
            }
            out.push('}');
        }
        kind => return Err(invalid(format!("tojson: {kind} cannot be written as JSON"))),
    }
    Ok(())
}

fn quote(text: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || (ascii && !(' '..='~').contains(&c)) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
