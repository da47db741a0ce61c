// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard itself: runs the detectors, applies the policy, writes the card.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::calibration::Calibration;
use crate::card::{Mode, ModerationCard};
use crate::detector::{DetectContext, Detector, Opinion, Signal, Source};
use crate::detectors;
use crate::error::GuardError;
use crate::finding::{Category, Finding};
use crate::lists::{AllowList, DenyList};
use crate::normalise::{self, View};
use crate::operator::{GuardKeys, Numbering, Operator};
use crate::policy::{self, Policy};
use crate::reading::Reading;
use crate::templates;
use crate::windows::{self, Judged};

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
    allow: Arc<AllowList>,
    detectors: Arc<[Box<dyn Detector>]>,
    /// How many of them, the first ones, are built in.
    builtin: usize,
}

/// Highest probability of a window that is as good as none. A sentence of it may score more by itself, as the rest no longer
/// waters it down: a fifth of what blocks leaves room for that.
const QUIET: f32 = 0.1;

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
    calibration: Option<Calibration>,
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

    /// Maps the scores of detectors that run a model. Thresholds are the policy's own:
    /// [`Calibration::set_thresholds`].
    #[must_use]
    pub fn calibration(mut self, calibration: Calibration) -> Self {
        self.calibration = Some(calibration);
        self
    }

    /// Makes the guard.
    ///
    /// # Errors
    /// [`GuardError::InvalidPolicy`] with every fault, missing keys among them; the PII types of the added detectors count
    /// as known. [`GuardError::Vault`] when the system gives no random bytes. Those of [`Guard::check`] when the policy has
    /// templates of its own: the guard checks them.
    pub fn build(self) -> Result<Guard, GuardError> {
        let mut detectors = detectors::builtin();
        let builtin = detectors.len();
        let calibration = self.calibration;
        detectors.extend(self.extra.into_iter().map(|detector| match &calibration {
            Some(calibration) => calibration.calibrated(detector),
            None => detector,
        }));
        let mut types = policy::known_pii_types();
        types.extend(detectors.iter().flat_map(|d| d.pii_types().iter().copied()));
        let deny = DenyList::new(&self.policy)?;
        types.extend(deny.iter().flat_map(DenyList::types));
        let mut faults = self.policy.validate_with(&types);
        faults.extend(policy::missing_keys(&self.policy, &self.keys));
        if !faults.is_empty() {
            return Err(GuardError::InvalidPolicy { faults });
        }
        let numbers =
            |operator: &Operator| matches!(operator, Operator::Replace { numbered: true, .. });
        let numbering = self.policy.redactions.values().any(numbers);
        let numbering = numbering.then(Numbering::new).transpose()?.map(Arc::new);
        if let Some(deny) = deny {
            detectors.push(Box::new(deny));
        }
        let Self { policy, keys, .. } = self;
        let allow = Arc::new(AllowList::new(&policy));
        let guard = Guard { policy, keys, numbering, allow, detectors: detectors.into(), builtin };
        match templates::check(&guard)? {
            faults if faults.is_empty() => Ok(guard),
            faults => Err(GuardError::InvalidPolicy { faults }),
        }
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
        self.check_from(Source::Dialogue, node, text, mode, cancelled)
    }

    /// Checks a text that was fetched from elsewhere (a chunk of a document, the result of a tool), where nobody should
    /// give orders: besides all else, text that addresses the assistant blocks it.
    ///
    /// # Errors
    /// Those of [`Guard::check`].
    pub fn check_retrieved(
        &self,
        node: &str,
        text: &str,
        mode: Mode,
    ) -> Result<Verdict, GuardError> {
        self.check_from(Source::Retrieved, node, text, mode, &|| false)
    }

    /// Checks a text of either source; stops when `cancelled` returns true.
    ///
    /// # Errors
    /// Those of [`Guard::check`], and [`GuardError::Cancelled`].
    pub fn check_from(
        &self,
        source: Source,
        node: &str,
        text: &str,
        mode: Mode,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Verdict, GuardError> {
        let ctx = DetectContext::with_cancel(text, mode, cancelled)
            .of(source)
            .within(self.policy.model_windows);
        let findings = self.find(text, &ctx, &|_| true, &mut |_| {})?;
        let partly = ctx.take_partly_read();
        let mut card = self.decide(node, text, mode, &findings, &partly)?;
        card.partly_read = partly.iter().map(|reading| reading.of(text.len())).collect();
        Ok(Verdict { card, findings })
    }

    /// Checks a text without asking models: for what they have read with more around it (whole sentences of another text,
    /// outside of [`Guard::suspected_by_models`]), and for words of the program's own. Detectors of patterns read it as they
    /// read any text.
    ///
    /// # Errors
    /// Those of [`Guard::check`], and [`GuardError::Cancelled`].
    pub fn check_by_rules(
        &self,
        node: &str,
        text: &str,
        mode: Mode,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Verdict, GuardError> {
        let ctx = DetectContext::with_cancel(text, mode, cancelled);
        let findings = self.find(text, &ctx, &|d| d.reads_views(), &mut |_| {})?;
        let card = self.decide(node, text, mode, &findings, &[])?;
        Ok(Verdict { card, findings })
    }

    /// The spans of a text in which models see anything that a second look could make into more: windows of a probability
    /// above 0.1, personal data that was not taken out. `None` where that says nothing of the rest, as the text was blocked,
    /// not all of it was read, or there are no models.
    #[must_use]
    pub fn suspected_by_models(&self, verdict: &Verdict) -> Option<Vec<Range<usize>>> {
        let by_model = |finding: &&Finding| {
            self.detectors.iter().any(|d| d.name() == finding.detector && !d.reads_views())
        };
        let quiet = |finding: &Finding| match finding.category {
            Category::Pii(_) => verdict.card.redactions.iter().any(|redaction| {
                redaction.span[0] <= finding.span.start && finding.span.end <= redaction.span[1]
            }),
            _ => finding.score <= QUIET,
        };
        let card = &verdict.card;
        let whole = self.detectors.iter().any(|d| !d.reads_views())
            && card.allowed
            && card.partly_read.is_empty();
        let loud = verdict.findings.iter().filter(by_model).filter(|finding| !quiet(finding));
        whole.then(|| loud.map(|finding| finding.span.clone()).collect())
    }

    /// What the detectors that `which` picks find in a text, for which `ctx` was made, and in its views, sorted; `shown` is
    /// given each view.
    pub(crate) fn find(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        which: &dyn Fn(&dyn Detector) -> bool,
        shown: &mut dyn FnMut(&View),
    ) -> Result<Vec<Finding>, GuardError> {
        let mut findings = Vec::new();
        self.detect(text, ctx, which, &mut findings)?;
        let mut seen = Covered::default();
        findings.iter().for_each(|finding| seen.add(finding));
        let mut more = Vec::new();
        normalise::for_each(text, |view| -> Result<(), GuardError> {
            shown(view);
            more.clear();
            self.detect_view(view, ctx, which, &mut more)?;
            more.sort_by(order);
            for mut finding in more.drain(..) {
                finding.span = view.span(finding.span);
                finding.via = Some(view.via());
                // What was seen plainly, or under a simpler disguise, stays as it was found.
                if !seen.covers(&finding) {
                    seen.add(&finding);
                    findings.push(finding);
                }
            }
            Ok(())
        })?;
        findings.sort_by(order);
        Ok(findings)
    }

    /// What the detectors that `which` picks find in a view, at offsets of the view; what it was made from has been looked
    /// through.
    fn detect_view(
        &self,
        view: &View,
        ctx: &DetectContext<'_>,
        which: &dyn Fn(&dyn Detector) -> bool,
        findings: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let text = view.text();
        let reads = |d: &dyn Detector| d.reads_views() && which(d);
        // Orders in retrieved texts count from the first one on, so that it would matter where a window begins.
        let windows = windows::of(view).filter(|_| ctx.source() == Source::Dialogue);
        let Some(windows) = windows else {
            return self.detect(text, &ctx.beside(text), reads, findings);
        };
        // Of the built-in ones it is known how far they look.
        let (ours, others) = self.detectors.split_at(self.builtin);
        let mut cut_off = false;
        let mut found = Vec::new();
        for window in &windows {
            let part = &text[window.span.clone()];
            let ctx = ctx.beside(part).behind(window.span.start);
            self.run(ours, part, &ctx, reads, &mut found)?;
            for mut finding in found.drain(..) {
                finding.span =
                    window.span.start + finding.span.start..window.span.start + finding.span.end;
                match window.judge(&finding, text.len()) {
                    Judged::Kept => findings.push(finding),
                    Judged::Dropped => {}
                    Judged::CutOff => cut_off = true,
                }
            }
        }
        let ctx = ctx.beside(text);
        if cut_off {
            findings.clear();
            self.run(ours, text, &ctx, reads, findings)?;
        }
        self.run(others, text, &ctx, reads, findings)
    }

    /// The detectors, in the order in which they are asked.
    pub(crate) fn detectors(&self) -> &[Box<dyn Detector>] {
        &self.detectors
    }

    /// Runs the detectors that `which` picks over one text.
    pub(crate) fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        which: impl Fn(&dyn Detector) -> bool,
        findings: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        self.run(&self.detectors, text, ctx, which, findings)
    }

    fn run(
        &self,
        detectors: &[Box<dyn Detector>],
        text: &str,
        ctx: &DetectContext<'_>,
        which: impl Fn(&dyn Detector) -> bool,
        findings: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        for detector in detectors.iter().filter(|d| which(d.as_ref())) {
            ctx.check_cancelled()?;
            let first = findings.len();
            detector.detect(text, ctx, findings)?;
            for finding in &findings[first..] {
                if let Some(reason) = fault(finding, text) {
                    return Err(GuardError::BadFinding { detector: detector.name(), reason });
                }
            }
            if findings.len() > first && detector.name() != DenyList::NAME {
                self.drop_allowed(text, first, findings);
            }
        }
        Ok(())
    }

    /// Takes out what the policy allows, of the findings from `first` on. A text is compared as the detector saw it: under a
    /// disguise, as it reads without.
    fn drop_allowed(&self, text: &str, first: usize, findings: &mut Vec<Finding>) {
        let mut at = 0;
        findings.retain(|finding| {
            at += 1;
            let Category::Pii(kind) = finding.category else { return true };
            at <= first || !self.allow.allows(kind, &text[finding.span.clone()])
        });
    }

    /// Whether a detector gives such an opinion on a category, so that its silence says something.
    pub(crate) fn has(&self, opinion: Opinion, category: Category) -> bool {
        self.detectors.iter().any(|d| d.opinion(category) == opinion)
    }

    /// Whether any of these models, whose opinion on a category counts, has left a part of a span unread.
    pub(crate) fn unread(
        &self,
        partly: &[Reading],
        category: Category,
        span: &Range<usize>,
    ) -> bool {
        partly.iter().filter(|reading| reading.leaves_out(span)).any(|reading| {
            let judge = self.detectors.iter().find(|d| d.name() == reading.detector);
            judge.map(|d| d.opinion(category)) == Some(Opinion::Model)
        })
    }

    /// How a finding's score counts beside others'.
    pub(crate) fn opinion(&self, finding: &Finding) -> Opinion {
        let by = self.detectors.iter().find(|d| d.name() == finding.detector);
        by.map_or(Opinion::Own, |d| d.opinion(finding.category))
    }

    pub(crate) fn keys(&self) -> &GuardKeys {
        &self.keys
    }

    pub(crate) fn numbering(&self) -> Option<&Numbering> {
        self.numbering.as_deref()
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
