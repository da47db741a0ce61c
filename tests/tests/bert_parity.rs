// SPDX-License-Identifier: AGPL-3.0-or-later
//! Small random BERT models of odd sizes against PyTorch: float within 1e-4, int8 close, every
//! backend and thread count bit for bit the same.

use bho_engine::{CancelToken, Compute};
use bho_kernels::available;
use bho_models::bert::TokenSequence;
use bho_models::{ConvertOptions, Package, convert};
use bho_tests::{Reference, bert, cosine, golden, max_difference};

const CASES: [&str; 8] = [
    "h20_gelu",
    "h36_gelu_new",
    "h64_relu",
    "h48_gelu_tanh_f16",
    "h40_gelu_bf16",
    "h32_long",
    "seqcls_3",
    "tokcls_5",
];

fn folder(case: &str) -> std::path::PathBuf {
    golden(&format!("bert/{case}"))
}

fn reference(case: &str) -> Reference {
    Reference::open(&folder(case).join("golden.safetensors"))
}

/// Converts a case to int8 and reads the file back.
fn converted(case: &str) -> Package {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("int8.safetensors");
    let options = ConvertOptions::default();
    convert(&folder(case), &path, &options, &CancelToken::new(), &mut |_| {}).unwrap();
    bho_tests::package(std::fs::read(&path).unwrap())
}

/// Mean over rows, L2-normalised.
fn pooled(hidden: &[f32], dim: usize) -> Vec<f32> {
    let mut sum = vec![0f32; dim];
    for row in hidden.chunks_exact(dim) {
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += v);
    }
    let norm = sum.iter().map(|v| v * v).sum::<f32>().sqrt();
    sum.iter().map(|v| v / norm).collect()
}

#[test]
fn float_models_agree_with_pytorch() {
    for case in CASES {
        let reference = reference(case);
        let package = Package::open(&folder(case)).unwrap();
        let model = bert(&package, &Compute::new(2).unwrap());
        assert_eq!(model.precision(), "f32");
        let sequences = reference.sequences();
        // All at once: packing must not let one sequence see another.
        let all = model.hidden_states(&sequences, &CancelToken::new()).unwrap();
        let dim = model.config().hidden;
        let mut rest = &all[..];
        for (i, sequence) in sequences.iter().enumerate() {
            let (hidden, others) = rest.split_at(sequence.ids.len() * dim);
            rest = others;
            let close = |what: &str, got: &[f32], expected: &[f32]| {
                let difference = max_difference(got, expected);
                assert!(difference < 1e-4, "{case} seq{i} {what}: off by {difference}");
            };
            let get = |name: &str| reference.floats(&format!("seq{i}.{name}"));
            close("hidden", hidden, &get("last_hidden_state").unwrap());
            close("mean", &pooled(hidden, dim), &get("mean_l2").unwrap());
            if let Some(expected) = get("logits") {
                let logits = if model.config().has_sequence_head() {
                    model.sequence_logits(hidden).unwrap()
                } else {
                    model.token_logits(hidden).unwrap()
                };
                close("logits", &logits, &expected);
            }
        }
    }
}

#[test]
fn int8_models_stay_close_to_pytorch() {
    for case in CASES {
        let reference = reference(case);
        let model = bert(&converted(case), &Compute::new(1).unwrap());
        assert_eq!(model.precision(), "int8");
        for (i, sequence) in reference.sequences().into_iter().enumerate() {
            let hidden = model.hidden_states(&[sequence], &CancelToken::new()).unwrap();
            let expected = reference.floats(&format!("seq{i}.last_hidden_state")).unwrap();
            let cosine = cosine(&hidden, &expected);
            assert!(cosine > 0.995, "{case} seq{i}: cosine {cosine}");
        }
    }
}

/// Of packed vectors those of each sequence's first token.
fn first_rows(sequences: &[TokenSequence], vectors: &[f32]) -> Vec<f32> {
    let tokens: usize = sequences.iter().map(|s| s.ids.len()).sum();
    let rows: Vec<&[f32]> = vectors.chunks_exact(vectors.len() / tokens).collect();
    let starts = sequences.iter().scan(0, |at, s| Some(std::mem::replace(at, *at + s.ids.len())));
    starts.flat_map(|start| rows[start].to_vec()).collect()
}

#[test]
fn backends_threads_and_batches_do_not_change_a_bit() {
    for case in ["h36_gelu_new", "h32_long"] {
        let package = converted(case);
        let sequences = reference(case).sequences();
        let mut first: Option<Vec<u32>> = None;
        for kernels in available() {
            for threads in [1, 3] {
                let compute = Compute::with_kernels(kernels, threads).unwrap();
                let model = bert(&package, &compute);
                let never = CancelToken::new();
                let together = model.hidden_states(&sequences, &never).unwrap();
                let alone: Vec<f32> = sequences
                    .iter()
                    .flat_map(|s| model.hidden_states(std::slice::from_ref(s), &never).unwrap())
                    .collect();
                assert_eq!(together, alone, "{case} {} batch", kernels.name());
                let firsts = model.first_states(&sequences, &never).unwrap();
                assert_eq!(firsts, first_rows(&sequences, &together), "{case} {}", kernels.name());
                let bits: Vec<u32> = together.iter().map(|v| v.to_bits()).collect();
                let expected = first.get_or_insert_with(|| bits.clone());
                assert!(*expected == bits, "{case} {} x{threads}", kernels.name());
            }
        }
    }
}

#[test]
fn a_cancelled_pass_stops_and_bad_ids_are_named() {
    let package = Package::open(&folder("h20_gelu")).unwrap();
    let model = bert(&package, &Compute::new(1).unwrap());
    let cancelled = CancelToken::new();
    cancelled.cancel();
    let mut sequences = reference("h20_gelu").sequences();
    let error = model.hidden_states(&sequences, &cancelled).unwrap_err();
    assert!(matches!(error, bho_engine::EngineError::Cancelled));
    sequences[0].ids[0] = 57;
    let error = model.hidden_states(&sequences, &CancelToken::new()).unwrap_err().to_string();
    assert!(error.contains("word_embeddings") && error.contains("0..=56"), "{error}");
    let long = TokenSequence::single(vec![1; 20]);
    let error = model.hidden_states(&[long], &CancelToken::new()).unwrap_err().to_string();
    assert_eq!(error, "input: a sequence of 20 tokens; the model has 19 positions");
    let none = [TokenSequence::single(vec![1]), TokenSequence::default()];
    let error = model.first_states(&none, &CancelToken::new()).unwrap_err().to_string();
    assert_eq!(error, "input: an empty sequence has no first token");
}

#[test]
fn tokenizers_agree_with_transformers() {
    for case in ["h36_gelu_new", "seqcls_3", "tokcls_5"] {
        let cases = std::fs::read_to_string(folder(case).join("tokenizer_cases.json")).unwrap();
        let cases: Vec<serde_json::Value> = serde_json::from_str(&cases).unwrap();
        let mut package = Package::open(&folder(case)).unwrap();
        // From tokenizer.json, then from vocab.txt alone.
        let bare = tempfile::tempdir().unwrap();
        for name in ["config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"] {
            std::fs::copy(folder(case).join(name), bare.path().join(name)).unwrap();
        }
        for _ in 0..2 {
            let compute = Compute::new(1).unwrap();
            let encoder = bho_models::bert::BertEncoder::load(&package, "", &compute).unwrap();
            for test in cases.iter().filter(|c| c["pair"].is_null()) {
                let text = test["text"].as_str().unwrap();
                let expected: Vec<u32> = serde_json::from_value(test["ids"].clone()).unwrap();
                assert_eq!(encoder.token_ids(text).unwrap(), expected, "{case} {text:?}");
            }
            package = Package::open(bare.path()).unwrap();
        }
    }
}

#[test]
fn heads_work_on_text() {
    let never = CancelToken::new();
    let load = |case: &str| {
        let source = bho_models::ModelSource::file(folder(case));
        bho_models::load_encoder(&source, &Compute::new(2).unwrap()).unwrap()
    };
    let text = "word ".repeat(60);
    let classifier = load("seqcls_3");
    let pairs = [("a b", Some("c")), ("", None), (text.as_str(), Some(text.as_str()))];
    let out = classifier.classify(&pairs, &never).unwrap();
    for classification in &out {
        let sum: f32 = classification.labels.iter().map(|l| l.probability).sum();
        assert!((sum - 1.0).abs() < 1e-5);
        assert_eq!(classification.labels[1].label, "entailment");
    }
    assert!(out[2].coverage.windows > 1 && out[2].coverage.truncated > 0);
    let error = classifier.tag(&["a"], &never).unwrap_err().to_string();
    assert!(error.contains("no token classification head"), "{error}");
    let tagger = load("tokcls_5");
    let tags = tagger.tag(&[&text, ""], &never).unwrap();
    assert!(tags[0].iter().all(|t| !t.label.is_empty() && !text[t.span.clone()].is_empty()));
    assert!(tags[0].len() >= 60 && tags[1].is_empty());
}
