// SPDX-License-Identifier: AGPL-3.0-or-later
//! What can go wrong in a run: faults recorded in results, and errors that prevent a run.

use std::fmt;
use std::str::FromStr;

use bho_guard::GuardError;

/// Why a node, or the run, gave no (full) result.
///
/// [`fmt::Display`] gives the machine-readable string of the result map's `_error` and
/// [`FromStr`] reads it back. Messages never hold raw personal data: they pass the guard first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunFault {
    /// `timeout:<id>:<ms>`: the last attempt took longer than the node's `timeout_ms`.
    Timeout {
        /// Node id.
        node: String,
        /// Its limit.
        ms: u64,
    },
    /// `node_failed:<id>:<Kind>:<message>`: see [`kind`] for the kinds the run itself gives.
    NodeFailed {
        /// Node id.
        node: String,
        /// Short kind, without colons.
        kind: String,
        /// What happened.
        message: String,
    },
    /// `blocked_pre:<reason>`: the guard blocked an input and `on_error.node.blocked_pre` is `error`.
    BlockedPre {
        /// The signal, its score and the threshold.
        reason: String,
    },
    /// `blocked_post:<reason>`: the guard blocked an output and `on_error.node.blocked_post` is `error`.
    BlockedPost {
        /// The signal, its score and the threshold.
        reason: String,
    },
    /// `dag_unresolved_nodes:[a, b]`: these wait for each other, or for a node that does not exist.
    UnresolvedNodes {
        /// Node ids in declared order.
        nodes: Vec<String>,
    },
    /// `deadline:<ms>`: the run's `deadline_ms` came first.
    Deadline {
        /// The limit.
        ms: u64,
    },
}

/// Kinds of [`RunFault::NodeFailed`] that the run itself gives; all others come from agents.
pub mod kind {
    /// The agent panicked.
    pub const PANIC: &str = "Panic";
    /// The caller stopped the run, or another node's failure did.
    pub const CANCELLED: &str = "Cancelled";
    /// The node never ran, because of another node's failure.
    pub const SKIPPED: &str = "Skipped";
    /// A reference in `io` names nothing.
    pub const BINDING: &str = "Binding";
    /// The guard could not do its work, so nothing was passed on.
    pub const GUARD: &str = "Guard";
    /// The registry has no such agent.
    pub const UNKNOWN_AGENT: &str = "UnknownAgent";
}

impl RunFault {
    /// A `node_failed` fault.
    pub fn failed(node: &str, kind: &str, message: impl Into<String>) -> Self {
        // Colons separate the parts, so a kind cannot hold one.
        let kind = kind.chars().map(|c| if c == ':' || c.is_control() { '_' } else { c }).collect();
        Self::NodeFailed { node: node.to_owned(), kind, message: message.into() }
    }
}

impl fmt::Display for RunFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { node, ms } => write!(f, "timeout:{node}:{ms}"),
            Self::NodeFailed { node, kind, message } => {
                write!(f, "node_failed:{node}:{kind}:{message}")
            }
            Self::BlockedPre { reason } => write!(f, "blocked_pre:{reason}"),
            Self::BlockedPost { reason } => write!(f, "blocked_post:{reason}"),
            Self::UnresolvedNodes { nodes } => {
                write!(f, "dag_unresolved_nodes:[{}]", nodes.join(", "))
            }
            Self::Deadline { ms } => write!(f, "deadline:{ms}"),
        }
    }
}

/// A string that is none of the fault strings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a fault: expected `timeout:<id>:<ms>`, `node_failed:<id>:<Kind>:<message>`, `blocked_pre:<reason>`, \
     `blocked_post:<reason>`, `dag_unresolved_nodes:[...]` or `deadline:<ms>`"
)]
pub struct ParseFaultError;

impl FromStr for RunFault {
    type Err = ParseFaultError;

    /// Reads a fault string back. Node ids hold no colons (validation sees to that).
    fn from_str(text: &str) -> Result<Self, ParseFaultError> {
        let (name, rest) = text.split_once(':').ok_or(ParseFaultError)?;
        let number = |text: &str| text.parse().map_err(|_| ParseFaultError);
        Ok(match name {
            "timeout" => {
                let (node, ms) = rest.rsplit_once(':').ok_or(ParseFaultError)?;
                Self::Timeout { node: node.to_owned(), ms: number(ms)? }
            }
            "node_failed" => {
                let mut parts = rest.splitn(3, ':').map(str::to_owned);
                match (parts.next(), parts.next(), parts.next()) {
                    (Some(node), Some(kind), Some(message)) => {
                        Self::NodeFailed { node, kind, message }
                    }
                    _ => return Err(ParseFaultError),
                }
            }
            "blocked_pre" => Self::BlockedPre { reason: rest.to_owned() },
            "blocked_post" => Self::BlockedPost { reason: rest.to_owned() },
            "dag_unresolved_nodes" => {
                let list = rest.strip_prefix('[').and_then(|r| r.strip_suffix(']'));
                let list = list.ok_or(ParseFaultError)?;
                let ids = list.split(',').map(str::trim).filter(|id| !id.is_empty());
                Self::UnresolvedNodes { nodes: ids.map(str::to_owned).collect() }
            }
            "deadline" => Self::Deadline { ms: number(rest)? },
            _ => return Err(ParseFaultError),
        })
    }
}

/// Why a run could not start, or its input could not be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The pipeline's policies make no guard, or a detector failed on the input: then nothing of
    /// it may be passed on.
    #[error("the guard cannot check the input: {0}")]
    Guard(#[from] GuardError),
    /// The threads that run nodes could not be started.
    #[error("cannot start the threads that run nodes: {0}")]
    Threads(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_those_of_the_contract_and_read_back() {
        let failed = RunFault::failed("a", "Model", "no file: x:y");
        for (fault, text) in [
            (RunFault::Timeout { node: "a".into(), ms: 900 }, "timeout:a:900"),
            (failed, "node_failed:a:Model:no file: x:y"),
            (RunFault::BlockedPre { reason: "jailbreak 0.9".into() }, "blocked_pre:jailbreak 0.9"),
            (RunFault::BlockedPost { reason: "r".into() }, "blocked_post:r"),
            (
                RunFault::UnresolvedNodes { nodes: vec!["a".into(), "b".into()] },
                "dag_unresolved_nodes:[a, b]",
            ),
            (RunFault::Deadline { ms: 4000 }, "deadline:4000"),
        ] {
            assert_eq!(fault.to_string(), text);
            assert_eq!(text.parse::<RunFault>().unwrap(), fault);
        }
    }

    #[test]
    fn other_strings_are_refused() {
        for text in [
            "",
            "timeout",
            "timeout:a:soon",
            "node_failed:a:b",
            "deadline:",
            "oops:1",
            "dag_unresolved_nodes:a",
        ] {
            assert!(text.parse::<RunFault>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_kind_never_holds_a_colon() {
        assert_eq!(RunFault::failed("a", "x:y", "m").to_string(), "node_failed:a:x_y:m");
    }
}
