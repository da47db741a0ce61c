// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is put in the place of personal data: the operators of `policies.redactions`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use sha2::Sha256;

use crate::detectors::password::PASSWORD;
use crate::detectors::private_key::PRIVATE_KEY;
use crate::detectors::secret::SECRET;
use crate::detectors::url::URL_CREDENTIALS;
use crate::error::GuardError;
use crate::finding::PiiType;
use crate::vault::{Key, Vault, VaultError};

/// What is done with one type of personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operator {
    /// A placeholder such as `[EMAIL]` stands in its place.
    Replace {
        /// The placeholder, if not the type's own.
        text: Option<String>,
        /// `[EMAIL_1]`, `[EMAIL_2]`: the same value has the same number for as long as the guard lives.
        numbered: bool,
    },
    /// Letters and digits are covered, but for the last few; what parts them stays. Of passwords, keys and other secrets signs
    /// are covered too.
    Mask {
        /// Letters and digits to leave at the end; never more than half of them are left.
        keep_last: usize,
        /// What covers them.
        with: char,
    },
    /// A keyed hash (HMAC-SHA256) such as `[EMAIL_bdgkqrzwmntv]`: the same value and key give the same letters, and nothing
    /// leads back.
    Hash {
        /// Letters of the hash, 4 bits each, within [`HASH_LENGTHS`].
        length: usize,
    },
    /// A pseudonym such as `[EMAIL_bdgkqrzwmn]`, kept in a [`Vault`] that can turn it back.
    Pseudonymise,
    /// The data stays.
    Keep,
}

/// Lengths of a hash: 32 to 128 bits.
pub const HASH_LENGTHS: std::ops::RangeInclusive<usize> = 8..=32;
/// The usual length of a hash: 48 bits.
pub const HASH_LENGTH: usize = 12;

impl Default for Operator {
    fn default() -> Self {
        Self::Replace { text: None, numbered: false }
    }
}

/// The flags of the first version of the schema: `true` replaces, `false` keeps.
impl From<bool> for Operator {
    fn from(on: bool) -> Self {
        if on { Self::default() } else { Self::Keep }
    }
}

impl Operator {
    /// The words for operators in a pipeline, and what each means by itself.
    #[must_use]
    pub fn words() -> [(&'static str, Self); 5] {
        [
            ("replace", Self::default()),
            ("mask", Self::Mask { keep_last: 0, with: '*' }),
            ("hash", Self::Hash { length: HASH_LENGTH }),
            ("pseudonymise", Self::Pseudonymise),
            ("keep", Self::Keep),
        ]
    }

    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Replace { .. } => "replace",
            Self::Mask { .. } => "mask",
            Self::Hash { .. } => "hash",
            Self::Pseudonymise => "pseudonymise",
            Self::Keep => "keep",
        }
    }
}

/// As a pipeline writes it: a flag where a flag says it all, else a map.
impl Serialize for Operator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::default() || *self == Self::Keep {
            return serializer.serialize_bool(*self != Self::Keep);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("operator", self.word())?;
        match self {
            Self::Replace { text, numbered } => {
                if let Some(text) = text {
                    map.serialize_entry("text", text)?;
                }
                map.serialize_entry("numbered", numbered)?;
            }
            Self::Mask { keep_last, with } => {
                map.serialize_entry("keep_last", keep_last)?;
                map.serialize_entry("char", with)?;
            }
            Self::Hash { length } => map.serialize_entry("length", length)?,
            Self::Pseudonymise | Self::Keep => {}
        }
        map.end()
    }
}

/// Keys that operators need. Printing shows which are there, never what they are.
#[derive(Debug, Clone, Default)]
pub struct GuardKeys {
    /// The key of [`Operator::Hash`].
    pub hash: Option<Key>,
    /// Where [`Operator::Pseudonymise`] keeps what it replaced.
    pub vault: Option<Arc<Vault>>,
}

/// Values that are told apart by number; later ones share the bare placeholder, so that a guard that never ends does not
/// grow without bound.
const MAX_NUMBERED: usize = 100_000;

/// Numbers of the values seen. Holds no value, only hashes under a key that dies with it.
pub(crate) struct Numbering {
    key: Key,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    numbers: HashMap<[u8; 32], usize>,
    last: HashMap<PiiType, usize>,
}

impl Numbering {
    /// # Errors
    /// [`VaultError::Random`] when the system gives no random bytes.
    pub(crate) fn new() -> Result<Self, VaultError> {
        Ok(Self { key: Key::generate()?, seen: Mutex::default() })
    }

    fn number(&self, kind: PiiType, value: &str) -> Option<usize> {
        let hash = keyed_hash(&self.key, kind, value, 0);
        // Both maps change together or not at all.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = seen.numbers.get(&hash) {
            return Some(*number);
        }
        if seen.numbers.len() >= MAX_NUMBERED {
            return None;
        }
        let last = seen.last.entry(kind).or_default();
        *last += 1;
        let number = *last;
        seen.numbers.insert(hash, number);
        Some(number)
    }
}

/// What stands in for each of `values`, in order, under each one's operator.
///
/// # Errors
/// [`GuardError::Vault`] when a pseudonym cannot be kept: then nothing of the text may be passed on.
pub(crate) fn substitutes(
    values: &[(PiiType, &str, &Operator)],
    keys: &GuardKeys,
    numbering: Option<&Numbering>,
) -> Result<Vec<String>, GuardError> {
    // All new pseudonyms of a text are kept in one write.
    let secret: Vec<(PiiType, &str)> = values
        .iter()
        .filter(|(_, _, operator)| **operator == Operator::Pseudonymise)
        .map(|(kind, value, _)| (*kind, *value))
        .collect();
    let mut pseudonyms = match &keys.vault {
        Some(vault) if !secret.is_empty() => vault.pseudonyms(&secret)?,
        _ => Vec::new(),
    }
    .into_iter();
    Ok(values
        .iter()
        .map(|(kind, value, operator)| match operator {
            Operator::Replace { text, numbered } => {
                let plain = text.clone().unwrap_or_else(|| kind.placeholder());
                let number = numbering.filter(|_| *numbered).and_then(|n| n.number(*kind, value));
                number.map_or(plain.clone(), |number| with_number(&plain, number))
            }
            Operator::Mask { keep_last, with } => mask(value, *keep_last, *with, is_secret(*kind)),
            // A guard is not built without the keys it needs; were one missing, the data still goes.
            Operator::Hash { length } => keys.hash.as_ref().map_or_else(
                || kind.placeholder(),
                |key| tagged(*kind, &letters(&keyed_hash(key, *kind, value, 0), *length)),
            ),
            Operator::Pseudonymise => pseudonyms.next().unwrap_or_else(|| kind.placeholder()),
            Operator::Keep => (*value).to_owned(),
        })
        .collect())
}

/// `[EMAIL]` and 2 give `[EMAIL_2]`.
fn with_number(placeholder: &str, number: usize) -> String {
    match placeholder.strip_suffix(']') {
        Some(open) => format!("{open}_{number}]"),
        None => format!("{placeholder}_{number}"),
    }
}

/// Whether the signs of a value tell as much as its letters.
fn is_secret(kind: PiiType) -> bool {
    [PASSWORD, SECRET, PRIVATE_KEY, URL_CREDENTIALS].contains(&kind)
}

/// `signs`: covers them too, not letters and digits alone.
fn mask(value: &str, keep_last: usize, with: char, signs: bool) -> String {
    let told = |c: char| if signs { !c.is_whitespace() } else { c.is_alphanumeric() };
    let count = value.chars().filter(|c| told(*c)).count();
    let mut cover = count - keep_last.min(count / 2);
    let hide = |c: char| {
        if told(c) && cover > 0 {
            cover -= 1;
            with
        } else {
            c
        }
    };
    value.chars().map(hide).collect()
}

/// HMAC-SHA256 of type, value and a counter.
pub(crate) fn keyed_hash(key: &Key, kind: PiiType, value: &str, attempt: u32) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.bytes()) else {
        unreachable!("HMAC takes keys of any length")
    };
    // No type has a zero byte in its name, so type and value cannot run into one another.
    mac.update(kind.key().as_bytes());
    mac.update(&[0]);
    mac.update(value.as_bytes());
    mac.update(&attempt.to_le_bytes());
    mac.finalize().into_bytes().into()
}

/// Sixteen consonants: no digits, which detectors of numbers would look at, and no words.
const LETTERS: &[u8; 16] = b"bcdfghjkmnpqrstw";

/// The first half-bytes of a hash as letters.
pub(crate) fn letters(hash: &[u8; 32], length: usize) -> String {
    let nibbles = hash.iter().flat_map(|b| [b >> 4, b & 15]);
    nibbles.take(length).map(|n| char::from(LETTERS[usize::from(n)])).collect()
}

/// Whether all of `text` could be such letters.
pub(crate) fn are_letters(text: &[u8]) -> bool {
    text.iter().all(|b| LETTERS.contains(b))
}

/// `[EMAIL_bdgk...]`
pub(crate) fn tagged(kind: PiiType, letters: &str) -> String {
    with_tag(&kind.placeholder(), letters)
}

fn with_tag(placeholder: &str, letters: &str) -> String {
    format!("{}_{letters}]", placeholder.trim_end_matches(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: PiiType = PiiType::new("email");

    #[test]
    fn masks_cover_letters_and_digits_and_keep_at_most_half() {
        let mask = |value, keep_last, with| mask(value, keep_last, with, false);
        assert_eq!(mask("4111 1111-1111 1234", 4, '*'), "**** ****-**** 1234");
        assert_eq!(mask("ann@example.org", 3, '#'), "###@#######.org");
        assert_eq!(mask("1234", 4, '*'), "**34");
        assert_eq!(mask("日本語x", 1, '•'), "•••x");
        assert_eq!(mask("a", 1, '*'), "*");
        assert_eq!(mask("", 9, '*'), "");
    }

    #[test]
    fn masks_of_secrets_cover_signs_too() {
        assert!(is_secret(PASSWORD) && !is_secret(KIND));
        assert_eq!(mask("Tr0$%!#/9x", 0, '*', true), "**********");
        assert_eq!(mask("a $! b", 2, '*', true), "* *! b");
    }

    #[test]
    fn numbers_are_stable_by_type_and_value() {
        let numbering = Numbering::new().unwrap();
        let other = PiiType::new("phone");
        let numbers: Vec<_> = [(KIND, "a"), (KIND, "b"), (KIND, "a"), (other, "a")]
            .into_iter()
            .map(|(kind, value)| numbering.number(kind, value))
            .collect();
        assert_eq!(numbers, [Some(1), Some(2), Some(1), Some(1)]);
        assert_eq!(with_number("[EMAIL]", 3), "[EMAIL_3]");
        assert_eq!(with_number("someone", 3), "someone_3");
    }

    #[test]
    fn hashes_depend_on_key_type_and_value_alone() {
        let (a, b) = (Key::generate().unwrap(), Key::generate().unwrap());
        let tag = |key, kind, value| letters(&keyed_hash(key, kind, value, 0), 12);
        assert_eq!(tag(&a, KIND, "x"), tag(&a, KIND, "x"));
        assert_ne!(tag(&a, KIND, "x"), tag(&b, KIND, "x"));
        assert_ne!(tag(&a, KIND, "x"), tag(&a, KIND, "y"));
        assert_ne!(tag(&a, KIND, "x"), tag(&a, PiiType::new("phone"), "x"));
        assert_eq!(tagged(KIND, &tag(&a, KIND, "x")).len(), "[EMAIL_]".len() + 12);
    }

    /// RFC 4231, case 2, by way of the crate: the key and the message are not of this form, so HMAC itself is what is held
    /// against the vector.
    #[test]
    fn the_hash_is_hmac_sha256() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        assert_eq!(bytes[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!(letters(&bytes, 8), "hqsrrcgj");
    }

    #[test]
    fn operators_are_written_as_a_pipeline_writes_them() {
        let json = |operator: Operator| serde_json::to_string(&operator).unwrap();
        assert_eq!(json(true.into()), "true");
        assert_eq!(json(false.into()), "false");
        assert_eq!(json(Operator::Pseudonymise), r#"{"operator":"pseudonymise"}"#);
        assert_eq!(
            json(Operator::Mask { keep_last: 4, with: '*' }),
            r#"{"operator":"mask","keep_last":4,"char":"*"}"#
        );
        assert_eq!(
            json(Operator::Replace { text: Some("[x]".into()), numbered: true }),
            r#"{"operator":"replace","text":"[x]","numbered":true}"#
        );
    }
}
