// SPDX-License-Identifier: AGPL-3.0-or-later
//! Embedding decoders from text to vector: against PyTorch, and what encoders promise.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bho_engine::{CancelToken, Compute, Coverage, Encoder, EngineError};
use bho_models::decoder::{DecoderOptions, EmbedFormat};
use bho_models::{
    ConvertOptions, ModelError, ModelSource, convert, load_encoder, load_prompted_encoder,
};
use bho_tests::{Reference, cosine, golden};
use serde_json::{Value, json};
use tempfile::TempDir;

const CASES: [&str; 2] = ["embedding_qwen3", "embedding_gemma3"];

/// A golden checkpoint with a tokenizer of words: `w7` is token 7.
struct Folder {
    dir: TempDir,
    /// Tokens of the model.
    vocab: u32,
}

impl Folder {
    fn new(case: &str) -> Self {
        let vocab = if case == "embedding_qwen3" { 163 } else { 161 };
        let this = Self { dir: tempfile::tempdir().unwrap(), vocab };
        for name in ["config.json", "model.safetensors"] {
            let from = golden(&format!("decoder/{case}")).join(name);
            std::fs::copy(from, this.path(name)).unwrap();
        }
        this.write("tokenizer.json", &tokenizer(vocab, None));
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, json: &Value) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, json.to_string()).unwrap();
    }

    /// The config with `change` made to it.
    fn config(&self, change: impl FnOnce(&mut Value)) {
        let text = std::fs::read_to_string(self.path("config.json")).unwrap();
        let mut config = serde_json::from_str(&text).unwrap();
        change(&mut config);
        self.write("config.json", &config);
    }

    fn convert(&self) -> Result<PathBuf, ModelError> {
        self.convert_with(DecoderOptions::default())
    }

    fn convert_with(&self, decoder: DecoderOptions) -> Result<PathBuf, ModelError> {
        let out = self.path("out.safetensors");
        let options = ConvertOptions { decoder, force: true, ..ConvertOptions::default() };
        convert(self.dir.path(), &out, &options, &CancelToken::new(), &mut |_| {})?;
        Ok(out)
    }

    fn load(&self, threads: usize) -> Arc<dyn Encoder> {
        load(&self.convert().unwrap(), threads).unwrap()
    }
}

fn load(path: &Path, threads: usize) -> Result<Arc<dyn Encoder>, ModelError> {
    load_encoder(&ModelSource::file(path), &Compute::new(threads).unwrap())
}

/// A word for each token; with an `end`, its template puts that token behind a text.
fn tokenizer(vocab: u32, end: Option<u32>) -> Value {
    let vocab: serde_json::Map<String, Value> =
        (0..vocab).map(|id| (format!("w{id}"), json!(id))).collect();
    let template = end.map(|id| {
        let name = format!("w{id}");
        let special = json!({ name.clone(): { "id": name, "ids": [id], "tokens": [name] } });
        let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
        let token = json!({ "SpecialToken": { "id": name, "type_id": 0 } });
        json!({
            "type": "TemplateProcessing", "single": [text, token], "pair": [text, token],
            "special_tokens": special,
        })
    });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": template, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "w0" },
    })
}

fn words(ids: &[u32]) -> String {
    ids.iter().map(|id| format!("w{id}")).collect::<Vec<_>>().join(" ")
}

/// Its vector and how it was read.
fn embed(encoder: &dyn Encoder, text: &str) -> (Vec<f32>, Coverage) {
    let embedding = encoder.embed(&[text], &CancelToken::new()).unwrap().pop().unwrap();
    (embedding.vector, embedding.coverage)
}

#[test]
fn texts_give_the_vectors_of_pytorch_with_the_token_that_ends_them() {
    for case in CASES {
        let reference = Reference::open(&golden(&format!("decoder/{case}/golden.safetensors")));
        let expected = reference.floats("embeddings").unwrap();
        let folder = Folder::new(case);
        let mut cosines = Vec::new();
        for (i, ids) in [3usize, 7, 16, 29, 41].into_iter().enumerate() {
            let input = reference.ints(&format!("text{}.input_ids", i + 1));
            assert_eq!(input.len(), ids);
            let input: Vec<_> = input.into_iter().map(|id| id as u32).collect();
            let (&last, body) = input.split_last().unwrap();
            // By the tokenizer's template, or by what the config calls the end.
            let end = (i % 2 == 0).then_some(last);
            folder.write("tokenizer.json", &tokenizer(folder.vocab, end));
            folder.config(|config| config["eos_token_id"] = json!([last]));
            let encoder = folder.load(1 + i % 2);
            let (vector, coverage) = embed(encoder.as_ref(), &words(body));
            assert_eq!(coverage, Coverage { tokens: ids - 1, windows: 1, truncated: 0 });
            let norm: f32 = vector.iter().map(|v| v * v).sum();
            assert!((norm - 1.0).abs() < 1e-5, "{norm}");
            let row = (i + 1) * encoder.dim();
            cosines.push(cosine(&vector, &expected[row..][..encoder.dim()]));
        }
        println!("{case}: cosines {cosines:?}");
        // An activation near a tie may round the other way: docs/architectures.md.
        let close = cosines.iter().filter(|&&cosine| cosine > 0.999_999).count();
        assert!(close >= 4 && cosines.iter().all(|&cosine| cosine > 0.99), "{case}: {cosines:?}");
    }
}

#[test]
fn a_vector_is_the_same_bits_whatever_the_batch_and_the_threads() {
    for case in CASES {
        let folder = Folder::new(case);
        let path = folder.convert().unwrap();
        // Windows of the model's 128 positions, and passes of more than one window.
        let texts: Vec<String> = (0..40u32)
            .map(|i| {
                words(&(0..1 + i * i % 300).map(|j| (i * 7 + j * 13) % 160).collect::<Vec<_>>())
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let one = load(&path, 1).unwrap();
        let batch = one.embed(&texts, &CancelToken::new()).unwrap();
        for threads in [1, 2, 3] {
            let encoder = load(&path, threads).unwrap();
            assert_eq!(encoder.embed(&texts, &CancelToken::new()).unwrap(), batch);
            for (text, expected) in texts.iter().zip(&batch).step_by(7) {
                assert_eq!(embed(encoder.as_ref(), text).0, expected.vector, "{case}");
            }
        }
    }
}

#[test]
fn long_texts_are_the_mean_of_overlapping_windows() {
    let folder = Folder::new("embedding_qwen3");
    folder.write("sentence_bert_config.json", &json!({ "max_seq_length": 17 }));
    let encoder = folder.load(1);
    // 16 tokens and the one that ends a text fit; the next window begins 12 later.
    let ids: Vec<u32> = (0..25).map(|i| (i * 11 + 3) % 160).collect();
    let (vector, coverage) = embed(encoder.as_ref(), &words(&ids));
    assert_eq!(coverage, Coverage { tokens: 25, windows: 2, truncated: 0 });
    let parts = [&ids[..16], &ids[12..]].map(|ids| embed(encoder.as_ref(), &words(ids)).0);
    // Each part is normalised, the sum's parts are not: the angle lies between theirs.
    let [a, b] = parts.map(|part| cosine(&part, &vector));
    assert!(a > 0.6 && b > 0.6 && a < 0.999_9 && b < 0.999_9, "{a} {b}");

    let reach = 12 * 255 + 16;
    let long = words(&vec![5; reach + 9]);
    let (_, coverage) = embed(encoder.as_ref(), &long);
    assert_eq!(coverage, Coverage { tokens: reach + 9, windows: 256, truncated: 9 });
    let (zero, coverage) = embed(encoder.as_ref(), " ");
    assert_eq!((coverage, zero), (Coverage::default(), vec![0.0; encoder.dim()]));
    let error = encoder.embed(&[&"w1 ".repeat(2 << 20)], &CancelToken::new()).unwrap_err();
    assert!(error.to_string().contains("accepted: 4194304"), "{error}");
}

#[test]
fn pooling_is_what_the_folder_says() {
    let folder = Folder::new("embedding_gemma3");
    let text = words(&[9, 80, 7, 7, 120]);
    let last = embed(folder.load(1).as_ref(), &text).0;
    let mut vectors = Vec::new();
    for mode in ["pooling_mode_lasttoken", "pooling_mode_mean_tokens", "pooling_mode_cls_token"] {
        folder.write("1_Pooling/config.json", &json!({ mode: true }));
        vectors.push(embed(folder.load(1).as_ref(), &text).0);
    }
    assert_eq!(vectors[0], last);
    assert!(cosine(&vectors[1], &last) < 0.999 && cosine(&vectors[2], &vectors[1]) < 0.999);
    // The first token sees only itself.
    let first = embed(folder.load(1).as_ref(), "w9 w44").0;
    assert_eq!(vectors[2], first);
    for wrong in
        [json!({}), json!({ "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true })]
    {
        folder.write("1_Pooling/config.json", &wrong);
        let error = folder.convert().unwrap_err().to_string();
        assert!(error.contains("1_Pooling") && error.contains("pools other than"), "{error}");
    }
    folder.write("1_Pooling/config.json", &json!({ "pooling_mode_lasttoken": true }));
    let module = |kind: &str, path: &str| json!({ "type": format!("sentence_transformers.models.{kind}"), "path": path });
    let usual =
        [module("Transformer", ""), module("Pooling", "1_Pooling"), module("Normalize", "2")];
    folder.write("modules.json", &json!(usual));
    folder.convert().unwrap();
    for wrong in [module("Dense", "2_Dense"), module("Pooling", "../1_Pooling")] {
        folder.write("modules.json", &json!([usual[0], wrong]));
        let error = folder.convert().unwrap_err().to_string();
        assert!(error.contains("modules.json") && error.contains("accepted:"), "{error}");
    }
}

#[test]
fn prompts_stand_before_texts_by_name() {
    let folder = Folder::new("embedding_qwen3");
    let prompts = json!({
        "prompts": { "query": "w3 w4 ", "document": "" }, "default_prompt_name": "query",
        "similarity_fn_name": "cosine",
    });
    folder.write("config_sentence_transformers.json", &prompts);
    let path = folder.convert().unwrap();
    let prompted = |name: Option<&str>| {
        load_prompted_encoder(&ModelSource::file(&path), &Compute::new(1).unwrap(), name)
    };
    let vector = |name: Option<&str>, text: &str| embed(prompted(name).unwrap().as_ref(), text).0;
    assert_eq!(vector(None, "w8"), vector(Some(""), "w3 w4 w8"));
    assert_eq!(vector(Some("document"), "w8"), vector(Some(""), "w8"));
    assert_ne!(vector(Some("query"), "w8"), vector(Some(""), "w8"));
    let error = prompted(Some("passage")).map(drop).unwrap_err().to_string();
    assert!(error.contains("has: \"document\", \"query\""), "{error}");
    let wrong = json!({ "prompts": { "a": "x" }, "default_prompt_name": "b" });
    folder.write("config_sentence_transformers.json", &wrong);
    assert!(folder.convert().unwrap_err().to_string().contains("none of its prompts"));
    let long = json!({ "prompts": { "a": "x".repeat(20_000) } });
    folder.write("config_sentence_transformers.json", &long);
    assert!(folder.convert().unwrap_err().to_string().contains("at most 16384"));
}

#[test]
fn an_int8_table_is_half_the_size_and_nearly_the_same() {
    let folder = Folder::new("embedding_qwen3");
    let text = words(&[100, 2, 33, 4, 5, 61]);
    let path = folder.convert().unwrap();
    let (size, vector) =
        (std::fs::metadata(&path).unwrap().len(), embed(load(&path, 1).unwrap().as_ref(), &text).0);
    for (embed_format, smaller, least) in [
        (EmbedFormat::Int8, 163 * 64 - 163 * 4 - 400, 0.97),
        (EmbedFormat::F16, 0, 0.999_999),
        (EmbedFormat::Own, 0, 0.999_999),
    ] {
        let options = DecoderOptions { embed: embed_format, ..DecoderOptions::default() };
        let path = folder.convert_with(options).unwrap();
        let found = std::fs::metadata(&path).unwrap().len();
        assert!(found + smaller <= size, "{embed_format:?}: {found} of {size}");
        let close = cosine(&embed(load(&path, 1).unwrap().as_ref(), &text).0, &vector);
        assert!(close > least, "{embed_format:?}: {close}");
    }
}

#[test]
fn tasks_it_has_no_head_for_and_models_that_write_are_refused() {
    let folder = Folder::new("embedding_qwen3");
    let encoder = folder.load(1);
    assert_eq!(encoder.info().architecture, "Qwen3Model");
    assert_eq!(encoder.info().precision, "ternary");
    let never = CancelToken::new();
    for result in [
        encoder.classify(&[("w1", None)], &never).map(drop),
        encoder.tag(&["w1"], &never).map(drop),
    ] {
        assert!(matches!(result, Err(EngineError::NoHead { .. })), "{result:?}");
    }
    let stopped = CancelToken::new();
    stopped.cancel();
    assert!(matches!(encoder.embed(&["w1"], &stopped), Err(EngineError::Cancelled)));

    std::fs::remove_file(folder.path("tokenizer.json")).unwrap();
    let error = load(&folder.convert().unwrap(), 1).map(drop).unwrap_err().to_string();
    assert!(error.contains("has no tokenizer"), "{error}");
    let folder = Folder::new("embedding_qwen3");
    folder.config(|config| config["eos_token_id"] = json!(4000));
    let error = load(&folder.convert().unwrap(), 1).map(drop).unwrap_err().to_string();
    assert!(error.contains("4000, which is no token"), "{error}");
    folder.config(|config| config["eos_token_id"] = Value::Null);
    let error = load(&folder.convert().unwrap(), 1).map(drop).unwrap_err().to_string();
    assert!(error.contains("ends a text is none"), "{error}");
    folder.write("sentence_bert_config.json", &json!({ "max_seq_length": 2 }));
    folder.config(|config| config["eos_token_id"] = json!(4));
    let error = load(&folder.convert().unwrap(), 1).map(drop).unwrap_err().to_string();
    assert!(error.contains("a window of 2 tokens"), "{error}");

    let out = folder.path("llama.safetensors");
    convert(
        &golden("decoder/llama_f32"),
        &out,
        &ConvertOptions::default(),
        &CancelToken::new(),
        &mut |_| {},
    )
    .unwrap();
    let error = load(&out, 1).map(drop).unwrap_err().to_string();
    assert!(error.contains("\"llama\" is not an encoder"), "{error}");
}
