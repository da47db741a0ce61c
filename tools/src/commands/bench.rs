// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho bench`: how fast this machine runs the kernels and the models.

use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use bho_engine::CancelToken;
use bho_kernels::Kernels;
use clap::ValueEnum as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::bench::team::Sampling;
use crate::bench::{Op, PageSize, e2e, encoder, kernels, report, roofline};
use crate::cli::args::{BenchEncoderArgs, BenchKernelsArgs};
use crate::cli::generation::BenchE2eArgs;
use crate::exit::{self, Exit, Failure};
use crate::machine;
use crate::output::file::Target;
use crate::output::style::{Style, Tint};
use crate::output::table::Table;
use crate::output::{self, json};

/// `bho bench kernels`. Ctrl-C stops it and prints what is measured.
pub(crate) fn kernels(args: BenchKernelsArgs) -> Result<Exit, Failure> {
    let quick = args.quick;
    let svg = args.svg.map(Target::new).transpose()?;
    let mut isas = isas(&args.isa)?;
    if quick && args.isa.is_empty() && isas.len() > 1 {
        isas.retain(|kernels| kernels.name() != "scalar");
    }
    let pick =
        |quick_ones: &'static [usize], all: &'static [usize]| if quick { quick_ones } else { all };
    let settings = kernels::Settings {
        dense_many: !args.op.is_empty(),
        ops: or(args.op, Op::value_variants()),
        isas,
        shapes: or(args.shapes, if quick { &kernels::QUICK_SHAPES } else { &kernels::SHAPES }),
        tokens: numbers(&args.tokens, pick(&kernels::QUICK_TOKENS, &kernels::TOKENS)),
        threads: numbers(&args.threads, &default_threads()),
        pages: or(args.pages, &[PageSize::Small, PageSize::Huge]),
        arena_bytes: args.arena_mb.map(|megabytes| megabytes as usize * 1_000_000),
        limits: sampling(if quick { (5, 9) } else { (10, 15) }),
        rows: sampling(if quick { (5, 7) } else { (7, 9) }),
        deadline: Duration::from_secs(if quick { 30 } else { 170 }),
    };
    let (cancel, bar) = (CancelToken::new(), progress());
    let interrupted = exit::cancel_on_interrupt(&cancel);
    let report = kernels::run(&settings, &cancel, &mut |what, done, total| {
        advance(&bar, what, done, total);
    });
    bar.finish_and_clear();
    let report = report?;
    // Before anything is printed: a closed pipe must not cost the picture.
    let drawn = svg.map(|target| target.write(roofline::svg(&report).as_bytes())).transpose();
    print(args.json, &report, |style| {
        let mut text = report::describe(&report, style);
        if args.plot {
            text.push('\n');
            text.push_str(&roofline::plot(&report, style));
        }
        text
    })?;
    drawn?;
    Ok(if interrupted.load(Ordering::SeqCst) { Exit::Interrupted } else { Exit::Success })
}

/// `bho bench encoder`. Ctrl-C stops it and prints what is measured.
pub(crate) fn encoder(args: &BenchEncoderArgs) -> Result<Exit, Failure> {
    let isas = match args.isa.is_empty() {
        true => vec![bho_kernels::kernels()?],
        false => isas(&args.isa)?,
    };
    let tokens = numbers(&args.tokens, &[16, 64, 128, 256]);
    let threads = numbers(&args.threads, &default_threads());
    let (cancel, bar) = (CancelToken::new(), progress());
    let interrupted = exit::cancel_on_interrupt(&cancel);
    let package = match &args.model {
        None => encoder::bundled()?,
        Some(model) => bho_models::Package::open(&crate::models::file(model)?)
            .map_err(crate::models::failure)?,
    };
    let report =
        encoder::run(&package, &isas, &tokens, &threads, &cancel, &mut |what, done, total| {
            advance(&bar, what, done, total);
        });
    bar.finish_and_clear();
    let report = report?;
    print(args.json, &report, |style| describe_encoder(&report, style))?;
    Ok(if interrupted.load(Ordering::SeqCst) { Exit::Interrupted } else { Exit::Success })
}

/// `bho bench e2e`. Ctrl-C stops it and prints what is measured.
pub(crate) fn e2e(args: &BenchE2eArgs) -> Result<Exit, Failure> {
    let settings = e2e::Settings {
        prompts: numbers(&args.prompts, &[]),
        generate: numbers(&args.generate, &[]),
        threads: numbers(&args.threads, &default_threads()),
        rounds: args.rounds as usize,
        kv: args.kv.into(),
        concurrent: args.concurrent as usize,
        huge: args.pages == PageSize::Huge,
    };
    let (cancel, bar) = (CancelToken::new(), progress());
    let interrupted = exit::cancel_on_interrupt(&cancel);
    let report = e2e::run(
        &crate::models::file(&args.model)?,
        &settings,
        &cancel,
        &mut |what, done, total| {
            advance(&bar, what, done, total);
        },
    );
    bar.finish_and_clear();
    let report = report.map_err(crate::models::failure)?;
    print(args.json, &report, |style| describe_e2e(&report, style))?;
    Ok(if interrupted.load(Ordering::SeqCst) { Exit::Interrupted } else { Exit::Success })
}

/// The columns of llama-bench, and what memory allows.
fn describe_e2e(report: &e2e::Report, style: &Style) -> String {
    let mut table = Table::new([
        "model", ">size", ">params", "backend", ">threads", "test", ">t/s", ">GB/s", ">of DRAM",
        ">of one",
    ]);
    let params = format!("{:.2} B", report.params as f64 / 1e9);
    for row in &report.rows {
        table.row([
            format!("{} {}", report.model, report.precision).into(),
            output::size(report.size).into(),
            params.as_str().into(),
            report.isa.into(),
            row.threads.to_string().into(),
            row.test.as_str().into(),
            format!("{:.2} ± {:.2}", row.tokens_per_second, row.deviation).into(),
            row.gb_s.map_or_else(|| "-".into(), |rate| format!("{rate:.1}")).into(),
            row.fraction.map_or_else(|| "-".into(), |f| format!("{:.0} %", f * 100.0)).into(),
            row.over_one.map_or_else(|| "-".into(), |times| format!("{times:.2}x")).into(),
        ]);
    }
    let mut out = table.render(style);
    let huge = match report.huge_bytes {
        0 => String::new(),
        bytes => format!(
            "; {} moved to huge pages in {:.0} ms",
            output::size(bytes as u64),
            report.huge_ms
        ),
    };
    let peak = report.peak_bytes.map(|bytes| format!("; peak memory {}", output::size(bytes)));
    let facts = format!(
        "{}, {} KV cache; {} of weights a token; loaded in {:.1} ms, first token after {:.1} ms{huge}{}",
        report.architecture,
        report.kv,
        output::size(report.token_bytes as u64),
        report.load_ms,
        report.first_token_ms,
        peak.unwrap_or_default()
    );
    out.push_str(&style.wrap(&facts));
    out.push('\n');
    if !report.complete {
        out.push_str(&style.paint(Tint::Yellow, "stopped: this is what was measured so far"));
        out.push('\n');
    }
    out
}

/// The backends named, else the one that the environment forces, else all of this machine.
fn isas(named: &[String]) -> Result<Vec<&'static dyn Kernels>, Failure> {
    let mut isas: Vec<&'static dyn Kernels> = Vec::new();
    for name in named {
        let kernels = bho_kernels::by_name(name).context("--isa")?;
        if isas.iter().all(|known| known.name() != kernels.name()) {
            isas.push(kernels);
        }
    }
    let forced = std::env::var_os(bho_kernels::ISA_VARIABLE).is_some_and(|value| !value.is_empty());
    match (isas.is_empty(), forced) {
        (false, _) => Ok(isas),
        (true, true) => Ok(vec![bho_kernels::kernels().context(bho_kernels::ISA_VARIABLE)?]),
        (true, false) => Ok(bho_kernels::available()),
    }
}

/// One, and all that this process may use.
fn default_threads() -> Vec<usize> {
    let mut threads = vec![1, machine::threads(None, None).count];
    threads.dedup();
    threads
}

fn or<T: Clone>(given: Vec<T>, default: &[T]) -> Vec<T> {
    if given.is_empty() { default.to_vec() } else { given }
}

/// Numbers in order, each once.
fn numbers(given: &[u32], default: &[usize]) -> Vec<usize> {
    let mut numbers = or(given.iter().map(|n| *n as usize).collect(), default);
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn sampling((milliseconds, samples): (u64, usize)) -> Sampling {
    Sampling { sample: Duration::from_millis(milliseconds), samples }
}

/// A bar on standard error, and only if that is a terminal.
pub(super) fn progress() -> ProgressBar {
    ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:32} {pos}/{len} {elapsed}  {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

pub(super) fn advance(bar: &ProgressBar, what: &str, done: usize, total: usize) {
    bar.set_length(total as u64);
    bar.set_position(done as u64);
    bar.set_message(what.to_owned());
}

fn print(
    as_json: bool,
    report: &impl Serialize,
    describe: impl FnOnce(&Style) -> String,
) -> Result<(), Failure> {
    let mut out = output::stdout();
    if as_json {
        json::document(&mut out, report)?;
    } else {
        out.write_all(describe(&Style::stdout()).as_bytes())?;
        out.flush()?;
    }
    Ok(())
}

fn describe_encoder(report: &encoder::Report, style: &Style) -> String {
    let mut table = Table::new(["backend", ">threads", ">tokens", ">ms", ">tokens/s"]);
    for row in &report.rows {
        table.row([
            row.isa.into(),
            row.threads.to_string().into(),
            row.tokens.to_string().into(),
            format!("{:.2}", row.seconds.median * 1e3).into(),
            format!("{:.0}", row.tokens_per_s).into(),
        ]);
    }
    let what = format!(
        "{}, one sequence, on {}",
        report.precision,
        report.cpu.brand.as_deref().unwrap_or("unknown CPU")
    );
    let mut out = format!(
        "{}  {}\n{}",
        style.paint(Tint::Bold, &report.model),
        style.paint(Tint::Dim, &what),
        table.render(style)
    );
    if !report.complete {
        out.push_str(&style.paint(Tint::Yellow, "stopped: this is what was measured so far"));
        out.push('\n');
    }
    out
}
