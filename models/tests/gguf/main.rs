// SPDX-License-Identifier: AGPL-3.0-or-later
//! Reading GGUF: values against the `gguf` package, hostile files against messages.

mod build;
mod golden;
mod hostile;
mod mutate;
mod tokenizer;
mod tokens;
