// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho run`: a pipeline on a text or a source.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::Ordering;

use bho_engine::{CancelToken, Compute, ModelInfo};
use bho_orchestrator::agents::{AgentRegistry, Fields};
use bho_orchestrator::config::{self, Loaded, Pipeline, Severity};
use bho_orchestrator::result::RunStatus;
use bho_orchestrator::run::{Orchestrator, RunOptions, RunOutcome};
use bho_orchestrator::trace::{NodeStatus, NodeTrace};
use serde_json::{Value, json};

use super::validate;
use crate::cli::args::RunArgs;
use crate::exit::{self, Exit, Failure, OrFailed as _};
use crate::input::StreamArg;
use crate::output::file::Target;
use crate::output::style::{self, Style, Tint};
use crate::output::table::{Cell, Table};
use crate::output::{self, card};
use crate::{guards, keys, machine, wiring};

/// Runs. What can be refused is refused before a model is loaded.
pub(crate) fn execute(args: RunArgs) -> Result<Exit, Failure> {
    let environment = guards::environment()?;
    let registry = AgentRegistry::builtin();
    let mut loaded = config::load_file(&args.pipeline, &registry)?;
    let Some(pipeline) = loaded.pipeline.take() else {
        return refuse(&args, &loaded);
    };
    if args.trace.is_some() && !pipeline.tracing.enabled {
        let message = "--trace: the pipeline has `tracing.enabled: false`, so there is no trace";
        return Err(Failure::said(Exit::Usage, message));
    }
    let trace = args.trace.clone().map(Target::new).transpose()?;
    let read = [Some(&args.pipeline), args.source.as_ref().and_then(StreamArg::path)];
    if let Some(path) = &args.trace
        && read.into_iter().flatten().any(|read| output::file::same(path, read))
    {
        let message = format!("--trace: {} is what the run reads", path.display());
        return Err(Failure::said(Exit::Usage, message));
    }
    let keys = keys::of_pipeline(&pipeline.policies, &args.pipeline)?;
    let source = match (args.input, args.source) {
        (Some(text), _) => Fields::from_iter([("text".to_owned(), Value::from(text.read()?))]),
        (None, Some(stream)) => stream.read_source()?,
        (None, None) => {
            return Err(Failure::said(Exit::Usage, "expected --input or --source"));
        }
    };
    let cancel = CancelToken::new();
    let interrupted = exit::cancel_on_interrupt(&cancel);
    let resolved = wiring::resolve(&pipeline, &args.pipeline)?;
    loaded.faults.extend(wiring::no_language_model(&resolved, &pipeline));
    announce(&args.pipeline, &loaded);

    let threads = machine::threads(args.threads, pipeline.device_profile.cpu_threads);
    let compute = Compute::new(threads.count)?;
    let learned = guards::load(&environment, Some((&pipeline, &args.pipeline)), &compute)?;
    let wired = wiring::wire(resolved, &pipeline, registry, &compute, learned.models)?;
    let infos = wired.reasoner.models();
    let options = RunOptions { seed: args.seed, cancel, ..RunOptions::default() };
    let orchestrator = Orchestrator::new(wired.registry, wired.reasoner).with_guard_keys(keys);
    let detectors = learned.detectors.into_iter();
    let outcome = detectors
        .fold(orchestrator, Orchestrator::with_detector)
        .run(&pipeline, source, options)
        .or_failed()?;

    // Before anything is printed: a closed pipe must not cost the trace.
    let traced = match (&trace, &outcome.trace) {
        (Some(target), Some(trace)) => {
            let mut bytes = serde_json::to_vec_pretty(trace)?;
            bytes.push(b'\n');
            target.write(&bytes)
        }
        _ => Ok(()),
    };
    let mut out = output::stdout();
    let mut print = || -> anyhow::Result<()> {
        if args.json {
            let warnings = learned.warning.as_slice();
            let document = document(&pipeline, &outcome, &infos, args.seed, warnings);
            output::json::document(&mut out, &document)?;
        } else {
            let text = describe(&pipeline, &outcome, &infos, &Style::stdout());
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
        Ok(())
    };
    let printed = print();
    traced?;
    exit::unless_closed(printed)?;
    if interrupted.load(Ordering::SeqCst) {
        return Ok(Exit::Interrupted);
    }
    Ok(match outcome.status {
        RunStatus::Complete | RunStatus::Partial => Exit::Success,
        _ => Exit::Failed,
    })
}

/// The end of a run that cannot start: its pipeline is not valid.
fn refuse(args: &RunArgs, loaded: &Loaded) -> Result<Exit, Failure> {
    let file = args.pipeline.display().to_string();
    let style = Style::stderr();
    let faults = loaded.faults.iter().filter(|fault| fault.severity != Severity::NotYet);
    let text: String = faults.map(|fault| validate::render(fault, &file, &style)).collect();
    let _ = io::stderr().write_all(text.as_bytes());
    if args.json {
        let document = json!({ "status": "invalid", "file": file, "faults": loaded.faults });
        output::json::document(&mut output::stdout(), &document)?;
    }
    Ok(Exit::Failed)
}

/// Warnings of the pipeline, and that there are keys without effect.
fn announce(path: &Path, loaded: &Loaded) {
    let file = path.display().to_string();
    let style = Style::stderr();
    let mut text = String::new();
    let mut not_yet = 0;
    for fault in &loaded.faults {
        match fault.severity {
            Severity::NotYet => not_yet += 1,
            _ => text.push_str(&validate::render(fault, &file, &style)),
        }
    }
    if not_yet > 0 {
        let keys = output::count(not_yet, "key");
        let note = style.paint(Tint::Dim, "note:");
        let file = style::clean(&file);
        text.push_str(&format!(
            "{note} {keys} of {file} not yet in effect (`bho validate {file}` lists them)\n"
        ));
    }
    let _ = io::stderr().write_all(text.as_bytes());
}

fn document(
    pipeline: &Pipeline,
    outcome: &RunOutcome,
    models: &[ModelInfo],
    seed: u64,
    warnings: &[String],
) -> Value {
    let models: Vec<_> = models
        .iter()
        .map(|model| {
            json!({
                "name": model.name,
                "sha256": model.sha256,
                "precision": model.precision,
                "isa": model.isa,
                "threads": model.threads,
            })
        })
        .collect();
    json!({
        "pipeline": pipeline.name,
        "status": outcome.status,
        "text": outcome.text,
        "answered_by": outcome.answered_by,
        "elapsed_ms": (outcome.elapsed.as_secs_f64() * 1e5).round() / 1e2,
        "seed": seed,
        "errors": outcome.errors,
        "results": outcome.results,
        "cards": outcome.cards,
        "models": models,
        "warnings": warnings,
    })
}

fn describe(
    pipeline: &Pipeline,
    outcome: &RunOutcome,
    models: &[ModelInfo],
    style: &Style,
) -> String {
    let (tint, status) = match outcome.status {
        RunStatus::Complete => (Tint::Green, "complete"),
        RunStatus::Partial => (Tint::Yellow, "partial"),
        RunStatus::Blocked => (Tint::Red, "blocked"),
        _ => (Tint::Red, "failed"),
    };
    let name = style::clean(&pipeline.name).replace('\n', " ");
    let mut out = format!(
        "{}  {}  {}\n\n",
        style.paint(Tint::Bold, &name),
        style.paint(tint, status),
        style.paint(Tint::Dim, &output::milliseconds(outcome.elapsed)),
    );
    if outcome.text.trim().is_empty() {
        out.push_str(&style.paint(Tint::Dim, "(no text)"));
    } else {
        out.push_str(&style.wrap(outcome.text.trim_end()));
    }
    out.push_str("\n\n");

    let nodes = outcome.trace.as_ref().map_or(&[][..], |trace| &trace.nodes);
    if !nodes.is_empty() {
        let mut table = Table::new(["node", "agent", ">ms", "status"]);
        for node in nodes {
            table.row([
                node.id.as_str().into(),
                node.agent.as_str().into(),
                milliseconds(node).into(),
                node_status(node),
            ]);
        }
        out.push_str(&table.render(style));
        out.push('\n');
    }
    let told = |error: &&String| nodes.iter().any(|node| node.error.as_ref() == Some(*error));
    for error in outcome.errors.iter().filter(|error| !told(error)) {
        out.push_str(&format!("{} {}\n", style.paint(Tint::Red, "error:"), style::clean(error)));
    }
    out.push_str(&card::table(&outcome.cards, style));
    for model in models {
        let threads = output::count(model.threads, "thread");
        let line = format!("model: {}, {}, {}, {threads}", model.name, model.precision, model.isa);
        out.push_str(&style.paint(Tint::Dim, &style::clean(&line)));
        out.push('\n');
    }
    out
}

fn milliseconds(node: &NodeTrace) -> String {
    if node.start_us.is_none() {
        return "-".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let us = (node.guard_pre_us + node.agent_us + node.guard_post_us) as f64;
    format!("{:.1}", us / 1e3)
}

fn node_status(node: &NodeTrace) -> Cell {
    let attempts = match node.attempts.len() {
        0 | 1 => String::new(),
        n => format!(" ({n} attempts)"),
    };
    match (node.status, &node.error) {
        (NodeStatus::Ok, _) => Cell::tinted(Tint::Green, format!("ok{attempts}")),
        (NodeStatus::Refused, None) => Cell::tinted(Tint::Red, "refused by the guard"),
        (_, Some(error)) => Cell::tinted(Tint::Red, format!("{error}{attempts}")),
        (NodeStatus::Failed, None) => Cell::tinted(Tint::Red, "failed"),
    }
}
