// SPDX-License-Identifier: AGPL-3.0-or-later
//! Thresholds and probabilities measured on labelled texts: the file that `bho guard tune` writes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detector::{DetectContext, Detector, Opinion, Signal};
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Guard, Mode, Policy};

    fn file(signals: &str) -> String {
        format!(
            r#"{{"format": "{CALIBRATION_FORMAT}", "created": "2026-01-01T00:00:00Z", "data": [], "signals": {signals}}}"#
        )
    }

    fn read(signals: &str) -> Calibration {
        Calibration::from_json(&file(signals)).unwrap()
    }

    /// Sees `toad`, as a model (`learned`) or by a rule, and is 0.4 sure of it.
    struct Toads {
        learned: bool,
    }

    impl Detector for Toads {
        fn name(&self) -> &'static str {
            "toads"
        }

        fn signal(&self) -> Signal {
            Signal::Toxicity
        }

        fn also_feeds(&self) -> &'static [Signal] {
            &[Signal::Jailbreak]
        }

        fn reads_views(&self) -> bool {
            !self.learned
        }

        fn detect(
            &self,
            text: &str,
            _: &DetectContext<'_>,
            out: &mut Vec<Finding>,
        ) -> Result<(), GuardError> {
            for category in [Category::Toxicity, Category::Jailbreak] {
                out.extend(text.match_indices("toad").map(|(at, toad)| Finding {
                    category,
                    span: at..at + toad.len(),
                    score: 0.4,
                    detector: "toads",
                    rule: "toad",
                    via: None,
                }));
            }
            Ok(())
        }
    }

    #[test]
    fn learned_scores_of_the_signal_are_mapped_and_no_others() {
        let calibration = read(
            r#"{"toxicity": {"threshold": 0.8, "map": {"kind": "isotonic", "points": [[0.2, 0.5], [0.6, 0.9]]}}}"#,
        );
        for (learned, toxicity) in [(true, 0.7), (false, 0.4)] {
            let builder = Guard::builder().detector(Toads { learned });
            let guard = builder.calibration(calibration.clone()).build().unwrap();
            let labels = guard.check("t", "a toad", Mode::Input).unwrap().card.labels;
            assert_eq!((labels.toxicity, labels.jailbreak), (toxicity, 0.4), "{learned}");
        }
    }

    #[test]
    fn thresholds_are_set_but_for_those_that_are_kept() {
        let calibration = read(r#"{"toxicity": {"threshold": 0.8}, "pii": {"threshold": 0.3}}"#);
        let mut thresholds = Policy::default().thresholds;
        calibration.set_thresholds(&mut thresholds, &[Signal::Pii]);
        assert_eq!(thresholds, Thresholds { toxicity_block: 0.8, ..Policy::default().thresholds });
    }

    #[test]
    fn a_logistic_map_with_slope_1_changes_nothing_and_a_lower_one_doubts() {
        let map = |slope, intercept| ScoreMap::Logistic { slope, intercept };
        for score in [0.0, 0.1, 0.5, 0.93, 1.0] {
            assert!((map(1.0, 0.0).apply(score) - score).abs() < 1e-5, "{score}");
        }
        assert!((map(0.5, 0.0).apply(0.9) - 0.75).abs() < 1e-6);
        assert!((map(1.0, -(3f64.ln())).apply(0.5) - 0.25).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        let long = format!(
            r#"{{"toxicity": {{"threshold": 0.5, "map": {{"kind": "isotonic", "points": [{}]}}}}}}"#,
            vec!["[0.1, 0.1]"; MAX_POINTS + 1].join(", ")
        );
        let isotonic = |points: &str| {
            format!(
                r#"{{"jailbreak": {{"threshold": 0.5, "map": {{"kind": "isotonic", "points": {points}}}}}}}"#
            )
        };
        let logistic = |inner: &str| {
            format!(
                r#"{{"jailbreak": {{"threshold": 0.5, "map": {{"kind": "logistic", {inner}}}}}}}"#
            )
        };
        for (signals, message) in [
            (r#"{"toxicity": {"threshold": 1.5}}"#, "signals.toxicity.threshold is 1.5"),
            (r#"{"toxicity": {"threshold": -0.1}}"#, "signals.toxicity.threshold"),
            (r#"{"toxicity": {"threshold": "x"}}"#, "line 1 column"),
            (r#"{"toxicity": {"threshold": 0.5, "thresholds": 1}}"#, "unknown field"),
            (r#"{"spam": {"threshold": 0.5}}"#, "signals.spam is no signal"),
            (r#"{"toxicity": {}}"#, "missing field `threshold`"),
            (
                r#"{"pii": {"threshold": 0.5, "map": {"kind": "logistic", "slope": 1, "intercept": 0}}}"#,
                "signals.pii.map",
            ),
            (&isotonic("[]"), "0 points"),
            (&isotonic("[[0.5, 0.5], [0.5, 0.6]]"), "points[1]"),
            (&isotonic("[[0.1, 0.5], [0.5, 0.4]]"), "points[1]"),
            (&isotonic("[[0.1, 0.5], [0.5, 1.1]]"), "points[1] is not within"),
            (&isotonic("[[0.1]]"), "line 1 column"),
            (&logistic(r#""slope": 0, "intercept": 0"#), "slope is 0"),
            (&logistic(r#""slope": -1, "intercept": 0"#), "slope is -1"),
            (&logistic(r#""slope": 1, "intercept": 1e300"#), "intercept is"),
            (&long, "4097 points"),
        ] {
            let error = Calibration::from_json(&file(signals)).unwrap_err();
            assert!(error.contains(message), "{signals}: {error}");
        }
        for (text, message) in [
            ("", "line 1 column 0"),
            ("[]", "line 1 column"),
            (&file("{}").replace("v1", "v9"), "accepted: \"bho.calibration.v1\""),
            (&" ".repeat(MAX_BYTES + 1), "at most"),
        ] {
            let error = Calibration::from_json(text).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let calibration = read(
            r#"{"jailbreak": {"threshold": 0.25, "map": {"kind": "logistic", "slope": 0.5, "intercept": 0.25},
                "measured": {"negatives": 300}}}"#,
        );
        let text = serde_json::to_string(&calibration).unwrap();
        assert_eq!(Calibration::from_json(&text).unwrap(), calibration);
    }

    fn maps() -> impl Strategy<Value = ScoreMap> {
        let isotonic =
            proptest::collection::btree_map(0u32..1000, 0u32..1000, 1..20).prop_map(|p| {
                let mut ys: Vec<u32> = p.values().copied().collect();
                ys.sort_unstable();
                let points =
                    p.keys().zip(ys).map(|(x, y)| [f64::from(*x) / 1e3, f64::from(y) / 1e3]);
                ScoreMap::Isotonic { points: points.collect() }
            });
        let logistic = (0.01f64..50.0, -20.0f64..20.0)
            .prop_map(|(slope, intercept)| ScoreMap::Logistic { slope, intercept });
        prop_oneof![isotonic, logistic]
    }

    proptest! {
        #[test]
        fn maps_keep_the_order_and_stay_within_0_and_1(
            map in maps(), a in 0.0f32..=1.0, b in 0.0f32..=1.0,
        ) {
            prop_assert!(map.fault().is_none());
            let (low, high) = (map.apply(a.min(b)), map.apply(a.max(b)));
            prop_assert!((0.0..=1.0).contains(&low) && low <= high && high <= 1.0);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}") {
            let _ = Calibration::from_json(&text);
            let _ = Calibration::from_json(&file(&text));
        }
    }
}
