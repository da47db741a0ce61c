// SPDX-License-Identifier: AGPL-3.0-or-later
//! All that is wrong with a model file, without stopping at the first.

use std::path::Path;

use bho_engine::Compute;
use serde::Serialize;
use serde_json::Value;

use super::open::{Container, Opened};
use super::{Inspection, facts, shapes, template, values};
use crate::bert::BertConfig;
use crate::decoder::{ids, is_known, spec, special_text};
use crate::decoder_tokenizer::DecoderTokenizer;
use crate::error::ModelError;
use crate::load::ModelSource;
use crate::tokenizer::TextTokenizer;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// To be looked at before the model is used.
    Warning,
    /// The model does not run, or gives wrong results, or may do harm.
    Severe,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was checked, e.g. `shape`.
    pub check: &'static str,
    /// The tensor, key or part.
    pub subject: String,
    /// What is wrong.
    pub message: String,
}

impl Finding {
    pub(super) fn severe(check: &'static str, on: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Severe, check, subject: on.into(), message: message.into() }
    }

    pub(super) fn warning(check: &'static str, on: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::severe(check, on, message) }
    }

    pub(super) fn note(check: &'static str, on: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::severe(check, on, message) }
    }
}

/// Most findings that are kept: a file may have tens of thousands of tensors, each wrong.
const MAX_FINDINGS: usize = 1000;

/// Findings as they come.
#[derive(Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    left_out: usize,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        if self.list.len() < MAX_FINDINGS {
            self.list.push(finding);
        } else {
            self.left_out += 1;
        }
    }

    /// The worst first, else in the order they were found.
    fn finish(mut self) -> Vec<Finding> {
        self.list.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        if self.left_out > 0 {
            let message = format!("{} more findings are not listed", self.left_out);
            self.list.push(Finding::severe("count", "file", message));
        }
        self.list
    }
}

/// A model with what is wrong with it.
#[derive(Debug, Clone, Serialize)]
pub struct Audit {
    /// What is in it.
    #[serde(flatten)]
    pub inspection: Inspection,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
}

impl Audit {
    /// Whether a finding is severe.
    pub fn is_severe(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Severe)
    }
}

/// Reads everything in a model and notes what is wrong: shapes that contradict the config, tensors
/// that are unknown, missing or there twice, numbers that are not finite, codes without meaning, tokens
/// out of range, chat templates that fail or look odd, missing provenance.
///
/// # Errors
/// When nothing of it can be opened.
pub fn audit(path: &Path) -> Result<Audit, ModelError> {
    let opened = Opened::open(path)?;
    let findings = look(&opened, &ModelSource::file(path))?;
    Ok(Audit { inspection: facts::inspection(&opened)?, findings })
}

/// What is wrong with a model, the worst first.
pub(super) fn look(opened: &Opened, source: &ModelSource) -> Result<Vec<Finding>, ModelError> {
    let mut findings = Findings::default();
    for error in opened.broken.iter().chain(&opened.faults) {
        findings.push(Finding::severe("file", &file_name(error), error.to_string()));
    }
    let vocab = check_config(opened, &mut findings);
    shapes::check(opened, &mut findings);
    values::check(opened, &mut findings);
    let tokenizer = check_tokenizer(opened, vocab, &mut findings);
    check_ids(opened, vocab, tokenizer.as_ref(), &mut findings);
    template::check(opened, tokenizer.as_ref(), &mut findings);
    check_origin(opened, &mut findings);
    if opened.converted && findings.list.iter().all(|f| f.severity != Severity::Severe) {
        // What the checks above do not know of.
        let is_text = opened.config.as_ref().is_some_and(is_known);
        let loaded = match source {
            ModelSource::File(path) if is_text => crate::decoder::load_decoder(path).map(drop),
            source => crate::load_encoder(source, &Compute::new(1)?).map(drop),
        };
        if let Err(error) = loaded {
            findings.push(Finding::severe("load", &file_name(&error), error.to_string()));
        }
    }
    Ok(findings.finish())
}

/// The last part of the name of the file that an error is about.
fn file_name(error: &ModelError) -> String {
    let path = match error {
        ModelError::Io { path, .. } => path.display().to_string(),
        ModelError::Invalid { file, .. } | ModelError::Tensor { file, .. } => file.clone(),
        _ => return "file".into(),
    };
    let first = path.split(": ").next().unwrap_or(&path);
    first.rsplit(['/', '\\']).next().unwrap_or(first).to_owned()
}

/// Whether the config is one of a model that runs; its vocabulary.
fn check_config(opened: &Opened, findings: &mut Findings) -> Option<usize> {
    let config = opened.config.as_ref()?;
    let read = if config.get("model_type").is_some_and(|kind| kind == "bert") {
        BertConfig::from_json("", config).and_then(|config| match &opened.judge {
            None => Ok(config.vocab),
            Some(judge) => Ok(judge.check("", &config)?.vocab.min(config.vocab)),
        })
    } else {
        spec("", config).map(|spec| spec.config.vocab)
    };
    match read {
        Ok(vocab) => Some(vocab),
        Err(error) => {
            let message = error.to_string();
            let message = message.trim_start_matches(": config: ").trim_start_matches(": ");
            findings.push(Finding::severe("config", "config", message));
            None
        }
    }
}

/// Whether the tokenizer can be read and fits the vocabulary. Encoders have none to return.
fn check_tokenizer(
    opened: &Opened,
    vocab: Option<usize>,
    findings: &mut Findings,
) -> Option<DecoderTokenizer> {
    let (config, rows) = (opened.config.as_ref()?, vocab?);
    let Some(json) = opened.tokenizer.as_deref() else {
        if !matches!(opened.container, Container::Gguf(_)) {
            let message = "is missing: the model takes token ids only";
            findings.push(Finding::warning("tokenizer", "tokenizer", message));
        }
        return None;
    };
    let mut tell = |error: ModelError| {
        let message = error.to_string();
        let message = message.trim_start_matches(": tokenizer: ");
        findings.push(Finding::severe("tokenizer", "tokenizer", message));
    };
    if !is_known(config) {
        TextTokenizer::from_json("", json, rows).map_or_else(tell, drop);
        return None;
    }
    match DecoderTokenizer::from_json("", json, rows) {
        Err(error) => {
            tell(error);
            None
        }
        Ok(tokenizer) => {
            // Rows are padded to a multiple of something; half of them unused is another model's.
            if tokenizer.ids() < rows / 2 {
                let ids = tokenizer.ids();
                let message = format!("has {ids} tokens, but the model {rows} rows of embeddings");
                findings.push(Finding::warning("tokenizer", "tokenizer", message));
            }
            Some(tokenizer)
        }
    }
}

/// Whether special tokens are tokens.
fn check_ids(
    opened: &Opened,
    vocab: Option<usize>,
    tokenizer: Option<&DecoderTokenizer>,
    findings: &mut Findings,
) {
    let null = Value::Null;
    let config = opened.config.as_ref().unwrap_or(&null);
    for (file, json) in [("config", config), ("generation config", &opened.generation)] {
        for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
            let subject = format!("{file}: {key}");
            for id in ids(json.get(key)) {
                let row = vocab.is_none_or(|vocab| (id as usize) < vocab);
                let token = tokenizer.is_none_or(|tokenizer| (id as usize) < tokenizer.ids());
                if !row {
                    let vocab = vocab.unwrap_or_default();
                    let message = format!("is {id}, but the vocabulary has {vocab} tokens");
                    // Some configs have an id past the end for padding, which is never used.
                    findings.push(match key {
                        "pad_token_id" => Finding::warning("special_token", &subject, message),
                        _ => Finding::severe("special_token", &subject, message),
                    });
                } else if !token {
                    let message = format!("is {id}, which is no token of the tokenizer");
                    findings.push(Finding::warning("special_token", &subject, message));
                }
            }
        }
    }
    let Some(tokenizer) = tokenizer else { return };
    for key in ["bos_token", "eos_token", "pad_token", "unk_token"] {
        if let Some(text) = special_text(&opened.tokenizer_config, key)
            && tokenizer.id(&text).is_none()
        {
            let shown: String = text.chars().take(60).collect();
            let message = format!("is {shown:?}, which is no token of the tokenizer");
            findings.push(Finding::warning("special_token", key, message));
        }
    }
    let stops = !ids(config.get("eos_token_id")).is_empty()
        || !ids(opened.generation.get("eos_token_id")).is_empty()
        || special_text(&opened.tokenizer_config, "eos_token").is_some();
    if !stops {
        let message = "no token ends a text: an answer goes on until it is cut";
        findings.push(Finding::warning("special_token", "eos_token_id", message));
    }
}

/// Whether the file says where it comes from and who may use it.
fn check_origin(opened: &Opened, findings: &mut Findings) {
    if opened.licence.is_none() {
        let message = "is not stated: nothing says that the weights may be used";
        findings.push(Finding::warning("licence", "licence", message));
    }
    if opened.converted {
        for key in ["bho.source", "bho.revision", "bho.source_sha256"] {
            if !opened.metadata.contains_key(key) {
                findings.push(Finding::note("provenance", key, "is not recorded"));
            }
        }
    }
}
