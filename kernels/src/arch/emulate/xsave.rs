// SPDX-License-Identifier: AGPL-3.0-or-later
//! The vector registers of an interrupted thread.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::die;

/// XSAVE components: bits of XSTATE_BV, sub-leaves of CPUID 0Dh.
pub(super) const XMM: u32 = 1;
pub(super) const YMM: u32 = 2;
pub(super) const ZMM: u32 = 6;

/// Offsets of YMM_Hi128 and ZMM_Hi256, set by [`install`](super::install).
pub(super) static YMM_OFFSET: AtomicUsize = AtomicUsize::new(0);
pub(super) static ZMM_OFFSET: AtomicUsize = AtomicUsize::new(0);

/// The vector registers as the kernel saved them, in the standard format of XSAVE (Intel SDM
/// volume 1, 13.4). A component whose bit in XSTATE_BV is clear is all zeros, whatever it holds.
pub(super) struct XsaveArea(*mut u8);

impl XsaveArea {
    /// # Safety
    /// `area` is the `fpregs` of a signal frame, which outlives the result.
    pub(super) unsafe fn new(area: *mut u8) -> Self {
        // Documented with the frame's layout in Linux's asm/sigcontext.h.
        const MAGIC_OFFSET: usize = 464;
        const MAGIC: u32 = 0x4650_5853;
        // SAFETY: the legacy region of 512 bytes is always there.
        if unsafe { area.add(MAGIC_OFFSET).cast::<u32>().read_unaligned() } != MAGIC {
            die("the signal frame has no XSAVE area");
        }
        Self(area)
    }

    pub(super) fn header(&self) -> *mut u64 {
        // SAFETY: the header follows the legacy region where the magic number says so.
        unsafe { self.0.add(512).cast() }
    }

    pub(super) fn in_use(&self, component: u32) -> bool {
        // SAFETY: XSTATE_BV is the header's first word.
        unsafe { self.header().read_unaligned() >> component & 1 == 1 }
    }

    /// `N` bytes of register `number` in a component that starts at `offset`.
    pub(super) fn part<const N: usize>(&self, offset: usize, number: usize) -> *mut [u8; N] {
        // SAFETY: the kernel's frame holds every component that the CPU's CPUID lays out.
        unsafe { self.0.add(offset + N * number).cast() }
    }

    pub(super) fn read(&self, number: usize) -> [u8; 32] {
        let mut value = [0; 32];
        for (component, offset, out) in
            [(XMM, 160, 0..16), (YMM, YMM_OFFSET.load(Ordering::Relaxed), 16..32)]
        {
            if self.in_use(component) {
                // SAFETY: see `part`.
                let half = unsafe { self.part::<16>(offset, number).read() };
                value[out].copy_from_slice(&half);
            }
        }
        value
    }

    /// Writes 16 or 32 bytes, and zeros above, as instructions with a VEX prefix do.
    pub(super) fn write(&mut self, number: usize, value: &[u8]) {
        let halves = [(XMM, 160, 0), (YMM, YMM_OFFSET.load(Ordering::Relaxed), 16)];
        for (component, offset, from) in halves {
            if !self.in_use(component) {
                // SAFETY: see `part`; sixteen registers of 16 bytes.
                unsafe {
                    self.part::<16>(offset, 0).write_bytes(0, 16);
                    let bits = self.header().read_unaligned() | 1 << component;
                    self.header().write_unaligned(bits);
                }
            }
            let mut half = [0; 16];
            if let Some(bytes) = value.get(from..from + 16) {
                half.copy_from_slice(bytes);
            }
            // SAFETY: see `part`.
            unsafe { self.part::<16>(offset, number).write(half) };
        }
        if self.in_use(ZMM) {
            let offset = ZMM_OFFSET.load(Ordering::Relaxed);
            // SAFETY: see `part`.
            unsafe { self.part::<32>(offset, number).write([0; 32]) };
        }
    }
}
