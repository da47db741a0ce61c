// SPDX-License-Identifier: AGPL-3.0-or-later
//! Figures of a few texts, counted by hand.

use super::super::data::DataFile;
use super::super::spans::{Found, Gold};
use super::super::types::Standing;
use super::*;

fn measuring() -> Measuring<'static> {
    Measuring {
        bootstrap: Bootstrap { resamples: 50, seed: 1 },
        thresholds: ThresholdsReport { toxicity: 0.5, jailbreak: 0.6, pii: 0.7 },
        labelled_types_only: false,
        masking: None,
    }
}

fn example(spans: Option<Vec<Gold>>, toxic: Option<bool>, group: &str) -> Example {
    Example {
        file: 0,
        line: 1,
        text: "x".repeat(100),
        spans,
        labels: [toxic, None],
        group: Some(group.to_owned()),
    }
}

fn setup() -> (Data, Answers, Types) {
    let mut types = Types::new(&["email", "name"]);
    let email = types.label_of("EMAIL_ADDRESS");
    let organization = types.label_of("ORGANIZATION");
    let gold = |start: usize, label| Gold { span: start..start + 5, label };
    let found = |start: usize, key| Found { span: start..start + 5, key, score: 0.9 };
    let (email_key, date) = (types.key_of("email"), types.key_of("date"));
    let data = Data {
        examples: vec![
            example(Some(vec![gold(0, email), gold(20, organization)]), Some(true), "a"),
            example(Some(vec![]), Some(false), "a"),
            example(Some(vec![]), Some(false), "b"),
            example(None, None, "b"),
        ],
        files: vec![DataFile { file: "d".into(), sha256: String::new(), texts: 4 }],
        ..Data::default()
    };
    let answer = |spans: Vec<Found>, score| Answer { spans, scores: [score, 0.0] };
    let answers = Answers {
        all: vec![
            answer(vec![found(0, email_key), found(40, date)], 0.9),
            answer(vec![found(0, 1)], 0.7),
            answer(vec![], 0.1),
            answer(vec![found(0, email_key)], 1.0),
        ],
        times: vec![(1.0, 100); 4],
        ..Answers::default()
    };
    (data, answers, types)
}

#[test]
fn every_label_and_every_finding_is_accounted_for() {
    let (data, answers, types) = setup();
    let measured = measuring().measure(&data, answers, &types);
    let pii = measured.pii.unwrap();
    assert_eq!((pii.texts, pii.labelled, pii.found), (3, 1, 2));
    assert_eq!(pii.apart[0].label, "ORGANIZATION");
    assert_eq!(pii.apart[0].why, Standing::Unknown);
    assert_eq!(pii.set_aside, BTreeMap::from([("date".to_owned(), 1)]));
    assert_eq!((pii.clean_texts, pii.clean_texts_flagged.value), (2, Some(0.5)));
    assert_eq!(pii.overlap.precision.value, Some(0.5));
    assert_eq!(pii.confusion.types, ["email", "name"]);
    assert_eq!(pii.confusion.counts, [[1, 0, 0], [0, 0, 0], [0, 1, 0]]);
    let toxicity = measured.signals[0].as_ref().unwrap();
    assert_eq!((toxicity.positives, toxicity.negatives), (1, 2));
    assert_eq!(toxicity.figures.get("auc").value, Some(1.0));
    assert_eq!(toxicity.figures.get("fpr").value, Some(0.5));
    let groups: Vec<_> = toxicity.groups.iter().map(|g| (g.group.as_str(), g.fpr.value)).collect();
    assert_eq!(groups, [("a", Some(1.0)), ("b", Some(0.0))]);
    assert!(measured.signals[1].is_none());
    let kinds: Vec<_> = measured.mistakes.iter().map(|m| (m.signal, m.kind)).collect();
    assert_eq!(kinds, [("pii", "wrong"), ("toxicity", "false_alarm")]);
}

#[test]
fn types_that_are_never_labelled_can_be_left_out() {
    let (data, answers, types) = setup();
    let measuring = Measuring { labelled_types_only: true, ..measuring() };
    let pii = measuring.measure(&data, answers, &types).pii.unwrap();
    assert_eq!(pii.overlap.precision.value, Some(1.0));
    assert_eq!(pii.set_aside.get("name"), Some(&1));
}

#[test]
fn curves_are_thinned_and_end_where_they_end() {
    let scored: Vec<(f64, bool)> = (0..5000).map(|i| (f64::from(i) / 5000.0, i % 3 == 0)).collect();
    let (roc, precision_recall) = curves(&Ranking::new(&scored));
    for curve in [&roc, &precision_recall] {
        assert!(curve.len() <= CURVE_POINTS && curve.len() > 100, "{}", curve.len());
    }
    assert_eq!(roc.last().map(|point| [point[0], point[1]]), Some([1.0, 1.0]));
    assert!(roc.windows(2).all(|w| w[0][0] <= w[1][0] && w[0][1] <= w[1][1]));
}
