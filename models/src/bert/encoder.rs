// SPDX-License-Identifier: AGPL-3.0-or-later
//! BERT models behind the [`Encoder`] trait: text, windows, pooling and heads.

use std::ops::Range;
use std::sync::Arc;

use bho_engine::{
    CancelToken, Classification, Compute, Coverage, Embedding, Encoder, EngineError, ModelInfo,
    PairScores, TokenLabel, WindowScores,
};

use super::classify::softmax;
use super::config::BertConfig;
use super::model::{BertModel, TokenSequence};
use super::spec::Scope;
use crate::error::ModelError;
use crate::package::{Package, Pooling};
use crate::tokenizer::{TextTokenizer, Tokens};
use crate::windows::{self, normalize};

/// A BERT-family encoder, ready for text: a network for vectors and its head's labels, or two networks
/// of one tokenizer, the second of which (the judge) does the classifying.
pub struct BertEncoder {
    trunk: Network,
    judge: Option<Network>,
    tokenizer: TextTokenizer,
    pooling: Pooling,
    info: ModelInfo,
}

/// A network and how much it reads at once.
pub(super) struct Network {
    pub(super) model: BertModel,
    /// Tokens of a window, special ones included.
    pub(super) window: usize,
}

/// What a network makes of sequences.
type Forward = fn(&BertModel, &[TokenSequence], &CancelToken) -> Result<Vec<f32>, EngineError>;

/// A text cut into windows of its tokens.
struct Windowed {
    tokens: Tokens,
    windows: Vec<Range<usize>>,
    coverage: Coverage,
}

impl Network {
    fn load(
        package: &Package,
        scope: &Scope,
        config: BertConfig,
        max_tokens: Option<usize>,
        compute: &Compute,
    ) -> Result<Self, ModelError> {
        let window = max_tokens.unwrap_or(config.positions).min(config.positions);
        if window < 4 {
            let message = format!("a window of {window} tokens; accepted: 4 or more");
            return Err(ModelError::invalid(package.weights.name(), message));
        }
        let model = BertModel::load_in(scope, config, &package.weights, compute)?;
        Ok(Self { model, window })
    }

    /// Runs sequences through the network in passes of bounded size; `take` gets the index and
    /// the vectors of each.
    fn run(
        &self,
        sequences: &[TokenSequence],
        cancel: &CancelToken,
        take: impl FnMut(usize, &[f32]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        self.pass(BertModel::hidden_states, |sequence| sequence.ids.len(), sequences, cancel, take)
    }

    /// [`Network::run`] for the vector of each sequence's first token alone, which is less work.
    pub(super) fn run_first(
        &self,
        sequences: &[TokenSequence],
        cancel: &CancelToken,
        take: impl FnMut(usize, &[f32]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        self.pass(BertModel::first_states, |_| 1, sequences, cancel, take)
    }

    /// Passes of `forward`, which gives so many `rows` of vectors for a sequence.
    fn pass(
        &self,
        forward: Forward,
        rows: impl Fn(&TokenSequence) -> usize,
        sequences: &[TokenSequence],
        cancel: &CancelToken,
        mut take: impl FnMut(usize, &[f32]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let hidden = self.model.config().hidden;
        for pass in windows::passes(sequences.iter().map(|s| s.ids.len())) {
            let vectors = forward(&self.model, &sequences[pass.clone()], cancel)?;
            let mut rest = &vectors[..];
            for i in pass {
                let (own, others) = rest.split_at(rows(&sequences[i]) * hidden);
                take(i, own)?;
                rest = others;
            }
        }
        Ok(())
    }
}

impl BertEncoder {
    /// Builds the encoder of a package; `sha256` is that of its file, or empty.
    ///
    /// # Errors
    /// Naming the part of the package that is missing or wrong.
    pub fn load(package: &Package, sha256: &str, compute: &Compute) -> Result<Self, ModelError> {
        let file = package.weights.name();
        let config = BertConfig::from_json(file, &package.config)?;
        let judge = match &package.judge {
            None => None,
            Some(judge) => Some((judge, judge.check(file, &config)?)),
        };
        let json = package.tokenizer.as_deref().ok_or_else(|| {
            ModelError::invalid(file, "has no tokenizer.json or vocab.txt beside it or in it")
        })?;
        let least = judge.iter().map(|(_, judge)| judge.vocab).fold(config.vocab, usize::min);
        let tokenizer = TextTokenizer::from_json(file, json, least)?;
        let scope = match judge {
            None => Scope::first(&package.weights),
            // `bho convert` wrote it, without a prefix.
            Some(_) => Scope::default(),
        };
        let trunk = Network::load(package, &scope, config, package.max_tokens, compute)?;
        let mut info = ModelInfo {
            name: package.name.clone(),
            architecture: trunk.model.config().architecture.clone(),
            sha256: sha256.into(),
            precision: trunk.model.precision().into(),
            weight_bytes: trunk.model.weight_bytes(),
            isa: compute.kernels().name().into(),
            threads: compute.threads(),
        };
        let judge = match judge {
            None => None,
            Some((judge, config)) => {
                let scope = Scope::judge(&judge.shared);
                let network = Network::load(package, &scope, config, judge.max_tokens, compute)?;
                let shared = judge.shared.iter().filter_map(|n| package.weights.tensors().get(n));
                let shared: usize = shared.map(crate::weights::Tensor::bytes).sum();
                let more = network.model.weight_bytes().saturating_sub(shared as u64);
                info.weight_bytes = info.weight_bytes.saturating_add(more);
                Some(network)
            }
        };
        Ok(Self { trunk, judge, tokenizer, pooling: package.pooling, info })
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
        Ok(self.sequence(&self.trunk, &tokens.ids, None).ids)
    }

    /// The network under the text layer that gives vectors.
    pub fn model(&self) -> &BertModel {
        &self.trunk.model
    }

    pub(super) fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// The network with a sequence head.
    pub(super) fn classifier(&self) -> Result<&Network, EngineError> {
        let network = self.judge.as_ref().unwrap_or(&self.trunk);
        match network.model.config().has_sequence_head() {
            true => Ok(network),
            false => Err(self.no_head("sequence classification")),
        }
    }

    /// `[CLS] first [SEP]`, or `[CLS] first [SEP] second [SEP]` with segments 0 and 1.
    pub(super) fn sequence(
        &self,
        network: &Network,
        first: &[u32],
        second: Option<&[u32]>,
    ) -> TokenSequence {
        let (cls, sep) = (self.tokenizer.cls(), self.tokenizer.sep());
        let mut sequence = TokenSequence::single([&[cls], first, &[sep]].concat());
        if let Some(second) = second {
            sequence.ids.extend(second);
            sequence.ids.push(sep);
            let segment = u32::from(network.model.config().types > 1);
            sequence.types.resize(sequence.ids.len(), segment);
        }
        sequence
    }

    /// Cuts a text into the windows of the trunk.
    fn windows(&self, text: &str, cancel: &CancelToken) -> Result<Windowed, EngineError> {
        let body = self.trunk.window - 2;
        let (tokens, total) = self.tokenizer.encode(text, windows::reach(body), cancel)?;
        let kept = tokens.ids.len();
        let windows = windows::cut(kept, body);
        let coverage = Coverage { tokens: total, windows: windows.len(), truncated: total - kept };
        Ok(Windowed { tokens, windows, coverage })
    }

    fn no_head(&self, head: &'static str) -> EngineError {
        let config = self.trunk.model.config();
        let sequence = self.judge.is_some() || config.has_sequence_head();
        let available = match (sequence, config.has_token_head()) {
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
        self.trunk.model.config().hidden
    }

    fn labels(&self) -> &[String] {
        let config = self.judge.as_ref().unwrap_or(&self.trunk).model.config();
        if config.has_sequence_head() || config.has_token_head() { &config.labels } else { &[] }
    }

    fn pair_labels(&self) -> &[String] {
        let labels = self.labels();
        if self.judge.is_some() || bho_engine::is_inference(labels) { labels } else { &[] }
    }

    /// A long text's vector is the mean over all tokens of all its windows (of the windows'
    /// first tokens with `cls` pooling), so tokens in an overlap count twice.
    fn embed(&self, texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        let dim = self.dim();
        let mut sequences = Vec::new();
        let mut owners = Vec::new();
        let mut out = Vec::with_capacity(texts.len());
        for (i, text) in texts.iter().enumerate() {
            let cut = self.windows(text, cancel)?;
            for window in cut.windows {
                sequences.push(self.sequence(&self.trunk, &cut.tokens.ids[window], None));
                owners.push(i);
            }
            out.push(Embedding { vector: vec![0f32; dim], coverage: cut.coverage });
        }
        let add = |i: usize, rows: &[f32]| {
            let pooled = &mut out[owners[i]].vector;
            for row in rows.chunks_exact(dim) {
                self.trunk.model.compute().kernels().add(pooled, row);
            }
            Ok(())
        };
        match self.pooling {
            Pooling::Mean => self.trunk.run(&sequences, cancel, add)?,
            Pooling::Cls => self.trunk.run_first(&sequences, cancel, add)?,
            Pooling::Last => {
                let mut add = add;
                self.trunk.run(&sequences, cancel, |i, rows| add(i, &rows[rows.len() - dim..]))?;
            }
        }
        // The mean's divisor falls out of the normalisation.
        for embedding in &mut out {
            normalize(&mut embedding.vector);
        }
        Ok(out)
    }

    fn classify(
        &self,
        texts: &[(&str, Option<&str>)],
        cancel: &CancelToken,
    ) -> Result<Vec<Classification>, EngineError> {
        self.classify_means(texts, cancel)
    }

    fn classify_pairs(
        &self,
        pairs: &[(&str, &str)],
        cancel: &CancelToken,
    ) -> Result<Vec<PairScores>, EngineError> {
        self.classify_each_pair(pairs, cancel)
    }

    fn classify_windows(
        &self,
        text: &str,
        cancel: &CancelToken,
    ) -> Result<Vec<WindowScores>, EngineError> {
        self.classify_each_window(text, cancel)
    }

    /// A token in the overlap of two windows takes its label from the one where it stands
    /// farther from the edge. Tokens past the window limit get none.
    fn tag(
        &self,
        texts: &[&str],
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<TokenLabel>>, EngineError> {
        if !self.trunk.model.config().has_token_head() {
            return Err(self.no_head("token classification"));
        }
        let hidden = self.dim();
        let labels = &self.trunk.model.config().labels;
        let mut sequences = Vec::new();
        let mut owners = Vec::new();
        let mut best: Vec<Vec<(usize, TokenLabel)>> = Vec::with_capacity(texts.len());
        for (i, text) in texts.iter().enumerate() {
            let cut = self.windows(text, cancel)?;
            for window in cut.windows {
                sequences.push(self.sequence(&self.trunk, &cut.tokens.ids[window.clone()], None));
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
        self.trunk.run(&sequences, cancel, |i, vectors| {
            let (owner, window) = &owners[i];
            let body = &vectors[hidden..vectors.len() - hidden];
            let logits = self.trunk.model.token_logits(body)?;
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
