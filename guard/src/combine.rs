// SPDX-License-Identifier: AGPL-3.0-or-later
//! Two opinions on a jailbreak, those of rules and of a model, become one score.
//!
//! The larger of the two would add up the false alarms of both. Instead the model's probability is the prior, and what the
//! rules say moves its log-odds by the logarithm of a likelihood ratio (naive Bayes over two observers):
//!
//! `score = sigmoid(logit(max(p, LEAST)) + weight(h))`, and never less than `p`
//!
//! Silent rules say nothing (`weight(0) = 0`), as they miss what is put in other words: then the model decides alone. Rules
//! stand alone, `score >= h`, where there is no model, where they are all but certain ([`CERTAIN`]), where they saw
//! control markers of chat templates (which are no matter of wording), and where they saw through a disguise that the
//! model, reading the text as it stands, cannot have seen through. The result grows with both.

/// Log likelihood ratio of an attack, by the score of the rules; linear in between.
const WEIGHTS: [(f32, f32); 5] = [(0.0, 0.0), (0.3, 0.7), (0.6, 2.2), (0.9, 3.4), (1.0, 4.0)];
/// A model's lower probabilities count as this: calibration says little about so few cases.
const LEAST: f32 = 0.02;
/// From here on rules need nobody's agreement.
pub(crate) const CERTAIN: f32 = 0.9;
/// The same for control markers.
pub(crate) const CERTAIN_MARKER: f32 = 0.6;

/// What rules say of a place.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Rules {
    /// Their score; 0 when they are silent.
    pub(crate) score: f32,
    /// Whether they need no agreement, however low the score.
    pub(crate) alone: bool,
}

/// The combined score, 0..=1: `model` is none where no model reads the text, and 0 where it reports nothing.
pub(crate) fn combine(rules: Rules, model: Option<f32>) -> f32 {
    let Some(p) = model.filter(|_| rules.score > 0.0) else {
        return model.unwrap_or(rules.score);
    };
    let prior = p.clamp(LEAST, 1.0 - f32::EPSILON);
    let odds = (prior / (1.0 - prior)).ln() + weight(rules.score);
    let both = (1.0 / (1.0 + (-odds).exp())).max(p);
    if rules.alone || rules.score >= CERTAIN { both.max(rules.score) } else { both }
}

fn weight(score: f32) -> f32 {
    let above = WEIGHTS.iter().position(|(at, _)| *at >= score).unwrap_or(WEIGHTS.len() - 1).max(1);
    let ((x0, y0), (x1, y1)) = (WEIGHTS[above - 1], WEIGHTS[above]);
    y0 + (y1 - y0) * ((score - x0) / (x1 - x0)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(h: f32, alone: bool, p: impl Into<Option<f32>>) -> f32 {
        combine(Rules { score: h, alone }, p.into())
    }

    #[test]
    fn the_rule_is_the_documented_one() {
        for (h, alone, p, want) in [
            // No model: as the rules say. Silent rules: as the model says.
            (0.7, false, None, 0.7),
            (0.0, false, Some(0.4), 0.4),
            (0.0, false, Some(0.0), 0.0),
            // A suspicion needs agreement, and a little is enough for a strong one.
            (0.7, false, Some(0.0), 0.216),
            (0.7, false, Some(0.1), 0.599),
            (0.7, false, Some(0.2), 0.771),
            (0.3, false, Some(0.3), 0.463),
            (0.3, false, Some(0.5), 0.668),
            // Certainty, markers and disguises need none.
            (0.95, false, Some(0.0), 0.95),
            (0.7, true, Some(0.0), 0.7),
            // The model alone.
            (0.1, false, Some(0.9), 0.919),
            (1.0, false, Some(1.0), 1.0),
        ] {
            let got = score(h, alone, p);
            assert!((got - want).abs() < 2e-3, "{h} {alone} {p:?}: {got}, not {want}");
        }
    }

    #[test]
    fn it_is_a_probability_and_grows_with_both() {
        let steps = || (0..=50).map(|i| i as f32 / 50.0);
        for alone in [false, true] {
            for a in steps() {
                for b in steps() {
                    let here = score(a, alone, b);
                    assert!((0.0..=1.0).contains(&here), "{a} {b}: {here}");
                    assert!(here >= b, "{a} {b}: {here}");
                    let (more_rules, more_model) = (
                        score((a + 0.02).min(1.0), alone, b),
                        score(a, alone, (b + 0.02).min(1.0)),
                    );
                    assert!(more_rules >= here - 1e-6 && more_model >= here - 1e-6, "{a} {b}");
                }
            }
        }
    }
}
