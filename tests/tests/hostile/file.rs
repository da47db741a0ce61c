// SPDX-License-Identifier: AGPL-3.0-or-later
//! Model files taken apart and put together again, wrong on purpose.

use std::path::PathBuf;
use std::sync::OnceLock;

use bho_engine::CancelToken;
use bho_models::decoder::WeightFormat;
use bho_models::{ConvertOptions, ModelSource, ModelStore, convert};
use bho_tests::golden;
use serde_json::{Map, Value, json};

/// A safetensors file in parts.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) metadata: Map<String, Value>,
    pub(crate) tensors: Vec<Tensor>,
}

#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<u8>,
}

/// The small golden models that have a tokenizer.
pub(crate) const CASES: [&str; 3] = ["h36_gelu_new", "seqcls_3", "tokcls_5"];

/// Ternary, with a judge beside the trunk.
pub(crate) const PAIR: &str = "ternary_pair";

/// Files that `bho convert` makes of them.
pub(crate) const MODELS: [&str; 4] = [CASES[0], CASES[1], CASES[2], PAIR];

pub(crate) fn folder(case: &str) -> PathBuf {
    golden(&format!("bert/{case}"))
}

/// A golden model as `bho convert` writes it: int8 or ternary, about 90 KB, all in one file.
pub(crate) fn converted(case: &str) -> File {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let convert = |case: &&str| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("out.safetensors");
            let (mut source, mut options) = (folder(case), ConvertOptions::default());
            if *case == PAIR {
                source = golden("bert_ternary/trunk");
                options.decoder.weights = WeightFormat::Ternary;
                options.judge = Some(golden("bert_ternary/judge"));
            }
            convert(&source, &path, &options, &CancelToken::new(), &mut |_| {}).unwrap();
            std::fs::read(&path).unwrap()
        };
        MODELS.iter().map(convert).collect()
    });
    File::parse(&files[MODELS.iter().position(|c| *c == case).unwrap()])
}

pub(crate) fn small() -> File {
    converted("h36_gelu_new")
}

/// The bundled model's file.
pub(crate) fn bundled() -> &'static [u8] {
    match ModelStore::bundled().unwrap().resolve("minilm-l6-int8").unwrap() {
        ModelSource::Bundled { bytes, .. } => bytes,
        other @ ModelSource::File(_) => panic!("{other} is not bundled"),
    }
}

/// A file of this header and data, the length in front being true.
pub(crate) fn assemble(header: impl AsRef<[u8]>, data: &[u8]) -> Vec<u8> {
    let header = header.as_ref();
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

impl File {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let Value::Object(mut header) = serde_json::from_slice(header).unwrap() else { panic!() };
        let Some(Value::Object(metadata)) = header.remove("__metadata__") else { panic!() };
        let tensors = header.into_iter().map(|(name, entry)| {
            let [from, to] = [0, 1].map(|i| entry["data_offsets"][i].as_u64().unwrap() as usize);
            let shape = entry["shape"].as_array().unwrap();
            let shape = shape.iter().map(|d| d.as_u64().unwrap() as usize).collect();
            let dtype = entry["dtype"].as_str().unwrap().to_owned();
            Tensor { name, dtype, shape, data: data[from..to].to_vec() }
        });
        Self { metadata, tensors: tensors.collect() }
    }

    /// The header, telling the truth.
    pub(crate) fn header(&self) -> Map<String, Value> {
        let mut header = Map::new();
        header.insert("__metadata__".into(), Value::Object(self.metadata.clone()));
        let mut from = 0;
        for tensor in &self.tensors {
            let to = from + tensor.data.len();
            let Tensor { name, dtype, shape, .. } = tensor;
            let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [from, to] });
            header.insert(name.clone(), entry);
            from = to;
        }
        header
    }

    pub(crate) fn data(&self) -> Vec<u8> {
        self.tensors.iter().flat_map(|t| t.data.iter().copied()).collect()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        assemble(Value::Object(self.header()).to_string(), &self.data())
    }

    /// The file after `change` has been made to it.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Vec<u8> {
        change(&mut self);
        self.bytes()
    }

    /// The file after `change` has been made to its header alone.
    pub(crate) fn with_header(&self, change: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
        let mut header = self.header();
        change(&mut header);
        assemble(Value::Object(header).to_string(), &self.data())
    }

    /// The file after `change` has been made to the JSON document in this metadata value.
    pub(crate) fn with_json(mut self, key: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut document = serde_json::from_str(self.metadata[key].as_str().unwrap()).unwrap();
        change(&mut document);
        self.metadata[key] = document.to_string().into();
        self.bytes()
    }
}
