// SPDX-License-Identifier: AGPL-3.0-or-later
//! Numbers of the United States: ITIN, EIN, Medicare beneficiary identifier, bank routing number.

use super::{IdDetector, IdRule, Shapes, digits, number};
use crate::finding::PiiType;
use crate::text::checksum::weighted;

/// Individual taxpayer identification number (IRS Publication 4757: 9, and a fourth and fifth digit in certain ranges).
pub const US_ITIN: PiiType = PiiType::new("us_itin");
/// Employer identification number (IRS, "How EINs are assigned and valid EIN prefixes"); no check digit, needs a word.
pub const US_EIN: PiiType = PiiType::new("us_ein");
/// Medicare beneficiary identifier (CMS, "Understanding the MBI format").
pub const US_MBI: PiiType = PiiType::new("us_mbi");
/// Bank routing number (American Bankers Association: prefix ranges, weights 3, 7, 1); needs a word.
pub const US_ROUTING: PiiType = PiiType::new("us_routing");

/// The detector of these numbers.
pub const DETECTOR: IdDetector = IdDetector {
    name: "us_ids",
    kinds: &[US_ITIN, US_EIN, US_MBI, US_ROUTING],
    rules: &[
        IdRule {
            kind: US_ITIN,
            rule: "itin_ranges",
            shapes: Shapes::new(&["999 99 9999"]),
            valid: itin,
            bare: 0.3,
            grouped: 0.8,
            cues: &["itin", "itins", "taxpayer", "tin", "irs"],
            ..IdRule::BASE
        },
        IdRule {
            kind: US_EIN,
            rule: "ein_prefix",
            shapes: Shapes::new(&["99-9999999"]),
            valid: ein,
            bare: 0.1,
            grouped: 0.4,
            cues: &["ein", "fein", "employer"],
            ..IdRule::BASE
        },
        IdRule {
            kind: US_MBI,
            rule: "mbi_form",
            shapes: Shapes::new(&["9AX9-AX9-AA99"]),
            valid: mbi,
            bare: 0.75,
            grouped: 0.9,
            cues: &["medicare", "mbi", "beneficiary"],
            ..IdRule::BASE
        },
        IdRule {
            kind: US_ROUTING,
            rule: "aba_checksum",
            shapes: Shapes::new(&["999999999", "9999-9999-9"]),
            valid: routing,
            bare: 0.2,
            grouped: 0.3,
            cues: &["routing", "aba", "rtn", "rtns", "transit"],
            ..IdRule::BASE
        },
    ],
};

fn itin(chars: &[u8]) -> bool {
    chars[0] == b'9' && matches!(number(&chars[3..5]), 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

fn ein(chars: &[u8]) -> bool {
    matches!(
        number(&chars[..2]),
        1..=6 | 10..=16 | 20..=27 | 30..=48 | 50..=68 | 71..=77 | 80..=88 | 90..=95 | 98 | 99
    )
}

/// No identifier begins with 0 or has one of the letters that look like digits.
fn mbi(chars: &[u8]) -> bool {
    chars[0] != b'0' && !chars.iter().any(|b| b"SLOIBZ".contains(b))
}

fn routing(chars: &[u8]) -> bool {
    matches!(number(&chars[..2]), 1..=12 | 21..=32 | 61..=72 | 80)
        && weighted(&digits(chars), &[3, 7, 1, 3, 7, 1, 3, 7, 1]) % 10 == 0
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
                ("ITIN 912-90-3456", &["912-90-3456"]),
                ("900-70-0000.", &["900-70-0000"]),
                ("taxpayer no 912903456", &["912903456"]),
                ("EIN: 12-3456789", &["12-3456789"]),
                ("her MBI is 1EG4-TE5-MK73", &["1EG4-TE5-MK73"]),
                ("1eg4te5mk73", &["1eg4te5mk73"]),
                ("routing number 021000021", &["021000021"]),
                ("011401533 is the ABA number", &["011401533"]),
            ],
        );
    }

    #[test]
    fn what_fails_a_rule_or_lacks_its_word_is_left() {
        assert_clean(
            &DETECTOR,
            &[
                "912-69-3456",
                "812-90-3456",
                "912903456",
                "order 912-90-3456",
                "12-3456789",
                "EIN 07-3456789",
                "1EG4-TS5-MK73",
                "0EG4-TE5-MK73",
                "x1EG4-TE5-MK73",
                "021000021",
                "routing number 021000022",
                "routing number 991000021",
                "routing 0210000210",
            ],
        );
    }
}
