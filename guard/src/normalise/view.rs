// SPDX-License-Identifier: AGPL-3.0-or-later
//! A text as a disguise would have it read, with the way back to the text as it was given.

use std::ops::Range;
use std::sync::Arc;

use super::Via;

/// Texts of more bytes have no views: their offsets are kept in 32 bits, and a view may be four times its text.
pub(crate) const MAX_TEXT: usize = u32::MAX as usize / 4;

/// A changed copy of a text and the map back to it.
///
/// Every byte range of a view has an exact byte range of the original: the characters it was made from and whatever
/// was dropped between them.
#[derive(Debug, Clone)]
pub struct View {
    text: String,
    via: Via,
    /// From this text to the one it was made from, and on to the original.
    layers: Vec<Arc<Map>>,
    /// What of this text differs from the one it was made from, in order.
    places: Vec<Range<usize>>,
}

impl View {
    /// What the text reads as.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The last step that made it.
    #[must_use]
    pub fn via(&self) -> Via {
        self.via
    }

    /// Where a byte range of [`View::text`] comes from: a range of the original, on `char` boundaries if `range` is.
    ///
    /// An empty range gives an empty one. A range that covers only a part of what was made from one character (or from
    /// one group of an encoding) gives the whole of it.
    ///
    /// # Panics
    /// If `range` reaches past the end of the view or is inverted.
    #[must_use]
    pub fn span(&self, range: Range<usize>) -> Range<usize> {
        assert!(range.start <= range.end && range.end <= self.text.len(), "a range of the view");
        self.layers.iter().rev().fold(range, |range, map| map.span(range))
    }

    /// What of the view differs from the text or the view it was made from: in order, apart from each other, empty where
    /// something was dropped. What lies between two places reads the same there.
    pub(crate) fn places(&self) -> &[Range<usize>] {
        &self.places
    }

    /// The text as it stands.
    pub(crate) fn copy(text: &str, via: Via) -> Self {
        Self { text: text.to_owned(), via, layers: Vec::new(), places: Vec::new() }
    }

    /// Puts a change on top of a view, or of the original where there is none yet.
    pub(crate) fn over(base: Option<&View>, edit: Edit, via: Via) -> Self {
        let mut layers = base.map_or_else(Vec::new, |view| view.layers.clone());
        layers.push(Arc::new(edit.map));
        Self { text: edit.text, via, layers, places: edit.places }
    }
}

/// From a changed text to the one it was made from.
#[derive(Debug)]
pub(crate) struct Map {
    segments: Vec<Segment>,
    /// Whether later bytes always come from later bytes; not so where text was turned round.
    ordered: bool,
}

/// Equal steps in a row, up to the next segment: each `out` bytes come from `step` bytes.
///
/// A copied stretch is one segment with steps of one byte, "%40%41" one with steps of one byte from three.
#[derive(Debug, Clone, Copy)]
struct Segment {
    at: u32,
    from: u32,
    out: u32,
    step: u32,
}

impl Segment {
    /// Where the step that holds byte `at` of the view begins.
    fn start(&self, at: usize) -> usize {
        self.from as usize + (at - self.at as usize) / self.out as usize * self.step as usize
    }
}

impl Map {
    fn span(&self, range: Range<usize>) -> Range<usize> {
        if self.segments.is_empty() {
            return 0..0;
        }
        let holder = |at: usize| self.segments.partition_point(|s| s.at as usize <= at).max(1) - 1;
        let first = holder(range.start);
        if range.is_empty() {
            // The end of the text lies behind the last step.
            let segment = &self.segments[first];
            let at = segment.start(range.start);
            return at..at;
        }
        let last = holder(range.end - 1);
        let end = |index: usize, at: usize| {
            let segment = &self.segments[index];
            segment.start(at) + segment.step as usize
        };
        if self.ordered {
            return self.segments[first].start(range.start)..end(last, range.end - 1);
        }
        let (mut start, mut stop) = (usize::MAX, 0);
        for index in first..=last {
            let segment = &self.segments[index];
            let from = range.start.max(segment.at as usize);
            let to = self.segments.get(index + 1).map_or(range.end, |next| next.at as usize);
            start = start.min(segment.start(from));
            stop = stop.max(end(index, to.min(range.end) - 1));
        }
        start..stop
    }
}

/// A changed text and its map.
#[derive(Debug)]
pub(crate) struct Edit {
    pub(crate) text: String,
    pub(crate) map: Map,
    /// What differs; see [`View::places`].
    places: Vec<Range<usize>>,
}

/// Changes nearer to each other than this are one place, so that there are few of them.
const NEAR: usize = 64;

/// Makes an [`Edit`] from left to right; what no call mentions is copied.
pub(crate) struct Editor<'t> {
    source: &'t str,
    /// Up to here the source is dealt with.
    done: usize,
    text: String,
    segments: Vec<Segment>,
    ordered: bool,
    /// Nothing was changed where there are none.
    places: Vec<Range<usize>>,
}

impl<'t> Editor<'t> {
    pub(crate) fn new(source: &'t str) -> Self {
        Self {
            source,
            done: 0,
            text: String::new(),
            segments: Vec::new(),
            ordered: true,
            places: Vec::new(),
        }
    }

    /// Up to where the source is dealt with.
    pub(crate) fn done(&self) -> usize {
        self.done
    }

    /// Puts `with` in place of a range at or after [`Editor::done`]; nothing in `with` drops it.
    pub(crate) fn replace(&mut self, range: Range<usize>, with: &str) {
        self.copy_to(range.start);
        let from = self.text.len();
        self.push(range.start, with, range.len());
        self.done = range.end;
        self.note(from);
    }

    /// Adds text that stands for nothing, a space around what was hidden; it maps to `beside`.
    pub(crate) fn insert(&mut self, beside: Range<usize>, with: &str) {
        self.copy_to(beside.start);
        let from = self.text.len();
        self.push(beside.start, with, beside.len());
        self.note(from);
    }

    /// Drops what stands before `to`.
    pub(crate) fn drop_to(&mut self, to: usize) {
        if self.done < to {
            self.replace(self.done..to, "");
        }
    }

    /// Drops a range and lets the character before it come from there too: an accent belongs to its letter.
    pub(crate) fn absorb(&mut self, range: Range<usize>) {
        self.copy_to(range.start);
        self.note(self.text.len());
        self.done = range.end;
        let Some(last) = self.text.chars().next_back() else {
            return;
        };
        let at = self.text.len() - last.len_utf8();
        let Some(segment) = self.segments.last().copied() else {
            return;
        };
        let from = segment.start(at);
        if at > segment.at as usize {
            self.segments.push(Segment { at: at as u32, ..segment });
        }
        if let Some(segment) = self.segments.last_mut() {
            segment.from = from as u32;
            segment.out = (self.text.len() - at) as u32;
            segment.step = (range.end - from) as u32;
        }
    }

    /// Copies what stands before `to`.
    pub(crate) fn copy_to(&mut self, to: usize) {
        if self.done < to {
            let source = self.source;
            self.push_copy(self.done, &source[self.done..to]);
            self.done = to;
        }
    }

    /// Writes a range of the source out of order; [`Editor::skip_to`] says later where to go on.
    pub(crate) fn out_of_order(&mut self, range: Range<usize>, with: &str) {
        self.ordered = false;
        let from = self.text.len();
        self.push(range.start, with, range.len());
        self.note(from);
    }

    /// Goes on from `to`; what lies before it has been written by [`Editor::out_of_order`].
    pub(crate) fn skip_to(&mut self, to: usize) {
        self.done = to;
    }

    /// Notes that what was written since `from` is a change.
    fn note(&mut self, from: usize) {
        let to = self.text.len();
        match self.places.last_mut() {
            Some(last) if from <= last.end + NEAR => last.end = to,
            _ => self.places.push(from..to),
        }
    }

    fn push_copy(&mut self, from: usize, piece: &str) {
        self.segment(from, 1, 1);
        self.text.push_str(piece);
    }

    fn push(&mut self, from: usize, with: &str, step: usize) {
        if !with.is_empty() {
            self.segment(from, with.len(), step);
            self.text.push_str(with);
        }
    }

    /// Opens a segment unless the last one goes on just so.
    fn segment(&mut self, from: usize, out: usize, step: usize) {
        let at = self.text.len();
        if let Some(last) = self.segments.last()
            && (last.out as usize, last.step as usize) == (out, step)
            && last.start(at) == from
        {
            return;
        }
        self.segments.push(Segment {
            at: at as u32,
            from: from as u32,
            out: out as u32,
            step: step as u32,
        });
    }

    /// The edit, if anything was changed.
    pub(crate) fn finish(mut self) -> Option<Edit> {
        if self.places.is_empty() {
            return None;
        }
        self.copy_to(self.source.len());
        let map = Map { segments: self.segments, ordered: self.ordered };
        Some(Edit { text: self.text, map, places: self.places })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(edit: Edit) -> View {
        View::over(None, edit, Via::Unicode)
    }

    #[test]
    fn dropped_replaced_and_copied_bytes_map_back() {
        let mut editor = Editor::new("a--b%40%41cé");
        editor.replace(1..3, "");
        editor.replace(4..7, "@");
        editor.replace(7..10, "A");
        editor.replace(11..13, "e");
        let view = view(editor.finish().unwrap());
        assert_eq!(view.text(), "ab@Ace");
        assert_eq!(view.span(0..2), 0..4);
        assert_eq!(view.span(1..2), 3..4);
        assert_eq!(view.span(2..3), 4..7);
        assert_eq!(view.span(3..5), 7..11);
        assert_eq!(view.span(5..6), 11..13);
        assert_eq!(view.span(0..6), 0..13);
        assert_eq!(view.span(3..3), 7..7);
    }

    #[test]
    fn an_accent_belongs_to_its_letter() {
        let source = "ae\u{301}\u{302}x\u{ff21}\u{301}";
        let mut editor = Editor::new(source);
        editor.absorb(2..4);
        editor.absorb(4..6);
        editor.replace(7..10, "A");
        editor.absorb(10..12);
        let view = view(editor.finish().unwrap());
        assert_eq!(view.text(), "aexA");
        assert_eq!(view.span(0..1), 0..1);
        assert_eq!(view.span(1..2), 1..6);
        assert_eq!(view.span(2..3), 6..7);
        assert_eq!(view.span(3..4), 7..12);
        assert_eq!(view.span(0..4), 0..12);
    }

    #[test]
    fn text_that_was_turned_round_maps_to_what_it_covers() {
        let mut editor = Editor::new("x cba y");
        editor.copy_to(2);
        for at in (2..5).rev() {
            editor.out_of_order(at..at + 1, &"x cba y"[at..at + 1]);
        }
        editor.skip_to(5);
        let view = view(editor.finish().unwrap());
        assert_eq!(view.text(), "x abc y");
        assert_eq!(view.span(2..4), 3..5);
        assert_eq!(view.span(2..5), 2..5);
        assert_eq!(view.span(4..7), 2..7);
    }

    #[test]
    fn layers_map_through() {
        let mut editor = Editor::new("%2540");
        editor.replace(0..3, "%");
        let first = view(editor.finish().unwrap());
        let mut editor = Editor::new(first.text());
        editor.replace(0..3, "@");
        let second = View::over(Some(&first), editor.finish().unwrap(), Via::Decoded);
        assert_eq!((second.text(), second.span(0..1)), ("@", 0..5));
    }

    #[test]
    fn the_places_of_changes_are_known() {
        let source = format!("ab{}cd{0}ef", "x".repeat(100));
        let mut editor = Editor::new(&source);
        editor.replace(1..2, "BB");
        editor.replace(5..6, "");
        editor.absorb(103..104);
        editor.copy_to(204);
        editor.out_of_order(204..205, "e");
        editor.skip_to(205);
        let view = view(editor.finish().unwrap());
        assert_eq!(view.places(), [1..6, 103..103, 203..204]);
        assert_eq!(view.text()[6..103], source[6..103]);
        assert_eq!(view.text()[103..203], source[104..204]);
    }

    #[test]
    fn nothing_changed_is_no_edit() {
        let mut editor = Editor::new("abc");
        editor.copy_to(2);
        assert!(editor.finish().is_none());
        let mut editor = Editor::new("abc");
        editor.replace(0..3, "");
        let view = view(editor.finish().unwrap());
        assert_eq!((view.text(), view.span(0..0)), ("", 0..0));
    }
}
