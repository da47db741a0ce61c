// SPDX-License-Identifier: AGPL-3.0-or-later
//! Flags of `bho guard reveal` and `bho guard keygen`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};

use super::args::text;
use crate::input::TextArg;

const REVEAL_EXAMPLES: &str = "\
Examples:
  bho guard reveal --vault people.vault --key-file vault.key \"Dear [NAME_bdgkqrtwmn], ...\"
  bho run pipeline.yml --input @letter.txt --json | jq -r .text |
    bho guard reveal --vault people.vault --key-env VAULT_KEY -
  bho guard reveal --vault people.vault --key-env VAULT_KEY --json @answer.txt

Pseudonyms of this vault become what they stand for; the rest of the text stays as it is, byte for
byte, and so does what only looks like a pseudonym. The key is the one that the pipeline names in
`policies.vault.key`. Exits with 1 if the vault is damaged or the key is another vault's.";

#[derive(Debug, Args)]
#[command(after_help = REVEAL_EXAMPLES)]
#[command(group = ArgGroup::new("key").required(true).args(["key_env", "key_file"]))]
pub(crate) struct GuardRevealArgs {
    /// The text: as is, from a file (@FILE), or from standard input (-)
    #[arg(value_name = "TEXT|@FILE|-", value_parser = text())]
    pub(crate) text: TextArg,

    /// The vault, as `policies.vault.file` of the pipeline names it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) vault: PathBuf,

    /// Environment variable that holds the vault's key or passphrase
    #[arg(long, value_name = "NAME")]
    pub(crate) key_env: Option<String>,

    /// File that holds the vault's key or passphrase
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key_file: Option<PathBuf>,

    /// Print the text and how many pseudonyms there were as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const KEYGEN_EXAMPLES: &str = "\
Examples:
  bho guard keygen vault.key
  bho guard keygen hash.key --json

Writes 32 random bytes as 64 hex digits, readable by its owner only, for `policies.vault.key` or
`policies.hash_key`. A file that is there already is never replaced. Without its key a vault cannot
be opened by anyone: keep a copy.";

#[derive(Debug, Args)]
#[command(after_help = KEYGEN_EXAMPLES)]
pub(crate) struct GuardKeygenArgs {
    /// File to write the key to
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Print where the key is as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
