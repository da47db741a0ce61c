// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the guard does about what it finds. Plain data; the pipeline's `policies` section maps onto it.

use std::collections::BTreeMap;
use std::fmt;

use crate::detectors;
use crate::finding::PiiType;

/// Scores from which the guard acts (`score >= threshold`), each in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Toxicity from here on blocks the text. Default 0.5.
    pub toxicity_block: f32,
    /// Personal data from here on is replaced. Default 0.7.
    pub pii_redact: f32,
    /// A jailbreak score from here on blocks the text. Default 0.6.
    pub jailbreak_block: f32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { toxicity_block: 0.5, pii_redact: 0.7, jailbreak_block: 0.6 }
    }
}

/// What stands in for a blocked text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SafeTemplates {
    /// True (the default): a short refusal. False: the empty string.
    pub fallback_enabled: bool,
}

impl Default for SafeTemplates {
    fn default() -> Self {
        Self { fallback_enabled: true }
    }
}

/// The guard's policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Scores from which to act.
    pub thresholds: Thresholds,
    /// One flag a PII type, by [`PiiType::key`]; a type that is not named is redacted.
    pub redactions: BTreeMap<String, bool>,
    /// Whether results carry their cards. The guard always makes the card; this tells the orchestrator to attach it.
    pub append_moderation_card: bool,
    /// What stands in for a blocked text.
    pub safe_templates: SafeTemplates,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            thresholds: Thresholds::default(),
            redactions: BTreeMap::new(),
            append_moderation_card: true,
            safe_templates: SafeTemplates::default(),
        }
    }
}

/// One fault of a [`Policy`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PolicyFault {
    /// A threshold outside 0..=1, or not a number.
    Threshold {
        /// The key in `policies.thresholds`.
        key: &'static str,
        /// Its value.
        value: f32,
    },
    /// A flag for a PII type no detector reports.
    UnknownRedaction {
        /// The key in `policies.redactions`.
        key: String,
        /// The keys there are, sorted.
        known: Vec<&'static str>,
    },
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threshold { key, value } => {
                write!(f, "thresholds.{key} is {value}, but must be within 0 and 1")
            }
            Self::UnknownRedaction { key, known } => {
                write!(f, "redactions.{key} names no known PII type (known: {})", known.join(", "))
            }
        }
    }
}

impl Policy {
    /// Whether this type of personal data is to be redacted; on unless switched off.
    #[must_use]
    pub fn redacts(&self, kind: PiiType) -> bool {
        self.redactions.get(kind.key()).copied().unwrap_or(true)
    }

    /// Every fault of the policy, judged by the PII types of the built-in detectors; empty if there is none.
    #[must_use]
    pub fn validate(&self) -> Vec<PolicyFault> {
        self.validate_with(&known_pii_types())
    }

    /// Like [`Policy::validate`], for a guard that has other detectors too.
    #[must_use]
    pub fn validate_with(&self, types: &[PiiType]) -> Vec<PolicyFault> {
        let t = &self.thresholds;
        let mut faults: Vec<PolicyFault> = [
            ("toxicity_block", t.toxicity_block),
            ("pii_redact", t.pii_redact),
            ("jailbreak_block", t.jailbreak_block),
        ]
        .into_iter()
        .filter(|(_, value)| !(0.0..=1.0).contains(value))
        .map(|(key, value)| PolicyFault::Threshold { key, value })
        .collect();
        for key in self.redactions.keys() {
            if !types.iter().any(|kind| kind.key() == key) {
                let mut known: Vec<&'static str> = types.iter().map(|kind| kind.key()).collect();
                known.sort_unstable();
                known.dedup();
                faults.push(PolicyFault::UnknownRedaction { key: key.clone(), known });
            }
        }
        faults
    }
}

/// The PII types the built-in detectors report, sorted by key: the keys `policies.redactions` may have.
#[must_use]
pub fn known_pii_types() -> Vec<PiiType> {
    let mut types: Vec<PiiType> = detectors::builtin()
        .iter()
        .flat_map(|detector| detector.pii_types().iter().copied())
        .collect();
    types.sort_unstable();
    types.dedup();
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_schema() {
        let policy = Policy::default();
        assert_eq!(policy.thresholds.toxicity_block, 0.5);
        assert_eq!(policy.thresholds.pii_redact, 0.7);
        assert_eq!(policy.thresholds.jailbreak_block, 0.6);
        assert!(policy.append_moderation_card);
        assert!(policy.safe_templates.fallback_enabled);
        assert!(policy.validate().is_empty());
        assert!(known_pii_types().into_iter().all(|k| policy.redacts(k)));
    }

    #[test]
    fn known_types_are_the_documented_ones() {
        let keys: Vec<_> = known_pii_types().into_iter().map(PiiType::key).collect();
        for key in [
            "card",
            "crypto",
            "email",
            "iban",
            "ip",
            "mac",
            "password",
            "phone",
            "private_key",
            "secret",
            "ssn",
            "url_credentials",
        ] {
            assert!(keys.contains(&key), "{key} is not in {keys:?}");
        }
    }

    #[test]
    fn every_fault_is_listed() {
        let mut policy = Policy::default();
        policy.thresholds.toxicity_block = -0.1;
        policy.thresholds.pii_redact = f32::NAN;
        policy.thresholds.jailbreak_block = 1.5;
        policy.redactions.insert("emial".into(), true);
        policy.redactions.insert("phone".into(), false);
        let faults = policy.validate();
        assert_eq!(faults.len(), 4);
        let all = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(all.contains("thresholds.toxicity_block is -0.1"), "{all}");
        assert!(all.contains("thresholds.pii_redact is NaN"), "{all}");
        assert!(all.contains("thresholds.jailbreak_block is 1.5"), "{all}");
        assert!(all.contains("redactions.emial") && all.contains("email, iban"), "{all}");
    }

    #[test]
    fn thresholds_may_be_both_ends() {
        let mut policy = Policy::default();
        policy.thresholds.pii_redact = 0.0;
        policy.thresholds.jailbreak_block = 1.0;
        assert!(policy.validate().is_empty());
    }
}
