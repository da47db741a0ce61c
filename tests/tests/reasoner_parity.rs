// SPDX-License-Identifier: AGPL-3.0-or-later
//! The bundled ternary reasoner against PyTorch with the same ternary weights and float activations
//! (`tools/golden/make_reasoner_goldens.py`).

use std::path::PathBuf;
use std::sync::Arc;

use bho_engine::{CancelToken, Compute, Encoder};
use bho_models::decoder::{DecoderOptions, WeightFormat};
use bho_models::{ConvertOptions, ModelStore, load_encoder};
use bho_tests::{Reference, assert_rebuilt, embedding_cosines, golden, texts};
use serde_json::Value;

const NAME: &str = "bitnet-s-1.58b";

fn bundled(threads: usize) -> Arc<dyn Encoder> {
    let source = ModelStore::bundled().unwrap().resolve(NAME).unwrap();
    load_encoder(&source, &Compute::new(threads).unwrap()).unwrap()
}

fn reference(name: &str) -> Reference {
    Reference::open(&golden(&format!("reasoner/{name}.safetensors")))
}

/// Premise and hypothesis.
fn pairs() -> Vec<(String, String)> {
    let lines = std::fs::read_to_string(golden("reasoner/pairs.jsonl")).unwrap();
    let pair = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let side = |key: &str| row[key].as_str().unwrap().to_owned();
        (side("premise"), side("hypothesis"))
    };
    lines.lines().map(pair).collect()
}

#[test]
fn the_trunk_embeds_as_pytorch_does() {
    let encoder = bundled(2);
    assert_eq!((encoder.info().precision.as_str(), encoder.dim()), ("ternary", 384));
    let sentences = texts(&golden("minilm/sentences.jsonl"));
    let expected = reference("trunk").floats("embeddings").unwrap();
    let (mean, min) = embedding_cosines(encoder.as_ref(), &sentences, &expected);
    println!(
        "cosine to PyTorch over {} sentences: mean {mean:.5}, minimum {min:.5}",
        sentences.len()
    );
    assert!(mean >= 0.995 && min >= 0.98, "mean {mean}, minimum {min}");

    // What the distillation kept of the float teacher's embeddings.
    let teacher = Reference::open(&golden("minilm/embeddings_f32.safetensors"));
    let teacher = teacher.floats("embeddings").unwrap();
    let (mean, min) = embedding_cosines(encoder.as_ref(), &sentences, &teacher);
    println!("cosine to float all-MiniLM-L6-v2: mean {mean:.4}, minimum {min:.4}");
    assert!(mean >= 0.85, "{mean}");
}

#[test]
fn the_judge_reads_pairs_as_pytorch_does() {
    let encoder = bundled(2);
    assert_eq!(encoder.pair_labels(), ["entailment", "neutral", "contradiction"]);
    let reference = reference("judge");
    let logits = reference.floats("logits").unwrap();
    let pairs = pairs();
    assert_eq!(logits.len(), 3 * pairs.len());
    let asked: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let said = encoder.classify_pairs(&asked, &CancelToken::new()).unwrap();
    let (mut differences, mut same) = (Vec::new(), 0);
    for (said, expected) in said.iter().zip(logits.chunks_exact(3)) {
        assert_eq!(said.windows.len(), 1);
        let exp: Vec<f32> = expected.iter().map(|logit| logit.exp()).collect();
        let sum: f32 = exp.iter().sum();
        let expected: Vec<f32> = exp.iter().map(|e| e / sum).collect();
        let got: Vec<f32> = said.windows[0].labels.iter().map(|l| l.probability).collect();
        differences.extend(got.iter().zip(&expected).map(|(a, b)| (a - b).abs()));
        let best = |values: &[f32]| (0..3).reduce(|a, b| if values[b] > values[a] { b } else { a });
        same += usize::from(best(&got) == best(&expected));
    }
    let mean = differences.iter().sum::<f32>() / differences.len() as f32;
    let most = differences.iter().copied().fold(0.0, f32::max);
    println!(
        "judge: {same} of {} pairs alike; probability off by {mean:.4}, at most {most:.3}",
        pairs.len()
    );
    assert!(same * 20 >= pairs.len() * 19 && mean <= 0.02 && most <= 0.2, "{same}, {mean}, {most}");
}

/// Trunk and judge share a table in the file: one's vectors must not depend on whether the other was asked.
#[test]
fn the_two_networks_do_not_disturb_each_other() {
    let encoder = bundled(1);
    let never = CancelToken::new();
    let before = encoder.embed(&["Rain fell all night."], &never).unwrap();
    encoder.classify_pairs(&[("Rain fell.", "It was dry.")], &never).unwrap();
    let after = encoder.embed(&["Rain fell all night."], &never).unwrap();
    assert_eq!(before[0].vector, after[0].vector);
}

/// Where `BHO_REASONER_CHECKPOINTS` names a folder with the checkpoints `trunk` and `judge` of tools/train/reasoner.
#[test]
fn the_bundled_file_is_what_its_recipe_makes() {
    let Some(folder) = std::env::var_os("BHO_REASONER_CHECKPOINTS").map(PathBuf::from) else {
        println!("BHO_REASONER_CHECKPOINTS is not set: the rebuild of the reasoner did not run");
        return;
    };
    let options = ConvertOptions {
        decoder: DecoderOptions { weights: WeightFormat::Ternary, ..DecoderOptions::default() },
        judge: Some(folder.join("judge")),
        ..ConvertOptions::default()
    };
    assert_rebuilt(NAME, &folder.join("trunk"), options);
}
