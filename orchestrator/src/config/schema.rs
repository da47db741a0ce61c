// SPDX-License-Identifier: AGPL-3.0-or-later
//! `pipeline.v1` as typed, plain data: what a valid file means, defaults filled in.
//!
//! Nothing here parses or checks; `decode` builds these from YAML and `validate` judges them.

use std::collections::BTreeMap;

use bho_guard::{Calibration, Operator, Signal};
use serde_json::{Map, Value};

/// The one schema id this version reads.
pub const SCHEMA_ID: &str = "pipeline.v1";

/// Nodes a pipeline may have: what is checked about every pair of them stays cheap up to here.
pub const MAX_NODES: usize = 4096;

/// A position in the pipeline file; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pos {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl std::fmt::Display for Pos {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A whole pipeline.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pipeline {
    /// Version of the file, free text.
    pub version: String,
    /// Schema id, [`SCHEMA_ID`].
    pub schema: String,
    /// Name of the pipeline.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Who owns it.
    pub owners: Vec<String>,
    /// What the planner may use.
    pub device_profile: DeviceProfile,
    /// Time, concurrency and memory.
    pub budgets: Budgets,
    /// Models by logical name or path.
    pub models: ModelRefs,
    /// Caches and the knowledge base.
    pub storage: Storage,
    /// Guard policy.
    pub policies: Policies,
    /// What a run records.
    pub tracing: Tracing,
    /// Planner switches.
    pub planner: PlannerOptions,
    /// What happens when a node fails.
    pub on_error: OnError,
    /// Chat settings.
    pub conversation: Conversation,
    /// The agents' graph, in declared order.
    pub nodes: Vec<Node>,
}

/// Where the pipeline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceProfile {
    /// Class of device.
    pub mode: DeviceMode,
    /// Threads for compute; `None` = auto.
    pub cpu_threads: Option<u32>,
    /// Memory in MiB; `None` = auto.
    pub memory_mb: Option<u64>,
}

/// Class of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceMode {
    /// Read this machine.
    #[default]
    Auto,
    /// A phone.
    Phone,
    /// A single-board computer.
    Sbc,
    /// A lean virtual server.
    Vps,
}

/// Time, concurrency and memory of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Soft target, milliseconds.
    pub latency_ms: u64,
    /// Hard stop, milliseconds.
    pub deadline_ms: Option<u64>,
    /// Nodes that may run at once.
    pub max_concurrency: u32,
    /// Memory the planner admits against, MiB.
    pub memory_mb: Option<u64>,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { latency_ms: 1800, deadline_ms: None, max_concurrency: 2, memory_mb: None }
    }
}

/// Models by logical name, or pinned to a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelRefs {
    /// Logical name of the reasoner.
    pub reasoner: Option<String>,
    /// Logical name of the guard's model.
    pub guard: Option<String>,
    /// Logical name of the embedder.
    pub embedder: Option<String>,
    /// File of the reasoner; wins over the name.
    pub reasoner_path: Option<String>,
    /// File of the guard's model; wins over the name.
    pub guard_path: Option<String>,
    /// File of the embedder; wins over the name.
    pub embedder_path: Option<String>,
    /// Where the keys that are given stand in the file.
    pub pos: BTreeMap<&'static str, Pos>,
}

/// Caches and the knowledge base.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Storage {
    /// Prefix and KV reuse.
    pub kv_cache: KvCacheOptions,
    /// Local knowledge base.
    pub rag_index: RagIndexOptions,
}

/// Prefix and KV reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvCacheOptions {
    /// Whether it is on.
    pub enabled: bool,
    /// Entries kept, least recently used out first.
    pub max_items: u32,
}

impl Default for KvCacheOptions {
    fn default() -> Self {
        Self { enabled: true, max_items: 64 }
    }
}

/// Local knowledge base.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RagIndexOptions {
    /// Whether it is on.
    pub enabled: bool,
    /// Where the documents are.
    pub db_path: Option<String>,
    /// Where the vectors are.
    pub vector_index: Option<String>,
}

/// Guard policy of the pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Policies {
    /// Score at which toxic text is blocked, 0..=1.
    pub toxicity_block: f64,
    /// Score at which PII is redacted, 0..=1.
    pub pii_redact: f64,
    /// Score at which a jailbreak is blocked, 0..=1.
    pub jailbreak_block: f64,
    /// Score at which an order hidden in a retrieved text is acted on, 0..=1.
    pub indirect_block: f64,
    /// What is retrieved, and what is done about orders in it.
    pub retrieved: Retrieved,
    /// Values that are no personal data here.
    pub allow: Vec<ListEntry>,
    /// Words that are redacted, or block, wherever they stand.
    pub deny: Vec<ListEntry>,
    /// What is done with each PII type; types not named are replaced by a placeholder.
    pub redactions: BTreeMap<String, Operator>,
    /// The key of the operator `hash`.
    pub hash_key: Option<KeySource>,
    /// Where the operator `pseudonymise` keeps what it replaced.
    pub vault: Option<VaultSource>,
    /// Where the guard's thresholds and maps were measured.
    pub calibration: Option<CalibrationSource>,
    /// Whether results carry their moderation cards.
    pub append_moderation_card: bool,
    /// Whether blocked text is replaced by a safe template.
    pub fallback_enabled: bool,
    /// Whether a guard without its models is an error; else it falls back to its rules.
    pub guard_required: bool,
    /// Windows of 512 bytes that each of the guard's models reads of one text at most.
    pub model_windows: usize,
    /// The language of safe templates.
    pub template_language: String,
    /// Texts in place of bundled templates, by their keys.
    pub templates: BTreeMap<String, String>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            toxicity_block: 0.5,
            pii_redact: 0.7,
            jailbreak_block: 0.6,
            indirect_block: 0.6,
            retrieved: Retrieved::default(),
            allow: Vec::new(),
            deny: Vec::new(),
            redactions: BTreeMap::new(),
            hash_key: None,
            vault: None,
            calibration: None,
            append_moderation_card: true,
            fallback_enabled: true,
            guard_required: false,
            model_windows: bho_guard::MODEL_WINDOWS,
            template_language: "en".to_owned(),
            templates: BTreeMap::new(),
        }
    }
}

/// Retrieved texts: the results of agents that retrieve, and fields of these names wherever they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrieved {
    /// What is done with a text that the guard would block.
    pub on_injection: OnInjection,
    /// Names of fields that hold retrieved texts.
    pub fields: Vec<String>,
}

impl Default for Retrieved {
    fn default() -> Self {
        let fields = ["chunks", "kb", "documents"].map(str::to_owned).to_vec();
        Self { on_injection: OnInjection::Drop, fields }
    }
}

/// What is done with a retrieved text that the guard would block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnInjection {
    /// The item of the list that holds it goes; outside of lists, as [`OnInjection::Neutralise`].
    #[default]
    Drop,
    /// The sentences at fault go; if that does not help, all of it.
    Neutralise,
    /// The node is blocked, as by any other text.
    Block,
}

/// An entry of `policies.allow` or `policies.deny`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListEntry {
    /// The type of personal data: what it is allowed as, or redacted as.
    pub kind: Option<String>,
    /// Of a denied entry: whether it blocks.
    pub block: bool,
    /// The texts, and regular expressions between slashes; those of the file, if it has one.
    pub texts: Vec<String>,
    /// The file they come from, as the pipeline names it.
    pub file: Option<String>,
}

/// Where a key is to be found. The key itself never stands in a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In an environment variable of this name.
    Env(String),
    /// In a file, relative to the pipeline's.
    File(String),
}

/// A vault and what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultSource {
    /// Its file, relative to the pipeline's.
    pub file: String,
    /// Its key or passphrase.
    pub key: KeySource,
}

/// A calibration file of the guard.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationSource {
    /// Its path, relative to the pipeline's.
    pub file: String,
    /// Where the pipeline names it.
    pub pos: Pos,
    /// The signals whose thresholds the pipeline sets itself: they win over measured ones.
    pub own_thresholds: Vec<Signal>,
    /// What it holds; none before it is read.
    pub read: Option<Calibration>,
}

/// What a run records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracing {
    /// Whether a trace is made.
    pub enabled: bool,
    /// Whether texts in it are redacted.
    pub redact_pii_in_traces: bool,
    /// Whether it says which leaf gave which part of the answer.
    pub save_provenance: bool,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { enabled: true, redact_pii_in_traces: true, save_provenance: true }
    }
}

/// Planner switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannerOptions {
    /// Start independent leaves side by side.
    pub prefer_parallel_for_independent_leaves: bool,
    /// Run nodes one by one when memory is short.
    pub serialize_when_memory_low: bool,
    /// Start the ready node with the longest path to the end first.
    pub critical_path_bias: bool,
    /// Take a smaller model when the estimate misses the latency target.
    pub degrade_model_tiers_if_needed: bool,
}

impl Default for PlannerOptions {
    fn default() -> Self {
        Self {
            prefer_parallel_for_independent_leaves: true,
            serialize_when_memory_low: true,
            critical_path_bias: true,
            degrade_model_tiers_if_needed: true,
        }
    }
}

/// What happens when a node fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OnError {
    /// What the rest of the graph does.
    pub strategy: Strategy,
    /// When the guard blocks a node's input.
    pub blocked_pre: BlockedPre,
    /// When the guard blocks a node's output.
    pub blocked_post: BlockedPost,
    /// When a synthesis misses inputs.
    pub missing_inputs: MissingInputs,
}

/// What the rest of the graph does when a node fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Children run on the partial merge of what their parents gave.
    #[default]
    PartialOk,
    /// Nothing new starts; what is done is returned.
    Abort,
    /// Descendants of a failed node are skipped; all else runs to the end.
    BestEffort,
}

/// When the guard blocks a node's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlockedPre {
    /// The node answers with a safe refusal.
    #[default]
    SafeRefusal,
    /// The node fails.
    Error,
}

/// When the guard blocks a node's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlockedPost {
    /// The node runs once more with the unsafe parts of its input taken out, else a safe answer.
    #[default]
    RegenerateSafe,
    /// The node fails.
    Error,
}

/// When a synthesis misses inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingInputs {
    /// Go on and name what is missing.
    #[default]
    SkipAndLabel,
    /// The node fails.
    Error,
}

/// Chat settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversation {
    /// Kind of conversation.
    pub kind: ConversationKind,
    /// (user, assistant) pairs kept.
    pub window_messages: u32,
    /// Whether sessions are stored on disk.
    pub persist: bool,
    /// Whether the redacted text is what is kept.
    pub redact_pii_in_history: bool,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            kind: ConversationKind::None,
            window_messages: 12,
            persist: false,
            redact_pii_in_history: true,
        }
    }
}

/// Kind of conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConversationKind {
    /// Each run stands alone.
    #[default]
    None,
    /// A transcript of `User:` and `Assistant:` lines becomes `source.text`.
    Transcript,
}

/// One node of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Unique id.
    pub id: String,
    /// Key of the agent in the registry.
    pub agent: String,
    /// Parents, in declared order.
    pub deps: Vec<String>,
    /// Whether the input is checked.
    pub guard_pre: bool,
    /// Whether the output is checked.
    pub guard_post: bool,
    /// Time limit of one attempt, milliseconds.
    pub timeout_ms: u64,
    /// Further attempts after a failure or a time-out.
    pub max_retries: u32,
    /// Planner hint: cost, in milliseconds.
    pub cost_est: Option<f64>,
    /// Planner hint: memory, in MiB.
    pub mem_est: Option<f64>,
    /// Agent parameters.
    pub params: Map<String, Value>,
    /// `io.inputs`: explicit bindings, or `None` for the default merge.
    pub inputs: Option<Map<String, Value>>,
    /// `io.outputs`: published fields, or `None` for the whole result.
    pub outputs: Option<Map<String, Value>>,
    /// Where the node stands in the file.
    pub pos: Pos,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            id: String::new(),
            agent: String::new(),
            deps: Vec::new(),
            guard_pre: true,
            guard_post: true,
            timeout_ms: 1000,
            max_retries: 0,
            cost_est: None,
            mem_est: None,
            params: Map::new(),
            inputs: None,
            outputs: None,
            pos: Pos::default(),
        }
    }
}
