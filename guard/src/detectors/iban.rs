// SPDX-License-Identifier: AGPL-3.0-or-later
//! International bank account numbers (ISO 13616): country, length and check digits.

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::{char_after, char_before, is_wordlike};

/// The PII type this detector reports.
pub const IBAN: PiiType = PiiType::new("iban");

/// Finds IBANs in any case, bare or in groups parted by spaces or dashes, three at most, or by a line break.
///
/// Reports only what has a country of the registry, exactly its length, and check digits that hold; all of these score
/// 1.0. A chance text of the right form passes the check once in 97.
pub struct IbanDetector;

impl Detector for IbanDetector {
    fn name(&self) -> &'static str {
        "iban"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[IBAN]
    }

    fn hold(&self) -> Hold {
        Hold::NUMBER
    }

    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let bytes = text.as_bytes();
        let mut at = 0;
        // Two letters and two digits: the digits are the rarer sight, and have been found already.
        for group in ctx.numbers().groups() {
            let Some(start) = group.start.checked_sub(2).filter(|_| group.start >= at) else {
                continue;
            };
            let head = [bytes[start], bytes[start + 1]];
            if !head.iter().all(u8::is_ascii_alphabetic)
                || char_before(text, start).is_some_and(is_wordlike)
            {
                continue;
            }
            let Some(length) = length_of(head) else {
                continue;
            };
            if let Some(end) = end_of(text, start, length) {
                out.push(Finding::pii(IBAN, start..end, 1.0, self.name(), "mod97"));
                at = end;
            }
        }
        Ok(())
    }
}

/// Where the IBAN of `length` characters that begins at `start` ends, if it is one.
fn end_of(text: &str, start: usize, length: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut chars = [0u8; MAX_LENGTH];
    let mut at = start;
    for (i, slot) in chars[..length].iter_mut().enumerate() {
        if i >= 4 {
            for _ in 0..MAX_SEPARATORS {
                at += separator_len(&bytes[at..]);
            }
        }
        if at - start > MAX_BYTES {
            return None;
        }
        let b = bytes.get(at)?.to_ascii_uppercase();
        let fits = match i {
            0 | 1 => b.is_ascii_uppercase(),
            2 | 3 => b.is_ascii_digit(),
            _ => b.is_ascii_alphanumeric(),
        };
        if !fits {
            return None;
        }
        *slot = b;
        at += 1;
    }
    let whole = !char_after(text, at).is_some_and(is_wordlike);
    (whole && mod97(&chars[..length]) == 1).then_some(at)
}

/// Bytes of one separator: a space, a no-break space, a narrow no-break space, a dash, a line break.
fn separator_len(bytes: &[u8]) -> usize {
    match bytes {
        [b' ' | b'-' | b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        [0xC2, 0xA0, ..] => 2,
        [0xE2, 0x80, 0x90..=0x93 | 0xAF, ..] => 3,
        _ => 0,
    }
}

/// The remainder of ISO 7064: the first four characters go last, letters count as 10 to 35.
fn mod97(iban: &[u8]) -> u32 {
    iban[4..].iter().chain(&iban[..4]).fold(0, |rest, &b| {
        if b.is_ascii_digit() {
            (rest * 10 + u32::from(b - b'0')) % 97
        } else {
            (rest * 100 + u32::from(b - b'A') + 10) % 97
        }
    })
}

const MAX_LENGTH: usize = 33;
/// Between two characters.
const MAX_SEPARATORS: usize = 3;
/// Nobody writes one longer than this, and a stream holds no more back.
const MAX_BYTES: usize = 160;

/// Total length by country, from the IBAN registry (SWIFT, release 99).
#[rustfmt::skip]
const LENGTHS: &[([u8; 2], usize)] = &[
    (*b"AD", 24), (*b"AE", 23), (*b"AL", 28), (*b"AT", 20), (*b"AZ", 28), (*b"BA", 20), (*b"BE", 16), (*b"BG", 22),
    (*b"BH", 22), (*b"BI", 27), (*b"BR", 29), (*b"BY", 28), (*b"CH", 21), (*b"CR", 22), (*b"CY", 28), (*b"CZ", 24),
    (*b"DE", 22), (*b"DJ", 27), (*b"DK", 18), (*b"DO", 28), (*b"EE", 20), (*b"EG", 29), (*b"ES", 24), (*b"FI", 18),
    (*b"FK", 18), (*b"FO", 18), (*b"FR", 27), (*b"GB", 22), (*b"GE", 22), (*b"GI", 23), (*b"GL", 18), (*b"GR", 27),
    (*b"GT", 28), (*b"HN", 28), (*b"HR", 21), (*b"HU", 28), (*b"IE", 22), (*b"IL", 23), (*b"IQ", 23), (*b"IS", 26),
    (*b"IT", 27), (*b"JO", 30), (*b"KW", 30), (*b"KZ", 20), (*b"LB", 28), (*b"LC", 32), (*b"LI", 21), (*b"LT", 20),
    (*b"LU", 20), (*b"LV", 21), (*b"LY", 25), (*b"MC", 27), (*b"MD", 24), (*b"ME", 22), (*b"MK", 19), (*b"MN", 20),
    (*b"MR", 27), (*b"MT", 31), (*b"MU", 30), (*b"NI", 28), (*b"NL", 18), (*b"NO", 15), (*b"OM", 23), (*b"PK", 24),
    (*b"PL", 28), (*b"PS", 29), (*b"PT", 25), (*b"QA", 29), (*b"RO", 24), (*b"RS", 22), (*b"RU", 33), (*b"SA", 24),
    (*b"SC", 31), (*b"SD", 18), (*b"SE", 24), (*b"SI", 19), (*b"SK", 24), (*b"SM", 27), (*b"SO", 23), (*b"ST", 25),
    (*b"SV", 28), (*b"TL", 23), (*b"TN", 24), (*b"TR", 26), (*b"UA", 29), (*b"VA", 22), (*b"VG", 24), (*b"XK", 20),
    (*b"YE", 30),
];

fn length_of(country: [u8; 2]) -> Option<usize> {
    let country = country.map(|b| b.to_ascii_uppercase());
    LENGTHS.binary_search_by_key(&country, |(code, _)| *code).ok().map(|i| LENGTHS[i].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn ibans_are_found_exactly() {
        assert_table(
            &IbanDetector,
            &[
                ("DE89370400440532013000", &["DE89370400440532013000"]),
                ("IBAN: DE89 3704 0044 0532 0130 00.", &["DE89 3704 0044 0532 0130 00"]),
                ("de89 3704 0044 0532 0130 00", &["de89 3704 0044 0532 0130 00"]),
                ("DE89-3704-0044-0532-0130-00", &["DE89-3704-0044-0532-0130-00"]),
                ("GB29 NWBK 6016 1331 9268 19", &["GB29 NWBK 6016 1331 9268 19"]),
                ("(GB29nwbk60161331926819)", &["GB29nwbk60161331926819"]),
                ("FR14 2004 1010 0505 0001 3M02 606", &["FR14 2004 1010 0505 0001 3M02 606"]),
                ("NO93 8601 1117 947", &["NO93 8601 1117 947"]),
                ("NL91ABNA0417164300 thanks", &["NL91ABNA0417164300"]),
                ("ES91 2100 0418 4502 0005 1332", &["ES91 2100 0418 4502 0005 1332"]),
                ("IT60 X054 2811 1010 0000 0123 456", &["IT60 X054 2811 1010 0000 0123 456"]),
                ("CH93 0076 2011 6238 5295 7", &["CH93 0076 2011 6238 5295 7"]),
                ("MT84MALT011000012345MTLCAST001S", &["MT84MALT011000012345MTLCAST001S"]),
                ("LC55HEMM000100010012001200023015", &["LC55HEMM000100010012001200023015"]),
                ("UA213223130000026007233566001", &["UA213223130000026007233566001"]),
                ("DE89  3704  0044  0532  0130  00", &["DE89  3704  0044  0532  0130  00"]),
                ("DE89 3704 0044\n 0532 0130 00", &["DE89 3704 0044\n 0532 0130 00"]),
                ("AT61 1904 3002 3457 3201 is mine", &["AT61 1904 3002 3457 3201"]),
                (
                    "PL61\u{a0}1090\u{a0}1014\u{a0}0000\u{a0}0712\u{a0}1981\u{a0}2874",
                    &["PL61\u{a0}1090\u{a0}1014\u{a0}0000\u{a0}0712\u{a0}1981\u{a0}2874"],
                ),
            ],
        );
    }

    #[test]
    fn what_fails_a_check_is_left() {
        assert_clean(
            &IbanDetector,
            &[
                "",
                "DE",
                "DE8",
                "DE89",
                "DE89370400440532013001",
                "DE8937040044053201300",
                "DE893704004405320130000",
                "XX89370400440532013000",
                "ADE89370400440532013000",
                "_DE89370400440532013000",
                "DE89    3704    0044    0532    0130    00",
                "D E89370400440532013000",
                "GB29 NWBK 6016 1331 9268 18",
                "in 12 years at 34 places",
                "DE89 3704 0044 0532 0130 0é",
                "IT12 equipment list for the 2nd floor",
            ],
        );
    }

    #[test]
    fn the_table_is_sorted_and_every_length_fits() {
        assert!(LENGTHS.windows(2).all(|w| w[0].0 < w[1].0));
        assert!(LENGTHS.iter().all(|(_, n)| (15..=MAX_LENGTH).contains(n)));
    }
}
