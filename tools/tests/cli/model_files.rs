// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho embed`, `convert` and `inspect`, and pipelines on a converted model.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::{
    EMAIL, TEXT, bho, fails, file, json, keeps_quiet, keys, repository, run, stderr, stdout,
};

/// A tiny BERT as a Hugging Face folder: golden weights with a vocabulary of words.
fn tiny_checkpoint() -> tempfile::TempDir {
    let golden = repository().join("tests/golden/bert/h32_long");
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden.join(name), dir.path().join(name)).unwrap();
    }
    let mut vocab: Vec<String> =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).to_vec();
    vocab.extend(["bitnet", "stores", "weights", "a", "b", "c"].map(String::from));
    vocab.extend((vocab.len()..89).map(|i| format!("word{i}")));
    fs::write(dir.path().join("vocab.txt"), vocab.join("\n") + "\n").unwrap();
    dir
}

fn convert(src: &Path, out: &Path, flags: &[&str]) -> Output {
    bho().arg("convert").arg(src).arg(out).args(flags).output().unwrap()
}

fn converted() -> (tempfile::TempDir, PathBuf) {
    let src = tiny_checkpoint();
    let out = src.path().join("tiny.safetensors");
    let output = convert(src.path(), &out, &["--name", "tiny"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    (src, out)
}

fn vector(output: &Output) -> Vec<f64> {
    let embedding = json(output, 0)["embedding"].clone();
    embedding.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn a_text_becomes_a_unit_vector_the_same_on_every_backend() {
    let output = run(["embed", "--json", TEXT]);
    let document = json(&output, 0);
    assert_eq!(keys(&document), ["model", "sha256", "dim", "coverage", "embedding"]);
    assert_eq!(keys(&document["coverage"]), ["tokens", "windows", "truncated"]);
    let values = vector(&output);
    assert_eq!((document["dim"].as_u64(), values.len()), (Some(384), 384));
    let norm: f64 = values.iter().map(|v| v * v).sum();
    assert!((norm - 1.0).abs() < 1e-4, "{norm}");
    let scalar = bho().env("BHO_ISA", "scalar").args(["embed", "--json", TEXT]).output().unwrap();
    assert_eq!(vector(&scalar), values);

    let shown = stdout(&run(["embed", TEXT]));
    assert!(shown.starts_with("bitnet-s-1.58b  384 dimensions, "), "{shown}");
    assert!(stdout(&run(["embed", ""])).contains("0 tokens, 0 windows"));
}

#[test]
fn long_texts_say_how_they_were_read() {
    let output =
        bho().args(["embed", "--json", "-"]).write_stdin(TEXT.repeat(20)).output().unwrap();
    let coverage = &json(&output, 0)["coverage"];
    assert!(coverage["windows"].as_u64() > Some(1), "{coverage}");
    assert_eq!(coverage["truncated"], 0);
}

#[test]
fn one_vector_a_line_in_order_whatever_the_batch() {
    let mut stream: String = (0..70).map(|i| format!("{{\"text\": \"number {i}\"}}\n")).collect();
    stream.push_str(&format!("{{\"text\": 5, \"note\": \"{EMAIL}\"}}\n"));
    let (_dir, path) = file("t.jsonl", &stream);
    let output = bho().args(["embed", "--jsonl"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("t.jsonl:71: `text` is not a string"));
    keeps_quiet(&output, EMAIL);
    let lines: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<_> = lines.iter().map(|line| line["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=70).collect::<Vec<_>>());
    assert_eq!(keys(&lines[0]), ["line", "coverage", "embedding"]);
    assert_eq!(
        lines[41]["embedding"],
        json(&run(["embed", "--json", "number 41"]), 0)["embedding"]
    );
}

#[test]
fn models_are_found_by_name_or_path() {
    fails(&run(["embed", "--model", "gpt-7", "x"]), 2, "no model is called \"gpt-7\"");
    let (_dir, broken) = file("m.safetensors", b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F{}");
    let broken = broken.display().to_string();
    fails(&run(["embed", "--model", &broken, "x"]), 1, "m.safetensors");
    let (_dir, tiny) = converted();
    let output =
        run(["embed", "--json", "--model", &tiny.display().to_string(), "bitnet stores weights"]);
    let document = json(&output, 0);
    assert_eq!((&document["model"], &document["dim"]), (&"tiny".into(), &32.into()));
    assert_eq!(document["coverage"]["tokens"], 3);
}

#[test]
fn a_judge_stands_beside_its_trunk_in_one_ternary_file() {
    let golden = |name: &str| repository().join("tests/golden/bert_ternary").join(name);
    let (trunk, judge) = (golden("trunk"), golden("judge"));
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("both.safetensors");
    let flags = ["--weights", "ternary", "--judge", judge.to_str().unwrap()];
    let shown = stdout(&convert(&trunk, &out, &flags));
    assert!(shown.contains("stored once for both networks: 8 tensors"), "{shown}");
    let shown = stdout(&bho().arg("inspect").arg(&out).output().unwrap());
    for fact in [
        "BertForSequenceClassification: entailment, neutral, contradiction",
        "8 tensors with the first network",
        "judge.classifier.weight",
    ] {
        assert!(shown.contains(fact), "{fact:?} is not in {shown}");
    }
    fails(&convert(&trunk, &out, &["--force", "--judge", "no/such"]), 2, "no/such");
    fails(&convert(&trunk, &out, &["--force", "--judge", trunk.to_str().unwrap()]), 1, "judge");
}

#[test]
fn a_conversion_reports_itself_and_can_be_inspected() {
    let src = tiny_checkpoint();
    let out = src.path().join("out.safetensors");
    let flags =
        ["--json", "--name", "tiny", "--source", "a test", "--revision", "r1", "--licence", "MIT"];
    let report = json(&convert(src.path(), &out, &flags), 0);
    assert_eq!(keys(&report), ["path", "bytes", "sha256", "tensors", "left_out"]);
    assert_eq!(
        keys(&report["tensors"][0]),
        ["name", "shape", "dtype", "rms_error", "max_error", "zeros", "cosine"]
    );
    assert_eq!(report["bytes"].as_u64(), Some(fs::metadata(&out).unwrap().len()));

    let inspection = json(&bho().arg("inspect").arg(&out).arg("--json").output().unwrap(), 0);
    assert_eq!(
        keys(&inspection),
        [
            "path",
            "bytes",
            "sha256",
            "format",
            "architecture",
            "parameters",
            "config",
            "tokenizer",
            "chat_template",
            "memory",
            "files",
            "tensors",
            "metadata"
        ]
    );
    assert_eq!(
        keys(&inspection["tensors"][0]),
        ["name", "dtype", "shape", "bytes", "offset", "file"]
    );
    assert_eq!(inspection["sha256"], report["sha256"]);
    assert_eq!(inspection["architecture"], "BertModel");
    for (key, value) in
        [("source", "a test"), ("revision", "r1"), ("licence", "MIT"), ("name", "tiny")]
    {
        assert_eq!(inspection["metadata"][format!("bho.{key}")], value);
    }
    let shown = stdout(&bho().arg("inspect").arg(&out).output().unwrap());
    assert!(shown.starts_with("file ") && shown.contains("\ntensor "), "{shown}");
}

#[test]
fn an_existing_file_is_replaced_only_when_told() {
    let src = tiny_checkpoint();
    let out = src.path().join("out.safetensors");
    fs::write(&out, "mine").unwrap();
    fails(&convert(src.path(), &out, &[]), 2, "it exists already");
    assert_eq!(fs::read(&out).unwrap(), b"mine");
    let output = convert(src.path(), &out, &["--force"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("sha256 ") && stdout(&output).contains("largest error in"));
    assert!(fs::metadata(&out).unwrap().len() > 1000);
}

#[test]
fn what_cannot_be_converted_or_read_is_told_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.safetensors");
    fails(&convert(Path::new("no/such"), &out, &[]), 2, "cannot read no/such");
    let src = tiny_checkpoint();
    let weights = src.path().join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    fails(&convert(src.path(), &out, &[]), 1, "model.safetensors");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

    fails(&run(["inspect", "no/such.safetensors"]), 2, "no/such.safetensors");
    let inspect = bho().arg("inspect").arg(&weights).output().unwrap();
    fails(&inspect, 1, "model.safetensors");
}

#[test]
fn a_pipeline_can_pin_each_model_beside_itself() {
    let (dir, _) = converted();
    let pipeline = dir.path().join("p.yml");
    fs::write(
        &pipeline,
        "version: 0.1.0\nschema: pipeline.v1\nname: n\n\
         models: {reasoner: mini-embed-small, embedder_path: tiny.safetensors}\n\
         nodes:\n\
         \x20 - {id: a, agent: bitnet.summarizer, timeout_ms: 60000}\n\
         \x20 - {id: b, agent: bitnet.embed, timeout_ms: 60000}\n",
    )
    .unwrap();
    let output =
        bho().arg("run").arg(&pipeline).args(["--json", "--input", TEXT]).output().unwrap();
    let outcome = json(&output, 0);
    let names: Vec<_> =
        outcome["models"].as_array().unwrap().iter().map(|model| &model["name"]).collect();
    assert_eq!(names[..2], ["bitnet-s-1.58b", "tiny"]);
    assert_eq!(outcome["results"]["b"]["dim"], 32);
    fs::write(&pipeline, fs::read_to_string(&pipeline).unwrap().replace("tiny.", "gone.")).unwrap();
    let output = bho().arg("run").arg(&pipeline).args(["--input", TEXT]).output().unwrap();
    fails(&output, 2, "gone.safetensors");
}

#[test]
fn a_decoder_that_gives_vectors_is_an_embedder_like_any_other() {
    let golden = repository().join("tests/golden/decoder/embedding_qwen3");
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden.join(name), dir.path().join(name)).unwrap();
    }
    let mut words: serde_json::Map<String, Value> =
        (2..160).map(|id| (format!("word{id}"), Value::from(id))).collect();
    words.insert("bats".into(), 1.into());
    words.insert("unknown".into(), 0.into());
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": words, "unk_token": "unknown" },
    });
    fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let prompts = r#"{"prompts": {"query": "word7 word8 ", "document": ""}}"#;
    fs::write(dir.path().join("config_sentence_transformers.json"), prompts).unwrap();
    let out = dir.path().join("vectors.safetensors");
    let output = convert(dir.path(), &out, &["--name", "vectors", "--embed", "int8"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let model = out.display().to_string();
    let embed = |flags: &[&str]| run(["embed", "--json", "--model", &model].iter().chain(flags));
    let document = json(&embed(&["bats"]), 0);
    assert_eq!((&document["model"], &document["dim"]), (&"vectors".into(), &64.into()));
    assert_eq!(document["coverage"]["tokens"], 1);
    let query = embed(&["--prompt", "query", "bats"]);
    assert_eq!(vector(&query), vector(&embed(&["word7 word8 bats"])));
    assert_ne!(vector(&query), vector(&embed(&["bats"])));
    fails(&embed(&["--prompt", "passage", "bats"]), 1, "has: \"document\", \"query\"");
    fails(&run(["embed", "--prompt", "query", "bats"]), 1, "it has: none");

    let pipeline = dir.path().join("p.yml");
    fs::write(
        &pipeline,
        "version: 0.1.0\nschema: pipeline.v1\nname: n\n\
         models: {embedder_path: vectors.safetensors}\n\
         nodes: [{id: b, agent: bitnet.embed, timeout_ms: 60000}]\n",
    )
    .unwrap();
    let output =
        bho().arg("run").arg(&pipeline).args(["--json", "--input", TEXT]).output().unwrap();
    assert_eq!(json(&output, 0)["results"]["b"]["dim"], 64);
    let inspection = json(&bho().arg("inspect").arg(&out).arg("--json").output().unwrap(), 0);
    assert_eq!(inspection["metadata"]["bho.pooling"], "last");
    assert_eq!(inspection["architecture"], "Qwen3Model");
}
