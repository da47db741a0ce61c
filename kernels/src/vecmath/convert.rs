// SPDX-License-Identifier: AGPL-3.0-or-later
//! Conversions between f32 and the 16-bit floats, bit for bit as IEEE 754 has them.

use half::{bf16, f16};

use super::{LANES, Lanes, same_length};

/// Conversions of 16 values from and to f16: plain loops, or the instructions a backend has.
///
/// A value of the type is the proof that its instructions may run.
pub(crate) trait HalfLanes: Copy {
    /// Exact.
    #[inline(always)]
    fn widen(self, h: &[f16; LANES]) -> Lanes {
        let mut x = [0f32; LANES];
        for i in 0..LANES {
            x[i] = widen(h[i]);
        }
        x
    }

    /// To nearest, ties to even.
    #[inline(always)]
    fn narrow(self, x: &Lanes) -> [f16; LANES] {
        let mut h = [f16::ZERO; LANES];
        for i in 0..LANES {
            h[i] = narrow(x[i]);
        }
        h
    }
}

/// No instructions for f16.
#[derive(Clone, Copy)]
pub(crate) struct PlainLanes;

impl PlainLanes {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl HalfLanes for PlainLanes {}

/// Exponent and fraction of an f16 infinity, moved to where f32 has its fraction.
const INF: u32 = 0x7c00 << 13;

/// What brings an f16 exponent, moved so, to the bias of f32.
const REBIAS: u32 = (127 - 15) << 23;

/// The bit that makes an f32 NaN quiet.
const QUIET: u32 = 1 << 22;

/// Exact; a NaN comes out quiet.
#[inline(always)]
fn widen(h: f16) -> f32 {
    let h = u32::from(h.to_bits());
    let sign = (h & 0x8000) << 16;
    let magnitude = (h & 0x7fff) << 13;
    // Subnormal: as the fraction of 2^-14, which is then taken off again.
    let one = REBIAS + (1 << 23);
    let subnormal = (f32::from_bits(magnitude + one) - f32::from_bits(one)).to_bits();
    let quiet = if magnitude > INF { QUIET } else { 0 };
    let infinite = (magnitude + 2 * REBIAS) | quiet;
    let finite = if magnitude < 1 << 23 { subnormal } else { magnitude + REBIAS };
    let bits = if magnitude < INF { finite } else { infinite };
    f32::from_bits(bits | sign)
}

/// To nearest, ties to even; a NaN comes out quiet.
#[inline(always)]
fn narrow(x: f32) -> f16 {
    let sign = x.to_bits() >> 16 & 0x8000;
    let magnitude = x.to_bits() & 0x7fff_ffff;
    let nan = (magnitude | QUIET) >> 13 & 0x7fff;
    // Subnormal: 1/2 as an f32 counts in steps of 2^-24, and so does a subnormal f16.
    let small = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    // Just under half a step, and the odd bit: ties go to even, and overflow to infinity.
    let rounded = magnitude.wrapping_sub(REBIAS).wrapping_add(0xfff + (magnitude >> 13 & 1)) >> 13;
    let normal = if rounded < 0x7c00 { rounded } else { 0x7c00 };
    let finite = if magnitude < REBIAS + (1 << 23) { small } else { normal };
    let bits = if magnitude > f32::INFINITY.to_bits() { nan } else { finite };
    f16::from_bits((bits | sign) as u16)
}

/// `y = x`, exact.
#[inline(always)]
pub(crate) fn f16_to_f32(halves: impl HalfLanes, x: &[f16], y: &mut [f32]) {
    same_length("f32 values", x.len(), y.len());
    let ((xc, xt), (yc, yt)) = (x.as_chunks::<LANES>(), y.as_chunks_mut::<LANES>());
    for (x, y) in xc.iter().zip(yc) {
        *y = halves.widen(x);
    }
    for (&x, y) in xt.iter().zip(yt) {
        *y = widen(x);
    }
}

/// `y = x`, to nearest.
#[inline(always)]
pub(crate) fn f32_to_f16(halves: impl HalfLanes, x: &[f32], y: &mut [f16]) {
    same_length("f16 values", x.len(), y.len());
    let ((xc, xt), (yc, yt)) = (x.as_chunks::<LANES>(), y.as_chunks_mut::<LANES>());
    for (x, y) in xc.iter().zip(yc) {
        *y = halves.narrow(x);
    }
    for (&x, y) in xt.iter().zip(yt) {
        *y = narrow(x);
    }
}

/// `y = x`, exact; a NaN comes out quiet.
#[inline(always)]
pub(crate) fn bf16_to_f32(x: &[bf16], y: &mut [f32]) {
    same_length("f32 values", x.len(), y.len());
    for (x, y) in x.iter().zip(y) {
        let bits = u32::from(x.to_bits()) << 16;
        let nan = bits & 0x7fff_ffff > f32::INFINITY.to_bits();
        *y = f32::from_bits(if nan { bits | QUIET } else { bits });
    }
}

/// `y = x`, to nearest, ties to even; a NaN comes out quiet.
#[inline(always)]
pub(crate) fn f32_to_bf16(x: &[f32], y: &mut [bf16]) {
    same_length("bf16 values", x.len(), y.len());
    for (x, y) in x.iter().zip(y) {
        let bits = x.to_bits();
        let nan = bits & 0x7fff_ffff > f32::INFINITY.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        *y = bf16::from_bits((if nan { bits | QUIET } else { rounded } >> 16) as u16);
    }
}
