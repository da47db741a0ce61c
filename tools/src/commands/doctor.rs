// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho doctor`: what this machine offers, and what the program makes of it.

use std::io::Write as _;
use std::sync::Arc;

use bho_engine::{CancelToken, Compute};
use bho_guard::{Guard, GuardEnv};
use bho_models::ModelStore;
use serde::Serialize;

use crate::cli::args::DoctorArgs;
use crate::exit::{Exit, Failure};
use crate::guards::{self, Part};
use crate::machine::{self, Machine, Memory, Threads};
use crate::models;
use crate::output::style::{Style, Tint};
use crate::output::table::{Cell, Table};
use crate::output::{self, json};

#[derive(Serialize)]
struct Report {
    version: &'static str,
    ok: bool,
    /// What would keep a run from working.
    problems: Vec<String>,
    cpu: machine::Cpu,
    memory: Memory,
    kernels: KernelReport,
    threads: Threads,
    models: Vec<ModelReport>,
    guard: GuardReport,
}

#[derive(Serialize)]
struct KernelReport {
    /// The backend in use; none when the one asked for cannot be had.
    backend: Option<&'static str>,
    /// Those this CPU can run, slowest first.
    available: Vec<&'static str>,
    /// The value of the variable that forces one.
    forced: Option<String>,
}

#[derive(Serialize)]
struct ModelReport {
    name: String,
    aliases: Vec<String>,
    architecture: String,
    bytes: u64,
    sha256: String,
    /// Whether its file in this program is sound, as `bho models verify` sees it.
    verified: bool,
    licence: String,
    source: String,
    revision: String,
    summary: String,
}

#[derive(Serialize)]
struct GuardReport {
    models: Vec<GuardModel>,
    signals: Vec<SignalReport>,
    variables_without_effect: Vec<VariableReport>,
}

/// A model behind the guard's learned detectors.
#[derive(Serialize)]
struct GuardModel {
    name: String,
    architecture: String,
    precision: String,
    sha256: String,
    /// Where its bytes are.
    source: String,
}

#[derive(Serialize)]
struct SignalReport {
    signal: &'static str,
    active: bool,
    detectors: Vec<&'static str>,
}

#[derive(Serialize)]
struct VariableReport {
    variable: &'static str,
    reason: &'static str,
}

/// Reports; exits with 1 if there is a problem.
pub(crate) fn execute(args: &DoctorArgs) -> Result<Exit, Failure> {
    let report = examine()?;
    let mut out = output::stdout();
    if args.json {
        json::document(&mut out, &report)?;
    } else {
        out.write_all(describe(&report, &Style::stdout()).as_bytes())?;
        out.flush()?;
    }
    Ok(if report.ok { Exit::Success } else { Exit::Failed })
}

fn examine() -> Result<Report, Failure> {
    let mut problems = Vec::new();
    let backend = match bho_kernels::kernels() {
        Ok(kernels) => Some(kernels.name()),
        Err(error) => {
            problems.push(format!("{}: {error}", bho_kernels::ISA_VARIABLE));
            None
        }
    };
    let forced = std::env::var_os(bho_kernels::ISA_VARIABLE).filter(|value| !value.is_empty());
    let kernels = KernelReport {
        backend,
        available: bho_kernels::available().iter().map(|kernels| kernels.name()).collect(),
        forced: forced.map(|value| value.to_string_lossy().into_owned()),
    };
    let models = verify_models(&mut problems)?;
    let guard = guard_report(&mut problems)?;
    let Machine { cpu, memory } = Machine::read();
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        ok: problems.is_empty(),
        problems,
        cpu,
        memory,
        kernels,
        threads: machine::threads(None, None),
        models,
        guard,
    })
}

fn verify_models(problems: &mut Vec<String>) -> Result<Vec<ModelReport>, Failure> {
    let store = ModelStore::bundled().map_err(models::failure)?;
    let mut reports = Vec::new();
    for entry in store.entries() {
        let verified = match super::models::verify_bundled(&store, entry, &CancelToken::new()) {
            Ok(model) => {
                if let Some(remedy) = model.remedy {
                    let faults = model.faults.join("; ");
                    problems.push(format!("model {}: {faults}. To do: {remedy}", entry.name));
                }
                model.faults.is_empty()
            }
            // Without a backend, which is a problem said already, nothing can be built.
            Err(_) => false,
        };
        reports.push(ModelReport {
            name: entry.name.clone(),
            aliases: entry.aliases.clone(),
            architecture: entry.architecture.clone(),
            bytes: entry.bytes,
            sha256: entry.sha256.clone(),
            verified,
            licence: entry.licence.clone(),
            source: entry.source.clone(),
            revision: entry.revision.clone(),
            summary: entry.summary.clone(),
        });
    }
    Ok(reports)
}

fn guard_report(problems: &mut Vec<String>) -> Result<GuardReport, Failure> {
    let environment = match GuardEnv::from_lookup(|name| std::env::var_os(name)) {
        Ok(environment) => environment,
        Err(error) => {
            problems.push(error.to_string());
            GuardEnv { regex_only: true, ..GuardEnv::default() }
        }
    };
    let store = ModelStore::bundled().map_err(models::failure)?;
    // Without a backend, which is a problem said already, nothing can be loaded.
    let parts = match Compute::new(1) {
        Ok(compute) => guards::parts(&environment, None, &store, &compute),
        Err(_) => Ok(Vec::new()),
    };
    let parts = parts.unwrap_or_else(|unfit| {
        problems.push(format!("{}; {}", unfit.describe(), guards::RULES_ALONE));
        Vec::new()
    });
    let builder = Guard::builder();
    let builder = parts.iter().fold(builder, |b, part| b.detector(Arc::clone(&part.detector)));
    let signals = builder.build()?.capabilities().into_iter().map(|capability| {
        let (active, signal) = (capability.is_active(), capability.signal.key());
        SignalReport { signal, active, detectors: capability.detectors }
    });
    let models = parts.into_iter().map(|Part { source, info, .. }| GuardModel {
        name: info.name,
        architecture: info.architecture,
        precision: info.precision,
        sha256: info.sha256,
        source,
    });
    let variables_without_effect = environment
        .without_effect
        .into_iter()
        .map(|(variable, reason)| VariableReport { variable, reason })
        .collect();
    Ok(GuardReport {
        models: models.collect(),
        signals: signals.collect(),
        variables_without_effect,
    })
}

fn describe(report: &Report, style: &Style) -> String {
    let Report { cpu, memory, kernels, threads, .. } = report;
    let unknown = || "not known".to_owned();
    let size = |bytes: Option<u64>| bytes.map_or_else(unknown, output::size);
    let mut table = Table::new(["", ""]);
    let mut row = |name: &str, value: Cell| table.row([Cell::tinted(Tint::Dim, name), value]);

    row("cpu", format!("{} ({})", cpu.brand.clone().unwrap_or_else(unknown), cpu.arch).into());
    row("features", cpu.features.join(" ").into());
    let backend = match (kernels.backend, &kernels.forced) {
        (Some(name), None) => name.to_owned(),
        (Some(name), Some(_)) => format!("{name}, forced by {}", bho_kernels::ISA_VARIABLE),
        (None, _) => "none".to_owned(),
    };
    row("kernels", format!("{backend} (available: {})", kernels.available.join(", ")).into());
    let mut limits =
        vec![format!("{} online", cpu.online.map_or_else(unknown, |online| online.to_string()))];
    limits.extend(cpu.cores.map(|cores| format!("{cores} cores")));
    limits.extend(cpu.affinity.as_ref().map(|list| format!("affinity {list}")));
    limits.push(match cpu.quota {
        Some(quota) => format!("cgroup quota {quota:.2}"),
        None => "no cgroup quota".to_owned(),
    });
    row("threads", format!("{}: {}; {}", threads.count, threads.why, limits.join(", ")).into());
    let limit = match memory.limit_bytes {
        Some(bytes) => format!("cgroup limit {}", output::size(bytes)),
        None => "no cgroup limit".to_owned(),
    };
    row(
        "memory",
        format!(
            "{} available of {}, {limit}",
            size(memory.available_bytes),
            size(memory.total_bytes)
        )
        .into(),
    );
    for model in &report.models {
        let check = if model.verified { "sha256 verified" } else { "DAMAGED" };
        let tint = if model.verified { Tint::Plain } else { Tint::Red };
        let line = format!(
            "{} ({}), {}, {}, {check}; also {}",
            model.name,
            model.architecture,
            output::size(model.bytes),
            model.licence,
            model.aliases.join(", ")
        );
        row("model", Cell::tinted(tint, line));
    }
    for GuardModel { name, precision, source, .. } in &report.guard.models {
        row("guard", format!("model {name}, {precision}: {source}").into());
    }
    for signal in &report.guard.signals {
        let detectors = match signal.active {
            true => signal.detectors.join(", "),
            false => "not active: nothing looks for it, always 0".to_owned(),
        };
        row("guard", format!("{}: {detectors}", signal.signal).into());
    }
    for VariableReport { variable, reason } in &report.guard.variables_without_effect {
        row("variable", Cell::tinted(Tint::Yellow, format!("{variable}: {reason}")));
    }

    let title = format!("bho {}", report.version);
    let mut out = style.paint(Tint::Bold, &title).into_owned();
    // The headings of the table are empty: their line parts it from the title.
    out.push('\n');
    out.push_str(&table.render(style));
    out.push('\n');
    for problem in &report.problems {
        out.push_str(&style.paint(Tint::Red, &style.wrap(&format!("problem: {problem}"))));
        out.push('\n');
    }
    if report.ok {
        out.push_str(&style.paint(Tint::Green, "all in order"));
        out.push('\n');
    }
    out
}
