// SPDX-License-Identifier: AGPL-3.0-or-later
//! How long checks took.

use serde::Serialize;

use super::bootstrap::quantile;

/// Milliseconds of one check at a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) texts: usize,
    pub(crate) bytes: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) mean_ms: f64,
    /// All of the time over all of the text.
    pub(crate) us_per_kb: Option<f64>,
    pub(crate) texts_per_s: Option<f64>,
    pub(crate) histogram: Vec<TimeBin>,
}

/// Texts whose check took `from_ms` or more and less than `to_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct TimeBin {
    pub(crate) from_ms: f64,
    pub(crate) to_ms: f64,
    pub(crate) texts: usize,
}

/// Bins of the histogram to a factor of ten.
const BINS_A_DECADE: f64 = 5.0;
/// Most bins: eight decades, beyond which the ends are drawn together.
const MAX_BINS: usize = 40;

impl Latency {
    /// The latency of checks that took so many milliseconds on so many bytes; none without any.
    pub(crate) fn of(times: &[(f64, usize)]) -> Option<Self> {
        if times.is_empty() {
            return None;
        }
        let mut sorted: Vec<f64> = times.iter().map(|(ms, _)| *ms).collect();
        sorted.sort_by(f64::total_cmp);
        let total: f64 = sorted.iter().sum();
        let bytes: usize = times.iter().map(|(_, bytes)| bytes).sum();
        Some(Self {
            texts: times.len(),
            bytes,
            p50_ms: quantile(&sorted, 0.5),
            p90_ms: quantile(&sorted, 0.9),
            p99_ms: quantile(&sorted, 0.99),
            max_ms: quantile(&sorted, 1.0),
            mean_ms: total / times.len() as f64,
            us_per_kb: (bytes > 0).then(|| total * 1e3 / (bytes as f64 / 1e3)),
            texts_per_s: (total > 0.0).then(|| times.len() as f64 / (total / 1e3)),
            histogram: histogram(&sorted),
        })
    }
}

/// Bins whose edges are evenly spaced on a logarithmic scale.
fn histogram(sorted: &[f64]) -> Vec<TimeBin> {
    // A nanosecond: less is not measured.
    let step = |ms: f64| (ms.max(1e-6).log10() * BINS_A_DECADE).floor();
    let edge = |step: f64| 10f64.powf(step / BINS_A_DECADE);
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let (first, last) = (step(*first), step(*last));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let bins = ((last - first) as usize + 1).min(MAX_BINS);
    let mut out: Vec<TimeBin> = (0..bins)
        .map(|i| {
            let at = first + i as f64;
            TimeBin { from_ms: edge(at), to_ms: edge(at + 1.0), texts: 0 }
        })
        .collect();
    for ms in sorted {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small count"
        )]
        let bin = ((step(*ms) - first).max(0.0) as usize).min(bins - 1);
        out[bin].texts += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_rates_and_bins() {
        let times: Vec<(f64, usize)> = (1..=100).map(|i| (f64::from(i) / 10.0, 50)).collect();
        let latency = Latency::of(&times).unwrap();
        assert!((latency.p50_ms - 5.05).abs() < 1e-9 && (latency.max_ms - 10.0).abs() < 1e-9);
        assert!((latency.us_per_kb.unwrap() - 505.0 * 1e3 / 5.0).abs() < 1e-6);
        assert!((latency.texts_per_s.unwrap() - 100.0 / 0.505).abs() < 1e-9);
        assert_eq!(latency.histogram.iter().map(|bin| bin.texts).sum::<usize>(), 100);
        assert!(latency.histogram.windows(2).all(|w| (w[0].to_ms - w[1].from_ms).abs() < 1e-9));
    }

    #[test]
    fn odd_times_are_no_trouble() {
        assert_eq!(Latency::of(&[]), None);
        let instant = Latency::of(&[(0.0, 0)]).unwrap();
        assert_eq!((instant.us_per_kb, instant.texts_per_s), (None, None));
        let wide = Latency::of(&[(0.0, 1), (1e9, 1)]).unwrap();
        assert_eq!(wide.histogram.len(), MAX_BINS);
        assert_eq!(wide.histogram.iter().map(|bin| bin.texts).sum::<usize>(), 2);
    }
}
