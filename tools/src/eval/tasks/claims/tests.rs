// SPDX-License-Identifier: AGPL-3.0-or-later
//! Figures of a handful of claims, counted by hand.

use super::*;
use crate::eval::bootstrap::Bootstrap;

fn answer(verdict: Class, score: f64, leaning: Option<(Class, f64)>) -> Answer {
    Answer { verdict, score, leaning }
}

fn decided(verdict: Class, score: f64) -> Answer {
    answer(verdict, score, Some((verdict, score)))
}

fn measured(rows: &[(Class, Answer)], three: bool) -> Measured {
    let bootstrap = Bootstrap { resamples: 20, seed: 0 };
    let rows = Rows::new(rows.to_vec(), three, Class::Supports);
    rows.measured(&Measuring { bootstrap, masking: None })
}

fn check(measured: &Measured, expected: &[(&str, f64)]) {
    for (name, expected) in expected {
        let found = measured.figures.get(name).value;
        assert!(
            found.is_some_and(|f| (f - expected).abs() < 1e-12),
            "{name}: {found:?}, not {expected}"
        );
    }
}

#[test]
fn where_nothing_is_labelled_uncertain_it_is_no_answer() {
    use Class::{Refutes, Supports, Uncertain};
    let rows = [
        (Supports, decided(Supports, 0.9)),
        (Refutes, decided(Supports, 0.7)),
        // Undecided, but it leans the right way, and the wrong way, and no way.
        (Refutes, answer(Uncertain, 0.95, Some((Refutes, 0.5)))),
        (Supports, answer(Uncertain, 0.95, Some((Refutes, 0.4)))),
        (Supports, answer(Uncertain, 1.0, None)),
    ];
    let measured = measured(&rows, false);
    check(
        &measured,
        &[
            ("accuracy", 0.2),
            // Supports: 1 of 2 called, 1 of 3 labelled, F1 0.4; refutes: never called, 0.
            ("macro_f1", 0.2),
            ("answered", 0.4),
            ("accuracy_answered", 0.5),
            // The surest three: right, wrong, right by its leaning.
            ("accuracy_at_60", 2.0 / 3.0),
            ("accuracy_at_80", 0.5),
            ("accuracy_at_100", 0.4),
            // Of 0.9 right and 0.7 wrong.
            ("ece", (0.1 + 0.7) / 2.0),
            ("brier", (0.01 + 0.49) / 2.0),
            ("auc", 1.0),
            ("majority_accuracy", 0.6),
            (OVER_MAJORITY, -0.2),
        ],
    );
    assert_eq!(measured.confusion, [[1, 0, 2], [1, 0, 1], [0, 0, 0]]);
    let supports = &measured.classes[0];
    assert_eq!((supports.labelled, supports.called), (3, 2));
    assert_eq!(supports.figures.get("recall").value, Some(1.0 / 3.0));
    assert_eq!(measured.classes[1].figures.get("precision").value, None, "nothing was called so");
    assert_eq!(measured.coverage.len(), CURVE);
}

#[test]
fn where_it_is_labelled_uncertain_is_an_answer_like_others() {
    use Class::{Refutes, Supports, Uncertain};
    let rows = [
        (Uncertain, answer(Uncertain, 0.9, None)),
        (Supports, decided(Supports, 0.8)),
        (Refutes, answer(Uncertain, 0.6, Some((Refutes, 0.5)))),
        (Uncertain, decided(Refutes, 0.7)),
    ];
    let measured = measured(&rows, true);
    check(
        &measured,
        &[
            ("accuracy", 0.5),
            // Supports 1, refutes 0, uncertain 1 of 2 and 1 of 2.
            ("macro_f1", 0.5),
            ("answered", 1.0),
            ("accuracy_answered", 0.5),
            // 2.4 of 4: two right ones and 0.4 of a wrong one.
            ("accuracy_at_60", 2.0 / 2.4),
            ("accuracy_at_100", 0.5),
        ],
    );
}

#[test]
fn an_undecided_result_leans_to_its_strongest_side() {
    let result = |value: Value| value.as_object().cloned().unwrap();
    let by_evidence = result(json!({"verdict": "uncertain", "score": 0.8, "evidence": [
        {"relation": "neutral", "score": 0.99}, {"relation": "supports", "score": 0.3},
        {"relation": "refutes", "score": 0.4}, {"relation": "refutes", "score": 7}, {"text": "?"},
    ]}));
    assert_eq!(
        Answer::of(&by_evidence),
        answer(Class::Uncertain, 0.8, Some((Class::Refutes, 0.4)))
    );
    let stated = result(json!({"verdict": "uncertain", "score": 0.5, "evidence": [],
        "probabilities": {"supported": 0.3, "refuted": 0.2, "uncertain": 0.5}}));
    assert_eq!(Answer::of(&stated).leaning, Some((Class::Supports, 0.3)));
    let silent =
        result(json!({"verdict": "uncertain", "evidence": [{"relation": "neutral", "score": 1}]}));
    assert_eq!(Answer::of(&silent), answer(Class::Uncertain, 0.0, None));
    let sure = result(json!({"verdict": "supported", "score": 1.5}));
    assert_eq!(Answer::of(&sure), decided(Class::Supports, 1.0));
}

fn reading(text: &str, evidence: Option<&str>) -> anyhow::Result<Data<Example>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.jsonl");
    std::fs::write(&path, text).unwrap();
    read(&[StreamArg::File(path)], &Reading::default(), evidence)
}

#[test]
fn lines_of_the_usual_sets_are_read_as_they_are() {
    let text = concat!(
        "{\"claim\": \"c\", \"evidence\": \"e\", \"label\": \"SUPPORTS\", \"retrieved\": [\"r\", \"s\"]}\n",
        "{\"hypothesis\": \"c\", \"premise\": \"e\", \"label\": \"neutral\"}\n",
        "{\"hypothesis\": \"c\", \"premise\": \"e\", \"label\": \"-\"}\n",
        "{\"sentence\": \"c\", \"explanation\": \"n/a\", \"label\": \"false\"}\n",
        "{\"claim\": \"c\", \"evidence\": [\"e\", \"f\"], \"label\": true}\n",
    );
    let data = reading(text, None).unwrap();
    let labels: Vec<Class> = data.items.iter().map(|example| example.label).collect();
    assert_eq!(labels, [Class::Supports, Class::Uncertain, Class::Refutes, Class::Supports]);
    let evidence: Vec<usize> = data.items.iter().map(|example| example.evidence.len()).collect();
    assert_eq!(evidence, [1, 1, 0, 2]);
    assert_eq!(data.notes.len(), 2);
    let first = text.lines().next().unwrap();
    assert_eq!(reading(first, Some("retrieved")).unwrap().items[0].evidence, ["r", "s"]);
}

#[test]
fn bad_lines_are_told_by_their_place() {
    let good = "{\"claim\": \"c\", \"evidence\": \"e\", \"label\": \"supports\"}";
    for (bad, expected) in [
        (good.replace("supports", "maybe"), "d.jsonl:2:33: there is no usable `label`"),
        (good.replace("\"e\"", "3"), "d.jsonl:2:16: `evidence` is no text or list of texts"),
        (good.replace("\"e\"", "[\"e\", null]"), "d.jsonl:2:16: `evidence` is no text"),
        (good.replace("evidence", "proof"), "d.jsonl:2:1: the line has no `evidence`"),
        (good.replace("\"c\"", "\"\""), "d.jsonl:2:2: `claim` holds an empty text"),
        (good.replace("claim", "thesis"), "d.jsonl:2:1: the line has no `claim`"),
        ("[]".to_owned(), "d.jsonl:2:1: not an object"),
        ("{\"claim\"".to_owned(), "d.jsonl:2:8: not valid JSON"),
        (
            good.replace("\"c\"", &format!("\"{}\"", "x".repeat(MAX_CLAIM + 1))),
            "of more than 64 KiB",
        ),
        (format!("\"{}\"", "x".repeat(10 << 20)), "d.jsonl:2:1: the line is longer than 4 MiB"),
    ] {
        let message = reading(&format!("{good}\n{bad}\n"), None).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.len() < 600, "it repeats what it found");
    }
    let message = reading("\n\n", None).unwrap_err().to_string();
    assert!(message.contains("d.jsonl: there is nothing to measure; accepted: "), "{message}");
    let unsure = "{\"claim\": \"c\", \"evidence\": \"e\", \"label\": \"-\"}";
    let message = reading(unsure, None).unwrap_err().to_string();
    assert!(message.contains("no label that people agreed on"), "{message}");
}
