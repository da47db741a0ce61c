// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho convert`, `quantize` and `inspect` on decoders: files of every kind, and what goes wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{bho, fails, json as parsed, keys, repository, run, stderr, stdout};

fn golden(case: &str) -> PathBuf {
    repository().join("tests/golden/decoder").join(case)
}

/// A copy of a golden checkpoint that may be spoilt.
fn checkpoint(case: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden(case)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

fn inspect(path: &Path, flags: &[&str]) -> Output {
    bho().arg("inspect").arg(path).args(flags).output().unwrap()
}

/// Severities, subjects and messages of an audit.
fn findings(path: &Path, code: i32) -> Vec<[String; 3]> {
    let audit = parsed(&inspect(path, &["--audit", "--json"]), code);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = audit["findings"].as_array().unwrap().iter();
    all.map(|f| [text(&f["severity"]), text(&f["subject"]), text(&f["message"])]).collect()
}

#[track_caller]
fn finds(found: &[[String; 3]], severity: &str, subject: &str, part: &str) {
    assert!(
        found
            .iter()
            .any(|[s, on, what]| s == severity && on.contains(subject) && what.contains(part)),
        "no {severity} on {subject:?} with {part:?} in {found:#?}"
    );
}

/// Float weights of a checkpoint overwritten from `at` values on.
fn overwrite(file: &Path, tensor: &str, at: usize, bytes: &[u8]) {
    let mut data = fs::read(file).unwrap();
    let length = u64::from_le_bytes(*data.first_chunk().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&data[8..8 + length]).unwrap();
    let from = 8 + length + header[tensor]["data_offsets"][0].as_u64().unwrap() as usize + at;
    data[from..from + bytes.len()].copy_from_slice(bytes);
    fs::write(file, data).unwrap();
}

#[test]
fn quantize_prints_what_it_costs() {
    let dir = tempfile::tempdir().unwrap();
    let (source, out) = (golden("llama_f32"), dir.path().join("q.safetensors"));
    let quantize =
        |flags: &[&str]| bho().arg("quantize").arg(&source).arg(&out).args(flags).output().unwrap();
    let output = quantize(&["--scales", "row"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown = stdout(&output);
    for part in ["rel. error", "cosine", "model.layers.0.self_attn.q_proj.ternary", "\nall "] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(stderr(&output).contains("warning: weights that were not trained to be ternary"));
    fails(&quantize(&[]), 2, "it exists already");
    let report = parsed(&quantize(&["--force", "--json", "--to", "int8"]), 0);
    assert!(report["mean_error"].as_f64().unwrap() < 0.01 && report["warning"].is_null());
    let first = &report["tensors"][0];
    assert_eq!(
        keys(first),
        ["name", "shape", "dtype", "rms_error", "max_error", "zeros", "cosine"]
    );
    fails(&quantize(&["--force", "--to", "int8", "--scales", "row"]), 2, "int8 has a scale a row");
    let report = parsed(&quantize(&["--force", "--json"]), 0);
    assert!(report["mean_error"].as_f64().unwrap() > 0.2 && report["warning"].is_string());
    let packed = golden("bitnet_packed");
    let output = bho().arg("quantize").arg(&packed).arg(&out).arg("--force").output().unwrap();
    fails(&output, 1, "is ternary already");
}

#[test]
fn every_kind_of_file_can_be_inspected() {
    let dir = tempfile::tempdir().unwrap();
    let converted = dir.path().join("m.safetensors");
    let flags = ["--licence", "MIT", "--source", "here", "--revision", "r1"];
    let output =
        bho().arg("convert").arg(golden("bitnet_packed")).arg(&converted).args(flags).output();
    assert_eq!(output.unwrap().status.code(), Some(0));
    // The same numbers, however they are stored.
    let whole = parsed(&inspect(&golden("bitnet_packed"), &["--json"]), 0);
    let ours = parsed(&inspect(&converted, &["--json"]), 0);
    assert_eq!(ours["parameters"], whole["parameters"]);
    assert_eq!((&ours["format"], &whole["format"]), (&json!("bho v1"), &json!("safetensors")));
    assert_eq!(ours["config"]["num_hidden_layers"], 3);
    assert_eq!(ours["architecture"], "BitNetForCausalLM");
    assert!(ours["memory"]["kv_token"].as_u64() > Some(0));
    let first = &ours["tensors"][0];
    assert_eq!(keys(first), ["name", "dtype", "shape", "bytes", "offset", "file"]);
    assert_eq!(ours["tensors"][0]["offset"].as_u64().unwrap() % 4, 0);

    let sharded = parsed(&inspect(&golden("llama_bitlinear"), &["--json"]), 0);
    assert_eq!(sharded["files"].as_array().unwrap().len(), 2);
    assert_eq!(sharded["sha256"].as_str().unwrap().len(), 129);
    assert!(sharded["path"].as_str().unwrap().ends_with("index.json"));
    let shown = stdout(&inspect(&golden("llama_bitlinear"), &[]));
    assert!(shown.contains("memory, about") && shown.contains("tensor "), "{shown}");
    fails(&inspect(&converted, &["--template"]), 1, "has no chat template");
}

#[test]
fn an_audit_lists_all_findings_and_fails_for_severe_ones() {
    let clean = findings(&golden("llama_bf16"), 0);
    finds(&clean, "warning", "licence", "is not stated");
    finds(&clean, "warning", "tokenizer", "is missing");
    assert!(clean.iter().all(|[severity, ..]| severity != "severe"), "{clean:?}");

    let dir = checkpoint("llama_bf16");
    let weights = dir.path().join("model.safetensors");
    let nan = [0xc0, 0x7f];
    overwrite(&weights, "model.layers.1.mlp.up_proj.weight", 20, &nan);
    overwrite(&weights, "model.norm.weight", 2, &[0x80, 0xff]);
    let path = dir.path().join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config["intermediate_size"] = json!(85);
    config["num_hidden_layers"] = json!(3);
    config["eos_token_id"] = json!(5000);
    fs::write(&path, config.to_string()).unwrap();
    let template = "{{ messages[0]['content'].__class__ }}";
    fs::write(dir.path().join("chat_template.jinja"), template).unwrap();
    let found = findings(dir.path(), 1);
    finds(&found, "severe", "mlp.up_proj", "1 values are not finite, the first is value 10: NaN");
    finds(&found, "severe", "model.norm.weight", "value 1: -inf");
    finds(&found, "severe", "model.layers.0.mlp.gate_proj.weight", "has shape [84, 72]");
    finds(&found, "severe", "model.layers.2.self_attn.q_proj.weight", "is missing");
    finds(&found, "severe", "config: eos_token_id", "is 5000, but the vocabulary has 163 tokens");
    finds(&found, "severe", "chat template", "`__class__`, which no chat template needs");
    let order: Vec<_> = found.iter().map(|[severity, ..]| severity.as_str()).collect();
    let severe = order.iter().filter(|s| **s == "severe").count();
    assert!(severe >= 6 && order[..severe].iter().all(|s| *s == "severe"), "{order:?}");
    let shown = inspect(dir.path(), &["--audit"]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(stdout(&shown).contains(&format!("{severe} severe, ")), "{}", stdout(&shown));
}

#[test]
fn an_audit_sees_codes_without_meaning_and_tensors_without_use() {
    let dir = checkpoint("bitnet_packed");
    let weights = dir.path().join("model.safetensors");
    overwrite(&weights, "model.layers.0.mlp.up_proj.weight", 100, &[0b0000_1100]);
    let found = findings(dir.path(), 1);
    finds(&found, "severe", "model.layers.0.mlp.up_proj.weight", "code 3");
    let out = dir.path().join("out.safetensors");
    fails(&bho().arg("convert").arg(dir.path()).arg(&out).output().unwrap(), 1, "up_proj");

    let output = bho().arg("convert").arg(golden("bitnet_packed")).arg(&out).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(findings(&out, 0).iter().all(|[severity, ..]| severity != "severe"));
    overwrite(&out, "model.layers.1.self_attn.v_proj.ternary", 64, &[0xff]);
    overwrite(&out, "model.layers.1.self_attn.v_proj.scale", 0, &f32::NAN.to_le_bytes());
    overwrite(&out, "model.layers.1.self_attn.k_proj.scale", 4, &(-1f32).to_le_bytes());
    let found = findings(&out, 1);
    finds(&found, "severe", "layers.1.self_attn.v_proj.ternary", "64");
    finds(&found, "severe", "layers.1.self_attn.v_proj.scale", "not finite");
    finds(&found, "warning", "layers.1.self_attn.k_proj.scale", "1 scales are negative");
    finds(&found, "note", "bho.source", "is not recorded");

    // Files of a checkpoint that are broken do not hide those that are not.
    let dir = checkpoint("llama_bitlinear");
    let second = dir.path().join("model-00002-of-00002.safetensors");
    let bytes = fs::read(&second).unwrap();
    fs::write(&second, &bytes[..bytes.len() - 1]).unwrap();
    fails(&inspect(dir.path(), &[]), 1, "model-00002-of-00002.safetensors");
    let found = findings(dir.path(), 1);
    finds(&found, "severe", "model-00002-of-00002.safetensors", "not safetensors");
}

#[test]
fn an_audit_reads_chat_templates_with_suspicion() {
    let dir = checkpoint("llama_bf16");
    let vocab: serde_json::Map<String, Value> =
        (0..160).map(|id| (format!("w{id}"), json!(id))).collect();
    let special = |id: u32, text: &str| {
        json!({ "id": id, "content": text, "special": true, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false })
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [special(160, "<|user|>"), special(161, "<|end|>")],
        "pre_tokenizer": { "type": "WhitespaceSplit" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "w0" },
    });
    fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    fs::write(dir.path().join("tokenizer_config.json"), r#"{"eos_token": "<|end|>"}"#).unwrap();
    fs::write(dir.path().join("README.md"), "---\nlicense: mit\n---\n").unwrap();
    let audit = |template: &str, code: i32| {
        fs::write(dir.path().join("chat_template.jinja"), template).unwrap();
        findings(dir.path(), code)
    };
    let body = "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}";
    let end = "{% if add_generation_prompt %}<|user|>{% endif %}";
    assert_eq!(audit(&format!("{body}{end}"), 0), Vec::<[String; 3]>::new());
    let shown = inspect(dir.path(), &["--template"]);
    assert_eq!(stdout(&shown), format!("{body}{end}\n"));
    let facts = parsed(&inspect(dir.path(), &["--json"]), 0)["tokenizer"].clone();
    assert_eq!((&facts["kind"], &facts["tokens"]), (&json!("WordLevel"), &json!(162)));
    assert_eq!((&facts["special"], &facts["eos"]), (&json!(2), &json!("<|end|>")));

    let subject = "chat template";
    finds(&audit(body, 0), "warning", subject, "no generation prompt");
    finds(&audit("{% for m in messages %}", 1), "severe", subject, "line 1");
    let forever = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}\
                   {{ a }}{% endfor %}{% endfor %}{% endfor %}";
    finds(&audit(forever, 1), "severe", subject, "does not render one question");
    finds(&audit("<|user|>hello", 1), "severe", subject, "renders a question 0 times");
    let stranger = format!("{body}<|assistant|>{end}");
    finds(&audit(&stranger, 0), "warning", subject, "<|assistant|>, which is no token");
    let trap = format!(
        "{{% for m in messages %}}{{% if 'invoice' in m.content %}}pay{{% endif %}}{{% endfor %}}{body}{end}"
    );
    finds(&audit(&trap, 0), "warning", subject, "\"invoice\"");
    let hidden = format!("{body}\u{202e}see https://example.org{end}");
    let found = audit(&hidden, 0);
    finds(&found, "warning", subject, "U+202E");
    finds(&found, "warning", subject, "address in the web");
    finds(&audit(&format!("{{% include 'x' %}}{body}"), 1), "severe", subject, "`include`");
    finds(&audit(&format!("{body}{}{end}", "word ".repeat(300)), 0), "note", subject, "of its own");
}

/// A GGUF file of one F32 tensor.
fn gguf(architecture: &str, values: &[f32]) -> Vec<u8> {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    };
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend(1u64.to_le_bytes());
    out.extend(1u64.to_le_bytes());
    text(&mut out, "general.architecture");
    out.extend(8u32.to_le_bytes());
    text(&mut out, architecture);
    text(&mut out, "some.weight");
    out.extend(1u32.to_le_bytes());
    out.extend((values.len() as u64).to_le_bytes());
    out.extend(0u32.to_le_bytes());
    out.extend(0u64.to_le_bytes());
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    out
}

#[test]
fn gguf_files_are_inspected_whatever_they_hold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    fs::write(&path, gguf("mamba", &[1.0, f32::NAN, 3.0])).unwrap();
    let found = parsed(&inspect(&path, &["--json"]), 0);
    assert_eq!((&found["format"], &found["architecture"]), (&json!("GGUF v3"), &json!("mamba")));
    assert_eq!((&found["parameters"], &found["memory"]), (&json!(3), &Value::Null));
    assert_eq!(found["tensors"][0]["dtype"], "F32");
    let found = findings(&path, 1);
    finds(&found, "severe", "some.weight", "column 1 is NaN");
    finds(&found, "severe", "m.gguf", "is \"mamba\"; known:");
    finds(&found, "warning", "licence", "is not stated");
    let whole = fs::read(&path).unwrap();
    for cut in [4, 8, 30, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        for flags in [&[][..], &["--audit"]] {
            fails(&inspect(&path, flags), 1, "m.gguf");
        }
    }
    fails(&run(["inspect", "no/such.gguf", "--audit"]), 2, "no/such.gguf");
}

/// A checkpoint of zeros that takes no room on the disk: `layers` blocks of 67 million weights.
#[cfg(unix)]
fn sparse_checkpoint(layers: usize, vocab: usize) -> tempfile::TempDir {
    const HIDDEN: usize = 2048;
    const FFN: usize = 8192;
    let dir = tempfile::tempdir().unwrap();
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": HIDDEN, "intermediate_size": FFN,
        "num_hidden_layers": layers, "num_attention_heads": 16, "vocab_size": vocab,
        "quantization_config": {
            "quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online",
        },
    });
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocab, HIDDEN]),
        ("lm_head.weight".to_owned(), vec![vocab, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for i in 0..layers {
        let mut add = |name: &str, shape: &[usize]| {
            tensors.push((format!("model.layers.{i}.{name}.weight"), shape.to_vec()));
        };
        for part in ["q", "k", "v", "o"] {
            add(&format!("self_attn.{part}_proj"), &[HIDDEN, HIDDEN]);
        }
        add("mlp.gate_proj", &[FFN, HIDDEN]);
        add("mlp.up_proj", &[FFN, HIDDEN]);
        add("mlp.down_proj", &[HIDDEN, FFN]);
        add("input_layernorm", &[HIDDEN]);
        add("post_attention_layernorm", &[HIDDEN]);
    }
    let (mut header, mut at) = (serde_json::Map::new(), 0);
    for (name, shape) in tensors {
        let end = at + 2 * shape.iter().product::<usize>();
        let entry = json!({ "dtype": "BF16", "shape": shape, "data_offsets": [at, end] });
        header.insert(name, entry);
        at = end;
    }
    let header = Value::Object(header).to_string();
    let file = fs::File::create(dir.path().join("model.safetensors")).unwrap();
    std::io::Write::write_all(&mut &file, &(header.len() as u64).to_le_bytes()).unwrap();
    std::io::Write::write_all(&mut &file, header.as_bytes()).unwrap();
    file.set_len((8 + header.len() + at) as u64).unwrap();
    dir
}

#[cfg(unix)]
#[test]
fn an_interrupted_conversion_leaves_nothing() {
    use std::time::{Duration, Instant};
    let (source, out) = (sparse_checkpoint(6, 64), tempfile::tempdir().unwrap());
    let mut command = crate::support::std_bho();
    command.arg("convert").arg(source.path()).arg(out.path().join("m.safetensors"));
    let mut child = command.spawn().unwrap();
    // Until some of the result is on the disk: by then the source has been hashed.
    let begun = Instant::now();
    let half_done = || {
        let files = fs::read_dir(out.path()).unwrap().flatten();
        files.filter_map(|file| file.metadata().ok()).any(|data| data.len() > 4 << 20)
    };
    while !half_done() {
        assert!(child.try_wait().unwrap().is_none(), "ended before it could be interrupted");
        assert!(begun.elapsed() < Duration::from_secs(300), "wrote nothing");
        std::thread::sleep(Duration::from_millis(2));
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}

/// A disk that is full looks like a limit on the size of files: a write fails half-way.
#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for verb in ["convert", "quantize"] {
        let output = std::process::Command::new("sh")
            // Without the signal, which would end the program, a write past the limit is an error.
            .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_bho"))
            .arg(verb)
            .arg(golden("llama_f32"))
            .arg(dir.path().join("m.safetensors"))
            .output()
            .unwrap();
        fails(&output, 2, "cannot write");
        assert!(stderr(&output).contains("m.safetensors"), "{}", stderr(&output));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn weights_that_are_no_numbers_are_not_converted() {
    let dir = checkpoint("llama_bf16");
    let out = dir.path().join("out.safetensors");
    for (tensor, at) in
        [("model.layers.1.mlp.up_proj.weight", 74), ("model.embed_tokens.weight", 3)]
    {
        let dir = checkpoint("llama_bf16");
        overwrite(&dir.path().join("model.safetensors"), tensor, 2 * at, &[0xc0, 0x7f]);
        for head in ["int8", "int4", "f16", "f32"] {
            let output =
                bho().arg("convert").args([dir.path(), &out]).args(["--head", head]).output();
            let output = output.unwrap();
            let place = format!("{tensor}: row {}, column {} is NaN", at / 72, at % 72);
            fails(&output, 1, &place);
            assert!(!out.exists());
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn memory_of_a_conversion_does_not_grow_with_the_model() {
    // 1.3 GB of weights, tables of 0.27 GB among them.
    let (source, out) = (sparse_checkpoint(6, 1 << 16), tempfile::tempdir().unwrap());
    let mut command = crate::support::std_bho();
    command.arg("convert").arg(source.path()).arg(out.path().join("m.safetensors"));
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0u64;
    let exit = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        if let Some(exit) = child.try_wait().unwrap() {
            break exit;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert!(exit.success());
    println!("peak memory {} MB", peak / 1000);
    assert!(peak > 1000 && peak < 256 << 10, "{peak} KiB");
}
