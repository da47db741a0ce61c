// SPDX-License-Identifier: AGPL-3.0-or-later
//! The social insurance number of Canada.

use super::{IdDetector, IdRule, Shapes, digits};
use crate::finding::PiiType;
use crate::text::checksum::luhn;

/// Social insurance number (Employment and Social Development Canada: Luhn's check, first digit neither 0 nor 8).
pub const CA_SIN: PiiType = PiiType::new("ca_sin");

/// The detector of this number.
pub const DETECTOR: IdDetector = IdDetector {
    name: "ca_ids",
    kinds: &[CA_SIN],
    rules: &[IdRule {
        kind: CA_SIN,
        rule: "sin_luhn",
        shapes: Shapes::new(&["999 999 999"]),
        valid: |chars| !matches!(chars[0], b'0' | b'8') && luhn(&digits(chars)),
        bare: 0.2,
        grouped: 0.6,
        cues: &["sin", "nas", "insurance", "assurance"],
        ..IdRule::BASE
    }],
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
                ("SIN: 130 692 544", &["130 692 544"]),
                ("social insurance number 130692544", &["130692544"]),
                ("NAS 130-692-544", &["130-692-544"]),
            ],
        );
    }

    #[test]
    fn what_fails_the_check_or_lacks_its_word_is_left() {
        assert_clean(
            &DETECTOR,
            &["130-692-544", "130692544", "SIN 130 692 545", "SIN 046 454 286", "SIN 130 692-544"],
        );
    }
}
