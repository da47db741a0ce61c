// SPDX-License-Identifier: AGPL-3.0-or-later
//! Numbers of the United Kingdom: NHS number, National Insurance number.

use super::{IdDetector, IdRule, Shapes, digits, uniform};
use crate::finding::PiiType;
use crate::text::checksum::weighted;

/// NHS number (NHS Data Dictionary: weights 10 to 2, modulus 11).
pub const UK_NHS: PiiType = PiiType::new("uk_nhs");
/// National Insurance number (HMRC manual NIM39110: which letters are given out).
pub const UK_NINO: PiiType = PiiType::new("uk_nino");

/// The detector of these numbers.
pub const DETECTOR: IdDetector = IdDetector {
    name: "uk_ids",
    kinds: &[UK_NHS, UK_NINO],
    rules: &[
        IdRule {
            kind: UK_NHS,
            rule: "nhs_mod11",
            shapes: Shapes::new(&["999 999 9999"]),
            valid: nhs,
            bare: 0.3,
            grouped: 0.5,
            cues: &["nhs", "patient", "patients"],
            ..IdRule::BASE
        },
        IdRule {
            kind: UK_NINO,
            rule: "nino_form",
            shapes: Shapes::new(&["AA 99 99 99 A", "AA 999999 A"]),
            valid: nino,
            bare: 0.8,
            grouped: 0.9,
            cues: &["nino", "nin", "ni", "insurance"],
            ..IdRule::BASE
        },
    ],
};

fn nhs(chars: &[u8]) -> bool {
    let digits = digits(chars);
    let check = (11 - weighted(&digits[..9], &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    !uniform(chars) && check == i32::from(digits[9])
}

fn nino(chars: &[u8]) -> bool {
    !b"DFIQUV".contains(&chars[0])
        && !b"DFIOQUV".contains(&chars[1])
        && ![b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].contains(&&[chars[0], chars[1]])
        && matches!(chars[8], b'A'..=b'D')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn numbers_are_found_exactly() {
        assert_table(
            &DETECTOR,
            &[
                ("NHS number: 943 476 5919", &["943 476 5919"]),
                ("NHS no 9434765919", &["9434765919"]),
                ("patient 401-023-2137", &["401-023-2137"]),
                ("AB123456C", &["AB123456C"]),
                ("NINO AB 12 34 56 C.", &["AB 12 34 56 C"]),
                ("(ab-12-34-56-c)", &["ab-12-34-56-c"]),
                ("AB 123456 C", &["AB 123456 C"]),
            ],
        );
    }

    #[test]
    fn what_fails_a_rule_or_lacks_its_word_is_left() {
        assert_clean(
            &DETECTOR,
            &[
                "943 476 5919",
                "NHS number 943 476 5918",
                "NHS number 000 000 0000",
                "NHS 943 476 59190",
                "DA123456C",
                "AO123456C",
                "GB123456C",
                "AB123456E",
                "AB1234567C",
                "QAB123456C",
                "in 12 34 56 days",
            ],
        );
    }
}
