// SPDX-License-Identifier: AGPL-3.0-or-later
//! Closed pipes, streaming and Ctrl-C.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{TEXT, file, patient_summary, std_bho};

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (_dir, path) =
        file("many.jsonl", "{\"text\": \"one of very many lines\"}\n".repeat(200_000));
    let mut command = std_bho();
    command.args(["guard", "check", "--jsonl"]).arg(&path);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("{\"node\":\"line:1\""), "{first}");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_closed_standard_output_costs_neither_success_nor_the_trace() {
    let (dir, path) = patient_summary();
    let trace = dir.path().join("trace.json");
    let mut run = std_bho();
    run.arg("run").arg(&path).args(["--json", "--input", TEXT, "--trace"]).arg(&trace);
    let mut help = std_bho();
    help.arg("--help");
    let mut doctor = std_bho();
    doctor.args(["doctor", "--json"]);
    let mut completions = std_bho();
    completions.args(["completions", "bash"]);
    for mut command in [run, help, doctor, completions] {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command:?}");
    }
    assert!(std::fs::read_to_string(trace).unwrap().ends_with("}\n"));
}

#[test]
fn a_card_is_there_before_the_next_line_is_asked_for() {
    let mut command = std_bho();
    command.args(["guard", "check", "--jsonl", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for number in 1..=3 {
        input.write_all(b"{\"text\": \"a\"}\n").unwrap();
        let mut card = String::new();
        // Would wait for ever if the card were kept back.
        output.read_line(&mut card).unwrap();
        assert!(card.contains(&format!("\"line:{number}\"")), "{card}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_the_run_and_prints_what_is_done() {
    let (dir, path) = file(
        "long.yml",
        // A key without effect, so that the program says something once it can be interrupted.
        "version: 0.1.0\nschema: pipeline.v1\nname: long\nbudgets: {memory_mb: 512, max_concurrency: 1}\n\
         nodes:\n\
         \x20 - {id: quick, agent: tools.retriever, io: {inputs: {query: 'x'}}}\n\
         \x20 - {id: slow, deps: [quick], agent: bitnet.embed, timeout_ms: 600000, io: {inputs: {texts: '${source.texts}'}}}\n",
    );
    let texts: Vec<_> = (0..4000).map(|i| format!("{i} {}", TEXT.repeat(3))).collect();
    let source = dir.path().join("source.json");
    std::fs::write(&source, serde_json::json!({ "texts": texts }).to_string()).unwrap();
    let mut command = std_bho();
    command.arg("run").arg(&path).args(["--json", "--source"]).arg(&source);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut note = String::new();
    errors.read_line(&mut note).unwrap();
    assert!(note.starts_with("note: "), "{note}");
    std::thread::sleep(Duration::from_millis(1500));
    let sent = Instant::now();
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    let status = child.wait().unwrap();
    assert!(sent.elapsed() < Duration::from_secs(20), "{:?}", sent.elapsed());
    assert_eq!(status.code(), Some(130), "{printed}");
    let outcome: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_ne!(outcome["status"], "complete");
    assert!(outcome["errors"].to_string().contains("Cancelled"), "{}", outcome["errors"]);
}
