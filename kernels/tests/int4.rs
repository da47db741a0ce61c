// SPDX-License-Identifier: AGPL-3.0-or-later
//! Int4 weights: every backend against plain loops, and against the bits of the first backend.

use bho_kernels::{
    INT4_GROUP, Int4Matrix, Int4View, Kernels, PANEL, QuantRows, TILE_BYTES, available, f16,
};
use proptest::prelude::*;

/// A tile's codes and the line of scales behind them.
const TILE: usize = 9 * TILE_BYTES;

fn linear(k: &dyn Kernels, w: Int4View<'_>, x: &QuantRows, bias: Option<&[f32]>) -> Vec<f32> {
    let mut y = vec![f32::NAN; x.view().rows() * w.rows()];
    k.int4_linear(w, x.view(), bias, &mut y).unwrap();
    y
}

/// The documented sums in plain loops: exact within a group, then in the order of the groups.
fn oracle(w: Int4View<'_>, x: &QuantRows, bias: Option<&[f32]>) -> Vec<f32> {
    let mut y = Vec::new();
    for t in 0..x.view().rows() {
        let row = x.view().padded_row(t);
        for r in 0..w.rows() {
            let mut sum = 0f32;
            for first in (0..w.cols()).step_by(INT4_GROUP) {
                // Exact in f64, as is its rounding to the product of an integer and a scale.
                let inputs = first..w.cols().min(first + INT4_GROUP);
                let exact: f64 = inputs.map(|k| f64::from(w.get(r, k)) * f64::from(row[k])).sum();
                sum += exact as f32;
            }
            y.push(sum * x.view().quant(t).scale + bias.map_or(0.0, |bias| bias[r]));
        }
    }
    y
}

fn bits(y: &[f32]) -> Vec<u32> {
    y.iter().map(|v| v.to_bits()).collect()
}

/// Weights of any codes, with scales of all signs and sizes.
fn random(rows: usize, cols: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 40) as u32
    };
    let mut bytes = vec![0; Int4View::packed_len(rows, cols).unwrap()];
    for tile in bytes.chunks_exact_mut(TILE) {
        let (codes, scales) = tile.split_at_mut(8 * TILE_BYTES);
        codes.fill_with(|| next() as u8);
        for scale in scales.as_chunks_mut::<2>().0 {
            *scale = f16::from_f32(next() as f32 / (1 << 23) as f32 - 1.0).to_le_bytes();
        }
    }
    bytes
}

#[test]
fn every_backend_gives_the_documented_sums_at_every_edge() {
    for rows in [1, 15, 16, 17, 33] {
        for cols in [1, 31, 32, 33, 63, 64, 65, 130] {
            let weights = random(rows, cols, (rows * 1000 + cols) as u64);
            let w = Int4View::new(rows, cols, &weights).unwrap();
            let bias: Vec<f32> = (0..rows).map(|r| r as f32 - 3.5).collect();
            for tokens in 1..=9 {
                let x: Vec<f32> =
                    (0..tokens * cols).map(|i| (i as f32 * 0.37).sin() * (i % 7) as f32).collect();
                let mut quant = QuantRows::new();
                quant.quantize(available()[0], &x, cols).unwrap();
                for bias in [None, Some(&bias[..])] {
                    let expected = bits(&oracle(w, &quant, bias));
                    for k in available() {
                        let found = bits(&linear(k, w, &quant, bias));
                        assert_eq!(found, expected, "{}: {rows}x{cols}, {tokens}", k.name());
                    }
                }
            }
        }
    }
}

#[test]
fn worst_case_magnitudes_do_not_wrap() {
    let (rows, cols) = (PANEL + 1, 4096);
    // Extremes of one sign, and of another in every other block.
    let inputs = [[-128; 8], [127; 8], [-128, -128, -128, -128, 127, 127, 127, 127]];
    for code in [0x00, 0xff, 0x0f, 0xf0] {
        let mut weights = random(rows, cols, 1);
        for tile in weights.chunks_exact_mut(TILE) {
            tile[..8 * TILE_BYTES].fill(code);
        }
        let w = Int4View::new(rows, cols, &weights).unwrap();
        for input in inputs {
            // Every number of tokens that share a pass, and a pass after another.
            for tokens in 1..=5 {
                let x = QuantRows::from_int8(&input.repeat(tokens * cols / 8), cols).unwrap();
                let expected = bits(&oracle(w, &x, None));
                for k in available() {
                    let found = bits(&linear(k, w, &x, None));
                    assert_eq!(found, expected, "{}: {code:02x}, {input:?}, {tokens}", k.name());
                }
            }
        }
    }
}

#[test]
fn wrong_shapes_are_errors_that_name_the_argument() {
    let w = Int4Matrix::quantize(3, 40, &[0.5; 120]).unwrap();
    let x = QuantRows::from_int8(&[1; 80], 40).unwrap();
    let short = QuantRows::from_int8(&[1; 39], 39).unwrap();
    let mut zeros = QuantRows::new();
    zeros.quantize_range(available()[0], &[1.0; 40], 40).unwrap();
    for k in available() {
        let call = |x: &QuantRows, bias: Option<&[f32]>, outputs| {
            let mut y = vec![0.0; outputs];
            k.int4_linear(w.view(), x.view(), bias, &mut y).unwrap_err().to_string()
        };
        assert!(call(&short, None, 3).contains("activation columns"));
        assert!(call(&x, None, 5).contains("output"));
        assert!(call(&x, Some(&[0.0; 2]), 6).contains("bias"));
        assert!(call(&zeros, None, 3).contains("zero points"));
    }
    assert!(Int4Matrix::quantize(3, 40, &[0.5; 119]).is_err());
    assert!(Int4View::new(3, 40, &w.as_bytes()[1..]).is_err());
    for (rows, cols) in [(0, 1), (1, 0), (usize::MAX, 1), (1, usize::MAX)] {
        assert!(Int4View::packed_len(rows, cols).is_err());
    }
}

proptest! {
    #[test]
    fn any_bytes_of_the_right_length_are_multiplied_alike(
        bytes in proptest::collection::vec(any::<u8>(), TILE),
        x in (1..=6usize).prop_flat_map(|tokens| proptest::collection::vec(any::<i8>(), tokens * 50)),
    ) {
        let w = Int4View::new(11, 50, &bytes).unwrap();
        let x = QuantRows::from_int8(&x, 50).unwrap();
        let first = linear(available()[0], w, &x, None);
        for k in available() {
            for (a, b) in linear(k, w, &x, None).iter().zip(&first) {
                // Scales may be NaN, whose payload is free.
                prop_assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan());
            }
        }
    }
}
