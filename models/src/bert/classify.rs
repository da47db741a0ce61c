// SPDX-License-Identifier: AGPL-3.0-or-later
//! Texts and pairs of texts through a sequence head, window by window.

use std::ops::Range;

use bho_engine::{
    CancelToken, Classification, Coverage, EngineError, LabelScore, PairScores, WindowScores,
};

use super::config::BertConfig;
use super::encoder::{BertEncoder, Network};
use crate::tokenizer::Tokens;
use crate::windows;

/// Part of a window that a pair's first text may always have, if it is that long: a quarter.
const FIRST_SHARE: usize = 4;

/// A text, or the first of a pair, cut into windows.
struct Cut {
    tokens: Tokens,
    windows: Vec<Range<usize>>,
    /// The second text of a pair, which stands behind each window.
    second: Option<Vec<u32>>,
    coverage: Coverage,
}

impl BertEncoder {
    /// A text that needs several windows gets the mean of their logits and probabilities.
    pub(super) fn classify_means(
        &self,
        texts: &[(&str, Option<&str>)],
        cancel: &CancelToken,
    ) -> Result<Vec<Classification>, EngineError> {
        let network = self.classifier()?;
        let cuts = self.cut_all(network, texts, cancel)?;
        let scores = self.score(network, &cuts, cancel)?;
        let mean = |(windows, cut): (Vec<WindowScores>, Cut)| {
            let n = windows.len() as f32;
            let zero = LabelScore { label: String::new(), logit: 0.0, probability: 0.0 };
            let mut labels = vec![zero; network.model.config().labels.len()];
            for (sum, label) in labels.iter_mut().zip(&network.model.config().labels) {
                sum.label.clone_from(label);
            }
            for window in &windows {
                for (sum, score) in labels.iter_mut().zip(&window.labels) {
                    sum.logit += score.logit;
                    sum.probability += score.probability;
                }
            }
            for sum in &mut labels {
                sum.logit /= n;
                sum.probability /= n;
            }
            Classification { labels, coverage: cut.coverage }
        };
        Ok(scores.into_iter().zip(cuts).map(mean).collect())
    }

    /// The windows of each pair.
    pub(super) fn classify_each_pair(
        &self,
        pairs: &[(&str, &str)],
        cancel: &CancelToken,
    ) -> Result<Vec<PairScores>, EngineError> {
        let network = self.classifier()?;
        let pairs: Vec<_> = pairs.iter().map(|&(first, second)| (first, Some(second))).collect();
        let cuts = self.cut_all(network, &pairs, cancel)?;
        let scores = self.score(network, &cuts, cancel)?.into_iter().zip(cuts);
        Ok(scores.map(|(windows, cut)| PairScores { windows, coverage: cut.coverage }).collect())
    }

    /// The windows of a text; none for one without tokens.
    pub(super) fn classify_each_window(
        &self,
        text: &str,
        cancel: &CancelToken,
    ) -> Result<Vec<WindowScores>, EngineError> {
        let network = self.classifier()?;
        let cut = self.cut(network, text, None, cancel)?;
        Ok(self.score(network, &[cut], cancel)?.remove(0))
    }

    /// Cuts texts; even one without tokens makes a sequence, of special ones.
    fn cut_all(
        &self,
        network: &Network,
        texts: &[(&str, Option<&str>)],
        cancel: &CancelToken,
    ) -> Result<Vec<Cut>, EngineError> {
        let mut cuts = Vec::with_capacity(texts.len());
        for &(first, second) in texts {
            let mut cut = self.cut(network, first, second, cancel)?;
            if cut.windows.is_empty() {
                cut.windows.push(0..0);
            }
            cuts.push(cut);
        }
        Ok(cuts)
    }

    /// Cuts a text, or the first of a pair around the second, which is kept whole as far as a quarter of
    /// the window is left for the first.
    fn cut(
        &self,
        network: &Network,
        first: &str,
        second: Option<&str>,
        cancel: &CancelToken,
    ) -> Result<Cut, EngineError> {
        // [CLS] and a [SEP] behind each text.
        let room = network.window - if second.is_some() { 3 } else { 2 };
        let (mut tokens, total) = self.tokenizer().encode(first, windows::reach(room), cancel)?;
        let (mut body, mut cut_off) = (room, 0);
        let second = match second {
            None => None,
            Some(text) => {
                let least = (room / FIRST_SHARE).max(1).min(tokens.ids.len());
                let (second, all) = self.tokenizer().encode(text, room - least, cancel)?;
                cut_off = all - second.ids.len();
                body = room - second.ids.len();
                Some(second.ids)
            }
        };
        let kept = tokens.ids.len().min(windows::reach(body));
        tokens.ids.truncate(kept);
        tokens.spans.truncate(kept);
        let windows = windows::cut(kept, body);
        let truncated = total - kept + cut_off;
        let coverage = Coverage { tokens: total, windows: windows.len(), truncated };
        Ok(Cut { tokens, windows, second, coverage })
    }

    /// The scores of every window of every text.
    fn score(
        &self,
        network: &Network,
        cuts: &[Cut],
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<WindowScores>>, EngineError> {
        let (mut sequences, mut owners) = (Vec::new(), Vec::new());
        for (i, cut) in cuts.iter().enumerate() {
            for window in &cut.windows {
                let first = &cut.tokens.ids[window.clone()];
                sequences.push(self.sequence(network, first, cut.second.as_deref()));
                owners.push((i, window.clone()));
            }
        }
        let mut out = vec![Vec::new(); cuts.len()];
        network.run_first(&sequences, cancel, |i, first| {
            let (owner, window) = &owners[i];
            let spans = &cuts[*owner].tokens.spans[window.clone()];
            let start = spans.iter().map(|span| span.start).min().unwrap_or(0);
            let end = spans.iter().map(|span| span.end).max().unwrap_or(start);
            let logits = network.model.sequence_logits(first)?;
            let labels = scores(network.model.config(), &logits);
            out[*owner].push(WindowScores { span: start..end, labels });
            Ok(())
        })?;
        Ok(out)
    }
}

/// What the head's logits say of each label: of all together, or of each by itself.
fn scores(config: &BertConfig, logits: &[f32]) -> Vec<LabelScore> {
    let probabilities = if config.multi_label {
        logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect()
    } else {
        softmax(logits)
    };
    let scores = logits.iter().zip(probabilities);
    let score = |(label, (&logit, probability)): (&String, _)| LabelScore {
        label: label.clone(),
        logit,
        probability,
    };
    config.labels.iter().zip(scores).map(score).collect()
}

pub(super) fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut p: Vec<f32> = logits.iter().map(|l| (l - max).exp()).collect();
    let sum: f32 = p.iter().sum();
    p.iter_mut().for_each(|v| *v /= sum);
    p
}
