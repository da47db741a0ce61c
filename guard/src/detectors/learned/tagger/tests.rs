// SPDX-License-Identifier: AGPL-3.0-or-later
use super::super::testing::{Fake, Table};
use super::*;
use crate::card::Mode;
use crate::{Guard, Policy};

const WORDS: Table = &[
    ("Ann", "GIVEN_NAME", 0.9),
    ("Jo", "GIVEN_NAME", 0.9),
    ("John", "GIVEN_NAME", 0.95),
    ("Smith", "SURNAME", 0.95),
    ("Lee", "SURNAME", 0.9),
    ("Tolkien", "SURNAME", 0.9),
    ("Chad", "GIVEN_NAME", 0.9),
    ("Algeria", "GIVEN_NAME", 0.9),
    ("Kenya", "GIVEN_NAME", 0.4),
    ("Bell", "SURNAME", 0.12),
    ("Gray", "SURNAME", 0.3),
    ("shouted", "SURNAME", 0.8),
    ("FooSmith", "SURNAME", 0.8),
    ("Tolk", "SURNAME", 0.6),
    ("Rift", "SURNAME", 0.08),
    ("link", "STREET_NAME", 0.95),
    ("12", "BUILDING_NUMBER", 0.9),
    ("77", "BUILDING_NUMBER", 0.6),
    ("Elm", "STREET_NAME", 0.9),
    ("Street", "STREET_NAME", 0.9),
    ("Apt", "SECONDARY_ADDRESS", 0.1),
    ("7", "SECONDARY_ADDRESS", 0.8),
    ("Springfield", "CITY", 0.9),
    ("Paris", "CITY", 0.9),
    ("IL", "STATE", 0.8),
    ("62704", "ZIP_CODE", 0.9),
    ("48291736", "BANK_ACCOUNT", 0.95),
    ("4711", "SURNAME", 0.9),
    ("x", "EMAIL", 0.9),
];

fn tagger() -> PiiTagger {
    PiiTagger::new(Fake::tagger(WORDS)).unwrap()
}

fn all(text: &str) -> Vec<(&'static str, &str, f32)> {
    let mut out = Vec::new();
    tagger().detect(text, &DetectContext::new(text, Mode::Input), &mut out).unwrap();
    out.sort_by_key(|finding| finding.span.start);
    out.iter()
        .map(|finding| match finding.category {
            Category::Pii(kind) => (kind.key(), &text[finding.span.clone()], finding.score),
            _ => unreachable!(),
        })
        .collect()
}

/// What is acted on by default.
fn found(text: &str) -> Vec<(&'static str, &str)> {
    all(text).into_iter().filter(|f| f.2 >= 0.7).map(|(kind, text, _)| (kind, text)).collect()
}

fn check(kind: &'static str, table: &[(&'static str, &[&str])]) {
    for (text, want) in table {
        let want: Vec<_> = want.iter().map(|part| (kind, *part)).collect();
        assert_eq!(found(text), want, "{text:?}");
    }
}

#[test]
fn a_name_is_one_finding_with_all_its_parts() {
    check(
        "name",
        &[
            ("Dear Ann Smith of nowhere", &["Ann Smith"]),
            ("We saw Ann and Jo", &["Ann", "Jo"]),
            ("by J. R. R. Tolkien today", &["J. R. R. Tolkien"]),
            ("with Ann van der Lee there", &["Ann van der Lee"]),
            ("that Ann-Marie saw", &["Ann-Marie"]),
            ("that Marie-Ann saw", &["Marie-Ann"]),
            ("for Ann's kid", &["Ann"]),
            ("with Ann Bell today", &["Ann Bell"]),
            ("We saw Ann. Bell rang", &["Ann"]),
            ("with Ann\nBell", &["Ann"]),
            ("that Smith, John signed", &["Smith, John"]),
            ("founders: Smith, Lee and Jo", &["Smith", "Lee", "Jo"]),
            ("to John Smith, Jr. there", &["John Smith, Jr"]),
            ("> John Smith\n> Gray Ltd.\n> Ann", &["John Smith", "Ann"]),
            ("Ambassador Ann BELL spoke", &["Ann BELL"]),
            ("met Ann, Gray and Bell", &["Ann", "Gray", "Bell"]),
        ],
    );
}

#[test]
fn titles_belong_to_names_and_make_names() {
    check(
        "name",
        &[
            ("ask Dr. Smith there", &["Dr. Smith"]),
            ("ask Prof. Dr. Smith there", &["Prof. Dr. Smith"]),
            ("ask Mr. Xyz there", &["Mr. Xyz"]),
            ("Frau Xyz kommt", &["Frau Xyz"]),
            ("ask Miss Ann there", &["Miss Ann"]),
            ("i miss ann", &["ann"]),
            ("ask mrs. smith there", &["mrs. smith"]),
            ("He is a dr. The end", &[]),
            ("Sr. Director", &[]),
        ],
    );
}

#[test]
fn capitals_and_cues_are_evidence() {
    check(
        "name",
        &[
            // A small letter among capitalised words.
            ("The man shouted at them", &[]),
            ("the man shouted at them", &["shouted"]),
            ("HE SAW ANN SMITH", &["ANN SMITH"]),
            ("and Gray came", &[]),
            ("Dear Gray, we", &["Gray"]),
            ("my name is gray", &["gray"]),
            ("Name: Gray", &["Gray"]),
            ("Kind regards,\nGray", &["Gray"]),
        ],
    );
    let faint = all("and Gray came");
    assert!(
        matches!(faint[..], [("name", "Gray", score)] if (0.3..0.7).contains(&score)),
        "{faint:?}"
    );
}

#[test]
fn what_is_no_name_whatever_the_model_says() {
    for text in [
        "4711 is here",
        "",
        "... !!",
        "The Smith Inc. office",
        "Ann & Co",
        "`Ann`",
        "Ann::new",
        "Ann.com",
        "Smith University",
        "Smith Trust Agency",
        "the USS Smith",
        "a FooSmith",
    ] {
        assert_eq!(found(text), [], "{text:?}");
    }
}

#[test]
fn a_sure_name_is_found_again() {
    check(
        "name",
        &[
            ("It is John Smith. Later Smith-like", &["John Smith", "Smith"]),
            ("Ask Dr. Xyz Smith. Then Xyz came, not xyz", &["Dr. Xyz Smith", "Xyz"]),
        ],
    );
}

#[test]
fn a_word_that_is_mostly_no_name_is_none() {
    assert_eq!(found("Dear Rift, the Rift"), [("name", "Rift")]);
    assert_eq!(found(&format!("Dear Rift{}", ", the Rift".repeat(12))), []);
}

#[test]
fn countries_are_places_unless_somebody_bears_the_name() {
    check(
        "place",
        &[
            ("We flew to Denmark today", &["Denmark"]),
            ("she is from bosnia and herzegovina", &["bosnia and herzegovina"]),
            ("Algeria was super fun", &["Algeria"]),
            ("in Saint Kitts & Nevis or Côte d’Ivoire", &["Côte d’Ivoire"]),
            ("in cote d'ivoire", &["cote d'ivoire"]),
            ("Paris, Denmark", &["Paris", "Denmark"]),
            ("a turkey for mali", &[]),
            ("Ask them in China", &["China"]),
            ("Ask for denmark", &[]),
        ],
    );
    check("name", &[("We saw Chad there", &["Chad"]), ("We saw Kenya Smith", &["Kenya Smith"])]);
}

#[test]
fn the_parts_of_an_address_are_one() {
    check(
        "address",
        &[
            (
                "at 12 Elm Street, Apt. 7, Springfield, IL 62704 now",
                &["12 Elm Street, Apt. 7, Springfield, IL 62704"],
            ),
            (
                "> 12 Elm Street\n> Apt. 7\n> Springfield\n> Denmark 4821",
                &["12 Elm Street\n> Apt. 7\n> Springfield\n> Denmark 4821"],
            ),
            ("my zip code is 62704", &["62704"]),
            ("in Springfield IL 62704", &["Springfield IL 62704"]),
            ("all 77 of them", &[]),
            ("in Listing 12-12 above", &[]),
            ("the Elm is old", &[]),
            ("12 Elm Street, Tolk, Denmark", &["12 Elm Street, Tolk, Denmark"]),
            ("see https://example.org/12 here", &[]),
        ],
    );
    assert_eq!(found("12 Elm for Ann"), [("address", "12 Elm"), ("name", "Ann")]);
    assert_eq!(
        found("in Paris\n12 Elm Street"),
        [("place", "Paris"), ("address", "12 Elm Street")]
    );
}

#[test]
fn numbers_need_a_word_that_says_what_they_are() {
    assert_eq!(found("wire it to account 48291736"), [("bank_account", "48291736")]);
    assert_eq!(found("part 48291736 is out"), []);
}

#[test]
fn other_detectors_keep_what_is_theirs_and_addresses_grow_together() {
    let guard = Guard::builder().detector(tagger()).policy(Policy::default()).build().unwrap();
    let redacted = |text| guard.check("n", text, Mode::Input).unwrap().card.text;
    assert_eq!(redacted("write to ann.smith@example.org, Ann"), "write to [EMAIL], [NAME]");
    assert_eq!(redacted("at 99 Oak Avenue, Apt. 7, Springfield"), "at [ADDRESS]");
    assert_eq!(redacted("12 Elm Street, 415-555-0132"), "[ADDRESS], [PHONE]");
}

#[test]
fn what_lies_in_two_pieces_is_found_once() {
    let filler = "word ".repeat(799);
    for shift in 0..60 {
        let text = format!("{filler}{} John Smith {filler}", "x ".repeat(shift));
        assert_eq!(found(&text), [("name", "John Smith")], "shift {shift}");
    }
}

#[test]
fn labels_are_checked() {
    for (labels, expected) in [
        (&["LABEL_0", "LABEL_1"][..], "LABEL_0"),
        (&["O", "B-SHOE"], "GIVEN_NAME"),
        (&[], "GIVEN_NAME"),
    ] {
        let message = PiiTagger::new(Fake::labelled(labels)).err().map(|e| e.to_string());
        assert!(message.as_ref().is_some_and(|m| m.contains(expected)), "{message:?}");
    }
}

proptest::proptest! {
    #[test]
    fn spans_are_whole_characters_and_not_empty(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "Ann", "Smith", "Dr", "12", "Elm", "Springfield", "IL", "62704", "de", "J", ".", ",", " ", " ", "\n", "-", "'", "é", "漢", "’",
                "Denmark", "Saint", "Kitts", "and", "Nevis", "account", "48291736", "@", "\u{301}", "\u{200b}", "ﬁ", "🦀", "Inc", ":", "name", "is",
            ]),
            0..40,
        )
    ) {
        let text = parts.concat();
        let mut out = Vec::new();
        tagger().detect(&text, &DetectContext::new(&text, Mode::Input), &mut out).unwrap();
        for finding in out {
            proptest::prop_assert!(text.get(finding.span.clone()).is_some_and(|s| !s.is_empty()), "{finding:?}");
        }
    }
}

#[test]
fn adversarial_texts_cost_linear_time() {
    let pieces = [
        "Ann ",
        "Ann-",
        "Ann, ",
        "A.",
        "A. ",
        "Dr. ",
        "12 ",
        "Elm, ",
        "Elm\n",
        "Springfield ",
        "de ",
        "Ann de ",
        "Saint ",
        "a@",
        "a.com.",
        "account 48291736 ",
        "12 Elm Ann ",
        "X",
        "12 Tolk ",
    ];
    let tagger = tagger();
    for piece in pieces {
        let text = piece.repeat(200_000 / piece.len());
        // Each address the rules found reaches over many words.
        let mut out: Vec<_> = (0..text.len() - 100)
            .step_by(50)
            .map(|at| Finding::pii(ADDRESS, at..at + 100, 0.8, "address", "street"))
            .collect();
        let start = std::time::Instant::now();
        tagger.detect(&text, &DetectContext::new(&text, Mode::Input), &mut out).unwrap();
        // A quadratic step over 50 000 words takes minutes.
        assert!(start.elapsed().as_secs() < 20, "{piece:?}: {:?}", start.elapsed());
    }
}
