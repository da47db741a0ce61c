// SPDX-License-Identifier: AGPL-3.0-or-later
//! The dense ternary format and every backend's product with it, against the plain-loop oracle.

mod common;

use bho_kernels::{
    DenseTernaryMatrix, DenseTernaryView, Dequant, KernelError, Kernels, QuantRows, TernaryMatrix,
    TernaryView, available, by_name, oracle,
};
use proptest::prelude::*;

use common::Rng;

fn gemm(k: &dyn Kernels, w: DenseTernaryView<'_>, x: &[i8]) -> Vec<i64> {
    let x = QuantRows::from_int8(x, w.cols()).unwrap();
    let mut y = vec![0; x.view().rows() * w.rows()];
    k.ternary_dense_gemm(w, x.view(), &mut y).unwrap();
    y.into_iter().map(i64::from).collect()
}

#[test]
fn products_are_exact_at_every_edge() {
    let mut rng = Rng(1);
    // Residues around panels and groups of panels; tiles of 20, of 16, rows padded to 64.
    for rows in [1, 15, 16, 17, 33, 64, 65, 100, 129] {
        for cols in (1..=42).chain(59..=66).chain([79, 80, 81, 127, 128, 129, 320, 321, 500]) {
            let weights = rng.trits(rows * cols);
            let w = DenseTernaryMatrix::pack(rows, cols, &weights).unwrap();
            for tokens in [1, 2, 3, 4, 5, 9, 18] {
                let x = rng.int8s(tokens * cols);
                let expected = oracle::matmul_int(&weights, &x, rows, cols);
                for k in available() {
                    let what = format!("{} {rows}x{cols} tokens {tokens}", k.name());
                    assert_eq!(gemm(k, w.view(), &x), expected, "{what}");
                }
            }
        }
    }
}

#[test]
fn products_are_exact_around_the_stretches_between_shifts() {
    let mut rng = Rng(2);
    // 1638 tiles fold into one sum; and so many columns that four panels are unpacked at a time, of six once.
    for cols in [32_740, 32_759, 32_760, 32_761, 32_768, 65_520, 65_521, 1 << 17] {
        let rows = if cols == 32_768 { 81 } else { 17 };
        let weights = rng.trits(rows * cols);
        let w = DenseTernaryMatrix::pack(rows, cols, &weights).unwrap();
        // One, two, and more than share a pass: the other numbers are tried above on fewer columns.
        for tokens in [1, 2, 5] {
            let x = rng.int8s(tokens * cols);
            let expected = oracle::matmul_int(&weights, &x, rows, cols);
            for k in available() {
                assert_eq!(gemm(k, w.view(), &x), expected, "{} {cols} {tokens}", k.name());
            }
        }
    }
}

#[test]
fn worst_case_magnitudes_do_not_wrap() {
    for cols in [2560, 6912, 32_760, 32_768, 65_536, 1 << 17, 600_000] {
        for weight in [1, -1] {
            // A panel and more, several where they are short: emulated instructions take their time.
            let rows = if cols > 1 << 17 {
                1
            } else if cols > 1 << 15 {
                17
            } else {
                65
            };
            let w = DenseTernaryMatrix::pack(rows, cols, &vec![weight; rows * cols]).unwrap();
            for activation in [127, -128] {
                let expected = i64::from(weight) * i64::from(activation) * cols as i64;
                let counts = if cols > 8192 { &[1, 2, 5][..] } else { &[1, 2, 3, 4, 5] };
                for &tokens in counts {
                    let x = vec![activation; tokens * cols];
                    for k in available() {
                        let y = gemm(k, w.view(), &x);
                        assert_eq!(y, vec![expected; tokens * rows], "{} {cols}", k.name());
                    }
                }
            }
        }
    }
}

#[test]
fn any_bytes_are_weights_that_backends_agree_on() {
    let mut rng = Rng(3);
    for (rows, cols) in [(16, 20), (33, 85), (130, 333)] {
        let len = DenseTernaryView::packed_len(rows, cols).unwrap();
        let bytes: Vec<u8> = (0..len).map(|i| (i as u64 ^ rng.next() << 4) as u8).collect();
        let w = DenseTernaryView::new(rows, cols, &bytes).unwrap();
        for tokens in [1, 3, 6] {
            let x = rng.int8s(tokens * cols);
            let expected = oracle::matmul_int(&w.unpack(), &x, rows, cols);
            for k in available() {
                assert_eq!(gemm(k, w, &x), expected, "{} {rows}x{cols}", k.name());
            }
        }
    }
}

/// The codes of a byte by the definition: the first five base-3 digits of `byte / 256`.
fn digits(byte: u8) -> [i8; 5] {
    let m = 243 * u32::from(byte) / 256;
    [81, 27, 9, 3, 1].map(|place| (m / place % 3) as i8 - 1)
}

#[test]
fn every_byte_decodes_to_five_weights() {
    for byte in 0..=255u8 {
        let tile = [byte; 64];
        let w = DenseTernaryView::new(16, 20, &tile).unwrap();
        for (k, r) in (0..20).flat_map(|k| (0..16).map(move |r| (k, r))) {
            assert_eq!(w.get(r, k), digits(byte)[k / 4], "byte {byte} row {r} input {k}");
        }
        let two_bits = w.to_ternary();
        assert_eq!(two_bits.view().unpack(), w.unpack(), "byte {byte}");
        // Packed again it may be the neighbour, which means the same.
        let again = DenseTernaryMatrix::from_ternary(two_bits.view()).unwrap();
        assert_eq!(again.view().unpack(), w.unpack(), "byte {byte}");
        assert!(again.as_bytes()[0].abs_diff(byte) <= 1, "byte {byte}");
    }
}

#[test]
fn all_combinations_of_five_weights_pack_to_the_documented_byte() {
    for m in 0..243i32 {
        let codes = [81, 27, 9, 3, 1].map(|place| m / place % 3);
        // Row 3, inputs 2, 6, 10, 14, 18: byte 4 * 3 + 2.
        let mut weights = vec![0i8; 4 * 20];
        for (p, code) in codes.iter().enumerate() {
            weights[3 * 20 + 4 * p + 2] = *code as i8 - 1;
        }
        let packed = DenseTernaryMatrix::pack(4, 20, &weights).unwrap();
        let mut expected = [128u8; 64];
        expected[14] = (256.0 * (f64::from(m) + 0.5) / 243.0).round() as u8;
        assert_eq!(packed.as_bytes(), expected, "m {m}");
    }
}

#[test]
fn padding_holds_zero_weights_in_both_formats() {
    let packed = DenseTernaryMatrix::pack(1, 1, &[-1]).unwrap();
    assert_eq!(packed.as_bytes()[0], (256.0 * 40.5 / 243.0f64).round() as u8);
    assert!(packed.as_bytes()[1..].iter().all(|&b| b == 128));
    for cols in 1..100 {
        let weights = vec![1; 17 * cols];
        let two_bits = TernaryMatrix::pack(17, cols, &weights).unwrap();
        let packed = DenseTernaryMatrix::from_ternary(two_bits.view()).unwrap();
        assert_eq!(packed.view().to_ternary(), two_bits, "{cols} columns");
    }
}

#[test]
fn packed_weights_start_on_cache_lines() {
    let packed = DenseTernaryMatrix::pack(40, 50, &[0; 2000]).unwrap();
    assert_eq!(packed.as_bytes().as_ptr().align_offset(64), 0);
    assert_eq!(packed.clone().as_bytes().as_ptr().align_offset(64), 0);
}

#[test]
fn hostile_shapes_lengths_and_codes_are_errors() {
    for (rows, cols) in [(0, 4), (4, 0), (usize::MAX, usize::MAX), (1, usize::MAX), (1 << 25, 1)] {
        assert!(matches!(
            DenseTernaryView::packed_len(rows, cols),
            Err(KernelError::Dimension { .. })
        ));
        assert!(DenseTernaryView::new(rows, cols, &[]).is_err());
        assert!(DenseTernaryMatrix::pack(rows, cols, &[]).is_err());
    }
    assert_eq!(DenseTernaryView::packed_len(17, 21), Ok(2 * 2 * 64));
    for len in [0, 63, 65, 128] {
        let error = DenseTernaryView::new(16, 20, &vec![0; len]).unwrap_err();
        assert_eq!(error.to_string(), format!("dense ternary bytes: expected 64, found {len}"));
    }
    let wrong_weight = DenseTernaryMatrix::pack(1, 3, &[0, 2, 0]);
    assert_eq!(wrong_weight, Err(KernelError::Code { offset: 1 }));
    let mut tile = [0b01_01_01_01; 64];
    tile[7] = 0b11_01_01_01;
    let code_3 = DenseTernaryMatrix::from_ternary(TernaryView::new(16, 16, &tile).unwrap());
    assert_eq!(code_3, Err(KernelError::Code { offset: 7 }));
}

#[test]
fn wrong_lengths_are_errors_that_name_the_argument() {
    let w = DenseTernaryMatrix::pack(2, 3, &[1; 6]).unwrap();
    for k in available() {
        let x = QuantRows::from_int8(&[1; 8], 4).unwrap();
        let error = k.ternary_dense_gemm(w.view(), x.view(), &mut [0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "activation columns: expected 3, found 4");
        let x = QuantRows::from_int8(&[1; 6], 3).unwrap();
        let error = k.ternary_dense_gemm(w.view(), x.view(), &mut [0; 3]).unwrap_err();
        assert_eq!(error.to_string(), "output: expected 4, found 3");
        let dequant = Dequant { row_scales: &[1.0], row_sums: None, bias: None };
        let error = k.ternary_dense_linear(w.view(), x.view(), dequant, &mut [0.0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "row scales: expected 2, found 1");
    }
}

#[test]
fn no_tokens_give_no_output() {
    let w = DenseTernaryMatrix::pack(5, 7, &[1; 35]).unwrap();
    let x = QuantRows::from_int8(&[], 7).unwrap();
    for k in available() {
        k.ternary_dense_gemm(w.view(), x.view(), &mut []).unwrap();
    }
}

#[test]
fn products_say_which_loop_ran() {
    let w = DenseTernaryMatrix::pack(5, 7, &[1; 35]).unwrap();
    let two_bits = w.view().to_ternary();
    for k in available() {
        for tokens in [1usize, 5, 40] {
            let x = QuantRows::from_int8(&vec![1; 7 * tokens], 7).unwrap();
            let y = &mut vec![0; 5 * tokens];
            let ran = k.ternary_dense_gemm(w.view(), x.view(), y).unwrap();
            assert_eq!(ran.op, "ternary_dense_gemm");
            assert!(by_name(ran.isa).is_ok(), "{ran}");
            if !["avx512_vnni", "amx_int8"].contains(&k.name()) || tokens > 4 {
                let unpacked = k.ternary_gemm(two_bits.view(), x.view(), y).unwrap();
                assert_eq!((ran.isa, ran.variant), (unpacked.isa, unpacked.variant));
            } else {
                assert_eq!(ran.to_string(), "ternary_dense_gemm/avx512_vnni/gemv");
            }
        }
    }
}

#[test]
fn linear_layers_give_the_bits_of_the_2_bit_format() {
    let mut rng = Rng(4);
    for (rows, cols, tokens) in
        [(1, 1, 1), (17, 37, 3), (100, 65, 1), (150, 333, 6), (81, 20_000, 5)]
    {
        let two_bits = TernaryMatrix::pack(rows, cols, &rng.trits(rows * cols)).unwrap();
        let w = DenseTernaryMatrix::from_ternary(two_bits.view()).unwrap();
        let row_sums: Vec<i32> = two_bits
            .view()
            .unpack()
            .chunks(cols)
            .map(|row| row.iter().map(|&w| i32::from(w)).sum())
            .collect();
        let mut floats = |n: usize| -> Vec<f32> {
            rng.int8s(n).into_iter().map(|v| f32::from(v) / 37.0).collect()
        };
        let (x, row_scales, bias) = (floats(tokens * cols), floats(rows), floats(rows));
        let dequant =
            Dequant { row_scales: &row_scales, row_sums: Some(&row_sums), bias: Some(&bias) };
        let mut quant = QuantRows::new();
        for k in available() {
            let x = quant.quantize_range(k, &x, cols).unwrap();
            let (mut expected, mut y) = (vec![0.0; tokens * rows], vec![0.0; tokens * rows]);
            k.ternary_linear(two_bits.view(), x, dequant, &mut expected).unwrap();
            let ran = k.ternary_dense_linear(w.view(), x, dequant, &mut y).unwrap();
            assert_eq!(ran.op, "ternary_dense_linear");
            assert_eq!(y, expected, "{} {rows}x{cols} tokens {tokens}", k.name());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packing_round_trips(rows in 1usize..70, cols in 1usize..200, seed: u64) {
        let weights = Rng(seed).trits(rows * cols);
        let packed = DenseTernaryMatrix::pack(rows, cols, &weights).unwrap();
        prop_assert_eq!(packed.view().unpack(), weights.clone());
        let view = DenseTernaryView::new(rows, cols, packed.as_bytes()).unwrap();
        prop_assert_eq!(view.to_ternary(), TernaryMatrix::pack(rows, cols, &weights).unwrap());
    }

    #[test]
    fn random_shapes_are_exact(
        rows in 1usize..150, cols in 1usize..700, tokens in 1usize..20, seed: u64,
    ) {
        let mut rng = Rng(seed);
        let (weights, x) = (rng.trits(rows * cols), rng.int8s(tokens * cols));
        let w = DenseTernaryMatrix::pack(rows, cols, &weights).unwrap();
        let expected = oracle::matmul_int(&weights, &x, rows, cols);
        for k in available() {
            prop_assert_eq!(gemm(k, w.view(), &x), expected.clone(), "{}", k.name());
        }
    }
}
