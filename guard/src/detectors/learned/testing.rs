// SPDX-License-Identifier: AGPL-3.0-or-later
//! A model that knows a few words.

use std::ops::Range;
use std::sync::Arc;

use bho_engine::{
    CancelToken, Classification, Embedding, Encoder, EngineError, LabelScore, ModelInfo,
    TokenLabel, WindowScores,
};

/// What a word is to a [`Fake`]: the word, its entity, the probability.
pub(super) type Table = &'static [(&'static str, &'static str, f32)];

/// Labels words by a table, and texts by the words in them.
pub(super) struct Fake {
    info: ModelInfo,
    labels: Vec<String>,
    table: Table,
}

impl Fake {
    fn of(labels: Vec<String>, table: Table) -> Arc<dyn Encoder> {
        let info = ModelInfo {
            name: "fake".into(),
            architecture: String::new(),
            sha256: String::new(),
            precision: String::new(),
            weight_bytes: 0,
            isa: String::new(),
            threads: 1,
        };
        Arc::new(Self { info, labels, table })
    }

    /// Of tokens, with these labels; it knows no word.
    pub(super) fn labelled(labels: &[&str]) -> Arc<dyn Encoder> {
        Self::of(labels.iter().map(|l| (*l).into()).collect(), &[])
    }

    /// Of tokens: the words of the table, in any case.
    pub(super) fn tagger(table: Table) -> Arc<dyn Encoder> {
        let mut labels = vec!["O".to_owned()];
        for (_, entity, _) in table {
            let label = format!("B-{entity}");
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        Self::of(labels, table)
    }

    /// Of texts: its first label at 0.9 where there is a toad, its last at 0.8 where somebody obeys.
    pub(super) fn classifier(labels: &[&str]) -> Arc<dyn Encoder> {
        Self::labelled(labels)
    }

    fn label(&self, word: &str, span: Range<usize>) -> TokenLabel {
        let known = self.table.iter().find(|(known, ..)| known.eq_ignore_ascii_case(word));
        let (entity, p) = known.map_or(("", 0.0), |(_, entity, p)| (*entity, *p));
        let label = |l: &String| l.strip_prefix("B-") == Some(entity);
        let mut probabilities: Vec<f32> =
            self.labels.iter().map(|l| if label(l) { p } else { 0.0 }).collect();
        probabilities[0] = 1.0 - p;
        let top = if p > 0.5 { self.labels.iter().position(label).unwrap_or(0) } else { 0 };
        TokenLabel {
            span,
            label: self.labels[top].clone(),
            probability: probabilities[top],
            probabilities,
        }
    }
}

impl Encoder for Fake {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn dim(&self) -> usize {
        1
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn embed(&self, _: &[&str], _: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        Err(EngineError::Input("no vectors".into()))
    }

    fn classify(
        &self,
        _: &[(&str, Option<&str>)],
        _: &CancelToken,
    ) -> Result<Vec<Classification>, EngineError> {
        Err(EngineError::Input("no whole texts".into()))
    }

    fn classify_windows(
        &self,
        text: &str,
        _: &CancelToken,
    ) -> Result<Vec<WindowScores>, EngineError> {
        let last = self.labels.len() - 1;
        let score = |(i, label): (usize, &String)| {
            let probability = match i {
                0 if text.contains("toad") => 0.9,
                i if i == last && text.contains("obeys") => 0.8,
                _ => 0.005,
            };
            LabelScore { label: label.clone(), logit: 0.0, probability }
        };
        let labels = self.labels.iter().enumerate().map(score).collect();
        Ok(vec![WindowScores { span: 0..text.len(), labels }])
    }

    /// A word of more than four letters is two tokens.
    fn tag(&self, texts: &[&str], _: &CancelToken) -> Result<Vec<Vec<TokenLabel>>, EngineError> {
        let tag = |text: &&str| {
            let mut tags = Vec::new();
            let mut from = 0;
            for word in text.split(|c: char| !c.is_alphanumeric()) {
                let cut = word.char_indices().nth(4).map_or(word.len(), |(i, _)| i);
                for span in [from..from + cut, from + cut..from + word.len()] {
                    if !span.is_empty() {
                        tags.push(self.label(word, span));
                    }
                }
                from += word.len();
                from += text[from..].chars().next().map_or(0, char::len_utf8);
            }
            tags
        };
        Ok(texts.iter().map(tag).collect())
    }
}
