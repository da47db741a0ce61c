// SPDX-License-Identifier: AGPL-3.0-or-later
//! The sampler's random numbers.

/// xoshiro256\*\* seeded by SplitMix64: 256 bits of state, period 2^256 - 1, integers only.
///
/// Not for secrets. The stream of a seed is part of what this crate promises: it is the same on
/// every platform and in every version.
///
/// Source: Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators" (ACM TOMS 47(4),
/// 2021), §5 for the generator; Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators" (OOPSLA 2014) for the seeding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng([u64; 4]);

impl Rng {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform over the multiples of 2^-53 in `[0, 1)`.
    pub fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        // SplitMix64 of 0, as in the reference implementation's published outputs.
        assert_eq!(Rng::new(0).0[0], 0xE220_A839_7B1D_CDAF);
        assert_eq!(Rng::new(0).0[1], 0x6E78_9E6A_A1B9_65F4);
        // xoshiro256** from the state 1, 2, 3, 4.
        let mut rng = Rng([1, 2, 3, 4]);
        let first: Vec<u64> = (0..6).map(|_| rng.next_u64()).collect();
        assert_eq!(
            first,
            [
                11520,
                0,
                1_509_978_240,
                1_215_971_899_390_074_240,
                1_216_172_134_540_287_360,
                607_988_272_756_665_600
            ]
        );
    }

    #[test]
    fn fractions_fill_the_unit_interval_evenly() {
        let mut rng = Rng::new(7);
        let mut bins = [0u32; 16];
        for _ in 0..64_000 {
            let x = rng.next_f64();
            assert!((0.0..1.0).contains(&x));
            bins[(x * 16.0) as usize] += 1;
        }
        let chi2: f64 = bins.iter().map(|&n| (f64::from(n) - 4000.0).powi(2) / 4000.0).sum();
        assert!(chi2 < 44.3, "chi-squared of 15 degrees of freedom is {chi2}, p < 1e-4");
    }
}
