// SPDX-License-Identifier: AGPL-3.0-or-later
//! Continuous batching: requests join and leave between passes.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::active::Active;
use super::{Event, Finish, Generated, Piece, Request, Vocabulary};
use crate::compute::Compute;
use crate::control::CancelToken;
use crate::decoder::{DecoderModel, KvCache, KvKind, Scratch, Slice, Want, Wanted};
use crate::error::EngineError;

/// What a generator may use.
#[derive(Debug, Clone, Copy)]
pub struct GeneratorOptions {
    /// How keys and values are cached.
    pub kv: KvKind,
    /// Memory for them.
    pub kv_bytes: usize,
    /// Positions of a text, the prompt included; the model's own context bounds it too.
    pub context: usize,
    /// Tokens of prompts that one pass reads at most.
    pub chunk: usize,
    /// Requests that are decoded side by side; others wait.
    pub parallel: usize,
    /// Texts that ended and whose cached beginnings are kept; none keeps as many as there is room for, 0
    /// shares nothing between texts.
    pub keep: Option<usize>,
}

impl GeneratorOptions {
    /// Options for texts of `context` positions, with room for one of them.
    pub fn new(model: &DecoderModel, context: usize) -> Self {
        let (kv, context) = (KvKind::F16, context.min(model.config().context).max(1));
        let pages = context.div_ceil(crate::decoder::PAGE);
        let kv_bytes = pages * model.kv_shape(kv).page_bytes();
        Self { kv, kv_bytes, context, chunk: 512, parallel: 16, keep: None }
    }
}

/// What a generator has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GeneratorStats {
    /// Passes over the weights. One serves all requests that run at the time.
    pub passes: u64,
    /// Tokens that went through the layers: of prompts, and those written but for each text's last.
    pub tokens: u64,
    /// Tokens of prompts that did not, as they were in the cache.
    pub cached_tokens: u64,
}

#[derive(Debug, Default)]
struct Counters {
    passes: AtomicU64,
    tokens: AtomicU64,
    cached_tokens: AtomicU64,
}

/// A model that writes, shared by any number of threads.
pub struct Generator {
    queue: Mutex<Sender<Submitted>>,
    model: Arc<DecoderModel>,
    counters: Arc<Counters>,
    context: usize,
}

struct Submitted {
    request: Request,
    cancel: CancelToken,
    events: Sender<Event>,
}

impl Generator {
    /// Starts the thread that serves `model`; it ends when this value is dropped and its requests
    /// are done.
    ///
    /// # Errors
    /// When the cache holds no page, the model has no output head, or the thread cannot start.
    pub fn new(
        model: Arc<DecoderModel>,
        vocabulary: Arc<dyn Vocabulary>,
        compute: Compute,
        options: GeneratorOptions,
    ) -> Result<Self, EngineError> {
        if model.head().is_none() {
            return Err(EngineError::Input(
                "the model has no output head: it gives vectors".into(),
            ));
        }
        let cache = KvCache::new(model.kv_shape(options.kv), options.kv_bytes)?;
        let cache = cache.keeping(options.keep);
        let context = options.context.min(model.config().context).min(cache.capacity());
        let (sender, requests) = channel();
        let counters = Arc::<Counters>::default();
        let batcher = Batcher {
            model: model.clone(),
            vocabulary,
            compute,
            options: GeneratorOptions { context, ..options },
            cache,
            counters: counters.clone(),
            scratch: Scratch::default(),
            waiting: VecDeque::new(),
            active: Vec::new(),
        };
        std::thread::Builder::new()
            .name("bho-generator".into())
            .spawn(move || batcher.serve(&requests))
            .map_err(|e| EngineError::Threads(e.to_string()))?;
        Ok(Self { queue: Mutex::new(sender), model, counters, context })
    }

    /// The model.
    pub fn model(&self) -> &DecoderModel {
        &self.model
    }

    /// Positions of a text at most, the prompt included.
    pub fn context(&self) -> usize {
        self.context
    }

    /// What was done so far, of requests that have been answered.
    pub fn stats(&self) -> GeneratorStats {
        let Counters { passes, tokens, cached_tokens } = &*self.counters;
        let [passes, tokens, cached_tokens] =
            [passes, tokens, cached_tokens].map(|count| count.load(Ordering::Relaxed));
        GeneratorStats { passes, tokens, cached_tokens }
    }

    /// Serves a request; `on_piece` sees each token as it comes.
    ///
    /// A caller whose `cancel` is set gets what was written until then, with
    /// [`Finish::Cancelled`]; the work stops between layers.
    ///
    /// # Errors
    /// [`EngineError::Input`] for an empty prompt, one that leaves no room in the context, a token
    /// id past the vocabulary or faults of the sampling parameters (all of them);
    /// [`EngineError::Sampling`] when no token can be chosen.
    pub fn generate(
        &self,
        request: Request,
        cancel: &CancelToken,
        on_piece: &mut dyn FnMut(&Piece),
    ) -> Result<Generated, EngineError> {
        self.check(&request)?;
        let (events, received) = channel();
        let gone = || EngineError::Threads("the generator's thread has ended".into());
        let submitted = Submitted { request, cancel: cancel.clone(), events };
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.send(submitted).map_err(|_| gone())?;
        drop(queue);
        loop {
            match received.recv() {
                Ok(Event::Piece(piece)) => on_piece(&piece),
                Ok(Event::Done(result)) => return result,
                Err(_) => return Err(gone()),
            }
        }
    }

    fn check(&self, request: &Request) -> Result<(), EngineError> {
        let vocab = self.model.config().vocab;
        let prompt = &request.prompt;
        if prompt.is_empty() {
            return Err(EngineError::Input("the prompt has no tokens".into()));
        }
        let room = self.context - usize::from(request.max_tokens > 0);
        if prompt.len() > room {
            return Err(EngineError::Input(format!(
                "the prompt has {} tokens; {room} fit the context of {} with room for an answer",
                prompt.len(),
                self.context
            )));
        }
        match prompt.iter().find(|&&token| token as usize >= vocab) {
            Some(token) => {
                Err(EngineError::Input(format!("token {token}; ids are 0..={}", vocab - 1)))
            }
            None => Ok(()),
        }
    }
}

struct Batcher {
    model: Arc<DecoderModel>,
    vocabulary: Arc<dyn Vocabulary>,
    compute: Compute,
    options: GeneratorOptions,
    cache: KvCache,
    counters: Arc<Counters>,
    scratch: Scratch,
    /// Not begun, or put back for want of pages; first come, first served.
    waiting: VecDeque<Active>,
    /// With pages, oldest first.
    active: Vec<Active>,
}

impl Batcher {
    fn serve(mut self, requests: &Receiver<Submitted>) {
        loop {
            if self.waiting.is_empty() && self.active.is_empty() {
                match requests.recv() {
                    Ok(submitted) => self.submit(submitted),
                    Err(_) => return,
                }
            }
            while let Ok(submitted) = requests.try_recv() {
                self.submit(submitted);
            }
            self.drop_cancelled();
            self.begin();
            if !self.active.is_empty() {
                self.step();
            }
        }
    }

    fn submit(&mut self, Submitted { request, cancel, events }: Submitted) {
        let vocab = self.model.config().vocab;
        match Active::new(request, vocab, cancel, events.clone()) {
            Ok(active) => self.waiting.push_back(active),
            Err(error) => drop(events.send(Event::Done(Err(error)))),
        }
    }

    fn drop_cancelled(&mut self) {
        let (gone, stay): (VecDeque<_>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(|a| a.cancel.is_cancelled());
        self.waiting = stay;
        gone.into_iter().for_each(|active| active.finish(Finish::Cancelled));
        while let Some(i) = self.active.iter().position(|a| a.cancel.is_cancelled()) {
            self.end(i, Ok(Finish::Cancelled));
        }
    }

    /// Takes the next request in, unless one is still being read: what that one caches may be what
    /// the next one begins with.
    fn begin(&mut self) {
        let reading = self.active.iter().any(|active| active.missing() > 1);
        if reading || self.active.len() >= self.options.parallel {
            return;
        }
        if let Some(mut next) = self.waiting.pop_front() {
            next.sequence = self.cache.begin(&next.tokens);
            let cached = next.sequence.len() as u64;
            self.counters.cached_tokens.fetch_add(cached, Ordering::Relaxed);
            next.cached_tokens.get_or_insert(next.sequence.len());
            self.active.push(next);
        }
    }

    /// One pass: a token of each text being written, and a piece of a prompt.
    fn step(&mut self) {
        let Some(new) = self.extend() else { return };
        let read: usize = new.iter().sum();
        self.counters.passes.fetch_add(1, Ordering::Relaxed);
        self.counters.tokens.fetch_add(read as u64, Ordering::Relaxed);
        let slices: Vec<_> = self
            .active
            .iter()
            .zip(&new)
            .map(|(active, &new)| {
                let last = active.missing() == 0 && !active.only_reads();
                let want = Wanted::Last(if last { Want::Logits } else { Want::Nothing });
                Slice { sequence: &active.sequence, new, want }
            })
            .collect();
        // Stopped between layers when nobody wants any of it.
        let all = CancelToken::when_all(self.active.iter().map(|a| a.cancel.clone()).collect());
        let (model, compute, scratch) = (&self.model, &self.compute, &mut self.scratch);
        let pass = || model.forward(compute, &self.cache, &slices, scratch, &all);
        let result = catch_unwind(AssertUnwindSafe(pass)).unwrap_or_else(|_| {
            Err(EngineError::Input("the forward pass panicked (a bug)".into()))
        });
        match result {
            Ok(logits) => self.advance(logits),
            Err(EngineError::Cancelled) => self.drop_cancelled(),
            Err(error) => {
                let message = error.to_string();
                let mut error = Some(error);
                while !self.active.is_empty() {
                    let error = error.take().unwrap_or_else(|| EngineError::Input(message.clone()));
                    self.end(0, Err(error));
                }
            }
        }
    }

    /// Finds room for what the next pass reads; how many tokens of each that is.
    ///
    /// When there is none, the youngest goes back to wait, as its tokens can be read again; the
    /// oldest always goes on.
    fn extend(&mut self) -> Option<Vec<usize>> {
        let mut new = Vec::new();
        let mut chunk = self.options.chunk.max(1);
        let mut i = 0;
        while i < self.active.len() {
            let active = &mut self.active[i];
            let count = active.missing().min(chunk);
            let tokens = active.tokens[active.sequence.len()..][..count].to_vec();
            match self.cache.extend(&mut active.sequence, &tokens) {
                Ok(()) => {
                    if count > 1 {
                        chunk = (chunk - count).max(1);
                    }
                    new.push(count);
                    i += 1;
                }
                Err(_) if self.active.len() > i + 1 || i > 0 => self.put_back(),
                Err(_) => {
                    // Alone, and the cache is full.
                    self.end(i, Ok(Finish::Context));
                }
            }
        }
        (!self.active.is_empty()).then_some(new)
    }

    /// The youngest waits again, first in line.
    fn put_back(&mut self) {
        if let Some(mut youngest) = self.active.pop() {
            self.cache.end(std::mem::take(&mut youngest.sequence));
            self.waiting.push_front(youngest);
        }
    }

    /// Chooses tokens where a pass has given logits.
    fn advance(&mut self, logits: Vec<Vec<f32>>) {
        let mut logits = logits.into_iter();
        let mut ended = Vec::new();
        for (i, active) in self.active.iter_mut().enumerate() {
            self.cache.publish(&mut active.sequence);
            if active.missing() > 0 {
                continue;
            }
            let finish = if active.only_reads() {
                Ok(Some(Finish::Length))
            } else {
                let mut row = logits.next().unwrap_or_default();
                active.advance(&mut row, &*self.vocabulary)
            };
            let full = active.tokens.len() >= self.options.context;
            match finish {
                Ok(None) if full => ended.push((i, Ok(Finish::Context))),
                Ok(None) => {}
                Ok(Some(finish)) => ended.push((i, Ok(finish))),
                Err(error) => ended.push((i, Err(error))),
            }
        }
        for (i, how) in ended.into_iter().rev() {
            self.end(i, how);
        }
    }

    fn end(&mut self, i: usize, how: Result<Finish, EngineError>) {
        let mut active = self.active.remove(i);
        self.cache.end(std::mem::take(&mut active.sequence));
        match how {
            Ok(finish) => active.finish(finish),
            Err(error) => active.fail(error),
        }
    }
}
