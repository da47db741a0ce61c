// SPDX-License-Identifier: AGPL-3.0-or-later
//! Text to token ids, with byte spans, in bounded memory.

pub(crate) mod limits;
mod shared;

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use bho_engine::{CancelToken, EngineError};
use serde_json::json;

use crate::error::ModelError;
use crate::package::{read_json, read_tokenizer};
use shared::Built;

/// Bytes of text tokenized at a time. The `tokenizers` crate keeps about 100 bytes a token, so a
/// long text is cut at white space, where WordPiece splits anyway.
const SEGMENT: usize = 1 << 16;

/// A tokenizer with the special tokens of its template.
pub struct TextTokenizer {
    built: Arc<Built>,
}

/// The tokens of one text, without special ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Byte range of each token in the text.
    pub spans: Vec<Range<usize>>,
}

impl TextTokenizer {
    /// Builds a tokenizer from the text of a `tokenizer.json` for a model of `vocab` ids.
    ///
    /// Truncation and padding that the file asks for are switched off: callers see every token. Models whose files are the
    /// same text share one tokenizer as long as any of them lives.
    ///
    /// # Errors
    /// When the text is no tokenizer, has ids the model lacks, or no `[CLS] … [SEP]` template.
    pub fn from_json(file: &str, json: &str, vocab: usize) -> Result<Self, ModelError> {
        let invalid = |message: String| ModelError::invalid(format!("{file}: tokenizer"), message);
        let built = shared::built(json).map_err(&invalid)?;
        if let Some(id) = built.largest.filter(|&id| id as usize >= vocab) {
            return Err(invalid(format!("has id {id}, but the model has {vocab} embeddings")));
        }
        Ok(Self { built })
    }

    /// Id that opens every window.
    pub fn cls(&self) -> u32 {
        self.built.cls
    }

    /// Id that closes every part of a window.
    pub fn sep(&self) -> u32 {
        self.built.sep
    }

    /// Tokenizes `text`; at most `keep` tokens are kept, the rest are counted.
    ///
    /// Returns the tokens and how many the text has in all.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`], or [`EngineError::Cancelled`].
    pub fn encode(
        &self,
        text: &str,
        keep: usize,
        cancel: &CancelToken,
    ) -> Result<(Tokens, usize), EngineError> {
        let mut tokens = Tokens::default();
        let mut total = 0;
        for range in segments(text, SEGMENT) {
            cancel.check()?;
            let encode = || self.built.inner.encode(&text[range.clone()], false);
            // A hostile file can make the crate panic on a text; what it says then may quote the text.
            let encoding = catch_unwind(AssertUnwindSafe(encode))
                .unwrap_or_else(|_| Err("this text makes the tokenizer panic".into()))
                .map_err(|e| EngineError::Tokenizer(e.to_string()))?;
            total += encoding.len();
            let room = keep - tokens.ids.len();
            let ids = encoding.get_ids().iter().take(room);
            tokens.ids.extend(ids);
            let offsets = encoding.get_offsets().iter().take(room);
            tokens.spans.extend(offsets.map(|&(a, b)| range.start + a..range.start + b));
        }
        Ok((tokens, total))
    }
}

/// Cuts `text` into pieces of at most `size` bytes, behind white space where there is any.
fn segments(text: &str, size: usize) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = &text[start..];
        if rest.is_empty() {
            return None;
        }
        let mut end = rest.len();
        if end > size {
            end = (0..=size).rev().find(|&i| rest.is_char_boundary(i)).unwrap_or(size);
            if let Some((at, space)) =
                rest[..end].char_indices().rev().find(|(_, c)| c.is_whitespace())
                && at > 0
            {
                end = at + space.len_utf8();
            }
        }
        let range = start..start + end;
        start += end;
        Some(range)
    })
}

/// The `tokenizer.json` of a folder, or one made from its `vocab.txt`; `None` without either.
pub(crate) fn read_folder(dir: &Path) -> Result<Option<String>, ModelError> {
    if let Some(json) = read_tokenizer(&dir.join("tokenizer.json"))? {
        return Ok(Some(json));
    }
    let path = dir.join("vocab.txt");
    let Some(vocab) = read_tokenizer(&path)? else { return Ok(None) };
    let lower = read_json(&dir.join("tokenizer_config.json"))?
        .and_then(|v| v.get("do_lower_case")?.as_bool())
        .unwrap_or(true);
    wordpiece_json(&vocab, lower)
        .map(Some)
        .map_err(|message| ModelError::invalid(path.display().to_string(), message))
}

/// BERT's WordPiece tokenizer (arXiv:1810.04805) over the lines of a `vocab.txt`.
fn wordpiece_json(vocab: &str, lower: bool) -> Result<String, String> {
    let ids: BTreeMap<String, u32> =
        vocab.lines().enumerate().map(|(i, t)| (t.trim_end().to_owned(), i as u32)).collect();
    let id = |token: &str| {
        ids.get(token).map(|&i| (token.to_owned(), i)).ok_or(format!("has no line {token}"))
    };
    let (cls, sep) = (id("[CLS]")?, id("[SEP]")?);
    id("[UNK]")?;
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": lower,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": sep, "cls": cls},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": ids,
        },
    });
    Ok(tokenizer.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nhello\nwor\n##ld\n,\n";

    fn tokenizer() -> TextTokenizer {
        let json = wordpiece_json(VOCAB, true).unwrap();
        TextTokenizer::from_json("test", &json, 8).unwrap()
    }

    #[test]
    fn spans_are_bytes_of_the_text() {
        let text = "Hellö, world";
        let (tokens, total) = tokenizer().encode(text, 99, &CancelToken::new()).unwrap();
        assert_eq!(tokens.ids, [4, 7, 5, 6]);
        assert_eq!(total, 4);
        let parts: Vec<_> = tokens.spans.iter().map(|s| &text[s.clone()]).collect();
        assert_eq!(parts, ["Hellö", ",", "wor", "ld"]);
    }

    #[test]
    fn a_long_text_is_cut_into_segments_without_changing_its_tokens() {
        let text = "hello world, ".repeat(20_000);
        let (tokens, total) = tokenizer().encode(&text, 1000, &CancelToken::new()).unwrap();
        assert_eq!((tokens.ids.len(), total), (1000, 80_000));
        assert_eq!(tokens.ids[..8], [4, 5, 6, 7, 4, 5, 6, 7]);
        let joined: String = segments(&text, 100).map(|r| &text[r]).collect();
        assert_eq!(joined, text);
        let solid = "é".repeat(1000);
        assert!(segments(&solid, 99).all(|r| r.len() <= 99));
    }

    #[test]
    fn the_same_text_is_built_once_while_it_is_in_use() {
        // No other test has this text in use.
        let vocab = format!("{VOCAB}once\n");
        let json = wordpiece_json(&vocab, true).unwrap();
        let build = |json: &str, vocab| TextTokenizer::from_json("test", json, vocab);
        let (first, second) = (build(&json, 9).unwrap(), build(&json, 10).unwrap());
        assert!(Arc::ptr_eq(&first.built, &second.built));
        // What a model lacks is looked at for each.
        assert!(build(&json, 8).is_err());
        let other = build(&wordpiece_json(&vocab, false).unwrap(), 9).unwrap();
        assert!(!Arc::ptr_eq(&first.built, &other.built));
        let kept = Arc::downgrade(&first.built);
        drop((first, second));
        assert!(kept.upgrade().is_none(), "nothing keeps a tokenizer that no model has");
    }

    #[test]
    fn ids_past_the_model_and_broken_files_are_errors() {
        let json = wordpiece_json(VOCAB, true).unwrap();
        let error = TextTokenizer::from_json("f", &json, 7).err().unwrap().to_string();
        assert_eq!(error, "f: tokenizer: has id 7, but the model has 7 embeddings");
        assert!(TextTokenizer::from_json("f", "{}", 8).is_err());
        assert!(TextTokenizer::from_json("f", &json[..json.len() / 2], 8).is_err());
        assert_eq!(wordpiece_json("a\nb", true).unwrap_err(), "has no line [CLS]");
    }
}
