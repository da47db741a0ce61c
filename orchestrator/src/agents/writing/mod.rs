// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the agents share that write with a language model where there is one: whether to, the
//! prompt, the question and its bounds, and the sentences of the answer.
//!
//! An answer that is not to be had is no error: the agent extracts, as it does without a model, and
//! its `note` says why. Only what stops the attempt does.

pub(super) mod prompt;
pub(super) mod sentences;

use bho_engine::EngineError;
use bho_engine::generation::{Finish, Generated};
use bho_engine::sampling::SamplingParams;
use serde_json::{Value, json};

use super::{AgentContext, AgentError, AgentSpec, Fields, ParamKind, ParamSpec, input};
use crate::reasoner::{Form, Generator, TextRequest};
use prompt::Filled;

const METHODS: &[&str] = &["auto", "extract", "generate"];

/// The parameter that says whether an agent writes.
pub(super) const METHOD: ParamSpec = ParamSpec {
    name: "method",
    kind: ParamKind::Choice(METHODS),
    required: false,
    help: "auto: with the language model where there is one (auto); extract: never; generate: \
           without one it is an error",
};

/// How an agent goes about its work.
pub(super) enum Way<'a> {
    /// With this model.
    Write(&'a dyn Generator),
    /// Without; why, where that needs saying.
    Extract(Option<&'static str>),
}

/// What `method` and the models come to.
///
/// # Errors
/// `NoModel` for `generate` without a language model; `InvalidInput` for another word.
pub(super) fn way<'a>(
    fields: &Fields,
    ctx: &AgentContext<'a>,
    spec: &AgentSpec,
) -> Result<Way<'a>, AgentError> {
    let method = input::choice(fields, METHOD.name, METHODS)?.unwrap_or("auto");
    match (method, ctx.reasoner.generator()) {
        ("extract", _) | ("auto", None) => Ok(Way::Extract(None)),
        (_, None) => Err(AgentError::new(
            "NoModel",
            format!(
                "{} with method `generate` needs a language model and none is loaded; set \
                 models.reasoner_path to a file that `bho convert` wrote, or models.reasoner to a \
                 name that `bho models list` shows, or take method `auto`",
                spec.name
            ),
        )),
        // The likeliest text is the same each time: what failed, or was blocked, would be again.
        (_, Some(_)) if ctx.attempt > 0 => Ok(Way::Extract(Some(
            "not written: a first attempt failed, and another writes the same",
        ))),
        (_, Some(generator)) => Ok(Way::Write(generator)),
    }
}

/// A result, or why the model gave none; an error stops the attempt.
pub(super) type Attempted<T> = Result<Result<T, String>, AgentError>;

/// A question that leaves room for its answer.
pub(super) struct Question {
    request: TextRequest,
    /// Of the parts that could be put in, how many were.
    pub(super) parts: usize,
}

/// The question with most of `parts` (1 at least) in it that leaves `answer.0` tokens for the
/// answer; it may take `answer.1`. `make` puts so many parts in and says what the answer must be.
pub(super) fn fit(
    generator: &dyn Generator,
    parts: usize,
    answer: (usize, usize),
    make: impl Fn(usize) -> (Filled, Value),
) -> Attempted<Question> {
    let (least, most) = answer;
    let ask = |parts: usize| -> Attempted<(TextRequest, usize)> {
        let (Filled { system, user }, schema) = make(parts);
        let mut request = TextRequest {
            prompt: user,
            system: Some(system),
            raw: false,
            max_tokens: most,
            sampling: SamplingParams::greedy(),
            stop: Vec::new(),
            form: Some(Form::JsonSchema(schema)),
        };
        let mut room = generator.room(&request);
        if room.is_err() {
            // A template without system messages, or no template.
            if let Some(system) = request.system.take() {
                request.prompt = format!("{system}\n\n{}", request.prompt);
            }
            room = generator.room(&request);
        }
        Ok(match room {
            Ok(room) => Ok((request, room)),
            Err(EngineError::Cancelled) => return Err(AgentError::cancelled()),
            Err(error) => Err(error.to_string()),
        })
    };
    let (mut fits, mut too_many) = (None, parts.saturating_add(1));
    let mut tried = parts;
    while tried > 0 {
        let (request, room) = match ask(tried)? {
            Ok(asked) => asked,
            Err(why) => return Ok(Err(why)),
        };
        let mut least_fitting = tried;
        if room >= least {
            let request = TextRequest { max_tokens: most.min(room).max(1), ..request };
            fits = Some(Question { request, parts: tried });
        } else {
            too_many = tried;
            least_fitting = fits.as_ref().map_or(0, |question: &Question| question.parts);
        }
        // Halves what lies between the most that fit and the fewest that do not.
        tried = least_fitting + (too_many - least_fitting) / 2;
        if tried == least_fitting {
            break;
        }
    }
    Ok(fits.ok_or_else(|| "its context has no room for the question and an answer".to_owned()))
}

/// Asks; the answer is what the schema says.
pub(super) fn ask(
    generator: &dyn Generator,
    question: Question,
    ctx: &AgentContext<'_>,
) -> Attempted<(Value, Generated)> {
    let generated = match generator.generate(question.request, ctx.cancel) {
        Ok(generated) => generated,
        Err(EngineError::Cancelled) => return Err(AgentError::cancelled()),
        Err(error) => return Ok(Err(error.to_string())),
    };
    if generated.finish == Finish::Cancelled {
        return Err(AgentError::cancelled());
    }
    let data = generated.satisfied.then(|| serde_json::from_str(&generated.text).ok()).flatten();
    Ok(data.map(|data| (data, generated.clone())).ok_or_else(|| {
        let (finish, tokens) = (generated.finish.name(), generated.tokens.len());
        format!("its answer ended ({finish}, after {tokens} tokens) before it was complete")
    }))
}

/// What a note says of a model that gave no answer.
pub(super) fn extracted(why: &str) -> String {
    format!("extracted, as the language model did not write: {why}")
}

/// What a trace says of these answers together. Unlike a result it differs from run to run.
pub(super) fn trace(answers: &[Generated]) -> Option<Value> {
    let (first, last) = (answers.first()?, answers.last()?);
    let sum = |count: fn(&Generated) -> usize| answers.iter().map(count).sum::<usize>();
    let speed = if answers.len() == 1 { first.tokens_per_second() } else { None };
    Some(json!({
        "prompt_tokens": sum(|g| g.prompt_tokens),
        "cached_tokens": sum(|g| g.cached_tokens),
        "tokens": sum(|g| g.tokens.len()),
        "first_token_us": u64::try_from(first.first_token.as_micros()).unwrap_or(u64::MAX),
        "tokens_per_second": speed,
        "finish": last.finish.name(),
    }))
}
