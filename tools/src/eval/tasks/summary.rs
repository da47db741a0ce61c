// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho eval summary`: summaries of the summarizer agent against ones that people wrote, beside simple ones.

use std::time::Instant;

use bho_engine::CancelToken;
use bho_orchestrator::text::{sentences, squeeze};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Case, Data, Head, LISTED, Measuring, Notes, Place, Reading, Subject, rounded, text, texts,
};
use crate::eval::lines::Record;
use crate::eval::paired::{System, compare};
use crate::eval::rouge::{self, KINDS, ROUGE_L, Score, Tokenizer, Tokens};
use crate::eval::textrank;
use crate::exit::Failure;
use crate::input::StreamArg;

/// The value of `format`.
pub(crate) const FORMAT: &str = "bho.eval.summary.v1";
/// The agent that is asked.
pub(crate) const AGENT: &str = "bitnet.summarizer";

const ACCEPTED: &str = "accepted: {\"text\": \"...\", \"references\": [\"...\"]}, or \"sentences\": [\"...\"] in the place of \
     \"text\"; SciTLDR's {\"source\": [...], \"target\": [...]}";
/// Longest reference and longest given sentence, in bytes: ROUGE-L takes their product.
const MAX_REFERENCE: usize = 32 << 10;
const MAX_SENTENCE: usize = 8 << 10;
/// Sentences among which the best possible ones are looked for.
const MAX_ORACLE: usize = 500;

/// The figures of each system, in the order of a row.
const FIGURES: [&str; 13] = [
    "rouge1_f1",
    "rouge2_f1",
    "rougeL_f1",
    "rougeLsum_f1",
    "rouge1_precision",
    "rouge2_precision",
    "rougeL_precision",
    "rougeLsum_precision",
    "rouge1_recall",
    "rouge2_recall",
    "rougeL_recall",
    "rougeLsum_recall",
    "words",
];

/// A text and what people made of it.
#[derive(Debug)]
pub(crate) struct Example {
    place: Place,
    text: String,
    /// What baselines choose from.
    sentences: Vec<String>,
    references: Vec<String>,
}

/// How long summaries are, and how they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Setting {
    /// Sentences of a summary.
    pub(crate) sentences: usize,
    pub(crate) stemmed: bool,
    /// Whether the best possible sentences are looked for too.
    #[serde(skip)]
    pub(crate) oracle: bool,
}

/// What the agent wrote, and how long it took: milliseconds, bytes.
#[derive(Default)]
pub(crate) struct Answers {
    summaries: Vec<String>,
    pub(crate) times: Vec<(f64, usize)>,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) texts: usize,
    pub(crate) setting: Setting,
    /// The agent first.
    pub(crate) systems: Vec<System>,
    pub(crate) groups: Vec<Group>,
    pub(crate) mistakes: Vec<Case>,
}

/// The texts of one group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Group {
    pub(crate) group: String,
    pub(crate) texts: usize,
    pub(crate) systems: Vec<System>,
}

/// Reads texts with references.
///
/// # Errors
/// As [`Data::read`].
pub(crate) fn read(streams: &[StreamArg], reading: &Reading) -> anyhow::Result<Data<Example>> {
    Data::read(streams, reading, ACCEPTED, |record, place, _: &mut Notes| {
        example(record, place).map(Some)
    })
}

fn example(record: &Record<'_>, place: Place) -> anyhow::Result<Example> {
    let references =
        texts(record, &["references", "reference", "target", "targets"], MAX_REFERENCE, ACCEPTED)?;
    let references = references.filter(|references| !references.is_empty()).ok_or_else(|| {
        record.fault("references", format!("the line has no `references`; {ACCEPTED}"))
    })?;
    let listed = |key: &&str| matches!(record.fields.get(*key), Some(Value::Array(_)));
    let given = ["sentences", "source"].into_iter().find(listed);
    let (text, sentences) = match given {
        Some(key) => {
            let list = texts(record, &[key], MAX_SENTENCE, ACCEPTED)?.unwrap_or_default();
            let list: Vec<String> = list.iter().map(|sentence| squeeze(sentence)).collect();
            if list.is_empty() {
                return Err(record.fault(key, format!("`{key}` is empty; {ACCEPTED}")));
            }
            (list.join(" "), list)
        }
        None => {
            let text = text(record, &["text", "source"], super::MAX_LINE, ACCEPTED)?;
            let list = split(&text);
            (text, list)
        }
    };
    Ok(Example { place, text, sentences, references })
}

/// The sentences of a text, each on one line.
fn split(text: &str) -> Vec<String> {
    sentences(text).map(|span| squeeze(&text[span])).collect()
}

/// Has the agent summarise each text, one after the other; `progress` is told how many are done. Besides the answers what
/// stopped it before the end, as [`Subject::ask`] has it: an answer may have taken minutes.
pub(crate) fn ask(
    subject: &Subject,
    data: &Data<Example>,
    setting: Setting,
    cancel: &CancelToken,
    mut progress: impl FnMut(usize),
) -> (Answers, Option<Failure>) {
    let mut answers = Answers::default();
    for (done, example) in data.items.iter().enumerate() {
        progress(done);
        let input = json!({"text": example.text, "max_sentences": setting.sentences});
        let begun = Instant::now();
        let result = subject.ask(input, cancel, || {
            format!("{}:{}", data.files[example.place.file].file, example.place.line)
        });
        let result = match result {
            Ok(result) => result,
            Err(stopped) => return (answers, Some(stopped)),
        };
        answers.times.push((begun.elapsed().as_secs_f64() * 1e3, example.text.len()));
        let summary = result.get("text").and_then(Value::as_str).unwrap_or_default();
        answers.summaries.push(summary.to_owned());
    }
    (answers, None)
}

/// Measures summaries; `head` is completed by the caller.
pub(crate) fn measure(
    data: &Data<Example>,
    answers: &Answers,
    setting: Setting,
    measuring: &Measuring<'_>,
    head: Head,
) -> Report {
    let mut names =
        vec!["agent".to_owned(), format!("lead-{}", setting.sentences), "textrank".to_owned()];
    if setting.oracle {
        names.push("oracle".to_owned());
    }
    let rows: Vec<Vec<f64>> = data
        .items
        .iter()
        .zip(&answers.summaries)
        .map(|(example, summary)| row(example, summary, setting))
        .collect();
    let compared = |places: &[usize]| {
        let rows: Vec<&[f64]> = places.iter().map(|place| rows[*place].as_slice()).collect();
        compare(measuring.bootstrap, &names, &FIGURES, &rows)
    };
    let all: Vec<usize> = (0..rows.len()).collect();
    let groups = data.groups(|example| &example.place);
    Report {
        head,
        texts: rows.len(),
        setting,
        systems: compared(&all),
        groups: groups
            .into_iter()
            .map(|(group, places)| Group { group, texts: places.len(), systems: compared(&places) })
            .collect(),
        mistakes: mistakes(data, answers, &rows, measuring),
    }
}

/// The figures of all systems on one text.
fn row(example: &Example, summary: &str, setting: Setting) -> Vec<f64> {
    let mut tokenizer = Tokenizer::new(setting.stemmed);
    let references: Vec<Tokens> =
        example.references.iter().map(|reference| tokenizer.read(reference)).collect();
    let chosen = |places: &[usize]| {
        let lines: Vec<&str> = places.iter().map(|i| example.sentences[*i].as_str()).collect();
        lines.join("\n")
    };
    let most = setting.sentences.min(example.sentences.len());
    let lead: Vec<usize> = (0..most).collect();
    let mut systems = vec![
        split(summary).join("\n"),
        chosen(&lead),
        chosen(&textrank::summary(&example.sentences, setting.sentences)),
    ];
    if setting.oracle {
        systems.push(chosen(&oracle(example, &references, setting, &mut tokenizer)));
    }
    let mut row = Vec::with_capacity(systems.len() * FIGURES.len());
    for system in &systems {
        let tokens = tokenizer.read(system);
        let scores = rouge::best(&references, &tokens);
        row.extend(scores.map(|score| score.f1));
        row.extend(scores.map(|score| score.precision));
        row.extend(scores.map(|score| score.recall));
        row.push(tokens.len() as f64);
    }
    row
}

/// Places of the sentences that one would take with the references at hand: one after the other the sentence that adds most
/// ROUGE-L, as long as one does.
fn oracle(
    example: &Example,
    references: &[Tokens],
    setting: Setting,
    tokenizer: &mut Tokenizer,
) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut reached = 0.0;
    while chosen.len() < setting.sentences {
        let mut best = None;
        for candidate in 0..example.sentences.len().min(MAX_ORACLE) {
            if chosen.contains(&candidate) {
                continue;
            }
            let mut places = chosen.clone();
            places.push(candidate);
            places.sort_unstable();
            let lines: Vec<&str> = places.iter().map(|i| example.sentences[*i].as_str()).collect();
            let tokens = tokenizer.read(&lines.join("\n"));
            let scores = references.iter().map(|reference| rouge::rouge_l(reference, &tokens));
            let f1 = scores.map(|score: Score| score.f1).fold(0.0, f64::max);
            if f1 > reached {
                reached = f1;
                best = Some(places);
            }
        }
        let Some(places) = best else { break };
        chosen = places;
    }
    chosen
}

/// Texts on which the agent is furthest behind the better of the baselines.
fn mistakes(
    data: &Data<Example>,
    answers: &Answers,
    rows: &[Vec<f64>],
    measuring: &Measuring<'_>,
) -> Vec<Case> {
    let of = |row: &[f64], system: usize| row[system * FIGURES.len() + ROUGE_L];
    let behind = |row: &[f64]| of(row, 1).max(of(row, 2)) - of(row, 0);
    let mut worst: Vec<usize> = (0..rows.len()).filter(|i| behind(&rows[*i]) > 0.0).collect();
    worst.sort_by(|a, b| behind(&rows[*b]).total_cmp(&behind(&rows[*a])).then(a.cmp(b)));
    worst
        .into_iter()
        .take(LISTED)
        .map(|i| {
            let example = &data.items[i];
            let about = Map::from_iter([
                (format!("{}_agent", KINDS[ROUGE_L]), rounded(of(&rows[i], 0))),
                (format!("{}_lead", KINDS[ROUGE_L]), rounded(of(&rows[i], 1))),
                (format!("{}_textrank", KINDS[ROUGE_L]), rounded(of(&rows[i], 2))),
            ]);
            let texts = [&answers.summaries[i], &example.references[0]];
            Case {
                kind: "behind_baseline",
                file: data.files[example.place.file].file.clone(),
                line: example.place.line,
                group: example.place.group.clone(),
                about,
                texts: texts.into_iter().filter_map(|text| measuring.shown(text)).collect(),
            }
        })
        .collect()
}
