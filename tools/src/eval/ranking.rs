// SPDX-License-Identifier: AGPL-3.0-or-later
//! Scores against labels: curves, rates at a threshold, calibration.
//!
//! Every figure takes a weight for each text: 1 for the figure itself, how often a text was drawn for the bootstrap. A figure
//! that the labels do not define (no positive, no negative, nothing flagged) is NaN.

/// Bins of the reliability table, all of the same width.
pub(crate) const BINS: usize = 15;

/// Names of the figures that [`Ranking::figures`] gives, in its order.
pub(crate) const FIGURES: [&str; 11] = [
    "auc",
    "average_precision",
    "recall_at_1_fpr",
    "recall_at_5_fpr",
    "recall",
    "fpr",
    "precision",
    "f1",
    "accuracy",
    "ece",
    "brier",
];

/// Scored texts, the highest score first.
pub(crate) struct Ranking {
    rows: Vec<Row>,
    positives: usize,
}

#[derive(Clone, Copy)]
struct Row {
    score: f64,
    positive: bool,
    /// Place in the weights.
    text: usize,
}

/// Texts flagged from a score on: positives, negatives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub(crate) score: f64,
    pub(crate) true_positives: f64,
    pub(crate) false_positives: f64,
}

/// One bin of the reliability table.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub(crate) struct Bin {
    /// Scores from here, up to the next bin's.
    pub(crate) from: f64,
    pub(crate) texts: usize,
    pub(crate) positives: usize,
    /// Their mean score; 0 in an empty bin.
    pub(crate) mean_score: f64,
}

impl Ranking {
    /// Ranks texts by scores within 0..=1.
    pub(crate) fn new(scored: &[(f64, bool)]) -> Self {
        let row = |(text, &(score, positive)): (usize, &(f64, bool))| Row { score, positive, text };
        let mut rows: Vec<Row> = scored.iter().enumerate().map(row).collect();
        rows.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.text.cmp(&b.text)));
        let positives = scored.iter().filter(|(_, positive)| *positive).count();
        Self { rows, positives }
    }

    pub(crate) fn texts(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn positives(&self) -> usize {
        self.positives
    }

    pub(crate) fn negatives(&self) -> usize {
        self.rows.len() - self.positives
    }

    /// Steps of the curves: one after each distinct score, the highest first.
    pub(crate) fn steps(&self, weights: &[u32]) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let (mut true_positives, mut false_positives) = (0.0, 0.0);
        for row in &self.rows {
            let weight = f64::from(weights[row.text]);
            *(if row.positive { &mut true_positives } else { &mut false_positives }) += weight;
            let step = Step { score: row.score, true_positives, false_positives };
            match steps.last_mut() {
                Some(last) if last.score == row.score => *last = step,
                _ => steps.push(step),
            }
        }
        steps
    }

    /// The figures of [`FIGURES`]; `threshold` is where the guard acts.
    pub(crate) fn figures(&self, weights: &[u32], threshold: f64) -> [f64; FIGURES.len()] {
        let steps = self.steps(weights);
        let (positives, negatives) =
            steps.last().map_or((0.0, 0.0), |last| (last.true_positives, last.false_positives));
        let (mut pairs, mut average_precision) = (0.0, 0.0);
        let mut recall_at = [0.0_f64; 2];
        let (mut tp, mut fp) = (0.0, 0.0);
        let (mut last_tp, mut last_fp) = (0.0, 0.0);
        for step in &steps {
            let (more_tp, more_fp) =
                (step.true_positives - last_tp, step.false_positives - last_fp);
            // Mann-Whitney: a negative loses to every positive above it, half to those it ties with.
            pairs += more_fp * (last_tp + more_tp / 2.0);
            if more_tp > 0.0 {
                let precision = step.true_positives / (step.true_positives + step.false_positives);
                average_precision += more_tp / positives * precision;
            }
            for (best, limit) in recall_at.iter_mut().zip([0.01, 0.05]) {
                if step.false_positives <= limit * negatives {
                    *best = step.true_positives;
                }
            }
            if step.score >= threshold {
                (tp, fp) = (step.true_positives, step.false_positives);
            }
            (last_tp, last_fp) = (step.true_positives, step.false_positives);
        }
        let [at_1, at_5] = recall_at.map(|tp| match negatives > 0.0 {
            true => tp / positives,
            false => f64::NAN,
        });
        let (ece, brier) = self.calibration(weights);
        [
            pairs / (positives * negatives),
            if positives > 0.0 { average_precision } else { f64::NAN },
            at_1,
            at_5,
            tp / positives,
            fp / negatives,
            tp / (tp + fp),
            2.0 * tp / (positives + tp + fp),
            (tp + negatives - fp) / (positives + negatives),
            ece,
            brier,
        ]
    }

    /// Of how many texts each of [`FIGURES`] is a share; 0 for one that is none.
    pub(crate) fn shares_of(&self, threshold: f64) -> [u64; FIGURES.len()] {
        let [texts, positives, negatives] =
            [self.texts(), self.positives(), self.negatives()].map(|n| n as u64);
        let flagged = self.rows.iter().filter(|row| row.score >= threshold).count() as u64;
        let f1 = positives.min(flagged);
        [0, 0, positives, positives, positives, negatives, flagged, f1, texts, 0, 0]
    }

    /// Expected calibration error over [`BINS`] bins of equal width, and the Brier score.
    fn calibration(&self, weights: &[u32]) -> (f64, f64) {
        // Weight, weighted labels, weighted scores.
        let mut bins = [[0.0; 3]; BINS];
        let (mut squares, mut all) = (0.0, 0.0);
        for row in &self.rows {
            let weight = f64::from(weights[row.text]);
            let label = f64::from(u8::from(row.positive));
            let bin = &mut bins[bin_of(row.score)];
            bin[0] += weight;
            bin[1] += weight * label;
            bin[2] += weight * row.score;
            squares += weight * (row.score - label).powi(2);
            all += weight;
        }
        let gaps: f64 = bins.iter().map(|[_, labels, scores]| (labels - scores).abs()).sum();
        (gaps / all, squares / all)
    }

    /// The reliability table.
    pub(crate) fn bins(&self) -> Vec<Bin> {
        let mut bins = vec![Bin::default(); BINS];
        for row in &self.rows {
            let bin = &mut bins[bin_of(row.score)];
            bin.texts += 1;
            bin.positives += usize::from(row.positive);
            bin.mean_score += row.score;
        }
        for (i, bin) in bins.iter_mut().enumerate() {
            bin.from = i as f64 / BINS as f64;
            bin.mean_score /= bin.texts.max(1) as f64;
        }
        bins
    }

    /// Texts by label and score, in `bins` bins of equal width: negatives, positives.
    pub(crate) fn histogram(&self, bins: usize) -> [Vec<usize>; 2] {
        let mut counts = [vec![0; bins], vec![0; bins]];
        for row in &self.rows {
            counts[usize::from(row.positive)][place(row.score, bins)] += 1;
        }
        counts
    }
}

/// The bin of a score: its lower edge belongs to it, and 1 to the last.
fn bin_of(score: f64) -> usize {
    place(score, BINS)
}

fn place(score: f64, bins: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..=bins")]
    let bin = (score.clamp(0.0, 1.0) * bins as f64) as usize;
    bin.min(bins - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn named(figures: [f64; FIGURES.len()], name: &str) -> f64 {
        figures[FIGURES.iter().position(|known| *known == name).unwrap()]
    }

    #[test]
    fn figures_are_those_of_scikit_learn() {
        let golden: Value =
            serde_json::from_str(include_str!("../../../tests/golden/eval/ranking.json")).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() >= 5);
        for case in cases {
            let scores = case["scores"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap());
            let labels = case["labels"].as_array().unwrap().iter().map(|l| l == 1);
            let scored: Vec<(f64, bool)> = scores.zip(labels).collect();
            let threshold = case["threshold"].as_f64().unwrap();
            let figures = Ranking::new(&scored).figures(&vec![1; scored.len()], threshold);
            for name in FIGURES {
                let expected = case["figures"][name].as_f64().unwrap();
                let found = named(figures, name);
                let label = &case["name"];
                assert!((found - expected).abs() < 1e-9, "{label} {name}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn what_the_labels_do_not_define_is_not_a_number() {
        let only_negatives = Ranking::new(&[(0.2, false), (0.9, false)]).figures(&[1, 1], 0.5);
        for name in ["auc", "average_precision", "recall", "recall_at_1_fpr"] {
            assert!(named(only_negatives, name).is_nan(), "{name}");
        }
        assert_eq!(named(only_negatives, "fpr"), 0.5);
        let only_positives = Ranking::new(&[(0.2, true), (0.9, true)]).figures(&[1, 1], 0.5);
        for name in ["auc", "fpr", "recall_at_5_fpr"] {
            assert!(named(only_positives, name).is_nan(), "{name}");
        }
        assert_eq!(named(only_positives, "recall"), 0.5);
        assert!(
            Ranking::new(&[])
                .figures(&[], 0.5)
                .iter()
                .all(|figure| figure.is_nan() || *figure == 0.0)
        );
    }

    fn scored() -> impl Strategy<Value = Vec<(f64, bool)>> {
        proptest::collection::vec(
            ((0u8..12).prop_map(|s| f64::from(s) / 11.0), any::<bool>()),
            1..60,
        )
    }

    proptest! {
        #[test]
        fn auc_is_the_share_of_pairs_that_are_in_order(scored in scored()) {
            let (mut sum, mut pairs) = (0.0, 0.0);
            for (positive, _) in scored.iter().filter(|(_, label)| *label) {
                for (negative, _) in scored.iter().filter(|(_, label)| !label) {
                    pairs += 1.0;
                    sum += if positive > negative { 1.0 } else if positive == negative { 0.5 } else { 0.0 };
                }
            }
            let found = named(Ranking::new(&scored).figures(&vec![1; scored.len()], 0.5), "auc");
            if pairs == 0.0 {
                prop_assert!(found.is_nan());
            } else {
                prop_assert!((found - sum / pairs).abs() < 1e-12);
            }
        }

        #[test]
        fn a_weight_is_so_many_copies(
            scored in scored(), weights in proptest::collection::vec(0u32..4, 60), threshold in 0.0..=1.0,
        ) {
            let weights = &weights[..scored.len()];
            let copies: Vec<(f64, bool)> = scored.iter().zip(weights)
                .flat_map(|(row, weight)| std::iter::repeat_n(*row, *weight as usize)).collect();
            let weighted = Ranking::new(&scored).figures(weights, threshold);
            let copied = Ranking::new(&copies).figures(&vec![1; copies.len()], threshold);
            for (name, (a, b)) in FIGURES.iter().zip(weighted.iter().zip(&copied)) {
                prop_assert!((a - b).abs() < 1e-9 || a.is_nan() && b.is_nan(), "{name}: {a} {b}");
            }
        }

        #[test]
        fn every_text_is_in_one_bin(scored in scored()) {
            let ranking = Ranking::new(&scored);
            let bins = ranking.bins();
            prop_assert_eq!(bins.iter().map(|bin| bin.texts).sum::<usize>(), ranking.texts());
            prop_assert_eq!(bins.iter().map(|bin| bin.positives).sum::<usize>(), ranking.positives());
            for (i, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.texts > 0) {
                let width = 1.0 / BINS as f64;
                prop_assert!(bin.mean_score >= bin.from - 1e-12 && bin.mean_score <= width * (i + 1) as f64 + 1e-12);
            }
            let [negatives, positives] = ranking.histogram(20);
            prop_assert_eq!(negatives.iter().sum::<usize>(), ranking.negatives());
            prop_assert_eq!(positives.iter().sum::<usize>(), ranking.positives());
        }
    }
}
