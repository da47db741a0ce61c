// SPDX-License-Identifier: AGPL-3.0-or-later
//! Keys that are accepted and have no effect yet, in one table. A key that comes into effect loses its line here.

use crate::agents::AgentRegistry;
use crate::yaml::{Node, Path};

use super::decode::Decoded;
use super::fault::Faults;

/// A key of the schema without effect.
struct NotYet {
    /// Its path; `[]` is every item of a list.
    key: &'static str,
    /// Values that ask for what happens anyway.
    honoured: &'static [&'static str],
    /// What happens instead.
    instead: &'static str,
}

const fn key(
    key: &'static str,
    honoured: &'static [&'static str],
    instead: &'static str,
) -> NotYet {
    NotYet { key, honoured, instead }
}

const NO_INDEX: &str = "`tools.retriever` returns no chunks and says why";
const NO_CHAT: &str = "each run stands alone";
const NO_ADMISSION: &str = "memory is not measured";

const KEYS: &[NotYet] = &[
    key("device_profile.mode", &[], "this machine's threads are used"),
    key("device_profile.caps.memory_mb", &[], NO_ADMISSION),
    key("budgets.memory_mb", &[], NO_ADMISSION),
    key("storage.rag_index.enabled", &["false"], NO_INDEX),
    key("storage.rag_index.db_path", &[], NO_INDEX),
    key("storage.rag_index.vector_index", &[], NO_INDEX),
    key("planner.serialize_when_memory_low", &["false"], NO_ADMISSION),
    key("planner.degrade_model_tiers_if_needed", &["false"], "the configured models are used"),
    key("conversation.kind", &["none"], NO_CHAT),
    key("conversation.window_messages", &[], NO_CHAT),
    key("conversation.persist", &["false"], NO_CHAT),
    key("conversation.redact_pii_in_history", &[], NO_CHAT),
    key("nodes[].mem_est", &[], NO_ADMISSION),
];

/// Notes every key of the file, and every agent, that has no effect yet.
pub(super) fn list(
    root: &Node,
    decoded: &Decoded<'_>,
    agents: &AgentRegistry,
    faults: &mut Faults,
) {
    for not_yet in KEYS {
        visit(root, not_yet.key, &Path::ROOT, not_yet, faults);
    }
    let nodes = Path::ROOT.key("nodes");
    for (node, source) in decoded.pipeline.nodes.iter().zip(&decoded.sources) {
        let reason = agents.get(&node.agent).and_then(|agent| agent.spec().not_yet);
        if let Some(reason) = reason
            && let Some(entry) = source.tree.entry("agent")
        {
            let message = format!("`{}` is accepted, not yet in effect: {reason}", node.agent);
            faults.not_yet(&nodes.index(source.index).key("agent"), entry.value.pos, message);
        }
    }
}

fn visit(node: &Node, rest: &str, path: &Path<'_>, not_yet: &NotYet, faults: &mut Faults) {
    let (step, rest) = rest.split_once('.').unwrap_or((rest, ""));
    let (name, every_item) = match step.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (step, false),
    };
    let Some(entry) = node.entry(name) else { return };
    let path = path.key(name);
    if every_item {
        for (i, item) in entry.value.items().iter().enumerate() {
            visit(item, rest, &path.index(i), not_yet, faults);
        }
    } else if !rest.is_empty() {
        visit(&entry.value, rest, &path, not_yet, faults);
    } else if let Some(scalar) = entry.value.scalar()
        && !entry.value.is_null()
        && !not_yet.honoured.contains(&&*scalar.text.to_ascii_lowercase())
    {
        let message = format!("`{path}` is accepted, not yet in effect: {}", not_yet.instead);
        faults.not_yet(&path, entry.key_pos, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::decode::decode;

    /// A line whose key is no key of the schema would never be listed, and nobody would notice.
    #[test]
    fn every_line_is_a_key_of_the_schema() {
        for not_yet in KEYS {
            let steps: Vec<&str> = not_yet.key.split('.').collect();
            let mut text = "probe".to_owned();
            for step in steps.iter().rev() {
                text = match step.strip_suffix("[]") {
                    Some(list) => format!("{{{list}: [{text}]}}"),
                    None => format!("{{{step}: {text}}}"),
                };
            }
            let parsed = crate::yaml::parse(text.as_bytes(), &crate::yaml::Limits::default());
            let root = parsed.document.unwrap().root;
            let mut faults = Faults::default();
            let decoded = decode(&root, &mut faults);
            list(&root, &decoded, &AgentRegistry::empty(), &mut faults);
            let codes: Vec<_> = faults.sorted().iter().map(|fault| fault.code).collect();
            assert!(!codes.contains(&"unknown_key"), "{}", not_yet.key);
            assert_eq!(codes.iter().filter(|code| **code == "not_yet").count(), 1, "{text}");
        }
    }

    #[test]
    fn what_happens_anyway_is_not_listed() {
        let text =
            "conversation: {kind: none, persist: False}\nstorage: {rag_index: {enabled: true}}";
        let parsed = crate::yaml::parse(text.as_bytes(), &crate::yaml::Limits::default());
        let root = parsed.document.unwrap().root;
        let mut faults = Faults::default();
        let decoded = decode(&root, &mut Faults::default());
        list(&root, &decoded, &AgentRegistry::empty(), &mut faults);
        let paths: Vec<_> = faults.sorted().into_iter().map(|fault| fault.path).collect();
        assert_eq!(paths, ["storage.rag_index.enabled"]);
    }
}
