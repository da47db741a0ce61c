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
use bho_kernels::{Int8View, TernaryMatrix};
use bho_models::bert::{BertConfig, BertModel};
use bho_models::{ModelSource, ModelStore, Package, Weights};
use criterion::Criterion;
use serde_json::{Map, Value, json};

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
    let (name, bytes) = bundled_bytes();
    load(&name, Storage::Static(bytes), compute)
}

/// The bundled model with its linear layers rounded to three values, a scale a row: as large and as fast as
/// a ternary model of its shape, and as good as none.
///
/// # Panics
/// When the model does not load.
pub fn ternary_network(compute: &Compute) -> BertModel {
    let (name, bytes) = bundled_bytes();
    let weights = Weights::parse(&name, Storage::Static(bytes)).expect("a model file");
    let (mut header, mut packed, mut rest) = (Map::new(), Vec::new(), Vec::new());
    header.insert("__metadata__".into(), json!(weights.metadata()));
    for (tensor, info) in weights.tensors() {
        let bytes = weights.bytes(tensor).expect("a tensor");
        let layer = tensor.strip_suffix(".weight");
        if let (Some(layer), &[panels, _, lanes, _]) = (layer, &info.shape[..]) {
            let bias = weights.tensor(&format!("{layer}.bias")).expect("a bias");
            let (rows, cols) = (bias.shape[0], bytes.len() / (panels * lanes));
            let int8 = Int8View::new(rows, cols, bytes.as_bytes()).expect("int8 blocks").unpack();
            let codes: Vec<i8> = int8
                .chunks_exact(cols)
                .flat_map(|row| {
                    let sum: i32 = row.iter().map(|w| i32::from(w.unsigned_abs())).sum();
                    // Beyond half the mean of a row, a weight is not 0.
                    let code = move |&w: &i8| match 2 * i32::from(w.unsigned_abs()) * cols as i32 {
                        twice if twice > sum => w.signum(),
                        _ => 0,
                    };
                    row.iter().map(code)
                })
                .collect();
            let tiles = TernaryMatrix::pack(rows, cols, &codes).expect("three values");
            let shape = [panels, cols.div_ceil(16), 64];
            packed.push((
                format!("{layer}.ternary"),
                "U8",
                json!(shape),
                tiles.as_bytes().to_vec(),
            ));
            continue;
        }
        let elements: usize = info.shape.iter().product();
        let dtype = if bytes.len() == elements { "I8" } else { "F32" };
        let of_layer = tensor.ends_with(".dense.weight_scale") || tensor.contains(".self.");
        let tensor = match tensor.strip_suffix(".weight_scale") {
            Some(layer) if of_layer => format!("{layer}.scale"),
            _ => tensor.clone(),
        };
        rest.push((tensor, dtype, json!(info.shape), bytes.as_bytes().to_vec()));
    }
    let mut data = Vec::new();
    // What kernels read in place comes first, aligned; floats before bytes.
    rest.sort_by_key(|(_, dtype, ..)| *dtype != "F32");
    for (tensor, dtype, shape, bytes) in packed.into_iter().chain(rest) {
        let from = data.len();
        data.extend(bytes);
        let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [from, data.len()] });
        header.insert(tensor, entry);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize((header.len() + 8).next_multiple_of(64) - 8, b' ');
    let file = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    // Mapped, as files are: bytes on the heap would not begin at a cache line.
    let path = std::env::temp_dir().join(format!("bho-ternary-{}", std::process::id()));
    std::fs::write(&path, file).expect("a temporary file");
    let storage = Storage::map(&path).expect("a mapping");
    let model = load(&name, storage, compute);
    // Where a mapped file cannot be removed, it stays.
    let _ = std::fs::remove_file(&path);
    assert_eq!(model.precision(), "ternary");
    model
}

fn bundled_bytes() -> (String, &'static [u8]) {
    let ModelSource::Bundled { name, bytes, .. } = bundled() else { panic!("not bundled") };
    (name, bytes)
}

fn load(name: &str, storage: Storage, compute: &Compute) -> BertModel {
    let package = Package::from_storage(name, storage).expect("a model file");
    let config = BertConfig::from_json(name, &package.config).expect("a BERT config");
    BertModel::load(config, &package.weights, compute).expect("all tensors")
}
