// SPDX-License-Identifier: AGPL-3.0-or-later
//! Sentence splitting by rules, with byte spans.
//!
//! Lines first: blank lines, list items, headings, table rows, turns of a dialogue (`User: ...`)
//! and code part blocks. Other line ends are soft wraps where the lines look wrapped at a width,
//! and else end a block too. Inside a block a full stop ends a sentence unless it belongs to an
//! abbreviation, an initial, a number, an address or an ellipsis that goes on.

use std::ops::Range;

mod lines;
mod stops;
mod tables;
#[cfg(test)]
mod tests;

use lines::{fence, first_word_chars, is_code, marker_len};
use stops::{Block, Stop, is_closer, is_opener, is_stop, is_wide_stop};

pub use lines::{Turn, is_heading, speaker, turn};
pub use stops::ends_with_stop;

/// Longest sentence in bytes; longer ones are cut at a semicolon, comma or space.
///
/// About 130 tokens of English: a legal sentence still passes whole, while text without
/// punctuation stays inside an encoder's window.
pub const MAX_SENTENCE_BYTES: usize = 600;

/// Lines shorter than this that are followed by a capital end a block: titles, verses, addresses.
const SHORT_LINE_BYTES: usize = 40;

/// Lines that tell together whether they are wrapped at a width.
const MAX_PARAGRAPH_LINES: usize = 32;

/// What a sentence stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A paragraph, a heading or a turn of a dialogue.
    Prose,
    /// An item of a list, or a quoted line.
    Item,
    /// A row of a table, written with `|`.
    Row,
    /// A line of code, fenced or told by its form.
    Code,
}

/// Iterator over the sentences of a text; see [`sentences`].
#[derive(Debug, Clone)]
pub struct Sentences<'a> {
    text: &'a str,
    /// Next byte to read in the current block.
    pos: usize,
    block_end: usize,
    next_line: usize,
    /// Mark and length of the fence that is open.
    fence: Option<(u8, usize)>,
    /// What the current block is.
    kind: Kind,
    german: bool,
    /// Where the last line with content ended, its line end included.
    content_end: usize,
    /// Whether the lines before `judged` are wrapped at a width.
    wrapped: bool,
    judged: usize,
}

/// The sentences of a text, in order, as byte ranges without the whitespace around them.
///
/// List markers, heading signs and the times of chat logs are left out of the ranges; lines of
/// nothing but ASCII punctuation (rules, underlines) give none. Ranges never overlap and lie on
/// character boundaries; each is at most [`MAX_SENTENCE_BYTES`] long, its final run of stops and
/// closing marks not counted.
pub fn sentences(text: &str) -> Sentences<'_> {
    Sentences {
        text,
        pos: 0,
        block_end: 0,
        next_line: 0,
        fence: None,
        kind: Kind::Prose,
        german: stops::is_german(text),
        content_end: usize::MAX,
        wrapped: true,
        judged: 0,
    }
}

impl Iterator for Sentences<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            if self.pos >= self.block_end && !self.next_block() {
                return None;
            }
            if let Some(range) = self.next_in_block()
                && has_content(&self.text[range.clone()])
            {
                return Some(range);
            }
        }
    }
}

fn has_content(s: &str) -> bool {
    s.chars().any(|c| {
        let mark = is_wide_stop(c) || is_stop(c) || is_closer(c) || is_opener(c);
        c.is_ascii_alphanumeric() || (!c.is_ascii() && !c.is_whitespace() && !mark)
    })
}

/// A line as byte offsets: its first byte, its first non-space byte, its end without trailing
/// space, the start of the next.
#[derive(Clone, Copy)]
struct Line {
    at: usize,
    start: usize,
    end: usize,
    next: usize,
}

impl Line {
    fn indent(&self) -> usize {
        self.start - self.at
    }

    /// Indented as Markdown's code is.
    fn is_indented(&self, text: &str) -> bool {
        self.indent() >= 4 || text[self.at..self.start].contains('\t')
    }
}

impl<'a> Sentences<'a> {
    /// What the sentence that was given last stands in.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn line_at(&self, at: usize) -> Option<Line> {
        let rest = self.text.get(at..).filter(|rest| !rest.is_empty())?;
        let (line, next) = match rest.find('\n') {
            Some(n) => (&rest[..n], at + n + 1),
            None => (rest, self.text.len()),
        };
        let end = at + line.trim_end().len();
        let start = (at + line.len() - line.trim_start().len()).min(end);
        Some(Line { at, start, end, next })
    }

    fn content(&self, line: &Line) -> &'a str {
        &self.text[line.start..line.end]
    }

    /// The fence that a line is; a long row of tildes under text is an underline.
    fn fence_at(&self, line: &Line) -> Option<(u8, usize)> {
        let content = self.content(line);
        let (mark, length) = fence(content)?;
        let underline = mark == b'~' && length > 3 && length == content.len();
        (!(underline && line.at == self.content_end)).then_some((mark, length))
    }

    /// Moves to the next block of text; false at the end.
    fn next_block(&mut self) -> bool {
        while let Some(line) = self.line_at(self.next_line) {
            self.next_line = line.next;
            let content = self.content(&line);
            if let Some((open, length)) = self.fence {
                let closes = fence(content)
                    .is_some_and(|(m, n)| m == open && n >= length && n == content.len());
                if closes {
                    self.fence = None;
                    continue;
                }
            } else if let Some(opened) = self.fence_at(&line) {
                self.fence = Some(opened);
                continue;
            }
            if !has_content(content) {
                continue;
            }
            self.content_end = line.next;
            self.block_end = line.end;
            self.pos = line.start;
            if self.fence.is_some() || is_code(content, line.is_indented(self.text)) {
                self.kind = Kind::Code;
                return true;
            }
            let marker = marker_len(content);
            self.kind = match content.as_bytes().first() {
                Some(b'|') => Kind::Row,
                Some(b'#') => Kind::Prose,
                _ if marker > 0 => Kind::Item,
                _ => Kind::Prose,
            };
            self.pos += marker;
            let said = turn(content);
            if let Some(timed) = said.filter(|t| t.timed) {
                let bracket = content[..timed.at].ends_with('<');
                self.pos = line.start + timed.at - usize::from(bracket);
            }
            if !content.starts_with(['#', '|', '>']) {
                self.extend_block(line, said.is_some());
            }
            return true;
        }
        false
    }

    /// Whether a line cannot go on with the block before it. A name in lower case begins a turn
    /// only after a turn (`in_turn`): in prose, `reason: ...` may stand after a soft wrap.
    fn starts_block(&self, line: &Line, in_turn: bool) -> bool {
        let content = self.content(line);
        !has_content(content)
            || self.fence_at(line).is_some()
            || content.starts_with('|')
            || marker_len(content) > 0
            || is_code(content, line.is_indented(self.text))
            || turn(content)
                .is_some_and(|t| t.timed || in_turn || t.name.starts_with(char::is_uppercase))
    }

    /// Takes the following lines into the block as long as they are soft wraps.
    fn extend_block(&mut self, mut last: Line, in_turn: bool) {
        let first = last;
        let cased = self.text[self.pos..last.end].starts_with(char::is_uppercase);
        while let Some(line) = self.line_at(self.next_line) {
            if self.starts_block(&line, in_turn) {
                return;
            }
            if last.at >= self.judged {
                self.judge(last, in_turn);
            }
            let lower = self.content(&line).starts_with(char::is_lowercase);
            let open = self.text[..last.end].ends_with([',', ';', ':', '-', '\u{2014}']);
            let short = last.end - last.start < SHORT_LINE_BYTES && !open && !lower;
            // Below an item, what stands further in belongs to it.
            let hangs = self.kind == Kind::Item && line.indent() > first.indent();
            let goes_on = self.wrapped || (lower && cased) || (open && lower) || hangs;
            if (short && !hangs) || !goes_on {
                return;
            }
            self.content_end = line.next;
            self.next_line = line.next;
            self.block_end = line.end;
            last = line;
        }
    }

    /// Whether the lines from `first` on are wrapped at a width: of those that end without a stop,
    /// three in four could not have taken the first word of the next. Each line is looked at once,
    /// or twice where this begins anew.
    fn judge(&mut self, first: Line, in_turn: bool) {
        // Characters of each line, and those of the next one's first word where it may go on.
        let mut lines: Vec<(usize, Option<usize>)> = Vec::new();
        let mut last = first;
        loop {
            let next = self.line_at(last.next).filter(|line| !self.starts_block(line, in_turn));
            let content = self.content(&last);
            let next_word = next
                .filter(|_| !ends_with_stop(content))
                .map(|line| first_word_chars(self.content(&line)));
            lines.push((content.chars().count(), next_word));
            match next {
                Some(line) if lines.len() < MAX_PARAGRAPH_LINES => last = line,
                _ => break,
            }
        }
        let width = lines.iter().map(|(chars, _)| *chars).max().unwrap_or(0);
        let (mut open, mut full) = (0, 0);
        for (chars, next_word) in lines {
            let Some(next_word) = next_word else { continue };
            open += 1;
            full += usize::from(chars + 1 + next_word > width);
        }
        self.wrapped = full * 4 >= open * 3;
        self.judged = last.next;
    }

    fn next_in_block(&mut self) -> Option<Range<usize>> {
        let end = self.block_end;
        let rest = &self.text[self.pos..end];
        let start = self.pos + rest.len() - rest.trim_start().len();
        let block = Block { text: self.text, start, end, german: self.german };
        let verbatim = matches!(self.kind, Kind::Code | Kind::Row);
        let mut i = start;
        // Where an overlong sentence may be cut, best first.
        let (mut clause, mut comma, mut space) = (None, None, None);
        let bytes = self.text.as_bytes();
        while i < end {
            if i - start >= MAX_SENTENCE_BYTES {
                i = clause.or(comma).or(space).unwrap_or(i);
                break;
            }
            let late = i - start >= MAX_SENTENCE_BYTES / 3;
            let byte = bytes[i];
            let c = if byte.is_ascii() { char::from(byte) } else { self.char_at(i, end) };
            let after = i + c.len_utf8();
            if !verbatim && (is_stop(c) || is_wide_stop(c)) {
                let stop = if is_stop(c) { block.stop_at(i) } else { block.wide_stop_at(i, after) };
                match stop {
                    Stop::Ends(at) => {
                        i = at;
                        break;
                    }
                    Stop::Continues(at) => i = at,
                }
                continue;
            }
            i = after;
            if late {
                let spaced = bytes.get(i) == Some(&b' ');
                match c {
                    ';' | ':' if spaced => clause = Some(i),
                    ',' if spaced => comma = Some(i),
                    '\u{3001}' | '\u{FF0C}' => space = Some(i),
                    c if c.is_whitespace() => space = Some(i),
                    _ => {}
                }
            }
        }
        self.pos = i;
        let stop = start + self.text[start..i].trim_end().len();
        (stop > start).then_some(start..stop)
    }

    fn char_at(&self, at: usize, end: usize) -> char {
        self.text[at..end].chars().next().unwrap_or('\0')
    }
}
