// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the values of a pipeline mean to one another: ids, the graph, agents and their parameters, references.

mod graph;
mod params;
mod references;

use std::collections::HashMap;

use crate::agents::{Agent, AgentRegistry, AgentSpec};
use crate::plan::Plan;
use crate::yaml::{Document, Path};

use super::decode::{Decoded, NodeSource};
use super::fault::{Faults, quoted};
use super::{ListEntry, Node, Pipeline, Pos};

/// Longest id of a node.
const MAX_ID: usize = 128;

/// What every check looks at.
struct Context<'a> {
    document: &'a Document,
    pipeline: &'a Pipeline,
    sources: &'a [NodeSource<'a>],
    agents: &'a AgentRegistry,
    plan: Plan,
    /// First node of each id.
    ids: HashMap<&'a str, usize>,
}

/// Adds every fault of meaning to `faults`.
pub(super) fn validate(
    document: &Document,
    decoded: &Decoded<'_>,
    agents: &AgentRegistry,
    faults: &mut Faults,
) {
    let pipeline = &decoded.pipeline;
    let mut ids = HashMap::new();
    for (i, node) in pipeline.nodes.iter().enumerate() {
        if !node.id.is_empty() {
            ids.entry(node.id.as_str()).or_insert(i);
        }
    }
    let plan = Plan::new(pipeline);
    let cx = Context { document, pipeline, sources: &decoded.sources, agents, plan, ids };
    pii_types(&cx, faults);
    let ancestors = graph::check(&cx, faults);
    let nodes = Path::ROOT.key("nodes");
    for i in 0..pipeline.nodes.len() {
        let path = nodes.index(cx.sources[i].index);
        cx.id(i, &path, faults);
        if let Some(agent) = cx.agent(i, &path, faults) {
            params::check(&cx, i, agent, &path, faults);
        }
        let reads_source = references::check(&cx, i, &ancestors, &path, faults);
        cx.warn(i, reads_source, &path, faults);
    }
}

impl Context<'_> {
    fn node(&self, i: usize) -> &Node {
        &self.pipeline.nodes[i]
    }

    /// What the agent of a node is, if it is registered.
    fn spec(&self, i: usize) -> Option<&'static AgentSpec> {
        self.agents.get(&self.node(i).agent).map(|agent| agent.spec())
    }

    /// Where the value of a node's key stands; the node itself if the key is not given.
    fn pos(&self, i: usize, key: &str) -> Pos {
        let tree = self.sources[i].tree;
        tree.entry(key).map_or(tree.pos, |entry| entry.value.pos)
    }

    fn id(&self, i: usize, path: &Path<'_>, faults: &mut Faults) {
        let id = self.node(i).id.as_str();
        if id.is_empty() {
            return;
        }
        let path = path.key("id");
        let pos = self.pos(i, "id");
        let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if id.len() > MAX_ID || !id.bytes().all(valid) {
            let message = format!("{} cannot be an id", quoted(id));
            faults
                .error("bad_id", &path, pos, message)
                .hint(format!("use letters, digits, `_` and `-`, at most {MAX_ID} of them"));
        }
        if let Some(&first) = self.ids.get(id)
            && first != i
        {
            let at = self.pos(first, "id");
            let message = format!("the id {} is given twice; first at {at}", quoted(id));
            faults.error("duplicate_id", &path, pos, message);
        }
    }

    fn agent(&self, i: usize, path: &Path<'_>, faults: &mut Faults) -> Option<&dyn Agent> {
        let name = self.node(i).agent.as_str();
        let agent = self.agents.get(name);
        if agent.is_none() && !name.is_empty() {
            let names: Vec<_> = self.agents.names().collect();
            let hint = faults.suggestion(name, names.into_iter());
            let message = format!("no agent is called {}", quoted(name));
            faults.error("unknown_agent", &path.key("agent"), self.pos(i, "agent"), message).hint =
                hint;
        }
        agent.map(AsRef::as_ref)
    }

    fn warn(&self, i: usize, reads_source: bool, path: &Path<'_>, faults: &mut Faults) {
        let node = self.node(i);
        let id = quoted(&node.id);
        if !node.guard_post && self.plan.final_nodes.contains(&i) {
            let message = format!("the output of the final node {id} is not checked by the guard");
            faults
                .warning(
                    "unguarded_output",
                    &path.key("guard_post"),
                    self.pos(i, "guard_post"),
                    message,
                )
                .hint("set `guard_post: true`");
        }
        if !node.guard_pre && reads_source && node.deps.is_empty() {
            let message =
                format!("the root {id} reads the source, which the guard does not check for it");
            faults
                .warning(
                    "unguarded_source",
                    &path.key("guard_pre"),
                    self.pos(i, "guard_pre"),
                    message,
                )
                .hint("set `guard_pre: true`");
        }
        if let Some(deadline) = self.pipeline.budgets.deadline_ms
            && node.timeout_ms > deadline
        {
            let message = format!(
                "the time limit of {id}, {} ms, is beyond the deadline of the run, {deadline} ms",
                node.timeout_ms
            );
            let path = path.key("timeout_ms");
            faults.warning("timeout_exceeds_deadline", &path, self.pos(i, "timeout_ms"), message);
        }
    }
}

/// `policies.redactions` names types the guard knows.
fn pii_types(cx: &Context<'_>, faults: &mut Faults) {
    let policies = Path::ROOT.key("policies");
    let path = policies.key("redactions");
    let redactions = cx.document.root.entry("policies").and_then(|p| p.value.entry("redactions"));
    let Some(redactions) = redactions else { return };
    let known = bho_guard::known_pii_types();
    let deny = &cx.pipeline.policies.deny;
    for entry in redactions.value.entries() {
        let denied = |list: &ListEntry| list.kind.as_deref() == Some(&*entry.key);
        if known.iter().all(|kind| kind.key() != &*entry.key) && !deny.iter().any(denied) {
            let hint = faults.suggestion(&entry.key, known.iter().map(|kind| kind.key()));
            let message = format!("the guard knows no kind of PII called {}", quoted(&entry.key));
            faults.error("unknown_pii_type", &path.key(&entry.key), entry.key_pos, message).hint =
                hint;
        }
    }
}
