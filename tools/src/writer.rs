// SPDX-License-Identifier: AGPL-3.0-or-later
//! A language model behind the agents of a pipeline.

use std::path::Path;
use std::sync::OnceLock;

use bho_engine::generation::{Generated, Request};
use bho_engine::sampling::Constraint;
use bho_engine::{CancelToken, Compute, EngineError, ModelInfo};
use bho_models::decoder::{TextModel, TextOptions};
use bho_models::{ConstraintFactory, ModelError};
use bho_orchestrator::reasoner::{Form, Generator, TextRequest};

/// Most texts that the KV cache has room for; further ones wait.
const MAX_TEXTS: usize = 16;

/// A language model; nodes that write at the same time share its weights, its passes over them and
/// its KV cache.
pub(crate) struct Writer {
    model: TextModel,
    info: ModelInfo,
    /// Made for the first text that is held to a form: that walks over the whole vocabulary.
    constraints: OnceLock<Result<ConstraintFactory, String>>,
}

impl Writer {
    /// Loads a file that `bho convert` wrote, with room for so many texts at a time; `keep` as
    /// [`TextOptions`] has it.
    pub(crate) fn open(
        path: &Path,
        compute: &Compute,
        texts: usize,
        keep: Option<usize>,
    ) -> Result<Self, ModelError> {
        let texts = texts.clamp(1, MAX_TEXTS);
        let options = TextOptions { texts, keep, ..TextOptions::default() };
        let model = TextModel::open(path, compute, options)?;
        let info = model.info().clone();
        Ok(Self { model, info, constraints: OnceLock::new() })
    }

    /// Reads the file for its sha256, which traces name.
    pub(crate) fn with_sha256(mut self) -> Self {
        self.info.sha256 = self.model.sha256();
        self
    }

    /// The model.
    pub(crate) fn model(&self) -> &TextModel {
        &self.model
    }

    /// The tokens of a prompt.
    fn prompt(
        &self,
        prompt: &str,
        system: Option<&str>,
        raw: bool,
    ) -> Result<Vec<u32>, EngineError> {
        self.model.ask(prompt, system, raw).map_err(|error| match error {
            ModelError::Engine(error) => error,
            other => EngineError::Input(other.to_string()),
        })
    }

    /// What holds a text to a form.
    ///
    /// # Errors
    /// For a form that cannot be followed, or a model without a token that ends an answer.
    pub(crate) fn constraint(&self, form: &Form) -> Result<Box<dyn Constraint>, EngineError> {
        let made = self
            .constraints
            .get_or_init(|| self.model.constraints().map_err(|error| error.to_string()));
        let factory = made.as_ref().map_err(|message| EngineError::Input(message.clone()))?;
        Ok(match form {
            Form::Regex(pattern) => factory.regex(pattern)?,
            Form::JsonSchema(schema) => factory.json_schema(schema)?,
        })
    }
}

impl Generator for Writer {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn room(&self, request: &TextRequest) -> Result<usize, EngineError> {
        let prompt = self.prompt(&request.prompt, request.system.as_deref(), request.raw)?;
        Ok(self.model.generator().context().saturating_sub(prompt.len()))
    }

    fn generate(
        &self,
        request: TextRequest,
        cancel: &CancelToken,
    ) -> Result<Generated, EngineError> {
        let TextRequest { prompt, system, raw, max_tokens, sampling, stop, form } = request;
        let prompt = self.prompt(&prompt, system.as_deref(), raw)?;
        let constraint = form.map(|form| self.constraint(&form)).transpose()?;
        let stop_tokens = self.model.stop_tokens().to_vec();
        let request = Request { prompt, max_tokens, sampling, constraint, stop_tokens, stop };
        self.model.generator().generate(request, cancel, &mut |_| {})
    }
}
