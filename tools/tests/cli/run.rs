// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho run` on the bundled model.

use std::fs;
use std::path::Path;

use serde_json::{Value, json as value};

use crate::support::{
    ATTACK, ATTACK_WORD, EMAIL, PHONE, TEXT, bho, fails, file, fixture, json, keeps_quiet, keys,
    patient_summary, pipeline, run, stderr, stdout,
};

fn run_on(path: &Path, text: &str, flags: &[&str]) -> std::process::Output {
    bho().arg("run").arg(path).args(["--input", text]).args(flags).output().unwrap()
}

#[test]
fn the_main_job_is_done_and_pleasant_to_read() {
    let text = format!("{TEXT} Write to {EMAIL} or call {PHONE}.");
    let output = run_on(&pipeline("summarize_and_verify.yml"), &text, &[]);
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", stderr(&output));
    assert!(shown.starts_with("summarize_and_verify  complete  "), "{shown}");
    assert!(shown.contains("BitNet b1.58 is efficient"), "{shown}");
    assert!(shown.contains("\nnode    agent "), "{shown}");
    assert!(shown.contains("\nreduce  bitnet.synthesis "), "{shown}");
    // The guard has nothing against what the program itself says.
    assert!(!shown.contains("withheld") && !shown.contains("refused"), "{shown}");
    assert_eq!(shown.matches("  ok\n").count(), 4, "{shown}");
    let guarded = shown.lines().find(|line| line.starts_with("pipeline:input ")).unwrap();
    assert!(guarded.contains(" redact  1 email, 1 phone "), "{shown}");
    assert!(!shown.contains('\x1b'), "no colours into a pipe");
    assert_eq!(stderr(&output), "");
    keeps_quiet(&output, EMAIL);
    keeps_quiet(&output, PHONE);
}

#[test]
fn the_outcome_has_stable_keys_and_the_same_bytes_each_time() {
    let run = || {
        let output = run_on(&pipeline("quick_single.yml"), TEXT, &["--json", "--seed", "7"]);
        json(&output, 0)
    };
    let (mut first, mut second) = (run(), run());
    assert_eq!(
        keys(&first),
        [
            "pipeline",
            "status",
            "text",
            "answered_by",
            "elapsed_ms",
            "seed",
            "errors",
            "results",
            "cards",
            "models",
            "warnings"
        ]
    );
    assert_eq!(keys(&first["models"][0]), ["name", "sha256", "precision", "isa", "threads"]);
    assert_eq!(keys(&first["results"]), ["parse", "claim1", "claim2", "reduce"]);
    assert_eq!((&first["status"], &first["seed"]), (&"complete".into(), &7.into()));
    for outcome in [&mut first, &mut second] {
        outcome["elapsed_ms"] = Value::Null;
    }
    assert_eq!(first, second);
}

#[test]
fn the_examples_of_the_documents_run_as_they_stand() {
    for name in ["minimal", "quick_single", "quick_chat", "full", "advanced_rag"] {
        let path = fixture(&format!("examples/{name}.yml"));
        let source = fixture("examples/source.json");
        let output = bho()
            .arg("run")
            .arg(&path)
            .arg("--json")
            .arg("--source")
            .arg(&source)
            .output()
            .unwrap();
        let outcome = json(&output, 0);
        assert!(!outcome["text"].as_str().unwrap().is_empty(), "{name}: {outcome}");
        keeps_quiet(&output, "test@example.com");
        keeps_quiet(&output, "555");
    }
}

#[test]
fn a_blocked_input_exits_with_1_and_is_never_shown() {
    let (dir, path) = patient_summary();
    let trace = dir.path().join("trace.json");
    for flags in [&[][..], &["--json"]] {
        let trace = trace.display().to_string();
        let flags: Vec<_> = flags.iter().copied().chain(["--trace", &trace]).collect();
        let output = run_on(&path, ATTACK, &flags);
        assert_eq!(output.status.code(), Some(1));
        assert!(stdout(&output).contains("blocked"), "{}", stdout(&output));
        keeps_quiet(&output, ATTACK_WORD);
    }
    let trace = fs::read_to_string(trace).unwrap();
    assert!(!trace.contains(ATTACK_WORD));
    assert_eq!(serde_json::from_str::<Value>(&trace).unwrap()["status"], "blocked");
}

#[test]
fn no_stream_and_no_trace_holds_personal_data() {
    let (dir, path) = file(
        "p.yml",
        "version: 0.1.0\nschema: pipeline.v1\nname: n\nnodes:\n\
         \x20 - {id: a, agent: bitnet.summarizer, timeout_ms: 60000}\n\
         \x20 - {id: b, agent: bitnet.claimcheck, timeout_ms: 60000, io: {inputs: {claim: '${source.deep.claim}', text: '${source.text}'}}}\n\
         \x20 - {id: c, agent: bitnet.claimcheck, timeout_ms: 60000, io: {inputs: {claim: '${source.deep.list}'}}}\n\
         \x20 - {id: d, agent: bitnet.synthesis, deps: [a, b, c], timeout_ms: 60000}\n",
    );
    let source = value!({
        "text": format!("{TEXT} Write to {EMAIL}."),
        "deep": { "claim": format!("{EMAIL} is right"), "list": [EMAIL, PHONE] },
        (EMAIL): PHONE,
    });
    let source_file = dir.path().join("source.json");
    fs::write(&source_file, source.to_string()).unwrap();
    let trace = dir.path().join("trace.json");
    for flags in [&[][..], &["--json"]] {
        let mut command = bho();
        command.arg("run").arg(&path).args(flags).arg("--source").arg(&source_file);
        let output = command.arg("--trace").arg(&trace).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", stderr(&output));
        keeps_quiet(&output, EMAIL);
        keeps_quiet(&output, "010-4477");
        let trace = fs::read_to_string(&trace).unwrap();
        assert!(!trace.contains(EMAIL) && !trace.contains("010-4477"), "{trace}");
    }
}

#[test]
fn a_trace_is_written_whole_in_place_of_an_older_one() {
    let (dir, path) = patient_summary();
    let trace = dir.path().join("trace.json");
    fs::write(&trace, "x".repeat(1 << 20)).unwrap();
    let output = run_on(&path, TEXT, &["--seed", "3", "--trace", &trace.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let written: Value = serde_json::from_str(&fs::read_to_string(&trace).unwrap()).unwrap();
    assert_eq!(
        keys(&written),
        [
            "pipeline",
            "started_unix_ms",
            "duration_us",
            "status",
            "seed",
            "isa",
            "threads",
            "slots",
            "models",
            "budgets",
            "nodes",
            "cards",
            "provenance",
            "errors",
            "answer"
        ]
    );
    assert_eq!(written["seed"], 3);
    let mut left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["patient.yml", "trace.json"]);
}

#[test]
fn a_trace_that_cannot_be_written_is_refused_before_the_run() {
    let (dir, path) = patient_summary();
    fails(&run_on(&path, TEXT, &["--trace", "no/such/folder/t.json"]), 2, "cannot write no/such");
    let folder = dir.path().display().to_string();
    fails(&run_on(&path, TEXT, &["--trace", &folder]), 2, "it is a directory");
    let quiet = dir.path().join("quiet.yml");
    let text = fs::read_to_string(&path).unwrap() + "tracing: {enabled: false}\n";
    fs::write(&quiet, text).unwrap();
    fails(&run_on(&quiet, TEXT, &["--trace", "t.json"]), 2, "tracing.enabled: false");
    let output = run_on(&quiet, TEXT, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).starts_with("patient  complete  "));
}

#[test]
fn sources_are_objects_bare_or_under_their_name() {
    let (dir, path) = patient_summary();
    let with_source = |text: &str| {
        let file = dir.path().join("source.json");
        fs::write(&file, text).unwrap();
        bho().arg("run").arg(&path).arg("--json").arg("--source").arg(&file).output().unwrap()
    };
    let bare = json(&with_source(&value!({ "text": TEXT }).to_string()), 0);
    let named = json(&with_source(&value!({ "source": { "text": TEXT } }).to_string()), 0);
    assert_eq!(bare["text"], named["text"]);
    for (text, message) in [
        (
            format!("{{\"text\": \"{EMAIL}\",\n  oops}}"),
            "source.json:2:3: the JSON is not valid JSON",
        ),
        ("{\"text\": \"a".to_owned(), "source.json:1:11: the JSON ends early"),
        (format!("[\"{EMAIL}\"]"), "expected a JSON object"),
        (format!("{{\"source\": \"{EMAIL}\"}}"), "`source` is no object"),
        (String::new(), "the JSON ends early"),
    ] {
        let output = with_source(&text);
        fails(&output, 2, message);
        keeps_quiet(&output, EMAIL);
    }
}

#[test]
fn bad_inputs_are_clear_errors() {
    let (_dir, path) = patient_summary();
    fails(&run_on(Path::new("no/such.yml"), TEXT, &[]), 2, "no/such.yml");
    fails(&run_on(&path, "@no/such.txt", &[]), 2, "cannot read no/such.txt");
    let piped = |bytes: Vec<u8>| {
        bho().arg("run").arg(&path).args(["--input", "-"]).write_stdin(bytes).output().unwrap()
    };
    fails(&piped(b"caf\xE9".to_vec()), 2, "standard input is not UTF-8: byte 3 is 0xE9");
}

#[test]
fn empty_nul_and_ten_megabyte_texts_have_an_outcome() {
    let (_dir, path) = patient_summary();
    let outcome = |text: String| {
        let mut command = bho();
        // Ten megabytes take the guard's models minutes, its rules a second.
        command.env("GUARD_REGEX_ONLY", "1");
        command.arg("run").arg(&path).args(["--json", "--input", "-"]).write_stdin(text);
        command.output().unwrap()
    };
    let empty = outcome(String::new());
    assert!(matches!(empty.status.code(), Some(0 | 1)));
    assert_eq!(serde_json::from_slice::<Value>(&empty.stdout).unwrap()["text"], "");
    let nul = json(&outcome(format!("{TEXT}\0 {EMAIL}")), 0);
    assert!(nul["cards"][0]["text"].as_str().unwrap().ends_with("\0 [EMAIL]"));
    let large = outcome(format!("{} {EMAIL}", TEXT.repeat((10 << 20) / TEXT.len() + 1)));
    assert_eq!(json(&large, 0)["status"], "complete");
    keeps_quiet(&large, EMAIL);
}

#[test]
fn keys_without_effect_are_mentioned_on_standard_error() {
    let output = run_on(&fixture("examples/full.yml"), TEXT, &["--json"]);
    json(&output, 0);
    assert!(stderr(&output).contains("note: 7 keys of "), "{}", stderr(&output));
}

#[test]
fn threads_and_backend_are_those_asked_for() {
    let (_dir, path) = patient_summary();
    let one = json(&run_on(&path, TEXT, &["--json", "--threads", "1"]), 0);
    assert_eq!(one["models"][0]["threads"], 1);
    let mut command = bho();
    command.env("BHO_ISA", "scalar").arg("run").arg(&path).args(["--json", "--input", TEXT]);
    let scalar = json(&command.output().unwrap(), 0);
    assert_eq!(scalar["models"][0]["isa"], "scalar");
    assert_eq!(scalar["text"], one["text"]);
    let mut command = bho();
    command.env("BHO_ISA", "quantum").arg("run").arg(&path).args(["--input", TEXT]);
    fails(&command.output().unwrap(), 2, "no kernel backend is called \"quantum\"");
    let there = std::thread::available_parallelism().unwrap().get();
    for (cap, most) in [(1, 1), (4096, there)] {
        let caps = format!("device_profile: {{caps: {{cpu_threads: {cap}}}}}\n");
        let (_dir, path) = file("capped.yml", fs::read_to_string(&path).unwrap() + &caps);
        let capped = json(&run_on(&path, TEXT, &["--json"]), 0);
        assert_eq!(capped["models"][0]["threads"], most, "{cap}");
    }
}

#[test]
fn a_pipeline_without_models_loads_none() {
    let (_dir, path) = file(
        "p.yml",
        "version: 0.1.0\nschema: pipeline.v1\nname: n\nnodes: [{id: a, agent: tools.retriever, \
         io: {inputs: {query: '${source.text}'}}}]\n",
    );
    let mut command = bho();
    command.env("GUARD_REGEX_ONLY", "1").arg("run").arg(&path).args(["--json", "--input", "x"]);
    assert_eq!(json(&command.output().unwrap(), 0)["models"], value!([]));
    let guard = json(&run_on(&path, "x", &["--json"]), 0)["models"].clone();
    assert!(guard.as_array().unwrap().iter().all(|model| model["name"] != "bitnet-s-1.58b"));
    assert!(run(["run"]).status.code() == Some(2));
}
