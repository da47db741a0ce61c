// SPDX-License-Identifier: AGPL-3.0-or-later
//! `tools.retriever`: chunks of a local knowledge base. There is none to search yet.

use serde_json::Value;

use super::{Agent, AgentContext, AgentError, AgentSpec, Fields, ParamKind, ParamSpec, input};

/// The agent `tools.retriever`.
///
/// Without an index it gives no chunks and says why in `text` and `note`, so that a pipeline
/// which names it completes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retriever;

/// Most chunks a query may ask for.
const MAX_K: usize = 100;

static SPEC: AgentSpec = AgentSpec {
    name: "tools.retriever",
    summary: "finds chunks of the local knowledge base",
    params: &[
        ParamSpec {
            name: "query",
            kind: ParamKind::TextOrList,
            required: true,
            help: "what to look for: text, or a list of texts",
        },
        ParamSpec {
            name: "k",
            kind: ParamKind::Int { min: 1, max: MAX_K as i64 },
            required: false,
            help: "chunks to return (4)",
        },
    ],
    outputs: &["text", "chunks", "note"],
    not_yet: Some("storage.rag_index is not yet in effect; the result has no chunks"),
};

const NOTE: &str =
    "No chunks: no knowledge base is attached (storage.rag_index is not yet in effect).";

impl Agent for Retriever {
    fn spec(&self) -> &'static AgentSpec {
        &SPEC
    }

    fn own_words(&self) -> &'static [&'static str] {
        &["note"]
    }

    fn retrieves(&self) -> bool {
        true
    }

    fn run(&self, input: &Fields, ctx: &AgentContext<'_>) -> Result<Fields, AgentError> {
        ctx.cancel.check()?;
        let query = input::present(input, "query").ok_or_else(|| input::missing(&SPEC, "query"))?;
        match query {
            Value::String(_) => {}
            Value::Array(list) => {
                let text = |value: &Value| value.get("text").unwrap_or(value).is_string();
                if let Some((i, bad)) = list.iter().enumerate().find(|(_, value)| !text(value)) {
                    let field = format!("query[{i}]");
                    let accepted = "text or a map with `text`";
                    return Err(input::invalid(&field, input::type_name(bad), accepted));
                }
            }
            other => {
                let found = input::type_name(other);
                return Err(input::invalid(
                    "query",
                    found,
                    "text, or a list of texts or of maps with `text`",
                ));
            }
        }
        input::integer(input, "k", 1, MAX_K)?;
        Ok(Fields::from_iter([
            ("text".to_owned(), Value::from(NOTE)),
            ("chunks".to_owned(), Value::Array(Vec::new())),
            ("note".to_owned(), Value::from(NOTE)),
        ]))
    }
}
