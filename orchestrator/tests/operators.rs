// SPDX-License-Identifier: AGPL-3.0-or-later
//! Operators of `policies.redactions` in whole runs: what stands in for personal data, and that nothing of it is left.

mod run_support;

use std::sync::Arc;

use bho_guard::{GuardKeys, Key, Operator, Vault, VaultSecret};
use bho_orchestrator::config::Pipeline;
use bho_orchestrator::error::RunError;
use bho_orchestrator::run::{RunOptions, RunOutcome};
use proptest::prelude::*;
use serde_json::json;

use run_support::*;

/// One of each kind, by the key of its type.
const CANARIES: &[(&str, &str)] = &[
    ("email", "ann.canary@example.org"),
    ("card", "4111 1111 1111 1111"),
    ("iban", "DE89 3704 0044 0532 0130 00"),
    ("phone", "+1 415 555 2671"),
    ("ip", "203.0.113.77"),
    ("mac", "00:1b:44:11:3a:b7"),
    ("crypto", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    ("secret", "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"),
];

fn two_nodes() -> Pipeline {
    pipeline(2, vec![node("a", "test.echo", &[]), node("b", "test.echo", &["a"])])
}

fn run_with(operator: &Operator, keys: &GuardKeys, text: &str) -> Result<RunOutcome, RunError> {
    let mut pipeline = two_nodes();
    for (key, _) in CANARIES {
        pipeline.policies.redactions.insert((*key).to_owned(), operator.clone());
    }
    orchestrator([]).with_guard_keys(keys.clone()).run(
        &pipeline,
        fields(json!({ "text": text, "also": [text] })),
        RunOptions::default(),
    )
}

fn keys(folder: &tempfile::TempDir) -> GuardKeys {
    let secret = VaultSecret::from_text(&Key::generate().unwrap().to_hex());
    let vault = Vault::open_or_create(&folder.path().join("a.vault"), &secret).unwrap();
    GuardKeys { hash: Some(Key::generate().unwrap()), vault: Some(Arc::new(vault)) }
}

#[test]
fn pseudonyms_of_a_run_turn_back_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(&folder);
    let values: Vec<&str> = CANARIES.iter().map(|(_, value)| *value).collect();
    let text = values.join(" and\n");
    let outcome = run_with(&Operator::Pseudonymise, &keys, &text).unwrap();
    assert!(!outcome.text.contains("canary"), "{}", outcome.text);
    let back = keys.vault.as_ref().unwrap().reveal(&outcome.text).unwrap();
    assert_eq!(back.text.as_str(), format!("b(a({text}))"));
    assert_eq!((back.revealed, back.unknown), (CANARIES.len(), 0));
    // The same values have the same pseudonyms in another run.
    assert_eq!(run_with(&Operator::Pseudonymise, &keys, &text).unwrap().text, outcome.text);
}

#[test]
fn numbers_tell_values_apart_across_nodes() {
    let operator = Operator::Replace { text: None, numbered: true };
    let text = "ann@example.org, bob@example.org, ann@example.org";
    let outcome = run_with(&operator, &GuardKeys::default(), text).unwrap();
    assert_eq!(outcome.text, "b(a([EMAIL_1], [EMAIL_2], [EMAIL_1]))");
}

#[test]
fn an_operator_without_its_key_is_an_error_before_anything_runs() {
    for (operator, want) in [
        (Operator::Hash { length: 12 }, "redactions.card: `hash` needs a key"),
        (Operator::Pseudonymise, "redactions.card: `pseudonymise` needs a vault"),
    ] {
        let error = run_with(&operator, &GuardKeys::default(), "x").unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn a_vault_that_fails_lets_nothing_through() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(&folder);
    let path = folder.path().join("a.vault");
    std::fs::write(&path, "something else").unwrap();
    let error = run_with(&Operator::Pseudonymise, &keys, "ann@example.org").unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("is not a vault") && !shown.contains("ann@"), "{shown}");
}

fn operators() -> impl Strategy<Value = Operator> {
    prop_oneof![
        any::<bool>().prop_map(|numbered| Operator::Replace { text: None, numbered }),
        Just(Operator::Replace { text: Some("(removed)".into()), numbered: true }),
        (0usize..5).prop_map(|keep_last| Operator::Mask { keep_last, with: '*' }),
        (8usize..=32).prop_map(|length| Operator::Hash { length }),
        Just(Operator::Pseudonymise),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_operator_but_keep_leaves_raw_data_anywhere(
        operator in operators(),
        picks in prop::collection::vec((0..CANARIES.len(), "lamp|river|stone|cloud"), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&folder);
        let words: Vec<String> =
            picks.iter().map(|(i, word)| format!("{word}, {}", CANARIES[*i].1)).collect();
        let outcome = run_with(&operator, &keys, &words.join("; ")).unwrap();
        let shown = format!("{outcome:?} {}", serde_json::to_string(&outcome.trace).unwrap());
        for (key, value) in CANARIES {
            prop_assert!(!shown.contains(value), "{operator:?}: {key} in {shown}");
        }
        // What another run of the same policy makes of the answer is the answer: nothing is redacted twice.
        let again = run_with(&operator, &keys, &outcome.text).unwrap().text;
        prop_assert_eq!(again, format!("b(a({}))", outcome.text));
    }
}
