// SPDX-License-Identifier: AGPL-3.0-or-later
//! What keeps a configuration from being read or written at all.

use std::path::PathBuf;

use super::Fault;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the pipeline `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file was read, and is wrong.
    #[error("{}", summary(faults))]
    Invalid {
        /// All of its faults, warnings included.
        faults: Vec<Fault>,
    },
    /// The effective configuration could not be written as YAML.
    #[error("cannot write the configuration as YAML: {0}")]
    Write(#[from] serde_yaml::Error),
}

/// The first error, and how many more there are.
fn summary(faults: &[Fault]) -> String {
    let mut errors = faults.iter().filter(|fault| fault.is_error());
    match (errors.next(), errors.count()) {
        (None, _) => "the pipeline is not valid".to_owned(),
        (Some(first), 0) => format!("the pipeline is not valid: {first}"),
        (Some(first), more) => format!("the pipeline is not valid: {first} (and {more} more)"),
    }
}
