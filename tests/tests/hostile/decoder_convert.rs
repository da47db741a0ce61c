// SPDX-License-Identifier: AGPL-3.0-or-later
//! Conversions of decoders that fail, are stopped or are cut off.

use std::path::{Path, PathBuf};

use bho_engine::CancelToken;
use bho_models::decoder::load_decoder;
use bho_models::{ConvertOptions, ConvertReport, ModelError, audit, convert};
use bho_tests::golden;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::file::File;

/// A golden checkpoint that may be spoilt; the sharded one.
fn checkpoint(case: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden(&format!("decoder/{case}"))).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

fn run(src: &Path, dst: &Path, force: bool) -> Result<ConvertReport, ModelError> {
    let options = ConvertOptions { force, ..ConvertOptions::default() };
    convert(src, dst, &options, &CancelToken::new(), &mut |_| {})
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    names
}

/// The conversion fails, says each of `parts`, and leaves its folder empty.
#[track_caller]
fn fails(src: &Path, parts: &[&str]) {
    let out = tempfile::tempdir().unwrap();
    let error = run(src, &out.path().join("out.safetensors"), false).unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
    assert!(names(out.path()).is_empty(), "{error}");
}

#[test]
fn an_index_that_lies_about_its_files_is_refused() {
    let dir = checkpoint("llama_bitlinear");
    let index = dir.path().join("model.safetensors.index.json");
    let whole: Value = serde_json::from_str(&std::fs::read_to_string(&index).unwrap()).unwrap();
    let with = |file: Value| {
        let mut json = whole.clone();
        json["weight_map"]["model.norm.weight"] = file;
        std::fs::write(&index, json.to_string()).unwrap();
    };
    for outside in [
        "../model.safetensors",
        "/etc/passwd",
        "a/../../b.safetensors",
        "..",
        "",
        "a.bin",
        ".safetensors",
    ] {
        with(json!(outside));
        fails(
            dir.path(),
            &["index.json", "model.norm.weight", "accepted: the name of a .safetensors"],
        );
    }
    with(json!(7));
    fails(dir.path(), &["index.json", "is in 7"]);
    with(json!("model-00009-of-00002.safetensors"));
    fails(dir.path(), &["model-00009-of-00002.safetensors"]);
    for wrong in [json!({}), json!({ "weight_map": {} }), json!({ "weight_map": [] }), json!([])] {
        std::fs::write(&index, wrong.to_string()).unwrap();
        fails(dir.path(), &["index.json", "weight_map"]);
    }
    // The file is there and the tensor in another one.
    with(json!("model-00001-of-00002.safetensors"));
    fails(dir.path(), &["model-00001-of-00002.safetensors has no tensor model.norm.weight"]);
    std::fs::write(&index, whole.to_string()).unwrap();
    std::fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).unwrap();
    fails(dir.path(), &["model-00002-of-00002.safetensors"]);
}

#[test]
fn a_source_cut_anywhere_is_refused() {
    let dir = checkpoint("bitnet_online");
    let weights = dir.path().join("model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    for cut in borders(&whole) {
        std::fs::write(&weights, &whole[..cut]).unwrap();
        fails(dir.path(), &["model.safetensors"]);
    }
}

/// Bytes at which tensors begin and end, and one before, the last whole length left out.
fn borders(file: &[u8]) -> Vec<usize> {
    let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let mut cuts = vec![1, 7, 8, 9, 8 + length - 1, 8 + length];
    for (_, entry) in header.as_object().unwrap().iter().filter(|(name, _)| *name != "__metadata__")
    {
        let offsets = entry["data_offsets"].as_array().unwrap();
        let ends = offsets.iter().map(|end| 8 + length + end.as_u64().unwrap() as usize);
        cuts.extend(ends.flat_map(|end| [end.saturating_sub(1), end]));
    }
    cuts.sort_unstable();
    cuts.dedup();
    cuts.retain(|&cut| cut < file.len());
    assert!(cuts.len() > 20);
    cuts
}

#[test]
fn a_converted_file_cut_at_any_border_does_not_load() {
    for case in ["bitnet_packed", "embedding_qwen3", "llama_bias"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut.safetensors");
        run(&golden(&format!("decoder/{case}")), &path, false).unwrap();
        let whole = std::fs::read(&path).unwrap();
        load_decoder(&path).unwrap();
        for cut in borders(&whole) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let error = load_decoder(&path).unwrap_err().to_string();
            assert!(error.contains("cut.safetensors") && error.len() < 1000, "at {cut}: {error}");
        }
        // A header that tells of the lost bytes is believed, and then a tensor is missing.
        let mut file = File::parse(&whole);
        while file.tensors.pop().is_some() {
            std::fs::write(&path, file.clone().bytes()).unwrap();
            let error = load_decoder(&path).unwrap_err().to_string();
            assert!(error.contains("missing") || error.contains("empty"), "{error}");
        }
    }
}

#[test]
fn the_source_is_never_replaced() {
    let dir = checkpoint("bitnet_online");
    let weights = dir.path().join("model.safetensors");
    let before = std::fs::read(&weights).unwrap();
    let link = dir.path().join("link.safetensors");
    let mut targets = vec![weights.clone(), dir.path().join(".").join("model.safetensors")];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&weights, &link).unwrap();
        targets.push(link);
    }
    let listed = names(dir.path());
    for target in targets {
        for force in [false, true] {
            let error = run(dir.path(), &target, force).unwrap_err().to_string();
            let expected = if force { "it is the source" } else { "it exists already" };
            assert!(error.contains(expected), "{error}");
        }
    }
    assert_eq!((std::fs::read(&weights).unwrap(), names(dir.path())), (before, listed));
}

#[test]
fn a_folder_that_is_not_there_is_told_before_anything_is_read() {
    let dir = checkpoint("bitnet_online");
    let mut told = 0;
    for target in [dir.path().join("no/such/out.safetensors"), dir.path().join("config.json/out")] {
        let options = ConvertOptions::default();
        let error = convert(dir.path(), &target, &options, &CancelToken::new(), &mut |_| told += 1);
        let error = error.map(drop).unwrap_err();
        assert!(matches!(error, ModelError::Io { action: "cannot write", .. }), "{error}");
    }
    assert_eq!(told, 0);
    let existing = names(dir.path());
    assert!(existing.iter().all(|path| !path.to_string_lossy().contains("partial")));
}

#[test]
fn a_stop_at_any_tensor_leaves_nothing() {
    let source = golden("decoder/bitnet_online");
    let mut tensors = 0;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.safetensors");
    let options = ConvertOptions::default();
    convert(&source, &path, &options, &CancelToken::new(), &mut |_| tensors += 1).unwrap();
    std::fs::remove_file(&path).unwrap();
    for stop in 0..tensors {
        let (cancel, mut seen) = (CancelToken::new(), 0);
        let stopped = convert(&source, &path, &options, &cancel, &mut |_| {
            if seen == stop {
                cancel.cancel();
            }
            seen += 1;
        });
        // The last call comes when the file is whole and has its name.
        if stop + 1 == tensors {
            stopped.unwrap();
        } else {
            assert!(matches!(stopped, Err(ModelError::Cancelled)), "at {stop}");
            assert!(names(dir.path()).is_empty(), "at {stop}");
        }
    }
}

#[test]
fn a_list_of_layers_in_floats_is_told_as_such() {
    let dir = checkpoint("llama_bitlinear");
    let path = dir.path().join("config.json");
    let config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let with = |kept: Value| {
        let mut config = config.clone();
        config["quantization_config"]["modules_to_not_convert"] = kept;
        std::fs::write(&path, config.to_string()).unwrap();
    };
    let key = "quantization_config.modules_to_not_convert is";
    with(json!([]));
    fails(dir.path(), &[key, "the output head a BitLinear too", "accepted: null or [\"lm_head\"]"]);
    for wrong in
        [json!(["model.layers.0", "lm_head"]), json!("lm_head"), json!([3]), json!(["q_proj"])]
    {
        with(wrong);
        fails(dir.path(), &[key, "accepted: null or [\"lm_head\"]"]);
    }
    for usual in [Value::Null, json!(["lm_head"]), json!(["model.embed_tokens", "lm_head"])] {
        with(usual);
        run(dir.path(), &dir.path().join("out.safetensors"), true).unwrap();
    }
}

/// Bytes changed at random places, most of them in the header.
fn spoilt(whole: &[u8]) -> impl Strategy<Value = Vec<u8>> {
    let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    let place = prop_oneof![3 => 0..header, 1 => 0..whole.len()];
    let whole = whole.to_vec();
    prop::collection::vec((place, any::<u8>()), 1..6).prop_map(move |changes| {
        let mut bytes = whole.clone();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes
    })
}

#[test]
fn an_audit_of_a_spoilt_file_ends_with_findings_or_an_error() {
    for case in ["bitnet_packed", "embedding_gemma3"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spoilt.safetensors");
        run(&golden(&format!("decoder/{case}")), &path, false).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert!(!audit(&path).unwrap().is_severe());
        let strategy = spoilt(&whole);
        let mut runner = TestRunner::new(ProptestConfig {
            cases: 150,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let ended = runner.run(&strategy, |bytes| {
            std::fs::write(&path, bytes).unwrap();
            match audit(&path) {
                // What finds nothing severe must load.
                Ok(audit) if !audit.is_severe() => {
                    prop_assert!(load_decoder(&path).is_ok(), "{:?}", audit.findings);
                }
                Ok(audit) => prop_assert!(audit.findings.len() <= 1001),
                Err(error) => {
                    prop_assert!(error.to_string().contains("spoilt.safetensors"), "{error}");
                }
            }
            Ok(())
        });
        ended.unwrap();
    }
}
