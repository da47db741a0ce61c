// SPDX-License-Identifier: AGPL-3.0-or-later
//! The tax code of Italy.

use super::{IdDetector, IdRule, Shapes};
use crate::finding::PiiType;

/// Codice fiscale (Ministero delle Finanze, D.M. 23 December 1976: check letter; digits may be letters, "omocodia").
pub const IT_FISCAL_CODE: PiiType = PiiType::new("it_fiscal_code");

/// The detector of this code.
pub const DETECTOR: IdDetector = IdDetector {
    name: "it_ids",
    kinds: &[IT_FISCAL_CODE],
    rules: &[IdRule {
        kind: IT_FISCAL_CODE,
        rule: "fiscal_code_letter",
        shapes: Shapes::new(&["AAAAAAXXAXXAXXXA", "AAA AAA XXAXX AXXXA"]),
        valid: fiscal_code,
        bare: 0.95,
        grouped: 0.95,
        cues: &["fiscale", "cf"],
        ..IdRule::BASE
    }],
};

/// What a letter in the place of a digit stands for.
fn digit(b: u8) -> Option<u64> {
    if b.is_ascii_digit() {
        return Some(u64::from(b - b'0'));
    }
    (0u64..).zip(b"LMNPQRSTUV").find(|(_, letter)| **letter == b).map(|(value, _)| value)
}

fn fiscal_code(chars: &[u8]) -> bool {
    // The value of a character in an odd place, counted from one, for 0 to 9 and A to Z.
    const ODD: [u8; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let digits = [6, 7, 9, 10, 12, 13, 14].map(|i| digit(chars[i]));
    let [_, _, Some(tens), Some(ones), ..] = digits else {
        return false;
    };
    let sum: u32 = chars[..15]
        .iter()
        .enumerate()
        .map(|(i, &b)| {
            let value = if b.is_ascii_digit() { b - b'0' } else { b - b'A' };
            u32::from(if i % 2 == 0 { ODD[usize::from(value)] } else { value })
        })
        .sum();
    // Days of women have 40 added.
    digits.iter().all(Option::is_some)
        && b"ABCDEHLMPRST".contains(&chars[8])
        && matches!(tens * 10 + ones, 1..=31 | 41..=71)
        && sum % 26 == u32::from(chars[15] - b'A')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn codes_are_found_exactly() {
        assert_table(
            &DETECTOR,
            &[
                ("RSSMRA85T10A562S", &["RSSMRA85T10A562S"]),
                ("CF: mrtmtt25d09f205z.", &["mrtmtt25d09f205z"]),
                ("omocodia: MRTMTT25D09F20RU", &["MRTMTT25D09F20RU"]),
            ],
        );
    }

    #[test]
    fn what_fails_the_letter_or_the_date_is_left() {
        assert_clean(
            &DETECTOR,
            &[
                "RSSMRA85T10A562T",
                "RSSMRA85F10A562S",
                "RSSMRA85T35A562S",
                "RSSMRA85T10A562SX",
                "ABCDEF12G34H567I",
            ],
        );
    }
}
