// SPDX-License-Identifier: AGPL-3.0-or-later
//! TextRank: the sentences of a text that most of its other sentences speak for.
//!
//! Sentences are the nodes of a graph. The weight of an edge is the number of different words that two sentences share, divided by
//! the sum of the logarithms of their lengths; ranks are those of weighted PageRank with a damping of 0.85. Words are lower-cased and
//! stemmed; function words do not count, nor in the lengths.
//!
//! Source: Mihalcea and Tarau, TextRank: Bringing Order into Texts (2004), §2 and §4.

use bho_orchestrator::text::{is_stop_word, words};

use super::porter;

/// Sentences that are ranked; those behind them are left out, as the graph grows with the square.
pub(crate) const MAX_SENTENCES: usize = 2000;

const DAMPING: f64 = 0.85;
/// No rank moves by more than this in the last round.
const PRECISION: f64 = 1e-6;
const MAX_ROUNDS: usize = 200;

/// Places of the `most` sentences with the highest ranks, in the order of the text; of equal ones the first.
pub(crate) fn summary(sentences: &[String], most: usize) -> Vec<usize> {
    let ranks = ranks(sentences);
    let mut places: Vec<usize> = (0..ranks.len()).collect();
    // Stable, and the last bits of a sum are no reason to prefer a sentence.
    let rounded = |place: &usize| (ranks[*place] * 1e6).round();
    places.sort_by(|a, b| rounded(b).total_cmp(&rounded(a)));
    places.truncate(most);
    places.sort_unstable();
    places
}

/// The rank of each of the first [`MAX_SENTENCES`]; where nothing is shared it is 0.15.
fn ranks(sentences: &[String]) -> Vec<f64> {
    let sentences = &sentences[..sentences.len().min(MAX_SENTENCES)];
    let read: Vec<Sentence> = sentences.iter().map(|text| Sentence::read(text)).collect();
    let mut edges: Vec<Vec<(usize, f64)>> = vec![Vec::new(); read.len()];
    for i in 0..read.len() {
        for j in i + 1..read.len() {
            let weight = read[i].similarity(&read[j]);
            if weight > 0.0 {
                edges[i].push((j, weight));
                edges[j].push((i, weight));
            }
        }
    }
    let out: Vec<f64> =
        edges.iter().map(|edges| edges.iter().map(|(_, weight)| weight).sum()).collect();
    let mut ranks = vec![1.0; read.len()];
    for _ in 0..MAX_ROUNDS {
        let next: Vec<f64> = edges
            .iter()
            .map(|edges| {
                let votes = edges.iter().map(|(from, weight)| weight / out[*from] * ranks[*from]);
                1.0 - DAMPING + DAMPING * votes.sum::<f64>()
            })
            .collect();
        let moved = ranks.iter().zip(&next).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        ranks = next;
        if moved < PRECISION {
            break;
        }
    }
    ranks
}

struct Sentence {
    /// Sorted, each once.
    terms: Vec<String>,
    /// Words, repeated ones too.
    length: usize,
}

impl Sentence {
    fn read(text: &str) -> Self {
        let lower = words(text).map(|word| word.text.to_lowercase());
        let mut terms: Vec<String> =
            lower.filter(|word| !is_stop_word(word)).map(|word| porter::stem(&word)).collect();
        let length = terms.len();
        terms.sort_unstable();
        terms.dedup();
        Self { terms, length }
    }

    fn similarity(&self, other: &Self) -> f64 {
        let (mut a, mut b) = (self.terms.iter().peekable(), other.terms.iter().peekable());
        let mut shared = 0;
        while let (Some(left), Some(right)) = (a.peek(), b.peek()) {
            match left.cmp(right) {
                std::cmp::Ordering::Less => {
                    a.next();
                }
                std::cmp::Ordering::Greater => {
                    b.next();
                }
                std::cmp::Ordering::Equal => {
                    shared += 1;
                    a.next();
                    b.next();
                }
            }
        }
        let lengths = (self.length as f64).ln() + (other.length as f64).ln();
        // Two sentences of one word each have no length to divide by.
        if shared == 0 || lengths <= 0.0 { 0.0 } else { f64::from(shared) / lengths }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sentences: &[&str]) -> Vec<String> {
        sentences.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn ranks_are_the_fixed_point_one_solves_by_hand() {
        // A chain: the middle shares one word with each end, all have two words. With w the same on both edges the ends have
        // e = 0.15 + 0.85 m / 2 and the middle m = 0.15 + 0.85 * 2e.
        let ranks = ranks(&texts(&["Apples ripen.", "Apples, pears.", "Pears fall."]));
        let middle = (0.15 + 1.7 * 0.15) / (1.0 - 0.85 * 0.85);
        let end = 0.15 + 0.425 * middle;
        for (found, expected) in ranks.iter().zip([end, middle, end]) {
            assert!((found - expected).abs() < 1e-5, "{ranks:?}");
        }
    }

    #[test]
    fn the_best_are_given_in_the_order_of_the_text() {
        let text =
            texts(&["Rain fell.", "Apples, pears, plums.", "Apples ripen.", "Pears, plums fall."]);
        assert_eq!(summary(&text, 2), [1, 3]);
        assert_eq!(summary(&texts(&["One.", "Two.", "Three."]), 2), [0, 1], "of equals the first");
        assert_eq!(summary(&[], 3), Vec::<usize>::new());
        let long = vec!["Apples fall daily.".to_owned(); MAX_SENTENCES + 5];
        assert_eq!(summary(&long, 1), [0]);
    }
}
