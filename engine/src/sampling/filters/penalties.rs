// SPDX-License-Identifier: AGPL-3.0-or-later
//! Penalties on tokens that stand in the last part of the history.
//!
//! Repetition: positive logits are divided, others multiplied (Keskar et al., CTRL,
//! arXiv:1909.05858, §4.1, in the form that covers negative logits, as in transformers and
//! llama.cpp). Then frequency, for each time the token stands there, and presence, once, are
//! subtracted (OpenAI's completions API).

use super::{Buffers, Filter, SamplingError, SamplingParams, finite};

struct Penalties {
    window: usize,
    repetition: f32,
    presence: f32,
    frequency: f32,
    vocab: usize,
}

pub(super) fn new(params: &SamplingParams, vocab: usize) -> Option<Box<dyn Filter>> {
    let filter = Penalties {
        window: params.penalty_window,
        repetition: params.repetition_penalty,
        presence: params.presence_penalty,
        frequency: params.frequency_penalty,
        vocab,
    };
    let on = filter.repetition != 1.0 || filter.presence != 0.0 || filter.frequency != 0.0;
    (on && filter.window > 0).then(|| Box::new(filter) as Box<dyn Filter>)
}

impl Filter for Penalties {
    fn edit(
        &mut self,
        logits: &mut [f32],
        history: &[u32],
        buffers: &mut Buffers,
    ) -> Result<(), SamplingError> {
        let ids = &mut buffers.ids;
        ids.clear();
        ids.extend_from_slice(&history[history.len().saturating_sub(self.window)..]);
        ids.sort_unstable();
        if let Some(&id) = ids.last().filter(|&&id| id as usize >= self.vocab) {
            return Err(SamplingError::Token { id, place: "the history", vocab: self.vocab });
        }
        for run in ids.chunk_by(|a, b| a == b) {
            let logit = &mut logits[run[0] as usize];
            if *logit == f32::NEG_INFINITY {
                continue;
            }
            let repeated =
                if *logit > 0.0 { *logit / self.repetition } else { *logit * self.repetition };
            let count = run.len() as f32;
            *logit = finite(finite(repeated) - (count * self.frequency + self.presence));
        }
        Ok(())
    }
}
