// SPDX-License-Identifier: AGPL-3.0-or-later
//! Thresholds and probabilities measured on labelled texts: the file that `bho guard tune` writes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detector::{DetectContext, Detector, Hold, Opinion, Signal};
use crate::error::GuardError;
use crate::finding::{Category, Finding, PiiType};
use crate::policy::Thresholds;

/// The value of [`Calibration::format`].
pub const CALIBRATION_FORMAT: &str = "bho.calibration.v1";

/// Largest file that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// Most points of an isotonic map.
const MAX_POINTS: usize = 4096;
/// Largest slope and intercept of a logistic map: far beyond any fit, and small enough that nothing overflows.
const MAX_COEFFICIENT: f64 = 1e3;

/// Where a learned score of one signal is sent. Never decreasing, so no two texts change places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum ScoreMap {
    /// `1 / (1 + exp(-(slope * logit(score) + intercept)))`: Platt's scaling of a probability; with intercept 0 it is
    /// temperature scaling by `1 / slope`. Source: Guo et al., On Calibration of Modern Neural Networks (2017).
    Logistic {
        /// Over 0.
        slope: f64,
        /// Any finite number within 1000 of 0.
        intercept: f64,
    },
    /// Straight lines between `[score, probability]` points, and level beyond the first and the last: isotonic
    /// regression. Source: Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probabilities
    /// (2002).
    Isotonic {
        /// 1 to 4096 of them: scores rising, probabilities not falling, all within 0..=1.
        points: Vec<[f64; 2]>,
    },
}

impl ScoreMap {
    /// The probability a score stands for, within 0..=1.
    #[must_use]
    pub fn apply(&self, score: f32) -> f32 {
        /// A probability of 1 has no finite logit.
        const EDGE: f64 = 1e-6;
        let score = f64::from(score).clamp(0.0, 1.0);
        let mapped = match self {
            Self::Logistic { slope, intercept } => {
                let p = score.clamp(EDGE, 1.0 - EDGE);
                1.0 / (1.0 + (-(slope * (p / (1.0 - p)).ln() + intercept)).exp())
            }
            Self::Isotonic { points } => {
                let next = points.partition_point(|[x, _]| *x <= score);
                match (next.checked_sub(1).and_then(|i| points.get(i)), points.get(next)) {
                    (Some([x0, y0]), Some([x1, y1])) => y0 + (y1 - y0) * ((score - x0) / (x1 - x0)),
                    (Some([_, y]), None) | (None, Some([_, y])) => *y,
                    (None, None) => score,
                }
            }
        };
        #[expect(clippy::cast_possible_truncation, reason = "within 0..=1")]
        let mapped = mapped.clamp(0.0, 1.0) as f32;
        mapped
    }

    fn fault(&self) -> Option<String> {
        match self {
            Self::Logistic { slope, intercept } => {
                if !(*slope > 0.0 && *slope <= MAX_COEFFICIENT) {
                    Some(format!("slope is {slope}; accepted: over 0, at most {MAX_COEFFICIENT}"))
                } else if !(-MAX_COEFFICIENT..=MAX_COEFFICIENT).contains(intercept) {
                    Some(format!(
                        "intercept is {intercept}; accepted: within {MAX_COEFFICIENT} of 0"
                    ))
                } else {
                    None
                }
            }
            Self::Isotonic { points } => {
                if points.is_empty() || points.len() > MAX_POINTS {
                    let n = points.len();
                    return Some(format!("{n} points; accepted: 1 to {MAX_POINTS}"));
                }
                let within = |[x, y]: &[f64; 2]| (0.0..=1.0).contains(x) && (0.0..=1.0).contains(y);
                if let Some(i) = points.iter().position(|point| !within(point)) {
                    return Some(format!("points[{i}] is not within 0 and 1"));
                }
                let falls = points.windows(2).position(|w| w[1][0] <= w[0][0] || w[1][1] < w[0][1]);
                falls.map(|i| {
                    format!("points[{}]: scores must rise and probabilities not fall", i + 1)
                })
            }
        }
    }
}

/// What was measured for one signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalCalibration {
    /// Acts from here on, on scores after [`SignalCalibration::map`].
    pub threshold: f64,
    /// What learned scores go through first; none leaves them as they are. Personal data has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<ScoreMap>,
    /// What the figures say, for readers: nothing is decided by it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measured: BTreeMap<String, f64>,
}

/// A file that texts were measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationData {
    /// Its name without folders.
    pub file: String,
    /// Lower-case hex.
    pub sha256: String,
    /// Texts in it.
    pub texts: usize,
}

/// A model whose scores were measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationModel {
    /// Its name.
    pub name: String,
    /// Lower-case hex of its file.
    pub sha256: String,
}

/// Thresholds and maps by signal, and where they come from. Maps concern detectors that run a model, no others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// [`CALIBRATION_FORMAT`].
    pub format: String,
    /// When it was made, e.g. `2026-11-22T04:15:00Z`.
    pub created: String,
    /// What it was measured on.
    pub data: Vec<CalibrationData>,
    /// The models in the guard at the time; none when it had its rules alone.
    #[serde(default)]
    pub models: Vec<CalibrationModel>,
    /// By [`Signal::key`].
    pub signals: BTreeMap<String, SignalCalibration>,
}

impl Calibration {
    /// Reads a calibration file's text.
    ///
    /// # Errors
    /// What is wrong and where: line and column for what is no JSON of this form, the key for a value that cannot be.
    pub fn from_json(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("{} bytes; a calibration has at most {MAX_BYTES}", text.len()));
        }
        let read: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if read.format != CALIBRATION_FORMAT {
            let found: String = read.format.chars().take(40).collect();
            return Err(format!("format is {found:?}; accepted: {CALIBRATION_FORMAT:?}"));
        }
        for (key, signal) in &read.signals {
            let Some(known) = Signal::of_key(key) else {
                let key: String = key.chars().take(40).collect();
                return Err(format!("signals.{key} is no signal: toxicity, jailbreak, pii"));
            };
            if !(0.0..=1.0).contains(&signal.threshold) {
                let threshold = signal.threshold;
                return Err(format!("signals.{key}.threshold is {threshold}, not within 0 and 1"));
            }
            if let Some(map) = &signal.map {
                if known == Signal::Pii {
                    return Err("signals.pii.map: personal data has a threshold only".into());
                }
                if let Some(fault) = map.fault() {
                    return Err(format!("signals.{key}.map: {fault}"));
                }
            }
        }
        Ok(read)
    }

    /// The threshold measured for a signal.
    #[must_use]
    pub fn threshold(&self, signal: Signal) -> Option<f64> {
        self.signals.get(signal.key()).map(|measured| measured.threshold)
    }

    /// Sets the thresholds that were measured, but for the signals in `keep`.
    pub fn set_thresholds(&self, thresholds: &mut Thresholds, keep: &[Signal]) {
        for (signal, slot) in [
            (Signal::Toxicity, &mut thresholds.toxicity_block),
            (Signal::Jailbreak, &mut thresholds.jailbreak_block),
            (Signal::Pii, &mut thresholds.pii_redact),
        ] {
            if let Some(threshold) = self.threshold(signal).filter(|_| !keep.contains(&signal)) {
                #[expect(clippy::cast_possible_truncation, reason = "within 0..=1")]
                let narrow = threshold as f32;
                *slot = narrow;
            }
        }
    }

    /// The detector with its scores mapped, if it runs a model and a map concerns it; else the detector itself.
    #[must_use]
    pub fn calibrated(&self, detector: Box<dyn Detector>) -> Box<dyn Detector> {
        let map = |signal: Signal| self.signals.get(signal.key()).and_then(|s| s.map.clone());
        let (toxicity, jailbreak) = (map(Signal::Toxicity), map(Signal::Jailbreak));
        if detector.reads_views() || (toxicity.is_none() && jailbreak.is_none()) {
            return detector;
        }
        Box::new(Calibrated { detector, toxicity, jailbreak })
    }
}

/// A detector whose scores are mapped as soon as it reports them, so that all that follows sees probabilities.
struct Calibrated {
    detector: Box<dyn Detector>,
    toxicity: Option<ScoreMap>,
    jailbreak: Option<ScoreMap>,
}

impl Detector for Calibrated {
    fn name(&self) -> &'static str {
        self.detector.name()
    }

    fn signal(&self) -> Signal {
        self.detector.signal()
    }

    fn also_feeds(&self) -> &'static [Signal] {
        self.detector.also_feeds()
    }

    fn pii_types(&self) -> &'static [PiiType] {
        self.detector.pii_types()
    }

    fn reads_views(&self) -> bool {
        false
    }

    fn hold(&self) -> Hold {
        self.detector.hold()
    }

    fn opinion(&self, category: Category) -> Opinion {
        self.detector.opinion(category)
    }

    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let first = out.len();
        self.detector.detect(text, ctx, out)?;
        for finding in &mut out[first..] {
            let map = match finding.category {
                Category::Toxicity => &self.toxicity,
                Category::Jailbreak => &self.jailbreak,
                _ => &None,
            };
            // A score that cannot be is left for the guard to refuse.
            if let Some(map) = map.as_ref().filter(|_| (0.0..=1.0).contains(&finding.score)) {
                finding.score = map.apply(finding.score);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
