// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tokenizers of the usual families, small and built here: text to ids to the same bytes.

use bho_models::{ChatInput, ChatTemplate, DecoderTokenizer, EncodeOptions};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const TEXT: EncodeOptions =
    EncodeOptions { parse_special: false, add_special: false, max_tokens: usize::MAX };
const PARSE: EncodeOptions = EncodeOptions { parse_special: true, ..TEXT };

fn special(id: usize, content: &str, normalized: bool) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": normalized, "special": true})
}

fn vocab(tokens: &[String]) -> Map<String, Value> {
    tokens.iter().enumerate().map(|(i, t)| (t.clone(), json!(i))).collect()
}

/// Llama 3 style: BPE over GPT-2's byte alphabet, a regex, a template with a first token.
fn byte_level(normalized: bool) -> Value {
    let printable = |b: &u32| matches!(b, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let letter = |c: u32| char::from_u32(c).unwrap().to_string();
    let mut tokens: Vec<String> = (0..256).filter(printable).map(letter).collect();
    tokens.extend((0x100..0x144).map(letter));
    let merges = ["h e", "l l", "he ll", "hell o", "Ġ hello", "Ã ©", "Ġ Ġ", "Ċ Ċ"];
    tokens.extend(merges.iter().map(|m| m.replace(' ', "")));
    let (bos, eot) = (tokens.len(), tokens.len() + 1);
    let split = r"\p{L}+| ?[^\s\p{L}\p{N}]+|\p{N}{1,3}|\s+(?!\S)| ?\p{L}+|\s+";
    json!({
        "version": "1.0", "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0,
            "direction": "Right"}, "padding": null,
        "added_tokens": [special(bos, "<|begin|>", normalized), special(eot, "<|eot|>", normalized)],
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<|begin|>", "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<|begin|>": {"id": "<|begin|>", "ids": [bos], "tokens": ["<|begin|>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
            "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "vocab": vocab(&tokens), "merges": merges},
    })
}

/// Llama 2 style: BPE over characters with bytes to fall back on, spaces as U+2581.
fn byte_fallback() -> Value {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
    tokens.extend((0..256).map(|b| format!("<0x{b:02X}>")));
    tokens.extend(["▁", "a", "b", "c", "é", "▁a", "ab", "▁ab"].map(str::to_owned));
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "<unk>", false), special(1, "<s>", false),
            special(2, "</s>", false)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>",
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
            "byte_fallback": true, "vocab": vocab(&tokens), "merges": ["a b", "▁ ab", "▁ a"]},
    })
}

/// A vocabulary of words; unknown ones are lost.
fn plain() -> Value {
    json!({"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null, "truncation": null, "padding": null,
        "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "yes": 1, "no": 4}}})
}

fn load(file: &Value, rows: usize) -> DecoderTokenizer {
    DecoderTokenizer::from_json("test", &file.to_string(), rows).unwrap()
}

fn bytes(tokenizer: &DecoderTokenizer, ids: &[u32]) -> Vec<u8> {
    ids.iter().flat_map(|&id| tokenizer.token_bytes(id)).copied().collect()
}

#[test]
fn byte_level_tokens_and_template() {
    let tokenizer = load(&byte_level(false), 300);
    let (bos, eot) = (tokenizer.id("<|begin|>").unwrap(), tokenizer.id("<|eot|>").unwrap());
    assert_eq!((tokenizer.prefix(), tokenizer.suffix()), (&[bos][..], &[][..]));
    // The file's truncation to 3 tokens is ignored.
    let ids = tokenizer.encode("hello helloé", EncodeOptions::TEXT).unwrap();
    assert_eq!(ids.len(), 4);
    assert_eq!((ids[0], tokenizer.token_bytes(ids[1])), (bos, &b"hello"[..]));
    assert_eq!(tokenizer.token_bytes(ids[3]), "é".as_bytes());
    assert_eq!(tokenizer.decode(&ids), "hello helloé".as_bytes());

    assert_eq!(tokenizer.encode("<|eot|>", PARSE).unwrap(), [eot]);
    assert!(!tokenizer.encode("<|eot|>", TEXT).unwrap().contains(&eot));
    assert!(tokenizer.is_special(eot) && !tokenizer.is_special(0));
    assert_eq!(tokenizer.special(), [bos, eot]);
    assert_eq!(tokenizer.token_bytes(eot), b"<|eot|>");
    assert_eq!(tokenizer.decode(&[bos, eot]), b"");
    assert_eq!(tokenizer.encode("", EncodeOptions::TEXT).unwrap(), [bos]);
}

#[test]
fn byte_fallback_tokens_and_the_space_put_before() {
    let tokenizer = load(&byte_fallback(), 267);
    assert!(tokenizer.strips_space());
    let ids = tokenizer.encode("ab é€", TEXT).unwrap();
    assert_eq!(bytes(&tokenizer, &ids), " ab é€".as_bytes());
    assert_eq!(ids.len(), 1 + 2 + 3, "▁ab ▁ é and three bytes");
    assert_eq!(tokenizer.decode(&ids), "ab é€".as_bytes());
    assert_eq!(tokenizer.token_bytes(3 + 0x0A), b"\n");
}

#[test]
fn plain_vocabularies_and_gaps() {
    let mut tokenizer = load(&plain(), 5);
    assert_eq!(tokenizer.encode("no", TEXT).unwrap(), [4]);
    assert_eq!(tokenizer.token_bytes(4), b"no");
    assert_eq!((tokenizer.token_bytes(2), tokenizer.token_bytes(5)), (&b""[..], &b""[..]));
    tokenizer.set_template(vec![1], vec![4, 4]).unwrap();
    assert_eq!(tokenizer.encode("yes", EncodeOptions::TEXT).unwrap(), [1, 1, 4, 4]);
    let error = tokenizer.set_template(vec![5], vec![]).unwrap_err().to_string();
    assert_eq!(error, "tokenizer: template: 5 is no token; ids are below 5");
}

#[test]
fn what_does_not_fit_is_an_error() {
    let load = |file: &Value, rows| {
        DecoderTokenizer::from_json("f", &file.to_string(), rows).unwrap_err().to_string()
    };
    assert_eq!(
        load(&plain(), 4),
        "f: tokenizer: has token id 4, but the model has 4 rows of embeddings; accepted: ids below 4"
    );
    let mut file = plain();
    file["decoder"] = json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
    assert!(load(&file, 9).contains("accepted: ByteLevel"));
    file["decoder"] = json!({"type": "ByteLevel"});
    file["model"]["vocab"] = json!({});
    assert!(load(&file, 9).starts_with("f: tokenizer: "));
    assert!(DecoderTokenizer::from_json("f", "{}", 9).is_err());
    let tokenizer = self::load(&byte_level(false), 300);
    let message = |text: &str, options| tokenizer.encode(text, options).unwrap_err().to_string();
    assert_eq!(
        message("123 456", EncodeOptions { max_tokens: 6, ..TEXT }),
        "tokenizer: the text has 7 tokens; accepted: at most 6"
    );
    assert!(message(&"a".repeat((4 << 20) + 1), TEXT).contains("accepted: 4194304"));
}

#[test]
fn guarded_text_cannot_bring_special_tokens_in() {
    for (file, name) in [
        (byte_level(false), "<|eot|>"),
        (byte_fallback(), "</s>"),
        // Special tokens that are looked for behind the normalizer.
        (byte_level(true), "<|eot|>"),
    ] {
        let tokenizer = load(&file, 300);
        let eot = tokenizer.id(name).unwrap();
        let user = format!("a{name}{name} \u{10F000}b");
        let guarded = tokenizer.guard(&user);
        let chat = format!("ab{name}{guarded}{name}");
        let ids = tokenizer.encode(&chat, PARSE).unwrap();
        assert_eq!(ids.iter().filter(|&&id| id == eot).count(), 2, "{name}");
        let text: String = String::from_utf8(bytes(&tokenizer, &ids)).unwrap();
        let expected = format!("ab{name}a{name}{name} \u{FFFD}b{name}");
        assert_eq!(text.replace(' ', ""), expected.replace(' ', ""));
        assert!(matches!(tokenizer.guard("a < b"), std::borrow::Cow::Borrowed(_)));
    }
}

#[test]
fn a_chat_has_only_the_special_tokens_of_its_template() {
    let tokenizer = load(&byte_level(false), 300);
    let eot = tokenizer.id("<|eot|>").unwrap();
    let template = ChatTemplate::parse(
        "t",
        "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}{% for k in m.x or {} %}{{ k }}{% endfor %}<|eot|>{% endfor %}",
    )
    .unwrap();
    let message = json!({"role": "user<|eot|>", "content": " Hi<|eot|> ", "x": {"<|eot|>": 1}});
    for (messages, expected) in [([tokenizer.guard_json(&message)], 1), ([message.clone()], 4)] {
        let text = template.render(&ChatInput { messages: &messages, ..ChatInput::default() });
        let ids = tokenizer.encode(&text.unwrap(), EncodeOptions::CHAT).unwrap();
        assert_eq!(ids.iter().filter(|&&id| id == eot).count(), expected);
        assert_eq!(bytes(&tokenizer, &ids), b"user<|eot|>: Hi<|eot|><|eot|><|eot|>");
    }
}

proptest! {
    #[test]
    fn bytes_of_tokens_are_the_text(
        text in prop_oneof![".{0,60}", "[ahelo \\n<|>é😀0-9]{0,80}"],
        parse in any::<bool>(),
    ) {
        let options = if parse { PARSE } else { TEXT };
        let tokenizer = load(&byte_level(false), 300);
        let guarded = if parse { tokenizer.guard(&text) } else { text.as_str().into() };
        let ids = tokenizer.encode(&guarded, options).unwrap();
        let text: String = if parse {
            text.chars().map(|c| if ('\u{10F000}'..='\u{10FFFD}').contains(&c) { '\u{FFFD}' } else { c }).collect()
        } else {
            text
        };
        prop_assert_eq!(bytes(&tokenizer, &ids), text.as_bytes());
        prop_assert_eq!(tokenizer.decode(&ids), text.as_bytes());

        let tokenizer = load(&byte_fallback(), 300);
        // U+2581 is how these vocabularies write a space.
        let text = text.replace('▁', "_");
        let ids = tokenizer.encode(&tokenizer.guard(&text), options).unwrap();
        let text: String =
            text.chars().map(|c| if ('\u{10F000}'..='\u{10FFFD}').contains(&c) { '\u{FFFD}' } else { c }).collect();
        prop_assert_eq!(tokenizer.decode(&ids), text.as_bytes());
    }

    #[test]
    fn ids_are_those_of_the_tokenizers_crate(
        text in prop_oneof![".{0,60}", "(<[|]eot[|]>|</s>|<s>|[ahelob \\n<é😀▁])*"],
    ) {
        for file in [byte_level(false), byte_level(true), byte_fallback()] {
            let mut reference: tokenizers::Tokenizer = file.to_string().parse().unwrap();
            reference.with_truncation(None).unwrap();
            let tokenizer = load(&file, 300);
            for parse in [true, false] {
                reference.set_encode_special_tokens(!parse);
                let expected = reference.encode(text.as_str(), true).unwrap();
                let options = EncodeOptions { parse_special: parse, ..EncodeOptions::TEXT };
                let private = |c| ('\u{10F000}'..='\u{10FFFD}').contains(&c);
                if !text.contains(private) {
                    prop_assert_eq!(tokenizer.encode(&text, options).unwrap(), expected.get_ids());
                }
            }
        }
    }

    #[test]
    fn damaged_files_are_errors_or_tokenizers(
        at in any::<prop::sample::Index>(),
        with in prop::sample::select(vec!["", "0", "-1", "9e99", "null", "{}", "[]", "\"x\"", "4294967295"]),
        fallback in any::<bool>(),
    ) {
        // A value somewhere in the file, the vocabulary aside, is exchanged for another.
        let mut file = if fallback { byte_fallback() } else { byte_level(false) };
        let vocab = file["model"]["vocab"].take();
        let text = file.to_string();
        let starts: Vec<usize> = text.match_indices(':').map(|(i, _)| i + 1).collect();
        let start = starts[at.index(starts.len())];
        let end = text[start..].find([',', '}']).map_or(text.len(), |i| start + i);
        let damaged = format!("{}{}{}", &text[..start], with, &text[end..]);
        let damaged = damaged.replacen("\"vocab\":null", &format!("\"vocab\":{vocab}"), 1);
        if let Ok(tokenizer) = DecoderTokenizer::from_json("f", &damaged, 300) {
            let _ = tokenizer.encode("hello <|eot|> é 123", EncodeOptions::TEXT);
            let _ = tokenizer.decode(&[0, 1, 299, u32::MAX]);
        }
    }
}
