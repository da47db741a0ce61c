// SPDX-License-Identifier: AGPL-3.0-or-later
//! The report of `bho bench kernels` for people.

use clap::ValueEnum as _;

use super::kernels::{Mode, Report, Row};
use super::memory::Place;
use super::{Op, PageSize};
use crate::output::style::{Style, Tint};
use crate::output::table::{Cell, Table};

/// Everything: machine, limits, one table an operation, and a summary.
pub(crate) fn describe(report: &Report, style: &Style) -> String {
    let mut out = machine(report, style);
    out.push_str(&limits(report, style));
    for op in Op::value_variants() {
        let rows: Vec<_> = report.rows.iter().filter(|row| row.op == *op).collect();
        if !rows.is_empty() {
            out.push_str(&kernels(*op, &rows, style));
        }
    }
    out.push_str(&summary(report, style));
    for note in &report.notes {
        out.push_str(&style.wrap(&format!("note: {note}")));
        out.push('\n');
    }
    if !report.complete {
        out.push_str(&style.paint(Tint::Yellow, "stopped: this is what was measured so far"));
        out.push('\n');
    }
    out
}

/// `48 KiB`, `260 MiB`: caches are powers of two.
fn binary(bytes: usize) -> String {
    match bytes {
        ..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}

/// Three digits, more only before the point.
fn digits(value: f64) -> String {
    match value {
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// `12.3 us`, `4.56 ms`.
fn time(seconds: f64) -> String {
    match seconds {
        ..0.999_5e-3 => format!("{} us", digits(seconds * 1e6)),
        ..0.999_5 => format!("{} ms", digits(seconds * 1e3)),
        _ => format!("{} s", digits(seconds)),
    }
}

fn machine(report: &Report, style: &Style) -> String {
    let machine = &report.machine;
    let brand = machine.cpu.brand.as_deref().unwrap_or("unknown CPU");
    let caches: Vec<_> = machine
        .caches
        .iter()
        .map(|cache| format!("{} {}", Place::Cache(cache.level).name(), binary(cache.bytes)))
        .collect();
    let online = machine.cpu.online.map(|n| format!("{n} CPUs, ")).unwrap_or_default();
    let line =
        format!("{online}{}; DRAM read from {}", caches.join(", "), binary(machine.arena_bytes));
    format!("{}\n{}\n\n", style.paint(Tint::Bold, brand), style.paint(Tint::Dim, &line))
}

fn limits(report: &Report, style: &Style) -> String {
    let limits = &report.limits;
    let threads = &report.machine.threads;
    let list = |rate: &dyn Fn(usize) -> Option<f64>| {
        let rates = threads.iter().map(|&n| rate(n).map_or_else(|| "-".to_owned(), digits));
        rates.collect::<Vec<_>>().join(" / ")
    };
    let mut table = Table::new(["limit", ">measured", "", "how"]);
    let mut seen = Vec::new();
    for read in &limits.read {
        let key = (read.from, read.pages);
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let rate = |n| {
            let mut same = limits.read.iter().filter(|r| (r.from, r.pages) == key);
            same.find(|r| r.threads == n).map(|r| r.gb_s)
        };
        let how = format!(
            "{} a thread, {} pages, {}",
            binary(read.bytes_per_thread),
            pages(read.pages),
            crate::output::count(read.streams, "stream")
        );
        let name = format!("{} read", read.from.name());
        table.row([name.into(), list(&rate).into(), "GB/s".into(), Cell::tinted(Tint::Dim, how)]);
    }
    for peak in limits.int8.iter().filter(|peak| Some(&peak.threads) == threads.first()) {
        let rate = |n| limits.peak(peak.isa, n);
        let how = format!("{}: multiply-adds on registers alone", peak.isa);
        table.row([
            "int8 peak".into(),
            list(&rate).into(),
            "GOP/s".into(),
            Cell::tinted(Tint::Dim, how),
        ]);
    }
    let threads: Vec<_> = threads.iter().map(usize::to_string).collect();
    let title = format!("limits of this machine, {} threads", threads.join(" / "));
    format!("{}\n{}\n", style.paint(Tint::Bold, &title), table.render(style))
}

fn pages(pages: PageSize) -> &'static str {
    match pages {
        PageSize::Small => "small",
        PageSize::Huge => "huge",
    }
}

fn kernels(op: Op, rows: &[&Row], style: &Style) -> String {
    let mut table = Table::new([
        "shape", ">N", "weights", ">thr", "kernel", ">time", ">GB/s", ">GOP/s", "limit", ">of it",
        "",
    ]);
    let mut above: [String; 4] = Default::default();
    for row in rows {
        let place = match row.weights_from {
            Place::Dram => format!("DRAM {}", pages(row.pages)),
            cache => cache.name(),
        };
        let group =
            [row.shape().to_string(), row.tokens.to_string(), place, row.threads.to_string()];
        // A value is shown where it or one to its left changes: the eye finds the groups.
        let same = group.iter().zip(&above).take_while(|(now, before)| now == before).count();
        let shown = |i: usize| if i < same { "" } else { group[i].as_str() };
        let kernel = row.kernel.split_once('/').map_or(row.kernel.as_str(), |(_, rest)| rest);
        let (share, bar) = match row.fraction {
            Some(fraction) => (percent(fraction), bar(fraction)),
            None => ("-".into(), Cell::from("")),
        };
        table.row([
            Cell::tinted(Tint::Bold, shown(0)),
            shown(1).into(),
            shown(2).into(),
            shown(3).into(),
            kernel.into(),
            time(row.seconds.median).into(),
            digits(row.gb_s).into(),
            digits(row.gop_s).into(),
            Cell::tinted(Tint::Dim, row.limit.as_ref().map_or("-", |limit| limit.by.as_str())),
            share.into(),
            bar,
        ]);
        above = group;
    }
    let title = match op {
        Op::Ternary => "ternary weights, 2 bits each",
        Op::Dense => "dense ternary weights, 1.6 bits each",
        Op::Int8 => "int8 weights",
    };
    let explained = "rows x columns, N tokens; GB/s of packed weights";
    format!(
        "{}  {}\n{}\n",
        style.paint(Tint::Bold, title),
        style.paint(Tint::Dim, explained),
        table.render(style)
    )
}

fn percent(fraction: f64) -> String {
    format!("{:.0} %", fraction * 100.0)
}

/// Eight columns for the whole limit.
fn bar(fraction: f64) -> Cell {
    const COLUMNS: usize = 8;
    const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 64")]
    let eighths = (fraction.clamp(0.0, 1.0) * (8 * COLUMNS) as f64).round() as usize;
    let mut text = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        text.push(PARTS[eighths % 8]);
    }
    let tint = match fraction {
        0.6.. => Tint::Green,
        0.3.. => Tint::Plain,
        _ => Tint::Yellow,
    };
    Cell::tinted(tint, text)
}

/// Medians over the shapes, on the most threads and the pages that serve best.
fn summary(report: &Report, style: &Style) -> String {
    let threads = report.machine.threads.iter().copied().max().unwrap_or(1);
    let rows: Vec<_> = report.rows.iter().filter(|row| row.threads == threads).collect();
    let Some(best_pages) = rows.iter().map(|row| row.pages).max() else { return String::new() };
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let cell = |rows: &[&Row], of: &dyn Fn(&Row) -> bool, unit: &str| {
        let rows: Vec<_> = rows.iter().filter(|row| of(row)).collect();
        let rate = |row: &&&Row| if unit == "GB/s" { row.gb_s } else { row.gop_s };
        let rate = middle(rows.iter().map(rate).collect());
        let share = middle(rows.iter().filter_map(|row| row.fraction).collect());
        match (rate, share) {
            (Some(rate), Some(share)) => format!("{} {unit}, {}", digits(rate), percent(share)),
            _ => "-".to_owned(),
        }
    };
    let dram = |row: &Row| row.mode == Mode::Dram && row.pages == best_pages;
    let cache = |row: &Row| row.mode == Mode::Cache && row.tokens == 1;
    let many = |row: &Row| row.tokens >= 128;
    let mut table =
        Table::new(["", "backend", ">1 token, DRAM", ">1 token, cache", ">128 tokens and more"]);
    for op in Op::value_variants() {
        // In the order of the limits, which is that of speed.
        for peak in report.limits.int8.iter().filter(|peak| peak.threads == threads) {
            let of = |row: &&&Row| row.op == *op && row.isa == peak.isa;
            let rows: Vec<_> = rows.iter().filter(of).copied().collect();
            if !rows.is_empty() {
                table.row([
                    op.name().into(),
                    peak.isa.into(),
                    cell(&rows, &dram, "GB/s").into(),
                    cell(&rows, &cache, "GB/s").into(),
                    cell(&rows, &many, "GOP/s").into(),
                ]);
            }
        }
    }
    let title = format!("in short, {}", crate::output::count(threads, "thread"));
    format!(
        "{}  {}\n{}\n",
        style.paint(Tint::Bold, &title),
        style.paint(
            Tint::Dim,
            "medians over the shapes, share of the limit that the best sample reached"
        ),
        table.render(style)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_well() {
        assert_eq!([48 << 10, 2 << 20, 3 << 19].map(binary), ["48 KiB", "2 MiB", "1.5 MiB"]);
        assert_eq!(
            [0.034, 9.994, 9.995, 99.95, 1234.5].map(digits),
            ["0.03", "9.99", "10.0", "100", "1234"]
        );
        assert_eq!([12.3e-6, 4.56e-3, 2.5].map(time), ["12.3 us", "4.56 ms", "2.50 s"]);
        assert_eq!([0.856, 1.2].map(percent), ["86 %", "120 %"]);
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let text = |fraction| {
            let mut table = Table::new([""]);
            table.row([bar(fraction)]);
            table.render(&Style::PLAIN).trim().to_owned()
        };
        assert_eq!(
            [0.0, 0.5, 0.5625, 1.0, 7.0].map(text),
            ["", "████", "████▌", "████████", "████████"]
        );
    }
}
