// SPDX-License-Identifier: AGPL-3.0-or-later
//! Temperature: divides the logits. 0 is the limit, in which only the most likely token is left.
//!
//! Source: Ackley, Hinton and Sejnowski, Cognitive Science 9(1), 1985, §2.

use super::{Candidates, Filter, SamplingParams};

struct Temperature(f32);

pub(super) fn new(params: &SamplingParams) -> Option<Box<dyn Filter>> {
    let on = params.temperature != 0.0 && params.temperature != 1.0;
    on.then(|| Box::new(Temperature(params.temperature)) as Box<dyn Filter>)
}

impl Filter for Temperature {
    fn narrow(&mut self, candidates: &mut Candidates<'_>) {
        candidates.temperature = f64::from(self.0);
    }
}
