// SPDX-License-Identifier: AGPL-3.0-or-later
//! Quantized blocks to f32, in the order of operations of ggml's reference.
//!
//! Every value is one product, or one product less or plus a rounded term; Rust fuses neither, so
//! results are bit for bit those of the `gguf` package.

use half::{bf16, f16};

use super::types::GgufType;

/// Decodes whole blocks; `out` has as many elements as `bytes` holds.
///
/// The ternary types are not decoded here but by `bho_kernels::ForeignTernary`.
pub(super) fn dequantize(kind: GgufType, bytes: &[u8], out: &mut [f32]) {
    match kind {
        GgufType::F32 => blocks(bytes, out, |b, [y]: &mut [f32; 1]| *y = f32::from_le_bytes(*b)),
        GgufType::F16 => blocks(bytes, out, |b: &[u8; 2], [y]: &mut [f32; 1]| *y = half(b)),
        GgufType::BF16 => {
            blocks(bytes, out, |b, [y]: &mut [f32; 1]| *y = bf16::from_le_bytes(*b).to_f32());
        }
        GgufType::Q4_0 => blocks(bytes, out, q4_0),
        GgufType::Q4_1 => blocks(bytes, out, q4_1),
        GgufType::Q5_0 => blocks(bytes, out, q5_0),
        GgufType::Q5_1 => blocks(bytes, out, q5_1),
        GgufType::Q8_0 => blocks(bytes, out, q8_0),
        GgufType::Q4K => blocks(bytes, out, q4_k),
        GgufType::Q5K => blocks(bytes, out, q5_k),
        GgufType::Q6K => blocks(bytes, out, q6_k),
        GgufType::Tq1_0 | GgufType::Tq2_0 | GgufType::I2S => {
            unreachable!("ternary types are read by the kernels")
        }
    }
}

/// Calls `f` with each block of `B` bytes and its `N` elements.
fn blocks<const B: usize, const N: usize>(
    bytes: &[u8],
    out: &mut [f32],
    f: impl Fn(&[u8; B], &mut [f32; N]),
) {
    let (bytes, out) = (bytes.as_chunks().0, out.as_chunks_mut().0);
    bytes.iter().zip(out).for_each(|(bytes, out)| f(bytes, out));
}

/// The f16 that `bytes` begins with.
fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// Writes `value` of each 4-bit number: low nibbles first, then high ones.
fn nibbles(qs: &[u8], out: &mut [f32], value: impl Fn(u8, usize) -> f32) {
    let (low, high) = out.split_at_mut(qs.len());
    for (i, q) in qs.iter().enumerate() {
        low[i] = value(q & 15, i);
        high[i] = value(q >> 4, qs.len() + i);
    }
}

fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half(block);
    nibbles(&block[2..], out, |q, _| d * f32::from(q as i8 - 8));
}

fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (half(block), half(&block[2..]));
    nibbles(&block[4..], out, |q, _| d * f32::from(q) + m);
}

/// The fifth bits of 32 numbers, at bit 4: element `i` has bit `i`.
fn fifth(bits: &[u8]) -> impl Fn(usize) -> u8 {
    let bits = u32::from_le_bytes([bits[0], bits[1], bits[2], bits[3]]);
    move |i| ((bits >> i & 1) as u8) << 4
}

fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let (d, high) = (half(block), fifth(&block[2..]));
    nibbles(&block[6..], out, |q, i| d * f32::from((q | high(i)) as i8 - 16));
}

fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m, high) = (half(block), half(&block[2..]), fifth(&block[4..]));
    nibbles(&block[8..], out, |q, i| d * f32::from(q | high(i)) + m);
}

fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half(block);
    out.iter_mut().zip(&block[2..]).for_each(|(y, q)| *y = d * f32::from(*q as i8));
}

/// Scale and minimum of part `i` of a Q4_K or Q5_K block, whose head is `block`.
///
/// Twelve bytes hold eight pairs of 6 bits: the first four scales and minimums in the low bits of
/// bytes 0..4 and 4..8; of the others the low four bits in bytes 8..12 and the high two in the top
/// bits of the first eight bytes.
fn scale_and_min(block: &[u8], i: usize) -> (f32, f32) {
    let (d, dmin, packed) = (half(block), half(&block[2..]), &block[4..16]);
    let (scale, min) = match i {
        0..4 => (packed[i] & 63, packed[i + 4] & 63),
        _ => {
            (packed[i + 4] & 15 | packed[i - 4] >> 6 << 4, packed[i + 4] >> 4 | packed[i] >> 6 << 4)
        }
    };
    (d * f32::from(scale), dmin * f32::from(min))
}

fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    for (i, (qs, out)) in block[16..].chunks_exact(32).zip(out.chunks_exact_mut(64)).enumerate() {
        let parts = [scale_and_min(block, 2 * i), scale_and_min(block, 2 * i + 1)];
        nibbles(qs, out, |q, k| {
            let (d, m) = parts[k / 32];
            d * f32::from(q) - m
        });
    }
}

fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (high, qs) = block[16..].split_at(32);
    for (i, (qs, out)) in qs.chunks_exact(32).zip(out.chunks_exact_mut(64)).enumerate() {
        let parts = [scale_and_min(block, 2 * i), scale_and_min(block, 2 * i + 1)];
        nibbles(qs, out, |q, k| {
            let (d, m) = parts[k / 32];
            // Bit `part` of byte `j` is the fifth bit of element `j` of the part.
            let bit = high[k % 32] >> (2 * i + k / 32) & 1;
            d * f32::from(q | bit << 4) - m
        });
    }
}

fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, d) = rest.split_at(16);
    let d = half(d);
    for (h, out) in out.chunks_exact_mut(128).enumerate() {
        let (low, high) = (&low[64 * h..][..64], &high[32 * h..][..32]);
        for (k, y) in out.iter_mut().enumerate() {
            let nibble = low[k % 64] >> (4 * (k / 64)) & 15;
            let bits = high[k % 32] >> (2 * (k / 32)) & 3;
            let scale = f32::from(scales[8 * h + k / 16] as i8);
            *y = d * scale * f32::from((nibble | bits << 4) as i8 - 32);
        }
    }
}
