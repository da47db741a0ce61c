// SPDX-License-Identifier: AGPL-3.0-or-later
//! Files that are refused, and what the others do to scores.

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
        format!(r#"{{"jailbreak": {{"threshold": 0.5, "map": {{"kind": "logistic", {inner}}}}}}}"#)
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
    let isotonic = proptest::collection::btree_map(0u32..1000, 0u32..1000, 1..20).prop_map(|p| {
        let mut ys: Vec<u32> = p.values().copied().collect();
        ys.sort_unstable();
        let points = p.keys().zip(ys).map(|(x, y)| [f64::from(*x) / 1e3, f64::from(y) / 1e3]);
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
