// SPDX-License-Identifier: AGPL-3.0-or-later
//! Numbers of India: Aadhaar and PAN.

use super::{IdDetector, IdRule, Shapes, digits};
use crate::finding::PiiType;
use crate::text::checksum::verhoeff;

/// Aadhaar number (UIDAI: twelve digits, the first 2 to 9, Verhoeff's check).
pub const IN_AADHAAR: PiiType = PiiType::new("in_aadhaar");
/// Permanent account number (Income Tax Department: the fourth letter is the kind of holder).
pub const IN_PAN: PiiType = PiiType::new("in_pan");

/// The detector of these numbers.
pub const DETECTOR: IdDetector = IdDetector {
    name: "in_ids",
    kinds: &[IN_AADHAAR, IN_PAN],
    rules: &[
        IdRule {
            kind: IN_AADHAAR,
            rule: "aadhaar_verhoeff",
            shapes: Shapes::new(&["9999 9999 9999"]),
            valid: |chars| chars[0] >= b'2' && verhoeff(&digits(chars)),
            bare: 0.4,
            grouped: 0.65,
            cues: &["aadhaar", "aadhar", "adhaar", "uidai", "आधार"],
            ..IdRule::BASE
        },
        IdRule {
            kind: IN_PAN,
            rule: "pan_form",
            shapes: Shapes::new(&["AAAAA9999A"]),
            valid: |chars| b"ABCFGHJLPT".contains(&chars[3]),
            bare: 0.75,
            cues: &["pan", "permanent", "tax"],
            ..IdRule::BASE
        },
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn numbers_are_found_exactly() {
        assert_table(
            &DETECTOR,
            &[
                ("Aadhaar 2341 2341 2346", &["2341 2341 2346"]),
                ("my aadhar is 234123412346", &["234123412346"]),
                ("आधार: 2341-2341-2346", &["2341-2341-2346"]),
                ("PAN ABCPD1234F", &["ABCPD1234F"]),
                ("AAACR5055K", &["AAACR5055K"]),
            ],
        );
    }

    #[test]
    fn what_fails_a_rule_or_lacks_its_word_is_left() {
        assert_clean(
            &DETECTOR,
            &[
                "2341 2341 2346",
                "Aadhaar 2341 2341 2345",
                "Aadhaar 1341 2341 2346",
                "Aadhaar 4111 1111 1111 1111",
                "PAN ABCDE1234F",
                "ABCPD12345F",
            ],
        );
    }
}
