// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a detector reports: where, what kind, how sure. Offsets only, never the text itself.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::normalise::Via;

/// Names given at run time are kept for good: bounds on how long and how many.
const MAX_NAME: usize = 48;
const MAX_NAMES: usize = 4096;

/// A kind of personal data, named as in `policies.redactions` of a pipeline.
///
/// A detector declares its own types as constants, so a new kind of PII needs no change outside the detector's file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PiiType {
    key: &'static str,
}

impl PiiType {
    /// Names a kind of PII.
    ///
    /// # Panics
    /// If `key` is empty or holds anything but `a-z`, `0-9` and `_`. In a `const`, where detectors declare their
    /// types, that is a compile error.
    #[must_use]
    pub const fn new(key: &'static str) -> Self {
        let bytes = key.as_bytes();
        assert!(!bytes.is_empty(), "a PII type needs a name");
        let mut i = 0;
        while i < bytes.len() {
            assert!(
                bytes[i].is_ascii_lowercase() || bytes[i].is_ascii_digit() || bytes[i] == b'_',
                "a PII type is named with a-z, 0-9 and _"
            );
            i += 1;
        }
        Self { key }
    }

    /// A type whose name is known at run time only, as those of a policy's deny list are.
    ///
    /// Names live as long as the process, each once. `None` for a name that [`PiiType::new`] would not take, for one of more
    /// than 48 bytes, and beyond 4096 different names.
    #[must_use]
    pub fn named(key: &str) -> Option<Self> {
        static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if key.is_empty() || key.len() > MAX_NAME || !key.bytes().all(valid) {
            return None;
        }
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = names.get(key) {
            return Some(Self { key });
        }
        if names.len() >= MAX_NAMES {
            return None;
        }
        let key: &'static str = Box::leak(key.to_owned().into_boxed_str());
        names.insert(key);
        Some(Self { key })
    }

    /// The key in `policies.redactions`, e.g. `email`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        self.key
    }

    /// The type as a card writes it, e.g. `PII.email`.
    #[must_use]
    pub fn label(self) -> String {
        format!("PII.{}", self.key)
    }

    /// What replaces the text, e.g. `[EMAIL]`.
    #[must_use]
    pub fn placeholder(self) -> String {
        format!("[{}]", self.key.to_ascii_uppercase())
    }
}

impl fmt::Debug for PiiType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PII.{}", self.key)
    }
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Category {
    /// Abuse, hate, threats, sexual harassment.
    Toxicity,
    /// An attempt to make a model drop its instructions or its limits.
    Jailbreak,
    /// Text among retrieved documents that gives orders to who reads them for somebody else.
    Indirect,
    /// What the policy's deny list blocks.
    Denied,
    /// Personal data of the given type.
    Pii(PiiType),
}

impl Category {
    /// The name in a card's evidence: `toxicity`, `jailbreak`, `indirect`, `denied`, `PII.email`.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Toxicity => "toxicity".to_owned(),
            Self::Jailbreak => "jailbreak".to_owned(),
            Self::Indirect => "indirect".to_owned(),
            Self::Denied => "denied".to_owned(),
            Self::Pii(kind) => kind.label(),
        }
    }

    /// The tag in a card's `policy_tags`; personal data has one more for its type.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::Toxicity => "toxicity",
            Self::Jailbreak => "jailbreak",
            Self::Indirect => "injection.indirect",
            Self::Denied => "denied",
            Self::Pii(_) => "pii",
        }
    }
}

/// One thing a detector saw.
///
/// Holds offsets and names only, so that printing a finding can never reveal what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What it is.
    pub category: Category,
    /// Where: byte offsets into the text as it was given, on `char` boundaries.
    pub span: Range<usize>,
    /// How sure, 0..=1. Compared with the policy's threshold by `>=`.
    pub score: f32,
    /// The detector's name.
    pub detector: &'static str,
    /// Which of the detector's rules or labels decided, e.g. `instruction_override`.
    pub rule: &'static str,
    /// The disguise it was under: which step of the normaliser brought it to light; none for what stands there plainly.
    pub via: Option<Via>,
}

impl Finding {
    /// A finding of personal data.
    #[must_use]
    pub fn pii(
        kind: PiiType,
        span: Range<usize>,
        score: f32,
        detector: &'static str,
        rule: &'static str,
    ) -> Self {
        Self {
            category: Category::Pii(kind),
            span,
            score: score.clamp(0.0, 1.0),
            detector,
            rule,
            via: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_a_key_a_label_and_a_placeholder() {
        const KIND: PiiType = PiiType::new("us_passport");
        assert_eq!(KIND.key(), "us_passport");
        assert_eq!(KIND.label(), "PII.us_passport");
        assert_eq!(KIND.placeholder(), "[US_PASSPORT]");
        assert_eq!(format!("{KIND:?}"), "PII.us_passport");
    }

    #[test]
    fn a_name_given_at_run_time_is_the_same_type() {
        assert_eq!(PiiType::named("email"), Some(PiiType::new("email")));
        assert_eq!(PiiType::named("code_name"), PiiType::named("code_name"));
        for bad in ["", "E-Mail", "a b", &"x".repeat(MAX_NAME + 1)] {
            assert_eq!(PiiType::named(bad), None, "{bad}");
        }
    }

    #[test]
    #[should_panic(expected = "a-z, 0-9")]
    fn a_type_key_that_no_yaml_key_would_match_is_refused() {
        let _ = PiiType::new("E-Mail");
    }
}
