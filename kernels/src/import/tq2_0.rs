// SPDX-License-Identifier: AGPL-3.0-or-later
//! TQ2_0, llama.cpp's GGUF tensor type 35: 256 inputs in 64 bytes and an f16 scale.
//!
//! Two groups of 128 inputs in 32 bytes; byte `j` of a group holds inputs `j`, `32 + j`, `64 + j`
//! and `96 + j`, from the low bits up. Reference: `gguf.quants` of the `gguf` package.

use super::{BLOCK_COLS, spread};

/// Bytes of a block.
pub(super) const BYTES: usize = BLOCK_COLS / 4 + 2;

pub(super) fn unpack(block: &[u8; BYTES], codes: &mut [u8; BLOCK_COLS]) {
    spread::<32>(&block[..BLOCK_COLS / 4], [0, 2, 4, 6], codes);
}
