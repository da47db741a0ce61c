// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard itself: runs the detectors, applies the policy, writes the card.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::card::{Action, GUARD_VERSION, Labels, Mode, ModerationCard, Redaction};
use crate::detector::{DetectContext, Detector, Signal};
use crate::detectors;
use crate::error::GuardError;
use crate::finding::{Category, Finding};
use crate::normalise::{self, View};
use crate::operator::{self, GuardKeys, Numbering, Operator};
use crate::policy::{self, Policy};
use crate::redact::{self, Target};
use crate::templates;

/// A set of detectors under one policy.
///
/// Cheap to share between threads; a check keeps nothing of the text, but for what [`Operator::Pseudonymise`] puts into its
/// vault.
#[derive(Clone)]
pub struct Guard {
    policy: Policy,
    keys: GuardKeys,
    /// There when an operator numbers.
    numbering: Option<Arc<Numbering>>,
    detectors: Arc<[Box<dyn Detector>]>,
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The decision, as it is shown and stored.
    pub card: ModerationCard,
    /// Everything the detectors reported, below the thresholds too, sorted by start, then detector. Offsets only.
    pub findings: Vec<Finding>,
}

/// A signal of the guard and what feeds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// The signal.
    pub signal: Signal,
    /// Names of the detectors that feed it; empty when the signal is not live.
    pub detectors: Vec<&'static str>,
}

impl Capability {
    /// Whether anything feeds the signal. A signal that nothing feeds is always 0.0 in a card.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.detectors.is_empty()
    }
}

/// Builds a [`Guard`] with detectors of the caller's own.
#[derive(Default)]
pub struct GuardBuilder {
    policy: Policy,
    keys: GuardKeys,
    extra: Vec<Box<dyn Detector>>,
}

impl GuardBuilder {
    /// Sets the policy (else the default one).
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Gives the keys that operators of the policy need.
    #[must_use]
    pub fn keys(mut self, keys: GuardKeys) -> Self {
        self.keys = keys;
        self
    }

    /// Adds a detector to the built-in ones.
    #[must_use]
    pub fn detector(mut self, detector: impl Detector + 'static) -> Self {
        self.extra.push(Box::new(detector));
        self
    }

    /// Makes the guard.
    ///
    /// # Errors
    /// [`GuardError::InvalidPolicy`] with every fault, missing keys among them; the PII types of the added detectors count
    /// as known. [`GuardError::Vault`] when the system gives no random bytes.
    pub fn build(self) -> Result<Guard, GuardError> {
        let mut detectors = detectors::builtin();
        detectors.extend(self.extra);
        let mut types = policy::known_pii_types();
        types.extend(detectors.iter().flat_map(|d| d.pii_types().iter().copied()));
        let mut faults = self.policy.validate_with(&types);
        faults.extend(policy::missing_keys(&self.policy, &self.keys));
        if !faults.is_empty() {
            return Err(GuardError::InvalidPolicy { faults });
        }
        let numbers =
            |operator: &Operator| matches!(operator, Operator::Replace { numbered: true, .. });
        let numbering = self.policy.redactions.values().any(numbers);
        let numbering = numbering.then(Numbering::new).transpose()?.map(Arc::new);
        let Self { policy, keys, .. } = self;
        Ok(Guard { policy, keys, numbering, detectors: detectors.into() })
    }
}

impl Guard {
    /// A guard with the built-in detectors.
    ///
    /// # Errors
    /// [`GuardError::InvalidPolicy`] with every fault.
    pub fn new(policy: Policy) -> Result<Self, GuardError> {
        Self::builder().policy(policy).build()
    }

    /// Starts a guard with detectors of the caller's own besides the built-in ones.
    #[must_use]
    pub fn builder() -> GuardBuilder {
        GuardBuilder::default()
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Which signals are live and what feeds them, in the order of a card's labels.
    #[must_use]
    pub fn capabilities(&self) -> Vec<Capability> {
        [Signal::Toxicity, Signal::Jailbreak, Signal::Pii]
            .into_iter()
            .map(|signal| Capability {
                signal,
                detectors: self
                    .detectors
                    .iter()
                    .filter(|d| d.signal() == signal || d.also_feeds().contains(&signal))
                    .map(|d| d.name())
                    .collect(),
            })
            .collect()
    }

    /// Checks a text: `node` says where, as the card will.
    ///
    /// # Errors
    /// [`GuardError::Detector`] or [`GuardError::BadFinding`] when a detector fails: then nothing of the text may be
    /// passed on, since it was not wholly checked. [`GuardError::Vault`] when a pseudonym cannot be kept.
    pub fn check(&self, node: &str, text: &str, mode: Mode) -> Result<Verdict, GuardError> {
        self.check_with_cancel(node, text, mode, &|| false)
    }

    /// Like [`Guard::check`]; stops when `cancelled` returns true.
    ///
    /// # Errors
    /// Those of [`Guard::check`], and [`GuardError::Cancelled`].
    pub fn check_with_cancel(
        &self,
        node: &str,
        text: &str,
        mode: Mode,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Verdict, GuardError> {
        let findings = self.find(text, mode, cancelled, &|_| true, &mut |_| {})?;
        let card = self.decide(node, text, mode, &findings)?;
        Ok(Verdict { card, findings })
    }

    /// What the detectors that `which` picks find in a text and its views, sorted; `seen` is shown each view.
    pub(crate) fn find(
        &self,
        text: &str,
        mode: Mode,
        cancelled: &(dyn Fn() -> bool + Sync),
        which: &dyn Fn(&dyn Detector) -> bool,
        seen: &mut dyn FnMut(&View),
    ) -> Result<Vec<Finding>, GuardError> {
        let mut findings = Vec::new();
        self.detect(text, mode, cancelled, which, &mut findings)?;
        let mut covered = Covered::default();
        findings.iter().for_each(|finding| covered.add(finding));
        let mut more = Vec::new();
        normalise::for_each(text, |view| -> Result<(), GuardError> {
            seen(view);
            more.clear();
            let reads = |d: &dyn Detector| d.reads_views() && which(d);
            self.detect(view.text(), mode, cancelled, reads, &mut more)?;
            more.sort_by(order);
            for mut finding in more.drain(..) {
                finding.span = view.span(finding.span);
                finding.via = Some(view.via());
                // What was seen plainly, or under a simpler disguise, stays as it was found.
                if !covered.covers(&finding) {
                    covered.add(&finding);
                    findings.push(finding);
                }
            }
            Ok(())
        })?;
        findings.sort_by(order);
        Ok(findings)
    }

    /// The detectors, in the order in which they are asked.
    pub(crate) fn detectors(&self) -> &[Box<dyn Detector>] {
        &self.detectors
    }

    /// Runs the detectors that `which` picks over one text.
    fn detect(
        &self,
        text: &str,
        mode: Mode,
        cancelled: &(dyn Fn() -> bool + Sync),
        which: impl Fn(&dyn Detector) -> bool,
        findings: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let ctx = DetectContext::with_cancel(text, mode, cancelled);
        for detector in self.detectors.iter().filter(|d| which(d.as_ref())) {
            ctx.check_cancelled()?;
            let first = findings.len();
            detector.detect(text, &ctx, findings)?;
            for finding in &findings[first..] {
                if let Some(reason) = fault(finding, text) {
                    return Err(GuardError::BadFinding { detector: detector.name(), reason });
                }
            }
        }
        Ok(())
    }

    /// What the policy makes of the findings.
    pub(crate) fn decide(
        &self,
        node: &str,
        text: &str,
        mode: Mode,
        findings: &[Finding],
    ) -> Result<ModerationCard, GuardError> {
        let mut worst: [Option<&Finding>; 3] = [None; 3];
        let mut targets = Vec::new();
        for finding in findings {
            let slot = match finding.category {
                Category::Toxicity => 0,
                Category::Jailbreak => 1,
                Category::Pii(kind) => {
                    if finding.score >= self.policy.thresholds.pii_redact
                        && self.policy.redacts(kind)
                    {
                        targets.push(Target {
                            span: finding.span.clone(),
                            kind,
                            score: finding.score,
                        });
                    }
                    2
                }
            };
            if worst[slot].is_none_or(|w| finding.score > w.score) {
                worst[slot] = Some(finding);
            }
        }
        let [toxicity, jailbreak, pii] = worst;

        let targets = redact::resolve(text, targets);
        let mut actions = Vec::new();
        let mut why = String::new();
        if !targets.is_empty() {
            actions.push(Action::Redact);
        }
        let blocks: Vec<_> = [
            (toxicity, "toxicity", self.policy.thresholds.toxicity_block),
            (jailbreak, "jailbreak", self.policy.thresholds.jailbreak_block),
        ]
        .into_iter()
        .filter_map(|(worst, label, limit)| {
            let finding = worst.filter(|f| f.score >= limit)?;
            Some((finding, label, limit))
        })
        .collect();
        for (finding, label, limit) in &blocks {
            if !why.is_empty() {
                why.push_str("; ");
            }
            let _ = write!(
                why,
                "blocked: {label} {:.2} >= {limit:.2} ({}, {}",
                finding.score, finding.detector, finding.rule
            );
            if let Some(via) = finding.via {
                let _ = write!(why, ", seen through {via}");
            }
            why.push(')');
        }
        let cause = blocks.first().map(|(finding, _, _)| finding.category);
        if cause.is_some() {
            actions.push(Action::Block);
        }
        if why.is_empty() {
            why.push_str("ok");
        }

        Ok(ModerationCard {
            node: node.to_owned(),
            mode,
            guard_version: GUARD_VERSION.to_owned(),
            allowed: cause.is_none(),
            text: match cause {
                None => redact::apply(text, &targets, &self.substitutes(text, &targets)?),
                Some(cause) if self.policy.safe_templates.fallback_enabled => {
                    templates::safe_text(cause, mode).to_owned()
                }
                Some(_) => String::new(),
            },
            labels: Labels {
                toxicity: label(toxicity),
                jailbreak: label(jailbreak),
                pii: label(pii),
            },
            actions,
            redactions: targets
                .iter()
                .map(|t| Redaction { span: [t.span.start, t.span.end], kind: t.kind.label() })
                .collect(),
            why,
        })
    }

    /// What stands in for each target.
    fn substitutes(&self, text: &str, targets: &[Target]) -> Result<Vec<String>, GuardError> {
        let values: Vec<_> = targets
            .iter()
            .map(|t| (t.kind, &text[t.span.clone()], self.policy.operator(t.kind)))
            .collect();
        operator::substitutes(&values, &self.keys, self.numbering.as_deref())
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.detectors.iter().map(|d| d.name()).collect();
        f.debug_struct("Guard").field("policy", &self.policy).field("detectors", &names).finish()
    }
}

fn order(a: &Finding, b: &Finding) -> Ordering {
    let key = |f: &Finding| (f.span.start, f.span.end, f.detector, f.rule, f.via);
    key(a).cmp(&key(b))
}

/// What has been found of each category, to tell what a view adds.
#[derive(Default)]
struct Covered {
    /// By category: spans by their start, none within another of the same or a higher score.
    spans: BTreeMap<Category, BTreeMap<usize, (usize, f32)>>,
}

impl Covered {
    /// Whether a finding of the same category, at least as sure, holds the whole of this one.
    ///
    /// Only the nearest that begins at or before it is asked: spans of one category hardly ever overlap, and a
    /// needless second finding does no harm.
    fn covers(&self, finding: &Finding) -> bool {
        let near = self
            .spans
            .get(&finding.category)
            .and_then(|spans| spans.range(..=finding.span.start).next_back());
        near.is_some_and(|(_, &(end, score))| finding.span.end <= end && finding.score <= score)
    }

    fn add(&mut self, finding: &Finding) {
        let spans = self.spans.entry(finding.category).or_default();
        let here = spans.entry(finding.span.start).or_insert((finding.span.end, finding.score));
        if (finding.score, finding.span.end) > (here.1, here.0) {
            *here = (finding.span.end, finding.score);
        }
    }
}

fn label(worst: Option<&Finding>) -> f64 {
    worst.map_or(0.0, |f| (f64::from(f.score) * 1e4).round() / 1e4)
}

/// What makes a finding unusable, if anything does. Moderation may concern an empty text, redaction may not.
fn fault(finding: &Finding, text: &str) -> Option<&'static str> {
    let span = &finding.span;
    if !(0.0..=1.0).contains(&finding.score) {
        Some("the score is not within 0 and 1")
    } else if text.get(span.clone()).is_none() {
        Some("the span is outside the text or splits a character")
    } else if span.is_empty() && matches!(finding.category, Category::Pii(_)) {
        Some("the span is empty")
    } else {
        None
    }
}
