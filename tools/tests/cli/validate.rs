// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho validate`, and invalid pipelines given to `bho run`.

use std::fs;

use crate::support::{
    fails, file, fixture, json, keeps_quiet, keys, pipeline, run, stderr, stdout, tiny_text_model,
};

fn validate(path: &std::path::Path, flags: &[&str]) -> std::process::Output {
    let mut args = vec!["validate".as_ref(), path.as_os_str()];
    args.extend(flags.iter().map(|flag| std::ffi::OsStr::new(*flag)));
    run(args)
}

#[test]
fn the_pipelines_that_users_get_are_without_a_fault() {
    // Some write with a language model of the user's that stands beside them.
    let dir = tempfile::tempdir().unwrap();
    fs::rename(tiny_text_model(dir.path()), dir.path().join("model.safetensors")).unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(pipeline("")).unwrap() {
        let entry = entry.unwrap();
        let copy = dir.path().join(entry.file_name());
        fs::copy(entry.path(), &copy).unwrap();
        let report = json(&validate(&copy, &["--json"]), 0);
        assert_eq!(report["faults"], serde_json::json!([]), "{report}");
        seen += 1;
    }
    assert!(seen >= 4);
}

#[test]
fn the_report_has_stable_keys() {
    let report = json(&validate(&fixture("examples/full.yml"), &["--json"]), 0);
    assert_eq!(
        keys(&report),
        ["file", "valid", "name", "nodes", "errors", "warnings", "not_yet", "faults", "models"]
    );
    assert_eq!(
        keys(&report["faults"][0]),
        ["severity", "code", "path", "line", "column", "message", "hint"]
    );
    assert_eq!(keys(&report["models"][0]), ["role", "key", "label", "model", "error", "nodes"]);
    assert_eq!((&report["valid"], &report["nodes"]), (&true.into(), &4.into()));
    assert_eq!(
        report["not_yet"].as_u64().unwrap(),
        report["faults"].as_array().unwrap().len() as u64
    );
    assert_eq!(report["models"][0]["label"], "bitnet-s-1.58b");
    assert_eq!(report["models"][0]["model"], "bitnet-s-1.58b (bundled)");
}

#[test]
fn keys_without_effect_are_listed_with_their_place() {
    let output = validate(&fixture("examples/full.yml"), &[]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("accepted, not yet in effect:"), "{text}");
    assert!(text.contains("19:3  ") && text.contains("budgets.memory_mb"), "{text}");
    assert!(text.lines().last().unwrap().contains("full.yml: valid (4 nodes, 0 errors"), "{text}");
}

#[test]
fn an_encoder_that_cannot_be_loaded_is_a_fault_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("broken.safetensors"), b"not a model").unwrap();
    let path = dir.path().join("p.yml");
    let pipeline = |agent: &str| {
        format!(
            "version: 0.1.0\nschema: pipeline.v1\nname: p\nmodels:\n  embedder_path: broken.safetensors\n\
             nodes:\n  - {{ id: a, agent: {agent} }}\n"
        )
    };
    fs::write(&path, pipeline("bitnet.embed")).unwrap();
    let report = json(&validate(&path, &["--json"]), 1);
    let fault = &report["faults"][0];
    assert_eq!((&fault["code"], &fault["line"]), (&"bad_model".into(), &5.into()), "{report}");
    assert!(fault["message"].as_str().unwrap().contains("broken.safetensors"), "{report}");
    assert_eq!(report["errors"], 1);
    assert!(
        stdout(&validate(&path, &[]))
            .contains("p.yml:5:18: error[bad_model]: models.embedder_path: ")
    );
    // What no node uses is not loaded.
    fs::write(&path, pipeline("bitnet.summarizer")).unwrap();
    json(&validate(&path, &["--json"]), 0);
}

#[test]
fn every_mistake_is_told_with_file_line_and_column() {
    let mut seen = 0;
    for entry in fs::read_dir(fixture("bad")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        seen += 1;
        let expected = fs::read_to_string(path.with_extension("expected")).unwrap();
        let code = i32::from(expected.contains(": error["));
        let output = validate(&path, &[]);
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert_eq!(stderr(&output), "");
        let folder = path.parent().unwrap().display().to_string();
        // Up to the message: hints depend on the agents there are.
        let places = expected.lines().filter(|line| !line.starts_with(' '));
        for place in places.filter(|line| !line.contains(": note[")) {
            let end = place.find("]: ").expect("a code") + 3;
            let place = format!("{folder}/{}", &place[..end]);
            assert!(text.lines().any(|line| line.starts_with(&place)), "{place} is not in {text}");
        }
    }
    assert!(seen >= 30, "{seen} fixtures");
}

#[test]
fn defaults_are_written_out_and_load_again() {
    let output = validate(&pipeline("minimal.yml"), &["--effective"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("valid (1 node"));
    let (_dir, path) = file("effective.yml", &output.stdout);
    let again = validate(&path, &["--effective"]);
    assert_eq!(stdout(&again), stdout(&output));
    let report = json(&validate(&path, &["--json", "--effective"]), 0);
    assert_eq!(report["effective"]["budgets"]["latency_ms"], 1800);
}

#[test]
fn an_invalid_pipeline_does_not_run() {
    let path = fixture("bad/many_faults.yml");
    let args = ["run".as_ref(), path.as_os_str(), "--input".as_ref(), "a secret word".as_ref()];
    let output = run(args);
    fails(&output, 1, "many_faults.yml:11:12: error[unknown_agent]");
    keeps_quiet(&output, "secret");
    let report = json(&run(args.into_iter().chain(["--json".as_ref()])), 1);
    assert_eq!(keys(&report), ["status", "file", "faults"]);
    assert_eq!(report["status"], "invalid");
}

#[test]
fn a_model_nobody_knows_is_a_fault_of_the_pipeline() {
    let (_dir, path) = file(
        "p.yml",
        "version: 0.1.0\nschema: pipeline.v1\nname: n\nmodels: {reasoner: gpt-7}\n\
         nodes: [{id: a, agent: bitnet.summarizer}]\n",
    );
    let output = validate(&path, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("models.reasoner: no model is called \"gpt-7\"; known: "), "{text}");
    let report = json(&validate(&path, &["--json"]), 1);
    assert_eq!((&report["valid"], &report["errors"]), (&false.into(), &1.into()));
    let output = run(["run".as_ref(), path.as_os_str(), "--input".as_ref(), "x".as_ref()]);
    fails(&output, 1, "models.reasoner: no model is called \"gpt-7\"");
}

#[test]
fn a_file_that_cannot_be_read_exits_with_2() {
    let (dir, _) = file("x", "");
    fails(&validate(&dir.path().join("missing.yml"), &[]), 2, "missing.yml");
    assert_eq!(validate(dir.path(), &[]).status.code(), Some(2));
}
