// SPDX-License-Identifier: AGPL-3.0-or-later
//! Keys of the guard: read from variables and files, never shown.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bho_guard::{GuardKeys, Key, Operator, Vault, VaultError, VaultSecret};
use bho_orchestrator::config::{KeySource, Policies};

use crate::exit::{Exit, Failure, OrFailed as _};

/// Longest text of a key or passphrase.
const MAX_SECRET: u64 = 4096;

/// The keys that the operators of a pipeline use; files are relative to `pipeline`. A vault that is not there is made.
pub(crate) fn of_pipeline(policies: &Policies, pipeline: &Path) -> Result<GuardKeys, Failure> {
    let folder = pipeline.parent().unwrap_or(Path::new(""));
    let uses = |test: fn(&Operator) -> bool| policies.redactions.values().any(test);
    let mut keys = GuardKeys::default();
    if let Some(source) =
        policies.hash_key.as_ref().filter(|_| uses(|o| matches!(o, Operator::Hash { .. })))
    {
        let text = read(source, folder, "policies.hash_key")?;
        let key = Key::from_hex(&text).context("policies.hash_key")?;
        keys.hash = Some(key);
    }
    if let Some(vault) = policies.vault.as_ref().filter(|_| uses(|o| *o == Operator::Pseudonymise))
    {
        let secret = VaultSecret::from_text(&read(&vault.key, folder, "policies.vault.key")?);
        let vault = opened(Vault::open_or_create(&folder.join(&vault.file), &secret))?;
        keys.vault = Some(Arc::new(vault));
    }
    Ok(keys)
}

/// Opens a vault that is there.
pub(crate) fn open_vault(path: &Path, source: &KeySource) -> Result<Vault, Failure> {
    let flag = match source {
        KeySource::Env(_) => "--key-env",
        KeySource::File(_) => "--key-file",
    };
    let secret = VaultSecret::from_text(&read(source, Path::new(""), flag)?);
    opened(Vault::open(path, &secret))
}

/// A file that cannot be read and a key of the wrong kind are the caller's; a damaged file is the job's.
fn opened(vault: Result<Vault, VaultError>) -> Result<Vault, Failure> {
    match vault {
        Err(
            error @ (VaultError::Io { .. }
            | VaultError::BadKey
            | VaultError::SecretKind { .. }
            | VaultError::WeakPassphrase),
        ) => Err(Failure::said(Exit::Usage, error.to_string())),
        other => other.or_failed(),
    }
}

/// The text of a key; `named_by` is what messages call the place that names it.
fn read(source: &KeySource, folder: &Path, named_by: &str) -> anyhow::Result<String> {
    let text = match source {
        KeySource::Env(name) => match std::env::var(name) {
            Ok(text) => text,
            Err(std::env::VarError::NotPresent) => {
                bail!("the variable {name}, named by {named_by}, is not set")
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                bail!("the variable {name}, named by {named_by}, is not UTF-8")
            }
        },
        KeySource::File(path) => {
            let path = folder.join(path);
            let cannot = || format!("cannot read {}, named by {named_by}", path.display());
            let mut text = String::new();
            let file = File::open(&path).with_context(cannot)?;
            file.take(MAX_SECRET + 1).read_to_string(&mut text).with_context(cannot)?;
            text
        }
    };
    if text.trim().is_empty() {
        bail!("the key that {named_by} names is empty");
    }
    if text.len() as u64 > MAX_SECRET {
        bail!("the key that {named_by} names is longer than {MAX_SECRET} bytes");
    }
    Ok(text)
}
