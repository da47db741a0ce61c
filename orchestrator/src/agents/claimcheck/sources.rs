// SPDX-License-Identifier: AGPL-3.0-or-later
//! The texts that a claim is checked against, by the names that the result calls them.

use serde_json::Value;

use crate::agents::{AgentError, Fields, input};

/// Where evidence may come from.
pub(super) struct Source<'a> {
    pub(super) label: String,
    pub(super) text: &'a str,
}

/// The sources of an input: `text`, then the items of `kb` (or of `chunks`, which a retriever
/// parent leaves in the merge).
pub(super) fn sources(input: &Fields) -> Result<Vec<Source<'_>>, AgentError> {
    const ACCEPTED: &str = "text, a list of texts, or a list of maps with `text`";
    let mut sources = Vec::new();
    if let Some(text) = input::text(input, "text")? {
        sources.push(Source { label: "text".to_owned(), text });
    }
    let named = ["kb", "chunks"].iter().find_map(|n| input::present(input, n).map(|v| (*n, v)));
    let Some((name, kb)) = named else { return Ok(sources) };
    match kb {
        Value::String(text) => sources.push(Source { label: name.to_owned(), text }),
        Value::Object(_) => sources.extend(item(name.to_owned(), kb)?),
        Value::Array(list) => {
            for (i, value) in list.iter().enumerate() {
                sources.extend(item(format!("{name}[{i}]"), value)?);
            }
        }
        other => return Err(input::invalid(name, input::type_name(other), ACCEPTED)),
    }
    Ok(sources)
}

fn item(label: String, value: &Value) -> Result<Option<Source<'_>>, AgentError> {
    const ACCEPTED: &str = "text, or a map with `text`";
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Source { label, text })),
        Value::Object(map) => match map.get("text") {
            Some(Value::String(text)) => {
                let named =
                    ["source", "id", "title"].iter().find_map(|key| match map.get(*key)? {
                        Value::String(name) if !name.is_empty() => Some(name.clone()),
                        Value::Number(id) => Some(id.to_string()),
                        _ => None,
                    });
                Ok(Some(Source { label: named.unwrap_or(label), text }))
            }
            Some(Value::Null) | None => {
                Err(input::invalid(&label, "a map without `text`", ACCEPTED))
            }
            Some(other) => {
                Err(input::invalid(&format!("{label}.text"), input::type_name(other), "text"))
            }
        },
        other => Err(input::invalid(&label, input::type_name(other), ACCEPTED)),
    }
}
