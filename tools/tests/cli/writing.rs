// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho generate` on a tiny model: constraints, ends of texts, and what must not be written.

use std::io::Read as _;
use std::process::Stdio;

use serde_json::{Value, json as value};

use crate::support::{fails, json, run, std_bho, stderr, stdout, tiny_text_model};

fn generate(model: &str, args: &[&str]) -> std::process::Output {
    run([&["generate", model][..], args].concat())
}

/// Seeds and temperatures that a model without sense goes astray with.
fn draws() -> impl Iterator<Item = (&'static str, String)> {
    let temperatures = ["0", "0.8", "100"];
    temperatures.into_iter().flat_map(|t| (0..3).map(move |seed| (t, seed.to_string())))
}

#[test]
fn any_draw_matches_the_regular_expression() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let is_name = |text: &str| {
        let (colour, rest) = text.split_once('-').unwrap();
        let (digits, rest) = rest.split_at(3);
        ["red", "grün", "blue"].contains(&colour)
            && digits.chars().all(|c| c.is_ascii_digit())
            && (1..=8).contains(&rest.len())
            && rest.chars().all(|c| ('a'..='f').contains(&c))
    };
    let mut found = std::collections::BTreeSet::new();
    for (temperature, seed) in draws() {
        let regex = "(red|grün|blue)-[0-9]{3}[a-f]{1,8}";
        let options = ["name one", "--regex", regex, "--temperature", temperature, "--seed", &seed];
        let text = stdout(&generate(&model, &options));
        assert!(is_name(text.strip_suffix('\n').unwrap()), "{text:?}");
        found.insert(text);
    }
    assert!(found.len() >= 5, "{found:?}");
}

#[test]
fn any_draw_is_json_of_the_schema() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let schema = value!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 12 },
            "kind": { "enum": ["cat", "dog"] },
            "marks": { "type": "array", "items": { "enum": [1, 20, null] }, "minItems": 1, "maxItems": 3 },
        },
        "required": ["name", "kind", "marks"],
        "additionalProperties": false,
    });
    let file = dir.path().join("pet.schema.json");
    std::fs::write(&file, schema.to_string()).unwrap();
    for (temperature, seed) in draws() {
        let given = if seed == "0" { file.display().to_string() } else { schema.to_string() };
        let report = json(
            &generate(
                &model,
                &[
                    "a pet",
                    "--json-schema",
                    &given,
                    "--json",
                    "--temperature",
                    temperature,
                    "--seed",
                    &seed,
                ],
            ),
            0,
        );
        assert_eq!((&report["satisfied"], &report["finish"]), (&value!(true), &value!("stop")));
        let text = report["text"].as_str().unwrap();
        let pet: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(crate::support::keys(&pet), ["name", "kind", "marks"], "{text}");
        assert!(pet["name"].as_str().unwrap().chars().count() <= 12, "{text}");
        assert!(["cat", "dog"].contains(&pet["kind"].as_str().unwrap()), "{text}");
        let marks = pet["marks"].as_array().unwrap();
        let known = [value!(1), value!(20), Value::Null];
        assert!(
            (1..=3).contains(&marks.len()) && marks.iter().all(|m| known.contains(m)),
            "{text}"
        );
    }
}

#[test]
fn a_text_that_ends_too_soon_for_its_constraint_fails_and_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let cut = generate(&model, &["x", "--regex", "[a-z]{20}", "--max-tokens", "5"]);
    assert_eq!(cut.status.code(), Some(1));
    assert_eq!(stdout(&cut).len(), 6, "{}", stdout(&cut));
    assert!(
        stderr(&cut).contains("before it was what the constraint asks for"),
        "{}",
        stderr(&cut)
    );
    let report = generate(&model, &["x", "--regex", "[a-z]{20}", "-n", "5", "--json"]);
    assert_eq!(json(&report, 1)["satisfied"], false);
}

#[test]
fn constraints_that_cannot_be_followed_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let deep_regex = "(".repeat(65) + &")".repeat(65);
    let long_regex = "a".repeat((16 << 10) + 1);
    for (pattern, reason) in [
        ("(", "--regex"),
        ("a(?=b)", "look-around"),
        (&deep_regex, "65 levels deep; accepted: 64"),
        (&long_regex, "16385 bytes; accepted: at most 16384"),
    ] {
        fails(&generate(&model, &["x", "--regex", pattern]), 2, reason);
    }
    let mut deep = value!({ "type": "null" });
    for _ in 0..70 {
        deep = value!({ "type": "array", "items": deep });
    }
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).display().to_string()
    };
    let cases = [
        (
            value!({ "type": "string", "$ref": "https://example.org/a.json" }).to_string(),
            "--json-schema",
        ),
        (
            value!({ "type": "object", "unevaluatedProperties": false }).to_string(),
            "unevaluatedProperties",
        ),
        (
            value!({ "allOf": [{ "type": "string" }, { "type": "null" }] }).to_string(),
            "--json-schema",
        ),
        (deep.to_string(), "65 levels deep; accepted: 64"),
        ("{\"type\": }".into(), "not JSON"),
        (file("list.json", "[1, 2"), "list.json: not JSON"),
        (
            file("large.json", &value!({ "const": "x".repeat(300_000) }).to_string()),
            "accepted: at most 262144",
        ),
        (dir.path().join("none.json").display().to_string(), "none.json"),
    ];
    for (schema, reason) in cases {
        fails(&generate(&model, &["x", "--json-schema", &schema]), 2, reason);
    }
    let both = generate(&model, &["x", "--regex", "a", "--json-schema", "{}"]);
    fails(&both, 2, "cannot be used with");
}

#[test]
fn a_prompt_beyond_the_context_is_an_error_with_both_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let prompt = "x".repeat(100);
    let long = generate(&model, &[&prompt, "--raw", "--context", "64"]);
    fails(&long, 1, "the prompt has 101 tokens; 63 fit the context of 64");
    let beyond = "x".repeat(5000);
    fails(&generate(&model, &[&beyond, "--raw"]), 1, "5001 tokens; 4095 fit the context of 4096");
}

#[test]
fn nothing_to_write_and_nothing_to_read_are_no_errors() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let read = json(&generate(&model, &["abc", "--raw", "-n", "0", "--json"]), 0);
    assert_eq!((&read["text"], &read["prompt_tokens"]), (&value!(""), &value!(4)));
    let plain = generate(&model, &["abc", "-n", "0"]);
    assert_eq!((plain.status.code(), &stdout(&plain)[..]), (Some(0), "\n"));
    // The token that opens a text is there.
    let empty = json(&generate(&model, &["", "--raw", "-n", "3", "--json"]), 0);
    assert_eq!(
        (&empty["prompt_tokens"], &empty["tokens"].as_array().unwrap().len()),
        (&value!(1), &3)
    );
}

#[test]
fn a_stop_text_ends_the_text_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let args = ["abc", "--regex", "[a-z]{60}", "--temperature", "100", "--json"];
    let free = json(&generate(&model, &args), 0)["text"].as_str().unwrap().to_owned();
    let stop = &free[20..22];
    let args =
        ["abc", "--regex", "[a-z]{60}", "--temperature", "100", "--stop", "§", "--stop", stop];
    let stopped = generate(&model, &args);
    assert_eq!(stdout(&stopped), format!("{}\n", &free[..free.find(stop).unwrap()]));
    assert_eq!(stopped.status.code(), Some(1), "before the constraint was satisfied");
}

/// The file with `from` replaced by `to`, of the same length, at its first place.
fn damaged(path: &str, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(from.len()).position(|window| window == from).expect("it is there");
    bytes[at..at + to.len()].copy_from_slice(to);
    std::fs::write(path, bytes).unwrap();
}

/// Where a tensor's bytes begin.
fn tensor_at(path: &str, name: &str) -> usize {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    8 + length + header[name]["data_offsets"][0].as_u64().unwrap() as usize
}

#[test]
fn weights_that_are_no_numbers_are_errors_in_every_verb() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.txt");
    std::fs::write(&text, "some text").unwrap();
    for (tensor, wrong) in [
        ("model.norm.weight", f32::NAN),
        ("model.layers.1.self_attn.q_proj.scale", f32::INFINITY),
        ("lm_head.scale", f32::NAN),
    ] {
        let model = tiny_text_model(dir.path());
        let at = tensor_at(&model, tensor);
        let mut bytes = std::fs::read(&model).unwrap();
        // Gains may be stored in half precision: NaN and infinity of f32 end as those of bf16.
        let header = String::from_utf8_lossy(&bytes[8..at.min(bytes.len())]).into_owned();
        let half = header.split(&format!("{tensor:?}")).nth(1).unwrap()[..40].contains("16");
        let value = wrong.to_le_bytes();
        let value = if half { &value[2..] } else { &value[..] };
        bytes[at..at + value.len()].copy_from_slice(value);
        std::fs::write(&model, bytes).unwrap();
        for args in [
            &["generate", &model, "x"][..],
            &["chat", &model],
            &["ppl", &model, text.to_str().unwrap()],
        ] {
            fails(&run(args.iter().copied()), 1, tensor);
            assert!(stderr(&run(args.iter().copied())).contains("not finite"), "{args:?}");
        }
        std::fs::remove_file(&model).unwrap();
    }
}

#[test]
fn a_tokenizer_that_disagrees_with_the_vocabulary_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    damaged(&model, br#"\"z\":122"#, br#"\"z\":900"#);
    for verb in [&["generate", &model, "x"][..], &["chat", &model]] {
        fails(&run(verb.iter().copied()), 1, "token id 900, but the model has 512 rows");
    }
}

const ENDLESS: &str = "[a-z\n]{3990,4000}";

/// A text that goes on for thousands of tokens.
fn endless(model: &str) -> std::process::Child {
    let mut command = std_bho();
    command.args(["generate", model, "x", "--regex", ENDLESS, "-n", "4000"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_reader_that_has_gone_ends_the_text_without_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let mut child = endless(&model);
    let mut first = [0];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &stderr(&output)[..]), (Some(0), ""));
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let mut child = endless(&model);
    let mut out = child.stdout.take().unwrap();
    let mut first = [0];
    out.read_exact(&mut first).unwrap();
    crate::support::interrupt(&child);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(rest.ends_with('\n') && rest.len() < 4000, "{} bytes", rest.len());
    let text = [&first[..], rest.as_bytes()].concat();
    // The same beginning as that of the text that is not stopped.
    let whole = generate(&model, &["x", "--regex", ENDLESS, "-n", "400"]);
    let same = text.len().min(400) - 1;
    assert_eq!(text[..same], whole.stdout[..same]);
}

#[test]
fn the_same_seed_writes_the_same_tokens_on_any_threads_and_backend() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let text = |threads: &str, seed: &str, kv: &str| {
        let args =
            ["hello", "--json", "-n", "60", "--threads", threads, "--seed", seed, "--kv", kv];
        json(&generate(&model, &args), 0)["tokens"].clone()
    };
    let one = text("1", "7", "f16");
    assert_eq!(text("2", "7", "f16"), one);
    assert_eq!(text("3", "7", "f16"), one);
    assert_ne!(text("1", "8", "f16"), one);
    let args = ["generate", &model, "hello", "--json", "-n", "60", "--seed", "7"];
    let scalar = crate::support::bho().env("BHO_ISA", "scalar").args(args).output().unwrap();
    assert_eq!(json(&scalar, 0)["tokens"], one);
}
