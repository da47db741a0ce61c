// SPDX-License-Identifier: AGPL-3.0-or-later
//! Instructions this CPU lacks, carried out by software: for tests only, under
//! `--cfg bho_emulate` (x86-64 Linux), so that `avx_vnni` and `amx_int8` are tested anywhere.
//!
//! [`install`] catches SIGILL. The handler decodes the instruction the CPU refused; if it is
//! `vpdpbusd` with a VEX prefix or one of AMX's, it reads and writes the registers that the kernel
//! saved in the signal frame, steps over the instruction and returns. Whatever else is illegal
//! kills the process as before. What the CPU does have never gets here.
//!
//! Semantics are those of the Intel SDM (volume 2, the pages of each instruction; faults: 2.10,
//! classes AMX-E1 to E6). Where a CPU would fault on what the program did, such as tiles whose
//! shapes do not fit, the process is aborted with the reason on standard error.
//!
//! A trapped instruction takes microseconds. Everything here is async-signal-safe: no allocation,
//! no locks, and the tiles of a thread lie in a thread-local without a destructor.

mod decode;
#[cfg(test)]
mod tests;
mod tiles;
mod xsave;

use core::arch::x86_64::__cpuid_count;
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::sync::atomic::Ordering;

use libc::{siginfo_t, ucontext_t};

use decode::{Base, Instruction, Op, Rm, decode};
#[cfg(test)]
pub(super) use tiles::Counts;
use tiles::Tiles;
use xsave::{XsaveArea, YMM, YMM_OFFSET, ZMM, ZMM_OFFSET};

/// Why a CPU would refuse to go on.
type Fault = &'static str;

/// Starts catching illegal instructions. Always true: from here on they can be run.
pub(super) fn install() -> bool {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // Where XSAVE keeps the upper halves of the vector registers (CPUID 0Dh), read here since
        // CPUID is slow in virtual machines.
        for (component, offset) in [(YMM, &YMM_OFFSET), (ZMM, &ZMM_OFFSET)] {
            // SAFETY: leaf 0Dh is there where AVX is, without which no backend asks for this.
            #[allow(unused_unsafe, reason = "safe functions from Rust 1.93 on")]
            let leaf = unsafe { __cpuid_count(0xd, component) };
            offset.store(leaf.ebx as usize, Ordering::Relaxed);
        }
        // SAFETY: an all-zero `sigaction` is a valid one, and the handler is async-signal-safe.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = on_illegal_instruction as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
            assert_eq!(libc::sigaction(libc::SIGILL, &action, core::ptr::null_mut()), 0);
        }
    });
    true
}

extern "C" fn on_illegal_instruction(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes the interrupted thread's context.
    let context = unsafe { &mut (*context.cast::<ucontext_t>()).uc_mcontext };
    let general = &mut context.gregs;
    let rip = general[libc::REG_RIP as usize] as usize;
    // SAFETY: the CPU has just fetched the instruction's bytes, and decoding stops with them.
    let fetch = |i: usize| unsafe { (rip as *const u8).add(i).read() };
    let prefix = if cfg!(test) && FORCED.iter().enumerate().all(|(i, &b)| fetch(i) == b) {
        FORCED.len()
    } else {
        0
    };
    let Some(mut instruction) = decode(|i| fetch(prefix + i)) else {
        // Returning runs the instruction again, now to the usual end.
        // SAFETY: `signal` is async-signal-safe.
        unsafe { libc::signal(libc::SIGILL, libc::SIG_DFL) };
        return;
    };
    instruction.len += prefix;
    let mut machine = Machine {
        general,
        // SAFETY: the kernel saved the vector registers here for this handler.
        vector: unsafe { XsaveArea::new(context.fpregs.cast()) },
    };
    TILES.with(|tiles| {
        // SAFETY: only this handler uses the tiles, and it does not interrupt itself: it contains
        // none of the instructions it emulates.
        let tiles = unsafe { &mut *tiles.get() };
        if let Err(fault) = machine.execute(&instruction, tiles) {
            die(fault);
        }
    });
    machine.general[libc::REG_RIP as usize] += instruction.len as i64;
}

/// In tests: these bytes (`ud2` and a mark) in front of an instruction have it emulated even where
/// the CPU knows it.
const FORCED: [u8; 5] = *b"\x0f\x0bbho";

fn die(fault: Fault) -> ! {
    for text in ["bho emulator: a CPU would fault: ", fault, "\n"] {
        // SAFETY: writes readable bytes; async-signal-safe, as `abort` is.
        unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
    }
    // SAFETY: no conditions.
    unsafe { libc::abort() }
}

/// The interrupted thread's registers.
struct Machine<'a> {
    general: &'a mut [i64; 23],
    vector: XsaveArea,
}

impl Machine<'_> {
    /// General register by its number in instructions.
    fn general(&self, number: usize) -> usize {
        use libc::*;
        const ORDER: [c_int; 16] = [
            REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9,
            REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
        ];
        self.general[ORDER[number] as usize] as usize
    }

    /// The address without the index, and the scaled index, of which tiles make a stride.
    fn address(&self, instruction: &Instruction) -> (usize, usize) {
        let Rm::Memory { base, index, shift, displacement } = instruction.rm else {
            unreachable!("decoded as a memory operand")
        };
        let base = match base {
            Base::None => 0,
            Base::Register(number) => self.general(number),
            Base::NextInstruction => {
                self.general[libc::REG_RIP as usize] as usize + instruction.len
            }
        };
        let index = index.map_or(0, |number| self.general(number) << shift);
        (base.wrapping_add_signed(displacement as isize), index)
    }

    fn execute(&mut self, instruction: &Instruction, tiles: &mut Tiles) -> Result<(), Fault> {
        let &Instruction { op, reg, vvvv, rm, .. } = instruction;
        match op {
            Op::Dpbusd(bytes) => {
                let signed = match rm {
                    Rm::Register(number) => self.vector.read(number),
                    Rm::Memory { .. } => {
                        let (base, index) = self.address(instruction);
                        let mut signed = [0; 32];
                        read(base.wrapping_add(index), &mut signed[..bytes]);
                        signed
                    }
                };
                let sums = dpbusd(self.vector.read(reg), self.vector.read(vvvv), signed);
                self.vector.write(reg, &sums[..bytes]);
                Ok(())
            }
            Op::LoadConfig => {
                let (base, index) = self.address(instruction);
                let mut config = [0; 64];
                read(base.wrapping_add(index), &mut config);
                tiles.configure(&config)
            }
            Op::StoreConfig => {
                let (base, index) = self.address(instruction);
                write(base.wrapping_add(index), &tiles.config());
                Ok(())
            }
            Op::Release => tiles.configure(&[0; 64]),
            Op::Zero => tiles.zero(reg),
            Op::Load => {
                let (base, stride) = self.address(instruction);
                let row = |r: usize, out: &mut [u8]| {
                    read(base.wrapping_add(stride.wrapping_mul(r)), out);
                };
                tiles.load(reg, row)
            }
            Op::Store => {
                let (base, stride) = self.address(instruction);
                let row = |r: usize, bytes: &[u8]| {
                    write(base.wrapping_add(stride.wrapping_mul(r)), bytes);
                };
                tiles.store(reg, row)
            }
            Op::Dot(signed1, signed2) => {
                let Rm::Register(first) = rm else { unreachable!("decoded as a register") };
                tiles.dot([signed1, signed2], reg, first, vvvv)
            }
        }
    }
}

/// Reads what the emulated instruction reads. A bad address is the program's fault, as it would be
/// with the instruction itself.
fn read(address: usize, out: &mut [u8]) {
    // SAFETY: the program asked for these bytes.
    unsafe { core::ptr::copy_nonoverlapping(address as *const u8, out.as_mut_ptr(), out.len()) };
}

/// Writes what the emulated instruction writes; see [`read`].
fn write(address: usize, bytes: &[u8]) {
    // SAFETY: the program asked to have these bytes written.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
}

/// The four products of each lane, added to the lane without saturation.
fn dpbusd(sums: [u8; 32], unsigned: [u8; 32], signed: [u8; 32]) -> [u8; 32] {
    let mut out = [0; 32];
    for lane in 0..8 {
        let at = 4 * lane;
        let sum = i32::from_le_bytes([0, 1, 2, 3].map(|j| sums[at + j]));
        let products = (at..at + 4).map(|i| i32::from(unsigned[i]) * i32::from(signed[i] as i8));
        let sum = sum.wrapping_add(products.sum());
        out[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    }
    out
}

std::thread_local! {
    static TILES: UnsafeCell<Tiles> = const { UnsafeCell::new(Tiles::new()) };
}

/// What this thread had emulated so far, and whether its tiles are configured now.
#[cfg(test)]
pub(super) fn observe() -> (Counts, bool) {
    TILES.with(|tiles| {
        // SAFETY: only the handler writes, and no instruction is emulated meanwhile.
        let tiles = unsafe { &*tiles.get() };
        (tiles.counts, tiles.configured)
    })
}
