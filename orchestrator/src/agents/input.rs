// SPDX-License-Identifier: AGPL-3.0-or-later
//! Typed reading of an agent's fields. Messages name the field, what was found and what would be
//! accepted, never the value.

use bho_engine::Coverage;
use serde_json::{Number, Value};

use super::{AgentError, AgentSpec, Fields, ParamKind};
use crate::merge::PARENTS;

/// The name of a value's type, as error messages call it.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// A wrong value: `field` holds `found` where `accepted` would do.
pub(super) fn invalid(field: &str, found: &str, accepted: &str) -> AgentError {
    AgentError::new("InvalidInput", format!("{field}: found {found}, accepted: {accepted}"))
}

/// A field that is missing; names the fields the agent accepts.
pub(super) fn missing(spec: &AgentSpec, field: &str) -> AgentError {
    let accepted: Vec<&str> = spec.params.iter().map(|p| p.name).collect();
    AgentError::new(
        "MissingInput",
        format!("{} needs `{field}`; accepted fields: {}", spec.name, accepted.join(", ")),
    )
}

/// A field's value; null counts as absent, as unresolved inputs arrive so.
pub(super) fn present<'a>(input: &'a Fields, name: &str) -> Option<&'a Value> {
    input.get(name).filter(|value| !value.is_null())
}

/// A text field, if present.
pub(super) fn text<'a>(input: &'a Fields, name: &str) -> Result<Option<&'a str>, AgentError> {
    match present(input, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(invalid(name, type_name(other), "text")),
    }
}

/// A text field that must be there.
pub(super) fn required_text<'a>(
    input: &'a Fields,
    name: &str,
    spec: &AgentSpec,
) -> Result<&'a str, AgentError> {
    text(input, name)?.ok_or_else(|| missing(spec, name))
}

/// What each parent published, in `deps` order; none where `io.inputs` bound the input.
pub(super) fn parents(input: &Fields) -> impl Iterator<Item = (&str, &Fields)> {
    let parents = input.get(PARENTS).and_then(Value::as_object);
    parents
        .into_iter()
        .flatten()
        .filter_map(|(id, fields)| Some((id.as_str(), fields.as_object()?)))
}

/// A field's text without the space around it; `None` if it is empty or something else.
pub(super) fn trimmed<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

/// A whole number in `min..=max`, if present. A fraction of zero (`3.0`) is whole.
pub(super) fn integer(
    input: &Fields,
    name: &str,
    min: usize,
    max: usize,
) -> Result<Option<usize>, AgentError> {
    let Some(value) = present(input, name) else { return Ok(None) };
    let accepted = || format!("a whole number in {min}..={max}");
    let Value::Number(number) = value else {
        return Err(invalid(name, type_name(value), &accepted()));
    };
    let exact = number.as_u64().and_then(|n| usize::try_from(n).ok());
    let whole = || number.as_f64().filter(|f| f.fract() == 0.0 && *f >= 0.0 && *f <= max as f64);
    match exact.or_else(|| whole().map(|f| f as usize)) {
        Some(n) if (min..=max).contains(&n) => Ok(Some(n)),
        _ => Err(invalid(name, "a number outside that", &accepted())),
    }
}

/// `true` or `false`, if present.
pub(super) fn flag(input: &Fields, name: &str) -> Result<Option<bool>, AgentError> {
    match present(input, name) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(invalid(name, type_name(other), "true or false")),
    }
}

/// A number within the range that the agent's parameter of this name has, if present.
pub(super) fn number(
    input: &Fields,
    name: &str,
    spec: &AgentSpec,
) -> Result<Option<f32>, AgentError> {
    let Some(value) = present(input, name) else { return Ok(None) };
    let (mut min, mut max) = (f64::from(f32::MIN), f64::from(f32::MAX));
    let kinds = spec.params.iter().filter(|param| param.name == name).map(|param| param.kind);
    for kind in kinds {
        if let ParamKind::Number { min: low, max: high } = kind {
            (min, max) = (low, high);
        }
    }
    let accepted = format!("a number in {min}..={max}");
    match value.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "samplers compute in single precision")]
        Some(number) if (min..=max).contains(&number) => Ok(Some(number as f32)),
        Some(_) => Err(invalid(name, "a number outside that", &accepted)),
        None => Err(invalid(name, type_name(value), &accepted)),
    }
}

/// One of `choices`, if present.
pub(super) fn choice(
    input: &Fields,
    name: &str,
    choices: &'static [&'static str],
) -> Result<Option<&'static str>, AgentError> {
    let Some(found) = text(input, name)? else { return Ok(None) };
    let accepted = || invalid(name, "another word", &choices.join(" | "));
    choices.iter().copied().find(|c| *c == found).map(Some).ok_or_else(accepted)
}

/// A score as a JSON number with four decimals; what follows them is noise to a reader.
pub(super) fn score(value: f64) -> Value {
    let rounded = (value * 1e4).round() / 1e4;
    // Adding zero turns -0.0 into 0.0.
    Number::from_f64(rounded + 0.0).map_or(Value::Null, Value::Number)
}

/// A byte range as `[start, end]`.
pub(super) fn span(range: &std::ops::Range<usize>) -> Value {
    Value::from(vec![range.start, range.end])
}

/// Tokens that no window covered, over all texts.
pub(super) fn truncated(coverage: impl IntoIterator<Item = Coverage>) -> usize {
    coverage.into_iter().map(|c| c.truncated).sum()
}

/// The largest character boundary of `text` at or below `at`.
pub(super) fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
