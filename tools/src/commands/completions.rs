// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho completions`.

use std::io::Write as _;

use crate::cli::{self, args::CompletionsArgs};
use crate::exit::{Exit, Failure};
use crate::output;

/// Prints the script for a shell.
pub(crate) fn execute(args: &CompletionsArgs) -> Result<Exit, Failure> {
    // Into memory first: the generator panics when its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "bho", &mut script);
    let mut out = output::stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(Exit::Success)
}
