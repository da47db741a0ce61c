// SPDX-License-Identifier: AGPL-3.0-or-later
//! Pipelines from their files: the examples load, and every mistake is told where it is.
//!
//! `UPDATE_EXPECTED=1 cargo test -p bho-orchestrator --test config` rewrites the `.expected` files.

mod config_support;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use bho_orchestrator::agents::{AgentRegistry, Summarizer};
use bho_orchestrator::config::{self, ConfigError, Loaded, Pipeline, Severity};
use bho_orchestrator::plan::Plan;
use config_support::{EXAMPLES, agents, fixtures};

fn example(name: &str) -> String {
    fs::read_to_string(fixtures().join("examples").join(name)).unwrap()
}

fn without_positions(mut pipeline: Pipeline) -> Pipeline {
    pipeline.nodes.iter_mut().for_each(|node| node.pos = config::Pos::default());
    pipeline.models.pos.clear();
    pipeline
}

fn codes(loaded: &Loaded, severity: Severity) -> Vec<(&'static str, &str)> {
    let faults = loaded.faults.iter().filter(|fault| fault.severity == severity);
    faults.map(|fault| (fault.code, fault.path.as_str())).collect()
}

#[test]
fn examples_load_without_errors_or_warnings() {
    for name in EXAMPLES {
        let path = fixtures().join("examples").join(name);
        let loaded = config::load_file(&path, &agents()).unwrap();
        assert!(loaded.pipeline.is_some(), "{}", loaded.render(name));
        assert_eq!(codes(&loaded, Severity::Warning), [], "{name}");
    }
}

#[test]
fn examples_load_with_the_agents_that_come_with_the_crate() {
    let builtin = AgentRegistry::builtin();
    for name in EXAMPLES {
        let path = fixtures().join("examples").join(name);
        let loaded = config::load_file(&path, &builtin).unwrap();
        assert!(loaded.pipeline.is_some(), "{}", loaded.render(name));
        assert_eq!(codes(&loaded, Severity::Warning), [], "{name}");
    }
    // The test above says something: an agent less, and they do not.
    let mut fewer = AgentRegistry::empty();
    fewer.register(Summarizer);
    assert!(config::load_str(&example("full.yml"), &fewer).pipeline.is_none());
}

#[test]
fn the_full_example_means_what_it_says() {
    let pipeline = config::load_str(&example("full.yml"), &agents()).into_pipeline().unwrap();
    assert_eq!(pipeline.description.trim_end().lines().count(), 1);
    assert_eq!(pipeline.owners, ["Shiy Sabiniano"]);
    assert_eq!(pipeline.budgets.deadline_ms, Some(4000));
    assert_eq!(pipeline.policies.redactions.len(), 2);
    let claim = &pipeline.nodes[1];
    assert_eq!((claim.id.as_str(), claim.timeout_ms, claim.max_retries), ("claim1", 600, 1));
    assert!(!claim.guard_pre && claim.guard_post);
    assert_eq!((claim.pos.line, claim.pos.column), (83, 5));
    assert_eq!(claim.inputs.as_ref().unwrap()["text"], "${nodes.parse.text}");
    let plan = Plan::new(&pipeline);
    assert_eq!((plan.order, plan.final_nodes), (vec![0, 1, 2, 3], vec![3]));
}

#[test]
fn references_need_no_quotes_in_flow_maps() {
    let text = example("advanced_rag.yml");
    let pipeline = config::load_str(&text, &agents()).into_pipeline().unwrap();
    let outputs = pipeline.nodes[0].outputs.as_ref().unwrap();
    assert_eq!(outputs["text"], "${result.text}");
    assert_eq!(outputs["key_phrases"], "${result.key_phrases}");

    let line = text.lines().position(|line| line.contains("${source.text}")).unwrap() + 1;
    let wrong =
        text.replace("text: ${source.text} }", "text: ${source.text}, more: ${nodes.x.y} }");
    let loaded = config::load_str(&wrong, &agents());
    let fault = loaded.faults.iter().find(|fault| fault.is_error()).unwrap();
    let column = wrong.lines().nth(line - 1).unwrap().find("${nodes.x.y}").unwrap() + 1;
    assert_eq!((fault.pos.line, fault.pos.column), (line, column));
}

#[test]
fn keys_without_effect_are_listed() {
    let loaded = config::load_str(&example("full.yml"), &agents());
    let paths: Vec<_> =
        codes(&loaded, Severity::NotYet).into_iter().map(|(_, path)| path).collect();
    assert_eq!(
        paths,
        [
            "device_profile.mode",
            "device_profile.caps.memory_mb",
            "budgets.memory_mb",
            "storage.rag_index.db_path",
            "storage.rag_index.vector_index",
            "planner.serialize_when_memory_low",
            "planner.degrade_model_tiers_if_needed",
        ]
    );
    let loaded = config::load_str(&example("advanced_rag.yml"), &agents());
    let note = loaded.faults.iter().find(|fault| fault.path == "nodes[1].agent").unwrap();
    assert!(note.message.ends_with("there is no index yet"), "{note}");
}

#[test]
fn every_mistake_is_told_as_expected() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(fixtures().join("bad")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        seen += 1;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let loaded = config::load_file(&path, &agents()).unwrap();
        let errors = loaded.faults.iter().any(config::Fault::is_error);
        assert_eq!(errors, name != "warnings_only.yml", "{name}: {}", loaded.render(&name));
        assert_eq!(errors, loaded.pipeline.is_none(), "{name}");
        let rendered = loaded.render(&name);
        let expected = path.with_extension("expected");
        if update {
            fs::write(&expected, &rendered).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != rendered {
            wrong.push(format!("{}:\n{rendered}", expected.display()));
        }
    }
    assert!(seen >= 40, "only {seen} fixtures");
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
}

/// A fixture is named after its mistake, so its own code is among its faults.
#[test]
fn fixtures_show_the_mistake_they_are_named_after() {
    let other = BTreeSet::from([
        "alias_bomb",
        "budget_out_of_range",
        "colon_in_text",
        "custom_tag",
        "deep_nesting",
        "list_as_key",
        "many_faults",
        "missing_required",
        "model_windows_out_of_range",
        "nodes_is_a_map",
        "non_utf8",
        "nul_byte",
        "null_nodes",
        "only_a_text",
        "tab_indent",
        "threshold_out_of_range",
        "two_documents",
        "unclosed_bracket",
        "unclosed_quote",
        "unknown_alias",
        "utf16",
        "warnings_only",
    ]);
    for entry in fs::read_dir(fixtures().join("bad")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "yml") && !other.contains(&*name) {
            let loaded = config::load_file(&path, &agents()).unwrap();
            assert!(loaded.faults.iter().any(|fault| fault.code == name), "{name}");
        }
    }
}

#[test]
fn faults_come_in_the_order_of_the_file() {
    let path = fixtures().join("bad/many_faults.yml");
    let loaded = config::load_file(&path, &agents()).unwrap();
    assert!(loaded.faults.len() > 12);
    assert!(loaded.faults.is_sorted_by_key(|fault| fault.pos));
    let error = loaded.into_pipeline().unwrap_err();
    assert!(matches!(&error, ConfigError::Invalid { faults } if faults.len() > 12));
    assert!(error.to_string().contains("more)"), "{error}");
}

#[test]
fn the_effective_configuration_loads_again() {
    for name in EXAMPLES {
        let pipeline = config::load_str(&example(name), &agents()).into_pipeline().unwrap();
        let yaml = pipeline.to_yaml().unwrap();
        let loaded = config::load_str(&yaml, &agents());
        let again = loaded.pipeline.unwrap_or_else(|| panic!("{name}\n{yaml}"));
        assert_eq!(without_positions(again), without_positions(pipeline), "{name}\n{yaml}");
    }
    let pipeline = config::load_str(&example("minimal.yml"), &agents()).into_pipeline().unwrap();
    let yaml = pipeline.to_yaml().unwrap();
    for line in [
        "  deadline_ms",
        "deps: []",
        "timeout_ms: 1000",
        "strategy: partial_ok",
        "cpu_threads: auto",
    ] {
        assert_eq!(yaml.contains(line), line != "  deadline_ms", "{line}\n{yaml}");
    }
}

#[test]
fn defaults_are_those_of_the_specification() {
    let text = "version: a\nschema: pipeline.v1\nname: b\nnodes: [{id: x, agent: bitnet.embed}]\n\
                budgets:\nowners:\n";
    let pipeline = config::load_str(text, &agents()).into_pipeline().unwrap();
    let expected = Pipeline {
        version: "a".into(),
        schema: "pipeline.v1".into(),
        name: "b".into(),
        nodes: pipeline.nodes.clone(),
        ..Pipeline::default()
    };
    assert_eq!(pipeline, expected);
    assert_eq!(pipeline.nodes[0].timeout_ms, 1000);
}

#[test]
fn anchors_and_merge_keys_work() {
    let text = "version: a\nschema: pipeline.v1\nname: b\nnodes:\n  \
                - &base {id: x, agent: bitnet.claimcheck, params: {claim: c}, max_retries: 2}\n  \
                - {<<: *base, id: y, deps: [x]}\n";
    let pipeline = config::load_str(text, &agents()).into_pipeline().unwrap();
    let y = &pipeline.nodes[1];
    assert_eq!((y.id.as_str(), y.max_retries, &y.params["claim"]), ("y", 2, &"c".into()));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine() {
    let text = format!("\u{feff}{}", example("full.yml").replace('\n', "\r\n"));
    let pipeline = config::load_str(&text, &agents()).into_pipeline().unwrap();
    let plain = config::load_str(&example("full.yml"), &agents()).into_pipeline().unwrap();
    assert_eq!(pipeline, plain);
}

#[test]
fn private_use_characters_stay_what_they_are() {
    let text = "version: \"\\uE000\"\nschema: pipeline.v1\nname: \u{e001}\u{e002}\nnodes:\n  \
                - {id: x, agent: bitnet.embed, io: {inputs: {text: ${source.text}}}}\n";
    let pipeline = config::load_str(text, &agents()).into_pipeline().unwrap();
    assert_eq!((&*pipeline.version, &*pipeline.name), ("\u{e000}", "\u{e001}\u{e002}"));
    assert_eq!(pipeline.nodes[0].inputs.as_ref().unwrap()["text"], "${source.text}");
}

#[test]
fn fifty_megabytes_are_turned_away_at_once() {
    let text = vec![b'a'; 50 << 20];
    let start = Instant::now();
    let loaded = config::load_bytes(&text, &agents());
    let code = loaded.faults[0].code;
    assert_eq!((loaded.faults.len(), code), (1, "too_large"));
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());

    let path = std::env::temp_dir().join(format!("bho-config-50mb-{}.yml", std::process::id()));
    let file = fs::File::create(&path).unwrap();
    file.set_len(50 << 20).unwrap();
    let loaded = config::load_file(&path, &agents());
    fs::remove_file(&path).unwrap();
    assert_eq!(
        loaded.unwrap().render("f"),
        "f:1:1: error[too_large]: the file has 52428800 bytes; \
        at most 1048576 are read\n  hint: keep long texts in files of their own and pass them as \
        the source of a run\n"
    );
}

#[test]
fn a_file_that_is_not_there_is_an_io_error() {
    let path = fixtures().join("examples/nowhere.yml");
    let error = config::load_file(&path, &agents()).unwrap_err();
    assert!(matches!(error, ConfigError::Io { .. }));
    assert!(error.to_string().contains("nowhere.yml"), "{error}");
    assert!(config::load_file(&fixtures(), &agents()).is_err(), "a folder is no file");
}

/// Files of a megabyte made to be slow.
#[test]
fn hostile_files_take_no_time() {
    let head = "version: a\nschema: pipeline.v1\nname: b\nnodes:\n";
    let fill = |unit: &str| unit.repeat((1_000_000 - head.len()) / unit.len());
    let mut chain = String::from(head);
    for i in 0..4200 {
        let inputs = "io: {inputs: {text: ${nodes.n0.text}}}";
        chain.push_str(&format!(
            "- {{id: n{i}, agent: bitnet.embed, deps: [n{}], {inputs}}}\n",
            i + 1
        ));
    }
    let mut mesh = String::from(head);
    for i in 0..400 {
        let deps: Vec<String> = (0..400).map(|d| format!("n{d}")).collect();
        mesh.push_str(&format!(
            "- {{id: n{i}, agent: bitnet.embed, deps: [{}]}}\n",
            deps.join(",")
        ));
    }
    let cases = [
        ("flow", fill("[")),
        ("maps", fill("{a: ")),
        ("block", fill("- ")),
        ("keys", fill("? ")),
        ("references", fill("${")),
        ("reference", format!("a: \"{}\"", fill("${x "))),
        (
            "many references",
            format!(
                "{head}- {{id: a, agent: bitnet.embed, params: {{x: \"{}\"}}}}",
                fill("${nodes.b.c}")
            ),
        ),
        ("quotes", fill("\"")),
        ("anchors", fill("&a ")),
        ("tags", fill("!a ")),
        ("percent", fill("%a\n")),
        ("one key", format!("{}: 1", fill("k"))),
        ("unknown keys", (0..80_000).map(|i| format!("k{i}:\n")).collect()),
        ("same key", fill("k:\n")),
        ("unknown deps", format!("{head}- {{id: a, agent: b, deps: [{}]}}", fill("n,"))),
        (
            "long line",
            format!("{head}- {{id: a, agent: b, params: {{x: [{}]}}}}", "\"${a\",".repeat(90_000)),
        ),
        ("colons", fill(":\n")),
        ("blank", fill("\n")),
        ("spaces", fill(" ")),
        ("comments", fill("#\n")),
        ("escapes", format!("\"{}\"", fill("\\u0041"))),
        ("folded", format!("a: >\n{}", fill(" x\n"))),
        ("chain", chain),
        ("mesh", mesh),
    ];
    for (name, text) in cases {
        let start = Instant::now();
        let loaded = config::load_str(&text, &agents());
        assert!(loaded.pipeline.is_none(), "{name}");
        let longest = loaded.faults.iter().map(|fault| fault.message.len()).max().unwrap_or(0);
        assert!(longest < 4096, "{name}: a message of {longest} bytes");
        // Seconds, not minutes: far above what it takes, far below anything quadratic.
        assert!(start.elapsed() < Duration::from_secs(10), "{name}: {:?}", start.elapsed());
        println!("{name}: {} faults, {:?}", loaded.faults.len(), start.elapsed());
    }
}
