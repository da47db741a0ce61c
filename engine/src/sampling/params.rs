// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a caller may ask of the sampler.

use super::error::{ParamFault, SamplingError};

/// How the next token is chosen. [`SamplingParams::default`] has llama.cpp's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    /// Divides the logits before the draw; 0 takes the most likely token (greedy). `0..=100`.
    pub temperature: f32,
    /// Keeps the `k` most likely tokens; 0 keeps all. Fan et al., 2018 (arXiv:1805.04833), §5.4.
    pub top_k: usize,
    /// Keeps the fewest most likely tokens whose probabilities reach `p` together; 1 keeps all.
    /// `0..=1`. Holtzman et al., 2020 (arXiv:1904.09751), §3.1.
    pub top_p: f32,
    /// Keeps tokens at least `p` times as likely as the most likely one; 0 keeps all. `0..=1`.
    /// Nguyen et al., 2024 (arXiv:2407.01082), §3.
    pub min_p: f32,
    /// Keeps the fewest tokens, nearest the expected information first, whose probabilities reach
    /// `p` together; 1 keeps all. `0..=1`. Meister et al., 2023 (arXiv:2202.00666), §4.
    pub typical_p: f32,
    /// Divides positive and multiplies negative logits of tokens in the window; 1 changes
    /// nothing. Above 0, at most 100. Keskar et al., 2019 (arXiv:1909.05858), §4.1.
    pub repetition_penalty: f32,
    /// Subtracted from the logit of every token in the window. `-100..=100`; 0 changes nothing.
    pub presence_penalty: f32,
    /// Subtracted once for each time a token stands in the window. `-100..=100`; 0 changes nothing.
    pub frequency_penalty: f32,
    /// The window of the three penalties: the last so many tokens of the history that the caller
    /// hands over, prompt included; 0 switches them off.
    pub penalty_window: usize,
    /// Added to the logits of single tokens before anything else; `-inf` forbids the token.
    pub logit_bias: Vec<(u32, f32)>,
    /// Typical, top-p and min-p keep at least so many tokens (of those that are left). At least 1.
    pub min_keep: usize,
    /// Seed of the draw.
    pub seed: u64,
    /// `Some(n)` reports the log-probability of the token and of the `n` most likely ones.
    pub logprobs: Option<usize>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, ..Self::neutral() }
    }
}

impl SamplingParams {
    /// Most tokens whose log-probabilities can be asked for.
    pub const MAX_LOGPROBS: usize = 1000;

    /// Draws from the model's own distribution: temperature 1, every filter off.
    pub fn neutral() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            penalty_window: 64,
            logit_bias: Vec::new(),
            min_keep: 1,
            seed: 0,
            logprobs: None,
        }
    }

    /// The most likely token every time.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::neutral() }
    }

    /// Checks every parameter for a model of `vocab` tokens.
    ///
    /// # Errors
    /// [`SamplingError::Params`] with every fault, each with what would be accepted.
    pub fn validate(&self, vocab: usize) -> Result<(), SamplingError> {
        let mut faults = Vec::new();
        let mut fault = |name, given: String, accepted: String| {
            faults.push(ParamFault { name, given, accepted });
        };
        for (name, value, low, high) in [
            ("temperature", self.temperature, 0.0, 100.0),
            ("top_p", self.top_p, 0.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("typical_p", self.typical_p, 0.0, 1.0),
            ("presence_penalty", self.presence_penalty, -100.0, 100.0),
            ("frequency_penalty", self.frequency_penalty, -100.0, 100.0),
        ] {
            if !(low..=high).contains(&value) {
                fault(name, value.to_string(), format!("{low} to {high}"));
            }
        }
        let repetition = self.repetition_penalty;
        if !(repetition > 0.0 && repetition <= 100.0) {
            fault("repetition_penalty", repetition.to_string(), "above 0, at most 100".into());
        }
        if self.min_keep == 0 {
            fault("min_keep", "0".into(), "1 or more".into());
        }
        if let Some(n) = self.logprobs.filter(|&n| n > Self::MAX_LOGPROBS) {
            fault("logprobs", n.to_string(), format!("0 to {}", Self::MAX_LOGPROBS));
        }
        for &(id, bias) in &self.logit_bias {
            if id as usize >= vocab {
                fault("logit_bias", format!("for token {id}"), format!("ids below {vocab}"));
            }
            if !(bias.is_finite() || bias == f32::NEG_INFINITY) {
                let accepted = "a finite number, or -inf to forbid the token".into();
                fault("logit_bias", format!("{bias} for token {id}"), accepted);
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(SamplingError::Params(faults)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_reported_with_its_range() {
        let params = SamplingParams {
            temperature: f32::NAN,
            top_p: 1.5,
            min_p: -0.1,
            typical_p: f32::INFINITY,
            repetition_penalty: 0.0,
            presence_penalty: 101.0,
            frequency_penalty: -101.0,
            min_keep: 0,
            logprobs: Some(1001),
            logit_bias: vec![(9, 1.0), (3, f32::INFINITY), (4, f32::NEG_INFINITY)],
            ..SamplingParams::neutral()
        };
        let Err(SamplingError::Params(faults)) = params.validate(9) else { panic!("accepted") };
        let names: Vec<_> = faults.iter().map(|f| f.name).collect();
        assert_eq!(
            names,
            [
                "temperature",
                "top_p",
                "min_p",
                "typical_p",
                "presence_penalty",
                "frequency_penalty",
                "repetition_penalty",
                "min_keep",
                "logprobs",
                "logit_bias",
                "logit_bias"
            ]
        );
        assert_eq!(faults[1].to_string(), "top_p is 1.5, accepted: 0 to 1");
        assert_eq!(faults[9].to_string(), "logit_bias is for token 9, accepted: ids below 9");
        for good in [SamplingParams::default(), SamplingParams::neutral(), SamplingParams::greedy()]
        {
            good.validate(1).unwrap();
        }
    }
}
