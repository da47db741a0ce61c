// SPDX-License-Identifier: AGPL-3.0-or-later
//! Numbers of Spain: DNI and NIE.

use super::{IdDetector, IdRule, Shapes, number};
use crate::finding::PiiType;

/// Identity number of a Spaniard (Ministerio del Interior: letter by the number modulo 23).
pub const ES_DNI: PiiType = PiiType::new("es_dni");
/// Identity number of a foreigner: X, Y or Z for the first digit.
pub const ES_NIE: PiiType = PiiType::new("es_nie");

const CUES: &[&str] = &["dni", "nie", "nif", "documento", "identidad", "extranjero"];

/// The detector of these numbers.
pub const DETECTOR: IdDetector = IdDetector {
    name: "es_ids",
    kinds: &[ES_DNI, ES_NIE],
    rules: &[
        IdRule {
            kind: ES_DNI,
            rule: "dni_letter",
            shapes: Shapes::new(&["99999999-A", "99.999.999-A"]),
            valid: |chars| letter(number(&chars[..8])) == chars[8],
            bare: 0.75,
            grouped: 0.8,
            cues: CUES,
            ..IdRule::BASE
        },
        IdRule {
            kind: ES_NIE,
            rule: "nie_letter",
            shapes: Shapes::new(&["A-9999999-A", "A9999999-A"]),
            valid: nie,
            bare: 0.8,
            grouped: 0.85,
            cues: CUES,
            ..IdRule::BASE
        },
    ],
};

fn letter(number: u64) -> u8 {
    b"TRWAGMYFPDXBNJZSQVHLCKE"[(number % 23) as usize]
}

fn nie(chars: &[u8]) -> bool {
    matches!(chars[0], b'X'..=b'Z')
        && letter(u64::from(chars[0] - b'X') * 10_000_000 + number(&chars[1..8])) == chars[8]
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
                ("DNI 12345678Z", &["12345678Z"]),
                ("12345678-z,", &["12345678-z"]),
                ("12.345.678-Z", &["12.345.678-Z"]),
                ("NIE: X1234567L", &["X1234567L"]),
                ("X-1234567-L", &["X-1234567-L"]),
                ("Y1234567-X", &["Y1234567-X"]),
            ],
        );
    }

    #[test]
    fn a_wrong_letter_is_left() {
        assert_clean(
            &DETECTOR,
            &[
                "DNI 12345678A",
                "DNI 1234567Z",
                "NIE W1234567L",
                "NIE X1234567M",
                "12345678Z9",
                "DNI 12345678",
            ],
        );
    }
}
