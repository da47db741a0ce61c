// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho doctor`.

use crate::support::{bho, json, keys, run, stdout};

#[test]
fn the_machine_is_described() {
    let output = run(["doctor"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in ["kernels", "threads", "memory", "sha256 verified", "pii: email", "all in order"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn the_report_has_stable_keys() {
    let report = json(&run(["doctor", "--json"]), 0);
    assert_eq!(
        keys(&report),
        ["version", "ok", "problems", "cpu", "memory", "kernels", "threads", "models", "guard"]
    );
    assert_eq!(
        keys(&report["cpu"]),
        ["brand", "arch", "features", "online", "affinity", "cores", "quota"]
    );
    assert_eq!(keys(&report["memory"]), ["total_bytes", "available_bytes", "limit_bytes"]);
    assert_eq!(keys(&report["kernels"]), ["backend", "available", "forced"]);
    assert_eq!(keys(&report["threads"]), ["count", "why"]);
    assert_eq!(
        keys(&report["models"][0]),
        [
            "name",
            "aliases",
            "architecture",
            "bytes",
            "sha256",
            "verified",
            "licence",
            "source",
            "revision",
            "summary"
        ]
    );
    assert_eq!(keys(&report["guard"]), ["models", "signals", "variables_without_effect"]);
    let available = report["kernels"]["available"].as_array().unwrap();
    assert_eq!(available[0], "scalar");
    assert_eq!(available.last(), Some(&report["kernels"]["backend"]));
    assert_eq!(report["models"][0]["verified"], true);
}

#[test]
fn settings_of_the_environment_are_shown_and_bad_ones_are_problems() {
    let doctor = |name: &str, value: &str| {
        bho().env(name, value).args(["doctor", "--json"]).output().unwrap()
    };
    let report = json(&doctor("BHO_ISA", "scalar"), 0);
    assert_eq!(report["kernels"]["backend"], "scalar");
    assert_eq!(report["kernels"]["forced"], "scalar");
    let report = json(&doctor("BHO_ISA", "quantum"), 1);
    assert_eq!((&report["ok"], &report["kernels"]["backend"]), (&false.into(), &().into()));
    assert!(report["problems"][0].as_str().unwrap().contains("quantum"));
    let report = json(&doctor("TINYBERT_ONNX_PATH", "guard.onnx"), 1);
    assert!(report["problems"][0].as_str().unwrap().contains("bho convert"));
    let report = json(&doctor("TINYBERT_PATH", "no/such.safetensors"), 1);
    assert!(report["problems"][0].as_str().unwrap().contains("TINYBERT_PATH: cannot read no/such"));
    let report = json(&doctor("TINYBERT_TOKENIZER_DIR", "folder"), 0);
    let variable = &report["guard"]["variables_without_effect"][0]["variable"];
    assert_eq!(variable, "TINYBERT_TOKENIZER_DIR");
}

#[test]
fn signals_name_the_learned_detectors_that_feed_them() {
    let signals = |command: &mut assert_cmd::Command| {
        let report = json(&command.args(["doctor", "--json"]).output().unwrap(), 0);
        report["guard"]["signals"].as_array().unwrap().clone()
    };
    let learned = signals(&mut bho());
    let pii = learned.iter().find(|found| found["signal"] == "pii").unwrap();
    assert!(pii["detectors"].as_array().unwrap().contains(&"tagger".into()), "{pii}");
    let rules = signals(bho().env("GUARD_REGEX_ONLY", "1"));
    assert_eq!(rules[0]["active"], false, "{rules:?}");
}
