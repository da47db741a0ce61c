// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard's bundled int8 models against PyTorch in f32 (`tools/golden/make_guard_goldens.py`).

use std::sync::Arc;

use bho_engine::{CancelToken, Compute, Encoder, Storage};
use bho_models::bert::BertEncoder;
use bho_models::{ModelSource, ModelStore, Package, load_encoder};
use bho_tests::{Reference, golden, texts};

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

/// Share, mean and largest of differences.
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
    assert!(expected.next().is_none() && labelled > 500, "{labelled}");
    let share = same as f32 / labels.len() as f32;
    let (mean, largest) = summary(&differences);
    println!("tagger: {share:.4} of {} tokens alike; probability off by {mean:.4}, at most {largest:.3}", labels.len());
    assert!(share >= 0.99 && mean <= 0.01, "{share} alike, off by {mean}");
}
