// SPDX-License-Identifier: AGPL-3.0-or-later
//! The one error of this crate.

use std::path::PathBuf;

use crate::control::Cancelled;

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The work was stopped by its [`crate::CancelToken`].
    #[error("cancelled before it finished")]
    Cancelled,
    /// Another thread of the same forward pass failed, and its error is the one to tell.
    #[error("stopped because another thread failed")]
    Aborted,
    /// A file could not be opened or mapped.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The KV cache has no room.
    #[error("the KV cache is full: {needed} more pages are needed, {available} are there")]
    OutOfPages {
        /// Pages asked for.
        needed: usize,
        /// Pages that were left.
        available: usize,
    },
    /// A tensor does not have the shape the layer needs.
    #[error("tensor {tensor}: expected {expected}, found {found}")]
    Shape {
        /// Tensor or layer name.
        tensor: String,
        /// What the layer needs.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// The kernels refused.
    #[error(transparent)]
    Kernel(#[from] bho_kernels::KernelError),
    /// The input does not fit the model (token id past the vocabulary, sequence past the positions).
    #[error("input: {0}")]
    Input(String),
    /// The weights gave a value that is no finite number.
    #[error("{what} holds {value}: the weights are damaged, or too large for single precision")]
    NotFinite {
        /// What was being computed.
        what: String,
        /// `NaN`, `inf` or `-inf`.
        value: f32,
    },
    /// The text could not be tokenized.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The model has no head for this task.
    #[error("model {model} has no {head} head; it has: {available}")]
    NoHead {
        /// Model name.
        model: String,
        /// The head asked for.
        head: &'static str,
        /// The heads it has.
        available: String,
    },
    /// No token could be sampled.
    #[error(transparent)]
    Sampling(#[from] crate::sampling::SamplingError),
    /// The system has no memory to give.
    #[error("cannot get memory: {0}")]
    Memory(std::io::Error),
    /// The compute threads could not be started.
    #[error("cannot start compute threads: {0}")]
    Threads(String),
}

impl From<Cancelled> for EngineError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}
