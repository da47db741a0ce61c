// SPDX-License-Identifier: AGPL-3.0-or-later
//! The one error of this crate.

use alloc::string::String;

/// Why a kernel refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A buffer does not have the length the shapes ask for.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Which argument.
        what: &'static str,
        /// What the shapes ask for.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A dimension is zero, or so large that sums or sizes could overflow.
    #[error("{what}: {found} is outside 1..={max}")]
    Dimension {
        /// Which dimension.
        what: &'static str,
        /// Largest allowed.
        max: usize,
        /// What was given.
        found: usize,
    },
    /// A packed ternary byte holds the unused code 3.
    #[error("ternary weights: byte {offset} holds code 3; codes are 0, 1, 2 for -1, 0, +1")]
    Code {
        /// Offset of the byte in the packed data.
        offset: usize,
    },
    /// The backend that was asked for does not exist.
    #[error("no kernel backend is called {name:?}; this build has: {known}")]
    UnknownIsa {
        /// What was asked for.
        name: String,
        /// The backends of this build.
        known: String,
    },
    /// The backend that was asked for needs CPU features that are not here.
    #[error("kernel backend {name} needs CPU features this machine lacks; available: {available}")]
    UnavailableIsa {
        /// What was asked for.
        name: &'static str,
        /// The backends this machine can run.
        available: String,
    },
}

impl KernelError {
    pub(crate) fn check(
        what: &'static str,
        expected: usize,
        found: usize,
    ) -> Result<(), KernelError> {
        if expected == found { Ok(()) } else { Err(Self::Shape { what, expected, found }) }
    }

    pub(crate) fn dimension(
        what: &'static str,
        max: usize,
        found: usize,
    ) -> Result<(), KernelError> {
        if (1..=max).contains(&found) { Ok(()) } else { Err(Self::Dimension { what, max, found }) }
    }
}
