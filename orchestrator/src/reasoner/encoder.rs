// SPDX-License-Identifier: AGPL-3.0-or-later
//! A [`Reasoner`] on one encoder model, with a small memory of what it embedded.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bho_engine::{CancelToken, Embedding, Encoder, EngineError, ModelInfo};

use super::{CrossEncoder, Entailer, Reasoner};

/// Texts a generation of the memory holds; two generations live at a time.
const GENERATION: usize = 512;

/// Longest text that is remembered, in bytes; with 384 dimensions the memory stays below 6 MiB.
const MAX_REMEMBERED_BYTES: usize = 4096;

/// How often a call that waits for another's embeddings looks at its cancel token.
const POLL: Duration = Duration::from_millis(2);

/// Answers from an encoder, remembering recent embeddings.
///
/// Sibling nodes embed the same sentences (two claim checks read one `text`), at the same time more often than not,
/// so the last 512 to 1024 texts are kept, and a call waits for texts that another one is embedding. Texts are compared
/// in full; a remembered vector is the one the encoder
/// gave, so results do not depend on the memory as long as the encoder embeds a text alike in
/// any batch, which [`Encoder`] implementations of this workspace do.
pub struct EncoderReasoner {
    encoder: Arc<dyn Encoder>,
    cross: Option<CrossEncoder>,
    memory: Mutex<Memory>,
    /// Told whenever texts are no longer under way.
    arrived: Condvar,
}

/// Two generations approximate least-recently-used at constant cost: when the young one is full
/// it becomes the old one, and the old one is forgotten. A hit in the old one moves to the young.
#[derive(Default)]
struct Memory {
    young: HashMap<Box<str>, Embedding>,
    old: HashMap<Box<str>, Embedding>,
    /// Texts that a call is embedding just now.
    under_way: HashSet<Box<str>>,
}

/// Texts that this call embeds; whatever becomes of it, they are under way no longer than this lives.
struct Claimed<'a> {
    reasoner: &'a EncoderReasoner,
    texts: Vec<&'a str>,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let mut memory = self.reasoner.memory();
        for &text in &self.texts {
            memory.under_way.remove(text);
        }
        drop(memory);
        self.reasoner.arrived.notify_all();
    }
}

impl Memory {
    fn get(&mut self, text: &str) -> Option<Embedding> {
        if let Some(found) = self.young.get(text) {
            return Some(found.clone());
        }
        let (key, found) = self.old.remove_entry(text)?;
        self.insert(key, found.clone());
        Some(found)
    }

    fn insert(&mut self, key: Box<str>, embedding: Embedding) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, embedding);
    }
}

impl EncoderReasoner {
    /// A reasoner on `encoder`, which also judges pairs if its head has the labels for that.
    pub fn new(encoder: Arc<dyn Encoder>) -> Self {
        let cross = CrossEncoder::new(Arc::clone(&encoder));
        Self { encoder, cross, memory: Mutex::default(), arrived: Condvar::new() }
    }

    /// With `cross` to judge pairs, where that is another model than the one that embeds.
    #[must_use]
    pub fn with_cross_encoder(mut self, cross: CrossEncoder) -> Self {
        self.cross = Some(cross);
        self
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // A poisoned memory is still a valid one: entries are whole or absent.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Embeds texts, all of them different, and remembers them.
    fn embed_claimed(
        &self,
        claimed: &Claimed<'_>,
        cancel: &CancelToken,
    ) -> Result<Vec<Embedding>, EngineError> {
        // The lock is not held here: forward passes of other nodes go on.
        let fresh = self.encoder.embed(&claimed.texts, cancel)?;
        if fresh.len() != claimed.texts.len() {
            let (given, asked) = (fresh.len(), claimed.texts.len());
            let message = format!("the encoder gave {given} embeddings for {asked} texts");
            return Err(EngineError::Input(message));
        }
        let mut memory = self.memory();
        for (&text, embedding) in claimed.texts.iter().zip(&fresh) {
            if text.len() <= MAX_REMEMBERED_BYTES {
                memory.insert(text.into(), embedding.clone());
            }
        }
        Ok(fresh)
    }
}

impl Reasoner for EncoderReasoner {
    fn models(&self) -> Vec<ModelInfo> {
        let mut models = vec![self.encoder.info().clone()];
        let cross = self.cross.as_ref().map(CrossEncoder::info);
        models.extend(cross.filter(|info| *info != self.encoder.info()).cloned());
        models
    }

    fn entailer(&self) -> Option<&dyn Entailer> {
        self.cross.as_ref().map(|cross| cross as &dyn Entailer)
    }

    fn embed(&self, texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        let mut found: Vec<Option<Embedding>> = vec![None; texts.len()];
        loop {
            cancel.check()?;
            let claimed = {
                let mut memory = self.memory();
                let mut mine: Vec<&str> = Vec::new();
                let mut asked: HashSet<&str> = HashSet::new();
                let mut wait = false;
                for (text, slot) in texts.iter().zip(&mut found).filter(|(_, slot)| slot.is_none())
                {
                    *slot = memory.get(text);
                    if slot.is_none() && asked.insert(text) {
                        // What is not remembered is not worth waiting for.
                        let short = text.len() <= MAX_REMEMBERED_BYTES;
                        match short && !memory.under_way.insert((*text).into()) {
                            true => wait = true,
                            false => mine.push(text),
                        }
                    }
                }
                if mine.is_empty() && !wait {
                    break;
                }
                if mine.is_empty() {
                    // Those who claimed them do not wait before they have embedded them, or have given up.
                    let _ = self.arrived.wait_timeout(memory, POLL);
                    continue;
                }
                Claimed { reasoner: self, texts: mine }
            };
            let fresh = self.embed_claimed(&claimed, cancel)?;
            let fresh: HashMap<&str, Embedding> =
                claimed.texts.iter().copied().zip(fresh).collect();
            for (text, slot) in texts.iter().zip(&mut found).filter(|(_, slot)| slot.is_none()) {
                *slot = fresh.get(text).cloned();
            }
        }
        Ok(found.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, channel};

    use bho_engine::{Classification, Coverage, TokenLabel, WindowScores};

    use super::*;

    struct Counting {
        info: ModelInfo,
        embedded: AtomicUsize,
        /// What a pass waits for, and whether it then fails.
        gate: Mutex<Option<Receiver<bool>>>,
    }

    impl Encoder for Counting {
        fn info(&self) -> &ModelInfo {
            &self.info
        }

        fn dim(&self) -> usize {
            1
        }

        fn embed(&self, texts: &[&str], _: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
            self.embedded.fetch_add(texts.len(), Ordering::Relaxed);
            let gate = self.gate.lock().unwrap().take();
            if gate.is_some_and(|gate| !gate.recv().unwrap()) {
                return Err(EngineError::Input("a pass that fails".into()));
            }
            let embed = |t: &&str| Embedding {
                vector: vec![t.len() as f32],
                coverage: Coverage::default(),
            };
            Ok(texts.iter().map(embed).collect())
        }

        fn classify(
            &self,
            _: &[(&str, Option<&str>)],
            _: &CancelToken,
        ) -> Result<Vec<Classification>, EngineError> {
            Err(EngineError::Input("no head".into()))
        }

        fn classify_windows(
            &self,
            _: &str,
            _: &CancelToken,
        ) -> Result<Vec<WindowScores>, EngineError> {
            Err(EngineError::Input("no head".into()))
        }

        fn tag(&self, _: &[&str], _: &CancelToken) -> Result<Vec<Vec<TokenLabel>>, EngineError> {
            Err(EngineError::Input("no head".into()))
        }
    }

    fn reasoner() -> (Arc<Counting>, EncoderReasoner) {
        let info = ModelInfo {
            name: "counting".into(),
            architecture: String::new(),
            sha256: String::new(),
            precision: String::new(),
            weight_bytes: 0,
            isa: String::new(),
            threads: 1,
        };
        let encoder =
            Arc::new(Counting { info, embedded: AtomicUsize::new(0), gate: Mutex::default() });
        (Arc::clone(&encoder), EncoderReasoner::new(encoder))
    }

    #[test]
    fn a_text_is_embedded_once_and_answers_keep_their_order() {
        let (encoder, reasoner) = reasoner();
        let cancel = CancelToken::new();
        let lengths = |texts: &[&str]| -> Vec<f32> {
            reasoner.embed(texts, &cancel).unwrap().iter().map(|e| e.vector[0]).collect()
        };
        assert_eq!(lengths(&["aaa", "b", "aaa", ""]), [3.0, 1.0, 3.0, 0.0]);
        assert_eq!(lengths(&["cc", "b", "aaa"]), [2.0, 1.0, 3.0]);
        assert_eq!(encoder.embedded.load(Ordering::Relaxed), 4);
        assert!(lengths(&[]).is_empty());
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_in_use() {
        let (encoder, reasoner) = reasoner();
        let cancel = CancelToken::new();
        for i in 0..4 * GENERATION {
            let text = format!("text {i}");
            reasoner.embed(&["kept", &text], &cancel).unwrap();
        }
        assert_eq!(encoder.embedded.load(Ordering::Relaxed), 4 * GENERATION + 1);
        let memory = reasoner.memory.lock().unwrap();
        assert!(memory.young.len() <= GENERATION && memory.old.len() <= GENERATION);
        drop(memory);
        let long = "x".repeat(MAX_REMEMBERED_BYTES + 1);
        reasoner.embed(&[&long], &cancel).unwrap();
        reasoner.embed(&[&long], &cancel).unwrap();
        assert_eq!(encoder.embedded.load(Ordering::Relaxed), 4 * GENERATION + 3);
    }

    /// Two calls at the same time, of "a", "b" and of "b", "c"; the first one's pass ends when the second has run its own.
    fn side_by_side(first_succeeds: bool) -> (usize, [Result<Vec<f32>, EngineError>; 2]) {
        let (encoder, reasoner) = reasoner();
        let cancel = CancelToken::new();
        let lengths = |texts: &[&str]| -> Result<Vec<f32>, EngineError> {
            Ok(reasoner.embed(texts, &cancel)?.iter().map(|e| e.vector[0]).collect())
        };
        let (open, gate) = channel();
        *encoder.gate.lock().unwrap() = Some(gate);
        let embedded = || encoder.embedded.load(Ordering::Relaxed);
        let answers = std::thread::scope(|scope| {
            let first = scope.spawn(|| lengths(&["a", "bb"]));
            while embedded() < 2 {
                std::thread::yield_now();
            }
            let second = scope.spawn(|| lengths(&["bb", "ccc"]));
            while embedded() < 3 {
                std::thread::yield_now();
            }
            open.send(first_succeeds).unwrap();
            [first.join().unwrap(), second.join().unwrap()]
        });
        assert!(reasoner.memory().under_way.is_empty());
        (embedded(), answers)
    }

    #[test]
    fn a_text_that_another_call_is_embedding_is_waited_for() {
        let (embedded, [first, second]) = side_by_side(true);
        assert_eq!((first.unwrap(), second.unwrap()), (vec![1.0, 2.0], vec![2.0, 3.0]));
        assert_eq!(embedded, 3);
    }

    #[test]
    fn a_text_whose_embedding_failed_for_another_call_is_embedded_again() {
        let (embedded, [first, second]) = side_by_side(false);
        assert!(first.is_err());
        assert_eq!((second.unwrap(), embedded), (vec![2.0, 3.0], 4));
    }

    #[test]
    fn a_call_that_waits_can_be_stopped() {
        let (_, reasoner) = reasoner();
        let cancel = CancelToken::new();
        assert!(reasoner.memory().under_way.insert("a".into()));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| reasoner.embed(&["a"], &cancel));
            cancel.cancel();
            assert!(matches!(waiting.join().unwrap(), Err(EngineError::Cancelled)));
        });
    }

    #[test]
    fn a_stopped_token_stops_before_the_model() {
        let (encoder, reasoner) = reasoner();
        let cancel = CancelToken::new();
        cancel.cancel();
        assert!(matches!(reasoner.embed(&["a"], &cancel), Err(EngineError::Cancelled)));
        assert_eq!(encoder.embedded.load(Ordering::Relaxed), 0);
    }
}
