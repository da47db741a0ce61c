// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bitnet.generate` on a model that writes what the test says: what it is asked, what comes of the
//! answer, and what stops it.

mod run_support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bho_engine::generation::{Finish, Generated};
use bho_engine::sampling::{SamplingError, SamplingParams};
use bho_engine::{CancelToken, Embedding, EngineError, ModelInfo};
use bho_orchestrator::agents::AgentRegistry;
use bho_orchestrator::config::{Node, Pipeline};
use bho_orchestrator::reasoner::{Form, Generator, Reasoner, TextRequest};
use bho_orchestrator::run::{Orchestrator, RunOptions, RunOutcome};
use run_support::{PATIENCE, error, fields, node, pipeline, text};
use serde_json::{Value, json};

type Answer = dyn Fn(&TextRequest, &CancelToken) -> Result<Generated, EngineError> + Send + Sync;

/// A model that answers as the closure says and remembers what it was asked.
struct Scripted {
    info: ModelInfo,
    asked: Mutex<Vec<TextRequest>>,
    answer: Box<Answer>,
}

impl Generator for Scripted {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn generate(
        &self,
        request: TextRequest,
        cancel: &CancelToken,
    ) -> Result<Generated, EngineError> {
        self.asked.lock().unwrap().push(request.clone());
        (self.answer)(&request, cancel)
    }
}

struct Models(Arc<Scripted>);

impl Reasoner for Models {
    fn models(&self) -> Vec<ModelInfo> {
        vec![self.0.info.clone()]
    }

    fn embed(&self, _: &[&str], _: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        Err(EngineError::Input("no encoder".into()))
    }

    fn generator(&self) -> Option<&dyn Generator> {
        Some(self.0.as_ref())
    }
}

fn scripted(
    answer: impl Fn(&TextRequest, &CancelToken) -> Result<Generated, EngineError>
    + Send
    + Sync
    + 'static,
) -> (Arc<Scripted>, Orchestrator) {
    let info = ModelInfo {
        name: "scripted".into(),
        architecture: "Script".into(),
        sha256: "00".into(),
        precision: "text".into(),
        weight_bytes: 1,
        isa: "none".into(),
        threads: 1,
    };
    let model = Scripted { info, asked: Mutex::default(), answer: Box::new(answer) };
    let model = Arc::new(model);
    let models = Arc::new(Models(Arc::clone(&model)));
    (model, Orchestrator::new(AgentRegistry::builtin(), models))
}

fn written(text: &str) -> Generated {
    Generated {
        tokens: (0..u32::try_from(text.len()).unwrap()).collect(),
        text: text.into(),
        finish: Finish::StopToken(0),
        satisfied: true,
        prompt_tokens: 40,
        cached_tokens: 32,
        first_token: Duration::from_millis(3),
        decoding: Duration::from_secs(1),
    }
}

fn generate(id: &str, deps: &[&str], params: Value) -> Node {
    Node { params: fields(params), ..node(id, "bitnet.generate", deps) }
}

fn run(orchestrator: &Orchestrator, pipeline: &Pipeline) -> RunOutcome {
    let source = fields(json!({"text": "the source"}));
    let options = RunOptions { seed: 7, ..RunOptions::default() };
    orchestrator.run(pipeline, source, options).unwrap()
}

#[test]
fn the_model_is_asked_what_the_node_says() {
    let (model, orchestrator) = scripted(|_, _| Ok(written("an answer")));
    let all = json!({
        "prompt": "Shorten: ${source.text}", "system": "Be brief.", "max_tokens": 9,
        "temperature": 0.5, "top_k": 3, "top_p": 0.25, "min_p": 0.125, "typical_p": 0.75,
        "repetition_penalty": 1.5, "presence_penalty": -1, "frequency_penalty": 2, "seed": 11,
        "stop": ["\n\n", {"text": "END"}], "regex": "[a-z ]+",
    });
    let nodes = vec![
        generate("a", &[], json!({"prompt": "Say it", "raw": true, "stop": "."})),
        generate("b", &["a"], all),
    ];
    let outcome = run(&orchestrator, &pipeline(1, nodes));
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    let asked = model.asked.lock().unwrap();
    let plain = TextRequest {
        prompt: "Say it".into(),
        system: None,
        raw: true,
        max_tokens: 256,
        sampling: SamplingParams { seed: 7, ..SamplingParams::default() },
        stop: vec![".".into()],
        form: None,
    };
    assert!(asked[0] == plain, "the defaults are those of bho generate");
    let sampling = SamplingParams {
        temperature: 0.5,
        top_k: 3,
        top_p: 0.25,
        min_p: 0.125,
        typical_p: 0.75,
        repetition_penalty: 1.5,
        presence_penalty: -1.0,
        frequency_penalty: 2.0,
        seed: 11,
        ..SamplingParams::default()
    };
    let full = TextRequest {
        prompt: "Shorten: the source".into(),
        system: Some("Be brief.".into()),
        raw: false,
        max_tokens: 9,
        sampling,
        stop: vec!["\n\n".into(), "END".into()],
        form: Some(Form::Regex("[a-z ]+".into())),
    };
    assert!(asked[1] == full, "{:?}", asked[1].sampling);
}

#[test]
fn a_third_node_joins_what_two_wrote_at_the_same_time() {
    let inside = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&inside);
    let (_, orchestrator) = scripted(move |request, cancel| {
        if request.prompt.starts_with("draft") {
            // Each waits for the other: they are at the model together.
            counter.fetch_add(1, Ordering::SeqCst);
            while counter.load(Ordering::SeqCst) < 2 {
                cancel.sleep(Duration::from_millis(1))?;
            }
        }
        Ok(written(&request.prompt.to_uppercase()))
    });
    let nodes = vec![
        generate("a", &[], json!({"prompt": "draft one"})),
        generate("b", &[], json!({"prompt": "draft two"})),
        generate("c", &["a", "b"], json!({"prompt": "join ${nodes.a.text}, ${nodes.b.text}"})),
    ];
    let outcome = run(&orchestrator, &pipeline(2, nodes));
    assert_eq!(outcome.text, "JOIN DRAFT ONE, DRAFT TWO");
    let joined = &outcome.results["c"];
    assert_eq!((&joined["finish"], &joined["prompt_tokens"]), (&json!("stop"), &json!(40)));
    assert_eq!(joined["tokens"], 25);
    let trace = serde_json::to_value(outcome.trace.unwrap()).unwrap();
    assert_eq!(trace["models"][0]["name"], "scripted");
    assert_eq!(trace["nodes"][2]["tokens"], 25);
    assert_eq!(
        trace["nodes"][2]["generation"],
        json!({
            "prompt_tokens": 40, "cached_tokens": 32, "tokens": 25, "first_token_us": 3000,
            "tokens_per_second": 24.0, "finish": "stop",
        })
    );
    assert!(joined.get("_generation").is_none());
}

#[test]
fn json_of_a_schema_is_data_for_other_nodes() {
    let (model, orchestrator) = scripted(|request, _| {
        Ok(written(if request.form.is_some() {
            r#"{"n": 3, "names": ["x", "y"]}"#
        } else {
            "done"
        }))
    });
    let schema = json!({"type": "object"});
    let nodes = vec![
        generate("a", &[], json!({"prompt": "list", "schema": schema})),
        generate("b", &["a"], json!({"prompt": "${nodes.a.data.names[1]} of ${nodes.a.data.n}"})),
    ];
    let outcome = run(&orchestrator, &pipeline(1, nodes));
    assert_eq!(outcome.results["a"]["data"], json!({"n": 3, "names": ["x", "y"]}));
    assert!(outcome.results["b"].get("data").is_none());
    let asked = model.asked.lock().unwrap();
    assert!(asked[0].form == Some(Form::JsonSchema(schema)));
    assert_eq!(asked[1].prompt, "y of 3");
}

#[test]
fn a_text_cut_before_its_schema_is_satisfied_is_an_error_and_drawn_anew() {
    let (model, orchestrator) = scripted(|request, _| {
        let satisfied = request.sampling.seed == 8;
        let finish = if satisfied { Finish::Complete } else { Finish::Length };
        Ok(Generated { finish, satisfied, ..written("[1]") })
    });
    let params = json!({"prompt": "p", "schema": {"type": "array"}});
    let once = run(&orchestrator, &pipeline(1, vec![generate("a", &[], params.clone())]));
    let fault = error(&once, "a").unwrap();
    assert!(fault.starts_with("node_failed:a:Unsatisfied:the text ended (length"), "{fault}");
    assert!(once.results["a"].get("text").is_none(), "half a document is not passed on");
    let again = Node { max_retries: 1, ..generate("a", &[], params) };
    let twice = run(&orchestrator, &pipeline(1, vec![again]));
    assert_eq!(twice.results["a"]["data"], json!([1]));
    let seeds: Vec<_> = model.asked.lock().unwrap().iter().map(|r| r.sampling.seed).collect();
    assert_eq!(seeds, [7, 7, 8]);
}

#[test]
fn a_time_out_stops_the_text_and_nothing_of_it_is_passed_on() {
    let (_, orchestrator) = scripted(|request, cancel| {
        if request.prompt == "long" {
            let stopped = cancel.sleep(PATIENCE).is_err();
            assert!(stopped, "nobody stopped it");
            return Ok(Generated { finish: Finish::Cancelled, ..written("half a te") });
        }
        Ok(written("short"))
    });
    let nodes = vec![
        Node { timeout_ms: 40, ..generate("a", &[], json!({"prompt": "long"})) },
        generate("b", &[], json!({"prompt": "quick"})),
    ];
    let started = Instant::now();
    let outcome = run(&orchestrator, &pipeline(2, nodes));
    assert!(started.elapsed() < PATIENCE / 2);
    assert_eq!(error(&outcome, "a"), Some("timeout:a:40"));
    assert_eq!((text(&outcome, "a"), text(&outcome, "b")), (None, Some("short")));
}

#[test]
fn stopping_the_run_stops_the_text_and_keeps_what_is_done() {
    let cancel = CancelToken::new();
    let stop = cancel.clone();
    let (_, orchestrator) = scripted(move |request, cancel| {
        if request.prompt == "long" {
            stop.cancel();
            let _ = cancel.sleep(PATIENCE);
            return Ok(Generated { finish: Finish::Cancelled, ..written("half a te") });
        }
        Ok(written("short"))
    });
    let nodes = vec![
        generate("a", &[], json!({"prompt": "quick"})),
        generate("b", &["a"], json!({"prompt": "long"})),
    ];
    let options = RunOptions { cancel, ..RunOptions::default() };
    let source = fields(json!({"text": "x"}));
    let outcome = orchestrator.run(&pipeline(1, nodes), source, options).unwrap();
    assert_eq!(outcome.text, "short");
    assert_eq!(error(&outcome, "b"), Some("node_failed:b:Cancelled:the run was stopped"));
}

#[test]
fn what_the_model_refuses_is_not_tried_again() {
    for (refusal, says) in [
        (
            EngineError::Input("the prompt has 9 tokens; 3 fit".into()),
            "InvalidInput:the prompt has 9",
        ),
        (
            EngineError::Sampling(SamplingError::Stop("64 at most".into())),
            "InvalidInput:stop strings",
        ),
        (EngineError::Tokenizer("odd".into()), "InvalidInput:tokenizer"),
    ] {
        let refusal = Mutex::new(Some(refusal));
        let (model, orchestrator) =
            scripted(move |_, _| Err(refusal.lock().unwrap().take().expect("asked once")));
        let node = Node { max_retries: 3, ..generate("a", &[], json!({"prompt": "p"})) };
        let outcome = run(&orchestrator, &pipeline(1, vec![node]));
        let fault = error(&outcome, "a").unwrap();
        assert!(fault.starts_with(&format!("node_failed:a:{says}")), "{fault}");
        assert_eq!(model.asked.lock().unwrap().len(), 1);
    }
}

#[test]
fn wrong_parameters_are_named_without_their_value() {
    let (model, orchestrator) = scripted(|_, _| Ok(written("x")));
    for (params, says) in [
        (
            json!({"temperature": "SECRET"}),
            "temperature: found text, accepted: a number in 0..=100",
        ),
        (json!({"temperature": 101}), "temperature: found a number outside that"),
        (json!({"top_p": -0.1}), "top_p: found a number outside that"),
        (json!({"max_tokens": 0}), "max_tokens: found a number outside that"),
        (json!({"seed": -1}), "seed: found a number"),
        (json!({"seed": "SECRET"}), "seed: found text"),
        (json!({"schema": "SECRET"}), "schema: found text, accepted: a map"),
        (json!({"schema": {}, "regex": "SECRET"}), "schema and regex are both given"),
        (json!({"stop": ["a", 5]}), "stop[1]: found a number"),
        (json!({"raw": "SECRET"}), "raw: found text"),
        (json!({"raw": true, "system": "SECRET"}), "raw: a raw prompt takes no `system`"),
    ] {
        let mut node = generate("a", &[], params);
        node.params.insert("prompt".into(), "p".into());
        let outcome = run(&orchestrator, &pipeline(1, vec![node]));
        let fault = error(&outcome, "a").unwrap();
        assert!(fault.contains(says) && !fault.contains("SECRET"), "{fault}");
    }
    assert!(model.asked.lock().unwrap().is_empty());
}

#[test]
fn the_guard_stands_before_and_behind_the_model() {
    let (model, orchestrator) =
        scripted(|_, _| Ok(Generated { ..written(r#"{"to": "ann@example.org"}"#) }));
    let params = json!({"prompt": "Write to bob@example.org", "schema": {"type": "object"}});
    let outcome = run(&orchestrator, &pipeline(1, vec![generate("a", &[], params)]));
    assert_eq!(model.asked.lock().unwrap()[0].prompt, "Write to [EMAIL]");
    assert_eq!(outcome.results["a"]["data"], json!({"to": "[EMAIL]"}));
    assert!(!format!("{outcome:?}").contains("example.org"));
}

#[test]
fn references_in_parameters_are_resolved() {
    let (model, orchestrator) = scripted(|_, _| Ok(written("x")));
    let nodes = vec![
        node("fails", "tools.retriever", &[]),
        generate("a", &["fails"], json!({"prompt": "[${nodes.fails.text}] $${text}"})),
        generate("b", &["fails"], json!({"prompt": "${nodes.fails.text}"})),
    ];
    let outcome = run(&orchestrator, &pipeline(1, nodes));
    assert!(error(&outcome, "fails").is_some(), "it has no query");
    assert_eq!(model.asked.lock().unwrap()[0].prompt, "[] ${text}");
    let fault = error(&outcome, "b").unwrap();
    assert!(fault.starts_with("node_failed:b:MissingInput:"), "{fault}");
    let nowhere = generate("c", &[], json!({"prompt": "${source.nowhere}"}));
    let outcome = run(&orchestrator, &pipeline(1, vec![nowhere]));
    assert!(error(&outcome, "c").unwrap().starts_with("node_failed:c:Binding:"));
}
