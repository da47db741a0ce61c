// SPDX-License-Identifier: AGPL-3.0-or-later
//! Words that tell text from noise, each known forwards, in rot13 and backwards.
//!
//! These are the words of the jailbreak rules, words that announce personal data, and common ones. A word of the text is
//! looked up once; what comes back says in which of the three readings it is a word.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::detectors::jailbreak;
use crate::text::wordtable::WordTable;

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

/// What is known of a word of ASCII letters, in any case: the readings in which it is a word, by the constants of this
/// module.
pub(crate) fn readings(word: &[u8]) -> u8 {
    if !(2..=MAX_WORD).contains(&word.len()) {
        return 0;
    }
    LEXICON.all.get(word).unwrap_or(0)
}

/// The same of those words alone that tell of a disguise: digits, "at" and "dot", and what is a word in another reading
/// only. Of all others, which most words of most texts are, nothing.
#[inline]
pub(crate) fn telling(word: &[u8]) -> u8 {
    if !(2..=MAX_WORD).contains(&word.len()) {
        return 0;
    }
    LEXICON.telling.get(word).unwrap_or(0)
}

/// How common a word is among [`COMMON`], which begins with the commonest: 1 for the first, 0 for one that is not in it.
pub(crate) fn commonness(word: &str) -> f32 {
    static PLACES: LazyLock<WordTable<f32>> = LazyLock::new(|| {
        let words = COMMON.split_whitespace().enumerate();
        WordTable::new(words.map(|(place, word)| (word.as_bytes(), 1.0 / (1.0 + place as f32))))
    });
    PLACES.get(word.as_bytes()).unwrap_or(0.0)
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

struct Lexicon {
    all: WordTable<u8>,
    /// The words of [`telling`].
    telling: WordTable<u8>,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let mut lexicon: BTreeMap<Vec<u8>, u8> = BTreeMap::new();
    let mut add = |word: Vec<u8>, flag: u8| *lexicon.entry(word).or_default() |= flag;
    for word in jailbreak::words().chain(COMMON.split_whitespace()) {
        let bytes = word.as_bytes();
        if !(2..=MAX_WORD).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_lowercase) {
            continue;
        }
        add(bytes.to_vec(), PLAIN);
        add(bytes.iter().map(|&b| rot13(b)).collect(), ROT13);
        add(bytes.iter().rev().copied().collect(), REVERSED);
    }
    DIGITS.iter().for_each(|(word, _)| add(word.as_bytes().to_vec(), DIGIT));
    ATS.iter().for_each(|word| add(word.as_bytes().to_vec(), AT));
    DOTS.iter().for_each(|word| add(word.as_bytes().to_vec(), DOT));
    let tells = |flags: u8| flags & (DIGIT | AT | DOT) != 0 || flags & PLAIN == 0;
    let table = |which: &dyn Fn(u8) -> bool| {
        let words = lexicon.iter().filter(|(_, flags)| which(**flags));
        WordTable::new(words.map(|(word, flags)| (word.as_slice(), *flags)))
    };
    Lexicon { all: table(&|_| true), telling: table(&tells) }
});

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
    fn telling_words_are_those_that_a_disguise_makes() {
        for word in [&b"vtaber"[..], b"Erongi", b"seven", b"at", b"dot"] {
            assert_eq!(telling(word), readings(word));
            assert_ne!(telling(word), 0);
        }
        for word in [&b"ignore"[..], b"the", b"xqzvw"] {
            assert_eq!(telling(word), 0);
        }
    }

    #[test]
    fn case_does_not_matter_and_digits_are_not_letters() {
        assert_eq!(readings(b"IGNORE"), readings(b"ignore"));
        assert_ne!(readings(b"1gnore"), readings(b"ignore"));
    }
}
