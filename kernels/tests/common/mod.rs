// SPDX-License-Identifier: AGPL-3.0-or-later
//! Numbers for tests.

#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

/// A small deterministic generator (splitmix64).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn int8(&mut self) -> i8 {
        self.next() as i8
    }

    pub fn int8s(&mut self, n: usize) -> Vec<i8> {
        (0..n).map(|_| self.int8()).collect()
    }

    /// One of -1, 0, +1.
    pub fn trit(&mut self) -> i8 {
        (self.next() % 3) as i8 - 1
    }

    pub fn trits(&mut self, n: usize) -> Vec<i8> {
        (0..n).map(|_| self.trit()).collect()
    }

    /// Evenly spread between ± `scale`.
    pub fn float(&mut self, scale: f32) -> f32 {
        ((self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
    }

    pub fn floats(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| self.float(scale)).collect()
    }
}
