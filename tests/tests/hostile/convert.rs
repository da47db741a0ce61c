// SPDX-License-Identifier: AGPL-3.0-or-later
//! Conversions that fail or are stopped leave no file behind, whole or partial.

use std::path::{Path, PathBuf};

use bho_engine::{CancelToken, Compute};
use bho_models::{ConvertOptions, ModelError, ModelSource, convert, load_encoder};
use tempfile::TempDir;

use crate::file::{CASES, File, folder};

/// A golden folder that may be spoilt, and a folder for the result.
struct Case {
    source: TempDir,
    out: TempDir,
}

impl Case {
    fn new(case: &str) -> Self {
        let this = Self { source: tempfile::tempdir().unwrap(), out: tempfile::tempdir().unwrap() };
        for name in ["config.json", "model.safetensors", "tokenizer.json"] {
            std::fs::copy(folder(case).join(name), this.source.path().join(name)).unwrap();
        }
        this
    }

    fn weights(&self) -> PathBuf {
        self.source.path().join("model.safetensors")
    }

    fn spoil(&self, change: impl FnOnce(&mut File)) {
        let file = File::parse(&std::fs::read(self.weights()).unwrap());
        std::fs::write(self.weights(), file.with(change)).unwrap();
    }

    fn dst(&self) -> PathBuf {
        self.out.path().join("out.safetensors")
    }

    fn convert(&self, dst: &Path, force: bool) -> Result<(), ModelError> {
        let options = ConvertOptions { force, ..ConvertOptions::default() };
        convert(self.source.path(), dst, &options, &CancelToken::new(), &mut |_| {}).map(drop)
    }

    /// Names in the folder of the result, hidden ones too.
    fn left(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.out.path()).unwrap();
        names.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    /// The conversion fails, names every culprit and leaves nothing.
    fn fails(&self, culprits: &[&str]) {
        let shown = self.convert(&self.dst(), false).unwrap_err().to_string();
        for culprit in culprits {
            assert!(shown.contains(culprit), "{culprit:?} is not named: {shown}");
        }
        assert_eq!(self.left(), [""; 0], "{shown}");
    }
}

fn loads(path: &Path) -> bool {
    load_encoder(&ModelSource::file(path), &Compute::new(1).unwrap()).is_ok()
}

#[test]
fn a_source_without_a_tensor_is_refused() {
    for case in CASES {
        let whole = File::parse(&std::fs::read(folder(case).join("model.safetensors")).unwrap());
        let trunk_only = case == "h36_gelu_new";
        for (i, tensor) in whole.tensors.iter().enumerate() {
            // A trunk has no use for a pooler, nor has a token head.
            if tensor.name.contains("pooler") && (trunk_only || case == "tokcls_5") {
                continue;
            }
            let spoilt = Case::new(case);
            spoilt.spoil(|f| drop(f.tensors.remove(i)));
            spoilt.fails(&["model.safetensors", tensor.name.trim_start_matches("bert.")]);
        }
    }
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    let whole =
        File::parse(&std::fs::read(folder("h36_gelu_new").join("model.safetensors")).unwrap());
    for (i, tensor) in whole.tensors.iter().enumerate() {
        if tensor.name.contains("pooler") {
            continue;
        }
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let spoilt = Case::new("h36_gelu_new");
            spoilt.spoil(|f| {
                let end = f.tensors[i].data.len();
                f.tensors[i].data[end - 4..].copy_from_slice(&value.to_le_bytes());
            });
            spoilt.fails(&["model.safetensors", &tensor.name, "not finite"]);
        }
    }
}

#[test]
fn sources_that_are_no_model_are_refused() {
    let case = Case::new("h36_gelu_new");
    std::fs::write(case.source.path().join("config.json"), "{").unwrap();
    case.fails(&["config.json", "JSON"]);
    std::fs::remove_file(case.source.path().join("config.json")).unwrap();
    case.fails(&["config.json"]);
    std::fs::remove_file(case.weights()).unwrap();
    case.fails(&["model.safetensors"]);
    for sibling in ["model.safetensors.index.json", "pytorch_model.bin"] {
        std::fs::write(case.source.path().join(sibling), "x").unwrap();
        case.fails(&["safetensors"]);
    }
    let case = Case::new("h36_gelu_new");
    std::fs::write(case.source.path().join("config.json"), "{\"model_type\":\"gpt2\"}").unwrap();
    case.fails(&["gpt2"]);
    // What was converted is not a source.
    let case = Case::new("h36_gelu_new");
    case.convert(&case.dst(), false).unwrap();
    let again = case.out.path().join("again.safetensors");
    let options = ConvertOptions::default();
    let never = CancelToken::new();
    let error = convert(&case.dst(), &again, &options, &never, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("quantized already"), "{error}");
    assert_eq!(case.left(), ["out.safetensors"]);
}

#[test]
fn an_existing_file_is_replaced_only_when_asked_and_only_by_a_whole_one() {
    let case = Case::new("h36_gelu_new");
    std::fs::write(case.dst(), "mine").unwrap();
    let error = case.convert(&case.dst(), false).unwrap_err().to_string();
    assert!(error.contains("out.safetensors") && error.contains("exists"), "{error}");
    assert_eq!(std::fs::read(case.dst()).unwrap(), b"mine");
    case.spoil(|f| f.tensors[3].data[..4].copy_from_slice(&f32::NAN.to_le_bytes()));
    case.convert(&case.dst(), true).unwrap_err();
    assert_eq!(std::fs::read(case.dst()).unwrap(), b"mine");
    assert_eq!(case.left(), ["out.safetensors"]);
    std::fs::copy(folder("h36_gelu_new").join("model.safetensors"), case.weights()).unwrap();
    case.convert(&case.dst(), true).unwrap();
    assert!(loads(&case.dst()));
    assert_eq!(case.left(), ["out.safetensors"]);
}

#[test]
fn a_destination_that_cannot_be_written_is_named() {
    let case = Case::new("h36_gelu_new");
    let missing = case.out.path().join("no").join("such").join("out.safetensors");
    let error = case.convert(&missing, false).unwrap_err().to_string();
    assert!(error.contains("out.safetensors"), "{error}");
    std::fs::write(case.out.path().join("file"), "x").unwrap();
    let below = case.out.path().join("file").join("out.safetensors");
    let error = case.convert(&below, true).unwrap_err().to_string();
    assert!(error.contains("out.safetensors"), "{error}");
    // A folder of that name is not replaced, forced or not.
    std::fs::create_dir(case.dst()).unwrap();
    for force in [false, true] {
        case.convert(&case.dst(), force).unwrap_err();
    }
    let mut left = case.left();
    left.sort();
    assert_eq!(left, ["file", "out.safetensors"]);
    assert!(case.dst().is_dir());
}

#[cfg(unix)]
#[test]
fn a_folder_without_leave_to_write_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let case = Case::new("h36_gelu_new");
    let mode = |mode| std::fs::set_permissions(case.out.path(), PermissionsExt::from_mode(mode));
    mode(0o555).unwrap();
    // Permissions do not bind the superuser, as whom containers often run.
    let binding = std::fs::write(case.out.path().join("probe"), "x").is_err();
    let result = case.convert(&case.dst(), false);
    mode(0o755).unwrap();
    if binding {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("out.safetensors"), "{error}");
        assert_eq!(case.left(), [""; 0]);
    } else {
        println!("running as a user whom permissions do not bind: the refusal was not tested");
        result.unwrap();
    }
}

#[test]
fn a_conversion_stopped_anywhere_leaves_nothing() {
    let case = Case::new("h36_gelu_new");
    let options = ConvertOptions::default();
    let mut calls = 0;
    let path = case.dst();
    let never = CancelToken::new();
    convert(case.source.path(), &path, &options, &never, &mut |_| calls += 1).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(calls > 50);
    // The last call comes when the file has its name.
    for stop in 0..calls - 1 {
        let cancel = CancelToken::new();
        let mut seen = 0;
        let result = convert(case.source.path(), &path, &options, &cancel, &mut |_| {
            if seen == stop {
                cancel.cancel();
            }
            seen += 1;
        });
        assert!(matches!(result, Err(ModelError::Cancelled)), "stopped at {stop}: {result:?}");
        assert_eq!(case.left(), [""; 0], "stopped at {stop}");
        assert!(seen <= stop + 1, "went on after the stop");
    }
    let cancel = CancelToken::new();
    cancel.cancel();
    let result = convert(case.source.path(), &path, &options, &cancel, &mut |_| {});
    assert!(matches!(result, Err(ModelError::Cancelled)));
    assert_eq!(case.left(), [""; 0]);
}
