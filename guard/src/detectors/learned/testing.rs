// SPDX-License-Identifier: AGPL-3.0-or-later
//! A model that knows a few words.

use std::sync::Arc;

use bho_engine::{
    CancelToken, Classification, Embedding, Encoder, EngineError, LabelScore, ModelInfo,
    TokenLabel, WindowScores,
};

/// Labels words by a table, and texts by the words in them.
pub(super) struct Fake {
    info: ModelInfo,
    labels: Vec<String>,
}

impl Fake {
    /// Of tokens: names of Ann, Jo and Smith, the address 12 Elm, the odd surname 4711.
    pub(super) fn tagger(labels: &[&str]) -> Arc<dyn Encoder> {
        let info = ModelInfo {
            name: "fake".into(),
            architecture: String::new(),
            sha256: String::new(),
            precision: String::new(),
            weight_bytes: 0,
            isa: String::new(),
            threads: 1,
        };
        Arc::new(Self { info, labels: labels.iter().map(|l| (*l).into()).collect() })
    }

    /// Of texts: its first label at 0.9 where there is a toad, its last at 0.8 where somebody obeys.
    pub(super) fn classifier(labels: &[&str]) -> Arc<dyn Encoder> {
        Self::tagger(labels)
    }
}

fn label_of(word: &str) -> &'static str {
    match word {
        "Ann" | "Jo" => "B-GIVEN_NAME",
        "Sm" | "Smith" => "B-SURNAME",
        "12" => "B-BUILDING_NUMBER",
        "Elm" => "B-STREET_NAME",
        "4711" => "I-SURNAME",
        "x@y" => "B-EMAIL",
        _ => "O",
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
                _ => 0.01,
            };
            LabelScore { label: label.clone(), logit: 0.0, probability }
        };
        let labels = self.labels.iter().enumerate().map(score).collect();
        Ok(vec![WindowScores { span: 0..text.len(), labels }])
    }

    fn tag(&self, texts: &[&str], _: &CancelToken) -> Result<Vec<Vec<TokenLabel>>, EngineError> {
        let tag = |text: &&str| {
            let mut from = 0;
            let mut tags = Vec::new();
            for word in text.split_whitespace() {
                let start = from + text[from..].find(word).unwrap_or(0);
                // "Smith" comes as "Sm" and "ith", as word pieces do.
                let end = start + if word.starts_with("Smi") { 2 } else { word.len() };
                let label = label_of(&text[start..end]).to_owned();
                tags.push(TokenLabel { span: start..end, label, probability: 0.9 });
                from = start + word.len();
            }
            tags
        };
        Ok(texts.iter().map(tag).collect())
    }
}
