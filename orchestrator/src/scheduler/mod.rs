// SPDX-License-Identifier: AGPL-3.0-or-later
//! Runs the nodes of a graph: order, bounded concurrency, time-outs, retries, deadline.
//!
//! The calling thread coordinates; nodes run on rayon threads and report over a channel. A node
//! starts when all its parents ended and a *slot* is free, the one with the longest way to the end
//! first, or as declared. There are as many slots as nodes may run at once, and each slot is a rayon pool of **one**
//! thread of its own: a rayon worker that waits for another pool (as an engine that fans its
//! maths out may) takes up jobs queued in its own pool meanwhile, so nodes sharing a pool would
//! start inside one another, holding each other up and spoiling each other's time-outs.
//!
//! Stopping is cooperative: each attempt has a [`CancelToken`] with the node's time-out under the
//! run's. A node that ignores its token is *abandoned* [`GRACE`] after its time: it is reported as
//! timed out, its slot gets a new thread so that others are not starved, and whatever it returns
//! later is dropped. Its thread lives until the agent returns, so an agent that never does leaks a
//! thread; safe Rust has no way to kill one. Hence a run takes at most `deadline + GRACE`, plus
//! what the caller does with the results.
//!
//! Results do not depend on timing as long as nothing times out: a node sees its ended parents
//! only. What `abort`, a deadline or a cancel finds unfinished does depend on it.

mod backoff;
mod node;
mod slots;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use bho_engine::CancelToken;

use crate::config::{Pipeline, Strategy};
use crate::error::{RunError, RunFault, kind};
use crate::panics;
use crate::plan::Plan;

pub(crate) use node::{NodeRecord, RunContext};
use slots::Slots;

/// How long a stopped attempt may take to return before it is abandoned.
pub const GRACE: Duration = Duration::from_millis(30);

/// How long the coordinator yields before it sleeps, waiting for a node's report.
const STAY_AWAKE: Duration = Duration::from_micros(50);

/// How often the caller's cancel token is looked at; it cannot wake the coordinator.
const POLL: Duration = Duration::from_millis(10);

/// What the coordinator needs to know of the nodes, by index.
pub(crate) struct Graph {
    parents: Vec<Vec<usize>>,
    children: Vec<Vec<usize>>,
    /// Nodes by the order in which ready ones start.
    by_rank: Vec<usize>,
    /// Place of each node in `by_rank`.
    rank: Vec<usize>,
    /// Nodes that wait for each other or for nothing there is.
    unresolved: Vec<usize>,
    rules: Vec<Rules>,
    strategy: Strategy,
    /// Attempts that may run at once.
    slots: usize,
}

struct Rules {
    id: String,
    timeout_ms: u64,
    max_retries: u32,
}

impl Graph {
    /// The graph of a pipeline, with what its budgets, planner and `on_error` say.
    pub(crate) fn new(pipeline: &Pipeline, plan: &Plan) -> Self {
        let count = pipeline.nodes.len();
        let mut by_rank: Vec<usize> = (0..count).collect();
        if pipeline.planner.critical_path_bias {
            // Stable: equal paths stay in declared order.
            by_rank.sort_by(|&a, &b| plan.critical_path[b].total_cmp(&plan.critical_path[a]));
        }
        let mut rank = vec![0; count];
        for (place, &node) in by_rank.iter().enumerate() {
            rank[node] = place;
        }
        let slots = if pipeline.planner.prefer_parallel_for_independent_leaves {
            usize::try_from(pipeline.budgets.max_concurrency).unwrap_or(usize::MAX)
        } else {
            1
        };
        Self {
            parents: plan.parents.clone(),
            children: plan.children.clone(),
            by_rank,
            rank,
            unresolved: plan.unresolved.clone(),
            rules: pipeline
                .nodes
                .iter()
                .map(|node| Rules {
                    id: node.id.clone(),
                    timeout_ms: node.timeout_ms,
                    max_retries: node.max_retries,
                })
                .collect(),
            strategy: pipeline.on_error.strategy,
            slots: slots.clamp(1, count.max(1)),
        }
    }

    /// Attempts that may run at once.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }
}

/// How an attempt ended.
pub(crate) enum Attempt<O> {
    /// With a result.
    Done(O),
    /// It wants to run once more, at once; that is no retry.
    Again,
    /// Without a result; `retry` says whether another attempt could do better.
    Failed { fault: RunFault, retry: bool },
}

/// Time spent in the phases of a node's attempts, summed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Phases {
    pub(crate) guard_pre: Duration,
    pub(crate) agent: Duration,
    pub(crate) guard_post: Duration,
}

/// What the nodes do.
pub(crate) trait Work: Send + Sync + 'static {
    /// Result of a node.
    type Output: Send + 'static;

    /// One attempt, on a thread of the scheduler; `number` counts all attempts of the node from 0.
    fn attempt(
        &self,
        node: usize,
        number: u32,
        cancel: &CancelToken,
        phases: &mut Phases,
    ) -> Attempt<Self::Output>;

    /// Takes in how a node ended, before any of its children starts; called once a node, on the
    /// coordinating thread. Returns whether the node counts as failed.
    fn settle(&self, node: usize, end: Result<Self::Output, RunFault>) -> bool;
}

/// When and how a node ran.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeTimes {
    /// From the start of the run to the start of the first attempt.
    pub(crate) start: Option<Duration>,
    /// Ready, but waiting for a slot; backoff is not counted.
    pub(crate) queue: Duration,
    pub(crate) phases: Phases,
    pub(crate) attempts: Vec<AttemptTime>,
}

/// One attempt.
#[derive(Debug, Clone)]
pub(crate) struct AttemptTime {
    pub(crate) took: Duration,
    pub(crate) fault: Option<RunFault>,
}

/// Limits of one run.
pub(crate) struct Limits {
    /// When the run began; times count from here.
    pub(crate) started: Instant,
    /// Token of the run: the caller's, with the deadline.
    pub(crate) cancel: CancelToken,
    /// `deadline_ms`, and when that is.
    pub(crate) deadline: Option<(u64, Instant)>,
    /// Seed of the run, for the jitter of retries.
    pub(crate) seed: u64,
}

/// Runs every node of the graph and says when each ran.
///
/// # Errors
/// [`RunError::Threads`] when no thread can be started.
pub(crate) fn execute<W: Work>(
    graph: &Graph,
    work: &Arc<W>,
    limits: &Limits,
) -> Result<Vec<NodeTimes>, RunError> {
    let mut coordinator = Coordinator::new(graph, work, limits);
    let ended = coordinator.run();
    // Nothing of a run goes on after it, however it ended.
    coordinator.cancel.cancel();
    ended.map(|()| coordinator.times)
}

/// An attempt that a thread has in hand.
struct Running {
    node: usize,
    serial: u64,
    started: Instant,
    cancel: CancelToken,
    /// When it is abandoned; `None` when its time-out is beyond the clock.
    overdue: Option<Instant>,
}

struct Report<O> {
    slot: usize,
    serial: u64,
    attempt: Attempt<O>,
    phases: Phases,
    started: Instant,
    ended: Instant,
    /// Its token had stopped when it ended.
    late: bool,
}

/// Why the rest of the graph does not run.
#[derive(Clone, Copy)]
enum Stop {
    Deadline,
    Caller,
    /// This node failed under `abort`.
    Abort(usize),
}

struct Coordinator<'g, W: Work> {
    graph: &'g Graph,
    work: &'g Arc<W>,
    limits: &'g Limits,
    /// Stops all attempts of this run, and nothing of the caller's.
    cancel: CancelToken,
    slots: Slots,
    running: Vec<Option<Running>>,
    free: Vec<usize>,
    /// Ranks of nodes that may start.
    ready: BTreeSet<usize>,
    ready_since: Vec<Instant>,
    /// Nodes that failed and start again later.
    resting: Vec<(Instant, usize)>,
    /// Parents that have not ended.
    waiting: Vec<usize>,
    settled: Vec<bool>,
    failed: Vec<bool>,
    retries: Vec<u32>,
    attempts: Vec<u32>,
    unsettled: usize,
    serial: u64,
    sender: Sender<Report<W::Output>>,
    reports: Receiver<Report<W::Output>>,
    aborted_by: Option<usize>,
    times: Vec<NodeTimes>,
}

impl<'g, W: Work> Coordinator<'g, W> {
    fn new(graph: &'g Graph, work: &'g Arc<W>, limits: &'g Limits) -> Self {
        let count = graph.rules.len();
        let (sender, reports) = channel();
        let now = Instant::now();
        Self {
            graph,
            work,
            limits,
            cancel: limits.cancel.child(None),
            slots: Slots::new(graph.slots),
            running: (0..graph.slots).map(|_| None).collect(),
            // Last in, first out: the thread that has just finished is still awake.
            free: (0..graph.slots).rev().collect(),
            ready: BTreeSet::new(),
            ready_since: vec![now; count],
            resting: Vec::new(),
            waiting: graph.parents.iter().map(Vec::len).collect(),
            settled: vec![false; count],
            failed: vec![false; count],
            retries: vec![0; count],
            attempts: vec![0; count],
            unsettled: count,
            serial: 0,
            sender,
            reports,
            aborted_by: None,
            times: vec![NodeTimes::default(); count],
        }
    }

    fn run(&mut self) -> Result<(), RunError> {
        self.settle_unresolved();
        for node in 0..self.waiting.len() {
            if self.waiting[node] == 0 && !self.settled[node] {
                self.make_ready(node);
            }
        }
        while self.unsettled > 0 {
            if let Some(stop) = self.stop() {
                self.stop_all(stop);
                return Ok(());
            }
            self.dispatch()?;
            match self.next_report() {
                Ok(report) => {
                    self.take(report);
                    while let Ok(report) = self.reports.try_recv() {
                        self.take(report);
                    }
                }
                // The coordinator holds a sender itself.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            self.wake_resting();
            self.abandon_overdue();
        }
        Ok(())
    }

    /// The next report, or a time-out after a nap. A short node answers while this thread still
    /// yields, which saves putting it to sleep and waking it, the larger part of a node's overhead.
    fn next_report(&self) -> Result<Report<W::Output>, RecvTimeoutError> {
        let awake = Instant::now() + STAY_AWAKE;
        loop {
            if let Ok(report) = self.reports.try_recv() {
                return Ok(report);
            }
            if Instant::now() >= awake {
                return self.reports.recv_timeout(self.nap());
            }
            std::thread::yield_now();
        }
    }

    fn settle_unresolved(&mut self) {
        let graph = self.graph;
        let ids = || graph.unresolved.iter().map(|&node| graph.rules[node].id.clone()).collect();
        for &node in &graph.unresolved {
            self.settled[node] = true;
            self.unsettled -= 1;
            self.failed[node] =
                self.work.settle(node, Err(RunFault::UnresolvedNodes { nodes: ids() }));
        }
    }

    fn make_ready(&mut self, node: usize) {
        self.ready_since[node] = Instant::now();
        self.ready.insert(self.graph.rank[node]);
    }

    fn stop(&self) -> Option<Stop> {
        if let Some(node) = self.aborted_by {
            Some(Stop::Abort(node))
        } else if self.past_deadline() {
            Some(Stop::Deadline)
        } else if self.limits.cancel.is_cancelled() {
            Some(Stop::Caller)
        } else {
            None
        }
    }

    fn past_deadline(&self) -> bool {
        self.limits.deadline.is_some_and(|(_, at)| Instant::now() >= at)
    }

    /// How long nothing but a report needs attention.
    fn nap(&self) -> Duration {
        let overdue = self.running.iter().flatten().filter_map(|running| running.overdue);
        let resting = self.resting.iter().map(|(at, _)| *at);
        let deadline = self.limits.deadline.iter().map(|(_, at)| *at);
        let next = overdue.chain(resting).chain(deadline).min();
        next.map_or(POLL, |at| at.saturating_duration_since(Instant::now()).min(POLL))
    }

    fn dispatch(&mut self) -> Result<(), RunError> {
        while !self.ready.is_empty()
            && let Some(slot) = self.free.pop()
            && let Some(rank) = self.ready.pop_first()
        {
            let node = self.graph.by_rank[rank];
            let timeout = Duration::from_millis(self.graph.rules[node].timeout_ms);
            let started = Instant::now();
            let cancel = self.cancel.child(Some(timeout));
            self.serial += 1;
            let serial = self.serial;
            let number = self.attempts[node];
            self.attempts[node] += 1;
            self.times[node].queue += started.saturating_duration_since(self.ready_since[node]);
            self.running[slot] = Some(Running {
                node,
                serial,
                started,
                cancel: cancel.clone(),
                overdue: started.checked_add(timeout).and_then(|at| at.checked_add(GRACE)),
            });

            let work = Arc::clone(self.work);
            let sender = self.sender.clone();
            let id = self.graph.rules[node].id.clone();
            self.slots.spawn(slot, move || {
                let started = Instant::now();
                let mut phases = Phases::default();
                let attempt = panics::catch(|| work.attempt(node, number, &cancel, &mut phases))
                    .unwrap_or_else(|_| Attempt::Failed {
                        // Agents' panics are caught inside; the message of any other is not
                        // known to be free of the node's input.
                        fault: RunFault::failed(&id, kind::PANIC, "panicked outside its agent"),
                        retry: true,
                    });
                let late = cancel.is_cancelled();
                // Dropped before the report: once a run has ended, nothing of it is held here.
                drop(work);
                let ended = Instant::now();
                // Nobody listens to an abandoned attempt.
                let _ = sender.send(Report { slot, serial, attempt, phases, started, ended, late });
            })?;
        }
        Ok(())
    }

    /// Takes in a report; false when it is of an abandoned attempt.
    fn take(&mut self, report: Report<W::Output>) -> bool {
        let Report { slot, serial, attempt, phases, started, ended, late } = report;
        if self.running[slot].as_ref().is_none_or(|running| running.serial != serial) {
            return false;
        }
        let Some(running) = self.running[slot].take() else { return false };
        self.free.push(slot);
        let node = running.node;
        let took = ended.saturating_duration_since(running.started);
        let times = &mut self.times[node];
        times.start.get_or_insert(started.saturating_duration_since(self.limits.started));
        times.queue += started.saturating_duration_since(running.started);
        times.phases.guard_pre += phases.guard_pre;
        times.phases.agent += phases.agent;
        times.phases.guard_post += phases.guard_post;

        if late {
            if self.cancel.is_cancelled() {
                // The whole run stops: `stop_all` settles it.
                times.attempts.push(AttemptTime { took, fault: None });
            } else {
                self.fail(node, took, self.timeout(node), true);
            }
            return true;
        }
        match attempt {
            Attempt::Done(output) => {
                times.attempts.push(AttemptTime { took, fault: None });
                self.settle(node, Ok(output));
            }
            Attempt::Again => {
                times.attempts.push(AttemptTime { took, fault: None });
                self.make_ready(node);
            }
            Attempt::Failed { fault, retry } => self.fail(node, took, fault, retry),
        }
        true
    }

    fn timeout(&self, node: usize) -> RunFault {
        let rules = &self.graph.rules[node];
        RunFault::Timeout { node: rules.id.clone(), ms: rules.timeout_ms }
    }

    /// An attempt gave nothing: the node rests and starts again, or has failed.
    fn fail(&mut self, node: usize, took: Duration, fault: RunFault, retry: bool) {
        self.times[node].attempts.push(AttemptTime { took, fault: Some(fault.clone()) });
        let rules = &self.graph.rules[node];
        if retry && self.retries[node] < rules.max_retries {
            let delay = backoff::delay(self.limits.seed, &rules.id, self.retries[node]);
            let at = Instant::now() + delay;
            // A retry that could only start after the deadline is none.
            if self.limits.deadline.is_none_or(|(_, deadline)| at < deadline) {
                self.retries[node] += 1;
                self.resting.push((at, node));
                return;
            }
        }
        self.settle(node, Err(fault));
    }

    fn settle(&mut self, node: usize, end: Result<W::Output, RunFault>) {
        let graph = self.graph;
        // Skipped nodes settle in turn: a list, not recursion, so that long chains need no stack.
        let mut ends = vec![(node, end)];
        while let Some((node, end)) = ends.pop() {
            self.settled[node] = true;
            self.unsettled -= 1;
            self.failed[node] = self.work.settle(node, end);
            if self.failed[node] && graph.strategy == Strategy::Abort {
                self.aborted_by.get_or_insert(node);
            }
            for &child in &graph.children[node] {
                self.waiting[child] -= 1;
                if self.waiting[child] > 0 || self.settled[child] {
                    continue;
                }
                let failed_parent = graph.parents[child].iter().find(|&&p| self.failed[p]);
                match failed_parent {
                    Some(&parent) if graph.strategy == Strategy::BestEffort => {
                        let parent = &graph.rules[parent].id;
                        let message = format!("parent {parent} failed");
                        let id = &graph.rules[child].id;
                        ends.push((child, Err(RunFault::failed(id, kind::SKIPPED, message))));
                    }
                    _ => self.make_ready(child),
                }
            }
        }
    }

    fn wake_resting(&mut self) {
        if self.resting.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut due = Vec::new();
        self.resting.retain(|&(at, node)| {
            let rests = at > now;
            if !rests {
                due.push(node);
            }
            rests
        });
        due.into_iter().for_each(|node| self.make_ready(node));
    }

    fn abandon_overdue(&mut self) {
        let now = Instant::now();
        for slot in 0..self.running.len() {
            let overdue = self.running[slot].as_ref().and_then(|running| running.overdue);
            if overdue.is_none_or(|at| now < at) || self.past_deadline() {
                continue;
            }
            let Some(running) = self.running[slot].take() else { continue };
            self.abandon(slot, &running);
            let took = now.saturating_duration_since(running.started);
            self.fail(running.node, took, self.timeout(running.node), true);
        }
    }

    fn abandon(&mut self, slot: usize, running: &Running) {
        running.cancel.cancel();
        self.slots.replace(slot);
        self.free.push(slot);
        let start = running.started.saturating_duration_since(self.limits.started);
        self.times[running.node].start.get_or_insert(start);
    }

    /// Cancels what runs, waits for it for [`GRACE`] at most, and settles all that is left.
    fn stop_all(&mut self, stop: Stop) {
        // What ended before the stop counts as done.
        while let Ok(report) = self.reports.try_recv() {
            self.take(report);
        }
        self.cancel.cancel();
        let end = Instant::now() + GRACE;
        while self.running.iter().any(Option::is_some) {
            let left = end.saturating_duration_since(Instant::now());
            match self.reports.recv_timeout(left) {
                Ok(report) => {
                    self.take(report);
                }
                Err(_) => break,
            }
        }
        for slot in 0..self.running.len() {
            if let Some(running) = self.running[slot].take() {
                self.abandon(slot, &running);
                let took = running.started.elapsed();
                self.times[running.node].attempts.push(AttemptTime { took, fault: None });
            }
        }
        for node in 0..self.settled.len() {
            if self.settled[node] {
                continue;
            }
            let fault = self.stopped(stop, node, self.attempts[node] > 0);
            if let Some(last) = self.times[node].attempts.last_mut() {
                last.fault.get_or_insert_with(|| fault.clone());
            }
            self.settled[node] = true;
            self.unsettled -= 1;
            self.failed[node] = self.work.settle(node, Err(fault));
        }
    }

    fn stopped(&self, stop: Stop, node: usize, started: bool) -> RunFault {
        let id = &self.graph.rules[node].id;
        let cancelled_or_skipped = if started { kind::CANCELLED } else { kind::SKIPPED };
        match stop {
            Stop::Deadline => {
                RunFault::Deadline { ms: self.limits.deadline.map_or(0, |(ms, _)| ms) }
            }
            Stop::Caller => RunFault::failed(id, kind::CANCELLED, "the run was stopped"),
            Stop::Abort(by) => {
                let by = &self.graph.rules[by].id;
                RunFault::failed(id, cancelled_or_skipped, format!("aborted: node {by} failed"))
            }
        }
    }
}
