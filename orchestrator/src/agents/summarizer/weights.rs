// SPDX-License-Identifier: AGPL-3.0-or-later
//! Weights of the salience model. Written by `tools/train/reasoner/summary/fit.py`: do not edit.

/// Name and weight of each feature.
#[rustfmt::skip]
pub(super) static WEIGHTS: &[(&str, f32)] = &[];

/// Cue and weight.
#[rustfmt::skip]
pub(super) static CUE_WEIGHTS: &[(&str, f32)] = &[];

/// Slope and intercept that turn logits into the chance to be the sentence that says most.
pub(super) const CALIBRATION: (f64, f64) = (1.0, -1.5);
