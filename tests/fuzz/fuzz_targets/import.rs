// SPDX-License-Identifier: AGPL-3.0-or-later
//! Ternary tensors of other programs, from any bytes: what is imported is what a plain decoder, one
//! weight at a time, finds; what that refuses is an error; and memory stays in proportion.
#![no_main]

use bho_fuzz::{Fill, Hostile};
use bho_kernels::{ForeignTernary, HfScale, I2sLayout, ImportError, PANEL, TernaryFormat, f16};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    format: Format,
    rows: Hostile,
    cols: Hostile,
    /// Columns count blocks of the format.
    whole_blocks: bool,
    bytes: Fill,
    len: Length,
    /// Codes 3 become 2, which spares the fuzzer to guess bytes without one.
    valid_codes: bool,
    /// Written over the scale of every block.
    block_scale: Option<f32>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Format {
    HfMultiply(f32),
    HfDivide(f32),
    I2sX86,
    I2sArm,
    Tq1_0,
    Tq2_0,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Length {
    Fits,
    OffBy(i8),
    Any(u16),
}

/// Longest tensor that is made to fit; a hostile shape may ask for terabytes.
const MAX_BYTES: u128 = 1 << 16;

impl Format {
    fn format(self) -> TernaryFormat {
        match self {
            Self::HfMultiply(scale) => TernaryFormat::HfPacked(HfScale::Multiply(scale)),
            Self::HfDivide(scale) => TernaryFormat::HfPacked(HfScale::Divide(scale)),
            Self::I2sX86 => TernaryFormat::I2S(I2sLayout::X86),
            Self::I2sArm => TernaryFormat::I2S(I2sLayout::Arm),
            Self::Tq1_0 => TernaryFormat::Tq1_0,
            Self::Tq2_0 => TernaryFormat::Tq2_0,
        }
    }

    /// Inputs and bytes of a block; HF packs along the rows.
    fn block(self) -> (usize, usize) {
        match self {
            Self::HfMultiply(_) | Self::HfDivide(_) => (1, 1),
            Self::I2sX86 => (128, 32),
            Self::I2sArm => (64, 16),
            Self::Tq1_0 => (256, 54),
            Self::Tq2_0 => (256, 66),
        }
    }

    /// Bytes of a tensor, by the documentation of the formats; `u128::MAX` for more than that.
    fn len(self, rows: usize, cols: usize) -> u128 {
        let (inputs, bytes) = self.block();
        let row = (cols / inputs) as u128 * bytes as u128;
        match self {
            Self::HfMultiply(_) | Self::HfDivide(_) => row.saturating_mul(rows.div_ceil(4) as u128),
            Self::I2sX86 | Self::I2sArm => row.saturating_mul(rows as u128).saturating_add(32),
            Self::Tq1_0 | Self::Tq2_0 => row.saturating_mul(rows as u128),
        }
    }

    /// Code of row `r`, input `k`.
    fn code(self, rows: usize, cols: usize, r: usize, k: usize, bytes: &[u8]) -> u8 {
        let at = r * cols + k;
        let i = k % 256;
        match self {
            Self::HfMultiply(_) | Self::HfDivide(_) => {
                let quarter = rows.div_ceil(4);
                bytes[r % quarter * cols + k] >> (2 * (r / quarter)) & 3
            }
            Self::I2sX86 | Self::I2sArm => {
                let (inputs, width) = self.block();
                bytes[at / inputs * width + k % width] >> (6 - 2 * (k % inputs / width)) & 3
            }
            Self::Tq1_0 => {
                let (byte, digit) = match i {
                    0..160 => (i % 32, i / 32),
                    160..240 => (32 + i % 16, (i - 160) / 16),
                    _ => (48 + i % 4, (i - 240) / 4),
                };
                let byte = u32::from(bytes[at / 256 * 54 + byte]);
                (byte * 3u32.pow(digit as u32 + 1) / 256 % 3) as u8
            }
            Self::Tq2_0 => bytes[at / 256 * 66 + i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3,
        }
    }

    /// `[rows, cols]` weights and row scales; none for what must be refused.
    fn decode(self, rows: usize, cols: usize, bytes: &[u8]) -> Option<(Vec<i8>, Vec<f32>)> {
        let tensor_scale = match self {
            Self::HfMultiply(scale) => Some(scale),
            Self::HfDivide(scale) => Some(1.0 / scale),
            Self::I2sX86 | Self::I2sArm => {
                let trailer = &bytes[bytes.len() - 32..];
                Some(f32::from_le_bytes(trailer[..4].try_into().unwrap()))
            }
            Self::Tq1_0 | Self::Tq2_0 => None,
        };
        if tensor_scale.is_some_and(|scale| !scale.is_finite()) {
            return None;
        }
        let (mut weights, mut scales) = (Vec::new(), Vec::new());
        for r in 0..rows {
            let mut row_scale = tensor_scale.unwrap_or(0.0);
            for k in 0..cols {
                let code = self.code(rows, cols, r, k, bytes);
                if code == 3 {
                    return None;
                }
                let mut weight = code as i8 - 1;
                if tensor_scale.is_none() {
                    let (_, block) = self.block();
                    let end = ((r * cols + k) / 256 + 1) * block;
                    let scale = f16::from_le_bytes([bytes[end - 2], bytes[end - 1]]).to_f32();
                    if !scale.is_finite() {
                        return None;
                    } else if scale == 0.0 {
                        weight = 0;
                    } else if weight != 0 {
                        if row_scale != 0.0 && row_scale != scale {
                            return None;
                        }
                        row_scale = scale;
                    }
                }
                weights.push(weight);
            }
            scales.push(row_scale);
        }
        Some((weights, scales))
    }
}

fuzz_target!(|input: Input| {
    let Input { format, rows: Hostile(rows), cols: Hostile(cols), .. } = input;
    let (inputs, block_bytes) = format.block();
    let cols = if input.whole_blocks { cols.saturating_mul(inputs) } else { cols };
    let needed = format.len(rows, cols);
    let len = match input.len {
        Length::Any(len) => len.into(),
        _ if needed > MAX_BYTES => 0,
        Length::Fits => needed as usize,
        Length::OffBy(off_by) => (needed as usize).saturating_add_signed(off_by.into()),
    };
    let mut bytes = input.bytes.bytes(len);
    if input.valid_codes {
        for byte in &mut bytes {
            *byte &= !(*byte >> 1 & 0x55);
        }
    }
    if let (Some(scale), None) = (input.block_scale, needed.checked_sub(MAX_BYTES)) {
        match format {
            Format::I2sX86 | Format::I2sArm if len >= 32 => {
                bytes[len - 32..][..4].copy_from_slice(&scale.to_le_bytes());
            }
            Format::Tq1_0 | Format::Tq2_0 => {
                for block in bytes.chunks_exact_mut(block_bytes) {
                    block[block_bytes - 2..].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
                }
            }
            _ => {}
        }
    }
    let bytes = bytes.into_boxed_slice();

    let fits = rows.wrapping_sub(1) < 1 << 24
        && cols.wrapping_sub(1) < 1 << 24
        && cols % inputs == 0
        && needed == len as u128;
    let foreign = ForeignTernary::new(format.format(), rows, cols, &bytes);
    if !fits {
        assert!(foreign.is_err(), "{rows}x{cols} in {len} bytes");
        return;
    }
    let decoded = format.decode(rows, cols, &bytes);
    let imported = foreign.clone().and_then(|foreign| foreign.import());
    match (&imported, &decoded) {
        (Ok(imported), Some((weights, scales))) => {
            let view = imported.weights.view();
            assert_eq!((view.rows(), view.cols()), (rows, cols));
            assert_eq!(view.check_codes(), Ok(()));
            assert!(view.unpack() == *weights, "{rows}x{cols}");
            // Equal, and of one sign where they are 0.
            let bits = |x: &[f32]| x.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&imported.row_scales), bits(scales));
        }
        (Err(_), None) => {}
        _ => {
            panic!("{:?}, where the plain decoder says {decoded:?}", imported.map(|i| i.row_scales))
        }
    }
    if let Ok(foreign) = foreign {
        let (mut tiles, mut scales) = (Vec::new(), Vec::new());
        let streamed = foreign.for_each_panel::<ImportError>(|panel| {
            assert_eq!(panel.index * PANEL, scales.len());
            tiles.extend_from_slice(panel.tiles);
            scales.extend_from_slice(panel.row_scales);
            Ok(())
        });
        match &imported {
            Ok(imported) => {
                assert!(tiles == imported.weights.as_bytes() && scales == imported.row_scales);
            }
            // As text: the scale that is reported may be a NaN, which equals nothing.
            Err(error) => assert_eq!(streamed.unwrap_err().to_string(), error.to_string()),
        }
    }
});
