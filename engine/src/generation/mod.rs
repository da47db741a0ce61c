// SPDX-License-Identifier: AGPL-3.0-or-later
//! Generating text: requests, what comes of them, and the batcher that serves them side by side.
//!
//! A [`Generator`] owns a model and its KV cache on a thread of its own. Callers on any thread hand
//! it a [`Request`] and block until their tokens are there; requests that run at the same time share
//! each pass over the weights. What a request gets does not depend on the others.

mod active;
mod generator;

use std::time::Duration;

use crate::error::EngineError;
use crate::sampling::{Constraint, SamplingParams};

pub use generator::{Generator, GeneratorOptions, GeneratorStats};

/// The bytes of tokens.
pub trait Vocabulary: Send + Sync {
    /// Bytes that a token adds to a text; none for ids that add none.
    fn bytes(&self, token: u32) -> &[u8];
}

/// What to write.
pub struct Request {
    /// Token ids, at least one.
    pub prompt: Vec<u32>,
    /// Most tokens to write; 0 only reads the prompt. The context bounds it too.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// What the text must be a member of.
    pub constraint: Option<Box<dyn Constraint>>,
    /// Tokens that end the text; they are not part of it.
    pub stop_tokens: Vec<u32>,
    /// Texts that end the text; they are not part of it.
    pub stop: Vec<String>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("max_tokens", &self.max_tokens).finish_non_exhaustive()
    }
}

/// One token as it comes.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Its id.
    pub token: u32,
    /// Text that is complete with it and safe to show: characters may span tokens, and what could
    /// become a stop text is held back.
    pub text: String,
    /// As [`crate::sampling::Sampled::logprob`].
    pub logprob: Option<f32>,
    /// As [`crate::sampling::Sampled::top`].
    pub top: Vec<(u32, f32)>,
}

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// A stop token came.
    StopToken(u32),
    /// The stop text of this index came.
    StopText(usize),
    /// The constraint is satisfied and allows nothing more.
    Complete,
    /// `max_tokens` are written.
    Length,
    /// The context or the KV cache is full.
    Context,
    /// The caller wanted no more; what was written until then counts.
    Cancelled,
}

impl Finish {
    /// As APIs of the field name it: `stop`, `length` or `cancelled`.
    pub fn name(self) -> &'static str {
        match self {
            Self::StopToken(_) | Self::StopText(_) | Self::Complete => "stop",
            Self::Length | Self::Context => "length",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// Tokens written, without a stop token.
    pub tokens: Vec<u32>,
    /// Their text, without a stop text.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// Whether the text is what the constraint asks for; `true` without one.
    pub satisfied: bool,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Of those, how many were in the cache already.
    pub cached_tokens: usize,
    /// From the request to the first token: waiting and reading the prompt.
    pub first_token: Duration,
    /// From the first token to the last.
    pub decoding: Duration,
}

impl Generated {
    /// Tokens a second, of all but the first; none where there are fewer than two.
    pub fn tokens_per_second(&self) -> Option<f64> {
        let seconds = self.decoding.as_secs_f64();
        let tokens = self.tokens.len().checked_sub(1).filter(|&n| n > 0 && seconds > 0.0)?;
        Some(tokens as f64 / seconds)
    }
}

/// What the batcher tells a caller.
enum Event {
    Piece(Piece),
    Done(Result<Generated, EngineError>),
}
