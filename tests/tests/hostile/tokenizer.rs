// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tokenizers that are broken, lie about their ids, or would make a text explode.

use bho_engine::CancelToken;
use serde_json::{Value, json};

use crate::file::{File, small};
use crate::{load, refused, runs, survives};

fn text(file: &File) -> String {
    file.metadata["bho.tokenizer"].as_str().unwrap().to_owned()
}

fn replaced(tokenizer: impl Into<Value>) -> Vec<u8> {
    small().with(|f| f.metadata["bho.tokenizer"] = tokenizer.into())
}

fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    small().with_json("bho.tokenizer", change)
}

#[test]
fn truncated_or_other_json_is_refused() {
    let whole = text(&small());
    for length in (0..whole.len()).step_by(61) {
        refused(&replaced(&whole[..length]), &["tokenizer"]);
    }
    for other in ["null", "[]", "{}", "7", "\"x\"", "{\"model\":null}", "{\"model\":{}}"] {
        refused(&replaced(other), &["tokenizer"]);
    }
    refused(&replaced("[".repeat(100_000)), &["tokenizer"]);
    let deep = format!(
        "{}{{\"type\":\"NFC\"}}{}",
        "{\"type\":\"Sequence\",\"normalizers\":[".repeat(50_000),
        "]}".repeat(50_000)
    );
    refused(&replaced(whole.replacen("{\"type\":\"BertNormalizer\"", &deep, 1)), &["tokenizer"]);
}

#[test]
fn absurd_types_are_refused() {
    for (part, value) in [
        ("model", json!({"type": "Quantum"})),
        ("model", json!({"type": "WordPiece", "vocab": 7})),
        ("model", json!({"type": "WordPiece", "vocab": {"a": -1}})),
        ("model", json!({"type": "WordPiece", "vocab": {"a": 1u64 << 40}})),
        ("model", json!({"type": "BPE", "vocab": {}, "merges": [["a", "b"]]})),
        ("model", json!("WordPiece")),
        ("normalizer", json!({"type": "Quantum"})),
        ("normalizer", json!(5)),
        (
            "pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}),
        ),
        ("pre_tokenizer", json!([])),
        ("post_processor", json!({"type": "TemplateProcessing", "single": 1})),
        ("post_processor", json!(null)),
        ("added_tokens", json!({"a": 1})),
        ("added_tokens", json!([{"id": -1, "content": "x"}])),
    ] {
        refused(&changed(|t| t[part] = value), &["tokenizer"]);
    }
}

#[test]
fn ids_that_the_model_lacks_are_refused() {
    for id in [101, 1 << 20, u32::MAX] {
        let shown = id.to_string();
        refused(&changed(|t| t["model"]["vocab"]["zebra"] = id.into()), &["tokenizer", &shown]);
        // The template's own ids need not be in the vocabulary.
        for special in ["[CLS]", "[SEP]"] {
            let template = |t: &mut Value| {
                t["post_processor"]["special_tokens"][special]["ids"] = json!([id]);
            };
            refused(&changed(template), &["tokenizer", &shown]);
        }
    }
    let added = |t: &mut Value| {
        let token = json!({
            "id": 5, "content": "entirely new", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": false,
        });
        t["added_tokens"].as_array_mut().unwrap().push(token);
    };
    refused(&changed(added), &["tokenizer", "101"]);
    let two = |t: &mut Value| t["post_processor"]["special_tokens"]["[CLS]"]["ids"] = json!([2, 2]);
    refused(&changed(two), &["[CLS] [SEP]"]);
}

#[test]
fn what_is_missing_from_a_vocabulary_is_an_error_when_it_is_needed() {
    let gone = |t: &mut Value| {
        t["model"]["vocab"].as_object_mut().unwrap().remove("[UNK]");
        t["model"]["unk_token"] = "[NONE]".into();
    };
    if let Ok(encoder) = load(&changed(gone)) {
        let error = encoder.embed(&["the 龍 river"], &CancelToken::new()).unwrap_err();
        assert!(error.to_string().contains("tokenizer"), "{error}");
    }
    survives(&changed(|t| t["model"]["vocab"] = json!({"[UNK]": 1, "[CLS]": 2, "[SEP]": 3})));
    survives(&changed(|t| t["model"]["vocab"][""] = 1.into()));
    survives(&changed(|t| t["model"]["continuing_subword_prefix"] = "".into()));
    survives(&changed(|t| t["model"]["continuing_subword_prefix"] = "é".repeat(1 << 16).into()));
    survives(&changed(|t| t["model"]["max_input_chars_per_word"] = 0.into()));
    // A whole vocabulary on one id.
    survives(&changed(|t| {
        t["model"]["vocab"].as_object_mut().unwrap().values_mut().for_each(|v| *v = 3.into());
    }));
}

#[test]
fn padding_and_truncation_of_the_file_play_no_part() {
    let never = CancelToken::new();
    let text = ["the small red model said: run!"];
    let expected = load(&small().bytes()).unwrap().embed(&text, &never).unwrap();
    let bytes = changed(|t| {
        t["truncation"] =
            json!({"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0});
        t["padding"] = json!({
            "strategy": {"Fixed": 1u64 << 60}, "direction": "Right", "pad_to_multiple_of": 1u64 << 62,
            "pad_id": 4_000_000, "pad_type_id": 9, "pad_token": "[PAD]",
        });
    });
    assert_eq!(load(&bytes).unwrap().embed(&text, &never).unwrap(), expected);
    survives(&changed(|t| {
        t["truncation"] = json!({"direction": "Left", "max_length": 0, "strategy": "OnlySecond", "stride": u64::MAX});
    }));
}

#[test]
fn fifty_megabytes_are_read_in_time() {
    const SIZE: usize = 50 << 20;
    let whole = text(&small());
    survives(&replaced(format!("{whole}{}", " ".repeat(SIZE))));
    survives(&changed(|t| t["model"]["vocab"]["x".repeat(SIZE)] = 7.into()));
    survives(&changed(|t| t["note"] = "x".repeat(SIZE).into()));
    let tokens: String = (0..1_000_000).map(|i| format!("\"token number {i:>32}\":{i},")).collect();
    assert!(tokens.len() > SIZE);
    let many = whole.replacen("\"vocab\":{", &format!("\"vocab\":{{{tokens}"), 1);
    refused(&replaced(many), &["tokenizer", "has id"]);
}

#[test]
fn many_added_tokens_are_read_in_time() {
    let token = |i: usize| {
        json!({
            "id": i, "content": format!("added-{i}"), "single_word": i.is_multiple_of(2),
            "lstrip": false, "rstrip": true, "normalized": !i.is_multiple_of(3), "special": i.is_multiple_of(5),
        })
    };
    let many: Value = (0..50_000).map(token).collect();
    refused(&changed(|t| t["added_tokens"] = many), &["tokenizer", "has id"]);
}

#[test]
fn regex_bombs_neither_hang_nor_panic() {
    let nested = format!("{}a{}", "(".repeat(50_000), ")".repeat(50_000));
    let patterns = [
        r"(a+)+$",
        r"(a|aa)+$",
        r"(?=(a+)+b)a",
        r"(?<=(a|aa)+)b(\1)*",
        r"(a*)*\1b",
        r"((((a{1000}){1000}){1000}){1000})",
        r"(?:(?=a)a{1,100000}){1,100000}\1?",
        r"\p{L}{500}\w{500}\d{500}(?!x)",
        r"",
        r"\b|$|^",
        nested.as_str(),
    ];
    let inputs = ["a".repeat(3000), format!("{}!", "aa ".repeat(1000)), "é".repeat(500)];
    for pattern in patterns {
        let split = json!({
            "type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false,
        });
        let replace = json!({"type": "Replace", "pattern": {"Regex": pattern}, "content": "b"});
        for (part, step) in [("pre_tokenizer", split), ("normalizer", replace)] {
            if let Ok(encoder) = load(&changed(|t| t[part] = step)) {
                inputs.iter().for_each(|text| runs(encoder.as_ref(), text));
            }
        }
    }
}

#[test]
fn steps_that_make_a_text_explode_are_refused() {
    let double = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
    let chain = json!({"type": "Sequence", "normalizers": vec![double; 40]});
    refused(&changed(|t| t["normalizer"] = chain), &["tokenizer", "1024 times"]);
    let empty =
        json!({"type": "Replace", "pattern": {"Regex": "^"}, "content": "a".repeat(1 << 20)});
    refused(&changed(|t| t["normalizer"] = empty), &["tokenizer", "1024 times"]);
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": false});
    let chain = json!({"type": "Sequence", "pretokenizers": vec![bytes; 40]});
    refused(&changed(|t| t["pre_tokenizer"] = chain), &["tokenizer", "1024 times"]);
    let long = |t: &mut Value| t["model"]["max_input_chars_per_word"] = json!(u32::MAX);
    refused(&changed(long), &["tokenizer", "max_input_chars_per_word"]);
    // The longest words that are taken apart, in the vocabulary that is worst for them.
    let slow = changed(|t| {
        t["model"]["max_input_chars_per_word"] = 256.into();
        t["model"]["vocab"]["a"] = 6.into();
        t["model"]["vocab"]["##a"] = 74.into();
    });
    runs(load(&slow).unwrap().as_ref(), &format!("{} ", "a".repeat(256)).repeat(250));
}
