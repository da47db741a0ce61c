// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho`: guarded pipelines of small models on ordinary CPUs, from the command line.
//!
//! This is the only crate that reads the environment, prints and decides on concrete models.

#![forbid(unsafe_code)]

mod answer;
mod bench;
mod chat;
mod cli;
mod commands;
mod eval;
mod exit;
mod guards;
#[cfg(feature = "pull")]
mod http;
mod input;
mod keys;
mod machine;
mod models;
mod output;
mod wiring;
mod writer;

fn main() -> std::process::ExitCode {
    exit::guarded(|| exit::report(cli::parse().and_then(commands::execute)))
}
