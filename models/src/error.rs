// SPDX-License-Identifier: AGPL-3.0-or-later
//! The one error of this crate.

use std::path::PathBuf;

use bho_engine::EngineError;

/// Why a model could not be found, read, converted or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be read or written.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done, e.g. `cannot write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is there but is not what it should be.
    #[error("{file}: {message}")]
    Invalid {
        /// The file, or the part of it.
        file: String,
        /// What is wrong and what would be accepted.
        message: String,
    },
    /// A tensor is missing or is not what the architecture needs.
    #[error("{file}: tensor {tensor}: {message}")]
    Tensor {
        /// The weights file.
        file: String,
        /// Name of the tensor.
        tensor: String,
        /// What is wrong and what would be accepted.
        message: String,
    },
    /// What a config says of its labels contradicts itself, so that a head's outputs cannot be told apart.
    #[error("{file}: config: {message}")]
    Labels {
        /// The file.
        file: String,
        /// The labels at fault and what would be accepted.
        message: String,
    },
    /// No model goes by this name.
    #[error("no model is called {name:?}; known: {known}. A file can be given by its path")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names and aliases of the store.
        known: String,
    },
    /// The layers or kernels refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A conversion was stopped; nothing was written under the final name.
    #[error("stopped; nothing was written")]
    Cancelled,
    /// A pull was stopped; it says what is kept.
    #[error("stopped; {0}")]
    Paused(String),
}

impl ModelError {
    pub(crate) fn invalid(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { file: file.into(), message: clipped(message.into()) }
    }

    pub(crate) fn labels(file: impl Into<String>, message: String) -> Self {
        Self::Labels { file: file.into(), message: clipped(message) }
    }

    pub(crate) fn tensor(
        file: impl Into<String>,
        tensor: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let (tensor, message) = (clipped(tensor.into()), clipped(message.into()));
        Self::Tensor { file: file.into(), tensor, message }
    }

    pub(crate) fn read(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { action: "cannot read", path: path.into(), source }
    }

    pub(crate) fn write(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { action: "cannot write", path: path.into(), source }
    }
}

/// Longest part of a message, in bytes: what a file says of itself must not flood a terminal.
const MAX_SHOWN: usize = 400;

/// Cuts the middle out of a part of a message that is longer than [`MAX_SHOWN`]: it begins with
/// what failed and ends with what would be accepted.
fn clipped(text: String) -> String {
    if text.len() <= MAX_SHOWN {
        return text;
    }
    let whole = |at: &usize| text.is_char_boundary(*at);
    let head = (0..=MAX_SHOWN / 2).rev().find(whole).unwrap_or(0);
    let tail = (text.len() - MAX_SHOWN / 2..text.len()).find(whole).unwrap_or(text.len());
    format!("{} … {}", &text[..head], &text[tail..])
}
