// SPDX-License-Identifier: AGPL-3.0-or-later
//! The report as one page: no script, nothing from elsewhere, well-formed as XML too.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{SIGNAL_FIGURES, charts, estimate, figure, terminal};
use crate::eval::bootstrap::Estimate;
use crate::eval::document::{PiiReport, Report, SignalReport, named};
use crate::eval::latency::Latency;
use crate::eval::mistakes::Mistake;

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(crate) fn render(report: &Report) -> String {
    let mut out = String::with_capacity(64 << 10);
    let title = match report.data.as_slice() {
        [one] => format!("Guard on {}", one.file),
        many => format!("Guard on {} files", many.len()),
    };
    open(&title, &about(report), &mut out);
    tiles(report, &mut out);
    if let Some(pii) = &report.pii {
        pii_section(pii, &mut out);
    }
    for (name, signal) in named(report) {
        let inactive = report.subject.inactive.contains(&name);
        signal_section(name, signal, inactive, &mut out);
    }
    if let Some(latency) = &report.latency {
        let machine = report.machine.as_deref();
        latency_section(latency, machine, "check", &mut out);
    }
    mistakes_section(&report.mistakes, &mut out);
    provenance(report, &mut out);
    close(&mut out);
    out
}

/// A page up to the end of its header; [`close`] ends it.
pub(super) fn open(title: &str, about: &str, out: &mut String) {
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta name=\"color-scheme\" content=\"light dark\"/>\
         <title>{0}</title><style>{STYLE}</style></head><body><main>\
         <header><h1>{0}</h1><p>{1}</p></header>",
        escaped(title),
        escaped(about)
    );
}

pub(super) fn close(out: &mut String) {
    out.push_str("</main></body></html>\n");
}

/// Where the intervals are from.
pub(super) fn resamples(resamples: usize) -> String {
    match resamples {
        0 => "no intervals".to_owned(),
        n => format!("95 % intervals from {n} bootstrap resamples"),
    }
}

fn about(report: &Report) -> String {
    let resamples = match report.bootstrap.resamples {
        0 => resamples(0),
        n => format!("{} of the texts", resamples(n)),
    };
    format!("{} texts; {}; {resamples}.", report.texts, terminal::what(report))
}

/// The figures one looks for first.
fn tiles(report: &Report, out: &mut String) {
    let mut estimates: Vec<(String, Estimate)> = Vec::new();
    if let Some(pii) = &report.pii {
        estimates.push(("personal data: F1 by overlap".to_owned(), pii.overlap.f1));
        estimates.push(("personal data: bytes covered".to_owned(), pii.bytes.recall));
    }
    for (name, signal) in named(report) {
        for (title, key) in [("AUC", "auc"), ("recall", "recall"), ("over-defense", "fpr")] {
            estimates.push((format!("{name}: {title}"), signal.figures.get(key)));
        }
    }
    write_tiles(estimates, report.latency.as_ref(), "a check", out);
}

/// Figures in large, the median of one `task` after them.
pub(super) fn write_tiles(
    estimates: Vec<(String, Estimate)>,
    latency: Option<&Latency>,
    task: &str,
    out: &mut String,
) {
    let mut tiles: Vec<[String; 3]> = estimates
        .into_iter()
        .map(|(title, estimate)| {
            let below = match (estimate.low, estimate.high) {
                (Some(low), Some(high)) => format!("{low:.3} – {high:.3}"),
                _ => "no interval".to_owned(),
            };
            [figure(estimate.value), title, below]
        })
        .collect();
    if let Some(latency) = latency {
        let below = format!("p99 {:.2} ms", latency.p99_ms);
        tiles.push([format!("{:.2} ms", latency.p50_ms), format!("median of {task}"), below]);
    }
    out.push_str("<div class=\"tiles\">");
    for [shown, title, below] in &tiles {
        let _ = write!(
            out,
            "<div class=\"tile\"><b>{shown}</b><span>{}</span><small>{below}</small></div>",
            escaped(title)
        );
    }
    out.push_str("</div>");
}

pub(super) fn section(title: &str, about: &str, out: &mut String) {
    let _ = write!(out, "<section><h2>{}</h2><p>{}</p>", escaped(title), escaped(about));
}

pub(super) fn picture(title: &str, about: &str, picture: &str, out: &mut String) {
    let _ = write!(
        out,
        "<figure><figcaption><b>{}</b> {}</figcaption>{picture}</figure>",
        escaped(title),
        escaped(about)
    );
}

/// A table; the first column names the row.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>], out: &mut String) {
    out.push_str("<div class=\"wide\"><table><thead><tr>");
    for heading in headings {
        let _ = write!(out, "<th>{}</th>", escaped(heading));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for (i, cell) in row.iter().enumerate() {
            let element = if i == 0 { "th" } else { "td" };
            let _ = write!(out, "<{element}>{}</{element}>", escaped(cell));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
}

fn pii_section(pii: &PiiReport, out: &mut String) {
    let about = format!(
        "{} texts with {} labelled stretches of personal data; {} were found.",
        pii.texts, pii.labelled, pii.found
    );
    section("Personal data", &about, out);
    let row = |name: &str, rates: &crate::eval::document::Rates| {
        let cells = [&rates.precision, &rates.recall, &rates.f1].map(estimate);
        [name.to_owned()].into_iter().chain(cells).collect()
    };
    let rows = [
        row("overlap: same type, any byte in common", &pii.overlap),
        row("strict: same type, same bytes", &pii.strict),
        row("bytes, whatever the type", &pii.bytes),
    ];
    table(&["", "precision", "recall", "F1"], &rows, out);
    let mut more = format!("Covered from end to end: {}.", estimate(&pii.covered));
    if pii.clean_texts > 0 {
        let flagged = estimate(&pii.clean_texts_flagged);
        let _ = write!(more, " Of {} texts without any, flagged: {flagged}.", pii.clean_texts);
    }
    let _ = write!(out, "<p>{}</p><div class=\"pictures\">", escaped(&more));
    picture("F1 by type", "by overlap, with intervals", &charts::types(&pii.types), out);
    out.push_str("</div>");
    let rows: Vec<Vec<String>> = pii
        .types
        .iter()
        .map(|row| {
            vec![
                row.name.clone(),
                row.labelled.to_string(),
                row.found.to_string(),
                estimate(&row.overlap.precision),
                estimate(&row.overlap.recall),
                estimate(&row.overlap.f1),
                estimate(&row.strict.f1),
            ]
        })
        .collect();
    let headings =
        ["type", "labelled", "found", "precision", "recall", "F1 by overlap", "strict F1"];
    table(&headings, &rows, out);
    out.push_str("<h3>Found as what?</h3>");
    out.push_str(&charts::confusion(&pii.confusion));
    if !pii.apart.is_empty() {
        out.push_str("<h3>Labels that do not count</h3>");
        let row = |row: &crate::eval::document::ApartReport| {
            vec![row.label.clone(), row.labelled.to_string(), terminal::why(row.why).to_owned()]
        };
        table(&["label", "labelled", "why"], &pii.apart.iter().map(row).collect::<Vec<_>>(), out);
    }
    if !pii.set_aside.is_empty() {
        let list: Vec<String> = pii.set_aside.iter().map(|(key, n)| format!("{key} {n}")).collect();
        let _ = write!(out, "<p>Found and set aside: {}.</p>", escaped(&list.join(", ")));
    }
    voices(
        &pii.by_detector,
        &["overlap_precision", "overlap_recall", "overlap_f1", "bytes_recall"],
        out,
    );
    out.push_str("</section>");
}

/// Figures of the rules alone and of the models alone.
fn voices(
    by_detector: &std::collections::BTreeMap<
        &'static str,
        serde_json::Map<String, serde_json::Value>,
    >,
    keys: &[&str],
    out: &mut String,
) {
    if by_detector.is_empty() {
        return;
    }
    let headings: Vec<&str> = ["alone"].into_iter().chain(by_detector.keys().copied()).collect();
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            let cells = by_detector
                .values()
                .map(|figures| figure(figures.get(*key).and_then(serde_json::Value::as_f64)));
            [key.replace('_', " ")].into_iter().chain(cells).collect()
        })
        .collect();
    table(&headings, &rows, out);
}

fn signal_section(name: &str, signal: &SignalReport, inactive: bool, out: &mut String) {
    let mut title = name.to_owned();
    title[..1].make_ascii_uppercase();
    let about = format!(
        "{} texts labelled 1 and {} labelled 0; the guard acts from {}. {}",
        signal.positives,
        signal.negatives,
        signal.threshold,
        if inactive { terminal::INACTIVE } else { "" }
    );
    section(&title, &about, out);
    let rows: Vec<Vec<String>> = SIGNAL_FIGURES
        .iter()
        .map(|(key, title)| vec![(*title).to_owned(), estimate(&signal.figures.get(key))])
        .collect();
    table(&["figure", "value"], &rows, out);
    out.push_str("<div class=\"pictures\">");
    if !signal.roc.is_empty() {
        picture("ROC", "the dot is the threshold", &charts::roc(signal), out);
        picture(
            "Precision and recall",
            "the line is chance",
            &charts::precision_recall(signal),
            out,
        );
    }
    picture(
        "Reliability",
        "on the diagonal, scores are probabilities",
        &charts::reliability(&signal.reliability, "positives", signal.figures.get("ece").value),
        out,
    );
    let legend = "green: labelled 0, red: labelled 1; the better they part, the better";
    picture("Scores", legend, &charts::scores(signal), out);
    out.push_str("</div>");
    if !signal.groups.is_empty() {
        out.push_str("<h3>By group</h3>");
        let rows: Vec<Vec<String>> = signal
            .groups
            .iter()
            .map(|group| {
                let mut row = vec![group.group.clone()];
                row.extend([group.positives, group.negatives].map(|n| n.to_string()));
                row.extend([&group.recall, &group.fpr, &group.auc].map(estimate));
                row
            })
            .collect();
        table(&["group", "labelled 1", "labelled 0", "recall", "FPR", "AUC"], &rows, out);
    }
    let keys: Vec<&str> = SIGNAL_FIGURES.iter().map(|(key, _)| *key).collect();
    voices(&signal.by_detector, &keys, out);
    out.push_str("</section>");
}

/// How long one `task` took.
pub(super) fn latency_section(
    latency: &Latency,
    machine: Option<&str>,
    task: &str,
    out: &mut String,
) {
    let machine = machine.unwrap_or("this machine");
    section(&format!("One {task}"), &format!("One at a time, on {machine}."), out);
    let ms = |ms: f64| format!("{ms:.3} ms");
    let rate = |rate: Option<f64>| rate.map_or_else(|| "–".to_owned(), |rate| format!("{rate:.0}"));
    let row = vec![
        latency.texts.to_string(),
        ms(latency.p50_ms),
        ms(latency.p90_ms),
        ms(latency.p99_ms),
        ms(latency.max_ms),
        rate(latency.us_per_kb),
        rate(latency.texts_per_s),
    ];
    table(&["texts", "p50", "p90", "p99", "max", "µs/KB", "texts/s"], &[row], out);
    out.push_str("<div class=\"pictures\">");
    picture("Time", &format!("of a {task}"), &charts::latency(latency, task), out);
    out.push_str("</div></section>");
}

fn mistakes_section(mistakes: &[Mistake], out: &mut String) {
    if mistakes.is_empty() {
        return;
    }
    section(
        "Worst mistakes",
        "By line of the data; personal data is masked, what was missed included.",
        out,
    );
    out.push_str("<ol class=\"mistakes\">");
    for mistake in mistakes {
        let group = mistake.group.as_ref().map(|group| format!(" · {group}")).unwrap_or_default();
        let kind = mistake.kind.replace('_', " ");
        let _ = write!(
            out,
            "<li><div><b>{}: {}</b> {}:{}{} · score {:.3}</div>",
            mistake.signal,
            kind,
            escaped(&mistake.file),
            mistake.line,
            escaped(&group),
            mistake.score
        );
        for (word, types) in [("missed", &mistake.missed), ("wrong", &mistake.wrong)] {
            if !types.is_empty() {
                let _ = write!(out, "<div>{word}: {}</div>", escaped(&types.join(", ")));
            }
        }
        if let Some(text) = &mistake.text {
            let _ = write!(out, "<blockquote>{}</blockquote>", escaped(text));
        }
        out.push_str("</li>");
    }
    out.push_str("</ol></section>");
}

fn provenance(report: &Report, out: &mut String) {
    out.push_str("<section><h2>What was measured</h2>");
    let mut rows: Vec<Vec<String>> = report
        .data
        .iter()
        .map(|file| {
            vec![file.file.clone(), format!("{} texts, sha256 {}", file.texts, file.sha256)]
        })
        .collect();
    let models = report.subject.models.iter();
    rows.extend(
        models.map(|model| vec![model.name.clone(), format!("model, sha256 {}", model.sha256)]),
    );
    let t = &report.subject.thresholds;
    let thresholds =
        format!("toxicity {}, jailbreak {}, personal data {}", t.toxicity, t.jailbreak, t.pii);
    rows.push(vec!["thresholds".to_owned(), thresholds]);
    rows.push(vec!["program".to_owned(), format!("bho {}", report.version)]);
    let b = &report.bootstrap;
    rows.push(vec!["bootstrap".to_owned(), format!("{} resamples, seed {}", b.resamples, b.seed)]);
    rows.extend(report.notes.iter().map(|(note, n)| vec![format!("{n} lines"), note.clone()]));
    table(&["", ""], &rows, out);
    out.push_str("</section>");
}

/// Text for HTML and XML, in elements and attributes: control characters, which XML forbids, become spaces.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    let special = |c: char| matches!(c, '&' | '<' | '>' | '"' | '\'') || forbidden(c);
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if forbidden(c) => out.push(' '),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// What XML does not allow, and what would reorder the page.
fn forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{FFFE}' | '\u{FFFF}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(escaped("a<b>&\"'\u{202e}\0"), "a&lt;b&gt;&amp;&quot;&#39;  ");
        assert_eq!(escaped("plain é"), "plain é");
    }
}
