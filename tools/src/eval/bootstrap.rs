// SPDX-License-Identifier: AGPL-3.0-or-later
//! Confidence intervals by drawing the texts again, with replacement.
//!
//! Source: Efron, Bootstrap Methods: Another Look at the Jackknife (1979); percentile intervals.

use rayon::prelude::*;
use serde::Serialize;

/// Share of resamples between the two ends of an interval.
pub(crate) const INTERVAL: f64 = 0.95;

/// A figure and its interval; `null` where the data does not define it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) value: Option<f64>,
    pub(crate) low: Option<f64>,
    pub(crate) high: Option<f64>,
}

impl Estimate {
    /// Of a share of `n`. One that is 0 or 1 is so in every resample, which tells nothing of how few there were: the far end of its
    /// interval is then the exact one (Clopper and Pearson, The Use of Confidence or Fiducial Limits, 1934).
    pub(crate) fn of_share(self, n: u64) -> Self {
        let (Some(value), Some(_), Some(_), 1..) = (self.value, self.low, self.high, n) else {
            return self;
        };
        let end = ((1.0 - INTERVAL) / 2.0).powf(1.0 / n as f64);
        if value <= 0.0 {
            Self { high: Some(1.0 - end), ..self }
        } else if value >= 1.0 {
            Self { low: Some(end), ..self }
        } else {
            self
        }
    }
}

/// How often, and from which seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bootstrap {
    pub(crate) resamples: usize,
    pub(crate) seed: u64,
}

impl Bootstrap {
    /// The figures of `texts` texts with their 95 % intervals. `figures` gets a weight for each text (how often it was drawn)
    /// and gives NaN for what is not defined; resamples in which a figure is not defined do not count for it, and less
    /// than half of them left leaves no interval.
    ///
    /// The same seed gives the same intervals, whatever the threads.
    pub(crate) fn estimates(
        &self,
        texts: usize,
        figures: impl Fn(&[u32]) -> Vec<f64> + Sync,
    ) -> Vec<Estimate> {
        let values = figures(&vec![1; texts]);
        let draw = |weights: &mut Vec<u32>, resample: usize| {
            weights.fill(0);
            let mut random = SplitMix64::of(self.seed, resample as u64);
            for _ in 0..texts {
                weights[random.below(texts)] += 1;
            }
            figures(weights)
        };
        let resamples = if texts == 0 { 0 } else { self.resamples };
        let drawn: Vec<Vec<f64>> =
            (0..resamples).into_par_iter().map_init(|| vec![0; texts], draw).collect();
        let mut column = Vec::with_capacity(resamples);
        let estimate = |(i, value): (usize, &f64)| {
            column.clear();
            column.extend(drawn.iter().map(|row| row[i]).filter(|value| value.is_finite()));
            column.sort_by(f64::total_cmp);
            let tail = (1.0 - INTERVAL) / 2.0;
            let enough = column.len() * 2 > resamples && value.is_finite();
            let end = |share: f64| enough.then(|| quantile(&column, share));
            Estimate {
                value: Some(*value).filter(|value| value.is_finite()),
                low: end(tail),
                high: end(1.0 - tail),
            }
        };
        values.iter().enumerate().map(estimate).collect()
    }
}

/// The quantile of sorted values, between neighbours by their distance (Hyndman and Fan's type 7, NumPy's default); 0 of none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = share.clamp(0.0, 1.0) * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the values"
    )]
    let below = at.floor() as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    low + (high - low) * (at - below as f64)
}

/// Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators (2014).
struct SplitMix64(u64);

impl SplitMix64 {
    const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

    /// The generator of one resample.
    fn of(seed: u64, resample: u64) -> Self {
        let mut outer = Self(seed);
        let mut inner = Self(outer.next() ^ resample.wrapping_mul(Self::GAMMA));
        Self(inner.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::GAMMA);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number under `n`, which is over 0; the bias of less than `n / 2^64` is far under what an interval shows.
    fn below(&mut self, n: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "under n")]
        let below = ((u128::from(self.next()) * n as u128) >> 64) as usize;
        below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[f64]) -> impl Fn(&[u32]) -> Vec<f64> + Sync {
        move |weights: &[u32]| {
            let sum: f64 = values.iter().zip(weights).map(|(v, w)| v * f64::from(*w)).sum();
            vec![sum / f64::from(weights.iter().sum::<u32>()), f64::NAN]
        }
    }

    fn of(resamples: usize, seed: u64, values: &[f64]) -> Vec<Estimate> {
        Bootstrap { resamples, seed }.estimates(values.len(), mean(values))
    }

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_law() {
        // 400 coins: a standard error of 0.025.
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let [estimate, undefined] = of(2000, 7, &values)[..] else { panic!() };
        assert_eq!(estimate.value, Some(0.5));
        assert!((estimate.low.unwrap() - (0.5 - 1.96 * 0.025)).abs() < 0.005, "{estimate:?}");
        assert!((estimate.high.unwrap() - (0.5 + 1.96 * 0.025)).abs() < 0.005, "{estimate:?}");
        assert_eq!(undefined, Estimate { value: None, low: None, high: None });
    }

    #[test]
    fn a_seed_gives_the_same_intervals_on_any_number_of_threads() {
        let values: Vec<f64> = (0..50).map(|i| f64::from(i * i % 17)).collect();
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let three = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let first = alone.install(|| of(200, 1, &values));
        assert_eq!(first, three.install(|| of(200, 1, &values)));
        assert_ne!(first, alone.install(|| of(200, 2, &values)));
    }

    #[test]
    fn without_texts_or_resamples_there_is_no_interval() {
        assert_eq!(of(10, 0, &[])[0], Estimate { value: None, low: None, high: None });
        assert_eq!(of(0, 0, &[3.0])[0], Estimate { value: Some(3.0), low: None, high: None });
    }

    #[test]
    fn a_share_that_is_all_or_nothing_has_the_exact_interval() {
        let share = |value, n| {
            let estimate = of(100, 1, &[value; 5])[0].of_share(n);
            (estimate.low.unwrap(), estimate.high.unwrap())
        };
        let near = |found: (f64, f64), low: f64, high: f64| {
            assert!((found.0 - low).abs() < 5e-4 && (found.1 - high).abs() < 5e-4, "{found:?}");
        };
        // scipy.stats.binomtest(k, n).proportion_ci(method="exact")
        near(share(0.0, 17), 0.0, 0.1951);
        near(share(1.0, 17), 0.8049, 1.0);
        near(share(1.0, 1), 0.025, 1.0);
        near(share(0.0, 0), 0.0, 0.0);
        near(share(0.5, 4), 0.5, 0.5);
        let none = of(0, 0, &[1.0])[0];
        assert_eq!(none.of_share(9), none);
    }

    #[test]
    fn quantiles_are_numpys() {
        let values = [1.0, 2.0, 4.0, 8.0];
        for (share, expected) in [(0.0, 1.0), (0.25, 1.75), (0.5, 3.0), (0.9, 6.8), (1.0, 8.0)] {
            assert!((quantile(&values, share) - expected).abs() < 1e-12, "{share}");
        }
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn the_generator_gives_its_published_sequence() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }
}
