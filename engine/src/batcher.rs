// SPDX-License-Identifier: AGPL-3.0-or-later
//! One batcher per model: requests of concurrent nodes share a forward pass.
//!
//! A thread owns the model. It takes whatever requests wait, runs them as one batch and answers
//! each by its own channel, so callers (rayon workers among them) block on a channel and never
//! enter the compute pool. Results do not depend on what else was in the batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::control::CancelToken;
use crate::encoder::{
    Classification, Embedding, Encoder, ModelInfo, PairScores, TokenLabel, WindowScores,
};
use crate::error::EngineError;

/// Texts merged into one forward pass at most.
const MAX_MERGED: usize = 256;

/// How often a waiting caller looks at its cancel token.
const POLL: Duration = Duration::from_millis(2);

/// An encoder whose concurrent embedding requests run as one batch.
pub struct BatchedEncoder {
    inner: Arc<dyn Encoder>,
    queue: Mutex<Sender<Request>>,
}

struct Request {
    texts: Vec<String>,
    cancel: CancelToken,
    batch: Arc<OnceLock<Arc<Batch>>>,
    reply: SyncSender<Result<Vec<Embedding>, EngineError>>,
}

/// A running batch: stopped when the last caller who wants it has gone.
struct Batch {
    callers: AtomicUsize,
    cancel: CancelToken,
}

impl Batch {
    fn leave(&self) {
        if self.callers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.cancel.cancel();
        }
    }
}

impl BatchedEncoder {
    /// Starts the thread that owns `inner`; it ends when this value is dropped.
    ///
    /// # Errors
    /// [`EngineError::Threads`] when the thread cannot start.
    pub fn new(inner: Arc<dyn Encoder>) -> Result<Self, EngineError> {
        let (sender, requests) = channel();
        let worker = inner.clone();
        std::thread::Builder::new()
            .name("bho-batcher".into())
            .spawn(move || serve(worker.as_ref(), &requests))
            .map_err(|e| EngineError::Threads(e.to_string()))?;
        Ok(Self { inner, queue: Mutex::new(sender) })
    }
}

impl Encoder for BatchedEncoder {
    fn info(&self) -> &ModelInfo {
        self.inner.info()
    }

    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn labels(&self) -> &[String] {
        self.inner.labels()
    }

    fn pair_labels(&self) -> &[String] {
        self.inner.pair_labels()
    }

    fn embed(&self, texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        cancel.check()?;
        let (reply, answer) = sync_channel(1);
        let batch = Arc::new(OnceLock::new());
        let request = Request {
            texts: texts.iter().map(|&t| t.to_owned()).collect(),
            cancel: cancel.clone(),
            batch: batch.clone(),
            reply,
        };
        let gone = || EngineError::Threads("the model's thread has ended".into());
        self.queue
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .send(request)
            .map_err(|_| gone())?;
        loop {
            match answer.recv_timeout(POLL) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
                Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => {
                    if let Some(batch) = batch.get() {
                        batch.leave();
                    }
                    return Err(EngineError::Cancelled);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn classify(
        &self,
        texts: &[(&str, Option<&str>)],
        cancel: &CancelToken,
    ) -> Result<Vec<Classification>, EngineError> {
        self.inner.classify(texts, cancel)
    }

    fn classify_pairs(
        &self,
        pairs: &[(&str, &str)],
        cancel: &CancelToken,
    ) -> Result<Vec<PairScores>, EngineError> {
        self.inner.classify_pairs(pairs, cancel)
    }

    fn classify_windows(
        &self,
        text: &str,
        cancel: &CancelToken,
    ) -> Result<Vec<WindowScores>, EngineError> {
        self.inner.classify_windows(text, cancel)
    }

    fn tag(
        &self,
        texts: &[&str],
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<TokenLabel>>, EngineError> {
        self.inner.tag(texts, cancel)
    }
}

fn serve(encoder: &dyn Encoder, requests: &Receiver<Request>) {
    while let Ok(first) = requests.recv() {
        let mut merged = vec![first];
        let mut texts = merged[0].texts.len();
        while texts < MAX_MERGED
            && let Ok(next) = requests.try_recv()
        {
            texts += next.texts.len();
            merged.push(next);
        }
        // Whoever gave up while waiting in the queue is not computed for.
        merged.retain(|r| !r.cancel.is_cancelled());
        if !merged.is_empty() {
            answer(encoder, merged);
        }
    }
}

fn answer(encoder: &dyn Encoder, merged: Vec<Request>) {
    let batch = Arc::new(Batch {
        callers: AtomicUsize::new(merged.len()),
        // A lone request keeps its own token, deadline included.
        cancel: match &merged[..] {
            [one] => one.cancel.child(None),
            _ => CancelToken::new(),
        },
    });
    for request in &merged {
        // Set once per request: each is in one batch.
        let _ = request.batch.set(batch.clone());
    }
    let texts: Vec<&str> = merged.iter().flat_map(|r| r.texts.iter().map(String::as_str)).collect();
    let result = catch_unwind(AssertUnwindSafe(|| encoder.embed(&texts, &batch.cancel)))
        .unwrap_or_else(|_| Err(EngineError::Input("the forward pass panicked (a bug)".into())));
    match result {
        Ok(embeddings) => {
            let mut embeddings = embeddings.into_iter();
            for request in &merged {
                let own = embeddings.by_ref().take(request.texts.len()).collect();
                // A caller that gave up has dropped its end.
                let _ = request.reply.send(Ok(own));
            }
        }
        // One request's bad text must not fail the others: each gets its own verdict.
        Err(_) if merged.len() > 1 && !batch.cancel.is_cancelled() => {
            for request in merged {
                answer(encoder, vec![Request { batch: Arc::default(), ..request }]);
            }
        }
        Err(error) => {
            if let Some(request) = merged.into_iter().next() {
                let _ = request.reply.send(Err(error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::Coverage;
    use std::sync::mpsc;

    /// Embeds a text as its length; counts passes and can be held up.
    struct Slow {
        info: ModelInfo,
        passes: AtomicUsize,
        gate: Mutex<Receiver<()>>,
    }

    fn slow() -> (Arc<Slow>, Sender<()>) {
        let (open, gate) = mpsc::channel();
        let info = ModelInfo {
            name: "slow".into(),
            architecture: String::new(),
            sha256: String::new(),
            precision: String::new(),
            weight_bytes: 0,
            isa: String::new(),
            threads: 1,
        };
        (Arc::new(Slow { info, passes: AtomicUsize::new(0), gate: Mutex::new(gate) }), open)
    }

    impl Encoder for Slow {
        fn info(&self) -> &ModelInfo {
            &self.info
        }
        fn dim(&self) -> usize {
            1
        }
        fn embed(
            &self,
            texts: &[&str],
            cancel: &CancelToken,
        ) -> Result<Vec<Embedding>, EngineError> {
            self.passes.fetch_add(1, Ordering::SeqCst);
            while self.gate.lock().unwrap().recv_timeout(POLL).is_err() {
                cancel.check()?;
            }
            if texts.contains(&"bad") {
                return Err(EngineError::Input("bad".into()));
            }
            let coverage = Coverage::default();
            Ok(texts.iter().map(|t| Embedding { vector: vec![t.len() as f32], coverage }).collect())
        }
        fn classify(
            &self,
            _: &[(&str, Option<&str>)],
            _: &CancelToken,
        ) -> Result<Vec<Classification>, EngineError> {
            unreachable!()
        }
        fn classify_windows(
            &self,
            _: &str,
            _: &CancelToken,
        ) -> Result<Vec<WindowScores>, EngineError> {
            unreachable!()
        }
        fn tag(&self, _: &[&str], _: &CancelToken) -> Result<Vec<Vec<TokenLabel>>, EngineError> {
            unreachable!()
        }
    }

    #[test]
    fn waiting_requests_share_a_pass_and_get_their_own_answers() {
        let (slow, open) = slow();
        let batched = Arc::new(BatchedEncoder::new(slow.clone()).unwrap());
        let never = CancelToken::new();
        std::thread::scope(|scope| {
            let run = |texts: &'static [&'static str]| {
                let (batched, never) = (batched.clone(), never.clone());
                scope.spawn(move || {
                    let out = batched.embed(texts, &never).unwrap();
                    out.iter().map(|e| e.vector[0] as usize).collect::<Vec<_>>()
                })
            };
            let first = run(&["a"]);
            while slow.passes.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            // These two queue up behind the held pass.
            let (second, third) = (run(&["bb", "ccc"]), run(&["dddd"]));
            std::thread::sleep(Duration::from_millis(50));
            for _ in 0..3 {
                open.send(()).unwrap();
            }
            assert_eq!(first.join().unwrap(), [1]);
            assert_eq!(second.join().unwrap(), [2, 3]);
            assert_eq!(third.join().unwrap(), [4]);
        });
        assert!(slow.passes.load(Ordering::SeqCst) <= 3);
    }

    #[test]
    fn a_caller_that_gives_up_stops_a_pass_nobody_else_wants() {
        let (slow, _open) = slow();
        let batched = BatchedEncoder::new(slow).unwrap();
        let hurried = CancelToken::new().child(Some(Duration::from_millis(10)));
        assert!(matches!(batched.embed(&["a"], &hurried), Err(EngineError::Cancelled)));
    }

    #[test]
    fn a_bad_request_fails_alone() {
        let (slow, open) = slow();
        let never = CancelToken::new();
        for _ in 0..8 {
            open.send(()).unwrap();
        }
        let (reply, answers) = sync_channel(2);
        let request = |text: &str| Request {
            texts: vec![text.into()],
            cancel: never.clone(),
            batch: Arc::default(),
            reply: reply.clone(),
        };
        answer(slow.as_ref(), vec![request("bad"), request("good")]);
        assert!(matches!(answers.recv().unwrap(), Err(EngineError::Input(_))));
        assert_eq!(answers.recv().unwrap().unwrap()[0].vector, [4.0]);
    }
}
