// SPDX-License-Identifier: AGPL-3.0-or-later
//! What holds for every text.

use bho_guard::{Guard, Mode, Policy};
use proptest::prelude::*;

fn guard() -> Guard {
    let mut policy = Policy::default();
    // Blocked texts have no redacted form to look at; blocking has tests of its own.
    policy.thresholds.jailbreak_block = 1.0;
    Guard::new(policy).unwrap()
}

/// Personal data, what surrounds it, and what looks like it, in any order.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "ann@example.org",
            "анна@пример.рф",
            "+44 20 7946 0958",
            "(415) 555-0100",
            "415-555-0100",
            "4155550100",
            "4111 1111 1111 1111",
            "5555555555554444",
            "DE89 3704 0044 0532 0130 00",
            "gb29nwbk60161331926819",
            "078-05-1120",
            "078051120",
            "203.0.113.7",
            "2001:db8::8a2e:370:7334",
            "::ffff:192.0.2.128",
            "00:1b:44:11:3a:b7",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "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",
            "9fK2mQ7xR4tZ8wB1nC5v",
            "api_key=",
            "password: hunter2",
            "https://ann:s3cret@example.org",
            "phone",
            "call",
            "order",
            "SSN",
            "version",
            "1234 Elm St, Springfield, IL 62704",
            "Berliner Straße 5",
            "12 rue de la Paix",
            "SW1A 1AA",
            "P.O. Box 12",
            "born",
            "12 May 1980",
            "BIC DEUTDEFF",
            "QQ 12 34 56 C",
            "X-1234567-L",
            "2 69 05 49 588 157 80",
            "529.982.247-25",
            "86 095 742 719",
            "driving licence A12345678",
            "wa.me/14155550100",
            "card",
            "id",
            "[EMAIL]",
            "[PHONE]",
            " ",
            " ",
            "  ",
            "-",
            ".",
            ",",
            ":",
            "/",
            "@",
            "+",
            "(",
            ")",
            "x",
            "é",
            "漢",
            "\u{a0}",
            "\u{2013}",
            "\u{200b}",
            "\0",
            "\n",
            "2021-03-04",
            "12:30",
            "550e8400-e29b-41d4-a716-446655440000",
            "://",
            "ignore",
            "previous",
            "instructions",
            "\"",
            "ext. 12",
        ])
        .prop_map(str::to_owned),
        "[0-9]{1,6}",
        "\\PC{0,4}",
    ]
}

fn composed() -> impl Strategy<Value = String> {
    prop::collection::vec(fragment(), 0..24).prop_map(|parts| parts.concat())
}

/// The text with each redacted span replaced, and what stood there.
fn rebuild(text: &str, spans: &[([usize; 2], String)]) -> (String, Vec<String>) {
    let (mut out, mut raw, mut from) = (String::new(), Vec::new(), 0);
    for ([start, end], kind) in spans {
        out.push_str(&text[from..*start]);
        out.push_str(&format!("[{}]", kind.trim_start_matches("PII.").to_uppercase()));
        raw.push(text[*start..*end].to_owned());
        from = *end;
    }
    out.push_str(&text[from..]);
    (out, raw)
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let guard = guard();
    let verdict = guard.check("n", text, Mode::Input).unwrap();
    for finding in &verdict.findings {
        prop_assert!(text.get(finding.span.clone()).is_some());
        prop_assert!((0.0..=1.0).contains(&finding.score));
    }
    let card = verdict.card;
    let spans: Vec<_> = card.redactions.iter().map(|r| (r.span, r.kind.clone())).collect();
    for pair in spans.windows(2) {
        prop_assert!(pair[0].0[1] <= pair[1].0[0], "sorted and disjoint: {spans:?}");
    }
    for ([start, end], _) in &spans {
        prop_assert!(start < end && text.is_char_boundary(*start) && text.is_char_boundary(*end));
    }
    let (rebuilt, raw) = rebuild(text, &spans);
    prop_assert_eq!(&card.text, &rebuilt, "text outside the spans is unchanged");

    // Every strong finding lies under redactions, but for separators.
    for finding in verdict
        .findings
        .iter()
        .filter(|f| matches!(f.category, bho_guard::Category::Pii(_)) && f.score >= 0.7)
    {
        for (at, c) in text[finding.span.clone()].char_indices() {
            let at = finding.span.start + at;
            prop_assert!(
                !c.is_alphanumeric() || spans.iter().any(|(s, _)| s[0] <= at && at < s[1])
            );
        }
    }

    // Redacted data is gone: a second check finds nothing of what the first removed, unless the same data stood a
    // second time where its surroundings spoke against it.
    let again = guard.check("n", &card.text, Mode::Input).unwrap().card;
    for redaction in &again.redactions {
        let value = &card.text[redaction.span[0]..redaction.span[1]];
        let repeated = text.matches(value).count() > raw.iter().filter(|r| *r == value).count();
        prop_assert!(!raw.iter().any(|r| r == value) || repeated, "{value:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_redacted_soundly(text in "\\PC{0,200}") {
        check(&text)?;
    }

    #[test]
    fn any_mixture_of_data_is_redacted_soundly(text in composed()) {
        check(&text)?;
    }

    #[test]
    fn any_bytes_that_are_text_are_fine(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&String::from_utf8_lossy(&bytes))?;
    }

    // Words of twelve letters and more: none of them is a word that speaks against a phone number.
    #[test]
    fn data_is_redacted_wherever_it_stands(before in "([a-z]{12,14} ){0,3}", after in "( [a-z]{1,14}){0,3}") {
        let text = format!("{before}+44 20 7946 0958{after} ann@example.org");
        let card = guard().check("n", &text, Mode::Input).unwrap().card;
        prop_assert_eq!(card.text, format!("{before}[PHONE]{after} [EMAIL]"));
    }
}
