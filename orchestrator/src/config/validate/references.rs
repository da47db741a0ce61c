// SPDX-License-Identifier: AGPL-3.0-or-later
//! `${...}`: well written, allowed where it stands, and of something that is there by then.

use crate::binding::{Part, Reference, Root, Step, Template, parse_template};
use crate::yaml::{Kind, Node, Path};

use super::super::Pos;
use super::super::fault::{Faults, quoted};
use super::Context;
use super::graph::Ancestors;

/// What a result holds beside what its agent or its `io.outputs` put there.
const ALWAYS: [&str; 4] = ["_node", "_error", "_moderation", "_policy_tags"];

/// Broken references reported in one text.
const MAX_ERRORS: usize = 16;

/// Where a reference stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `params` or `io.inputs`: before the agent runs.
    Before,
    /// `io.outputs`: after it ran.
    Outputs,
}

struct Checker<'a, 'f> {
    cx: &'a Context<'a>,
    node: usize,
    ancestors: &'a Ancestors,
    faults: &'f mut Faults,
    reads_source: bool,
}

/// Checks the references of a node. Says whether its input reads the source.
pub(super) fn check(
    cx: &Context<'_>,
    node: usize,
    ancestors: &Ancestors,
    path: &Path<'_>,
    faults: &mut Faults,
) -> bool {
    let tree = cx.sources[node].tree;
    // The default merge begins with the source.
    let reads_source = cx.node(node).inputs.is_none();
    let mut checker = Checker { cx, node, ancestors, faults, reads_source };
    if let Some(params) = tree.entry("params") {
        checker.walk(&params.value, &path.key("params"), Place::Before);
    }
    if let Some(io) = tree.entry("io") {
        let path = path.key("io");
        for (key, place) in [("inputs", Place::Before), ("outputs", Place::Outputs)] {
            if let Some(entry) = io.value.entry(key) {
                checker.reserved(&entry.value, &path.key(key));
                checker.walk(&entry.value, &path.key(key), place);
            }
        }
    }
    checker.reads_source
}

impl Checker<'_, '_> {
    /// Fields that begin with `_` are the run's own.
    fn reserved(&mut self, value: &Node, path: &Path<'_>) {
        let Kind::Map(entries) = value.kind() else { return };
        for entry in entries.iter().filter(|entry| entry.key.starts_with('_')) {
            let message = format!(
                "{} begins with `_`, as only fields of the run itself do",
                quoted(&entry.key)
            );
            let path = path.key(&entry.key);
            self.faults.error("reserved_field", &path, entry.key_pos, message);
        }
    }

    /// The tree is at most as deep as the YAML limits allow.
    fn walk(&mut self, value: &Node, path: &Path<'_>, place: Place) {
        match value.kind() {
            Kind::Map(entries) => {
                for entry in entries {
                    self.walk(&entry.value, &path.key(&entry.key), place);
                }
            }
            Kind::Seq(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.walk(item, &path.index(i), place);
                }
            }
            Kind::Scalar(_) => {
                if let Some(text) = value.text().filter(|text| text.contains("${")) {
                    self.template(value, text, path, place);
                }
            }
        }
    }

    fn template(&mut self, value: &Node, text: &str, path: &Path<'_>, place: Place) {
        let starts: Vec<usize> = text.match_indices("${").map(|(at, _)| at).collect();
        let places = self.cx.document.occurrences(value, "${", starts.len());
        // The last `${` at or before the offset is the reference in question.
        let pos_of = |offset: usize| {
            let index = starts.partition_point(|&at| at <= offset).checked_sub(1)?;
            places.as_ref()?.get(index).copied()
        };
        // A template ends at its first error; what stands before and after it is checked as well.
        let mut from = 0;
        for _ in 0..MAX_ERRORS {
            let error = match parse_template(&text[from..]) {
                Ok(template) => {
                    self.references(&template, path, place, |at| pos_of(from + at), value.pos);
                    return;
                }
                Err(error) => error,
            };
            let at = from + error.offset;
            self.faults.error(
                "bad_reference",
                path,
                pos_of(at).unwrap_or(value.pos),
                error.message,
            );
            let next = starts.partition_point(|&start| start <= at);
            let wrong = next.checked_sub(1).map_or(at, |index| starts[index]).max(from);
            if let Ok(template) = parse_template(&text[from..wrong]) {
                self.references(&template, path, place, |at| pos_of(from + at), value.pos);
            }
            let Some(&start) = starts.get(next) else { return };
            // The dollar sign that makes `$${` stays with it.
            from = if text[..start].ends_with('$') { start - 1 } else { start };
        }
    }

    fn references(
        &mut self,
        template: &Template,
        path: &Path<'_>,
        place: Place,
        pos_of: impl Fn(usize) -> Option<Pos>,
        otherwise: Pos,
    ) {
        for part in &template.parts {
            if let Part::Ref(reference) = part {
                let pos = pos_of(reference.offset).unwrap_or(otherwise);
                self.reference(reference, path, pos, place);
            }
        }
    }

    fn reference(&mut self, reference: &Reference, path: &Path<'_>, pos: Pos, place: Place) {
        match &reference.root {
            Root::Source => self.reads_source |= place == Place::Before,
            Root::Result if place == Place::Before => {
                let message = format!("{} is not known before the agent ran", shown(reference));
                self.faults
                    .error("misplaced_reference", path, pos, message)
                    .hint("`${result...}` belongs in `io.outputs`");
            }
            Root::Result => {
                if let Some(spec) = self.cx.spec(self.node) {
                    let fields = spec.outputs.iter().copied().chain(["text"]);
                    let whose = format!("a result of `{}`", spec.name);
                    self.field(reference, &whose, fields, path, pos);
                }
            }
            Root::Node(id) => self.other(reference, id, path, pos),
        }
    }

    /// A reference to another node's result.
    fn other(&mut self, reference: &Reference, id: &str, path: &Path<'_>, pos: Pos) {
        let cx = self.cx;
        let own = &cx.node(self.node).id;
        let Some(&other) = cx.ids.get(id) else {
            let ids = cx.pipeline.nodes.iter().map(|n| n.id.as_str());
            let ids = ids.filter(|id| !id.is_empty() && id != own);
            let hint = self.faults.suggestion(id, ids);
            let message = format!("{} names no node of the pipeline", shown(reference));
            self.faults.error("unknown_node", path, pos, message).hint = hint;
            return;
        };
        if other == self.node {
            let message = format!("{} is the node's own result", shown(reference));
            self.faults
                .error("reference_not_ancestor", path, pos, message)
                .hint("in `io.outputs`, write `${result...}`");
            return;
        }
        let known = cx.sources[self.node].deps_read;
        if known && self.ancestors.contains(self.node, other) == Some(false) {
            let hint = if self.ancestors.contains(other, self.node) == Some(true) {
                format!("{} runs after {}, not before it", quoted(id), quoted(own))
            } else {
                format!("add {} to the deps of {}", quoted(id), quoted(own))
            };
            let message = format!(
                "{} is not known here: {} does not wait for {}",
                shown(reference),
                quoted(own),
                quoted(id)
            );
            self.faults.error("reference_not_ancestor", path, pos, message).hint(hint);
        }
        let whose = format!("the result of {}", quoted(id));
        if let Some(outputs) = &cx.node(other).outputs {
            let fields = outputs.keys().map(String::as_str).chain(ALWAYS);
            self.field(reference, &whose, fields, path, pos);
        } else if let Some(spec) = cx.spec(other) {
            let fields = spec.outputs.iter().copied().chain(["text"]).chain(ALWAYS);
            self.field(reference, &whose, fields, path, pos);
        }
    }

    /// The first step has to be one of `fields`; what is inside a field is known only when it is there.
    fn field<'k>(
        &mut self,
        reference: &Reference,
        whose: &str,
        fields: impl Iterator<Item = &'k str> + Clone,
        path: &Path<'_>,
        pos: Pos,
    ) {
        match reference.path.first() {
            None => {}
            Some(Step::Index(_)) => {
                let message = format!("{}: {whose} is a map, not a list", shown(reference));
                self.faults.error("unknown_field", path, pos, message);
            }
            Some(Step::Key(key)) if fields.clone().any(|field| field == key) => {}
            Some(Step::Key(key)) => {
                let mut listed: Vec<&str> = fields.filter(|f| !f.starts_with('_')).collect();
                listed.sort_unstable();
                listed.dedup();
                let hint = self.faults.suggestion(key, listed.into_iter());
                let message = format!("{}: {whose} has no field {}", shown(reference), quoted(key));
                self.faults.error("unknown_field", path, pos, message).hint = hint;
            }
        }
    }
}

fn shown(reference: &Reference) -> String {
    quoted(&reference.to_string())
}
