// SPDX-License-Identifier: AGPL-3.0-or-later
//! Min-p: tokens at least `p` times as likely as the most likely one.
//!
//! Source: Nguyen et al., 2024 (arXiv:2407.01082), §3.

use super::{Candidates, Filter, SamplingParams};

struct MinP {
    /// Logarithm of `p`: likelihood ratios are differences of logits, so no exponential.
    log: f64,
    min_keep: usize,
}

pub(super) fn new(params: &SamplingParams) -> Option<Box<dyn Filter>> {
    let filter = MinP { log: libm::log(f64::from(params.min_p)), min_keep: params.min_keep };
    (params.min_p > 0.0).then(|| Box::new(filter) as Box<dyn Filter>)
}

impl Filter for MinP {
    fn narrow(&mut self, candidates: &mut Candidates<'_>) {
        candidates.keep_above(f64::from(candidates.max()) + self.log, self.min_keep);
    }
}
