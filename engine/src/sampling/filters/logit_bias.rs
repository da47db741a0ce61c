// SPDX-License-Identifier: AGPL-3.0-or-later
//! Logit bias: a number added to the logits of single tokens; `-inf` forbids.
//!
//! Source: the `logit_bias` parameter of OpenAI's completions API.

use super::{Buffers, Filter, SamplingError, SamplingParams, finite};

struct LogitBias(Vec<(u32, f32)>);

pub(super) fn new(params: &SamplingParams) -> Option<Box<dyn Filter>> {
    let bias = &params.logit_bias;
    (!bias.is_empty()).then(|| Box::new(LogitBias(bias.clone())) as Box<dyn Filter>)
}

impl Filter for LogitBias {
    fn edit(
        &mut self,
        logits: &mut [f32],
        _history: &[u32],
        _buffers: &mut Buffers,
    ) -> Result<(), SamplingError> {
        for &(id, bias) in &self.0 {
            let logit = &mut logits[id as usize];
            if bias == f32::NEG_INFINITY {
                *logit = bias;
            } else if *logit > f32::NEG_INFINITY {
                *logit = finite(*logit + bias);
            }
        }
        Ok(())
    }
}
