// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a premise says of a hypothesis, from an encoder with a natural-language-inference head.

use std::sync::Arc;

use bho_engine::{CancelToken, Classification, Encoder, EngineError, ModelInfo};

/// Pairs in one forward pass at most; callers ask for fewer, hostile ones for more.
const MAX_BATCH: usize = 32;

/// A premise and what is asked of it. The names keep the order: a head reads the premise first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The text that is taken as true: the evidence.
    pub premise: &'a str,
    /// The statement that is judged by it: the claim.
    pub hypothesis: &'a str,
}

/// Raw scores of a pair, one a label, in no unit; a softmax over them gives probabilities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entailment {
    /// The hypothesis follows from the premise.
    pub entails: f64,
    /// The premise leaves it open.
    pub neutral: f64,
    /// The premise rules it out.
    pub contradicts: f64,
}

/// A model that says of pairs of texts whether one follows from the other.
pub trait Entailer: Send + Sync {
    /// What this model is.
    fn info(&self) -> &ModelInfo;

    /// Scores of each pair, in order.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`], or a failure of the model.
    fn entailment(
        &self,
        pairs: &[Pair<'_>],
        cancel: &CancelToken,
    ) -> Result<Vec<Entailment>, EngineError>;
}

/// An [`Entailer`] on an encoder whose head has the labels `entailment`, `neutral` and
/// `contradiction`, in any order and case.
#[derive(Clone)]
pub struct CrossEncoder {
    encoder: Arc<dyn Encoder>,
}

const LABELS: [&str; 3] = ["entailment", "neutral", "contradiction"];

impl CrossEncoder {
    /// The encoder as a judge of pairs; `None` unless its head has these three labels and no other.
    pub fn new(encoder: Arc<dyn Encoder>) -> Option<Self> {
        let labels = encoder.labels();
        let has = |name: &&str| labels.iter().any(|label| label.eq_ignore_ascii_case(name));
        let fits = labels.len() == LABELS.len() && LABELS.iter().all(has);
        fits.then_some(Self { encoder })
    }
}

impl Entailer for CrossEncoder {
    fn info(&self) -> &ModelInfo {
        self.encoder.info()
    }

    fn entailment(
        &self,
        pairs: &[Pair<'_>],
        cancel: &CancelToken,
    ) -> Result<Vec<Entailment>, EngineError> {
        let mut found = Vec::with_capacity(pairs.len());
        for batch in pairs.chunks(MAX_BATCH) {
            cancel.check()?;
            let texts: Vec<(&str, Option<&str>)> =
                batch.iter().map(|pair| (pair.premise, Some(pair.hypothesis))).collect();
            let scored = self.encoder.classify(&texts, cancel)?;
            if scored.len() != batch.len() {
                let message =
                    format!("the encoder judged {} of {} pairs", scored.len(), batch.len());
                return Err(EngineError::Input(message));
            }
            for one in &scored {
                found.push(by_name(one)?);
            }
        }
        Ok(found)
    }
}

/// The scores by their labels' names, wherever in the list they stand.
fn by_name(scored: &Classification) -> Result<Entailment, EngineError> {
    let logit = |name: &str| {
        let found = scored.labels.iter().find(|l| l.label.eq_ignore_ascii_case(name));
        let logit = found.map(|l| f64::from(l.logit)).filter(|logit| logit.is_finite());
        let message = || format!("the encoder gave no finite score for the label `{name}`");
        logit.ok_or_else(|| EngineError::Input(message()))
    };
    let [entails, neutral, contradicts] = LABELS;
    Ok(Entailment {
        entails: logit(entails)?,
        neutral: logit(neutral)?,
        contradicts: logit(contradicts)?,
    })
}
