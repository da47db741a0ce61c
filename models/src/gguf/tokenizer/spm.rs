// SPDX-License-Identifier: AGPL-3.0-or-later
//! SentencePiece BPE as merges.
//!
//! SentencePiece joins the two neighbours whose piece has the best score until none is left. A
//! `tokenizer.json` lists the pairs instead, best first: all ways to cut a piece of the vocabulary
//! into two others, by its score, then by the lengths of the parts, longer ones first, as transformers'
//! converters order them.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::MAX_ENTRIES;

/// What stands for a space.
const SPACE: &str = "\u{2581}";

/// Most bytes hashed to find merges. A piece of `n` bytes takes `n²`; public vocabularies need less
/// than a hundredth of this.
const MAX_WORK: u64 = 1 << 31;

/// The merges of a vocabulary, best first.
pub(super) fn merges<'t>(
    tokens: &'t [String],
    ids: &HashMap<&'t str, u32>,
    scores: &[f32],
) -> Result<Vec<(&'t str, &'t str)>, String> {
    let work = tokens.iter().try_fold(0u64, |sum, token| {
        let n = token.len() as u64;
        n.checked_mul(n)?.checked_add(sum).filter(|&sum| sum <= MAX_WORK)
    });
    if work.is_none() {
        return Err("its tokens are too long to find out how they are merged".into());
    }
    let mut merges = Vec::new();
    for (token, score) in tokens.iter().zip(scores) {
        let from = merges.len();
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(l), Some(r)) = (ids.get(left), ids.get(right)) {
                merges.push((left, right, *score, (*l, *r)));
            }
        }
        if merges.len() > MAX_ENTRIES {
            return Err(format!("its tokens merge in more than {MAX_ENTRIES} ways"));
        }
        merges[from..].sort_unstable_by_key(|(.., ids)| *ids);
    }
    // Stable: what is equal stays in the order of the vocabulary.
    merges.sort_by(|a, b| {
        let lengths = |m: &(&str, &str, _, _)| Reverse((m.0.chars().count(), m.1.chars().count()));
        b.2.total_cmp(&a.2).then_with(|| lengths(a).cmp(&lengths(b)))
    });
    Ok(merges.into_iter().map(|(left, right, ..)| (left, right)).collect())
}

/// Spaces to U+2581, one more in front of the text where the file wants it.
pub(super) fn normalizer(space_prefix: bool) -> Value {
    let mut steps = Vec::new();
    if space_prefix {
        steps.push(json!({"type": "Prepend", "prepend": SPACE}));
    }
    steps.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE}));
    json!({"type": "Sequence", "normalizers": steps})
}

/// And back, bytes from their tokens.
pub(super) fn decoder(space_prefix: bool) -> Value {
    let mut steps = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if space_prefix {
        steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    json!({"type": "Sequence", "decoders": steps})
}
