// SPDX-License-Identifier: AGPL-3.0-or-later
//! The roofline (Williams et al., CACM 2009): what a kernel does a second over how much it does
//! with each byte of weights, below the roofs that bandwidth and arithmetic put over it.
//!
//! One panel a number of threads; as a picture (SVG) and for a terminal.

use std::fmt::Write as _;

use super::kernels::{Report, Row};
use super::memory::Place;
use super::{Op, PageSize};
use crate::output::style::{Style, Tint};

/// A logarithmic axis, in decades.
#[derive(Debug, Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// Half decades around all values, at least two of them.
    fn around(values: impl Iterator<Item = f64> + Clone) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min).max(1e-3);
        let high = values.fold(low, f64::max);
        let low = (low.log10() * 2.0).floor() / 2.0;
        Self { low, high: (((high * 1.25).log10() * 2.0).ceil() / 2.0).max(low + 1.0) }
    }

    /// Where a value lies, 0 at the low end and 1 at the high one.
    fn share(self, value: f64) -> f64 {
        (value.log10() - self.low) / (self.high - self.low)
    }

    /// The value at a share.
    fn value(self, share: f64) -> f64 {
        10f64.powf(self.low + share * (self.high - self.low))
    }

    /// The powers of ten within.
    fn decades(self) -> impl Iterator<Item = f64> {
        #[expect(clippy::cast_possible_truncation, reason = "decades of numbers that fit f64")]
        (self.low.ceil() as i32..=self.high.floor() as i32).map(|exponent| 10f64.powi(exponent))
    }
}

/// A power of ten: `0.1`, `10`, `1k`, `10k`.
fn tick(value: f64) -> String {
    if value >= 999.0 { format!("{:.0}k", value / 1e3) } else { format!("{value}") }
}

/// A roof that rises with the operations a byte: GB/s.
struct Slope {
    name: String,
    gb_s: f64,
    /// Of two for main memory, the lower one: that of small pages, but for noise.
    faint: bool,
}

/// What both pictures draw.
struct Panel<'a> {
    threads: usize,
    slopes: Vec<Slope>,
    /// Instruction set, its place among all, and GOP/s.
    peaks: Vec<(&'a str, usize, f64)>,
    /// Rows with the place of their instruction set among all.
    rows: Vec<(&'a Row, usize)>,
}

impl Panel<'_> {
    /// The highest roof there is over so many operations a byte.
    fn ceiling(&self) -> f64 {
        self.peaks.iter().map(|(_, _, gop_s)| *gop_s).fold(0.0, f64::max)
    }

    fn steepest(&self) -> f64 {
        self.slopes.iter().map(|slope| slope.gb_s).fold(0.0, f64::max)
    }
}

/// All panels with the axes they share. Reads from the first cache are no roof: no matrix fits.
fn panels(report: &Report) -> (Vec<Panel<'_>>, Axis, Axis) {
    // The place among all of this machine, so that colours stay when only some are measured.
    let available = bho_kernels::available();
    let number =
        |isa: &str| available.iter().position(|known| known.name() == isa).unwrap_or_default();
    let panel = |&threads: &usize| {
        let reads = report.limits.read.iter();
        let slopes = reads
            .filter(|read| read.threads == threads && read.from != Place::Cache(1))
            .map(|read| {
                let best = report.limits.bandwidth(read.from, threads);
                let faint = best.is_some_and(|best| read.gb_s < best);
                let name = match read.pages {
                    PageSize::Small if faint => "small pages".to_owned(),
                    _ => read.from.name(),
                };
                Slope { name, gb_s: read.gb_s, faint }
            });
        let peaks = report.limits.int8.iter().filter(|peak| peak.threads == threads);
        let rows = report.rows.iter().filter(|row| row.threads == threads);
        Panel {
            threads,
            slopes: slopes.collect(),
            peaks: peaks.map(|peak| (peak.isa, number(peak.isa), peak.gop_s)).collect(),
            rows: rows.map(|row| (row, number(row.isa))).collect(),
        }
    };
    let panels: Vec<_> = report.machine.threads.iter().map(panel).collect();
    let ops = report.rows.iter().map(|row| row.ops_per_byte);
    // The least there is, 2, leaves room for the names of the slopes.
    let x = Axis::around(ops.chain([0.5, 1000.0]));
    let reached = report.rows.iter().map(|row| row.gop_s);
    let roofs = panels.iter().flat_map(|panel| {
        let slopes = panel.slopes.iter().map(|slope| slope.gb_s);
        slopes.chain(panel.peaks.iter().map(|(_, _, gop_s)| *gop_s))
    });
    let y = Axis::around(reached.chain(roofs).collect::<Vec<_>>().into_iter());
    (panels, x, y)
}

/// Colours that people with any colour vision tell apart (Okabe and Ito, 2008).
const COLOURS: [&str; 7] =
    ["#7f7f7f", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 500.0;
const HEAD: f64 = 58.0;
const FOOT: f64 = 60.0;
/// Of a panel: left, right, top, bottom.
const MARGINS: [f64; 4] = [58.0, 118.0, 30.0, 46.0];

/// The picture, on a light ground of its own: it reads the same on a dark page.
pub(crate) fn svg(report: &Report) -> String {
    let (panels, x, y) = panels(report);
    let columns = panels.len().clamp(1, 2);
    let (width, height) =
        (WIDTH * columns as f64, HEAD + FOOT + HEIGHT * panels.len().div_ceil(columns) as f64);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\" \
         font-size=\"12\" fill=\"#333\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#fdfdfb\"/>\n"
    );
    let brand = report.machine.cpu.brand.as_deref().unwrap_or("unknown CPU");
    text(
        &mut out,
        24.0,
        30.0,
        "font-size=\"17\" font-weight=\"600\"",
        &format!("Roofline of {brand}"),
    );
    let subtitle = format!(
        "bho {}, `bho bench kernels`; medians, limits the best of their samples",
        report.version
    );
    text(&mut out, 24.0, 49.0, "fill=\"#777\"", &subtitle);
    for (i, panel) in panels.iter().enumerate() {
        let (left, top) = ((i % columns) as f64 * WIDTH, HEAD + (i / columns) as f64 * HEIGHT);
        let _ = writeln!(out, "<g transform=\"translate({left} {top})\">");
        draw(&mut out, panel, x, y);
        out.push_str("</g>\n");
    }
    legend(&mut out, &panels, height - FOOT + 22.0);
    out.push_str("</svg>\n");
    out
}

fn text(out: &mut String, x: f64, y: f64, attributes: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>");
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), attributes: &str) {
    let _ = writeln!(
        out,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" {attributes}/>",
        from.0, from.1, to.0, to.1
    );
}

/// One panel, its corner at 0, 0.
fn draw(out: &mut String, panel: &Panel<'_>, x: Axis, y: Axis) {
    let [left, right, top, bottom] = MARGINS;
    let (across, down) = (WIDTH - left - right, HEIGHT - top - bottom);
    let at =
        |ops: f64, gop_s: f64| (left + across * x.share(ops), top + down * (1.0 - y.share(gop_s)));
    let (x_low, x_high, y_low) = (x.value(0.0), x.value(1.0), y.value(0.0));

    for decade in x.decades() {
        let (px, _) = at(decade, y_low);
        line(out, (px, top), (px, top + down), "stroke=\"#e4e4e0\"");
        text(out, px, top + down + 17.0, "text-anchor=\"middle\" fill=\"#666\"", &tick(decade));
    }
    for decade in y.decades() {
        let (_, py) = at(x_low, decade);
        line(out, (left, py), (left + across, py), "stroke=\"#e4e4e0\"");
        text(out, left - 7.0, py + 4.0, "text-anchor=\"end\" fill=\"#666\"", &tick(decade));
    }
    let title = crate::output::count(panel.threads, "thread");
    text(out, left, top - 10.0, "font-size=\"14\" font-weight=\"600\"", &title);
    let caption = "operations per byte of packed weights";
    text(out, left + across / 2.0, top + down + 37.0, "text-anchor=\"middle\"", caption);
    let turned =
        format!("text-anchor=\"middle\" transform=\"rotate(-90 16 {:.1})\"", top + down / 2.0);
    text(out, 16.0, top + down / 2.0, &turned, "GOP/s");

    let ceiling = panel.ceiling();
    let angle = -(down / (y.high - y.low) / (across / (x.high - x.low))).atan().to_degrees();
    for slope in &panel.slopes {
        // From the left or the bottom edge up to the highest peak.
        let start = x_low.max(y_low / slope.gb_s);
        let end = (ceiling / slope.gb_s).clamp(start, x_high);
        let dashes = if slope.faint { " stroke-dasharray=\"3 4\"" } else { "" };
        let (from, to) = (at(start, start * slope.gb_s), at(end, end * slope.gb_s));
        line(out, from, to, &format!("stroke=\"#999\" stroke-width=\"1.5\"{dashes}"));
        let (px, py) =
            (from.0 + 8.0, from.1 - 8.0 * (to.1 - from.1).abs() / (to.0 - from.0).max(1.0));
        // Above its line, or below where the line is the lower of two.
        let shift = if slope.faint { 13.0 } else { -5.0 };
        let turned = format!(
            "transform=\"rotate({angle:.1} {px:.1} {py:.1}) translate(0 {shift})\" font-size=\"11\" \
             fill=\"#777\" stroke=\"#fdfdfb\" stroke-width=\"3\" paint-order=\"stroke\""
        );
        text(out, px, py, &turned, &format!("{} {:.0} GB/s", slope.name, slope.gb_s));
    }
    // Names of the peaks stand to the right, pushed apart where they would touch.
    let mut peaks: Vec<_> = panel.peaks.iter().collect();
    peaks.sort_by(|a, b| b.2.total_cmp(&a.2));
    let mut free = top;
    for (isa, number, gop_s) in peaks {
        let colour = COLOURS[number % COLOURS.len()];
        let start = at((gop_s / panel.steepest()).clamp(x_low, x_high), *gop_s);
        let end = at(x_high, *gop_s);
        line(out, start, end, &format!("stroke=\"{colour}\" stroke-width=\"1.5\""));
        let py = (end.1 + 4.0).max(free);
        free = py + 26.0;
        let bold = format!("fill=\"{colour}\" font-size=\"11\" font-weight=\"600\"");
        text(out, end.0 + 6.0, py, &bold, isa);
        let plain = format!("fill=\"{colour}\" font-size=\"11\"");
        text(out, end.0 + 6.0, py + 12.0, &plain, &format!("{gop_s:.0} GOP/s"));
    }
    for (row, number) in &panel.rows {
        let (px, py) = at(row.ops_per_byte, row.gop_s);
        // Side by side, not on top of each other.
        let middle = (panel.peaks.len() as f64 - 1.0) / 2.0;
        let peers = panel.peaks.iter().position(|(_, n, _)| n == number).unwrap_or_default();
        mark(out, row, px + (peers as f64 - middle) * 6.0, py, COLOURS[number % COLOURS.len()]);
    }
}

/// A circle for ternary, a diamond for dense ternary and a square for int8; hollow where weights come from main memory, and
/// smaller there on small pages.
fn mark(out: &mut String, row: &Row, x: f64, y: f64, colour: &str) {
    let hollow = row.weights_from == Place::Dram;
    let r = if hollow && row.pages == PageSize::Small { 2.6 } else { 4.0 };
    let paint = if hollow {
        format!("fill=\"#fdfdfb\" stroke=\"{colour}\" stroke-width=\"1.6\"")
    } else {
        format!("fill=\"{colour}\" fill-opacity=\"0.8\"")
    };
    match row.op {
        Op::Ternary => {
            let _ = write!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r}\" {paint}>");
        }
        Op::Dense => {
            let d = diamond(r);
            let _ = write!(out, "<path transform=\"translate({x:.1} {y:.1})\" d=\"{d}\" {paint}>");
        }
        Op::Int8 => {
            let (x, y, side) = (x - r * 0.9, y - r * 0.9, r * 1.8);
            let _ = write!(
                out,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" height=\"{side:.1}\" {paint}>"
            );
        }
    }
    let place = row.weights_from.name();
    let share =
        row.fraction.map(|f| format!(", {:.0} % of the limit", f * 100.0)).unwrap_or_default();
    let _ = writeln!(
        out,
        "<title>{} {}, N = {}, weights from {place}: {:.1} GB/s, {:.0} GOP/s{share}</title>{}",
        row.kernel,
        row.shape(),
        row.tokens,
        row.gb_s,
        row.gop_s,
        match row.op {
            Op::Ternary => "</circle>",
            Op::Dense => "</path>",
            Op::Int8 => "</rect>",
        }
    );
}

/// A square on its corner, of the area of a circle of radius `r`.
fn diamond(r: f64) -> String {
    let d = r * 1.25;
    format!("M0 -{d:.2}L{d:.2} 0L0 {d:.2}L-{d:.2} 0Z")
}

/// Colours in one line, shapes in the next.
fn legend(out: &mut String, panels: &[Panel<'_>], y: f64) {
    let square = |side: f64, colour: &str| {
        let corner = -side / 2.0;
        format!(
            "<rect x=\"{corner}\" y=\"{corner}\" width=\"{side}\" height=\"{side}\" fill=\"{colour}\"/>"
        )
    };
    let circle = |r: f64, paint: &str| format!("<circle r=\"{r}\" {paint}/>");
    let hollow = "fill=\"none\" stroke=\"#555\" stroke-width=\"1.6\"";
    let peaks = panels.first().map_or(&[][..], |panel| &panel.peaks);
    let isas = peaks.iter().map(|(isa, n, _)| (square(10.0, COLOURS[n % COLOURS.len()]), *isa));
    let shapes = vec![
        (circle(4.0, "fill=\"#555\""), "ternary"),
        (format!("<path d=\"{}\" fill=\"#555\"/>", diamond(4.0)), "dense ternary"),
        (square(7.2, "#555"), "int8"),
        (circle(4.0, hollow), "weights from DRAM"),
        (circle(2.6, hollow), "the same on small pages"),
    ];
    for (i, items) in [isas.collect(), shapes].into_iter().enumerate() {
        let (mut x, y) = (30.0, y + 20.0 * i as f64);
        for (shape, name) in items {
            let _ = writeln!(out, "<g transform=\"translate({x:.1} {y:.1})\">{shape}</g>");
            text(out, x + 10.0, y + 4.0, "", name);
            x += 34.0 + 6.8 * name.len() as f64;
        }
    }
}

/// Rows of a terminal's plot.
const LINES: usize = 20;

/// The same for a terminal: a letter an instruction set, small where weights come from main memory.
pub(crate) fn plot(report: &Report, style: &Style) -> String {
    let (panels, x, y) = panels(report);
    let columns = style.width().unwrap_or(100).saturating_sub(8).max(24);
    let mut out = String::new();
    for panel in &panels {
        let title = crate::output::count(panel.threads, "thread");
        let explained = "GOP/s over operations per byte of packed weights";
        let _ = writeln!(
            out,
            "roofline, {}  {}",
            style.paint(Tint::Bold, &title),
            style.paint(Tint::Dim, explained)
        );
        out.push_str(&plot_panel(panel, x, y, columns, style));
        let letters = panel.peaks.iter().map(|(isa, number, gop_s)| {
            let key = style.paint(tint(*number), &letter(*number).to_string()).into_owned();
            format!("{key} {isa} ({gop_s:.0})")
        });
        let slopes = panel.slopes.iter().filter(|slope| !slope.faint);
        let slopes = slopes.map(|slope| format!("{} {:.0} GB/s", slope.name, slope.gb_s));
        let letters = letters.collect::<Vec<_>>().join("  ");
        let slopes = slopes.collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "{letters}; small letters: weights from DRAM\ndots: {slopes}\n");
    }
    out
}

fn letter(number: usize) -> char {
    char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number % 26])
}

fn tint(number: usize) -> Tint {
    [Tint::Plain, Tint::Yellow, Tint::Green, Tint::Red, Tint::Bold][number % 5]
}

fn plot_panel(panel: &Panel<'_>, x: Axis, y: Axis, columns: usize, style: &Style) -> String {
    let cell = |share: f64, cells: usize| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..=1")]
        (0.0..=1.0).contains(&share).then(|| (share * (cells - 1) as f64).round() as usize)
    };
    // Rows from the top.
    let line = |gop_s: f64| cell(1.0 - y.share(gop_s), LINES);
    let mut grid = vec![vec![(' ', Tint::Plain); columns]; LINES];
    let across = (0..columns).map(|column| (column, x.value(column as f64 / (columns - 1) as f64)));
    for (column, ops) in across {
        let rising = panel.slopes.iter().map(|slope| (slope.gb_s * ops, '·'));
        let rising = rising.filter(|(gop_s, _)| *gop_s <= panel.ceiling());
        let level = panel.peaks.iter().map(|(_, _, gop_s)| (*gop_s, '─'));
        let level = level.filter(|(gop_s, _)| *gop_s <= panel.steepest() * ops);
        for (gop_s, mark) in rising.chain(level) {
            if let Some(line) = line(gop_s) {
                grid[line][column] = (mark, Tint::Dim);
            }
        }
    }
    for (row, number) in &panel.rows {
        let (column, line) = (cell(x.share(row.ops_per_byte), columns), line(row.gop_s));
        if let (Some(column), Some(line)) = (column, line) {
            let letter = letter(*number);
            let small = row.weights_from == Place::Dram;
            let letter = if small { letter.to_ascii_lowercase() } else { letter };
            grid[line][column] = (letter, tint(*number));
        }
    }

    let mut labels = vec![String::new(); LINES];
    for decade in y.decades() {
        if let Some(line) = line(decade) {
            labels[line] = tick(decade);
        }
    }
    let mut out = String::new();
    for (label, cells) in labels.iter().zip(&grid) {
        let axis = if label.is_empty() { '│' } else { '┤' };
        let _ = write!(out, "{label:>6} {axis}");
        let end = cells.iter().rposition(|(mark, _)| *mark != ' ').map_or(0, |last| last + 1);
        for (mark, tint) in &cells[..end] {
            out.push_str(&style.paint(*tint, mark.encode_utf8(&mut [0; 4])));
        }
        out.push('\n');
    }
    let mut axis = vec!['─'; columns];
    let mut labels = vec![' '; columns + 8];
    for decade in x.decades() {
        let Some(column) = cell(x.share(decade), columns) else { continue };
        axis[column] = '┬';
        for (slot, digit) in labels[column..].iter_mut().zip(tick(decade).chars()) {
            *slot = digit;
        }
    }
    let (axis, labels): (String, String) =
        (axis.into_iter().collect(), labels.into_iter().collect());
    let _ = writeln!(out, "{:>7}└{axis}\n{:>8}{}", "", "", labels.trim_end());
    out
}

#[cfg(test)]
mod tests {
    use super::super::kernels::{MachineReport, Mode, Split};
    use super::super::limits::{Int8Limit, Limits, ReadLimit};
    use super::super::team::Seconds;
    use super::*;
    use crate::machine::Machine;

    /// Two rows on `scalar`: one at 80 % of what main memory gives, one at half the peak.
    fn report() -> Report {
        let read = |from, pages, gb_s| ReadLimit {
            from,
            threads: 1,
            pages,
            bytes_per_thread: 1 << 20,
            streams: 1,
            gb_s,
            median_gb_s: gb_s,
        };
        let limits = Limits {
            read: vec![
                read(Place::Cache(1), PageSize::Huge, 330.0),
                read(Place::Cache(2), PageSize::Huge, 185.0),
                read(Place::Dram, PageSize::Small, 10.0),
                read(Place::Dram, PageSize::Huge, 16.0),
            ],
            int8: vec![Int8Limit { isa: "scalar", threads: 1, gop_s: 900.0, median_gop_s: 890.0 }],
        };
        let row = |tokens, weights_from, ops_per_byte: f64, gop_s| Row {
            op: Op::Ternary,
            isa: "scalar",
            kernel: "ternary_gemm/scalar/1x16".into(),
            rows: 16,
            cols: 16,
            tokens,
            threads: 1,
            split: Split::Rows,
            mode: Mode::Cache,
            weights_from,
            pages: PageSize::Huge,
            packed_bytes: 64,
            seconds: Seconds { median: 1.0, min: 1.0, max: 1.0, samples: 1, rounds: 1 },
            gb_s: gop_s / ops_per_byte,
            gop_s,
            ops_per_byte,
            limit: limits.roof("scalar", 1, weights_from, ops_per_byte),
            fraction: Some(0.5),
        };
        let rows = vec![row(1, Place::Dram, 8.0, 102.4), row(128, Place::Cache(2), 1024.0, 450.0)];
        let Machine { mut cpu, memory } = Machine::read();
        cpu.brand = Some("A & <B>".into());
        Report {
            version: "0",
            complete: true,
            machine: MachineReport {
                cpu,
                memory,
                caches: Vec::new(),
                transparent_huge_pages: None,
                arena_bytes: 1 << 30,
                threads: vec![1],
            },
            limits,
            rows,
            notes: Vec::new(),
            elapsed_s: 1.0,
        }
    }

    #[test]
    fn axes_hold_all_values_within_half_decades() {
        let axis = Axis::around([3.0, 700.0].into_iter());
        assert_eq!((axis.low, axis.high), (0.0, 3.0));
        assert_eq!(axis.decades().collect::<Vec<_>>(), [1.0, 10.0, 100.0, 1000.0]);
        assert!((axis.share(10.0) - 1.0 / 3.0).abs() < 1e-12);
        assert!((axis.value(axis.share(70.0)) - 70.0).abs() < 1e-9);
        let one = Axis::around([5.0].into_iter());
        assert_eq!((one.low, one.high), (0.5, 1.5));
        assert_eq!([0.1, 1.0, 100.0, 10_000.0].map(tick), ["0.1", "1", "100", "10k"]);
    }

    #[test]
    fn marks_lie_below_their_roofs() {
        let report = report();
        let (panels, x, y) = panels(&report);
        let [left, right, top, bottom] = MARGINS;
        let picture = svg(&report);
        for row in &report.rows {
            let px = left + (WIDTH - left - right) * x.share(row.ops_per_byte);
            let py = top + (HEIGHT - top - bottom) * (1.0 - y.share(row.gop_s));
            let mark = format!("<circle cx=\"{px:.1}\" cy=\"{py:.1}\"");
            assert!(picture.contains(&mark), "{mark} is not in {picture}");
            assert!((top..HEIGHT - bottom).contains(&py) && (left..WIDTH - right).contains(&px));
            let roof = row.limit.as_ref().unwrap().gop_s;
            assert!(y.share(row.gop_s) < y.share(roof));
        }
        // The first cache is no roof, and of main memory's two the lower is dashed.
        assert_eq!(panels[0].slopes.len(), 3);
        assert_eq!(picture.matches("stroke-dasharray").count(), 1);
        assert!(picture.contains("A &amp; &lt;B&gt;") && picture.contains("DRAM 16 GB/s"));
    }

    #[test]
    fn a_plot_is_as_wide_as_asked_and_shows_every_mark() {
        let report = report();
        let text = plot(&report, &Style::PLAIN);
        let lines: Vec<_> = text.lines().filter(|l| l.contains(['│', '┤', '└'])).collect();
        assert_eq!(lines.len(), LINES + 1);
        assert!(lines.iter().all(|line| line.chars().count() <= 100), "{text}");
        // From main memory a small letter, from a cache a large one.
        let marks = |mark| lines.iter().filter(|line| line.contains(mark)).count();
        assert_eq!((marks('a'), marks('A')), (1, 1), "{text}");
        assert!(text.contains("A scalar (900)") && text.contains("L2 185 GB/s, DRAM 16 GB/s"));
    }
}
