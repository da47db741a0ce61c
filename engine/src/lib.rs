// SPDX-License-Identifier: AGPL-3.0-or-later
//! The engine: weights by mmap, layers, and forward passes over [`bho_kernels`].
//!
//! Callers see a model through a trait ([`Encoder`]); concrete models are built in `bho-models`
//! from the layers here, and wired by the CLI. Work is stopped through a [`CancelToken`], and
//! concurrent requests to one model share a pass through its [`BatchedEncoder`].

#![deny(unsafe_code)]

mod batcher;
mod compute;
mod control;
pub mod decoder;
mod encoder;
mod error;
pub mod generation;
mod huge;
pub mod layers;
#[allow(unsafe_code, reason = "mapping a file; the block says why it is sound")]
mod mmap;
pub mod sampling;
mod spmd;
mod storage;

pub use batcher::BatchedEncoder;
pub use compute::Compute;
pub use control::{CancelToken, Cancelled};
pub use encoder::{
    Classification, Coverage, Embedding, Encoder, LabelScore, ModelInfo, PairScores, TokenLabel,
    WindowScores, is_inference,
};
pub use error::EngineError;
pub use huge::{HUGE_PAGE, PageArena, Pages};
pub use mmap::MappedFile;
pub use storage::{Storage, WeightBytes, promote};
