// SPDX-License-Identifier: AGPL-3.0-or-later
//! Answering the surest questions only: accuracy over coverage.
//!
//! Source: El-Yaniv and Wiener, On the Foundations of Noise-free Selective Classification (2010); the area under the curve as in
//! Geifman, Uziel and El-Yaniv (2019).

/// Shares of the questions at which accuracy is given.
pub(crate) const COVERAGES: [f64; 3] = [0.6, 0.8, 1.0];

/// Answers, the surest first.
pub(crate) struct Selective {
    /// Confidence, whether it is right, place in the weights.
    rows: Vec<(f64, bool, usize)>,
}

/// Answers of one confidence: their weight, and that of the right ones.
#[derive(Debug, Clone, Copy)]
struct Step {
    confidence: f64,
    all: f64,
    right: f64,
}

impl Selective {
    /// Answers as confidence, on any scale, and whether they are right.
    pub(crate) fn new(answers: &[(f64, bool)]) -> Self {
        let row = |(i, &(confidence, right)): (usize, &(f64, bool))| (confidence, right, i);
        let mut rows: Vec<_> = answers.iter().enumerate().map(row).collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
        Self { rows }
    }

    /// Accuracy among the surest answers at each of [`COVERAGES`]. Where only some of several answers of equal confidence are
    /// within the coverage, it is what a random choice among them has on average.
    pub(crate) fn accuracies(&self, weights: &[u32]) -> [f64; COVERAGES.len()] {
        let steps = self.steps(weights);
        let found = accuracies(&steps, COVERAGES);
        std::array::from_fn(|i| found[i])
    }

    /// The mean of one minus accuracy over all coverages, taken at each hundredth; lower is better.
    pub(crate) fn area(&self, weights: &[u32]) -> f64 {
        const GRID: u32 = 100;
        let steps = self.steps(weights);
        let coverages = (1..=GRID).map(|i| f64::from(i) / f64::from(GRID));
        let accuracies = accuracies(&steps, coverages);
        accuracies.iter().map(|accuracy| 1.0 - accuracy).sum::<f64>() / f64::from(GRID)
    }

    /// So many points of coverage and accuracy, all answers at last; none without answers.
    pub(crate) fn curve(&self, points: usize) -> Vec<[f64; 2]> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let steps = self.steps(&vec![1; self.rows.len()]);
        let coverages: Vec<f64> = (1..=points).map(|i| i as f64 / points as f64).collect();
        let accuracies = accuracies(&steps, coverages.iter().copied());
        coverages
            .into_iter()
            .zip(accuracies)
            .map(|(coverage, accuracy)| [coverage, accuracy])
            .collect()
    }

    fn steps(&self, weights: &[u32]) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for (confidence, right, place) in &self.rows {
            let all = f64::from(weights[*place]);
            let right = if *right { all } else { 0.0 };
            match steps.last_mut() {
                Some(last) if last.confidence == *confidence => {
                    last.all += all;
                    last.right += right;
                }
                _ => steps.push(Step { confidence: *confidence, all, right }),
            }
        }
        steps
    }
}

/// Accuracy at each of some rising coverages.
fn accuracies(steps: &[Step], coverages: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let total = steps.iter().map(|step| step.all).sum::<f64>();
    // What is wholly within the coverage.
    let (mut all, mut right, mut next) = (0.0, 0.0, 0);
    let at = |coverage: f64| {
        let wanted = coverage * total;
        while let Some(step) = steps.get(next).filter(|step| all + step.all <= wanted) {
            all += step.all;
            right += step.right;
            next += 1;
        }
        let part = steps
            .get(next)
            .map_or(0.0, |step| step.right * ((wanted - all) / step.all).clamp(0.0, 1.0));
        (right + part) / wanted.min(total)
    };
    coverages.into_iter().map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_answers_come_first_and_ties_are_shared() {
        let answers = [(0.2, false), (0.9, true), (0.8, true), (0.5, true), (0.5, false)];
        let selective = Selective::new(&answers);
        // 3 of 5: two right ones and half of a tie of one right, one wrong. 4 of 5: all of the tie.
        let expected = [2.5 / 3.0, 3.0 / 4.0, 3.0 / 5.0];
        for (found, expected) in selective.accuracies(&[1; 5]).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        let weighted = selective.accuracies(&[0, 1, 0, 0, 2]);
        assert!((weighted[2] - 1.0 / 3.0).abs() < 1e-12, "{weighted:?}");
        let curve = selective.curve(5);
        assert_eq!((curve.len(), curve[1]), (5, [0.4, 1.0]));
        let perfect = Selective::new(&[(0.3, true), (0.4, true)]);
        assert!(perfect.area(&[1, 1]).abs() < 1e-12);
        assert!(Selective::new(&[]).accuracies(&[]).iter().all(|a| a.is_nan()));
    }
}
