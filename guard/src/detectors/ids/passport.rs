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
        valid: |chars| match chars.iter().filter(|b| b.is_ascii_digit()).count() {
            // "X4RTBPFW4", not "SESSION12": a word with a number behind it.
            2 | 3 => chars.windows(2).any(|w| w[0].is_ascii_digit() && w[1].is_ascii_alphabetic()),
            digits => digits >= 4,
        },
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
                ("passport is X4RTBPFW4", &["X4RTBPFW4"]),
                ("Mein Reisepass hat die Nummer C4VMGT2HK4", &["C4VMGT2HK4"]),
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
                "X4RTBPFW4",
                "passport control, SESSION12",
                "passport desk at GATEWAYB2",
                "passport order X4RTBPFW4",
                "passport order 340020013",
            ],
        );
    }
}
