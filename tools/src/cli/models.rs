// SPDX-License-Identifier: AGPL-3.0-or-later
//! Flags of `bho models`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[derive(Debug, Args)]
#[command(disable_help_subcommand = true, after_help = STORE)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub(crate) verb: ModelsVerb,
}

const STORE: &str = "\
The store is the folder BHO_MODELS_DIR, else bho/models in XDG_DATA_HOME, else
~/.local/share/bho/models. Every verb that reads a model takes the name of one in it where no file
has that name.";

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsVerb {
    /// List the models of the program and of the store.
    List(ModelsListArgs),
    /// Show where a model comes from, its licence and its files.
    Show(ModelsShowArgs),
    /// Read every file of the program's and the store's models, and say what is wrong.
    Verify(ModelsVerifyArgs),
    /// Bring a model into the store.
    Pull(ModelsPullArgs),
    /// Remove a model from the store, with the files that no other model needs.
    Rm(ModelsRmArgs),
}

const LIST_EXAMPLES: &str = "\
Examples:
  bho models list
  bho models list --json | jq -r '.models[].name'

Exits with 1 if the manifest of a model is damaged; the others are listed all the same.";

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct ModelsListArgs {
    /// Print the list as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const SHOW_EXAMPLES: &str = "\
Examples:
  bho models show minilm-l6-int8
  bho models show smollm2
  llama-cli -m \"$(bho models show smollm2 --path)\"";

#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(crate) struct ModelsShowArgs {
    /// Name of a model
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Print only where it can be read: its file, or the folder of its files
    #[arg(long, conflicts_with = "json")]
    pub(crate) path: bool,

    /// Print everything as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  bho models verify
  bho models verify minilm-l6-int8 smollm2
  bho models verify --json | jq -r '.models[] | select(.faults != []) | .name'

Reads every file again: its size and sha256, and whether its header, the places of its tensors
and its JSON can be read. What is inside the program is also held against what the program says
of it, and built. (`bho inspect NAME --audit` looks as deep into a model of the store.) A line per
model says what is wrong and what to do. Files that no model needs and downloads that broke off
are listed; they are no fault.

Exits with 0 if all is sound, with 1 if something is wrong, with 2 for a name nobody knows.";

#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub(crate) struct ModelsVerifyArgs {
    /// Names of models [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const RM_EXAMPLES: &str = "\
Examples:
  bho models rm smollm2
  bho models rm smollm2 --yes --json";

#[derive(Debug, Args)]
#[command(after_help = RM_EXAMPLES)]
pub(crate) struct ModelsRmArgs {
    /// Name of a model
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Print what was removed as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const PULL_EXAMPLES: &str = "\
Examples:
  bho models pull ./smollm2-folder --name smollm2 --licence Apache-2.0
  bho models pull https://example.org/smollm2.Q4_1.gguf --sha256 \"$SUM\"
  BHO_HUB=https://hub.example.org bho models pull org/model --file '*Q8_0.gguf'
  bho models pull org/model --hub https://hub.example.org --revision v1.0 --yes

SOURCE is a file or folder of this machine, the address of a file, or a repository OWNER/NAME of a
model hub, whose address is not built in. The licence and the files are shown before anything is
fetched. A download that breaks off is kept; the same command goes on from there. What the source
states the sha256 of is held against it; the rest is recorded as unverified. Addresses and hubs need
a build with `--features pull`.

Environment:
  BHO_HUB        address of the hub, where --hub is not given
  BHO_HUB_TOKEN  token for repositories that are not open to all; sent to the hub's host alone";

#[derive(Debug, Args)]
#[command(after_help = PULL_EXAMPLES)]
pub(crate) struct ModelsPullArgs {
    /// A file, a folder, an https address, or OWNER/NAME
    #[arg(value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub(crate) source: String,

    /// Name in the store [default: that of the source]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Branch, tag or commit of a repository
    #[arg(long, value_name = "REVISION", default_value = "main")]
    pub(crate) revision: String,

    /// Take only files that match (* and ?); may be given several times [default: what a model needs]
    #[arg(long, value_name = "PATTERN")]
    pub(crate) file: Vec<String>,

    /// sha256 that the one file must have
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Option<String>,

    /// Licence to record where the source states none
    #[arg(long, value_name = "SPDX")]
    pub(crate) licence: Option<String>,

    /// Do not ask before the download
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Print the manifest as JSON when it is done
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// How the network is used.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Address of the hub
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) hub: Option<String>,

    /// Most bytes of all files: a number, or one with kB, MB, GB or TB
    #[arg(long, value_name = "SIZE", default_value = "64GB", value_parser = size)]
    pub(crate) max_size: u64,

    /// Tries after a failed one; a MiB that came begins the count anew
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) retries: u32,

    /// Give a connection up that brings less than a KiB in so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) timeout: u32,

    /// Take http from other machines, which anyone in between can change
    #[arg(long)]
    pub(crate) insecure_http: bool,
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err("expected a number of bytes, or one with kB, MB, GB or TB".into()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a number first".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "too large".into())
}

/// What `bho models pull` reads from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PullSource {
    Address(String),
    Local(PathBuf),
    /// Nothing of this machine has this name.
    Repository(String),
}

impl ModelsPullArgs {
    /// What the source is: something with a scheme, something that is there, or a repository.
    pub(crate) fn kind(&self) -> PullSource {
        let source = self.source.clone();
        if source.contains("://") {
            PullSource::Address(source)
        } else if std::fs::symlink_metadata(&source).is_ok() {
            PullSource::Local(source.into())
        } else {
            PullSource::Repository(source)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_read_with_their_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("12", 12),
            ("3kB", 3000),
            ("64GB", 64_000_000_000),
            ("2 TB", 2_000_000_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "-1", "1.5GB", "1GiB", "99999999999999999999", "20000000000TB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
