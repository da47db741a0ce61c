// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tokenizers built from their files, each text once: several small models have one vocabulary, and reading its 30 000 words
//! takes longer than anything else at the start of a run.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{
    DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer,
    TokenizerImpl,
};

use super::limits::{self, Seen};

/// A tokenizer as its file has it, without truncation and padding.
pub(super) struct Built {
    pub(super) inner: Tokenizer,
    /// The tokens that an empty text becomes.
    pub(super) cls: u32,
    pub(super) sep: u32,
    /// The largest id it can give; none of a file without tokens.
    pub(super) largest: Option<u32>,
}

/// 128 bits that tell texts apart.
type Key = [u64; 2];

/// Those in use, by the key of their text. None is kept for its own sake.
static IN_USE: Mutex<BTreeMap<Key, Weak<Built>>> = Mutex::new(BTreeMap::new());

/// The key of a text. It is hashed with secrets of this process, so that no file can be made to have another's; sha256 would
/// take as long as reading the file on a CPU without instructions for it.
fn key(json: &str) -> Key {
    static SECRETS: LazyLock<[RandomState; 2]> =
        LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    SECRETS.each_ref().map(|secret| secret.hash_one(json))
}

/// The tokenizer of this `tokenizer.json`, which may be there already.
///
/// # Errors
/// When the text is no tokenizer or has no `[CLS] … [SEP]` template.
pub(super) fn built(json: &str) -> Result<Arc<Built>, String> {
    let key = key(json);
    // The map is whole between any two of its calls, whoever panicked meanwhile.
    let in_use = || IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(built) = in_use().get(&key).and_then(Weak::upgrade) {
        return Ok(built);
    }
    let built = Arc::new(build(json)?);
    let mut in_use = in_use();
    in_use.retain(|_, other| other.strong_count() > 0);
    in_use.insert(key, Arc::downgrade(&built));
    Ok(built)
}

fn build(json: &str) -> Result<Built, String> {
    let seen = limits::check(json)?;
    // The crate is not written for hostile files: a panic in it is a broken file, not a bug.
    let (inner, special, largest) = catch_unwind(AssertUnwindSafe(|| {
        let mut inner = read(json, &seen.kind)?;
        inner.with_truncation(None).map_err(|e| e.to_string())?;
        inner.with_padding(None);
        let empty = inner.encode("", true).map_err(|e| e.to_string())?;
        let special = empty.get_ids().to_vec();
        let largest = largest(&inner, &seen).max(special.iter().max().copied());
        Ok::<_, String>((inner, special, largest))
    }))
    .unwrap_or_else(|_| Err("the file makes the tokenizer panic".into()))?;
    let &[cls, sep] = special.as_slice() else {
        return Err(format!(
            "an empty text must become two special tokens ([CLS] [SEP]), found {}",
            special.len()
        ));
    };
    Ok(Built { inner, cls, sep, largest })
}

/// The largest id of a vocabulary and of tokens added to it. The template's ids need not be among them.
fn largest(inner: &Tokenizer, seen: &Seen) -> Option<u32> {
    let added = inner.get_added_vocabulary().get_added_tokens_decoder().keys().max().copied();
    let words = match seen.largest {
        Some(id) => Some(u32::try_from(id).unwrap_or(u32::MAX)),
        // This copies every token.
        None => inner.get_vocab(false).into_values().max(),
    };
    words.max(added)
}

/// A tokenizer whose model is known to be WordPiece.
type WordPieceTokenizer = TokenizerImpl<
    WordPiece,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// Reads a file whose model says that it is of this `kind`. To find out which kind it is, the crate reads the vocabulary into
/// three maps, one after another; told that it is WordPiece, straight into the one it keeps.
fn read(json: &str, kind: &str) -> Result<Tokenizer, String> {
    if kind == "WordPiece"
        && let Ok(tokenizer) = WordPieceTokenizer::from_bytes(json)
    {
        return Ok(tokenizer.into());
    }
    Tokenizer::from_bytes(json).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ModelStore;

    #[test]
    fn told_its_kind_the_crate_builds_the_same_tokenizer() {
        let store = ModelStore::bundled().unwrap();
        for entry in store.entries() {
            let package = crate::load::package_of(&store.source(entry).unwrap()).unwrap();
            let json = package.tokenizer.unwrap();
            let [fast, slow] = ["WordPiece", ""].map(|kind| read(&json, kind).unwrap());
            let seen = limits::check(&json).unwrap();
            assert_eq!(seen.kind, "WordPiece", "{}", entry.name);
            let ids = slow.get_vocab(true).into_values();
            assert_eq!(largest(&fast, &seen), ids.max(), "{}", entry.name);
            assert!(fast.get_vocab(true) == slow.get_vocab(true), "{}", entry.name);
            let [fast, slow] = [fast, slow].map(|tokenizer| tokenizer.to_string(false).unwrap());
            assert!(fast == slow, "{}", entry.name);
        }
    }
}
