// SPDX-License-Identifier: AGPL-3.0-or-later
//! A node's input: the default merge, or the values bound under `io.inputs`.

use serde_json::{Map, Value};

use crate::agents::Fields;
use crate::binding::{Binding, BindingError, Missing, NodeView, Scope};

/// Field of a default input that holds what each parent published, by id in `deps` order.
///
/// In the merge itself a later parent's `text` hides an earlier one's; an agent that needs all of
/// them, as a synthesis does, reads them here. Like every field that begins with `_` it is the
/// run's own: it is never merged, bound or published.
pub const PARENTS: &str = "_parents";

/// Field of a node's input, and of the source and of results as references see them: the tags of the guard's cards of
/// everything that went into it, sorted (`pii.email`, `injection.indirect`, `disguised`, ...).
///
/// An agent's input has it where there is a tag; `${source._policy_tags}` and `${nodes.<id>._policy_tags}` are always there.
pub const POLICY_TAGS: &str = "_policy_tags";

/// The input of a node without `io.inputs`: `source`, then each parent's fields (later wins), then
/// `params`.
///
/// Fields that begin with `_` are not merged. A failed parent gives what it published, which is
/// usually nothing. [`PARENTS`] is there when the node has parents.
pub fn merge<'a>(
    source: &Fields,
    parents: impl IntoIterator<Item = (&'a str, NodeView<'a>)>,
    params: &Fields,
) -> Fields {
    let mut input = Fields::new();
    extend(&mut input, source);
    let mut by_id = Map::new();
    for (id, parent) in parents {
        extend(&mut input, parent.fields);
        let mut fields = Fields::new();
        extend(&mut fields, parent.fields);
        by_id.insert(id.to_owned(), Value::Object(fields));
    }
    extend(&mut input, params);
    if !by_id.is_empty() {
        input.insert(PARENTS.to_owned(), Value::Object(by_id));
    }
    input
}

/// Which parent gave which field of the [`merge`], as `(field, node id)`.
pub fn givers<'a>(
    parents: impl IntoIterator<Item = (&'a str, NodeView<'a>)>,
    params: &Fields,
) -> Vec<(String, String)> {
    let mut by_field = Map::new();
    for (id, parent) in parents {
        for key in parent.fields.keys().filter(|key| !key.starts_with('_')) {
            by_field.insert(key.clone(), Value::from(id));
        }
    }
    by_field
        .into_iter()
        .filter(|(key, _)| !params.contains_key(key))
        .filter_map(|(key, id)| Some((key, id.as_str()?.to_owned())))
        .collect()
}

/// The input of a node with `io.inputs`: the bound values, then `params`.
///
/// A value that is missing with its failed node is null; lists leave it out.
///
/// # Errors
/// [`BindingError`] of the first reference that names nothing.
pub fn bind(
    inputs: &[(String, Binding)],
    scope: &Scope<'_>,
    params: &Fields,
    missing: &mut Missing,
) -> Result<Fields, BindingError> {
    let mut input = Fields::new();
    for (key, binding) in inputs.iter().filter(|(key, _)| !key.starts_with('_')) {
        let value = binding.resolve(scope, missing)?.unwrap_or(Value::Null);
        input.insert(key.clone(), value);
    }
    extend(&mut input, params);
    Ok(input)
}

fn extend(into: &mut Fields, from: &Fields) {
    for (key, value) in from {
        if !key.starts_with('_') {
            into.insert(key.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: &Value) -> Fields {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn later_parents_and_params_win_and_reserved_fields_stay_out() {
        let source = fields(&json!({"text": "s", "title": "t", "_node": "x"}));
        let a = fields(&json!({"text": "a", "score": 1, "_moderation": []}));
        let b = fields(&json!({"text": "b"}));
        let params = fields(&json!({"score": 2}));
        let view = |fields| NodeView { fields, absent: None };
        let input = merge(&source, [("a", view(&a)), ("b", view(&b))], &params);
        assert_eq!(
            Value::Object(input),
            json!({
                "text": "b", "title": "t", "score": 2,
                "_parents": {"a": {"text": "a", "score": 1}, "b": {"text": "b"}}
            })
        );
        assert_eq!(
            Value::Object(merge(&source, [], &Fields::new())),
            json!({"text": "s", "title": "t"})
        );
    }

    #[test]
    fn params_win_over_bound_values() {
        let source = fields(&json!({"text": "s"}));
        let scope = Scope { source: &source, node: &|_| None, result: None };
        let inputs = vec![
            ("text".to_owned(), Binding::parse(&json!("${source.text}!")).unwrap()),
            ("k".to_owned(), Binding::Literal(json!(1))),
        ];
        let params = fields(&json!({"k": 9}));
        let input = bind(&inputs, &scope, &params, &mut Missing::default()).unwrap();
        assert_eq!(Value::Object(input), json!({"text": "s!", "k": 9}));
    }
}
