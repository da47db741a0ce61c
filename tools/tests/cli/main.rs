// SPDX-License-Identifier: AGPL-3.0-or-later
//! The program as its users meet it: exit codes, streams, JSON, and what must never be printed.

mod bench;
mod chat;
mod decoder_files;
mod eval;
mod eval_tasks;
mod filter;
mod generation;
mod guard;
mod help;
mod learned;
mod machine;
mod model_files;
mod models;
mod pipeline_writing;
mod ppl;
mod run;
mod streams;
mod support;
mod validate;
mod vault;
mod writing;
