// SPDX-License-Identifier: AGPL-3.0-or-later
//! Foreign ternary tensors: what their own programs packed, plain encoders, and bad input.

use bho_kernels::{
    ForeignTernary, HfScale, I2sLayout, ImportError, Imported, KernelError, PANEL,
    TERNARY_TILE_COLS, TernaryFormat, TernaryView,
};
use half::f16;
use proptest::prelude::*;

const FORMATS: [TernaryFormat; 6] = [
    TernaryFormat::HfPacked(HfScale::Multiply(0.5)),
    TernaryFormat::HfPacked(HfScale::Divide(2.0)),
    TernaryFormat::I2S(I2sLayout::X86),
    TernaryFormat::I2S(I2sLayout::Arm),
    TernaryFormat::Tq1_0,
    TernaryFormat::Tq2_0,
];

/// Inputs of a block.
fn block_cols(format: TernaryFormat) -> usize {
    match format {
        TernaryFormat::I2S(I2sLayout::X86) => 128,
        TernaryFormat::I2S(I2sLayout::Arm) => 64,
        TernaryFormat::Tq1_0 | TernaryFormat::Tq2_0 => 256,
        _ => 1,
    }
}

fn import(
    format: TernaryFormat,
    rows: usize,
    cols: usize,
    bytes: &[u8],
) -> Result<Imported, ImportError> {
    ForeignTernary::new(format, rows, cols, bytes)?.import()
}

/// Packs one weight at a time, by the formats' documentation. `scales`: one per row in the TQ
/// formats, the first one in I2_S.
fn encode(format: TernaryFormat, cols: usize, weights: &[i8], scales: &[f32]) -> Vec<u8> {
    let rows = weights.len() / cols;
    let mut bytes = vec![0u8; format.packed_len(rows, cols).unwrap()];
    for (at, &w) in weights.iter().enumerate() {
        let (r, k, code) = (at / cols, at % cols, (w + 1) as u8);
        let (block, i) = (at / 256, k % 256);
        match format {
            TernaryFormat::HfPacked(_) => {
                let quarter = rows.div_ceil(4);
                bytes[r % quarter * cols + k] |= code << (2 * (r / quarter));
            }
            TernaryFormat::I2S(_) => {
                let inputs = block_cols(format);
                let (group, j) = (k % inputs / (inputs / 4), k % (inputs / 4));
                bytes[at / inputs * (inputs / 4) + j] |= code << (6 - 2 * group);
            }
            TernaryFormat::Tq1_0 => {
                let (byte, digit) = match i {
                    0..160 => (i % 32, i / 32),
                    160..240 => (32 + i % 16, (i - 160) / 16),
                    _ => (48 + i % 4, (i - 240) / 4),
                };
                bytes[54 * block + byte] += code * 3u8.pow(4 - digit as u32);
            }
            TernaryFormat::Tq2_0 => {
                bytes[66 * block + i / 128 * 32 + i % 32] |= code << (2 * (i % 128 / 32));
            }
            _ => unreachable!("a format this test does not know"),
        }
    }
    let f16_bytes = |block: usize| f16::from_f32(scales[block * 256 / cols]).to_le_bytes();
    match format {
        TernaryFormat::I2S(_) => {
            bytes[weights.len() / 4..][..4].copy_from_slice(&scales[0].to_le_bytes());
        }
        TernaryFormat::Tq1_0 => {
            for (b, block) in bytes.chunks_exact_mut(54).enumerate() {
                for byte in &mut block[..52] {
                    *byte = (u32::from(*byte) * 256).div_ceil(243) as u8;
                }
                block[52..].copy_from_slice(&f16_bytes(b));
            }
        }
        TernaryFormat::Tq2_0 => {
            for (b, block) in bytes.chunks_exact_mut(66).enumerate() {
                block[64..].copy_from_slice(&f16_bytes(b));
            }
        }
        _ => {}
    }
    bytes
}

/// The weights are where `TernaryView::get` finds them, and what pads the tiles is 0.
fn assert_holds(imported: &Imported, rows: usize, cols: usize, weights: &[i8]) {
    let view = imported.weights.view();
    assert_eq!((view.rows(), view.cols()), (rows, cols));
    assert_eq!(view.unpack(), weights);
    let padded = [rows.next_multiple_of(PANEL), cols.next_multiple_of(TERNARY_TILE_COLS)];
    let padded = TernaryView::new(padded[0], padded[1], imported.weights.as_bytes()).unwrap();
    for r in 0..padded.rows() {
        for k in if r < rows { cols } else { 0 }..padded.cols() {
            assert_eq!(padded.get(r, k), 0, "padding at {r}, {k}");
        }
    }
}

macro_rules! golden {
    ($($test:ident: $case:literal, $format:expr, $rows:literal, $cols:literal;)*) => {$(
        #[test]
        fn $test() {
            macro_rules! file {
                ($kind:literal) => {
                    include_bytes!(concat!("../../tests/golden/ternary_formats/", $case, $kind))
                };
            }
            let imported = import($format, $rows, $cols, file!(".packed")).unwrap();
            let weights = file!(".weights").map(|w| w as i8);
            assert_holds(&imported, $rows, $cols, &weights);
            let (scales, _) = file!(".scales").as_chunks();
            let scales: Vec<f32> = scales.iter().map(|&s| f32::from_le_bytes(s)).collect();
            assert_eq!(imported.row_scales, scales);
        }
    )*};
}

golden! {
    transformers_bitlinear: "hf_packed_8x20", TernaryFormat::HfPacked(HfScale::Divide(1.21875)), 8, 20;
    transformers_autobitlinear:
        "hf_packed_20x33", TernaryFormat::HfPacked(HfScale::Multiply(0.076171875)), 20, 33;
    transformers_rows_not_in_fours:
        "hf_packed_37x50", TernaryFormat::HfPacked(HfScale::Multiply(2.5)), 37, 50;
    bitnet_cpp_i2_s_x86: "i2_s_x86_19x384", TernaryFormat::I2S(I2sLayout::X86), 19, 384;
    bitnet_cpp_i2_s_arm: "i2_s_arm_19x192", TernaryFormat::I2S(I2sLayout::Arm), 19, 192;
    gguf_tq1_0: "tq1_0_19x768", TernaryFormat::Tq1_0, 19, 768;
    gguf_tq1_0_every_byte: "tq1_0_every_byte_2x8192", TernaryFormat::Tq1_0, 2, 8192;
    gguf_tq2_0: "tq2_0_19x768", TernaryFormat::Tq2_0, 19, 768;
}

proptest! {
    #[test]
    fn what_a_plain_encoder_packs_comes_back(
        format in prop::sample::select(&FORMATS[..]),
        rows in 1usize..=50,
        // Past 512 inputs a panel is packed in several steps.
        blocks in 1usize..=5,
        hf_cols in 1usize..=1100,
        seed: u64,
    ) {
        let cols = match format {
            TernaryFormat::HfPacked(_) => hf_cols,
            _ => blocks * block_cols(format),
        };
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize
        };
        let weights: Vec<i8> = (0..rows * cols).map(|_| (next() % 3) as i8 - 1).collect();
        let scales: Vec<f32> = (0..rows)
            .map(|r| match format {
                TernaryFormat::HfPacked(_) => 0.5,
                TernaryFormat::I2S(_) => 0.1,
                _ => f16::from_f32(0.25 + r as f32).to_f32(),
            })
            .collect();
        let bytes = encode(format, cols, &weights, &scales);
        let imported = import(format, rows, cols, &bytes).unwrap();
        assert_holds(&imported, rows, cols, &weights);
        prop_assert_eq!(&imported.row_scales, &scales);

        let (mut tiles, mut row_scales) = (Vec::new(), Vec::new());
        let source = ForeignTernary::new(format, rows, cols, &bytes).unwrap();
        source
            .for_each_panel::<ImportError>(|panel| {
                assert_eq!(panel.index * PANEL, row_scales.len());
                tiles.extend_from_slice(panel.tiles);
                row_scales.extend_from_slice(panel.row_scales);
                Ok(())
            })
            .unwrap();
        prop_assert_eq!(&tiles, imported.weights.as_bytes());
        prop_assert_eq!(row_scales, scales);
    }

    #[test]
    fn hostile_bytes_and_shapes_are_errors_or_valid_tiles(
        format in prop::sample::select(&FORMATS[..]),
        rows in prop_oneof![4 => 0usize..40, 1 => any::<usize>()],
        blocks in 0usize..4,
        cols in prop_oneof![1 => 0usize..600, 1 => any::<usize>()],
        whole_blocks: bool,
        fits: bool,
        mut bytes in prop::collection::vec(any::<u8>(), 0..3000),
        zero_code_threes: bool,
    ) {
        let cols = if whole_blocks { blocks * block_cols(format) } else { cols };
        if let Some(len) = format.packed_len(rows, cols).ok().filter(|&len| fits && len < 1 << 16) {
            bytes = bytes.into_iter().chain([0x2a]).cycle().take(len).collect();
        }
        if zero_code_threes {
            for byte in &mut bytes {
                *byte &= !((*byte & *byte >> 1 & 0x55) * 3);
            }
        }
        if let Ok(imported) = import(format, rows, cols, &bytes) {
            prop_assert_eq!(imported.weights.view().check_codes(), Ok(()));
            prop_assert_eq!(imported.row_scales.len(), rows);
            prop_assert!(imported.row_scales.iter().all(|scale| scale.is_finite()));
        }
    }
}

#[test]
fn columns_must_be_whole_blocks() {
    // Transformers' blocks run along the rows; any number of columns will do.
    for &format in &FORMATS[2..] {
        let multiple = block_cols(format);
        for cols in [1, multiple / 2, multiple - 1, multiple + 1, 3 * multiple / 2] {
            let error = import(format, 3, cols, &[]).unwrap_err();
            assert_eq!(error, ImportError::Columns { format: format.name(), multiple, cols });
        }
    }
    assert_eq!(
        import(TernaryFormat::Tq2_0, 3, 300, &[]).unwrap_err().to_string(),
        "TQ2_0: 300 columns; a multiple of 256 is needed"
    );
}

#[test]
fn too_few_and_too_many_bytes_are_errors() {
    // Three rows of two blocks; computed by hand, not by `packed_len`.
    let lengths = [2, 2, 3 * 64 + 32, 3 * 32 + 32, 3 * 2 * 54, 3 * 2 * 66];
    for (format, expected) in FORMATS.into_iter().zip(lengths) {
        let (rows, cols) = (3, 2 * block_cols(format));
        for found in [0, 1, expected - 1, expected + 1, 2 * expected] {
            let error = import(format, rows, cols, &vec![0; found]).unwrap_err();
            let format = format.name();
            assert_eq!(error, ImportError::Length { format, rows, cols, expected, found });
        }
        assert!(ForeignTernary::new(format, rows, cols, &vec![0; expected]).is_ok());
    }
}

#[test]
fn absurd_dimensions_are_errors() {
    for format in FORMATS {
        for (rows, cols) in [(0, 256), (256, 0), (usize::MAX, 256), (256, usize::MAX & !255)] {
            assert!(matches!(
                import(format, rows, cols, &[]),
                Err(ImportError::Dimension(KernelError::Dimension { .. }))
            ));
        }
    }
}

#[test]
fn code_3_is_named_by_row_and_column() {
    for (format, cols) in FORMATS.into_iter().zip([700, 700, 640, 640, 768, 768]) {
        if format == TernaryFormat::Tq1_0 {
            continue; // every byte is valid there
        }
        for col in [0, 300, 520, cols - 1] {
            let (rows, row) = (18, 17);
            let mut weights = vec![0i8; rows * cols];
            weights[row * cols + col] = 2;
            let bytes = encode(format, cols, &weights, &vec![1.0; rows]);
            let source = ForeignTernary::new(format, rows, cols, &bytes).unwrap();
            let expected = ImportError::Code { format: format.name(), row, col };
            assert_eq!(source.import(), Err(expected.clone()));
            let mut panels = 0;
            let result = source.for_each_panel(|_| {
                panels += 1;
                Ok::<_, ImportError>(())
            });
            assert_eq!((result, panels), (Err(expected), 1), "the good first panel is handed out");
        }
    }
}

#[test]
fn scales_that_are_not_finite_are_errors() {
    let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    for scale in bad {
        for hf in
            [HfScale::Multiply(scale), HfScale::Divide(if scale.is_nan() { scale } else { 0.0 })]
        {
            let error = import(TernaryFormat::HfPacked(hf), 4, 1, &[0b01_01_01_01]);
            assert!(matches!(error, Err(ImportError::Scale { format: "HF packed", .. })), "{hf:?}");
        }
        for layout in [I2sLayout::X86, I2sLayout::Arm] {
            let format = TernaryFormat::I2S(layout);
            let bytes = encode(format, 128, &[1; 256], &[scale; 2]);
            let error = ForeignTernary::new(format, 2, 128, &bytes).unwrap_err();
            assert!(matches!(error, ImportError::Scale { format: "I2_S", .. }));
        }
        for format in [TernaryFormat::Tq1_0, TernaryFormat::Tq2_0] {
            // Even where all weights are 0: 0 · NaN is not 0.
            let bytes = encode(format, 512, &[0; 1024], &[1.0, scale]);
            let error = import(format, 2, 512, &bytes).unwrap_err();
            assert!(matches!(error, ImportError::BlockScale { row: 1, block: 0, .. }), "{error}");
        }
    }
    let zero = import(TernaryFormat::HfPacked(HfScale::Multiply(0.0)), 4, 1, &[0]).unwrap();
    assert_eq!(zero.row_scales, [0.0; 4]);
}

/// Imports 17 rows of 4 blocks whose last row has these block scales and weights.
fn last_row(format: TernaryFormat, blocks: [(f32, i8); 4]) -> Result<Imported, ImportError> {
    let (rows, cols) = (17, 1024);
    let mut weights = vec![1i8; rows * cols];
    for (block, (_, weight)) in weights[16 * cols..].chunks_exact_mut(256).zip(blocks) {
        block.fill(weight);
    }
    let mut bytes = encode(format, cols, &weights, &vec![1.0; rows]);
    let block_bytes = bytes.len() / (rows * 4);
    for (block, (scale, _)) in bytes.chunks_exact_mut(block_bytes).skip(16 * 4).zip(blocks) {
        block[block_bytes - 2..].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    }
    import(format, rows, cols, &bytes)
}

#[test]
fn a_row_needs_one_scale_among_its_blocks_with_weights() {
    for format in [TernaryFormat::Tq1_0, TernaryFormat::Tq2_0] {
        for (expected, found) in [(0.5, 0.25), (0.5, -0.5), (-0.5, 0.5)] {
            let blocks = [(expected, 1), (expected, -1), (0.0, 0), (found, 1)];
            let (row, block, name) = (16, 3, format.name());
            let error = ImportError::MixedScales { format: name, row, block, expected, found };
            assert_eq!(last_row(format, blocks), Err(error));
        }
        // Scale 0 makes any weight 0; weights of 0 make any scale moot.
        for (blocks, weights, scale) in [
            ([(0.0, 0), (0.5, 1), (0.0, 0), (0.5, -1)], [0, 1, 0, -1], 0.5),
            ([(0.0, 1), (0.5, 1), (-0.0, -1), (0.5, 1)], [0, 1, 0, 1], 0.5),
            ([(2.0, 0), (0.5, 1), (0.5, -1), (3.0, 0)], [0, 1, -1, 0], 0.5),
            ([(-0.5, 1), (0.0, 0), (-0.5, 1), (-0.5, 1)], [1, 0, 1, 1], -0.5),
            ([(2.0, 0), (0.0, 1), (0.0, 0), (1.0, 0)], [0, 0, 0, 0], 0.0),
        ] {
            let imported = last_row(format, blocks).unwrap();
            assert_eq!(imported.row_scales[16], scale);
            assert_eq!(imported.row_scales[..16], [1.0; 16]);
            let unpacked = imported.weights.view().unpack();
            let last = unpacked[16 * 1024..].chunks_exact(256);
            for (block, weight) in last.zip(weights) {
                assert_eq!(block, [weight; 256]);
            }
        }
    }
}

#[test]
fn an_error_of_the_caller_ends_the_panels() {
    #[derive(Debug)]
    struct DiskFull;
    impl From<ImportError> for DiskFull {
        fn from(error: ImportError) -> Self {
            unreachable!("the tensor is good: {error}")
        }
    }
    let bytes = [0x55; 12];
    let format = TernaryFormat::HfPacked(HfScale::Multiply(1.0));
    let source = ForeignTernary::new(format, 48, 1, &bytes).unwrap();
    let mut seen = Vec::new();
    let result = source.for_each_panel(|panel| {
        seen.push(panel.index);
        if panel.index == 1 { Err(DiskFull) } else { Ok(()) }
    });
    assert!(matches!(result, Err(DiskFull)));
    assert_eq!(seen, [0, 1]);
}

#[test]
fn a_row_as_floats_has_the_scale_of_each_block() {
    for format in FORMATS {
        let (rows, cols) = (6, 512);
        let weights: Vec<i8> = (0..rows * cols).map(|i| (i * i / 7 % 3) as i8 - 1).collect();
        let mut bytes = encode(format, cols, &weights, &vec![0.5; rows]);
        let mut scales = [0.5f32; 12];
        if let TernaryFormat::Tq1_0 | TernaryFormat::Tq2_0 = format {
            let block_bytes = bytes.len() / scales.len();
            for (i, block) in bytes.chunks_exact_mut(block_bytes).enumerate() {
                scales[i] = i as f32 / 4.0 - 1.0;
                block[block_bytes - 2..].copy_from_slice(&f16::from_f32(scales[i]).to_le_bytes());
            }
        }
        let foreign = ForeignTernary::new(format, rows, cols, &bytes).unwrap();
        let mut out = vec![f32::NAN; cols];
        for row in 0..rows {
            foreign.dequantize_row(row, &mut out).unwrap();
            for (k, y) in out.iter().enumerate() {
                let at = row * cols + k;
                assert_eq!(*y, scales[at / 256] * f32::from(weights[at]), "{format:?} {row} {k}");
            }
        }
        for (row, len) in [(rows, cols), (usize::MAX, cols), (0, cols - 1), (0, 0)] {
            assert!(matches!(
                foreign.dequantize_row(row, &mut out[..len]),
                Err(ImportError::Dimension(_))
            ));
        }
    }
}
