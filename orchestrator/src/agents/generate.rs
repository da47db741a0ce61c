// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bitnet.generate`: free text, or JSON of a schema, from a prompt.

use bho_engine::EngineError;
use bho_engine::generation::{Finish, Generated};
use bho_engine::sampling::{SamplingError, SamplingParams, StopMatcher};
use serde_json::Value;

use super::writing::trace;
use super::{
    Agent, AgentContext, AgentError, AgentSpec, Fields, Given, ParamFault, ParamKind, ParamSpec,
    input,
};
use crate::reasoner::{Form, TextRequest};

/// The agent `bitnet.generate`.
///
/// It needs a language model; without one, its error is of kind `NoModel`. Each attempt draws with
/// the seed plus the attempt's number, so that another one can succeed where a text did not
/// satisfy its schema.
#[derive(Debug, Clone, Copy, Default)]
pub struct Generate;

/// Most tokens, where nothing is said.
const MAX_TOKENS: usize = 256;
/// Most tokens that can be asked for.
const TOKENS_LIMIT: usize = 32_768;

const fn optional(name: &'static str, kind: ParamKind, help: &'static str) -> ParamSpec {
    ParamSpec { name, kind, required: false, help }
}

const fn number(name: &'static str, min: f64, max: f64, help: &'static str) -> ParamSpec {
    optional(name, ParamKind::Number { min, max }, help)
}

static SPEC: AgentSpec = AgentSpec {
    name: "bitnet.generate",
    summary: "writes text from a prompt",
    params: &[
        ParamSpec {
            name: "prompt",
            kind: ParamKind::Text,
            required: true,
            help: "what to answer; may hold ${...} references",
        },
        optional("system", ParamKind::Text, "system message before the prompt"),
        optional("raw", ParamKind::Bool, "gives the prompt as it stands, without chat template"),
        optional(
            "max_tokens",
            ParamKind::Int { min: 1, max: TOKENS_LIMIT as i64 },
            "most tokens to write; 256 by default",
        ),
        number("temperature", 0.0, 100.0, "0 takes the likeliest token each time; 0.8 by default"),
        optional(
            "top_k",
            ParamKind::Int { min: 0, max: 1_000_000 },
            "keep this many of the likeliest tokens; 0 keeps all; 40 by default",
        ),
        number(
            "top_p",
            0.0,
            1.0,
            "keep the likeliest tokens up to this probability; 0.95 by default",
        ),
        number("min_p", 0.0, 1.0, "keep tokens this likely beside the likeliest; 0.05 by default"),
        number("typical_p", 0.0, 1.0, "keep typical tokens up to this probability; 1 by default"),
        number("repetition_penalty", 0.01, 100.0, "divides what came lately; 1 does nothing"),
        number("presence_penalty", -100.0, 100.0, "taken from what came lately; 0 does nothing"),
        number("frequency_penalty", -100.0, 100.0, "the same for each time it came"),
        optional(
            "seed",
            ParamKind::Int { min: 0, max: i64::MAX },
            "seed of the sampler; the run's by default",
        ),
        optional("schema", ParamKind::Map, "JSON schema the answer must satisfy, as a map"),
        optional("regex", ParamKind::Text, "regular expression the whole answer must match"),
        optional("stop", ParamKind::TextOrList, "texts that end the answer; not part of it"),
    ],
    outputs: &["text", "data", "finish", "tokens", "prompt_tokens"],
    not_yet: None,
};

impl Agent for Generate {
    fn spec(&self) -> &'static AgentSpec {
        &SPEC
    }

    fn check_params(&self, given: &Given) -> Vec<ParamFault> {
        let input = &given.known;
        let has = |name| input::present(input, name).is_some();
        let mut faults = Vec::new();
        let mut fault = |param, message: String, accepted: &str| {
            faults.push(ParamFault { param, message, accepted: accepted.to_owned() });
        };
        if has("schema") && has("regex") {
            fault("regex", "`schema` and `regex` are both given".into(), "give one of them");
        }
        if input.get("raw") == Some(&Value::Bool(true)) && has("system") {
            let accepted = "write it into the prompt, or leave out `raw`";
            fault("system", "a raw prompt takes no `system`".into(), accepted);
        }
        if let Ok(stops) = stops(input)
            && let Err(error) = StopMatcher::new(&stops)
        {
            fault("stop", error.to_string(), "give other texts, or leave it out");
        }
        faults
    }

    fn run(&self, input: &Fields, ctx: &AgentContext<'_>) -> Result<Fields, AgentError> {
        ctx.cancel.check()?;
        let request = request(input, ctx)?;
        let Some(generator) = ctx.reasoner.generator() else {
            return Err(AgentError::new(
                "NoModel",
                "bitnet.generate needs a language model and none is loaded; set \
                 models.reasoner_path to a file that `bho convert` wrote, or models.reasoner to \
                 a name that `bho models list` shows",
            ));
        };
        let is_json = matches!(request.form, Some(Form::JsonSchema(_)));
        let generated = generator.generate(request, ctx.cancel).map_err(error)?;
        if generated.finish == Finish::Cancelled {
            return Err(AgentError::cancelled());
        }
        result(&generated, is_json)
    }
}

fn request(input: &Fields, ctx: &AgentContext<'_>) -> Result<TextRequest, AgentError> {
    let prompt = input::required_text(input, "prompt", &SPEC)?.to_owned();
    let max_tokens = input::integer(input, "max_tokens", 1, TOKENS_LIMIT)?.unwrap_or(MAX_TOKENS);
    let seed = match input::present(input, "seed") {
        None => ctx.seed,
        Some(seed) => seed.as_u64().ok_or_else(|| {
            input::invalid("seed", input::type_name(seed), "a whole number of at least 0")
        })?,
    };
    let mut sampling =
        SamplingParams { seed: seed.wrapping_add(ctx.attempt.into()), ..SamplingParams::default() };
    if let Some(top_k) = input::integer(input, "top_k", 0, 1_000_000)? {
        sampling.top_k = top_k;
    }
    for (name, value) in [
        ("temperature", &mut sampling.temperature),
        ("top_p", &mut sampling.top_p),
        ("min_p", &mut sampling.min_p),
        ("typical_p", &mut sampling.typical_p),
        ("repetition_penalty", &mut sampling.repetition_penalty),
        ("presence_penalty", &mut sampling.presence_penalty),
        ("frequency_penalty", &mut sampling.frequency_penalty),
    ] {
        if let Some(given) = input::number(input, name, &SPEC)? {
            *value = given;
        }
    }
    let system = input::text(input, "system")?.map(str::to_owned);
    let raw = input::flag(input, "raw")?.unwrap_or(false);
    if raw && system.is_some() {
        let message = "raw: a raw prompt takes no `system`; accepted: one of them";
        return Err(AgentError::new("InvalidInput", message));
    }
    Ok(TextRequest {
        prompt,
        system,
        raw,
        max_tokens,
        sampling,
        stop: stops(input)?,
        form: form(input)?,
    })
}

fn form(input: &Fields) -> Result<Option<Form>, AgentError> {
    let regex = input::text(input, "regex")?;
    match (input::present(input, "schema"), regex) {
        (Some(_), Some(_)) => Err(AgentError::new(
            "InvalidInput",
            "schema and regex are both given; accepted: one of them",
        )),
        (Some(schema @ Value::Object(_)), None) => Ok(Some(Form::JsonSchema(schema.clone()))),
        (Some(other), None) => {
            Err(input::invalid("schema", input::type_name(other), "a map, the JSON schema"))
        }
        (None, regex) => Ok(regex.map(|regex| Form::Regex(regex.to_owned()))),
    }
}

/// One text, or a list of texts or of maps with `text`.
fn stops(input: &Fields) -> Result<Vec<String>, AgentError> {
    let list = match input::present(input, "stop") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let stop = |(i, value): (usize, &Value)| {
        let text = value.get("text").unwrap_or(value).as_str();
        text.map(str::to_owned).ok_or_else(|| {
            let accepted = "text or a map with `text`";
            input::invalid(&format!("stop[{i}]"), input::type_name(value), accepted)
        })
    };
    list.iter().enumerate().map(stop).collect()
}

fn result(generated: &Generated, is_json: bool) -> Result<Fields, AgentError> {
    let finish = generated.finish.name();
    let unsatisfied = || {
        let message = format!(
            "the text ended ({finish}, after {} tokens) before it was what the schema or regex \
             asks for; raise max_tokens, or bound it with maxLength and maxItems",
            generated.tokens.len()
        );
        AgentError::new("Unsatisfied", message)
    };
    if !generated.satisfied {
        return Err(unsatisfied());
    }
    let mut fields = Fields::new();
    fields.insert("text".into(), generated.text.as_str().into());
    if is_json {
        let data = serde_json::from_str(&generated.text).map_err(|_| unsatisfied())?;
        fields.insert("data".into(), data);
    }
    fields.insert("finish".into(), finish.into());
    fields.insert("tokens".into(), generated.tokens.len().into());
    fields.insert("prompt_tokens".into(), generated.prompt_tokens.into());
    fields.extend(trace(std::slice::from_ref(generated)).map(|t| ("_generation".to_owned(), t)));
    Ok(fields)
}

/// What the model refuses another attempt would not mend.
fn error(error: EngineError) -> AgentError {
    use SamplingError::{Constraint, Params, Stop};
    match error {
        EngineError::Input(message) => AgentError::new("InvalidInput", message),
        EngineError::Tokenizer(_) | EngineError::Sampling(Constraint(_) | Params(_) | Stop(_)) => {
            AgentError::new("InvalidInput", error.to_string())
        }
        other => other.into(),
    }
}
