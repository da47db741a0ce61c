// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho generate`: a prompt to text, as it comes.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use bho_engine::decoder::KvKind;
use bho_engine::generation::{Generated, Piece, Request};
use bho_engine::sampling::{Constraint, SamplingParams};
use bho_engine::{CancelToken, Compute, EngineError};
use bho_models::decoder::{TextModel, TextOptions};
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::cli::generation::{EngineArgs, GenerateArgs, KvArg, PagesArg, SamplingArgs};
use crate::exit::{self, Exit, Failure, OrFailed as _};
use crate::input::StreamArg;
use crate::machine::{Machine, Memory};
use crate::output::style::{Style, Tint};
use crate::output::{self, style};
use crate::{machine, models};

/// Writes; Ctrl-C ends the text.
pub(crate) fn execute(args: GenerateArgs) -> Result<Exit, Failure> {
    let mut prompt = args.prompt.read()?;
    let guard = args.guard.map(|pipeline| super::guard::guard(pipeline.as_deref())).transpose()?;
    if let Some(guard) = &guard {
        prompt = answer::checked(guard, "prompt", prompt)?;
    }
    let model = open(&args.model, &args.engine)?;
    let tokens = model.ask(&prompt, args.system.as_deref(), args.raw).or_failed()?;
    let constraint = constraint(&model, args.regex.as_deref(), args.json_schema.as_deref())?;
    let constrained = constraint.is_some();
    let mut sampling = SamplingParams::from(&args.sampling);
    sampling.logprobs = args.logprobs;
    let request = Request {
        prompt: tokens,
        max_tokens: args.max_tokens,
        sampling,
        constraint,
        stop_tokens: model.stop_tokens().to_vec(),
        stop: args.stop,
    };
    let cancel = CancelToken::new();
    let interrupted = exit::cancel_on_interrupt(&cancel);
    let mut out = output::stdout();
    let terminal = std::io::stdout().is_terminal();
    let (mut pieces, mut failed) = (Vec::new(), None);
    let mut answer = Answer::new(guard.as_ref())?;
    let write = |text: &str, out: &mut dyn std::io::Write| {
        // What a model writes must not steer a terminal.
        let text = if terminal { style::clean(text) } else { text.into() };
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
    let mut generated = model
        .generator()
        .generate(request, &cancel, &mut |piece: &Piece| {
            let text = answer.take(&piece.text);
            if answer.is_over() {
                cancel.cancel();
            }
            if args.json {
                pieces.push(piece.clone());
                return;
            }
            let written = write(&text, &mut out);
            if let Err(error) = written {
                failed.get_or_insert(error);
                cancel.cancel();
            }
        })
        .or_failed()?;
    if let Some(error) = failed {
        return Err(anyhow::Error::from(error).into());
    }
    let guarded = answer.finish()?;
    if let Some(guarded) = &guarded {
        generated.text.clone_from(&guarded.text);
        if !args.json {
            write(&guarded.rest, &mut out)?;
        }
    }
    let blocked = guarded.as_ref().is_some_and(|guarded| !guarded.card.allowed);
    if args.json {
        let mut document = document(&model, &generated, &pieces, args.logprobs.is_some());
        if constrained {
            document["satisfied"] = generated.satisfied.into();
        }
        if let Some(guarded) = &guarded {
            // Tokens are the text as it was written.
            document["tokens"] = generated.tokens.len().into();
            document["card"] = json!(guarded.card);
        }
        output::json::document(&mut out, &document)?;
    } else {
        out.write_all(b"\n")?;
        out.flush()?;
        if std::io::stderr().is_terminal() {
            eprintln!("{}", Style::stderr().paint(Tint::Dim, &summary(&generated)));
        }
    }
    if let Some(guarded) = guarded.filter(|_| blocked) {
        return Err(Failure::said(Exit::Failed, format!("the answer was {}", guarded.card.why)));
    }
    let stopped = interrupted.load(std::sync::atomic::Ordering::Relaxed);
    if constrained && !generated.satisfied && !stopped {
        let message = "the text ended before it was what the constraint asks for";
        return Err(Failure::said(Exit::Failed, message));
    }
    Ok(if stopped { Exit::Interrupted } else { Exit::Success })
}

/// What `--regex` or `--json-schema` asks for.
fn constraint(
    model: &TextModel,
    regex: Option<&str>,
    schema: Option<&str>,
) -> Result<Option<Box<dyn Constraint>>, Failure> {
    if let Some(pattern) = regex {
        let made = model.constraints().or_failed()?.regex(pattern);
        return Ok(Some(made.context("--regex")?));
    }
    let Some(given) = schema else { return Ok(None) };
    let (name, text): (String, _) = match given.trim_start().starts_with('{') {
        true => ("--json-schema".into(), given.to_owned()),
        false => (given.into(), StreamArg::File(given.into()).read_text()?),
    };
    let parsed: Value = serde_json::from_str(&text).with_context(|| format!("{name}: not JSON"))?;
    let made = model.constraints().or_failed()?.json_schema(&parsed);
    Ok(Some(made.with_context(|| name)?))
}

/// Loads a model for text.
pub(crate) fn open(path: &std::path::Path, engine: &EngineArgs) -> Result<TextModel, Failure> {
    let threads = machine::threads(engine.threads, None).count;
    let compute = Compute::new(threads)?;
    let options =
        TextOptions { context: engine.context, kv: engine.kv.into(), ..TextOptions::default() };
    let model =
        TextModel::open(&models::file(path)?, &compute, options).map_err(models::failure)?;
    promote(&model, engine.pages)?;
    Ok(model)
}

/// Moves weights to huge pages: first, behind the first tokens, or not at all.
pub(crate) fn promote(model: &TextModel, pages: PagesArg) -> Result<(), EngineError> {
    let weights = model.model().packed();
    match pages {
        PagesArg::Mmap => {}
        PagesArg::Huge => {
            bho_engine::promote(&weights, usize::MAX, &CancelToken::new())?;
        }
        PagesArg::Auto => {
            let Memory { available_bytes, limit_bytes, .. } = Machine::read().memory;
            let free = [available_bytes, limit_bytes].into_iter().flatten().min().unwrap_or(0);
            let budget = usize::try_from(free / 2).unwrap_or(usize::MAX);
            // Nobody waits for it: the process may end in the middle.
            let moving = move || bho_engine::promote(&weights, budget, &CancelToken::new());
            let started = std::thread::Builder::new().name("bho-huge-pages".into()).spawn(moving);
            drop(started);
        }
    }
    Ok(())
}

impl From<KvArg> for KvKind {
    fn from(kind: KvArg) -> Self {
        match kind {
            KvArg::F16 => Self::F16,
            KvArg::Int8 => Self::Int8,
            KvArg::F32 => Self::F32,
        }
    }
}

impl From<&SamplingArgs> for SamplingParams {
    fn from(args: &SamplingArgs) -> Self {
        Self {
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
            min_p: args.min_p,
            typical_p: args.typical_p,
            repetition_penalty: args.repetition_penalty,
            presence_penalty: args.presence_penalty,
            frequency_penalty: args.frequency_penalty,
            seed: args.seed,
            ..Self::neutral()
        }
    }
}

fn summary(generated: &Generated) -> String {
    let mut out = format!(
        "{} read ({} of them cached), first token after {}",
        output::count(generated.prompt_tokens, "token"),
        generated.cached_tokens,
        output::milliseconds(generated.first_token),
    );
    if let Some(rate) = generated.tokens_per_second() {
        out += &format!(", then {rate:.1} tokens/s");
    }
    out + &format!("; ended by {}", generated.finish.name())
}

fn document(model: &TextModel, generated: &Generated, pieces: &[Piece], logprobs: bool) -> Value {
    let info = model.info();
    let mut document = json!({
        "model": info.name,
        "architecture": info.architecture,
        "text": generated.text,
        "finish": generated.finish.name(),
        "prompt_tokens": generated.prompt_tokens,
        "cached_tokens": generated.cached_tokens,
        "tokens": generated.tokens,
        "first_token_ms": generated.first_token.as_secs_f64() * 1e3,
        "tokens_per_second": generated.tokens_per_second(),
        "threads": info.threads,
        "isa": info.isa,
    });
    if logprobs {
        let row = |piece: &Piece| {
            let top: Vec<_> =
                piece.top.iter().map(|(id, p)| json!({ "token": id, "logprob": p })).collect();
            json!({ "token": piece.token, "logprob": piece.logprob, "top": top })
        };
        let rows = pieces.iter().filter(|piece| piece.logprob.is_some()).map(row);
        document["logprobs"] = rows.collect();
    }
    document
}
