// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the benches share: seeded data, the bundled model, prose, and short measuring times.

#![forbid(unsafe_code)]

use std::time::Duration;

use bho_engine::{Compute, Storage};
use bho_models::bert::BertEncoder;
use bho_models::{ModelSource, ModelStore, Package};
use criterion::Criterion;

/// A small deterministic generator (splitmix64).
pub struct Rng(pub u64);

impl Rng {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A float in -1..1.
    pub fn float(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Criterion with measuring times that let the whole suite end in a few minutes.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1200))
}

/// The bundled int8 encoder on `threads` threads.
pub fn encoder(threads: usize) -> BertEncoder {
    let store = ModelStore::bundled().expect("a sound manifest");
    let source = store.resolve("minilm-l6-int8").expect("bundled");
    let ModelSource::Bundled { name, bytes, .. } = source else { unreachable!("bundled") };
    let package = Package::from_storage(&name, Storage::Static(bytes)).expect("a sound file");
    let compute = Compute::new(threads).expect("threads");
    BertEncoder::load(&package, "", &compute).expect("a sound model")
}

/// The sentences of the parity tests: real English prose of several kinds.
pub fn sentences() -> Vec<String> {
    include_str!("../../tests/golden/minilm/sentences.jsonl")
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|value| value["text"].as_str().map(str::to_owned))
        .collect()
}
