// SPDX-License-Identifier: AGPL-3.0-or-later
//! The bytes of an instruction (Intel SDM volume 2, chapter 2) to what it does and on what.

/// What an instruction does, and to which width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
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
pub(super) enum Rm {
    Register(usize),
    Memory { base: Base, index: Option<usize>, shift: u8, displacement: i32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    None,
    Register(usize),
    NextInstruction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) op: Op,
    pub(super) reg: usize,
    pub(super) vvvv: usize,
    pub(super) rm: Rm,
    pub(super) len: usize,
}

/// Decodes one instruction of those emulated here; none for all others.
pub(super) fn decode(fetch: impl Fn(usize) -> u8) -> Option<Instruction> {
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
