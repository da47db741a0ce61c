// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whatever the bytes are, loading gives a pipeline or faults; and what a pipeline writes, it reads.

mod config_support;

use std::fs;

use bho_orchestrator::config::{self, Node, Pipeline, Pos};
use config_support::{EXAMPLES, agents, fixtures};
use proptest::prelude::*;
use serde_json::{Map, Value};

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let loaded = config::load_bytes(bytes, &agents());
    let errors = loaded.faults.iter().any(config::Fault::is_error);
    prop_assert_eq!(loaded.pipeline.is_none(), errors);
    let lines = String::from_utf8_lossy(bytes).split(['\n', '\r']).count() + 1;
    for fault in &loaded.faults {
        prop_assert!(fault.pos.line >= 1 && fault.pos.column >= 1, "{}", fault);
        prop_assert!(fault.pos.line <= lines, "{} of {} lines", fault, lines);
    }
    if let Some(pipeline) = loaded.pipeline {
        round_trip(pipeline)?;
    }
    Ok(())
}

fn round_trip(mut pipeline: Pipeline) -> Result<(), TestCaseError> {
    let yaml = pipeline.to_yaml().map_err(|e| TestCaseError::fail(e.to_string()))?;
    let loaded = config::load_str(&yaml, &agents());
    let Some(mut again) = loaded.pipeline.clone() else {
        return Err(TestCaseError::fail(format!("{}\n{yaml}", loaded.render("effective"))));
    };
    pipeline.models.pos.clear();
    again.models.pos.clear();
    for node in pipeline.nodes.iter_mut().chain(&mut again.nodes) {
        node.pos = Pos::default();
    }
    prop_assert_eq!(again, pipeline, "{}", yaml);
    Ok(())
}

/// Texts that YAML could take for something else.
fn tricky_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~\n\t]{0,24}",
        "[0-9+.eExob_-]{1,8}",
        prop::sample::select(vec![
            "",
            "~",
            "null",
            "true",
            "Yes",
            "off",
            "<<",
            "=",
            "- a",
            "a: b",
            "#",
            "a #b",
            "'",
            "\"",
            ".inf",
            ".NaN",
            "0o7",
            "0x1F",
            "1_000",
            "1e3",
            "+1",
            ".5",
            "?",
            "|",
            ">",
            "%a",
            "@a",
            "`",
            "&a",
            "*a",
            "!a",
            "[",
            "{",
            "}",
            "---",
            "...",
            "a\n\n b\n",
            "\n",
            " a ",
            "\u{feff}",
            "\u{85}",
            "\u{2028}",
            "\u{0}",
            "\u{7f}",
            "\u{e000}",
            "2024-01-01",
            "12:30",
            "$${x}",
            "\u{1f600}",
        ])
        .prop_map(str::to_owned),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        tricky_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(tricky_text(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Whether a value holds a reference, or the merge key as a key: both mean something else when read.
fn means_more(value: &Value) -> bool {
    let text = value.to_string();
    text.contains("${") || text.contains("\"<<\":")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check(&bytes)?;
    }

    #[test]
    fn any_yaml_like_text(text in "([-?:,\\[\\]{}#&*!|>'\"%@` \t\n$a-c0-9~<]|\r\n|\\$\\{|: |- |\n  ){0,120}") {
        check(text.as_bytes())?;
    }

    #[test]
    fn mutated_examples(
        which in 0..EXAMPLES.len(),
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..12_usize, prop_oneof![
                prop::collection::vec(any::<u8>(), 0..4),
                prop::sample::select(vec![
                    &b"${"[..], b"}", b"[", b"]", b"\n", b"\t", b": ", b"- ", b"&a ", b"*a", b"'", b"\"",
                    b"|", b"<<: ", b"!!int ", b"---\n", b"~", b"parse", b"nodes", b"#", b"-1", b"1e400",
                ]).prop_map(<[u8]>::to_vec),
            ]),
            1..6,
        ),
    ) {
        let mut bytes = fs::read(fixtures().join("examples").join(EXAMPLES[which])).unwrap();
        for (at, cut, insert) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, insert);
        }
        check(&bytes)?;
    }

    #[test]
    fn what_is_written_is_read(
        name in tricky_text(),
        description in tricky_text(),
        param in json(),
        key in tricky_text(),
        threshold in 0.0..=1.0_f64,
        cost in prop::option::of(0.0..=1e12_f64),
        deadline in prop::option::of(1..=31_536_000_000_u64),
    ) {
        // What cannot be said in a file is put aside here, so that no case is lost.
        let name = if name.trim().is_empty() { "blank".to_owned() } else { name };
        let param = if means_more(&param) { Value::Null } else { param };
        let own = key == "<<" || key.starts_with('_');
        let key = if own { "merge".to_owned() } else { key };
        let mut pipeline = Pipeline {
            version: "1".to_owned(),
            schema: config::SCHEMA_ID.to_owned(),
            name,
            description,
            nodes: vec![Node {
                id: "a".to_owned(),
                agent: "bitnet.embed".to_owned(),
                cost_est: cost,
                inputs: Some(Map::from_iter([(key, param)])),
                ..Node::default()
            }],
            ..Pipeline::default()
        };
        pipeline.policies.pii_redact = threshold;
        pipeline.budgets.deadline_ms = deadline;
        round_trip(pipeline)?;
    }
}
