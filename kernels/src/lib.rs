// SPDX-License-Identifier: AGPL-3.0-or-later
//! Ternary (1.58-bit) and int8 matrix kernels for CPUs.
/// Why a kernel refused.
#[derive(Debug, thiserror::Error)]
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
}
