// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the cross-crate tests share: the golden files and comparisons against them.
//!
//! `tests/golden/README.md` says what each file holds and how it is made.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use bho_engine::{CancelToken, Compute, Encoder, Storage};
use bho_models::bert::{BertConfig, BertModel, TokenSequence};
use bho_models::{ConvertOptions, ModelStore, Package, Weights, convert};
use serde_json::Value;

/// `tests/golden/…`.
pub fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(path)
}

/// A reference file: tensors made by PyTorch.
pub struct Reference(Weights);

impl Reference {
    /// Opens a `.safetensors` file of references.
    pub fn open(path: &Path) -> Self {
        Self(Weights::open(path).unwrap())
    }

    /// A float tensor, or `None` if the file has none of this name.
    pub fn floats(&self, name: &str) -> Option<Vec<f32>> {
        let shape = self.0.tensors().get(name)?.shape.clone();
        Some(self.0.floats(name, &shape).unwrap())
    }

    /// An I32 tensor.
    pub fn ints(&self, name: &str) -> Vec<i32> {
        let bytes = self.0.bytes(name).unwrap();
        bytes.as_bytes().as_chunks::<4>().0.iter().map(|&b| i32::from_le_bytes(b)).collect()
    }

    /// A U16 tensor.
    pub fn shorts(&self, name: &str) -> Vec<u16> {
        let bytes = self.0.bytes(name).unwrap();
        bytes.as_bytes().as_chunks::<2>().0.iter().map(|&b| u16::from_le_bytes(b)).collect()
    }

    /// The sequences of a `golden.safetensors`.
    pub fn sequences(&self) -> Vec<TokenSequence> {
        let ids = |v: Vec<i32>| v.into_iter().map(|i| i as u32).collect();
        (0..self.ints("lengths").len())
            .map(|i| TokenSequence {
                ids: ids(self.ints(&format!("seq{i}.input_ids"))),
                types: ids(self.ints(&format!("seq{i}.token_type_ids"))),
            })
            .collect()
    }
}

/// The network of a package, without its tokenizer.
pub fn bert(package: &Package, compute: &Compute) -> BertModel {
    let config = BertConfig::from_json(package.weights.name(), &package.config).unwrap();
    BertModel::load(config, &package.weights, compute).unwrap()
}

/// A package from the bytes of a file.
pub fn package(bytes: Vec<u8>) -> Package {
    Package::from_storage("test", Storage::Heap(bytes.into())).unwrap()
}

/// Largest absolute difference of two slices of the same length.
pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Cosine of two vectors.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The `text` of every line of a `.jsonl` file.
pub fn texts(path: &Path) -> Vec<String> {
    let file = std::fs::read_to_string(path).unwrap();
    file.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            value["text"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// Mean and minimum cosine of an encoder's embeddings to `[n, dim]` references.
pub fn embedding_cosines(encoder: &dyn Encoder, texts: &[String], expected: &[f32]) -> (f32, f32) {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let embeddings = encoder.embed(&texts, &CancelToken::new()).unwrap();
    let cosines: Vec<f32> = embeddings
        .iter()
        .zip(expected.chunks_exact(encoder.dim()))
        .map(|(e, r)| cosine(&e.vector, r))
        .collect();
    let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
    (mean, cosines.into_iter().fold(f32::INFINITY, f32::min))
}

/// Makes a bundled model's file again from its checkpoint, by `options` and what the manifest says of it, and sees that it
/// is the same to the last byte.
pub fn assert_rebuilt(name: &str, checkpoint: &Path, options: ConvertOptions) {
    let store = ModelStore::bundled().unwrap();
    let entry = store.find(name).unwrap();
    let out = tempfile::tempdir().unwrap();
    let options = ConvertOptions {
        name: Some(entry.name.clone()),
        source: Some(entry.source.clone()),
        revision: Some(entry.revision.clone()),
        licence: Some(entry.licence.clone()),
        ..options
    };
    let path = out.path().join("m.safetensors");
    let report = convert(checkpoint, &path, &options, &CancelToken::new(), &mut |_| {}).unwrap();
    assert_eq!((report.sha256, report.bytes), (entry.sha256.clone(), entry.bytes), "{name}");
}
