// SPDX-License-Identifier: AGPL-3.0-or-later
//! TQ1_0, llama.cpp's GGUF tensor type 34: 256 inputs in 52 bytes and an f16 scale.
//!
//! A byte holds five codes as the base-3 digits of a fraction, the first the most significant:
//! `byte = ceil(256 · (c0/3 + c1/9 + c2/27 + c3/81 + c4/243))`. The first 32 bytes hold the first 160
//! inputs, byte `j` those at `32 n + j`; 16 bytes hold the next 80, at `160 + 16 n + j`; 4 bytes
//! hold the last 16, four each, at `240 + 4 n + j`. Every byte decodes to codes 0, 1, 2.
//! Reference: `gguf.quants` of the `gguf` package.

use super::BLOCK_COLS;

/// Bytes of a block.
pub(super) const BYTES: usize = 54;

pub(super) fn unpack(block: &[u8; BYTES], codes: &mut [u8; BLOCK_COLS]) {
    digits(&block[..32], &mut codes[..160]);
    digits(&block[32..48], &mut codes[160..240]);
    digits(&block[48..52], &mut codes[240..]);
}

/// The codes of each byte: digit `n` of byte `j` goes to `codes[n * bytes.len() + j]`.
fn digits(bytes: &[u8], codes: &mut [u8]) {
    let mut power = 1u8;
    for codes in codes.chunks_exact_mut(bytes.len()) {
        for (code, byte) in codes.iter_mut().zip(bytes) {
            // Wrapping drops the digits before; three times the rest carries out the next one.
            *code = ((u16::from(byte.wrapping_mul(power)) * 3) >> 8) as u8;
        }
        power = power.wrapping_mul(3);
    }
}
