// SPDX-License-Identifier: AGPL-3.0-or-later
//! Ternary encoders, with and without sub-norms, alone and as two networks of one file, against PyTorch.

use std::path::{Path, PathBuf};

use bho_engine::{CancelToken, Compute, Encoder, EngineError, LabelScore};
use bho_kernels::{TernaryView, available};
use bho_models::decoder::{DecoderOptions, WeightFormat};
use bho_models::{ConvertOptions, ConvertReport, ModelError, ModelSource, Package, Weights};
use bho_models::{audit, convert, inspect, load_encoder};
use bho_tests::{Reference, bert, cosine, golden, max_difference};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

const LABELS: [&str; 3] = ["entailment", "neutral", "contradiction"];

fn folder(case: &str) -> PathBuf {
    golden(&format!("bert_ternary/{case}"))
}

fn reference(case: &str) -> Reference {
    Reference::open(&folder(case).join("golden.safetensors"))
}

/// A file that was converted, and what it lies in.
struct File {
    _dir: TempDir,
    path: PathBuf,
    report: ConvertReport,
}

impl File {
    fn new(src: &Path, judge: Option<PathBuf>, weights: WeightFormat) -> Result<Self, ModelError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.safetensors");
        let decoder = DecoderOptions { weights, ..DecoderOptions::default() };
        let options = ConvertOptions { decoder, judge, ..ConvertOptions::default() };
        let report = convert(src, &path, &options, &CancelToken::new(), &mut |_| {})?;
        Ok(Self { _dir: dir, path, report })
    }

    fn ternary(case: &str) -> Self {
        Self::new(&folder(case), None, WeightFormat::Ternary).unwrap()
    }

    fn package(&self) -> Package {
        bho_tests::package(std::fs::read(&self.path).unwrap())
    }

    fn encoder(&self) -> std::sync::Arc<dyn Encoder> {
        load_encoder(&ModelSource::file(&self.path), &Compute::new(2).unwrap()).unwrap()
    }
}

fn both() -> File {
    File::new(&folder("trunk"), Some(folder("judge")), WeightFormat::Ternary).unwrap()
}

/// Linear layers of the encoder with their shapes.
fn layers() -> impl Iterator<Item = (String, usize, usize)> {
    let parts = [
        ("attention.self.query", 36, 36),
        ("attention.self.key", 36, 36),
        ("attention.self.value", 36, 36),
        ("attention.output.dense", 36, 36),
        ("intermediate.dense", 70, 36),
        ("output.dense", 36, 70),
    ];
    (0..2).flat_map(move |i| {
        parts.map(|(part, rows, cols)| (format!("encoder.layer.{i}.{part}"), rows, cols))
    })
}

#[test]
fn codes_and_scales_are_those_of_the_definition_to_the_bit() {
    for case in ["trunk", "judge"] {
        let (file, reference) = (File::ternary(case), reference(case));
        let weights = Weights::open(&file.path).unwrap();
        let expected = Weights::open(&folder(case).join("golden.safetensors")).unwrap();
        let mut scales_of_rows = 0;
        for (layer, rows, cols) in layers() {
            let tiles = weights.bytes(&format!("{layer}.ternary")).unwrap();
            let codes = TernaryView::new(rows, cols, tiles.as_bytes()).unwrap().unpack();
            let bytes = expected.bytes(&format!("codes.{layer}")).unwrap();
            let exact: Vec<i8> = bytes.as_bytes().iter().map(|&b| b as i8).collect();
            assert!(codes == exact, "{case}: codes of {layer}");
            let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let scales = weights.floats(&format!("{layer}.scale"), &[rows]).unwrap();
            let exact = reference.floats(&format!("scales.{layer}")).unwrap();
            scales_of_rows += usize::from(scales.iter().any(|s| *s != scales[0]));
            assert_eq!(bits(scales), bits(exact), "{case}: scales of {layer}");
        }
        assert_eq!(scales_of_rows, if case == "judge" { 12 } else { 0 });
        // Rounding is reported as of any other tensor.
        let tensors = file.report.tensors.iter().filter(|t| t.name.ends_with(".ternary"));
        let errors: Vec<f64> = tensors.map(|t| t.rms_error).collect();
        assert!(errors.len() == 12 && errors.iter().all(|e| *e > 0.3 && *e < 0.8), "{errors:?}");
    }
}

/// The checkpoint with its linear layers as the codes of a converted file say, in floats.
fn dequantized(case: &str, file: &File) -> (TempDir, Package) {
    let (source, packed) =
        (Weights::open(&folder(case).join("model.safetensors")), Weights::open(&file.path));
    let (source, packed) = (source.unwrap(), packed.unwrap());
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, tensor) in source.tensors() {
        let plain = name.trim_start_matches("bert.");
        let layer = layers().find(|(layer, ..)| format!("{layer}.weight") == plain);
        let values = match layer {
            None => source.floats(name, &tensor.shape).unwrap(),
            Some((layer, rows, cols)) => {
                let scales = packed.floats(&format!("{layer}.scale"), &[rows]).unwrap();
                let tiles = packed.bytes(&format!("{layer}.ternary")).unwrap();
                let codes = TernaryView::new(rows, cols, tiles.as_bytes()).unwrap().unpack();
                codes.iter().enumerate().map(|(i, &c)| scales[i / cols] * f32::from(c)).collect()
            }
        };
        let from = data.len();
        data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let entry =
            json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [from, data.len()] });
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string();
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(folder(case).join(name), dir.path().join(name)).unwrap();
    }
    let package = Package::open(dir.path()).unwrap();
    (dir, package)
}

#[test]
fn forward_passes_agree_with_pytorch_in_floats_and_stay_close_in_ternary() {
    let (never, compute) = (CancelToken::new(), Compute::new(2).unwrap());
    for case in ["trunk", "judge"] {
        let (file, reference) = (File::ternary(case), reference(case));
        let (_dir, floats) = dequantized(case, &file);
        let (float, ternary) = (bert(&floats, &compute), bert(&file.package(), &compute));
        assert_eq!((float.precision(), ternary.precision()), ("f32", "ternary"));
        for (i, sequence) in reference.sequences().into_iter().enumerate() {
            let get = |name: &str| reference.floats(&format!("seq{i}.{name}"));
            let sequence = [sequence];
            let exact = float.hidden_states(&sequence, &never).unwrap();
            let expected = get("last_hidden_state").unwrap();
            let off = max_difference(&exact, &expected);
            assert!(off < 1e-4, "{case} seq{i}: floats are off by {off}");
            let hidden = ternary.hidden_states(&sequence, &never).unwrap();
            let near = cosine(&hidden, &exact);
            assert!(near > 0.999, "{case} seq{i}: cosine {near}");
            if let Some(expected) = get("logits") {
                let off = max_difference(&float.sequence_logits(&exact).unwrap(), &expected);
                assert!(off < 1e-4, "{case} seq{i}: logits are off by {off}");
                let logits = ternary.sequence_logits(&hidden).unwrap();
                let off = max_difference(&logits, &expected);
                assert!(off < 0.1, "{case} seq{i}: ternary logits are off by {off}");
            }
        }
    }
}

#[test]
fn backends_threads_and_batches_do_not_change_a_bit() {
    let never = CancelToken::new();
    for case in ["trunk", "judge"] {
        let (package, sequences) = (File::ternary(case).package(), reference(case).sequences());
        let mut first: Option<Vec<f32>> = None;
        for kernels in available() {
            for threads in [1, 3] {
                let model = bert(&package, &Compute::with_kernels(kernels, threads).unwrap());
                let together = model.hidden_states(&sequences, &never).unwrap();
                let alone = sequences.iter();
                let alone = alone
                    .flat_map(|s| model.hidden_states(std::slice::from_ref(s), &never).unwrap());
                assert_eq!(together, alone.collect::<Vec<_>>(), "{case} {}", kernels.name());
                let expected = first.get_or_insert_with(|| together.clone());
                assert!(*expected == together, "{case} {} x{threads}", kernels.name());
            }
        }
    }
}

#[test]
fn two_networks_share_a_file_and_what_they_have_in_common() {
    let never = CancelToken::new();
    let (both, trunk, judge) = (both(), File::ternary("trunk"), File::ternary("judge"));
    let mut shared = both.report.shared.clone();
    shared.retain(|name| !name.ends_with("_scale"));
    assert_eq!(
        shared,
        [
            "embeddings.LayerNorm.bias",
            "embeddings.LayerNorm.weight",
            "embeddings.position_embeddings.weight",
            "embeddings.token_type_embeddings.weight",
            "embeddings.word_embeddings.weight",
        ]
    );
    let weights = Weights::open(&both.path).unwrap();
    assert!(weights.tensors().contains_key("judge.classifier.weight"));
    assert!(!weights.tensors().contains_key("judge.embeddings.word_embeddings.weight"));
    let tables: usize = shared.iter().map(|name| weights.tensor(name).unwrap().bytes()).sum();
    let apart = trunk.report.bytes + judge.report.bytes;
    assert!(both.report.bytes + tables as u64 <= apart);
    // The same again, byte for byte.
    assert_eq!(self::both().report.sha256, both.report.sha256);

    let (encoder, trunk, alone) = (both.encoder(), trunk.encoder(), judge.encoder());
    assert_eq!(encoder.labels(), LABELS);
    assert_eq!(encoder.pair_labels(), LABELS);
    assert_eq!(alone.pair_labels(), LABELS);
    assert!(trunk.labels().is_empty() && trunk.pair_labels().is_empty());
    assert_eq!(encoder.info().precision, "ternary");
    let bytes = [&encoder, &trunk, &alone].map(|encoder| encoder.info().weight_bytes);
    assert!(bytes[1] < bytes[0] && bytes[0] < bytes[1] + bytes[2], "{bytes:?}");
    let texts = ["the old king was in the city", "a red river", ""];
    assert_eq!(encoder.embed(&texts, &never).unwrap(), trunk.embed(&texts, &never).unwrap());
    let pairs = [(texts[0], Some(texts[1])), (texts[1], None), ("", Some(""))];
    assert_eq!(encoder.classify(&pairs, &never).unwrap(), alone.classify(&pairs, &never).unwrap());
    assert!(matches!(trunk.classify(&pairs, &never), Err(EngineError::NoHead { .. })));
    assert!(matches!(trunk.classify_pairs(&[("a", "b")], &never), Err(EngineError::NoHead { .. })));
    assert!(matches!(encoder.tag(&["a"], &never), Err(EngineError::NoHead { .. })));

    let inspection = inspect(&both.path).unwrap();
    let facts = inspection.judge.unwrap();
    assert_eq!(facts.architecture.as_deref(), Some("BertForSequenceClassification"));
    assert_eq!((facts.labels, facts.shared), (LABELS.map(String::from).to_vec(), 8));
    assert_eq!(facts.config["ternary_scale"], "row");
    assert_eq!(inspection.config["ternary_scale"], "matrix");
    let audit = audit(&both.path).unwrap();
    assert!(!audit.is_severe(), "{:?}", audit.findings);
    assert!(audit.findings.iter().all(|f| f.check != "unknown"), "{:?}", audit.findings);
}

fn probabilities(labels: &[LabelScore]) -> f32 {
    labels.iter().map(|label| label.probability).sum()
}

#[test]
fn a_hypothesis_is_kept_whole_and_the_premise_read_in_windows() {
    let never = CancelToken::new();
    let encoder = both().encoder();
    // Words of the vocabulary: a token each.
    let premise = "the old king was in the red city and she said it is not a new river ".repeat(6);
    let hypothesis = "she said the king was not old in the new city";
    let (short, long) = ("a red river", "it is not a small model , they said . ".repeat(5));
    let pairs = [
        (premise.as_str(), hypothesis),
        (short, hypothesis),
        ("", hypothesis),
        (premise.as_str(), long.as_str()),
        (premise.as_str(), ""),
    ];
    let scores = encoder.classify_pairs(&pairs, &never).unwrap();
    assert_eq!(scores.len(), pairs.len());
    for ((first, _), score) in pairs.iter().zip(&scores) {
        // Without tokens, the special ones make a sequence that covers nothing.
        let covering = if first.is_empty() { 0 } else { score.windows.len() };
        assert_eq!(score.coverage.windows, covering);
        let mut end = 0;
        for window in &score.windows {
            assert!((probabilities(&window.labels) - 1.0).abs() < 1e-5);
            assert!(window.span.start <= end && window.span.end >= end, "a gap before {window:?}");
            end = window.span.end;
        }
        assert_eq!(end, first.trim_end().len());
    }
    // 40 positions: 3 special tokens and 11 of the hypothesis leave 26 of the premise.
    assert_eq!(scores[0].coverage.truncated, 0);
    assert_eq!(scores[0].windows[0].span.end, premise.match_indices(' ').nth(25).unwrap().0);
    assert!(scores[0].windows.len() > 3);
    assert_eq!(scores[1].windows.len(), 1);
    assert_eq!((scores[2].windows.len(), scores[2].windows[0].span.clone()), (1, 0..0));
    // A quarter of the room is the premise's in any case, and what was cut is told.
    assert_eq!(scores[3].windows[0].span.end, premise.match_indices(' ').nth(8).unwrap().0);
    assert_eq!(scores[3].coverage.truncated, 50 - 28);
    // A window by itself says the same as within the text.
    let window = &premise[scores[0].windows[1].span.clone()];
    let alone = encoder.classify_pairs(&[(window, hypothesis)], &never).unwrap();
    assert_eq!(alone[0].windows[0].labels, scores[0].windows[1].labels);
    // `classify` has the means.
    let mean = encoder.classify(&[(&premise, Some(hypothesis))], &never).unwrap();
    let windows = &scores[0].windows;
    let sum: f32 = windows.iter().map(|window| window.labels[1].probability).sum();
    assert!((mean[0].labels[1].probability - sum / windows.len() as f32).abs() < 1e-6);
    let cancelled = CancelToken::new();
    cancelled.cancel();
    let error = encoder.classify_pairs(&pairs, &cancelled).unwrap_err();
    assert!(matches!(error, EngineError::Cancelled));
}

/// A golden folder after a change to one of its JSON files.
fn changed(case: &Path, file: &str, change: impl FnOnce(&mut Value)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(case.join(name), dir.path().join(name)).unwrap();
    }
    let path = dir.path().join(file);
    let mut json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(path, json.to_string()).unwrap();
    dir
}

#[test]
fn networks_that_do_not_go_together_are_refused() {
    let refused = |trunk: &Path, judge: &Path, culprit: &str| {
        let result = File::new(trunk, Some(judge.to_owned()), WeightFormat::Ternary);
        let Err(error) = result else { panic!("accepted in spite of {culprit}") };
        assert!(error.to_string().contains(culprit), "{culprit}: {error}");
    };
    let (trunk, judge) = (folder("trunk"), folder("judge"));
    let other = changed(&judge, "tokenizer.json", |t| t["normalizer"]["lowercase"] = false.into());
    refused(&trunk, other.path(), "its tokenizer is not that of");
    // What is not used may differ.
    let padded = changed(&judge, "tokenizer.json", |t| t["padding"] = json!({"length": 3}));
    File::new(&trunk, Some(padded.path().to_owned()), WeightFormat::Ternary).unwrap();
    refused(&trunk, &trunk, "accepted: BertForSequenceClassification");
    refused(&judge, &judge, "beside a judge is accepted: BertModel");
    refused(&golden("decoder/llama_f32"), &judge, "is a decoder");
    refused(&trunk, &golden("decoder/llama_f32"), "model_type");
    refused(&trunk, Path::new("no/such/folder"), "no/such/folder");
    let packed = File::ternary("judge");
    refused(&trunk, &packed.path, "is quantized already");
    let bad = changed(&judge, "config.json", |c| c["ternary_scale"] = "column".into());
    refused(&trunk, bad.path(), "accepted: matrix, row");
    let rows = File::new(&trunk, None, WeightFormat::TernaryRows).map(drop).unwrap_err();
    assert!(rows.to_string().contains("not trained for a scale a row"), "{rows}");
    // Without a word in the config, both are accepted.
    let free = changed(&trunk, "config.json", |c| {
        drop(c.as_object_mut().unwrap().remove("ternary_scale"));
    });
    for format in [WeightFormat::Ternary, WeightFormat::TernaryRows] {
        File::new(free.path(), None, format).unwrap().encoder();
    }
}
