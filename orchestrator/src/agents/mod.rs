// SPDX-License-Identifier: AGPL-3.0-or-later
//! Agents: what a node runs. A new agent is one file here and one line in [`AgentRegistry::builtin`].

mod claimcheck;
mod embed;
mod generate;
mod input;
mod retriever;
pub mod summarizer;
mod synthesis;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;

use bho_engine::CancelToken;
use serde_json::{Map, Value};

use crate::config::MissingInputs;
use crate::reasoner::Reasoner;

pub use claimcheck::ClaimCheck;
pub use embed::Embed;
pub use generate::Generate;
pub use retriever::Retriever;
pub use summarizer::Summarizer;
pub use synthesis::Synthesis;

/// Fields of an agent's input or result, in insertion order.
pub type Fields = Map<String, Value>;

/// Kind of value an agent parameter takes, for validation before a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ParamKind {
    /// Text.
    Text,
    /// A whole number in `min..=max`.
    Int {
        /// Smallest allowed.
        min: i64,
        /// Largest allowed.
        max: i64,
    },
    /// A number in `min..=max`.
    Number {
        /// Smallest allowed.
        min: f64,
        /// Largest allowed.
        max: f64,
    },
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text, or a list of texts (or of maps with `text`).
    TextOrList,
    /// A map.
    Map,
    /// Any value.
    Any,
}

/// One parameter an agent accepts.
#[derive(Debug, Clone, Copy)]
pub struct ParamSpec {
    /// Key under `params` (or in the merged input).
    pub name: &'static str,
    /// What it takes.
    pub kind: ParamKind,
    /// Whether a run cannot do without it, be it from `params`, `io.inputs` or the merge.
    pub required: bool,
    /// One line for `--help`-like output and for hints.
    pub help: &'static str,
}

/// The parameters that a pipeline gives a node, from `params` and `io.inputs`, as far as they are known before a run.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Those whose values stand in the file; each is of its parameter's kind.
    pub known: Fields,
    /// Whether a run may bring others: by references, from the source or from parents.
    pub open: bool,
}

/// What is wrong with a parameter that is right by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamFault {
    /// Its name.
    pub param: &'static str,
    /// What is wrong.
    pub message: String,
    /// What would be accepted.
    pub accepted: String,
}

/// What an agent is, for validation and listings.
#[derive(Debug, Clone, Copy)]
pub struct AgentSpec {
    /// Key in the registry, e.g. `bitnet.summarizer`.
    pub name: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// Parameters it accepts under `params`.
    pub params: &'static [ParamSpec],
    /// Fields its result has, `text` among them.
    pub outputs: &'static [&'static str],
    /// Why the agent accepts its parameters but cannot work yet, where that is so.
    pub not_yet: Option<&'static str>,
}

/// What a running agent may use.
pub struct AgentContext<'a> {
    /// Node id, for messages.
    pub node: &'a str,
    /// The node's parents, in declared order.
    pub deps: &'a [String],
    /// Parents (and bound pieces) that gave nothing, as `(id, error string)`.
    pub missing: &'a [(String, String)],
    /// What to do about them.
    pub missing_inputs: MissingInputs,
    /// The models.
    pub reasoner: &'a dyn Reasoner,
    /// Stops the attempt: poll it in every loop.
    pub cancel: &'a CancelToken,
    /// Seed of the run.
    pub seed: u64,
    /// Attempt number, from 0.
    pub attempt: u32,
}

/// Why an agent gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct AgentError {
    /// Short machine-readable kind, e.g. `MissingInput`, `InvalidInput`, `Model`, `Cancelled`.
    pub kind: String,
    /// What failed and what would be accepted; never raw input text.
    pub message: String,
}

impl AgentError {
    /// An error of `kind` saying `message`.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into() }
    }

    /// The attempt was stopped by its token.
    pub fn cancelled() -> Self {
        Self::new("Cancelled", "stopped before it finished")
    }

    /// Whether the attempt was stopped by its token.
    pub fn is_cancelled(&self) -> bool {
        self.kind == "Cancelled"
    }
}

impl From<bho_engine::Cancelled> for AgentError {
    fn from(_: bho_engine::Cancelled) -> Self {
        Self::cancelled()
    }
}

impl From<bho_engine::EngineError> for AgentError {
    fn from(error: bho_engine::EngineError) -> Self {
        match error {
            bho_engine::EngineError::Cancelled => Self::cancelled(),
            other => Self::new("Model", other.to_string()),
        }
    }
}

/// What a node runs: fields in, fields out.
pub trait Agent: Send + Sync {
    /// Name, parameters and outputs.
    fn spec(&self) -> &'static AgentSpec;

    /// Whether its result is retrieved: text of documents or tools, in which nobody gives orders. The guard then looks for
    /// such orders in it.
    fn retrieves(&self) -> bool {
        false
    }

    /// Fields of its result in which it speaks of its own work, in words that are neither a text's nor a model's. The
    /// guard's models, which judge what others say, are not asked about those; its rules are. What such a field takes from a
    /// text stands in quotation marks (`"`): a value with one is read like any other.
    fn own_words(&self) -> &'static [&'static str] {
        &[]
    }

    /// What a run would refuse of the parameters beside what each one's kind says, such as two that exclude each other, so that
    /// validation finds it first.
    fn check_params(&self, given: &Given) -> Vec<ParamFault> {
        let _ = given;
        Vec::new()
    }

    /// Runs once. The result holds at least `text`.
    ///
    /// # Errors
    /// An [`AgentError`]; `Cancelled` when `ctx.cancel` stopped it.
    fn run(&self, input: &Fields, ctx: &AgentContext<'_>) -> Result<Fields, AgentError>;
}

/// The agents a pipeline can name.
#[derive(Clone, Default)]
pub struct AgentRegistry {
    agents: BTreeMap<&'static str, Arc<dyn Agent>>,
}

impl AgentRegistry {
    /// No agents.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The agents that come with this crate.
    pub fn builtin() -> Self {
        let mut registry = Self::empty();
        registry
            .register(Summarizer)
            .register(ClaimCheck)
            .register(Synthesis)
            .register(Embed)
            .register(Generate)
            .register(Retriever);
        registry
    }

    /// Adds an agent under its own name, replacing one of the same name.
    pub fn register(&mut self, agent: impl Agent + 'static) -> &mut Self {
        self.agents.insert(agent.spec().name, Arc::new(agent));
        self
    }

    /// The agent of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Agent>> {
        self.agents.get(name)
    }

    /// Names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.agents.keys().copied()
    }
}
