// SPDX-License-Identifier: AGPL-3.0-or-later
//! The effective configuration: a pipeline with all its defaults, written as the file that would say so.

use serde_json::{Map, Value, json};

use crate::yaml;

use super::words::Words;
use super::{ConfigError, KeySource, ListEntry, Node, Pipeline, Policies};

/// Line breaks to YAML 1.1, which the writer keeps to, and ordinary characters to YAML 1.2. Something else stands for
/// them while it writes, or it would fold lines there.
const OLD_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

impl Pipeline {
    /// The pipeline as YAML, all defaults filled in. Loading it gives an equal pipeline, but for the positions.
    ///
    /// What was not given and has no default (a deadline, a model's path) is left out; aliases are written out. A pipeline
    /// built in code may hold what no file can, such as a parameter called `<<`; that does not load again.
    ///
    /// # Errors
    /// [`ConfigError::Write`] if the YAML writer fails.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        let value = self.to_value();
        let text = serde_yaml::to_string(&value)?;
        if !text.contains(OLD_BREAKS) {
            return Ok(text);
        }
        let Some([next_line, line, paragraph, ..]) = yaml::unused_characters(&text) else {
            return Ok(text);
        };
        let stand_ins = [next_line, line, paragraph];
        let text = serde_yaml::to_string(&swap_in(value, &OLD_BREAKS, &stand_ins))?;
        Ok(swap(&text, &stand_ins, &OLD_BREAKS))
    }

    /// The pipeline as the JSON value of its file, all defaults filled in.
    pub fn to_value(&self) -> Value {
        let device = &self.device_profile;
        let auto = |value: Option<u64>| value.map_or_else(|| json!("auto"), Value::from);
        let mut budgets = object(json!({ "latency_ms": self.budgets.latency_ms }));
        put(&mut budgets, "deadline_ms", self.budgets.deadline_ms);
        budgets.insert("max_concurrency".into(), self.budgets.max_concurrency.into());
        put(&mut budgets, "memory_mb", self.budgets.memory_mb);
        let mut models = Map::new();
        put(&mut models, "reasoner", self.models.reasoner.as_deref());
        put(&mut models, "guard", self.models.guard.as_deref());
        put(&mut models, "embedder", self.models.embedder.as_deref());
        put(&mut models, "reasoner_path", self.models.reasoner_path.as_deref());
        put(&mut models, "guard_path", self.models.guard_path.as_deref());
        put(&mut models, "embedder_path", self.models.embedder_path.as_deref());
        let rag = &self.storage.rag_index;
        let mut rag_index = object(json!({ "enabled": rag.enabled }));
        put(&mut rag_index, "db_path", rag.db_path.as_deref());
        put(&mut rag_index, "vector_index", rag.vector_index.as_deref());
        let planner = &self.planner;
        json!({
            "version": self.version,
            "schema": self.schema,
            "name": self.name,
            "description": self.description,
            "owners": self.owners,
            "device_profile": {
                "mode": device.mode.word(),
                "caps": {
                    "cpu_threads": auto(device.cpu_threads.map(u64::from)),
                    "memory_mb": auto(device.memory_mb),
                },
            },
            "budgets": budgets,
            "models": models,
            "storage": {
                "kv_cache": {
                    "enabled": self.storage.kv_cache.enabled,
                    "max_items": self.storage.kv_cache.max_items,
                },
                "rag_index": rag_index,
            },
            "policies": policies_value(&self.policies),
            "tracing": {
                "enabled": self.tracing.enabled,
                "redact_pii_in_traces": self.tracing.redact_pii_in_traces,
                "save_provenance": self.tracing.save_provenance,
            },
            "planner": {
                "prefer_parallel_for_independent_leaves":
                    planner.prefer_parallel_for_independent_leaves,
                "serialize_when_memory_low": planner.serialize_when_memory_low,
                "critical_path_bias": planner.critical_path_bias,
                "degrade_model_tiers_if_needed": planner.degrade_model_tiers_if_needed,
            },
            "on_error": {
                "strategy": self.on_error.strategy.word(),
                "node": {
                    "blocked_pre": self.on_error.blocked_pre.word(),
                    "blocked_post": self.on_error.blocked_post.word(),
                },
                "synthesis": { "missing_inputs": self.on_error.missing_inputs.word() },
            },
            "conversation": {
                "kind": self.conversation.kind.word(),
                "window_messages": self.conversation.window_messages,
                "persist": self.conversation.persist,
                "redact_pii_in_history": self.conversation.redact_pii_in_history,
            },
            "nodes": self.nodes.iter().map(node).collect::<Vec<_>>(),
        })
    }
}

fn node(node: &Node) -> Value {
    let mut out = object(json!({
        "id": node.id,
        "agent": node.agent,
        "deps": node.deps,
        "guard_pre": node.guard_pre,
        "guard_post": node.guard_post,
        "timeout_ms": node.timeout_ms,
        "max_retries": node.max_retries,
    }));
    put(&mut out, "cost_est", node.cost_est);
    put(&mut out, "mem_est", node.mem_est);
    out.insert("params".into(), Value::Object(node.params.clone()));
    let mut io = Map::new();
    put(&mut io, "inputs", node.inputs.clone());
    put(&mut io, "outputs", node.outputs.clone());
    if !io.is_empty() {
        out.insert("io".into(), Value::Object(io));
    }
    Value::Object(out)
}

/// Puts `to` for `from` in every text and key.
fn swap_in(value: Value, from: &[char; 3], to: &[char; 3]) -> Value {
    match value {
        Value::String(text) => Value::String(swap(&text, from, to)),
        Value::Array(items) => items.into_iter().map(|item| swap_in(item, from, to)).collect(),
        Value::Object(map) => {
            let pairs = map.into_iter();
            pairs.map(|(key, value)| (swap(&key, from, to), swap_in(value, from, to))).collect()
        }
        other => other,
    }
}

fn swap(text: &str, from: &[char; 3], to: &[char; 3]) -> String {
    text.chars().map(|c| from.iter().position(|&f| f == c).map_or(c, |i| to[i])).collect()
}

fn put(map: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value.into());
    }
}

fn policies_value(policies: &Policies) -> Value {
    let source = |source: &KeySource| match source {
        KeySource::Env(name) => json!({ "env": name }),
        KeySource::File(path) => json!({ "file": path }),
    };
    let mut out = object(json!({
        "thresholds": {
            "toxicity_block": policies.toxicity_block,
            "pii_redact": policies.pii_redact,
            "jailbreak_block": policies.jailbreak_block,
            "indirect_block": policies.indirect_block,
        },
        "redactions": policies.redactions,
    }));
    put(&mut out, "hash_key", policies.hash_key.as_ref().map(source));
    for (key, list) in [("allow", &policies.allow), ("deny", &policies.deny)] {
        if !list.is_empty() {
            out.insert(key.to_owned(), list.iter().map(list_entry).collect());
        }
    }
    out.insert(
        "retrieved".into(),
        json!({
            "on_injection": policies.retrieved.on_injection.word(),
            "fields": policies.retrieved.fields,
        }),
    );
    let vault = policies.vault.as_ref();
    let vault = vault.map(|vault| json!({ "file": vault.file, "key": source(&vault.key) }));
    put(&mut out, "vault", vault);
    put(&mut out, "calibration", policies.calibration.as_ref().map(|source| source.file.clone()));
    out.insert(
        "output".into(),
        json!({
            "append_moderation_card": policies.append_moderation_card,
            "safe_templates": {
                "fallback_enabled": policies.fallback_enabled,
                "language": policies.template_language,
                "texts": policies.templates,
            },
        }),
    );
    out.insert("guard_required".into(), policies.guard_required.into());
    out.insert("model_windows".into(), policies.model_windows.into());
    Value::Object(out)
}

/// An entry of a list; the texts of a file stay in it.
fn list_entry(entry: &ListEntry) -> Value {
    let mut out = Map::new();
    put(&mut out, "type", entry.kind.as_deref());
    put(&mut out, "action", entry.block.then_some("block"));
    match &entry.file {
        Some(file) => put(&mut out, "file", Some(file.as_str())),
        None => put(&mut out, "text", Some(entry.texts.clone())),
    }
    Value::Object(out)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
