// SPDX-License-Identifier: AGPL-3.0-or-later
//! Colours, line width and harmless text.

use std::borrow::Cow;
use std::io::{self, IsTerminal};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Longest line that reads well; wider terminals are not filled.
const READABLE: usize = 100;

/// A colour or weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tint {
    Plain,
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
}

/// How one stream is written to: with colours or without, and how wide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    colour: bool,
    /// None when lines are not wrapped: into a file or a pipe goes the text as it is.
    width: Option<usize>,
}

impl Style {
    /// No colours, no wrapping.
    pub(crate) const PLAIN: Self = Self { colour: false, width: None };

    /// For standard output.
    pub(crate) fn stdout() -> Self {
        if !io::stdout().is_terminal() {
            return Self::PLAIN;
        }
        let columns = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        Self { colour: colour_wanted(), width: Some(columns.clamp(20, READABLE)) }
    }

    /// For standard error.
    pub(crate) fn stderr() -> Self {
        Self { colour: io::stderr().is_terminal() && colour_wanted(), width: None }
    }

    /// `text` in this tint, where colours are on.
    pub(crate) fn paint<'t>(&self, tint: Tint, text: &'t str) -> Cow<'t, str> {
        let code = match tint {
            Tint::Plain => return Cow::Borrowed(text),
            Tint::Bold => "1",
            Tint::Dim => "2",
            Tint::Green => "32",
            Tint::Yellow => "33",
            Tint::Red => "31",
        };
        if self.colour && !text.is_empty() {
            Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m"))
        } else {
            Cow::Borrowed(text)
        }
    }

    /// Columns to keep within, if lines are to be wrapped.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    /// `text`, harmless, with its lines broken at spaces to fit the width.
    pub(crate) fn wrap(&self, text: &str) -> String {
        let text = clean(text);
        let Some(width) = self.width else { return text.into_owned() };
        let mut out = String::with_capacity(text.len() + text.len() / 64);
        for (i, line) in text.split('\n').enumerate() {
            if i > 0 {
                out.push('\n');
            }
            // What a list item continues with stands below its words, not below its dash.
            let indent = line.len() - line.trim_start_matches([' ', '-', '*']).len();
            fill(line, width, indent.min(width / 2), &mut out);
        }
        out
    }
}

/// <https://no-color.org>: set and not empty means no colours; so does a terminal that has none.
fn colour_wanted() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// Breaks one line at spaces so that it fits `width`; later parts begin with `indent` spaces.
pub(crate) fn fill(line: &str, width: usize, indent: usize, out: &mut String) {
    let mut used = 0;
    let mut at_start = true;
    for word in line.split(' ') {
        let columns = word.width();
        if at_start {
            at_start = false;
        } else if used + 1 + columns > width && used > indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            used = indent;
        } else {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += columns;
    }
}

/// The text without what could drive a terminal or reorder what is shown: control characters, but
/// for line breaks and tabs, and bidirectional overrides are written as `\u{1b}`.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\r' && chars.peek() == Some(&'\n') {
            continue;
        }
        if is_unsafe(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn is_unsafe(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Columns a text takes on a terminal.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_could_drive_it() {
        assert_eq!(clean("plain\n\ttext é"), "plain\n\ttext é");
        assert_eq!(clean("a\x1b[2Jb\0c\r\nd\re"), "a\\u{1b}[2Jb\\u{0}c\nd\\u{d}e");
        assert_eq!(clean("x\u{202E}y\u{9b}z"), "x\\u{202e}y\\u{9b}z");
    }

    #[test]
    fn lines_break_at_spaces_and_lists_hang() {
        let style = Style { colour: false, width: Some(20) };
        assert_eq!(style.wrap("one two three four five six"), "one two three four\nfive six");
        assert_eq!(style.wrap("- one two three four five"), "- one two three four\n  five");
        assert_eq!(style.wrap("a\n\nb"), "a\n\nb");
        let long = "x".repeat(40);
        assert_eq!(style.wrap(&long), long);
        assert_eq!(style.wrap("全角文字 全角文字 全角文字"), "全角文字 全角文字\n全角文字");
        assert_eq!(Style::PLAIN.wrap("one two three four five six"), "one two three four five six");
    }

    #[test]
    fn colours_are_only_where_they_are_wanted() {
        let style = Style { colour: true, width: None };
        assert_eq!(style.paint(Tint::Red, "a"), "\x1b[31ma\x1b[0m");
        assert_eq!(style.paint(Tint::Red, ""), "");
        assert_eq!(Style::PLAIN.paint(Tint::Red, "a"), "a");
    }
}
