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

use core::arch::x86_64::__cpuid_count;
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering};

use libc::{siginfo_t, ucontext_t};

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

/// What an instruction does, and to which width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// `vpdpbusd` on this many bytes.
    Dpbusd(usize),
    LoadConfig,
    StoreConfig,
    Release,
    Zero,
    Load,
    Store,
    /// `tdpb..d`; whether the first and the second factor is signed.
    Dot(bool, bool),
}

/// The third operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rm {
    Register(usize),
    Memory { base: Base, index: Option<usize>, shift: u8, displacement: i32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    None,
    Register(usize),
    NextInstruction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    op: Op,
    reg: usize,
    vvvv: usize,
    rm: Rm,
    len: usize,
}

/// Decodes one instruction of those emulated here; none for all others.
fn decode(fetch: impl Fn(usize) -> u8) -> Option<Instruction> {
    // VEX with three bytes, opcode map 0F38, W0.
    if fetch(0) != 0xc4 {
        return None;
    }
    let (vex1, vex2, opcode) = (fetch(1), fetch(2), fetch(3));
    if vex1 & 0x1f != 2 || vex2 & 0x80 != 0 {
        return None;
    }
    // R, X, B and vvvv are stored inverted.
    let high = |bit: u8| usize::from(!vex1 >> bit & 1) << 3;
    let vvvv = usize::from(!vex2 >> 3 & 15);
    let (long, prefix) = (vex2 & 4 != 0, vex2 & 3);

    let modrm = fetch(4);
    let (mode, low) = (modrm >> 6, usize::from(modrm & 7));
    let reg = usize::from(modrm >> 3 & 7) | high(7);
    let mut len = 5;
    let has_sib = mode != 3 && low == 4;
    let rm = if mode == 3 {
        Rm::Register(low | high(5))
    } else {
        let (mut base, mut index, mut shift) = (Base::Register(low | high(5)), None, 0);
        let mut base_bits = low;
        if has_sib {
            let sib = fetch(len);
            len += 1;
            base_bits = usize::from(sib & 7);
            base = Base::Register(base_bits | high(5));
            // Index 4 without X is none: the stack pointer cannot be one.
            index = Some(usize::from(sib >> 3 & 7) | high(6)).filter(|&i| i != 4);
            shift = sib >> 6;
        }
        let wide = mode == 2 || mode == 0 && base_bits == 5;
        if mode == 0 && base_bits == 5 {
            base = if has_sib { Base::None } else { Base::NextInstruction };
        }
        let displacement = if wide {
            let bytes = [0, 1, 2, 3].map(|i| fetch(len + i));
            len += 4;
            i32::from_le_bytes(bytes)
        } else if mode == 1 {
            len += 1;
            i32::from(fetch(len - 1) as i8)
        } else {
            0
        };
        Rm::Memory { base, index, shift, displacement }
    };
    // Tiles are numbered 0..8, and unused operands are zero.
    let (no_reg, no_vvvv) = (reg == 0, vvvv == 0);
    let op = match (opcode, prefix, mode == 3) {
        (0x50, 1, _) => Op::Dpbusd(if long { 32 } else { 16 }),
        (_, _, _) if long || reg > 7 => return None,
        (0x49, 0, false) if no_reg && no_vvvv => Op::LoadConfig,
        (0x49, 1, false) if no_reg && no_vvvv => Op::StoreConfig,
        (0x49, 0, true) if no_reg && no_vvvv && rm == Rm::Register(0) => Op::Release,
        (0x49, 3, true) if no_vvvv && rm == Rm::Register(0) => Op::Zero,
        (0x4b, 3 | 1, false) if no_vvvv && has_sib => Op::Load,
        (0x4b, 2, false) if no_vvvv && has_sib => Op::Store,
        (0x5e, _, true) if vvvv < 8 && low | high(5) < 8 => {
            Op::Dot(matches!(prefix, 2 | 3), matches!(prefix, 1 | 3))
        }
        _ => return None,
    };
    Some(Instruction { op, reg, vvvv, rm, len })
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

/// XSAVE components: bits of XSTATE_BV, sub-leaves of CPUID 0Dh.
const XMM: u32 = 1;
const YMM: u32 = 2;
const ZMM: u32 = 6;

/// Offsets of YMM_Hi128 and ZMM_Hi256, set by [`install`].
static YMM_OFFSET: AtomicUsize = AtomicUsize::new(0);
static ZMM_OFFSET: AtomicUsize = AtomicUsize::new(0);

/// The vector registers as the kernel saved them, in the standard format of XSAVE (Intel SDM
/// volume 1, 13.4). A component whose bit in XSTATE_BV is clear is all zeros, whatever it holds.
struct XsaveArea(*mut u8);

impl XsaveArea {
    /// # Safety
    /// `area` is the `fpregs` of a signal frame, which outlives the result.
    unsafe fn new(area: *mut u8) -> Self {
        // Documented with the frame's layout in Linux's asm/sigcontext.h.
        const MAGIC_OFFSET: usize = 464;
        const MAGIC: u32 = 0x4650_5853;
        // SAFETY: the legacy region of 512 bytes is always there.
        if unsafe { area.add(MAGIC_OFFSET).cast::<u32>().read_unaligned() } != MAGIC {
            die("the signal frame has no XSAVE area");
        }
        Self(area)
    }

    fn header(&self) -> *mut u64 {
        // SAFETY: the header follows the legacy region where the magic number says so.
        unsafe { self.0.add(512).cast() }
    }

    fn in_use(&self, component: u32) -> bool {
        // SAFETY: XSTATE_BV is the header's first word.
        unsafe { self.header().read_unaligned() >> component & 1 == 1 }
    }

    /// `N` bytes of register `number` in a component that starts at `offset`.
    fn part<const N: usize>(&self, offset: usize, number: usize) -> *mut [u8; N] {
        // SAFETY: the kernel's frame holds every component that the CPU's CPUID lays out.
        unsafe { self.0.add(offset + N * number).cast() }
    }

    fn read(&self, number: usize) -> [u8; 32] {
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
    fn write(&mut self, number: usize, value: &[u8]) {
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

/// Tiles of palette 1: eight of up to 16 rows of up to 64 bytes.
struct Tiles {
    configured: bool,
    start_row: usize,
    shapes: [Shape; 8],
    data: [[[u8; 64]; 16]; 8],
    /// Instructions run since the thread began, for tests that count them.
    counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    rows: usize,
    row_bytes: usize,
}

/// How many instructions of each kind were emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) configurations: u64,
    pub(super) loads: u64,
    pub(super) stores: u64,
    pub(super) products: u64,
}

std::thread_local! {
    static TILES: UnsafeCell<Tiles> = const { UnsafeCell::new(Tiles::new()) };
}

impl Tiles {
    const fn new() -> Self {
        Self {
            configured: false,
            start_row: 0,
            shapes: [Shape { rows: 0, row_bytes: 0 }; 8],
            data: [[[0; 64]; 16]; 8],
            counts: Counts { configurations: 0, loads: 0, stores: 0, products: 0 },
        }
    }

    /// `ldtilecfg`; a configuration of zeros is `tilerelease`.
    fn configure(&mut self, config: &[u8; 64]) -> Result<(), Fault> {
        let mut shapes = [Shape { rows: 0, row_bytes: 0 }; 8];
        match config[0] {
            0 => {}
            1 => {
                let zeros = |bytes: &[u8]| bytes.iter().all(|&b| b == 0);
                if !zeros(&config[2..16]) || !zeros(&config[32..48]) || !zeros(&config[56..]) {
                    return Err("ldtilecfg: a reserved byte is not zero");
                }
                for (i, shape) in shapes.iter_mut().enumerate() {
                    let row_bytes = u16::from_le_bytes([config[16 + 2 * i], config[17 + 2 * i]]);
                    *shape = Shape { rows: config[48 + i].into(), row_bytes: row_bytes.into() };
                    if shape.rows > 16 || shape.row_bytes > 64 {
                        return Err("ldtilecfg: more than 16 rows or 64 bytes a row");
                    }
                    if (shape.rows == 0) != (shape.row_bytes == 0) {
                        return Err("ldtilecfg: rows without bytes or bytes without rows");
                    }
                }
            }
            _ => return Err("ldtilecfg: no such palette"),
        }
        let mut counts = self.counts;
        counts.configurations += u64::from(config[0] != 0);
        *self = Self { shapes, configured: config[0] != 0, counts, ..Self::new() };
        self.start_row = if self.configured { config[1].into() } else { 0 };
        Ok(())
    }

    /// What `sttilecfg` writes.
    fn config(&self) -> [u8; 64] {
        let mut config = [0; 64];
        config[0] = self.configured.into();
        config[1] = self.start_row as u8;
        for (i, shape) in self.shapes.iter().enumerate() {
            config[16 + 2 * i] = shape.row_bytes as u8;
            config[48 + i] = shape.rows as u8;
        }
        config
    }

    fn shape(&self, tile: usize) -> Result<Shape, Fault> {
        let shape = self.shapes[tile];
        if !self.configured {
            return Err("tiles are not configured");
        }
        if shape.rows == 0 {
            return Err("this tile is not configured");
        }
        Ok(shape)
    }

    /// The shape of a tile that is loaded, stored or multiplied: whole 32-bit words.
    fn shape_in_words(&self, tile: usize) -> Result<Shape, Fault> {
        let shape = self.shape(tile)?;
        if shape.row_bytes % 4 != 0 {
            return Err("this tile's rows are not whole 32-bit words");
        }
        Ok(shape)
    }

    /// `tilezero`.
    fn zero(&mut self, tile: usize) -> Result<(), Fault> {
        self.shape(tile)?;
        self.data[tile] = [[0; 64]; 16];
        self.start_row = 0;
        Ok(())
    }

    /// The first row to load or store, and the tile's shape.
    fn start(&self, tile: usize) -> Result<(usize, Shape), Fault> {
        let shape = self.shape_in_words(tile)?;
        if self.start_row >= shape.rows {
            return Err("start_row lies outside this tile");
        }
        Ok((self.start_row, shape))
    }

    /// `tileloadd`: `row(r, out)` reads a row. What lies outside the shape becomes zero.
    fn load(&mut self, tile: usize, mut row: impl FnMut(usize, &mut [u8])) -> Result<(), Fault> {
        let (start, shape) = self.start(tile)?;
        for (r, out) in self.data[tile].iter_mut().enumerate().skip(start) {
            *out = [0; 64];
            if r < shape.rows {
                row(r, &mut out[..shape.row_bytes]);
            }
        }
        self.start_row = 0;
        self.counts.loads += 1;
        Ok(())
    }

    /// `tilestored`: `row(r, bytes)` writes a row.
    fn store(&mut self, tile: usize, mut row: impl FnMut(usize, &[u8])) -> Result<(), Fault> {
        let (start, shape) = self.start(tile)?;
        for (r, bytes) in self.data[tile].iter().enumerate().take(shape.rows).skip(start) {
            row(r, &bytes[..shape.row_bytes]);
        }
        self.start_row = 0;
        self.counts.stores += 1;
        Ok(())
    }

    /// `tdpb..d`: `sums[m][n] += Σ_k Σ_j first[m][k][j] · second[k][n][j]`, without saturation.
    fn dot(
        &mut self,
        signed: [bool; 2],
        sums: usize,
        first: usize,
        second: usize,
    ) -> Result<(), Fault> {
        if sums == first || sums == second || first == second {
            return Err("tdpb: two operands are the same tile");
        }
        let [c, a, b] = [sums, first, second].map(|tile| self.shape_in_words(tile));
        let (c, a, b) = (c?, a?, b?);
        if c.rows != a.rows {
            return Err("tdpb: sums and first factor differ in rows");
        }
        if c.row_bytes != b.row_bytes {
            return Err("tdpb: sums and second factor differ in columns");
        }
        if a.row_bytes / 4 != b.rows {
            return Err("tdpb: columns of the first factor are not the rows of the second");
        }
        let widen = |tile: &[[u8; 64]; 16], signed: bool| {
            tile.map(|row| row.map(|v| if signed { i32::from(v as i8) } else { i32::from(v) }))
        };
        let first = widen(&self.data[first], signed[0]);
        let second = widen(&self.data[second], signed[1]);
        for (m, out) in self.data[sums].iter_mut().enumerate() {
            let mut row = [0i32; 16];
            for (n, sum) in row.iter_mut().enumerate() {
                if m < c.rows && n < c.row_bytes / 4 {
                    *sum = i32::from_le_bytes([0, 1, 2, 3].map(|j| out[4 * n + j]));
                }
            }
            // Beyond the shapes both factors are zeros.
            for k in 0..16 {
                for (n, sum) in row.iter_mut().enumerate() {
                    for j in 0..4 {
                        let product = first[m][4 * k + j] * second[k][4 * n + j];
                        *sum = sum.wrapping_add(product);
                    }
                }
            }
            for (n, sum) in row.iter().enumerate() {
                out[4 * n..4 * n + 4].copy_from_slice(&sum.to_le_bytes());
            }
        }
        self.start_row = 0;
        self.counts.products += 1;
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use core::arch::asm;
    use core::arch::x86_64::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Output};

    use super::*;

    fn memory(base: Base, index: Option<usize>, shift: u8, displacement: i32) -> Rm {
        Rm::Memory { base, index, shift, displacement }
    }

    #[test]
    fn decodes_as_binutils_does() {
        use Base::{NextInstruction, Register};
        use Op::{Dot, Dpbusd, Load, LoadConfig, Release, Store, StoreConfig, Zero};
        let reg = Rm::Register;
        // Bytes by GNU as, checked with objdump.
        #[rustfmt::skip]
        let table: &[(&[u8], Op, usize, usize, Rm)] = &[
            // {vex} vpdpbusd ymm0,ymm1,ymm2
            (b"\xc4\xe2\x75\x50\xc2", Dpbusd(32), 0, 1, reg(2)),
            // {vex} vpdpbusd ymm9,ymm14,ymm7
            (b"\xc4\x62\x0d\x50\xcf", Dpbusd(32), 9, 14, reg(7)),
            // {vex} vpdpbusd xmm3,xmm12,xmm15
            (b"\xc4\xc2\x19\x50\xdf", Dpbusd(16), 3, 12, reg(15)),
            // {vex} vpdpbusd ymm4,ymm5,[rdi]
            (b"\xc4\xe2\x55\x50\x27", Dpbusd(32), 4, 5, memory(Register(7), None, 0, 0)),
            // {vex} vpdpbusd ymm4,ymm5,[r13+0x40]
            (b"\xc4\xc2\x55\x50\x65\x40", Dpbusd(32), 4, 5, memory(Register(13), None, 0, 0x40)),
            // {vex} vpdpbusd ymm10,ymm5,[r12+r9*4-0x1000]
            (b"\xc4\x02\x55\x50\x94\x8c\x00\xf0\xff\xff", Dpbusd(32), 10, 5,
                memory(Register(12), Some(9), 2, -0x1000)),
            // {vex} vpdpbusd ymm1,ymm2,[rip+0x1234]
            (b"\xc4\xe2\x6d\x50\x0d\x34\x12\x00\x00", Dpbusd(32), 1, 2,
                memory(NextInstruction, None, 0, 0x1234)),
            // {vex} vpdpbusd ymm1,ymm2,[rcx*8+0x10]
            (b"\xc4\xe2\x6d\x50\x0c\xcd\x10\x00\x00\x00", Dpbusd(32), 1, 2,
                memory(Base::None, Some(1), 3, 0x10)),
            // ldtilecfg [rax]
            (b"\xc4\xe2\x78\x49\x00", LoadConfig, 0, 0, memory(Register(0), None, 0, 0)),
            // ldtilecfg [rip+0x10]
            (b"\xc4\xe2\x78\x49\x05\x10\x00\x00\x00", LoadConfig, 0, 0,
                memory(NextInstruction, None, 0, 0x10)),
            // sttilecfg [rsp+0x8]
            (b"\xc4\xe2\x79\x49\x44\x24\x08", StoreConfig, 0, 0, memory(Register(4), None, 0, 8)),
            // tilerelease
            (b"\xc4\xe2\x78\x49\xc0", Release, 0, 0, reg(0)),
            // tilezero tmm5
            (b"\xc4\xe2\x7b\x49\xe8", Zero, 5, 0, reg(0)),
            // tileloadd tmm1,[rsi+r11*1]
            (b"\xc4\xa2\x7b\x4b\x0c\x1e", Load, 1, 0, memory(Register(6), Some(11), 0, 0)),
            // tileloaddt1 tmm7,[r8+rdx*2+0x100]
            (b"\xc4\xc2\x79\x4b\xbc\x50\x00\x01\x00\x00", Load, 7, 0,
                memory(Register(8), Some(2), 1, 0x100)),
            // tileloadd tmm2,[rbx+riz*1]
            (b"\xc4\xe2\x7b\x4b\x14\x23", Load, 2, 0, memory(Register(3), None, 0, 0)),
            // tilestored [r14+rax*1+0x800],tmm3
            (b"\xc4\xc2\x7a\x4b\x9c\x06\x00\x08\x00\x00", Store, 3, 0,
                memory(Register(14), Some(0), 0, 0x800)),
            // tdpbssd tmm0,tmm1,tmm2; tdpbsud tmm3,tmm4,tmm5; tdpbusd tmm6,tmm7,tmm0;
            // tdpbuud tmm1,tmm2,tmm7
            (b"\xc4\xe2\x6b\x5e\xc1", Dot(true, true), 0, 2, reg(1)),
            (b"\xc4\xe2\x52\x5e\xdc", Dot(true, false), 3, 5, reg(4)),
            (b"\xc4\xe2\x79\x5e\xf7", Dot(false, true), 6, 0, reg(7)),
            (b"\xc4\xe2\x40\x5e\xca", Dot(false, false), 1, 7, reg(2)),
        ];
        for &(bytes, op, reg, vvvv, rm) in table {
            // Reading past the instruction would panic.
            let expected = Instruction { op, reg, vvvv, rm, len: bytes.len() };
            assert_eq!(decode(|i| bytes[i]), Some(expected), "{bytes:02x?}");
        }
    }

    #[test]
    fn leaves_other_instructions_alone() {
        for bytes in [
            b"\x0f\x0b\x00\x00\x00\x00", // ud2
            b"\x62\xf2\x75\x28\x50\xc2", // vpdpbusd with EVEX
            b"\xc4\xe2\x6a\x5c\xc1\x00", // tdpbf16ps tmm0,tmm1,tmm2
            b"\xc4\xe2\xf5\x50\xc2\x00", // vpdpbusd with VEX.W1
            b"\xc4\xe3\x75\x50\xc2\x00", // another opcode map
            b"\xc4\x62\x7b\x49\xc0\x00", // tilezero tmm8
            b"\xc4\xc2\x6b\x5e\xc1\x00", // tdpbssd tmm0,tmm9,tmm2
            b"\xc4\xe2\x2b\x5e\xc1\x00", // tdpbssd tmm0,tmm1,tmm10
            b"\xc4\xe2\x7f\x49\xe8\x00", // tilezero with VEX.L1
            b"\xc4\xe2\x73\x49\xe8\x00", // tilezero with a second operand
            b"\xc4\xe2\x7b\x4b\x07\x00", // tileloadd without SIB
            b"\xc4\xe2\x6b\x5e\x07\x00", // tdpbssd with memory
            b"\xc4\xe2\x78\x4b\x0c\x1e", // tileload without a prefix
        ] {
            assert_eq!(decode(|i| bytes[i]), None, "{bytes:02x?}");
        }
    }

    /// A configuration of tiles from the first on: rows and bytes of a row.
    fn config(shapes: &[(u8, u8)]) -> [u8; 64] {
        let mut config = [0; 64];
        config[0] = 1;
        for (i, &(rows, row_bytes)) in shapes.iter().enumerate() {
            config[16 + 2 * i] = row_bytes;
            config[48 + i] = rows;
        }
        config
    }

    /// Tiles 0 = sums 2x2, 1 = first factor 2x8 bytes, 2 = second factor 2x8 bytes.
    const FIRST: [[i8; 8]; 2] = [[1, -2, 3, -4, 5, 6, 7, 8], [-128, -128, -128, -128, 0, 0, 0, 1]];
    const SECOND: [[u8; 8]; 2] = [[1, 1, 1, 1, 255, 0, 0, 1], [2, 0, 0, 0, 0, 0, 0, 128]];
    const SUMS: [[i32; 2]; 2] = [[10, 20], [30, i32::MAX]];

    /// By hand: `SUMS` plus `FIRST` times `SECOND` as each instruction reads their bytes.
    const PRODUCTS: [([bool; 2], [[i32; 2]; 2]); 4] = [
        // 1-2+3-4 + 2·5, 255-4 + 128·8; -4·128, -128·255-128 + 128
        ([true, false], [[10 + 8, 20 + 1275], [30 - 512, i32::MAX - 32640]]),
        // 255 is -1 and 128 is -128: -1-4 - 128·8; 128-128 - 128
        ([true, true], [[10 + 8, 20 - 1029], [30 - 512, i32::MAX - 128]]),
        // -2 is 254, -4 is 252 and -128 is 128: 1+254+3+252 + 10, -1+252 - 1024; 4·128, -128
        ([false, true], [[10 + 520, 20 - 773], [30 + 512, i32::MAX - 128]]),
        // 255+252 + 1024; 128·255+128 + 128, past the largest sum
        ([false, false], [[10 + 520, 20 + 1531], [30 + 512, i32::MIN + 32895]]),
    ];

    fn loaded() -> Tiles {
        let mut tiles = Tiles::new();
        tiles.configure(&config(&[(2, 8), (2, 8), (2, 8)])).unwrap();
        let sums = SUMS.map(|row| [row[0].to_le_bytes(), row[1].to_le_bytes()].concat());
        tiles.load(0, |r, out| out.copy_from_slice(&sums[r])).unwrap();
        tiles.load(1, |r, out| out.copy_from_slice(&FIRST[r].map(|v| v as u8))).unwrap();
        tiles.load(2, |r, out| out.copy_from_slice(&SECOND[r])).unwrap();
        tiles
    }

    #[test]
    fn products_of_small_matrices_are_those_made_by_hand() {
        for (signed, expected) in PRODUCTS {
            let mut tiles = loaded();
            tiles.dot(signed, 0, 1, 2).unwrap();
            let mut sums = [[0; 2]; 2];
            let word = |bytes: &[u8]| i32::from_le_bytes(bytes.try_into().unwrap());
            tiles.store(0, |r, row| sums[r] = [word(&row[..4]), word(&row[4..])]).unwrap();
            assert_eq!(sums, expected, "{signed:?}");
        }
    }

    #[test]
    fn loads_fill_with_zeros_and_start_where_the_configuration_says() {
        let mut tiles = Tiles::new();
        let mut from_row_1 = config(&[(3, 8)]);
        from_row_1[1] = 1;
        tiles.configure(&from_row_1).unwrap();
        assert_eq!(tiles.config(), from_row_1);
        let ones = |_: usize, out: &mut [u8]| out.fill(1);
        tiles.load(0, ones).unwrap();
        let mut expected = [[0; 64]; 16];
        expected[1][..8].fill(1);
        expected[2][..8].fill(1);
        assert_eq!(tiles.data[0], expected);
        // The next one starts at the top again.
        tiles.load(0, ones).unwrap();
        expected[0][..8].fill(1);
        assert_eq!(tiles.data[0], expected);
        tiles.zero(0).unwrap();
        assert_eq!(tiles.data[0], [[0; 64]; 16]);
        // Configuring clears, and palette 0 releases.
        tiles.load(0, ones).unwrap();
        tiles.configure(&config(&[(3, 8)])).unwrap();
        assert_eq!(tiles.data[0], [[0; 64]; 16]);
        tiles.configure(&[0; 64]).unwrap();
        assert_eq!((tiles.config(), tiles.zero(0).is_err()), ([0; 64], true));
    }

    #[test]
    fn configurations_that_a_cpu_refuses_are_faults() {
        let good = config(&[(16, 64); 8]);
        assert_eq!(Tiles::new().configure(&good), Ok(()));
        for (byte, value) in [
            (0, 2),   // palette
            (2, 1),   // reserved
            (15, 1),  // reserved
            (16, 65), // bytes of a row
            (17, 1),  // bytes of a row: 320
            (16, 0),  // rows without bytes
            (48, 0),  // bytes without rows
            (55, 17), // rows
            (32, 1),  // a ninth tile
            (63, 1),  // a sixteenth tile
        ] {
            let mut bad = good;
            bad[byte] = value;
            assert!(Tiles::new().configure(&bad).is_err(), "byte {byte} = {value}");
        }
    }

    #[test]
    fn tiles_that_do_not_fit_are_faults() {
        let mut tiles = Tiles::new();
        let ones = |_: usize, out: &mut [u8]| out.fill(1);
        assert!(tiles.zero(0).is_err() && tiles.load(0, ones).is_err());
        assert!(tiles.store(0, |_, _| ()).is_err() && tiles.dot([true; 2], 0, 1, 2).is_err());
        // 0: sums, 1: first, 2: second; 3: too few rows, 4: too narrow, 5: half words, 6: none
        let shapes = [(16, 64), (16, 64), (16, 64), (8, 64), (16, 32), (16, 6), (0, 0)];
        tiles.configure(&config(&shapes)).unwrap();
        assert_eq!(tiles.dot([true; 2], 0, 1, 2), Ok(()));
        for (sums, first, second) in [
            (0, 0, 2),
            (0, 1, 1),
            (2, 1, 2),
            (3, 1, 2), // rows of the sums and of the first factor
            (4, 1, 2), // columns of the sums and of the second factor
            (0, 1, 3), // columns of the first factor, rows of the second
            (0, 4, 2),
            (5, 1, 2),
            (6, 1, 2),
            (0, 1, 7),
        ] {
            assert!(tiles.dot([true; 2], sums, first, second).is_err(), "{sums} {first} {second}");
        }
        for tile in [5, 6, 7] {
            assert!(tiles.load(tile, ones).is_err() && tiles.store(tile, |_, _| ()).is_err());
        }
        assert!(tiles.zero(5).is_ok() && tiles.zero(6).is_err());
        let mut late = config(&shapes);
        late[1] = 8;
        tiles.configure(&late).unwrap();
        assert!(tiles.load(3, ones).is_err() && tiles.load(0, ones).is_ok());
    }

    #[test]
    fn trapped_tile_instructions_give_the_same_products() {
        super::super::x86_cpu::may_use_amx_int8();
        install();
        let mut given = config(&[(2, 8), (2, 8), (2, 8)]);
        let mut stored = [1u8; 64];
        let mut sums = [[0i32; 2]; 2];
        let released;
        // SAFETY: the tiles have two rows of 8 bytes, with 8 bytes from one to the next.
        unsafe {
            asm!(
                "ldtilecfg [{config}]",
                "tileloadd tmm0, [{sums} + {stride}]",
                "tileloadd tmm1, [{first} + {half}*2]",
                "tileloaddt1 tmm2, [{second} + {stride} + 8]",
                "tdpbsud tmm0, tmm1, tmm2",
                "tilestored [{out} + {stride}], tmm0",
                "sttilecfg [{stored}]",
                "tilerelease",
                "sttilecfg [{config}]",
                config = in(reg) given.as_mut_ptr(),
                sums = in(reg) SUMS.as_ptr(),
                first = in(reg) FIRST.as_ptr(),
                second = in(reg) SECOND.as_ptr().wrapping_sub(1),
                out = in(reg) sums.as_mut_ptr(),
                stored = in(reg) stored.as_mut_ptr(),
                stride = in(reg) 8usize,
                half = in(reg) 4usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _,
                options(nostack),
            );
            released = given;
        }
        assert_eq!(sums, PRODUCTS[0].1);
        assert_eq!(stored, config(&[(2, 8), (2, 8), (2, 8)]));
        assert_eq!(released, [0; 64]);
    }

    /// splitmix64
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn random_bytes(state: &mut u64) -> [u8; 32] {
        core::array::from_fn(|_| random(state) as u8)
    }

    #[test]
    fn products_of_bytes_are_those_made_by_hand_and_those_of_avx512() {
        let mut sums = [0; 32];
        sums[..4].copy_from_slice(&7i32.to_le_bytes());
        sums[28..].copy_from_slice(&i32::MAX.to_le_bytes());
        let (mut unsigned, mut signed) = ([255; 32], [0x80; 32]);
        unsigned[..4].copy_from_slice(&[1, 2, 3, 200]);
        signed[..4].copy_from_slice(&[5, 0xff, 100, 0xfe]);
        unsigned[28..].fill(1);
        signed[28..].fill(1);
        let lanes = dpbusd(sums, unsigned, signed);
        let lanes = lanes.as_chunks::<4>().0;
        assert_eq!(i32::from_le_bytes(lanes[0]), 7 + 5 - 2 + 300 - 400);
        assert_eq!(i32::from_le_bytes(lanes[1]), 4 * 255 * -128);
        assert_eq!(i32::from_le_bytes(lanes[7]), i32::MIN + 3);

        if super::super::avx512_vnni::detect().is_some() {
            #[target_feature(enable = "avx512f,avx512vnni")]
            fn by_the_cpu(sums: [u8; 32], unsigned: [u8; 32], signed: [u8; 32]) -> [u8; 32] {
                // SAFETY: 32 bytes each.
                let load = |bytes: [u8; 32]| unsafe {
                    _mm512_castsi256_si512(_mm256_loadu_si256(bytes.as_ptr().cast()))
                };
                let all = _mm512_dpbusd_epi32(load(sums), load(unsigned), load(signed));
                let mut out = [0; 32];
                // SAFETY: as above.
                unsafe {
                    _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_castsi512_si256(all));
                };
                out
            }
            let state = &mut 1;
            for _ in 0..1000 {
                let [sums, unsigned, signed] = [0; 3].map(|_| random_bytes(state));
                // SAFETY: the CPU has AVX-512 VNNI.
                let expected = unsafe { by_the_cpu(sums, unsigned, signed) };
                assert_eq!(dpbusd(sums, unsigned, signed), expected);
            }
        }
    }

    /// Runs `$instruction` on registers 1, 8 and 15 by force of emulation, with an operand in
    /// memory at `mem + 8 * two - 16` too. Gives the registers back.
    macro_rules! forced {
        ($name:ident, $instruction:literal) => {
            #[target_feature(enable = "avx2")]
            fn $name(registers: &mut [[u8; 32]; 3], memory: &[u8; 32]) {
                // SAFETY: 32 bytes each, and what the instruction reads lies at `memory`.
                unsafe {
                    let [a, b, c] = registers.each_mut().map(|r| r.as_mut_ptr().cast::<__m256i>());
                    let [mut ra, mut rb, mut rc] = [a, b, c].map(|r| _mm256_loadu_si256(r));
                    asm!(
                        ".byte 0x0f, 0x0b, 0x62, 0x68, 0x6f /* {mem} {two} */",
                        $instruction,
                        mem = in(reg) memory.as_ptr(),
                        two = in(reg) 2usize,
                        inout("ymm1") ra, inout("ymm8") rb, inout("ymm15") rc,
                        options(nostack, readonly),
                    );
                    _mm256_storeu_si256(a, ra);
                    _mm256_storeu_si256(b, rb);
                    _mm256_storeu_si256(c, rc);
                }
            }
        };
    }
    forced!(registers, "{{vex}} vpdpbusd ymm1, ymm8, ymm15");
    forced!(registers_back, "{{vex}} vpdpbusd ymm15, ymm1, ymm8");
    forced!(half_registers, "{{vex}} vpdpbusd xmm8, xmm1, xmm15");
    forced!(plain_memory, "{{vex}} vpdpbusd ymm8, ymm15, ymmword ptr [{mem}]");
    forced!(indexed_memory, "{{vex}} vpdpbusd ymm1, ymm15, ymmword ptr [{mem} + 8*{two} - 16]");

    #[test]
    fn trapped_vector_instructions_write_their_register_and_no_other() {
        install();
        let state = &mut 2;
        for _ in 0..100 {
            let before = [0; 3].map(|_| random_bytes(state));
            let memory = random_bytes(state);
            let [a, b, c] = before;
            let mut half = dpbusd(b, a, c);
            half[16..].fill(0);
            let run = |f: unsafe fn(&mut [[u8; 32]; 3], &[u8; 32])| {
                let mut after = before;
                // SAFETY: backends that are emulated need AVX2, as their tests do.
                unsafe { f(&mut after, &memory) };
                after
            };
            assert_eq!(run(registers), [dpbusd(a, b, c), b, c]);
            assert_eq!(run(registers_back), [a, b, dpbusd(c, a, b)]);
            assert_eq!(run(half_registers), [a, half, c]);
            assert_eq!(run(plain_memory), [a, dpbusd(b, c, memory), c]);
            assert_eq!(run(indexed_memory), [dpbusd(a, c, memory), b, c]);
        }
    }

    /// Runs this test again in a process of its own, which is meant to die.
    fn die_by(case: &str) -> Output {
        let test = "arch::emulate::tests::what_is_wrong_kills_the_process";
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CASE, case)
            .output()
            .unwrap()
    }

    const CASE: &str = "BHO_EMULATE_DIE_BY";

    #[test]
    fn what_is_wrong_kills_the_process() {
        install();
        match std::env::var(CASE).as_deref() {
            // SAFETY: kills the process, as intended.
            Ok("an illegal instruction") => unsafe { asm!("ud2") },
            // SAFETY: as above: no tiles are configured.
            Ok("a misused tile") => unsafe { asm!("tilezero tmm0", out("tmm0") _) },
            Ok(other) => panic!("no such case: {other}"),
            Err(_) => {
                let output = die_by("an illegal instruction");
                assert_eq!(output.status.signal(), Some(libc::SIGILL));
                let output = die_by("a misused tile");
                assert_eq!(output.status.signal(), Some(libc::SIGABRT));
                let message = String::from_utf8(output.stderr).unwrap();
                assert!(message.contains("would fault: tiles are not configured"), "{message}");
            }
        }
    }
}
