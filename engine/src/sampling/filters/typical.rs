// SPDX-License-Identifier: AGPL-3.0-or-later
//! Locally typical sampling: tokens whose information is nearest the expected information.
//!
//! With `H` the entropy of the tokens that are left, tokens are taken by `|-ln p - H|`, smallest
//! first, lowest id first of equals, until their probabilities reach `p` together. The most likely
//! token may be left out.
//!
//! Source: Meister et al., 2023 (arXiv:2202.00666), §4.

use super::super::candidates::sort_prefix;
use super::{Candidates, Filter, SamplingParams};

struct Typical {
    p: f64,
    min_keep: usize,
}

pub(super) fn new(params: &SamplingParams) -> Option<Box<dyn Filter>> {
    let filter = Typical { p: f64::from(params.typical_p), min_keep: params.min_keep };
    (filter.p < 1.0).then(|| Box::new(filter) as Box<dyn Filter>)
}

impl Filter for Typical {
    fn narrow(&mut self, candidates: &mut Candidates<'_>) {
        let total = candidates.total();
        let log_total = libm::log(total);
        let max = f64::from(candidates.max());
        let information = |logit: f32| log_total - (f64::from(logit) - max);
        let mut entropy = 0.0;
        candidates.for_each(|c| {
            entropy += candidates.weight(c.logit) / total * information(c.logit);
        });

        let mut keys = std::mem::take(&mut candidates.buffers.keys);
        keys.clear();
        keys.reserve(candidates.vocab());
        candidates.for_each(|c| keys.push(((information(c.logit) - entropy).abs(), c.id)));
        let (mut sum, mut n, mut sorted) = (0.0, 0, 0);
        while n < keys.len() && (n < self.min_keep || sum < self.p * total) {
            if n == sorted {
                let order =
                    |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
                sorted = sort_prefix(&mut keys, sorted, (sorted * 4).max(64), order);
            }
            sum += candidates.weight(candidates.logit(keys[n].1));
            n += 1;
        }
        candidates.keep_only(keys[..n].iter().map(|&(_, id)| id));
        candidates.buffers.keys = keys;
    }
}
