// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho eval guard` and `bho guard tune`, with the rules alone: what models say is tested where they are.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{
    ATTACK, EMAIL, PHONE, bho, fails, file, json, keeps_quiet, run, stderr, stdout,
};

/// A name that the rules do not find: it must not be shown either.
const NAME: &str = "Wilhelmina Quagmire";

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn span(text: &str, part: &str, kind: &str) -> Value {
    let start = text.find(part).unwrap();
    json!({"start": start, "end": start + part.len(), "type": kind})
}

/// Found, missed, nothing there, a wrong alarm, and texts for the other signals.
fn labelled() -> String {
    let found = format!("Write to {EMAIL} or call {PHONE}.");
    let missed = format!("Ask {NAME} <{EMAIL}> of Acme.");
    lines(&[
        json!({"text": found, "spans": [span(&found, EMAIL, "EMAIL_ADDRESS"), span(&found, PHONE, "phone")]}),
        json!({"text": missed, "spans": [
            span(&missed, NAME, "email"), span(&missed, EMAIL, "email"), span(&missed, "Acme", "ORGANIZATION"),
        ]}),
        json!({"text": "A fine day.", "spans": []}),
        json!({"text": format!("No person: {EMAIL}"), "spans": []}),
        json!({"text": ATTACK, "labels": {"jailbreak": 1}, "group": "attack"}),
        json!({"text": "Say it in other words.", "labels": {"jailbreak": 1}, "group": "attack"}),
        json!({"text": "What is a system prompt?", "labels": {"jailbreak": 0}, "group": "benign"}),
        json!({"text": "Bake bread.", "labels": {"jailbreak": 0, "toxicity": 0}, "group": "benign"}),
    ])
}

fn evaluate(data: &Path, more: &[&str]) -> std::process::Output {
    let data = data.display().to_string();
    run(["eval", "guard", "--rules-only", "--bootstrap", "50", "--data", &data].iter().chain(more))
}

#[test]
fn figures_are_those_one_counts_by_hand() {
    let (_dir, path) = file("labelled.jsonl", labelled());
    let report = json(&evaluate(&path, &["--json", "--by-detector"]), 0);
    assert_eq!(report["format"], "bho.eval.guard.v1");
    assert_eq!(
        (&report["texts"], &report["data"][0]["file"]),
        (&8.into(), &"labelled.jsonl".into())
    );
    let pii = &report["pii"];
    // Four labels that count, three of them met; four found, one of them where nothing is labelled.
    assert_eq!((&pii["labelled"], &pii["found"]), (&4.into(), &4.into()));
    assert_eq!(pii["overlap"]["recall"]["value"], 0.75);
    assert_eq!(pii["overlap"]["precision"]["value"], 0.75);
    assert_eq!(pii["strict"]["f1"]["value"], 0.75);
    assert_eq!(pii["covered"]["value"], 0.75);
    assert_eq!(
        (&pii["clean_texts"], &pii["clean_texts_flagged"]["value"]),
        (&2.into(), &0.5.into())
    );
    assert_eq!(pii["apart"], json!([{"label": "ORGANIZATION", "why": "unknown", "labelled": 1}]));
    assert_eq!(pii["by_detector"]["rules"]["overlap_f1"], 0.75);
    assert_eq!(pii["by_detector"]["models"]["overlap_recall"], 0.0);
    let interval = &pii["overlap"]["f1"];
    assert!(interval["low"].as_f64() <= interval["value"].as_f64());
    assert!(interval["high"].as_f64() >= interval["value"].as_f64());

    let jailbreak = &report["jailbreak"];
    assert_eq!((&jailbreak["positives"], &jailbreak["negatives"]), (&2.into(), &2.into()));
    assert_eq!(jailbreak["threshold"], 0.6);
    assert_eq!(jailbreak["figures"]["recall"]["value"], 0.5);
    assert_eq!(jailbreak["figures"]["fpr"]["value"], 0.0);
    assert_eq!(jailbreak["groups"][1]["group"], "benign");
    assert_eq!(jailbreak["groups"][1]["fpr"]["value"], 0.0);
    assert_eq!(report["toxicity"]["figures"]["auc"]["value"], Value::Null);
    assert_eq!(report["subject"]["inactive"], json!(["toxicity"]));
    assert_eq!(report["latency"]["texts"], 8);
}

#[test]
fn a_seed_repeats_itself_and_no_report_holds_personal_data() {
    let (dir, path) = file("labelled.jsonl", labelled());
    let page = dir.path().join("report.html");
    let page_name = page.display().to_string();
    let first = evaluate(&path, &["--json", "--seed", "3", "--html", &page_name]);
    let second = evaluate(&path, &["--json", "--seed", "3"]);
    let strip = |output: &std::process::Output| {
        let mut report = json(output, 0);
        report["latency"] = Value::Null;
        report
    };
    assert_eq!(strip(&first), strip(&second));
    let table = evaluate(&path, &[]);
    assert!(stdout(&table).contains("jailbreak"), "{}", stdout(&table));
    let html = std::fs::read_to_string(&page).unwrap();
    for secret in [EMAIL, PHONE, NAME] {
        keeps_quiet(&first, secret);
        keeps_quiet(&table, secret);
        assert!(!html.contains(secret), "{secret} is on the page");
    }
    let mistakes = json(&first, 0)["mistakes"].clone();
    let texts: Vec<_> =
        mistakes.as_array().unwrap().iter().filter_map(|m| m["text"].as_str()).collect();
    assert!(texts.iter().any(|text| text.contains("[missed email] <[email]>")), "{texts:?}");
    assert!(texts.contains(&"No person: [wrong: email]"), "{texts:?}");
    let silent = json(&evaluate(&path, &["--json", "--no-texts"]), 0);
    assert!(silent["mistakes"].as_array().unwrap().iter().all(|m| m["text"].is_null()));
}

#[test]
fn the_page_is_well_formed_and_needs_nothing_from_elsewhere() {
    let (dir, path) = file("a<b>&.jsonl", labelled());
    let page = dir.path().join("report.html");
    let output = evaluate(&path, &["--by-detector", "--html", &page.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let html = std::fs::read_to_string(&page).unwrap();
    well_formed(&html);
    for part in [
        "<svg",
        "ROC",
        "Reliability",
        "prefers-color-scheme",
        "Worst mistakes",
        "a&lt;b&gt;&amp;.jsonl",
    ] {
        assert!(html.contains(part), "no {part}");
    }
    for part in ["<script", "http://", "https://", "url(", "@import"] {
        assert!(!html.contains(part), "there is {part}");
    }
    // The folder holds the data and the page, and nothing half-written.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

/// Every element is closed in its order, every attribute quoted, no number is missing.
pub(crate) fn well_formed(html: &str) {
    let body = html.strip_prefix("<!DOCTYPE html>").unwrap();
    let mut open = Vec::new();
    let mut rest = body;
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains('>'), "a stray > in {:?}", &rest[..at]);
        let end = at + rest[at..].find('>').unwrap();
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        let name: String =
            tag.trim_start_matches('/').chars().take_while(|c| c.is_alphanumeric()).collect();
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name.as_str()));
        } else {
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            let outside: String = tag.split('"').step_by(2).collect();
            assert!(
                !outside.contains("NaN") && !tag.contains("NaN") && !tag.contains("inf"),
                "{tag}"
            );
            if name == "style" {
                let end = rest.find("</style>").unwrap();
                rest = &rest[end..];
            }
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn other_forms_are_read_and_bad_lines_are_told_by_their_place() {
    let text = "Zoë writes to ann@example.org";
    let (_dir, path) = file(
        "presidio.jsonl",
        lines(&[json!({"full_text": text, "spans": [
            {"entity_type": "EMAIL_ADDRESS", "start_position": 14, "end_position": 29}
        ]})]),
    );
    let report = json(&evaluate(&path, &["--json"]), 0);
    assert_eq!(report["pii"]["strict"]["f1"]["value"], 1.0);

    let (_dir, path) = file("label.jsonl", "{\"text\": \"a\", \"label\": 0, \"intent\": \"x\"}\n");
    fails(&evaluate(&path, &[]), 1, "label.jsonl:1:15: say what `label` is about");
    let report =
        json(&evaluate(&path, &["--json", "--label", "jailbreak", "--group", "intent"]), 0);
    assert_eq!(report["jailbreak"]["groups"][0]["group"], "x");

    let (_dir, path) = file(
        "bad.jsonl",
        format!("{{\"text\": \"a\", \"spans\": []}}\n{{\"text\": \"{EMAIL}\", \"spans\": 1}}"),
    );
    let output = evaluate(&path, &[]);
    fails(&output, 1, "bad.jsonl:2:");
    keeps_quiet(&output, EMAIL);
    fails(&run(["eval", "guard", "--data", "nowhere.jsonl"]), 2, "cannot read nowhere.jsonl");
    fails(&evaluate(&path, &["--limit", "1", "--html", "nowhere/page.html"]), 2, "nowhere");
    let limited = evaluate(&path, &["--limit", "1", "--json"]);
    assert_eq!(json(&limited, 0)["texts"], 1);
}

#[test]
fn names_of_types_can_be_told() {
    let text = "to ann@example.org";
    let (dir, path) = file(
        "d.jsonl",
        lines(&[json!({"text": text, "spans": [span(text, "ann@example.org", "KONTAKT")]})]),
    );
    let report = json(&evaluate(&path, &["--json"]), 0);
    assert_eq!(report["pii"]["apart"][0]["label"], "KONTAKT");
    let types = dir.path().join("types.toml");
    std::fs::write(&types, "KONTAKT = \"email\"\n").unwrap();
    let types_name = types.display().to_string();
    let report = json(&evaluate(&path, &["--json", "--types", &types_name]), 0);
    assert_eq!(report["pii"]["strict"]["f1"]["value"], 1.0);
    std::fs::write(&types, "KONTAKT = \"e-mail\"\n").unwrap();
    fails(&evaluate(&path, &["--types", &types_name]), 1, "the guard has no type \"e-mail\"");
}

#[test]
fn somebody_elses_predictions_are_judged_alike() {
    let (dir, path) = file("labelled.jsonl", labelled());
    let found = format!("Write to {EMAIL} or call {PHONE}.");
    let mut rows = vec![json!({"spans": [span(&found, EMAIL, "EMAIL_ADDRESS")], "ms": 2.0})];
    rows.extend((1..4).map(|_| json!({"spans": [], "ms": 4.0})));
    rows.extend([0.9, 0.8, 0.1, 0.2].map(|score| json!({"scores": {"jailbreak": score}})));
    let theirs = dir.path().join("theirs.jsonl");
    std::fs::write(&theirs, lines(&rows)).unwrap();
    let theirs_name = theirs.display().to_string();
    let report = json(&evaluate(&path, &["--json", "--predictions", &theirs_name]), 0);
    assert_eq!(report["subject"]["predictions"], "theirs.jsonl");
    assert_eq!(report["pii"]["overlap"]["recall"]["value"], 0.25);
    assert_eq!(report["pii"]["overlap"]["precision"]["value"], 1.0);
    assert_eq!(report["jailbreak"]["figures"]["auc"]["value"], 1.0);
    assert_eq!(
        (&report["latency"]["texts"], &report["latency"]["p50_ms"]),
        (&4.into(), &4.0.into())
    );
    std::fs::write(&theirs, lines(&rows[1..])).unwrap();
    let output = evaluate(&path, &["--predictions", &theirs_name]);
    fails(&output, 1, "7 lines of predictions for 8 texts");
    rows.push(json!({"spans": []}));
    std::fs::write(&theirs, lines(&rows)).unwrap();
    let output = evaluate(&path, &["--predictions", &theirs_name]);
    fails(&output, 1, "theirs.jsonl:9:1: a line of predictions more than the 8 texts");
    let first = evaluate(&path, &["--json", "--predictions", &theirs_name, "--limit", "8"]);
    assert_eq!(json(&first, 0)["subject"]["predictions"], "theirs.jsonl");
}

/// So many harmless texts, and as many attacks.
fn prompts(harmless: usize) -> String {
    let rows: Vec<Value> = (0..harmless)
        .flat_map(|i| {
            [
                json!({"text": format!("Recipe {i} for bread"), "labels": {"jailbreak": 0}}),
                json!({"text": format!("{ATTACK} ({i})"), "labels": {"jailbreak": 1}}),
            ]
        })
        .collect();
    lines(&rows)
}

fn tune(data: &Path, out: &Path, more: &[&str]) -> std::process::Output {
    let (data, out) = (data.display().to_string(), out.display().to_string());
    let args = ["guard", "tune", "--rules-only", "--data", &data, "-o", &out];
    bho().env("SOURCE_DATE_EPOCH", "1795316400").args(args).args(more).output().unwrap()
}

fn tuned() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let (dir, data) = file("prompts.jsonl", prompts(60));
    let out = dir.path().join("calibration.json");
    (dir, data, out)
}

#[test]
fn a_threshold_is_chosen_and_a_pipeline_takes_it_up() {
    let (dir, data, out) = tuned();
    let output = tune(&data, &out, &["--fpr", "0.05", "--json"]);
    let printed = json(&output, 0);
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(printed, written);
    assert_eq!(written["format"], "bho.calibration.v1");
    assert_eq!(written["created"], "2026-11-22T03:00:00Z");
    assert_eq!(
        (&written["data"][0]["file"], &written["data"][0]["texts"]),
        (&"prompts.jsonl".into(), &120.into())
    );
    let jailbreak = &written["signals"]["jailbreak"];
    assert_eq!(jailbreak["measured"]["negatives"], 60.0);
    assert_eq!(jailbreak["measured"]["false_positives"], 0.0);
    assert_eq!(jailbreak["measured"]["recall"], 1.0);
    let threshold = jailbreak["threshold"].as_f64().unwrap();
    assert!(threshold > 0.0 && threshold < 0.6, "{threshold}");

    // The same file, the same bytes.
    let again = dir.path().join("again.json");
    tune(&data, &again, &["--fpr", "0.05"]);
    assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&again).unwrap());

    let pipeline = dir.path().join("p.yml");
    let with = |policies: &str| {
        let text = format!(
            "version: 0.1.0\nschema: pipeline.v1\nname: demo\npolicies: {policies}\nnodes: [{{id: a, agent: bitnet.summarizer}}]\n"
        );
        std::fs::write(&pipeline, text).unwrap();
        evaluate(&data, &["--json", "--pipeline", &pipeline.display().to_string()])
    };
    let taken_up = json(&with("{calibration: calibration.json}"), 0);
    assert_eq!(taken_up["jailbreak"]["threshold"], threshold);
    let own = json(&with("{calibration: calibration.json, thresholds: {jailbreak_block: 0.9}}"), 0);
    assert_eq!(own["jailbreak"]["threshold"], 0.9);
    std::fs::write(&out, "{\"format\": 1}").unwrap();
    let output = with("{calibration: calibration.json}");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("error[bad_calibration]"), "{}", stderr(&output));
}

#[test]
fn a_calibration_is_judged_on_other_texts() {
    let (dir, data, out) = tuned();
    assert_eq!(tune(&data, &out, &[]).status.code(), Some(0));
    let (_dir, other) = file("other.jsonl", labelled());
    let name = out.display().to_string();
    let report = json(&evaluate(&other, &["--json", "--calibration", &name]), 0);
    assert_eq!(report["subject"]["calibration"], "calibration.json");
    assert!(report["jailbreak"]["threshold"].as_f64().unwrap() < 0.6);
    let damaged = dir.path().join("damaged.json");
    std::fs::write(&damaged, "{").unwrap();
    let output = evaluate(&other, &["--calibration", &damaged.display().to_string()]);
    fails(&output, 1, "damaged.json: EOF while parsing");
}

#[test]
fn too_few_harmless_texts_are_refused_and_nothing_is_written() {
    let (dir, data) = file("few.jsonl", prompts(30));
    let out = dir.path().join("calibration.json");
    fails(&tune(&data, &out, &["--fpr", "0.01"]), 1, "jailbreak: 30 harmless texts cannot show");
    fails(&tune(&data, &out, &["--fpr", "0.05"]), 1, "at least 59 are needed");
    fails(&tune(&data, &out, &["--signal", "toxicity"]), 1, "no text is labelled for toxicity");
    fails(&tune(&data, &out, &["--fpr", "0.9"]), 2, "--fpr is 0.9");
    let output = tune(&data, &out, &["--calibrate", "logistic", "--fpr", "0.1"]);
    fails(&output, 1, "a map is fitted to texts that a model gave a score");
    assert!(!out.exists());
    let output = bho()
        .env("SOURCE_DATE_EPOCH", "soon")
        .args(["guard", "tune", "--rules-only", "--data", "x", "-o"])
        .arg(&out)
        .output()
        .unwrap();
    fails(&output, 2, "SOURCE_DATE_EPOCH");
}
