// SPDX-License-Identifier: AGPL-3.0-or-later
//! Float element types and their conversion to f32.

use half::{bf16, f16};
use safetensors::Dtype;

/// A float type this version reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FloatKind {
    F32,
    F16,
    BF16,
}

impl FloatKind {
    pub(crate) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::BF16),
            _ => None,
        }
    }
}

impl FloatKind {
    /// As safetensors names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        }
    }
}

/// Little-endian bytes as f32; a trailing part of a value is dropped (headers exclude it).
pub(crate) fn to_f32(kind: FloatKind, bytes: &[u8]) -> Vec<f32> {
    let pairs = || bytes.as_chunks::<2>().0.iter().copied();
    match kind {
        FloatKind::F32 => bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        FloatKind::F16 => pairs().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        FloatKind::BF16 => pairs().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
    }
}
