// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho ppl`: how well a model predicts a text.

use std::io::Write as _;

use bho_engine::decoder::Scorer;
use bho_engine::{CancelToken, Compute, EngineError};
use bho_models::decoder::{Perplexity, TextModel, TextOptions, Windows, perplexity};
use serde_json::{Value, json};

use super::bench::{advance, progress};
use crate::cli::generation::PplArgs;
use crate::exit::{self, Exit, Failure, OrFailed as _};
use crate::output::{self, json as documents};
use crate::{machine, models};

/// Scores a text; Ctrl-C prints what is found so far.
pub(crate) fn execute(args: &PplArgs) -> Result<Exit, Failure> {
    let text = args.file.read_text()?;
    let compute = Compute::new(machine::threads(args.threads, None).count)?;
    // The generator is not used: one page of cache.
    let options = TextOptions { context: 1, kv: args.kv.into(), ..TextOptions::default() };
    let model =
        TextModel::open(&models::file(&args.model)?, &compute, options).map_err(models::failure)?;
    let most = model.model().config().context;
    let usage = |message: String| Failure::said(Exit::Usage, message);
    if args.ctx > most {
        return Err(usage(format!("--ctx is {}; the model's context is {most}", args.ctx)));
    }
    // Tokens that open a text stand before every window.
    let prefix = model.tokenizer().prefix();
    let window = args.ctx.saturating_sub(prefix.len());
    if window + usize::from(!prefix.is_empty()) < 2 {
        let message = format!("--ctx {} has no room for a token and one before it", args.ctx);
        return Err(usage(message));
    }
    let stride = args.stride.unwrap_or_else(|| (window / 2).max(1));
    if stride > window {
        return Err(usage(format!(
            "--stride is {stride}; a window has {window} tokens of the text"
        )));
    }
    let tokens = model.prompt(&text).or_failed()?;
    let tokens = &tokens[prefix.len()..tokens.len() - model.tokenizer().suffix().len()];
    let windows = Windows { tokens: tokens.len(), window, stride, prefixed: !prefix.is_empty() };
    let total = windows.iter().count().min(args.chunks.unwrap_or(usize::MAX));
    if total == 0 {
        let found = output::count(tokens.len(), "token");
        return Err(Failure::said(Exit::Failed, format!("the text has {found}: none to score")));
    }
    let (cancel, bar) = (CancelToken::new(), progress());
    exit::cancel_on_interrupt(&cancel);
    let mut found = Perplexity::default();
    let mut scorer = Scorer::new(model.model(), &compute, args.kv.into(), args.ctx)?;
    let bytes = |token: u32| model.tokenizer().token_bytes(token).len();
    advance(&bar, "", 0, total);
    let scored =
        perplexity(&mut scorer, (prefix, tokens), windows, &bytes, &cancel, &mut |so_far| {
            found = *so_far;
            advance(&bar, &format!("perplexity {:.3}", found.value()), found.windows, total);
            found.windows < total
        });
    bar.finish_and_clear();
    let complete = match scored {
        Ok(_) => true,
        Err(EngineError::Cancelled) => false,
        Err(error) => return Err(models::failure(error.into())),
    };
    if found.tokens == 0 {
        return Err(Failure::silent(Exit::Interrupted));
    }
    let mut out = output::stdout();
    if args.json {
        let report = document(&model, args, stride, &found, complete);
        documents::document(&mut out, &report)?;
    } else {
        writeln!(out, "{}", describe(&found, complete))?;
        out.flush()?;
    }
    Ok(if complete { Exit::Success } else { Exit::Interrupted })
}

fn describe(found: &Perplexity, complete: bool) -> String {
    let mut line = format!("perplexity {:.4}", found.value());
    if let Some((low, high)) = found.interval() {
        line += &format!("  (95 % interval {low:.4} to {high:.4})");
    }
    if let Some(bits) = found.bits_per_byte() {
        line += &format!("\n{bits:.4} bits per byte");
    }
    let (tokens, windows) =
        (output::count(found.tokens, "token"), output::count(found.windows, "window"));
    line += &format!("\n{tokens} scored, {} bytes, in {windows}", found.bytes);
    line + if complete { "" } else { "; stopped before the end" }
}

fn document(
    model: &TextModel,
    args: &PplArgs,
    stride: usize,
    found: &Perplexity,
    complete: bool,
) -> Value {
    let info = model.info();
    json!({
        "model": info.name,
        "architecture": info.architecture,
        "precision": info.precision,
        "kv": bho_engine::decoder::KvKind::from(args.kv).name(),
        "complete": complete,
        "perplexity": found.value(),
        "interval_95": found.interval().map(|(low, high)| [low, high]),
        "mean_nll": found.mean_nll(),
        "standard_error": found.standard_error(),
        "bits_per_byte": found.bits_per_byte(),
        "tokens": found.tokens,
        "bytes": found.bytes,
        "windows": found.windows,
        "ctx": args.ctx,
        "stride": stride,
        "threads": info.threads,
        "isa": info.isa,
    })
}
