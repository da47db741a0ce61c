// SPDX-License-Identifier: AGPL-3.0-or-later
//! Order, concurrency, time-outs, retries, deadlines and failure strategies, on test agents.
//!
//! No test asserts a short time: those that must end early are held open by something that would
//! keep them for [`PATIENCE`] otherwise.

mod run_support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bho_engine::CancelToken;
use bho_orchestrator::agents::AgentError;
use bho_orchestrator::config::{Node, Strategy as OnFailure};
use bho_orchestrator::result::RunStatus;
use bho_orchestrator::run::RunOptions;
use proptest::prelude::*;
use serde_json::json;

use run_support::*;

/// Waits, polling, until `done` or the test's patience ends; says which.
fn wait_for(done: impl Fn() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if done() {
            return true;
        }
        thread::sleep(Duration::from_millis(1));
    }
    false
}

/// Notes ids in the order agents start.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, id: &str) {
        self.0.lock().unwrap().push(id.to_owned());
    }

    fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[test]
fn the_bound_on_concurrency_is_reached_and_kept() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let crowd = {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        agent("test.crowd", move |_, _| {
            let here = now.fetch_add(1, SeqCst) + 1;
            most.fetch_max(here, SeqCst);
            // Nobody leaves before three have met, so three must meet.
            let met = wait_for(|| most.load(SeqCst) >= 3);
            thread::sleep(Duration::from_millis(2));
            now.fetch_sub(1, SeqCst);
            if met { Ok(text_result("met")) } else { Err(AgentError::new("Alone", "nobody came")) }
        })
    };
    let nodes = (0..9).map(|i| node(&format!("n{i}"), "test.crowd", &[])).collect();
    let outcome = run(&orchestrator([crowd]), &pipeline(3, nodes));
    assert_eq!(outcome.status, RunStatus::Complete, "{:?}", outcome.errors);
    assert_eq!(most.load(SeqCst), 3);
}

#[test]
fn leaves_run_one_by_one_when_parallelism_is_off() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = {
        let most = Arc::clone(&most);
        agent("test.count", move |_, _| {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            thread::sleep(Duration::from_millis(5));
            now.fetch_sub(1, SeqCst);
            Ok(text_result("x"))
        })
    };
    let nodes = (0..4).map(|i| node(&format!("n{i}"), "test.count", &[])).collect();
    let mut pipeline = pipeline(4, nodes);
    pipeline.planner.prefer_parallel_for_independent_leaves = false;
    run(&orchestrator([count]), &pipeline);
    assert_eq!(most.load(SeqCst), 1);
}

#[test]
fn the_longest_path_starts_first_if_asked() {
    let log = Log::default();
    let note = {
        let log = log.clone();
        agent("test.note", move |_, ctx| {
            log.note(ctx.node);
            Ok(text_result("x"))
        })
    };
    let with_cost = |id, cost| Node { cost_est: Some(cost), ..node(id, "test.note", &[]) };
    let nodes = vec![
        with_cost("short", 1.0),
        with_cost("same_a", 5.0),
        with_cost("same_b", 5.0),
        with_cost("head", 1.0),
        Node { cost_est: Some(9.0), ..node("tail", "test.note", &["head"]) },
    ];
    let mut pipeline = pipeline(1, nodes);
    let orchestrator = orchestrator([note]);
    run(&orchestrator, &pipeline);
    assert_eq!(log.ids(), ["head", "tail", "same_a", "same_b", "short"]);
    log.0.lock().unwrap().clear();
    pipeline.planner.critical_path_bias = false;
    run(&orchestrator, &pipeline);
    assert_eq!(log.ids(), ["short", "same_a", "same_b", "head", "tail"]);
}

#[test]
fn nodes_never_start_inside_one_another() {
    // An agent that waits for another rayon pool, as an engine's forward pass may: on a shared
    // pool, its thread would take up a sibling meanwhile.
    thread_local! { static DEPTH: AtomicUsize = const { AtomicUsize::new(0) }; }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let deepest = Arc::new(AtomicUsize::new(0));
    let maths = {
        let deepest = Arc::clone(&deepest);
        agent("test.maths", move |_, _| {
            deepest.fetch_max(DEPTH.with(|depth| depth.fetch_add(1, SeqCst)) + 1, SeqCst);
            for _ in 0..5 {
                pool.install(|| thread::sleep(Duration::from_micros(500)));
                pool.broadcast(|_| thread::sleep(Duration::from_micros(500)));
            }
            DEPTH.with(|depth| depth.fetch_sub(1, SeqCst));
            Ok(text_result("x"))
        })
    };
    let nodes = (0..16).map(|i| node(&format!("n{i}"), "test.maths", &[])).collect();
    let outcome = run(&orchestrator([maths]), &pipeline(4, nodes));
    assert_eq!(outcome.errors, [""; 0]);
    assert_eq!(deepest.load(SeqCst), 1);
}

#[test]
fn a_time_out_stops_the_attempt() {
    let stopped = Arc::new(AtomicBool::new(false));
    let poll = {
        let stopped = Arc::clone(&stopped);
        agent("test.poll", move |_, ctx| {
            let result = ctx.cancel.sleep(PATIENCE);
            stopped.store(result.is_err(), SeqCst);
            result?;
            Ok(text_result("x"))
        })
    };
    let nodes = vec![Node { timeout_ms: 20, ..node("slow", "test.poll", &[]) }];
    let outcome = run(&orchestrator([poll]), &pipeline(1, nodes));
    assert_eq!(error(&outcome, "slow"), Some("timeout:slow:20"));
    assert_eq!(outcome.status, RunStatus::Failed);
    assert!(wait_for(|| stopped.load(SeqCst)));
}

#[test]
fn a_late_result_is_a_time_out() {
    let late = agent("test.late", |_, _| {
        thread::sleep(Duration::from_millis(15));
        Ok(text_result("late"))
    });
    let nodes = vec![Node { timeout_ms: 5, ..node("n", "test.late", &[]) }];
    let outcome = run(&orchestrator([late]), &pipeline(1, nodes));
    assert_eq!(error(&outcome, "n"), Some("timeout:n:5"));
    assert_eq!(text(&outcome, "n"), None);
}

#[test]
fn retries_are_counted() {
    let calls = Arc::new(Mutex::new(HashMap::<String, Vec<u32>>::new()));
    let flaky = {
        let calls = Arc::clone(&calls);
        agent("test.flaky", move |_, ctx| {
            calls.lock().unwrap().entry(ctx.node.to_owned()).or_default().push(ctx.attempt);
            match ctx.node {
                "third" if ctx.attempt == 2 => Ok(text_result("at last")),
                "panics" => panic!("attempt {}", ctx.attempt),
                "hopeless" => Err(AgentError::new("InvalidInput", "never")),
                "modelless" => Err(AgentError::new("NoModel", "never")),
                "slow" => Err(ctx.cancel.sleep(PATIENCE).unwrap_err().into()),
                _ => Err(AgentError::new("Model", format!("attempt {}", ctx.attempt))),
            }
        })
    };
    let retrying = |id, max_retries| Node { max_retries, ..node(id, "test.flaky", &[]) };
    let nodes = vec![
        retrying("third", 2),
        retrying("never", 1),
        retrying("once", 0),
        retrying("panics", 1),
        retrying("hopeless", 5),
        retrying("modelless", 5),
        Node { timeout_ms: 5, ..retrying("slow", 1) },
    ];
    let outcome = run(&orchestrator([flaky]), &pipeline(2, nodes));
    assert_eq!(text(&outcome, "third"), Some("at last"));
    assert_eq!(error(&outcome, "never"), Some("node_failed:never:Model:attempt 1"));
    assert_eq!(error(&outcome, "once"), Some("node_failed:once:Model:attempt 0"));
    assert_eq!(error(&outcome, "panics"), Some("node_failed:panics:Panic:attempt 1"));
    assert_eq!(error(&outcome, "hopeless"), Some("node_failed:hopeless:InvalidInput:never"));
    assert_eq!(error(&outcome, "slow"), Some("timeout:slow:5"));
    let calls = calls.lock().unwrap();
    assert_eq!(calls["third"], [0, 1, 2]);
    assert_eq!(calls["never"], [0, 1]);
    assert_eq!(calls["once"], [0]);
    assert_eq!(calls["panics"], [0, 1]);
    assert_eq!(calls["hopeless"], [0]);
    assert_eq!(calls["modelless"], [0]);
    assert_eq!(calls["slow"], [0, 1]);
    let trace = outcome.trace.unwrap();
    let errors: Vec<Option<&str>> =
        trace.nodes[0].attempts.iter().map(|attempt| attempt.error.as_deref()).collect();
    assert_eq!(
        errors,
        [
            Some("node_failed:third:Model:attempt 0"),
            Some("node_failed:third:Model:attempt 1"),
            None
        ]
    );
}

/// An agent that ignores its token until the test releases it, and how many are in it.
fn stubborn() -> (run_support::Closure, Release, Arc<AtomicUsize>) {
    let release = Release(Arc::new(AtomicBool::new(false)));
    let inside = Arc::new(AtomicUsize::new(0));
    let agent = {
        let (release, inside) = (Arc::clone(&release.0), Arc::clone(&inside));
        agent("test.stubborn", move |_, _| {
            inside.fetch_add(1, SeqCst);
            wait_for(|| release.load(SeqCst));
            inside.fetch_sub(1, SeqCst);
            Ok(text_result("too late"))
        })
    };
    (agent, release, inside)
}

/// Lets stubborn agents go, also when the test fails.
struct Release(Arc<AtomicBool>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn a_stubborn_agent_is_abandoned_and_starves_nobody() {
    let (stubborn, _release, inside) = stubborn();
    let nodes = vec![
        Node { timeout_ms: 200, max_retries: 1, ..node("stuck", "test.stubborn", &[]) },
        node("after", "test.echo", &["stuck"]),
        node("beside", "test.echo", &[]),
    ];
    let outcome = run(&orchestrator([stubborn]), &pipeline(1, nodes));
    assert_eq!(inside.load(SeqCst), 2, "both attempts are still inside");
    assert_eq!(error(&outcome, "stuck"), Some("timeout:stuck:200"));
    assert_eq!(text(&outcome, "after"), Some("after(in)"));
    assert_eq!(text(&outcome, "beside"), Some("beside(in)"));
    assert_eq!(outcome.status, RunStatus::Partial);
}

#[test]
fn the_deadline_returns_what_is_done() {
    let (stubborn, _release, inside) = stubborn();
    let nodes = vec![
        node("done", "test.echo", &[]),
        node("polite", "test.wait", &["done"]),
        node("stuck", "test.stubborn", &["done"]),
        node("never", "test.echo", &["polite", "stuck"]),
    ];
    let mut pipeline = pipeline(2, nodes);
    pipeline.budgets.deadline_ms = Some(400);
    let outcome = run(&orchestrator([stubborn]), &pipeline);
    assert_eq!(inside.load(SeqCst), 1, "the run did not wait for the stubborn agent");
    assert!(outcome.elapsed >= Duration::from_millis(400));
    assert_eq!(text(&outcome, "done"), Some("done(in)"));
    for id in ["polite", "stuck", "never"] {
        assert_eq!(error(&outcome, id), Some("deadline:400"), "{id}");
    }
    assert_eq!(outcome.errors, ["deadline:400"]);
    assert_eq!((outcome.text.as_str(), outcome.status), ("done(in)", RunStatus::Partial));
    let trace = outcome.trace.unwrap();
    assert!(!trace.budgets.deadline_met);
    assert_eq!(trace.nodes[1].attempts.len(), 1);
    assert_eq!(trace.nodes[3].start_us, None);
}

#[test]
fn a_deadline_of_nothing_runs_nothing() {
    let mut pipeline = pipeline(2, vec![node("a", "test.echo", &[])]);
    pipeline.budgets.deadline_ms = Some(0);
    let outcome = run(&orchestrator([]), &pipeline);
    assert_eq!(error(&outcome, "a"), Some("deadline:0"));
    assert_eq!(outcome.status, RunStatus::Failed);
}

#[test]
fn no_retry_starts_after_the_deadline() {
    let nodes = vec![Node { max_retries: 1000, ..node("a", "test.fail", &[]) }];
    let mut pipeline = pipeline(1, nodes);
    pipeline.budgets.deadline_ms = Some(300);
    let outcome = run(&orchestrator([]), &pipeline);
    let attempts = outcome.trace.unwrap().nodes[0].attempts.len();
    // Delays double: a thousand retries would take a quarter of an hour.
    assert!((1..10).contains(&attempts), "{attempts}");
    assert!(!outcome.results["a"]["_error"].is_null());
}

#[test]
fn the_caller_can_stop_a_run() {
    let cancel = CancelToken::new();
    let stop = {
        let cancel = cancel.clone();
        agent("test.stop", move |_, _| {
            cancel.cancel();
            Ok(text_result("x"))
        })
    };
    let nodes = vec![
        node("done", "test.echo", &[]),
        node("stop", "test.stop", &["done"]),
        node("waits", "test.wait", &["done"]),
        node("never", "test.echo", &["waits"]),
    ];
    let outcome = orchestrator([stop])
        .run(
            &pipeline(2, nodes),
            fields(json!({"text": "in"})),
            RunOptions { cancel, ..RunOptions::default() },
        )
        .unwrap();
    assert_eq!(text(&outcome, "done"), Some("done(in)"));
    for id in ["waits", "never"] {
        let want = format!("node_failed:{id}:Cancelled:the run was stopped");
        assert_eq!(error(&outcome, id), Some(want.as_str()));
    }
}

/// `bad` fails; `child` and `grandchild` depend on it, `beside` does not.
fn failing(strategy: OnFailure) -> bho_orchestrator::run::RunOutcome {
    let nodes = vec![
        node("good", "test.echo", &[]),
        node("bad", "test.fail", &["good"]),
        node("child", "test.echo", &["good", "bad"]),
        node("grandchild", "test.echo", &["child"]),
        node("beside", "test.echo", &["good"]),
    ];
    let mut pipeline = pipeline(1, nodes);
    pipeline.on_error.strategy = strategy;
    run(&orchestrator([]), &pipeline)
}

#[test]
fn partial_ok_runs_children_on_what_there_is() {
    let outcome = failing(OnFailure::PartialOk);
    assert_eq!(error(&outcome, "bad"), Some("node_failed:bad:Model:no luck"));
    assert_eq!(text(&outcome, "grandchild"), Some("grandchild(child(good(in)))"));
    assert_eq!(outcome.errors, ["node_failed:bad:Model:no luck"]);
    assert_eq!(outcome.status, RunStatus::Partial);
}

#[test]
fn best_effort_skips_the_descendants_only() {
    let outcome = failing(OnFailure::BestEffort);
    assert_eq!(error(&outcome, "child"), Some("node_failed:child:Skipped:parent bad failed"));
    assert_eq!(
        error(&outcome, "grandchild"),
        Some("node_failed:grandchild:Skipped:parent child failed")
    );
    assert_eq!(text(&outcome, "beside"), Some("beside(good(in))"));
}

#[test]
fn abort_starts_nothing_more() {
    let outcome = failing(OnFailure::Abort);
    assert_eq!(text(&outcome, "good"), Some("good(in)"));
    for id in ["child", "grandchild"] {
        let want = format!("node_failed:{id}:Skipped:aborted: node bad failed");
        assert_eq!(error(&outcome, id), Some(want.as_str()));
    }
}

#[test]
fn abort_cancels_what_runs() {
    let inside = Arc::new(AtomicBool::new(false));
    let slow = {
        let inside = Arc::clone(&inside);
        agent("test.slow", move |_, ctx| {
            inside.store(true, SeqCst);
            ctx.cancel.sleep(PATIENCE)?;
            Ok(text_result("x"))
        })
    };
    let fail_beside = agent("test.fail_beside", move |_, _| {
        wait_for(|| inside.load(SeqCst));
        Err(AgentError::new("Model", "no luck"))
    });
    let nodes = vec![node("slow", "test.slow", &[]), node("bad", "test.fail_beside", &[])];
    let mut pipeline = pipeline(2, nodes);
    pipeline.on_error.strategy = OnFailure::Abort;
    let outcome = run(&orchestrator([slow, fail_beside]), &pipeline);
    assert_eq!(error(&outcome, "bad"), Some("node_failed:bad:Model:no luck"));
    assert_eq!(
        error(&outcome, "slow"),
        Some("node_failed:slow:Cancelled:aborted: node bad failed")
    );
}

#[test]
fn what_can_never_run_says_so() {
    let nodes = vec![
        node("a", "test.echo", &["b"]),
        node("b", "test.echo", &["a"]),
        node("c", "test.echo", &["nobody"]),
        node("d", "test.echo", &[]),
        node("e", "test.none", &[]),
    ];
    let outcome = run(&orchestrator([]), &pipeline(2, nodes));
    for id in ["a", "b", "c"] {
        assert_eq!(error(&outcome, id), Some("dag_unresolved_nodes:[a, b, c]"));
    }
    assert_eq!(text(&outcome, "d"), Some("d(in)"));
    assert_eq!(
        error(&outcome, "e"),
        Some("node_failed:e:UnknownAgent:no agent `test.none` is registered")
    );
    assert_eq!(outcome.errors.len(), 2);
}

#[test]
fn a_chain_of_thousands_needs_no_stack() {
    let nodes: Vec<Node> = (0..3000)
        .map(|i| {
            let parent = format!("n{}", i - 1);
            let deps: &[&str] = if i == 0 { &[] } else { &[parent.as_str()] };
            let agent = if i == 0 { "test.fail" } else { "test.echo" };
            node(&format!("n{i}"), agent, deps)
        })
        .collect();
    let mut pipeline = pipeline(2, nodes);
    pipeline.on_error.strategy = OnFailure::BestEffort;
    let outcome = run(&orchestrator([]), &pipeline);
    assert_eq!(error(&outcome, "n2999"), Some("node_failed:n2999:Skipped:parent n2998 failed"));
}

/// Edges to earlier nodes, for each node.
fn dag() -> impl Strategy<Value = Vec<Vec<usize>>> {
    (1_usize..12).prop_flat_map(|count| {
        (0..count)
            .map(|i| prop::collection::vec(0..i.max(1), 0..=i.min(4)))
            .collect::<Vec<_>>()
            .prop_map(|mut deps: Vec<Vec<usize>>| {
                deps[0].clear();
                deps
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each node runs once, after its parents; the results do not depend on timing or threads.
    #[test]
    fn any_graph_gives_the_same_results_however_it_is_timed(
        deps in dag(),
        naps in prop::collection::vec(0_u64..3, 12),
        failing in prop::collection::vec(prop::bool::weighted(0.15), 12),
        best_effort in any::<bool>(),
    ) {
        // Declared in reverse, so that declared order is not already a topological one.
        let count = deps.len();
        let id = |i: usize| format!("n{i}");
        let nodes: Vec<Node> = (0..count)
            .rev()
            .map(|i| {
                let parents: Vec<String> = deps[i].iter().map(|&p| id(p)).collect();
                let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
                node(&id(i), "test.work", &parents)
            })
            .collect();
        let mut runs = Vec::new();
        for slots in [1, 4] {
            let started = Log::default();
            let ended = Log::default();
            let early = Arc::new(Mutex::new(Vec::new()));
            let work = {
                let (started, ended, early) = (started.clone(), ended.clone(), Arc::clone(&early));
                let (naps, failing) = (naps.clone(), failing.clone());
                agent("test.work", move |input, ctx| {
                    started.note(ctx.node);
                    let done = ended.ids();
                    if !ctx.deps.iter().all(|dep| done.contains(dep)) {
                        early.lock().unwrap().push(ctx.node.to_owned());
                    }
                    let i: usize = ctx.node[1..].parse().unwrap();
                    thread::sleep(Duration::from_millis(naps[(i + slots) % naps.len()]));
                    let missing: Vec<&str> = ctx.missing.iter().map(|(id, _)| id.as_str()).collect();
                    let text = format!("{}<{}|{}>", ctx.node, input["text"], missing.join(","));
                    ended.note(ctx.node);
                    if failing[i] {
                        return Err(AgentError::new("Model", "as told"));
                    }
                    // Short, so that texts do not double at every step.
                    let sum = text.bytes().fold(7_u64, |sum, b| sum.wrapping_mul(31) ^ u64::from(b));
                    Ok(fields(json!({ "text": format!("{}:{sum}", ctx.node), "sum": sum % 1000 })))
                })
            };
            let mut pipeline = pipeline(u32::try_from(slots).unwrap(), nodes.clone());
            if best_effort {
                pipeline.on_error.strategy = OnFailure::BestEffort;
            }
            let outcome = run(&orchestrator([work]), &pipeline);
            prop_assert_eq!(&*early.lock().unwrap(), &Vec::<String>::new());
            let mut ran = started.ids();
            ran.sort();
            let mut once = ran.clone();
            once.dedup();
            prop_assert_eq!(&ran, &once);
            if !best_effort {
                prop_assert_eq!(ran.len(), count);
            }
            let order: Vec<String> = outcome.results.keys().cloned().collect();
            prop_assert_eq!(order, (0..count).rev().map(id).collect::<Vec<_>>());
            let cards = serde_json::to_string(&outcome.cards).unwrap();
            runs.push((outcome.text, serde_json::to_string(&outcome.results).unwrap(), outcome.errors, cards));
        }
        prop_assert_eq!(&runs[0], &runs[1]);
    }
}
