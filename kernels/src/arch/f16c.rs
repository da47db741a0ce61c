// SPDX-License-Identifier: AGPL-3.0-or-later
//! The x86 instructions between f16 and f32: eight values at a time, or sixteen with AVX-512.

use core::arch::x86_64::*;

use half::f16;

use crate::vecmath::{HalfLanes, LANES};

/// Proof of F16C: only a function compiled with it can make one.
#[derive(Clone, Copy)]
pub(super) struct F16c(());

impl F16c {
    #[target_feature(enable = "f16c")]
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl HalfLanes for F16c {
    #[inline(always)]
    fn widen(self, h: &[f16; LANES]) -> [f32; LANES] {
        #[target_feature(enable = "f16c")]
        #[inline]
        fn go(h: &[f16; LANES]) -> [f32; LANES] {
            let mut out = [0f32; LANES];
            for (h, out) in h.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<8>().0) {
                // SAFETY: the arrays are 16 readable and 32 writable bytes, of any alignment.
                unsafe {
                    let h = _mm_loadu_si128(h.as_ptr().cast());
                    _mm256_storeu_ps(out.as_mut_ptr(), _mm256_cvtph_ps(h));
                }
            }
            out
        }
        // SAFETY: `self` was made by a function that had the feature.
        unsafe { go(h) }
    }

    #[inline(always)]
    fn narrow(self, x: &[f32; LANES]) -> [f16; LANES] {
        #[target_feature(enable = "f16c")]
        #[inline]
        fn go(x: &[f32; LANES]) -> [f16; LANES] {
            let mut out = [f16::ZERO; LANES];
            for (x, out) in x.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<8>().0) {
                // SAFETY: the arrays are 32 readable and 16 writable bytes, of any alignment.
                unsafe {
                    let h =
                        _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(x.as_ptr()));
                    _mm_storeu_si128(out.as_mut_ptr().cast(), h);
                }
            }
            out
        }
        // SAFETY: `self` was made by a function that had the feature.
        unsafe { go(x) }
    }
}

/// Proof of AVX-512: only a function compiled with it can make one.
#[derive(Clone, Copy)]
pub(super) struct F16cWide(());

impl F16cWide {
    #[target_feature(enable = "avx512f")]
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl HalfLanes for F16cWide {
    #[inline(always)]
    fn widen(self, h: &[f16; LANES]) -> [f32; LANES] {
        #[target_feature(enable = "avx512f")]
        #[inline]
        fn go(h: &[f16; LANES]) -> [f32; LANES] {
            let mut out = [0f32; LANES];
            // SAFETY: the arrays are 32 readable and 64 writable bytes, of any alignment.
            unsafe {
                let h = _mm256_loadu_si256(h.as_ptr().cast());
                _mm512_storeu_ps(out.as_mut_ptr(), _mm512_cvtph_ps(h));
            }
            out
        }
        // SAFETY: `self` was made by a function that had the feature.
        unsafe { go(h) }
    }

    #[inline(always)]
    fn narrow(self, x: &[f32; LANES]) -> [f16; LANES] {
        #[target_feature(enable = "avx512f")]
        #[inline]
        fn go(x: &[f32; LANES]) -> [f16; LANES] {
            let mut out = [f16::ZERO; LANES];
            // SAFETY: the arrays are 64 readable and 32 writable bytes, of any alignment.
            unsafe {
                let x = _mm512_loadu_ps(x.as_ptr());
                let h = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x);
                _mm256_storeu_si256(out.as_mut_ptr().cast(), h);
            }
            out
        }
        // SAFETY: `self` was made by a function that had the feature.
        unsafe { go(x) }
    }
}
