// SPDX-License-Identifier: AGPL-3.0-or-later
//! Text to token ids and back to bytes, for generation.

mod guard;
mod token_bytes;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bho_engine::EngineError;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::tokenizer::{AddedVocabulary, Model, OffsetReferential, OffsetType, PreTokenizer};

use crate::error::ModelError;
use crate::tokenizer::limits;
use guard::Guard;
pub(crate) use token_bytes::byte_level;
use token_bytes::{Recipe, TokenBytes};

/// Longest text that is tokenized, in bytes. The `tokenizers` crate needs about 100 bytes of
/// memory for each.
const MAX_TEXT: usize = 4 << 20;

/// A tokenizer for a model that generates text.
pub struct DecoderTokenizer {
    inner: tokenizers::Tokenizer,
    /// The added tokens, with special ones taken for text.
    plain: AddedVocabulary,
    bytes: TokenBytes,
    special: Vec<u32>,
    guard: Guard,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    strips_space: bool,
}

impl std::fmt::Debug for DecoderTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DecoderTokenizer").field("ids", &self.ids()).finish_non_exhaustive()
    }
}

/// How a text is tokenized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Whether the text of a special token, such as `<|eot_id|>`, becomes that token. Off for
    /// text that a user may have written; on for what a chat template made of guarded text
    /// ([`DecoderTokenizer::guard`]).
    pub parse_special: bool,
    /// Whether the tokens of the file's template, such as a beginning-of-sequence token, are put
    /// around the text.
    pub add_special: bool,
    /// More tokens than this are an error.
    pub max_tokens: usize,
}

impl EncodeOptions {
    /// A text as it stands, whoever wrote it, between the tokens of the template.
    pub const TEXT: Self = Self { parse_special: false, add_special: true, max_tokens: usize::MAX };
    /// What a chat template made: it writes its special tokens itself.
    pub const CHAT: Self = Self { parse_special: true, add_special: false, max_tokens: usize::MAX };
}

/// The parts of a `tokenizer.json` that are read here.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    decoder: Value,
    #[serde(default)]
    pre_tokenizer: Value,
}

impl DecoderTokenizer {
    /// Builds a tokenizer from the text of a `tokenizer.json` for a model with `rows` rows of
    /// embeddings. It may have fewer tokens: rows are often padded.
    ///
    /// Truncation and padding that the file asks for are ignored.
    ///
    /// # Errors
    /// When the text is no tokenizer, has an id without a row, or its decoder does not give every
    /// token bytes of its own.
    pub fn from_json(file: &str, json: &str, rows: usize) -> Result<Self, ModelError> {
        let invalid = |message: String| ModelError::invalid(format!("{file}: tokenizer"), message);
        limits::check(json).map_err(&invalid)?;
        let parts: Parts = serde_json::from_str(json).map_err(|e| invalid(e.to_string()))?;
        let recipe = Recipe::new(&parts.decoder, &parts.pre_tokenizer).map_err(&invalid)?;
        // The crate is not written for hostile files: a panic in it is a broken file, not a bug.
        let (inner, [prefix, suffix]) = catch_unwind(AssertUnwindSafe(|| load(json)))
            .unwrap_or_else(|_| Err("the file makes the tokenizer panic".into()))
            .map_err(&invalid)?;

        let added = inner.get_added_vocabulary();
        let vocab = inner.get_vocab(false);
        let largest = vocab.values().chain(added.get_added_tokens_decoder().keys());
        let largest = largest.chain(&prefix).chain(&suffix).max().copied();
        let Some(largest) = largest else { return Err(invalid("it has no tokens".into())) };
        if largest as usize >= rows {
            return Err(invalid(format!(
                "has token id {largest}, but the model has {rows} rows of embeddings; accepted: \
                 ids below {rows}"
            )));
        }
        let mut tokens = vec![None; largest as usize + 1];
        for (token, id) in &vocab {
            tokens[*id as usize] = Some(Cow::Owned(recipe.bytes(token)));
        }
        let mut special = Vec::new();
        for (&id, token) in added.get_added_tokens_decoder() {
            tokens[id as usize] = Some(Cow::Borrowed(token.content.as_bytes()));
            if token.special {
                special.push(id);
            }
        }
        special.sort_unstable();
        let mut bytes = TokenBytes::default();
        for token in &tokens {
            bytes.push(token.as_deref().unwrap_or_default()).map_err(&invalid)?;
        }
        let contents = added.get_added_tokens_decoder().values().filter(|t| t.special);
        let guard = Guard::new(contents.map(|t| t.content.as_str())).map_err(&invalid)?;
        let mut plain = added.clone();
        plain.set_encode_special_tokens(true);
        let strips_space = recipe.strips_space;
        Ok(Self { plain, bytes, special, guard, prefix, suffix, strips_space, inner })
    }

    /// Replaces the tokens that [`EncodeOptions::add_special`] puts before and behind a text:
    /// configurations may say otherwise than the tokenizer's file (`add_bos_token`).
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`] for an id that is no token.
    pub fn set_template(&mut self, prefix: Vec<u32>, suffix: Vec<u32>) -> Result<(), EngineError> {
        if let Some(id) = prefix.iter().chain(&suffix).find(|&&id| id as usize >= self.ids()) {
            let message = format!("template: {id} is no token; ids are below {}", self.ids());
            return Err(EngineError::Tokenizer(message));
        }
        (self.prefix, self.suffix) = (prefix, suffix);
        Ok(())
    }

    /// Tokens that [`EncodeOptions::add_special`] puts before a text.
    pub fn prefix(&self) -> &[u32] {
        &self.prefix
    }

    /// Tokens that [`EncodeOptions::add_special`] puts behind a text.
    pub fn suffix(&self) -> &[u32] {
        &self.suffix
    }

    /// One more than the largest id; not every id below need be a token.
    pub fn ids(&self) -> usize {
        self.bytes.len()
    }

    /// The id of a token by its text in the file, e.g. `<|eot_id|>`.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether a token is a special one: it stands for no text of an answer.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.binary_search(&id).is_ok()
    }

    /// The ids of all special tokens, ascending.
    pub fn special(&self) -> &[u32] {
        &self.special
    }

    /// The bytes that a token stands for; empty for an id that is no token. They need not be whole
    /// characters. A special token's are its name.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id)
    }

    /// Whether texts are tokenized with a space put before them, as Llama 2 does: then the bytes
    /// of a text's tokens are that space and the text.
    pub fn strips_space(&self) -> bool {
        self.strips_space
    }

    /// The bytes of a text's tokens: what [`DecoderTokenizer::encode`] was given, if its
    /// normalizer changes nothing. Special tokens are left out.
    pub fn decode(&self, ids: &[u32]) -> Vec<u8> {
        let text = ids.iter().filter(|&&id| !self.is_special(id));
        let mut bytes: Vec<u8> = text.flat_map(|&id| self.token_bytes(id)).copied().collect();
        if self.strips_space && bytes.first() == Some(&b' ') {
            bytes.remove(0);
        }
        bytes
    }

    /// Rewrites text so that no special token is found in it after a chat template has put it
    /// among its own: their first characters become private ones, which
    /// [`DecoderTokenizer::encode`] turns back with [`EncodeOptions::parse_special`].
    ///
    /// Private characters that the text itself has become U+FFFD.
    pub fn guard<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.guard.apply(text)
    }

    /// [`DecoderTokenizer::guard`] for every string in a message or tool, keys included: what is
    /// handed to a chat template.
    pub fn guard_json(&self, value: &Value) -> Value {
        let text = |text: &str| self.guard(text).into_owned();
        match value {
            Value::String(s) => Value::String(text(s)),
            Value::Array(items) => items.iter().map(|v| self.guard_json(v)).collect(),
            Value::Object(map) => {
                map.iter().map(|(key, v)| (text(key), self.guard_json(v))).collect()
            }
            other => other.clone(),
        }
    }

    /// Tokenizes `text`.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`] when the text is too long, in bytes or in tokens, or cannot be
    /// tokenized.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, EngineError> {
        if text.len() > MAX_TEXT {
            let message = format!("the text has {} bytes; accepted: {MAX_TEXT}", text.len());
            return Err(EngineError::Tokenizer(message));
        }
        let mut ids = if options.add_special { self.prefix.clone() } else { Vec::new() };
        if !text.is_empty() {
            catch_unwind(AssertUnwindSafe(|| self.pieces(text, options.parse_special, &mut ids)))
                .unwrap_or_else(|_| Err("this text makes the tokenizer panic".into()))
                .map_err(|e| EngineError::Tokenizer(e.to_string()))?;
        }
        if options.add_special {
            ids.extend_from_slice(&self.suffix);
        }
        let (found, most) = (ids.len(), options.max_tokens);
        if found > most {
            let message = format!("the text has {found} tokens; accepted: at most {most}");
            return Err(EngineError::Tokenizer(message));
        }
        Ok(ids)
    }

    /// The steps of `Tokenizer::encode`, with a choice of what becomes of special tokens.
    fn pieces(&self, text: &str, parse: bool, ids: &mut Vec<u32>) -> tokenizers::Result<()> {
        let normalizer = self.inner.get_normalizer();
        let added = if parse { self.inner.get_added_vocabulary() } else { &self.plain };
        let mut pieces = added.extract_and_normalize(normalizer, text);
        if parse {
            // Special tokens are found by now, before and behind the normalizer.
            pieces.normalize(|piece| {
                self.guard.restore(piece);
                Ok(())
            })?;
        }
        if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces)?;
        }
        let model = self.inner.get_model();
        pieces.tokenize(|piece| model.tokenize(piece.get()))?;
        for (_, _, tokens) in pieces.get_splits(OffsetReferential::Original, OffsetType::None) {
            ids.extend(tokens.iter().flatten().map(|t| t.id));
        }
        Ok(())
    }
}

/// The tokenizer of a file, and what its template puts before and behind a text.
fn load(json: &str) -> Result<(tokenizers::Tokenizer, [Vec<u32>; 2]), String> {
    let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(|e| e.to_string())?;
    inner.with_truncation(None).map_err(|e| e.to_string())?;
    inner.with_padding(None);
    let ids = |special| -> Result<Vec<u32>, String> {
        Ok(inner.encode("a", special).map_err(|e| e.to_string())?.get_ids().to_vec())
    };
    let (bare, whole) = (ids(false)?, ids(true)?);
    let at = (0..=whole.len().saturating_sub(bare.len()))
        .find(|&i| whole[i..].starts_with(&bare))
        .ok_or("its template changes the tokens of a text")?;
    // A text of no tokens stands behind what opens the template.
    let at = if bare.is_empty() { whole.len() } else { at };
    let template = [whole[..at].to_vec(), whole[at + bare.len()..].to_vec()];
    Ok((inner, template))
}
