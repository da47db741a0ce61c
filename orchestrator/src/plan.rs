// SPDX-License-Identifier: AGPL-3.0-or-later
//! The order of a pipeline's nodes: who feeds whom, and which path to the end is the longest.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::config::Pipeline;

/// Cost of a node that gives no `cost_est`, in milliseconds: without estimates, paths compare by their length.
pub const DEFAULT_COST_MS: f64 = 1.0;

/// The graph of a pipeline by node index, in declared order.
///
/// Made of a pipeline that passed validation, every node is in `order`. Of any other, what cannot run (a cycle and
/// what waits for it, or a dependency that does not exist) is in `unresolved`; of nodes with one id, the first is meant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Parents before children; among those that could go next, the one declared first.
    pub order: Vec<usize>,
    /// Nodes that can never run, in declared order.
    pub unresolved: Vec<usize>,
    /// Parents of each node, in the order of its `deps`, each once.
    pub parents: Vec<Vec<usize>>,
    /// Children of each node, in declared order.
    pub children: Vec<Vec<usize>>,
    /// Edges on the longest way from a root; 0 for a root and for what is unresolved.
    pub depth: Vec<usize>,
    /// Cost of the dearest path from each node to an end, itself included, in milliseconds.
    pub critical_path: Vec<f64>,
    /// Nodes that feed no other, in declared order.
    pub final_nodes: Vec<usize>,
}

impl Plan {
    /// Plans a pipeline, in time linear in its nodes and edges but for a logarithm.
    pub fn new(pipeline: &Pipeline) -> Self {
        let count = pipeline.nodes.len();
        let mut index: HashMap<&str, usize> = HashMap::with_capacity(count);
        for (i, node) in pipeline.nodes.iter().enumerate() {
            index.entry(&node.id).or_insert(i);
        }
        let mut plan = Self {
            parents: vec![Vec::new(); count],
            children: vec![Vec::new(); count],
            depth: vec![0; count],
            critical_path: vec![0.0; count],
            ..Self::default()
        };
        // Last child seen of each parent: a dependency named twice is one edge.
        let mut last_child = vec![usize::MAX; count];
        let mut waiting = vec![0_usize; count];
        for (i, node) in pipeline.nodes.iter().enumerate() {
            for dep in &node.deps {
                let Some(&parent) = index.get(dep.as_str()) else {
                    // Waits for what never comes.
                    waiting[i] += 1;
                    continue;
                };
                if last_child[parent] != i {
                    last_child[parent] = i;
                    plan.parents[i].push(parent);
                    plan.children[parent].push(i);
                    waiting[i] += 1;
                }
            }
        }
        plan.sort(waiting);
        for &i in plan.order.iter().rev() {
            let after = plan.children[i].iter().map(|&c| plan.critical_path[c]).fold(0.0, f64::max);
            plan.critical_path[i] = after + pipeline.nodes[i].cost_est.unwrap_or(DEFAULT_COST_MS);
        }
        plan.final_nodes = (0..count).filter(|&i| plan.children[i].is_empty()).collect();
        plan
    }

    /// Kahn's algorithm; the heap keeps declared order among those that are ready.
    fn sort(&mut self, mut waiting: Vec<usize>) {
        let ready = waiting.iter().enumerate().filter(|(_, n)| **n == 0);
        let mut ready: BinaryHeap<Reverse<usize>> = ready.map(|(i, _)| Reverse(i)).collect();
        while let Some(Reverse(i)) = ready.pop() {
            self.order.push(i);
            for &child in &self.children[i] {
                self.depth[child] = self.depth[child].max(self.depth[i] + 1);
                waiting[child] -= 1;
                if waiting[child] == 0 {
                    ready.push(Reverse(child));
                }
            }
        }
        self.unresolved = (0..waiting.len()).filter(|&i| waiting[i] > 0).collect();
        for &i in &self.unresolved {
            self.depth[i] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Node;

    fn plan(nodes: &[(&str, &[&str], Option<f64>)]) -> Plan {
        let nodes = nodes.iter().map(|(id, deps, cost_est)| Node {
            id: (*id).to_owned(),
            deps: deps.iter().map(ToString::to_string).collect(),
            cost_est: *cost_est,
            ..Node::default()
        });
        Plan::new(&Pipeline { nodes: nodes.collect(), ..Pipeline::default() })
    }

    #[test]
    fn a_diamond() {
        let plan = plan(&[
            ("reduce", &["b", "a"], Some(5.0)),
            ("a", &["parse"], Some(20.0)),
            ("b", &["parse", "parse"], None),
            ("parse", &[], Some(10.0)),
        ]);
        assert_eq!(plan.order, [3, 1, 2, 0]);
        assert_eq!(plan.parents[0], [2, 1]);
        assert_eq!(plan.children[3], [1, 2]);
        assert_eq!(plan.depth, [2, 1, 1, 0]);
        assert_eq!(plan.critical_path, [5.0, 25.0, 6.0, 35.0]);
        assert_eq!(plan.final_nodes, [0]);
        assert_eq!(plan.unresolved, [0; 0]);
    }

    #[test]
    fn what_cannot_run_is_unresolved() {
        let plan = plan(&[
            ("a", &["b"], None),
            ("b", &["a"], None),
            ("c", &["b"], None),
            ("d", &["nowhere"], None),
            ("e", &[], None),
            ("f", &["f"], None),
        ]);
        assert_eq!(plan.order, [4]);
        assert_eq!(plan.unresolved, [0, 1, 2, 3, 5]);
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let ids: Vec<String> = (0..100_000).map(|i| i.to_string()).collect();
        let nodes = (0..ids.len()).map(|i| Node {
            id: ids[i].clone(),
            deps: ids.get(i.wrapping_sub(1)).cloned().into_iter().collect(),
            ..Node::default()
        });
        let plan = Plan::new(&Pipeline { nodes: nodes.collect(), ..Pipeline::default() });
        assert_eq!(plan.critical_path[0], 100_000.0);
        assert_eq!(plan.depth[99_999], 99_999);
    }
}
