// SPDX-License-Identifier: AGPL-3.0-or-later
//! Found stretches of text against labelled ones.
//!
//! - *strict*: the same bytes and the same type. *Overlap*: at least one byte in common and the same type; recall counts labelled
//!   spans that were met, precision found ones that met any. *Bytes*: whatever the type, was each labelled byte covered?
//! - A label may accept several types (`LOCATION`: place or address); what meets it counts as the first of them.
//! - Labels of types that the guard does not have are no part of the figures: [`Counts::apart`] lists them. What was found
//!   there counts as wrong by type, unless the label accepts it, and not at all by bytes.
//! - Labels that are ignored, or of types that the policy keeps, are apart too, and take what overlaps them out of the count.

use std::ops::Range;

use super::types::{Standing, Types};

/// A labelled stretch, not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gold {
    pub(crate) span: Range<usize>,
    /// In [`Types::label`].
    pub(crate) label: usize,
}

/// A found stretch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) span: Range<usize>,
    /// In [`Types::key`].
    pub(crate) key: usize,
    pub(crate) score: f64,
}

/// What was found of one type in one text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TypeCounts {
    pub(crate) gold: u32,
    pub(crate) found: u32,
    strict: u32,
    /// Labelled spans that a found one of their type overlaps.
    met: u32,
    /// Found spans that a labelled one of their type overlaps.
    meeting: u32,
}

/// What was found in one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// By type, sorted.
    pub(crate) types: Vec<(usize, TypeCounts)>,
    gold_bytes: u64,
    found_bytes: u64,
    common_bytes: u64,
    /// Labelled spans of known types, and those of them that are covered from end to end.
    spans: u32,
    hidden: u32,
    /// Labels that do not count.
    pub(crate) apart: Vec<usize>,
    /// For each labelled span its type and that of the found span that covers most of it; for each found span that met
    /// nothing, `None` and its type.
    pub(crate) confusion: Vec<(Option<usize>, Option<usize>)>,
    /// Labelled spans of known types that nothing of their type overlaps, and found ones that met nothing of their type.
    pub(crate) missed: Vec<usize>,
    pub(crate) wrong: Vec<usize>,
}

/// Names of the figures by type, in the order of [`type_figures`].
pub(crate) const TYPE_FIGURES: usize = 6;
/// Overall there are further ones: precision, recall and F1 by bytes, and the share of spans covered from end to end.
pub(crate) const OVERALL_FIGURES: usize = TYPE_FIGURES + 4;

/// Judges one text.
pub(crate) fn judge(gold: &[Gold], found: &[Found], types: &Types) -> Counts {
    let mut order: Vec<usize> = (0..gold.len()).collect();
    order.sort_by_key(|&i| (gold[i].span.start, gold[i].span.end));
    // The furthest end so far: where to begin looking for what overlaps a span.
    let mut reach = 0;
    let reaches: Vec<usize> = order
        .iter()
        .map(|&i| {
            reach = gold[i].span.end.max(reach);
            reach
        })
        .collect();
    let overlapping = |span: &Range<usize>| {
        let (start, end) = (span.start, span.end);
        let first = reaches.partition_point(|&reach| reach <= start);
        let near = order[first..].iter().copied().take_while(move |&i| gold[i].span.start < end);
        near.filter(move |&i| gold[i].span.end > start)
    };

    let mut counts = Counts::default();
    let mut by_type = std::collections::BTreeMap::<usize, TypeCounts>::new();
    let mut met = vec![false; gold.len()];
    let mut same = vec![false; gold.len()];
    // The found type that covers most of each label.
    let mut covered: Vec<Option<(usize, bool, usize)>> = vec![None; gold.len()];
    for (number, f) in found.iter().enumerate() {
        let (mut excused, mut any) = (false, false);
        let (mut as_type, mut strict) = (None, false);
        for i in overlapping(&f.span) {
            any = true;
            let label = types.label(gold[i].label);
            let standing = types.standing(gold[i].label);
            let fits = label.keys.contains(&f.key);
            excused |= matches!(standing, Standing::Ignored | Standing::Kept)
                || (standing == Standing::Unknown && fits);
            let key = label.keys.first().copied().filter(|_| fits);
            let common = f.span.end.min(gold[i].span.end) - f.span.start.max(gold[i].span.start);
            let rank = (common, fits, key.unwrap_or(f.key));
            if covered[i].is_none_or(|(most, same, _)| (most, same) < (common, fits)) {
                covered[i] = Some(rank);
            }
            if fits && standing == Standing::Counted {
                met[i] = true;
                as_type = as_type.or(key);
                if f.span == gold[i].span && !same[i] {
                    same[i] = true;
                    strict = true;
                    as_type = key;
                }
            }
        }
        if excused && as_type.is_none() {
            continue;
        }
        let slot = by_type.entry(as_type.unwrap_or(f.key)).or_default();
        slot.found += 1;
        slot.meeting += u32::from(as_type.is_some());
        slot.strict += u32::from(strict);
        if as_type.is_none() {
            counts.wrong.push(number);
        }
        if !any {
            counts.confusion.push((None, Some(f.key)));
        }
    }
    let (mut sensitive, mut aside) = (Vec::new(), Vec::new());
    for (i, g) in gold.iter().enumerate() {
        if types.standing(g.label) != Standing::Counted {
            aside.push(g.span.clone());
            counts.apart.push(g.label);
            continue;
        }
        sensitive.push(g.span.clone());
        let key = types.label(g.label).keys[0];
        let slot = by_type.entry(key).or_default();
        slot.gold += 1;
        slot.met += u32::from(met[i]);
        if !met[i] {
            counts.missed.push(i);
        }
        counts.confusion.push((Some(key), covered[i].map(|(_, _, key)| key)));
    }
    counts.types = by_type.into_iter().collect();

    let found: Vec<Range<usize>> = union(found.iter().map(|f| f.span.clone()).collect());
    counts.spans = u32::try_from(sensitive.len()).unwrap_or(u32::MAX);
    let whole = |span: &&Range<usize>| {
        let next = found.partition_point(|f| f.end < span.end);
        found.get(next).is_some_and(|f| f.start <= span.start)
    };
    counts.hidden = u32::try_from(sensitive.iter().filter(whole).count()).unwrap_or(u32::MAX);
    let sensitive = union(sensitive);
    let aside = union(aside);
    counts.gold_bytes = length(&sensitive);
    counts.common_bytes = common(&sensitive, &found);
    // Bytes that only a label outside the figures covers are neither right nor wrong.
    let both = union(sensitive.iter().chain(&aside).cloned().collect());
    counts.found_bytes = length(&found) - (common(&both, &found) - counts.common_bytes);
    counts
}

/// Sorted, disjoint stretches that cover the same bytes.
pub(crate) fn union(mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    spans.sort_by_key(|span| (span.start, span.end));
    let mut out: Vec<Range<usize>> = Vec::with_capacity(spans.len());
    for span in spans {
        match out.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => out.push(span),
        }
    }
    out
}

fn length(spans: &[Range<usize>]) -> u64 {
    spans.iter().map(|span| span.len() as u64).sum()
}

/// Bytes that both cover; both are sorted and disjoint.
fn common(a: &[Range<usize>], b: &[Range<usize>]) -> u64 {
    let (mut i, mut j, mut sum) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        sum += x.end.min(y.end).saturating_sub(x.start.max(y.start)) as u64;
        if x.end <= y.end { i += 1 } else { j += 1 }
    }
    sum
}

/// Sums over texts, each as often as its weight says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum {
    /// gold, found, strict, met, meeting by type.
    types: Vec<[f64; 5]>,
    bytes: [f64; 3],
    spans: f64,
    hidden: f64,
}

impl Sum {
    /// Sums the counts of texts; `types` is how many types there are.
    pub(crate) fn of(counts: &[&Counts], weights: &[u32], types: usize) -> Self {
        let mut sum = Self { types: vec![[0.0; 5]; types], ..Self::default() };
        for (counts, weight) in counts.iter().zip(weights).filter(|(_, weight)| **weight > 0) {
            let weight = f64::from(*weight);
            for (key, t) in &counts.types {
                let cells = [t.gold, t.found, t.strict, t.met, t.meeting];
                for (slot, cell) in sum.types[*key].iter_mut().zip(cells) {
                    *slot += weight * f64::from(cell);
                }
            }
            let bytes = [counts.gold_bytes, counts.found_bytes, counts.common_bytes];
            for (slot, cell) in sum.bytes.iter_mut().zip(bytes) {
                *slot += weight * cell as f64;
            }
            sum.spans += weight * f64::from(counts.spans);
            sum.hidden += weight * f64::from(counts.hidden);
        }
        sum
    }

    /// Labelled and found spans of one type.
    pub(crate) fn support(&self, key: usize) -> (f64, f64) {
        let [gold, found, ..] = self.types[key];
        (gold, found)
    }

    /// Strict precision, recall and F1, and the same by overlap, of one type.
    pub(crate) fn of_type(&self, key: usize) -> [f64; TYPE_FIGURES] {
        type_figures(self.types[key])
    }

    /// The same over all types (micro), by bytes, and the share of spans covered from end to end.
    pub(crate) fn overall(&self) -> [f64; OVERALL_FIGURES] {
        let mut all = [0.0; 5];
        for cells in &self.types {
            all.iter_mut().zip(cells).for_each(|(slot, cell)| *slot += cell);
        }
        let [a, b, c, d, e, f] = type_figures(all);
        let [gold, found, common] = self.bytes;
        let (precision, recall) = (common / found, common / gold);
        let bytes_f1 = 2.0 * common / (gold + found);
        [a, b, c, d, e, f, precision, recall, bytes_f1, self.hidden / self.spans]
    }
}

fn type_figures([gold, found, strict, met, meeting]: [f64; 5]) -> [f64; TYPE_FIGURES] {
    let (precision, recall) = (meeting / found, met / gold);
    // The harmonic mean; what was neither labelled nor found has none.
    let f1 = |precision: f64, recall: f64| match gold + found > 0.0 {
        true if precision + recall > 0.0 => 2.0 * precision * recall / (precision + recall),
        true => 0.0,
        false => f64::NAN,
    };
    let (p, r) = (strict / found, strict / gold);
    [p, r, f1(p, r), precision, recall, f1(precision, recall)]
}

#[cfg(test)]
mod tests;
