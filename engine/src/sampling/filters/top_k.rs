// SPDX-License-Identifier: AGPL-3.0-or-later
//! Top-k: the `k` most likely tokens; of equal logits at the edge the lowest ids.
//!
//! Source: Fan, Lewis and Dauphin, 2018 (arXiv:1805.04833), §5.4.

use super::{Candidates, Filter, SamplingParams};

struct TopK(usize);

pub(super) fn new(params: &SamplingParams) -> Option<Box<dyn Filter>> {
    (params.top_k > 0).then(|| Box::new(TopK(params.top_k)) as Box<dyn Filter>)
}

impl Filter for TopK {
    fn narrow(&mut self, candidates: &mut Candidates<'_>) {
        candidates.keep_top(self.0);
    }
}
