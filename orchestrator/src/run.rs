// SPDX-License-Identifier: AGPL-3.0-or-later
//! One run of a pipeline, start to end: input guard, nodes, output guard, results and trace.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bho_engine::CancelToken;
use bho_guard::{Detector, GuardError, GuardKeys, Mode, ModerationCard};
use serde_json::Value;

use crate::agents::{AgentRegistry, Fields};
use crate::config::{BlockedPost, BlockedPre, Pipeline};
use crate::error::{RunError, RunFault, kind};
use crate::guarding::{Blocked, Screened, Screening};
use crate::merge;
use crate::plan::Plan;
use crate::reasoner::Reasoner;
use crate::result::{self, Results, RunStatus};
use crate::scheduler::{self, Graph, Limits, NodeTimes, RunContext};
use crate::trace::{self, Trace, TraceInput};

/// Runs pipelines: agents, models and the guard's detectors in one place.
///
/// Cheap to clone; runs may go side by side.
///
/// ```
/// use std::sync::Arc;
///
/// use bho_engine::{CancelToken, Embedding, EngineError, ModelInfo};
/// use bho_orchestrator::agents::{
///     Agent, AgentContext, AgentError, AgentRegistry, AgentSpec, Fields,
/// };
/// use bho_orchestrator::config::{Node, Pipeline};
/// use bho_orchestrator::reasoner::Reasoner;
/// use bho_orchestrator::run::{Orchestrator, RunOptions};
///
/// struct Shout;
/// impl Agent for Shout {
///     fn spec(&self) -> &'static AgentSpec {
///         &AgentSpec {
///             name: "demo.shout",
///             summary: "says it louder",
///             params: &[],
///             outputs: &["text"],
///             not_yet: None,
///         }
///     }
///     fn run(&self, input: &Fields, _: &AgentContext<'_>) -> Result<Fields, AgentError> {
///         let text = input["text"].as_str().unwrap_or_default().to_uppercase();
///         Ok([("text".to_owned(), text.into())].into_iter().collect())
///     }
/// }
///
/// struct NoModels;
/// impl Reasoner for NoModels {
///     fn models(&self) -> Vec<ModelInfo> {
///         Vec::new()
///     }
///     fn embed(&self, _: &[&str], _: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
///         Err(EngineError::Input("no model".into()))
///     }
/// }
///
/// let mut registry = AgentRegistry::empty();
/// registry.register(Shout);
/// let node = Node { id: "a".into(), agent: "demo.shout".into(), ..Node::default() };
/// let pipeline = Pipeline { nodes: vec![node], ..Pipeline::default() };
/// let source = [("text".to_owned(), "hello ann@example.org".into())].into_iter().collect();
///
/// let orchestrator = Orchestrator::new(registry, Arc::new(NoModels));
/// let outcome = orchestrator.run(&pipeline, source, RunOptions::default())?;
/// assert_eq!(outcome.text, "HELLO [EMAIL]");
/// # Ok::<(), bho_orchestrator::error::RunError>(())
/// ```
#[derive(Clone)]
pub struct Orchestrator {
    registry: AgentRegistry,
    reasoner: Arc<dyn Reasoner>,
    detectors: Vec<Arc<dyn Detector>>,
    keys: GuardKeys,
}

/// What a caller sets for one run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Seed of everything random: agents that sample, and the jitter of retries.
    pub seed: u64,
    /// Stops the run when the caller wants it stopped; what is done is returned.
    pub cancel: CancelToken,
    /// Further fields of the source, guarded like the rest; a field of the source itself wins.
    pub extra: Fields,
}

/// What a run gave.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunOutcome {
    /// The answer: the text of the last node in declared order that feeds no other and has one.
    ///
    /// When all of those failed, the text of the last node that has one, so that a deadline does
    /// not throw away what was done; `status` is then not `Complete`. A pipeline with several ends
    /// has its other texts in `results`.
    pub text: String,
    /// The node that gave the answer; `None` when there is none, or a refusal of the input.
    pub answered_by: Option<String>,
    /// Result of each node in declared order; empty when the input was blocked.
    pub results: Results,
    /// Every card: the input's, the nodes' in declared order, the answer's.
    pub cards: Vec<ModerationCard>,
    /// Fault strings (see [`RunFault`]), each once: the nodes' in declared order, then the run's.
    pub errors: Vec<String>,
    /// The trace, unless `tracing.enabled` is off.
    pub trace: Option<Trace>,
    /// How it ended.
    pub status: RunStatus,
    /// How long it took.
    pub elapsed: Duration,
}

impl Orchestrator {
    /// An orchestrator of these agents on these models, with the guard's built-in detectors.
    pub fn new(registry: AgentRegistry, reasoner: Arc<dyn Reasoner>) -> Self {
        Self { registry, reasoner, detectors: Vec::new(), keys: GuardKeys::default() }
    }

    /// Adds a detector to the guard of every run.
    #[must_use]
    pub fn with_detector(mut self, detector: impl Detector + 'static) -> Self {
        self.detectors.push(Arc::new(detector));
        self
    }

    /// Gives the keys that operators of `policies.redactions` need: those of `policies.hash_key` and `policies.vault`.
    #[must_use]
    pub fn with_guard_keys(mut self, keys: GuardKeys) -> Self {
        self.keys = keys;
        self
    }

    /// The agents.
    pub fn registry(&self) -> &AgentRegistry {
        &self.registry
    }

    /// Runs a validated pipeline on a source.
    ///
    /// Failures of nodes are in the outcome, not in the error. The source's texts are guarded
    /// first, all of them; what nodes see, and what is recorded, is what the guard lets through.
    /// `budgets.deadline_ms` counts from this call; [`scheduler::GRACE`] says how far it can be
    /// overshot. Same pipeline, source, seed and models give the same text, results and cards, as
    /// long as no time limit strikes.
    ///
    /// # Errors
    /// [`RunError::Guard`] for a policy that makes no guard, or when a detector fails on the input;
    /// [`RunError::Threads`] when no thread can be started.
    pub fn run(
        &self,
        pipeline: &Pipeline,
        source: Fields,
        options: RunOptions,
    ) -> Result<RunOutcome, RunError> {
        let started = Instant::now();
        let started_unix_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let deadline = pipeline
            .budgets
            .deadline_ms
            .and_then(|ms| Some((ms, started.checked_add(Duration::from_millis(ms))?)));
        let cancel = options.cancel.child(deadline.map(|(ms, _)| Duration::from_millis(ms)));

        let screening = Screening::new(&pipeline.policies, &self.detectors, &self.keys)?;
        let mut fields = options.extra;
        fields.extend(source);
        let input = match screening.screen("pipeline:input", Mode::Input, &mut fields, &cancel) {
            Ok(screened) => screened,
            // Out of time before the nodes: they say so, and see nothing of the source.
            Err(GuardError::Cancelled) if cancel.is_cancelled() => {
                fields = Fields::new();
                Screened::default()
            }
            Err(error) => return Err(error.into()),
        };
        let run =
            Run { pipeline, orchestrator: self, started, started_unix_ms, seed: options.seed };
        if let Some(blocked) = input.blocked {
            return Ok(run.refuse(&screening, blocked, input.cards));
        }
        fields.insert(merge::POLICY_TAGS.to_owned(), input.tags.into_iter().collect());

        let plan = Plan::new(pipeline);
        let graph = Graph::new(pipeline, &plan);
        let ctx = Arc::new(RunContext::new(
            pipeline,
            plan,
            &self.registry,
            Arc::clone(&self.reasoner),
            screening,
            fields,
            options.seed,
        ));
        let limits = Limits { started, cancel, deadline, seed: options.seed };
        let times = scheduler::execute(&graph, &ctx, &limits)?;
        Ok(run.finish(&ctx, &times, graph.slots(), input.cards))
    }
}

/// What every part of the outcome needs to know of the run.
struct Run<'a> {
    pipeline: &'a Pipeline,
    orchestrator: &'a Orchestrator,
    started: Instant,
    started_unix_ms: u64,
    seed: u64,
}

impl Run<'_> {
    /// The outcome of a run whose input was blocked: nothing else ran.
    fn refuse(
        &self,
        screening: &Screening,
        blocked: Blocked,
        cards: Vec<ModerationCard>,
    ) -> RunOutcome {
        let (text, errors) = match self.pipeline.on_error.blocked_pre {
            BlockedPre::SafeRefusal => (blocked.text, Vec::new()),
            BlockedPre::Error => {
                let fault = RunFault::BlockedPre { reason: blocked.reason };
                (String::new(), vec![fault.to_string()])
            }
        };
        let mut outcome = RunOutcome {
            text,
            answered_by: None,
            results: Results::new(),
            cards,
            errors,
            trace: None,
            status: RunStatus::Blocked,
            elapsed: self.started.elapsed(),
        };
        outcome.trace = self.trace(&outcome, screening, None, 0);
        outcome
    }

    fn finish(
        &self,
        ctx: &RunContext,
        times: &[NodeTimes],
        slots: usize,
        mut cards: Vec<ModerationCard>,
    ) -> RunOutcome {
        let append = self.pipeline.policies.append_moderation_card;
        let mut results = Results::new();
        let mut errors: Vec<String> = Vec::new();
        for (index, node) in self.pipeline.nodes.iter().enumerate() {
            let Some(record) = ctx.record(index) else { continue };
            let shown = append.then_some(record.cards.as_slice());
            let entry = result::entry(&node.id, &record.fields, record.fault.as_ref(), shown);
            results.insert(node.id.clone(), entry);
            cards.extend(record.cards.iter().cloned());
            if let Some(error) = &record.fault {
                errors.push(error.to_string());
            }
        }

        let mut status = RunStatus::Complete;
        let answer = answering_node(ctx);
        let mut text = String::new();
        if let Some((node, answer)) = answer {
            let id = &self.pipeline.nodes[node].id;
            // Not under the run's token: what is done is returned, and only after a check.
            let screened = ctx.screening.screen_text(
                "pipeline:output",
                Mode::Output,
                answer.to_owned(),
                &CancelToken::new(),
            );
            match screened {
                Ok((safe, screened)) => {
                    cards.extend(screened.cards);
                    text = safe;
                    if let Some(blocked) = screened.blocked {
                        status = RunStatus::Blocked;
                        text = blocked.text;
                        if self.pipeline.on_error.blocked_post == BlockedPost::Error {
                            text.clear();
                            let fault = RunFault::BlockedPost { reason: blocked.reason };
                            errors.push(fault.to_string());
                        }
                    }
                }
                Err(error) => {
                    let message = ctx.screening.message(&error.to_string());
                    errors.push(RunFault::failed(id, kind::GUARD, message).to_string());
                }
            }
            // The answer stands in the results too: what was withheld from it is withheld there.
            if let Some(Value::Object(entry)) = results.get_mut(id)
                && text != answer
            {
                entry.insert("text".to_owned(), Value::from(text.clone()));
            }
        }
        dedup(&mut errors);
        if status == RunStatus::Complete && !errors.is_empty() {
            status = if text.is_empty() { RunStatus::Failed } else { RunStatus::Partial };
        }
        let answered_by = answer.map(|(node, _)| self.pipeline.nodes[node].id.clone());
        let mut outcome = RunOutcome {
            text,
            answered_by,
            results,
            cards,
            errors,
            trace: None,
            status,
            elapsed: self.started.elapsed(),
        };
        outcome.trace = self.trace(&outcome, &ctx.screening, Some((ctx, times)), slots);
        outcome
    }

    fn trace(
        &self,
        outcome: &RunOutcome,
        screening: &Screening,
        nodes: Option<(&RunContext, &[NodeTimes])>,
        slots: usize,
    ) -> Option<Trace> {
        if !self.pipeline.tracing.enabled {
            return None;
        }
        let missed = |ms: u64| {
            let fault = RunFault::Deadline { ms }.to_string();
            // The last check is made after it, too: nothing is given out unchecked.
            outcome.errors.contains(&fault) || outcome.elapsed > Duration::from_millis(ms)
        };
        let missed = self.pipeline.budgets.deadline_ms.is_some_and(missed);
        Some(trace::write(TraceInput {
            pipeline: self.pipeline,
            screening,
            nodes,
            models: self.orchestrator.reasoner.models(),
            started_unix_ms: self.started_unix_ms,
            elapsed: outcome.elapsed,
            status: outcome.status,
            seed: self.seed,
            slots,
            cards: &outcome.cards,
            errors: &outcome.errors,
            deadline_met: !missed,
            answer_node: outcome.answered_by.as_deref(),
            answer: &outcome.text,
        }))
    }
}

/// The node that answers, and its text; see [`RunOutcome::text`].
fn answering_node(ctx: &RunContext) -> Option<(usize, &str)> {
    let text = |node: usize| {
        let text = ctx.record(node)?.fields.get("text")?.as_str()?;
        (!text.is_empty()).then_some((node, text))
    };
    let ends = ctx.plan.final_nodes.iter().rev().copied();
    ends.chain((0..ctx.pipeline.nodes.len()).rev()).find_map(text)
}

/// Keeps the first of equal strings.
fn dedup(errors: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    errors.retain(|error| seen.insert(error.clone()));
}
