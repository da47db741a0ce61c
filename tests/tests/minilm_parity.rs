// SPDX-License-Identifier: AGPL-3.0-or-later
//! Real all-MiniLM-L6-v2 weights against PyTorch: the bundled int8 model always, the float model
//! where `BHO_MINILM_FP32_DIR` names its folder (`tools/golden/fetch_minilm.sh`, run in CI).

use std::path::PathBuf;
use std::sync::Arc;

use bho_engine::{CancelToken, Compute, Encoder};
use bho_models::bert::BertEncoder;
use bho_models::{ConvertOptions, ModelSource, ModelStore, Package, load_encoder};
use bho_tests::{
    Reference, assert_rebuilt, cosine, embedding_cosines, golden, max_difference, texts,
};

/// Folder of the float weights; absent when the variable is not set.
fn float_folder() -> Option<PathBuf> {
    let dir = PathBuf::from(std::env::var_os("BHO_MINILM_FP32_DIR")?);
    assert!(dir.join("model.safetensors").is_file(), "BHO_MINILM_FP32_DIR has no model");
    Some(dir)
}

fn bundled(threads: usize) -> Arc<dyn Encoder> {
    let source = ModelStore::bundled().unwrap().resolve("minilm-l6-int8").unwrap();
    load_encoder(&source, &Compute::new(threads).unwrap()).unwrap()
}

fn reference() -> Reference {
    Reference::open(&golden("minilm/embeddings_f32.safetensors"))
}

#[test]
fn int8_embeddings_of_200_sentences_stay_close() {
    let sentences = texts(&golden("minilm/sentences.jsonl"));
    assert_eq!(sentences.len(), 200);
    let expected = reference().floats("embeddings").unwrap();
    let (mean, min) = embedding_cosines(bundled(2).as_ref(), &sentences, &expected);
    println!("int8 cosine to fp32 over 200 sentences: mean {mean:.5}, minimum {min:.5}");
    assert!(mean >= 0.995 && min >= 0.98, "mean {mean}, minimum {min}");
}

#[test]
fn tokens_agree_with_transformers() {
    let ModelSource::Bundled { name, bytes, .. } =
        ModelStore::bundled().unwrap().resolve("minilm-l6-int8").unwrap()
    else {
        panic!("not bundled")
    };
    let package = Package::from_storage(&name, bho_engine::Storage::Static(bytes)).unwrap();
    let encoder = BertEncoder::load(&package, "", &Compute::new(1).unwrap()).unwrap();
    let reference = reference();
    for (file, prefix) in [("sentences", ""), ("long_texts", "long_")] {
        let ids = reference.shorts(&format!("{prefix}token_ids"));
        let offsets = reference.ints(&format!("{prefix}token_offsets"));
        for (i, text) in texts(&golden(&format!("minilm/{file}.jsonl"))).iter().enumerate() {
            let expected = &ids[offsets[i] as usize..offsets[i + 1] as usize];
            let got: Vec<u16> =
                encoder.token_ids(text).unwrap().into_iter().map(|id| id as u16).collect();
            assert_eq!(got, expected, "{file} {i}");
        }
    }
    let cases = std::fs::read_to_string(golden("minilm/tokenizer_cases.json")).unwrap();
    for case in serde_json::from_str::<Vec<serde_json::Value>>(&cases).unwrap() {
        let expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        assert_eq!(encoder.token_ids(case["text"].as_str().unwrap()).unwrap(), expected);
    }
}

#[test]
fn long_texts_are_read_in_windows_and_say_so() {
    let encoder = bundled(2);
    let long = texts(&golden("minilm/long_texts.jsonl"));
    let short = "One sentence.";
    let never = CancelToken::new();
    let expected = reference().floats("long_embeddings").unwrap();
    for (text, cut) in long.iter().zip(expected.chunks_exact(384)) {
        let out = encoder.embed(&[text, short, ""], &never).unwrap();
        assert!(out[0].coverage.windows >= 3 && out[0].coverage.truncated == 0);
        assert_eq!(out[1].coverage.windows, 1);
        assert!(out[2].vector.iter().all(|&v| v == 0.0) && out[2].coverage.windows == 0);
        // The reference saw the first 512 tokens only: near, but not the same.
        assert!(cosine(&out[0].vector, cut) > 0.8);
        // The end of the text counts: another end gives another vector.
        let changed = format!("{text} Bananas are yellow and grow in the tropics. {short}");
        let other = encoder.embed(&[&changed], &never).unwrap();
        assert!(max_difference(&other[0].vector, &out[0].vector) > 1e-4);
    }
    let endless = "many words ".repeat(80_000);
    let out = encoder.embed(&[&endless[..60_000]], &never).unwrap();
    assert_eq!(out[0].coverage.truncated, 0);
}

#[test]
fn the_float_model_agrees_with_pytorch() {
    let Some(dir) = float_folder() else {
        println!("BHO_MINILM_FP32_DIR is not set: the float parity test did not run");
        return;
    };
    let encoder = load_encoder(&ModelSource::file(&dir), &Compute::new(2).unwrap()).unwrap();
    assert_eq!(encoder.info().precision, "f32");
    let reference = reference();
    let sentences = texts(&golden("minilm/sentences.jsonl"));
    let expected = reference.floats("embeddings").unwrap();
    let texts: Vec<&str> = sentences.iter().map(String::as_str).collect();
    let never = CancelToken::new();
    let embeddings = encoder.embed(&texts, &never).unwrap();
    for (i, (got, expected)) in embeddings.iter().zip(expected.chunks_exact(384)).enumerate() {
        let difference = max_difference(&got.vector, expected);
        assert!(difference < 1e-4, "sentence {i}: off by {difference}");
    }
    let package = Package::open(&dir).unwrap();
    let encoder = BertEncoder::load(&package, "", &Compute::new(2).unwrap()).unwrap();
    for i in reference.ints("hidden_index") {
        let ids = encoder.token_ids(texts[i as usize]).unwrap();
        let sequence = bho_models::bert::TokenSequence::single(ids);
        let hidden = encoder.model().hidden_states(&[sequence], &never).unwrap();
        let expected = reference.floats(&format!("hidden.{i}")).unwrap();
        let difference = max_difference(&hidden, &expected);
        assert!(difference < 1e-4, "hidden {i}: off by {difference}");
    }
}

#[test]
fn the_bundled_file_is_what_its_recipe_makes() {
    let Some(dir) = float_folder() else {
        println!("BHO_MINILM_FP32_DIR is not set: the rebuild of the bundled file did not run");
        return;
    };
    assert_rebuilt("minilm-l6-int8", &dir, ConvertOptions::default());
}
