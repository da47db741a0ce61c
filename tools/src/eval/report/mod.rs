// SPDX-License-Identifier: AGPL-3.0-or-later
//! Showing what was measured: [`terminal`] as tables, [`page`] as a page with pictures ([`charts`], [`svg`]). The reports of
//! [`tasks`](super::tasks) are first laid out as a [`sheet`], which is then shown either way.

mod charts;
pub(crate) mod page;
pub(crate) mod sheet;
mod svg;
mod task_charts;
pub(crate) mod tasks;
pub(crate) mod terminal;

use super::bootstrap::Estimate;

/// `0.912`, or a dash where there is none.
pub(crate) fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

/// `0.912 [0.895, 0.930]`.
pub(crate) fn estimate(estimate: &Estimate) -> String {
    match (estimate.value, estimate.low, estimate.high) {
        (Some(value), Some(low), Some(high)) => format!("{value:.3} [{low:.3}, {high:.3}]"),
        (value, ..) => figure(value),
    }
}

/// A difference: `+0.031 [+0.012, +0.050]`.
pub(crate) fn difference(estimate: &Estimate) -> String {
    let signed = |value: f64| format!("{value:+.3}");
    match (estimate.value, estimate.low, estimate.high) {
        (Some(value), Some(low), Some(high)) => {
            format!("{} [{}, {}]", signed(value), signed(low), signed(high))
        }
        (value, ..) => value.map_or_else(|| figure(None), signed),
    }
}

/// What the figures of a signal are called, by their keys.
pub(crate) const SIGNAL_FIGURES: [(&str, &str); 11] = [
    ("auc", "AUC"),
    ("average_precision", "average precision"),
    ("recall_at_1_fpr", "recall at 1 % FPR"),
    ("recall_at_5_fpr", "recall at 5 % FPR"),
    ("recall", "recall at the threshold"),
    ("fpr", "over-defense (FPR at the threshold)"),
    ("precision", "precision at the threshold"),
    ("f1", "F1 at the threshold"),
    ("accuracy", "accuracy at the threshold"),
    ("ece", "calibration error (ECE, 15 bins)"),
    ("brier", "Brier score"),
];
