// SPDX-License-Identifier: AGPL-3.0-or-later
//! The citizen service number of the Netherlands.

use super::{IdDetector, IdRule, Shapes, digits, uniform};
use crate::finding::PiiType;
use crate::text::checksum::weighted;

/// Burgerservicenummer (Rijksdienst voor Identiteitsgegevens: "elfproef" with the last weight -1); needs a word.
pub const NL_BSN: PiiType = PiiType::new("nl_bsn");

/// The detector of this number.
pub const DETECTOR: IdDetector = IdDetector {
    name: "nl_ids",
    kinds: &[NL_BSN],
    rules: &[IdRule {
        kind: NL_BSN,
        rule: "bsn_11_proof",
        shapes: Shapes::new(&["999999999", "9999.99.999", "999 999 999"]),
        valid: |chars| {
            !uniform(chars) && weighted(&digits(chars), &[9, 8, 7, 6, 5, 4, 3, 2, -1]) % 11 == 0
        },
        bare: 0.3,
        grouped: 0.4,
        cues: &["bsn", "burgerservicenummer", "sofi", "sofinummer", "burgerservice"],
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
                ("BSN 111222333", &["111222333"]),
                ("burgerservicenummer: 1234.56.782", &["1234.56.782"]),
                ("123 456 782 (bsn)", &["123 456 782"]),
            ],
        );
    }

    #[test]
    fn what_fails_the_proof_or_lacks_its_word_is_left() {
        assert_clean(&DETECTOR, &["111222333", "BSN 111222334", "BSN 000000000", "BSN 1112223330"]);
    }
}
