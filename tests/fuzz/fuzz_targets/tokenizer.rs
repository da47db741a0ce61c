// SPDX-License-Identifier: AGPL-3.0-or-later
//! `tokenizer.json` from any bytes, and from sound ones of every family with a few changes: an error, or a
//! tokenizer that takes any text.
#![no_main]

use bho_engine::CancelToken;
use bho_fuzz::json::{Edit, edit};
use bho_fuzz::{pardon_other_crates, patch, tally, try_tokenizer};
use bho_models::{DecoderTokenizer, TextTokenizer};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// Rows of embeddings of the model.
const ROWS: usize = 1000;

#[derive(Debug, Arbitrary)]
enum Input {
    Raw(String, String),
    Changed {
        family: Family,
        edits: Vec<Edit>,
        /// One of [`STEPS`] among the normalizers, pre-tokenizers or decoders.
        steps: Vec<(u8, u8)>,
        patches: Vec<(u16, u8)>,
        text: String,
    },
}

#[derive(Debug, Arbitrary)]
enum Family {
    ByteLevel,
    ByteFallback,
    WordPiece,
    Unigram,
    WordLevel,
}

/// Steps of files, and values that they have.
const STEPS: [&str; 44] = [
    r#"{"type": "NFC"}"#,
    r#"{"type": "NFD"}"#,
    r#"{"type": "NFKC"}"#,
    r#"{"type": "NFKD"}"#,
    r#"{"type": "Lowercase"}"#,
    r#"{"type": "StripAccents"}"#,
    r#"{"type": "Nmt"}"#,
    r#"{"type": "Prepend", "prepend": "▁"}"#,
    r#"{"type": "Strip", "strip_left": true, "strip_right": true}"#,
    r#"{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
        "lowercase": true}"#,
    r#"{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}"#,
    r#"{"type": "Replace", "pattern": {"Regex": "(a|aa)+$"}, "content": "b"}"#,
    r#"{"type": "Replace", "pattern": {"Regex": ""}, "content": "ab"}"#,
    r#"{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}"#,
    r#"{"type": "Precompiled", "precompiled_charsmap": "AAAA"}"#,
    r#"{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}"#,
    r#"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}"#,
    r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}"#,
    r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}"#,
    r#"{"type": "BertPreTokenizer"}"#,
    r#"{"type": "Whitespace"}"#,
    r#"{"type": "WhitespaceSplit"}"#,
    r#"{"type": "CharDelimiterSplit", "delimiter": "a"}"#,
    r#"{"type": "Punctuation", "behavior": "Contiguous"}"#,
    r#"{"type": "Digits", "individual_digits": true}"#,
    r#"{"type": "UnicodeScripts"}"#,
    r#"{"type": "FixedLength", "length": 2}"#,
    r#"{"type": "FixedLength", "length": 0}"#,
    r#"{"type": "Split", "pattern": {"Regex": "(?=a)|(?<=é)"}, "behavior": "Isolated", "invert": false}"#,
    r#"{"type": "Split", "pattern": {"Regex": "\\p{L}+|\\s+(?!\\S)"}, "behavior": "MergedWithNext",
        "invert": true}"#,
    r#"{"type": "Split", "pattern": {"String": ""}, "behavior": "Removed", "invert": false}"#,
    r#"{"type": "Sequence", "normalizers": []}"#,
    r#"{"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}]}"#,
    r#"{"type": "ByteFallback"}"#,
    r#"{"type": "Fuse"}"#,
    r#"{"type": "Strip", "content": " ", "start": 1, "stop": 0}"#,
    r#"{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
        "special_tokens": {}}"#,
    r#"{"type": "RobertaProcessing", "sep": ["a", 5], "cls": ["b", 999], "trim_offsets": true,
        "add_prefix_space": true}"#,
    r#"{"id": 3, "content": "a", "single_word": true, "lstrip": true, "rstrip": true, "normalized": true,
        "special": false}"#,
    r#"{"id": 999, "content": "é ", "single_word": false, "lstrip": true, "rstrip": false,
        "normalized": false, "special": true}"#,
    r#"["a", "b"]"#,
    r#"["a", -1.5]"#,
    r#""a""#,
    "null",
];

fn special(id: usize, content: &str) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true,
    })
}

fn sequence(list: &str, steps: Value) -> Value {
    json!({ "type": "Sequence", list: steps })
}

impl Family {
    /// A sound file, with a list wherever steps may be in one.
    fn file(&self) -> Value {
        let split = r" ?[a-z]+| ?[^ a-z0-9]+|[0-9]{1,3}| +(?! )| +";
        let split = json!({"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": false});
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": false});
        let none = json!([]);
        let bpe = |vocab: Value, merges: Value, fallback: bool| {
            json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": fallback,
                "ignore_merges": false, "vocab": vocab, "merges": merges})
        };
        let (added, normalizers, pre_tokenizers, post_processor, decoder, model) = match self {
            Self::ByteLevel => (
                json!([special(9, "<|end|>")]),
                none,
                json!([split, bytes]),
                json!({"type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}},
                               {"Sequence": {"id": "A", "type_id": 0}}],
                    "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                             {"Sequence": {"id": "B", "type_id": 0}}],
                    "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [9], "tokens": ["<|end|>"]}}}),
                bytes,
                bpe(
                    json!({"a": 0, "b": 1, "Ġ": 2, "Ã": 3, "©": 4, "Ã©": 5, "ab": 6, "Ġab": 7, "1": 8}),
                    json!(["Ã ©", "a b", "Ġ ab"]),
                    false,
                ),
            ),
            Self::ByteFallback => (
                json!([special(0, "<unk>"), special(1, "<s>")]),
                json!([{"type": "Prepend", "prepend": "▁"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]),
                none,
                Value::Null,
                sequence(
                    "decoders",
                    json!([{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                        {"type": "ByteFallback"}, {"type": "Fuse"},
                        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]),
                ),
                bpe(
                    json!({"<unk>": 0, "<s>": 1, "<0xC3>": 2, "<0xA9>": 3, "▁": 4, "a": 5, "b": 6,
                        "▁a": 7, "ab": 8}),
                    json!([["▁", "a"], ["a", "b"]]),
                    true,
                ),
            ),
            Self::WordPiece => (
                json!([special(1, "[CLS]"), special(2, "[SEP]")]),
                json!([{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                    "strip_accents": null, "lowercase": true}]),
                json!([{"type": "BertPreTokenizer"}]),
                json!({"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]}),
                json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
                json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                    "max_input_chars_per_word": 100,
                    "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "##b": 4, "##a": 5, "e": 6}}),
            ),
            Self::Unigram => (
                json!([special(0, "<unk>")]),
                json!([{"type": "NFKC"}]),
                json!([{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
                    "split": true}]),
                Value::Null,
                json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
                    "split": true}),
                json!({"type": "Unigram", "unk_id": 0, "byte_fallback": false, "vocab":
                    [["<unk>", 0.0], ["▁", -2.0], ["a", -3.0], ["b", -3.5], ["▁ab", -1.0]]}),
            ),
            Self::WordLevel => (
                none.clone(),
                none,
                json!([{"type": "Whitespace"}]),
                Value::Null,
                Value::Null,
                json!({"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "ab": 1, "a": 2}}),
            ),
        };
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": sequence("normalizers", normalizers),
            "pre_tokenizer": sequence("pretokenizers", pre_tokenizers),
            "post_processor": post_processor, "decoder": decoder, "model": model,
        })
    }
}

impl Input {
    /// A file, and a text.
    fn parts(&self) -> (String, &str) {
        let (family, edits, steps, patches, text) = match self {
            Self::Raw(file, text) => return (file.clone(), text),
            Self::Changed { family, edits, steps, patches, text } => {
                (family, edits, steps, patches, text)
            }
        };
        let mut file = family.file();
        for (list, step) in steps {
            let places =
                ["/normalizer/normalizers", "/pre_tokenizer/pretokenizers", "/decoder/decoders"];
            let place = places[usize::from(*list) % places.len()];
            let step: Value =
                serde_json::from_str(STEPS[usize::from(*step) % STEPS.len()]).unwrap();
            match file.pointer_mut(place).and_then(Value::as_array_mut) {
                Some(list) => list.push(step),
                None => file["decoder"] = step,
            }
        }
        edit(&mut file, edits, &STEPS);
        let mut file = file.to_string().into_bytes();
        patch(&mut file, patches);
        (String::from_utf8_lossy(&file).into_owned(), text)
    }
}

fuzz_target!(init: pardon_other_crates(), |input: Input| {
    let (file, text) = input.parts();
    let decoder = DecoderTokenizer::from_json("fuzz", &file, ROWS);
    tally("decoder", decoder.is_ok());
    if let Ok(tokenizer) = decoder {
        assert!(tokenizer.ids() <= ROWS);
        try_tokenizer(&tokenizer, text);
        try_tokenizer(&tokenizer, "ab <s>é<|end|>\n a12 ab\u{10F001}");
    }
    let encoder = TextTokenizer::from_json("fuzz", &file, ROWS);
    tally("encoder", encoder.is_ok());
    if let Ok(tokenizer) = encoder {
        for text in [text, "ab aé [SEP]\n ba"] {
            let Ok((tokens, all)) = tokenizer.encode(text, 100, &CancelToken::new()) else { continue };
            assert_eq!(tokens.ids.len(), all.min(100));
            assert!(tokens.ids.iter().all(|&id| (id as usize) < ROWS));
            for span in tokens.spans {
                assert!(text.get(span.clone()).is_some(), "{span:?} of {text:?}");
            }
        }
    }
});
