// SPDX-License-Identifier: AGPL-3.0-or-later
//! Exponential backoff with jitter, the same for the same seed.

use std::time::Duration;

/// Delay before the first retry, without jitter.
const BASE: Duration = Duration::from_millis(20);

/// Longest delay, without jitter.
const LONGEST: Duration = Duration::from_secs(1);

/// A small generator of well-mixed numbers: enough for jitter, not for secrets.
///
/// Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Debug, Clone)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0.0..1.0`.
    fn next_unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let bits = (self.next() >> 11) as f64;
        bits / (1_u64 << 53) as f64
    }
}

/// Delay before retry `retry` (from 0) of a node: doubles each time, times a factor in 0.5..1.
pub(super) fn delay(seed: u64, node: &str, retry: u32) -> Duration {
    // FNV-1a, so that siblings that fail together do not retry together.
    let hash = node.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut random = SplitMix64(seed ^ hash ^ u64::from(retry).rotate_left(32));
    let doubled = BASE.saturating_mul(1_u32.checked_shl(retry).unwrap_or(u32::MAX)).min(LONGEST);
    doubled.mul_f64(0.5 + random.next_unit() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_gives_the_published_sequence() {
        // First outputs of the reference implementation for seed 1234567.
        let mut random = SplitMix64(1_234_567);
        let got: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(
            got,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn delays_double_with_jitter_up_to_a_limit() {
        for retry in [0, 1, 5, 31, 32, u32::MAX] {
            let full =
                BASE.saturating_mul(1_u32.checked_shl(retry).unwrap_or(u32::MAX)).min(LONGEST);
            let got = delay(7, "n", retry);
            assert!(got >= full / 2 && got <= full, "{retry}: {got:?}");
            assert_eq!(got, delay(7, "n", retry));
        }
        assert_ne!(delay(7, "a", 0), delay(7, "b", 0));
        assert_ne!(delay(7, "a", 0), delay(8, "a", 0));
    }
}
