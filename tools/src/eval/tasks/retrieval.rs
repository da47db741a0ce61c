// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho eval retrieval`: whether the embedder finds the documents that belong to a query, beside BM25.
//!
//! Documents are compared by the cosine of their embeddings with the query's, all of them: what an index answers that leaves
//! nothing out.

mod read;

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use bho_engine::{CancelToken, Embedding, Encoder};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::Map;

pub(crate) use read::{Corpus, Query, read};

use super::{Case, Data, Head, LISTED, Measuring, rounded};
use crate::eval::bm25::Bm25;
use crate::eval::paired::{System, compare};
use crate::exit::{Exit, Failure, OrFailed as _};

/// The value of `format`.
pub(crate) const FORMAT: &str = "bho.eval.retrieval.v1";

/// The figures of each system, in the order of a row.
pub(crate) const FIGURES: [&str; 5] =
    ["recall_at_1", "recall_at_5", "recall_at_10", "mrr", "ndcg_at_10"];
/// Where nDCG stands in [`FIGURES`].
const NDCG: usize = 4;
/// Documents that share a forward pass at most.
const BATCH: usize = 32;

/// What was found, and how long it took: milliseconds, bytes of the query.
#[derive(Default)]
pub(crate) struct Answers {
    /// For each query the ranks, from 1, of its relevant documents in their order: by embeddings, by BM25.
    ranks: Vec<[Vec<usize>; 2]>,
    pub(crate) times: Vec<(f64, usize)>,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) queries: usize,
    /// Documents that are common to all queries, and those that belong to single ones.
    pub(crate) documents: usize,
    pub(crate) own_documents: usize,
    /// The embeddings first.
    pub(crate) systems: Vec<System>,
    pub(crate) groups: Vec<Group>,
    pub(crate) mistakes: Vec<Case>,
}

/// The queries of one group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Group {
    pub(crate) group: String,
    pub(crate) queries: usize,
    pub(crate) systems: Vec<System>,
}

/// The models of the two sides; the same where a model has no prompts.
pub(crate) struct Encoders<'a> {
    pub(crate) query: &'a dyn Encoder,
    pub(crate) document: &'a dyn Encoder,
}

/// Embeds all documents, then answers one query after the other. `progress` is told what is done, how much of it, and of how much.
///
/// # Errors
/// [`Exit::Interrupted`] when cancelled; the model's failure.
pub(crate) fn ask(
    encoders: &Encoders<'_>,
    data: &Data<Query>,
    corpus: &Corpus,
    cancel: &CancelToken,
    mut progress: impl FnMut(&str, usize, usize),
) -> Result<Answers, Failure> {
    let embeddings = embed_all(encoders.document, &corpus.texts, cancel, |done, all| {
        progress("documents embedded", done, all);
    })?;
    let texts = |range: Range<usize>| corpus.texts[range].iter().map(String::as_str);
    let common = Bm25::new(texts(0..corpus.common));
    let mut answers = Answers::default();
    for (done, query) in data.items.iter().enumerate() {
        progress("queries answered", done, data.items.len());
        let begun = Instant::now();
        let asked = embed_one(encoders.query, &query.text, cancel)?;
        let pool = &embeddings.of[query.documents.clone()];
        let cosines: Vec<f64> = pool
            .par_iter()
            .map(|vector| f64::from(asked.cosine(&embeddings.vectors[*vector])))
            .collect();
        answers.times.push((begun.elapsed().as_secs_f64() * 1e3, query.text.len()));
        let own;
        let bm25 = if query.documents == (0..corpus.common) {
            &common
        } else {
            own = Bm25::new(texts(query.documents.clone()));
            &own
        };
        let scores = bm25.scores(&query.text);
        let relevant: Vec<usize> =
            query.relevant.iter().map(|(at, _)| at - query.documents.start).collect();
        answers.ranks.push([ranks(&cosines, &relevant), ranks(&scores, &relevant)]);
    }
    Ok(answers)
}

/// The vectors of different texts, and for each document which of them is its own.
struct Embeddings {
    vectors: Vec<Embedding>,
    of: Vec<usize>,
}

/// Embeds texts, equal ones once.
fn embed_all(
    encoder: &dyn Encoder,
    texts: &[String],
    cancel: &CancelToken,
    mut progress: impl FnMut(usize, usize),
) -> Result<Embeddings, Failure> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut different: Vec<&str> = Vec::new();
    let mut of = Vec::with_capacity(texts.len());
    for text in texts {
        of.push(*places.entry(text).or_insert_with(|| {
            different.push(text);
            different.len() - 1
        }));
    }
    let mut vectors = Vec::with_capacity(different.len());
    for batch in different.chunks(BATCH) {
        progress(vectors.len(), different.len());
        let embedded = encoder.embed(batch, cancel);
        if cancel.is_cancelled() {
            return Err(Failure::silent(Exit::Interrupted));
        }
        vectors.extend(embedded.or_failed()?);
    }
    Ok(Embeddings { vectors, of })
}

fn embed_one(
    encoder: &dyn Encoder,
    text: &str,
    cancel: &CancelToken,
) -> Result<Embedding, Failure> {
    let embedded = encoder.embed(&[text], cancel);
    if cancel.is_cancelled() {
        return Err(Failure::silent(Exit::Interrupted));
    }
    let missing = || Failure::said(Exit::Failed, "the model gave no vector");
    embedded.or_failed()?.pop().ok_or_else(missing)
}

/// The ranks, from 1, of some documents; of equal scores the earlier document goes first.
fn ranks(scores: &[f64], wanted: &[usize]) -> Vec<usize> {
    /// From so many on, sorting all is less work than counting for each.
    const MANY: usize = 32;
    if wanted.len() < MANY {
        let rank = |place: &usize| {
            let own = scores[*place];
            let before =
                |(i, score): &(usize, &f64)| **score > own || (**score == own && i < place);
            1 + scores.iter().enumerate().filter(before).count()
        };
        return wanted.iter().map(rank).collect();
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let mut ranks = vec![0; scores.len()];
    order.into_iter().enumerate().for_each(|(i, place)| ranks[place] = i + 1);
    wanted.iter().map(|place| ranks[*place]).collect()
}

/// The figures of [`FIGURES`]: `ranks` are those of the relevant documents, `grades` how relevant each is.
fn figures(ranks: &[usize], grades: &[f64]) -> [f64; FIGURES.len()] {
    let recall = |k| ranks.iter().filter(|rank| **rank <= k).count() as f64 / ranks.len() as f64;
    let first = ranks.iter().min().map_or(0.0, |rank| 1.0 / *rank as f64);
    let discount = |rank: usize| ((rank + 1) as f64).log2().recip();
    let gain: f64 = ranks
        .iter()
        .zip(grades)
        .filter(|(rank, _)| **rank <= 10)
        .map(|(rank, grade)| grade * discount(*rank))
        .sum();
    let mut best = grades.to_vec();
    best.sort_by(|a, b| b.total_cmp(a));
    let ideal: f64 =
        best.iter().take(10).enumerate().map(|(i, grade)| grade * discount(i + 1)).sum();
    [recall(1), recall(5), recall(10), first, gain / ideal]
}

/// Measures ranks; `head` is completed by the caller.
pub(crate) fn measure(
    data: &Data<Query>,
    corpus: &Corpus,
    answers: &Answers,
    measuring: &Measuring<'_>,
    head: Head,
) -> Report {
    let names = ["embeddings".to_owned(), "bm25".to_owned()];
    let rows: Vec<Vec<f64>> = data
        .items
        .iter()
        .zip(&answers.ranks)
        .map(|(query, ranks)| {
            let grades: Vec<f64> = query.relevant.iter().map(|(_, grade)| *grade).collect();
            ranks.iter().flat_map(|ranks| figures(ranks, &grades)).collect()
        })
        .collect();
    let compared = |places: &[usize]| {
        let rows: Vec<&[f64]> = places.iter().map(|place| rows[*place].as_slice()).collect();
        compare(measuring.bootstrap, &names, &FIGURES, &rows)
    };
    let all: Vec<usize> = (0..rows.len()).collect();
    let groups = data.groups(|query| &query.place);
    Report {
        head,
        queries: rows.len(),
        documents: corpus.common,
        own_documents: corpus.texts.len() - corpus.common,
        systems: compared(&all),
        groups: groups
            .into_iter()
            .map(|(group, places)| Group {
                group,
                queries: places.len(),
                systems: compared(&places),
            })
            .collect(),
        mistakes: mistakes(data, answers, &rows, measuring),
    }
}

/// Queries whose first relevant document comes last.
fn mistakes(
    data: &Data<Query>,
    answers: &Answers,
    rows: &[Vec<f64>],
    measuring: &Measuring<'_>,
) -> Vec<Case> {
    let first = |i: usize, system: usize| answers.ranks[i][system].iter().min().copied();
    let mut worst: Vec<usize> = (0..rows.len()).filter(|i| first(*i, 0) > Some(1)).collect();
    worst.sort_by_key(|i| (std::cmp::Reverse(first(*i, 0)), *i));
    worst
        .into_iter()
        .take(LISTED)
        .map(|i| {
            let query = &data.items[i];
            let about = Map::from_iter([
                ("rank".to_owned(), first(i, 0).into()),
                ("rank_bm25".to_owned(), first(i, 1).into()),
                ("ndcg_at_10".to_owned(), rounded(rows[i][NDCG])),
            ]);
            Case {
                kind: "found_late",
                file: data.files[query.place.file].file.clone(),
                line: query.place.line,
                group: query.place.group.clone(),
                about,
                texts: measuring.shown(&query.text).into_iter().collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_one_computes_by_hand() {
        // Two relevant documents, at ranks 2 and 6.
        let [at_1, at_5, at_10, mrr, ndcg] = figures(&[6, 2], &[1.0, 1.0]);
        assert_eq!((at_1, at_5, at_10, mrr), (0.0, 0.5, 1.0, 0.5));
        let log = |rank: f64| 1.0 / (rank + 1.0).log2();
        assert!((ndcg - (log(2.0) + log(6.0)) / (log(1.0) + log(2.0))).abs() < 1e-12);
        // Graded: the better one is found later.
        let [.., ndcg] = figures(&[3, 1], &[3.0, 1.0]);
        assert!((ndcg - (3.0 * log(3.0) + 1.0) / (3.0 + log(2.0))).abs() < 1e-12);
        assert_eq!(figures(&[11], &[1.0]), [0.0, 0.0, 0.0, 1.0 / 11.0, 0.0]);
        // Eleven relevant ones cannot all be among the first ten.
        let all: Vec<usize> = (1..=11).collect();
        let [.., ndcg] = figures(&all, &[1.0; 11]);
        assert!((ndcg - 1.0).abs() < 1e-12);
    }

    #[test]
    fn of_equal_scores_the_earlier_document_is_first() {
        assert_eq!(ranks(&[0.5, 0.9, 0.5, 0.1], &[0, 1, 2, 3]), [2, 1, 3, 4]);
        assert_eq!(ranks(&[0.5], &[]), Vec::<usize>::new());
        let scores: Vec<f64> = (0..100).map(|i| f64::from(i * 7 % 10)).collect();
        let all: Vec<usize> = (0..100).collect();
        let counted: Vec<usize> = all.iter().flat_map(|i| ranks(&scores, &[*i])).collect();
        assert_eq!(ranks(&scores, &all), counted);
    }
}
