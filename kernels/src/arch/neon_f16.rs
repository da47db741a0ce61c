// SPDX-License-Identifier: AGPL-3.0-or-later
//! The Arm instructions between f16 and f32, which every 64-bit Arm CPU has: four values at a time.
//!
//! By `asm!`, since the intrinsics are not in this compiler's stable library. Conversions may raise
//! flags of the floating-point status, so `preserves_flags` would be wrong.

use core::arch::aarch64::*;
use core::arch::asm;

use half::f16;

use crate::vecmath::{HalfLanes, LANES};

/// Proof of NEON: only a function compiled with it can make one.
#[derive(Clone, Copy)]
pub(super) struct Fcvt(());

impl Fcvt {
    #[target_feature(enable = "neon")]
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl HalfLanes for Fcvt {
    #[inline(always)]
    fn widen(self, h: &[f16; LANES]) -> [f32; LANES] {
        #[target_feature(enable = "neon")]
        #[inline]
        fn go(h: &[f16; LANES]) -> [f32; LANES] {
            let mut out = [0f32; LANES];
            for (h, out) in h.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<8>().0) {
                let (low, high): (float32x4_t, float32x4_t);
                // SAFETY: the arrays are 16 readable and 32 writable bytes, aligned as their values;
                // the instructions work on registers alone.
                unsafe {
                    let h = vld1q_u16(h.as_ptr().cast());
                    asm!("fcvtl {:v}.4s, {:v}.4h", out(vreg) low, in(vreg) h,
                        options(pure, nomem, nostack));
                    asm!("fcvtl2 {:v}.4s, {:v}.8h", out(vreg) high, in(vreg) h,
                        options(pure, nomem, nostack));
                    vst1q_f32(out.as_mut_ptr(), low);
                    vst1q_f32(out[4..].as_mut_ptr(), high);
                }
            }
            out
        }
        // SAFETY: `self` was made by a function that had the feature.
        unsafe { go(h) }
    }

    #[inline(always)]
    fn narrow(self, x: &[f32; LANES]) -> [f16; LANES] {
        #[target_feature(enable = "neon")]
        #[inline]
        fn go(x: &[f32; LANES]) -> [f16; LANES] {
            let mut out = [f16::ZERO; LANES];
            for (x, out) in x.as_chunks::<4>().0.iter().zip(out.as_chunks_mut::<4>().0) {
                let h: uint16x4_t;
                // SAFETY: the arrays are 16 readable and 8 writable bytes, aligned as their values;
                // the instruction works on registers alone and rounds to nearest, ties to even, as
                // Rust has the environment of floats.
                unsafe {
                    asm!("fcvtn {:v}.4h, {:v}.4s", out(vreg) h, in(vreg) vld1q_f32(x.as_ptr()),
                        options(pure, nomem, nostack));
                    vst1_u16(out.as_mut_ptr().cast(), h);
                }
            }
            out
        }
        // SAFETY: `self` was made by a function that had the feature.
        unsafe { go(x) }
    }
}
