// SPDX-License-Identifier: AGPL-3.0-or-later
//! Business identifier codes (ISO 9362), beside the word that announces them.

use std::sync::LazyLock;

use regex::Regex;

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::{char_after, is_wordlike};

/// The PII type this detector reports.
pub const BIC: PiiType = PiiType::new("bic");

/// Finds the code after "BIC" or "SWIFT": a bank of four letters, a country, two characters of a place and, if there are
/// eleven characters, three of a branch. Score: 0.9.
///
/// Eight letters are a word as often as a code, so a code of letters alone must be in upper case.
pub struct BicDetector;

static CUE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i-u:\b(?:bic|swift)\b)").expect("the pattern is valid"));

/// How far after the word the code may begin, in bytes: "BIC/SWIFT code of the bank: ".
const REACH: usize = 32;

impl Detector for BicDetector {
    fn name(&self) -> &'static str {
        "bic"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[BIC]
    }

    fn hold(&self) -> Hold {
        Hold::STRETCH
    }

    fn detect(
        &self,
        text: &str,
        _: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let mut done = 0;
        for cue in CUE.find_iter(text) {
            let mut at = cue.end().max(done);
            while let Some(skip) =
                text.as_bytes()[at..].iter().position(u8::is_ascii_alphanumeric).map(|i| at + i)
                && skip <= cue.end() + REACH
            {
                let len = text.as_bytes()[skip..]
                    .iter()
                    .take(12)
                    .take_while(|b| b.is_ascii_alphanumeric())
                    .count();
                let end = skip + len;
                if is_code(&text.as_bytes()[skip..end])
                    && !text[..skip].ends_with(is_wordlike)
                    && !char_after(text, end).is_some_and(is_wordlike)
                {
                    out.push(Finding::pii(BIC, skip..end, 0.9, self.name(), "iso9362"));
                    done = end;
                    break;
                }
                at = end;
            }
        }
        Ok(())
    }
}

fn is_code(chars: &[u8]) -> bool {
    let upper = chars.to_ascii_uppercase();
    matches!(chars.len(), 8 | 11)
        && upper[..6].iter().all(u8::is_ascii_alphabetic)
        && COUNTRIES.as_chunks().0.contains(&[upper[4], upper[5]])
        && (chars.iter().any(u8::is_ascii_digit) || *chars == *upper)
}

/// ISO 3166-1 alpha-2, and XK as SWIFT has it.
const COUNTRIES: &[u8] = b"ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCL\
CMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIO\
IQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNO\
NPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTW\
TZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSXKYEYTZAZMZW";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn codes_are_found_beside_their_word() {
        assert_table(
            &BicDetector,
            &[
                ("BIC: DEUTDEFF", &["DEUTDEFF"]),
                ("SWIFT/BIC code is DEUTDEFF500.", &["DEUTDEFF500"]),
                ("swift nedszajjxxx or", &[]),
                ("bic nwbkgb2l", &["nwbkgb2l"]),
                ("BIC BNPAFRPP, BIC SOGEFRPP", &["BNPAFRPP", "SOGEFRPP"]),
            ],
        );
    }

    #[test]
    fn words_and_codes_without_the_word_are_left() {
        assert_clean(
            &BicDetector,
            &[
                "",
                "BIC",
                "DEUTDEFF",
                "a swift reaction to the question",
                "SWIFT REACTION",
                "BIC DEUTXXFF",
                "BIC DEUTDEFF5",
                "cubic DEUTDEFF",
                "BIC DEUTDEFFé",
            ],
        );
    }

    #[test]
    fn countries_are_pairs_in_order() {
        let (pairs, rest) = COUNTRIES.as_chunks::<2>();
        assert!(rest.is_empty() && pairs.len() == 250);
        assert!(pairs.is_sorted());
    }
}
