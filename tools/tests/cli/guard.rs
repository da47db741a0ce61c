// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho guard check`.

use serde_json::Value;

use crate::support::{
    ATTACK, ATTACK_WORD, EMAIL, PHONE, bho, fails, file, json, keeps_quiet, keys, run, stderr,
    stdout,
};

const CARD: [&str; 9] =
    ["node", "mode", "guard_version", "allowed", "text", "labels", "actions", "redactions", "why"];

fn lines(output: &std::process::Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_card_has_the_fields_of_the_contract_and_no_personal_data() {
    let text = format!("Write to {EMAIL} or call {PHONE}.");
    let output = run(["guard", "check", "--json", &text]);
    let card = json(&output, 0);
    assert_eq!(keys(&card)[..CARD.len()], CARD);
    assert_eq!(keys(&card)[CARD.len()..], ["evidence", "policy_tags"]);
    assert_eq!(card["text"], "Write to [EMAIL] or call [PHONE].");
    assert_eq!(card["redactions"][0]["span"], serde_json::json!([9, 9 + EMAIL.len()]));
    assert_eq!((&card["mode"], &card["allowed"]), (&"input".into(), &true.into()));
    keeps_quiet(&output, EMAIL);
    keeps_quiet(&output, PHONE);

    let output = run(["guard", "check", &text]);
    assert_eq!(output.status.code(), Some(0));
    let shown = stdout(&output);
    assert!(shown.contains("Write to [EMAIL] or call [PHONE].\n"), "{shown}");
    assert!(shown.contains("PII.email  9..37   1.00   0.70  email, "), "{shown}");
    assert!(!shown.contains('\x1b'));
    keeps_quiet(&output, EMAIL);
}

#[test]
fn a_blocked_text_is_a_check_that_worked_and_is_never_shown() {
    for flags in [&[][..], &["--json"], &["--mode", "output"], &["--json", "--mode", "output"]] {
        let output = run(["guard", "check", ATTACK].iter().chain(flags));
        assert_eq!(output.status.code(), Some(0));
        keeps_quiet(&output, ATTACK_WORD);
        assert!(stdout(&output).contains("block"), "{}", stdout(&output));
    }
    assert_eq!(json(&run(["guard", "check", "--json", ATTACK]), 0)["allowed"], false);
}

#[test]
fn a_text_comes_from_the_line_a_file_or_standard_input() {
    let (_dir, path) = file("a.txt", format!("to {EMAIL}"));
    let from_file = run(["guard", "check", "--json", &format!("@{}", path.display())]);
    assert_eq!(json(&from_file, 0)["text"], "to [EMAIL]");
    let piped = bho()
        .args(["guard", "check", "--json", "-"])
        .write_stdin(format!("to {EMAIL}"))
        .output()
        .unwrap();
    assert_eq!(piped.stdout, from_file.stdout);
    assert_eq!(json(&run(["guard", "check", "--json", "@@home"]), 0)["text"], "@home");
}

#[test]
fn empty_and_odd_texts_are_checked() {
    assert_eq!(json(&run(["guard", "check", "--json", ""]), 0)["text"], "");
    let odd = format!("a\0b {EMAIL}\0");
    let output = bho().args(["guard", "check", "--json", "-"]).write_stdin(odd.clone()).output();
    assert_eq!(json(&output.unwrap(), 0)["text"], "a\0b [EMAIL]\0");
    let shown = bho().args(["guard", "check", "-"]).write_stdin(odd).output().unwrap();
    assert!(stdout(&shown).contains("a\\u{0}b [EMAIL]\\u{0}"), "{}", stdout(&shown));
}

#[test]
fn what_could_drive_a_terminal_is_shown_as_an_escape() {
    // By the rules: what a model makes of such a text is another matter.
    let text = "harmless \x1b]0;title\x07 \u{202E}text";
    let output =
        bho().env("GUARD_REGEX_ONLY", "1").args(["guard", "check", text]).output().unwrap();
    let shown = stdout(&output);
    assert!(shown.contains("harmless \\u{1b}]0;title\\u{7} \\u{202e}text"), "{shown}");
    assert!(!shown.contains('\x1b'));
}

#[test]
fn ten_megabytes_are_checked_to_the_end() {
    let mut text = "The quick brown fox jumps over the lazy dog. ".repeat(234_000);
    assert!(text.len() > 10 << 20);
    let at = text.len();
    text.push_str(EMAIL);
    let output = bho().args(["guard", "check", "--json", "-"]).write_stdin(text).output().unwrap();
    let card = json(&output, 0);
    assert_eq!(card["redactions"][0]["span"][0].as_u64(), Some(at as u64));
    keeps_quiet(&output, EMAIL);
}

#[test]
fn one_card_a_line_and_bad_lines_do_not_stop_the_rest() {
    let stream = format!(
        "{{\"text\": \"to {EMAIL}\"}}\n\nnot json {EMAIL}\n{{\"txt\": \"{EMAIL}\"}}\n\
         {{\"text\": [\"{EMAIL}\"]}}\n\"{EMAIL}\"\n{{\"text\": \"{ATTACK}\", \"id\": 7}}\n\
         {{\"text\": \"\"}}"
    );
    let (_dir, path) = file("t.jsonl", &stream);
    let output = run(["guard".as_ref(), "check".as_ref(), "--jsonl".as_ref(), path.as_os_str()]);
    assert_eq!(output.status.code(), Some(1));
    let cards = lines(&output);
    let nodes: Vec<_> = cards.iter().map(|card| card["node"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["line:1", "line:7", "line:8"]);
    assert!(cards.iter().all(|card| keys(card)[..CARD.len()] == CARD));
    let said = stderr(&output);
    for line in [
        "t.jsonl:3: not valid JSON",
        "t.jsonl:4: the object has no `text`",
        "t.jsonl:5: `text` is not a string",
        "t.jsonl:6: expected an object",
    ] {
        assert!(said.contains(line), "{line} is not in {said}");
    }
    keeps_quiet(&output, EMAIL);
    keeps_quiet(&output, ATTACK_WORD);

    let good = bho()
        .args(["guard", "check", "--jsonl", "-"])
        .write_stdin("{\"text\":\"a\"}\n")
        .output()
        .unwrap();
    assert_eq!((good.status.code(), lines(&good).len()), (Some(0), 1));
    assert_eq!(stderr(&good), "");
}

#[test]
fn bad_inputs_are_clear_errors() {
    let (dir, path) = file("latin1.txt", [EMAIL.as_bytes(), b" caf\xE9"].concat());
    let output = run(["guard", "check", &format!("@{}", path.display())]);
    fails(&output, 2, &format!("latin1.txt is not UTF-8: byte {} is 0xE9", EMAIL.len() + 4));
    keeps_quiet(&output, EMAIL);
    let folder = format!("@{}", dir.path().display());
    fails(&run(["guard", "check", &folder]), 2, "it is a directory");
    fails(&run(["guard", "check", "@no/such.txt"]), 2, "cannot read no/such.txt");
    fails(&run(["guard", "check", "--jsonl", "no/such.jsonl"]), 2, "cannot read no/such.jsonl");
}

#[cfg(unix)]
#[test]
fn an_endless_text_is_refused() {
    fails(&run(["guard", "check", "@/dev/zero"]), 2, "larger than 64 MiB");
}

#[test]
fn settings_of_the_guard_are_heard_or_refused() {
    let check = |name: &str, value: &str| {
        bho().env(name, value).args(["guard", "check", "--json", "a"]).output().unwrap()
    };
    let output = check("TINYBERT_TOKENIZER_DIR", "folder");
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr(&output).starts_with("warning: TINYBERT_TOKENIZER_DIR is set and has no effect")
    );
    fails(&check("TINYBERT_ONNX_PATH", "guard.onnx"), 2, "bho convert");
    fails(&check("GUARD_REGEX_ONLY", "perhaps"), 2, "GUARD_REGEX_ONLY must be one of");
    assert_eq!(stderr(&check("GUARD_REGEX_ONLY", "1")), "");
}
