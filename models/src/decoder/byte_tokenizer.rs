// SPDX-License-Identifier: AGPL-3.0-or-later
//! A tokenizer whose tokens are the 256 bytes, and a chat template: what makes text of a model with
//! random weights.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::decoder_tokenizer::byte_level;
use crate::package::keys;

/// Ids of the two special tokens, behind the bytes.
const BEGIN: (u32, &str) = (256, "<|begin|>");
const END: (u32, &str) = (257, "<|end|>");

/// Tokens that there are.
pub(super) const TOKENS: usize = 258;

const TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}{{ message['role'] }}: \
    {{ message['content'] }}{{ eos_token }}\n{% endfor %}\
    {% if add_generation_prompt %}assistant: {% endif %}";

/// Metadata of a converted file: tokenizer, its config and the chat template.
pub(super) fn metadata() -> BTreeMap<String, String> {
    let vocab: Map<String, Value> =
        byte_level().into_iter().map(|(c, byte)| (c.to_string(), byte.into())).collect();
    let special = [BEGIN, END].map(|(id, content)| {
        json!({
            "id": id, "content": content, "special": true, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        })
    });
    let (id, begin) = BEGIN;
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": special,
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                { "SpecialToken": { "id": begin, "type_id": 0 } },
                { "Sequence": { "id": "A", "type_id": 0 } },
            ],
            "pair": [
                { "Sequence": { "id": "A", "type_id": 0 } },
                { "Sequence": { "id": "B", "type_id": 0 } },
            ],
            "special_tokens": { begin: { "id": begin, "ids": [id], "tokens": [begin] } },
        },
        "decoder": {
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false,
        },
        "model": { "type": "BPE", "vocab": sorted(vocab), "merges": [] },
    });
    let config = json!({ "bos_token": BEGIN.1, "eos_token": END.1 });
    BTreeMap::from([
        (keys::TOKENIZER.into(), tokenizer.to_string()),
        (keys::TOKENIZER_CONFIG.into(), config.to_string()),
        (keys::CHAT_TEMPLATE.into(), TEMPLATE.into()),
    ])
}

/// By id, so that the file is the same each time.
fn sorted(vocab: Map<String, Value>) -> Map<String, Value> {
    let mut entries: Vec<_> = vocab.into_iter().collect();
    entries.sort_by_key(|(_, id)| id.as_u64());
    entries.into_iter().collect()
}
