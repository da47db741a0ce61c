// SPDX-License-Identifier: AGPL-3.0-or-later
//! The second network of an encoder's file: it reads two texts at once and says how they relate.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{keys, parse_json};
use crate::bert::BertConfig;
use crate::error::ModelError;

/// A network beside the one that gives vectors, on the same tokenizer.
#[derive(Debug, Clone)]
pub struct Judge {
    /// Its `config.json`.
    pub config: Value,
    /// Tokens of its window, if it says.
    pub max_tokens: Option<usize>,
    /// Tensors of the first network that it has, too; the others stand under `judge.` and their name.
    pub shared: BTreeSet<String>,
}

impl Judge {
    /// What the metadata of a converted file says of it.
    pub(super) fn read(
        file: &str,
        meta: &BTreeMap<String, String>,
    ) -> Result<Option<Self>, ModelError> {
        let Some(config) = meta.get(keys::JUDGE_CONFIG) else { return Ok(None) };
        let config = parse_json(&format!("{file}: {}", keys::JUDGE_CONFIG), config)?;
        let shared = match meta.get(keys::JUDGE_SHARED) {
            None => BTreeSet::new(),
            Some(text) => serde_json::from_str(text).map_err(|e| {
                let message = format!("{} is no list of names: {e}", keys::JUDGE_SHARED);
                ModelError::invalid(file, message)
            })?,
        };
        let max_tokens = super::number(file, meta, keys::JUDGE_MAX_TOKENS)?;
        Ok(Some(Self { config, max_tokens, shared }))
    }

    /// The metadata that lets a file hold it.
    pub(crate) fn metadata(&self) -> BTreeMap<String, String> {
        let shared = self.shared.iter().map(|name| Value::from(name.as_str())).collect();
        let mut meta = BTreeMap::from([
            (keys::JUDGE_CONFIG.to_owned(), self.config.to_string()),
            (keys::JUDGE_SHARED.to_owned(), Value::Array(shared).to_string()),
        ]);
        if let Some(max) = self.max_tokens {
            meta.insert(keys::JUDGE_MAX_TOKENS.to_owned(), max.to_string());
        }
        meta
    }

    /// Its settings, if it and the first network are what such a file may hold: which of two heads labels
    /// texts, nobody could tell.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] naming `file`.
    pub(crate) fn check(&self, file: &str, first: &BertConfig) -> Result<BertConfig, ModelError> {
        let config = BertConfig::from_json(&format!("{file}: judge"), &self.config)?;
        let (found, other) = (&config.architecture, &first.architecture);
        if !config.has_sequence_head() {
            let message = format!("{found:?}; accepted: BertForSequenceClassification");
            return Err(ModelError::invalid(format!("{file}: judge"), message));
        }
        if first.has_sequence_head() || first.has_token_head() {
            let message = format!("{other:?} has a head; beside a judge is accepted: BertModel");
            return Err(ModelError::invalid(file, message));
        }
        Ok(config)
    }
}

/// Whether two `tokenizer.json` give the same ids: all but truncation and padding, which are not used.
pub(crate) fn same_tokenizer(a: &str, b: &str) -> bool {
    let read = |text: &str| {
        let mut json = serde_json::from_str::<Value>(text).ok()?;
        let map = json.as_object_mut()?;
        map.remove("truncation");
        map.remove("padding");
        Some(json)
    };
    a == b || read(a).is_some_and(|a| read(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokenizers_may_differ_in_padding_and_truncation_only() {
        let with =
            |vocab: u32, rest: &str| format!(r#"{{"model": {{"vocab": {{"a": {vocab}}}}}{rest}}}"#);
        let plain = with(0, "");
        assert!(same_tokenizer(&plain, &with(0, r#", "padding": {"length": 128}"#)));
        assert!(same_tokenizer(&with(0, r#", "truncation": {"max_length": 9}"#), &plain));
        assert!(!same_tokenizer(&plain, &with(1, "")));
        assert!(!same_tokenizer(&plain, &with(0, r#", "normalizer": null"#)));
        assert!(!same_tokenizer(&plain, "["));
        assert!(!same_tokenizer("[", "{"));
    }
}
