// SPDX-License-Identifier: AGPL-3.0-or-later
//! How much of a text a sentence says: a linear model over features of the sentence in its text.
//!
//! Features that come from embeddings are standardised within the text, so that the weights fit
//! any encoder, whatever its cosines range over. The weights were fitted on abstracts of papers
//! (`tools/train/reasoner/summary/`); what abstracts cannot teach (that news lead with the news,
//! that a dialogue has no order of weight) is set by hand here and says so.

use bho_engine::Embedding;

use super::cues;
use super::draft::{Reading, density, frequency};
use super::weights::{CALIBRATION, CUE_WEIGHTS, WEIGHTS};
use crate::text::{Kind, words};

/// Names of the features that are not cues, in order.
pub(super) const FEATURES: &[&str] = &[
    // Mean cosine to the other sentences (centrality, after LexRank, Erkan and Radev 2004), cosine
    // to the first sentence, to the title: each in standard deviations of the text.
    "central",
    "like_first",
    "like_title",
    // How frequent its words are in the text, in standard deviations.
    "frequent_words",
    // Words / 20, at most 3, and the square of that.
    "length",
    "length_squared",
    "number",
    "names",
    "question",
    "quotation",
    "item",
    "bracket",
    "colon",
    "leans",
    // Position, only in texts with a sentence that announces what they are about.
    "first",
    "last",
    "place",
    "place_squared",
    "before_announcement",
    "first_announcement",
];

/// Weight of 1 / sqrt(place) in a text without an announcement that is no dialogue. Set by hand:
/// news, encyclopedias and letters say first what matters.
const LEAD: f64 = 1.0;
/// Weight of a sentence that says it sums up. Set by hand.
const SUMS_UP: f64 = 1.0;
/// Weight of a question in a dialogue; the answer says more. Set by hand.
const ASKED: f64 = -0.8;
/// Weight of a sentence that only points elsewhere: `See also: the chapter on X.` Set by hand.
const POINTS: f64 = -2.0;
/// Weight of an item of a list beside prose: it is a detail of what the prose says. Set by hand.
const ITEM: f64 = -0.8;
/// Standard deviations beyond which a feature grows no further.
const MAX_DEVIATION: f64 = 2.5;
/// Words from which on a sentence counts as no longer.
const MAX_WORDS: usize = 60;

/// A sentence as the model sees it.
#[derive(Debug, Clone)]
pub(super) struct Salience {
    /// One value for each of [`FEATURES`], then 0 or 1 for each of [`cues::CUES`].
    pub(super) features: Vec<f32>,
    /// What the rules set by hand add.
    pub(super) by_hand: f64,
}

impl Salience {
    /// The sentence's worth in logits: differences within one text count.
    pub(super) fn logit(&self) -> f64 {
        let weights = WEIGHTS.iter().chain(CUE_WEIGHTS);
        let sum: f64 = self
            .features
            .iter()
            .zip(weights)
            .map(|(f, (_, w))| f64::from(*f) * f64::from(*w))
            .sum();
        sum + self.by_hand
    }
}

/// The chance that a sentence of this worth is the one that says most of its text, in 0..=1; as
/// calibrated on the texts the weights are from.
pub(super) fn chance(logit: f64) -> f64 {
    let (slope, intercept) = CALIBRATION;
    1.0 / (1.0 + (-(slope * logit + intercept)).exp())
}

/// Cosines between the sentences of one text.
pub(super) struct Cosines {
    n: usize,
    all: Vec<f32>,
    /// Mean over pairs of different sentences.
    mean: f32,
}

impl Cosines {
    pub(super) fn new(embeddings: &[Embedding]) -> Self {
        let n = embeddings.len();
        let mut all = vec![1.0; n * n];
        let mut sum = 0.0;
        for i in 0..n {
            for j in 0..i {
                let cosine = embeddings[i].cosine(&embeddings[j]);
                sum += cosine;
                (all[i * n + j], all[j * n + i]) = (cosine, cosine);
            }
        }
        let pairs = n * n.saturating_sub(1) / 2;
        Self { n, all, mean: if pairs == 0 { 0.0 } else { sum / pairs as f32 } }
    }

    pub(super) fn between(&self, i: usize, j: usize) -> f32 {
        self.all[i * self.n + j]
    }

    /// How much two sentences say the same, in 0..=1: 0 where they are as far apart as sentences
    /// of this text are on average, 1 where their embeddings are equal.
    pub(super) fn overlap(&self, i: usize, j: usize) -> f64 {
        overlap(self.between(i, j), self.mean)
    }

    /// Mean cosine of a sentence to the others; opposite ones count as unrelated.
    fn central(&self, i: usize) -> f64 {
        let others = (0..self.n).filter(|j| *j != i);
        let sum: f64 = others.map(|j| f64::from(self.between(i, j).max(0.0))).sum();
        if self.n > 1 { sum / (self.n - 1) as f64 } else { 0.0 }
    }
}

/// Where `cosine` stands between `mean` (0) and 1 (1).
pub(super) fn overlap(cosine: f32, mean: f32) -> f64 {
    // Sentences that are all alike leave no room; nothing is told apart then.
    let room = f64::from(1.0 - mean).max(0.05);
    (f64::from(cosine - mean) / room).clamp(0.0, 1.0)
}

/// Deviations from the mean in standard deviations; `None` and constant values give 0.
fn standardised(values: &[Option<f64>]) -> Vec<f64> {
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    let n = known.len().max(1) as f64;
    let mean = known.iter().sum::<f64>() / n;
    let deviation = (known.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let standardise = |value: &Option<f64>| match value {
        Some(v) if deviation > 1e-6 => {
            ((v - mean) / deviation).clamp(-MAX_DEVIATION, MAX_DEVIATION)
        }
        _ => 0.0,
    };
    values.iter().map(standardise).collect()
}

/// Looks at each sentence of `reading`, whose embeddings lie behind `cosines`. `title` is its
/// cosine to the title, where there is one.
pub(super) fn rate(
    text: &str,
    reading: &Reading,
    cosines: &Cosines,
    title: Option<&[f32]>,
) -> Vec<Salience> {
    let drafts = &reading.drafts;
    let n = drafts.len();
    let each =
        |value: &dyn Fn(usize) -> Option<f64>| standardised(&(0..n).map(value).collect::<Vec<_>>());
    let frequency = frequency(drafts);
    let central = each(&|i| Some(cosines.central(i)));
    // The first sentence is as like itself as no other can be: it stands aside. That of a dialogue
    // says as little as its place.
    let like_first =
        each(&|i| (i > 0 && !reading.dialogue).then(|| f64::from(cosines.between(i, 0))));
    let like_title = each(&|i| title.and_then(|t| t.get(i)).map(|c| f64::from(*c)));
    let frequent = each(&|i| Some(density(&drafts[i], &frequency)));
    let found: Vec<cues::Found> =
        drafts.iter().map(|d| cues::find(&text[d.span.clone()])).collect();
    let announcement = found.iter().position(|f| f.announces).filter(|_| !reading.dialogue);
    let last = reading.total.saturating_sub(1).max(1) as f64;

    let mut all = Vec::with_capacity(n);
    for (i, draft) in drafts.iter().enumerate() {
        let sentence = &text[draft.span.clone()];
        let form = Form::of(sentence);
        let length = form.words.min(MAX_WORDS) as f64 / 20.0;
        let flag = |yes: bool| f64::from(u8::from(yes));
        let mut features = vec![
            central[i],
            like_first[i],
            like_title[i],
            frequent[i],
            length,
            length * length,
            flag(form.number),
            form.names,
            flag(form.question),
            flag(form.quotation),
            flag(draft.kind == Kind::Item),
            flag(form.bracket),
            flag(form.colon),
            flag(draft.leans),
        ];
        let mut by_hand = if found[i].sums_up { SUMS_UP } else { 0.0 };
        by_hand += if points_elsewhere(sentence) { POINTS } else { 0.0 };
        by_hand += if draft.kind == Kind::Item { ITEM } else { 0.0 };
        if let Some(at) = announcement {
            let place = draft.index as f64 / last;
            features.extend([
                flag(draft.index == 0),
                flag(draft.index + 1 == reading.total),
                place,
                place * place,
                flag(i < at),
                flag(i == at),
            ]);
        } else {
            features.resize(FEATURES.len(), 0.0);
            if reading.dialogue {
                by_hand += if form.question { ASKED } else { 0.0 };
            } else {
                by_hand += LEAD / (1.0 + draft.index as f64).sqrt();
            }
        }
        let cues = found[i].cues.iter().map(|found| flag(*found));
        let features = features.into_iter().chain(cues).map(|f| f as f32).collect();
        all.push(Salience { features, by_hand });
    }
    all
}

/// Whether a sentence tells where to read on and no more.
fn points_elsewhere(sentence: &str) -> bool {
    let mut words = words(sentence).map(|word| word.text.to_lowercase());
    let first_two = (words.next(), words.next());
    let (Some(first), Some(second)) = (&first_two.0, &first_two.1) else { return false };
    matches!(
        (first.as_str(), second.as_str()),
        ("see", "also") | ("read", "more") | ("further", "reading")
    )
}

/// What a sentence looks like.
struct Form {
    words: usize,
    /// Whether a word begins with a digit.
    number: bool,
    /// Share of words that look like names wherever they stand, or stand capitalised inside.
    names: f64,
    question: bool,
    quotation: bool,
    bracket: bool,
    colon: bool,
}

impl Form {
    fn of(sentence: &str) -> Self {
        let (mut count, mut names, mut number) = (0, 0, false);
        for word in words(sentence) {
            number |= word.is_numeric();
            names += usize::from(word.is_marked_name() || (count > 0 && word.is_capitalised()));
            count += 1;
        }
        Self {
            words: count,
            number,
            names: names as f64 / count.max(1) as f64,
            question: sentence.trim_end().ends_with(['?', '\u{FF1F}', '\u{61F}', '\u{37E}']),
            quotation: sentence.contains(['"', '\u{201C}', '\u{201E}', '\u{AB}', '\u{300C}']),
            bracket: sentence.contains(['(', '\u{FF08}']),
            colon: sentence.contains([':', '\u{FF1A}']),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cues::CUES;
    use super::*;

    #[test]
    fn the_weights_are_those_of_the_features() {
        assert_eq!(WEIGHTS.iter().map(|w| w.0).collect::<Vec<_>>(), FEATURES);
        let cues: Vec<&str> = CUES.iter().map(|c| c.words).collect();
        assert_eq!(CUE_WEIGHTS.iter().map(|w| w.0).collect::<Vec<_>>(), cues);
        assert!(WEIGHTS.iter().chain(CUE_WEIGHTS).all(|w| w.1.is_finite()));
    }

    #[test]
    fn deviations_ignore_what_is_missing_or_equal() {
        assert_eq!(standardised(&[None, Some(1.0), Some(3.0)]), [0.0, -1.0, 1.0]);
        assert_eq!(standardised(&[Some(0.2), Some(0.2)]), [0.0, 0.0]);
        assert!(standardised(&[]).is_empty());
    }

    #[test]
    fn overlap_is_relative_to_the_text() {
        assert!((overlap(0.75, 0.5) - 0.5).abs() < 1e-6);
        assert_eq!((overlap(0.2, 0.5), overlap(1.0, 0.5)), (0.0, 1.0));
        assert_eq!(overlap(1.0, 1.0), 0.0);
    }
}
