// SPDX-License-Identifier: AGPL-3.0-or-later
//! An encoder that remembers what it said of texts it has just read.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bho_engine::{
    CancelToken, Classification, Embedding, Encoder, EngineError, ModelInfo, PairScores,
    TokenLabel, WindowScores,
};
use sha2::{Digest, Sha256};

/// Answers kept of each kind, the latest; one about 4 KB of text weighs some 100 KB.
const KEPT: usize = 64;

/// An encoder that answers again what it answered before, for [`Encoder::tag`] of one text and
/// [`Encoder::classify_windows`].
///
/// A guard reads the same words over and over: an answer at its node and at the end of the run, the lines of a log, a
/// long text that repeats itself. Texts are known by their SHA-256, so none is kept.
pub struct Recall {
    encoder: Arc<dyn Encoder>,
    tags: Mutex<Answers<Vec<TokenLabel>>>,
    windows: Mutex<Answers<Vec<WindowScores>>>,
}

type Key = [u8; 32];

struct Answers<T> {
    known: HashMap<Key, T>,
    /// Oldest first.
    order: VecDeque<Key>,
}

impl Recall {
    /// Remembers what this encoder says.
    #[must_use]
    pub fn new(encoder: Arc<dyn Encoder>) -> Self {
        Self { encoder, tags: Mutex::default(), windows: Mutex::default() }
    }
}

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), order: VecDeque::new() }
    }
}

/// The answer of a text, asked for where it is not known; two that ask at once may both ask.
fn recall<T: Clone>(
    answers: &Mutex<Answers<T>>,
    text: &str,
    ask: impl FnOnce() -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let key: Key = Sha256::digest(text).into();
    // Only whole answers get in, so a panic elsewhere leaves them sound.
    let lock = || answers.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(answer) = lock().known.get(&key) {
        return Ok(answer.clone());
    }
    let answer = ask()?;
    let mut answers = lock();
    if answers.known.insert(key, answer.clone()).is_none() {
        answers.order.push_back(key);
    }
    if answers.order.len() > KEPT
        && let Some(oldest) = answers.order.pop_front()
    {
        answers.known.remove(&oldest);
    }
    Ok(answer)
}

impl Encoder for Recall {
    fn info(&self) -> &ModelInfo {
        self.encoder.info()
    }

    fn dim(&self) -> usize {
        self.encoder.dim()
    }

    fn labels(&self) -> &[String] {
        self.encoder.labels()
    }

    fn pair_labels(&self) -> &[String] {
        self.encoder.pair_labels()
    }

    fn embed(&self, texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        self.encoder.embed(texts, cancel)
    }

    fn classify(
        &self,
        texts: &[(&str, Option<&str>)],
        cancel: &CancelToken,
    ) -> Result<Vec<Classification>, EngineError> {
        self.encoder.classify(texts, cancel)
    }

    fn classify_pairs(
        &self,
        pairs: &[(&str, &str)],
        cancel: &CancelToken,
    ) -> Result<Vec<PairScores>, EngineError> {
        self.encoder.classify_pairs(pairs, cancel)
    }

    fn classify_windows(
        &self,
        text: &str,
        cancel: &CancelToken,
    ) -> Result<Vec<WindowScores>, EngineError> {
        recall(&self.windows, text, || self.encoder.classify_windows(text, cancel))
    }

    fn tag(
        &self,
        texts: &[&str],
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<TokenLabel>>, EngineError> {
        let [text] = texts else { return self.encoder.tag(texts, cancel) };
        let one = || Ok(self.encoder.tag(&[text], cancel)?.into_iter().next().unwrap_or_default());
        Ok(vec![recall(&self.tags, text, one)?])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Fake;
    use super::*;

    #[test]
    fn answers_are_those_of_the_encoder_each_time() {
        let encoder = Fake::tagger(&[("Smith", "SURNAME", 0.9)]);
        let recall = Recall::new(Arc::clone(&encoder));
        let never = CancelToken::new();
        // More texts than are kept, twice: some are remembered, some forgotten.
        for i in (0..KEPT + 20).chain(0..KEPT + 20).chain(KEPT..KEPT + 20) {
            let text = format!("Ann Smith obeys the toad {i}");
            let tags = |encoder: &dyn Encoder| encoder.tag(&[&text], &never).unwrap();
            assert_eq!(tags(&recall), tags(encoder.as_ref()));
            let windows = |encoder: &dyn Encoder| encoder.classify_windows(&text, &never).unwrap();
            assert_eq!(windows(&recall), windows(encoder.as_ref()));
        }
        assert_eq!(recall.tags.lock().unwrap().known.len(), KEPT);
        assert_eq!(recall.windows.lock().unwrap().order.len(), KEPT);
        let two = ["Ann", "Jo"];
        assert_eq!(recall.tag(&two, &never).unwrap(), encoder.tag(&two, &never).unwrap());
    }

    #[test]
    fn a_text_is_asked_about_once() {
        let answers = Mutex::default();
        let asked = std::cell::Cell::new(0);
        let ask = || {
            asked.set(asked.get() + 1);
            Ok(asked.get())
        };
        assert_eq!(recall(&answers, "a", ask).unwrap(), 1);
        assert_eq!(recall(&answers, "a", ask).unwrap(), 1);
        assert_eq!(recall(&answers, "b", ask).unwrap(), 2);
        assert!(recall(&answers, "c", || Err(EngineError::Cancelled)).is_err());
        assert_eq!(recall(&answers, "c", ask).unwrap(), 3, "a failure is not remembered");
    }
}
