// SPDX-License-Identifier: AGPL-3.0-or-later
//! ROUGE: what a summary has in common with summaries that people wrote.
//!
//! The figures are those of the `rouge-score` package (0.1.2): texts are put in lower case, everything but `a-z` and `0-9` parts
//! words, and words of more than three characters are stemmed if that is asked for. So it sees English and nothing of other scripts.
//!
//! Source: Lin, ROUGE: A Package for Automatic Evaluation of Summaries (2004): §2 ROUGE-N, §3.1 sentence-level and §3.2
//! summary-level ROUGE-L, the latter with the clipped counts of ROUGE 1.5.5.

use std::collections::HashMap;

use super::porter;

/// The figures in their order.
pub(crate) const KINDS: [&str; 4] = ["rouge1", "rouge2", "rougeL", "rougeLsum"];
/// Where ROUGE-L stands in [`KINDS`].
pub(crate) const ROUGE_L: usize = 2;

/// Precision, recall and their harmonic mean, each within 0..=1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Score {
    pub(crate) precision: f64,
    pub(crate) recall: f64,
    pub(crate) f1: f64,
}

impl Score {
    /// So many hits among the words (or pairs of words) of a reference and of a prediction.
    fn of(hits: usize, reference: usize, prediction: usize) -> Self {
        let precision = hits as f64 / prediction.max(1) as f64;
        let recall = hits as f64 / reference.max(1) as f64;
        let sum = precision + recall;
        let f1 = if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 };
        Self { precision, recall, f1 }
    }
}

/// A text as words, each as its number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens {
    all: Vec<u32>,
    /// Where the lines end that have words; for ROUGE-Lsum a line is a sentence.
    ends: Vec<usize>,
}

impl Tokens {
    /// Number of words.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    fn lines(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.all[start..*end])
    }
}

/// Numbers words; texts are comparable if the same one read them.
#[derive(Debug, Default)]
pub(crate) struct Tokenizer {
    stem: bool,
    known: HashMap<String, u32>,
}

impl Tokenizer {
    /// A tokenizer that stems words or leaves them.
    pub(crate) fn new(stem: bool) -> Self {
        Self { stem, known: HashMap::new() }
    }

    /// The words of a text; `\n` parts its sentences.
    pub(crate) fn read(&mut self, text: &str) -> Tokens {
        let mut tokens = Tokens::default();
        for line in text.split('\n') {
            let before = tokens.all.len();
            let lower = line.to_lowercase();
            let words = lower.split(|c: char| !matches!(c, 'a'..='z' | '0'..='9'));
            tokens.all.extend(words.filter(|word| !word.is_empty()).map(|word| self.number(word)));
            if tokens.all.len() > before {
                tokens.ends.push(tokens.all.len());
            }
        }
        tokens
    }

    fn number(&mut self, word: &str) -> u32 {
        let word = match self.stem && word.len() > 3 {
            true => porter::stem(word),
            false => word.to_owned(),
        };
        // More different words than this do not fit into memory.
        let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        *self.known.entry(word).or_insert(next)
    }
}

/// The figures of [`KINDS`] of a prediction against several references: of each kind that of the reference with the highest F1, of
/// equals the first.
pub(crate) fn best(references: &[Tokens], prediction: &Tokens) -> [Score; KINDS.len()] {
    let mut best = [None::<Score>; KINDS.len()];
    for reference in references {
        for (best, score) in best.iter_mut().zip(scores(reference, prediction)) {
            if best.is_none_or(|best| score.f1 > best.f1) {
                *best = Some(score);
            }
        }
    }
    best.map(Option::unwrap_or_default)
}

/// The figures of [`KINDS`] of a prediction.
pub(crate) fn scores(reference: &Tokens, prediction: &Tokens) -> [Score; KINDS.len()] {
    [
        rouge_n(reference, prediction, 1),
        rouge_n(reference, prediction, 2),
        rouge_l(reference, prediction),
        rouge_l_sum(reference, prediction),
    ]
}

fn rouge_n(reference: &Tokens, prediction: &Tokens, n: usize) -> Score {
    let mut counts: HashMap<&[u32], usize> = HashMap::new();
    for gram in reference.all.windows(n) {
        *counts.entry(gram).or_default() += 1;
    }
    let mut hits = 0;
    for gram in prediction.all.windows(n) {
        if let Some(left) = counts.get_mut(gram).filter(|left| **left > 0) {
            *left -= 1;
            hits += 1;
        }
    }
    let grams = |tokens: &Tokens| (tokens.len() + 1).saturating_sub(n);
    Score::of(hits, grams(reference), grams(prediction))
}

/// Words in common in their order, over the whole text.
pub(crate) fn rouge_l(reference: &Tokens, prediction: &Tokens) -> Score {
    let mut above = vec![0_u32; prediction.len() + 1];
    for word in &reference.all {
        let mut diagonal = 0;
        for (j, other) in prediction.all.iter().enumerate() {
            let up = above[j + 1];
            above[j + 1] = if word == other { diagonal + 1 } else { up.max(above[j]) };
            diagonal = up;
        }
    }
    let length = above.last().copied().unwrap_or(0) as usize;
    Score::of(length, reference.len(), prediction.len())
}

/// For each sentence of the reference the words that it has in common, in order, with any sentence of the prediction; no word
/// counts oftener than it stands in either text.
fn rouge_l_sum(reference: &Tokens, prediction: &Tokens) -> Score {
    let counts = |tokens: &Tokens| {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        tokens.all.iter().for_each(|word| *counts.entry(*word).or_default() += 1);
        counts
    };
    // A word of the reference is met once at most, so that its own count can never run out.
    let mut left = counts(prediction);
    let mut hits = 0;
    for sentence in reference.lines() {
        let mut met = vec![false; sentence.len()];
        prediction.lines().for_each(|other| mark_common(sentence, other, &mut met));
        for (word, _) in sentence.iter().zip(&met).filter(|(_, met)| **met) {
            if let Some(left) = left.get_mut(word).filter(|left| **left > 0) {
                *left -= 1;
                hits += 1;
            }
        }
    }
    Score::of(hits, reference.len(), prediction.len())
}

/// Marks one longest common subsequence in the first of two sentences; of several, the one that is found from the end, going
/// back in the first sentence where both ways are as long.
fn mark_common(sentence: &[u32], other: &[u32], met: &mut [bool]) {
    let columns = other.len();
    let mut above = vec![0_u32; columns + 1];
    // Whether the way back goes on in the other sentence.
    let mut sideways = vec![false; sentence.len() * columns];
    for (i, word) in sentence.iter().enumerate() {
        let mut diagonal = 0;
        for (j, candidate) in other.iter().enumerate() {
            let up = above[j + 1];
            if word == candidate {
                above[j + 1] = diagonal + 1;
            } else {
                sideways[i * columns + j] = above[j] > up;
                above[j + 1] = up.max(above[j]);
            }
            diagonal = up;
        }
    }
    let (mut i, mut j) = (sentence.len(), columns);
    while i > 0 && j > 0 {
        if sentence[i - 1] == other[j - 1] {
            met[i - 1] = true;
            i -= 1;
            j -= 1;
        } else if sideways[(i - 1) * columns + j - 1] {
            j -= 1;
        } else {
            i -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn golden() -> Value {
        serde_json::from_str(include_str!("../../../tests/golden/eval/rouge.json")).unwrap()
    }

    #[test]
    fn scores_are_those_of_the_reference_implementation() {
        let golden = golden();
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() >= 40);
        for (number, case) in cases.iter().enumerate() {
            for (key, stem) in [("plain", false), ("stemmed", true)] {
                let mut tokenizer = Tokenizer::new(stem);
                let references = case["references"].as_array().unwrap().iter();
                let references: Vec<Tokens> =
                    references.map(|text| tokenizer.read(text.as_str().unwrap())).collect();
                let prediction = tokenizer.read(case["prediction"].as_str().unwrap());
                for (kind, score) in KINDS.iter().zip(best(&references, &prediction)) {
                    let expected = &case[key][kind];
                    for (i, found) in [score.precision, score.recall, score.f1].iter().enumerate() {
                        let expected = expected[i].as_f64().unwrap();
                        assert!(
                            (found - expected).abs() < 1e-12,
                            "case {number}, {key} {kind}: {found}, not {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn stems_are_those_of_the_reference_implementation() {
        let golden = golden();
        let stems = golden["stems"].as_object().unwrap();
        assert!(stems.len() > 2000);
        for (word, expected) in stems {
            assert_eq!(porter::stem(word), expected.as_str().unwrap(), "{word}");
        }
    }

    #[test]
    fn a_score_is_what_one_counts_by_hand() {
        let mut tokenizer = Tokenizer::new(false);
        let reference = tokenizer.read("police killed the gunman");
        let prediction = tokenizer.read("the gunman kill police");
        let [one, two, l, _] = scores(&reference, &prediction);
        assert_eq!((one.precision, one.recall, one.f1), (0.75, 0.75, 0.75));
        assert!((two.f1 - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(l.f1, 0.5);
    }

    proptest! {
        #[test]
        fn a_text_is_all_of_itself_and_scores_are_shares(a in "[ab c\n.]{0,40}", b in "[ab c\n.]{0,40}") {
            let mut tokenizer = Tokenizer::new(true);
            let (a, b) = (tokenizer.read(&a), tokenizer.read(&b));
            for score in scores(&a, &b) {
                for figure in [score.precision, score.recall, score.f1] {
                    prop_assert!((0.0..=1.0).contains(&figure));
                }
            }
            if a.len() > 1 {
                prop_assert!(scores(&a, &a).iter().all(|score| score.f1 == 1.0));
            }
            let (there, back) = (rouge_l(&a, &b), rouge_l(&b, &a));
            prop_assert_eq!(there.precision, back.recall);
        }
    }
}
