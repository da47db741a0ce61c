// SPDX-License-Identifier: AGPL-3.0-or-later
//! The identity number of Poland.

use super::{IdDetector, IdRule, Shapes, digits, number};
use crate::finding::PiiType;
use crate::text::checksum::weighted;

/// PESEL (gov.pl, "Czym jest numer PESEL": birth date with the century in the month, weights 1, 3, 7, 9).
pub const PL_PESEL: PiiType = PiiType::new("pl_pesel");

/// The detector of this number.
pub const DETECTOR: IdDetector = IdDetector {
    name: "pl_ids",
    kinds: &[PL_PESEL],
    rules: &[IdRule {
        kind: PL_PESEL,
        rule: "pesel_weights",
        shapes: Shapes::new(&["99999999999"]),
        valid: pesel,
        bare: 0.5,
        cues: &["pesel"],
        ..IdRule::BASE
    }],
};

fn pesel(chars: &[u8]) -> bool {
    (1..=12).contains(&(number(&chars[2..4]) % 20))
        && (1..=31).contains(&number(&chars[4..6]))
        && weighted(&digits(chars), &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]) % 10 == 0
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
                ("PESEL: 44051401359", &["44051401359"]),
                ("02070803628 to mój PESEL", &["02070803628"]),
            ],
        );
    }

    #[test]
    fn what_fails_a_rule_or_lacks_its_word_is_left() {
        assert_clean(
            &DETECTOR,
            &[
                "44051401359",
                "PESEL 44051401358",
                "PESEL 44131401359",
                "PESEL 44053401359",
                "PESEL 4405140135",
            ],
        );
    }
}
