// SPDX-License-Identifier: AGPL-3.0-or-later
//! The sampler against a plain oracle: the definitions in f64, sorts and sums written out.

use bho_engine::sampling::{Rng, Sampler, SamplingError, SamplingParams};
use proptest::prelude::*;

/// How near a sum may come to its limit before rounding decides.
const UNDECIDED: f64 = 1e-9;

/// `(id, probability)`, most likely first, lowest id first of equals.
type Distribution = Vec<(u32, f64)>;

fn softmax(scores: &[(u32, f64)]) -> Distribution {
    let max = scores.iter().map(|s| s.1).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores.iter().map(|s| (s.1 - max).exp()).sum();
    scores.iter().map(|&(id, s)| (id, (s - max).exp() / total)).collect()
}

fn sort(scores: &mut [(u32, f64)]) {
    scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
}

/// How many of `probabilities` reach `p` together; `None` where rounding decides.
fn reach(probabilities: impl Iterator<Item = f64>, p: f64, min_keep: usize) -> Option<usize> {
    let (mut sum, mut n) = (0.0, 0);
    for probability in probabilities {
        if (sum - p).abs() < UNDECIDED {
            return None;
        }
        if sum >= p && n >= min_keep {
            break;
        }
        sum += probability;
        n += 1;
    }
    Some(n)
}

/// The distribution of the draw; `None` where rounding decides what is in it.
fn oracle(params: &SamplingParams, logits: &[f32], history: &[u32]) -> Option<Distribution> {
    let mut scores: Vec<(u32, f64)> = (0u32..).zip(logits.iter().map(|&l| f64::from(l))).collect();
    for &(id, bias) in &params.logit_bias {
        scores[id as usize].1 += f64::from(bias);
    }
    let window = &history[history.len().saturating_sub(params.penalty_window)..];
    for (id, score) in &mut scores {
        let count = window.iter().filter(|h| *h == id).count() as f64;
        if count > 0.0 {
            let penalty = f64::from(params.repetition_penalty);
            *score = if *score > 0.0 { *score / penalty } else { *score * penalty };
            *score -= count * f64::from(params.frequency_penalty);
            *score -= f64::from(params.presence_penalty);
        }
    }
    scores.retain(|s| s.1 > f64::NEG_INFINITY);
    sort(&mut scores);
    if params.top_k > 0 {
        scores.truncate(params.top_k);
    }
    if params.typical_p < 1.0 {
        let probs = softmax(&scores);
        let entropy: f64 = probs.iter().map(|p| -p.1 * p.1.ln()).sum();
        let mut order: Vec<(f64, usize)> =
            probs.iter().enumerate().map(|(i, p)| ((-p.1.ln() - entropy).abs(), i)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(probs[a.1].0.cmp(&probs[b.1].0)));
        // Different logits whose keys differ by rounding alone.
        let close = |w: &[(f64, usize)]| {
            (w[0].0 - w[1].0).abs() < UNDECIDED && scores[w[0].1].1 != scores[w[1].1].1
        };
        if order.windows(2).any(close) {
            return None;
        }
        let keys = order.iter().map(|&(_, i)| probs[i].1);
        let n = reach(keys, f64::from(params.typical_p), params.min_keep)?;
        scores = order[..n].iter().map(|&(_, i)| scores[i]).collect();
        sort(&mut scores);
    }
    if params.top_p < 1.0 {
        let probs = softmax(&scores);
        let n = reach(probs.iter().map(|p| p.1), f64::from(params.top_p), params.min_keep)?;
        scores.truncate(n);
    }
    if params.min_p > 0.0 {
        let min_p = f64::from(params.min_p);
        let ratios: Vec<f64> = scores.iter().map(|s| (s.1 - scores[0].1).exp()).collect();
        if ratios.iter().any(|r| (r - min_p).abs() < UNDECIDED) {
            return None;
        }
        let n = ratios.iter().filter(|&&r| r > min_p).count().max(params.min_keep);
        scores.truncate(n);
    }
    if params.temperature == 0.0 {
        return Some(vec![(scores[0].0, 1.0)]);
    }
    let scaled: Vec<_> =
        scores.iter().map(|&(id, s)| (id, s / f64::from(params.temperature))).collect();
    Some(softmax(&scaled))
}

/// The token that `uniform` in `[0, 1)` picks; `None` where rounding decides.
fn pick(distribution: &Distribution, uniform: f64) -> Option<u32> {
    let mut sum = 0.0;
    for &(id, p) in distribution {
        sum += p;
        if (sum - uniform).abs() < UNDECIDED {
            return None;
        }
        if sum > uniform {
            return Some(id);
        }
    }
    distribution.last().map(|l| l.0)
}

/// Logits in eighths: bias and penalties of [`params`] are exact in f32, so ties stay ties.
fn logits() -> impl Strategy<Value = Vec<f32>> {
    prop_oneof![
        prop::collection::vec((-80i16..80).prop_map(|i| f32::from(i) / 8.0), 1..300),
        prop::collection::vec(-10f32..10.0, 1..40),
        // Peaked: a few tokens far above many.
        prop::collection::vec(prop_oneof![9 => -8f32..-4.0, 1 => 0f32..8.0], 1..3000,),
    ]
}

prop_compose! {
    fn params()(
        temperature in prop_oneof![Just(0.0f32), Just(1.0f32), 0.1f32..3.0],
        top_k in prop_oneof![Just(0usize), 1usize..60],
        top_p in prop_oneof![Just(1.0f32), 0f32..1.0],
        min_p in prop_oneof![Just(0.0f32), 0f32..1.0],
        typical_p in prop_oneof![Just(1.0f32), 0f32..1.0],
        repetition_penalty in prop::sample::select(vec![1.0f32, 2.0, 0.5]),
        presence_penalty in prop::sample::select(vec![0.0f32, 0.5, -1.0]),
        frequency_penalty in prop::sample::select(vec![0.0f32, 0.25, -0.5]),
        penalty_window in 0usize..12,
        logit_bias in prop::collection::vec((0u32..40, prop_oneof![
            Just(f32::NEG_INFINITY), (-40i8..40).prop_map(|i| f32::from(i) / 8.0),
        ]), 0..4),
        min_keep in 1usize..6,
        seed in any::<u64>(),
    ) -> SamplingParams {
        SamplingParams {
            temperature, top_k, top_p, min_p, typical_p, repetition_penalty, presence_penalty,
            frequency_penalty, penalty_window, logit_bias, min_keep, seed, logprobs: Some(5),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_token_is_the_oracles(
        logits in logits(),
        history in prop::collection::vec(0u32..40, 0..20),
        params in params(),
    ) {
        let mut params = params;
        // The penalties are exact where the logits are: elsewhere they would only test rounding.
        if logits.iter().any(|l| l * 8.0 != (l * 8.0).round()) {
            params.repetition_penalty = 1.0;
            params.logit_bias.retain(|b| b.1 == f32::NEG_INFINITY);
            (params.presence_penalty, params.frequency_penalty) = (0.0, 0.0);
        }
        params.logit_bias.retain(|b| (b.0 as usize) < logits.len());
        let history: Vec<u32> = history.into_iter().filter(|&h| (h as usize) < logits.len()).collect();
        let forbidden =
            (0..logits.len() as u32).all(|i| params.logit_bias.contains(&(i, f32::NEG_INFINITY)));
        let mut sampler = Sampler::new(&params, logits.len()).unwrap();
        let result = sampler.sample(&mut logits.clone(), &history);
        if forbidden {
            prop_assert!(matches!(result, Err(SamplingError::NoToken(_))));
            return Ok(());
        }
        let sampled = result.unwrap();

        // Log-probabilities of the untouched distribution.
        let all: Vec<(u32, f64)> = (0u32..).zip(logits.iter().map(|&l| f64::from(l))).collect();
        let mut probs = softmax(&all);
        let own = probs[sampled.token as usize].1.ln();
        prop_assert!((f64::from(sampled.logprob.unwrap()) - own).abs() < 1e-5);
        sort(&mut probs);
        prop_assert_eq!(sampled.top.len(), 5.min(logits.len()));
        let mut by_logit = all;
        sort(&mut by_logit);
        for (got, (expected, by)) in sampled.top.iter().zip(probs.iter().zip(&by_logit)) {
            prop_assert_eq!(got.0, by.0);
            prop_assert!((f64::from(got.1) - expected.1.ln()).abs() < 1e-5);
        }

        let Some(distribution) = oracle(&params, &logits, &history) else { return Ok(()) };
        let uniform = if params.temperature == 0.0 { 0.0 } else { Rng::new(params.seed).next_f64() };
        let Some(expected) = pick(&distribution, uniform) else { return Ok(()) };
        prop_assert_eq!(sampled.token, expected);
    }
}

#[test]
fn the_draw_follows_the_distribution() {
    let logits: Vec<f32> = (0..12).map(|i| (i % 5) as f32 * 0.7 - (i / 5) as f32).collect();
    for params in [
        SamplingParams { seed: 3, ..SamplingParams::neutral() },
        SamplingParams { seed: 4, temperature: 0.5, top_k: 9, ..SamplingParams::neutral() },
        SamplingParams { seed: 5, temperature: 2.0, top_p: 0.8, ..SamplingParams::neutral() },
        SamplingParams { seed: 6, typical_p: 0.7, min_p: 0.1, ..SamplingParams::neutral() },
    ] {
        let expected = oracle(&params, &logits, &[]).unwrap();
        let mut sampler = Sampler::new(&params, logits.len()).unwrap();
        let draws = 40_000;
        let mut counts = vec![0u32; logits.len()];
        for _ in 0..draws {
            counts[sampler.sample(&mut logits.clone(), &[]).unwrap().token as usize] += 1;
        }
        let mut chi2 = 0.0;
        for &(id, p) in &expected {
            let mean = p * f64::from(draws);
            chi2 += (f64::from(std::mem::take(&mut counts[id as usize])) - mean).powi(2) / mean;
        }
        assert!(counts.iter().all(|&c| c == 0), "a token outside the distribution was drawn");
        // Quantile 0.9999 of chi-squared, Wilson and Hilferty's approximation.
        let freedom = expected.len() as f64 - 1.0;
        let limit = freedom
            * (1.0 - 2.0 / (9.0 * freedom) + 3.719 * (2.0 / (9.0 * freedom)).sqrt()).powi(3);
        assert!(chi2 < limit, "chi-squared {chi2}, limit {limit}: {params:?}");
    }
}

#[test]
fn a_seed_gives_the_same_tokens_everywhere() {
    let run = |params: &SamplingParams| -> Vec<u32> {
        let mut sampler = Sampler::new(params, 1000).unwrap();
        let mut history = Vec::new();
        for step in 0..16u32 {
            let logits = (0..1000u32).map(|i| ((i * 7919 + step * 104_729) % 1009) as f32 / 100.0);
            let token = sampler.sample(&mut logits.collect::<Vec<_>>(), &history).unwrap().token;
            history.push(token);
        }
        history
    };
    let params = SamplingParams {
        seed: 42,
        repetition_penalty: 1.25,
        temperature: 1.5,
        ..SamplingParams::default()
    };
    // Computed by a separate program in another language, generator included.
    assert_eq!(
        run(&params),
        [277, 678, 70, 471, 41, 33, 579, 670, 451, 443, 534, 981, 195, 853, 278, 646]
    );
    assert_eq!(
        run(&SamplingParams { seed: 43, ..params }),
        [930, 111, 70, 451, 786, 877, 612, 683, 497, 311, 613, 948, 729, 220, 733, 890]
    );
}
