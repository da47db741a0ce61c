// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tensor types by their number in the file.

use bho_kernels::{I2sLayout, TernaryFormat};

/// Element type of a GGUF tensor, of those that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GgufType {
    /// 32-bit floats.
    F32,
    /// 16-bit IEEE floats.
    F16,
    /// bfloat16.
    BF16,
    /// Blocks of 32: f16 scale, 4 bits less 8.
    Q4_0,
    /// Blocks of 32: f16 scale and minimum, 4 bits.
    Q4_1,
    /// Blocks of 32: f16 scale, 5 bits less 16.
    Q5_0,
    /// Blocks of 32: f16 scale and minimum, 5 bits.
    Q5_1,
    /// Blocks of 32: f16 scale, int8.
    Q8_0,
    /// Blocks of 256 in 8 parts with 6-bit scales and minimums, 4 bits.
    Q4K,
    /// As [`GgufType::Q4K`] with 5 bits.
    Q5K,
    /// Blocks of 256 in 16 parts with int8 scales, 6 bits less 32.
    Q6K,
    /// Ternary, llama.cpp: five weights in a byte.
    Tq1_0,
    /// Ternary, llama.cpp: four weights in a byte.
    Tq2_0,
    /// Ternary, bitnet.cpp: four weights in a byte, one scale a tensor.
    I2S,
}

use GgufType as Type;

/// Number in the file, type, usual name.
const READ: [(u32, Type, &str); 14] = [
    (0, Type::F32, "F32"),
    (1, Type::F16, "F16"),
    (2, Type::Q4_0, "Q4_0"),
    (3, Type::Q4_1, "Q4_1"),
    (6, Type::Q5_0, "Q5_0"),
    (7, Type::Q5_1, "Q5_1"),
    (8, Type::Q8_0, "Q8_0"),
    (12, Type::Q4K, "Q4_K"),
    (13, Type::Q5K, "Q5_K"),
    (14, Type::Q6K, "Q6_K"),
    (30, Type::BF16, "BF16"),
    (34, Type::Tq1_0, "TQ1_0"),
    (35, Type::Tq2_0, "TQ2_0"),
    (36, Type::I2S, "I2_S"),
];

/// Types that llama.cpp and bitnet.cpp write and this version does not read.
const OTHERS: [(u32, &str); 24] = [
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (38, "TL1"),
    (39, "MXFP4 or TL2"),
    (40, "NVFP4"),
];

impl GgufType {
    /// The type of this number, or a message that names it and what is read.
    pub(super) fn from_number(number: u32) -> Result<Self, String> {
        if let Some((_, kind, _)) = READ.iter().find(|(n, ..)| *n == number) {
            return Ok(*kind);
        }
        let name = OTHERS.iter().find(|(n, _)| *n == number).map_or("unknown", |(_, name)| name);
        let read = READ.map(|(.., name)| name).join(", ");
        Err(format!("type {number} ({name}) is not read; read are {read}"))
    }

    /// Its usual name, e.g. `Q4_K`.
    pub fn name(self) -> &'static str {
        READ.iter().find(|(_, kind, _)| *kind == self).map_or("", |(.., name)| name)
    }

    /// How the kernels import this type if it is ternary; `layout` decides for I2_S.
    pub(super) fn ternary(self, layout: I2sLayout) -> Option<TernaryFormat> {
        match self {
            Self::Tq1_0 => Some(TernaryFormat::Tq1_0),
            Self::Tq2_0 => Some(TernaryFormat::Tq2_0),
            Self::I2S => Some(TernaryFormat::I2S(layout)),
            _ => None,
        }
    }

    /// Elements and bytes of a block of a type that is not ternary.
    fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
            Self::Tq1_0 | Self::Tq2_0 | Self::I2S => (1, 0),
        }
    }

    /// Bytes of a row of a type that is not ternary.
    pub(super) fn row_bytes(self, cols: usize) -> Result<usize, String> {
        let (elements, bytes) = self.block();
        if !cols.is_multiple_of(elements) {
            let name = self.name();
            return Err(format!("{name}: {cols} columns; a multiple of {elements} is needed"));
        }
        (cols / elements).checked_mul(bytes).ok_or_else(|| format!("a row of {cols} overflows"))
    }

    /// Bytes of a `[rows, cols]` tensor.
    pub(super) fn tensor_bytes(self, rows: usize, cols: usize) -> Result<usize, String> {
        // I2_S takes the same bytes in both layouts; Arm's has the smaller blocks.
        match self.ternary(I2sLayout::Arm) {
            Some(format) => format.packed_len(rows, cols).map_err(|e| e.to_string()),
            None => self
                .row_bytes(cols)?
                .checked_mul(rows)
                .ok_or_else(|| format!("{rows} rows of {cols} overflow")),
        }
    }
}
