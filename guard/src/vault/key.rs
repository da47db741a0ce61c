// SPDX-License-Identifier: AGPL-3.0-or-later
//! Keys and passphrases: how they are written, made and stretched. None of them is ever printed.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use super::VaultError;

/// A key of 32 random bytes; erased from memory when it is dropped.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// A new random key.
    ///
    /// # Errors
    /// [`VaultError::Random`] when the system gives no random bytes.
    pub fn generate() -> Result<Self, VaultError> {
        let mut bytes = Zeroizing::new([0; 32]);
        random(&mut *bytes)?;
        Ok(Self(bytes))
    }

    /// Reads 64 hex digits; white space around them is fine.
    ///
    /// # Errors
    /// [`VaultError::BadKey`].
    pub fn from_hex(text: &str) -> Result<Self, VaultError> {
        let digits = text.trim().as_bytes();
        let mut bytes = Zeroizing::new([0; 32]);
        if digits.len() != 64 {
            return Err(VaultError::BadKey);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let digit = |b: u8| char::from(b).to_digit(16).ok_or(VaultError::BadKey);
            let value = digit(pair[0])? << 4 | digit(pair[1])?;
            *byte = u8::try_from(value).map_err(|_| VaultError::BadKey)?;
        }
        Ok(Self(bytes))
    }

    /// The key as 64 hex digits, as [`Key::from_hex`] reads it.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(64));
        for byte in self.0.iter() {
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
            }
        }
        out
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &*self.0
    }

    /// A key for one purpose only.
    pub(super) fn derive(&self, purpose: &str) -> Self {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.bytes()) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac.update(purpose.as_bytes());
        let mut out: [u8; 32] = mac.finalize().into_bytes().into();
        let key = Self(Zeroizing::new(out));
        out.zeroize();
        key
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// What opens a vault: a key, or a passphrase that a key is stretched from.
#[derive(Clone)]
pub struct VaultSecret(Kind);

#[derive(Clone)]
enum Kind {
    Key(Key),
    Passphrase(Zeroizing<String>),
}

/// Shorter passphrases are refused where a vault is made.
pub(super) const MIN_PASSPHRASE: usize = 12;

impl VaultSecret {
    /// Reads what a file or a variable holds: 64 hex digits are a key, anything else is a passphrase. White space at both
    /// ends does not count.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(match Key::from_hex(text) {
            Ok(key) => Kind::Key(key),
            Err(_) => Kind::Passphrase(Zeroizing::new(text.trim().to_owned())),
        })
    }

    /// How a new vault is to make its key of this secret.
    pub(super) fn new_stretch(&self) -> Result<Stretch, VaultError> {
        match &self.0 {
            Kind::Key(_) => Ok(Stretch::None),
            Kind::Passphrase(text) if text.chars().count() < MIN_PASSPHRASE => {
                Err(VaultError::WeakPassphrase)
            }
            Kind::Passphrase(_) => {
                let mut salt = [0; 16];
                random(&mut salt)?;
                // 64 MiB and three passes: the second recommendation of RFC 9106, on one lane.
                Ok(Stretch::Argon2id { memory_kib: 64 << 10, passes: 3, lanes: 1, salt })
            }
        }
    }

    /// The master key of a vault.
    pub(super) fn master(&self, stretch: &Stretch) -> Result<Key, VaultError> {
        match (&self.0, stretch) {
            (Kind::Key(key), Stretch::None) => Ok(key.clone()),
            (Kind::Passphrase(_), Stretch::None) => {
                Err(VaultError::SecretKind { expected: "a key of 64 hex digits" })
            }
            (Kind::Key(_), Stretch::Argon2id { .. }) => {
                Err(VaultError::SecretKind { expected: "a passphrase" })
            }
            (Kind::Passphrase(text), Stretch::Argon2id { memory_kib, passes, lanes, salt }) => {
                let params = Params::new(*memory_kib, *passes, *lanes, Some(32))
                    .map_err(|_| VaultError::Stretch)?;
                let mut out = Zeroizing::new([0; 32]);
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(text.as_bytes(), salt, &mut *out)
                    .map_err(|_| VaultError::Stretch)?;
                Ok(Key(out))
            }
        }
    }
}

impl fmt::Debug for VaultSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Key(_) => "VaultSecret::Key(..)",
            Kind::Passphrase(_) => "VaultSecret::Passphrase(..)",
        })
    }
}

/// How a vault's key comes from its secret (RFC 9106).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stretch {
    None,
    Argon2id { memory_kib: u32, passes: u32, lanes: u32, salt: [u8; 16] },
}

/// Fills `bytes` from the system's generator.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), VaultError> {
    getrandom::fill(bytes).map_err(|_| VaultError::Random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_64_hex_digits_and_are_never_printed() {
        let key = Key::generate().unwrap();
        let hex = key.to_hex();
        assert_eq!(
            Key::from_hex(&format!(" {}\n", hex.to_uppercase())).unwrap().bytes(),
            key.bytes()
        );
        assert_ne!(Key::generate().unwrap().bytes(), key.bytes());
        assert_eq!(format!("{key:?}"), "Key(..)");
        let secret = VaultSecret::from_text("correct horse battery staple");
        assert_eq!(format!("{secret:?}"), "VaultSecret::Passphrase(..)");
        for bad in ["", "abc", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(Key::from_hex(bad).unwrap_err(), VaultError::BadKey);
        }
    }

    #[test]
    fn purposes_have_keys_of_their_own() {
        let key = Key::generate().unwrap();
        assert_ne!(key.derive("a").bytes(), key.derive("b").bytes());
        assert_eq!(key.derive("a").bytes(), key.derive("a").bytes());
    }
}
