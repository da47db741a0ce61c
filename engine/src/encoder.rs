// SPDX-License-Identifier: AGPL-3.0-or-later
//! What callers see of an encoder model: text in, vectors or labels out.

use crate::control::CancelToken;
use crate::error::EngineError;

/// What a model is, for traces, `doctor` and provenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// Name in the model store, or the file stem.
    pub name: String,
    /// Architecture as the field names it, e.g. `BertModel`.
    pub architecture: String,
    /// Lower-case hex sha256 of the file the weights came from; empty when it was not computed.
    pub sha256: String,
    /// How the weights run, e.g. `int8` or `f32`.
    pub precision: String,
    /// Bytes of weights.
    pub weight_bytes: u64,
    /// Kernel backend the forward pass runs on, e.g. `avx512_vnni`.
    pub isa: String,
    /// Threads a forward pass may use.
    pub threads: usize,
}

/// How a text longer than the model's window was handled.
///
/// Nothing is dropped silently: callers read this to report it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Tokens of the text, without the special ones.
    pub tokens: usize,
    /// Windows the text was read in; 1 for a text that fits, 0 for one without tokens.
    pub windows: usize,
    /// Tokens at the end of the text that no window covered (only under a window limit).
    pub truncated: usize,
}

/// A text as a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// `[dim]`, L2-normalised; all zero for a text without tokens.
    pub vector: Vec<f32>,
    /// How much of the text the vector covers.
    pub coverage: Coverage,
}

impl Embedding {
    /// Cosine similarity with another normalised embedding of the same length, in -1..=1.
    pub fn cosine(&self, other: &Self) -> f32 {
        self.vector.iter().zip(&other.vector).map(|(a, b)| a * b).sum::<f32>().clamp(-1.0, 1.0)
    }
}

/// Probabilities of the labels of one text (or pair of texts).
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// `(label, logit, probability)` in the model's order.
    pub labels: Vec<LabelScore>,
    /// How much of the text the decision covers.
    pub coverage: Coverage,
}

/// The scores of one window of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowScores {
    /// The bytes of the text that the window covers.
    pub span: std::ops::Range<usize>,
    /// In the model's order.
    pub labels: Vec<LabelScore>,
}

/// What a model says of a pair of texts, window by window of the first.
#[derive(Debug, Clone, PartialEq)]
pub struct PairScores {
    /// Each window of the first text, in order, read together with the second; one for a first text
    /// without tokens. Spans are bytes of the first text.
    pub windows: Vec<WindowScores>,
    /// Tokens of the first text; as truncated count those of either that no window covered.
    pub coverage: Coverage,
}

/// One label with its score.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelScore {
    /// Label name from the model's `id2label`, or `LABEL_<n>`.
    pub label: String,
    /// Raw output of the head.
    pub logit: f32,
    /// Softmax over the labels; a sigmoid each where the model's labels do not exclude each other.
    pub probability: f32,
}

/// One labelled token of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLabel {
    /// Byte range of the token in the text.
    pub span: std::ops::Range<usize>,
    /// The most probable label.
    pub label: String,
    /// Its probability (softmax over the labels).
    pub probability: f32,
    /// The probability of each label, in the order of [`Encoder::labels`]; empty for a token that no window reached.
    pub probabilities: Vec<f32>,
}

/// An encoder model, ready to use from any thread.
///
/// Every method stops between layers when `cancel` does and then returns
/// [`EngineError::Cancelled`]. Texts longer than the model's window are read in overlapping
/// windows; [`Coverage`] says so.
pub trait Encoder: Send + Sync {
    /// What this model is.
    fn info(&self) -> &ModelInfo;

    /// Length of the vectors [`Encoder::embed`] returns.
    fn dim(&self) -> usize;

    /// Labels of the model's head, in its order; none without a head.
    fn labels(&self) -> &[String] {
        &[]
    }

    /// Labels of a head for pairs of texts, in the order of [`PairScores`]; none without one.
    ///
    /// A model that does not say what its head is for has one if its labels are those of natural language
    /// inference: entailment, neutral and contradiction, in any order and case.
    fn pair_labels(&self) -> &[String] {
        let labels = self.labels();
        if is_inference(labels) { labels } else { &[] }
    }

    /// Embeds each text: pooled as the model says (mean by default), L2-normalised.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`], or a tokenizer failure.
    fn embed(&self, texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError>;

    /// Classifies each text, or pair of texts, with the model's sequence-classification head. Probabilities
    /// of a long text's windows are averaged; see [`Encoder::classify_pairs`] for those of pairs.
    ///
    /// # Errors
    /// [`EngineError::NoHead`] when the model has none; else as [`Encoder::embed`].
    fn classify(
        &self,
        texts: &[(&str, Option<&str>)],
        cancel: &CancelToken,
    ) -> Result<Vec<Classification>, EngineError>;

    /// Classifies pairs of texts, such as a premise and a hypothesis: the second text is kept whole as far
    /// as a quarter of the window is left for the first, which is read in windows. How the windows' scores
    /// become one verdict is the caller's: one window that contradicts may outweigh many neutral ones.
    ///
    /// # Errors
    /// [`EngineError::NoHead`] when the model has no sequence-classification head; else as
    /// [`Encoder::embed`].
    fn classify_pairs(
        &self,
        pairs: &[(&str, &str)],
        cancel: &CancelToken,
    ) -> Result<Vec<PairScores>, EngineError> {
        let _ = (pairs, cancel);
        let (model, available) = (self.info().name.clone(), "none for pairs of texts".into());
        Err(EngineError::NoHead { model, head: "sequence classification", available })
    }

    /// Classifies each window of a text by itself, in order; a text without tokens has none. What one
    /// window shows is not averaged away by the rest of a long text, as [`Encoder::classify`] would.
    ///
    /// # Errors
    /// [`EngineError::NoHead`] when the model has no sequence-classification head; else as
    /// [`Encoder::embed`].
    fn classify_windows(
        &self,
        text: &str,
        cancel: &CancelToken,
    ) -> Result<Vec<WindowScores>, EngineError>;

    /// Labels each token of each text with the model's token-classification head.
    ///
    /// # Errors
    /// [`EngineError::NoHead`] when the model has none; else as [`Encoder::embed`].
    fn tag(
        &self,
        texts: &[&str],
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<TokenLabel>>, EngineError>;
}

/// Whether these are the labels of natural language inference, in any order and case: entailment, neutral
/// and contradiction.
pub fn is_inference(labels: &[String]) -> bool {
    let mut names: Vec<_> = labels.iter().map(|label| label.to_lowercase()).collect();
    names.sort_unstable();
    names == ["contradiction", "entailment", "neutral"]
}
