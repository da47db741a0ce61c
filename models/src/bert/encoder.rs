// SPDX-License-Identifier: AGPL-3.0-or-later
//! A BERT model behind the [`Encoder`] trait: text, windows, pooling and heads.

use std::ops::Range;
use std::sync::Arc;

use bho_engine::{
    CancelToken, Classification, Compute, Coverage, Embedding, Encoder, EngineError, LabelScore,
    ModelInfo, TokenLabel, WindowScores,
};

use super::config::BertConfig;
use super::model::{BertModel, TokenSequence};
use crate::error::ModelError;
use crate::package::{Package, Pooling};
use crate::tokenizer::{TextTokenizer, Tokens};
use crate::windows::{self, normalize};

/// A BERT-family encoder, ready for text.
pub struct BertEncoder {
    model: BertModel,
    tokenizer: TextTokenizer,
    pooling: Pooling,
    /// Tokens of a window, special ones included.
    window: usize,
    info: ModelInfo,
}

/// A text cut into windows of its tokens.
struct Windowed {
    tokens: Tokens,
    windows: Vec<Range<usize>>,
    coverage: Coverage,
}

impl BertEncoder {
    /// Builds the encoder of a package; `sha256` is that of its file, or empty.
    ///
    /// # Errors
    /// Naming the part of the package that is missing or wrong.
    pub fn load(package: &Package, sha256: &str, compute: &Compute) -> Result<Self, ModelError> {
        let file = package.weights.name();
        let config = BertConfig::from_json(file, &package.config)?;
        let json = package.tokenizer.as_deref().ok_or_else(|| {
            ModelError::invalid(file, "has no tokenizer.json or vocab.txt beside it or in it")
        })?;
        let tokenizer = TextTokenizer::from_json(file, json, config.vocab)?;
        let window = package.max_tokens.unwrap_or(config.positions).min(config.positions);
        if window < 4 {
            let message = format!("a window of {window} tokens; accepted: 4 or more");
            return Err(ModelError::invalid(file, message));
        }
        let model = BertModel::load(config, &package.weights, compute)?;
        let info = ModelInfo {
            name: package.name.clone(),
            architecture: model.config().architecture.clone(),
            sha256: sha256.into(),
            precision: model.precision().into(),
            weight_bytes: model.weight_bytes(),
            isa: compute.kernels().name().into(),
            threads: compute.threads(),
        };
        Ok(Self { model, tokenizer, pooling: package.pooling, window, info })
    }

    /// [`BertEncoder::load`] behind the trait, for the table of architectures.
    pub(crate) fn load_dyn(
        package: &Package,
        sha256: &str,
        compute: &Compute,
    ) -> Result<Arc<dyn Encoder>, ModelError> {
        Ok(Arc::new(Self::load(package, sha256, compute)?))
    }

    /// Token ids of `text`, special ones included and nothing cut, for parity tests.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`].
    pub fn token_ids(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let (tokens, _) = self.tokenizer.encode(text, usize::MAX, &CancelToken::new())?;
        Ok(self.sequence(&tokens.ids, None).ids)
    }

    /// The network under the text layer.
    pub fn model(&self) -> &BertModel {
        &self.model
    }

    /// `[CLS] first [SEP]`, or `[CLS] first [SEP] second [SEP]` with segments 0 and 1.
    fn sequence(&self, first: &[u32], second: Option<&[u32]>) -> TokenSequence {
        let (cls, sep) = (self.tokenizer.cls(), self.tokenizer.sep());
        let mut sequence = TokenSequence::single([&[cls], first, &[sep]].concat());
        if let Some(second) = second {
            sequence.ids.extend(second);
            sequence.ids.push(sep);
            let segment = u32::from(self.model.config().types > 1);
            sequence.types.resize(sequence.ids.len(), segment);
        }
        sequence
    }

    /// Cuts a text into windows of at most `body` tokens.
    fn windows(
        &self,
        text: &str,
        body: usize,
        cancel: &CancelToken,
    ) -> Result<Windowed, EngineError> {
        let (tokens, total) = self.tokenizer.encode(text, windows::reach(body), cancel)?;
        let kept = tokens.ids.len();
        let windows = windows::cut(kept, body);
        let coverage = Coverage { tokens: total, windows: windows.len(), truncated: total - kept };
        Ok(Windowed { tokens, windows, coverage })
    }

    /// Runs sequences through the network in passes of bounded size; `take` gets the index and
    /// the vectors of each.
    fn run(
        &self,
        sequences: &[TokenSequence],
        cancel: &CancelToken,
        mut take: impl FnMut(usize, &[f32]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let hidden = self.model.config().hidden;
        for pass in windows::passes(sequences.iter().map(|s| s.ids.len())) {
            let vectors = self.model.hidden_states(&sequences[pass.clone()], cancel)?;
            let mut rest = &vectors[..];
            for i in pass {
                let (own, others) = rest.split_at(sequences[i].ids.len() * hidden);
                take(i, own)?;
                rest = others;
            }
        }
        Ok(())
    }

    /// What the head's logits say of each label: of all together, or of each by itself.
    fn probabilities(&self, logits: &[f32]) -> Vec<f32> {
        if self.model.config().multi_label {
            logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect()
        } else {
            softmax(logits)
        }
    }

    fn scores(&self, logits: &[f32], probabilities: &[f32]) -> Vec<LabelScore> {
        let labels = self.model.config().labels.iter();
        labels
            .zip(logits.iter().zip(probabilities))
            .map(|(label, (&logit, &probability))| LabelScore {
                label: label.clone(),
                logit,
                probability,
            })
            .collect()
    }

    fn no_head(&self, head: &'static str) -> EngineError {
        let config = self.model.config();
        let available = match (config.has_sequence_head(), config.has_token_head()) {
            (true, _) => "sequence classification, embedding",
            (_, true) => "token classification, embedding",
            _ => "embedding",
        };
        let (model, available) = (self.info.name.clone(), available.into());
        EngineError::NoHead { model, head, available }
    }
}

impl Encoder for BertEncoder {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn dim(&self) -> usize {
        self.model.config().hidden
    }

    fn labels(&self) -> &[String] {
        let config = self.model.config();
        if config.has_sequence_head() || config.has_token_head() { &config.labels } else { &[] }
    }

    /// A long text's vector is the mean over all tokens of all its windows (of the windows'
    /// first tokens with `cls` pooling), so tokens in an overlap count twice.
    fn embed(&self, texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        let dim = self.dim();
        let mut sequences = Vec::new();
        let mut owners = Vec::new();
        let mut out = Vec::with_capacity(texts.len());
        for (i, text) in texts.iter().enumerate() {
            let cut = self.windows(text, self.window - 2, cancel)?;
            for window in cut.windows {
                sequences.push(self.sequence(&cut.tokens.ids[window], None));
                owners.push(i);
            }
            out.push(Embedding { vector: vec![0f32; dim], coverage: cut.coverage });
        }
        self.run(&sequences, cancel, |i, vectors| {
            let pooled = &mut out[owners[i]].vector;
            let rows = match self.pooling {
                Pooling::Mean => vectors,
                Pooling::Cls => &vectors[..dim],
                Pooling::Last => &vectors[vectors.len() - dim..],
            };
            for row in rows.chunks_exact(dim) {
                self.model.compute().kernels().add(pooled, row);
            }
            Ok(())
        })?;
        // The mean's divisor falls out of the normalisation.
        for embedding in &mut out {
            normalize(&mut embedding.vector);
        }
        Ok(out)
    }

    /// A text that needs several windows gets the mean of their probabilities; the second text of
    /// a pair is kept whole up to half a window.
    fn classify(
        &self,
        texts: &[(&str, Option<&str>)],
        cancel: &CancelToken,
    ) -> Result<Vec<Classification>, EngineError> {
        if !self.model.config().has_sequence_head() {
            return Err(self.no_head("sequence classification"));
        }
        let mut sequences = Vec::new();
        let mut owners = Vec::new();
        let mut out = Vec::with_capacity(texts.len());
        for (i, (first, second)) in texts.iter().enumerate() {
            let mut body = self.window - 2;
            let mut cut_off = 0;
            let second = match second {
                None => None,
                Some(text) => {
                    let (tokens, total) =
                        self.tokenizer.encode(text, (self.window - 3) / 2, cancel)?;
                    cut_off = total - tokens.ids.len();
                    body = self.window - 3 - tokens.ids.len();
                    Some(tokens.ids)
                }
            };
            let mut cut = self.windows(first, body, cancel)?;
            if cut.windows.is_empty() {
                // An empty first text still makes a sequence of special tokens.
                cut.windows.push(0..0);
            }
            for window in cut.windows {
                sequences.push(self.sequence(&cut.tokens.ids[window], second.as_deref()));
                owners.push(i);
            }
            cut.coverage.truncated += cut_off;
            let zero = vec![0f32; self.model.config().labels.len()];
            out.push(Classification { labels: self.scores(&zero, &zero), coverage: cut.coverage });
        }
        let mut windows = vec![0f32; texts.len()];
        self.run(&sequences, cancel, |i, vectors| {
            let logits = self.model.sequence_logits(vectors)?;
            let probabilities = self.probabilities(&logits);
            windows[owners[i]] += 1.0;
            let scores = logits.iter().zip(probabilities);
            for (label, (logit, p)) in out[owners[i]].labels.iter_mut().zip(scores) {
                label.logit += logit;
                label.probability += p;
            }
            Ok(())
        })?;
        for (classification, n) in out.iter_mut().zip(windows) {
            for label in &mut classification.labels {
                label.logit /= n;
                label.probability /= n;
            }
        }
        Ok(out)
    }

    fn classify_windows(
        &self,
        text: &str,
        cancel: &CancelToken,
    ) -> Result<Vec<WindowScores>, EngineError> {
        if !self.model.config().has_sequence_head() {
            return Err(self.no_head("sequence classification"));
        }
        let cut = self.windows(text, self.window - 2, cancel)?;
        let sequences: Vec<_> = cut
            .windows
            .iter()
            .map(|window| self.sequence(&cut.tokens.ids[window.clone()], None))
            .collect();
        let mut out = Vec::with_capacity(sequences.len());
        self.run(&sequences, cancel, |i, vectors| {
            let spans = &cut.tokens.spans[cut.windows[i].clone()];
            let start = spans.iter().map(|span| span.start).min().unwrap_or(0);
            let end = spans.iter().map(|span| span.end).max().unwrap_or(start);
            let logits = self.model.sequence_logits(vectors)?;
            let labels = self.scores(&logits, &self.probabilities(&logits));
            out.push(WindowScores { span: start..end, labels });
            Ok(())
        })?;
        Ok(out)
    }

    /// A token in the overlap of two windows takes its label from the one where it stands
    /// farther from the edge. Tokens past the window limit get none.
    fn tag(
        &self,
        texts: &[&str],
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<TokenLabel>>, EngineError> {
        if !self.model.config().has_token_head() {
            return Err(self.no_head("token classification"));
        }
        let hidden = self.dim();
        let labels = &self.model.config().labels;
        let mut sequences = Vec::new();
        let mut owners = Vec::new();
        let mut best: Vec<Vec<(usize, TokenLabel)>> = Vec::with_capacity(texts.len());
        for (i, text) in texts.iter().enumerate() {
            let cut = self.windows(text, self.window - 2, cancel)?;
            for window in cut.windows {
                sequences.push(self.sequence(&cut.tokens.ids[window.clone()], None));
                owners.push((i, window));
            }
            let unset = |span| TokenLabel {
                span,
                label: String::new(),
                probability: 0.0,
                probabilities: Vec::new(),
            };
            best.push(cut.tokens.spans.into_iter().map(|s| (0, unset(s))).collect());
        }
        self.run(&sequences, cancel, |i, vectors| {
            let (owner, window) = &owners[i];
            let body = &vectors[hidden..vectors.len() - hidden];
            let logits = self.model.token_logits(body)?;
            for (token, logits) in window.clone().zip(logits.chunks_exact(labels.len())) {
                let margin = 1 + (token - window.start).min(window.end - 1 - token);
                let (held, label) = &mut best[*owner][token];
                if margin > *held {
                    *held = margin;
                    let probabilities = softmax(logits);
                    let top = (0..labels.len())
                        .max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]))
                        .unwrap_or(0);
                    label.label.clone_from(&labels[top]);
                    label.probability = probabilities[top];
                    label.probabilities = probabilities;
                }
            }
            Ok(())
        })?;
        let labels =
            |tokens: Vec<(usize, TokenLabel)>| tokens.into_iter().map(|(_, l)| l).collect();
        Ok(best.into_iter().map(labels).collect())
    }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut p: Vec<f32> = logits.iter().map(|l| (l - max).exp()).collect();
    let sum: f32 = p.iter().sum();
    p.iter_mut().for_each(|v| *v /= sum);
    p
}
