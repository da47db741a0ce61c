// SPDX-License-Identifier: AGPL-3.0-or-later
//! What can go wrong in the guard. No variant ever holds text that was checked.

use crate::policy::PolicyFault;
use crate::vault::VaultError;

/// An error of the guard.
///
/// Messages name settings, detectors and limits; they never hold the checked text or a part of it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The check was asked to stop before it was done; nothing of the text has been passed on.
    #[error("the guard check was cancelled before it finished")]
    Cancelled,

    /// A detector could not do its work (a model that failed to run, for instance).
    #[error("detector `{detector}` failed: {message}")]
    Detector {
        /// [`Detector::name`](crate::Detector::name) of the one that failed.
        detector: &'static str,
        /// What failed; written by the detector, which must not quote the text.
        message: String,
    },

    /// A detector returned a finding that cannot be right, so no decision can rest on it.
    #[error("detector `{detector}` returned a bad finding: {reason}")]
    BadFinding {
        /// [`Detector::name`](crate::Detector::name) of the one at fault.
        detector: &'static str,
        /// What is wrong with it: the span or the score.
        reason: &'static str,
    },

    /// A pseudonym could not be kept, so nothing of the text has been passed on.
    #[error(transparent)]
    Vault(#[from] VaultError),

    /// The policy has faults; all of them are listed.
    #[error("the guard policy has {} fault(s): {}", .faults.len(), join(.faults))]
    InvalidPolicy {
        /// Every fault found, in the order of the policy's keys.
        faults: Vec<PolicyFault>,
    },

    /// A guard variable points to an ONNX file, a format this program does not run.
    #[error(
        "{variable} names an .onnx file ({path}); this program runs safetensors only: convert the original model \
         directory with `bho convert <model directory> <out.safetensors>` and set TINYBERT_PATH to the result"
    )]
    OnnxModel {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        path: String,
    },

    /// A yes/no guard variable holds something else.
    #[error("{variable} must be one of 1, true, yes, on, 0, false, no, off or empty")]
    BadFlag {
        /// The environment variable.
        variable: &'static str,
    },
}

fn join(faults: &[PolicyFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
