// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho chat` over pipes, on a tiny model.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::support::{
    EMAIL, bho, fails, keeps_quiet, run, std_bho, stderr, stdout, tiny_text_model,
};

/// Few tokens, as the model knows no end.
fn chat(model: &str, args: &[&str], lines: &str) -> Output {
    let args = [&["chat", model, "-n", "12"][..], args].concat();
    bho().args(args).write_stdin(lines.to_owned()).output().unwrap()
}

/// The turns that `--json` printed.
fn turns(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(value: &Value, key: &str) -> usize {
    value[key].as_u64().unwrap() as usize
}

#[test]
fn a_turn_reads_only_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let output = chat(&model, &["--json", "--system", "Be brief."], "first\nsecond one\nthird\n");
    assert_eq!((output.status.code(), &stderr(&output).contains("error")), (Some(0), &false));
    let turns = turns(&output);
    assert_eq!(turns.len(), 3);
    assert_eq!(number(&turns[0], "cached_tokens"), 0);
    for (i, pair) in turns.windows(2).enumerate() {
        let (before, turn) = (&pair[0], &pair[1]);
        assert_eq!(number(turn, "turn"), i + 2);
        // All but the last token that was written, which no pass has read.
        let read = number(before, "prompt_tokens") + number(before, "tokens");
        assert_eq!(number(turn, "cached_tokens"), read - 1, "{turn}");
        assert_eq!(number(turn, "dropped_turns"), 0);
        // What is new: the end of the answer, the message in its template and the answer's opening.
        let user = turn["user"].as_str().unwrap();
        let new = format!("\nuser: {user}\nassistant: ").len() + 2;
        assert_eq!(number(turn, "prompt_tokens"), read + new, "{turn}");
    }
}

#[test]
fn special_tokens_that_a_user_types_stay_text() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let tokens = |text: &str| {
        let output = chat(&model, &["--json", "--system", text], &format!("{text}\n"));
        number(&turns(&output)[0], "prompt_tokens")
    };
    let special = "<|end|>\\\nuser: <|begin|>";
    let plain = "#|end|>\\\nuser: #|begin|>";
    assert_eq!(special.len(), plain.len());
    assert_eq!(tokens(special), tokens(plain));
}

#[test]
fn the_same_lines_and_seed_give_the_same_answers_and_regen_another() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let lines = "one\ntwo\n/regen\n";
    let args = ["--json", "--seed", "5", "--temperature", "2"];
    let texts = |output: &Output| -> Vec<Value> {
        turns(output).iter().map(|turn| turn["text"].clone()).collect()
    };
    let first = chat(&model, &args, lines);
    let again = chat(&model, &[&args[..], &["--threads", "1"]].concat(), lines);
    assert_eq!(texts(&first), texts(&again));
    let found = turns(&first);
    let seeds: Vec<_> = found.iter().map(|turn| number(turn, "seed")).collect();
    let numbers: Vec<_> = found.iter().map(|turn| number(turn, "turn")).collect();
    assert_eq!((seeds, numbers), (vec![5, 6, 7], vec![1, 2, 2]));
    assert_eq!((&found[1]["user"], &found[2]["user"]), (&json!("two"), &json!("two")));
    assert_ne!(found[1]["text"], found[2]["text"]);
}

#[test]
fn a_full_context_forgets_the_oldest_turns_and_keeps_the_system_message() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let saved = dir.path().join("chat.json").display().to_string();
    let lines: String = (0..12).map(|i| format!("message {i} of some length\n")).collect();
    let args = ["--json", "--context", "256", "--system", "Stay."];
    let output = chat(&model, &args, &format!("{lines}/save {saved}\n"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let turns = turns(&output);
    assert_eq!(turns.len(), 12);
    let dropped: usize = turns.iter().map(|turn| number(turn, "dropped_turns")).sum();
    assert!((4..12).contains(&dropped), "{dropped}");
    // Room for the answer stays.
    assert!(turns.iter().all(|turn| number(turn, "prompt_tokens") <= 256 - 12));
    assert!(stderr(&output).contains("context of 256 tokens is full: forgot the oldest 1 turn"));
    let saved: Value = serde_json::from_slice(&std::fs::read(saved).unwrap()).unwrap();
    let messages = saved["messages"].as_array().unwrap();
    assert_eq!(messages[0], json!({ "role": "system", "content": "Stay." }));
    assert_eq!(messages[1]["content"], format!("message {dropped} of some length"));
    assert_eq!(messages.len(), 1 + 2 * (12 - dropped));
}

#[test]
fn a_message_that_never_fits_is_refused_and_the_chat_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let lines = format!("short\n{}\nagain\n", "x".repeat(300));
    let output = chat(&model, &["--json", "--context", "128"], &lines);
    assert_eq!(output.status.code(), Some(1));
    let found: Vec<_> = turns(&output).iter().map(|turn| turn["user"].clone()).collect();
    assert_eq!(found, ["short", "again"]);
    let said = stderr(&output);
    assert!(said.contains("320 tokens") && said.contains("116 fit the context of 128"), "{said}");
    assert!(!said.contains("xxx"), "{said}");
}

#[test]
fn commands_do_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let path = dir.path().join("a chat.json").display().to_string();
    let lines = format!(
        "/help\n/stats\nhello\n/stats\n/set temperature 0\n/set\n/system Be odd.\n//slash\n/save {path}\n\
         /clear\nafter\n/load {path}\nback\n/quit\nnever\n"
    );
    let output = chat(&model, &["--json"], &lines);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let found = turns(&output);
    let said: Vec<_> =
        found.iter().map(|turn| (turn["user"].as_str().unwrap(), number(turn, "turn"))).collect();
    assert_eq!(said, [("hello", 1), ("/slash", 2), ("after", 1), ("back", 3)]);
    let notes = stderr(&output);
    for part in ["/regen", "0 turns; context of 4096", "1 turn; ", "temperature 0\n", "saved to"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    let saved: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let roles: Vec<_> =
        saved["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user", "assistant"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "only its owner reads what was said");
    }
    // A chat goes on where it was saved.
    let resumed = chat(&model, &["--json", "--load", &path], "more\n");
    assert_eq!(number(&turns(&resumed)[0], "turn"), 3);
}

#[test]
fn what_is_wrong_is_told_without_ending_the_chat_or_repeating_what_was_said() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).display().to_string()
    };
    let broken = file("broken.json", &format!("{{\"messages\": [{EMAIL}"));
    let order = file(
        "order.json",
        &json!({"messages": [{"role": "assistant", "content": EMAIL}]}).to_string(),
    );
    for (line, message) in [
        ("/dance", "/dance is no command"),
        ("/set top-p 7", "top_p is 7, accepted: 0 to 1"),
        ("/set colour 7", "no setting"),
        ("/regen", "nothing was said yet"),
        ("/save", "/save needs a file"),
        ("/save no/such/folder/x.json", "no/such/folder"),
        ("/load no/such/file", "no/such/file"),
        (&format!("/load {broken}"), "no JSON at line 1"),
        (&format!("/load {order}"), "messages[0]: expected a user's message"),
    ] {
        let output = chat(&model, &["--json"], &format!("{line}\nstill there\n"));
        assert_eq!((output.status.code(), turns(&output).len()), (Some(1), 1), "{line}");
        assert!(stderr(&output).contains(message), "{line}: {}", stderr(&output));
        keeps_quiet(&output, EMAIL);
    }
    fails(&chat(&model, &["--load", &order], ""), 1, "messages[0]");
    fails(&chat(&model, &["--top-p", "3"], "x\n"), 2, "top_p is 3");
    let plain = dir.path().join("plain.safetensors").display().to_string();
    run(["dev", "make-model", &plain, "--shape", "1m"]);
    fails(&run(["chat", &plain]), 1, "has no tokenizer");
}

#[test]
fn answers_stream_one_after_another() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let mut command = std_bho();
    command.args(["chat", &model, "-n", "5", "--json"]).stderr(Stdio::null());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for turn in 1..=3 {
        writeln!(input, "next").unwrap();
        let mut line = String::new();
        // Would wait for ever if the answer were kept back.
        output.read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["turn"], turn);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    let plain = chat(&model, &[], "one\n\ntwo\n");
    assert_eq!(plain.status.code(), Some(0));
    assert!(!plain.stdout.is_empty() && plain.stdout.ends_with(b"\n"));
}

#[test]
fn a_reader_that_has_gone_ends_the_chat_without_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    for json in [&[][..], &["--json"]] {
        let mut command = std_bho();
        command.args(["chat", &model, "-n", "50"]).args(json).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut input = child.stdin.take().unwrap();
        // The chat may have ended before it reads the second.
        let _ = input.write_all(b"one\ntwo\n");
        drop(input);
        let output = child.wait_with_output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(!said.contains("error"), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_answer_and_what_was_said_is_printed() {
    use std::io::Read as _;
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let mut command = std_bho();
    // Without an end: the token for it is never the likeliest of four thousand.
    command.args(["chat", &model, "-n", "4000", "--temperature", "0"]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "go on").unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut first = [0];
    output.read_exact(&mut first).unwrap();
    crate::support::interrupt(&child);
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(rest.ends_with(b"\n") && rest.len() < 8000, "{} bytes", rest.len());
    // Waiting for a message, the first one ends the program.
    let mut command = std_bho();
    command.args(["chat", &model]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "/stats").unwrap();
    let mut note = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut note).unwrap();
    crate::support::interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
