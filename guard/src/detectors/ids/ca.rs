// SPDX-License-Identifier: AGPL-3.0-or-later
//! The social insurance number of Canada.

use super::{IdDetector, IdRule, Shapes, digits, uniform};
use crate::finding::PiiType;
use crate::text::checksum::luhn;

/// Social insurance number (Employment and Social Development Canada: Luhn's check; numbers from 0 or 8 are not given out to
/// persons, so those are found beside their word only, as in examples and forms filled in for a test).
pub const CA_SIN: PiiType = PiiType::new("ca_sin");

/// The detector of this number.
pub const DETECTOR: IdDetector = IdDetector {
    name: "ca_ids",
    kinds: &[CA_SIN],
    rules: &[
        IdRule {
            kind: CA_SIN,
            rule: "sin_luhn",
            shapes: SHAPES,
            valid: |chars| !is_not_given_out(chars) && luhn(&digits(chars)),
            bare: 0.2,
            grouped: 0.6,
            cues: CUES,
            ..IdRule::BASE
        },
        IdRule {
            kind: CA_SIN,
            rule: "sin_not_given_out",
            shapes: SHAPES,
            valid: |chars| is_not_given_out(chars) && !uniform(chars) && luhn(&digits(chars)),
            cued: 0.85,
            cues: CUES,
            ..IdRule::BASE
        },
    ],
};

const SHAPES: Shapes = Shapes::new(&["999 999 999"]);
const CUES: &[&str] = &["sin", "nas", "insurance", "assurance"];

fn is_not_given_out(chars: &[u8]) -> bool {
    matches!(chars[0], b'0' | b'8')
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
                ("SIN: 130 692 544", &["130 692 544"]),
                ("social insurance number 130692544", &["130692544"]),
                ("NAS 130-692-544", &["130-692-544"]),
                ("SIN: 046 454 286", &["046 454 286"]),
                ("numéro d'assurance sociale 046-454-286", &["046-454-286"]),
            ],
        );
    }

    #[test]
    fn what_fails_the_check_or_lacks_its_word_is_left() {
        assert_clean(
            &DETECTOR,
            &[
                "130-692-544",
                "130692544",
                "SIN 130 692 545",
                "SIN 130 692-544",
                "046 454 286",
                "SIN 046 454 287",
                "SIN 000 000 000",
                "order 046 454 286, SIN to follow",
            ],
        );
    }
}
