// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is wrong with a pipeline file, where, and what would be accepted.

use std::fmt;

use serde::Serialize;
use serde::ser::SerializeStruct;

use crate::yaml::{Path, YamlFault};

use super::Pos;

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The pipeline cannot run.
    Error,
    /// It runs, and perhaps not as meant.
    Warning,
    /// A key that is accepted and has no effect in this version.
    NotYet,
}

impl Severity {
    /// The word for it: `error`, `warning` or `not_yet`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::NotYet => "not_yet",
        }
    }
}

/// One fault of a pipeline file.
///
/// Displays as `LINE:COL: error[code]: message`; [`Fault::render`] puts the file's name before it and the hint after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// How bad it is.
    pub severity: Severity,
    /// Stable word for the kind of fault, e.g. `unknown_key`.
    pub code: &'static str,
    /// Where in the configuration, e.g. `nodes[2].io.inputs.text`; empty for the file as a whole.
    pub path: String,
    /// Where in the file.
    pub pos: Pos,
    /// What is wrong.
    pub message: String,
    /// What would be accepted, or what to do.
    pub hint: Option<String>,
}

impl Fault {
    /// Whether the pipeline cannot run for it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// `FILE:LINE:COL: error[code]: message`, and the hint on a line of its own.
    pub fn render(&self, file: &str) -> String {
        match &self.hint {
            Some(hint) => format!("{file}:{self}\n  hint: {hint}\n"),
            None => format!("{file}:{self}\n"),
        }
    }

    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = match self.severity {
            Severity::NotYet => "note",
            other => other.as_str(),
        };
        write!(f, "{}: {label}[{}]: {}", self.pos, self.code, self.message)
    }
}

impl Serialize for Fault {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Fault", 7)?;
        out.serialize_field("severity", self.severity.as_str())?;
        out.serialize_field("code", self.code)?;
        out.serialize_field("path", &self.path)?;
        out.serialize_field("line", &self.pos.line)?;
        out.serialize_field("column", &self.pos.column)?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("hint", &self.hint)?;
        out.end()
    }
}

/// Names compared for hints in one file; a file made to be slow gets fewer hints.
const MAX_COMPARISONS: usize = 100_000;

/// Longest name that is compared or, in a message, shown whole.
const MAX_SHOWN: usize = 48;

/// Names listed in a hint.
const MAX_LISTED: usize = 20;

/// How alike two names have to be for one to be a hint for the other.
const ALIKE: f64 = 0.8;

/// Gathers faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    faults: Vec<Fault>,
    comparisons: usize,
}

impl Faults {
    /// Adds an error.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        path: &Path<'_>,
        pos: Pos,
        message: impl Into<String>,
    ) -> &mut Fault {
        self.add(Severity::Error, code, path, pos, message.into())
    }

    /// Adds a warning.
    pub(super) fn warning(
        &mut self,
        code: &'static str,
        path: &Path<'_>,
        pos: Pos,
        message: impl Into<String>,
    ) -> &mut Fault {
        self.add(Severity::Warning, code, path, pos, message.into())
    }

    /// Adds a key that is accepted and has no effect yet.
    pub(super) fn not_yet(&mut self, path: &Path<'_>, pos: Pos, message: impl Into<String>) {
        self.add(Severity::NotYet, "not_yet", path, pos, message.into());
    }

    /// Adds a fault of the YAML itself.
    pub(super) fn yaml(&mut self, fault: YamlFault) {
        let YamlFault { code, path, pos, message, hint } = fault;
        self.faults.push(Fault { severity: Severity::Error, code, path, pos, message, hint });
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        path: &Path<'_>,
        pos: Pos,
        message: String,
    ) -> &mut Fault {
        let path = path.to_string();
        // `Vec::push_mut` is not in the oldest supported compiler.
        let at = self.faults.len();
        self.faults.push(Fault { severity, code, path, pos, message, hint: None });
        &mut self.faults[at]
    }

    /// Whether there is an error so far.
    pub(super) fn any_error(&self) -> bool {
        self.faults.iter().any(Fault::is_error)
    }

    /// How many faults there are so far.
    pub(super) fn len(&self) -> usize {
        self.faults.len()
    }

    /// All faults, in the order of the file.
    pub(super) fn sorted(self) -> Vec<Fault> {
        let mut faults = self.faults;
        faults.sort_by(|a, b| (a.pos, a.severity, a.code).cmp(&(b.pos, b.severity, b.code)));
        faults
    }

    /// A hint for a word that is none of `known`: the nearest of them, else, if they are few, all of them.
    pub(super) fn suggestion<'k>(
        &mut self,
        word: &str,
        known: impl Iterator<Item = &'k str> + Clone,
    ) -> Option<String> {
        if let Some(nearest) = self.nearest(word, known.clone()) {
            return Some(format!("did you mean `{nearest}`?"));
        }
        let listed: Vec<&str> = known.take(MAX_LISTED + 1).collect();
        (!listed.is_empty() && listed.len() <= MAX_LISTED)
            .then(|| format!("accepted here: {}", listed.join(", ")))
    }

    fn nearest<'k>(&mut self, word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
        if word.is_empty() || word.len() > MAX_SHOWN {
            return None;
        }
        let mut best: Option<(f64, &str)> = None;
        for candidate in known.filter(|k| k.len() <= MAX_SHOWN) {
            if self.comparisons >= MAX_COMPARISONS {
                break;
            }
            self.comparisons += 1;
            let score = likeness(word, candidate);
            if score >= ALIKE && best.is_none_or(|(most, _)| score > most) {
                best = Some((score, candidate));
            }
        }
        best.map(|(_, candidate)| candidate)
    }
}

/// From 0 to 1; a name inside another counts as near: `retries` and `max_retries`.
fn likeness(a: &str, b: &str) -> f64 {
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    let near = strsim::jaro_winkler(&a, &b);
    let shorter = a.len().min(b.len());
    if shorter >= 4 && (a.contains(&b) || b.contains(&a)) { near.max(0.9) } else { near }
}

/// `text` in backquotes, cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("`{}...`", text[..end].escape_debug()),
        None => format!("`{}`", text.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["timeout_ms", "max_retries", "guard_pre", "guard_post", "deps"];

    #[test]
    fn the_nearest_name_is_the_hint() {
        let mut faults = Faults::default();
        for (word, expected) in [
            ("timeout", "timeout_ms"),
            ("retries", "max_retries"),
            ("guard_prre", "guard_pre"),
            ("dep", "deps"),
            ("Deps", "deps"),
        ] {
            let hint = faults.suggestion(word, KEYS.into_iter());
            assert_eq!(hint.unwrap(), format!("did you mean `{expected}`?"));
        }
        let hint = faults.suggestion("zzz", KEYS.into_iter()).unwrap();
        assert_eq!(hint, "accepted here: timeout_ms, max_retries, guard_pre, guard_post, deps");
        assert_eq!(faults.suggestion("zzz", std::iter::empty()), None);
        assert_eq!(faults.suggestion("zzz", std::iter::repeat_n("aaa", 21)), None);
    }

    #[test]
    fn hints_end_when_they_cost_too_much() {
        let mut faults = Faults::default();
        let many = std::iter::repeat_n("other", MAX_COMPARISONS);
        assert_eq!(faults.suggestion("deps", many.chain(["deps"])), None);
        assert!(faults.comparisons <= MAX_COMPARISONS);
    }

    #[test]
    fn json_is_flat() {
        let mut faults = Faults::default();
        let pos = Pos { line: 3, column: 7 };
        faults.error("unknown_key", &Path::ROOT.key("nodes").index(1), pos, "no").hint("yes");
        let json = serde_json::to_string(&faults.sorted()).unwrap();
        assert_eq!(
            json,
            r#"[{"severity":"error","code":"unknown_key","path":"nodes[1]","line":3,"column":7,"message":"no","hint":"yes"}]"#
        );
    }

    #[test]
    fn long_and_odd_names_are_cut_and_escaped() {
        assert_eq!(quoted("a\nb"), "`a\\nb`");
        assert!(quoted(&"é".repeat(100)).chars().count() < 60);
    }
}
