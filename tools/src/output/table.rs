// SPDX-License-Identifier: AGPL-3.0-or-later
//! A plain table: columns as wide as they need to be, two spaces between them.

use super::style::{self, Style, Tint};

/// One cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tint: Tint,
}

impl Cell {
    /// A cell in this tint.
    pub(crate) fn tinted(tint: Tint, text: impl AsRef<str>) -> Self {
        // A cell is one line, whatever it holds.
        let text = style::clean(text.as_ref()).replace(['\n', '\t'], " ");
        Self { text, tint }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::tinted(Tint::Plain, text)
    }
}

/// Rows under headings. Columns whose heading starts with `>` are right-aligned.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    headings: [&'static str; N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    /// An empty table.
    pub(crate) fn new(headings: [&'static str; N]) -> Self {
        Self { headings, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [Cell; N]) {
        self.rows.push(cells);
    }

    /// The table as text, each line ended; the last column is wrapped to the style's width.
    pub(crate) fn render(&self, style: &Style) -> String {
        let heading = |i: usize| self.headings[i].trim_start_matches('>');
        let mut widths: [usize; N] = std::array::from_fn(|i| heading(i).len());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(style::columns(&cell.text));
            }
        }
        let mut out = String::new();
        let headings: [Cell; N] = std::array::from_fn(|i| Cell::tinted(Tint::Dim, heading(i)));
        for row in std::iter::once(&headings).chain(&self.rows) {
            self.line(row, &widths, style, &mut out);
        }
        out
    }

    fn line(&self, row: &[Cell; N], widths: &[usize; N], style: &Style, out: &mut String) {
        let begin = out.len();
        let mut column = 0;
        for (i, cell) in row.iter().enumerate() {
            let padding = widths[i].saturating_sub(style::columns(&cell.text));
            let right = self.headings[i].starts_with('>');
            if right {
                out.extend(std::iter::repeat_n(' ', padding));
            }
            let last = i + 1 == N;
            match style.width() {
                // Below some width, hanging columns only get harder to read.
                Some(width) if last && column + widths[i] > width && column + 20 <= width => {
                    let mut filled = String::new();
                    style::fill(&cell.text, width - column, 0, &mut filled);
                    let hanging = filled.replace('\n', &format!("\n{:column$}", ""));
                    out.push_str(&style.paint(cell.tint, &hanging));
                }
                _ => out.push_str(&style.paint(cell.tint, &cell.text)),
            }
            if !last {
                if !right {
                    out.extend(std::iter::repeat_n(' ', padding));
                }
                out.push_str("  ");
                column += widths[i] + 2;
            }
        }
        out.truncate(begin + out[begin..].trim_end_matches(' ').len());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_do_not_get_through() {
        let mut table = Table::new(["node", ">ms", "status"]);
        table.row(["parse".into(), "9".into(), "ok".into()]);
        table.row(["a\nb".into(), "112".into(), "\x1b[31m".into()]);
        assert_eq!(
            table.render(&Style::PLAIN),
            "node    ms  status\nparse    9  ok\na b    112  \\u{1b}[31m\n"
        );
    }
}
