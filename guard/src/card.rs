// SPDX-License-Identifier: AGPL-3.0-or-later
//! The moderation card: one decision of the guard, as it is shown, traced and stored.

use serde::{Deserialize, Serialize};

/// The version of the card's format, the value of [`ModerationCard::guard_version`].
pub const GUARD_VERSION: &str = "v0.2";

/// On which side of a model the text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Text on its way in: a user's words, a document, what a node is about to read.
    Input,
    /// Text on its way out: what a node or the pipeline produced.
    Output,
}

/// What the guard did to the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Personal data was replaced by placeholders.
    Redact,
    /// The text was withheld and a safe template stands in its place.
    Block,
}

/// How strongly each signal was seen, 0..=1, rounded to four decimals.
///
/// `f64` so that a card reads `0.02` and not `0.019999999552965164` however it is serialised.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Labels {
    /// The highest toxicity score.
    pub toxicity: f64,
    /// The highest jailbreak score.
    pub jailbreak: f64,
    /// The highest score of any personal data seen, whether or not the policy had it redacted.
    pub pii: f64,
    /// The highest score of an order hidden in a retrieved text; not written where there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub indirect: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(score: &f64) -> bool {
    *score == 0.0
}

/// One replaced stretch of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    /// `[start, end)` in bytes of the text **before** redaction.
    pub span: [usize; 2],
    /// The type, e.g. `PII.email`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A finding that a decision rests on. Places and names, never text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is: `PII.email`, `toxicity`, `jailbreak`, `indirect`, `denied`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `[start, end)` in bytes of the text **before** redaction.
    pub span: [usize; 2],
    /// How sure the detector was, 0..=1, rounded to four decimals.
    pub score: f64,
    /// What the score is held against. One of two opinions may lie below it.
    pub threshold: f64,
    /// The detector.
    pub detector: String,
    /// Which of its rules or labels.
    pub rule: String,
    /// The disguise it was seen through, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
}

/// A model that did not read all of a text, which was longer than [`Policy::model_windows`](crate::Policy::model_windows)
/// allow. Rules have read all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartlyRead {
    /// The detector that runs the model.
    pub detector: String,
    /// Bytes it read, of the text before redaction.
    pub bytes: usize,
    /// Bytes of the text.
    pub of_bytes: usize,
    /// Windows it read.
    pub windows: usize,
    /// Windows of the text.
    pub of_windows: usize,
}

/// A decision of the guard about one text.
///
/// Field order is the order in JSON. No field ever holds raw personal data or blocked text: `text` is the redacted
/// text or, when `allowed` is false, a safe template; `why` names signals, scores and thresholds only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModerationCard {
    /// Where the check happened, e.g. `parse:post`.
    pub node: String,
    /// Which side of the model.
    pub mode: Mode,
    /// [`GUARD_VERSION`].
    pub guard_version: String,
    /// False when the text was blocked.
    pub allowed: bool,
    /// The text that may be passed on.
    pub text: String,
    /// Signals seen.
    pub labels: Labels,
    /// What was done: `redact` before `block`; both when both applied.
    pub actions: Vec<Action>,
    /// What was replaced, sorted, without overlap. Recorded for a blocked text too.
    pub redactions: Vec<Redaction>,
    /// `ok` when the text may pass, redacted or not; else the signal, its score and the threshold.
    pub why: String,
    /// What the decision rests on: the most certain findings, at most [`MAX_EVIDENCE`](crate::MAX_EVIDENCE), in the order
    /// of the text. Not written where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// How many findings beyond those the decision rests on.
    #[serde(default, skip_serializing_if = "is_none_left")]
    pub evidence_left_out: usize,
    /// What the text is known to hold, for what comes after: `pii`, `pii.email`, `toxicity`, `jailbreak`,
    /// `injection.indirect`, `denied`, and `disguised` where any of it was; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_tags: Vec<String>,
    /// Models that did not read all of the text, and how much they read. Not written where all was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partly_read: Vec<PartlyRead>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_none_left(count: &usize) -> bool {
    *count == 0
}
