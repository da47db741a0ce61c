// SPDX-License-Identifier: AGPL-3.0-or-later
//! The exponential function and the rounding it rests on.

/// 1.5 · 2^23: added to a float, it leaves no room for a fraction in the mantissa, whose low bits
/// are then the nearest integer. Unlike a cast, this need not handle NaN and saturate.
const ROUND: f32 = 12_582_912.0;

/// The nearest integer, ties to even, for |x| < 2^22.
#[inline(always)]
pub(super) fn round_small(x: f32) -> i32 {
    ((x + ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32)
}

/// `e^x` within 2.5 ulp; 0 below -87.68, infinite above 88.37, NaN for NaN.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    exp_negative(if x > 89.0 { 89.0 } else { x })
}

/// [`exp`] for `x <= 88`, one comparison cheaper.
///
/// `e^x = 2^n · e^r` with `|r| <= ln 2 / 2`: a polynomial of degree 5 for `e^r`, minimax in ulp,
/// and `2^n` by its exponent bits.
#[inline(always)]
pub(super) fn exp_negative(x: f32) -> f32 {
    // With the bias of the exponent added, the low bits of the sum are the exponent of 2^n.
    const SHIFT: f32 = ROUND + 127.0;
    let x = if x < -88.0 { -88.0 } else { x };
    let shifted = x * core::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    // ln 2 in two parts: the first has few bits, so that its product is exact.
    let r = x - n * 0.693_359_4;
    let r = r + n * 2.121_944_4e-4;
    let mut p = 8.300_913e-3;
    p = p * r + 4.188_393_4e-2;
    p = p * r + 1.666_724_7e-1;
    p = p * r + 4.999_93e-1;
    let e = p * r * r + r + 1.0;
    // Exponents 0 and 255 make it 0 and infinite.
    e * f32::from_bits(shifted.to_bits() << 23)
}

#[cfg(test)]
mod tests {
    use super::{exp, exp_negative};

    #[test]
    fn exp_is_within_two_and_a_half_ulp_of_the_exact_value() {
        let mut worst = 0f64;
        // Every 97th float of both signs up to the ends of the range.
        for bits in (0..=88.37f32.to_bits()).step_by(97) {
            for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                let exact = f64::from(x).exp();
                // Below, results are subnormal and then 0.
                if x >= -87.33 {
                    let ulp = (exact as f32).next_up() - exact as f32;
                    worst = worst.max((f64::from(exp(x)) - exact).abs() / f64::from(ulp));
                    if x <= 0.0 {
                        assert_eq!(exp(x), exp_negative(x));
                    }
                } else {
                    assert!((f64::from(exp(x)) - exact).abs() <= f64::from(f32::MIN_POSITIVE));
                }
            }
        }
        assert!(worst <= 2.5, "{worst} ulp");
        assert!(worst > 1.0, "the sweep missed the worst values: {worst} ulp");
    }

    #[test]
    fn exp_has_its_limits_at_the_ends() {
        assert_eq!([-87.69, -1e3, f32::MIN, f32::NEG_INFINITY].map(exp), [0.0; 4]);
        assert_eq!([88.38, 1e3, f32::MAX, f32::INFINITY].map(exp), [f32::INFINITY; 4]);
        assert_eq!([0.0, -0.0].map(exp), [1.0; 2]);
        assert!(exp(f32::NAN).is_nan());
    }
}
