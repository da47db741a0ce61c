// SPDX-License-Identifier: AGPL-3.0-or-later
//! Token ids against llama.cpp (`tools/golden/make_gguf_token_goldens.py`).

use std::path::{Path, PathBuf};

use bho_models::gguf::{GgufFile, GgufTokenizer};
use serde_json::Value;
use tokenizers::Tokenizer;

/// The texts of `ids` have these ids with the tokenizer of `gguf`.
fn agrees(gguf: &Path, ids: &Path) -> GgufTokenizer {
    let built = GgufFile::open(gguf).unwrap().tokenizer().unwrap();
    let tokenizer = Tokenizer::from_bytes(&built.json).unwrap();
    assert_eq!(tokenizer.get_vocab_size(true), built.vocab);
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(ids).unwrap()).unwrap();
    assert_eq!(cases.len(), 200);
    let mut wrong = Vec::new();
    for case in &cases {
        let text = case["text"].as_str().unwrap();
        let expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let got = tokenizer.encode(text, true).unwrap();
        if got.get_ids() != expected {
            wrong.push(format!("{text:?}: {:?}, expected {expected:?}", got.get_ids()));
        }
    }
    assert!(wrong.is_empty(), "{}: {} differ\n{}", gguf.display(), wrong.len(), wrong.join("\n"));
    built
}

#[test]
fn smollm2_has_the_tokens_of_llama_cpp() {
    let Some(gguf) = std::env::var_os("BHO_SMOLLM2_GGUF").map(PathBuf::from) else {
        println!("BHO_SMOLLM2_GGUF is not set: the tokens of SmolLM2 were not compared");
        return;
    };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = golden.join("../tests/golden/gguf/smollm2_tokens.json");
    let built = agrees(&gguf, &golden);
    assert_eq!((built.vocab, built.bos, built.eos), (49_152, Some(1), Some(2)));
    assert_eq!((built.pad, built.unknown, built.eot), (Some(2), Some(0), None));
    assert!(!built.add_bos && !built.add_eos);

    let file = GgufFile::open(&gguf).unwrap();
    assert!(file.chat_template().unwrap().unwrap().contains("<|im_start|>"));
    let config = file.config().unwrap();
    assert_eq!((config.architecture.as_str(), config.blocks, config.hidden), ("llama", 30, 576));
    assert_eq!((config.heads, config.kv_heads, config.head_dim), (9, 3, 64));
    assert_eq!((config.rope_dims, config.rope_theta, config.rms_eps), (64, 100_000.0, 1e-5));
    assert_eq!((config.context, config.feed_forward, config.vocab), (8192, 1536, Some(49_152)));
    assert_eq!(file.tensor("token_embd.weight").unwrap().shape, [49_152, 576]);
    let down = file.tensor("blk.0.ffn_down.weight").unwrap();
    assert_eq!((down.kind.name(), &down.shape[..]), ("Q4_1", &[576, 1536][..]));
    // Every value of every tensor is finite.
    for (name, tensor) in file.tensors() {
        let mut row = vec![0.0; tensor.cols()];
        for r in 0..tensor.rows() {
            file.rows_f32(name, r..r + 1, &mut row).unwrap();
        }
    }
}

/// For files beyond the one in CI: a folder of `NAME.gguf`, each with the `NAME.json` that the
/// script makes of it.
#[test]
fn vocabularies_of_a_folder_have_the_tokens_of_llama_cpp() {
    let Some(dir) = std::env::var_os("BHO_GGUF_VOCABS").map(PathBuf::from) else {
        println!("BHO_GGUF_VOCABS is not set: no other tokenizers were compared");
        return;
    };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "gguf"));
    files.sort();
    assert!(!files.is_empty());
    let failed: Vec<_> = files
        .iter()
        .filter(|gguf| {
            std::panic::catch_unwind(|| agrees(gguf, &gguf.with_extension("json"))).is_err()
        })
        .collect();
    assert!(failed.is_empty(), "{failed:?} of {}", files.len());
}
