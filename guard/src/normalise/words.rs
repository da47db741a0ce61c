// SPDX-License-Identifier: AGPL-3.0-or-later
//! Words that tell text from noise, each known forwards, in rot13 and backwards.
//!
//! These are the words of the jailbreak rules, words that announce personal data, and common ones. A word of the text is
//! looked up once; what comes back says in which of the three readings it is a word.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use crate::detectors::jailbreak;

/// A word of the list as it stands.
pub(crate) const PLAIN: u8 = 1;
/// One in rot13.
pub(crate) const ROT13: u8 = 2;
/// One backwards.
pub(crate) const REVERSED: u8 = 4;
/// A digit in words.
pub(crate) const DIGIT: u8 = 8;
/// The word for `@`.
pub(crate) const AT: u8 = 16;
/// The word for a full stop in an address.
pub(crate) const DOT: u8 = 32;

/// Longer words are in no list.
pub(crate) const MAX_WORD: usize = 20;

/// The digits in English, German, French and Spanish.
#[rustfmt::skip]
const DIGITS: &[(&str, u8)] = &[
    ("zero", b'0'), ("oh", b'0'), ("one", b'1'), ("two", b'2'), ("three", b'3'), ("four", b'4'), ("five", b'5'), ("six", b'6'),
    ("seven", b'7'), ("eight", b'8'), ("nine", b'9'),
    ("null", b'0'), ("eins", b'1'), ("zwei", b'2'), ("zwo", b'2'), ("drei", b'3'), ("vier", b'4'), ("sechs", b'6'), ("sieben", b'7'),
    ("acht", b'8'), ("neun", b'9'),
    ("un", b'1'), ("deux", b'2'), ("trois", b'3'), ("quatre", b'4'), ("cinq", b'5'), ("sept", b'7'), ("huit", b'8'), ("neuf", b'9'),
    ("cero", b'0'), ("uno", b'1'), ("dos", b'2'), ("tres", b'3'), ("cuatro", b'4'), ("cinco", b'5'), ("seis", b'6'),
    ("siete", b'7'), ("ocho", b'8'), ("nueve", b'9'),
];

// Not "point": "at this point in" is no address.
const ATS: &[&str] = &["at", "arroba", "arobase", "chiocciola"];
const DOTS: &[&str] = &["dot", "punkt", "punto"];

#[rustfmt::skip]
const COMMON: &str = "\
    the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you \
    were all her she there would their we him been has when who will no more if out so up said what its about than into them \
    can only other time new some could these two may first then do any like my now over such our man me even most made after \
    also did many before must through years where much your way well down should because each just those people too mister \
    state good very make world still see own work long here get both between life being under never day same another know \
    while last might us great old year off come since against go came right used take three states himself few house use \
    during without again place around however home small found thought went say part once general high upon school every \
    please hello thanks thank dear sincerely regards let tell give show find ask need want help write send reach contact \
    email mail mailto address phone telephone mobile cell call fax number numbers card credit debit visa mastercard amex \
    payment pay bank account iban transfer ssn social security passport licence license driver drivers id identity tax \
    insurance birth born birthday date customer client patient server host ip login password username user key token secret \
    nhs nino dob national nationality steuer dni nie nir aadhaar medicare itin ein routing swift bic patient health taxpayer \
    french german network mac wallet bitcoin postcode zip avenue lane live lives street road city name \
    january february march april june july august september october november december www http https com org net";

/// What is known of a lower-case ASCII word: the readings in which it is a word, by the constants of this module.
pub(crate) fn readings(word: &[u8]) -> u8 {
    let mut key = Key::default();
    word.iter().for_each(|&b| key.push(b));
    key.readings()
}

/// The digit a word names.
pub(crate) fn digit_of(word: &str) -> Option<u8> {
    DIGITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, digit)| *digit)
}

/// One letter further by half the alphabet (rot13).
pub(crate) fn rot13(b: u8) -> u8 {
    match b {
        b'a'..=b'z' => (b - b'a' + 13) % 26 + b'a',
        b'A'..=b'Z' => (b - b'A' + 13) % 26 + b'A',
        _ => b,
    }
}

/// A word while it is read, in any case.
#[derive(Default, Clone, Copy)]
pub(crate) struct Key {
    bits: u128,
    len: usize,
}

impl Key {
    /// Adds an ASCII letter or digit.
    pub(crate) fn push(&mut self, byte: u8) {
        // Six bits tell letters, either case alike, from digits and each other: 20 characters fit.
        let code = if byte.is_ascii_digit() { byte & 15 | 32 } else { byte & 31 };
        self.bits = self.bits << 6 | u128::from(code);
        self.len += 1;
    }

    pub(crate) fn readings(self) -> u8 {
        if !(2..=MAX_WORD).contains(&self.len) {
            return 0;
        }
        LEXICON.get(&self.bits).copied().unwrap_or(0)
    }
}

type Lexicon = HashMap<u128, u8, BuildHasherDefault<Mix>>;

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let mut lexicon = Lexicon::default();
    let mut add = |word: &[u8], flag: u8| {
        let mut key = Key::default();
        word.iter().for_each(|&b| key.push(b));
        *lexicon.entry(key.bits).or_default() |= flag;
    };
    for word in jailbreak::words().chain(COMMON.split_whitespace()) {
        let bytes = word.as_bytes();
        if !(2..=MAX_WORD).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_lowercase) {
            continue;
        }
        add(bytes, PLAIN);
        add(&bytes.iter().map(|&b| rot13(b)).collect::<Vec<_>>(), ROT13);
        add(&bytes.iter().rev().copied().collect::<Vec<_>>(), REVERSED);
    }
    DIGITS.iter().for_each(|(word, _)| add(word.as_bytes(), DIGIT));
    ATS.iter().for_each(|word| add(word.as_bytes(), AT));
    DOTS.iter().for_each(|word| add(word.as_bytes(), DOT));
    lexicon
});

/// Multiplies and folds; nobody chooses the words of the table.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.write_u128(u128::from(b)));
    }

    fn write_u128(&mut self, key: u128) {
        let mixed = (key as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ ((key >> 64) as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
        self.0 = mixed ^ mixed >> 29;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_in_three_readings() {
        assert_eq!(readings(b"ignore"), PLAIN);
        assert_eq!(readings(b"vtaber"), ROT13);
        assert_eq!(readings(b"erongi"), REVERSED);
        assert_eq!(readings(b"snoitcurtsni"), REVERSED);
        assert_eq!(readings(b"saw") & (PLAIN | REVERSED), REVERSED);
        assert_eq!(readings(b"was") & PLAIN, PLAIN);
        assert_eq!(readings(b"xqzvw"), 0);
        assert_eq!(readings(b""), 0);
        assert_eq!(readings(&[b'a'; 40]), 0);
    }

    #[test]
    fn digits_at_and_dot_are_known() {
        assert_ne!(readings(b"seven") & DIGIT, 0);
        assert_eq!(
            (digit_of("SEVEN"), digit_of("quatre"), digit_of("ten")),
            (Some(b'7'), Some(b'4'), None)
        );
        assert_ne!(readings(b"at") & AT, 0);
        assert_ne!(readings(b"dot") & DOT, 0);
        for (word, digit) in DIGITS {
            assert_eq!(digit_of(word), Some(*digit));
        }
    }

    #[test]
    fn case_does_not_matter_and_digits_are_not_letters() {
        assert_eq!(readings(b"IGNORE"), readings(b"ignore"));
        assert_ne!(readings(b"1gnore"), readings(b"ignore"));
    }
}
