// SPDX-License-Identifier: AGPL-3.0-or-later
//! Every number that turns a judge's scores into a verdict, in one place, to be fitted per judge.

/// How raw scores become probabilities, and probabilities a verdict.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Calibration {
    /// Divides logits before the softmax; above 1 it makes an overconfident head modest. Judges
    /// that give probabilities have no use for it.
    pub(super) temperature: f64,
    /// Isotonic map of the probability of support: `(raw, calibrated)` with rising values, linear
    /// between knots and constant outside. None leaves it as it is.
    pub(super) supports: &'static [(f64, f64)],
    /// The same for refutation.
    pub(super) refutes: &'static [(f64, f64)],
    /// Least probability of support for `supported`.
    pub(super) decide_supports: f64,
    /// Least probability of refutation for `refuted`.
    pub(super) decide_refutes: f64,
    /// Support and refutation closer than this cancel each other.
    pub(super) margin: f64,
    /// From this on the weaker side alone makes the evidence mixed, however strong the other.
    pub(super) mixed: f64,
    /// How far each guard is believed over the judge.
    pub(super) trust: Trust,
}

/// Share of a judge's support that becomes refutation when a guard finds a difference.
///
/// 1 believes the guard wholly; at a half the claim is left uncertain, as no support remains and
/// too little refutation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trust {
    pub(super) numbers: f64,
    pub(super) units: f64,
    pub(super) dates: f64,
    pub(super) negation: f64,
    pub(super) quantifiers: f64,
    pub(super) entities: f64,
    pub(super) comparatives: f64,
}

const TRUST: Trust = Trust {
    numbers: 0.9,
    units: 0.9,
    dates: 0.9,
    negation: 0.75,
    quantifiers: 0.85,
    entities: 0.8,
    comparatives: 0.85,
};

/// For [`super::rules::Rules`], whose weights are fitted already; see [`super::relation`].
pub(super) const RULES: Calibration = Calibration {
    temperature: 1.0,
    supports: &[],
    refutes: &[],
    decide_supports: super::relation::DECIDE,
    decide_refutes: super::relation::DECIDE,
    margin: 0.15,
    mixed: 1.0,
    trust: TRUST,
};

/// For [`super::cross::Cross`] with the judge of the bundled `bitnet-s-1.58b`.
///
/// The temperature is that of least negative log-likelihood on 2790 pairs of the training sources
/// that were held back; on SNLI it is 0.80 (`tools/train/reasoner/report.py`).
/// A side decides when it is likelier than all else together.
pub(super) const CROSS: Calibration = Calibration {
    temperature: 0.84,
    supports: &[],
    refutes: &[],
    decide_supports: 0.5,
    decide_refutes: 0.5,
    margin: 0.15,
    mixed: 0.6,
    trust: TRUST,
};

impl Calibration {
    /// Probabilities of support and refutation from the logits of the three labels.
    pub(super) fn of_logits(&self, entails: f64, neutral: f64, contradicts: f64) -> (f64, f64) {
        let scaled = [entails, neutral, contradicts].map(|logit| logit / self.temperature);
        let top = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let exp = scaled.map(|logit| (logit - top).exp());
        let sum: f64 = exp.iter().sum();
        self.of_probabilities(exp[0] / sum, exp[2] / sum)
    }

    /// Calibrated probabilities of support and refutation. Each label has its own map, so that they
    /// may add up to more than 1; then they are scaled to 1.
    pub(super) fn of_probabilities(&self, supports: f64, refutes: f64) -> (f64, f64) {
        let (supports, refutes) = (mapped(self.supports, supports), mapped(self.refutes, refutes));
        let sum = (supports + refutes).max(1.0);
        (supports / sum, refutes / sum)
    }
}

/// `value` through a piecewise linear map.
fn mapped(knots: &[(f64, f64)], value: f64) -> f64 {
    let value = value.clamp(0.0, 1.0);
    let above = knots.partition_point(|(raw, _)| *raw <= value);
    let mapped = match (above.checked_sub(1).map(|at| knots[at]), knots.get(above)) {
        (None, None) => value,
        (Some((_, y)), None) | (None, Some(&(_, y))) => y,
        (Some((x0, y0)), Some(&(x1, y1))) => y0 + (y1 - y0) * (value - x0) / (x1 - x0),
    };
    mapped.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knots_are_linear_between_and_constant_outside() {
        let knots = [(0.2, 0.1), (0.6, 0.5), (0.6, 0.7), (0.9, 0.8)];
        for (raw, calibrated) in [(0.0, 0.1), (0.4, 0.3), (0.6, 0.7), (0.75, 0.75), (1.0, 0.8)] {
            assert!((mapped(&knots, raw) - calibrated).abs() < 1e-12, "{raw}");
        }
        assert_eq!(mapped(&[], 0.37), 0.37);
    }

    #[test]
    fn temperature_softens_and_keeps_the_order() {
        let cold = CROSS.of_logits(3.0, 0.0, -1.0);
        let warm = Calibration { temperature: 3.0, ..CROSS }.of_logits(3.0, 0.0, -1.0);
        assert!(cold.0 > warm.0 && warm.0 > warm.1 && warm.1 > cold.1, "{cold:?} {warm:?}");
        let large = CROSS.of_logits(1e6, -1e6, 0.0);
        assert_eq!(large, (1.0, 0.0));
    }

    #[test]
    fn defaults_are_usable() {
        for c in [RULES, CROSS] {
            assert!(c.temperature > 0.0 && c.margin >= 0.0);
            assert!(c.decide_supports >= 0.5 && c.decide_refutes >= 0.5 && c.mixed >= 0.5);
            for knots in [c.supports, c.refutes] {
                assert!(knots.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
            }
        }
    }
}
