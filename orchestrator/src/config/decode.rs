// SPDX-License-Identifier: AGPL-3.0-or-later
//! From the YAML tree to a [`Pipeline`]: types, ranges, unknown and missing keys. What the values mean to one another is
//! `validate`'s.

use bho_guard::Signal;

use crate::yaml::{self, Path};

use super::fault::{Faults, quoted};
use super::reader::Section;
use super::{
    Budgets, CalibrationSource, Conversation, DeviceProfile, KvCacheOptions, MAX_NODES, ModelRefs,
    Node, OnError, Pipeline, PlannerOptions, Policies, RagIndexOptions, SCHEMA_ID, Storage,
    Tracing,
};
use super::{redactions, templates};

/// One year: a time in milliseconds that any clock can still add.
const MAX_MS: u64 = 31_536_000_000;
/// 16 TiB.
const MAX_MB: u64 = 1 << 24;
/// Largest hint of the planner, in milliseconds or MiB.
const MAX_ESTIMATE: f64 = 1e12;
const MAX_THREADS: u64 = 4096;
const MAX_CONCURRENCY: u64 = 1024;
const MAX_RETRIES: u64 = 100;
const MAX_ITEMS: u64 = 1_000_000;
const MAX_WINDOW: u64 = 10_000;
/// Windows that a model may read: a gigabyte.
const MAX_MODEL_WINDOWS: u64 = 1 << 21;

const TOP: &[&str] = &[
    "version",
    "schema",
    "name",
    "description",
    "owners",
    "device_profile",
    "budgets",
    "models",
    "storage",
    "policies",
    "tracing",
    "planner",
    "on_error",
    "conversation",
    "nodes",
];

const NODE: &[&str] = &[
    "id",
    "agent",
    "deps",
    "guard_pre",
    "guard_post",
    "timeout_ms",
    "max_retries",
    "cost_est",
    "mem_est",
    "params",
    "io",
];

/// A pipeline, and where its nodes come from.
#[derive(Debug)]
pub(super) struct Decoded<'d> {
    /// The pipeline; defaults stand where a value could not be read.
    pub(super) pipeline: Pipeline,
    /// One for each of the pipeline's nodes.
    pub(super) sources: Vec<NodeSource<'d>>,
}

/// Where a node comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeSource<'d> {
    /// Its map in the file.
    pub(super) tree: &'d yaml::Node,
    /// Its index in the file's list, which counts items that are no nodes too.
    pub(super) index: usize,
    /// Whether every one of its `deps` could be read.
    pub(super) deps_read: bool,
}

/// Reads the whole file.
pub(super) fn decode<'d>(root: &'d yaml::Node, faults: &mut Faults) -> Decoded<'d> {
    let mut pipeline = Pipeline::default();
    let mut sources = Vec::new();
    if root.is_null() {
        faults.wrong_type(root, &Path::ROOT, "a map of keys and values");
    } else if let Some(top) = faults.section(root, Path::ROOT, TOP) {
        header(&top, &mut pipeline, faults);
        pipeline.device_profile = device_profile(&top, faults);
        pipeline.budgets = budgets(&top, faults);
        pipeline.models = models(&top, faults);
        pipeline.storage = storage(&top, faults);
        pipeline.policies = policies(&top, faults);
        pipeline.tracing = tracing(&top, faults);
        pipeline.planner = planner(&top, faults);
        pipeline.on_error = on_error(&top, faults);
        pipeline.conversation = conversation(&top, faults);
        (pipeline.nodes, sources) = nodes(&top, faults);
    }
    Decoded { pipeline, sources }
}

fn header(top: &Section<'_, '_>, pipeline: &mut Pipeline, faults: &mut Faults) {
    for key in ["version", "schema", "name"] {
        faults.require(top, key);
    }
    pipeline.version = faults.name(top, "version").unwrap_or_default();
    pipeline.name = faults.name(top, "name").unwrap_or_default();
    pipeline.schema = faults.name(top, "schema").unwrap_or_default();
    if let Some(entry) = top.entry("schema")
        && !pipeline.schema.is_empty()
        && pipeline.schema != SCHEMA_ID
    {
        let message = format!("the schema {} is not known", quoted(&pipeline.schema));
        faults
            .error("unknown_schema", &top.path.key("schema"), entry.value.pos, message)
            .hint(format!("known schemas: {SCHEMA_ID}"));
    }
    pipeline.description = faults.text(top, "description").unwrap_or_default();
    pipeline.owners = faults.names(top, "owners");
}

fn device_profile(top: &Section<'_, '_>, faults: &mut Faults) -> DeviceProfile {
    let mut out = DeviceProfile::default();
    if let Some(profile) = faults.child(top, "device_profile", &["mode", "caps"]) {
        faults.choice(&profile, "mode", &mut out.mode);
        if let Some(caps) = faults.child(&profile, "caps", &["cpu_threads", "memory_mb"]) {
            let threads = faults.auto_or_integer(&caps, "cpu_threads", 1..=MAX_THREADS);
            out.cpu_threads = threads.and_then(|n| u32::try_from(n).ok());
            out.memory_mb = faults.auto_or_integer(&caps, "memory_mb", 1..=MAX_MB);
        }
    }
    out
}

fn budgets(top: &Section<'_, '_>, faults: &mut Faults) -> Budgets {
    let mut out = Budgets::default();
    let keys = ["latency_ms", "deadline_ms", "max_concurrency", "memory_mb"];
    if let Some(budgets) = faults.child(top, "budgets", &keys) {
        faults.integer(&budgets, "latency_ms", 1..=MAX_MS, &mut out.latency_ms);
        out.deadline_ms = faults.optional_integer(&budgets, "deadline_ms", 1..=MAX_MS);
        let most = 1..=MAX_CONCURRENCY;
        faults.integer(&budgets, "max_concurrency", most, &mut out.max_concurrency);
        out.memory_mb = faults.optional_integer(&budgets, "memory_mb", 1..=MAX_MB);
    }
    out
}

fn models(top: &Section<'_, '_>, faults: &mut Faults) -> ModelRefs {
    let keys = ["reasoner", "guard", "embedder", "reasoner_path", "guard_path", "embedder_path"];
    let Some(models) = faults.child(top, "models", &keys) else { return ModelRefs::default() };
    let place = |key| Some((key, models.entry(key)?.value.pos));
    ModelRefs {
        reasoner: faults.name(&models, "reasoner"),
        guard: faults.name(&models, "guard"),
        embedder: faults.name(&models, "embedder"),
        reasoner_path: faults.name(&models, "reasoner_path"),
        guard_path: faults.name(&models, "guard_path"),
        embedder_path: faults.name(&models, "embedder_path"),
        pos: keys.into_iter().filter_map(place).collect(),
    }
}

fn storage(top: &Section<'_, '_>, faults: &mut Faults) -> Storage {
    let mut out =
        Storage { kv_cache: KvCacheOptions::default(), rag_index: RagIndexOptions::default() };
    let Some(storage) = faults.child(top, "storage", &["kv_cache", "rag_index"]) else {
        return out;
    };
    if let Some(cache) = faults.child(&storage, "kv_cache", &["enabled", "max_items"]) {
        faults.boolean(&cache, "enabled", &mut out.kv_cache.enabled);
        faults.integer(&cache, "max_items", 1..=MAX_ITEMS, &mut out.kv_cache.max_items);
    }
    let keys = ["enabled", "db_path", "vector_index"];
    if let Some(index) = faults.child(&storage, "rag_index", &keys) {
        faults.boolean(&index, "enabled", &mut out.rag_index.enabled);
        out.rag_index.db_path = faults.name(&index, "db_path");
        out.rag_index.vector_index = faults.name(&index, "vector_index");
    }
    out
}

fn policies(top: &Section<'_, '_>, faults: &mut Faults) -> Policies {
    let mut out = Policies::default();
    // `allow` and `deny` may name files: `lists` reads them.
    let keys = [
        "thresholds",
        "redactions",
        "hash_key",
        "vault",
        "allow",
        "deny",
        "retrieved",
        "output",
        "guard_required",
        "model_windows",
        "calibration",
    ];
    let Some(policies) = faults.child(top, "policies", &keys) else { return out };
    let keys = ["toxicity_block", "pii_redact", "jailbreak_block", "indirect_block"];
    let mut own_thresholds = Vec::new();
    if let Some(thresholds) = faults.child(&policies, "thresholds", &keys) {
        let slots = [
            (Some(Signal::Toxicity), &mut out.toxicity_block),
            (Some(Signal::Pii), &mut out.pii_redact),
            (Some(Signal::Jailbreak), &mut out.jailbreak_block),
            (None, &mut out.indirect_block),
        ];
        for (key, (signal, slot)) in keys.into_iter().zip(slots) {
            if let Some(value) = faults.optional_number(&thresholds, key, 0.0..=1.0) {
                *slot = value;
                own_thresholds.extend(signal);
            }
        }
    }
    if let Some(file) = faults.name(&policies, "calibration") {
        let pos = policies.entry("calibration").map_or(policies.pos, |entry| entry.value.pos);
        out.calibration = Some(CalibrationSource { file, pos, own_thresholds, read: None });
    }
    redactions::read(&policies, &mut out, faults);
    faults.boolean(&policies, "guard_required", &mut out.guard_required);
    faults.integer(&policies, "model_windows", 1..=MAX_MODEL_WINDOWS, &mut out.model_windows);
    if let Some(retrieved) = faults.child(&policies, "retrieved", &["on_injection", "fields"]) {
        faults.choice(&retrieved, "on_injection", &mut out.retrieved.on_injection);
        if retrieved.entry("fields").is_some() {
            out.retrieved.fields = faults.names(&retrieved, "fields");
        }
    }
    let keys = ["append_moderation_card", "safe_templates"];
    if let Some(output) = faults.child(&policies, "output", &keys) {
        faults.boolean(&output, "append_moderation_card", &mut out.append_moderation_card);
        templates::read(&output, &mut out, faults);
    }
    out
}

fn tracing(top: &Section<'_, '_>, faults: &mut Faults) -> Tracing {
    let mut out = Tracing::default();
    let keys = ["enabled", "redact_pii_in_traces", "save_provenance"];
    if let Some(tracing) = faults.child(top, "tracing", &keys) {
        faults.boolean(&tracing, "enabled", &mut out.enabled);
        faults.boolean(&tracing, "redact_pii_in_traces", &mut out.redact_pii_in_traces);
        faults.boolean(&tracing, "save_provenance", &mut out.save_provenance);
    }
    out
}

fn planner(top: &Section<'_, '_>, faults: &mut Faults) -> PlannerOptions {
    let mut out = PlannerOptions::default();
    let keys = [
        "prefer_parallel_for_independent_leaves",
        "serialize_when_memory_low",
        "critical_path_bias",
        "degrade_model_tiers_if_needed",
    ];
    if let Some(planner) = faults.child(top, "planner", &keys) {
        let slots = [
            &mut out.prefer_parallel_for_independent_leaves,
            &mut out.serialize_when_memory_low,
            &mut out.critical_path_bias,
            &mut out.degrade_model_tiers_if_needed,
        ];
        for (key, slot) in keys.into_iter().zip(slots) {
            faults.boolean(&planner, key, slot);
        }
    }
    out
}

fn on_error(top: &Section<'_, '_>, faults: &mut Faults) -> OnError {
    let mut out = OnError::default();
    let keys = ["strategy", "node", "synthesis"];
    let Some(on_error) = faults.child(top, "on_error", &keys) else { return out };
    faults.choice(&on_error, "strategy", &mut out.strategy);
    if let Some(node) = faults.child(&on_error, "node", &["blocked_pre", "blocked_post"]) {
        faults.choice(&node, "blocked_pre", &mut out.blocked_pre);
        faults.choice(&node, "blocked_post", &mut out.blocked_post);
    }
    if let Some(synthesis) = faults.child(&on_error, "synthesis", &["missing_inputs"]) {
        faults.choice(&synthesis, "missing_inputs", &mut out.missing_inputs);
    }
    out
}

fn conversation(top: &Section<'_, '_>, faults: &mut Faults) -> Conversation {
    let mut out = Conversation::default();
    let keys = ["kind", "window_messages", "persist", "redact_pii_in_history"];
    if let Some(chat) = faults.child(top, "conversation", &keys) {
        faults.choice(&chat, "kind", &mut out.kind);
        faults.integer(&chat, "window_messages", 0..=MAX_WINDOW, &mut out.window_messages);
        faults.boolean(&chat, "persist", &mut out.persist);
        faults.boolean(&chat, "redact_pii_in_history", &mut out.redact_pii_in_history);
    }
    out
}

fn nodes<'d>(top: &Section<'d, '_>, faults: &mut Faults) -> (Vec<Node>, Vec<NodeSource<'d>>) {
    let mut nodes = Vec::new();
    let mut sources = Vec::new();
    let path = top.path.key("nodes");
    let Some(entry) = top.entry("nodes") else {
        faults.require(top, "nodes");
        return (nodes, sources);
    };
    let items = match entry.value.kind() {
        yaml::Kind::Seq(items) => items.as_slice(),
        yaml::Kind::Scalar(_) if entry.value.is_null() => &[],
        yaml::Kind::Scalar(_) | yaml::Kind::Map(_) => {
            faults
                .wrong_type(&entry.value, &path, "a list of nodes")
                .hint("start each node with `- id: ...`");
            return (nodes, sources);
        }
    };
    if items.is_empty() {
        let message = "`nodes` is empty; a pipeline has at least one node";
        faults.error("empty_nodes", &path, entry.value.pos, message);
    }
    if let Some(first_over) = items.get(MAX_NODES) {
        let message = format!("`nodes` has {} nodes; at most {MAX_NODES} are allowed", items.len());
        faults.error("too_many_nodes", &path, first_over.pos, message);
    }
    for (index, tree) in items.iter().enumerate().take(MAX_NODES) {
        let path = path.index(index);
        if tree.is_null() {
            faults.wrong_type(tree, &path, "a map of keys and values");
        } else if let Some(section) = faults.section(tree, path, NODE) {
            let (node, deps_read) = node(&section, faults);
            nodes.push(node);
            sources.push(NodeSource { tree, index, deps_read });
        }
    }
    (nodes, sources)
}

/// Reads a node; the flag says whether every one of its `deps` could be read.
fn node(section: &Section<'_, '_>, faults: &mut Faults) -> (Node, bool) {
    let mut out = Node { pos: section.pos, ..Node::default() };
    faults.require(section, "id");
    faults.require(section, "agent");
    out.id = faults.name(section, "id").unwrap_or_default();
    out.agent = faults.name(section, "agent").unwrap_or_default();
    let before = faults.len();
    out.deps = faults.names(section, "deps");
    let deps_read = faults.len() == before;
    faults.boolean(section, "guard_pre", &mut out.guard_pre);
    faults.boolean(section, "guard_post", &mut out.guard_post);
    faults.integer(section, "timeout_ms", 1..=MAX_MS, &mut out.timeout_ms);
    faults.integer(section, "max_retries", 0..=MAX_RETRIES, &mut out.max_retries);
    out.cost_est = faults.optional_number(section, "cost_est", 0.0..=MAX_ESTIMATE);
    out.mem_est = faults.optional_number(section, "mem_est", 0.0..=MAX_ESTIMATE);
    if let Some(params) = faults.open_child(section, "params") {
        out.params = faults.json_map(params.entries(), &params.path);
    }
    if let Some(io) = faults.child(section, "io", &["inputs", "outputs"]) {
        if let Some(inputs) = faults.open_child(&io, "inputs") {
            out.inputs = Some(faults.json_map(inputs.entries(), &inputs.path));
        }
        if let Some(outputs) = faults.open_child(&io, "outputs") {
            out.outputs = Some(faults.json_map(outputs.entries(), &outputs.path));
        }
    }
    (out, deps_read)
}
