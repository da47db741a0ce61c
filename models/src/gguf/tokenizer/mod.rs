// SPDX-License-Identifier: AGPL-3.0-or-later
//! The tokenizer of a GGUF file as a Hugging Face `tokenizer.json`.

mod pre;
mod spm;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::GgufFile;
use super::value::{GgufArray, GgufValue, GgufValueType};
use crate::error::ModelError;
use pre::Pre;

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";

/// Most tokens, and most merges: public models have less than a tenth of this.
const MAX_ENTRIES: usize = 1 << 22;

/// Numbers in [`TYPES`].
const NORMAL: i64 = 1;
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// A tokenizer, ready for the `tokenizers` crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTokenizer {
    /// Texts of the tokens.
    pub tokens: Vec<String>,
    /// The text of a `tokenizer.json`. Its template adds BOS and EOS as the two flags say.
    pub json: String,
    /// Number of tokens.
    pub vocab: usize,
    /// Beginning of a text.
    pub bos: Option<u32>,
    /// End of a text, or of a turn.
    pub eos: Option<u32>,
    /// End of a turn, where it is another token than the end of a text.
    pub eot: Option<u32>,
    /// What pads a batch.
    pub pad: Option<u32>,
    /// Stands for what has no token.
    pub unknown: Option<u32>,
    /// Whether a text begins with `bos`.
    pub add_bos: bool,
    /// Whether a text ends with `eos`.
    pub add_eos: bool,
}

/// The parts of a `tokenizer.json`, written without a copy of the vocabulary in between.
#[derive(Serialize)]
struct Json<'a> {
    version: &'static str,
    truncation: (),
    padding: (),
    added_tokens: Vec<AddedToken<'a>>,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
    model: Bpe<'a>,
}

#[derive(Serialize)]
struct AddedToken<'a> {
    id: u32,
    content: &'a str,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "BPE")]
struct Bpe<'a> {
    dropout: (),
    unk_token: Option<&'a str>,
    continuing_subword_prefix: (),
    end_of_word_suffix: (),
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    #[serde(serialize_with = "vocab")]
    vocab: &'a [String],
    merges: Vec<(&'a str, &'a str)>,
}

/// An object of tokens to ids.
fn vocab<S: Serializer>(tokens: &[String], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(tokens.iter().enumerate().map(|(id, token)| (token, id)))
}

impl GgufTokenizer {
    /// The text of a token.
    pub fn text(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str)
    }
}

impl GgufFile {
    /// The tokenizer of the file, for `tokenizer.ggml.model` `gpt2` (byte-level BPE) and `llama`
    /// (SentencePiece BPE with byte fallback).
    ///
    /// Control and unknown tokens become special added tokens, user-defined ones added tokens. Where the file
    /// does not say whether a text begins with BOS, it does for `llama` and the pre-tokenizers of
    /// Llama 3, if there is a BOS token.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] naming the key for a model or pre-tokenizer that is not known, lists of
    /// different lengths, tokens that stand twice, merges of what is no token, ids out of range.
    pub fn tokenizer(&self) -> Result<GgufTokenizer, ModelError> {
        let model = self.str(MODEL)?.ok_or_else(|| self.key_error(MODEL, "missing"))?;
        let tokens = self.tokens()?;
        let ids = self.ids(&tokens)?;
        let (bos, eos) = (self.special("bos", &tokens)?, self.special("eos", &tokens)?);
        let (eot, pad) = (self.special("eot", &tokens)?, self.special("padding", &tokens)?);
        let unknown = self.special("unknown", &tokens)?;
        let flag = |key: &str| self.bool(&format!("tokenizer.ggml.{key}"));
        let unk_token = unknown.map(|id| tokens[id as usize].as_str());

        let space_prefix = flag("add_space_prefix")?.unwrap_or(true);
        let (default_bos, bpe, [normalizer, pre_tokenizer, decoder]) = match model {
            "gpt2" => {
                let name = self.str(PRE)?.unwrap_or("default");
                let pre = Pre::named(name).map_err(|e| self.key_error(PRE, e))?;
                let bpe = Bpe {
                    dropout: (),
                    unk_token: None,
                    continuing_subword_prefix: (),
                    end_of_word_suffix: (),
                    fuse_unk: false,
                    byte_fallback: false,
                    ignore_merges: pre.ignore_merges,
                    vocab: &tokens,
                    merges: self.merges(&ids)?,
                };
                (pre.add_bos, bpe, [Value::Null, pre.json(), pre::byte_level()])
            }
            "llama" => {
                let scores = self.scores(tokens.len())?;
                let merges = spm::merges(&tokens, &ids, &scores);
                let bpe = Bpe {
                    dropout: (),
                    unk_token,
                    continuing_subword_prefix: (),
                    end_of_word_suffix: (),
                    fuse_unk: true,
                    byte_fallback: true,
                    ignore_merges: false,
                    vocab: &tokens,
                    merges: merges.map_err(|e| self.key_error(TOKENS, e))?,
                };
                let [before, after] = [spm::normalizer(space_prefix), spm::decoder(space_prefix)];
                (true, bpe, [before, Value::Null, after])
            }
            other => {
                let message = format!("{other:?} is not read; read are gpt2 and llama");
                return Err(self.key_error(MODEL, message));
            }
        };
        let add_bos = self.adds("bos", flag("add_bos_token")?, default_bos, bos)?;
        let add_eos = self.adds("eos", flag("add_eos_token")?, false, eos)?;
        let json = Json {
            version: "1.0",
            truncation: (),
            padding: (),
            added_tokens: self.added_tokens(&tokens, [bos, eos, eot])?,
            normalizer,
            pre_tokenizer,
            post_processor: template(&tokens, bos.filter(|_| add_bos), eos.filter(|_| add_eos)),
            decoder,
            model: bpe,
        };
        let json = serde_json::to_string(&json).map_err(|e| self.key_error(TOKENS, e))?;
        let vocab = tokens.len();
        Ok(GgufTokenizer { tokens, json, vocab, bos, eos, eot, pad, unknown, add_bos, add_eos })
    }

    /// The chat template, in Jinja.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] when it is no string.
    pub fn chat_template(&self) -> Result<Option<&str>, ModelError> {
        self.str("tokenizer.chat_template")
    }

    /// An array of this key whose elements are of one of these types.
    fn typed(
        &self,
        key: &str,
        kinds: &[GgufValueType],
    ) -> Result<Option<GgufArray<'_>>, ModelError> {
        let array = self.array(key)?;
        match array.filter(|array| !kinds.contains(&array.kind())) {
            Some(array) => {
                let message = format!("an array of {:?}; needed are {kinds:?}", array.kind());
                Err(self.key_error(key, message))
            }
            None => Ok(array),
        }
    }

    /// The tokens by id. An empty one gets a name of its own, as llama.cpp gives it.
    fn tokens(&self) -> Result<Vec<String>, ModelError> {
        let array = self.typed(TOKENS, &[GgufValueType::String])?;
        let array = array.ok_or_else(|| self.key_error(TOKENS, "missing"))?;
        self.limited(TOKENS, array.len())?;
        let name = |(id, value)| match value {
            GgufValue::Str("") => format!("[EMPTY_{id}]"),
            GgufValue::Str(token) => token.to_owned(),
            _ => String::new(),
        };
        let tokens: Vec<String> = array.iter().enumerate().map(name).collect();
        self.complete(TOKENS, tokens, array.len())
    }

    /// Refuses a list that no model has.
    fn limited(&self, key: &str, len: usize) -> Result<(), ModelError> {
        match len {
            1..=MAX_ENTRIES => Ok(()),
            _ => Err(self.key_error(key, format!("{len}; 1..={MAX_ENTRIES} are accepted"))),
        }
    }

    /// Refuses a list of another length than the vocabulary has.
    fn complete<T>(&self, key: &str, list: Vec<T>, len: usize) -> Result<Vec<T>, ModelError> {
        if list.len() == len {
            return Ok(list);
        }
        Err(self.key_error(key, format!("{} elements for {len} tokens", list.len())))
    }

    /// Ids by token.
    fn ids<'t>(&self, tokens: &'t [String]) -> Result<HashMap<&'t str, u32>, ModelError> {
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in (0u32..).zip(tokens) {
            match ids.entry(token.as_str()) {
                Entry::Vacant(free) => free.insert(id),
                Entry::Occupied(taken) => {
                    let message = format!("ids {} and {id} are both {token:?}", taken.get());
                    return Err(self.key_error(TOKENS, message));
                }
            };
        }
        Ok(ids)
    }

    /// The id that `tokenizer.ggml.{name}_token_id` gives.
    fn special(&self, name: &str, tokens: &[String]) -> Result<Option<u32>, ModelError> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        match self.uint(&key)? {
            Some(id) if id >= tokens.len() as u64 => {
                Err(self.key_error(&key, format!("{id} of {} tokens", tokens.len())))
            }
            id => Ok(id.map(|id| id as u32)),
        }
    }

    /// Whether a text gets this token: what the file says, or the default if there is one.
    fn adds(
        &self,
        name: &str,
        flag: Option<bool>,
        default: bool,
        id: Option<u32>,
    ) -> Result<bool, ModelError> {
        match (flag, id) {
            (Some(true), None) => {
                let key = format!("tokenizer.ggml.{name}_token_id");
                Err(self.key_error(&key, format!("missing, but add_{name}_token is true")))
            }
            (flag, id) => Ok(flag.unwrap_or(default && id.is_some())),
        }
    }

    /// The tokens that are found in a text before anything is merged. Those that begin or end texts,
    /// `ends`, are among them even if the list of types, which may be missing, has them as normal.
    fn added_tokens<'t>(
        &self,
        tokens: &'t [String],
        ends: [Option<u32>; 3],
    ) -> Result<Vec<AddedToken<'t>>, ModelError> {
        let mut types = match self.typed(TYPES, &[GgufValueType::I32])? {
            Some(array) => {
                let number = |value| if let GgufValue::Int(kind) = value { kind } else { NORMAL };
                self.complete(TYPES, array.iter().map(number).collect(), tokens.len())?
            }
            None => vec![NORMAL; tokens.len()],
        };
        for id in ends.into_iter().flatten() {
            let kind = &mut types[id as usize];
            *kind = if *kind == NORMAL { CONTROL } else { *kind };
        }
        Ok((0u32..)
            .zip(tokens)
            .zip(types)
            .filter(|(_, kind)| [UNKNOWN, CONTROL, USER_DEFINED].contains(kind))
            .map(|((id, content), kind)| AddedToken {
                id,
                content,
                single_word: false,
                lstrip: false,
                rstrip: false,
                normalized: false,
                special: kind != USER_DEFINED,
            })
            .collect())
    }

    fn scores(&self, len: usize) -> Result<Vec<f32>, ModelError> {
        let array = self.typed(SCORES, &[GgufValueType::F32])?;
        let array = array.ok_or_else(|| self.key_error(SCORES, "missing"))?;
        let score = |value| match value {
            GgufValue::Float(score) if !score.is_nan() => Some(score as f32),
            _ => None,
        };
        let scores: Option<Vec<f32>> = array.iter().map(score).collect();
        let scores = scores.ok_or_else(|| self.key_error(SCORES, "a score is NaN"))?;
        self.complete(SCORES, scores, len)
    }

    /// The pairs of [`MERGES`], whose parts and whole must be tokens.
    fn merges<'a>(
        &'a self,
        ids: &HashMap<&str, u32>,
    ) -> Result<Vec<(&'a str, &'a str)>, ModelError> {
        let array = self.typed(MERGES, &[GgufValueType::String])?;
        let array = array.ok_or_else(|| self.key_error(MERGES, "missing"))?;
        self.limited(MERGES, array.len())?;
        let mut whole = String::new();
        let pair = |(i, value)| {
            let GgufValue::Str(merge) = value else { return Err((i, "")) };
            // A part may be a space, but no part is empty.
            let second = merge.chars().next().map_or(0, char::len_utf8);
            let space = merge[second..].find(' ').ok_or((i, merge))? + second;
            let (left, right) = (&merge[..space], &merge[space + 1..]);
            whole.clear();
            whole.push_str(left);
            whole.push_str(right);
            let known = [left, right, &whole].iter().all(|part| ids.contains_key(*part));
            if known { Ok((left, right)) } else { Err((i, merge)) }
        };
        let merges: Result<Vec<_>, _> = array.iter().enumerate().map(pair).collect();
        merges.map_err(|(i, merge)| {
            let message = format!("merge {i}, {merge:?}, is no pair of tokens that makes a token");
            self.key_error(MERGES, message)
        })
    }
}

/// What stands around a text, or null for nothing.
fn template(tokens: &[String], bos: Option<u32>, eos: Option<u32>) -> Value {
    if bos.or(eos).is_none() {
        return Value::Null;
    }
    let token = |id: u32| tokens[id as usize].as_str();
    let special = |id| json!({"SpecialToken": {"id": token(id), "type_id": 0}});
    let sequence = |name: &str, kind| json!({"Sequence": {"id": name, "type_id": kind}});
    let around = |name: &str, kind| -> Vec<Value> {
        let (before, after) = (bos.map(special), eos.map(special));
        before.into_iter().chain([sequence(name, kind)]).chain(after).collect()
    };
    let special_tokens: serde_json::Map<String, Value> = [bos, eos]
        .into_iter()
        .flatten()
        .map(|id| (token(id).into(), json!({"id": token(id), "ids": [id], "tokens": [token(id)]})))
        .collect();
    let pair: Vec<Value> = around("A", 0).into_iter().chain(around("B", 1)).collect();
    json!({
        "type": "TemplateProcessing", "single": around("A", 0), "pair": pair,
        "special_tokens": special_tokens,
    })
}
