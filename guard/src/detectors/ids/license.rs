// SPDX-License-Identifier: AGPL-3.0-or-later
//! Driving licence numbers. But for Great Britain's they are mere digits with a letter or two, so words must announce them.

use super::{IdDetector, IdRule, Shapes, number};
use crate::finding::PiiType;

/// Driving licence number (US: AAMVA's list of state formats; UK: DVLA, "Driving licence number"; EU: mostly digits).
pub const DRIVER_LICENSE: PiiType = PiiType::new("driver_license");

/// The forms of the states: digits alone, or with letters at one end or in the middle. All have four digits or more.
const FORMS: &[&str] = &[
    "9999999",
    "99999999",
    "999999999",
    "9999999999",
    "999999999999",
    "A99999",
    "A999999",
    "A9999999",
    "A99999999",
    "A999999999",
    "A9999999999",
    "A99999999999",
    "A999999999999",
    "A9999999999999",
    "A99999999999999",
    "A999-9999-9999",
    "A999-9999-9999-99",
    "A999-999-99-999-9",
    "A999-999-999-999",
    "A99-99-9999",
    "AA9999",
    "AA99999",
    "AA999999",
    "AA9999999",
    "AA999999A",
    "AAA999999",
    "AAA-99-9999",
    "9999999A",
    "99999999A",
    "999999999A",
    "99999999AA",
    "999AA9999",
    "99AAA99999",
    "99-999-9999",
    "999-999-999",
    "99 999 999",
    "A9999-99999-99999",
];

/// The detector of these numbers.
pub const DETECTOR: IdDetector = IdDetector {
    name: "driver_license",
    kinds: &[DRIVER_LICENSE],
    rules: &[
        IdRule {
            kind: DRIVER_LICENSE,
            rule: "state_form",
            shapes: Shapes::new(FORMS),
            cued: 0.85,
            cues: &["license", "licence", "licenses", "licences", "permit", "number", "no", "lic"],
            also: &["driver", "drivers", "driving"],
            ..IdRule::BASE
        },
        IdRule {
            kind: DRIVER_LICENSE,
            rule: "announced_form",
            shapes: Shapes::new(FORMS),
            cued: 0.8,
            cues: &[
                "dl",
                "dln",
                "führerschein",
                "führerscheinnummer",
                "fahrerlaubnis",
                "rijbewijs",
                "rijbewijsnummer",
            ],
            ..IdRule::BASE
        },
        IdRule {
            kind: DRIVER_LICENSE,
            rule: "dvla_form",
            shapes: Shapes::new(&["AXXXX999999XX9AA", "AXXXX 999999 XX9AA"]),
            valid: dvla,
            bare: 0.85,
            grouped: 0.85,
            cues: &["driver", "drivers", "driving", "licence", "license", "dvla"],
            ..IdRule::BASE
        },
    ],
};

/// Five characters of the surname padded with 9, decade, month (50 added for women), day, year, two initials or 9, and
/// three that the agency adds.
fn dvla(chars: &[u8]) -> bool {
    let name = chars[..5].iter().take_while(|b| b.is_ascii_alphabetic()).count();
    name > 0
        && chars[name..5].iter().all(|b| *b == b'9')
        && matches!(number(&chars[6..8]), 1..=12 | 51..=62)
        && (1..=31).contains(&number(&chars[8..10]))
        && chars[11..13].iter().all(|b| b.is_ascii_alphabetic() || *b == b'9')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn numbers_are_found_beside_their_words() {
        assert_table(
            &DETECTOR,
            &[
                ("driver's license number: D1234567", &["D1234567"]),
                ("Driver’s licence 123456789", &["123456789"]),
                ("my driving license is F255-9215-0094", &["F255-9215-0094"]),
                ("DL: S123-456-78-901-2", &["S123-456-78-901-2"]),
                ("Führerschein B072RRE2I55", &[]),
                ("Führerscheinnummer 12345678", &["12345678"]),
                ("MORGA657054SM9IJ", &["MORGA657054SM9IJ"]),
                ("DVLA: LEE99 551018 JA9AB", &["LEE99 551018 JA9AB"]),
            ],
        );
    }

    #[test]
    fn words_and_other_numbers_are_left() {
        assert_clean(
            &DETECTOR,
            &[
                "driver's license INTRODUCTORY",
                "INTRODUCTORY course for a driving license",
                "D1234567",
                "123456789",
                "NVIDIA driver 45312345",
                "MIT license 12345678",
                "your driving license expires in 2027",
                "driving licence order 12345678",
                "MORGA657354SM9IJ",
                "M9RGA657054SM9IJ",
            ],
        );
    }
}
