// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho models` without a network, and names of the store where files are expected.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::{bho, fails, file, json, keys, repository, stderr, stdout};

/// Runs with a store of its own.
fn models(store: &Path, args: &[&str]) -> Output {
    bho().env("BHO_MODELS_DIR", store).args(args).output().unwrap()
}

/// A store with a tiny decoder named `tiny`.
fn with_tiny() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors").display().to_string();
    let made = models(dir.path(), &["dev", "make-model", &path, "--shape", "1m"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let flags = ["--name", "tiny", "--licence", "MIT", "--yes", "--json"];
    let pulled =
        models(&dir.path().join("store"), &[&["models", "pull", &path][..], &flags].concat());
    let manifest = json(&pulled, 0);
    assert_eq!(
        (&manifest["licence"], &manifest["source"]["kind"]),
        (&"MIT".into(), &"local".into())
    );
    assert!(stderr(&pulled).contains("licence: MIT"), "{}", stderr(&pulled));
    dir
}

#[test]
fn an_empty_store_has_the_bundled_models() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("none");
    let list = json(&models(&store, &["models", "list", "--json"]), 0);
    assert_eq!(keys(&list), ["store", "models"]);
    let fields = [
        "name", "bundled", "bytes", "files", "licence", "source", "pulled", "sizes", "tiers",
        "fault",
    ];
    assert_eq!(keys(&list["models"][0]), fields);
    assert_eq!(
        (&list["models"][0]["name"], &list["models"][0]["bundled"]),
        (&"bitnet-s-1.58b".into(), &true.into())
    );
    assert!(stdout(&models(&store, &["models", "list"])).contains("Apache-2.0"));
    let shown = stdout(&models(&store, &["models", "show", "mini-embed-small"]));
    assert!(shown.contains("bitnet-s-1.58b") && shown.contains("sha256"), "{shown}");
    let shown = stdout(&models(&store, &["models", "show", "minilm-l6-int8"]));
    assert!(shown.contains("int8, 22565376 parameters") && shown.contains("6 of 384"), "{shown}");
    let shown = json(&models(&store, &["models", "show", "tinybert-guard", "--json"]), 0);
    let sizes = ["parameters", "layers", "dimensions", "max_tokens", "weights"];
    assert_eq!((keys(&shown["sizes"]), &shown["tiers"]["moderator"]), (sizes.to_vec(), &1.into()));
    let verified = json(&models(&store, &["models", "verify", "--json"]), 0);
    assert_eq!(keys(&verified), ["ok", "blobs", "bytes", "models", "unreferenced", "partial"]);
    assert_eq!(keys(&verified["models"][0]), ["name", "bundled", "faults", "remedy"]);
    let named =
        ["models", "verify", "tinybert-guard", "rampart-pii", "tinybert-onnx-int8", "--json"];
    let verified = json(&models(&store, &named), 0);
    let names = verified["models"].as_array().unwrap().iter().map(|model| &model["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["rampart-pii", "tinybert-guard"]);
    assert_eq!(verified["ok"], true);
    // Looking leaves no trace.
    assert!(!store.exists());
    fails(&models(&store, &["models", "show", "gpt-7"]), 2, "no model is called \"gpt-7\"");
    fails(&models(&store, &["models", "verify", "rampart-pii", "gpt-7"]), 2, "in the store: none");
    fails(&models(&store, &["models", "rm", "gpt-7", "--yes"]), 2, "no model is called");
    fails(&models(&store, &["models", "rm", "minilm-l6-int8", "--yes"]), 1, "part of the program");
    fails(
        &models(&store, &["models", "show", "minilm-l6-int8", "--path"]),
        1,
        "part of the program",
    );
}

#[test]
fn the_store_is_where_the_environment_says() {
    let dir = tempfile::tempdir().unwrap();
    let place = |variables: &[(&str, &str)]| {
        let mut command = bho();
        for variable in ["BHO_MODELS_DIR", "XDG_DATA_HOME", "HOME", "USERPROFILE"] {
            command.env_remove(variable);
        }
        command.envs(variables.iter().copied()).args(["models", "list", "--json"]).output().unwrap()
    };
    let home = dir.path().to_str().unwrap();
    let store = |variables: &[(&str, &str)]| {
        json(&place(variables), 0)["store"].as_str().unwrap().to_owned()
    };
    assert_eq!(store(&[("HOME", home)]), format!("{home}/.local/share/bho/models"));
    assert_eq!(
        store(&[("HOME", home), ("XDG_DATA_HOME", "relative")]),
        format!("{home}/.local/share/bho/models")
    );
    let data = format!("{home}/data");
    assert_eq!(store(&[("HOME", home), ("XDG_DATA_HOME", &data)]), format!("{data}/bho/models"));
    assert_eq!(store(&[("HOME", home), ("BHO_MODELS_DIR", "here")]), "here");
    fails(&place(&[]), 2, "BHO_MODELS_DIR");
}

#[test]
fn a_model_of_the_store_goes_where_a_file_goes() {
    let dir = with_tiny();
    let store = dir.path().join("store");
    let path = stdout(&models(&store, &["models", "show", "tiny", "--path"]));
    assert!(path.trim_end().ends_with("model.safetensors"), "{path}");
    let inspected = json(&models(&store, &["inspect", "tiny", "--json"]), 0);
    assert_eq!(inspected["architecture"], "BitNetForCausalLM");
    let bench = models(
        &store,
        &[
            "bench",
            "e2e",
            "tiny",
            "--prompts",
            "4",
            "--generate",
            "2",
            "--threads",
            "1",
            "--rounds",
            "1",
            "--json",
        ],
    );
    assert_eq!(json(&bench, 0)["complete"], true);
    // It has no tokenizer: the error names the file it was found in.
    fails(
        &models(&store, &["generate", "tiny", "hello"]),
        1,
        "model.safetensors: has no tokenizer",
    );
    fails(&models(&store, &["embed", "--model", "tiny", "hello"]), 1, "is not an encoder");
    let out = dir.path().join("out.safetensors").display().to_string();
    let converted = models(&store, &["convert", "tiny", &out]);
    assert!(!stderr(&converted).contains("cannot read tiny"), "{}", stderr(&converted));
    fails(&models(&store, &["inspect", "tinier"]), 2, "tinier");
    // A file of that name comes first.
    let (here, _) = file("tiny", b"not a model");
    let mut command = bho();
    let output = command
        .env("BHO_MODELS_DIR", &store)
        .current_dir(here.path())
        .args(["inspect", "tiny"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn a_folder_of_the_store_converts_and_embeds() {
    let dir = tempfile::tempdir().unwrap();
    let golden = repository().join("tests/golden/bert/h32_long");
    let source = dir.path().join("tiny-bert");
    fs::create_dir(&source).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden.join(name), source.join(name)).unwrap();
    }
    let words: Vec<_> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        .map(String::from)
        .into_iter()
        .chain((5..89).map(|i| format!("word{i}")))
        .collect();
    fs::write(source.join("vocab.txt"), words.join("\n") + "\n").unwrap();
    let store = dir.path().join("store");
    let pulled = models(&store, &["models", "pull", source.to_str().unwrap(), "--yes"]);
    assert_eq!(pulled.status.code(), Some(0), "{}", stderr(&pulled));
    let out = dir.path().join("out.safetensors");
    let converted = models(&store, &["convert", "tiny-bert", out.to_str().unwrap()]);
    assert_eq!(converted.status.code(), Some(0), "{}", stderr(&converted));
    let embedded = json(&models(&store, &["embed", "--model", "tiny-bert", "--json", "word7"]), 0);
    assert_eq!(embedded["dim"], 32);
}

#[test]
fn damage_is_found_listed_and_removed() {
    let dir = with_tiny();
    let store = dir.path().join("store");
    let sum = json(&models(&store, &["models", "show", "tiny", "--json"]), 0)["files"][0]["sha256"]
        .as_str()
        .unwrap()
        .to_owned();
    let blob = store.join("blobs/sha256").join(&sum);
    let bytes = fs::read(&blob).unwrap();
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, [&bytes[1..], &bytes[..1]].concat()).unwrap();
    let found = models(&store, &["models", "verify"]);
    assert_eq!(found.status.code(), Some(1));
    assert!(
        stdout(&found).contains(&format!("tiny: model.safetensors: blob {sum} is damaged")),
        "{}",
        stdout(&found)
    );
    // The source is still there: pulling again repairs.
    let source = dir.path().join("model.safetensors");
    let again =
        models(&store, &["models", "pull", source.to_str().unwrap(), "--name", "tiny", "--yes"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(models(&store, &["models", "verify", "tiny"]).status.code(), Some(0));

    fs::write(store.join("refs/torn.json"), "{\"format\": 1,").unwrap();
    let list = models(&store, &["models", "list"]);
    assert_eq!(list.status.code(), Some(1));
    assert!(
        stdout(&list).contains("tiny") && stderr(&list).contains("torn.json"),
        "{}",
        stderr(&list)
    );
    let list = json(&models(&store, &["models", "list", "--json"]), 1);
    let mut faults = list["models"].as_array().unwrap().iter().map(|m| m["fault"].as_str());
    assert!(faults.any(|fault| fault.is_some_and(|fault| fault.contains("torn.json"))));
    fails(&models(&store, &["inspect", "torn"]), 1, "torn.json");
    assert_eq!(models(&store, &["models", "rm", "torn", "--yes"]).status.code(), Some(0));
    let removed = json(&models(&store, &["models", "rm", "tiny", "--yes", "--json"]), 0);
    assert_eq!(keys(&removed), ["name", "files", "bytes", "kept"]);
    assert_eq!((&removed["files"], &removed["bytes"]), (&1.into(), &bytes.len().into()));
    assert_eq!(fs::read_dir(store.join("blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn every_fault_of_a_stored_model_is_on_its_line() {
    let dir = with_tiny();
    let store = dir.path().join("store");
    let line = |code: i32, name: &str| {
        let found = models(&store, &["models", "verify", "tiny", name]);
        assert_eq!(found.status.code(), Some(code), "{}", stderr(&found));
        let lines = stdout(&found).lines().map(str::to_owned).collect::<Vec<_>>();
        let of_tiny: Vec<_> = lines.iter().filter(|line| line.contains("  tiny")).collect();
        assert_eq!(of_tiny.len(), 1, "{lines:?}");
        of_tiny[0].clone()
    };
    assert_eq!(line(0, "rampart-pii"), "sound  tiny");
    let shown = json(&models(&store, &["models", "show", "tiny", "--json"]), 0);
    let blob = store.join("blobs/sha256").join(shown["files"][0]["sha256"].as_str().unwrap());
    let bytes = fs::read(&blob).unwrap();
    let put = |bytes: &[u8]| {
        fs::remove_file(&blob).unwrap();
        fs::write(&blob, bytes).unwrap();
    };
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let longer = [&bytes[..], b"x"].concat();
    let all: [&[u8]; 5] = [&bytes[..bytes.len() - 1], &bytes[..7], b"", &longer, &flipped];
    for damaged in all {
        put(damaged);
        let line = line(1, "tiny");
        assert!(line.starts_with("fault  tiny: model.safetensors: blob "), "{line}");
        assert!(line.contains(" is damaged: ") && line.contains("To do: pull it again"), "{line}");
    }
    fs::remove_file(&blob).unwrap();
    assert!(line(1, "tiny").contains("is missing. To do: pull it again, from "));
    fs::write(&blob, &bytes).unwrap();
    let torn = store.join("refs/tiny.json");
    let manifest = fs::read_to_string(&torn).unwrap();
    fs::write(&torn, manifest.replace("\"size\": ", "\"size\": 1")).unwrap();
    assert!(line(1, "tiny").contains(" bytes, the manifest says 1"));
    fs::write(&torn, &manifest[..9]).unwrap();
    assert!(line(1, "tiny").contains("To do: `bho models rm tiny`, then pull it again"));
    fs::write(&torn, &manifest).unwrap();
    assert_eq!(line(0, "tiny"), "sound  tiny");

    // Kept as it came, but no model: pulling it again would help nobody.
    let (_source, broken) = file("tiny2.safetensors", &bytes[..bytes.len() / 2]);
    let pulled = models(&store, &["models", "pull", broken.to_str().unwrap(), "--yes"]);
    assert_eq!(pulled.status.code(), Some(0), "{}", stderr(&pulled));
    let found = json(&models(&store, &["models", "verify", "--json"]), 1);
    let model = &found["models"].as_array().unwrap().last().unwrap();
    let fault = model["faults"][0].as_str().unwrap();
    assert!(fault.starts_with("tiny2.safetensors: not safetensors: "), "{fault}");
    assert!(model["remedy"].as_str().unwrap().contains("pull a sound one"), "{model}");
}

/// The program is a file, too: a bit of a model inside it may flip like any other.
#[cfg(target_os = "linux")]
#[test]
fn a_program_with_a_damaged_model_says_so() {
    let mut program = fs::read(env!("CARGO_BIN_EXE_bho")).unwrap();
    let model = repository().join("models/bundled/tinybert-guard-int8.safetensors");
    let model = fs::read(model).unwrap();
    let (needle, middle) = (&model[..4096], model.len() / 2);
    let at = program.windows(needle.len()).position(|part| part == needle).unwrap();
    program[at + middle] ^= 0x10;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bho");
    fs::write(&path, program).unwrap();
    fs::set_permissions(&path, fs::metadata(env!("CARGO_BIN_EXE_bho")).unwrap().permissions())
        .unwrap();
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(&path);
        command.env("BHO_MODELS_DIR", dir.path().join("store")).args(args).output().unwrap()
    };
    let found = run(&["models", "verify"]);
    assert_eq!(found.status.code(), Some(1), "{}", stderr(&found));
    let found = stdout(&found);
    assert!(found.contains("sound  rampart-pii (bundled)\n"), "{found}");
    assert!(found.contains("fault  tinybert-guard (bundled): sha256: the file has "), "{found}");
    assert!(found.contains("install or build the program again\n"), "{found}");
    assert_eq!(run(&["models", "verify", "rampart-pii"]).status.code(), Some(0));
    let report = json(&run(&["doctor", "--json"]), 1);
    let problem = report["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("model tinybert-guard: sha256: "), "{problem}");
}

#[test]
fn nothing_is_done_unasked() {
    let dir = with_tiny();
    let store = dir.path().join("store");
    let source = dir.path().join("model.safetensors").display().to_string();
    fails(&models(&store, &["models", "rm", "tiny"]), 2, "give --yes");
    fails(&models(&store, &["models", "rm", "other"]), 2, "no model is called");
    fails(&models(&store, &["models", "pull", &source, "--name", "new"]), 2, "give --yes");
    fails(&models(&store, &["models", "pull", &source, "--yes", "--name", "../x"]), 1, "--name");
    fails(
        &models(&store, &["models", "pull", &source, "--yes", "--name", "mini-embed-small"]),
        2,
        "bundled model",
    );
    fails(
        &models(&store, &["models", "pull", &source, "--yes", "--max-size", "1kB"]),
        1,
        "more than --max-size 1000",
    );
    fails(&models(&store, &["models", "pull", "org/model", "--yes"]), 2, "BHO_HUB");
    let list = json(&models(&store, &["models", "list", "--json"]), 0);
    let own = list["models"].as_array().unwrap().iter().filter(|model| model["bundled"] == false);
    assert_eq!(own.map(|model| &model["name"]).collect::<Vec<_>>(), ["tiny"]);
}

#[cfg(not(feature = "pull"))]
#[test]
fn without_the_feature_there_is_no_network() {
    let dir = tempfile::tempdir().unwrap();
    for source in [&["https://example.org/m"][..], &["org/model", "--hub", "https://example.org"]] {
        let output = models(dir.path(), &[&["models", "pull", "--yes"], source].concat());
        fails(&output, 2, "--features pull");
    }
}
