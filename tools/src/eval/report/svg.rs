// SPDX-License-Identifier: AGPL-3.0-or-later
//! Pictures as SVG: a plot area with axes, and what is drawn into it. Colours are the page's classes.

use std::fmt::Write as _;

use super::page::escaped;

/// Width of a picture; heights vary.
pub(super) const WIDTH: f64 = 420.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;

/// A plot: x and y run from 0 to 1 and are placed by the caller's own scales.
pub(super) struct Plot {
    height: f64,
    body: String,
}

impl Plot {
    pub(super) fn new(height: f64) -> Self {
        Self { height, body: String::new() }
    }

    fn x(share: f64) -> f64 {
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, share: f64) -> f64 {
        self.height - BOTTOM - share.clamp(0.0, 1.0) * (self.height - TOP - BOTTOM)
    }

    /// Ticks with their labels along x, and what x is.
    pub(super) fn x_axis(&mut self, ticks: &[(f64, String)], title: &str) {
        let (bottom, top) = (self.y(0.0), self.y(1.0));
        for (share, label) in ticks {
            let x = Self::x(*share);
            let _ = write!(
                self.body,
                r#"<line class="grid" x1="{x:.1}" y1="{top:.1}" x2="{x:.1}" y2="{bottom:.1}"/><text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                bottom + 14.0,
                escaped(label)
            );
        }
        let _ = write!(
            self.body,
            r#"<text class="axis" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            Self::x(0.5),
            self.height - 6.0,
            escaped(title)
        );
    }

    /// The same along y.
    pub(super) fn y_axis(&mut self, ticks: &[(f64, String)], title: &str) {
        let (left, right) = (Self::x(0.0), Self::x(1.0));
        for (share, label) in ticks {
            let y = self.y(*share);
            let _ = write!(
                self.body,
                r#"<line class="grid" x1="{left:.1}" y1="{y:.1}" x2="{right:.1}" y2="{y:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                left - 6.0,
                y + 3.5,
                escaped(label)
            );
        }
        let (x, y) = (11.0, self.y(0.5));
        let _ = write!(
            self.body,
            r#"<text class="axis" transform="translate({x:.1} {y:.1}) rotate(-90)" text-anchor="middle">{}</text>"#,
            escaped(title)
        );
    }

    /// A line through points.
    pub(super) fn line(&mut self, points: &[(f64, f64)], class: &str) {
        let mut path = String::new();
        for (x, y) in points {
            let _ = write!(path, "{:.1},{:.1} ", Self::x(*x), self.y(*y));
        }
        let _ = write!(self.body, r#"<polyline class="{class}" points="{}"/>"#, path.trim_end());
    }

    /// The area between a line and the bottom.
    pub(super) fn area(&mut self, points: &[(f64, f64)], class: &str) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
        let closed: Vec<_> = [(first.0, 0.0)]
            .into_iter()
            .chain(points.iter().copied())
            .chain([(last.0, 0.0)])
            .collect();
        let mut path = String::new();
        for (x, y) in closed {
            let _ = write!(path, "{:.1},{:.1} ", Self::x(x), self.y(y));
        }
        let _ = write!(self.body, r#"<polygon class="{class}" points="{}"/>"#, path.trim_end());
    }

    /// A point with an explanation that shows when one points at it.
    pub(super) fn dot(&mut self, x: f64, y: f64, radius: f64, class: &str, about: &str) {
        let _ = write!(
            self.body,
            r#"<circle class="{class}" cx="{:.1}" cy="{:.1}" r="{radius:.1}"><title>{}</title></circle>"#,
            Self::x(x),
            self.y(y),
            escaped(about)
        );
    }

    /// A bar between two x, from the bottom up.
    pub(super) fn bar(&mut self, x: (f64, f64), height: f64, class: &str, about: &str) {
        let (left, right) = (Self::x(x.0), Self::x(x.1));
        let (top, bottom) = (self.y(height), self.y(0.0));
        let _ = write!(
            self.body,
            r#"<rect class="{class}" x="{:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"><title>{}</title></rect>"#,
            left + 0.5,
            (right - left - 1.0).max(0.5),
            (bottom - top).max(0.0),
            escaped(about)
        );
    }

    /// A line from the bottom to the top with a word at it.
    pub(super) fn mark(&mut self, x: f64, word: &str) {
        let (at, top, bottom) = (Self::x(x), self.y(1.0), self.y(0.0));
        let (anchor, dx) = if x > 0.7 { ("end", -4.0) } else { ("start", 4.0) };
        let _ = write!(
            self.body,
            r#"<line class="mark" x1="{at:.1}" y1="{top:.1}" x2="{at:.1}" y2="{bottom:.1}"/><text class="marked" x="{:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#,
            at + dx,
            top + 10.0,
            escaped(word)
        );
    }

    /// The picture; `about` is read to those who cannot see it.
    pub(super) fn finish(self, about: &str) -> String {
        format!(
            r#"<svg viewBox="0 0 {WIDTH} {}" role="img" aria-label="{}">{}</svg>"#,
            self.height,
            escaped(about),
            self.body
        )
    }
}

/// Ticks at 0, 0.25, ... 1.
pub(super) fn quarters() -> Vec<(f64, String)> {
    [0.0, 0.25, 0.5, 0.75, 1.0].into_iter().map(|at| (at, format!("{at}"))).collect()
}
