// SPDX-License-Identifier: AGPL-3.0-or-later
//! Agents, a detector and short ways to write pipelines, for the tests of runs.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::time::Duration;

use bho_engine::{CancelToken, Embedding, EngineError, ModelInfo};
use bho_guard::{Category, DetectContext, Detector, Finding, GuardError, Signal};
use bho_orchestrator::agents::{Agent, AgentContext, AgentError, AgentRegistry, AgentSpec, Fields};
use bho_orchestrator::config::{Node, Pipeline};
use bho_orchestrator::reasoner::Reasoner;
use bho_orchestrator::run::{Orchestrator, RunOptions, RunOutcome};
use serde_json::{Value, json};

/// No test may hang longer than this, however loaded the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

type Run = dyn Fn(&Fields, &AgentContext<'_>) -> Result<Fields, AgentError> + Send + Sync;

/// An agent made of a closure.
pub(crate) struct Closure {
    spec: &'static AgentSpec,
    run: Box<Run>,
}

impl Agent for Closure {
    fn spec(&self) -> &'static AgentSpec {
        self.spec
    }

    fn run(&self, input: &Fields, ctx: &AgentContext<'_>) -> Result<Fields, AgentError> {
        (self.run)(input, ctx)
    }
}

pub(crate) fn agent(
    name: &'static str,
    run: impl Fn(&Fields, &AgentContext<'_>) -> Result<Fields, AgentError> + Send + Sync + 'static,
) -> Closure {
    // A spec lives for ever; a test makes a handful.
    let spec = Box::leak(Box::new(AgentSpec {
        name,
        summary: "a test's agent",
        params: &[],
        outputs: &["text"],
        not_yet: None,
    }));
    Closure { spec, run: Box::new(run) }
}

/// `node(text of the input)`.
pub(crate) fn echo() -> Closure {
    agent("test.echo", |input, ctx| {
        let text = input.get("text").and_then(Value::as_str).unwrap_or("nothing");
        Ok(text_result(&format!("{}({text})", ctx.node)))
    })
}

/// Always fails.
pub(crate) fn fail() -> Closure {
    agent("test.fail", |_, _| Err(AgentError::new("Model", "no luck")))
}

/// Waits until it is stopped.
pub(crate) fn wait() -> Closure {
    agent("test.wait", |_, ctx| {
        ctx.cancel.sleep(PATIENCE)?;
        Ok(text_result("waited in vain"))
    })
}

pub(crate) fn text_result(text: &str) -> Fields {
    fields(json!({ "text": text }))
}

pub(crate) fn fields(value: Value) -> Fields {
    match value {
        Value::Object(map) => map,
        other => panic!("not a map: {other}"),
    }
}

pub(crate) struct NoModels;

impl Reasoner for NoModels {
    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }

    fn embed(&self, _: &[&str], _: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        Err(EngineError::Input("no model here".into()))
    }
}

/// Blocks texts that hold the word `BADWORD`.
pub(crate) struct BadWord;

impl Detector for BadWord {
    fn name(&self) -> &'static str {
        "bad_word"
    }

    fn signal(&self) -> Signal {
        Signal::Toxicity
    }

    fn detect(
        &self,
        text: &str,
        _: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        out.extend(text.match_indices("BADWORD").map(|(at, word)| Finding {
            category: Category::Toxicity,
            span: at..at + word.len(),
            score: 0.9,
            detector: "bad_word",
            rule: "list",
            via: None,
        }));
        Ok(())
    }
}

/// A node with a time-out that only a hanging test reaches.
pub(crate) fn node(id: &str, agent: &str, deps: &[&str]) -> Node {
    Node {
        id: id.to_owned(),
        agent: agent.to_owned(),
        deps: deps.iter().map(|dep| (*dep).to_owned()).collect(),
        timeout_ms: u64::try_from(PATIENCE.as_millis()).unwrap(),
        ..Node::default()
    }
}

pub(crate) fn pipeline(max_concurrency: u32, nodes: Vec<Node>) -> Pipeline {
    let mut pipeline = Pipeline {
        version: "0.1.0".into(),
        schema: "pipeline.v1".into(),
        name: "test".into(),
        nodes,
        ..Pipeline::default()
    };
    pipeline.budgets.max_concurrency = max_concurrency;
    pipeline
}

pub(crate) fn orchestrator(agents: impl IntoIterator<Item = Closure>) -> Orchestrator {
    let mut registry = AgentRegistry::empty();
    registry.register(echo()).register(fail()).register(wait());
    for agent in agents {
        registry.register(agent);
    }
    Orchestrator::new(registry, Arc::new(NoModels)).with_detector(BadWord)
}

/// Runs on the source `{text: "in"}`.
pub(crate) fn run(orchestrator: &Orchestrator, pipeline: &Pipeline) -> RunOutcome {
    run_on(orchestrator, pipeline, json!({ "text": "in" }))
}

pub(crate) fn run_on(
    orchestrator: &Orchestrator,
    pipeline: &Pipeline,
    source: Value,
) -> RunOutcome {
    orchestrator.run(pipeline, fields(source), RunOptions::default()).unwrap()
}

/// The `_error` of a node.
pub(crate) fn error<'a>(outcome: &'a RunOutcome, id: &str) -> Option<&'a str> {
    outcome.results[id].get("_error").and_then(Value::as_str)
}

/// The `text` of a node.
pub(crate) fn text<'a>(outcome: &'a RunOutcome, id: &str) -> Option<&'a str> {
    outcome.results[id].get("text").and_then(Value::as_str)
}
