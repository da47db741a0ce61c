// SPDX-License-Identifier: AGPL-3.0-or-later
//! Passport numbers. Most have no check digit, so a word must announce them.

use super::{IdDetector, IdRule, Shapes};
use crate::finding::PiiType;

/// Passport number (ICAO Doc 9303-4: up to nine characters; the forms are those of the issuing states).
pub const PASSPORT: PiiType = PiiType::new("passport");

/// The detector of these numbers.
pub const DETECTOR: IdDetector = IdDetector {
    name: "passport",
    kinds: &[PASSPORT],
    rules: &[IdRule {
        kind: PASSPORT,
        rule: "passport_form",
        shapes: Shapes::new(&[
            // US, UK, China and most others; France; Italy, Canada, Spain, India, Germany and the Netherlands.
            "999999999",
            "99999999",
            "A99999999",
            "AA9999999",
            "99AA99999",
            "AA999999",
            "AAA999999",
            "A9999999",
            "A999999",
            "AXXXXXXX9",
            "AXXXXXXXX9",
            "999999999A",
        ]),
        valid: |chars| chars.iter().filter(|b| b.is_ascii_digit()).count() >= 4,
        cued: 0.9,
        cues: &[
            "passport",
            "passports",
            "reisepass",
            "reisepassnummer",
            "passnummer",
            "passeport",
            "pasaporte",
            "passaporto",
            "passaporte",
            "paspoort",
            "paspoortnummer",
            "paszport",
            "paszportu",
            "паспорт",
        ],
        ..IdRule::BASE
    }],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn numbers_are_found_beside_their_word() {
        assert_table(
            &DETECTOR,
            &[
                ("passport 340020013", &["340020013"]),
                ("Passport No: A12345678.", &["A12345678"]),
                ("Reisepass C01X00T47", &["C01X00T47"]),
                ("passeport 12AB34567", &["12AB34567"]),
                ("pasaporte AAA123456", &["AAA123456"]),
                ("YA1234567 (passaporto)", &["YA1234567"]),
                ("paspoort SPECI2014", &["SPECI2014"]),
            ],
        );
    }

    #[test]
    fn words_and_numbers_without_the_word_are_left() {
        assert_clean(
            &DETECTOR,
            &[
                "340020013",
                "A12345678",
                "passport INTRODUCTORY",
                "passport control opens at 2021-03-04",
                "his passport expired in 2019",
                "passport order 340020013",
            ],
        );
    }
}
