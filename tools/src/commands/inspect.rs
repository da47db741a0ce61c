// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho inspect`: what is in a model file, and what is wrong with it.

use std::io::Write as _;

use bho_models::{Audit, Finding, Inspection, Severity};

use crate::cli::model_files::InspectArgs;
use crate::exit::{Exit, Failure};
use crate::models;
use crate::output::style::{Style, Tint};
use crate::output::table::{Cell, Table};
use crate::output::{self, json};

/// Longest metadata value that is shown without `--verbose`, in characters.
const SHOWN: usize = 200;

/// Shows a model file; an audit exits with 1 if a finding is severe.
pub(crate) fn execute(args: &InspectArgs) -> Result<Exit, Failure> {
    let file = models::file(&args.file)?;
    let mut out = output::stdout();
    if args.audit {
        let audit = bho_models::audit(&file).map_err(models::failure)?;
        if args.json {
            json::document(&mut out, &audit)?;
        } else {
            let style = Style::stdout();
            out.write_all(facts(&audit.inspection, args.verbose, &style).as_bytes())?;
            out.write_all(findings(&audit, &style).as_bytes())?;
            out.flush()?;
        }
        return Ok(if audit.is_severe() { Exit::Failed } else { Exit::Success });
    }
    let found = bho_models::inspect(&file).map_err(models::failure)?;
    if args.template {
        let Some(template) = &found.chat_template else {
            let message = format!("{}: has no chat template", args.file.display());
            return Err(Failure::said(Exit::Failed, message));
        };
        writeln!(out, "{}", template.trim_end_matches('\n'))?;
    } else if args.json {
        json::document(&mut out, &found)?;
    } else {
        let style = Style::stdout();
        out.write_all(facts(&found, args.verbose, &style).as_bytes())?;
        out.write_all(tensors(&found, &style).as_bytes())?;
    }
    out.flush()?;
    Ok(Exit::Success)
}

fn facts(found: &Inspection, verbose: bool, style: &Style) -> String {
    let mut facts = Table::new(["", ""]);
    let mut fact = |name: &str, value: String| {
        facts.row([Cell::tinted(Tint::Dim, name), value.into()]);
    };
    fact("file", found.path.display().to_string());
    fact("size", format!("{} ({} bytes)", output::size(found.bytes), found.bytes));
    fact("sha256", found.sha256.clone());
    fact("format", found.format.clone());
    fact("architecture", found.architecture.clone().unwrap_or_else(|| "not stated".to_owned()));
    fact("parameters", found.parameters.to_string());
    for (key, value) in &found.config {
        fact(key, clipped(value.to_string().trim_matches('"'), verbose));
    }
    if let Some(judge) = &found.judge {
        let class = judge.architecture.as_deref().unwrap_or("not stated");
        fact("judge", format!("{class}: {}", judge.labels.join(", ")));
        for (key, value) in &judge.config {
            if found.config.get(key) != Some(value) {
                fact(
                    &format!("judge {key}"),
                    clipped(value.to_string().trim_matches('"'), verbose),
                );
            }
        }
        let shared = output::count(judge.shared, "tensor");
        fact("judge shares", format!("{shared} with the first network"));
    }
    match &found.tokenizer {
        None => fact("tokenizer", "none".into()),
        Some(t) => {
            let tokens = output::count(t.tokens, "token");
            let mut text =
                format!("{}, {tokens}, {} added, {} special", t.kind, t.added, t.special);
            for (name, token) in [("begins a text", &t.bos), ("ends a text", &t.eos)] {
                if let Some(token) = token {
                    text += &format!(", {token} {name}");
                }
            }
            fact("tokenizer", text);
        }
    }
    if let Some(memory) = found.memory {
        let text = format!(
            "{}: weights {}, and {} a token of {}",
            output::size(memory.total),
            output::size(memory.weights),
            output::size(memory.kv_token),
            memory.context
        );
        fact("memory, about", text);
    }
    match &found.chat_template {
        None => fact("chat template", "none".into()),
        Some(template) if verbose => fact("chat template", template.clone()),
        Some(template) => {
            fact("chat template", format!("{} bytes (--template prints it)", template.len()));
        }
    }
    for (key, value) in &found.metadata {
        let template = key == "bho.chat_template" || key == "tokenizer.chat_template";
        if !template {
            fact(key, clipped(value, verbose));
        }
    }
    // The first line is that of the empty headings.
    facts.render(style).trim_start_matches('\n').to_owned() + "\n"
}

/// A value on a line that can be read.
fn clipped(value: &str, verbose: bool) -> String {
    if verbose || value.chars().count() <= SHOWN {
        return value.to_owned();
    }
    let head: String = value.chars().take(SHOWN).collect();
    format!("{head}… ({} bytes; --verbose shows all)", value.len())
}

fn tensors(found: &Inspection, style: &Style) -> String {
    let mut tensors = Table::new(["tensor", "dtype", ">size", ">offset", "shape"]);
    for tensor in &found.tensors {
        let shape: Vec<_> = tensor.shape.iter().map(ToString::to_string).collect();
        let offset = match found.files.len() {
            0 | 1 => tensor.offset.to_string(),
            _ => format!("{}:{}", tensor.file + 1, tensor.offset),
        };
        tensors.row([
            tensor.name.as_str().into(),
            tensor.dtype.as_str().into(),
            output::size(tensor.bytes).into(),
            offset.into(),
            shape.join(" x ").into(),
        ]);
    }
    tensors.render(style)
}

fn findings(audit: &Audit, style: &Style) -> String {
    let count = |severity: Severity| {
        audit.findings.iter().filter(|finding| finding.severity == severity).count()
    };
    let mut table = Table::new(["finding", "in", "what"]);
    for Finding { severity, subject, message, .. } in &audit.findings {
        let (tint, name) = match severity {
            Severity::Severe => (Tint::Red, "severe"),
            Severity::Warning => (Tint::Yellow, "warning"),
            Severity::Note => (Tint::Dim, "note"),
        };
        table.row([Cell::tinted(tint, name), subject.as_str().into(), message.as_str().into()]);
    }
    let mut out = String::new();
    if !audit.findings.is_empty() {
        out = table.render(style) + "\n";
    }
    let [severe, warnings, notes] =
        [Severity::Severe, Severity::Warning, Severity::Note].map(count);
    let counts = [
        format!("{severe} severe"),
        output::count(warnings, "warning"),
        output::count(notes, "note"),
    ];
    out + &counts.join(", ") + "\n"
}
