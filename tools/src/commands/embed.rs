// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho embed`: texts as vectors.

use std::io::Write;

use bho_engine::{CancelToken, Coverage, Embedding, Encoder, EngineError};
use serde_json::{Value, json};

use crate::cli::args::EmbedArgs;
use crate::exit::{Exit, Failure, OrFailed as _};
use crate::input::JsonLines;
use crate::output::{self, style::Style, style::Tint};
use crate::{machine, models};

/// Lines that share a forward pass at most.
const BATCH: usize = 32;

/// Values of a vector that are shown without `--json`.
const SHOWN: usize = 6;

/// Embeds what the arguments name.
pub(crate) fn execute(args: EmbedArgs) -> Result<Exit, Failure> {
    let threads = machine::threads(args.threads, None).count;
    if let Some(stream) = args.jsonl {
        let lines = stream.json_lines()?;
        return embed_lines(
            models::encoder(&args.model, args.prompt.as_deref(), threads)?.as_ref(),
            lines,
        );
    }
    let Some(text) = args.text else {
        return Err(Failure::said(Exit::Usage, "expected a text or --jsonl FILE"));
    };
    let text = text.read()?;
    let encoder = models::encoder(&args.model, args.prompt.as_deref(), threads)?;
    let embedding = one(encoder.as_ref(), &text)?;
    let mut out = output::stdout();
    if args.json {
        let document = json!({
            "model": encoder.info().name,
            "sha256": encoder.info().sha256,
            "dim": encoder.dim(),
            "coverage": coverage(embedding.coverage),
            "embedding": embedding.vector,
        });
        output::json::document(&mut out, &document)?;
    } else {
        describe(&mut out, encoder.as_ref(), &embedding)?;
    }
    Ok(Exit::Success)
}

fn describe(
    out: &mut impl Write,
    encoder: &dyn Encoder,
    embedding: &Embedding,
) -> anyhow::Result<()> {
    let style = Style::stdout();
    let info = encoder.info();
    let Coverage { tokens, windows, truncated } = embedding.coverage;
    writeln!(
        out,
        "{}  {}",
        style.paint(Tint::Bold, &info.name),
        style.paint(
            Tint::Dim,
            &format!(
                "{} dimensions, {}, {}",
                encoder.dim(),
                output::count(tokens, "token"),
                output::count(windows, "window")
            )
        )
    )?;
    if truncated > 0 {
        writeln!(out, "the last {} were not read", output::count(truncated, "token"))?;
    }
    let shown: Vec<_> =
        embedding.vector.iter().take(SHOWN).map(|value| format!("{value:.4}")).collect();
    writeln!(out, "[{}, ...]  (--json prints all of it)", shown.join(", "))?;
    out.flush()?;
    Ok(())
}

fn one(encoder: &dyn Encoder, text: &str) -> Result<Embedding, Failure> {
    let mut all = encoder.embed(&[text], &CancelToken::new()).or_failed()?;
    all.pop().ok_or_else(|| Failure::said(Exit::Failed, "the model gave no vector"))
}

fn embed_lines(encoder: &dyn Encoder, mut lines: JsonLines) -> Result<Exit, Failure> {
    let mut out = output::stdout();
    let mut bad: u64 = 0;
    let mut batch: Vec<(u64, String)> = Vec::new();
    loop {
        let line = lines.next_line()?;
        let ended = line.is_none();
        match line.map(|line| (line.number, line.text)) {
            Some((number, Ok(text))) => batch.push((number, text)),
            Some((number, Err(message))) => {
                bad += 1;
                output::error(&format!("{}:{number}: {message}", lines.name()));
            }
            None => {}
        }
        if ended || batch.len() == BATCH || lines.may_block() {
            bad += embed_batch(encoder, &batch, lines.name(), &mut out)?;
            batch.clear();
            out.flush()?;
        }
        if ended {
            return Ok(if bad == 0 { Exit::Success } else { Exit::Failed });
        }
    }
}

/// Writes a line a text; gives the number of texts that failed.
fn embed_batch(
    encoder: &dyn Encoder,
    batch: &[(u64, String)],
    name: &str,
    out: &mut impl Write,
) -> anyhow::Result<u64> {
    if batch.is_empty() {
        return Ok(0);
    }
    let never = CancelToken::new();
    let texts: Vec<&str> = batch.iter().map(|(_, text)| text.as_str()).collect();
    let results: Vec<Result<Embedding, EngineError>> = match encoder.embed(&texts, &never) {
        Ok(all) => all.into_iter().map(Ok).collect(),
        // One bad text must not cost the others their vectors.
        Err(_) => texts
            .iter()
            .map(|text| {
                let mut one = encoder.embed(&[text], &never)?;
                one.pop().ok_or_else(|| EngineError::Input("the model gave no vector".into()))
            })
            .collect(),
    };
    let mut bad = 0;
    for ((number, _), result) in batch.iter().zip(results) {
        match result {
            Ok(embedding) => {
                let line = json!({
                    "line": number,
                    "coverage": coverage(embedding.coverage),
                    "embedding": embedding.vector,
                });
                output::json::line(out, &line)?;
            }
            Err(error) => {
                bad += 1;
                output::error(&format!("{name}:{number}: {error}"));
            }
        }
    }
    Ok(bad)
}

fn coverage(coverage: Coverage) -> Value {
    let Coverage { tokens, windows, truncated } = coverage;
    json!({ "tokens": tokens, "windows": windows, "truncated": truncated })
}
