// SPDX-License-Identifier: AGPL-3.0-or-later
//! Dependencies: known, once each, without cycles; and who is an ancestor of whom.

use std::collections::{HashMap, HashSet};

use crate::yaml::Path;

use super::super::fault::{Faults, quoted};
use super::Context;

/// Cycles reported in one file.
const MAX_CYCLES: usize = 16;

/// Nodes of a cycle that are printed.
const MAX_PRINTED: usize = 16;

/// For each node the set of its ancestors, as bits.
pub(super) struct Ancestors {
    words: usize,
    bits: Vec<u64>,
    unresolved: Vec<bool>,
}

impl Ancestors {
    fn new(cx: &Context<'_>) -> Self {
        let count = cx.pipeline.nodes.len();
        let words = count.div_ceil(64);
        let mut bits = vec![0_u64; words * count];
        for &i in &cx.plan.order {
            for &parent in &cx.plan.parents[i] {
                // A parent comes earlier in the order, so its own row is final.
                for w in 0..words {
                    bits[i * words + w] |= bits[parent * words + w];
                }
                bits[i * words + parent / 64] |= 1 << (parent % 64);
            }
        }
        let mut unresolved = vec![false; count];
        cx.plan.unresolved.iter().for_each(|&i| unresolved[i] = true);
        Self { words, bits, unresolved }
    }

    /// Whether `ancestor` runs before `node`; `None` where the graph is too wrong to say.
    pub(super) fn contains(&self, node: usize, ancestor: usize) -> Option<bool> {
        let word = self.bits[node * self.words + ancestor / 64];
        (!self.unresolved[node]).then_some(word >> (ancestor % 64) & 1 == 1)
    }
}

/// Checks every `deps` and the graph they make.
pub(super) fn check(cx: &Context<'_>, faults: &mut Faults) -> Ancestors {
    let nodes = Path::ROOT.key("nodes");
    for (i, source) in cx.sources.iter().enumerate() {
        let node = nodes.index(source.index);
        let path = node.key("deps");
        let Some(deps) = source.tree.entry("deps") else { continue };
        let mut seen = HashSet::new();
        for (d, item) in deps.value.items().iter().enumerate() {
            let Some(dep) = item.text() else { continue };
            let path = path.index(d);
            if dep.is_empty() {
                continue;
            }
            if !seen.insert(dep) {
                let message = format!("{} is named twice among the deps", quoted(dep));
                faults.warning("duplicate_dep", &path, item.pos, message);
                continue;
            }
            let own = &cx.node(i).id;
            if dep == own {
                let message = format!("the node {} depends on itself", quoted(own));
                faults.error("self_dep", &path, item.pos, message);
            } else if !cx.ids.contains_key(dep) {
                let others = cx.pipeline.nodes.iter().map(|n| n.id.as_str());
                let others = others.filter(|id| !id.is_empty() && id != own);
                let hint = faults.suggestion(dep, others);
                let message = format!("no node has the id {}", quoted(dep));
                faults.error("unknown_dep", &path, item.pos, message).hint = hint;
            }
        }
    }
    cycles(cx, faults);
    Ancestors::new(cx)
}

/// Reports cycles of more than one node: one for each edge that closes one in a depth-first walk, so that a graph
/// without a reported cycle has none.
fn cycles(cx: &Context<'_>, faults: &mut Faults) {
    let nodes = Path::ROOT.key("nodes");
    let found = find_cycles(&cx.plan.parents, &cx.plan.unresolved);
    let cut = found.len() > MAX_CYCLES;
    for cycle in found.into_iter().take(MAX_CYCLES) {
        let (first, next) = (cycle[0], cycle[1]);
        let shown: Vec<&str> =
            cycle.iter().take(MAX_PRINTED).map(|&i| cx.node(i).id.as_str()).collect();
        let mut printed = shown.join(" -> ");
        if let Some(more @ 1..) = cycle.len().checked_sub(MAX_PRINTED) {
            printed.push_str(&format!(" -> ... ({more} more)"));
        }
        let start = &cx.node(first).id;
        let source = cx.sources[first];
        let next = &cx.node(next).id;
        let deps = source.tree.entry("deps").map(|deps| deps.value.items()).unwrap_or_default();
        let at = deps.iter().position(|item| item.text() == Some(next));
        let pos = at.map_or(source.tree.pos, |at| deps[at].pos);
        let node = nodes.index(source.index);
        let path = node.key("deps");
        let message = format!("a cycle, each node waiting for the next: {printed} -> {start}");
        let fault = faults.error("cycle", &path.index(at.unwrap_or_default()), pos, message);
        if cut {
            fault.hint(format!("there are more cycles; the first {MAX_CYCLES} are shown"));
        }
    }
}

/// Cycles along `parents` among the `among` nodes, each once and beginning with the node declared first; at most one
/// more than [`MAX_CYCLES`].
fn find_cycles(parents: &[Vec<usize>], among: &[usize]) -> Vec<Vec<usize>> {
    let mut found: Vec<Vec<usize>> = Vec::new();
    let mut done = vec![false; parents.len()];
    for &start in among {
        if done[start] {
            continue;
        }
        // The walk's stack: a node and how many of its parents were visited.
        let mut stack = vec![(start, 0)];
        let mut on_stack = HashMap::from([(start, 0)]);
        while let Some((node, visited)) = stack.last_mut() {
            let Some(&parent) = parents[*node].get(*visited) else {
                done[*node] = true;
                on_stack.remove(node);
                stack.pop();
                continue;
            };
            *visited += 1;
            if let Some(&depth) = on_stack.get(&parent) {
                let mut cycle: Vec<usize> = stack[depth..].iter().map(|(n, _)| *n).collect();
                let least = (0..cycle.len()).min_by_key(|&k| cycle[k]).unwrap_or_default();
                cycle.rotate_left(least);
                if cycle.len() > 1 && !found.contains(&cycle) {
                    found.push(cycle);
                }
                if found.len() > MAX_CYCLES {
                    return found;
                }
            } else if !done[parent] {
                on_stack.insert(parent, stack.len());
                stack.push((parent, 0));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cycle_is_found_once() {
        // 0 -> 1 -> 2 -> 0, 1 -> 0, 3 -> 3, 4 -> 0
        let parents = [vec![1], vec![2, 0], vec![0], vec![3], vec![0]];
        let found = find_cycles(&parents, &[0, 1, 2, 3, 4]);
        assert_eq!(found, [vec![0, 1, 2], vec![0, 1]]);
    }

    #[test]
    fn a_complete_graph_ends() {
        let parents: Vec<Vec<usize>> =
            (0..300).map(|i| (0..300).filter(|&p| p != i).collect()).collect();
        let all: Vec<usize> = (0..300).collect();
        assert_eq!(find_cycles(&parents, &all).len(), MAX_CYCLES + 1);
    }
}
