// SPDX-License-Identifier: AGPL-3.0-or-later
//! CPU features that the `cpufeatures` crate does not know, read from CPUID without `std`.
//!
//! Each bit says only that the CPU has the instructions. That the system saves the registers they
//! use is asked of `cpufeatures` (`avx2`, `avx512f`), which reads XCR0.

use core::arch::x86_64::{__cpuid_count, __get_cpuid_max, CpuidResult};

/// CPUID leaf 7, sub-leaf `sub`; zeros where the CPU has no such leaf.
fn leaf7(sub: u32) -> CpuidResult {
    let none = CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    // SAFETY: every x86-64 CPU has CPUID, and the leaf is read only if leaf 0 announces it.
    #[allow(unused_unsafe, reason = "safe functions from Rust 1.93 on")]
    unsafe {
        if __get_cpuid_max(0).0 < 7 || __cpuid_count(7, 0).eax < sub {
            return none;
        }
        __cpuid_count(7, sub)
    }
}

/// F16C: conversions between f16 and f32.
pub(crate) fn has_f16c() -> bool {
    // SAFETY: every x86-64 CPU has CPUID with leaf 1.
    #[allow(unused_unsafe, reason = "safe functions from Rust 1.93 on")]
    let leaf = unsafe { __cpuid_count(1, 0) };
    leaf.ecx >> 29 & 1 == 1
}

/// AVX-512 VNNI: `vpdpbusd` on 64 bytes.
pub(crate) fn has_avx512_vnni() -> bool {
    leaf7(0).ecx >> 11 & 1 == 1
}
