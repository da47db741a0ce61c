// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard's learned models: at work, replaced, missing, damaged, wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json as value};

use crate::support::{EMAIL, bho, fails, file, json, keeps_quiet, repository, run, stderr, stdout};

const NAMED: &str = "My name is Margaret Fischer and I live in Denver.";

/// A checkpoint with a head and random weights, a vocabulary of few words and these labels.
fn checkpoint(case: &str, labels: &[&str]) -> tempfile::TempDir {
    let golden = repository().join("tests/golden/bert").join(case);
    let dir = tempfile::tempdir().unwrap();
    for name in ["model.safetensors", "tokenizer.json"] {
        fs::copy(golden.join(name), dir.path().join(name)).unwrap();
    }
    let config = fs::read_to_string(golden.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    let by_id = labels.iter().enumerate().map(|(id, label)| (id.to_string(), value!(label)));
    config["id2label"] = Value::Object(by_id.collect());
    let by_label = labels.iter().enumerate().map(|(id, label)| ((*label).to_owned(), value!(id)));
    config["label2id"] = Value::Object(by_label.collect());
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    dir
}

fn tagger() -> tempfile::TempDir {
    checkpoint("tokcls_5", &["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
}

/// The checkpoint as one file, in its folder.
fn converted(dir: &Path, name: &str) -> PathBuf {
    let out = dir.join("converted.safetensors");
    let output = bho().arg("convert").arg(dir).arg(&out).args(["--name", name]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    out
}

/// `bho guard check --json` of [`NAMED`] and an address, on this model.
fn check_on(model: &Path) -> Output {
    let text = format!("{NAMED} {EMAIL}");
    bho().env("TINYBERT_PATH", model).args(["guard", "check", "--json", &text]).output().unwrap()
}

/// What `bho doctor` says with this model.
fn doctor_on(model: &Path) -> Value {
    json(&bho().env("TINYBERT_PATH", model).args(["doctor", "--json"]).output().unwrap(), 0)
}

/// The guard's models in a report.
fn names(report: &Value) -> Vec<Value> {
    report["guard"]["models"].as_array().unwrap().iter().map(|m| m["name"].clone()).collect()
}

fn pipeline(top: &str) -> (tempfile::TempDir, PathBuf) {
    let text = format!(
        "version: 0.1.0\nschema: pipeline.v1\nname: n\n{top}\
         nodes: [{{id: a, agent: bitnet.summarizer, timeout_ms: 120000}}]\n"
    );
    file("p.yml", text)
}

fn check_under(pipeline: &Path, text: &str) -> Output {
    bho().args(["guard", "check", "--json", text, "--pipeline"]).arg(pipeline).output().unwrap()
}

fn run_under(pipeline: &Path, text: &str) -> Output {
    bho().arg("run").arg(pipeline).args(["--json", "--input", text]).output().unwrap()
}

/// The rules worked, the models did not, and one warning says so.
fn fell_back(output: &Output, reason: &str) {
    let card = json(output, 0);
    assert_eq!(card["text"], format!("{NAMED} [EMAIL]"));
    let said = stderr(output);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("warning: TINYBERT_PATH: ") && said.contains(reason), "{said}");
    assert!(said.ends_with("the guard works by its rules alone\n"), "{said}");
    keeps_quiet(output, EMAIL);
}

#[test]
fn names_are_redacted_and_places_only_on_request() {
    let output = run(["guard", "check", "--json", NAMED]);
    let card = json(&output, 0);
    assert_eq!(card["text"], "My name is [NAME] and I live in Denver.");
    assert_eq!(card["redactions"], value!([{"span": [11, 27], "type": "PII.name"}]));
    assert_eq!(stderr(&output), "");
    keeps_quiet(&output, "Margaret");
    let (_dir, path) = pipeline("policies: {redactions: {place: true, name: false}}\n");
    let card = json(&check_under(&path, NAMED), 0);
    assert_eq!(card["text"], "My name is Margaret Fischer and I live in [PLACE].");
}

#[test]
fn rules_alone_are_to_be_had() {
    for variable in ["GUARD_REGEX_ONLY", "GUARD_DISABLE_ONNX"] {
        let mut command = bho();
        command.env(variable, "1").env("TINYBERT_PATH", "not/looked/at.safetensors");
        let text = format!("{NAMED} {EMAIL}");
        let output = command.args(["guard", "check", "--json", &text]).output().unwrap();
        assert_eq!(json(&output, 0)["text"], format!("{NAMED} [EMAIL]"));
        let said = stderr(&output);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("TINYBERT_PATH is set and has no effect"), "{said}");
    }
}

#[test]
fn a_missing_or_damaged_model_is_one_warning_and_the_rules_go_on() {
    fell_back(&check_on(Path::new("no/such.safetensors")), "cannot read no/such.safetensors");
    let dir = tagger();
    let whole = fs::read(converted(dir.path(), "tiny")).unwrap();
    let path = dir.path().join("torn.safetensors");
    for (bytes, reason) in [
        (&whole[..whole.len() / 2], "torn.safetensors"),
        (&whole[..20], "torn.safetensors"),
        (&b"not a model"[..], "torn.safetensors"),
        (&[], "torn.safetensors"),
    ] {
        fs::write(&path, bytes).unwrap();
        fell_back(&check_on(&path), reason);
    }
    fell_back(&check_on(&tools_model(&dir)), "is not an encoder");
}

/// A language model, which labels nothing.
fn tools_model(dir: &tempfile::TempDir) -> PathBuf {
    PathBuf::from(crate::support::tiny_text_model(dir.path()))
}

#[test]
fn a_run_says_what_it_did_without() {
    let (_dir, path) = pipeline("models: {guard_path: no/such.safetensors}\n");
    let output = run_under(&path, NAMED);
    let outcome = json(&output, 0);
    let warning = outcome["warnings"][0].as_str().unwrap();
    assert!(warning.contains("p.yml:4:22: models.guard_path: cannot read"), "{warning}");
    assert_eq!(stderr(&output), format!("warning: {warning}\n"));
    let models = outcome["models"].as_array().unwrap();
    assert_eq!(models.iter().map(|m| &m["name"]).collect::<Vec<_>>(), ["bitnet-s-1.58b"]);
}

#[test]
fn a_required_guard_never_works_by_rules_alone() {
    let (_dir, path) =
        pipeline("policies: {guard_required: true}\nmodels: {guard_path: no/such.safetensors}\n");
    for output in [check_under(&path, NAMED), run_under(&path, NAMED)] {
        fails(&output, 1, "models.guard_path: cannot read");
        assert!(stderr(&output).contains("policies.guard_required is set"));
        keeps_quiet(&output, "Margaret");
    }
    let report = json(&bho().arg("validate").arg(&path).arg("--json").output().unwrap(), 1);
    assert_eq!((&report["valid"], &report["errors"]), (&false.into(), &1.into()));

    let (_dir, path) = pipeline("policies: {guard_required: true}\n");
    assert_eq!(json(&check_under(&path, NAMED), 0)["redactions"][0]["type"], "PII.name");
    for (verb, flag) in [("run", "--input"), ("guard", "--pipeline")] {
        let mut command = bho();
        command.env("GUARD_REGEX_ONLY", "1").arg(verb);
        match flag {
            "--input" => command.arg(&path).args([flag, NAMED]),
            _ => command.args(["check", NAMED, flag]).arg(&path),
        };
        fails(
            &command.output().unwrap(),
            1,
            "policies.guard_required is set, and GUARD_REGEX_ONLY",
        );
    }
    let mut validate = bho();
    validate.env("GUARD_REGEX_ONLY", "1").arg("validate").arg(&path).arg("--json");
    assert_eq!(json(&validate.output().unwrap(), 1)["faults"][0]["code"], "guard_model");
}

#[test]
fn a_missing_model_leaves_a_pipeline_valid_with_a_warning() {
    let (_dir, path) = pipeline("models: {guard: gpt-7}\n");
    let report = json(&bho().arg("validate").arg(&path).arg("--json").output().unwrap(), 0);
    assert_eq!((&report["valid"], &report["warnings"]), (&true.into(), &1.into()));
    let fault = &report["faults"][0];
    assert_eq!((&fault["path"], &fault["line"]), (&"models.guard".into(), &4.into()));
    assert!(fault["message"].as_str().unwrap().contains("no model is called \"gpt-7\""), "{fault}");
    let guard = report["models"].as_array().unwrap().last().unwrap();
    assert_eq!((&guard["role"], &guard["model"]), (&"guard".into(), &Value::Null));
    let shown = stdout(&bho().arg("validate").arg(&path).output().unwrap());
    assert!(shown.contains("none: rules alone"), "{shown}");
}

#[test]
fn labels_that_say_something_else_are_refused() {
    let clothes = ["O", "B-SHOE", "I-SHOE", "B-HAT", "I-HAT"];
    for (case, labels, message) in [
        ("tokcls_5", &["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3", "LABEL_4"][..], "\"LABEL_0\""),
        ("tokcls_5", &clothes[..], "has the labels [O, B-SHOE, I-SHOE, B-HAT, I-HAT]; accepted: "),
        ("seqcls_3", &["contradiction", "entailment", "neutral"], "accepted, one or more of: tox"),
    ] {
        let dir = checkpoint(case, labels);
        fails(&check_on(dir.path()), 1, message);
    }
    // The order of labels is that of the config; two orders at once are none.
    let dir = checkpoint("seqcls_3", &["safe", "toxicity", "jailbreak"]);
    let path = dir.path().join("config.json");
    let config = fs::read_to_string(&path).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["label2id"] = value!({"safe": 0, "jailbreak": 1, "toxicity": 2});
    fs::write(&path, config.to_string()).unwrap();
    fails(&check_on(dir.path()), 1, "label2id gives \"jailbreak\" the index 1, id2label 2");
    let (_dir, path) = pipeline("models: {guard: bitnet-s-1.58b}\n");
    fails(&run_under(&path, NAMED), 1, "models.guard: model bitnet-s-1.58b is a BertModel");
    let output = bho().arg("validate").arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("p.yml:4:17: error[bad_model]: models.guard: "));
}

#[test]
fn a_users_model_takes_the_place_of_its_kind() {
    let usual = json(&run(["doctor", "--json"]), 0)["guard"]["models"].clone();
    let usual = usual.as_array().unwrap();
    let classifiers: Vec<_> =
        usual.iter().filter(|m| m["architecture"] == "BertForSequenceClassification").collect();
    assert_eq!(usual[0]["name"], "rampart-pii");
    let dir = tagger();
    let tiny = converted(dir.path(), "tiny-tagger");
    let mut with_tiny = vec![value!("tiny-tagger")];
    with_tiny.extend(classifiers.iter().map(|model| model["name"].clone()));
    assert_eq!(names(&doctor_on(&tiny)), with_tiny);
    let classifier = checkpoint("seqcls_3", &["safe", "TOXIC", "injection"]);
    let small = converted(classifier.path(), "tiny-classifier");
    let report = doctor_on(&small);
    assert_eq!(names(&report), ["rampart-pii", "tiny-classifier"]);
    for signal in ["toxicity", "jailbreak"] {
        let signals = report["guard"]["signals"].as_array().unwrap();
        let found = signals.iter().find(|found| found["signal"] == signal).unwrap();
        assert!(found["detectors"].as_array().unwrap().contains(&"moderator".into()), "{found}");
    }

    // By a pipeline's own path too, and a run names what it had, with the sums of the files.
    let path = dir.path().join("p.yml");
    fs::write(
        &path,
        "version: 0.1.0\nschema: pipeline.v1\nname: n\nmodels: {guard_path: converted.safetensors}\n\
         nodes: [{id: a, agent: tools.retriever, io: {inputs: {query: '${source.text}'}}}]\n",
    )
    .unwrap();
    let trace = dir.path().join("trace.json");
    let mut command = bho();
    command.arg("run").arg(&path).args(["--input", NAMED, "--trace"]).arg(&trace);
    assert_eq!(command.output().unwrap().status.code(), Some(0));
    let trace: Value = serde_json::from_slice(&fs::read(trace).unwrap()).unwrap();
    let models: Vec<_> = trace["models"].as_array().unwrap().iter().map(|m| &m["name"]).collect();
    assert!(models.iter().copied().eq(&with_tiny), "{models:?}");
    assert_eq!(trace["models"][0]["sha256"].as_str().unwrap().len(), 64);
    for (traced, model) in trace["models"].as_array().unwrap()[1..].iter().zip(&classifiers) {
        assert_eq!(traced["sha256"], model["sha256"]);
    }
    let report = json(&bho().arg("validate").arg(&path).arg("--json").output().unwrap(), 0);
    let rows = report["models"].as_array().unwrap();
    let guard: Vec<_> = rows.iter().filter(|row| row["role"] == "guard").collect();
    assert_eq!(guard.len(), with_tiny.len());
    assert_eq!(guard[0]["key"], "models.guard_path");
    assert!(guard[1..].iter().all(|row| row["model"] == "tinybert-guard (bundled)"), "{guard:?}");
}

#[test]
fn a_tokenizer_may_lie_elsewhere() {
    let dir = tagger();
    let elsewhere = tempfile::tempdir().unwrap();
    let tokenizer = elsewhere.path().join("tokenizer.json");
    fs::rename(dir.path().join("tokenizer.json"), &tokenizer).unwrap();
    fell_back(&check_on(dir.path()), "has no tokenizer.json or vocab.txt");
    let doctor = |folder: &Path| {
        let mut command = bho();
        command.env("TINYBERT_PATH", dir.path()).env("TINYBERT_TOKENIZER_DIR", folder);
        command.args(["doctor", "--json"]).output().unwrap()
    };
    let report = json(&doctor(elsewhere.path()), 0);
    assert_eq!(report["guard"]["models"][0]["architecture"], "BertForTokenClassification");
    let report = json(&doctor(dir.path()), 1);
    assert!(report["problems"][0].as_str().unwrap().contains("has no tokenizer; accepted"));
}

/// The bounds are looser than the figures of docs/guard.md: a model that breaks them is another one than it was.
#[test]
fn ordinary_texts_pass_and_attacks_do_not() {
    let figure = |file: &str, figure: &str| {
        let data = repository().join("tests/data/guard").join(file).with_extension("jsonl");
        let arguments = ["eval", "guard", "--json", "--label", "jailbreak", "--bootstrap", "50"];
        let report = json(&bho().args(arguments).arg("--data").arg(data).output().unwrap(), 0);
        report["jailbreak"]["figures"][figure]["value"].as_f64().unwrap()
    };
    let everyday = figure("everyday", "fpr");
    assert!(everyday <= 0.04, "{everyday:.3} of ordinary texts are taken for jailbreaks");
    let harmless = figure("overdefense", "fpr");
    assert!(harmless <= 0.06, "{harmless:.3} of harmless requests are taken for jailbreaks");
    let attacks = figure("injections", "recall");
    assert!(attacks >= 0.7, "{attacks:.3} of attacks are found");
}
