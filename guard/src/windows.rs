// SPDX-License-Identifier: AGPL-3.0-or-later
//! What of a long view the rules look at again: the surroundings of what a step has changed.
//!
//! One accent in a book makes a view of the whole book. All of it that is far from the accent reads as it did in what the
//! view was made from, where the rules have looked already.

use std::ops::Range;

use crate::finding::{Category, Finding};
use crate::normalise::View;

/// Personal data nearer to a change than this may owe something to it: no rule takes more of what stands beside a finding
/// into account.
const BESIDE: usize = 256;
/// The same of attacks: as many bytes as signs of one may be apart to count together.
const SIGNS: usize = 4096;
/// Bytes on either side of a change that are looked at.
const REACH: usize = SIGNS + 2 * BESIDE;
/// Shorter views are looked at as a whole.
const LONG: usize = 4 * REACH;
/// A window begins and ends at white space, which is looked for in so many bytes.
const MARGIN: usize = 512;

/// A part of a view and what was changed in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Window<'v> {
    pub(crate) span: Range<usize>,
    places: &'v [Range<usize>],
}

/// The parts of a view to look at, in order, none touching the next; none where all of it has to be.
pub(crate) fn of(view: &View) -> Option<Vec<Window<'_>>> {
    let (text, places) = (view.text(), view.places());
    if text.len() < LONG {
        return None;
    }
    let mut windows: Vec<Window<'_>> = Vec::new();
    let mut first = 0;
    for (i, place) in places.iter().enumerate() {
        let span = start(text, place.start)?..end(text, place.end)?;
        match windows.last_mut() {
            Some(last) if span.start <= last.span.end => {
                last.span.end = last.span.end.max(span.end);
                last.places = &places[first..=i];
            }
            _ => {
                first = i;
                windows.push(Window { span, places: &places[i..=i] });
            }
        }
    }
    let all: usize = windows.iter().map(|window| window.span.len()).sum();
    (all < text.len() / 2).then_some(windows)
}

fn start(text: &str, place: usize) -> Option<usize> {
    let Some(at) = place.checked_sub(REACH + MARGIN) else { return Some(0) };
    let before = &text.as_bytes()[at..at + MARGIN];
    before.iter().rposition(u8::is_ascii_whitespace).map(|offset| at + offset)
}

fn end(text: &str, place: usize) -> Option<usize> {
    let at = place + REACH;
    let Some(after) = text.as_bytes().get(at..at + MARGIN) else { return Some(text.len()) };
    after.iter().position(u8::is_ascii_whitespace).map(|offset| at + offset + 1)
}

/// What is to be done with a finding of a window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// It is where something was changed.
    Kept,
    /// What the view was made from has it too, or the end of the window made it.
    Dropped,
    /// It goes on beyond the window, or may: all of the view has to be looked at.
    CutOff,
}

impl Window<'_> {
    /// Judges a finding by its span in a view of `len` bytes.
    pub(crate) fn judge(&self, finding: &Finding, len: usize) -> Judged {
        let span = &finding.span;
        let beside = if matches!(finding.category, Category::Pii(_)) { BESIDE } else { SIGNS };
        let first = self.places.partition_point(|place| place.end + beside < span.start);
        let near = self.places.get(first).is_some_and(|place| place.start <= span.end + beside);
        if !near {
            Judged::Dropped
        } else if self.span.start > 0 && span.start < self.span.start + BESIDE
            || self.span.end < len && span.end + BESIDE > self.span.end
        {
            Judged::CutOff
        } else {
            Judged::Kept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::email::EMAIL;
    use crate::normalise::views;

    fn view(text: &str) -> View {
        views(text).remove(0)
    }

    #[test]
    fn only_what_is_near_a_change_is_looked_at() {
        let plain = "word ".repeat(20_000);
        let text = format!("{plain}caf\u{e9} {plain}na\u{ef}ve {plain}");
        let view = view(&text);
        let windows = of(&view).unwrap();
        let [a, b] = windows.as_slice() else { panic!("{windows:?}") };
        for (window, word) in [(a, "cafe"), (b, "naive")] {
            let at = view.text().find(word).unwrap();
            let place = at + 2..at + 4;
            assert!(window.span.start + REACH <= place.end);
            assert!(place.start + REACH <= window.span.end);
            assert!(window.span.len() < 2 * (REACH + MARGIN) + 10);
            let found = |span| Finding::pii(EMAIL, span, 1.0, "email", "address");
            let len = view.text().len();
            assert_eq!(window.judge(&found(at..at + 9), len), Judged::Kept);
            assert_eq!(window.judge(&found(at + 600..at + 620), len), Judged::Dropped);
            assert_eq!(window.judge(&found(at..window.span.end), len), Judged::CutOff);
            assert_eq!(window.judge(&found(window.span.start..at), len), Judged::CutOff);
        }
    }

    #[test]
    fn what_is_short_or_changed_all_over_is_looked_at_as_a_whole() {
        assert_eq!(of(&view(&format!("caf\u{e9} {}", "word ".repeat(100)))), None);
        assert_eq!(of(&view(&format!("caf\u{e9} {}", "word ".repeat(50)).repeat(400))), None);
        // No white space for a window to end at.
        let glued = format!("{}\u{e9}{}", "x-".repeat(50_000), "-x".repeat(50_000));
        assert_eq!(of(&view(&glued)), None);
    }
}
