// SPDX-License-Identifier: AGPL-3.0-or-later
//! The page's pictures.

use std::fmt::Write as _;

use super::figure;
use super::page::escaped;
use super::svg::{Plot, WIDTH, quarters};
use crate::eval::bootstrap::Estimate;
use crate::eval::document::{Confusion, SignalReport, TypeReport};
use crate::eval::latency::Latency;
use crate::eval::ranking::Bin;

/// Rows of a bar chart.
const BAR_ROW: f64 = 26.0;

/// Recall over false positive rate, with the threshold's point and the limits of 1 % and 5 %.
pub(super) fn roc(signal: &SignalReport) -> String {
    let mut plot = Plot::new(300.0);
    // The square root gives the left end, where guards work, the room it needs.
    let x = |fpr: f64| fpr.max(0.0).sqrt();
    let ticks = [0.0, 0.01, 0.05, 0.2, 0.5, 1.0].map(|at| (x(at), format!("{at}")));
    plot.x_axis(&ticks, "false positive rate (square-root scale)");
    plot.y_axis(&quarters(), "recall");
    let chance: Vec<_> = (0..=40).map(|i| f64::from(i) / 40.0).map(|s| (s, s * s)).collect();
    plot.line(&chance, "chance");
    let points = [(0.0, 0.0)].into_iter().chain(signal.roc.iter().map(|p| (x(p[0]), p[1])));
    let points: Vec<_> = points.collect();
    plot.area(&points, "under");
    plot.line(&points, "curve");
    if let (Some(fpr), Some(recall)) =
        (signal.figures.get("fpr").value, signal.figures.get("recall").value)
    {
        let about = format!("threshold {}: recall {recall:.3}, FPR {fpr:.3}", signal.threshold);
        plot.dot(x(fpr), recall, 5.0, "here", &about);
    }
    plot.finish(&format!("ROC curve, AUC {}", figure(signal.figures.get("auc").value)))
}

/// Precision over recall.
pub(super) fn precision_recall(signal: &SignalReport) -> String {
    let mut plot = Plot::new(300.0);
    plot.x_axis(&quarters(), "recall");
    plot.y_axis(&quarters(), "precision");
    let share = signal.positives as f64 / signal.texts.max(1) as f64;
    plot.line(&[(0.0, share), (1.0, share)], "chance");
    let points: Vec<_> = signal.precision_recall.iter().map(|p| (p[0], p[1])).collect();
    plot.area(&points, "under");
    plot.line(&points, "curve");
    if let (Some(precision), Some(recall)) =
        (signal.figures.get("precision").value, signal.figures.get("recall").value)
    {
        let about =
            format!("threshold {}: precision {precision:.3}, recall {recall:.3}", signal.threshold);
        plot.dot(recall, precision, 5.0, "here", &about);
    }
    let average = figure(signal.figures.get("average_precision").value);
    plot.finish(&format!("precision over recall, average precision {average}"))
}

/// Share of positives over score: on the diagonal, scores are probabilities. `positive` is what makes a text one.
pub(super) fn reliability(bins: &[Bin], positive: &str, ece: Option<f64>) -> String {
    let mut plot = Plot::new(300.0);
    plot.x_axis(&quarters(), "mean score of a bin");
    plot.y_axis(&quarters(), &format!("share of {positive}"));
    plot.line(&[(0.0, 0.0), (1.0, 1.0)], "chance");
    let most = bins.iter().map(|bin| bin.texts).max().unwrap_or(0).max(1) as f64;
    let filled: Vec<_> = bins.iter().filter(|bin| bin.texts > 0).collect();
    let point = |bin: &&Bin| (bin.mean_score, bin.positives as f64 / bin.texts as f64);
    plot.line(&filled.iter().map(point).collect::<Vec<_>>(), "curve thin");
    for bin in &filled {
        let (x, y) = point(bin);
        let radius = 3.0 + 6.0 * (bin.texts as f64 / most).sqrt();
        let about = format!("{} texts: score {x:.3}, share {y:.3}", bin.texts);
        plot.dot(x, y, radius, "bubble", &about);
    }
    plot.finish(&format!("reliability, ECE {}", figure(ece)))
}

/// Texts by score, each label scaled by itself.
pub(super) fn scores(signal: &SignalReport) -> String {
    let mut plot = Plot::new(240.0);
    plot.x_axis(&quarters(), "score");
    let bins = signal.histogram.negatives.len().max(1) as f64;
    let sides = [
        ("negative", &signal.histogram.negatives, signal.negatives),
        ("positive", &signal.histogram.positives, signal.positives),
    ];
    // The square root keeps small bins in sight beside that of the clear cases.
    let height = |count: usize, all: usize| (count as f64 / all.max(1) as f64).sqrt();
    let ticks = [0.0, 0.1, 0.5, 1.0].map(|at: f64| (at.sqrt(), format!("{at}")));
    plot.y_axis(&ticks, "share of its label");
    for (class, counts, all) in sides {
        for (i, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let x = (i as f64 / bins, (i + 1) as f64 / bins);
            let about = format!("{count} {class} texts, score {:.3} to {:.3}", x.0, x.1);
            plot.bar(x, height(*count, all), class, &about);
        }
    }
    plot.mark(signal.threshold, &format!("threshold {}", signal.threshold));
    plot.finish("texts by score and label")
}

/// Milliseconds of a `task`.
pub(super) fn latency(latency: &Latency, task: &str) -> String {
    let mut plot = Plot::new(220.0);
    let bins = &latency.histogram;
    let most = bins.iter().map(|bin| bin.texts).max().unwrap_or(0).max(1) as f64;
    let n = bins.len().max(1) as f64;
    let stride = bins.len().div_ceil(6).max(1);
    let ticks: Vec<_> = bins
        .iter()
        .enumerate()
        .step_by(stride)
        .map(|(i, bin)| (i as f64 / n, milliseconds(bin.from_ms)))
        .collect();
    plot.x_axis(&ticks, "milliseconds (logarithmic scale)");
    plot.y_axis(&[(0.0, "0".into()), (1.0, format!("{most:.0}"))], "texts");
    for (i, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.texts > 0) {
        let about = format!(
            "{} texts: {} to {} ms",
            bin.texts,
            milliseconds(bin.from_ms),
            milliseconds(bin.to_ms)
        );
        let x = (i as f64 / n, (i + 1) as f64 / n);
        plot.bar(x, bin.texts as f64 / most, "time", &about);
    }
    plot.finish(&format!("milliseconds of a {task}, median {}", milliseconds(latency.p50_ms)))
}

fn milliseconds(ms: f64) -> String {
    match ms {
        ..0.0995 => format!("{ms:.3}"),
        ..0.995 => format!("{ms:.2}"),
        ..9.95 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}

/// One bar a type: F1 by overlap and its interval.
pub(super) fn types(types: &[TypeReport]) -> String {
    let rows = types.iter().map(|row| {
        let about = format!("{} labelled, {} found", row.labelled, row.found);
        (row.name.as_str(), row.overlap.f1, about)
    });
    bars(&rows.collect::<Vec<_>>(), "F1 by overlap of each type")
}

/// Horizontal bars from 0 to 1 with whiskers.
pub(super) fn bars(rows: &[(&str, Estimate, String)], about: &str) -> String {
    const NAMES: f64 = 150.0;
    const VALUES: f64 = 48.0;
    let x = |share: f64| NAMES + share.clamp(0.0, 1.0) * (WIDTH - NAMES - VALUES);
    let height = BAR_ROW * rows.len() as f64 + 8.0;
    let mut out = format!(
        r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{}">"#,
        escaped(about)
    );
    for at in [0.0, 0.5, 1.0] {
        let _ = write!(
            out,
            r#"<line class="grid" x1="{0:.1}" y1="0" x2="{0:.1}" y2="{height}"/>"#,
            x(at)
        );
    }
    for (i, (name, estimate, explained)) in rows.iter().enumerate() {
        let y = BAR_ROW * i as f64 + 4.0;
        let middle = y + BAR_ROW / 2.0;
        let _ = write!(
            out,
            r#"<text class="name" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            NAMES - 8.0,
            middle + 4.0,
            escaped(name)
        );
        let Some(value) = estimate.value else { continue };
        let _ = write!(
            out,
            r#"<rect class="type" x="{:.1}" y="{:.1}" width="{:.1}" height="14" rx="2"><title>{}: {}, {}</title></rect>"#,
            x(0.0),
            middle - 7.0,
            x(value) - x(0.0),
            escaped(name),
            super::estimate(estimate),
            escaped(explained)
        );
        if let (Some(low), Some(high)) = (estimate.low, estimate.high) {
            let _ = write!(
                out,
                r#"<line class="whisker" x1="{:.1}" y1="{middle:.1}" x2="{:.1}" y2="{middle:.1}"/>"#,
                x(low),
                x(high)
            );
        }
        let _ = write!(
            out,
            r#"<text class="value" x="{:.1}" y="{:.1}" text-anchor="end">{value:.3}</text>"#,
            WIDTH - 2.0,
            middle + 4.0
        );
    }
    out.push_str("</svg>");
    out
}

/// As what each labelled type was found.
pub(super) fn confusion(confusion: &Confusion) -> String {
    let names = || confusion.types.iter().map(String::as_str);
    let rows = names().chain(["(no label)"]).zip(confusion.counts.iter().map(Vec::as_slice));
    let columns: Vec<&str> = names().chain(["not found"]).collect();
    cells("labelled \\ found as", &columns, rows)
}

/// A table of counts; cells are tinted by their share of the row, those on the diagonal as right.
pub(super) fn cells<'a>(
    corner: &str,
    columns: &[&str],
    rows: impl Iterator<Item = (&'a str, &'a [usize])>,
) -> String {
    let mut out = format!(
        "<div class=\"wide\"><table class=\"confusion\"><thead><tr><th>{}</th>",
        escaped(corner)
    );
    for name in columns {
        let _ = write!(out, "<th><span>{}</span></th>", escaped(name));
    }
    out.push_str("</tr></thead><tbody>");
    for (row, (name, counts)) in rows.enumerate() {
        let all: usize = counts.iter().sum();
        if all == 0 {
            continue;
        }
        let _ = write!(out, "<tr><th>{}</th>", escaped(name));
        for (column, count) in counts.iter().enumerate() {
            let class = if row == column { "right" } else { "astray" };
            let share = *count as f64 / all as f64;
            let _ = match count {
                0 => write!(out, "<td></td>"),
                _ => write!(out, r#"<td class="{class}" style="--share:{share:.2}">{count}</td>"#),
            };
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    out
}
