// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho ppl` on a tiny model. Its numbers are held against PyTorch in the cross-crate tests.

use crate::support::{bho, fails, json, run, stdout, tiny_text_model};

const TEXT: &str = "Ternary weights take about 1.58 bits each. Größe zählt nicht.\n";

#[test]
fn windows_tokens_and_bytes_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let text = TEXT.repeat(10);
    let file = dir.path().join("text.txt").display().to_string();
    std::fs::write(&file, &text).unwrap();
    let measure =
        |args: &[&str]| json(&run([&["ppl", &model, &file, "--json"][..], args].concat()), 0);
    let whole = measure(&["--ctx", "2048"]);
    let bytes = text.len();
    assert_eq!(
        (&whole["tokens"], &whole["bytes"], &whole["windows"]),
        (&bytes.into(), &bytes.into(), &1.into())
    );
    let number = |report: &serde_json::Value, key: &str| report[key].as_f64().unwrap();
    let nll = number(&whole, "mean_nll");
    assert!((number(&whole, "perplexity") - nll.exp()).abs() < 1e-6 * nll.exp());
    // A token is a byte here.
    assert!((number(&whole, "bits_per_byte") - nll / 2f64.ln()).abs() < 1e-9);
    // Each token has less to go by, and all are scored all the same.
    let strided = measure(&["--ctx", "33", "--stride", "8"]);
    assert_eq!(strided["tokens"], bytes);
    assert_eq!(strided["windows"], (bytes - 32).div_ceil(8) + 1);
    let without = measure(&["--ctx", "33", "--stride", "32"]);
    assert_eq!(
        (&without["tokens"], &without["windows"]),
        (&bytes.into(), &bytes.div_ceil(32).into())
    );
    assert_ne!(without["mean_nll"], strided["mean_nll"]);
}

#[test]
fn a_text_on_standard_input_and_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let mut command = bho();
    let args = ["ppl", &model, "-", "--ctx", "65", "--stride", "16", "--chunks", "3", "--json"];
    let report = json(&command.args(args).write_stdin(TEXT.repeat(10)).output().unwrap(), 0);
    // 64 tokens of the first window, 16 of each of the others.
    assert_eq!((&report["windows"], &report["tokens"]), (&3.into(), &96.into()));
    let [low, high] = [0, 1].map(|i| report["interval_95"][i].as_f64().unwrap());
    let (value, error) = (&report["perplexity"], report["standard_error"].as_f64().unwrap());
    let value = value.as_f64().unwrap();
    assert!((low - value * (-1.96 * error).exp()).abs() < 1e-9 * value);
    assert!((high - value * (1.96 * error).exp()).abs() < 1e-9 * value);
    let mut command = bho();
    let plain = command.args(["ppl", &model, "-"]).write_stdin(TEXT).output().unwrap();
    let plain = stdout(&plain);
    assert!(
        ["perplexity ", "95 % interval", "bits per byte", "1 window"]
            .iter()
            .all(|p| plain.contains(p)),
        "{plain}"
    );
}

#[test]
fn the_same_numbers_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let measure = |threads: &str| {
        let mut command = bho();
        let args = ["ppl", &model, "-", "--ctx", "100", "--threads", threads, "--json"];
        let report = command.args(args).write_stdin(TEXT.repeat(4)).output().unwrap();
        json(&report, 0)["mean_nll"].clone()
    };
    assert_eq!(measure("1"), measure("2"));
    assert_eq!(measure("1"), measure("3"));
}

#[test]
fn what_cannot_be_measured_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(dir.path().join(name), bytes).unwrap();
        dir.path().join(name).display().to_string()
    };
    let text = file("text.txt", TEXT.as_bytes());
    let refused = |args: &[&str]| run([&["ppl", &model][..], args].concat());
    fails(&refused(&[&file("empty.txt", b"")]), 1, "0 tokens: none to score");
    fails(&refused(&[&file("latin1.txt", b"Gr\xF6\xDFe")]), 2, "not UTF-8: byte 2");
    fails(&refused(&[&text, "--ctx", "5000"]), 2, "--ctx is 5000; the model's context is 4096");
    fails(&refused(&[&text, "--ctx", "1"]), 2, "no room");
    fails(
        &refused(&[&text, "--ctx", "9", "--stride", "9"]),
        2,
        "--stride is 9; a window has 8 tokens",
    );
    fails(&refused(&[&text, "--stride", "0"]), 2, "--stride");
    fails(&refused(&["no/such/file"]), 2, "no/such/file");
    let long = file("long.txt", &b"x".repeat((4 << 20) + 1));
    fails(&refused(&[&long]), 1, "4194305 bytes; accepted: 4194304");
}
