// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a node of a pipeline does: input, guard, agent, guard, published fields.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use bho_engine::CancelToken;
use bho_guard::{GuardError, Mode, ModerationCard, Source};
use serde_json::Value;

use super::{Attempt, Phases, Work};
use crate::agents::{Agent, AgentContext, AgentError, AgentRegistry, Fields};
use crate::binding::{Binding, BindingError, Missing, NodeView, Scope};
use crate::config::{BlockedPost, BlockedPre, Node, Pipeline};
use crate::error::{RunFault, kind};
use crate::guarding::{Blocked, Screening};
use crate::merge;
use crate::panics;
use crate::plan::Plan;
use crate::reasoner::Reasoner;
use crate::trace::{GenerationTrace, Origin, origins};

/// Kinds of agent errors that another attempt on the same input cannot mend.
const PERMANENT: &[&str] = &["MissingInput", "InvalidInput", "NoModel"];

/// How a node ended.
#[derive(Debug, Default)]
pub(crate) struct NodeRecord {
    /// Published fields; none when it failed.
    pub(crate) fields: Fields,
    /// Why it failed.
    pub(crate) fault: Option<RunFault>,
    /// Why fields may be absent, as children are told: the fault's string, or what blocked it.
    pub(crate) absent: Option<String>,
    pub(crate) cards: Vec<ModerationCard>,
    /// Tags of everything that went into it and came of it.
    pub(crate) tags: BTreeSet<String>,
    /// Where parts of the result come from, as the agent says.
    pub(crate) origins: Vec<Origin>,
    pub(crate) tokens: Option<u64>,
    /// What a language model did for it.
    pub(crate) generation: Option<GenerationTrace>,
}

/// A node with its bindings read.
struct Ready {
    agent: Option<Arc<dyn Agent>>,
    params: Bindings,
    inputs: Option<Bindings>,
    outputs: Option<Bindings>,
}

type Bindings = Result<Vec<(String, Binding)>, BindingError>;

/// Fields, and which node gave which of them, by path.
type Given = (Fields, Vec<(String, String)>);

/// What attempts of one node leave for the next, and for the record.
#[derive(Default)]
struct Scratch {
    /// The input after the guard, the same for every attempt but a regeneration.
    input: Option<Arc<Input>>,
    cards: Vec<ModerationCard>,
    tags: BTreeSet<String>,
    /// Set while the node runs once more with safer input: what stands in if that fails.
    regenerating: Option<Blocked>,
}

struct Input {
    fields: Fields,
    missing: Missing,
    /// Which node gave which field, by path.
    givers: Vec<(String, String)>,
}

impl Input {
    /// Items dropped from lists shift the rest: paths into lists say nothing any more.
    fn forget_items(&mut self) {
        self.givers.retain(|(path, _)| !path.contains('['));
    }
}

impl Scratch {
    fn note(&mut self, cards: Vec<ModerationCard>, tags: BTreeSet<String>) {
        self.cards.extend(cards);
        self.tags.extend(tags);
    }
}

/// One run of a pipeline, as its nodes see it.
pub(crate) struct RunContext {
    pub(crate) pipeline: Pipeline,
    pub(crate) plan: Plan,
    pub(crate) screening: Screening,
    /// After the input guard.
    pub(crate) source: Fields,
    pub(crate) seed: u64,
    reasoner: Arc<dyn Reasoner>,
    nodes: Vec<Ready>,
    index: HashMap<String, usize>,
    records: Vec<OnceLock<NodeRecord>>,
    scratch: Vec<Mutex<Scratch>>,
}

impl RunContext {
    pub(crate) fn new(
        pipeline: &Pipeline,
        plan: Plan,
        registry: &AgentRegistry,
        reasoner: Arc<dyn Reasoner>,
        screening: Screening,
        source: Fields,
        seed: u64,
    ) -> Self {
        let bindings = |map: &Fields| -> Bindings {
            map.iter().map(|(key, value)| Ok((key.clone(), Binding::parse(value)?))).collect()
        };
        let nodes = &pipeline.nodes;
        let mut index = HashMap::with_capacity(nodes.len());
        for (i, node) in nodes.iter().enumerate() {
            // As in the plan, the first of one id is meant.
            index.entry(node.id.clone()).or_insert(i);
        }
        Self {
            nodes: nodes
                .iter()
                .map(|node| Ready {
                    agent: registry.get(&node.agent).cloned(),
                    params: bindings(&node.params),
                    inputs: node.inputs.as_ref().map(bindings),
                    outputs: node.outputs.as_ref().map(bindings),
                })
                .collect(),
            index,
            records: nodes.iter().map(|_| OnceLock::new()).collect(),
            scratch: nodes.iter().map(|_| Mutex::default()).collect(),
            pipeline: pipeline.clone(),
            plan,
            screening,
            source,
            seed,
            reasoner,
        }
    }

    /// How a node ended; `None` before it has.
    pub(crate) fn record(&self, node: usize) -> Option<&NodeRecord> {
        self.records[node].get()
    }

    fn scratch(&self, node: usize) -> MutexGuard<'_, Scratch> {
        // Never held while an agent runs, so what a panic leaves behind is whole.
        self.scratch[node].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self, node: usize) -> Option<NodeView<'_>> {
        let record = self.records[node].get()?;
        Some(NodeView { fields: &record.fields, absent: record.absent.as_deref() })
    }

    fn with_scope<T>(&self, result: Option<&Fields>, f: impl FnOnce(&Scope<'_>) -> T) -> T {
        let node = |id: &str| self.index.get(id).and_then(|&node| self.view(node));
        f(&Scope { source: &self.source, node: &node, result })
    }

    /// The input before the guard, and what it lacks.
    fn build_input(&self, index: usize) -> Result<Input, BindingError> {
        let mut missing = Missing::default();
        let parents = &self.plan.parents[index];
        for &parent in parents {
            if let Some(record) = self.records[parent].get()
                && let (Some(_), Some(error)) = (&record.fault, &record.absent)
            {
                missing.add(&self.pipeline.nodes[parent].id, error);
            }
        }
        let (params, mut givers) = self.params(index, &mut missing)?;
        let fields = match &self.nodes[index].inputs {
            None => {
                let views = || {
                    parents.iter().filter_map(|&parent| {
                        Some((self.pipeline.nodes[parent].id.as_str(), self.view(parent)?))
                    })
                };
                givers.extend(merge::givers(views(), &params));
                merge::merge(&self.source, views(), &params)
            }
            Some(Err(error)) => return Err(error.clone()),
            Some(Ok(inputs)) => self.with_scope(None, |scope| {
                for (key, binding) in inputs {
                    if !params.contains_key(key) {
                        binding.givers(key, scope, &mut givers);
                    }
                }
                merge::bind(inputs, scope, &params, &mut missing)
            })?,
        };
        Ok(Input { fields, missing, givers })
    }

    /// The parameters of a node with their references resolved, and which node gave which of them.
    fn params(&self, index: usize, missing: &mut Missing) -> Result<Given, BindingError> {
        let params = self.nodes[index].params.as_ref().map_err(Clone::clone)?;
        self.with_scope(None, |scope| {
            let mut givers = Vec::new();
            for (key, binding) in params {
                binding.givers(key, scope, &mut givers);
            }
            Ok((merge::bind(params, scope, &Fields::new(), missing)?, givers))
        })
    }

    /// The published fields of a result.
    fn publish(&self, index: usize, result: Fields) -> Result<Fields, BindingError> {
        match &self.nodes[index].outputs {
            None => Ok(result),
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(outputs)) => self.with_scope(Some(&result), |scope| {
                merge::bind(outputs, scope, &Fields::new(), &mut Missing::default())
            }),
        }
    }

    /// The published fields of a safe answer: those that its `text` alone can fill.
    fn publish_safe(&self, index: usize, text: &str) -> Fields {
        let result: Fields = [("text".to_owned(), Value::from(text))].into_iter().collect();
        let mut fields = Fields::new();
        if let Some(Ok(outputs)) = &self.nodes[index].outputs {
            for (key, binding) in outputs.iter().filter(|(key, _)| !key.starts_with('_')) {
                let value = self.with_scope(Some(&result), |scope| {
                    binding.resolve(scope, &mut Missing::default())
                });
                if let Ok(Some(value)) = value {
                    fields.insert(key.clone(), value);
                }
            }
        }
        // What is bound beside the text has been seen in other words only, or not at all.
        let place = format!("{}:post", self.pipeline.nodes[index].id);
        let token = CancelToken::new();
        let screened = self.screening.screen(&place, Mode::Output, &mut fields, &token);
        if screened.map_or(true, |screened| screened.blocked.is_some()) {
            fields.clear();
        }
        fields.entry("text").or_insert_with(|| Value::from(text));
        fields
    }

    /// A node whose text was withheld: a safe answer, and a hint for who misses its other fields.
    fn withheld(&self, index: usize, blocked: &Blocked, absent: &RunFault) -> NodeRecord {
        NodeRecord {
            fields: self.publish_safe(index, &blocked.text),
            absent: Some(absent.to_string()),
            ..NodeRecord::default()
        }
    }

    fn failed(&self, index: usize, kind: &str, message: &str, retry: bool) -> Failed {
        let id = &self.pipeline.nodes[index].id;
        Failed { fault: RunFault::failed(id, kind, self.screening.message(message)), retry }
    }

    /// The guard's own failure: nothing was passed on.
    fn guard_failed(&self, index: usize, error: &GuardError) -> Failed {
        let retry = !matches!(error, GuardError::InvalidPolicy { .. });
        self.failed(index, kind::GUARD, &error.to_string(), retry)
    }

    /// The input an attempt works on: built and guarded once.
    fn input(
        &self,
        index: usize,
        cancel: &CancelToken,
        phases: &mut Phases,
    ) -> Result<Result<Arc<Input>, Blocked>, Failed> {
        if let Some(input) = &self.scratch(index).input {
            return Ok(Ok(Arc::clone(input)));
        }
        let node = &self.pipeline.nodes[index];
        let mut input = self
            .build_input(index)
            .map_err(|error| self.failed(index, kind::BINDING, &error.message, false))?;
        let mut cards = Vec::new();
        let mut tags = self.inherited_tags(index);
        if node.guard_pre {
            let started = Instant::now();
            let place = format!("{}:pre", node.id);
            let screened = self.screening.screen(&place, Mode::Input, &mut input.fields, cancel);
            phases.guard_pre += started.elapsed();
            let screened = screened.map_err(|error| self.guard_failed(index, &error))?;
            cards = screened.cards;
            tags.extend(screened.tags);
            if screened.left_out {
                input.forget_items();
            }
            if let Some(blocked) = screened.blocked {
                let mut scratch = self.scratch(index);
                (scratch.cards, scratch.tags) = (cards, tags);
                return Ok(Err(blocked));
            }
        }
        if !tags.is_empty() {
            let tags = tags.iter().cloned().collect();
            input.fields.insert(merge::POLICY_TAGS.to_owned(), tags);
        }
        let input = Arc::new(input);
        let mut scratch = self.scratch(index);
        (scratch.cards, scratch.tags) = (cards, tags);
        scratch.input = Some(Arc::clone(&input));
        Ok(Ok(input))
    }

    /// The tags of the source and of what the node's parents read and wrote.
    fn inherited_tags(&self, index: usize) -> BTreeSet<String> {
        let source = self.source.get(merge::POLICY_TAGS).and_then(Value::as_array);
        let source = source.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let parents = self.plan.parents[index].iter();
        let parents = parents.filter_map(|&parent| self.records[parent].get());
        source.chain(parents.flat_map(|record| record.tags.iter().cloned())).collect()
    }

    fn call(
        &self,
        index: usize,
        number: u32,
        input: &Input,
        cancel: &CancelToken,
    ) -> Result<Fields, Failed> {
        let node: &Node = &self.pipeline.nodes[index];
        let Some(agent) = &self.nodes[index].agent else {
            let message = format!("no agent `{}` is registered", node.agent);
            return Err(self.failed(index, kind::UNKNOWN_AGENT, &message, false));
        };
        let ctx = AgentContext {
            node: &node.id,
            deps: &node.deps,
            missing: &input.missing.0,
            missing_inputs: self.pipeline.on_error.missing_inputs,
            reasoner: self.reasoner.as_ref(),
            cancel,
            seed: self.seed,
            attempt: number,
        };
        match panics::catch(|| agent.run(&input.fields, &ctx)) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(AgentError { kind, message })) => {
                let retry = !PERMANENT.contains(&kind.as_str());
                // A kind is a word; anything else is no place for text either.
                let kind = if is_word(&kind) { kind.as_str() } else { "Error" };
                Err(self.failed(index, kind, &message, retry))
            }
            Err(message) => {
                let message = message.as_deref().unwrap_or("no message");
                Err(self.failed(index, kind::PANIC, message, true))
            }
        }
    }

    fn try_attempt(
        &self,
        index: usize,
        number: u32,
        cancel: &CancelToken,
        phases: &mut Phases,
    ) -> Result<Attempt<NodeRecord>, Failed> {
        let node = &self.pipeline.nodes[index];
        let input = match self.input(index, cancel, phases)? {
            Ok(input) => input,
            Err(blocked) => {
                let fault = RunFault::BlockedPre { reason: blocked.reason.clone() };
                return match self.pipeline.on_error.blocked_pre {
                    BlockedPre::SafeRefusal => {
                        Ok(Attempt::Done(self.withheld(index, &blocked, &fault)))
                    }
                    BlockedPre::Error => Err(Failed { fault, retry: false }),
                };
            }
        };

        if cancel.is_cancelled() {
            return Err(self.failed(index, kind::CANCELLED, "stopped before it began", true));
        }
        let started = Instant::now();
        let result = self.call(index, number, &input, cancel);
        phases.agent += started.elapsed();
        let mut result = result?;
        // The scheduler calls it timed out, or has given up on it and started another: this one must
        // leave no mark.
        let late = || self.failed(index, kind::CANCELLED, "ended after its time", true);
        if cancel.is_cancelled() {
            return Err(late());
        }

        let tokens = result.get("_tokens").or_else(|| result.get("tokens")).and_then(Value::as_u64);
        let generation = result.remove("_generation").and_then(GenerationTrace::read);
        // Names with `_` are the run's own.
        result.retain(|key, _| !key.starts_with('_'));
        let agent = self.nodes[index].agent.as_ref();
        let own_words = agent.map_or(&[][..], |agent| agent.own_words());
        self.screening.know(own_words.iter().filter_map(|key| result.get(*key)?.as_str()));
        // What is published is what the guard looks at: `io.outputs` can join what looked harmless apart.
        let unbound = self.nodes[index].outputs.is_some().then(|| result.clone());
        let mut fields = self
            .publish(index, result)
            .map_err(|error| self.failed(index, kind::BINDING, &error.message, false))?;
        if node.guard_post {
            let started = Instant::now();
            let place = format!("{}:post", node.id);
            let retrieves = agent.is_some_and(|agent| agent.retrieves());
            let source = if retrieves { Source::Retrieved } else { Source::Dialogue };
            let screened =
                self.screening.screen_from(source, &place, Mode::Output, &mut fields, cancel);
            phases.guard_post += started.elapsed();
            let screened = screened.map_err(|error| self.guard_failed(index, &error))?;
            if cancel.is_cancelled() {
                return Err(late());
            }
            if let Some(blocked) = screened.blocked {
                let next = self.blocked_post(index, &input, blocked, cancel)?;
                self.scratch(index).note(screened.cards, screened.tags);
                return Ok(next);
            }
            self.scratch(index).note(screened.cards, screened.tags);
        }
        let origins = origins(unbound.as_ref().unwrap_or(&fields), &input.givers);
        let record = NodeRecord { fields, origins, tokens, generation, ..NodeRecord::default() };
        Ok(Attempt::Done(record))
    }

    /// The output was unsafe: once more with safer input, and then a safe answer.
    fn blocked_post(
        &self,
        index: usize,
        input: &Input,
        blocked: Blocked,
        cancel: &CancelToken,
    ) -> Result<Attempt<NodeRecord>, Failed> {
        let fault = RunFault::BlockedPost { reason: blocked.reason.clone() };
        if self.pipeline.on_error.blocked_post == BlockedPost::Error {
            return Ok(Attempt::Failed { fault, retry: false });
        }
        if self.scratch(index).regenerating.is_some() {
            return Ok(Attempt::Done(self.withheld(index, &blocked, &fault)));
        }
        let fields = self
            .screening
            .safer(&input.fields, &blocked.phrases, cancel)
            .map_err(|error| self.guard_failed(index, &error))?;
        let mut scratch = self.scratch(index);
        let (missing, givers) = (input.missing.clone(), input.givers.clone());
        let mut input = Input { fields, missing, givers };
        input.forget_items();
        scratch.input = Some(Arc::new(input));
        scratch.regenerating = Some(blocked);
        Ok(Attempt::Again)
    }
}

/// An attempt that gave nothing.
struct Failed {
    fault: RunFault,
    retry: bool,
}

impl Work for RunContext {
    type Output = NodeRecord;

    fn attempt(
        &self,
        node: usize,
        number: u32,
        cancel: &CancelToken,
        phases: &mut Phases,
    ) -> Attempt<NodeRecord> {
        self.try_attempt(node, number, cancel, phases)
            .unwrap_or_else(|Failed { fault, retry }| Attempt::Failed { fault, retry })
    }

    fn settle(&self, node: usize, end: Result<NodeRecord, RunFault>) -> bool {
        let mut scratch = std::mem::take(&mut *self.scratch(node));
        let mut record = match (end, scratch.regenerating.take()) {
            (Ok(record), _) => record,
            // A second run that gave nothing leaves what the first one's block calls for. When
            // the whole run was stopped, that is what there is to say.
            (Err(fault), Some(blocked)) if ends_node(&fault) => {
                let absent = RunFault::BlockedPost { reason: blocked.reason.clone() };
                self.withheld(node, &blocked, &absent)
            }
            (Err(fault), _) => NodeRecord {
                absent: Some(fault.to_string()),
                fault: Some(fault),
                ..NodeRecord::default()
            },
        };
        record.cards = scratch.cards;
        record.tags = scratch.tags;
        // What references may ask of every node that has ended.
        let error = record.fault.as_ref().map_or(Value::Null, |fault| fault.to_string().into());
        let fields = &mut record.fields;
        fields.insert("_node".to_owned(), self.pipeline.nodes[node].id.clone().into());
        fields.insert("_error".to_owned(), error);
        if self.pipeline.policies.append_moderation_card {
            // A card is plain data: it always serialises.
            let cards = record.cards.iter().map(|c| serde_json::to_value(c).unwrap_or_default());
            fields.insert("_moderation".to_owned(), cards.collect());
        }
        if record.fault.is_none() {
            let tags = record.tags.iter().cloned().collect();
            record.fields.insert(merge::POLICY_TAGS.to_owned(), tags);
        }
        let failed = record.fault.is_some();
        // Settled once a node: the scheduler sees to it.
        let _ = self.records[node].set(record);
        failed
    }
}

/// Whether a fault is of the node itself, not of the run that was stopped.
fn ends_node(fault: &RunFault) -> bool {
    match fault {
        RunFault::Deadline { .. } | RunFault::UnresolvedNodes { .. } => false,
        RunFault::NodeFailed { kind, .. } => kind != kind::CANCELLED && kind != kind::SKIPPED,
        _ => true,
    }
}

fn is_word(kind: &str) -> bool {
    !kind.is_empty()
        && kind.len() <= 40
        && kind.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
}
