// SPDX-License-Identifier: AGPL-3.0-or-later
//! Pictures of the tasks' pages.

use super::svg::{Plot, quarters};
use super::{charts, figure};
use crate::eval::paired::{Named, System};
use crate::eval::selective::COVERAGES;

/// Accuracy among the surest claims over their share, with the coverages of the figures.
pub(super) fn coverage(curve: &[[f64; 2]], figures: &Named) -> String {
    let mut plot = Plot::new(300.0);
    plot.x_axis(&quarters(), "coverage: share of the claims, the surest first");
    plot.y_axis(&quarters(), "accuracy");
    let points: Vec<(f64, f64)> = curve.iter().map(|[x, y]| (*x, *y)).collect();
    plot.area(&points, "under");
    plot.line(&points, "curve");
    for coverage in COVERAGES {
        let name = format!("accuracy_at_{:.0}", coverage * 100.0);
        if let Some(accuracy) = figures.get(&name).value {
            let about = format!("at {:.0} %: accuracy {accuracy:.3}", coverage * 100.0);
            plot.dot(coverage, accuracy, 5.0, "bubble", &about);
        }
    }
    if let Some(answered) = figures.get("answered").value {
        plot.mark(answered, "answered");
    }
    plot.finish("accuracy over coverage")
}

/// One bar a system of one figure.
pub(super) fn systems(systems: &[System], key: &str, about: &str) -> String {
    let rows: Vec<_> = systems
        .iter()
        .map(|system| (system.name.as_str(), system.figures.get(key), about.to_owned()))
        .collect();
    charts::bars(&rows, about)
}

/// A point for each pair: what people say, what the model says.
pub(super) fn scatter(points: &[[f64; 2]], figures: &Named) -> String {
    let mut plot = Plot::new(320.0);
    let of = |side: usize| points.iter().map(move |point| point[side]);
    let (low, high) = (of(0).fold(f64::MAX, f64::min), of(0).fold(f64::MIN, f64::max));
    let width = if high > low { high - low } else { 1.0 };
    let ticks = quarters().into_iter().map(|(at, _)| (at, format!("{:.2}", low + at * width)));
    plot.x_axis(&ticks.collect::<Vec<_>>(), "score that people gave");
    // Cosines of unlike texts may be under 0.
    let floor = if of(1).any(|cosine| cosine < 0.0) { -1.0 } else { 0.0 };
    let ticks =
        quarters().into_iter().map(|(at, _)| (at, format!("{:.2}", floor + at * (1.0 - floor))));
    plot.y_axis(&ticks.collect::<Vec<_>>(), "cosine");
    for [score, cosine] in points {
        let about = format!("score {score}, cosine {cosine:.3}");
        let y = (cosine - floor) / (1.0 - floor);
        plot.dot((score - low) / width, y, 2.2, "bubble", &about);
    }
    plot.finish(&format!("cosines over scores, Spearman {}", figure(figures.get("spearman").value)))
}
