// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the guard does about what it finds. Plain data; the pipeline's `policies` section maps onto it.

use std::collections::BTreeMap;
use std::fmt;

use crate::detectors;
use crate::detectors::learned::TAGGED_TYPES;
use crate::finding::PiiType;
use crate::lists::{self, AllowEntry, DenyAction, DenyEntry};
use crate::operator::{GuardKeys, HASH_LENGTHS, Operator};
use crate::reading::MODEL_WINDOWS;
use crate::templates;

/// Scores from which the guard acts (`score >= threshold`), each in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Toxicity from here on blocks the text. Default 0.5.
    pub toxicity_block: f32,
    /// Personal data from here on is replaced. Default 0.7.
    pub pii_redact: f32,
    /// A jailbreak score from here on blocks the text. Default 0.6.
    pub jailbreak_block: f32,
    /// An order hidden in a retrieved text from here on blocks it. Default 0.6.
    pub indirect_block: f32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { toxicity_block: 0.5, pii_redact: 0.7, jailbreak_block: 0.6, indirect_block: 0.6 }
    }
}

/// Types that are reported and left in the text unless `redactions` says otherwise: by themselves they hardly point to
/// a person.
const KEPT: &[&str] = &["place"];

/// Whether a type that `redactions` does not name is left in the text.
#[must_use]
pub fn kept_by_default(key: &str) -> bool {
    KEPT.contains(&key)
}

/// What stands in for a blocked text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeTemplates {
    /// True (the default): a short refusal. False: the empty string.
    pub fallback_enabled: bool,
    /// The language of the refusal, one of [`template_languages`](crate::template_languages); `de-AT` is `de`.
    pub language: String,
    /// Texts in place of the bundled ones, by [`TEMPLATE_KEYS`](crate::TEMPLATE_KEYS).
    pub texts: BTreeMap<String, String>,
}

impl Default for SafeTemplates {
    fn default() -> Self {
        Self {
            fallback_enabled: true,
            language: templates::DEFAULT_LANGUAGE.to_owned(),
            texts: BTreeMap::new(),
        }
    }
}

/// The guard's policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Scores from which to act.
    pub thresholds: Thresholds,
    /// One operator a PII type, by [`PiiType::key`]; a type that is not named is replaced by its placeholder, or kept
    /// ([`kept_by_default`]). A flag is an operator too: `true.into()` replaces, `false.into()` keeps.
    pub redactions: BTreeMap<String, Operator>,
    /// Values that are no personal data here: a finding whose whole text is one of them is dropped. Such a value inside a
    /// longer finding changes nothing.
    pub allow: Vec<AllowEntry>,
    /// Words that are redacted, or block, wherever they stand; they win over [`Policy::allow`].
    pub deny: Vec<DenyEntry>,
    /// Whether results carry their cards. The guard always makes the card; this tells the orchestrator to attach it.
    pub append_moderation_card: bool,
    /// What stands in for a blocked text.
    pub safe_templates: SafeTemplates,
    /// Windows of [`WINDOW_BYTES`](crate::WINDOW_BYTES) that a model reads of one text at most, at least 1; of a longer text
    /// it reads both ends, what is most worth reading and a spread of the rest, and the card says how much. Default
    /// [`MODEL_WINDOWS`](crate::MODEL_WINDOWS).
    pub model_windows: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            thresholds: Thresholds::default(),
            redactions: BTreeMap::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            append_moderation_card: true,
            safe_templates: SafeTemplates::default(),
            model_windows: MODEL_WINDOWS,
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
    /// A budget under which no model could read anything.
    ModelWindows,
    /// An operator that cannot work as it is set.
    Operator {
        /// The key in `policies.redactions`.
        key: String,
        /// What is wrong, and what would be accepted.
        reason: String,
    },
    /// An operator for a PII type no detector reports.
    UnknownRedaction {
        /// The key in `policies.redactions`.
        key: String,
        /// The keys there are, sorted.
        known: Vec<&'static str>,
    },
    /// An entry of a list that cannot work.
    List {
        /// `allow` or `deny`.
        list: &'static str,
        /// Which of its entries, from 0.
        entry: usize,
        /// Which of the entry's texts, from 0; none where the entry itself is at fault.
        text: Option<usize>,
        /// What is wrong, and what would be accepted.
        reason: String,
    },
    /// A language that templates do not come in.
    TemplateLanguage {
        /// What was asked for.
        language: String,
        /// The languages there are, sorted.
        known: Vec<&'static str>,
    },
    /// A template of the policy's own that cannot be one.
    Template {
        /// The key in `policies.output.safe_templates.texts`.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threshold { key, value } => {
                write!(f, "thresholds.{key} is {value}, but must be within 0 and 1")
            }
            Self::ModelWindows => f.write_str("model_windows is 0, but must be at least 1"),
            Self::Operator { key, reason } => write!(f, "redactions.{key}: {reason}"),
            Self::UnknownRedaction { key, known } => {
                write!(f, "redactions.{key} names no known PII type (known: {})", known.join(", "))
            }
            Self::List { list, entry, text: None, reason } => {
                write!(f, "{list}[{entry}]: {reason}")
            }
            Self::List { list, entry, text: Some(text), reason } => {
                write!(f, "{list}[{entry}]: text {}: {reason}", text + 1)
            }
            Self::TemplateLanguage { language, known } => write!(
                f,
                "safe_templates: there are no templates in the language `{language}` (known: {})",
                known.join(", ")
            ),
            Self::Template { key, reason } => write!(f, "safe_templates.texts.{key}: {reason}"),
        }
    }
}

impl Policy {
    /// What is done with this type of personal data.
    #[must_use]
    pub fn operator(&self, kind: PiiType) -> &Operator {
        const REPLACE: &Operator = &Operator::Replace { text: None, numbered: false };
        const KEEP: &Operator = &Operator::Keep;
        let default = if kept_by_default(kind.key()) { KEEP } else { REPLACE };
        self.redactions.get(kind.key()).unwrap_or(default)
    }

    /// Whether this type of personal data is to be redacted.
    #[must_use]
    pub fn redacts(&self, kind: PiiType) -> bool {
        *self.operator(kind) != Operator::Keep
    }

    /// Every fault of the policy, judged by [`known_pii_types`]; empty if there is none.
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
            ("indirect_block", t.indirect_block),
        ]
        .into_iter()
        .filter(|(_, value)| !(0.0..=1.0).contains(value))
        .map(|(key, value)| PolicyFault::Threshold { key, value })
        .collect();
        if self.model_windows == 0 {
            faults.push(PolicyFault::ModelWindows);
        }
        for (key, operator) in &self.redactions {
            let reason = match operator {
                Operator::Hash { length } if !HASH_LENGTHS.contains(length) => {
                    let (least, most) = (HASH_LENGTHS.start(), HASH_LENGTHS.end());
                    format!("a hash has {least} to {most} letters, not {length}")
                }
                Operator::Mask { with, .. } if with.is_whitespace() || with.is_control() => {
                    "a mask needs a character that can be seen".to_owned()
                }
                _ => String::new(),
            };
            if !reason.is_empty() {
                faults.push(PolicyFault::Operator { key: key.clone(), reason });
            }
            let denied = || {
                self.deny
                    .iter()
                    .any(|entry| matches!(&entry.action, DenyAction::Redact(kind) if kind == key))
            };
            if !types.iter().any(|kind| kind.key() == key) && !denied() {
                let mut known: Vec<&'static str> = types.iter().map(|kind| kind.key()).collect();
                known.sort_unstable();
                known.dedup();
                faults.push(PolicyFault::UnknownRedaction { key: key.clone(), known });
            }
        }
        faults.extend(lists::validate(self));
        faults.extend(templates::validate(&self.safe_templates));
        faults
    }
}

/// The operators whose keys are missing.
pub(crate) fn missing_keys(policy: &Policy, keys: &GuardKeys) -> Vec<PolicyFault> {
    let missing = |(key, operator): (&String, &Operator)| {
        let reason = match operator {
            Operator::Hash { .. } if keys.hash.is_none() => "`hash` needs a key",
            Operator::Pseudonymise if keys.vault.is_none() => "`pseudonymise` needs a vault",
            _ => return None,
        };
        Some(PolicyFault::Operator { key: key.clone(), reason: reason.to_owned() })
    };
    policy.redactions.iter().filter_map(missing).collect()
}

/// The PII types the built-in and the learned detectors report, sorted by key: the keys `policies.redactions` may have,
/// whether or not a model is there.
#[must_use]
pub fn known_pii_types() -> Vec<PiiType> {
    let mut types: Vec<PiiType> = detectors::builtin()
        .iter()
        .flat_map(|detector| detector.pii_types().iter().copied())
        .chain(TAGGED_TYPES.iter().copied())
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
        let kept: Vec<_> =
            known_pii_types().into_iter().filter(|kind| !policy.redacts(*kind)).collect();
        assert_eq!(kept.iter().map(|kind| kind.key()).collect::<Vec<_>>(), KEPT);
    }

    #[test]
    fn a_type_that_is_kept_by_default_can_be_redacted() {
        const PLACE: PiiType = PiiType::new("place");
        let mut policy = Policy::default();
        assert!(!policy.redacts(PLACE));
        policy.redactions.insert("place".into(), true.into());
        assert!(policy.redacts(PLACE) && policy.validate().is_empty());
    }

    #[test]
    fn known_types_are_the_documented_ones() {
        let keys: Vec<_> = known_pii_types().into_iter().map(PiiType::key).collect();
        let documented = "address au_abn au_medicare au_tfn bank_account bic birth_date br_cnpj br_cpf ca_sin card crypto \
            de_id_card de_social_security de_tax_id driver_license email es_dni es_nie fr_nir government_id iban in_aadhaar \
            in_pan ip it_fiscal_code mac name nl_bsn passport password phone pl_pesel place private_key routing_number secret \
            ssn tax_id uk_nhs uk_nino url_credentials us_ein us_itin us_mbi us_routing";
        assert_eq!(keys.join(" "), documented);
    }

    #[test]
    fn every_fault_is_listed() {
        let mut policy = Policy::default();
        policy.thresholds.toxicity_block = -0.1;
        policy.thresholds.pii_redact = f32::NAN;
        policy.thresholds.jailbreak_block = 1.5;
        policy.model_windows = 0;
        policy.redactions.insert("emial".into(), true.into());
        policy.redactions.insert("phone".into(), false.into());
        policy.redactions.insert("ip".into(), Operator::Hash { length: 7 });
        policy.redactions.insert("ssn".into(), Operator::Mask { keep_last: 0, with: ' ' });
        let faults = policy.validate();
        assert_eq!(faults.len(), 7);
        let all = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(all.contains("thresholds.toxicity_block is -0.1"), "{all}");
        assert!(all.contains("thresholds.pii_redact is NaN"), "{all}");
        assert!(all.contains("thresholds.jailbreak_block is 1.5"), "{all}");
        assert!(all.contains("model_windows is 0"), "{all}");
        assert!(all.contains("redactions.emial") && all.contains("email, es_dni"), "{all}");
        assert!(all.contains("redactions.ip: a hash has 8 to 32 letters, not 7"), "{all}");
        assert!(all.contains("redactions.ssn: a mask needs"), "{all}");
    }

    #[test]
    fn thresholds_may_be_both_ends() {
        let mut policy = Policy::default();
        policy.thresholds.pii_redact = 0.0;
        policy.thresholds.jailbreak_block = 1.0;
        assert!(policy.validate().is_empty());
    }
}
