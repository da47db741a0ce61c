// SPDX-License-Identifier: AGPL-3.0-or-later
//! The exponential function and the rounding it rests on.

/// Rounds to the nearest integer, ties to even, for |x| < 2^22; as a float and as an integer.
///
/// Adding 1.5 · 2^23 leaves no room for a fraction in the mantissa, whose low bits are then the
/// integer: unlike a cast, which must handle NaN and saturate, this is two additions a lane.
#[inline(always)]
pub(super) fn round_small(x: f32) -> (f32, i32) {
    const MAGIC: f32 = 12_582_912.0;
    let shifted = x + MAGIC;
    (shifted - MAGIC, (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32))
}

/// `e^x` within 2 ulp for -87 <= x <= 88, clamped outside. Range reduction by ln 2 in two parts,
/// then the Cephes polynomial of degree 5.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let (n, power) = round_small(x * core::f32::consts::LOG2_E);
    let r = x - n * 0.693_359_4;
    let r = r + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_6e-1;
    p = p * r + 0.5;
    let e = p * r * r + r + 1.0;
    // Scale by 2^n through the exponent bits: n is in -126..=127 after the clamp.
    e * f32::from_bits((power.wrapping_add(127) << 23) as u32)
}
