// SPDX-License-Identifier: AGPL-3.0-or-later
//! From findings to a card: what is redacted, what blocks, and why.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::card::{Action, Evidence, GUARD_VERSION, Labels, Mode, ModerationCard, Redaction};
use crate::combine::{self, Rules};
use crate::detector::Opinion;
use crate::error::GuardError;
use crate::finding::{Category, Finding};
use crate::guard::Guard;
use crate::operator;
use crate::reading::Reading;
use crate::redact::{self, Target};

/// Findings that a card lists; the rest are counted.
pub const MAX_EVIDENCE: usize = 32;

/// The tag of what was under a disguise.
const DISGUISED: &str = "disguised";

/// The strongest case for a category.
#[derive(Clone, Copy, Default)]
struct Case<'f> {
    score: f32,
    /// What makes it: one finding, or what rules and what a model say of the same place.
    by: [Option<&'f Finding>; 2],
}

impl<'f> Case<'f> {
    fn consider(&mut self, score: f32, by: [Option<&'f Finding>; 2]) {
        if self.by == [None, None] || score > self.score {
            *self = Self { score, by };
        }
    }

    fn findings(&self) -> impl Iterator<Item = &'f Finding> {
        self.by.into_iter().flatten()
    }
}

impl Guard {
    /// The decision about a text with these findings, which are sorted by their start.
    ///
    /// - `partly`: what models have left unread, in the places that findings of other things than personal data have
    pub(crate) fn decide(
        &self,
        node: &str,
        text: &str,
        mode: Mode,
        findings: &[Finding],
        partly: &[Reading],
    ) -> Result<ModerationCard, GuardError> {
        let limits = self.policy().thresholds;
        let cases = [
            (Category::Denied, 1.0),
            (Category::Toxicity, limits.toxicity_block),
            (Category::Jailbreak, limits.jailbreak_block),
            (Category::Indirect, limits.indirect_block),
        ]
        .map(|(category, limit)| (category, limit, self.case(category, findings, partly)));
        let blocks = || cases.iter().filter(|(_, limit, case)| case.is_over(*limit));

        let (mut pii, mut targets) = (0.0f32, Vec::new());
        let mut tags: BTreeSet<String> = BTreeSet::new();
        let mut shown = Shown::default();
        for finding in findings {
            let (limit, acted_on) = match finding.category {
                Category::Pii(kind) => {
                    pii = pii.max(finding.score);
                    let seen = finding.score >= limits.pii_redact;
                    let redacted = seen && self.policy().redacts(kind);
                    if seen {
                        tags.insert(format!("pii.{}", kind.key()));
                        tags.insert(finding.category.tag().to_owned());
                    }
                    if redacted {
                        let (span, score) = (finding.span.clone(), finding.score);
                        targets.push(Target { span, kind, score });
                    }
                    (limits.pii_redact, redacted)
                }
                category => {
                    let of_it = blocks().find(|(blocked, ..)| *blocked == category);
                    let Some((_, limit, case)) = of_it else { continue };
                    let decides = case.findings().any(|by| std::ptr::eq(by, finding));
                    (*limit, decides || finding.score >= *limit)
                }
            };
            if acted_on {
                shown.add(finding, limit);
            }
        }
        for (category, ..) in blocks() {
            tags.insert(category.tag().to_owned());
        }
        if shown.any_disguised() {
            tags.insert(DISGUISED.to_owned());
        }

        let targets = redact::resolve(text, targets);
        let cause = blocks().next().map(|(category, ..)| *category);
        let mut actions = Vec::new();
        if !targets.is_empty() {
            actions.push(Action::Redact);
        }
        if cause.is_some() {
            actions.push(Action::Block);
        }
        let reasons: Vec<String> = blocks().map(|(c, limit, case)| case.why(*c, *limit)).collect();
        let (evidence, evidence_left_out) = shown.finish();
        let label = |category| {
            let (.., case) = cases.iter().find(|(c, ..)| *c == category)?;
            Some(rounded(case.score))
        };
        Ok(ModerationCard {
            node: node.to_owned(),
            mode,
            guard_version: GUARD_VERSION.to_owned(),
            allowed: cause.is_none(),
            text: match cause {
                None => redact::apply(text, &targets, &self.substitutes(text, &targets)?),
                Some(cause) => self.policy().safe_templates.text(cause, mode).to_owned(),
            },
            labels: Labels {
                toxicity: label(Category::Toxicity).unwrap_or(0.0),
                jailbreak: label(Category::Jailbreak).unwrap_or(0.0),
                pii: rounded(pii),
                indirect: label(Category::Indirect).unwrap_or(0.0),
            },
            actions,
            redactions: targets
                .iter()
                .map(|t| Redaction { span: [t.span.start, t.span.end], kind: t.kind.label() })
                .collect(),
            why: if reasons.is_empty() { "ok".to_owned() } else { reasons.join("; ") },
            evidence,
            evidence_left_out,
            policy_tags: tags.into_iter().collect(),
            partly_read: Vec::new(),
        })
    }

    /// The strongest case that findings make for a category.
    fn case<'f>(
        &self,
        category: Category,
        findings: &'f [Finding],
        partly: &[Reading],
    ) -> Case<'f> {
        let of_it = || findings.iter().filter(move |finding| finding.category == category);
        let mut case = Case::default();
        // Nothing was found in most texts, and to ask every detector for its opinion takes longer than to read a short one.
        if of_it().next().is_none() {
            return case;
        }
        if !matches!(category, Category::Jailbreak | Category::Indirect) {
            of_it().for_each(|finding| case.consider(finding.score, [Some(finding), None]));
            return case;
        }
        let model_reads = self.has(Opinion::Model, category);
        let (mut windows, mut reach) = (Vec::new(), Vec::new());
        for finding in of_it() {
            match self.opinion(finding) {
                Opinion::Own => case.consider(finding.score, [Some(finding), None]),
                Opinion::Rules => {}
                Opinion::Model => {
                    case.consider(finding.score, [Some(finding), None]);
                    windows.push(finding);
                    let before = reach.last().copied().unwrap_or(0);
                    reach.push(finding.span.end.max(before));
                }
            }
        }
        for finding in of_it().filter(|finding| self.opinion(finding) == Opinion::Rules) {
            // Windows are sorted by their start: back from the last that starts before the end, as long as one may reach.
            let from = windows.partition_point(|window| window.span.start < finding.span.end);
            let near = (0..from).rev().take_while(|at| reach[*at] > finding.span.start);
            let window = near
                .map(|at| windows[at])
                .filter(|window| window.span.end > finding.span.start)
                .max_by(|a, b| a.score.total_cmp(&b.score));
            let marker = finding.rule == MARKER && finding.score >= combine::CERTAIN_MARKER;
            let rules = Rules { score: finding.score, alone: marker || finding.via.is_some() };
            let model = model_reads.then(|| window.map_or(0.0, |w| w.score));
            let mut score = combine::combine(rules, model);
            // The silence of a model that did not look there says nothing: the rules decide alone.
            if model_reads && self.unread(partly, category, &finding.span) {
                score = score.max(combine::combine(rules, None));
            }
            case.consider(score, [Some(finding), window]);
        }
        case
    }

    /// What stands in for each target.
    fn substitutes(&self, text: &str, targets: &[Target]) -> Result<Vec<String>, GuardError> {
        let values: Vec<_> = targets
            .iter()
            .map(|t| (t.kind, &text[t.span.clone()], self.policy().operator(t.kind)))
            .collect();
        operator::substitutes(&values, self.keys(), self.numbering())
    }
}

/// The rule of control markers, by the name of its family.
const MARKER: &str = crate::detectors::jailbreak::ROLE_MARKER;

impl Case<'_> {
    fn is_over(&self, limit: f32) -> bool {
        self.by != [None, None] && self.score >= limit
    }

    /// `blocked: jailbreak 0.98 >= 0.60 (jailbreak, instruction_override, seen through leet)`
    fn why(&self, category: Category, limit: f32) -> String {
        let mut why = format!("blocked: {} {:.2} >= {limit:.2} (", category.label(), self.score);
        let both = self.findings().count() == 2;
        for (i, finding) in self.findings().enumerate() {
            let with = if i == 0 { "" } else { ", with " };
            let _ = write!(why, "{with}{}, {}", finding.detector, finding.rule);
            if both {
                let _ = write!(why, " {:.2}", finding.score);
            }
            if let Some(via) = finding.via {
                let _ = write!(why, ", seen through {via}");
            }
        }
        why.push(')');
        why
    }
}

/// Gathers evidence.
#[derive(Default)]
struct Shown<'f> {
    all: Vec<(&'f Finding, f32)>,
}

impl<'f> Shown<'f> {
    fn add(&mut self, finding: &'f Finding, limit: f32) {
        self.all.push((finding, limit));
    }

    fn any_disguised(&self) -> bool {
        self.all.iter().any(|(finding, _)| finding.via.is_some())
    }

    /// The most certain, what blocks before what is redacted, in the order of the text; and how many more there were.
    fn finish(mut self) -> (Vec<Evidence>, usize) {
        let left_out = self.all.len().saturating_sub(MAX_EVIDENCE);
        if left_out > 0 {
            // A stable sort: among equals the earlier one stays.
            self.all.sort_by(|(a, _), (b, _)| {
                let redacts = |finding: &Finding| matches!(finding.category, Category::Pii(_));
                redacts(a).cmp(&redacts(b)).then(b.score.total_cmp(&a.score))
            });
            self.all.truncate(MAX_EVIDENCE);
            self.all.sort_by_key(|(finding, _)| (finding.span.start, finding.span.end));
        }
        let evidence = |(finding, limit): (&Finding, f32)| Evidence {
            kind: finding.category.label(),
            span: [finding.span.start, finding.span.end],
            score: rounded(finding.score),
            threshold: rounded(limit),
            detector: finding.detector.to_owned(),
            rule: finding.rule.to_owned(),
            via: finding.via.map(|via| via.name().to_owned()),
        };
        (self.all.into_iter().map(evidence).collect(), left_out)
    }
}

/// To four decimals: an `f32` as it would be written.
fn rounded(score: f32) -> f64 {
    (f64::from(score) * 1e4).round() / 1e4
}
