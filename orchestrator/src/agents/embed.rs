// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bitnet.embed`: texts as vectors.

use serde_json::{Number, Value, json};

use super::{
    Agent, AgentContext, AgentError, AgentSpec, Fields, Given, ParamFault, ParamKind, ParamSpec,
    input,
};

/// The agent `bitnet.embed`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Embed;

/// Most texts of one call.
const MAX_TEXTS: usize = 4096;
/// Texts between two looks at the token; the encoder looks more often still.
const BATCH: usize = 32;

static SPEC: AgentSpec = AgentSpec {
    name: "bitnet.embed",
    summary: "turns texts into vectors",
    params: &[
        ParamSpec {
            name: "texts",
            kind: ParamKind::TextOrList,
            required: false,
            help: "texts to embed (4096 at most); goes before `text`",
        },
        ParamSpec {
            name: "text",
            kind: ParamKind::Text,
            required: false,
            help: "the one text to embed when there are no `texts`",
        },
    ],
    outputs: &["text", "embeddings", "dim", "truncation"],
    not_yet: None,
};

impl Agent for Embed {
    fn spec(&self) -> &'static AgentSpec {
        &SPEC
    }

    fn check_params(&self, given: &Given) -> Vec<ParamFault> {
        let input = &given.known;
        let fault = |message: String, accepted: &str| {
            vec![ParamFault { param: "texts", message, accepted: accepted.to_owned() }]
        };
        match input::present(input, "texts") {
            Some(Value::Array(list)) if list.len() > MAX_TEXTS => {
                let message = format!("`texts` holds {} texts", list.len());
                fault(message, &format!("{MAX_TEXTS} at most"))
            }
            None if !given.open && input::present(input, "text").is_none() => {
                let message = "neither `texts` nor `text` is given".to_owned();
                fault(message, "bind one of them in `io.inputs` or set it in `params`")
            }
            _ => Vec::new(),
        }
    }

    fn run(&self, input: &Fields, ctx: &AgentContext<'_>) -> Result<Fields, AgentError> {
        ctx.cancel.check()?;
        let texts = texts(input)?;
        let mut embeddings = Vec::with_capacity(texts.len());
        let mut truncation = Vec::new();
        let mut dim = 0;
        for batch in texts.chunks(BATCH) {
            ctx.cancel.check()?;
            for embedding in ctx.reasoner.embed(batch, ctx.cancel)? {
                let coverage = embedding.coverage;
                if coverage.windows > 1 || coverage.truncated > 0 {
                    truncation.push(json!({
                        "index": embeddings.len(),
                        "tokens": coverage.tokens,
                        "windows": coverage.windows,
                        "truncated": coverage.truncated,
                    }));
                }
                dim = dim.max(embedding.vector.len());
                let vector = embedding.vector.iter().map(|&v| shortest(v)).collect();
                embeddings.push(Value::Array(vector));
            }
        }
        let count = embeddings.len();
        let plural = if count == 1 { "" } else { "s" };
        Ok(Fields::from_iter([
            ("text".to_owned(), format!("Embedded {count} text{plural}, {dim} dimensions.").into()),
            ("embeddings".to_owned(), Value::Array(embeddings)),
            ("dim".to_owned(), dim.into()),
            ("truncation".to_owned(), Value::Array(truncation)),
        ]))
    }
}

/// The shortest decimal that reads back as the same `f32`; widening would print 17 digits.
fn shortest(v: f32) -> Value {
    let number = v.to_string().parse().ok().and_then(Number::from_f64);
    number.map_or(Value::Null, Value::Number)
}

fn texts(input: &Fields) -> Result<Vec<&str>, AgentError> {
    const ACCEPTED: &str = "text, or a list of texts or of maps with `text`";
    let Some(texts) = input::present(input, "texts") else {
        return Ok(vec![
            input::text(input, "text")?.ok_or_else(|| input::missing(&SPEC, "texts"))?,
        ]);
    };
    let list = match texts {
        Value::String(one) => return Ok(vec![one]),
        Value::Array(list) => list,
        other => return Err(input::invalid("texts", input::type_name(other), ACCEPTED)),
    };
    if list.len() > MAX_TEXTS {
        let found = format!("{} texts", list.len());
        return Err(input::invalid("texts", &found, &format!("{MAX_TEXTS} at most")));
    }
    list.iter().enumerate().map(|(i, value)| text_of(i, value)).collect()
}

fn text_of(i: usize, value: &Value) -> Result<&str, AgentError> {
    let text = match value {
        Value::Object(map) => map.get("text").and_then(Value::as_str),
        other => other.as_str(),
    };
    text.ok_or_else(|| {
        input::invalid(&format!("texts[{i}]"), input::type_name(value), "text or a map with `text`")
    })
}
