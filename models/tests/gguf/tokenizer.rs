// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tokenizers of tiny vocabularies: what is built, and what is refused.

use bho_models::gguf::GgufTokenizer;
use tokenizers::Tokenizer;

use crate::build::{ARRAY, BOOL, Builder, F32, I32, STRING, U32, array, strings};

fn ints(values: &[i32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    array(I32, values.len() as u64, &bytes)
}

fn floats(values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    array(F32, values.len() as u64, &bytes)
}

/// Byte-level BPE of a few letters; `without` leaves one key out.
pub(crate) fn bpe(without: &str) -> Builder {
    let tokens = ["<s>", "</s>", "a", "b", "Ġ", "ab", "Ġab", "", "keep me"];
    let keys = [
        ("tokenizer.ggml.model", STRING, crate::build::string("gpt2")),
        ("tokenizer.ggml.pre", STRING, crate::build::string("gpt-2")),
        ("tokenizer.ggml.tokens", ARRAY, strings(&tokens)),
        ("tokenizer.ggml.token_type", ARRAY, ints(&[3, 3, 1, 1, 1, 1, 1, 1, 4])),
        ("tokenizer.ggml.merges", ARRAY, strings(&["a b", "Ġ ab"])),
        ("tokenizer.ggml.bos_token_id", U32, 0u32.to_le_bytes().to_vec()),
        ("tokenizer.ggml.eos_token_id", U32, 1u32.to_le_bytes().to_vec()),
    ];
    let kept = keys.iter().filter(|(key, ..)| !key.ends_with(without) || without.is_empty());
    kept.fold(Builder::default(), |file, (key, kind, value)| file.key(key, *kind, value))
}

/// SentencePiece BPE whose bytes are tokens 3 to 258.
pub(crate) fn spm(without: &str) -> Builder {
    let mut tokens = vec!["<unk>".to_owned(), "<s>".into(), "</s>".into()];
    tokens.extend((0..256).map(|b| format!("<0x{b:02X}>")));
    let mut types = vec![2, 3, 3];
    types.extend([6; 256]);
    let mut scores = vec![0.0; 259];
    for (token, score) in
        [("▁", -1.0), ("a", -2.0), ("b", -3.0), ("ab", -5.0), ("▁a", -4.0), ("▁ab", -6.0)]
    {
        tokens.push(token.into());
        types.push(1);
        scores.push(score);
    }
    let keys = [
        ("tokenizer.ggml.model", STRING, crate::build::string("llama")),
        ("tokenizer.ggml.tokens", ARRAY, strings(&tokens)),
        ("tokenizer.ggml.token_type", ARRAY, ints(&types)),
        ("tokenizer.ggml.scores", ARRAY, floats(&scores)),
        ("tokenizer.ggml.bos_token_id", U32, 1u32.to_le_bytes().to_vec()),
        ("tokenizer.ggml.eos_token_id", U32, 2u32.to_le_bytes().to_vec()),
        ("tokenizer.ggml.unknown_token_id", U32, 0u32.to_le_bytes().to_vec()),
    ];
    let kept = keys.iter().filter(|(key, ..)| !key.ends_with(without) || without.is_empty());
    kept.fold(Builder::default(), |file, (key, kind, value)| file.key(key, *kind, value))
}

fn build(file: &Builder) -> (GgufTokenizer, Tokenizer) {
    let built = file.parse().unwrap().tokenizer().unwrap();
    let tokenizer = Tokenizer::from_bytes(&built.json).unwrap();
    (built, tokenizer)
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text, true).unwrap().get_ids().to_vec()
}

#[track_caller]
fn refused(file: &Builder, culprits: &[&str]) {
    let error = file.parse().unwrap().tokenizer().unwrap_err().to_string();
    assert!(error.starts_with("test.gguf: metadata tokenizer.ggml."), "{error}");
    for culprit in culprits {
        assert!(error.contains(culprit), "{culprit:?} is not named: {error}");
    }
}

#[test]
fn byte_level_bpe_merges_and_finds_added_tokens() {
    let (built, tokenizer) = build(&bpe(""));
    assert_eq!((built.vocab, built.bos, built.eos), (9, Some(0), Some(1)));
    assert!(!built.add_bos && !built.add_eos);
    assert_eq!(ids(&tokenizer, "ab ab ba"), [5, 6, 4, 3, 2]);
    assert_eq!(ids(&tokenizer, "ab<s>keep mea</s>"), [5, 0, 8, 2, 1]);
    assert_eq!(tokenizer.decode(&[5, 6, 8, 2], true).unwrap(), "ab abkeep mea");
    assert_eq!(tokenizer.decode(&[0, 5, 1], true).unwrap(), "ab");
    assert_eq!(tokenizer.id_to_token(7).as_deref(), Some("[EMPTY_7]"));

    let both = bpe("").key("tokenizer.ggml.add_bos_token", BOOL, &[1]);
    let both = both.key("tokenizer.ggml.add_eos_token", BOOL, &[1]);
    let (built, tokenizer) = build(&both);
    assert!(built.add_bos && built.add_eos);
    assert_eq!(ids(&tokenizer, "ab"), [0, 5, 1]);
    assert_eq!(ids(&tokenizer, ""), [0, 1]);
    // Without types the tokens that begin and end a text are special all the same.
    let (_, tokenizer) = build(&bpe("token_type"));
    assert_eq!(ids(&tokenizer, "a<s>b</s>"), [2, 0, 3, 1]);
    // Llama 3's pre-tokenizers add BOS unless the file says otherwise.
    let llama = bpe("pre").str("tokenizer.ggml.pre", "llama-bpe");
    assert!(build(&llama).0.add_bos);
    assert!(!build(&llama.key("tokenizer.ggml.add_bos_token", BOOL, &[0])).0.add_bos);
}

#[test]
fn sentencepiece_merges_by_score_and_falls_back_to_bytes() {
    let (built, tokenizer) = build(&spm(""));
    assert_eq!((built.vocab, built.unknown), (265, Some(0)));
    assert!(built.add_bos && !built.add_eos);
    // "▁a" has a better score than "ab", so "▁ab" comes of "▁a" and "b".
    assert_eq!(ids(&tokenizer, "ab"), [1, 264]);
    assert_eq!(ids(&tokenizer, "bab"), [1, 259, 261, 262]);
    assert_eq!(ids(&tokenizer, "é\n"), [1, 259, 3 + 0xc3, 3 + 0xa9, 3 + 10]);
    // Special tokens end a stretch of text, and the next begins with a space again.
    assert_eq!(ids(&tokenizer, "</s>b"), [1, 2, 259, 261]);
    let text = "ab  é\nba";
    assert_eq!(tokenizer.decode(&ids(&tokenizer, text), true).unwrap(), text);

    let bare = spm("").key("tokenizer.ggml.add_space_prefix", BOOL, &[0]);
    let (_, tokenizer) = build(&bare);
    assert_eq!(ids(&tokenizer, "ab"), [1, 262]);
    assert_eq!(tokenizer.decode(&ids(&tokenizer, " ab"), true).unwrap(), " ab");
}

#[test]
fn files_without_what_a_tokenizer_needs() {
    for key in ["model", "tokens", "merges"] {
        refused(&bpe(key), &[key, "missing"]);
    }
    refused(&spm("scores"), &["scores: missing"]);
    let other = bpe("model").str("tokenizer.ggml.model", "bert");
    refused(&other, &["\"bert\" is not read; read are gpt2 and llama"]);
    let other = bpe("pre").str("tokenizer.ggml.pre", "qwen99");
    refused(&other, &["pre: \"qwen99\" is not known", "default", "llama-bpe", "smollm", "falcon3"]);
    let bos = bpe("bos_token_id").key("tokenizer.ggml.add_bos_token", BOOL, &[1]);
    refused(&bos, &["bos_token_id: missing, but add_bos_token is true"]);
    refused(&bpe("model").u32("tokenizer.ggml.model", 1), &["expected a string"]);
}

#[test]
fn lists_that_contradict_each_other() {
    let with = |from: Builder, key: &str, value: &[u8]| {
        from.key(format!("tokenizer.ggml.{key}"), ARRAY, value)
    };
    refused(&with(bpe("tokens"), "tokens", &strings::<&str>(&[])), &["tokens: 0; 1..=4194304"]);
    refused(&with(bpe("tokens"), "tokens", &ints(&[1])), &["an array of I32", "String"]);
    let twice = strings(&["a", "b", "a"]);
    refused(&with(bpe("tokens"), "tokens", &twice), &["ids 0 and 2 are both \"a\""]);
    refused(&with(bpe("token_type"), "token_type", &ints(&[1, 1])), &["2 elements for 9 tokens"]);
    refused(&with(bpe("token_type"), "token_type", &floats(&[1.0; 9])), &["an array of F32"]);
    for merge in ["", "a", " ", "ab", "a  b", "a c", "b a", " a", "a ", "é"] {
        let merges = strings(&["a b", merge]);
        refused(&with(bpe("merges"), "merges", &merges), &["merge 1", "no pair of tokens"]);
    }
    refused(&with(spm("scores"), "scores", &floats(&[0.0; 3])), &["3 elements for 265 tokens"]);
    refused(&with(spm("scores"), "scores", &floats(&[f32::NAN; 265])), &["a score is NaN"]);
    for name in ["bos", "eos", "unknown", "padding", "eot"] {
        let key = format!("{name}_token_id");
        let file = bpe(&key).u32(&format!("tokenizer.ggml.{key}"), 9);
        refused(&file, &[&key, "9 of 9 tokens"]);
    }
}

/// Every cut of a piece is tried: pieces of absurd length would take days.
#[test]
fn long_tokens_are_refused_before_they_cost_time() {
    let file = Builder::default()
        .str("tokenizer.ggml.model", "llama")
        .key("tokenizer.ggml.tokens", ARRAY, &strings(&["a".repeat(1 << 17)]))
        .key("tokenizer.ggml.scores", ARRAY, &floats(&[0.0]));
    refused(&file, &["too long to find out how they are merged"]);
}

#[test]
fn more_tokens_or_merges_than_any_model_has() {
    let many = array(STRING, (1 << 22) + 1, &vec![0; ((1 << 22) + 1) * 8]);
    for key in ["tokens", "merges"] {
        let file = bpe(key).key(format!("tokenizer.ggml.{key}"), ARRAY, &many);
        refused(&file, &[key, "4194305; 1..=4194304 are accepted"]);
    }
}

pub(crate) fn decoder() -> Builder {
    Builder::default()
        .str("general.architecture", "llama")
        .u32("llama.block_count", 2)
        .u32("llama.context_length", 128)
        .u32("llama.embedding_length", 64)
        .u32("llama.feed_forward_length", 96)
        .u32("llama.attention.head_count", 4)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-6)
}

#[test]
fn the_configuration_has_the_defaults_of_the_format() {
    let config = decoder().parse().unwrap().config().unwrap();
    assert_eq!((config.heads, config.kv_heads, config.head_dim, config.rope_dims), (4, 4, 16, 16));
    assert_eq!((config.rope_theta, config.rope_scaling, config.vocab), (10_000.0, None, None));
    let layers = ints(&[2, 2]);
    let file = decoder()
        .key("llama.attention.head_count_kv", ARRAY, &layers)
        .u32("llama.attention.key_length", 32)
        .str("llama.rope.scaling.type", "yarn")
        .f32("llama.rope.scaling.factor", 4.0)
        .key("tokenizer.ggml.tokens", ARRAY, &strings(&["a", "b"]));
    let config = file.parse().unwrap().config().unwrap();
    assert_eq!((config.kv_heads, config.head_dim, config.vocab), (2, 32, Some(2)));
    let scaling = config.rope_scaling.unwrap();
    assert_eq!(
        (scaling.kind.as_str(), scaling.factor, scaling.original_context),
        ("yarn", 4.0, None)
    );
}

/// CVE-2024-8063: `block_count` 0, and other counts that no model has.
#[test]
fn configurations_that_are_none() {
    let says = |file: Builder, expected: &str| {
        let error = file.parse().unwrap().config().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    says(Builder::default(), "general.architecture: missing");
    says(
        Builder::default().str("general.architecture", "llama"),
        "llama.embedding_length: missing",
    );
    let bare = || Builder::default().str("general.architecture", "x").u32("x.embedding_length", 64);
    for heads in [0, 1 << 25, u32::MAX] {
        let expected = format!("x.attention.head_count: {heads}; 1..=16777216");
        says(bare().u32("x.attention.head_count", heads), &expected);
    }
    says(bare().u32("x.attention.head_count", 5), "5 heads do not divide 64, and no key_length");
    let heads = |values: &[i32]| bare().key("x.attention.head_count", ARRAY, &ints(values));
    says(heads(&[4, 8]), "elements differ");
    says(heads(&[]), "of none");
    says(heads(&[-4, -4]), "other than integers from 1");
    let rest = || bare().u32("x.attention.head_count", 4);
    says(rest().u32("x.block_count", 0), "x.block_count: 0; 1..=");
    says(rest().str("x.block_count", "2"), "expected an integer");
    says(decoder().u32("llama.attention.head_count_kv", 0), "head_count_kv: 0");
    says(decoder().f32("llama.rope.freq_base", 0.0), "freq_base: 0; a number above 0");
    says(decoder().f32("llama.rope.freq_base", f32::NAN), "expected a finite float");
}
