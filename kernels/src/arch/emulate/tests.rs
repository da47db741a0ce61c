// SPDX-License-Identifier: AGPL-3.0-or-later
//! Decoding held against binutils, and every instruction and fault run through the handler.

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
