// SPDX-License-Identifier: AGPL-3.0-or-later
//! CPU features that the `cpufeatures` crate does not know, read from CPUID without `std`.
//!
//! Each bit says only that the CPU has the instructions. That the system saves the registers they
//! use is asked of `cpufeatures` (`avx2`, `avx512f`), which reads XCR0.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, __get_cpuid_max, _xgetbv, CpuidResult};
use core::sync::atomic::{AtomicU8, Ordering};

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

/// CPUID leaf 1.
fn leaf1() -> CpuidResult {
    // SAFETY: every x86-64 CPU has CPUID with leaf 1.
    #[allow(unused_unsafe, reason = "safe functions from Rust 1.93 on")]
    unsafe {
        __cpuid_count(1, 0)
    }
}

/// F16C: conversions between f16 and f32.
pub(crate) fn has_f16c() -> bool {
    leaf1().ecx >> 29 & 1 == 1
}

/// AVX-512 VNNI: `vpdpbusd` on 64 bytes.
pub(crate) fn has_avx512_vnni() -> bool {
    leaf7(0).ecx >> 11 & 1 == 1
}

/// AVX-VNNI: `vpdpbusd` on 32 bytes without AVX-512.
pub(crate) fn has_avx_vnni() -> bool {
    leaf7(1).eax >> 4 & 1 == 1
}

/// AMX tiles and their int8 products: the CPU has them, the system saves them, and lets this process
/// use them. Linux wants to be asked for that, once per process; other systems are not.
pub(crate) fn may_use_amx_int8() -> bool {
    const UNKNOWN: u8 = 0;
    const NO: u8 = 1;
    const YES: u8 = 2;
    static ANSWER: AtomicU8 = AtomicU8::new(UNKNOWN);
    // Threads that come at the same time all ask, and get the same answer.
    if ANSWER.load(Ordering::Relaxed) == UNKNOWN {
        let answer = if has_amx_int8() && saves_tiles() && tiles_permitted() { YES } else { NO };
        ANSWER.store(answer, Ordering::Relaxed);
    }
    ANSWER.load(Ordering::Relaxed) == YES
}

/// AMX-TILE and AMX-INT8.
fn has_amx_int8() -> bool {
    leaf7(0).edx >> 24 & 3 == 3
}

/// Whether the system saves the tiles and their configuration: XCR0, bits 17 and 18.
fn saves_tiles() -> bool {
    let osxsave = leaf1().ecx >> 27 & 1 == 1;
    // SAFETY: the system has enabled XSAVE, and `xgetbv` with it.
    osxsave && unsafe { _xgetbv(0) } >> 17 & 3 == 3
}

/// Asks Linux for the tiles' data (Documentation/arch/x86/xstate.rst). It says no where a thread's
/// alternate signal stack is too small for them.
#[cfg(target_os = "linux")]
fn tiles_permitted() -> bool {
    const SYS_ARCH_PRCTL: isize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XTILEDATA: usize = 18;
    let mut result = SYS_ARCH_PRCTL;
    // SAFETY: this request reads and writes no memory of the process; kernels that do not know it
    // return an error. A system call changes no registers but these.
    unsafe {
        asm!("syscall", inlateout("rax") result,
            in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XTILEDATA,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn tiles_permitted() -> bool {
    false
}
