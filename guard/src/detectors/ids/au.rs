// SPDX-License-Identifier: AGPL-3.0-or-later
//! Numbers of Australia: tax file number, business number, Medicare card.

use super::{IdDetector, IdRule, Shapes, digits, uniform};
use crate::finding::PiiType;
use crate::text::checksum::weighted;

/// Tax file number (Australian Taxation Office: weights 1, 4, 3, 7, 5, 8, 6, 9, 10, modulus 11); needs a word.
pub const AU_TFN: PiiType = PiiType::new("au_tfn");
/// Australian business number (Australian Business Register, "Format of the ABN": modulus 89).
pub const AU_ABN: PiiType = PiiType::new("au_abn");
/// Medicare card number (Services Australia: first digit 2 to 6, weights 1, 3, 7, 9); needs a word.
pub const AU_MEDICARE: PiiType = PiiType::new("au_medicare");

/// The detector of these numbers.
pub const DETECTOR: IdDetector = IdDetector {
    name: "au_ids",
    kinds: &[AU_TFN, AU_ABN, AU_MEDICARE],
    rules: &[
        IdRule {
            kind: AU_TFN,
            rule: "tfn_mod11",
            shapes: Shapes::new(&["999 999 999"]),
            valid: |chars| {
                !uniform(chars) && weighted(&digits(chars), &[1, 4, 3, 7, 5, 8, 6, 9, 10]) % 11 == 0
            },
            bare: 0.2,
            grouped: 0.4,
            cues: &["tfn", "tax"],
            ..IdRule::BASE
        },
        IdRule {
            kind: AU_ABN,
            rule: "abn_mod89",
            shapes: Shapes::new(&["99 999 999 999"]),
            valid: abn,
            bare: 0.4,
            grouped: 0.75,
            cues: &["abn"],
            ..IdRule::BASE
        },
        IdRule {
            kind: AU_MEDICARE,
            rule: "medicare_weights",
            shapes: Shapes::new(&["9999 99999 9", "9999 99999 9/9"]),
            valid: medicare,
            bare: 0.2,
            grouped: 0.5,
            cues: &["medicare"],
            ..IdRule::BASE
        },
    ],
};

fn abn(chars: &[u8]) -> bool {
    let sum = weighted(&digits(chars), &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]) - 10;
    chars[0] != b'0' && sum % 89 == 0
}

fn medicare(chars: &[u8]) -> bool {
    let digits = digits(chars);
    (2..=6).contains(&digits[0])
        && digits[9] > 0
        && weighted(&digits[..8], &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == i32::from(digits[8])
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
                ("TFN 123 456 782", &["123 456 782"]),
                ("tax file number: 876543210", &["876543210"]),
                ("51 824 753 556", &["51 824 753 556"]),
                ("ABN 51824753556", &["51824753556"]),
                ("Medicare 2123 45670 1", &["2123 45670 1"]),
                ("my medicare card is 2123456701", &["2123456701"]),
            ],
        );
    }

    #[test]
    fn what_fails_a_check_or_lacks_its_word_is_left() {
        assert_clean(
            &DETECTOR,
            &[
                "123 456 782",
                "TFN 123 456 789",
                "51824753556",
                "ABN 51 824 753 557",
                "2123 45670 1",
                "Medicare 2123 45671 1",
                "Medicare 7123 45670 1",
            ],
        );
    }
}
