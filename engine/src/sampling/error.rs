// SPDX-License-Identifier: AGPL-3.0-or-later
//! Why no token could be sampled.

/// A parameter outside its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamFault {
    /// Name of the parameter.
    pub name: &'static str,
    /// What was given.
    pub given: String,
    /// What would be accepted.
    pub accepted: String,
}

impl std::fmt::Display for ParamFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {}, accepted: {}", self.name, self.given, self.accepted)
    }
}

/// Why no token could be sampled, or a sampler, stop list or constraint could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SamplingError {
    /// Parameters outside their ranges: all of them.
    #[error("sampling parameters: {}", list(.0))]
    Params(Vec<ParamFault>),
    /// The model gave a logit that is no finite number.
    #[error("the logit of token {id} is {value}; every logit must be a finite number")]
    Logit {
        /// Token id.
        id: u32,
        /// `NaN`, `inf` or `-inf`.
        value: f32,
    },
    /// The logits are not one per token of the vocabulary.
    #[error("found {found} logits for a vocabulary of {vocab} tokens")]
    Vocab {
        /// Tokens of the vocabulary.
        vocab: usize,
        /// Logits given.
        found: usize,
    },
    /// A token id past the vocabulary.
    #[error("token {id} in {place} is past the vocabulary; ids are below {vocab}")]
    Token {
        /// Token id.
        id: u32,
        /// Where it was found.
        place: &'static str,
        /// Tokens of the vocabulary.
        vocab: usize,
    },
    /// Bias and constraint together forbid every token.
    #[error("no token is left: {0}")]
    NoToken(&'static str),
    /// A stop string that cannot be matched.
    #[error("stop strings: {0}")]
    Stop(String),
    /// A constraint that cannot be made or followed.
    #[error("constraint: {0}")]
    Constraint(String),
}

fn list(faults: &[ParamFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
