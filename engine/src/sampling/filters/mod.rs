// SPDX-License-Identifier: AGPL-3.0-or-later
//! The steps of the chain. A new one is a file here and a line in [`chain`].

mod logit_bias;
mod min_p;
mod penalties;
mod temperature;
mod top_k;
mod top_p;
mod typical;

use super::candidates::{Buffers, Candidates};
use super::error::SamplingError;
use super::params::SamplingParams;

/// One step from the model's logits to the tokens of the draw. It does one of two things.
pub(super) trait Filter: Send {
    /// Changes the logits of single tokens, before any token is left out.
    ///
    /// `logits`: `[vocab]`, finite, or `-inf` for forbidden tokens; they stay so.
    fn edit(
        &mut self,
        _logits: &mut [f32],
        _history: &[u32],
        _buffers: &mut Buffers,
    ) -> Result<(), SamplingError> {
        Ok(())
    }

    /// Leaves out tokens, never all of them, or rescales what they weigh.
    fn narrow(&mut self, _candidates: &mut Candidates<'_>) {}
}

/// The steps that `params` ask for, in llama.cpp's default order.
pub(super) fn chain(params: &SamplingParams, vocab: usize) -> Vec<Box<dyn Filter>> {
    // The most likely token is in any case among the top k, p and min-p.
    let greedy = params.temperature == 0.0 && params.typical_p >= 1.0;
    let narrowing = |filter: Option<Box<dyn Filter>>| filter.filter(|_| !greedy);
    [
        logit_bias::new(params),
        penalties::new(params, vocab),
        narrowing(top_k::new(params)),
        typical::new(params),
        narrowing(top_p::new(params)),
        narrowing(min_p::new(params)),
        temperature::new(params),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A logit after arithmetic: kept finite, so that only a bias of `-inf` forbids a token.
fn finite(logit: f32) -> f32 {
    logit.clamp(f32::MIN, f32::MAX)
}
