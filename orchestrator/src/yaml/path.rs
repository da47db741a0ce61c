// SPDX-License-Identifier: AGPL-3.0-or-later
//! Where in the tree: `nodes[2].io.inputs.text`.

use std::fmt;

/// Characters of a key that are shown.
const SHOWN: usize = 48;

/// A path from the root, as a chain on the stack: free until it is printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Option<Step<'p>>,
}

/// One step down.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'p> {
    /// Into the value of a key.
    Key(&'p str),
    /// Into a list.
    Index(usize),
}

impl<'p> Path<'p> {
    /// The document itself.
    pub(crate) const ROOT: Path<'static> = Path { parent: None, step: None };

    /// The value of `key`.
    pub(crate) fn key(&'p self, key: &'p str) -> Path<'p> {
        Path { parent: Some(self), step: Some(Step::Key(key)) }
    }

    /// Item `index`, from 0.
    pub(crate) fn index(&'p self, index: usize) -> Path<'p> {
        Path { parent: Some(self), step: Some(Step::Index(index)) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            fmt::Display::fmt(parent, f)?;
        }
        match self.step {
            Some(step) => step.write(f, self.parent.is_none_or(|p| p.step.is_none())),
            None => Ok(()),
        }
    }
}

impl Step<'_> {
    /// Appends the step; `first` leaves the dot out.
    pub(crate) fn write(&self, out: &mut impl fmt::Write, first: bool) -> fmt::Result {
        match *self {
            Step::Index(index) => write!(out, "[{index}]"),
            Step::Key(key) if is_plain(key) => {
                out.write_str(if first { "" } else { "." })?;
                out.write_str(key)
            }
            Step::Key(key) => {
                let shown: String = key.chars().take(SHOWN).collect();
                let more = if shown.len() < key.len() { "..." } else { "" };
                write!(out, "[{:?}]", format!("{shown}{more}"))
            }
        }
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= SHOWN
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_code() {
        let nodes = Path::ROOT.key("nodes");
        let second = nodes.index(2);
        let io = second.key("io");
        assert_eq!(io.key("inputs").to_string(), "nodes[2].io.inputs");
        assert_eq!(io.key("a b").to_string(), "nodes[2].io[\"a b\"]");
        assert_eq!(Path::ROOT.to_string(), "");
    }

    #[test]
    fn long_keys_are_cut() {
        let key = "k".repeat(5000);
        assert!(Path::ROOT.key(&key).to_string().len() < 64);
    }
}
