// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard's bundled int8 models against PyTorch in f32 (`tools/golden/make_guard_goldens.py`).

use std::sync::Arc;

use bho_engine::{CancelToken, Compute, Encoder, Storage};
use bho_models::bert::BertEncoder;
use bho_models::{ConvertOptions, ModelSource, ModelStore, Package, load_encoder};
use bho_tests::{Reference, assert_rebuilt, golden, texts};

fn source(name: &str) -> ModelSource {
    ModelStore::bundled().unwrap().resolve(name).unwrap()
}

fn encoder(name: &str) -> Arc<dyn Encoder> {
    load_encoder(&source(name), &Compute::new(2).unwrap()).unwrap()
}

fn rows() -> Vec<String> {
    let rows = texts(&golden("guard/texts.jsonl"));
    assert_eq!(rows.len(), 106);
    rows
}

fn reference(name: &str) -> Reference {
    Reference::open(&golden(&format!("guard/{name}.safetensors")))
}

/// The tokens of every text are those that the reference read.
fn same_tokens(name: &str, reference: &Reference) {
    let ModelSource::Bundled { bytes, .. } = source(name) else { panic!("not bundled") };
    let package = Package::from_storage(name, Storage::Static(bytes)).unwrap();
    let encoder = BertEncoder::load(&package, "", &Compute::new(1).unwrap()).unwrap();
    let (ids, offsets) = (reference.shorts("token_ids"), reference.ints("token_offsets"));
    for (text, range) in rows().iter().zip(offsets.windows(2)) {
        let got = encoder.token_ids(text).unwrap();
        let expected = &ids[range[0] as usize..range[1] as usize];
        assert!(got.iter().copied().eq(expected.iter().map(|&id| u32::from(id))), "{text}");
    }
}

/// Mean and largest of differences.
fn summary(differences: &[f32]) -> (f32, f32) {
    let mean = differences.iter().sum::<f32>() / differences.len() as f32;
    (mean, differences.iter().copied().fold(0.0, f32::max))
}

#[test]
fn the_tagger_labels_as_pytorch_does() {
    let (encoder, reference) = (encoder("rampart-pii"), reference("tagger"));
    same_tokens("rampart-pii", &reference);
    let labels = reference.ints("labels");
    let probabilities = reference.floats("probabilities").unwrap();
    let mut expected = labels.iter().zip(&probabilities);
    let (mut same, mut labelled, mut differences) = (0, 0, Vec::new());
    for text in rows() {
        for tag in &encoder.tag(&[&text], &CancelToken::new()).unwrap()[0] {
            let (&label, &probability) = expected.next().unwrap();
            if tag.label == encoder.labels()[label as usize] {
                same += 1;
                differences.push((tag.probability - probability).abs());
            }
            labelled += usize::from(label > 0);
        }
    }
    assert!(expected.next().is_none() && labelled > 400, "{labelled}");
    let share = same as f32 / labels.len() as f32;
    let (mean, largest) = summary(&differences);
    println!(
        "tagger: {share:.4} of {} tokens alike; probability off by {mean:.4}, at most {largest:.3}",
        labels.len()
    );
    assert!(share >= 0.99 && mean <= 0.01, "{share} alike, off by {mean}");
}

#[test]
fn the_classifier_judges_as_pytorch_does() {
    let (encoder, reference) = (encoder("tinybert-guard"), reference("classifier"));
    same_tokens("tinybert-guard", &reference);
    assert_eq!(encoder.labels(), ["toxicity", "jailbreak", "indirect"]);
    let logits = reference.floats("logits").unwrap();
    let (mut differences, mut above) = (Vec::new(), [0; 3]);
    for (text, expected) in rows().iter().zip(logits.chunks_exact(3)) {
        let said = encoder.classify(&[(text, None)], &CancelToken::new()).unwrap();
        for ((label, logit), above) in said[0].labels.iter().zip(expected).zip(&mut above) {
            let probability = 1.0 / (1.0 + (-logit).exp());
            differences.push((label.probability - probability).abs());
            *above += usize::from(probability > 0.5);
        }
    }
    assert!(above.iter().all(|&count| count >= 4), "{above:?}");
    let (mean, largest) = summary(&differences);
    println!("classifier: probability off by {mean:.4}, at most {largest:.3}; over 0.5: {above:?}");
    assert!(mean <= 0.01 && largest <= 0.15, "off by {mean}, at most {largest}");
}

/// Where `BHO_GUARD_CHECKPOINTS` names a folder with the checkpoints of `tools/train/` in folders of the models' names.
#[test]
fn the_bundled_files_are_what_their_recipes_make() {
    let Some(folder) = std::env::var_os("BHO_GUARD_CHECKPOINTS").map(std::path::PathBuf::from)
    else {
        println!("BHO_GUARD_CHECKPOINTS is not set: the rebuild of the guard's models did not run");
        return;
    };
    let store = ModelStore::bundled().unwrap();
    let mut made = 0;
    for entry in store.entries().iter().filter(|entry| folder.join(&entry.name).is_dir()) {
        assert_rebuilt(&entry.name, &folder.join(&entry.name), ConvertOptions::default());
        made += 1;
    }
    assert!(made > 0, "no folder of a bundled model's name in {}", folder.display());
}
