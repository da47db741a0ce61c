// SPDX-License-Identifier: AGPL-3.0-or-later
//! One request while it runs.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::{Event, Finish, Generated, Piece, Request, Vocabulary};
use crate::control::CancelToken;
use crate::decoder::Sequence;
use crate::error::EngineError;
use crate::sampling::{Sampler, TextStream};

/// A request with what it has come to.
pub(super) struct Active {
    pub(super) cancel: CancelToken,
    events: Sender<Event>,
    pub(super) sequence: Sequence,
    /// Prompt and written tokens: what has to be in the cache before the next one is chosen.
    pub(super) tokens: Vec<u32>,
    sampler: Sampler,
    stream: TextStream,
    stop_tokens: Vec<u32>,
    max_tokens: usize,
    prompt_tokens: usize,
    /// Set when its first pass begins.
    pub(super) cached_tokens: Option<usize>,
    text: String,
    begun: Instant,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Active {
    pub(super) fn new(
        request: Request,
        vocab: usize,
        cancel: CancelToken,
        events: Sender<Event>,
    ) -> Result<Self, EngineError> {
        let mut sampler = Sampler::new(&request.sampling, vocab)?;
        if let Some(constraint) = request.constraint {
            sampler = sampler.with_constraint(constraint);
        }
        Ok(Self {
            cancel,
            events,
            sequence: Sequence::default(),
            sampler,
            stream: TextStream::new(&request.stop)?,
            stop_tokens: request.stop_tokens,
            max_tokens: request.max_tokens,
            prompt_tokens: request.prompt.len(),
            tokens: request.prompt,
            cached_tokens: None,
            text: String::new(),
            begun: Instant::now(),
            first: None,
            last: None,
        })
    }

    /// Tokens that are not in the cache yet.
    pub(super) fn missing(&self) -> usize {
        self.tokens.len() - self.sequence.len()
    }

    /// Whether nothing is to be written at all.
    pub(super) fn only_reads(&self) -> bool {
        self.max_tokens == 0
    }

    /// Chooses the next token; tells why the text has ended, if it has.
    pub(super) fn advance(
        &mut self,
        logits: &mut [f32],
        vocabulary: &dyn Vocabulary,
    ) -> Result<Option<Finish>, EngineError> {
        let sampled = self.sampler.sample(logits, &self.tokens)?;
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
        if self.stop_tokens.contains(&sampled.token) {
            return Ok(Some(Finish::StopToken(sampled.token)));
        }
        self.tokens.push(sampled.token);
        let begin = self.text.len();
        let hit = self.stream.push(vocabulary.bytes(sampled.token), &mut self.text);
        self.send(Piece {
            token: sampled.token,
            text: self.text[begin..].to_owned(),
            logprob: sampled.logprob,
            top: sampled.top,
        });
        Ok(match hit {
            Some(index) => Some(Finish::StopText(index)),
            None if self.tokens.len() - self.prompt_tokens >= self.max_tokens => {
                Some(Finish::Length)
            }
            None => None,
        })
    }

    /// A caller that has gone is noticed by its cancel token.
    fn send(&self, piece: Piece) {
        let _ = self.events.send(Event::Piece(piece));
    }

    /// Ends it. The cache's pages must have been given back.
    pub(super) fn finish(mut self, finish: Finish) {
        let begin = self.text.len();
        if let Some(index) = self.stream.finish(&mut self.text)
            && !matches!(finish, Finish::StopText(_))
        {
            // Bytes that were held back completed a stop text.
            return self.done(Finish::StopText(index), begin);
        }
        self.done(finish, begin);
    }

    fn done(mut self, finish: Finish, begin: usize) {
        let written = self.tokens.split_off(self.prompt_tokens);
        if self.text.len() > begin
            && let Some(&token) = written.last()
        {
            let text = self.text[begin..].to_owned();
            self.send(Piece { token, text, logprob: None, top: Vec::new() });
        }
        let between = |a: Instant, b: Option<Instant>| {
            b.map_or(Duration::ZERO, |b| b.saturating_duration_since(a))
        };
        let generated = Generated {
            tokens: written,
            text: self.text,
            finish,
            satisfied: self.sampler.is_complete(),
            prompt_tokens: self.prompt_tokens,
            cached_tokens: self.cached_tokens.unwrap_or(0),
            first_token: between(self.begun, self.first),
            decoding: self.first.map_or(Duration::ZERO, |first| between(first, self.last)),
        };
        let _ = self.events.send(Event::Done(Ok(generated)));
    }

    pub(super) fn fail(self, error: EngineError) {
        let _ = self.events.send(Event::Done(Err(error)));
    }
}
