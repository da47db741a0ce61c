// SPDX-License-Identifier: AGPL-3.0-or-later
//! The result map: `{ node_id: { text, ..., _node, _error, _moderation } }`, in declared order.

use bho_guard::ModerationCard;
use serde_json::{Map, Value};

use crate::agents::Fields;
use crate::error::RunFault;
use crate::merge::POLICY_TAGS;

/// Result of each node, by id, in declared order.
pub type Results = Map<String, Value>;

/// One entry of the result map: the node's published fields, `_policy_tags` where there are any, then `_node`, and where
/// they apply `_error` and `_moderation`.
pub(crate) fn entry(
    id: &str,
    fields: &Fields,
    fault: Option<&RunFault>,
    cards: Option<&[ModerationCard]>,
) -> Value {
    let own = |(key, _): &(&String, &Value)| !key.starts_with('_') || *key == POLICY_TAGS;
    let mut out: Fields =
        fields.iter().filter(own).map(|(key, value)| (key.clone(), value.clone())).collect();
    // References may ask for it always; a reader is shown what there is.
    if out.get(POLICY_TAGS).and_then(Value::as_array).is_some_and(Vec::is_empty) {
        out.shift_remove(POLICY_TAGS);
    }
    out.insert("_node".to_owned(), Value::from(id));
    if let Some(fault) = fault {
        out.insert("_error".to_owned(), Value::from(fault.to_string()));
    }
    if let Some(cards) = cards {
        // A card is plain data: it always serialises.
        let cards = cards.iter().map(|card| serde_json::to_value(card).unwrap_or_default());
        out.insert("_moderation".to_owned(), cards.collect());
    }
    Value::Object(out)
}

/// How a run ended, as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RunStatus {
    /// Every node ended well.
    Complete,
    /// There is a text, but a node failed or did not run.
    Partial,
    /// The guard blocked the input or the answer.
    Blocked,
    /// There are faults and no text.
    Failed,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_has_the_fields_of_the_contract() {
        let fields = json!({"text": "t", "score": 1}).as_object().unwrap().clone();
        assert_eq!(
            entry("a", &fields, None, Some(&[])).to_string(),
            r#"{"text":"t","score":1,"_node":"a","_moderation":[]}"#
        );
        let tagged = json!({"text": "t", "_policy_tags": []}).as_object().unwrap().clone();
        assert_eq!(entry("a", &tagged, None, None).to_string(), r#"{"text":"t","_node":"a"}"#);
        let fault = RunFault::Deadline { ms: 5 };
        assert_eq!(
            entry("a", &Fields::new(), Some(&fault), None).to_string(),
            r#"{"_node":"a","_error":"deadline:5"}"#
        );
    }
}
