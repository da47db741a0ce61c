// SPDX-License-Identifier: AGPL-3.0-or-later
//! A sealed file that turns pseudonyms back into what they stand for.
//!
//! A pseudonym is made of the value by a keyed hash, so the same value has the same pseudonym in every text, whatever the
//! order in which texts are checked, and whoever does not hold the key cannot guess one. What it stands for is kept in the
//! vault only: never in a card, a trace, an error or a file that is not sealed.

mod file;
mod key;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use crate::finding::PiiType;
use crate::operator::{are_letters, keyed_hash, letters, tagged};
use file::{Entries, Keys, Nonce};
pub use key::{Key, VaultSecret};

/// Letters of a pseudonym: 40 bits.
const LETTERS: usize = 10;
/// Longest name of a type in a pseudonym that is looked for in a text.
const MAX_KIND: usize = 64;

/// A vault that is open. Threads may share it, and processes the file.
pub struct Vault {
    path: PathBuf,
    keys: Keys,
    state: Mutex<State>,
}

struct State {
    entries: Entries,
    /// The write that `entries` come from.
    nonce: Nonce,
}

/// A text with its pseudonyms turned back. Holds personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct Revealed {
    /// The text.
    pub text: Zeroizing<String>,
    /// Pseudonyms that were turned back, each time they stand there.
    pub revealed: usize,
    /// What has the form of a pseudonym and is none of this vault, left as it stands.
    pub unknown: usize,
}

impl Vault {
    /// Opens a vault.
    ///
    /// # Errors
    /// [`VaultError`]: the file cannot be read, is no vault, is damaged, or is sealed with another key.
    pub fn open(path: &Path, secret: &VaultSecret) -> Result<Self, VaultError> {
        let bytes = file::read(path)?;
        let stretch = file::stretch(path, &bytes)?;
        let master = secret.master(&stretch)?;
        let keys = Keys::new(stretch, &master);
        let entries = file::open(path, &bytes, &keys)?;
        let nonce = file::nonce(&bytes).unwrap_or_default();
        Ok(Self { path: path.into(), keys, state: Mutex::new(State { entries, nonce }) })
    }

    /// Opens a vault, or makes an empty one where there is no file.
    ///
    /// # Errors
    /// Those of [`Vault::open`], and [`VaultError::WeakPassphrase`] for a new vault.
    pub fn open_or_create(path: &Path, secret: &VaultSecret) -> Result<Self, VaultError> {
        // Under the lock, so that of two that find no file only one makes it.
        let _lock = file::lock(path)?;
        match path.try_exists() {
            Ok(true) => return Self::open(path, secret),
            Ok(false) => {}
            Err(error) => return Err(VaultError::io("read", path, &error)),
        }
        let stretch = secret.new_stretch()?;
        let master = secret.master(&stretch)?;
        let keys = Keys::new(stretch, &master);
        let entries = Entries::new();
        let nonce = file::write(path, &entries, &keys)?;
        Ok(Self { path: path.into(), keys, state: Mutex::new(State { entries, nonce }) })
    }

    /// How many pseudonyms it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pseudonym of each value, e.g. `[EMAIL_bdgkqrtwmn]`. New ones are on disk when this returns.
    ///
    /// # Errors
    /// [`VaultError`] when they cannot be written: then none may be used.
    pub fn pseudonyms(&self, values: &[(PiiType, &str)]) -> Result<Vec<String>, VaultError> {
        let mut state = self.state();
        let known: Option<Vec<String>> = values
            .iter()
            .map(|(kind, value)| {
                let (token, known) = self.token(&state.entries, *kind, value);
                known.then_some(token)
            })
            .collect();
        if let Some(known) = known {
            return Ok(known);
        }
        let _lock = file::lock(&self.path)?;
        self.refresh(&mut state)?;
        let mut entries = state.entries.clone();
        let mut tokens = Vec::with_capacity(values.len());
        for (kind, value) in values {
            let (token, known) = self.token(&entries, *kind, value);
            if !known {
                entries.insert(token.clone(), Zeroizing::new((*value).to_owned()));
            }
            tokens.push(token);
        }
        state.nonce = file::write(&self.path, &entries, &self.keys)?;
        state.entries = entries;
        Ok(tokens)
    }

    /// Turns every pseudonym of this vault in `text` back, in time linear in the text.
    ///
    /// # Errors
    /// [`VaultError`] when the file changed meanwhile and cannot be read.
    pub fn reveal(&self, text: &str) -> Result<Revealed, VaultError> {
        let mut state = self.state();
        let found = reveal(text, &state.entries);
        if found.unknown == 0 {
            return Ok(found);
        }
        // Another process may have added them.
        self.refresh(&mut state)?;
        Ok(reveal(text, &state.entries))
    }

    /// The pseudonym of a value, and whether it is in `entries`. Where two values meet in one, the later goes on to the next.
    fn token(&self, entries: &Entries, kind: PiiType, value: &str) -> (String, bool) {
        let mut attempt = 0;
        loop {
            let hash = keyed_hash(&self.keys.tag, kind, value, attempt);
            let token = tagged(kind, &letters(&hash, LETTERS));
            match entries.get(&token) {
                None => return (token, false),
                Some(known) if known.as_str() == value => return (token, true),
                Some(_) => attempt += 1,
            }
        }
    }

    /// Reads the file again if somebody wrote it.
    fn refresh(&self, state: &mut State) -> Result<(), VaultError> {
        let bytes = file::read(&self.path)?;
        let nonce = file::nonce(&bytes).unwrap_or_default();
        if nonce != state.nonce {
            // Another stretch means another vault under the same name.
            if file::stretch(&self.path, &bytes)? != self.keys.stretch {
                return Err(VaultError::WrongKey { path: self.path.clone() });
            }
            state.entries = file::open(&self.path, &bytes, &self.keys)?;
            state.nonce = nonce;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Entries and nonce are set only when a write has succeeded, so a panic elsewhere leaves them sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reveal(text: &str, entries: &Entries) -> Revealed {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let (mut revealed, mut unknown, mut from) = (0, 0, 0);
    for (open, _) in text.match_indices('[') {
        let Some(close) = pseudonym_end(text, open) else { continue };
        match entries.get(&text[open..close]) {
            Some(value) => {
                out.push_str(&text[from..open]);
                out.push_str(value);
                from = close;
                revealed += 1;
            }
            None => unknown += 1,
        }
    }
    out.push_str(&text[from..]);
    Revealed { text: out, revealed, unknown }
}

/// Where the pseudonym that begins with the `[` at `open` ends, by its form.
fn pseudonym_end(text: &str, open: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let window = &bytes[open + 1..bytes.len().min(open + 1 + MAX_KIND + LETTERS)];
    let close = window.iter().position(|b| *b == b']')?;
    let (kind, tail) = window[..close].split_at_checked(close.checked_sub(LETTERS + 1)?)?;
    let (bar, letters) = tail.split_first()?;
    let named = !kind.is_empty()
        && kind.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_');
    (*bar == b'_' && are_letters(letters) && named).then_some(open + 1 + close + 1)
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("path", &self.path).finish_non_exhaustive()
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revealed")
            .field("revealed", &self.revealed)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}

/// What can go wrong with keys and vaults. No variant holds a key, a passphrase or a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// A file cannot be read, written or locked.
    #[error("cannot {action} the vault {}: {message}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// The file is something else.
    #[error("{} is not a vault: expected a file that begins with BHOVAULT", .path.display())]
    NotAVault {
        /// The file.
        path: PathBuf,
    },
    /// The vault was made by a later version.
    #[error("the vault {} has version {found}; this program reads version 1", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u8,
    },
    /// The seal is broken.
    #[error(
        "the vault {} is damaged: its content does not fit its seal; put back a copy of it", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The key is another vault's.
    #[error("the vault {} is sealed with another key", .path.display())]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// A key where a passphrase is needed, or the other way round.
    #[error("the vault is sealed with {expected}, and something else was given")]
    SecretKind {
        /// What opens it.
        expected: &'static str,
    },
    /// The file is larger than a vault can be, or would become so.
    #[error("the vault {} is larger than 256 MiB, the most a vault can hold", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not a key.
    #[error("a key is 64 hex digits, as `bho guard keygen` writes them")]
    BadKey,
    /// Too short for a new vault.
    #[error(
        "a passphrase for a new vault needs at least 12 characters; `bho guard keygen` makes a key"
    )]
    WeakPassphrase,
    /// Argon2id could not run.
    #[error("the passphrase could not be stretched: too little memory for Argon2id")]
    Stretch,
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl VaultError {
    fn io(action: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io { action, path: path.into(), message: error.to_string() }
    }
}

#[cfg(test)]
mod tests;
