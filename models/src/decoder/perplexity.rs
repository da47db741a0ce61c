// SPDX-License-Identifier: AGPL-3.0-or-later
//! Perplexity of a text longer than the context: windows that overlap.

use std::ops::Range;

use bho_engine::decoder::Scorer;
use bho_engine::{CancelToken, EngineError};

/// The windows of a text of tokens.
///
/// Window `k` begins at token `k · stride`. Each token is scored once, in the first window that has
/// it, behind all tokens of that window before it: behind `window - stride` at least, but in the
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Tokens of the text.
    pub tokens: usize,
    /// Tokens of the text in a window.
    pub window: usize,
    /// Tokens from one window's begin to the next one's; at most `window`.
    pub stride: usize,
    /// Whether a token stands before each window, so that its first can be scored.
    pub prefixed: bool,
}

impl Windows {
    /// Each window with the part of it that is scored; none that score nothing.
    pub fn iter(self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let Self { tokens, window, stride, prefixed } = self;
        let mut scored = 0;
        let begins = (0..tokens).step_by(stride.clamp(1, window.max(1)));
        begins.filter_map(move |begin| {
            let end = tokens.min(begin.saturating_add(window));
            let first = scored.max(begin + usize::from(!prefixed));
            scored = scored.max(end);
            (first < end).then_some((begin..end, first..end))
        })
    }
}

/// What was found so far.
///
/// With `N` tokens of negative log-likelihoods `n` (natural logarithm), mean `m` and sample standard
/// deviation `s`: perplexity is `exp(m)`, its 95 % interval `exp(m ± 1.96 · s / √N)`. That takes
/// tokens for independent; they are not quite, so the interval is a little narrow.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Perplexity {
    /// Tokens scored.
    pub tokens: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Windows read.
    pub windows: usize,
    mean: f64,
    /// Sum of squared distances from the mean (Welford, 1962).
    squares: f64,
}

impl Perplexity {
    /// Takes one token of `bytes` bytes by the natural logarithm of its probability.
    pub fn add(&mut self, log_prob: f32, bytes: usize) {
        let nll = -f64::from(log_prob);
        self.tokens += 1;
        self.bytes += bytes;
        let distance = nll - self.mean;
        self.mean += distance / self.tokens as f64;
        self.squares += distance * (nll - self.mean);
    }

    /// Mean negative log-likelihood of a token.
    pub fn mean_nll(&self) -> f64 {
        self.mean
    }

    /// Standard error of that mean; none of a single token.
    pub fn standard_error(&self) -> Option<f64> {
        let variance = self.squares / self.tokens.checked_sub(1).filter(|&n| n > 0)? as f64;
        Some((variance / self.tokens as f64).sqrt())
    }

    /// `exp` of the mean.
    pub fn value(&self) -> f64 {
        self.mean.exp()
    }

    /// Lower and upper end of the 95 % interval.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let half = 1.96 * self.standard_error()?;
        Some(((self.mean - half).exp(), (self.mean + half).exp()))
    }

    /// Bits that the model needs for a byte of the scored tokens; does not depend on the tokenizer.
    pub fn bits_per_byte(&self) -> Option<f64> {
        let bits = self.mean * self.tokens as f64 / std::f64::consts::LN_2;
        (self.bytes > 0).then(|| bits / self.bytes as f64)
    }
}

/// Scores `tokens` window by window, each behind `prefix`; `step` sees what is found after each
/// window and ends it by `false`.
///
/// - `bytes`: of one token
///
/// # Errors
/// As [`Scorer::score`]; what was found until then is what `step` saw last.
pub fn perplexity(
    scorer: &mut Scorer<'_>,
    (prefix, tokens): (&[u32], &[u32]),
    windows: Windows,
    bytes: &dyn Fn(u32) -> usize,
    cancel: &CancelToken,
    step: &mut dyn FnMut(&Perplexity) -> bool,
) -> Result<Perplexity, EngineError> {
    let mut found = Perplexity::default();
    for (window, scored) in windows.iter() {
        let text = [prefix, &tokens[window.clone()]].concat();
        let first = prefix.len() + scored.start - window.start;
        let log_probs = scorer.score(&text, first, cancel)?;
        for (&token, log_prob) in tokens[scored].iter().zip(log_probs) {
            found.add(log_prob, bytes(token));
        }
        found.windows += 1;
        if !step(&found) {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(tokens: usize, window: usize, stride: usize, prefixed: bool) -> Vec<[usize; 4]> {
        let windows = Windows { tokens, window, stride, prefixed };
        windows.iter().map(|(w, s)| [w.start, w.end, s.start, s.end]).collect()
    }

    #[test]
    fn every_token_is_scored_once_behind_what_its_window_has() {
        assert_eq!(
            windows(10, 4, 2, true),
            [[0, 4, 0, 4], [2, 6, 4, 6], [4, 8, 6, 8], [6, 10, 8, 10]]
        );
        assert_eq!(windows(10, 4, 3, false), [[0, 4, 1, 4], [3, 7, 4, 7], [6, 10, 7, 10]]);
        // Without overlap and without a prefix, the first of each window follows nothing.
        assert_eq!(windows(7, 3, 3, false), [[0, 3, 1, 3], [3, 6, 4, 6]]);
        assert_eq!(windows(7, 3, 3, true), [[0, 3, 0, 3], [3, 6, 3, 6], [6, 7, 6, 7]]);
        assert_eq!(windows(1, 3, 3, false), [[0; 4]; 0]);
        assert_eq!(windows(0, 3, 1, true), [[0; 4]; 0]);
        for (tokens, window, stride) in [(100, 7, 1), (100, 7, 7), (5, 100, 50), (33, 8, 5)] {
            let scored: Vec<_> =
                windows(tokens, window, stride, true).iter().flat_map(|w| w[2]..w[3]).collect();
            assert_eq!(scored, (0..tokens).collect::<Vec<_>>());
        }
    }

    #[test]
    fn numbers_are_those_of_the_formulas() {
        let log_probs = [-1.5f32, -0.25, -4.0, -2.0, -0.5];
        let mut found = Perplexity::default();
        log_probs.iter().for_each(|&log_prob| found.add(log_prob, 3));
        let mean = 8.25 / 5.0;
        let variance = log_probs.iter().map(|l| (-f64::from(*l) - mean).powi(2)).sum::<f64>() / 4.0;
        let error = (variance / 5.0).sqrt();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} for {b}");
        near(found.value(), mean.exp());
        near(found.standard_error().unwrap(), error);
        near(found.interval().unwrap().0, (mean - 1.96 * error).exp());
        near(found.interval().unwrap().1, (mean + 1.96 * error).exp());
        near(found.bits_per_byte().unwrap(), 8.25 / 2f64.ln() / 15.0);
        let mut one = Perplexity::default();
        one.add(-1.0, 0);
        assert_eq!((one.interval(), one.bits_per_byte()), (None, None));
    }
}
