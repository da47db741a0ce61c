// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho validate`: every fault of a pipeline at once, and what it would run on.

use std::io::{self, Write};
use std::path::Path;

use bho_engine::Compute;
use bho_guard::GuardEnv;
use bho_models::{ModelSource, ModelStore, load_encoder};
use bho_orchestrator::agents::AgentRegistry;
use bho_orchestrator::config::{self, Fault, Loaded, Pipeline, Pos, Severity};
use serde_json::{Value, json};

use crate::cli::args::ValidateArgs;
use crate::exit::{Exit, Failure, OrFailed as _};
use crate::guards::{self, RULES_ALONE, Unfit};
use crate::models::{self, Choice, Role};
use crate::output::style::{self, Style, Tint};
use crate::output::table::{Cell, Table};
use crate::output::{self, count};
use crate::wiring;

/// One model of the pipeline and what its name stands for.
struct Resolved {
    choice: Choice,
    /// None where nodes write and the pipeline names no language model, or where the guard goes without one.
    model: Result<Option<String>, String>,
}

/// Validates; exits with 1 if the pipeline cannot run.
pub(crate) fn execute(args: &ValidateArgs) -> Result<Exit, Failure> {
    let environment = guards::environment()?;
    let mut loaded = config::load_file(&args.pipeline, &AgentRegistry::builtin())?;
    let resolved = match &loaded.pipeline {
        Some(pipeline) => {
            let (resolved, faults) = resolve(pipeline, &args.pipeline, &environment)?;
            loaded.faults.extend(faults);
            loaded.faults.extend(resolved.iter().filter_map(bad_model));
            resolved
        }
        None => Vec::new(),
    };
    let valid = !loaded.faults.iter().any(Fault::is_error);
    let mut out = output::stdout();
    if args.json {
        let document = document(args, &loaded, &resolved, valid);
        output::json::document(&mut out, &document)?;
    } else if let (true, Some(pipeline)) = (args.effective, &loaded.pipeline) {
        let report = report(&args.pipeline, &loaded, &resolved, valid, &Style::stderr());
        // Nobody may be reading it; the pipeline is what was asked for.
        let _ = io::stderr().write_all(report.as_bytes());
        out.write_all(pipeline.to_yaml().or_failed()?.as_bytes())?;
    } else {
        let report = report(&args.pipeline, &loaded, &resolved, valid, &Style::stdout());
        out.write_all(report.as_bytes())?;
    }
    out.flush()?;
    Ok(if valid { Exit::Success } else { Exit::Failed })
}

/// The models of a pipeline, and what is wrong with how its nodes use them.
fn resolve(
    pipeline: &Pipeline,
    file: &Path,
    environment: &GuardEnv,
) -> Result<(Vec<Resolved>, Vec<Fault>), Failure> {
    let found = wiring::resolve(pipeline, file)?;
    let mut faults: Vec<_> = wiring::no_language_model(&found, pipeline).into_iter().collect();
    let mut resolved = Vec::new();
    for wiring::Resolved { choice, mut model } in found {
        // What is bundled can be loaded.
        if let Ok(Some(source @ ModelSource::File(_))) = &model {
            let checked = match choice.role {
                Role::Generator => wiring::check_language_model(source, pipeline),
                _ if choice.nodes.is_empty() => Ok(None),
                _ => load_encoder(source, &Compute::new(1)?).map(|_| None),
            };
            match checked {
                Ok(fault) => faults.extend(fault),
                Err(error) => model = Err(error),
            }
        }
        let model = model.map(|source| source.map(|source| source.to_string()));
        resolved.push(Resolved { choice, model: model.map_err(|error| error.to_string()) });
    }
    guard(pipeline, file, environment, &mut resolved, &mut faults)?;
    Ok((resolved, faults))
}

/// The models of the guard, loaded: what a file says of its labels is known only then.
fn guard(
    pipeline: &Pipeline,
    file: &Path,
    environment: &GuardEnv,
    resolved: &mut Vec<Resolved>,
    faults: &mut Vec<Fault>,
) -> Result<(), Failure> {
    let required = pipeline.policies.guard_required;
    if required && environment.regex_only {
        faults.push(guard_fault(
            Severity::Error,
            "policies.guard_required".into(),
            None,
            "policies.guard_required is set, and a variable switches the guard's models off".into(),
        ));
    }
    let users = pipeline.nodes.iter().filter(|node| node.guard_pre || node.guard_post);
    let users: Vec<_> = users.map(|node| node.id.clone()).collect();
    let named = |choice: Choice| Choice {
        file: file.display().to_string(),
        nodes: users.clone(),
        ..choice
    };
    let store = ModelStore::bundled().map_err(models::failure)?;
    match guards::parts(environment, Some((pipeline, file)), &store, &Compute::new(1)?) {
        Ok(parts) => resolved.extend(
            parts
                .into_iter()
                .map(|part| Resolved { choice: named(part.choice), model: Ok(Some(part.source)) }),
        ),
        Err(unfit) => {
            let Unfit { choice, message, dispensable } = *unfit;
            let choice = named(choice);
            let model = if dispensable && !required {
                let key = choice.key.unwrap_or("models.guard");
                let message = format!("{key}: {message}; {RULES_ALONE}");
                faults.push(guard_fault(Severity::Warning, key.into(), choice.pos, message));
                Ok(None)
            } else {
                Err(message)
            };
            resolved.push(Resolved { choice, model });
        }
    }
    Ok(())
}

/// What is wrong with a model, as a fault.
fn bad_model(resolved: &Resolved) -> Option<Fault> {
    let Resolved { choice, model: Err(error) } = resolved else { return None };
    let key = choice.key.unwrap_or("models");
    Some(Fault {
        severity: Severity::Error,
        code: "bad_model",
        path: key.to_owned(),
        pos: choice.pos.unwrap_or(Pos { line: 1, column: 1 }),
        message: format!("{key}: {error}"),
        hint: None,
    })
}

fn guard_fault(severity: Severity, path: String, pos: Option<Pos>, message: String) -> Fault {
    let pos = pos.unwrap_or(Pos { line: 1, column: 1 });
    Fault { severity, code: "guard_model", path, pos, message, hint: None }
}

/// A pipeline that can run. Else its errors and warnings are printed, and the verb has failed.
pub(crate) fn valid(path: &Path) -> Result<Pipeline, Failure> {
    let loaded = config::load_file(path, &AgentRegistry::builtin())?;
    loaded.pipeline.ok_or_else(|| {
        let (file, style) = (path.display().to_string(), Style::stderr());
        let faults = loaded.faults.iter().filter(|fault| fault.severity != Severity::NotYet);
        let text: String = faults.map(|fault| render(fault, &file, &style)).collect();
        let _ = io::stderr().write_all(text.as_bytes());
        Failure::silent(Exit::Failed)
    })
}

fn counts(faults: &[Fault]) -> [usize; 3] {
    [Severity::Error, Severity::Warning, Severity::NotYet]
        .map(|severity| faults.iter().filter(|fault| fault.severity == severity).count())
}

fn document(args: &ValidateArgs, loaded: &Loaded, resolved: &[Resolved], valid: bool) -> Value {
    let [errors, warnings, not_yet] = counts(&loaded.faults);
    let models: Vec<_> = resolved
        .iter()
        .map(|Resolved { choice, model }| {
            json!({
                "role": choice.role,
                "key": choice.key,
                "label": choice.label(),
                "model": model.as_ref().ok().and_then(Option::as_ref),
                "error": model.as_ref().err(),
                "nodes": choice.nodes,
            })
        })
        .collect();
    let mut document = json!({
        "file": args.pipeline.display().to_string(),
        "valid": valid,
        "name": loaded.pipeline.as_ref().map(|pipeline| &pipeline.name),
        "nodes": loaded.pipeline.as_ref().map(|pipeline| pipeline.nodes.len()),
        "errors": errors,
        "warnings": warnings,
        "not_yet": not_yet,
        "faults": loaded.faults,
        "models": models,
    });
    if args.effective {
        document["effective"] = loaded.pipeline.as_ref().map_or(Value::Null, Pipeline::to_value);
    }
    document
}

fn report(
    path: &Path,
    loaded: &Loaded,
    resolved: &[Resolved],
    valid: bool,
    style: &Style,
) -> String {
    let file = path.display().to_string();
    let mut out = String::new();
    let (notes, faults): (Vec<_>, Vec<_>) =
        loaded.faults.iter().partition(|fault| fault.severity == Severity::NotYet);
    for fault in &faults {
        out.push_str(&render(fault, &file, style));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    if !notes.is_empty() {
        out.push_str("accepted, not yet in effect:\n");
        let mut table = Table::new(["at", "key", "instead"]);
        for fault in notes {
            let instead = fault.message.rsplit_once("not yet in effect: ");
            let instead = instead.map_or(fault.message.as_str(), |(_, instead)| instead);
            let at = format!("{}:{}", fault.pos.line, fault.pos.column);
            table.row([at.into(), fault.path.as_str().into(), instead.into()]);
        }
        out.push_str(&table.render(style));
        out.push('\n');
    }
    let used: Vec<_> = resolved.iter().filter(|r| !r.choice.nodes.is_empty()).collect();
    if !used.is_empty() {
        let mut table = Table::new(["model", "named", "is", "used by"]);
        for Resolved { choice, model } in used {
            let is = match model {
                Ok(Some(model)) => model.as_str().into(),
                Ok(None) if choice.role == Role::Guard => {
                    Cell::tinted(Tint::Yellow, "none: rules alone")
                }
                Ok(None) => Cell::tinted(Tint::Yellow, "no language model"),
                Err(_) => Cell::tinted(Tint::Red, "unknown"),
            };
            let nodes = choice.nodes.join(", ");
            table.row([choice.role.name().into(), choice.label().into(), is, nodes.into()]);
        }
        out.push_str(&table.render(style));
        out.push('\n');
    }
    let [errors, warnings, not_yet] = counts(&loaded.faults);
    let verdict =
        if valid { style.paint(Tint::Green, "valid") } else { style.paint(Tint::Red, "not valid") };
    let mut parts = Vec::new();
    if let Some(pipeline) = &loaded.pipeline {
        parts.push(count(pipeline.nodes.len(), "node"));
    }
    parts.push(count(errors, "error"));
    parts.push(count(warnings, "warning"));
    parts.push(format!("{} not yet in effect", count(not_yet, "key")));
    out.push_str(&format!("{}: {verdict} ({})\n", style::clean(&file), parts.join(", ")));
    out
}

/// A fault as [`Fault::render`] gives it, with its label coloured.
pub(crate) fn render(fault: &Fault, file: &str, style: &Style) -> String {
    let text = fault.render(file);
    let (label, tint) = match fault.severity {
        Severity::Error => ("error[", Tint::Red),
        Severity::Warning => ("warning[", Tint::Yellow),
        Severity::NotYet => ("note[", Tint::Dim),
    };
    let text = style::clean(&text);
    let Some(start) = text.find(label) else { return text.into_owned() };
    let end = text[start..].find(']').map_or(text.len(), |at| start + at + 1);
    format!("{}{}{}", &text[..start], style.paint(tint, &text[start..end]), &text[end..])
}
