// SPDX-License-Identifier: AGPL-3.0-or-later
//! A [`Reasoner`] on one encoder model, with a small memory of what it embedded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bho_engine::{CancelToken, Embedding, Encoder, EngineError, ModelInfo};

use super::{CrossEncoder, Entailer, Reasoner};

/// Texts a generation of the memory holds; two generations live at a time.
const GENERATION: usize = 512;

/// Longest text that is remembered, in bytes; with 384 dimensions the memory stays below 6 MiB.
const MAX_REMEMBERED_BYTES: usize = 4096;

/// Answers from an encoder, remembering recent embeddings.
///
/// Sibling nodes embed the same sentences (two claim checks read one `text`), so the last 512 to
/// 1024 texts are kept. Texts are compared in full; a remembered vector is the one the encoder
/// gave, so results do not depend on the memory as long as the encoder embeds a text alike in
/// any batch, which [`Encoder`] implementations of this workspace do.
pub struct EncoderReasoner {
    encoder: Arc<dyn Encoder>,
    cross: Option<CrossEncoder>,
    memory: Mutex<Memory>,
}

/// Two generations approximate least-recently-used at constant cost: when the young one is full
/// it becomes the old one, and the old one is forgotten. A hit in the old one moves to the young.
#[derive(Default)]
struct Memory {
    young: HashMap<Box<str>, Embedding>,
    old: HashMap<Box<str>, Embedding>,
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
        Self { encoder, cross, memory: Mutex::default() }
    }

    /// With `cross` to judge pairs, where that is another model than the one that embeds.
    #[must_use]
    pub fn with_cross_encoder(mut self, cross: CrossEncoder) -> Self {
        self.cross = Some(cross);
        self
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
        cancel.check()?;
        let mut found: Vec<Option<Embedding>> = {
            // A poisoned memory is still a valid one: entries are whole or absent.
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            texts.iter().map(|text| memory.get(text)).collect()
        };
        let mut first_use: HashMap<&str, usize> = HashMap::new();
        let mut wanted: Vec<&str> = Vec::new();
        for (text, known) in texts.iter().zip(&found) {
            if known.is_none() && !first_use.contains_key(text) {
                first_use.insert(text, wanted.len());
                wanted.push(text);
            }
        }
        if !wanted.is_empty() {
            // The lock is not held here: forward passes of other nodes go on.
            let fresh = self.encoder.embed(&wanted, cancel)?;
            if fresh.len() != wanted.len() {
                return Err(EngineError::Input(format!(
                    "the encoder gave {} embeddings for {} texts",
                    fresh.len(),
                    wanted.len()
                )));
            }
            for (text, slot) in texts.iter().zip(&mut found) {
                if slot.is_none() {
                    *slot = Some(fresh[first_use[text]].clone());
                }
            }
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            for (text, embedding) in wanted.into_iter().zip(fresh) {
                if text.len() <= MAX_REMEMBERED_BYTES {
                    memory.insert(text.into(), embedding);
                }
            }
        }
        Ok(found.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bho_engine::{Classification, Coverage, TokenLabel, WindowScores};

    use super::*;

    struct Counting {
        info: ModelInfo,
        embedded: AtomicUsize,
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
        let encoder = Arc::new(Counting { info, embedded: AtomicUsize::new(0) });
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

    #[test]
    fn a_stopped_token_stops_before_the_model() {
        let (encoder, reasoner) = reasoner();
        let cancel = CancelToken::new();
        cancel.cancel();
        assert!(matches!(reasoner.embed(&["a"], &cancel), Err(EngineError::Cancelled)));
        assert_eq!(encoder.embedded.load(Ordering::Relaxed), 0);
    }
}
