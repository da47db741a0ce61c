// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whole runs on test agents: bindings, guard hooks, results, trace, and no PII anywhere.

mod run_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bho_orchestrator::agents::AgentError;
use bho_orchestrator::config::{BlockedPost, BlockedPre, Node, Pipeline};
use bho_orchestrator::error::RunError;
use bho_orchestrator::result::RunStatus;
use bho_orchestrator::run::{Orchestrator, RunOptions, RunOutcome};
use serde_json::{Value, json};

use run_support::*;

/// Gives back its whole input under `input`, with a `text`.
fn mirror() -> Closure {
    agent("test.mirror", |input, ctx| {
        Ok(fields(json!({
            "text": format!("mirror of {}", ctx.node),
            "input": input,
            "missing": ctx.missing.iter().map(|(id, error)| json!([id, error])).collect::<Vec<_>>(),
        })))
    })
}

/// `text` as it came, and a list of it.
fn copy() -> Closure {
    agent("test.copy", |input, _| {
        Ok(fields(json!({ "text": input["text"], "quotes": [input["text"]] })))
    })
}

fn with(mut node: Node, change: impl FnOnce(&mut Node)) -> Node {
    change(&mut node);
    node
}

fn cards_of<'a>(outcome: &'a RunOutcome, place: &str) -> Vec<&'a bho_guard::ModerationCard> {
    outcome.cards.iter().filter(|card| card.node == place).collect()
}

fn to_json(outcome: &RunOutcome) -> String {
    format!(
        "{}\n{}\n{:?}\n{}\n{}\n{outcome:?}",
        outcome.text,
        serde_json::to_string(&outcome.results).unwrap(),
        outcome.errors,
        serde_json::to_string(&outcome.cards).unwrap(),
        serde_json::to_string(&outcome.trace).unwrap(),
    )
}

#[test]
fn the_default_input_is_the_merge() {
    let nodes = vec![
        node("a", "test.echo", &[]),
        node("b", "test.echo", &[]),
        with(node("c", "test.mirror", &["b", "a"]), |n| n.params = fields(json!({"k": 4}))),
    ];
    let outcome = run_on(
        &orchestrator([mirror()]),
        &pipeline(2, nodes),
        json!({"text": "in", "title": "T", "_hidden": "h"}),
    );
    assert_eq!(
        outcome.results["c"]["input"],
        json!({
            "text": "a(in)", "title": "T", "k": 4,
            "_parents": {"b": {"text": "b(in)"}, "a": {"text": "a(in)"}},
        })
    );
    assert_eq!(outcome.text, "mirror of c");
    assert_eq!(outcome.answered_by.as_deref(), Some("c"));
    assert_eq!(outcome.results.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn bindings_are_resolved_and_outputs_published() {
    let nodes = vec![
        with(node("parse", "test.mirror", &[]), |n| {
            n.inputs =
                Some(fields(json!({"words": "${source.words}", "line": "<${source.words[1]}>"})));
            n.outputs = Some(fields(json!({
                "text": "${result.text}!", "list": "${result.input.words}", "title": "${source.title}"
            })));
        }),
        with(node("bad", "test.fail", &[]), |_| {}),
        with(node("reduce", "test.mirror", &["parse", "bad"]), |n| {
            n.inputs = Some(fields(json!({
                "all": "${nodes.parse.list}",
                "pieces": ["${nodes.parse.text}", "${nodes.bad.text}"],
                "lost": "${nodes.bad.text}",
            })));
            n.params = fields(json!({"all": "params win"}));
        }),
    ];
    let source = json!({"words": ["x", "y"], "title": "T"});
    let outcome = run_on(&orchestrator([mirror()]), &pipeline(2, nodes), source);
    let parse = &outcome.results["parse"];
    assert_eq!(parse["text"], "mirror of parse!");
    assert_eq!(parse["list"], json!(["x", "y"]));
    assert_eq!(parse["title"], "T");
    assert!(parse.get("input").is_none());
    let reduce = &outcome.results["reduce"];
    assert_eq!(
        reduce["input"],
        json!({"all": "params win", "pieces": ["mirror of parse!"], "lost": null})
    );
    assert_eq!(reduce["missing"], json!([["bad", "node_failed:bad:Model:no luck"]]));
}

#[test]
fn a_reference_to_nothing_is_the_nodes_error() {
    let nodes = vec![
        with(node("a", "test.mirror", &[]), |n| {
            n.inputs = Some(fields(json!({"text": "${source.txt}"})));
        }),
        with(node("b", "test.mirror", &[]), |n| {
            n.outputs = Some(fields(json!({"text": "${result.nothing}"})));
        }),
    ];
    let outcome = run(&orchestrator([mirror()]), &pipeline(1, nodes));
    assert_eq!(
        error(&outcome, "a"),
        Some(
            "node_failed:a:Binding:${source.txt}: the source has no field `txt`; it has: text (did you mean `text`?)"
        )
    );
    assert!(error(&outcome, "b").unwrap().starts_with("node_failed:b:Binding:${result.nothing}"));
}

#[test]
fn a_blocked_input_ends_the_run_before_any_node() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = {
        let calls = Arc::clone(&calls);
        agent("test.count", move |_, _| {
            calls.fetch_add(1, SeqCst);
            Ok(text_result("ran"))
        })
    };
    let orchestrator = orchestrator([count]);
    let mut pipeline = pipeline(1, vec![node("a", "test.count", &[])]);
    for source in [json!({"text": "a BADWORD"}), json!({"text": "x", "notes": ["a BADWORD"]})] {
        let outcome = run_on(&orchestrator, &pipeline, source);
        assert_eq!(outcome.status, RunStatus::Blocked);
        assert!(outcome.text.contains("not processed"), "{}", outcome.text);
        assert!(outcome.cards.iter().any(|card| !card.allowed));
        assert_eq!(outcome.cards[0].node, "pipeline:input");
        assert_eq!(outcome.errors, [""; 0]);
        assert!(outcome.results.is_empty());
        assert!(!to_json(&outcome).contains("BADWORD"));
    }
    pipeline.on_error.blocked_pre = BlockedPre::Error;
    let outcome = run_on(&orchestrator, &pipeline, json!({"text": "a BADWORD"}));
    assert_eq!(outcome.text, "");
    assert_eq!(outcome.errors, ["blocked_pre:toxicity 0.90 >= 0.50 (bad_word, list)"]);
    assert_eq!(calls.load(SeqCst), 0);
}

#[test]
fn a_blocked_node_input_is_refused_or_an_error() {
    let nodes = vec![
        with(node("a", "test.copy", &[]), |n| {
            n.params = fields(json!({"text": "a BADWORD of the file"}));
            n.outputs =
                Some(fields(json!({"text": "${result.text}", "quotes": "${result.quotes}"})));
        }),
        with(node("b", "test.mirror", &["a"]), |n| {
            n.inputs = Some(fields(json!({"t": "${nodes.a.text}", "q": ["${nodes.a.quotes}"]})));
        }),
    ];
    let orchestrator = orchestrator([copy(), mirror()]);
    let mut pipeline = pipeline(1, nodes);
    let outcome = run(&orchestrator, &pipeline);
    let refusal = text(&outcome, "a").unwrap();
    assert!(refusal.contains("not processed"), "{refusal}");
    assert_eq!(error(&outcome, "a"), None);
    assert_eq!(outcome.results["a"]["_moderation"][0]["node"], "a:pre");
    assert_eq!(outcome.results["a"]["_moderation"][0]["allowed"], false);
    let input = json!({"t": refusal, "q": [], "_policy_tags": ["toxicity"]});
    assert_eq!(outcome.results["b"]["input"], input);
    let reason = "toxicity 0.90 >= 0.50 (bad_word, list)";
    assert_eq!(outcome.results["b"]["missing"], json!([["a", format!("blocked_pre:{reason}")]]));
    assert_eq!(outcome.status, RunStatus::Complete);

    pipeline.on_error.blocked_pre = BlockedPre::Error;
    let outcome = run(&orchestrator, &pipeline);
    assert_eq!(error(&outcome, "a"), Some(format!("blocked_pre:{reason}").as_str()));
    assert_eq!(text(&outcome, "a"), None);
    assert!(!to_json(&outcome).contains("BADWORD"));

    // Not looked at when it is switched off; then the output is.
    pipeline.nodes[0].guard_pre = false;
    pipeline.on_error.blocked_post = BlockedPost::Error;
    let outcome = run(&orchestrator, &pipeline);
    assert_eq!(error(&outcome, "a"), Some(format!("blocked_post:{reason}").as_str()));
}

/// A source that only the output guard objects to: the agent makes `BAD-WORD` whole.
fn joiner(calls: &Arc<AtomicUsize>) -> Closure {
    let calls = Arc::clone(calls);
    agent("test.join", move |input, _| {
        calls.fetch_add(1, SeqCst);
        let text = input["text"].as_str().unwrap_or_default().replace('~', "");
        if text.is_empty() {
            return Err(AgentError::new("MissingInput", "nothing left"));
        }
        Ok(text_result(&text))
    })
}

#[test]
fn a_blocked_output_is_made_again_from_safer_input() {
    // The node's input is not checked, so the word gets as far as its output.
    let nodes = vec![with(node("a", "test.copy", &[]), |n| {
        n.guard_pre = false;
        n.params = fields(json!({"text": "All is well. What a BADWORD this is. Good night."}));
    })];
    let outcome = run(&orchestrator([copy()]), &pipeline(1, nodes));
    assert_eq!(outcome.text, "All is well. Good night.");
    assert_eq!(outcome.status, RunStatus::Complete);
    let post = cards_of(&outcome, "a:post");
    assert_eq!(post.iter().map(|card| card.allowed).collect::<Vec<_>>(), [false, true]);
    assert_eq!(outcome.trace.as_ref().unwrap().nodes[0].attempts.len(), 2);
    assert!(!to_json(&outcome).contains("BADWORD"));
}

#[test]
fn an_output_that_stays_unsafe_gives_way_to_a_safe_text() {
    // Nothing in the input looks bad, so the second run makes the same.
    let source = json!({"text": "Some BAD~WORD here. And more."});
    let calls = Arc::new(AtomicUsize::new(0));
    let nodes = vec![with(node("a", "test.join", &[]), |n| n.max_retries = 3)];
    let outcome = run_on(&orchestrator([joiner(&calls)]), &pipeline(1, nodes), source);
    assert_eq!(calls.load(SeqCst), 2);
    assert!(outcome.text.contains("withheld"), "{}", outcome.text);
    assert_eq!(error(&outcome, "a"), None);
    assert!(!to_json(&outcome).contains("BADWORD"));
}

#[test]
fn a_second_run_that_fails_gives_way_to_a_safe_text() {
    let calls = Arc::new(AtomicUsize::new(0));
    let nodes = vec![with(node("a", "test.join", &[]), |n| {
        n.guard_pre = false;
        n.params = fields(json!({"text": "Only BADWORD."}));
    })];
    let outcome = run(&orchestrator([joiner(&calls)]), &pipeline(1, nodes));
    assert_eq!(calls.load(SeqCst), 2);
    assert!(outcome.text.contains("withheld"), "{}", outcome.text);
    assert_eq!(outcome.errors, [""; 0]);
}

#[test]
fn the_answer_is_guarded_whatever_the_nodes_do() {
    let nodes = vec![with(node("a", "test.join", &[]), |n| {
        n.guard_post = false;
    })];
    let orchestrator = orchestrator([joiner(&Arc::default())]);
    let mut pipeline = pipeline(1, nodes);
    let source = json!({"text": "Some BAD~WORD here."});
    let outcome = run_on(&orchestrator, &pipeline, source.clone());
    assert_eq!(outcome.status, RunStatus::Blocked);
    assert!(outcome.text.contains("withheld"));
    assert_eq!(text(&outcome, "a"), Some(outcome.text.as_str()));
    assert_eq!(cards_of(&outcome, "pipeline:output").len(), 1);
    assert!(!to_json(&outcome).contains("BADWORD"));

    pipeline.on_error.blocked_post = BlockedPost::Error;
    let outcome = run_on(&orchestrator, &pipeline, source);
    assert_eq!(outcome.text, "");
    assert_eq!(outcome.errors, ["blocked_post:toxicity 0.90 >= 0.50 (bad_word, list)"]);
    assert!(!to_json(&outcome).contains("BADWORD"));

    let outcome = run_on(&orchestrator, &pipeline, json!({"text": "to ann@~example.org, please"}));
    assert_eq!(outcome.text, "to [EMAIL], please");
    assert_eq!(text(&outcome, "a"), Some("to [EMAIL], please"));
}

#[test]
fn cards_are_left_out_of_results_on_request() {
    let mut pipeline = pipeline(1, vec![node("a", "test.echo", &[])]);
    let places = |outcome: &RunOutcome| -> Vec<String> {
        outcome.cards.iter().map(|card| card.node.clone()).collect()
    };
    let orchestrator = orchestrator([]);
    let outcome = run(&orchestrator, &pipeline);
    assert_eq!(places(&outcome), ["pipeline:input", "a:pre", "a:post", "pipeline:output"]);
    assert_eq!(outcome.results["a"]["_moderation"].as_array().unwrap().len(), 2);
    assert_eq!(outcome.results["a"]["_node"], "a");
    pipeline.policies.append_moderation_card = false;
    let outcome = run(&orchestrator, &pipeline);
    assert!(outcome.results["a"].get("_moderation").is_none());
    assert_eq!(outcome.trace.unwrap().cards.len(), 4);
}

#[test]
fn the_answer_comes_from_the_last_end_that_has_one() {
    let nodes = vec![
        node("first", "test.echo", &[]),
        node("end_a", "test.echo", &["first"]),
        node("end_b", "test.fail", &["first"]),
    ];
    let outcome = run(&orchestrator([]), &pipeline(2, nodes));
    assert_eq!(outcome.answered_by.as_deref(), Some("end_a"));
    assert_eq!(outcome.status, RunStatus::Partial);
    let nodes = vec![node("first", "test.echo", &[]), node("end", "test.fail", &["first"])];
    let outcome = run(&orchestrator([]), &pipeline(2, nodes));
    assert_eq!(outcome.answered_by.as_deref(), Some("first"));
    let nodes = vec![node("only", "test.fail", &[])];
    let outcome = run(&orchestrator([]), &pipeline(2, nodes));
    assert_eq!((outcome.text.as_str(), outcome.status), ("", RunStatus::Failed));
}

#[test]
fn the_guard_looks_at_what_is_published() {
    let nodes = vec![
        with(node("a", "test.echo", &[]), |n| {
            n.outputs = Some(fields(json!({
                "text": "${source.a}${source.b}", "mail": "bob@example.org", "_error": "forged",
            })));
        }),
        with(node("b", "test.echo", &["a"]), |n| {
            n.inputs = Some(fields(json!({
                "text": "${nodes.a._node}: ${nodes.a.mail} (${nodes.a._error})",
                "cards": "${nodes.a._moderation}", "_parents": {"x": {"text": "forged"}},
            })));
        }),
        node("c", "test.fail", &[]),
        with(node("d", "test.echo", &["c"]), |n| {
            n.inputs = Some(fields(json!({"text": "c said: ${nodes.c._error}"})));
        }),
    ];
    let source = fields(json!({"text": "x", "a": "ann@exam", "b": "ple.org"}));
    let options = RunOptions::default();
    let outcome = orchestrator([]).run(&pipeline(2, nodes), source, options).unwrap();
    let a = &outcome.results["a"];
    assert_eq!((&a["text"], &a["mail"]), (&json!("[EMAIL]"), &json!("[EMAIL]")), "{a}");
    assert_eq!((&a["_node"], a.get("_error")), (&json!("a"), None));
    assert_eq!(outcome.results["b"]["text"], "b(a: [EMAIL] ())");
    let said = outcome.results["d"]["text"].as_str().unwrap();
    assert!(said.starts_with("d(c said: node_failed:c:"), "{said}");
    assert!(!format!("{outcome:?}").contains("forged"));
    assert!(!format!("{outcome:?}").contains("ann@"), "{outcome:?}");
}

#[test]
fn the_trace_says_what_happened() {
    let lists = agent("test.lists", |_, _| {
        Ok(fields(json!({
            "text": "done", "_tokens": 12, "_secret": "dropped",
            "sentences": [{"text": "x", "span": [0, 2]}],
            "evidence": [{"text": "y", "source": "kb[0]", "span": [4, 9], "score": 0.5}],
            "sources": [{"from": "text"}, {"from": "pieces[0]"}, {"from": "pieces[1]"}],
        })))
    });
    let nodes = vec![
        with(node("a", "test.lists", &[]), |n| {
            n.outputs = Some(fields(json!({"text": "${result.text}"})));
        }),
        node("b", "test.fail", &["a"]),
    ];
    let orchestrator = orchestrator([lists]);
    let mut pipeline = pipeline(2, nodes);
    let source = fields(json!({"text": "in"}));
    let options = RunOptions { seed: 7, ..RunOptions::default() };
    let outcome = orchestrator.run(&pipeline, source, options).unwrap();
    assert!(outcome.results["a"].get("_secret").is_none());
    let trace = serde_json::to_value(outcome.trace.unwrap()).unwrap();
    assert_eq!(
        trace["pipeline"],
        json!({"name": "test", "version": "0.1.0", "schema": "pipeline.v1"})
    );
    assert_eq!(trace["seed"], 7);
    assert_eq!(trace["isa"], "none");
    assert_eq!(trace["status"], "partial");
    assert!(trace["started_unix_ms"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(trace["nodes"][0]["status"], "ok");
    assert_eq!(trace["nodes"][0]["tokens"], 12);
    assert_eq!(trace["nodes"][0]["text"], "done");
    assert_eq!(trace["nodes"][1]["status"], "failed");
    assert_eq!(trace["nodes"][1]["error"], "node_failed:b:Model:no luck");
    assert_eq!(
        trace["provenance"],
        json!([
            {"node": "a", "part": "sentences[0]", "source": null, "source_node": null, "span": [0, 2], "score": null},
            {"node": "a", "part": "evidence[0]", "source": "kb[0]", "source_node": null, "span": [4, 9], "score": 0.5},
            {"node": "a", "part": "sources[0]", "source": "text", "source_node": null, "span": null, "score": null},
            {"node": "a", "part": "sources[1]", "source": "pieces[0]", "source_node": null, "span": null, "score": null},
            {"node": "a", "part": "sources[2]", "source": "pieces[1]", "source_node": null, "span": null, "score": null},
        ])
    );
    assert_eq!(trace["answer"], json!({"node": "a", "text": "done"}));
    assert_eq!(trace["budgets"]["deadline_met"], true);

    pipeline.tracing.save_provenance = false;
    assert_eq!(run(&orchestrator, &pipeline).trace.unwrap().provenance, []);
    pipeline.tracing.enabled = false;
    assert!(run(&orchestrator, &pipeline).trace.is_none());
}

#[test]
fn provenance_leads_parts_back_to_the_nodes_that_gave_them() {
    let cite = agent("test.cite", |_, _| {
        let from = ["text", "pieces[0]", "pieces[1]", "kb[3].text", "title", "mixed"];
        let sources: Vec<Value> = from.iter().map(|from| json!({ "from": from })).collect();
        Ok(fields(json!({ "text": "cited", "sources": sources })))
    });
    let nodes = vec![
        node("a", "test.echo", &[]),
        node("b", "test.echo", &[]),
        node("bad", "test.fail", &[]),
        with(node("bound", "test.cite", &["a", "b", "bad"]), |n| {
            n.inputs = Some(fields(json!({
                "text": "Of ${nodes.a.text}", "kb": "${nodes.b.text}", "title": "${source.text}",
                // The failed node's piece is left out, so b's is the first.
                "pieces": ["${nodes.bad.text}", "${nodes.b.text}", "${nodes.a.text}"],
                "mixed": "${nodes.a.text} ${nodes.b.text}",
            })));
        }),
        with(node("merged", "test.cite", &["a", "b"]), |n| {
            n.params = fields(json!({"title": "x"}));
        }),
    ];
    let outcome = run(&orchestrator([cite]), &pipeline(2, nodes));
    let provenance = outcome.trace.unwrap().provenance;
    let givers = |node: &str| -> Vec<Option<String>> {
        let of_node = provenance.iter().filter(|entry| entry.node == node);
        of_node.map(|entry| entry.source_node.clone()).collect()
    };
    let ids = |ids: [&str; 6]| ids.map(|id| (!id.is_empty()).then(|| id.to_owned())).to_vec();
    assert_eq!(givers("bound"), ids(["a", "b", "a", "b", "", ""]));
    assert_eq!(givers("merged"), ids(["b", "", "", "", "", ""]));
}

#[test]
fn same_inputs_give_the_same_bytes() {
    let nodes = || {
        vec![
            node("a", "test.echo", &[]),
            node("b", "test.fail", &["a"]),
            node("c", "test.mirror", &["a", "b"]),
            node("d", "test.mirror", &["a", "c"]),
        ]
    };
    let orchestrator = orchestrator([mirror()]);
    let mut seen = Vec::new();
    for slots in [1, 2, 4, 4] {
        let outcome = run_on(
            &orchestrator,
            &pipeline(slots, nodes()),
            json!({"text": "mail ann@example.org", "n": 1}),
        );
        seen.push((
            outcome.text,
            serde_json::to_string(&outcome.results).unwrap(),
            serde_json::to_string(&outcome.cards).unwrap(),
            outcome.errors,
        ));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

const CANARIES: &[&str] = &[
    "ann.canary@example.org",
    "4111 1111 1111 1111",
    "4111111111111111",
    "DE89 3704 0044 0532 0130 00",
    "+1 415 555 2671",
    "078-05-1120",
    "203.0.113.77",
];

/// Every way an agent has to say something.
fn leaks() -> [Closure; 4] {
    [
        agent("leak.text", |input, _| {
            let all = Value::Object(input.clone()).to_string();
            Ok(fields(json!({
                "text": all, "key_phrases": [all], "evidence": [{"text": all, "source": all, "span": [0, 1]}],
                "by": {all: 1}, "number": 4_111_111_111_111_111_u64,
            })))
        }),
        agent("leak.error", |input, _| {
            let all = Value::Object(input.clone()).to_string();
            Err(AgentError::new(all.clone(), all))
        }),
        agent("leak.panic", |input, _| panic!("cannot read {}", Value::Object(input.clone()))),
        // Its own, not the input's: the guard on the input has no part in it.
        agent("leak.own", |_, _| {
            Err(AgentError::new("Model", format!("login {} {}", CANARIES[0], CANARIES[2])))
        }),
    ]
}

fn leaking(canary: &Value) -> (Orchestrator, Pipeline, Value) {
    let nodes = vec![
        node("says", "leak.text", &[]),
        node("fails", "leak.error", &["says"]),
        node("panics", "leak.panic", &["says"]),
        node("owns", "leak.own", &[]),
        with(node("bound", "leak.text", &["says"]), |n| {
            n.inputs = Some(fields(json!({
                "text": "${source.deep.list[0]} and ${nodes.says.text}", "list": "${source.deep}",
            })));
        }),
        with(node("lost", "leak.text", &["says"]), |n| {
            n.inputs = Some(fields(json!({"text": "${source.nowhere}"})));
        }),
    ];
    let source = json!({
        "text": format!("Hello. Phone or e-mail: {}. Bye.", canary.as_str().unwrap()),
        "deep": {"list": [canary, {"inner": canary}], "by": {canary.as_str().unwrap(): 1}},
        canary.as_str().unwrap(): "a key",
        "number": 4_111_111_111_111_111_u64,
    });
    (orchestrator(leaks()), pipeline(2, nodes), source)
}

#[test]
fn known_pii_gets_into_nothing_that_is_returned() {
    for canary in CANARIES {
        let (orchestrator, mut pipeline, source) = leaking(&json!(canary));
        for redact in [true, false] {
            pipeline.tracing.redact_pii_in_traces = redact;
            let outcome = run_on(&orchestrator, &pipeline, source.clone());
            let all = to_json(&outcome);
            for canary in CANARIES {
                assert!(!all.contains(canary), "{canary} in {all}");
            }
            // The test would prove nothing if the nodes had not said what they know.
            assert!(error(&outcome, "fails").unwrap().starts_with("node_failed:fails:Error:{"));
            assert!(error(&outcome, "panics").unwrap().contains("Panic:cannot read"));
            assert_eq!(
                error(&outcome, "owns"),
                Some("node_failed:owns:Model:login [EMAIL] [CARD]")
            );
            assert!(text(&outcome, "bound").unwrap().contains(" and "));
        }
    }
}

#[test]
fn a_lax_policy_lets_pii_into_results_but_not_into_the_trace_or_errors() {
    let canary = CANARIES[0];
    let (orchestrator, mut pipeline, source) = leaking(&json!(canary));
    pipeline.policies.redactions.insert("email".to_owned(), false.into());
    let outcome = run_on(&orchestrator, &pipeline, source.clone());
    assert!(outcome.text.contains(canary));
    assert!(!format!("{:?}", outcome.errors).contains(canary));
    let trace = serde_json::to_string(&outcome.trace).unwrap();
    assert!(!trace.contains(canary), "{trace}");

    // On request, texts and cards are traced as they are published; errors never are.
    pipeline.tracing.redact_pii_in_traces = false;
    let trace = run_on(&orchestrator, &pipeline, source).trace.unwrap();
    assert!(trace.answer.text.contains(canary));
    assert!(!format!("{:?}", trace.errors).contains(canary));
}

#[test]
fn a_switched_off_node_guard_leaves_no_pii_in_the_trace() {
    let nodes = vec![
        with(node("makes", "test.join", &[]), |n| n.guard_post = false),
        node("ends", "test.echo", &["makes"]),
    ];
    let outcome = run_on(
        &orchestrator([joiner(&Arc::default())]),
        &pipeline(1, nodes),
        json!({"text": "to ann.canary@~example.org, please"}),
    );
    assert_eq!(text(&outcome, "makes"), Some("to ann.canary@example.org, please"));
    assert_eq!(outcome.text, "ends(to [EMAIL], please)");
    assert!(!serde_json::to_string(&outcome.trace).unwrap().contains("ann.canary@example.org"));
}

#[test]
fn extra_fields_are_guarded_and_the_source_wins() {
    let options = RunOptions {
        extra: fields(json!({"text": "extra", "who": "ann@example.org"})),
        ..RunOptions::default()
    };
    let outcome = orchestrator([mirror()])
        .run(
            &pipeline(1, vec![node("a", "test.mirror", &[])]),
            fields(json!({"text": "in"})),
            options,
        )
        .unwrap();
    let tags = ["pii", "pii.email"];
    let input = json!({"text": "in", "who": "[EMAIL]", "_policy_tags": tags});
    assert_eq!(outcome.results["a"]["input"], input);
}

#[test]
fn a_policy_without_sense_is_an_error() {
    let mut pipeline = pipeline(1, vec![node("a", "test.echo", &[])]);
    pipeline.policies.pii_redact = 7.0;
    let error = orchestrator([]).run(&pipeline, fields(json!({})), RunOptions::default());
    let Err(RunError::Guard(error)) = error else { panic!("ran") };
    assert!(error.to_string().contains("pii_redact"), "{error}");
}

#[test]
fn odd_sources_are_no_trouble() {
    let orchestrator = orchestrator([mirror()]);
    let pipeline = pipeline(1, vec![node("a", "test.mirror", &[])]);
    for source in
        [json!({}), json!({"text": ""}), json!({"text": "a\0b"}), json!({"text": 5, "x": null})]
    {
        let outcome = run_on(&orchestrator, &pipeline, source.clone());
        assert_eq!(outcome.status, RunStatus::Complete);
        assert_eq!(outcome.results["a"]["input"], source);
    }
    assert_eq!(run(&orchestrator, &Pipeline::default()).status, RunStatus::Complete);
}
