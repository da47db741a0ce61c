// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho dev make-model`, `bho bench e2e`, `bho generate`: what they print and what they refuse.

use crate::support::{json, run, stderr};

/// A tiny model with random weights.
fn tiny(dir: &std::path::Path) -> String {
    let path = dir.join("tiny.safetensors").display().to_string();
    assert_eq!(run(["dev", "make-model", &path, "--shape", "1m"]).status.code(), Some(0));
    path
}

#[test]
fn the_same_seed_makes_the_same_model_and_an_existing_file_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = tiny(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    let again = run(["dev", "make-model", &path, "--shape", "1m"]);
    assert_eq!(again.status.code(), Some(2), "{}", stderr(&again));
    let report = json(&run(["dev", "make-model", &path, "--shape", "1m", "--force", "--json"]), 0);
    assert!(std::fs::read(&path).unwrap() == bytes && report["bytes"] == bytes.len());
    let other = ["dev", "make-model", &path, "--shape", "1m", "--force", "--seed", "1"];
    assert_eq!(run(other).status.code(), Some(0));
    assert!(std::fs::read(&path).unwrap() != bytes);
    let unknown = run(["dev", "make-model", &path, "--shape", "9t"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("accepted: 2b-4t, 100m, 1m"), "{}", stderr(&unknown));
}

#[test]
fn a_model_is_measured_with_the_columns_of_llama_bench() {
    let dir = tempfile::tempdir().unwrap();
    let path = tiny(dir.path());
    let args = ["--prompts", "8", "--generate", "4", "--threads", "1,2", "--rounds", "2"];
    let report = json(&run([&["bench", "e2e", &path, "--json"][..], &args[..]].concat()), 0);
    let rows = report["rows"].as_array().unwrap();
    let tests: Vec<_> = rows.iter().map(|row| row["test"].as_str().unwrap()).collect();
    assert_eq!(tests, ["pp8", "pp8", "tg4", "tg4", "2 x tg4", "2 x tg4"]);
    for row in rows {
        assert_eq!(row["seconds"].as_array().unwrap().len(), 2);
        assert!(row["tokens_per_second"].as_f64().unwrap() > 0.0, "{row}");
        let test = row["test"].as_str().unwrap();
        assert!(row["gb_s"].is_number() == test.contains("tg"), "{row}");
        assert!(row["over_one"].is_number() == test.contains('x'), "{row}");
    }
    assert!(report["load_ms"].as_f64().unwrap() > 0.0 && report["complete"] == true);
    let table = run([&["bench", "e2e", &path][..], &args[..]].concat());
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(["params", "pp8", "tg4", "t/s"].iter().all(|part| table.contains(part)), "{table}");
    let long = run(["bench", "e2e", &path, "--prompts", "5000"]);
    assert_eq!(long.status.code(), Some(1));
    assert!(stderr(&long).contains("context of 4096"), "{}", stderr(&long));
}

#[test]
fn a_model_that_cannot_write_text_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = tiny(dir.path());
    let none = run(["generate", &path, "hello"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("has no tokenizer"), "{}", stderr(&none));
    let missing = run(["generate", "no/such/file", "hello"]);
    assert_eq!(missing.status.code(), Some(2));
    let encoder = dir.path().join("other.safetensors");
    std::fs::write(&encoder, b"not a model").unwrap();
    let wrong = run(["generate", encoder.to_str().unwrap(), "hello"]);
    assert_eq!(wrong.status.code(), Some(1), "{}", stderr(&wrong));
}
