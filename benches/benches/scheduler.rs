// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the orchestrator costs a node: whole runs of agents that do nothing.
//!
//! A run's fixed part (threads, the guard on the source and the answer) is in the numbers; in a
//! graph of a hundred nodes or more it is a small part. The trace is on unless the id says so.

use std::sync::Arc;
use std::time::Duration;

use bho_benches::criterion;
use bho_engine::{CancelToken, Embedding, EngineError, ModelInfo};
use bho_orchestrator::agents::{Agent, AgentContext, AgentError, AgentRegistry, AgentSpec, Fields};
use bho_orchestrator::config::{Node, Pipeline};
use bho_orchestrator::reasoner::Reasoner;
use bho_orchestrator::result::RunStatus;
use bho_orchestrator::run::{Orchestrator, RunOptions};
use criterion::{BenchmarkId, Throughput};
use serde_json::Value;

const TEXT: &str = "Rivers rise in the north and run to the sea.";

/// Gives back a short text and looks at nothing.
struct Nothing;

static SPEC: AgentSpec = AgentSpec {
    name: "bench.nothing",
    summary: "does nothing",
    params: &[],
    outputs: &["text"],
    not_yet: None,
};

impl Agent for Nothing {
    fn spec(&self) -> &'static AgentSpec {
        &SPEC
    }

    fn run(&self, _: &Fields, _: &AgentContext<'_>) -> Result<Fields, AgentError> {
        Ok(Fields::from_iter([("text".to_owned(), Value::from(TEXT))]))
    }
}

struct NoModels;

impl Reasoner for NoModels {
    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }

    fn embed(&self, _: &[&str], _: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        Err(EngineError::Input("there is no model".into()))
    }
}

/// `count` nodes on two slots: each on the one before, or all side by side.
fn pipeline(count: usize, chain: bool, guarded: bool) -> Pipeline {
    let node = |i: usize| Node {
        id: format!("n{i}"),
        agent: SPEC.name.to_owned(),
        deps: if chain && i > 0 { vec![format!("n{}", i - 1)] } else { Vec::new() },
        guard_pre: guarded,
        guard_post: guarded,
        // A busy machine must not turn a time-out into a fast run.
        timeout_ms: 600_000,
        ..Node::default()
    };
    let mut pipeline = Pipeline { nodes: (0..count).map(node).collect(), ..Pipeline::default() };
    pipeline.budgets.max_concurrency = 2;
    pipeline
}

fn main() {
    let mut c = criterion(Duration::from_secs(1)).sample_size(20).configure_from_args();
    let mut registry = AgentRegistry::empty();
    registry.register(Nothing);
    let orchestrator = Orchestrator::new(registry, Arc::new(NoModels));
    let source = Fields::from_iter([("text".to_owned(), Value::from(TEXT))]);
    let mut group = c.benchmark_group("scheduler");
    for (shape, count, chain) in [("chain", 100, true), ("chain", 1000, true), ("wide", 100, false)]
    {
        for (how, guarded, traced) in [
            ("unguarded-untraced", false, false),
            ("unguarded", false, true),
            ("guarded", true, true),
        ] {
            let mut pipeline = pipeline(count, chain, guarded);
            pipeline.tracing.enabled = traced;
            let run = || orchestrator.run(&pipeline, source.clone(), RunOptions::default());
            let outcome = run().expect("a run");
            assert_eq!(outcome.status, RunStatus::Complete);
            assert_eq!(outcome.results.len(), count);
            // Per node: criterion's "elements" are nodes.
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new(format!("{shape}/{how}"), count), |b| {
                b.iter(run);
            });
        }
    }
    group.finish();
    c.final_summary();
}
