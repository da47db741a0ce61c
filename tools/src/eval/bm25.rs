// SPDX-License-Identifier: AGPL-3.0-or-later
//! BM25: documents by the words they share with a query, rare words first.
//!
//! `k1` is 1.2 and `b` 0.75, and the weight of a word `ln(1 + (N - n + 0.5) / (n + 0.5))`, which is never negative. Words are
//! lower-cased; nothing is stemmed or left out.
//!
//! Source: Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), §3.

use std::collections::HashMap;

use bho_orchestrator::text::words;

const K1: f64 = 1.2;
const B: f64 = 0.75;

/// An index of documents.
pub(crate) struct Bm25 {
    /// For each word the documents that have it, and how often.
    postings: HashMap<String, Vec<(usize, f64)>>,
    /// Words of each document, divided by the mean.
    lengths: Vec<f64>,
}

impl Bm25 {
    pub(crate) fn new<'a>(documents: impl IntoIterator<Item = &'a str>) -> Self {
        let mut postings: HashMap<String, Vec<(usize, f64)>> = HashMap::new();
        let mut lengths = Vec::new();
        for (document, text) in documents.into_iter().enumerate() {
            let mut length = 0.0;
            for word in words(text) {
                length += 1.0;
                let list = postings.entry(word.text.to_lowercase()).or_default();
                match list.last_mut() {
                    Some((last, count)) if *last == document => *count += 1.0,
                    _ => list.push((document, 1.0)),
                }
            }
            lengths.push(length);
        }
        let mean = lengths.iter().sum::<f64>() / lengths.len().max(1) as f64;
        lengths.iter_mut().for_each(|length| *length /= mean.max(f64::MIN_POSITIVE));
        Self { postings, lengths }
    }

    /// The score of each document; a word that the query repeats counts each time.
    pub(crate) fn scores(&self, query: &str) -> Vec<f64> {
        let mut scores = vec![0.0; self.lengths.len()];
        let all = self.lengths.len() as f64;
        for word in words(query) {
            let Some(list) = self.postings.get(&word.text.to_lowercase()) else { continue };
            let having = list.len() as f64;
            let weight = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
            for (document, count) in list {
                let norm = K1 * (1.0 - B + B * self.lengths[*document]);
                scores[*document] += weight * count * (K1 + 1.0) / (count + norm);
            }
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_formula() {
        let index = Bm25::new(["red apple", "red red pear tree", "plum"]);
        // Lengths 2, 4, 1 with a mean of 7/3; `red` is in two of three documents.
        let weight = (1.0_f64 + 1.5 / 2.5).ln();
        let score = |count: f64, length: f64| {
            weight * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / (7.0 / 3.0)))
        };
        let found = index.scores("Red?");
        for (found, expected) in found.iter().zip([score(1.0, 2.0), score(2.0, 4.0), 0.0]) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        let rare = index.scores("red plum");
        assert!(rare[2] > rare[0] && rare[2] > rare[1]);
    }

    #[test]
    fn nothing_to_index_or_ask_is_no_trouble() {
        assert!(Bm25::new([]).scores("a").is_empty());
        assert_eq!(Bm25::new(["", "?"]).scores("a"), [0.0, 0.0]);
        assert_eq!(Bm25::new(["a"]).scores(""), [0.0]);
    }
}
