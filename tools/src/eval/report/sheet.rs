// SPDX-License-Identifier: AGPL-3.0-or-later
//! A report laid out, in a form that a terminal and a page can show: sections of tables, pictures for the page, cases.

use std::fmt::Write as _;

use serde_json::Value;

use super::page::{self, escaped};
use super::terminal::{self, heading};
use crate::eval::bootstrap::Estimate;
use crate::eval::tasks::{Case, Head};
use crate::output::style::Style;
use crate::output::table::Table;

/// A report.
pub(crate) struct Sheet<'a> {
    /// What was measured: `Summaries`.
    pub(super) title: &'static str,
    /// How much of it, and how.
    pub(super) about: String,
    pub(super) head: &'a Head,
    /// What took the times of the latency: `summary`.
    pub(super) task: &'static str,
    /// Figures one looks for first.
    pub(super) tiles: Vec<(String, Estimate)>,
    pub(super) sections: Vec<Section>,
    pub(super) cases: &'a [Case],
    pub(super) about_cases: &'static str,
}

/// A part of a report.
pub(super) struct Section {
    pub(super) title: String,
    pub(super) about: String,
    pub(super) tables: Vec<Grid>,
    /// Title, explanation, SVG or a table.
    pub(super) pictures: Vec<(&'static str, String, String)>,
}

/// A table; the first column names the row.
pub(super) struct Grid {
    pub(super) headings: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

/// Most columns of a [`Grid`]; the terminal leaves further ones out.
const COLUMNS: usize = 7;

impl Sheet<'_> {
    /// The report as tables.
    pub(crate) fn terminal(&self, style: &Style) -> String {
        let mut out = String::new();
        for file in &self.head.data {
            let sum = &file.sha256[..16.min(file.sha256.len())];
            let _ = writeln!(out, "{}: {} lines, sha256 {sum}", file.file, file.texts);
        }
        for (note, lines) in &self.head.notes {
            let _ = writeln!(out, "{lines}: {note}");
        }
        let _ = writeln!(out, "measured: {}", self.what());
        for section in &self.sections {
            heading(&section.title, &section.about, style, &mut out);
            for (i, grid) in section.tables.iter().enumerate() {
                if i > 0 {
                    out.push('\n');
                }
                out.push_str(&grid.terminal(style));
            }
        }
        if let Some(latency) = &self.head.latency {
            let machine = self.head.machine.as_deref();
            terminal::render_latency(latency, machine, self.task, style, &mut out);
        }
        out
    }

    /// The report as a page.
    pub(crate) fn page(&self) -> String {
        let mut out = String::with_capacity(64 << 10);
        let title = match self.head.data.as_slice() {
            [one] => format!("{} of {}", self.title, one.file),
            many => format!("{} of {} files", self.title, many.len()),
        };
        let resamples = page::resamples(self.head.bootstrap.resamples);
        page::open(&title, &format!("{}; {}; {resamples}.", self.about, self.what()), &mut out);
        let latency = self.head.latency.as_ref();
        page::write_tiles(self.tiles.clone(), latency, &format!("a {}", self.task), &mut out);
        for section in &self.sections {
            page::section(&section.title, &section.about, &mut out);
            for grid in &section.tables {
                // What aligns a column in a terminal is no part of its name.
                let headings: Vec<&str> =
                    grid.headings.iter().map(|name| name.trim_start_matches('>')).collect();
                page::table(&headings, &grid.rows, &mut out);
            }
            if !section.pictures.is_empty() {
                out.push_str("<div class=\"pictures\">");
                for (title, about, picture) in &section.pictures {
                    page::picture(title, about, picture, &mut out);
                }
                out.push_str("</div>");
            }
            out.push_str("</section>");
        }
        if let Some(latency) = latency {
            page::latency_section(latency, self.head.machine.as_deref(), self.task, &mut out);
        }
        self.page_cases(&mut out);
        self.provenance(&mut out);
        page::close(&mut out);
        out
    }

    /// What was measured, in one line.
    fn what(&self) -> String {
        let models: Vec<&str> = self.head.models.iter().map(|model| model.name.as_str()).collect();
        let pipeline = self.head.pipeline.as_ref().map(|file| format!(", models of {file}"));
        format!(
            "bho {} with {}{}",
            self.head.version,
            models.join(", "),
            pipeline.unwrap_or_default()
        )
    }

    fn page_cases(&self, out: &mut String) {
        if self.cases.is_empty() {
            return;
        }
        page::section("Worst mistakes", self.about_cases, out);
        out.push_str("<ol class=\"mistakes\">");
        for case in self.cases {
            let about: Vec<String> = case
                .about
                .iter()
                .map(|(key, value)| match value {
                    Value::String(word) => format!("{key} {word}"),
                    other => format!("{key} {other}"),
                })
                .collect();
            let group = case.group.as_ref().map(|group| format!(" · {group}")).unwrap_or_default();
            let _ = write!(
                out,
                "<li><div><b>{}</b> {}:{}{} · {}</div>",
                escaped(&case.kind.replace('_', " ")),
                escaped(&case.file),
                case.line,
                escaped(&group),
                escaped(&about.join(", "))
            );
            for text in &case.texts {
                let _ = write!(out, "<blockquote>{}</blockquote>", escaped(text));
            }
            out.push_str("</li>");
        }
        out.push_str("</ol></section>");
    }

    fn provenance(&self, out: &mut String) {
        out.push_str("<section><h2>What was measured</h2>");
        let head = self.head;
        let file = |file: &crate::eval::lines::DataFile| {
            vec![file.file.clone(), format!("{} lines, sha256 {}", file.texts, file.sha256)]
        };
        let mut rows: Vec<Vec<String>> = head.data.iter().map(file).collect();
        rows.extend(
            head.models
                .iter()
                .map(|model| vec![model.name.clone(), format!("model, sha256 {}", model.sha256)]),
        );
        rows.push(vec!["program".to_owned(), format!("bho {}", head.version)]);
        let b = &head.bootstrap;
        rows.push(vec![
            "bootstrap".to_owned(),
            format!("{} resamples, seed {}", b.resamples, b.seed),
        ]);
        rows.extend(head.notes.iter().map(|(note, n)| vec![format!("{n}"), note.clone()]));
        page::table(&["", ""], &rows, out);
        out.push_str("</section>");
    }
}

impl Grid {
    fn terminal(&self, style: &Style) -> String {
        match self.headings.len() {
            0 | 1 => String::new(),
            2 => self.of::<2>(style),
            3 => self.of::<3>(style),
            4 => self.of::<4>(style),
            5 => self.of::<5>(style),
            6 => self.of::<6>(style),
            _ => self.of::<COLUMNS>(style),
        }
    }

    fn of<const N: usize>(&self, style: &Style) -> String {
        let mut table = Table::new(std::array::from_fn::<_, N, _>(|i| self.headings[i]));
        for row in &self.rows {
            table.row(std::array::from_fn(|i| row.get(i).map_or("", String::as_str).into()));
        }
        table.render(style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_shows_every_row_in_a_terminal() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let grid =
            Grid { headings: vec!["a", "b", "c"], rows: vec![row(&["1", "2", "3"]), row(&["4"])] };
        assert_eq!(grid.terminal(&Style::PLAIN), "a  b  c\n1  2  3\n4\n");
    }
}
