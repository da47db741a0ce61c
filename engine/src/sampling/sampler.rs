// SPDX-License-Identifier: AGPL-3.0-or-later
//! The chain, the draw and the log-probabilities.

use super::candidates::{Buffers, Candidates};
use super::constraint::{Constraint, TokenMask};
use super::error::SamplingError;
use super::filters::{Filter, chain};
use super::params::SamplingParams;
use super::rng::Rng;

/// One sampled token.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// Token id.
    pub token: u32,
    /// Natural logarithm of the token's probability in the model's untouched distribution (before
    /// constraint, bias, penalties, filters and temperature); `None` unless
    /// [`SamplingParams::logprobs`] asks.
    pub logprob: Option<f32>,
    /// The `n` most likely tokens of that distribution with theirs, most likely first.
    pub top: Vec<(u32, f32)>,
}

/// Chooses the tokens of one generation.
///
/// Buffers are used again: after the first token only [`Sampled::top`] is allocated.
pub struct Sampler {
    vocab: usize,
    greedy: bool,
    chain: Vec<Box<dyn Filter>>,
    constraint: Option<(Box<dyn Constraint>, TokenMask)>,
    rng: Rng,
    logprobs: Option<usize>,
    /// The model's logits, while `logprobs` asks for them.
    untouched: Vec<f32>,
    buffers: Buffers,
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler").field("vocab", &self.vocab).finish_non_exhaustive()
    }
}

impl Sampler {
    /// A sampler over `vocab` tokens.
    ///
    /// # Errors
    /// [`SamplingError::Params`] with every fault.
    pub fn new(params: &SamplingParams, vocab: usize) -> Result<Self, SamplingError> {
        params.validate(vocab)?;
        Ok(Self {
            vocab,
            greedy: params.temperature == 0.0,
            chain: chain(params, vocab),
            constraint: None,
            rng: Rng::new(params.seed),
            logprobs: params.logprobs,
            untouched: Vec::new(),
            buffers: Buffers::default(),
        })
    }

    /// Follows `constraint` from the next token on.
    #[must_use]
    pub fn with_constraint(mut self, constraint: Box<dyn Constraint>) -> Self {
        self.constraint = Some((constraint, TokenMask::new(self.vocab)));
        self
    }

    /// Whether the text so far satisfies the constraint; `true` without one.
    pub fn is_complete(&mut self) -> bool {
        self.constraint.as_mut().is_none_or(|(constraint, _)| constraint.is_complete())
    }

    /// Chooses the next token.
    ///
    /// - `logits`: `[vocab]`, the model's output; changed in place
    /// - `history`: the tokens that penalties look at, oldest first, the prompt's included if they
    ///   are to count
    ///
    /// # Errors
    /// A logit that is no finite number, a wrong number of logits, a history id past the
    /// vocabulary, no token left, or the constraint's own.
    pub fn sample(
        &mut self,
        logits: &mut [f32],
        history: &[u32],
    ) -> Result<Sampled, SamplingError> {
        if logits.len() != self.vocab {
            return Err(SamplingError::Vocab { vocab: self.vocab, found: logits.len() });
        }
        check_finite(logits)?;
        if self.logprobs.is_some() {
            self.untouched.clear();
            self.untouched.extend_from_slice(logits);
        }
        if let Some((constraint, mask)) = &mut self.constraint {
            mask.clear();
            constraint.allowed(mask)?;
            if mask.count() == 0 {
                return Err(SamplingError::NoToken("the constraint allows none"));
            }
            mask.forbid_others(logits);
        }
        for filter in &mut self.chain {
            filter.edit(logits, history, &mut self.buffers)?;
        }
        let reason = match (logits.is_empty(), &self.constraint) {
            (true, _) => "the vocabulary is empty",
            (false, None) => "the logit bias forbids all",
            (false, Some(_)) => "the logit bias forbids all that the constraint allows",
        };
        let mut candidates =
            Candidates::new(logits, &mut self.buffers).ok_or(SamplingError::NoToken(reason))?;
        for filter in &mut self.chain {
            filter.narrow(&mut candidates);
        }
        let token =
            if self.greedy { candidates.best().id } else { draw(&mut candidates, &mut self.rng) };
        if let Some((constraint, _)) = &mut self.constraint {
            constraint.accept(token)?;
        }
        let (logprob, top) = self.logprobs(token);
        Ok(Sampled { token, logprob, top })
    }

    /// Of the untouched distribution: the token's log-probability and the most likely tokens'.
    fn logprobs(&mut self, token: u32) -> (Option<f32>, Vec<(u32, f32)>) {
        let asked = self.logprobs.zip(Candidates::new(&self.untouched, &mut self.buffers));
        let Some((n, mut all)) = asked else { return (None, Vec::new()) };
        let max = f64::from(all.max());
        let log_total = libm::log(all.total());
        let logprob = |logit: f32| (f64::from(logit) - max - log_total) as f32;
        let own = logprob(all.logit(token));
        if n > 0 {
            all.keep_top(n);
        }
        let top = (0..n).map_while(|i| all.get(i)).map(|c| (c.id, logprob(c.logit))).collect();
        (Some(own), top)
    }
}

/// Draws by inverting the cumulative distribution, most likely token first.
fn draw(candidates: &mut Candidates<'_>, rng: &mut Rng) -> u32 {
    let target = rng.next_f64() * candidates.total();
    let (mut sum, mut last) = (0.0, candidates.best().id);
    let mut i = 0;
    while let Some(candidate) = candidates.get(i) {
        let weight = candidates.weight(candidate.logit);
        if weight == 0.0 {
            break;
        }
        (sum, last) = (sum + weight, candidate.id);
        if sum > target {
            break;
        }
        i += 1;
    }
    // The sum may end a rounding error below the total: then it is the last that weighs anything.
    last
}

/// Refuses logits that are no finite numbers, naming the first.
pub(crate) fn check_finite(logits: &[f32]) -> Result<(), SamplingError> {
    // No early exit inside a block: the compiler makes vector code of it.
    let bad = |block: &&[f32]| block.iter().fold(false, |bad, l| bad | !l.is_finite());
    if logits.chunks(1024).find(bad).is_none() {
        return Ok(());
    }
    let (id, value) = (0u32..).zip(logits).find(|(_, l)| !l.is_finite()).unwrap_or((0, &f32::NAN));
    Err(SamplingError::Logit { id, value: *value })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Only(Vec<u32>);

    impl Constraint for Only {
        fn allowed(&mut self, mask: &mut TokenMask) -> Result<(), SamplingError> {
            self.0.iter().for_each(|&id| mask.allow(id));
            Ok(())
        }

        fn accept(&mut self, token: u32) -> Result<(), SamplingError> {
            self.0.retain(|&id| id != token);
            Ok(())
        }

        fn is_complete(&mut self) -> bool {
            self.0.is_empty()
        }
    }

    #[test]
    fn buffers_are_used_again() {
        let params = SamplingParams {
            typical_p: 0.9,
            repetition_penalty: 1.1,
            logprobs: Some(0),
            ..SamplingParams::default()
        };
        let mut sampler = Sampler::new(&params, 5000).unwrap();
        let history: Vec<u32> = (0..100).collect();
        let mut rng = Rng::new(1);
        let mut sizes = Vec::new();
        for _ in 0..20 {
            let mut logits: Vec<f32> = (0..5000).map(|_| (rng.next_f64() * 9.0) as f32).collect();
            let sampled = sampler.sample(&mut logits, &history).unwrap();
            assert_eq!(sampled.top.capacity(), 0);
            sizes.push((sampler.buffers.capacities(), sampler.untouched.capacity()));
        }
        assert!(sizes.windows(2).all(|w| w[0] == w[1]), "{sizes:?}");
    }

    #[test]
    fn a_constraint_comes_first_and_a_dead_end_is_an_error() {
        let params = SamplingParams { logprobs: Some(1), ..SamplingParams::greedy() };
        let mut sampler =
            Sampler::new(&params, 4).unwrap().with_constraint(Box::new(Only(vec![1, 3])));
        let logits = [9.0, 1.0, 8.0, 2.0];
        for expected in [3, 1] {
            assert!(!sampler.is_complete());
            let sampled = sampler.sample(&mut logits.clone(), &[]).unwrap();
            // Log-probabilities are of the untouched distribution, forbidden tokens included.
            assert_eq!((sampled.token, sampled.top[0].0), (expected, 0));
            assert!(sampled.logprob.unwrap() < -6.0);
        }
        assert!(sampler.is_complete());
        let error = sampler.sample(&mut logits.clone(), &[]).unwrap_err();
        assert_eq!(error.to_string(), "no token is left: the constraint allows none");
    }

    #[test]
    fn logits_that_are_no_numbers_name_the_token() {
        for (value, shown) in
            [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")]
        {
            let mut logits = vec![0.5; 3000];
            logits[2000] = value;
            let mut sampler = Sampler::new(&SamplingParams::default(), 3000).unwrap();
            let error = sampler.sample(&mut logits, &[]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the logit of token 2000 is {shown};")), "{error}");
        }
    }

    #[test]
    fn what_does_not_fit_the_vocabulary_is_an_error() {
        let params = SamplingParams { presence_penalty: 1.0, ..SamplingParams::default() };
        let mut sampler = Sampler::new(&params, 4).unwrap();
        let message = |r: Result<Sampled, SamplingError>| r.unwrap_err().to_string();
        assert_eq!(
            message(sampler.sample(&mut [0.0; 3], &[])),
            "found 3 logits for a vocabulary of 4 tokens"
        );
        assert_eq!(
            message(sampler.sample(&mut [0.0; 4], &[1, 4])),
            "token 4 in the history is past the vocabulary; ids are below 4"
        );
        let all = (0..4).map(|id| (id, f32::NEG_INFINITY)).collect();
        let params = SamplingParams { logit_bias: all, ..SamplingParams::default() };
        let mut sampler = Sampler::new(&params, 4).unwrap();
        assert!(message(sampler.sample(&mut [0.0; 4], &[])).contains("forbids all"));
        let mut sampler = Sampler::new(&SamplingParams::default(), 0).unwrap();
        assert!(message(sampler.sample(&mut [], &[])).contains("empty"));
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let params = SamplingParams {
            temperature: f32::MIN_POSITIVE,
            repetition_penalty: 100.0,
            logit_bias: vec![(0, f32::MAX), (1, f32::MIN)],
            typical_p: 0.5,
            ..SamplingParams::default()
        };
        let mut sampler = Sampler::new(&params, 3).unwrap();
        let mut logits = [f32::MAX, f32::MIN, f32::MIN];
        assert_eq!(sampler.sample(&mut logits, &[2, 2]).unwrap().token, 0);
        assert!(logits.iter().all(|l| l.is_finite()));
    }
}
