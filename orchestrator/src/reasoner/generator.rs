// SPDX-License-Identifier: AGPL-3.0-or-later
//! What agents ask of a language model: text in, text out.

use bho_engine::generation::Generated;
use bho_engine::sampling::SamplingParams;
use bho_engine::{CancelToken, EngineError, ModelInfo};
use serde_json::Value;

/// A text to be written. It is not `Debug`: prompts may hold personal data.
#[derive(Clone, PartialEq)]
pub struct TextRequest {
    /// What to answer, or to go on from.
    pub prompt: String,
    /// A system message before it.
    pub system: Option<String>,
    /// Gives the prompt as it stands, also where the model has a chat template.
    pub raw: bool,
    /// Most tokens to write, at least 1; the context bounds it too.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Texts that end the text; they are not part of it.
    pub stop: Vec<String>,
    /// What the text must be.
    pub form: Option<Form>,
}

/// What a text is held to.
#[derive(Clone, PartialEq)]
pub enum Form {
    /// A regular expression that matches it as a whole.
    Regex(String),
    /// JSON that is valid under this schema.
    JsonSchema(Value),
}

/// A language model, ready to write from any thread; texts asked for at the same time share each
/// pass over its weights.
///
/// The same request gives the same text, whatever else is written at the time.
pub trait Generator: Send + Sync {
    /// What this model is.
    fn info(&self) -> &ModelInfo;

    /// Tokens that the context leaves for an answer behind this request's prompt; 0 where the prompt
    /// alone fills it. A model that does not say is taken for one with room enough.
    ///
    /// # Errors
    /// For a prompt that cannot be put to the model, as in [`Generator::generate`].
    fn room(&self, request: &TextRequest) -> Result<usize, EngineError> {
        let _ = request;
        Ok(usize::MAX)
    }

    /// Writes a text.
    ///
    /// One that `cancel` stops comes back as far as it went, with
    /// [`bho_engine::generation::Finish::Cancelled`]; the work stops between layers.
    ///
    /// # Errors
    /// [`EngineError::Input`], [`EngineError::Tokenizer`] or [`EngineError::Sampling`] for a request
    /// that the model cannot follow, without quoting the prompt; else a failure of the model.
    fn generate(
        &self,
        request: TextRequest,
        cancel: &CancelToken,
    ) -> Result<Generated, EngineError>;
}
