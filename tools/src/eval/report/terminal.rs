// SPDX-License-Identifier: AGPL-3.0-or-later
//! The report as tables.

use std::fmt::Write as _;

use serde_json::Value;

use super::{SIGNAL_FIGURES, estimate, figure};
use crate::eval::document::{PiiReport, Report, SignalReport, named};
use crate::eval::latency::Latency;
use crate::eval::types::Standing;
use crate::output::style::{Style, Tint};
use crate::output::table::Table;

/// Said where figures say nothing.
pub(super) const INACTIVE: &str = "Nothing in this guard sees this signal: every score is 0.";

/// Groups that are listed; the page and JSON have all.
const GROUPS: usize = 20;

/// The whole report.
pub(crate) fn render(report: &Report, style: &Style) -> String {
    let mut out = String::new();
    for file in &report.data {
        let _ = writeln!(out, "{}: {} texts, sha256 {}", file.file, file.texts, &file.sha256[..16]);
    }
    for (note, lines) in &report.notes {
        let _ = writeln!(out, "{lines} lines: {note}");
    }
    let _ = writeln!(out, "measured: {}", what(report));
    if let Some(pii) = &report.pii {
        render_pii(pii, style, &mut out);
    }
    for (name, signal) in named(report) {
        let inactive = report.subject.inactive.contains(&name);
        render_signal(name, signal, inactive, style, &mut out);
    }
    if let Some(latency) = &report.latency {
        render_latency(latency, report.machine.as_deref(), "check", style, &mut out);
    }
    out
}

/// What was measured, in one line.
pub(super) fn what(report: &Report) -> String {
    let subject = &report.subject;
    if let Some(file) = &subject.predictions {
        return format!("the predictions of {file}");
    }
    let models: Vec<&str> = subject.models.iter().map(|model| model.name.as_str()).collect();
    let models = if models.is_empty() { "rules alone".to_owned() } else { models.join(", ") };
    let pipeline = subject.pipeline.as_ref().map(|file| format!(", pipeline {file}"));
    let calibration = subject.calibration.as_ref().map(|file| format!(", calibration {file}"));
    format!(
        "guard of bho {} on {} ({models}){}{}",
        report.version,
        subject.mode,
        pipeline.unwrap_or_default(),
        calibration.unwrap_or_default()
    )
}

pub(super) fn heading(title: &str, about: &str, style: &Style, out: &mut String) {
    let _ =
        writeln!(out, "\n{}  {}", style.paint(Tint::Bold, title), style.paint(Tint::Dim, about));
}

fn render_pii(pii: &PiiReport, style: &Style, out: &mut String) {
    let about = format!(
        "{} texts, {} labelled spans, {} found; 95 % intervals",
        pii.texts, pii.labelled, pii.found
    );
    heading("personal data", &about, style, out);
    let mut table = Table::new(["", "precision", "recall", "F1"]);
    for (name, rates) in
        [("overlap", &pii.overlap), ("strict", &pii.strict), ("bytes, any type", &pii.bytes)]
    {
        let cells = [&rates.precision, &rates.recall, &rates.f1].map(estimate);
        let [precision, recall, f1] = cells;
        table.row([name.into(), precision.into(), recall.into(), f1.into()]);
    }
    out.push_str(&table.render(style));
    let _ = writeln!(out, "covered from end to end: {}", estimate(&pii.covered));
    if pii.clean_texts > 0 {
        let flagged = estimate(&pii.clean_texts_flagged);
        let _ = writeln!(out, "of {} texts without any, flagged: {flagged}", pii.clean_texts);
    }
    out.push('\n');
    let mut table = Table::new([
        "type",
        ">labelled",
        ">found",
        ">precision",
        ">recall",
        "F1 by overlap",
        ">strict F1",
    ]);
    for row in &pii.types {
        table.row([
            row.name.as_str().into(),
            row.labelled.to_string().into(),
            row.found.to_string().into(),
            figure(row.overlap.precision.value).into(),
            figure(row.overlap.recall.value).into(),
            estimate(&row.overlap.f1).into(),
            figure(row.strict.f1.value).into(),
        ]);
    }
    out.push_str(&table.render(style));
    if !pii.apart.is_empty() {
        let mut table = Table::new(["not counted", ">labelled", "why"]);
        for row in &pii.apart {
            table.row([
                row.label.as_str().into(),
                row.labelled.to_string().into(),
                why(row.why).into(),
            ]);
        }
        let _ = write!(out, "\n{}", table.render(style));
    }
    if !pii.set_aside.is_empty() {
        let list: Vec<String> = pii.set_aside.iter().map(|(key, n)| format!("{key} {n}")).collect();
        let _ = writeln!(out, "found and set aside: {}", list.join(", "));
    }
    if !pii.by_detector.is_empty() {
        let mut table =
            Table::new(["by detector", ">precision", ">recall", ">F1 by overlap", ">bytes recall"]);
        for (name, figures) in &pii.by_detector {
            let cell = |key: &str| figure(figures.get(key).and_then(Value::as_f64));
            table.row([
                format!("{name} alone").into(),
                cell("overlap_precision").into(),
                cell("overlap_recall").into(),
                cell("overlap_f1").into(),
                cell("bytes_recall").into(),
            ]);
        }
        let _ = write!(out, "\n{}", table.render(style));
    }
}

/// Why a label does not count.
pub(super) fn why(standing: Standing) -> &'static str {
    match standing {
        Standing::Counted => "it counts",
        Standing::Unknown => "the guard has no such type",
        Standing::Kept => "the policy keeps it (--kept counts it)",
        Standing::Ignored => "ignored, as --types says",
    }
}

fn render_signal(
    name: &str,
    signal: &SignalReport,
    inactive: bool,
    style: &Style,
    out: &mut String,
) {
    let about = format!(
        "{} positive and {} negative texts, threshold {}; 95 % intervals",
        signal.positives, signal.negatives, signal.threshold
    );
    heading(name, &about, style, out);
    if inactive {
        let _ = writeln!(out, "{INACTIVE}");
    }
    let voices: Vec<_> = signal.by_detector.iter().collect();
    let mut table = Table::new(["", "figure", ">rules alone", ">models alone"]);
    let mut plain = Table::new(["", "figure"]);
    for (key, title) in SIGNAL_FIGURES {
        let value = estimate(&signal.figures.get(key));
        if voices.is_empty() {
            plain.row([title.into(), value.into()]);
        } else {
            let of = |voice: &str| {
                let figures = signal.by_detector.get(voice);
                figure(figures.and_then(|figures| figures.get(key)).and_then(Value::as_f64))
            };
            table.row([title.into(), value.into(), of("rules").into(), of("models").into()]);
        }
    }
    out.push_str(&if voices.is_empty() { plain.render(style) } else { table.render(style) });
    if !signal.groups.is_empty() {
        let mut worst: Vec<_> = signal.groups.iter().collect();
        let errors = |fpr: Option<f64>, recall: Option<f64>| {
            fpr.unwrap_or(0.0).max(1.0 - recall.unwrap_or(1.0))
        };
        worst.sort_by(|a, b| {
            let of = |g: &&crate::eval::document::GroupReport| errors(g.fpr.value, g.recall.value);
            of(b).total_cmp(&of(a))
        });
        let mut table = Table::new(["group", ">texts", "recall", "FPR", "AUC"]);
        for group in worst.iter().take(GROUPS) {
            table.row([
                group.group.as_str().into(),
                group.texts.to_string().into(),
                estimate(&group.recall).into(),
                estimate(&group.fpr).into(),
                estimate(&group.auc).into(),
            ]);
        }
        let _ = write!(out, "\n{}", table.render(style));
        if let Some(more) = signal.groups.len().checked_sub(GROUPS).filter(|more| *more > 0) {
            let _ = writeln!(out, "and {more} groups with fewer mistakes (--json, --html)");
        }
    }
}

/// How long one `task` took.
pub(super) fn render_latency(
    latency: &Latency,
    machine: Option<&str>,
    task: &str,
    style: &Style,
    out: &mut String,
) {
    let machine = machine.unwrap_or("this machine");
    heading(&format!("one {task}"), &format!("one at a time, {machine}"), style, out);
    let mut table = Table::new([">p50 ms", ">p90 ms", ">p99 ms", ">max ms", ">us/KB", ">texts/s"]);
    let ms = |ms: f64| format!("{ms:.3}");
    let rate = |rate: Option<f64>| rate.map_or_else(|| "–".to_owned(), |rate| format!("{rate:.0}"));
    table.row([
        ms(latency.p50_ms).into(),
        ms(latency.p90_ms).into(),
        ms(latency.p99_ms).into(),
        ms(latency.max_ms).into(),
        rate(latency.us_per_kb).into(),
        rate(latency.texts_per_s).into(),
    ]);
    out.push_str(&table.render(style));
}
