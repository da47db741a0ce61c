// SPDX-License-Identifier: AGPL-3.0-or-later
//! The engine: weights by mmap, layers, and forward passes over [`bho_kernels`].
//!
//! Callers see a model through a trait ([`Encoder`]); concrete models are built in `bho-models`
//! from the layers here, and wired by the CLI.

#![deny(unsafe_code)]

mod control;
mod encoder;
mod error;

pub use control::{CancelToken, Cancelled};
pub use encoder::{Classification, Coverage, Embedding, Encoder, LabelScore, ModelInfo, TokenLabel};
pub use error::EngineError;
