// SPDX-License-Identifier: AGPL-3.0-or-later
//! The command line: what may be written, and what is said when it is not understood.

pub(crate) mod args;
pub(crate) mod eval;
pub(crate) mod eval_tasks;
pub(crate) mod generation;
pub(crate) mod model_files;
pub(crate) mod models;
pub(crate) mod vault;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser as _};

use crate::exit::{Exit, Failure};
use args::{Cli, Verb};

/// Reads the command line of this process. `--help` and `--version` print and end in success.
pub(crate) fn parse() -> Result<Verb, Failure> {
    match Cli::try_parse() {
        Ok(cli) => Ok(cli.verb),
        Err(error) => {
            if is_stray_text(&error) {
                return Err(Failure::said(
                    Exit::Usage,
                    "there is more than one text: put the text in quotes, or give it as @FILE or -",
                ));
            }
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
            // A closed stream is no reason to fail over a help text.
            let _ = error.print();
            Err(Failure::silent(exit))
        }
    }
}

/// The command as clap knows it, for completions.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

/// Whether the error is a further word where one text was expected. clap would repeat the word, and
/// an unquoted text may well hold an e-mail address.
fn is_stray_text(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::UnknownArgument
        && matches!(
            error.get(ContextKind::InvalidArg),
            Some(ContextValue::String(word)) if !word.starts_with('-')
        )
}
