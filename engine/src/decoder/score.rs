// SPDX-License-Identifier: AGPL-3.0-or-later
//! How likely a model finds a text: what perplexity is made of.

use super::forward::{Scratch, Slice, Want, Wanted};
use super::kv::{KvCache, KvKind, PAGE, Sequence};
use super::model::DecoderModel;
use super::projection::Inputs;
use crate::compute::Compute;
use crate::control::CancelToken;
use crate::error::EngineError;
use crate::sampling::check_finite;

/// Tokens of a pass through the layers, as the generator reads prompts.
const CHUNK: usize = 512;

/// Tokens whose logits a thread holds at once: enough to use the head's weights well, and 8 MB for a
/// vocabulary of 128256.
const BLOCK: usize = 16;

/// Finds the probabilities of given tokens, one text after another.
#[derive(Debug)]
pub struct Scorer<'a> {
    model: &'a DecoderModel,
    compute: &'a Compute,
    cache: KvCache,
    scratch: Scratch,
}

impl<'a> Scorer<'a> {
    /// A scorer for texts of at most `context` tokens.
    ///
    /// # Errors
    /// [`EngineError::Input`] for a model without an output head, or a context of none.
    pub fn new(
        model: &'a DecoderModel,
        compute: &'a Compute,
        kind: KvKind,
        context: usize,
    ) -> Result<Self, EngineError> {
        if model.head.is_none() {
            return Err(EngineError::Input("the model has no output head to score with".into()));
        }
        let shape = model.kv_shape(kind);
        let bytes = context.div_ceil(PAGE).saturating_mul(shape.page_bytes());
        Ok(Self { model, compute, cache: KvCache::new(shape, bytes)?, scratch: Scratch::default() })
    }

    /// Natural logarithms of the probabilities of `tokens[first..]`, each behind all tokens before
    /// it. Nothing is kept of earlier calls, so that a call's result depends on its tokens alone.
    ///
    /// Memory: keys and values, `[512, hidden]` states, and 16 rows of logits a thread. The numbers
    /// depend neither on the threads nor on how tokens are split.
    ///
    /// # Errors
    /// [`EngineError::Input`] for a `first` of 0, as the first token follows nothing, more tokens
    /// than the context, or an id that the model lacks; [`EngineError::Sampling`] for logits that
    /// are no numbers; [`EngineError::Cancelled`], seen between layers.
    pub fn score(
        &mut self,
        tokens: &[u32],
        first: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>, EngineError> {
        let vocab = self.model.config.vocab;
        if first == 0 {
            return Err(EngineError::Input("the first token follows nothing".into()));
        }
        if tokens.len() > self.cache.capacity() {
            let (found, most) = (tokens.len(), self.cache.capacity());
            return Err(EngineError::Input(format!("{found} tokens; {most} fit the cache")));
        }
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocab) {
            return Err(EngineError::Input(format!("token {token}; ids are 0..={}", vocab - 1)));
        }
        let mut sequence = Sequence::default();
        let scored = self.read(&mut sequence, tokens, first, cancel);
        self.cache.end(sequence);
        scored
    }

    fn read(
        &mut self,
        sequence: &mut Sequence,
        tokens: &[u32],
        first: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>, EngineError> {
        let mut scores = Vec::with_capacity(tokens.len().saturating_sub(first));
        // Nothing is asked behind the last token.
        let mut rest = &tokens[..tokens.len().saturating_sub(1)];
        while !rest.is_empty() && first < tokens.len() {
            let at = sequence.len();
            // Token `first` is asked of the one before it; what comes earlier is only read.
            let before = (first - 1).saturating_sub(at);
            let new = rest.len().min(CHUNK).min(if before > 0 { before } else { usize::MAX });
            let want = if before > 0 { Want::Nothing } else { Want::Hidden };
            self.cache.extend(sequence, &rest[..new])?;
            let slice = Slice { sequence, new, want: Wanted::All(want) };
            let (compute, scratch) = (self.compute, &mut self.scratch);
            let states = self.model.forward(compute, &self.cache, &[slice], scratch, cancel)?;
            let next = &tokens[at + 1..][..states.len()];
            scores.extend(self.model.log_probs(compute, &states, next, cancel)?);
            rest = &rest[new..];
        }
        Ok(scores)
    }
}

impl DecoderModel {
    /// Natural logarithms of the probabilities of `next` behind `states`, without holding all their
    /// logits at once.
    ///
    /// - `states`: `[n]` of `[hidden]`, as [`Want::Hidden`] gives them
    /// - `next`: `[n]` token ids
    ///
    /// Each is `logit - ln Σ exp(logits)`, summed in double precision.
    ///
    /// # Errors
    /// [`EngineError::Input`] for a model without an output head, other lengths, or an id that the
    /// model lacks; [`EngineError::Sampling`] for a logit that is no finite number;
    /// [`EngineError::Cancelled`].
    pub fn log_probs(
        &self,
        compute: &Compute,
        states: &[Vec<f32>],
        next: &[u32],
        cancel: &CancelToken,
    ) -> Result<Vec<f32>, EngineError> {
        let Some(head) = &self.head else {
            return Err(EngineError::Input("the model has no output head to score with".into()));
        };
        let (hidden, vocab) = (self.config.hidden, self.config.vocab);
        let fits = states.len() == next.len() && states.iter().all(|state| state.len() == hidden);
        if !fits || next.iter().any(|&token| token as usize >= vocab) {
            let message = format!("states of {hidden} values with an id below {vocab} for each");
            return Err(EngineError::Input(format!("log-probabilities need {message}")));
        }
        let mut out = vec![0f32; next.len()];
        let blocks: Vec<_> =
            (states.chunks(BLOCK).zip(next.chunks(BLOCK))).zip(out.chunks_mut(BLOCK)).collect();
        compute.for_each(blocks, |((states, next), out)| {
            cancel.check()?;
            let (mut inputs, states) = (Inputs::default(), states.concat());
            let mut logits = vec![0f32; next.len() * vocab];
            head.prepare(compute.kernels(), None, None, &states, &mut inputs)?;
            head.forward(compute.kernels(), &mut inputs, 0..vocab, &mut logits)?;
            for ((row, &token), out) in logits.chunks_exact(vocab).zip(next).zip(out) {
                check_finite(row)?;
                *out = (f64::from(row[token as usize]) - log_sum_exp(row)) as f32;
            }
            Ok(())
        })?;
        Ok(out)
    }
}

/// `ln Σ exp(logits)` of finite logits.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    // Less than 1e-17 of the sum each, so that all of a vocabulary change nothing.
    let counts = |logit: &f64| *logit > max - 40.0;
    let terms = logits.iter().map(|&logit| f64::from(logit)).filter(counts);
    max + libm::log(terms.map(|logit| libm::exp(logit - max)).sum::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_exponentials_are_those_of_the_definition() {
        let logits: Vec<f32> =
            (0..1000u32).map(|i| (i * 7919 % 997) as f32 / 20.0 - 25.0).collect();
        let direct = logits.iter().map(|&l| f64::from(l).exp()).sum::<f64>().ln();
        assert!((log_sum_exp(&logits) - direct).abs() < 1e-12);
        // Far outside what exp can hold.
        assert!((log_sum_exp(&[1e4, 1e4, -1e4]) - (1e4 + 2f64.ln())).abs() < 1e-11);
    }
}
