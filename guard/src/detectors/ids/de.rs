// SPDX-License-Identifier: AGPL-3.0-or-later
//! Numbers of Germany: tax identification number, identity card, pension insurance number.

use super::{IdDetector, IdRule, Shapes, digits, number};
use crate::finding::PiiType;
use crate::text::checksum::{mod_11_10, weighted};

/// Tax identification number (Bundeszentralamt für Steuern, § 139b AO: one digit twice or thrice, ISO 7064 MOD 11,10).
pub const DE_TAX_ID: PiiType = PiiType::new("de_tax_id");
/// Serial number of an identity card (BMI, PAuswV annex; check digit of ICAO Doc 9303-3).
pub const DE_ID_CARD: PiiType = PiiType::new("de_id_card");
/// Pension insurance number (§ 2 VKVV: area, birth date, initial, serial, check digit).
pub const DE_SOCIAL_SECURITY: PiiType = PiiType::new("de_social_security");

const CARD_CUES: &[&str] = &[
    "personalausweis",
    "personalausweisnummer",
    "ausweis",
    "ausweisnummer",
    "perso",
    "seriennummer",
    "identity",
    "reisepass",
    "passport",
];

/// The detector of these numbers.
pub const DETECTOR: IdDetector = IdDetector {
    name: "de_ids",
    kinds: &[DE_TAX_ID, DE_ID_CARD, DE_SOCIAL_SECURITY],
    rules: &[
        IdRule {
            kind: DE_TAX_ID,
            rule: "tax_id_mod11_10",
            shapes: Shapes::new(&["99 999 999 999"]),
            valid: tax_id,
            bare: 0.65,
            grouped: 0.75,
            cues: &[
                "steuer",
                "steuerid",
                "idnr",
                "steueridentifikationsnummer",
                "identifikationsnummer",
                "steuernummer",
                "finanzamt",
                "tin",
                "tax",
            ],
            ..IdRule::BASE
        },
        IdRule {
            kind: DE_ID_CARD,
            rule: "id_card_731",
            shapes: Shapes::new(&["AXXXXXXXX9"]),
            valid: |chars| serial(&chars[..9]) && check_731(chars),
            bare: 0.4,
            cues: CARD_CUES,
            ..IdRule::BASE
        },
        IdRule {
            kind: DE_ID_CARD,
            rule: "id_card_serial",
            shapes: Shapes::new(&["AXXXXXXXX"]),
            valid: serial,
            cued: 0.75,
            cues: CARD_CUES,
            ..IdRule::BASE
        },
        IdRule {
            kind: DE_SOCIAL_SECURITY,
            rule: "pension_insurance",
            shapes: Shapes::new(&["99 999999 A 999", "99999999 A 999"]),
            valid: pension,
            bare: 0.75,
            grouped: 0.85,
            cues: &[
                "sozialversicherungsnummer",
                "sozialversicherung",
                "rentenversicherungsnummer",
                "rentenversicherung",
                "versicherungsnummer",
                "sv",
                "svnr",
                "rvnr",
                "vsnr",
            ],
            ..IdRule::BASE
        },
    ],
};

fn tax_id(chars: &[u8]) -> bool {
    let mut counts = [0; 10];
    for b in &chars[..10] {
        counts[usize::from(b - b'0')] += 1;
    }
    let repeated = counts.iter().filter(|n| **n > 1).count();
    let most = counts.iter().max().copied().unwrap_or(0);
    chars[0] != b'0' && repeated == 1 && most <= 3 && mod_11_10(&digits(chars))
}

/// Nine characters of the restricted alphabet, beginning with an authority's letter, a digit among them.
fn serial(chars: &[u8]) -> bool {
    b"CFGHJKLMNPRTVWXY".contains(&chars[0])
        && chars.iter().all(|b| b"0123456789CFGHJKLMNPRTVWXYZ".contains(b))
        && chars.iter().filter(|b| b.is_ascii_digit()).count() >= 2
}

/// The check digit of machine-readable travel documents: weights 7, 3, 1, letters from 10.
fn check_731(chars: &[u8]) -> bool {
    let values: Vec<u8> =
        chars.iter().map(|b| if b.is_ascii_digit() { b - b'0' } else { b - b'A' + 10 }).collect();
    weighted(&values[..9], &[7, 3, 1, 7, 3, 1, 7, 3, 1]) % 10 == i32::from(values[9])
}

fn pension(chars: &[u8]) -> bool {
    let letter = chars[8] - b'A' + 1;
    let digits: Vec<u8> = chars[..8]
        .iter()
        .map(|b| b - b'0')
        .chain([letter / 10, letter % 10])
        .chain(chars[9..].iter().map(|b| b - b'0'))
        .collect();
    const WEIGHTS: [u8; 12] = [2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1];
    let sum: u32 =
        digits.iter().zip(WEIGHTS).map(|(d, w)| d * w).map(|p| u32::from(p / 10 + p % 10)).sum();
    // The day has 50 added when a serial number was used up.
    (2..=89).contains(&number(&chars[..2]))
        && matches!(number(&chars[2..4]), 1..=31 | 51..=81)
        && (1..=12).contains(&number(&chars[4..6]))
        && sum % 10 == u32::from(digits[12])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table, scored};

    #[test]
    fn numbers_are_found_exactly() {
        assert_table(
            &DETECTOR,
            &[
                ("Steuer-ID: 86 095 742 719", &["86 095 742 719"]),
                ("steuerliche Identifikationsnummer 86095742719.", &["86095742719"]),
                ("IdNr. 47036892816", &["47036892816"]),
                ("Personalausweis L01X00T471", &["L01X00T471"]),
                ("Ausweisnummer L01X00T47", &["L01X00T47"]),
                ("15 070649 C 103", &["15 070649 C 103"]),
                ("SV-Nummer 65170839J003", &["65170839J003"]),
            ],
        );
        assert!(scored(&DETECTOR, "86095742719")[0].1 < 0.7);
    }

    #[test]
    fn what_fails_a_rule_or_lacks_its_word_is_left() {
        assert_clean(
            &DETECTOR,
            &[
                "86095742719",
                "Steuer-ID 86095742718",
                "Steuer-ID 12345678903",
                "Steuer-ID 06095742719",
                "L01X00T471",
                "Personalausweis L01X00T472 E",
                "Ausweis INTRODUCT",
                "Ausweisnummer A01X00T47",
                "15 070649 C 104",
                "15 400649 C 103",
                "15 071349 C 103",
            ],
        );
    }
}
