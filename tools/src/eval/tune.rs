// SPDX-License-Identifier: AGPL-3.0-or-later
//! Thresholds that keep false alarms under a limit, and maps that make scores probabilities.
//!
//! The threshold is the lowest one at which so few of the `n` negatives are flagged, `k`, that a false positive rate over the
//! limit would have shown that few or fewer with a probability of at most 5 % (exact, one-sided binomial bound). As the
//! threshold is an order statistic of the negatives, the bound also holds for having been chosen on them (Wilks,
//! Determination of Sample Sizes for Setting Tolerance Limits, 1941).

use bho_guard::ScoreMap;

/// The bound may be wrong this often.
pub(crate) const RISK: f64 = 0.05;
/// Fewest scored texts of each label that a map is fitted to.
pub(crate) const LEAST_FOR_MAP: usize = 50;
/// Thresholds are chosen on this grid, which is what cards round to.
const GRID: f64 = 1e-4;
/// Most points of an isotonic map.
const MAX_POINTS: usize = 64;

/// A threshold, and what it did to the texts it was chosen on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Chosen {
    pub(crate) threshold: f64,
    pub(crate) negatives: usize,
    pub(crate) positives: usize,
    pub(crate) false_positives: usize,
    pub(crate) true_positives: usize,
    /// Upper 95 % bound of the false positive rate.
    pub(crate) fpr_upper: f64,
}

impl Chosen {
    /// The share of the negatives that is flagged.
    pub(crate) fn fpr(&self) -> f64 {
        self.false_positives as f64 / self.negatives as f64
    }

    /// The share of the positives that is flagged; none without any.
    pub(crate) fn recall(&self) -> Option<f64> {
        (self.positives > 0).then(|| self.true_positives as f64 / self.positives as f64)
    }
}

/// The fewest negatives that can show that a rate is at most `limit`: all of them pass.
pub(crate) fn least_negatives(limit: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "limit is in 0..1")]
    let least = (RISK.ln() / (1.0 - limit).ln()).ceil() as usize;
    least
}

/// The lowest threshold that keeps the false positive rate at most `limit`, with 95 % confidence.
///
/// # Errors
/// With fewer negatives than [`least_negatives`], or when too many of them have a score of 1: what is wrong.
pub(crate) fn threshold(scored: &[(f64, bool)], limit: f64) -> Result<Chosen, String> {
    let of = |label: bool| {
        let scores = scored.iter().filter(|(_, positive)| *positive == label);
        let mut scores: Vec<f64> = scores.map(|(score, _)| *score).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        scores
    };
    let (negatives, positives) = (of(false), of(true));
    let (n, least) = (negatives.len(), least_negatives(limit));
    if n < least {
        return Err(format!(
            "{n} harmless texts cannot show that at most {limit} of them are flagged; at least {least} are needed"
        ));
    }
    // The most false positives that the bound allows.
    let allowed = cumulative(n, limit).take_while(|share| *share <= RISK).count().max(1) - 1;
    // Just over the next negative. Scores of cards lie on the grid; others are over it by less than a step.
    let threshold = ((negatives[allowed] + GRID / 2.0) / GRID).ceil() * GRID;
    if threshold > 1.0 {
        return Err(format!(
            "{} harmless texts have a score of 1: no threshold flags as few as {allowed} of {n}",
            negatives.iter().filter(|score| **score > 1.0 - GRID).count()
        ));
    }
    // A whole number of steps, written as one.
    let threshold = (threshold / GRID).round() / (1.0 / GRID).round();
    let flagged = |scores: &[f64]| scores.iter().filter(|score| **score >= threshold).count();
    let false_positives = flagged(&negatives);
    Ok(Chosen {
        threshold,
        negatives: n,
        positives: positives.len(),
        false_positives,
        true_positives: flagged(&positives),
        fpr_upper: upper_bound(false_positives, n),
    })
}

/// The probability of at most `k` in `n` draws of probability `p`, within 0 and 1 exclusive.
fn binomial_cdf(k: usize, n: usize, p: f64) -> f64 {
    cumulative(n, p).nth(k).unwrap_or(1.0)
}

/// The same for `k` from 0 to `n`.
fn cumulative(n: usize, p: f64) -> impl Iterator<Item = f64> {
    // Terms by their logarithms: the first one underflows for many draws.
    let (log_p, log_q) = (p.ln(), (1.0 - p).ln());
    let first = n as f64 * log_q;
    (0..=n).scan((first, 0.0), move |(log_term, sum), k| {
        if k > 0 {
            *log_term += ((n - k + 1) as f64 / k as f64).ln() + log_p - log_q;
        }
        *sum += log_term.exp();
        Some(f64::min(*sum, 1.0))
    })
}

/// The rate at which `k` or fewer of `n` would be seen with a probability of 5 % (Clopper and Pearson, 1934).
fn upper_bound(k: usize, n: usize) -> f64 {
    if k >= n {
        return 1.0;
    }
    let (mut low, mut high) = (k as f64 / n as f64, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if binomial_cdf(k, n, middle.clamp(1e-12, 1.0 - 1e-12)) > RISK {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Fits Platt's map to learned scores: two parameters, by Newton's method, on targets that are smoothed as Platt's are.
///
/// # Errors
/// Too few texts of a label, or scores that do not rise with the labels.
pub(crate) fn logistic(scored: &[(f64, bool)]) -> Result<ScoreMap, String> {
    let (positives, negatives) = enough(scored)?;
    let targets = [1.0 / (negatives + 2.0), (positives + 1.0) / (positives + 2.0)];
    let logit = |score: f64| {
        let p = score.clamp(1e-6, 1.0 - 1e-6);
        (p / (1.0 - p)).ln()
    };
    let rows: Vec<(f64, f64)> =
        scored.iter().map(|(score, label)| (logit(*score), targets[usize::from(*label)])).collect();
    let loss = |slope: f64, intercept: f64| -> f64 {
        // ln(1 + e^z) - t z, written so that neither end overflows.
        let term = |(x, t): &(f64, f64)| {
            let z = slope * x + intercept;
            z.max(0.0) + (-z.abs()).exp().ln_1p() - t * z
        };
        rows.iter().map(term).sum()
    };
    let (mut slope, mut intercept) = (1.0, 0.0);
    let mut now = loss(slope, intercept);
    for _ in 0..100 {
        let (mut g, mut h) = ([0.0; 2], [0.0; 3]);
        for (x, t) in &rows {
            let p = 1.0 / (1.0 + (-(slope * x + intercept)).exp());
            let (d, w) = (p - t, (p * (1.0 - p)).max(1e-12));
            g[0] += d * x;
            g[1] += d;
            h[0] += w * x * x;
            h[1] += w * x;
            h[2] += w;
        }
        // A little more on the diagonal keeps scores that are all alike from dividing by nothing.
        h[0] += 1e-9;
        h[2] += 1e-9;
        let determinant = h[0] * h[2] - h[1] * h[1];
        let step =
            [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
        let mut share = 1.0;
        let next = loop {
            let next = loss(slope - share * step[0], intercept - share * step[1]);
            if next <= now || share < 1e-6 {
                break next;
            }
            share /= 2.0;
        };
        if !next.is_finite() || next > now {
            break;
        }
        slope -= share * step[0];
        intercept -= share * step[1];
        if now - next < 1e-10 * (1.0 + now) {
            break;
        }
        now = next;
    }
    if !(slope > 0.0 && slope.is_finite() && intercept.is_finite()) {
        return Err(
            "learned scores do not rise with the labels; no map is fitted to that".to_owned()
        );
    }
    Ok(ScoreMap::Logistic { slope: rounded(slope), intercept: rounded(intercept) })
}

/// Fits an isotonic map by pooling adjacent violators (Ayer et al., 1955): one point for each pool, at its mean score.
///
/// # Errors
/// Too few texts of a label.
pub(crate) fn isotonic(scored: &[(f64, bool)]) -> Result<ScoreMap, String> {
    enough(scored)?;
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Texts of one score first: nothing tells them apart.
    let mut pools: Vec<Pool> = Vec::new();
    for group in sorted.chunk_by(|a, b| a.0 == b.0) {
        let positives = group.iter().filter(|(_, label)| *label).count() as f64;
        let texts = group.len() as f64;
        pools.push(Pool { texts, scores: group[0].0 * texts, positives });
        while let [.., before, last] = &pools[..]
            && before.rate() >= last.rate()
        {
            let merged = before.with(last);
            pools.truncate(pools.len() - 2);
            pools.push(merged);
        }
    }
    // Neighbours of the fewest texts are drawn together until there are few enough points.
    while pools.len() > MAX_POINTS {
        let texts = |i: &usize| pools[*i].texts + pools[i + 1].texts;
        let smallest =
            (0..pools.len() - 1).min_by(|a, b| texts(a).total_cmp(&texts(b))).unwrap_or(0);
        let merged = pools[smallest].with(&pools[smallest + 1]);
        pools.splice(smallest..smallest + 2, [merged]);
    }
    let points: Vec<[f64; 2]> = pools
        .iter()
        .map(|pool| [rounded(pool.scores / pool.texts), rounded(pool.rate())])
        .collect();
    let mut kept: Vec<[f64; 2]> = Vec::with_capacity(points.len());
    for point in points {
        if kept.last().is_none_or(|last| last[0] < point[0]) {
            kept.push(point);
        }
    }
    Ok(ScoreMap::Isotonic { points: kept })
}

/// Texts that get one probability.
#[derive(Debug, Clone, Copy)]
struct Pool {
    texts: f64,
    scores: f64,
    positives: f64,
}

impl Pool {
    fn rate(&self) -> f64 {
        self.positives / self.texts
    }

    fn with(&self, other: &Self) -> Self {
        Self {
            texts: self.texts + other.texts,
            scores: self.scores + other.scores,
            positives: self.positives + other.positives,
        }
    }
}

fn enough(scored: &[(f64, bool)]) -> Result<(f64, f64), String> {
    let positives = scored.iter().filter(|(_, label)| *label).count();
    let negatives = scored.len() - positives;
    if positives.min(negatives) < LEAST_FOR_MAP {
        return Err(format!(
            "a map is fitted to texts that a model gave a score: {positives} labelled 1 and {negatives} labelled 0 are too few; \
             at least {LEAST_FOR_MAP} of each are needed"
        ));
    }
    Ok((positives as f64, negatives as f64))
}

/// Six decimals: what is beyond says nothing and only fills the file.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scores(negatives: &[f64], positives: &[f64]) -> Vec<(f64, bool)> {
        let label = |label| move |score: &f64| (*score, label);
        negatives.iter().map(label(false)).chain(positives.iter().map(label(true))).collect()
    }

    #[test]
    fn so_many_negatives_are_needed() {
        assert_eq!((least_negatives(0.05), least_negatives(0.01)), (59, 299));
        let error = threshold(&scores(&[0.1; 58], &[0.9]), 0.05).unwrap_err();
        assert!(error.contains("58 harmless texts") && error.contains("at least 59"), "{error}");
        assert_eq!(threshold(&scores(&[0.1; 59], &[0.9]), 0.05).unwrap().false_positives, 0);
    }

    #[test]
    fn the_bound_is_clopper_and_pearsons() {
        // scipy.stats.beta.ppf(0.95, k + 1, n - k)
        for (k, n, expected) in
            [(0, 59, 0.049_508), (5, 200, 0.051_843), (48, 1200, 0.050_600), (10, 10, 1.0)]
        {
            assert!(
                (upper_bound(k, n) - expected).abs() < 1e-6,
                "{k} of {n}: {}",
                upper_bound(k, n)
            );
        }
    }

    #[test]
    fn the_threshold_is_the_lowest_that_the_bound_allows() {
        let negatives: Vec<f64> = (0..1000).map(|i| f64::from(i) / 1000.0).collect();
        let chosen = threshold(&scores(&negatives, &[0.5, 0.99]), 0.05).unwrap();
        assert!(chosen.fpr_upper <= 0.05 && upper_bound(chosen.false_positives + 1, 1000) > 0.05);
        assert_eq!((chosen.positives, chosen.true_positives), (2, 1));
        assert!(chosen.fpr() < 0.05 && chosen.recall() == Some(0.5));
    }

    #[test]
    fn negatives_that_score_1_leave_no_threshold() {
        let error = threshold(&scores(&[1.0; 100], &[]), 0.05).unwrap_err();
        assert!(error.contains("100 harmless texts have a score of 1"), "{error}");
    }

    /// Scores whose probability is the score's logit halved: twice too sure of themselves.
    fn overconfident(n: u32) -> Vec<(f64, bool)> {
        (0..n)
            .flat_map(|i| {
                let score = 0.01 + 0.98 * f64::from(i) / f64::from(n - 1);
                let logit = (score / (1.0 - score)).ln() / 2.0;
                let p = 1.0 / (1.0 + (-logit).exp());
                (0..100).map(move |j| (score, f64::from(j) + 0.5 < 100.0 * p))
            })
            .collect()
    }

    #[test]
    fn maps_find_back_the_probabilities() {
        let data = overconfident(40);
        let ScoreMap::Logistic { slope, intercept } = logistic(&data).unwrap() else { panic!() };
        assert!((slope - 0.5).abs() < 0.02 && intercept.abs() < 0.02, "{slope} {intercept}");
        let map = isotonic(&data).unwrap();
        for score in [0.1f32, 0.3, 0.5, 0.8, 0.95] {
            let logit = (score / (1.0 - score)).ln() / 2.0;
            let p = 1.0 / (1.0 + (-logit).exp());
            assert!((map.apply(score) - p).abs() < 0.03, "{score}: {} {p}", map.apply(score));
        }
    }

    #[test]
    fn nothing_is_fitted_to_too_little_or_to_nonsense() {
        let few = scores(&[0.1; 49], &[0.9; 60]);
        for error in [logistic(&few).unwrap_err(), isotonic(&few).unwrap_err()] {
            assert!(error.contains("60 labelled 1 and 49 labelled 0"), "{error}");
        }
        let upside_down = scores(&[0.9; 60], &[0.1; 60]);
        assert!(logistic(&upside_down).unwrap_err().contains("do not rise"));
        let split = scores(&[0.1; 60], &[0.9; 60]);
        assert!(matches!(logistic(&split), Ok(ScoreMap::Logistic { .. })));
    }

    proptest! {
        #[test]
        fn a_chosen_threshold_keeps_its_word(
            negatives in proptest::collection::vec(0u32..10_000, 59..300),
            positives in proptest::collection::vec(0u32..10_000, 0..50),
        ) {
            let card = |score: &u32| f64::from(*score) / 1e4;
            let negatives: Vec<f64> = negatives.iter().map(card).collect();
            let positives: Vec<f64> = positives.iter().map(card).collect();
            let scored = scores(&negatives, &positives);
            if let Ok(chosen) = threshold(&scored, 0.05) {
                prop_assert!(chosen.fpr_upper <= 0.05 + 1e-9);
                prop_assert!((0.0..=1.0).contains(&chosen.threshold));
                let flagged = negatives.iter().filter(|s| **s >= chosen.threshold).count();
                prop_assert_eq!(flagged, chosen.false_positives);
                // A step lower flags another negative, and that is one too many.
                let lower = chosen.threshold - GRID * 1.5;
                let more = negatives.iter().filter(|s| **s >= lower).count();
                prop_assert!(more > flagged && upper_bound(more, negatives.len()) > 0.05);
            }
        }

        #[test]
        fn isotonic_maps_are_what_the_guard_reads(
            rows in proptest::collection::vec(((0u32..200).prop_map(|s| f64::from(s) / 199.0), any::<bool>()), 200..400),
        ) {
            if let Ok(ScoreMap::Isotonic { points }) = isotonic(&rows) {
                prop_assert!(!points.is_empty() && points.len() <= MAX_POINTS);
                prop_assert!(points.windows(2).all(|w| w[0][0] < w[1][0] && w[0][1] <= w[1][1]));
            }
        }
    }
}
