// SPDX-License-Identifier: AGPL-3.0-or-later
//! I2_S, bitnet.cpp's GGUF tensor type 36.
//!
//! A block of `4 W` inputs takes `W` bytes; byte `j` holds inputs `j`, `W + j`, `2 W + j` and
//! `3 W + j`, from the high bits down. Behind the blocks of all rows stands a trailer of 32 bytes:
//! one little-endian f32, the scale of the tensor, and 28 bytes that mean nothing.
//!
//! Learned from microsoft/BitNet, `src/ggml-bitnet-mad.cpp` (`quantize_i2_s`).

use super::{ForeignTernary, ImportError, spread};

/// Bytes behind the weights.
pub(super) const TRAILER: usize = 32;

/// The bits of inputs `j`, `W + j`, `2 W + j`, `3 W + j`.
const SHIFTS: [u32; 4] = [6, 4, 2, 0];

/// Which machine quantized an I2_S tensor. GGUF files do not record it, and the bytes of one layout
/// are valid in the other, so the caller must know. Microsoft's published files are
/// [`I2sLayout::X86`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum I2sLayout {
    /// Blocks of 128 inputs in 32 bytes: quantized by an x86 build of bitnet.cpp.
    #[default]
    X86,
    /// Blocks of 64 inputs in 16 bytes: quantized by an Arm build of bitnet.cpp.
    Arm,
}

impl I2sLayout {
    pub(super) fn block(self) -> (usize, usize) {
        match self {
            Self::X86 => (128, 32),
            Self::Arm => (64, 16),
        }
    }
}

/// The scale in the trailer of a whole tensor.
pub(super) fn scale(bytes: &[u8]) -> f32 {
    let at = bytes.len() - TRAILER;
    f32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]))
}

impl ForeignTernary<'_> {
    pub(super) fn read_i2_s(
        &self,
        layout: I2sLayout,
        row: usize,
        col: usize,
        codes: &mut [u8],
    ) -> Result<(), ImportError> {
        let bytes = &self.bytes[(row * self.cols + col) / 4..];
        match layout {
            I2sLayout::X86 => spread::<32>(bytes, SHIFTS, codes),
            I2sLayout::Arm => spread::<16>(bytes, SHIFTS, codes),
        }
        self.check_codes(row, col, codes)
    }
}
