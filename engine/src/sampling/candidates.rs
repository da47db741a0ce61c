// SPDX-License-Identifier: AGPL-3.0-or-later
//! The tokens that are still in the running, most likely first.

use std::cmp::Ordering;

/// Logits looked at together when the largest are searched.
const BLOCK: usize = 64;

/// Tokens sorted at first when it is not known how many are needed.
const FIRST_SORT: usize = 64;

/// A token and its logit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) id: u32,
    pub(super) logit: f32,
}

impl Candidate {
    /// Most likely first; of equal logits the lowest id.
    fn order(&self, other: &Self) -> Ordering {
        other.logit.total_cmp(&self.logit).then(self.id.cmp(&other.id))
    }
}

/// Memory that is used again for every token.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    list: Vec<Candidate>,
    maxima: Vec<f32>,
    /// For filters that need another order: a key and a place.
    pub(super) keys: Vec<(f64, u32)>,
    /// For filters that look at the history.
    pub(super) ids: Vec<u32>,
}

#[cfg(test)]
impl Buffers {
    pub(super) fn capacities(&self) -> [usize; 4] {
        [self.list.capacity(), self.maxima.capacity(), self.keys.capacity(), self.ids.capacity()]
    }
}

/// The tokens of one step.
///
/// They stay in the model's own array, `-inf` marking forbidden ones, until a filter needs an
/// order or leaves some out. Between filters they are either all in the array, or all in the list
/// and sorted, so sums over them run in a fixed order.
pub(super) struct Candidates<'a> {
    /// `[vocab]`; holds tokens that are out as well once `listed`.
    logits: &'a [f32],
    pub(super) buffers: &'a mut Buffers,
    listed: bool,
    /// So many of the list are in their places.
    sorted: usize,
    max: f32,
    /// Weights are those of logits divided by this.
    pub(super) temperature: f64,
}

impl<'a> Candidates<'a> {
    /// All tokens whose logit is not `-inf`; `None` if there are none.
    ///
    /// `logits`: `[vocab]`, finite or `-inf`.
    pub(super) fn new(logits: &'a [f32], buffers: &'a mut Buffers) -> Option<Self> {
        let max = max_of(logits);
        (max > f32::NEG_INFINITY).then_some(Self {
            logits,
            buffers,
            listed: false,
            sorted: 0,
            max,
            temperature: 1.0,
        })
    }

    /// The largest logit.
    pub(super) fn max(&self) -> f32 {
        self.max
    }

    /// What a token of this logit weighs beside the most likely one, which weighs 1.
    pub(super) fn weight(&self, logit: f32) -> f64 {
        libm::exp((f64::from(logit) - f64::from(self.max)) / self.temperature)
    }

    /// Calls `each` for every candidate: by id, or, when some were left out, most likely first.
    pub(super) fn for_each(&self, mut each: impl FnMut(Candidate)) {
        if self.listed {
            self.buffers.list.iter().for_each(|&c| each(c));
        } else {
            dense(self.logits).for_each(each);
        }
    }

    /// Sum of all weights.
    pub(super) fn total(&self) -> f64 {
        let mut total = 0.0;
        self.for_each(|c| total += self.weight(c.logit));
        total
    }

    /// The most likely candidate.
    pub(super) fn best(&self) -> Candidate {
        match self.buffers.list.first() {
            Some(&first) if self.listed => first,
            _ => {
                let id = self.logits.iter().position(|&l| l == self.max).unwrap_or(0) as u32;
                Candidate { id, logit: self.max }
            }
        }
    }

    /// The candidate at place `i`, most likely first; `None` past the last.
    pub(super) fn get(&mut self, i: usize) -> Option<Candidate> {
        self.list(f32::NEG_INFINITY);
        let list = &mut self.buffers.list;
        if i < list.len() && i >= self.sorted {
            let upto = FIRST_SORT.max(self.sorted * 4).max(i + 1);
            self.sorted = sort_prefix(list, self.sorted, upto, Candidate::order);
        }
        list.get(i).copied()
    }

    /// Keeps the `n` most likely (at least one).
    pub(super) fn keep_top(&mut self, n: usize) {
        let n = n.max(1);
        if !self.listed {
            let cutoff = self.cutoff(n);
            self.list(cutoff);
        }
        let list = &mut self.buffers.list;
        if n > self.sorted {
            self.sorted = sort_prefix(list, self.sorted, n, Candidate::order);
        }
        list.truncate(n);
        self.sorted = list.len();
    }

    /// Keeps candidates whose logit is at least `threshold`, and in any case the `min` most likely.
    pub(super) fn keep_above(&mut self, threshold: f64, min: usize) {
        let above = |c: &Candidate| f64::from(c.logit) >= threshold;
        let n = if self.listed {
            self.buffers.list.partition_point(above)
        } else {
            dense(self.logits).filter(above).count()
        };
        self.keep_top(n.max(min));
    }

    /// Keeps these candidates only: one or more.
    pub(super) fn keep_only(&mut self, ids: impl Iterator<Item = u32>) {
        let (list, logits) = (&mut self.buffers.list, self.logits);
        list.clear();
        list.extend(ids.map(|id| Candidate { id, logit: logits[id as usize] }));
        list.sort_unstable_by(Candidate::order);
        (self.listed, self.sorted, self.max) = (true, list.len(), list[0].logit);
    }

    /// Tokens of the vocabulary.
    pub(super) fn vocab(&self) -> usize {
        self.logits.len()
    }

    /// The logit of a token.
    pub(super) fn logit(&self, id: u32) -> f32 {
        self.logits[id as usize]
    }

    /// Moves the candidates of at least `cutoff` from the array to the list.
    fn list(&mut self, cutoff: f32) {
        if !self.listed {
            let list = &mut self.buffers.list;
            list.clear();
            // How many there are depends on the data: room for all, once, touched only where used.
            list.reserve(self.logits.len());
            list.extend(dense(self.logits).filter(|c| c.logit >= cutoff));
            (self.listed, self.sorted) = (true, 0);
        }
    }

    /// A logit that at least `n` tokens reach: where there are more than `n` blocks, the `n`-th
    /// largest of their maxima. It keeps nearly the whole vocabulary out of the selection.
    fn cutoff(&mut self, n: usize) -> f32 {
        let maxima = &mut self.buffers.maxima;
        maxima.clear();
        maxima.extend(self.logits.chunks(BLOCK).map(max_of));
        if maxima.len() <= n {
            return f32::NEG_INFINITY;
        }
        *maxima.select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a)).1
    }
}

/// The tokens of an array that are not forbidden, by id.
fn dense(logits: &[f32]) -> impl Iterator<Item = Candidate> + '_ {
    (0u32..)
        .zip(logits)
        .filter(|&(_, &logit)| logit > f32::NEG_INFINITY)
        .map(|(id, &logit)| Candidate { id, logit })
}

/// Puts the first `upto` items in their places, given that the first `sorted` are; returns how
/// many now are. Selection first, so that the rest is not sorted.
pub(super) fn sort_prefix<T>(
    items: &mut [T],
    sorted: usize,
    upto: usize,
    order: impl Fn(&T, &T) -> Ordering,
) -> usize {
    let upto = upto.min(items.len());
    let rest = &mut items[sorted..];
    let wanted = upto - sorted;
    if wanted < rest.len() && wanted > 0 {
        rest.select_nth_unstable_by(wanted - 1, &order);
    }
    rest[..wanted].sort_unstable_by(&order);
    upto
}

/// The largest value; `-inf` of none. No NaN.
fn max_of(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (chunks, rest) = values.as_chunks::<16>();
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, value);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_most_likely_are_those_of_a_full_sort(
            logits in prop::collection::vec(
                prop_oneof![
                    (-3i8..3).prop_map(f32::from),
                    Just(f32::NEG_INFINITY),
                    -9f32..9.0,
                ],
                1..700,
            ),
            k in 1usize..80,
        ) {
            let mut logits = logits;
            logits[0] = 1.0;
            let mut expected: Vec<_> = dense(&logits).collect();
            expected.sort_by(Candidate::order);
            let mut buffers = Buffers::default();

            let mut all = Candidates::new(&logits, &mut buffers).unwrap();
            prop_assert_eq!(all.best(), expected[0]);
            let got: Vec<_> = (0..).map_while(|i| all.get(i)).collect();
            prop_assert_eq!(&got, &expected);

            let mut top = Candidates::new(&logits, &mut buffers).unwrap();
            top.keep_top(k);
            let got: Vec<_> = (0..).map_while(|i| top.get(i)).collect();
            prop_assert_eq!(&got[..], &expected[..k.min(expected.len())]);
            top.keep_above(0.5, 3);
            let left = expected.iter().take(k).filter(|c| c.logit >= 0.5).count();
            let left = left.max(3.min(got.len()));
            let got: Vec<_> = (0..).map_while(|i| top.get(i)).collect();
            prop_assert_eq!(&got[..], &expected[..left]);
        }
    }
}
