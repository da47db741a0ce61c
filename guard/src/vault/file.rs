// SPDX-License-Identifier: AGPL-3.0-or-later
//! The vault's file: a header, and everything else under XChaCha20-Poly1305 with the header as associated data.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `BHOVAULT` |
//! | 8 | version, 1 |
//! | 9 | 0: sealed with a key; 1: with a passphrase by Argon2id |
//! | 10..12 | zero |
//! | 12..24 | Argon2id: KiB, passes, lanes, little-endian (zero for a key) |
//! | 24..40 | Argon2id: salt (zero for a key) |
//! | 40..64 | nonce, new and random with each write |
//! | 64..72 | the first bytes of a key of its own, to tell a wrong key from a damaged file |
//! | 72.. | sealed entries: token and value, each after its length in four bytes, little-endian |

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::VaultError;
use super::key::{Key, Stretch, random};

const MAGIC: &[u8; 8] = b"BHOVAULT";
const VERSION: u8 = 1;
pub(super) const HEADER: usize = 72;
/// Larger files are refused: some two million addresses.
const MAX_FILE: u64 = 256 << 20;
/// What a header may ask of Argon2id: 1 GiB, 16 passes, 4 lanes.
const MAX_KIB: u32 = 1 << 20;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 4;

/// Pseudonym to value.
pub(super) type Entries = BTreeMap<String, Zeroizing<String>>;
/// The bytes that tell one write of a file from another.
pub(super) type Nonce = [u8; 24];

/// The keys of an open vault.
pub(super) struct Keys {
    pub(super) stretch: Stretch,
    pub(super) seal: Key,
    pub(super) tag: Key,
    check: Key,
}

impl Keys {
    pub(super) fn new(stretch: Stretch, master: &Key) -> Self {
        let derive = |purpose| master.derive(purpose);
        Self {
            stretch,
            seal: derive("bho vault v1: seal"),
            tag: derive("bho vault v1: pseudonyms"),
            check: derive("bho vault v1: check"),
        }
    }
}

/// Reads a file whole, its size checked first.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, VaultError> {
    let cannot = |error| VaultError::io("read", path, &error);
    let file = File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(VaultError::TooLarge { path: path.into() });
    }
    Ok(bytes)
}

/// How the key of this file is made, its numbers within bounds.
pub(super) fn stretch(path: &Path, bytes: &[u8]) -> Result<Stretch, VaultError> {
    let not_a_vault = || VaultError::NotAVault { path: path.into() };
    let header = bytes.get(..HEADER).filter(|h| h.starts_with(MAGIC)).ok_or_else(not_a_vault)?;
    if header[8] != VERSION {
        return Err(VaultError::Version { path: path.into(), found: header[8] });
    }
    let number = |at: usize| {
        let bytes = header[at..at + 4].try_into().map_err(|_| not_a_vault())?;
        Ok(u32::from_le_bytes(bytes))
    };
    match header[9] {
        0 => Ok(Stretch::None),
        1 => {
            let (memory_kib, passes, lanes) = (number(12)?, number(16)?, number(20)?);
            if !(8..=MAX_KIB).contains(&memory_kib)
                || !(1..=MAX_PASSES).contains(&passes)
                || !(1..=MAX_LANES).contains(&lanes)
                || memory_kib < 8 * lanes
            {
                return Err(VaultError::Damaged { path: path.into() });
            }
            let salt = header[24..40].try_into().map_err(|_| not_a_vault())?;
            Ok(Stretch::Argon2id { memory_kib, passes, lanes, salt })
        }
        _ => Err(VaultError::Damaged { path: path.into() }),
    }
}

/// Which write of the file this is.
pub(super) fn nonce(bytes: &[u8]) -> Option<Nonce> {
    bytes.get(40..64)?.try_into().ok()
}

/// Opens the seal.
pub(super) fn open(path: &Path, bytes: &[u8], keys: &Keys) -> Result<Entries, VaultError> {
    let damaged = || VaultError::Damaged { path: path.into() };
    let (header, sealed) = bytes.split_at_checked(HEADER).ok_or_else(damaged)?;
    let nonce = nonce(bytes).ok_or_else(damaged)?;
    if header[64..] != keys.check.bytes()[..8] {
        return Err(VaultError::WrongKey { path: path.into() });
    }
    let plain = cipher(keys)
        .decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: header })
        .map_err(|_| damaged())?;
    entries(&Zeroizing::new(plain)).ok_or_else(damaged)
}

fn entries(mut plain: &[u8]) -> Option<Entries> {
    let mut out = Entries::new();
    let field = |plain: &mut &[u8]| -> Option<Zeroizing<String>> {
        let (len, rest) = plain.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        *plain = rest;
        Some(Zeroizing::new(std::str::from_utf8(text).ok()?.to_owned()))
    };
    while !plain.is_empty() {
        let token = field(&mut plain)?.to_string();
        out.insert(token, field(&mut plain)?);
    }
    Some(out)
}

/// Seals entries under a new nonce and puts the file in the place of the old one, whole or not at all.
pub(super) fn write(path: &Path, entries: &Entries, keys: &Keys) -> Result<Nonce, VaultError> {
    let size: usize = entries.iter().map(|(token, value)| token.len() + value.len() + 8).sum();
    if size as u64 + HEADER as u64 + 16 > MAX_FILE {
        return Err(VaultError::TooLarge { path: path.into() });
    }
    let mut plain = Zeroizing::new(Vec::with_capacity(size));
    for (token, value) in entries {
        for field in [token.as_str(), value.as_str()] {
            let len = u32::try_from(field.len());
            let len = len.map_err(|_| VaultError::TooLarge { path: path.into() })?;
            plain.extend_from_slice(&len.to_le_bytes());
            plain.extend_from_slice(field.as_bytes());
        }
    }
    let mut nonce = Nonce::default();
    random(&mut nonce)?;
    let mut bytes = header(keys, nonce).to_vec();
    let sealed = cipher(keys)
        .encrypt(&XNonce::from(nonce), Payload { msg: &plain, aad: &bytes })
        .map_err(|_| VaultError::TooLarge { path: path.into() })?;
    bytes.extend_from_slice(&sealed);

    let cannot = |error| VaultError::io("write", path, &error);
    let folder = folder(path);
    let mut file = tempfile::Builder::new()
        .prefix(".bho-")
        .suffix(".tmp")
        .tempfile_in(folder)
        .map_err(cannot)?;
    file.write_all(&bytes).and_then(|()| file.as_file().sync_all()).map_err(cannot)?;
    file.persist(path).map_err(|error| cannot(error.error))?;
    // The name is safe only when the folder is; not every system can sync one.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(nonce)
}

fn header(keys: &Keys, nonce: Nonce) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8] = VERSION;
    if let Stretch::Argon2id { memory_kib, passes, lanes, salt } = &keys.stretch {
        header[9] = 1;
        for (at, number) in [(12, memory_kib), (16, passes), (20, lanes)] {
            header[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        header[24..40].copy_from_slice(salt);
    }
    header[40..64].copy_from_slice(&nonce);
    header[64..].copy_from_slice(&keys.check.bytes()[..8]);
    header
}

fn cipher(keys: &Keys) -> XChaCha20Poly1305 {
    let Ok(cipher) = XChaCha20Poly1305::new_from_slice(keys.seal.bytes()) else {
        unreachable!("the key has 32 bytes")
    };
    cipher
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Holds the vault against other writers, of this process and others, until it is dropped. The file beside the vault is
/// empty and stays.
pub(super) fn lock(path: &Path) -> Result<File, VaultError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let cannot = |error| VaultError::io("lock", &name, &error);
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(cannot)?;
    file.lock().map_err(cannot)?;
    Ok(file)
}
