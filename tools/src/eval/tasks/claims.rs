// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho eval claims`: verdicts of the claim-check agent against labelled claims, each with its evidence.

use std::time::Instant;

use bho_engine::CancelToken;
use bho_orchestrator::agents::Fields;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Case, Data, Head, LISTED, Measuring, Notes, Place, Reading, Subject, note, rounded, text, texts,
};
use crate::eval::lines::Record;
use crate::eval::paired::Named;
use crate::eval::ranking::{Bin, Ranking};
use crate::eval::selective::{COVERAGES, Selective};
use crate::exit::Failure;
use crate::input::StreamArg;

/// The value of `format`.
pub(crate) const FORMAT: &str = "bho.eval.claims.v1";
/// The agent that is asked.
pub(crate) const AGENT: &str = "bitnet.claimcheck";

const ACCEPTED: &str = "accepted: {\"claim\": \"...\", \"evidence\": \"...\" or [\"...\"], \"label\": \
     \"supports\"|\"refutes\"|\"uncertain\"}; SNLI's {\"hypothesis\", \"premise\", \"label\"}; CREAK's {\"sentence\", \
     \"explanation\", \"label\"}";
/// Longest claim and longest text of evidence, in bytes.
const MAX_CLAIM: usize = 64 << 10;
const MAX_EVIDENCE: usize = 1 << 20;
/// Points of the curve of accuracy over coverage.
const CURVE: usize = 100;

/// What is said of a claim, by labels and by verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Class {
    Supports,
    Refutes,
    Uncertain,
}

impl Class {
    /// In the order of tables.
    pub(crate) const ALL: [Self; 3] = [Self::Supports, Self::Refutes, Self::Uncertain];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Supports => "supports",
            Self::Refutes => "refutes",
            Self::Uncertain => "uncertain",
        }
    }

    /// What a word of the agent or of a data set stands for.
    fn of(word: &str) -> Option<Self> {
        Some(match word.trim().to_lowercase().as_str() {
            "supports" | "supported" | "support" | "entailment" | "entails" | "true" => {
                Self::Supports
            }
            "refutes" | "refuted" | "refute" | "contradiction" | "contradicts" | "false" => {
                Self::Refutes
            }
            "uncertain" | "neutral" | "not enough info" | "not_enough_info" | "nei" | "unknown"
            | "unverifiable" => Self::Uncertain,
            _ => return None,
        })
    }
}

/// A claim and what is known of it.
#[derive(Debug)]
pub(crate) struct Example {
    place: Place,
    claim: String,
    evidence: Vec<String>,
    label: Class,
}

/// What the agent said of a claim.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Answer {
    verdict: Class,
    /// Probability, as the agent has it, that the verdict holds.
    score: f64,
    /// Where the agent leans and how strongly, for those that must have an answer; none where it sees nothing either way.
    leaning: Option<(Class, f64)>,
}

/// What the agent said, and how long it took: milliseconds, bytes.
#[derive(Default)]
pub(crate) struct Answers {
    all: Vec<Answer>,
    pub(crate) times: Vec<(f64, usize)>,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) claims: usize,
    /// Whether `uncertain` is a label of the data; without, it is no answer.
    pub(crate) uncertain_is_labelled: bool,
    /// The label that most claims have: the answer of a baseline that reads nothing.
    pub(crate) majority: Class,
    #[serde(flatten)]
    pub(crate) measured: Measured,
    pub(crate) groups: Vec<Group>,
    pub(crate) mistakes: Vec<Case>,
}

/// What is measured on a set of claims.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Measured {
    pub(crate) figures: Named,
    pub(crate) classes: Vec<ClassReport>,
    /// Labels by verdicts, both in the order of [`Class::ALL`].
    pub(crate) confusion: [[usize; 3]; 3],
    /// Accuracy among the surest claims: [coverage, accuracy].
    pub(crate) coverage: Vec<[f64; 2]>,
    /// Scores of the verdicts against their being right.
    pub(crate) reliability: Vec<Bin>,
}

/// One label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ClassReport {
    pub(crate) class: Class,
    pub(crate) labelled: usize,
    pub(crate) called: usize,
    pub(crate) figures: Named,
}

/// The claims of one group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Group {
    pub(crate) group: String,
    pub(crate) claims: usize,
    pub(crate) figures: Named,
}

/// Names of the figures, in the order of [`Rows::figures`]; those of the classes follow.
pub(crate) const FIGURES: [&str; 12] = [
    "accuracy",
    "macro_f1",
    "answered",
    "accuracy_answered",
    "accuracy_at_60",
    "accuracy_at_80",
    "accuracy_at_100",
    "risk_coverage_area",
    "ece",
    "brier",
    "auc",
    "majority_accuracy",
];
/// The last of the figures: all answers, forced where there were none, against the majority's.
pub(crate) const OVER_MAJORITY: &str = "accuracy_at_100_minus_majority";
const CLASS_FIGURES: [&str; 3] = ["precision", "recall", "f1"];

/// Reads claims. `evidence` is the key of the evidence, where it is not one of the usual ones.
///
/// # Errors
/// As [`Data::read`].
pub(crate) fn read(
    streams: &[StreamArg],
    reading: &Reading,
    evidence: Option<&str>,
) -> anyhow::Result<Data<Example>> {
    let usual = ["evidence", "premise", "explanation"];
    let keys = evidence.as_ref().map_or(usual.as_slice(), std::slice::from_ref);
    Data::read(streams, reading, ACCEPTED, |record, place, notes| {
        example(record, place, keys, notes)
    })
}

fn example(
    record: &Record<'_>,
    place: Place,
    keys: &[&str],
    notes: &mut Notes,
) -> anyhow::Result<Option<Example>> {
    let claim = text(record, &["claim", "hypothesis", "sentence"], MAX_CLAIM, ACCEPTED)?;
    let label = match record.first(&["label"]) {
        // SNLI's mark of pairs that people did not agree on.
        Some((_, Value::String(label))) if label == "-" => {
            note(notes, "no label that people agreed on: not used");
            return Ok(None);
        }
        Some((_, Value::String(label))) => Class::of(label),
        Some((_, Value::Bool(label))) => {
            Some(if *label { Class::Supports } else { Class::Refutes })
        }
        _ => None,
    };
    let label = label.ok_or_else(|| {
        let also = "supported, entailment and true; refuted, contradiction and false; neutral, unknown and not enough info";
        record.fault("label", format!("there is no usable `label`; {ACCEPTED}; as labels also {also}"))
    })?;
    let evidence = texts(record, keys, MAX_EVIDENCE, ACCEPTED)?;
    let mut evidence = evidence
        .ok_or_else(|| record.fault("", format!("the line has no `{}`; {ACCEPTED}", keys[0])))?;
    if evidence == ["n/a"] {
        evidence.clear();
    }
    if evidence.is_empty() {
        note(notes, "without evidence: nothing can decide these claims");
    }
    Ok(Some(Example { place, claim, evidence, label }))
}

/// Has the agent check each claim, one after the other; `progress` is told how many are done. Besides the answers what
/// stopped it before the end, as [`Subject::ask`] has it: an answer may have taken minutes.
pub(crate) fn ask(
    subject: &Subject,
    data: &Data<Example>,
    cancel: &CancelToken,
    mut progress: impl FnMut(usize),
) -> (Answers, Option<Failure>) {
    let mut answers = Answers::default();
    for (done, example) in data.items.iter().enumerate() {
        progress(done);
        let input = json!({"claim": example.claim, "kb": example.evidence});
        let begun = Instant::now();
        let result = subject.ask(input, cancel, || {
            format!("{}:{}", data.files[example.place.file].file, example.place.line)
        });
        let result = match result {
            Ok(result) => result,
            Err(stopped) => return (answers, Some(stopped)),
        };
        let bytes = example.evidence.iter().map(String::len).sum::<usize>() + example.claim.len();
        answers.times.push((begun.elapsed().as_secs_f64() * 1e3, bytes));
        answers.all.push(Answer::of(&result));
    }
    (answers, None)
}

impl Answer {
    /// What a result of the agent says.
    fn of(result: &Fields) -> Self {
        let verdict = result.get("verdict").and_then(Value::as_str).and_then(Class::of);
        let verdict = verdict.unwrap_or(Class::Uncertain);
        let share =
            |value: &Value| value.as_f64().filter(|v| v.is_finite()).map(|v| v.clamp(0.0, 1.0));
        let score = result.get("score").and_then(share).unwrap_or(0.0);
        let leaning = match verdict {
            Class::Uncertain => leaning(result),
            decided => Some((decided, score)),
        };
        Self { verdict, score, leaning }
    }
}

/// Where an undecided result leans: by `probabilities` if it has them, else by the strongest evidence that takes a side.
fn leaning(result: &Fields) -> Option<(Class, f64)> {
    let evidence = result.get("evidence").and_then(Value::as_array);
    let of_evidence = evidence.into_iter().flatten().filter_map(|item| {
        Some((Class::of(item.get("relation")?.as_str()?)?, item.get("score")?.as_f64()?))
    });
    let probabilities = result.get("probabilities").and_then(Value::as_object);
    let stated = probabilities.into_iter().flatten();
    let stated: Vec<(Class, f64)> =
        stated.filter_map(|(word, value)| Some((Class::of(word)?, value.as_f64()?))).collect();
    let all = if stated.is_empty() { of_evidence.collect() } else { stated };
    let sides = all.into_iter().filter(|(class, score)| {
        *class != Class::Uncertain && *score > 0.0 && (0.0..=1.0).contains(score)
    });
    // Of equals the first.
    sides.reduce(|best, other| if other.1 > best.1 { other } else { best })
}

/// Measures verdicts; `head` is completed by the caller.
pub(crate) fn measure(
    data: &Data<Example>,
    answers: &Answers,
    measuring: &Measuring<'_>,
    head: Head,
) -> Report {
    let pairs = data.items.iter().zip(&answers.all);
    let all: Vec<(Class, Answer)> =
        pairs.map(|(example, answer)| (example.label, *answer)).collect();
    let labelled = |class: Class| all.iter().filter(|(label, _)| *label == class).count();
    let three = labelled(Class::Uncertain) > 0;
    let majority = Class::ALL
        .into_iter()
        .reduce(|best, class| if labelled(class) > labelled(best) { class } else { best });
    let majority = majority.unwrap_or(Class::Supports);
    let measured = |places: &[usize]| {
        let rows = places.iter().map(|place| all[*place]).collect();
        Rows::new(rows, three, majority).measured(measuring)
    };
    let places: Vec<usize> = (0..all.len()).collect();
    let groups = data.groups(|example| &example.place);
    Report {
        head,
        claims: all.len(),
        uncertain_is_labelled: three,
        majority,
        measured: measured(&places),
        groups: groups
            .into_iter()
            .map(|(group, places)| Group {
                group,
                claims: places.len(),
                figures: measured(&places).figures,
            })
            .collect(),
        mistakes: mistakes(data, answers, measuring),
    }
}

/// Labels and answers, ready to be weighed.
struct Rows {
    rows: Vec<(Class, Answer)>,
    /// Places of the rows whose verdict counts as an answer.
    answered: Vec<usize>,
    /// Scores of those against their being right.
    calibration: Ranking,
    selective: Selective,
    majority: Class,
}

impl Rows {
    fn new(rows: Vec<(Class, Answer)>, three: bool, majority: Class) -> Self {
        let counts = |answer: &Answer| three || answer.verdict != Class::Uncertain;
        let answered: Vec<usize> = (0..rows.len()).filter(|i| counts(&rows[*i].1)).collect();
        let scored: Vec<(f64, bool)> =
            answered.iter().map(|i| (rows[*i].1.score, rows[*i].0 == rows[*i].1.verdict)).collect();
        // Answers come before leanings, and those before claims on which nothing was seen.
        let order: Vec<(f64, bool)> = rows
            .iter()
            .map(|(label, answer)| match (counts(answer), answer.leaning) {
                (true, _) => (2.0 + answer.score, *label == answer.verdict),
                (false, Some((class, strength))) => (strength, *label == class),
                (false, None) => (-1.0, false),
            })
            .collect();
        Self {
            rows,
            answered,
            calibration: Ranking::new(&scored),
            selective: Selective::new(&order),
            majority,
        }
    }

    fn measured(&self, measuring: &Measuring<'_>) -> Measured {
        let estimates = measuring.bootstrap.estimates(self.rows.len(), |w| self.figures(w));
        let names = FIGURES.into_iter().chain([OVER_MAJORITY]);
        let (overall, classes) = estimates.split_at(FIGURES.len() + 1);
        let mut confusion = [[0; 3]; 3];
        for (label, answer) in &self.rows {
            confusion[*label as usize][answer.verdict as usize] += 1;
        }
        let class_report = |(class, figures): (Class, &[_])| ClassReport {
            class,
            labelled: confusion[class as usize].iter().sum(),
            called: confusion.iter().map(|row| row[class as usize]).sum(),
            figures: Named(
                CLASS_FIGURES
                    .iter()
                    .map(|n| (*n).to_owned())
                    .zip(figures.iter().copied())
                    .collect(),
            ),
        };
        let classes = Class::ALL.into_iter().zip(classes.chunks(CLASS_FIGURES.len()));
        Measured {
            figures: Named(names.map(str::to_owned).zip(overall.iter().copied()).collect()),
            classes: classes.map(class_report).collect(),
            confusion,
            coverage: self.selective.curve(CURVE),
            reliability: self.calibration.bins(),
        }
    }

    /// The figures of [`FIGURES`], [`OVER_MAJORITY`], and for each class [`CLASS_FIGURES`].
    fn figures(&self, weights: &[u32]) -> Vec<f64> {
        let mut table = [[0.0_f64; 3]; 3];
        for ((label, answer), weight) in self.rows.iter().zip(weights) {
            table[*label as usize][answer.verdict as usize] += f64::from(*weight);
        }
        let all: f64 = table.iter().flatten().sum();
        let right: f64 = (0..3).map(|i| table[i][i]).sum();
        let mut classes = Vec::with_capacity(9);
        let (mut f1s, mut labels) = (0.0, 0.0);
        for i in 0..3 {
            let labelled: f64 = table[i].iter().sum();
            let called: f64 = table.iter().map(|row| row[i]).sum();
            let f1 = 2.0 * table[i][i] / (labelled + called);
            if labelled > 0.0 {
                f1s += f1;
                labels += 1.0;
            }
            classes.extend([table[i][i] / called, table[i][i] / labelled, f1]);
        }
        let drawn: Vec<u32> = self.answered.iter().map(|i| weights[*i]).collect();
        let answered: f64 = drawn.iter().map(|weight| f64::from(*weight)).sum();
        let right_answers = |(place, weight): (&usize, &u32)| {
            let (label, answer) = &self.rows[*place];
            f64::from(*weight) * f64::from(u8::from(*label == answer.verdict))
        };
        let right_answers: f64 = self.answered.iter().zip(&drawn).map(right_answers).sum();
        // The threshold is no matter here: only its own figures look at it.
        let [auc, .., ece, brier] = self.calibration.figures(&drawn, 0.5);
        let majority = table[self.majority as usize].iter().sum::<f64>() / all;
        let at = self.selective.accuracies(weights);
        let mut figures = vec![right / all, f1s / labels, answered / all, right_answers / answered];
        figures.extend(at);
        let area = self.selective.area(weights);
        figures.extend([area, ece, brier, auc, majority, at[COVERAGES.len() - 1] - majority]);
        figures.extend(classes);
        figures
    }
}

/// Verdicts that are the contrary of the label, and other wrong ones, the surest first.
fn mistakes(data: &Data<Example>, answers: &Answers, measuring: &Measuring<'_>) -> Vec<Case> {
    let wrong = |i: &usize| data.items[*i].label != answers.all[*i].verdict;
    let decided = |i: &usize| answers.all[*i].verdict != Class::Uncertain;
    let mut worst: Vec<usize> = (0..data.items.len()).filter(wrong).filter(decided).collect();
    worst.sort_by(|a, b| answers.all[*b].score.total_cmp(&answers.all[*a].score).then(a.cmp(b)));
    worst
        .into_iter()
        .take(LISTED)
        .map(|i| {
            let (example, answer) = (&data.items[i], &answers.all[i]);
            let contrary = example.label != Class::Uncertain;
            let about = Map::from_iter([
                ("label".to_owned(), example.label.name().into()),
                ("verdict".to_owned(), answer.verdict.name().into()),
                ("score".to_owned(), rounded(answer.score)),
            ]);
            let texts = std::iter::once(&example.claim).chain(example.evidence.first());
            Case {
                kind: if contrary { "contrary" } else { "overstated" },
                file: data.files[example.place.file].file.clone(),
                line: example.place.line,
                group: example.place.group.clone(),
                about,
                texts: texts.filter_map(|text| measuring.shown(text)).collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
