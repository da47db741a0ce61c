// SPDX-License-Identifier: AGPL-3.0-or-later
//! Pipelines that write with a language model: nodes side by side, what stops them, and models that
//! cannot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json as value};

use crate::support::{
    TEXT, bho, fails, json, keeps_quiet, pipeline, repository, run, stderr, stdout, tiny_text_model,
};

/// A folder with a tiny model, `tiny.safetensors`, and a pipeline of these nodes.
fn writing(nodes: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    tiny_text_model(dir.path());
    let path = written(dir.path(), "tiny.safetensors", nodes);
    (dir, path)
}

/// A pipeline in `dir` whose nodes write with this model.
fn written(dir: &Path, model: &str, nodes: &str) -> PathBuf {
    let path = dir.join("p.yml");
    let head = "version: 0.1.0\nschema: pipeline.v1\nname: writes\n";
    fs::write(&path, format!("{head}models:\n  reasoner_path: {model}\nnodes:\n{nodes}")).unwrap();
    path
}

/// The program without the guard's models, which would take some of the random letters that are written here for names.
fn rules_alone() -> assert_cmd::Command {
    let mut command = bho();
    command.env("GUARD_REGEX_ONLY", "1");
    command
}

fn run_on(path: &Path, flags: &[&str]) -> Output {
    rules_alone().arg("run").arg(path).args(["--input", TEXT]).args(flags).output().unwrap()
}

fn validate(path: &Path, flags: &[&str]) -> Output {
    bho().arg("validate").arg(path).args(flags).output().unwrap()
}

/// A beginning that all prompts have: more than two pages of the cache.
const SHARED: &str =
    "Everything that is said here is said to both of them, word for word, before they part.";

fn three_nodes() -> String {
    format!(
        "  - {{id: one, agent: bitnet.generate, timeout_ms: 120000, params: {{prompt: '{SHARED} One.', regex: '[a-z]{{20,40}}', seed: 5}}}}\n\
         \x20 - {{id: two, agent: bitnet.generate, timeout_ms: 120000, params: {{prompt: '{SHARED} Two.', max_tokens: 200, temperature: 100, \
         schema: {{type: object, properties: {{kind: {{enum: [cat, dog]}}, n: {{type: integer, minimum: 0, maximum: 9}}}}, required: [kind, n], additionalProperties: false}}}}}}\n\
         \x20 - {{id: three, agent: bitnet.generate, deps: [one, two], timeout_ms: 120000, params: {{prompt: '${{nodes.one.text}} ${{nodes.two.data.kind}}', raw: true, regex: 'done [0-9]{{2}}'}}}}\n"
    )
}

#[test]
fn two_nodes_write_side_by_side_and_a_third_joins_them() {
    let (dir, path) = writing(&three_nodes());
    let report = json(&validate(&path, &["--json"]), 0);
    assert_eq!((&report["faults"], &report["valid"]), (&value!([]), &value!(true)));
    let roles: Vec<_> = report["models"].as_array().unwrap().iter().map(|m| &m["role"]).collect();
    assert_eq!(roles[..3], ["reasoner", "embedder", "generator"]);
    assert!(roles[3..].iter().all(|role| *role == "guard"));
    assert_eq!(report["models"][2]["nodes"], value!(["one", "two", "three"]));

    let trace = dir.path().join("trace.json");
    let mut seen = Vec::new();
    // One at a time, and two; with one thread and several.
    for (at_once, threads) in [(1, "1"), (2, "1"), (2, "2"), (2, "2")] {
        let text = fs::read_to_string(&path).unwrap();
        let bounded = dir.path().join("bounded.yml");
        fs::write(&bounded, format!("{text}budgets: {{max_concurrency: {at_once}}}\n")).unwrap();
        let trace_file = trace.display().to_string();
        let output = run_on(
            &bounded,
            &["--json", "--threads", threads, "--seed", "3", "--trace", &trace_file],
        );
        let outcome = json(&output, 0);
        assert_eq!(outcome["status"], "complete", "{outcome}");
        seen.push((outcome["results"].clone(), outcome["text"].clone()));

        let trace: Value = serde_json::from_slice(&fs::read(&trace).unwrap()).unwrap();
        let model = &trace["models"][0];
        assert_eq!(
            (&model["name"], model["sha256"].as_str().unwrap().len()),
            (&value!("random"), 64)
        );
        let nodes = trace["nodes"].as_array().unwrap();
        let of = |i: usize, key: &str| nodes[i]["generation"][key].as_u64().unwrap();
        assert!(
            of(0, "prompt_tokens") > 80 && of(0, "tokens") >= 20 && of(0, "first_token_us") > 0
        );
        assert_eq!(nodes[0]["generation"]["finish"], "stop");
        assert!(nodes[0]["generation"]["tokens_per_second"].as_f64().unwrap() > 0.0);
        // Whichever came second did not read what both begin with.
        assert!(of(0, "cached_tokens") + of(1, "cached_tokens") >= 64, "{nodes:?}");
        assert!(!trace.to_string().contains("said to both"), "prompts are not recorded");
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");

    let (results, text) = &seen[0];
    assert!(["cat", "dog"].contains(&results["two"]["data"]["kind"].as_str().unwrap()));
    assert_eq!(text, &results["three"]["text"]);
    assert!(text.as_str().unwrap().starts_with("done "));
    let other = json(&run_on(&path, &["--json", "--seed", "4"]), 0);
    assert_eq!(other["results"]["one"]["text"], results["one"]["text"], "it has its own seed");
}

#[test]
fn a_cache_that_is_off_shares_nothing_and_changes_no_text() {
    let (dir, path) = writing(&three_nodes());
    let text = fs::read_to_string(&path).unwrap();
    let off = dir.path().join("off.yml");
    fs::write(&off, format!("{text}storage: {{kv_cache: {{enabled: false}}}}\n")).unwrap();
    let trace = dir.path().join("trace.json");
    let with = json(&run_on(&path, &["--json"]), 0);
    let without = json(&run_on(&off, &["--json", "--trace", &trace.display().to_string()]), 0);
    assert_eq!(with["results"], without["results"]);
    let trace: Value = serde_json::from_slice(&fs::read(&trace).unwrap()).unwrap();
    for node in trace["nodes"].as_array().unwrap() {
        assert_eq!(node["generation"]["cached_tokens"], 0);
    }
}

/// Goes on for thousands of tokens.
const ENDLESS: &str = "  - {id: long, agent: bitnet.generate, timeout_ms: LIMIT, \
    params: {prompt: go on, regex: '[a-z]{3900,3950}', max_tokens: 4000}}\n\
    \x20 - {id: quick, agent: bitnet.generate, timeout_ms: 120000, params: {prompt: a, regex: '[a-z]{3}'}}\n";

#[test]
fn a_time_out_ends_a_text_and_spares_the_other_node() {
    let (_dir, path) = writing(&ENDLESS.replace("LIMIT", "150"));
    let outcome = json(&run_on(&path, &["--json"]), 0);
    assert_eq!(outcome["status"], "partial");
    assert_eq!(outcome["errors"], value!(["timeout:long:150"]));
    assert_eq!(outcome["text"].as_str().unwrap().len(), 3);
    assert_eq!(outcome["answered_by"], "quick");
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_the_texts_and_keeps_what_is_done() {
    let nodes = ENDLESS.replace("LIMIT", "600000");
    // The second begins when the first one's place is free: never.
    let last = "  - {id: last, agent: bitnet.generate, deps: [long], params: {prompt: a}}\n";
    let (dir, path) = writing(&format!("{nodes}{last}"));
    let mut command = crate::support::std_bho();
    command.arg("run").arg(&path).args(["--input", "x", "--json"]);
    let out = fs::File::create(dir.path().join("out.json")).unwrap();
    let mut child = command.stdout(out).stderr(std::process::Stdio::null()).spawn().unwrap();
    // Both nodes have begun: each has its thread.
    let tasks = format!("/proc/{}/task", child.id());
    let begun = || {
        let names = fs::read_dir(&tasks).into_iter().flatten().flatten();
        let names = names.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.starts_with("bho-node-")).count() == 2
    };
    let begin = std::time::Instant::now();
    while !begun() && begin.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    crate::support::interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let outcome: Value =
        serde_json::from_slice(&fs::read(dir.path().join("out.json")).unwrap()).unwrap();
    let error = outcome["results"]["long"]["_error"].as_str().unwrap();
    assert_eq!(error, "node_failed:long:Cancelled:the run was stopped");
    assert!(outcome["results"]["last"]["_error"].is_string());
}

#[test]
fn a_model_that_cannot_write_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let node = "  - {id: a, agent: bitnet.generate, params: {prompt: x}}\n";
    let bytes = fs::read(&model).unwrap();
    fs::write(dir.path().join("cut.safetensors"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(dir.path().join("m.gguf"), b"GGUF\x03\0\0\0rest").unwrap();
    fs::copy(
        repository().join("models/bundled/minilm-l6-int8.safetensors"),
        dir.path().join("encoder.safetensors"),
    )
    .unwrap();
    let silent = dir.path().join("no-tokenizer.safetensors");
    let made = run(["dev", "make-model", silent.to_str().unwrap(), "--shape", "1m"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    for (name, code, says) in [
        ("missing.safetensors", 2, "cannot read"),
        ("cut.safetensors", 1, "not safetensors"),
        ("m.gguf", 1, "`bho convert` makes a model file of it"),
        ("encoder.safetensors", 1, "is an encoder and writes no text"),
        ("no-tokenizer.safetensors", 1, "has no tokenizer"),
    ] {
        let path = written(dir.path(), name, node);
        let place = format!("{}:5:18: ", path.display());
        let output = run_on(&path, &["--json"]);
        fails(&output, code, &format!("{place}models.reasoner_path: "));
        fails(&output, code, says);
        keeps_quiet(&output, TEXT);
        let checked = validate(&path, &[]);
        assert_eq!(checked.status.code(), Some(1), "{name}: {}", stdout(&checked));
        let told = stdout(&checked);
        assert!(
            told.contains(&format!("{place}error[bad_model]: models.reasoner_path: ")),
            "{told}"
        );
        assert!(told.contains(says) && told.contains("1 error"), "{told}");
    }
}

#[test]
fn a_schema_that_cannot_be_followed_is_found_before_the_run() {
    let (_dir, path) = writing(
        "  - {id: a, agent: bitnet.generate, params: {prompt: x, schema: {type: object, unevaluatedProperties: false}}}\n",
    );
    let place = format!("{}:7:5: ", path.display());
    fails(&run_on(&path, &[]), 1, &format!("{place}`schema` of the node `a`: "));
    let report = json(&validate(&path, &["--json"]), 1);
    let fault = &report["faults"][0];
    assert_eq!(
        (&fault["code"], &fault["path"]),
        (&value!("bad_param"), &value!("nodes[0].params.schema"))
    );
    assert!(fault["message"].as_str().unwrap().contains("unevaluatedProperties"), "{fault}");
}

#[test]
fn without_a_language_model_the_node_says_what_to_set_and_the_rest_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.yml");
    fs::write(
        &path,
        "version: 0.1.0\nschema: pipeline.v1\nname: none\nnodes:\n\
         \x20 - {id: a, agent: bitnet.summarizer, timeout_ms: 120000}\n\
         \x20 - {id: b, agent: bitnet.generate, params: {prompt: x}}\n",
    )
    .unwrap();
    let output = run_on(&path, &["--json"]);
    let outcome = json(&output, 0);
    assert_eq!((&outcome["status"], &outcome["answered_by"]), (&value!("partial"), &value!("a")));
    let error = outcome["errors"][0].as_str().unwrap();
    assert!(
        error.starts_with("node_failed:b:NoModel:") && error.contains("reasoner_path"),
        "{error}"
    );
    assert!(
        stderr(&output).contains("p.yml:6:5: warning[no_language_model]"),
        "{}",
        stderr(&output)
    );
    let report = json(&validate(&path, &["--json"]), 0);
    assert_eq!((&report["warnings"], &report["not_yet"]), (&value!(1), &value!(0)));
    assert!(report["models"][2]["model"].is_null() && report["models"][2]["error"].is_null());
}

#[test]
fn agents_that_compare_texts_keep_an_encoder_beside_the_language_model() {
    let (_dir, path) = writing(
        "  - {id: sum, agent: bitnet.summarizer, timeout_ms: 120000, params: {max_sentences: 1, method: extract}}\n\
         \x20 - {id: a, agent: bitnet.generate, deps: [sum], timeout_ms: 120000, params: {prompt: '${nodes.sum.text}', regex: '[a-z]{4}'}}\n",
    );
    let outcome = json(&run_on(&path, &["--json"]), 0);
    assert_eq!(outcome["status"], "complete");
    assert!(TEXT.contains(outcome["results"]["sum"]["text"].as_str().unwrap()));
    let names: Vec<_> = outcome["models"].as_array().unwrap().iter().map(|m| &m["name"]).collect();
    assert_eq!(names[..2], ["bitnet-s-1.58b", "random"]);
}

#[test]
fn agents_that_can_write_do_where_the_reasoner_is_a_language_model() {
    let nodes = |method: &str| {
        format!(
            "  - {{id: sum, agent: bitnet.summarizer, timeout_ms: 120000, params: {{max_sentences: 1, method: {method}}}}}\n\
             \x20 - {{id: check, agent: bitnet.claimcheck, deps: [sum], timeout_ms: 120000, params: {{method: {method}}}, \
             io: {{inputs: {{text: '${{source.text}}', claim: BitNet stores weights in ternary digits}}}}}}\n\
             \x20 - {{id: brief, agent: bitnet.synthesis, timeout_ms: 120000, deps: [sum, check], params: {{method: {method}}}}}\n"
        )
    };
    let (dir, path) = writing(&nodes("auto"));
    let report = json(&validate(&path, &["--json"]), 0);
    assert_eq!((&report["faults"], &report["valid"]), (&value!([]), &value!(true)));
    assert_eq!(report["models"][2]["role"], "generator");
    assert_eq!(report["models"][2]["nodes"], value!(["sum", "check", "brief"]));
    let outcome = json(&run_on(&path, &["--json"]), 0);
    assert_eq!(outcome["status"], "complete", "{outcome}");
    let names: Vec<_> = outcome["models"].as_array().unwrap().iter().map(|m| &m["name"]).collect();
    assert_eq!(names[..2], ["bitnet-s-1.58b", "random"]);
    for id in ["sum", "check", "brief"] {
        // Random weights may fill a string without end; then the node extracts and says so.
        let node = &outcome["results"][id];
        let note = node["note"].as_str().unwrap_or_default();
        assert!(node["written_by"] == "random" || note.contains("language model"), "{node}");
    }
    let again = json(&run_on(&path, &["--json", "--threads", "2"]), 0);
    assert_eq!(again["results"], outcome["results"]);

    // A language model gives no vectors, also where no node writes.
    written(dir.path(), "tiny.safetensors", &nodes("extract"));
    let outcome = json(&run_on(&path, &["--json"]), 0);
    assert_eq!(
        (&outcome["status"], &outcome["models"][0]["name"]),
        (&value!("complete"), &value!("bitnet-s-1.58b"))
    );

    // What is not to be written needs no language model, and what must be, one.
    written(dir.path(), "gone.safetensors", &nodes("extract"));
    fails(&run_on(&path, &[]), 2, "gone.safetensors");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("models:\n  reasoner_path: gone.safetensors\n", "");
    fs::write(&path, &text).unwrap();
    let report = json(&validate(&path, &["--json"]), 0);
    assert_eq!(report["warnings"], 0, "{report}");
    fs::write(&path, text.replace("method: extract", "method: generate")).unwrap();
    let output = run_on(&path, &["--json"]);
    assert!(stderr(&output).contains("warning[no_language_model]"), "{}", stderr(&output));
    let outcome = json(&output, 1);
    let error = outcome["errors"][0].as_str().unwrap();
    assert!(error.starts_with("node_failed:sum:NoModel:"), "{error}");
}

#[test]
fn a_name_of_the_store_is_a_model_of_pipelines() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    let store = dir.path().join("store");
    let flags = ["--name", "mine", "--licence", "MIT", "--yes"];
    let with_store =
        |args: &[&str]| rules_alone().env("BHO_MODELS_DIR", &store).args(args).output().unwrap();
    let pulled = with_store(&[&["models", "pull", &model][..], &flags].concat());
    assert_eq!(pulled.status.code(), Some(0), "{}", stderr(&pulled));
    let path = dir.path().join("p.yml");
    let text = |name: &str| {
        format!(
            "version: 0.1.0\nschema: pipeline.v1\nname: n\nmodels: {{reasoner: {name}}}\nnodes:\n\
             \x20 - {{id: a, agent: bitnet.generate, timeout_ms: 120000, params: {{prompt: x, regex: '[a-z]{{6}}'}}}}\n"
        )
    };
    fs::write(&path, text("mine")).unwrap();
    let given = path.display().to_string();
    let outcome = json(&with_store(&["run", &given, "--input", "x", "--json"]), 0);
    assert_eq!(outcome["text"].as_str().unwrap().len(), 6);
    fs::write(&path, text("yours")).unwrap();
    let output = with_store(&["run", &given, "--input", "x"]);
    fails(&output, 1, "p.yml:4:20: models.reasoner: no model is called \"yours\"");
}

#[test]
fn the_example_runs_on_the_model_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny_text_model(dir.path());
    fs::rename(model, dir.path().join("model.safetensors")).unwrap();
    let path = dir.path().join("draft_and_join.yml");
    fs::copy(pipeline("draft_and_join.yml"), &path).unwrap();
    assert_eq!(json(&validate(&path, &["--json"]), 0)["faults"], value!([]));
    let outcome = json(&run_on(&path, &["--json"]), 0);
    // A model without sense may fill its strings to the end and beyond; then it says so.
    for error in outcome["errors"].as_array().unwrap() {
        let error = error.as_str().unwrap();
        assert!(error.starts_with("node_failed:keywords:Unsatisfied:"), "{error}");
    }
    assert!(outcome["results"]["summary"]["text"].is_string());
    assert!(outcome["results"]["join"]["text"].is_string(), "{outcome}");
}

/// With real weights, where `BHO_SMOLLM2_GGUF` names them: nodes side by side write what `bho generate`
/// writes alone.
#[test]
fn a_real_model_answers() {
    let Some(gguf) = std::env::var_os("BHO_SMOLLM2_GGUF") else {
        println!("BHO_SMOLLM2_GGUF is not set: no pipeline was run on SmolLM2");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model.safetensors");
    let made = bho().arg("convert").arg(gguf).arg(&model).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let questions = [
        ("france", "What is the capital of France?"),
        ("water", "What is the chemical formula of water?"),
    ];
    let node = |(id, question): (&str, &str)| {
        format!(
            "  - {{id: {id}, agent: bitnet.generate, timeout_ms: 300000, params: {{prompt: '{question}', \
             max_tokens: 24, temperature: 0}}}}\n"
        )
    };
    let nodes = questions.map(node).concat()
        + "  - {id: kind, agent: bitnet.generate, deps: [france], timeout_ms: 300000, params: {prompt: \
           'Is this about a city or about an animal? ${nodes.france.text}', temperature: 0, \
           schema: {type: object, properties: {about: {enum: [city, animal]}}, required: [about], \
           additionalProperties: false}}}\n";
    let path = written(dir.path(), "model.safetensors", &nodes);
    let outcome = json(&run_on(&path, &["--json"]), 0);
    assert_eq!(outcome["status"], "complete", "{outcome}");
    for (id, question) in questions {
        let mut alone = bho();
        alone.arg("generate").arg(&model).arg(question).args(["-n", "24", "--json"]);
        let alone = alone.args(["--temperature", "0"]).output().unwrap();
        assert_eq!(outcome["results"][id]["text"], json(&alone, 0)["text"]);
    }
    assert!(outcome["results"]["france"]["text"].as_str().unwrap().contains("Paris"), "{outcome}");
    let about = outcome["results"]["kind"]["data"]["about"].as_str().unwrap();
    assert!(["city", "animal"].contains(&about), "{about}");
}
