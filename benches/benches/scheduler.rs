// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a node costs besides its agent: pipelines of no-op nodes, counted per node.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::sync::Arc;

use bho_benches::criterion;
use bho_engine::{CancelToken, Embedding, EngineError, ModelInfo};
use bho_orchestrator::agents::{Agent, AgentContext, AgentError, AgentRegistry, AgentSpec, Fields};
use bho_orchestrator::config::{Node, Pipeline};
use bho_orchestrator::reasoner::Reasoner;
use bho_orchestrator::run::{Orchestrator, RunOptions};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

struct Noop;

impl Agent for Noop {
    fn spec(&self) -> &'static AgentSpec {
        &AgentSpec {
            name: "bench.noop",
            summary: "does nothing",
            params: &[],
            outputs: &["text"],
            not_yet: None,
        }
    }

    fn run(&self, _: &Fields, _: &AgentContext<'_>) -> Result<Fields, AgentError> {
        Ok([("text".to_owned(), "done".into())].into_iter().collect())
    }
}

struct NoModels;

impl Reasoner for NoModels {
    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }

    fn embed(&self, _: &[&str], _: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        Err(EngineError::Input("no model".into()))
    }
}

fn pipeline(nodes: usize, chain: bool, guard: bool, slots: u32) -> Pipeline {
    let node = |i: usize| Node {
        id: format!("n{i}"),
        agent: "bench.noop".into(),
        deps: if chain && i > 0 { vec![format!("n{}", i - 1)] } else { Vec::new() },
        guard_pre: guard,
        guard_post: guard,
        ..Node::default()
    };
    let mut pipeline = Pipeline { nodes: (0..nodes).map(node).collect(), ..Pipeline::default() };
    pipeline.budgets.max_concurrency = slots;
    pipeline.tracing.enabled = false;
    pipeline
}

fn overhead(c: &mut Criterion) {
    let mut registry = AgentRegistry::empty();
    registry.register(Noop);
    let orchestrator = Orchestrator::new(registry, Arc::new(NoModels));
    let mut group = c.benchmark_group("scheduler");
    for (name, nodes, chain, guard, slots) in [
        ("chain/100", 100, true, false, 1),
        ("chain/1000", 1000, true, false, 1),
        ("wide/100/slots2", 100, false, false, 2),
        ("chain_guarded/100", 100, true, true, 1),
    ] {
        let pipeline = pipeline(nodes, chain, guard, slots);
        group.throughput(Throughput::Elements(nodes as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let source = [("text".to_owned(), "a short text".into())].into_iter().collect();
                let outcome = orchestrator.run(&pipeline, source, RunOptions::default());
                assert_eq!(outcome.expect("runs").text, "done");
            });
        });
    }
}

criterion_group!(name = benches; config = criterion(); targets = overhead);
criterion_main!(benches);
