// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard at work in a run: every text of a map is checked, redacted in place, and reported in cards.
//!
//! Cards are named after the place they were made: `pipeline:input`, `<id>:pre`, `<id>:post` and
//! `pipeline:output` for the field `text`, and the same with the field's path (`<id>:post:evidence[0].text`)
//! for any other. The card of `text` is always made; those of other fields only when something was
//! found in them, or models did not read all of them. A map without `text` is answered for by its
//! first text. Spans count in the text of the field named.
//!
//! A field other than the one that is printed often quotes what was checked before (`evidence[0].text` a sentence of the
//! input). Whole sentences in which models found nothing are then read by rules alone: models are the costly part, and
//! have read those sentences with more around them. So is what agents say of their own work ([`Agent::own_words`]): models
//! that learned from what people say take talk of models for an attack.
//!
//! [`Agent::own_words`]: crate::agents::Agent::own_words
//!
//! Retrieved texts (`policies.retrieved`) are looked through for orders to the assistant too; one that has any is left out,
//! and the run goes on.

mod quiet;
mod safer;
mod walk;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bho_engine::CancelToken;
use bho_guard::{
    AllowEntry, DENIED, DenyAction, DenyEntry, Detector, Guard, GuardError, GuardKeys, Mode,
    ModerationCard, Operator, Policy, SafeTemplates, Source, Thresholds, Verdict, kept_by_default,
};
use serde_json::Value;

use crate::agents::Fields;
use crate::config::{Policies, Retrieved};
use crate::panics;
use crate::text;
use quiet::{MIN_QUOTED, Quiet};
use walk::Walk;

/// Verdicts kept of one run; texts beyond are checked each time.
const CACHE_BYTES: usize = 16 << 20;

/// A text longer than this is not kept.
const CACHE_TEXT_BYTES: usize = 1 << 20;

/// Texts that later ones are compared with, at most.
const MAX_QUIET: usize = 64;

/// Longest text that an agent can call its own words.
const MAX_OWN_BYTES: usize = 2048;

/// Characters of an agent's message that are looked at, and that are kept.
const MESSAGE_READ: usize = 2000;
const MESSAGE_KEPT: usize = 300;

/// Blocked phrases looked for in a node's input before it runs again.
const MAX_PHRASES: usize = 16;

/// The guard's policy of a pipeline.
pub fn guard_policy(policies: &Policies) -> Policy {
    #[expect(clippy::cast_possible_truncation, reason = "thresholds are within 0..=1")]
    let narrow = |threshold: f64| threshold as f32;
    let (allow, deny) = lists(policies);
    Policy {
        thresholds: Thresholds {
            toxicity_block: narrow(policies.toxicity_block),
            pii_redact: narrow(policies.pii_redact),
            jailbreak_block: narrow(policies.jailbreak_block),
            indirect_block: narrow(policies.indirect_block),
        },
        redactions: policies.redactions.clone(),
        allow,
        deny,
        append_moderation_card: policies.append_moderation_card,
        safe_templates: SafeTemplates {
            fallback_enabled: policies.fallback_enabled,
            language: policies.template_language.clone(),
            texts: policies.templates.clone(),
        },
        model_windows: policies.model_windows,
    }
}

/// The allow and the deny list of a pipeline.
pub(crate) fn lists(policies: &Policies) -> (Vec<AllowEntry>, Vec<DenyEntry>) {
    let allow = policies.allow.iter();
    let allow = allow.map(|e| AllowEntry { kind: e.kind.clone(), texts: e.texts.clone() });
    let deny = policies.deny.iter().map(|entry| DenyEntry {
        action: match &entry.kind {
            _ if entry.block => DenyAction::Block,
            kind => DenyAction::Redact(kind.clone().unwrap_or_else(|| DENIED.key().to_owned())),
        },
        texts: entry.texts.clone(),
    });
    (allow.collect(), deny.collect())
}

/// What a check of a whole map gave.
#[derive(Debug, Default)]
pub(crate) struct Screened {
    /// One card of `text`, and one of each other field in which something was found.
    pub(crate) cards: Vec<ModerationCard>,
    /// Set when any text was blocked; the fields must then not be used.
    pub(crate) blocked: Option<Blocked>,
    /// The tags of all its texts.
    pub(crate) tags: BTreeSet<String>,
    /// Whether items of lists were left out, so that those behind them have other indices now.
    pub(crate) left_out: bool,
}

/// A map that must not be passed on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blocked {
    /// The signals, their scores and thresholds, as the first blocked card says.
    pub(crate) reason: String,
    /// What stands in for the text: a safe template, or nothing when those are off.
    pub(crate) text: String,
    /// The phrases that made the guard block. Raw text: for comparison only, never recorded.
    pub(crate) phrases: Vec<String>,
}

/// The guards of one run and what they have already seen.
pub(crate) struct Screening {
    guard: Guard,
    /// Redacts every kind of PII, for what is recorded whatever the policy; `None` when the
    /// policy does so already.
    strict: Option<Guard>,
    retrieved: Retrieved,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// By mode and source: a chunk that several nodes read is checked once.
    verdicts: [HashMap<Box<str>, Arc<Verdict>>; 4],
    bytes: usize,
    quiet: Vec<Quiet>,
    /// What agents say of their own work.
    own: HashSet<Box<str>>,
}

impl Screening {
    /// The guards of a pipeline's policy, with these detectors beside the built-in ones.
    ///
    /// # Errors
    /// [`GuardError`] for a policy that makes no guard; one that requires models and gets no detector is among them.
    pub(crate) fn new(
        policies: &Policies,
        detectors: &[Arc<dyn Detector>],
        keys: &GuardKeys,
    ) -> Result<Self, GuardError> {
        if policies.guard_required && detectors.is_empty() {
            let message = "policies.guard_required is set and the guard was given no model".into();
            return Err(GuardError::Detector { detector: "learned", message });
        }
        let build = |policy: Policy| {
            let mut builder = Guard::builder().policy(policy).keys(keys.clone());
            if let Some(calibration) = policies.calibration.as_ref().and_then(|c| c.read.clone()) {
                builder = builder.calibration(calibration);
            }
            detectors.iter().fold(builder, |b, d| b.detector(Arc::clone(d))).build()
        };
        let policy = guard_policy(policies);
        let usual = Thresholds::default().pii_redact;
        // What is recorded holds no masked rest, and nothing goes into a vault for it.
        let replaces = |operator: &Operator| *operator == Operator::default();
        let lax = policy.thresholds.pii_redact > usual || !policy.redactions.values().all(replaces);
        let strict = lax.then(|| {
            let mut policy = policy.clone();
            policy.redactions.retain(|key, operator| {
                let keeps = *operator == Operator::Keep && kept_by_default(key);
                *operator = Operator::default();
                !keeps
            });
            policy.thresholds.pii_redact = policy.thresholds.pii_redact.min(usual);
            policy
        });
        Ok(Self {
            guard: build(policy)?,
            strict: strict.map(build).transpose()?,
            retrieved: policies.retrieved.clone(),
            seen: Mutex::default(),
        })
    }

    fn check(
        &self,
        text: &str,
        mode: Mode,
        source: Source,
        cancel: &CancelToken,
    ) -> Result<Arc<Verdict>, GuardError> {
        let side = usize::from(mode == Mode::Output) + 2 * usize::from(source == Source::Retrieved);
        // The map holds only finished verdicts, so a panic elsewhere leaves it sound.
        let lock = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdict) = lock().verdicts[side].get(text) {
            return Ok(Arc::clone(verdict));
        }
        let verdict =
            caught(|| self.guard.check_from(source, "", text, mode, &|| cancel.is_cancelled()))?;
        let verdict = Arc::new(verdict);
        if text.len() <= CACHE_TEXT_BYTES {
            let said = source == Source::Dialogue;
            let quiet = said.then(|| Quiet::of(&verdict, text, &self.guard)).flatten();
            let mut seen = lock();
            // Text and card; what findings weigh is small beside them.
            let bytes = 2 * text.len() + size_of::<Verdict>();
            if seen.bytes + bytes <= CACHE_BYTES {
                seen.bytes += bytes;
                seen.verdicts[side].insert(text.into(), Arc::clone(&verdict));
            }
            if let Some(quiet) = quiet
                && seen.quiet.len() < MAX_QUIET
                && seen.bytes + quiet.bytes() <= CACHE_BYTES
            {
                seen.bytes += quiet.bytes();
                seen.quiet.push(quiet);
            }
        }
        Ok(verdict)
    }

    /// Takes these texts for the program's own words from now on, but for those with a quotation mark: they quote another's.
    pub(crate) fn know<'a>(&self, own_words: impl Iterator<Item = &'a str>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for text in own_words.filter(|text| text.len() <= MAX_OWN_BYTES && !text.contains('"')) {
            if seen.bytes + text.len() <= CACHE_BYTES && seen.own.insert(text.into()) {
                seen.bytes += text.len();
            }
        }
    }

    /// [`Screening::check`] of a text that stands beside the one that is printed: where it is the program's own, or repeats
    /// sentences in which models found nothing, they are not asked.
    fn check_beside(
        &self,
        text: &str,
        mode: Mode,
        source: Source,
        cancel: &CancelToken,
    ) -> Result<Arc<Verdict>, GuardError> {
        let sentences = text.trim();
        let known = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let quotes = source == Source::Dialogue && sentences.len() >= MIN_QUOTED;
            let own = source == Source::Dialogue && seen.own.contains(text);
            own || quotes && seen.quiet.iter().any(|q| q.holds(sentences))
        };
        match known {
            true => {
                let stopped = || cancel.is_cancelled();
                caught(|| self.guard.check_by_rules("", text, mode, &stopped)).map(Arc::new)
            }
            false => self.check(text, mode, source, cancel),
        }
    }

    /// Checks every text of `fields`, redacting in place.
    ///
    /// Map keys that are not plain words and integers long enough to be personal numbers are
    /// checked too. Fields of the run's own (`_moderation`, ...) never get here but for
    /// [`crate::merge::PARENTS`], which is checked like the rest.
    ///
    /// # Errors
    /// [`GuardError`] when the guard could not do its work or was stopped: nothing of `fields` may
    /// be passed on then.
    pub(crate) fn screen(
        &self,
        place: &str,
        mode: Mode,
        fields: &mut Fields,
        cancel: &CancelToken,
    ) -> Result<Screened, GuardError> {
        self.screen_from(Source::Dialogue, place, mode, fields, cancel)
    }

    /// Checks every text of `fields` as one of this source; those under the fields that `policies.retrieved` names are
    /// retrieved ones in any case. A retrieved text that the guard would block blocks nothing but goes, or loses its
    /// sentences at fault, unless the policy says otherwise.
    ///
    /// # Errors
    /// As [`Screening::screen`].
    pub(crate) fn screen_from(
        &self,
        source: Source,
        place: &str,
        mode: Mode,
        fields: &mut Fields,
        cancel: &CancelToken,
    ) -> Result<Screened, GuardError> {
        Walk::new(self, place, mode, source, cancel).over(fields)
    }

    /// Checks one text, as [`Screening::screen`] does the field `text`.
    pub(crate) fn screen_text(
        &self,
        place: &str,
        mode: Mode,
        text: String,
        cancel: &CancelToken,
    ) -> Result<(String, Screened), GuardError> {
        let mut fields = Fields::new();
        fields.insert("text".to_owned(), Value::String(text));
        let screened = self.screen(place, mode, &mut fields, cancel)?;
        let text = match fields.remove("text") {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        Ok((text, screened))
    }

    /// A text as it may be recorded: without PII of any kind, whatever the policy; blocked or
    /// uncheckable text is withheld.
    pub(crate) fn record(&self, text: &str) -> String {
        let guard = self.strict.as_ref().unwrap_or(&self.guard);
        match caught(|| guard.check("record", text, Mode::Output)) {
            Ok(verdict) if verdict.card.allowed => verdict.card.text,
            Ok(_) => "(withheld by the guard)".to_owned(),
            Err(_) => "(withheld: the guard failed)".to_owned(),
        }
    }

    /// Whether [`Screening::record`] may differ from what the policy's guard passes.
    pub(crate) fn records_differ(&self) -> bool {
        self.strict.is_some()
    }

    /// An agent's message as it may be recorded: one line, without PII, of bounded length.
    pub(crate) fn message(&self, message: &str) -> String {
        let (head, cut) = text::clip(message, MESSAGE_READ);
        let line: String =
            self.record(head).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // What stood across the first cut may be half an address, too short to be known as one.
        let keep = if cut { line.chars().count().saturating_sub(MESSAGE_KEPT) } else { usize::MAX };
        text::clip(&line, MESSAGE_KEPT.min(keep)).0.trim().to_owned()
    }
}

/// What a check gives. A panic of a detector is an error of this text alone, and its message, which may quote the text, is
/// never printed.
fn caught<T>(check: impl FnOnce() -> Result<T, GuardError>) -> Result<T, GuardError> {
    panics::catch(check).unwrap_or_else(|_| {
        let message = "a detector panicked: it has a bug".into();
        Err(GuardError::Detector { detector: "guard", message })
    })
}

#[cfg(test)]
mod tests {
    use bho_guard::{Category, DetectContext, Finding, Signal};
    use serde_json::json;

    use super::*;

    struct BadWord;

    impl Detector for BadWord {
        fn name(&self) -> &'static str {
            "bad_word"
        }

        fn signal(&self) -> Signal {
            Signal::Toxicity
        }

        fn detect(
            &self,
            text: &str,
            _: &DetectContext<'_>,
            out: &mut Vec<Finding>,
        ) -> Result<(), GuardError> {
            out.extend(text.match_indices("BADWORD").map(|(at, word)| Finding {
                category: Category::Toxicity,
                span: at..at + word.len(),
                score: 0.9,
                detector: "bad_word",
                rule: "list",
                via: None,
            }));
            Ok(())
        }
    }

    fn screening() -> Screening {
        Screening::new(&Policies::default(), &[Arc::new(BadWord)], &GuardKeys::default()).unwrap()
    }

    fn screen(value: Value) -> (Value, Screened) {
        let Value::Object(mut fields) = value else { panic!("not a map") };
        let screened =
            screening().screen("n:post", Mode::Output, &mut fields, &CancelToken::new()).unwrap();
        (Value::Object(fields), screened)
    }

    #[test]
    fn every_text_is_redacted_and_cards_name_the_field() {
        let (fields, screened) = screen(json!({
            "n": 4_111_111_111_111_111_u64,
            "f": [4_111_111_111_111_111.0, 0.5, 1e300],
            "evidence": [{"text": "ask bob@example.org"}, {"text": "fine"}],
            "text": "mail ann@example.org now",
            "by": {"ann@example.org": 1, "bob@example.org": 2},
        }));
        assert_eq!(
            fields,
            json!({
                "n": "[CARD]",
                "f": ["[CARD]", 0.5, 1e300],
                "evidence": [{"text": "ask [EMAIL]"}, {"text": "fine"}],
                "text": "mail [EMAIL] now",
                "by": {"[EMAIL]": 1, "[EMAIL]#2": 2},
            })
        );
        let names: Vec<&str> = screened.cards.iter().map(|card| card.node.as_str()).collect();
        assert_eq!(
            names,
            [
                "n:post",
                "n:post:n",
                "n:post:f[0]",
                "n:post:evidence[0].text",
                "n:post:by.(key)",
                "n:post:by.(key)"
            ]
        );
        assert_eq!(screened.cards[0].redactions[0].span, [5, 20]);
        assert!(screened.blocked.is_none());
    }

    #[test]
    fn a_detector_that_panics_fails_the_check_of_that_text_alone() {
        struct Broken;
        impl Detector for Broken {
            fn name(&self) -> &'static str {
                "broken"
            }
            fn signal(&self) -> Signal {
                Signal::Toxicity
            }
            fn detect(
                &self,
                text: &str,
                _: &DetectContext<'_>,
                _: &mut Vec<Finding>,
            ) -> Result<(), GuardError> {
                assert!(!text.contains("odd"), "{text}");
                Ok(())
            }
        }
        let policies = Policies::default();
        let screening =
            Screening::new(&policies, &[Arc::new(Broken)], &GuardKeys::default()).unwrap();
        let check = |text: &str| {
            let text = text.to_owned();
            screening.screen_text("n", Mode::Input, text, &CancelToken::new())
        };
        let error = check("an odd text of ann@example.org").unwrap_err().to_string();
        assert!(error.contains("panicked") && !error.contains("ann"), "{error}");
        assert_eq!(check("an even text").unwrap().0, "an even text");
    }

    #[test]
    fn a_clean_map_has_one_card_of_its_first_text() {
        let (_, screened) = screen(json!({"k": 4, "query": ["a", "b"]}));
        assert_eq!(screened.cards.len(), 1);
        assert_eq!(screened.cards[0].node, "n:post:query[0]");
        assert_eq!(screen(json!({"k": 4})).1.cards.len(), 0);
    }

    #[test]
    fn a_block_anywhere_blocks_the_map_and_says_why() {
        let (_, screened) = screen(json!({"text": "fine", "quotes": ["so BADWORD."]}));
        let blocked = screened.blocked.unwrap();
        assert_eq!(blocked.reason, "toxicity 0.90 >= 0.50 (bad_word, list)");
        assert_eq!(blocked.phrases, ["BADWORD"]);
        assert!(!blocked.text.is_empty());
        assert_eq!(screened.cards.len(), 2);
    }

    /// A model, as far as a guard can tell: what it said last, and how often it was asked.
    #[derive(Default)]
    struct Model {
        asked: Mutex<Vec<String>>,
    }

    impl Detector for Model {
        fn name(&self) -> &'static str {
            "model"
        }

        fn signal(&self) -> Signal {
            Signal::Toxicity
        }

        fn reads_views(&self) -> bool {
            false
        }

        fn detect(
            &self,
            text: &str,
            _: &DetectContext<'_>,
            out: &mut Vec<Finding>,
        ) -> Result<(), GuardError> {
            self.asked.lock().unwrap().push(text.to_owned());
            let (category, span) = (Category::Toxicity, 0..text.len());
            for (at, toad) in text.match_indices("toad") {
                let span = at..at + toad.len();
                out.push(Finding {
                    category,
                    span,
                    score: 0.2,
                    detector: "model",
                    rule: "m",
                    via: None,
                });
            }
            out.push(Finding {
                category,
                span,
                score: 0.05,
                detector: "model",
                rule: "m",
                via: None,
            });
            Ok(())
        }
    }

    #[test]
    fn models_read_whole_sentences_once_where_they_found_nothing() {
        let asked = |input: &str, fields: Value| -> Vec<String> {
            let model = Arc::new(Model::default());
            let detectors: [Arc<dyn Detector>; 1] = [model.clone()];
            let screening =
                Screening::new(&Policies::default(), &detectors, &GuardKeys::default()).unwrap();
            let cancel = CancelToken::new();
            screening.screen_text("in", Mode::Input, input.to_owned(), &cancel).unwrap();
            model.asked.lock().unwrap().clear();
            let Value::Object(mut fields) = fields else { panic!("not a map") };
            screening.screen("n:post", Mode::Output, &mut fields, &cancel).unwrap();
            std::mem::take(&mut model.asked.lock().unwrap())
        };
        let input = "Mail ann@example.org about it. The pond is green. There it lies.";
        let none: [&str; 0] = [];
        // Sentences as they were passed on, alone and in a row; the text that is printed is read in any case.
        for (quoted, read) in [
            ("The pond is green.", true),
            ("The pond is green. There it lies.", true),
            ("Mail [EMAIL] about it.", true),
            ("pond is green. There it", false),
            ("The pond is red. There it lies.", false),
            ("Mail ann@example.org about it.", false),
        ] {
            let fields = json!({"text": "Said so.", "evidence": [{"text": quoted}]});
            let more = if read { &none[..] } else { &[quoted] };
            assert_eq!(asked(input, fields), [&["Said so."], more].concat(), "{quoted}");
            assert_eq!(asked(input, json!({"text": quoted})), [quoted]);
        }
        // What models suspect, by itself or beside others, they read again.
        let input = "The pond is green. A toad sat there. There it lies.";
        for (quoted, read) in [
            ("The pond is green.", true),
            ("A toad sat there.", false),
            ("The pond is green. A toad sat there.", false),
            ("There it lies, so.", false),
            ("A toad sat there. There it lies.", false),
        ] {
            let fields = json!({"text": "Said so.", "evidence": [{"text": quoted}]});
            let more = if read { &none[..] } else { &[quoted] };
            assert_eq!(asked(input, fields), [&["Said so."], more].concat(), "{quoted}");
        }
        // Words of the program's own are theirs to read only where they quote somebody.
        let model = Arc::new(Model::default());
        let detectors: [Arc<dyn Detector>; 1] = [model.clone()];
        let screening =
            Screening::new(&Policies::default(), &detectors, &GuardKeys::default()).unwrap();
        let notes = ["the model failed", "the claim names \"Ann Lee\", the evidence \"Bo\""];
        screening.know(notes.into_iter());
        let Value::Object(mut fields) = json!({"a": "x", "b": notes[0], "c": notes[1]}) else {
            panic!("not a map")
        };
        screening.screen("n", Mode::Output, &mut fields, &CancelToken::new()).unwrap();
        assert_eq!(*model.asked.lock().unwrap(), ["x", notes[1]]);
        // Where something was taken out, it is no longer known where that is.
        let input = format!("Mail ann@example.org. {input}");
        let fields = json!({"text": "Said so.", "evidence": [{"text": "The pond is green."}]});
        assert_eq!(asked(&input, fields), ["Said so.", "The pond is green."]);
    }

    #[test]
    fn rules_read_what_models_need_not_read_again() {
        let detectors: [Arc<dyn Detector>; 2] = [Arc::new(Model::default()), Arc::new(BadWord)];
        let guard = Guard::builder().detector(detectors[0].clone()).detector(detectors[1].clone());
        let guard = guard.build().unwrap();
        let text = "mail ann@example.org, BADWORD";
        let card = guard.check_by_rules("n", text, Mode::Output, &|| false).unwrap().card;
        assert!(!card.allowed && card.labels.pii > 0.9, "{card:?}");
    }

    #[test]
    fn the_safer_input_loses_the_sentences_at_fault_only() {
        let input = json!({
            "text": "All is well here. You are a BADWORD indeed. We part as friends.",
            "kb": ["BADWORD", "A good line."],
            "claim": "The moon is made of cheese.",
        });
        let phrases = ["made of cheese".to_owned()];
        let safer =
            screening().safer(input.as_object().unwrap(), &phrases, &CancelToken::new()).unwrap();
        assert_eq!(
            Value::Object(safer),
            json!({
                "text": "All is well here. We part as friends.",
                "kb": ["A good line."],
                "claim": "",
            })
        );
    }

    #[test]
    fn messages_are_one_line_without_pii_even_when_the_policy_lets_it_through() {
        let mut policies = Policies::default();
        policies.redactions.insert("email".into(), false.into());
        let screening = Screening::new(&policies, &[], &GuardKeys::default()).unwrap();
        assert!(screening.records_differ());
        assert_eq!(screening.message("no user\n ann@example.org"), "no user  [EMAIL]");
        let long = format!("{} ann@example.org", "word ".repeat(10_000));
        assert!(screening.message(&long).len() <= MESSAGE_KEPT);
        let across = format!("{}ann@example.org", "x".repeat(MESSAGE_READ - 3));
        assert!(!screening.message(&across).contains("ann"));
    }

    /// Takes every Rome for a place.
    struct Rome;

    impl Detector for Rome {
        fn name(&self) -> &'static str {
            "rome"
        }

        fn signal(&self) -> Signal {
            Signal::Pii
        }

        fn detect(
            &self,
            text: &str,
            _: &DetectContext<'_>,
            out: &mut Vec<Finding>,
        ) -> Result<(), GuardError> {
            let place = bho_guard::PiiType::new("place");
            let found = text.match_indices("Rome");
            out.extend(
                found.map(|(at, it)| Finding::pii(place, at..at + it.len(), 0.8, "rome", "")),
            );
            Ok(())
        }
    }

    #[test]
    fn what_is_kept_by_default_is_recorded_unless_the_policy_redacts_it() {
        for (flag, recorded) in
            [(None, "to Rome"), (Some(false), "to Rome"), (Some(true), "to [PLACE]")]
        {
            let mut policies = Policies::default();
            policies.redactions.extend(flag.map(|flag| ("place".to_owned(), flag.into())));
            let screening =
                Screening::new(&policies, &[Arc::new(Rome)], &GuardKeys::default()).unwrap();
            assert_eq!(screening.record("to Rome"), recorded, "{flag:?}");
            policies.redactions.insert("email".into(), false.into());
            let lax = Screening::new(&policies, &[Arc::new(Rome)], &GuardKeys::default()).unwrap();
            assert!(lax.records_differ());
            assert_eq!(lax.record("to Rome"), recorded, "{flag:?}");
        }
    }

    #[test]
    fn a_guard_that_is_required_is_never_one_without_models() {
        let policies = Policies { guard_required: true, ..Policies::default() };
        let screening =
            |detectors: &[_]| Screening::new(&policies, detectors, &GuardKeys::default());
        let error = screening(&[]).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("policies.guard_required")));
        assert!(screening(&[Arc::new(Rome)]).is_ok());
    }

    #[test]
    fn a_text_is_checked_once_a_mode() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        struct Count(Arc<AtomicUsize>);
        impl Detector for Count {
            fn name(&self) -> &'static str {
                "count"
            }
            fn signal(&self) -> Signal {
                Signal::Toxicity
            }
            fn detect(
                &self,
                _: &str,
                _: &DetectContext<'_>,
                _: &mut Vec<Finding>,
            ) -> Result<(), GuardError> {
                self.0.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
        let count = Arc::new(AtomicUsize::new(0));
        let screening = Screening::new(
            &Policies::default(),
            &[Arc::new(Count(Arc::clone(&count)))],
            &GuardKeys::default(),
        )
        .unwrap();
        for mode in [Mode::Input, Mode::Output, Mode::Input] {
            let mut fields = json!({"text": "a", "l": ["a", "a"]}).as_object().unwrap().clone();
            screening.screen("n:pre", mode, &mut fields, &CancelToken::new()).unwrap();
        }
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
