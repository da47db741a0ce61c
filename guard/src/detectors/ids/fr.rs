// SPDX-License-Identifier: AGPL-3.0-or-later
//! The social security number of France.

use super::{IdDetector, IdRule, Shapes, number};
use crate::finding::PiiType;

/// Numéro d'inscription au répertoire (INSEE: sex, year, month, department, town, order, key modulo 97; 2A and 2B for Corsica).
pub const FR_NIR: PiiType = PiiType::new("fr_nir");

/// The detector of this number.
pub const DETECTOR: IdDetector = IdDetector {
    name: "fr_ids",
    kinds: &[FR_NIR],
    rules: &[IdRule {
        kind: FR_NIR,
        rule: "nir_mod97",
        shapes: Shapes::new(&["9 99 99 9X 999 999 99", "999999X999999 99"]),
        valid: nir,
        bare: 0.85,
        grouped: 0.95,
        cues: &["nir", "insee", "sécurité", "securite", "sécu", "vitale"],
        ..IdRule::BASE
    }],
};

fn nir(chars: &[u8]) -> bool {
    let department = match &chars[5..7] {
        b"2A" => 19,
        b"2B" => 18,
        digits if digits[1].is_ascii_digit() => number(digits),
        _ => return false,
    };
    let body = number(&chars[..5]) * 100_000_000 + department * 1_000_000 + number(&chars[7..13]);
    matches!(chars[0], b'1'..=b'4' | b'7' | b'8')
        && matches!(number(&chars[3..5]), 1..=12 | 20 | 30..=42 | 50..=99)
        && department > 0
        && 97 - body % 97 == number(&chars[13..15])
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
                ("2 69 05 49 588 157 80", &["2 69 05 49 588 157 80"]),
                ("NIR : 269054958815780", &["269054958815780"]),
                ("sécurité sociale 2690549588157 80", &["2690549588157 80"]),
                ("1 80 01 2A 004 003 66", &["1 80 01 2A 004 003 66"]),
                ("180012b00400393", &["180012b00400393"]),
            ],
        );
    }

    #[test]
    fn what_fails_a_rule_is_left() {
        assert_clean(
            &DETECTOR,
            &[
                "NIR 269054958815781",
                "NIR 569054958815780",
                "NIR 2 69 13 49 588 157 80",
                "NIR 180012c00400364",
                "NIR 2690549588157801",
            ],
        );
    }
}
