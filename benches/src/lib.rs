// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the benches share: settings, seeded input, prose and the bundled model.
//!
//! The benches time what a caller waits for, on input that is the same on every machine, after
//! checking that the answer is right. What their numbers do not say:
//!
//! - They are medians on one machine in one state. Compare numbers of one run only, on an
//!   otherwise idle machine; two runs of the same code differ by several percent.
//! - Each bench repeats one call, so weights and tables are as warm as the caches allow. Real runs
//!   touch other memory in between and are slower.
//! - Ten to twenty samples a bench keep a whole run below five minutes. For a claim about a few
//!   percent, run one bench with `--sample-size 100`.
//!
//! `benches/README.md` lists the benches and what each one measures.

#![forbid(unsafe_code)]

use std::path::Path;
use std::time::Duration;

use bho_engine::{Compute, Storage};
use bho_models::bert::{BertConfig, BertModel};
use bho_models::{ModelSource, ModelStore, Package};
use criterion::Criterion;
use serde_json::Value;

/// Name of the bundled model.
pub const MINILM: &str = "minilm-l6-int8";

/// Criterion with this crate's few samples and the command line's settings over them.
pub fn criterion(measure: Duration) -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(measure)
        .configure_from_args()
}

/// Seeded pseudo-random numbers (SplitMix64, Steele et al. 2014): the same on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator; equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..n`, all about as likely; `n` is at least 1.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u32
    }

    /// `n` int8 values in `low..=high`.
    pub fn int8s(&mut self, n: usize, low: i8, high: i8) -> Vec<i8> {
        let span = (i32::from(high) - i32::from(low) + 1) as u32;
        (0..n).map(|_| (i32::from(low) + self.below(span) as i32) as i8).collect()
    }

    /// `n` values in -4..4, where activations mostly lie.
    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.below(1 << 24) as f32 / (1 << 21) as f32 - 4.0).collect()
    }
}

/// The 200 sentences of `tests/golden/minilm`: questions, prose and abstracts under permissive
/// licences (`tests/golden/README.md`).
///
/// # Panics
/// When the file is not in the checkout.
pub fn sentences() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let path = root.join("tests").join("golden").join("minilm").join("sentences.jsonl");
    let file = std::fs::read_to_string(path).expect("the golden sentences are in the checkout");
    file.lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("a JSON object a line");
            line["text"].as_str().expect("a text").to_owned()
        })
        .collect()
}

/// The sentences one after another, over and over, up to the last whole one within `bytes`.
pub fn prose(bytes: usize) -> String {
    let sentences = sentences();
    let mut text = String::with_capacity(bytes);
    for sentence in sentences.iter().cycle() {
        if text.len() + sentence.len() + 1 > bytes {
            return text;
        }
        text.push_str(sentence);
        text.push(' ');
    }
    text
}

/// Where the bundled model's bytes are.
///
/// # Panics
/// When this build has no such model.
pub fn bundled() -> ModelSource {
    let store = ModelStore::bundled().expect("a sound manifest");
    store.resolve(MINILM).expect("the model is bundled")
}

/// The bundled model's network without its tokenizer, as token ids go in.
///
/// # Panics
/// When the model does not load.
pub fn network(compute: &Compute) -> BertModel {
    let ModelSource::Bundled { name, bytes, .. } = bundled() else { panic!("not bundled") };
    let package = Package::from_storage(&name, Storage::Static(bytes)).expect("a model file");
    let config = BertConfig::from_json(&name, &package.config).expect("a BERT config");
    BertModel::load(config, &package.weights, compute).expect("all tensors")
}
