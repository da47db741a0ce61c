// SPDX-License-Identifier: AGPL-3.0-or-later
//! Checkpoints and converted files from any bytes, and from sound ones of every kind with a few changes: each
//! step gives an error or something that the next one takes, down to numbers that are finite.
#![no_main]

use std::sync::OnceLock;

use bho_engine::{CancelToken, Storage};
use bho_fuzz::checkpoint::{Checkpoint, Damage, SINGLE, sound};
use bho_fuzz::json::{Edit, edit};
use bho_fuzz::{pardon_other_crates, scratch, tally, try_model};
use bho_models::{ConvertOptions, Package, Weights, audit, convert};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[derive(Debug, Arbitrary)]
enum Input {
    Raw(Vec<u8>),
    Changed {
        /// Which of the sound models.
        model: u8,
        /// Changes of the headers of its files.
        header: Vec<(bool, Edit)>,
        /// Changes of its JSON: the config, one of the others, or text in it that is JSON itself.
        json: Vec<(u8, Edit)>,
        damage: Damage,
    },
}

/// What headers and configs have.
const SNIPPETS: [&str; 40] = [
    r#"{"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}"#,
    r#"{"dtype": "U8", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}"#,
    r#"{"dtype": "F16", "shape": [0, 18446744073709551615], "data_offsets": [0, 0]}"#,
    r#"{"dtype": "F32", "shape": [], "data_offsets": [0, 4]}"#,
    r#"{"bho.format": "1", "bho.config": "{}"}"#,
    r#"{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32}"#,
    r#"{"rope_type": "yarn", "factor": 4.0}"#,
    r#"{"rope_type": "linear", "factor": 1e-38}"#,
    r#"{"rope_type": "divisors", "divisors": [1.0, 3.0]}"#,
    r#"{"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online",
        "use_rms_norm": true, "modules_to_not_convert": null}"#,
    r#"{"0": "a", "1": "b", "2": "c"}"#,
    r#"["LlamaForCausalLM"]"#,
    r#"["BitnetForCausalLM"]"#,
    r#"["BitNetForCausalLM"]"#,
    r#"["Qwen3Model"]"#,
    r#"["Gemma3TextModel"]"#,
    r#"["BertForTokenClassification"]"#,
    r#""model.safetensors""#,
    r#""model-00002-of-00002.safetensors""#,
    r#""../model.safetensors""#,
    r#""F32""#,
    r#""F16""#,
    r#""BF16""#,
    r#""U8""#,
    r#""I8""#,
    r#""F4""#,
    r#""relu2""#,
    r#""{{ messages }}""#,
    r#""last""#,
    "[1]",
    "[8]",
    "[4, 8]",
    "[0, 32]",
    "[18446744073709551615, 18446744073709551615]",
    "1048576",
    "1e308",
    "-1e-45",
    "true",
    "null",
    "{}",
];

static SOUND: OnceLock<Vec<Checkpoint>> = OnceLock::new();

fn prepare() {
    pardon_other_crates();
    assert!(SOUND.set(sound(&scratch().join("model"))).is_ok());
}

fuzz_target!(init: prepare(), |input: Input| {
    let models = SOUND.get().unwrap();
    let (model, header, json, damage) = match input {
        Input::Raw(bytes) => {
            let _ = Package::from_storage("fuzz", Storage::Heap(bytes.clone().into()));
            if let Ok(weights) = Weights::parse("fuzz", Storage::Heap(bytes.into())) {
                let total: usize = weights.tensors().values().map(|tensor| tensor.bytes()).sum();
                assert!(total <= weights.as_bytes().len());
            }
            return;
        }
        Input::Changed { model, header, json, damage } => (model, header, json, damage),
    };
    let mut model = models[usize::from(model) % models.len()].clone();
    let files = model.weights.len();
    // More would leave nothing to load.
    for (last, change) in header.into_iter().take(2) {
        let header = &mut model.weights[if last { files - 1 } else { 0 }].1;
        edit(header, &[change], &SNIPPETS);
    }
    let count = model.json.len();
    for (which, change) in json.into_iter().take(2) {
        // Half of them in the config.
        let config = if model.converted { "bho.config" } else { "config.json" };
        let key = match which % 2 {
            0 => config.to_owned(),
            _ => model.json.keys().nth(usize::from(which / 2) % count).unwrap().clone(),
        };
        edit(model.json.get_mut(&key).unwrap_or(&mut Value::Null), &[change], &SNIPPETS);
    }
    let folder = scratch().join("model");
    model.write(&folder, &damage);
    let path = if model.converted { folder.join(SINGLE) } else { folder.clone() };
    let audited = audit(&path);
    tally("audited", audited.is_ok());
    tally("sound by audit", audited.is_ok_and(|audit| !audit.is_severe()));
    try_model(&path, false);
    let result = folder.join("result");
    let options = ConvertOptions::default();
    let converted = convert(&path, &result, &options, &CancelToken::new(), &mut |_| {});
    tally("converted", converted.is_ok());
    if converted.is_ok() {
        let is_decoder = model.json.values().any(|json| {
            // A BERT model may name any class, or none.
            let class = json.pointer("/architectures/0").and_then(Value::as_str);
            class.is_some_and(|c| ["ForCausalLM", "Qwen3Model", "Gemma3TextModel"].iter().any(|end| c.ends_with(end)))
        });
        try_model(&result, is_decoder);
    }
});
