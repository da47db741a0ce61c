// SPDX-License-Identifier: AGPL-3.0-or-later
//! The judge that asks a language model, beside the one that judges without.
//!
//! The model reads all windows at once and says in JSON which one decides and how. What it says
//! carries no probability of its own: it counts as [`VOTE`], and joins the readings of the other
//! judge, so that a verdict both come to is as sure as the surer, and one that they disagree on is
//! `uncertain`. The guards stand behind both.

use std::cell::RefCell;

use bho_engine::CancelToken;
use bho_engine::generation::Generated;
use serde_json::{Value, json};

use super::calibration::Calibration;
use super::judge::{Exhibit, Judge, Reading, Statement};
use crate::agents::writing::{self, Way, prompt};
use crate::agents::{AgentContext, AgentError, Fields};
use crate::text::clip;

/// What a verdict of the model counts as, in probability, where the other judge is silent. Fixed:
/// fitted on nothing, and just above what decides.
const VOTE: f64 = 0.7;
/// What is left, of what it takes to decide, where the model calls it uncertain or says the opposite of the other judge.
const UNDECIDED: f64 = 0.8;
/// Support and refutation that both reach this make the evidence mixed.
const MIXED: f64 = 0.6;
/// Characters of a window that the model reads.
const MAX_WINDOW: usize = 1200;
/// Tokens to keep free for a verdict, and tokens it may take.
const ANSWER: (usize, usize) = (32, 96);

const VERDICTS: [&str; 3] = ["supported", "refuted", "uncertain"];

/// A language model and the judge beside it; that one alone where there is no model.
pub(super) struct Decoder<'a> {
    way: Way<'a>,
    rest: Box<dyn Judge + 'a>,
    calibration: Calibration,
    said: RefCell<Said>,
    ctx: &'a AgentContext<'a>,
}

/// What came of the questions so far.
#[derive(Default)]
struct Said {
    answers: Vec<Generated>,
    /// Why the last question had no answer, and how many had none.
    why: Option<String>,
    failed: usize,
    /// Whether the last one had none.
    fell_back: bool,
    /// Windows that the context had no room for.
    unread: usize,
    disagreed: Option<&'static str>,
}

/// What the model says: the window and whether it supports, if it decides.
type Vote = Option<(usize, bool)>;

impl<'a> Decoder<'a> {
    pub(super) fn new(way: Way<'a>, rest: Box<dyn Judge + 'a>, ctx: &'a AgentContext<'a>) -> Self {
        let calibration = Calibration { mixed: MIXED, ..rest.calibration().clone() };
        Self { way, rest, calibration, said: RefCell::default(), ctx }
    }

    /// What the notes of a result say of it.
    pub(super) fn notes(&self) -> Vec<String> {
        let said = self.said.borrow();
        let mut notes = Vec::new();
        if let Way::Extract(Some(why)) = self.way {
            notes.push(why.to_owned());
        }
        if let Some(why) = &said.why {
            let (all, other) = (said.failed + said.answers.len(), self.rest.name());
            notes.push(format!(
                "the language model gave no verdict on {} of {all} statements, which {other} read \
                 alone: {why}",
                said.failed
            ));
        }
        if said.unread > 0 {
            notes.push(format!(
                "the context of the language model had no room for {} of the windows",
                said.unread
            ));
        }
        if let Some(verdict) = said.disagreed {
            let other = self.rest.name();
            notes.push(format!("the language model says {verdict}, against {other}"));
        }
        notes
    }

    /// Adds to a result what only a language model gives.
    pub(super) fn tell(&self, result: &mut Fields) {
        let said = self.said.borrow();
        let Way::Write(generator) = self.way else { return };
        if let Some(trace) = writing::trace(&said.answers) {
            result.insert("written_by".to_owned(), generator.info().name.as_str().into());
            result.insert("_generation".to_owned(), trace);
        }
    }

    fn ask(
        &self,
        statement: &Statement,
        exhibits: &[Exhibit<'_>],
    ) -> writing::Attempted<(Vote, usize, Generated)> {
        let Way::Write(generator) = self.way else { return Ok(Err(String::new())) };
        let claim = prompt::quoted(&statement.text);
        let make = |parts: usize| {
            let shown = exhibits[..parts].iter().map(|e| clip(e.text, MAX_WINDOW).0);
            let evidence = prompt::numbered(shown);
            let filled = prompt::CLAIMCHECK.fill(&[("evidence", &evidence), ("claim", &claim)]);
            (filled, schema(parts))
        };
        let question = match writing::fit(generator, exhibits.len(), ANSWER, make)? {
            Ok(question) => question,
            Err(why) => return Ok(Err(why)),
        };
        let parts = question.parts;
        let (data, generated) = match writing::ask(generator, question, self.ctx)? {
            Ok(answer) => answer,
            Err(why) => return Ok(Err(why)),
        };
        Ok(vote(&data, parts)
            .map(|vote| (vote, parts, generated))
            .ok_or_else(|| "its answer names no window that it was shown".to_owned()))
    }
}

/// One of the windows and one of the verdicts.
fn schema(windows: usize) -> Value {
    json!({
        "type": "object",
        "properties": {
            "evidence": {"enum": (1..=windows).collect::<Vec<_>>()},
            "verdict": {"enum": VERDICTS},
        },
        "required": ["evidence", "verdict"],
        "additionalProperties": false,
    })
}

/// The answer, if it is one on so many windows.
fn vote(data: &Value, windows: usize) -> Option<Vote> {
    let verdict = data.get("verdict")?.as_str()?;
    if verdict == "uncertain" {
        return Some(None);
    }
    let at = data.get("evidence")?.as_u64().and_then(|at| usize::try_from(at).ok())?;
    let at = at.checked_sub(1).filter(|at| *at < windows)?;
    VERDICTS.contains(&verdict).then_some(Some((at, verdict == "supported")))
}

/// Whether the other judge decides otherwise, on any window.
fn against(vote: Vote, readings: &[Reading], calibration: &Calibration) -> bool {
    let supported = readings.iter().any(|r| r.supports >= calibration.decide_supports);
    let refuted = readings.iter().any(|r| r.refutes >= calibration.decide_refutes);
    match vote {
        None => supported || refuted,
        Some((_, true)) => refuted,
        Some((_, false)) => supported,
    }
}

/// The readings of the other judge with the model's vote among them; where the two are against each
/// other, no window decides.
fn join(vote: Vote, mut readings: Vec<Reading>, calibration: &Calibration) -> Vec<Reading> {
    let (decides, refutes) = (calibration.decide_supports, calibration.decide_refutes);
    if against(vote, &readings, calibration) {
        for reading in &mut readings {
            reading.supports = reading.supports.min(UNDECIDED * decides);
            reading.refutes = reading.refutes.min(UNDECIDED * refutes);
        }
    } else if let Some((reading, supports)) =
        vote.and_then(|(at, supports)| readings.get_mut(at).map(|reading| (reading, supports)))
    {
        let (side, least) = match supports {
            true => (&mut reading.supports, decides),
            false => (&mut reading.refutes, refutes),
        };
        *side = side.max(VOTE.max(least));
        *reading = reading.within_one();
    }
    readings
}

impl Judge for Decoder<'_> {
    fn name(&self) -> &'static str {
        if self.said.borrow().answers.is_empty() {
            return self.rest.name();
        }
        match self.rest.name() {
            "cross-encoder" => "language model and cross-encoder",
            _ => "language model and rules",
        }
    }

    fn calibration(&self) -> &Calibration {
        let said = self.said.borrow();
        if said.answers.is_empty() || said.fell_back {
            return self.rest.calibration();
        }
        &self.calibration
    }

    fn max_sentences(&self) -> usize {
        // Those of the other judge, who reads the same windows.
        self.rest.max_sentences()
    }

    fn read(
        &self,
        statement: &Statement,
        exhibits: &[Exhibit<'_>],
        cancel: &CancelToken,
    ) -> Result<Vec<Reading>, AgentError> {
        let readings = self.rest.read(statement, exhibits, cancel)?;
        if exhibits.is_empty() || !matches!(self.way, Way::Write(_)) {
            return Ok(readings);
        }
        let answer = self.ask(statement, exhibits)?;
        let mut said = self.said.borrow_mut();
        said.fell_back = answer.is_err();
        let (vote, read, generated) = match answer {
            Ok(answer) => answer,
            Err(why) => {
                said.failed += 1;
                said.why = Some(why);
                return Ok(readings);
            }
        };
        said.answers.push(generated);
        said.unread += exhibits.len() - read;
        if against(vote, &readings, &self.calibration) {
            let [supported, refuted, uncertain] = VERDICTS;
            said.disagreed = Some(match vote {
                None => uncertain,
                Some((_, true)) => supported,
                Some((_, false)) => refuted,
            });
        }
        Ok(join(vote, readings, &self.calibration))
    }
}

#[cfg(test)]
mod tests {
    use super::super::calibration::{CROSS, RULES};
    use super::*;

    fn reading(supports: f64, refutes: f64) -> Reading {
        Reading { supports, refutes }
    }

    #[test]
    fn an_answer_is_a_verdict_on_a_window_that_was_shown() {
        let answer = |evidence: Value, verdict: &str| {
            vote(&json!({"evidence": evidence, "verdict": verdict}), 3)
        };
        assert_eq!(answer(json!(1), "supported"), Some(Some((0, true))));
        assert_eq!(answer(json!(3), "refuted"), Some(Some((2, false))));
        assert_eq!(answer(json!(9), "uncertain"), Some(None));
        for (evidence, verdict) in [
            (json!(0), "supported"),
            (json!(4), "supported"),
            (json!(-1), "refuted"),
            (json!("1"), "supported"),
            (json!(1), "perhaps"),
        ] {
            assert_eq!(answer(evidence, verdict), None);
        }
        assert_eq!(vote(&json!([]), 3), None);
    }

    #[test]
    fn a_vote_decides_alone_is_surer_with_company_and_open_against_it() {
        for calibration in [&RULES, &CROSS] {
            let voted = |vote: Vote, own: Reading| join(vote, vec![own], calibration)[0];
            let alone = voted(Some((0, true)), reading(0.1, 0.1));
            assert!(alone.supports >= calibration.decide_supports.max(VOTE), "{alone:?}");
            assert_eq!(voted(Some((0, true)), reading(0.9, 0.0)).supports, 0.9);
            for strong in [0.9, 0.98, 1.0] {
                let open = [
                    voted(None, reading(strong, 0.0)),
                    voted(Some((0, false)), reading(strong, 0.0)),
                ];
                for open in open {
                    assert!(open.supports < calibration.decide_supports, "{open:?}");
                    assert!(open.refutes < calibration.decide_refutes, "{open:?}");
                }
            }
            // On another window, too.
            let two = vec![reading(0.0, 0.1), reading(0.9, 0.0)];
            let two = join(Some((0, false)), two, calibration);
            let (decides, refutes) = (calibration.decide_supports, calibration.decide_refutes);
            assert!(two.iter().all(|r| r.supports < decides && r.refutes < refutes), "{two:?}");
        }
    }
}
