// SPDX-License-Identifier: AGPL-3.0-or-later
//! Which parts of a long text a model reads, when it may not read all of it.
//!
//! The text is cut into cells of a window's bytes. Of the cells that may be read an eighth are at either end of the text,
//! up to half are those that are most worth reading, and the rest are spread over what is left, the best of each stretch.
//! Cells that touch are read as one run, a run with some words before and after it as context.

use std::ops::Range;

use super::pieces::cut;
use crate::detector::DetectContext;
use crate::normalise::View;
use crate::reading::{Reading, WINDOW_BYTES};
use crate::text::floor_boundary;

/// Bytes before and after a run that are read with it: what begins in it ends there.
const MARGIN: usize = 64;

/// Of the windows, the part at either end of a text; the part that goes to what is most worth reading.
const END: usize = 8;
const WORTHY: usize = 2;

/// What a model reads of a view.
pub(super) struct Plan<'v> {
    view: &'v View,
    /// In order; none touches the next.
    runs: Vec<Range<usize>>,
    windows: usize,
    of_windows: usize,
}

/// A text cut into windows.
pub(super) struct Cells<'v> {
    view: &'v View,
    /// Where each begins, and the end of the last.
    cuts: Vec<usize>,
    /// The same in the original.
    original: Vec<usize>,
}

impl<'v> Plan<'v> {
    /// The plan for a view under the budget of a check; `worth` says of each cell how much it is worth reading, and is
    /// asked only where not all of them are read. Linear, but for the sorting of cells.
    pub(super) fn of(
        view: &'v View,
        ctx: &DetectContext<'_>,
        worth: impl FnOnce(&Cells<'v>) -> Vec<f32>,
    ) -> Self {
        let text = view.text();
        let (budget, of_windows) = (ctx.model_windows(), text.len().div_ceil(WINDOW_BYTES));
        if of_windows <= budget {
            return Self {
                view,
                runs: std::iter::once(0..text.len()).collect(),
                windows: of_windows,
                of_windows,
            };
        }
        let cells = Cells::of(view, of_windows);
        let picked = pick(&worth(&cells), budget);
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (i, _) in picked.iter().enumerate().filter(|(_, picked)| **picked) {
            let cell = cells.cell(i);
            match runs.last_mut().filter(|run| run.end == cell.start) {
                Some(run) => run.end = cell.end,
                None => runs.push(cell),
            }
        }
        runs.iter_mut().for_each(|run| *run = with_margin(text, run));
        let windows = picked.iter().filter(|picked| **picked).count();
        Self { view, runs, windows, of_windows }
    }

    /// The stretches of the view that are read, in order.
    pub(super) fn runs(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.runs.iter().cloned()
    }

    /// Tells the check what this detector leaves unread of a text of so many bytes.
    pub(super) fn note(&self, detector: &'static str, bytes: usize, ctx: &DetectContext<'_>) {
        let Self { windows, of_windows, .. } = *self;
        if windows == of_windows {
            return;
        }
        let mut unread = Vec::new();
        let mut at = 0;
        let end = std::iter::once(bytes..bytes);
        for run in self.runs().map(|run| self.view.span(run)).chain(end) {
            if at < run.start {
                unread.push(at..run.start);
            }
            at = at.max(run.end);
        }
        ctx.note(Reading { detector, windows, of_windows, unread });
    }
}

impl<'v> Cells<'v> {
    fn of(view: &'v View, count: usize) -> Self {
        let text = view.text();
        let cuts: Vec<usize> =
            (0..count).map(|i| cut(text, i * WINDOW_BYTES)).chain([text.len()]).collect();
        let original = cuts.iter().map(|at| view.span(*at..*at).start).collect();
        Self { view, cuts, original }
    }

    pub(super) fn len(&self) -> usize {
        self.cuts.len() - 1
    }

    fn cell(&self, i: usize) -> Range<usize> {
        self.cuts[i]..self.cuts[i + 1]
    }

    /// The cells in order, as ranges of the view's text.
    pub(super) fn of_text(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        debug_assert_eq!(self.cuts.last(), Some(&self.view.text().len()));
        (0..self.len()).map(|i| self.cell(i))
    }

    /// The cell that a byte of the view's text is in.
    pub(super) fn at(&self, byte: usize) -> usize {
        self.cuts.partition_point(|cut| *cut <= byte).clamp(1, self.len()) - 1
    }

    /// The cells that hold a part of a span of the original; of a long one, those at its ends.
    pub(super) fn holding(&self, span: &Range<usize>) -> impl Iterator<Item = usize> {
        let at = |byte: usize| {
            self.original.partition_point(|cut| *cut <= byte).clamp(1, self.len()) - 1
        };
        let (first, last) = (at(span.start), at(span.end.saturating_sub(1).max(span.start)));
        std::iter::once(first).chain((first < last).then_some(last))
    }
}

/// Which of the cells are read, `budget` of them; there are more.
fn pick(worth: &[f32], budget: usize) -> Vec<bool> {
    let count = worth.len();
    let mut picked = vec![false; count];
    let mut left = budget.min(count);
    let mut take = |i: usize, picked: &mut [bool]| {
        if left > 0 && !picked[i] {
            picked[i] = true;
            left -= 1;
        }
    };
    let ends = (budget / END).max(1).min(count);
    for i in 0..ends {
        take(i, &mut picked);
        take(count - 1 - i, &mut picked);
    }
    // Equals are taken from all over the text: multiples of the golden ratio are spread evenly, however many are taken.
    let order = |i: usize| (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let better = |a: &usize, b: &usize| {
        worth[*b].total_cmp(&worth[*a]).then_with(|| order(*a).cmp(&order(*b)))
    };
    let mut worthy: Vec<usize> = (0..count).filter(|i| !picked[*i] && worth[*i] > 0.0).collect();
    worthy.sort_unstable_by(better);
    for i in worthy.into_iter().take(budget / WORTHY) {
        take(i, &mut picked);
    }
    let rest: Vec<usize> = (0..count).filter(|i| !picked[*i]).collect();
    let stretches = budget - picked.iter().filter(|picked| **picked).count();
    for stretch in 0..stretches {
        // Of a budget and a count of cells, each far below the square root of what fits.
        let part = |k: usize| (k as u128 * rest.len() as u128 / stretches as u128) as usize;
        if let Some(best) =
            rest[part(stretch)..part(stretch + 1)].iter().min_by(|a, b| better(a, b))
        {
            take(*best, &mut picked);
        }
    }
    picked
}

/// A run with the words before and after it.
fn with_margin(text: &str, run: &Range<usize>) -> Range<usize> {
    let from = floor_boundary(text, run.start.saturating_sub(MARGIN));
    let start = match text[from..run.start].char_indices().find(|(_, c)| c.is_whitespace()) {
        _ if from == 0 => 0,
        Some((i, c)) => from + i + c.len_utf8(),
        None => from,
    };
    let to = floor_boundary(text, run.end.saturating_add(MARGIN));
    let end = match text[run.end..to].char_indices().rev().find(|(_, c)| c.is_whitespace()) {
        _ if to == text.len() => to,
        Some((i, _)) => run.end + i,
        None => to,
    };
    start..end.max(run.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::Mode;
    use crate::normalise::model_view;

    fn planned(
        text: &str,
        windows: usize,
        worth: impl Fn(usize) -> f32,
    ) -> (Vec<Range<usize>>, Vec<Reading>) {
        let view = model_view(text);
        let ctx = DetectContext::new(text, Mode::Input).within(windows);
        let plan = Plan::of(&view, &ctx, |cells| (0..cells.len()).map(&worth).collect());
        plan.note("m", text.len(), &ctx);
        (plan.runs().collect(), ctx.take_partly_read())
    }

    #[test]
    fn what_fits_is_read_whole_and_nothing_is_noted() {
        for text in ["", "a", "word ".repeat(16 * WINDOW_BYTES / 5).trim_end()] {
            let (runs, readings) = planned(text, 16, |_| unreachable!("nobody asks"));
            assert!(readings.is_empty() && runs.len() == 1, "{runs:?}");
            assert_eq!(runs[0], 0..text.len());
        }
    }

    #[test]
    fn both_ends_what_is_worth_it_and_a_spread_are_read() {
        let text = "word ".repeat(200_000) + "end";
        let at = |cell: usize| cell * WINDOW_BYTES + WINDOW_BYTES / 2;
        let (runs, readings) =
            planned(&text, 64, |i| if [700, 701, 1500].contains(&i) { 2.0 } else { 0.0 });
        let has = |byte: usize| runs.iter().any(|run| run.contains(&byte));
        let near_end = text.len() - at(3);
        for byte in [0, at(7), at(700), at(701), at(1500), near_end, text.len() - 1] {
            assert!(has(byte), "{byte}");
        }
        // No stretch of a tenth of the text is without any.
        let tenth = text.len() / 10;
        assert!(
            (0..10).all(|i| runs.iter().any(|r| r.start < (i + 1) * tenth && r.end > i * tenth))
        );
        let read: usize = runs.iter().map(Range::len).sum();
        assert!(read <= 64 * (WINDOW_BYTES + 2 * MARGIN), "{read}");
        assert!(runs.windows(2).all(|w| w[0].end < w[1].start));
        let [reading] = &readings[..] else { panic!("{readings:?}") };
        assert_eq!((reading.windows, reading.of_windows), (64, text.len().div_ceil(WINDOW_BYTES)));
        let unread: usize = reading.unread.iter().map(Range::len).sum();
        assert_eq!(unread + read, text.len());
        assert!(
            reading.leaves_out(&(at(300)..at(310))) && !reading.leaves_out(&(at(700)..at(701)))
        );
    }

    #[test]
    fn signs_everywhere_do_not_take_the_budget_to_one_place() {
        let text = "word ".repeat(200_000) + "end";
        let (runs, _) = planned(&text, 64, |_| 1.0);
        let tenth = text.len() / 10;
        let in_tenth = |i: usize| runs.iter().filter(|r| r.start / tenth == i).count();
        assert!((0..10).all(|i| in_tenth(i) >= 2), "{runs:?}");
    }

    #[test]
    fn any_budget_and_any_text_will_do() {
        for text in
            ["é".repeat(3000), "🦀".repeat(2000), "a b\u{301}ﬁ ".repeat(900), "x".repeat(6000)]
        {
            for windows in [0, 1, 2, 3, 7, 11] {
                let (runs, readings) = planned(&text, windows, |i| i as f32);
                assert!(runs.iter().all(|run| run.start < run.end));
                assert_eq!(readings.len(), 1);
                assert!(readings[0].windows <= windows.max(1), "{windows}: {readings:?}");
                assert!(readings[0].unread.iter().all(|u| text.get(u.clone()).is_some()));
            }
        }
    }
}
