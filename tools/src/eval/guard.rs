// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard that is measured, and what it says of each text.

use std::time::Instant;

use bho_engine::{CancelToken, Compute, ModelInfo};
use bho_guard::detectors::learned::TAGGED_TYPES;
use bho_guard::{
    Calibration, Category, Finding, Guard, GuardBuilder, Mode, Operator, Policy, Signal,
    Thresholds, Verdict, known_pii_types,
};
use bho_orchestrator::guarding::guard_policy;

use super::data::Example;
use super::spans::Found;
use super::types::Types;
use crate::cli::args::ModeArg;
use crate::cli::eval::GuardOfArgs;
use crate::commands::validate;
use crate::exit::{Exit, Failure, OrFailed as _};
use crate::guards::{self, Learned};

/// A guard under measurement.
///
/// What is found does not depend on what is done with it, so every type that is not kept is simply replaced: no key is
/// asked for, and no vault learns the data.
pub(crate) struct Subject {
    pub(crate) policy: Policy,
    pub(crate) mode: Mode,
    learned: Learned,
    calibration: Option<Calibration>,
    /// The signals whose thresholds the pipeline sets itself.
    own_thresholds: Vec<Signal>,
}

/// What was said of a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) spans: Vec<Found>,
    /// Toxicity, jailbreak.
    pub(crate) scores: [f64; 2],
}

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    Rules,
    Models,
}

/// What was said of each text.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) all: Vec<Answer>,
    /// The same by the rules alone and by the models alone, if that was asked for.
    pub(crate) by_voice: Vec<(Voice, Vec<Answer>)>,
    /// Milliseconds of each check, and bytes of its text.
    pub(crate) times: Vec<(f64, usize)>,
}

impl Subject {
    /// The guard that the arguments name, its models loaded.
    pub(crate) fn open(args: &GuardOfArgs) -> Result<Self, Failure> {
        let environment = guards::environment()?;
        let pipeline = args.pipeline.as_deref().map(validate::valid).transpose()?;
        let compute = Compute::new(args.threads as usize)?;
        let learned = if args.rules_only {
            Learned::default()
        } else {
            let pipeline = pipeline.as_ref().zip(args.pipeline.as_deref());
            guards::load(&environment, pipeline, &compute)?
        };
        let policies = pipeline.map(|pipeline| pipeline.policies);
        let mut policy = policies.as_ref().map_or_else(Policy::default, guard_policy);
        for operator in policy.redactions.values_mut().filter(|o| **o != Operator::Keep) {
            *operator = Operator::default();
        }
        let source = policies.and_then(|policies| policies.calibration);
        let (own_thresholds, calibration) =
            source.map_or((Vec::new(), None), |source| (source.own_thresholds, source.read));
        let mode = match args.mode {
            ModeArg::Input => Mode::Input,
            ModeArg::Output => Mode::Output,
        };
        Ok(Self { policy, mode, learned, calibration, own_thresholds })
    }

    /// Puts a calibration in the place of the pipeline's, its thresholds too.
    pub(crate) fn calibrate(&mut self, calibration: Calibration) {
        let usual = Thresholds::default();
        let now = &mut self.policy.thresholds;
        for (signal, slot, usual) in [
            (Signal::Toxicity, &mut now.toxicity_block, usual.toxicity_block),
            (Signal::Jailbreak, &mut now.jailbreak_block, usual.jailbreak_block),
            (Signal::Pii, &mut now.pii_redact, usual.pii_redact),
        ] {
            if !self.own_thresholds.contains(&signal) {
                *slot = usual;
            }
        }
        calibration.set_thresholds(&mut self.policy.thresholds, &self.own_thresholds);
        self.calibration = Some(calibration);
    }

    /// Goes back to scores as they come.
    pub(crate) fn uncalibrate(&mut self) {
        self.calibration = None;
    }

    /// Takes types that the policy keeps for replaced ones.
    pub(crate) fn replace_kept(&mut self) {
        for kind in known_pii_types() {
            if !self.policy.redacts(kind) {
                self.policy.redactions.insert(kind.key().to_owned(), Operator::default());
            }
        }
    }

    pub(crate) fn models(&self) -> &[ModelInfo] {
        &self.learned.models
    }

    /// Names of the detectors that run a model.
    pub(crate) fn learned(&self) -> Vec<&'static str> {
        self.learned.detectors.iter().map(|detector| detector.name()).collect()
    }

    /// The guard.
    pub(crate) fn guard(&self) -> Result<Guard, Failure> {
        let mut builder = Guard::builder().policy(self.policy.clone());
        if let Some(calibration) = &self.calibration {
            builder = builder.calibration(calibration.clone());
        }
        let detectors = self.learned.detectors.iter().cloned();
        Ok(detectors.fold(builder, GuardBuilder::detector).build()?)
    }

    /// The types of personal data that this guard finds and does not keep, and those that it keeps.
    ///
    /// With `all`, models or not, every type that the program has.
    pub(crate) fn types(&self, all: bool) -> Types {
        let builtin = bho_guard::detectors::builtin();
        let rules = builtin.iter().flat_map(|d| d.pii_types().iter().copied());
        let learned = self.learned.detectors.iter().flat_map(|d| d.pii_types().iter().copied());
        let mut kinds: Vec<_> = rules.chain(learned).collect();
        if all {
            kinds.extend(known_pii_types());
            kinds.extend(TAGGED_TYPES);
        }
        kinds.sort_unstable();
        kinds.dedup();
        let keys: Vec<&str> = kinds.iter().map(|kind| kind.key()).collect();
        let mut types = Types::new(&keys);
        for kind in kinds.into_iter().filter(|kind| !self.policy.redacts(*kind)) {
            types.keep(kind.key());
        }
        types
    }

    /// Checks each text, one after the other; `progress` is told how many are done. Besides the answers what stopped it before
    /// the end: [`Exit::Interrupted`] when cancelled; a detector's failure, with the line of the text.
    ///
    /// # Errors
    /// A policy that makes no guard.
    pub(crate) fn ask(
        &self,
        examples: &[Example],
        types: &mut Types,
        by_voice: bool,
        cancel: &CancelToken,
        mut progress: impl FnMut(usize),
    ) -> Result<(Answers, Option<Failure>), Failure> {
        let guard = self.guard()?;
        let learned = self.learned();
        let mut answers = Answers::default();
        let mut voices = [Vec::new(), Vec::new()];
        let mut stopped = None;
        // Tables that are made on first use are no part of any text's time.
        let _ = guard.check("eval", "warm-up: ann@example.org", self.mode);
        for (done, example) in examples.iter().enumerate() {
            progress(done);
            let text = &example.text;
            let begun = Instant::now();
            let checked =
                guard.check_with_cancel("eval", text, self.mode, &|| cancel.is_cancelled());
            let time = (begun.elapsed().as_secs_f64() * 1e3, text.len());
            let said = |error| anyhow::anyhow!("line {}: {error}", example.line);
            let verdict = match checked.map_err(said).or_failed() {
                _ if cancel.is_cancelled() => {
                    stopped = Some(Failure::silent(Exit::Interrupted));
                    break;
                }
                Ok(verdict) => verdict,
                Err(failure) => {
                    stopped = Some(failure);
                    break;
                }
            };
            answers.times.push(time);
            if by_voice {
                let by = |learned_is: bool| {
                    let of = verdict.findings.iter();
                    of.filter(|f| learned.contains(&f.detector) == learned_is).collect::<Vec<_>>()
                };
                voices[0].push(self.answer_of(text, &by(false), types));
                voices[1].push(self.answer_of(text, &by(true), types));
            }
            answers.all.push(answer(&verdict, types));
        }
        if by_voice {
            let [rules, models] = voices;
            answers.by_voice = vec![(Voice::Rules, rules), (Voice::Models, models)];
        }
        Ok((answers, stopped))
    }

    /// What some of the findings would have come to by themselves.
    fn answer_of(&self, text: &str, findings: &[&Finding], types: &mut Types) -> Answer {
        let highest = |category: Category| {
            let scores = findings.iter().filter(|f| f.category == category).map(|f| f.score);
            f64::from(scores.fold(0.0, f32::max))
        };
        let scores = [highest(Category::Toxicity), highest(Category::Jailbreak)];
        let redacted = bho_guard::redacted(&self.policy, text, findings.iter().copied());
        let span = |(span, kind, score): (_, bho_guard::PiiType, f32)| Found {
            span,
            key: types.key_of(kind.key()),
            score: f64::from(score),
        };
        Answer { spans: redacted.into_iter().map(span).collect(), scores }
    }
}

/// What the card of a text says.
fn answer(verdict: &Verdict, types: &mut Types) -> Answer {
    let card = &verdict.card;
    let spans = card.redactions.iter().map(|redaction| {
        let [start, end] = redaction.span;
        let key = redaction.kind.strip_prefix("PII.").unwrap_or(&redaction.kind);
        // The card has no scores; a redaction's is that of the surest finding of its type there.
        let of_it = verdict.findings.iter().filter(|finding| {
            matches!(finding.category, Category::Pii(kind) if kind.key() == key)
                && finding.span.start < end
                && start < finding.span.end
        });
        let score = of_it.map(|finding| f64::from(finding.score)).fold(0.0, f64::max);
        Found { span: start..end, key: types.key_of(key), score }
    });
    Answer { spans: spans.collect(), scores: [card.labels.toxicity, card.labels.jailbreak] }
}

/// The highest score of personal data that the policy would have replaced, whatever its threshold.
pub(crate) fn pii_score(verdict: &Verdict, policy: &Policy) -> f64 {
    let scores = verdict.findings.iter().filter_map(|finding| match finding.category {
        Category::Pii(kind) if policy.redacts(kind) => Some(f64::from(finding.score)),
        _ => None,
    });
    scores.fold(0.0, f64::max)
}
