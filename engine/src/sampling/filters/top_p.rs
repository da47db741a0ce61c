// SPDX-License-Identifier: AGPL-3.0-or-later
//! Top-p, or nucleus sampling: the fewest most likely tokens that reach probability `p` together.
//!
//! Probabilities are those among the tokens that earlier steps left. The token with which the sum
//! reaches `p` is kept.
//!
//! Source: Holtzman et al., 2020 (arXiv:1904.09751), §3.1.

use super::{Candidates, Filter, SamplingParams};

struct TopP {
    p: f64,
    min_keep: usize,
}

pub(super) fn new(params: &SamplingParams) -> Option<Box<dyn Filter>> {
    let filter = TopP { p: f64::from(params.top_p), min_keep: params.min_keep };
    (filter.p < 1.0).then(|| Box::new(filter) as Box<dyn Filter>)
}

impl Filter for TopP {
    fn narrow(&mut self, candidates: &mut Candidates<'_>) {
        let target = self.p * candidates.total();
        let (mut sum, mut n) = (0.0, 0);
        while let Some(candidate) = candidates.get(n) {
            sum += candidates.weight(candidate.logit);
            n += 1;
            if sum >= target {
                break;
            }
        }
        candidates.keep_top(n.max(self.min_keep));
    }
}
