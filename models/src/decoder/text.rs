// SPDX-License-Identifier: AGPL-3.0-or-later
//! A decoder with its tokenizer and chat template: text in, text out.

use std::path::Path;
use std::sync::Arc;

use bho_engine::decoder::{DecoderModel, KvKind, PAGE};
use bho_engine::generation::{Generator, GeneratorOptions, Vocabulary};
use bho_engine::{Compute, EngineError, ModelInfo, Storage};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::load::{LoadedDecoder, load_decoder};
use crate::chat::{ChatInput, ChatTemplate};
use crate::decoder_tokenizer::{DecoderTokenizer, EncodeOptions};
use crate::error::ModelError;

/// What a text model may use.
#[derive(Debug, Clone, Copy)]
pub struct TextOptions {
    /// Positions of a text at most; the model's own context bounds it too.
    pub context: usize,
    /// Texts of that length that the KV cache has room for.
    pub texts: usize,
    /// How keys and values are cached.
    pub kv: KvKind,
    /// As [`GeneratorOptions::keep`].
    pub keep: Option<usize>,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { context: 4096, texts: 1, kv: KvKind::F16, keep: None }
    }
}

/// A language model, ready for text.
pub struct TextModel {
    generator: Generator,
    tokenizer: Arc<DecoderTokenizer>,
    template: Option<ChatTemplate>,
    bos: Option<String>,
    eos: Option<String>,
    stop_tokens: Vec<u32>,
    info: ModelInfo,
    file: Storage,
}

impl Vocabulary for DecoderTokenizer {
    fn bytes(&self, token: u32) -> &[u8] {
        self.token_bytes(token)
    }
}

impl TextModel {
    /// Loads a file that `bho convert` wrote; weights stay mapped.
    ///
    /// # Errors
    /// Naming the part of the file that is missing or wrong.
    pub fn open(path: &Path, compute: &Compute, options: TextOptions) -> Result<Self, ModelError> {
        let LoadedDecoder { model, package, architecture, precision } = load_decoder(path)?;
        let file = package.weights.name();
        let json = package.tokenizer.as_deref().ok_or_else(|| {
            ModelError::invalid(file, "has no tokenizer; convert the model with its tokenizer.json")
        })?;
        let tokenizer = DecoderTokenizer::from_json(file, json, model.config().vocab)?;
        let template = package.chat_template.as_deref();
        let template =
            template.map(|source| ChatTemplate::parse(&format!("{file}: chat template"), source));
        let named = |key: &str| special_text(&package.tokenizer_config, key);
        let (bos, eos) = (named("bos_token"), named("eos_token"));
        let ids = [&package.generation, &package.config].map(|json| ids(json.get("eos_token_id")));
        let mut stop_tokens: Vec<u32> = ids.concat();
        stop_tokens.extend(eos.as_deref().and_then(|text| tokenizer.id(text)));
        stop_tokens.sort_unstable();
        stop_tokens.dedup();
        stop_tokens.retain(|&id| (id as usize) < model.config().vocab);
        let info = ModelInfo {
            name: package.name.clone(),
            architecture,
            sha256: String::new(),
            precision,
            weight_bytes: model.token_bytes() as u64,
            isa: compute.kernels().name().into(),
            threads: compute.threads(),
        };
        let TextOptions { kv, keep, .. } = options;
        let context = options.context.clamp(1, model.config().context);
        let pages = context.div_ceil(PAGE).saturating_mul(options.texts.max(1));
        let kv_bytes = pages.saturating_mul(model.kv_shape(kv).page_bytes());
        let generator_options =
            GeneratorOptions { kv, kv_bytes, keep, ..GeneratorOptions::new(&model, context) };
        let tokenizer = Arc::new(tokenizer);
        let generator =
            Generator::new(Arc::new(model), tokenizer.clone(), compute.clone(), generator_options)?;
        let template = template.transpose()?;
        let file = package.weights.storage().clone();
        Ok(Self { generator, tokenizer, template, bos, eos, stop_tokens, info, file })
    }

    /// What this model is.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Lower-case hex sha256 of the file its weights are in, which is read for it.
    pub fn sha256(&self) -> String {
        crate::hex(&Sha256::digest(self.file.as_bytes()))
    }

    /// The network.
    pub fn model(&self) -> &DecoderModel {
        self.generator.model()
    }

    /// What serves requests.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &DecoderTokenizer {
        &self.tokenizer
    }

    /// Tokens that end an answer.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop_tokens
    }

    /// What holds answers to a regular expression or a JSON schema. Making it walks over the whole
    /// vocabulary.
    ///
    /// # Errors
    /// When no token ends an answer.
    #[cfg(feature = "constraints")]
    pub fn constraints(&self) -> Result<crate::ConstraintFactory, EngineError> {
        let ids = self.tokenizer.ids();
        let end = self.stop_tokens.iter().copied().filter(|&id| (id as usize) < ids);
        Ok(crate::ConstraintFactory::new(&self.tokenizer, &end.collect::<Vec<_>>())?)
    }

    /// Whether the file has a chat template.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// The tokens of a text as it stands.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`].
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        self.tokenizer.encode(text, EncodeOptions::TEXT)
    }

    /// The tokens of messages that the model is to answer. Special tokens written in them stay
    /// text.
    ///
    /// - `messages`: objects with `role` and `content`
    ///
    /// # Errors
    /// When there is no template, or it refuses the messages.
    pub fn chat_prompt(&self, messages: &[Value]) -> Result<Vec<u32>, ModelError> {
        let text = self.chat_text(messages)?;
        Ok(self.tokenizer.encode(&text, EncodeOptions::CHAT)?)
    }

    /// The tokens of a prompt: as a user's message where the file has a chat template, else, and where
    /// `raw` says so, as it stands.
    ///
    /// - `system`: a message before it; needs a template, and is not for raw prompts
    ///
    /// # Errors
    /// As [`TextModel::prompt`] and [`TextModel::chat_prompt`].
    pub fn ask(
        &self,
        prompt: &str,
        system: Option<&str>,
        raw: bool,
    ) -> Result<Vec<u32>, ModelError> {
        if raw || (!self.has_template() && system.is_none()) {
            return Ok(self.prompt(prompt)?);
        }
        let system = system.map(|text| json!({ "role": "system", "content": text }));
        let user = json!({ "role": "user", "content": prompt });
        self.chat_prompt(&system.into_iter().chain([user]).collect::<Vec<_>>())
    }

    /// What the chat template makes of messages, guarded.
    pub(super) fn chat_text(&self, messages: &[Value]) -> Result<String, ModelError> {
        let Some(template) = &self.template else {
            let message = "has no chat template; give the prompt as plain text";
            return Err(ModelError::invalid(&self.info.name, message));
        };
        let guarded: Vec<_> = messages.iter().map(|message| self.guarded(message)).collect();
        template.render(&ChatInput {
            messages: &guarded,
            add_generation_prompt: true,
            bos_token: self.bos.as_deref(),
            eos_token: self.eos.as_deref(),
            ..ChatInput::default()
        })
    }

    /// A message whose texts cannot be taken for special tokens.
    fn guarded(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.tokenizer.guard(text).into_owned()),
            Value::Array(items) => items.iter().map(|item| self.guarded(item)).collect(),
            Value::Object(map) => {
                map.iter().map(|(key, value)| (key.clone(), self.guarded(value))).collect()
            }
            other => other.clone(),
        }
    }
}

/// A token of `tokenizer_config.json`: its text, or an object with it.
pub(crate) fn special_text(config: &Value, key: &str) -> Option<String> {
    let value = config.get(key)?;
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

/// One id or several.
pub(crate) fn ids(value: Option<&Value>) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(values)) => values.iter().filter_map(id).collect(),
        Some(value) => id(value).into_iter().collect(),
        None => Vec::new(),
    }
}
