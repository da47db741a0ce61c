// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho eval summary`, `claims`, `retrieval` and `similarity` with the bundled models. What figures are is tested where they are
//! defined; here, that the verbs ask, compare, report and refuse.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::eval::well_formed;
use crate::support::{EMAIL, fails, file, json, keeps_quiet, keys, run, stderr, stdout};

const VERBS: [&str; 4] = ["summary", "claims", "retrieval", "similarity"];

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn evaluate(verb: &str, data: &Path, more: &[&str]) -> Output {
    let data = data.display().to_string();
    run(["eval", verb, "--bootstrap", "50", "--data", &data].iter().chain(more))
}

fn value(figures: &Value, name: &str) -> f64 {
    figures[name]["value"].as_f64().unwrap_or_else(|| panic!("no {name} in {figures}"))
}

/// The report without what differs from run to run.
fn steady(output: &Output) -> Value {
    let mut report = json(output, 0);
    assert!(report["latency"]["p50_ms"].as_f64().unwrap() > 0.0);
    report["latency"] = Value::Null;
    report
}

fn summaries() -> String {
    lines(&[
        json!({
            "sentences": [
                "Bees dance.",
                "The dance of the bees shows other bees the way to flowers.",
                format!("Bees and flowers: write to {EMAIL}."),
            ],
            "references": ["bees dance daily", "something else"],
        }),
        json!({"source": ["Rain fell on the harbour all day.", "Boats stayed in."], "target": ["Rain fell all day."]}),
        json!({"text": "One sentence only stands here.", "reference": "One sentence only stands here."}),
    ])
}

#[test]
fn summaries_are_held_beside_their_baselines() {
    let (_dir, path) = file("texts.jsonl", summaries());
    let args = ["--sentences", "1", "--oracle", "--json"];
    let report = steady(&evaluate("summary", &path, &args));
    assert_eq!(report["format"], "bho.eval.summary.v1");
    assert_eq!((&report["texts"], &report["setting"]["sentences"]), (&3.into(), &1.into()));
    let systems = report["systems"].as_array().unwrap();
    let names: Vec<_> = systems.iter().map(|system| system["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["agent", "lead-1", "textrank", "oracle"]);
    // `Bees dance.` has 2 of 3 words, the next one 4 of its 7, the last one all.
    let lead = &systems[1]["figures"];
    assert!((value(lead, "rouge1_f1") - (0.8 + 8.0 / 11.0 + 1.0) / 3.0).abs() < 1e-12);
    assert!((value(lead, "rouge2_recall") - (0.5 + 2.0 / 3.0 + 1.0) / 3.0).abs() < 1e-12);
    assert!((value(lead, "words") - 14.0 / 3.0).abs() < 1e-12);
    for system in systems {
        let best = value(&systems[3]["figures"], "rougeL_f1");
        assert!(value(&system["figures"], "rougeL_f1") <= best + 1e-12);
    }
    let agent = value(&systems[0]["figures"], "rougeL_f1");
    let ahead = value(&systems[1]["first_minus_this"], "rougeL_f1");
    assert!((ahead - (agent - value(lead, "rougeL_f1"))).abs() < 1e-12);
    assert_eq!(report["models"][0]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(report, steady(&evaluate("summary", &path, &args)), "a seed repeats itself");
    let stemmed = evaluate("summary", &path, &["--sentences", "2", "--stem"]);
    assert!(stdout(&stemmed).contains("lead-2"), "{}", stderr(&stemmed));
    keeps_quiet(&evaluate("summary", &path, &args), EMAIL);
}

fn claims() -> String {
    let evidence = "In BitNet b1.58 every weight is ternary, which takes 1.58 bits.";
    lines(&[
        json!({"claim": "In BitNet b1.58 every weight is ternary.", "evidence": evidence, "label": "supports"}),
        json!({"hypothesis": "Nobody has ever seen a purple whale dance.", "premise": evidence, "label": "neutral"}),
        json!({"sentence": format!("Write to {EMAIL}."), "explanation": [evidence], "label": "false"}),
    ])
}

#[test]
fn claims_are_counted_by_label_and_verdict() {
    let (dir, path) = file("claims.jsonl", claims());
    let page = dir.path().join("report.html").display().to_string();
    let output = evaluate("claims", &path, &["--json", "--html", &page]);
    let report = steady(&output);
    keeps_quiet(&output, EMAIL);
    assert_eq!(report["format"], "bho.eval.claims.v1");
    assert_eq!((&report["claims"], &report["uncertain_is_labelled"]), (&3.into(), &true.into()));
    let row = |i: usize| -> u64 {
        report["confusion"][i].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum()
    };
    assert_eq!([row(0), row(1), row(2)], [1, 1, 1]);
    let right = (0..3).map(|i| report["confusion"][i][i].as_u64().unwrap()).sum::<u64>();
    assert!((value(&report["figures"], "accuracy") - right as f64 / 3.0).abs() < 1e-12);
    assert!(right >= 2, "the clear ones: {}", report["confusion"]);
    assert_eq!(value(&report["figures"], "accuracy"), value(&report["figures"], "accuracy_at_100"));
    // Without the neutral line, `uncertain` is no answer.
    let (_dir, two) = file("two.jsonl", lines_without(&claims(), "neutral"));
    let report = json(&evaluate("claims", &two, &["--json", "--no-texts"]), 0);
    assert_eq!(report["uncertain_is_labelled"], false);
    assert!(report["mistakes"].as_array().unwrap().iter().all(|m| m["texts"] == json!([])));
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("Accuracy over coverage") && !html.contains(EMAIL));
}

fn lines_without(text: &str, part: &str) -> String {
    text.lines().filter(|line| !line.contains(part)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn what_is_found_is_held_beside_bm25() {
    let (dir, corpus) = file(
        "documents.jsonl",
        lines(&[
            json!({"id": "cats", "text": "A cat sleeps on the warm sofa."}),
            json!({"id": "tax", "title": "Tax", "text": "The tax office wants its forms by May."}),
            json!({"id": 3, "text": "Volcanoes throw out ash and molten rock."}),
        ]),
    );
    let path = dir.path().join("queries.jsonl");
    let queries = [
        json!({"query": "a kitten naps on a couch", "relevant": ["cats"]}),
        json!({"query": "Volcanoes and molten rock", "relevant": {"3": 2, "tax": 0}}),
        json!({"query": "cat", "documents": ["A dog barks.", "The cat meows."], "relevant": [1]}),
    ];
    std::fs::write(&path, lines(&queries)).unwrap();
    let corpus = corpus.display().to_string();
    let report = steady(&evaluate("retrieval", &path, &["--json", "--corpus", &corpus]));
    assert_eq!((&report["queries"], &report["documents"]), (&3.into(), &3.into()));
    assert_eq!(report["own_documents"], 2);
    let found = &report["systems"][0]["figures"];
    assert_eq!(keys(found), ["recall_at_1", "recall_at_5", "recall_at_10", "mrr", "ndcg_at_10"]);
    assert_eq!((value(found, "recall_at_1"), value(found, "ndcg_at_10")), (1.0, 1.0));
    assert_eq!(report["systems"][1]["name"], "bm25");
    assert_eq!(report["data"][1]["file"], "documents.jsonl");

    let pairs = lines(&[
        json!({"a": "A cat sleeps.", "b": "The cat is asleep.", "score": 4.6}),
        json!({"a": "A cat sleeps.", "b": "Shares fell on Monday.", "score": 0.0}),
        json!({"a": "Stocks went down.", "b": "Shares fell on Monday.", "score": 4.0}),
    ]);
    let (_dir, pairs) = file("pairs.jsonl", pairs);
    let report = json(&evaluate("retrieval", &pairs, &["--json"]), 0);
    assert_eq!((&report["queries"], &report["documents"]), (&2.into(), &2.into()));
    assert_eq!(value(&report["systems"][0]["figures"], "mrr"), 1.0);

    let report = json(&evaluate("similarity", &pairs, &["--json"]), 0);
    assert_eq!(report["pairs"], 3);
    assert!(value(&report["figures"], "pearson") > 0.8, "{}", report["figures"]);
    assert_eq!(report["points"].as_array().unwrap().len(), 3);
}

#[cfg(target_os = "linux")]
#[test]
fn a_page_that_cannot_be_written_loses_no_figure() {
    let (_dir, path) = file("claims.jsonl", claims());
    let output = evaluate("claims", &path, &["--html", "/dev/full"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot write /dev/full"), "{}", stderr(&output));
    assert!(stdout(&output).contains("measured: bho"), "{}", stdout(&output));
}

#[test]
fn every_verb_writes_a_well_formed_page_and_tables() {
    let pairs = lines(&[
        json!({"a": "A cat <sleeps>.", "b": "The cat is asleep.", "score": 4.6}),
        json!({"a": "A dog barks.", "b": format!("Write to {EMAIL}"), "score": 0.0}),
        json!({"a": "It rains.", "b": "Rain falls.", "score": 4.5, "group": "weather & more"}),
    ]);
    for (verb, data) in [
        ("summary", summaries()),
        ("claims", claims()),
        ("retrieval", pairs.clone()),
        ("similarity", pairs),
    ] {
        let (dir, path) = file("a<b>&.jsonl", data);
        let page = dir.path().join("report.html");
        let output = evaluate(verb, &path, &["--html", &page.display().to_string()]);
        assert_eq!(output.status.code(), Some(0), "{verb}: {}", stderr(&output));
        let tables = stdout(&output);
        assert!(tables.contains("measured: bho") && tables.contains("p50 ms"), "{tables}");
        let html = std::fs::read_to_string(&page).unwrap();
        well_formed(&html);
        for part in ["<svg", "a&lt;b&gt;&amp;.jsonl", "prefers-color-scheme", "What was measured"] {
            assert!(html.contains(part), "{verb}: no {part}");
        }
        for part in ["<script", "http://", "https://", "url(", "@import", EMAIL] {
            assert!(!html.contains(part), "{verb}: there is {part}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}

#[test]
fn files_that_cannot_be_used_are_refused_before_a_model_is_loaded() {
    let long = format!("{{\"text\": \"{}\"}}", "x".repeat(10 << 20));
    for verb in VERBS {
        for (name, text, place) in [
            ("empty.jsonl", "", "empty.jsonl: there is nothing to measure"),
            ("half.jsonl", "{\"text\": \"a", "half.jsonl:1:11: not valid JSON"),
            ("list.jsonl", "\n[1, 2]", "list.jsonl:2:1: not an object"),
            ("bare.jsonl", "{}", "bare.jsonl:1:1: the line has no `"),
            ("long.jsonl", &long, "long.jsonl:1:1: the line is longer than 4 MiB"),
            ("nul.jsonl", "\0", "nul.jsonl:1:1: not valid JSON"),
        ] {
            let (_dir, path) = file(name, text);
            fails(&evaluate(verb, &path, &[]), 1, place);
        }
        let secret = format!(
            "{{\"text\": [\"{EMAIL}\"], \"a\": [\"{EMAIL}\"], \"claim\": [\"{EMAIL}\"], \"query\": [\"{EMAIL}\"]}}"
        );
        let (_dir, path) = file("kind.jsonl", secret);
        let output = evaluate(verb, &path, &[]);
        fails(&output, 1, "kind.jsonl:1:");
        keeps_quiet(&output, EMAIL);
        fails(&run(["eval", verb, "--data", "nowhere.jsonl"]), 2, "cannot read nowhere.jsonl");
        let nowhere = evaluate(verb, &path, &["--html", "nowhere/page.html"]);
        fails(&nowhere, 2, "nowhere");
    }
    let (_dir, path) = file("c.jsonl", claims());
    let unknown = evaluate("claims", &path, &["--model", "no-such-model"]);
    assert!(matches!(unknown.status.code(), Some(1 | 2)));
    assert!(stderr(&unknown).contains("no-such-model"), "{}", stderr(&unknown));
    let (_dir, pipeline) = file("p.yml", "schema: pipeline.v1\n");
    let invalid = evaluate("claims", &path, &["--pipeline", &pipeline.display().to_string()]);
    assert_eq!(invalid.status.code(), Some(1));
    assert!(stderr(&invalid).contains("p.yml:"), "{}", stderr(&invalid));
}
