// SPDX-License-Identifier: AGPL-3.0-or-later
//! Pre-tokenizers of byte-level BPE by the names that llama.cpp gives them.

use serde_json::{Value, json};

/// How a text is cut into words before merging.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pre {
    /// Values of `tokenizer.ggml.pre`.
    names: &'static [&'static str],
    /// Regular expressions, each of which cuts what the ones before it left.
    splits: &'static [&'static str],
    /// A word that is a token becomes it, whatever merges say.
    pub(super) ignore_merges: bool,
    /// Whether a text begins with the BOS token where the file does not say.
    pub(super) add_bos: bool,
}

/// GPT-2's words: contractions, letters, numbers and other characters with a space before them, and
/// white space but for its last character if a word follows.
const GPT2: &str = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";

/// Llama 3's words: one character may stand before letters, numbers come in threes, punctuation
/// takes the line breaks behind it.
const LLAMA3: &str = r"(?i:'(?:[sdmt]|ll|ve|re))|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Qwen 2's words: Llama 3's with single digits.
const QWEN2: &str = r"(?i:'(?:[sdmt]|ll|ve|re))|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const THREE_DIGITS: &str = "[0-9][0-9][0-9]";

const TABLE: [Pre; 6] = [
    Pre {
        names: &["default"],
        splits: &[r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", THREE_DIGITS],
        ignore_merges: false,
        add_bos: false,
    },
    Pre {
        names: &["gpt-2", "mpt", "phi-2"],
        splits: &[GPT2],
        ignore_merges: false,
        add_bos: false,
    },
    Pre {
        names: &["smollm", "starcoder", "refact", "command-r"],
        splits: &[r"\p{N}", GPT2],
        ignore_merges: false,
        add_bos: false,
    },
    Pre {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1"],
        splits: &[LLAMA3],
        ignore_merges: true,
        add_bos: true,
    },
    Pre {
        names: &["qwen2", "deepseek-r1-qwen", "megrez"],
        splits: &[QWEN2],
        ignore_merges: false,
        add_bos: false,
    },
    Pre {
        names: &["falcon"],
        splits: &[r"[\p{P}$+<=>^~|`]+", GPT2, THREE_DIGITS],
        ignore_merges: false,
        add_bos: false,
    },
];

impl Pre {
    /// The pre-tokenizer of this name, or a message with all names.
    pub(super) fn named(name: &str) -> Result<&'static Self, String> {
        TABLE.iter().find(|pre| pre.names.contains(&name)).ok_or_else(|| {
            let known: Vec<&str> = TABLE.iter().flat_map(|pre| pre.names).copied().collect();
            format!("{name:?} is not known; known are {}", known.join(", "))
        })
    }

    /// As `tokenizer.json` has it.
    pub(super) fn json(&self) -> Value {
        let split = |regex: &&str| {
            json!({
                "type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated",
                "invert": false,
            })
        };
        let mut steps: Vec<Value> = self.splits.iter().map(split).collect();
        steps.push(byte_level());
        json!({"type": "Sequence", "pretokenizers": steps})
    }
}

/// Bytes as printable characters and back: pre-tokenizer and decoder.
pub(super) fn byte_level() -> Value {
    json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false,
    })
}
