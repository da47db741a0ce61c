// SPDX-License-Identifier: AGPL-3.0-or-later
//! One suite for every backend this machine can run, against the plain-loop oracle.
//! The vector maths has its own, `vecmath.rs`.

mod common;

use bho_kernels::{
    Dequant, F32Matrix, Int8Matrix, Kernels, QuantRows, TernaryMatrix, available, by_name, oracle,
};
use proptest::prelude::*;

use common::Rng;

fn ternary(k: &dyn Kernels, w: &[i8], x: &[i8], rows: usize, cols: usize) -> Vec<i64> {
    let packed = TernaryMatrix::pack(rows, cols, w).unwrap();
    let x = QuantRows::from_int8(x, cols).unwrap();
    let mut y = vec![0; x.view().rows() * rows];
    k.ternary_gemm(packed.view(), x.view(), &mut y).unwrap();
    y.into_iter().map(i64::from).collect()
}

fn int8(k: &dyn Kernels, w: &[i8], x: &[i8], rows: usize, cols: usize) -> Vec<i64> {
    let packed = Int8Matrix::pack(rows, cols, w).unwrap();
    let x = QuantRows::from_int8(x, cols).unwrap();
    let mut y = vec![0; x.view().rows() * rows];
    k.int8_gemm(packed.view(), x.view(), &mut y).unwrap();
    y.into_iter().map(i64::from).collect()
}

#[test]
fn integer_matmuls_are_exact_at_every_edge() {
    let mut rng = Rng(1);
    for k in available() {
        // All residues of rows and columns around the edges of panels, tiles and token blocks.
        for rows in [1, 2, 15, 16, 17, 31, 32, 33, 47] {
            for cols in (1..=35).chain([63, 64, 65, 255, 256, 257, 300]) {
                for tokens in [1, 2, 3, 5, 7, 8, 13] {
                    let x: Vec<i8> = (0..tokens * cols).map(|_| rng.int8()).collect();
                    let w: Vec<i8> = (0..rows * cols).map(|_| rng.trit()).collect();
                    let what = format!("{} {rows}x{cols} tokens {tokens}", k.name());
                    let expected = oracle::matmul_int(&w, &x, rows, cols);
                    assert_eq!(ternary(k, &w, &x, rows, cols), expected, "ternary {what}");
                    let w: Vec<i8> = (0..rows * cols).map(|_| rng.int8()).collect();
                    let expected = oracle::matmul_int(&w, &x, rows, cols);
                    assert_eq!(int8(k, &w, &x, rows, cols), expected, "int8 {what}");
                }
            }
        }
    }
}

#[test]
fn worst_case_magnitudes_do_not_wrap() {
    // bitnet.cpp's published AVX2 dot wraps 16 bits here from 2560 inputs on.
    for k in available() {
        for cols in [256, 2560, 4096, 6912, 1 << 17] {
            for (weight, activation) in [(1, 127), (1, -128), (-1, 127), (-1, -128)] {
                for tokens in [1, 5] {
                    let (w, x) = (vec![weight; 17 * cols], vec![activation; tokens * cols]);
                    let expected = i64::from(weight) * i64::from(activation) * cols as i64;
                    let y = ternary(k, &w, &x, 17, cols);
                    assert!(y.iter().all(|&v| v == expected), "ternary {} {cols}", k.name());
                }
            }
        }
        // Longer than the stretches after which backends fold their sums.
        let cols = 600_000;
        for (weight, activation) in [(1, 127), (1, -128), (-1, -128)] {
            for tokens in 1..=4 {
                let (w, x) = (vec![weight; cols], vec![activation; tokens * cols]);
                let expected = i64::from(weight) * i64::from(activation) * cols as i64;
                let y = ternary(k, &w, &x, 1, cols);
                assert!(y.iter().all(|&v| v == expected), "ternary {} {cols}", k.name());
            }
        }
        for cols in [256, 2560, 1 << 16] {
            for (weight, activation) in [(127, 127), (-128, -128), (-128, 127), (127, -128)] {
                for tokens in [1, 9] {
                    let (w, x) = (vec![weight; 17 * cols], vec![activation; tokens * cols]);
                    let expected = i64::from(weight) * i64::from(activation) * cols as i64;
                    let y = int8(k, &w, &x, 17, cols);
                    assert!(y.iter().all(|&v| v == expected), "int8 {} {cols}", k.name());
                }
            }
        }
    }
}

#[test]
fn no_tokens_give_no_output() {
    let packed = TernaryMatrix::pack(5, 7, &[1; 35]).unwrap();
    let bytes = Int8Matrix::pack(5, 7, &[1; 35]).unwrap();
    let x = QuantRows::from_int8(&[], 7).unwrap();
    for k in available() {
        k.ternary_gemm(packed.view(), x.view(), &mut []).unwrap();
        k.int8_gemm(bytes.view(), x.view(), &mut []).unwrap();
    }
}

#[test]
fn matmuls_say_which_loop_ran() {
    let packed = TernaryMatrix::pack(5, 7, &[1; 35]).unwrap();
    for k in available() {
        for tokens in [1usize, 40] {
            let x = QuantRows::from_int8(&vec![1; 7 * tokens], 7).unwrap();
            let ran = k.ternary_gemm(packed.view(), x.view(), &mut vec![0; 5 * tokens]).unwrap();
            let name = ran.to_string();
            assert!(name.starts_with("ternary_gemm/") && name.matches('/').count() >= 2, "{name}");
            // A backend may hand work to a simpler one, never to an unknown one.
            assert!(by_name(ran.isa).is_ok(), "{name}");
        }
    }
}

#[test]
fn linear_layers_scale_and_add_the_bias() {
    let mut rng = Rng(4);
    for k in available() {
        for (rows, cols, tokens) in [(1, 1, 1), (17, 37, 3), (48, 384, 9), (33, 65, 16)] {
            let w = rng.floats(rows * cols, 0.5);
            let (x, bias) = (rng.floats(tokens * cols, 2.0), rng.floats(rows, 1.0));
            let expected = oracle::matmul_f64(&w, &x, &bias, rows, cols);
            let mut y = vec![0f32; tokens * rows];
            let packed = F32Matrix::pack(rows, cols, &w).unwrap();
            k.f32_linear(packed.view(), Some(&bias), &x, &mut y).unwrap();
            for (a, b) in y.iter().zip(&expected) {
                assert!((f64::from(*a) - b).abs() < 1e-4, "f32 {} {a} vs {b}", k.name());
            }
            let (packed, scales) = Int8Matrix::quantize(rows, cols, &w).unwrap();
            let sums = packed.view().row_sums();
            let unpacked = packed.view().unpack();
            let mut quant = QuantRows::new();
            for range in [false, true] {
                let view = if range {
                    quant.quantize_range(k, &x, cols).unwrap()
                } else {
                    quant.quantize(k, &x, cols).unwrap()
                };
                let dequant =
                    Dequant { row_scales: &scales, row_sums: Some(&sums), bias: Some(&bias) };
                k.int8_linear(packed.view(), view, dequant, &mut y).unwrap();
                // Exactly what the quantized values say ...
                for t in 0..tokens {
                    let q = view.quant(t);
                    for r in 0..rows {
                        let row = &unpacked[r * cols..][..cols];
                        let sum: i32 = view.padded_row(t)[..cols]
                            .iter()
                            .zip(row)
                            .map(|(&x, &w)| (i32::from(x) - q.zero) * i32::from(w))
                            .sum();
                        let exact = sum as f32 * (scales[r] * q.scale) + bias[r];
                        assert_eq!(y[t * rows + r], exact, "int8 {}", k.name());
                    }
                }
                // ... and each product off by at most half a step of either factor.
                let tolerance = cols as f64 * (0.5 / 127.0 * 2.0 * 0.5 * 2.0 + 1e-4);
                for (a, b) in y.iter().zip(&expected) {
                    assert!((f64::from(*a) - b).abs() < tolerance, "int8 {} {a} vs {b}", k.name());
                }
            }
        }
    }
}

#[test]
fn wrong_lengths_are_errors_that_name_the_argument() {
    let w = Int8Matrix::pack(2, 3, &[1; 6]).unwrap();
    let x = QuantRows::from_int8(&[1; 8], 4).unwrap();
    for k in available() {
        let error = k.int8_gemm(w.view(), x.view(), &mut [0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "activation columns: expected 3, found 4");
        let x = QuantRows::from_int8(&[1; 6], 3).unwrap();
        let error = k.int8_gemm(w.view(), x.view(), &mut [0; 3]).unwrap_err();
        assert_eq!(error.to_string(), "output: expected 4, found 3");
        let dequant = Dequant { row_scales: &[1.0], row_sums: None, bias: None };
        let error = k.int8_linear(w.view(), x.view(), dequant, &mut [0.0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "row scales: expected 2, found 1");
        let mut shifted = QuantRows::new();
        let x = shifted.quantize_range(k, &[1.0, 2.0, 3.0], 3).unwrap();
        let dequant = Dequant { row_scales: &[1.0, 1.0], row_sums: None, bias: None };
        let error = k.int8_linear(w.view(), x, dequant, &mut [0.0; 2]).unwrap_err();
        assert_eq!(error.to_string(), "row sums: expected 2, found 0");
    }
}

#[test]
fn backends_are_found_by_name_or_refused_clearly() {
    for k in available() {
        assert_eq!(by_name(k.name()).unwrap().name(), k.name());
    }
    let error = by_name("mmx").err().unwrap().to_string();
    assert!(error.starts_with("no kernel backend is called \"mmx\"; this build has: scalar"));
    if std::env::var_os(bho_kernels::ISA_VARIABLE).is_none() {
        let best = available().last().unwrap().name();
        assert_eq!(bho_kernels::kernels().unwrap().name(), best);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packing_round_trips(rows in 1usize..40, cols in 1usize..70, seed: u64) {
        let mut rng = Rng(seed);
        let w: Vec<i8> = (0..rows * cols).map(|_| rng.trit()).collect();
        let packed = TernaryMatrix::pack(rows, cols, &w).unwrap();
        prop_assert_eq!(packed.view().unpack(), w);
        prop_assert!(packed.view().check_codes().is_ok());
        let w: Vec<i8> = (0..rows * cols).map(|_| rng.int8()).collect();
        prop_assert_eq!(Int8Matrix::pack(rows, cols, &w).unwrap().view().unpack(), w);
    }

    #[test]
    fn random_shapes_are_exact(
        rows in 1usize..70, cols in 1usize..600, tokens in 1usize..20, seed: u64,
    ) {
        let mut rng = Rng(seed);
        let x: Vec<i8> = (0..tokens * cols).map(|_| rng.int8()).collect();
        let trits: Vec<i8> = (0..rows * cols).map(|_| rng.trit()).collect();
        let bytes: Vec<i8> = (0..rows * cols).map(|_| rng.int8()).collect();
        for k in available() {
            let expected = oracle::matmul_int(&trits, &x, rows, cols);
            prop_assert_eq!(ternary(k, &trits, &x, rows, cols), expected);
            let expected = oracle::matmul_int(&bytes, &x, rows, cols);
            prop_assert_eq!(int8(k, &bytes, &x, rows, cols), expected);
        }
    }
}
