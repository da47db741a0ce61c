// SPDX-License-Identifier: AGPL-3.0-or-later
//! Latent float weights to ternary ones: BitNet b1.58's absmean (arXiv:2402.17764, §2, equations 1 to 3),
//! exact to the bit, so that who trains a model and who converts it get the same codes.
//!
//! For the weights `w` (float32) of a matrix, or of a row where each has a scale of its own:
//!
//! 1. `mean` = Σ|w| / n. The sum is taken in float64, one weight after another in row-major order, and
//!    divided in float64; the quotient is rounded to float32 and is at least 1e-5.
//! 2. `inverse` = 1 / `mean`, in float32.
//! 3. `code` = `w · inverse` in float32, rounded to an integer, ties to even, then clamped to -1..=1.
//! 4. `scale` = 1 / `inverse`, in float32: what a code of 1 is worth.
//!
//! The paper adds its epsilon to the mean; taking the larger of both, as transformers does, leaves the
//! scale of an ordinary matrix alone. In numpy (`tools/golden/make_bert_ternary_goldens.py`):
//!
//! ```python
//! rows = w if per_row else w.reshape(1, -1)
//! total = np.cumsum(np.abs(rows), axis=1, dtype=np.float64)[:, -1:]      # np.sum adds in another order
//! mean = np.maximum((total / rows.shape[1]).astype(np.float32), np.float32(1e-5))
//! inverse = np.float32(1) / mean
//! codes = np.clip(np.rint(rows * inverse), -1, 1)
//! scale = np.float32(1) / inverse
//! ```

/// Smallest mean; weights that are all 0 keep a finite inverse.
const LEAST: f32 = 1e-5;

/// The absolute mean of weights as they pass by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AbsMean {
    sum: f64,
    count: usize,
}

/// What weights are multiplied by before they are rounded, and what a code of 1 is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub(crate) inverse: f32,
    pub(crate) scale: f32,
}

impl AbsMean {
    /// That of these weights.
    pub(crate) fn of(values: &[f32]) -> Self {
        let mut mean = Self::default();
        mean.add(values);
        mean
    }

    /// Takes the next weights.
    pub(crate) fn add(&mut self, values: &[f32]) {
        self.sum = values.iter().fold(self.sum, |sum, v| sum + f64::from(v.abs()));
        self.count += values.len();
    }

    /// The step of all weights so far; there must have been one.
    pub(crate) fn step(self) -> Step {
        let mean = ((self.sum / self.count as f64) as f32).max(LEAST);
        let inverse = 1.0 / mean;
        Step { inverse, scale: 1.0 / inverse }
    }
}

impl Step {
    /// What a weight becomes: -1, 0 or 1.
    pub(crate) fn code(self, weight: f32) -> i8 {
        (weight * self.inverse).round_ties_even().clamp(-1.0, 1.0) as i8
    }
}

/// The codes of a matrix with `cols` columns, and the scale of each row.
pub(crate) fn ternarize(values: &[f32], cols: usize, per_row: bool) -> (Vec<i8>, Vec<f32>) {
    let whole = AbsMean::of(values).step();
    let (mut codes, mut scales) = (Vec::with_capacity(values.len()), Vec::new());
    for row in values.chunks_exact(cols) {
        let step = if per_row { AbsMean::of(row).step() } else { whole };
        codes.extend(row.iter().map(|&v| step.code(v)));
        scales.push(step.scale);
    }
    (codes, scales)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_even_before_codes_are_clamped() {
        // A mean of 1: products are the weights themselves.
        let weights = [0.5, -0.5, 1.5, -2.5, 0.0, 1.0];
        assert_eq!(AbsMean::of(&weights).step(), Step { inverse: 1.0, scale: 1.0 });
        assert_eq!(ternarize(&weights, 3, false), (vec![0, 0, 1, -1, 0, 1], vec![1.0; 2]));
        let above = f32::from_bits(0.5f32.to_bits() + 1);
        let step = Step { inverse: 1.0, scale: 1.0 };
        assert_eq!([step.code(above), step.code(-above)], [1, -1]);
    }

    #[test]
    fn rows_have_their_own_scale_and_zeros_stay_zeros() {
        let (codes, scales) = ternarize(&[4.0, -4.0, 0.25, 0.75, 0.0, 0.0], 2, true);
        assert_eq!((codes, scales[0], scales[1]), (vec![1, -1, 0, 1, 0, 0], 4.0, 0.5));
        assert!((scales[2] / LEAST - 1.0).abs() < 1e-6);
    }
}
