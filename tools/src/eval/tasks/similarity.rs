// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho eval similarity`: cosines of sentence embeddings against what people say of how alike two texts are.

use std::collections::HashMap;
use std::time::Instant;

use bho_engine::{CancelToken, Encoder};
use bho_orchestrator::text::words;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Case, Data, Head, LISTED, Measuring, Notes, Place, Reading, rounded, text};
use crate::eval::correlation::Pairs;
use crate::eval::lines::Record;
use crate::eval::paired::Named;
use crate::exit::{Exit, Failure, OrFailed as _};
use crate::input::StreamArg;

/// The value of `format`.
pub(crate) const FORMAT: &str = "bho.eval.similarity.v1";

const ACCEPTED: &str = "accepted: {\"a\": \"...\", \"b\": \"...\", \"score\": 3.8}, or \"sentence1\" and \"sentence2\" in the place of \"a\" and \"b\"";
/// Longest text, in bytes.
const MAX_TEXT: usize = 1 << 20;
/// Points that a report shows at most.
const POINTS: usize = 2000;

/// The figures of the embeddings, of the words that two texts share, and of the former minus the latter.
pub(crate) const FIGURES: [&str; 6] = [
    "spearman",
    "pearson",
    "words_spearman",
    "words_pearson",
    "spearman_minus_words",
    "pearson_minus_words",
];

/// Two texts and how alike people find them.
#[derive(Debug)]
pub(crate) struct Pair {
    place: Place,
    a: String,
    b: String,
    score: f64,
}

/// What the model said, and how long it took: milliseconds, bytes.
#[derive(Default)]
pub(crate) struct Answers {
    cosines: Vec<f64>,
    pub(crate) times: Vec<(f64, usize)>,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) pairs: usize,
    pub(crate) figures: Named,
    pub(crate) groups: Vec<Group>,
    /// Scores of people and cosines, evenly taken from the data where there are many.
    pub(crate) points: Vec<[f64; 2]>,
    pub(crate) mistakes: Vec<Case>,
}

/// The pairs of one group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Group {
    pub(crate) group: String,
    pub(crate) pairs: usize,
    pub(crate) figures: Named,
}

/// Reads pairs.
///
/// # Errors
/// As [`Data::read`].
pub(crate) fn read(streams: &[StreamArg], reading: &Reading) -> anyhow::Result<Data<Pair>> {
    Data::read(streams, reading, ACCEPTED, |record, place, _: &mut Notes| {
        let (a, b, score) = pair(record, ACCEPTED)?;
        Ok(Some(Pair { place, a, b, score }))
    })
}

/// Two texts and a score.
pub(super) fn pair(record: &Record<'_>, accepted: &str) -> anyhow::Result<(String, String, f64)> {
    let a = text(record, &["a", "sentence1"], MAX_TEXT, accepted)?;
    let b = text(record, &["b", "sentence2"], MAX_TEXT, accepted)?;
    let score = record.first(&["score"]).and_then(|(_, value)| match value {
        Value::Number(score) => score.as_f64(),
        // CSV that became JSON.
        Value::String(score) => score.trim().parse().ok().filter(|score: &f64| score.is_finite()),
        _ => None,
    });
    let score = score
        .ok_or_else(|| record.fault("score", format!("`score` is not a number; {accepted}")))?;
    Ok((a, b, score))
}

/// Embeds both texts of each pair, one pair after the other; `progress` is told how many are done. Besides the answers what
/// stopped it before the end: [`Exit::Interrupted`] when cancelled; the model's failure, with the line.
pub(crate) fn ask(
    encoder: &dyn Encoder,
    data: &Data<Pair>,
    cancel: &CancelToken,
    mut progress: impl FnMut(usize),
) -> (Answers, Option<Failure>) {
    let mut answers = Answers::default();
    for (done, pair) in data.items.iter().enumerate() {
        progress(done);
        let begun = Instant::now();
        let place = || format!("{}:{}", data.files[pair.place.file].file, pair.place.line);
        let cosine = match cosine(encoder, pair, cancel, place) {
            Ok(cosine) => cosine,
            Err(stopped) => return (answers, Some(stopped)),
        };
        answers.cosines.push(cosine);
        answers.times.push((begun.elapsed().as_secs_f64() * 1e3, pair.a.len() + pair.b.len()));
    }
    (answers, None)
}

fn cosine(
    encoder: &dyn Encoder,
    pair: &Pair,
    cancel: &CancelToken,
    place: impl Fn() -> String,
) -> Result<f64, Failure> {
    let embedded = encoder.embed(&[&pair.a, &pair.b], cancel);
    if cancel.is_cancelled() {
        return Err(Failure::silent(Exit::Interrupted));
    }
    let embedded = embedded.map_err(|error| anyhow::anyhow!("{}: {error}", place())).or_failed()?;
    match embedded.as_slice() {
        [a, b] => Ok(f64::from(a.cosine(b))),
        _ => Err(Failure::said(Exit::Failed, format!("{}: no two vectors", place()))),
    }
}

/// Measures cosines; `head` is completed by the caller.
pub(crate) fn measure(
    data: &Data<Pair>,
    answers: &Answers,
    measuring: &Measuring<'_>,
    head: Head,
) -> Report {
    let by_words: Vec<f64> = data.items.iter().map(|pair| word_cosine(&pair.a, &pair.b)).collect();
    let figures = |places: &[usize]| {
        let of =
            |values: &[f64]| Pairs::new(places.iter().map(|i| (values[*i], data.items[*i].score)));
        let (ours, theirs) = (of(&answers.cosines), of(&by_words));
        let estimates = measuring.bootstrap.estimates(places.len(), |weights| {
            let [a, b, c, d] = [
                ours.spearman(weights),
                ours.pearson(weights),
                theirs.spearman(weights),
                theirs.pearson(weights),
            ];
            vec![a, b, c, d, a - c, b - d]
        });
        Named(FIGURES.iter().map(|name| (*name).to_owned()).zip(estimates).collect())
    };
    let all: Vec<usize> = (0..data.items.len()).collect();
    let groups = data.groups(|pair| &pair.place);
    let stride = all.len().div_ceil(POINTS).max(1);
    let point = |i: &usize| [data.items[*i].score, (answers.cosines[*i] * 1e4).round() / 1e4];
    Report {
        head,
        pairs: all.len(),
        figures: figures(&all),
        groups: groups
            .into_iter()
            .map(|(group, places)| Group { group, pairs: places.len(), figures: figures(&places) })
            .collect(),
        points: all.iter().step_by(stride).map(point).collect(),
        mistakes: mistakes(data, answers, measuring),
    }
}

/// The cosine of the word counts of two texts, in lower case.
fn word_cosine(a: &str, b: &str) -> f64 {
    let counts = |text: &str| {
        let mut counts: HashMap<String, f64> = HashMap::new();
        words(text).for_each(|word| *counts.entry(word.text.to_lowercase()).or_default() += 1.0);
        counts
    };
    let (a, b) = (counts(a), counts(b));
    // In the order of the words: sums of one run are those of another.
    let mut shared: Vec<_> = a.iter().filter_map(|(w, n)| Some((w, n * b.get(w)?))).collect();
    shared.sort_by(|x, y| x.0.cmp(y.0));
    let length = |counts: &HashMap<String, f64>| {
        let mut squares: Vec<f64> = counts.values().map(|n| n * n).collect();
        squares.sort_by(f64::total_cmp);
        squares.iter().sum::<f64>().sqrt()
    };
    let lengths = length(&a) * length(&b);
    let product: f64 = shared.iter().map(|(_, product)| product).sum();
    if lengths > 0.0 { product / lengths } else { 0.0 }
}

/// Pairs whose cosine stands furthest from where people's scores put it, in ranks.
fn mistakes(data: &Data<Pair>, answers: &Answers, measuring: &Measuring<'_>) -> Vec<Case> {
    let ranks = |values: Vec<f64>| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]).then(a.cmp(b)));
        let mut ranks = vec![0_usize; values.len()];
        order.iter().enumerate().for_each(|(rank, i)| ranks[*i] = rank);
        ranks
    };
    let people = ranks(data.items.iter().map(|pair| pair.score).collect());
    let model = ranks(answers.cosines.clone());
    let apart = |i: &usize| people[*i].abs_diff(model[*i]);
    let mut worst: Vec<usize> = (0..data.items.len()).filter(|i| apart(i) > 0).collect();
    worst.sort_by_key(|i| (std::cmp::Reverse(apart(i)), *i));
    worst
        .into_iter()
        .take(LISTED)
        .map(|i| {
            let pair = &data.items[i];
            let about = Map::from_iter([
                ("score".to_owned(), rounded(pair.score)),
                ("cosine".to_owned(), rounded(answers.cosines[i])),
            ]);
            let higher = model[i] > people[i];
            Case {
                kind: if higher { "found_too_alike" } else { "found_too_different" },
                file: data.files[pair.place.file].file.clone(),
                line: pair.place.line,
                group: pair.place.group.clone(),
                about,
                texts: [&pair.a, &pair.b].into_iter().filter_map(|t| measuring.shown(t)).collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::word_cosine;

    #[test]
    fn words_are_compared_by_their_counts() {
        assert!((word_cosine("a b", "B c") - 0.5).abs() < 1e-12);
        assert!((word_cosine("x x y", "x") - 2.0 / 5.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(word_cosine("a", "?"), 0.0);
    }
}
