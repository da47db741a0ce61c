// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is hardest on the narrow sums of the backends for 64-bit Arm.
#![cfg(target_arch = "aarch64")]

use bho_kernels::{Int8Matrix, QuantRows, TernaryView, available, oracle};

#[test]
fn extreme_products_of_every_sign_are_exact() {
    let extremes = [i8::MIN, i8::MAX];
    // Odd and even blocks of four inputs are multiplied as pairs: all signs of both.
    let cols = 211;
    let value = |i: usize, signs: usize| extremes[signs >> (i % cols / 4 % 2) & 1];
    for tokens in [1, 2, 4, 5, 8, 17] {
        for signs in 0..16 {
            let w: Vec<i8> = (0..18 * cols).map(|i| value(i, signs)).collect();
            let x: Vec<i8> = (0..tokens * cols).map(|i| value(i, signs >> 2)).collect();
            let expected = oracle::matmul_int(&w, &x, 18, cols);
            let packed = Int8Matrix::pack(18, cols, &w).unwrap();
            let x = QuantRows::from_int8(&x, cols).unwrap();
            for k in available() {
                let mut y = vec![0; expected.len()];
                let ran = k.int8_gemm(packed.view(), x.view(), &mut y).unwrap();
                let equal = y.iter().map(|&y| i64::from(y)).eq(expected.iter().copied());
                assert!(equal, "{ran} signs {signs:04b} tokens {tokens}");
            }
        }
    }
}

/// A hostile file may hold the unused code 3, which counts as weight +2.
#[test]
fn code_3_counts_as_two() {
    let cols = 4096;
    let tiles = vec![0xff; TernaryView::packed_len(16, cols).unwrap()];
    let w = TernaryView::new(16, cols, &tiles).unwrap();
    for value in [i8::MIN, i8::MAX] {
        for tokens in [1, 4, 7, 33] {
            let x = QuantRows::from_int8(&vec![value; tokens * cols], cols).unwrap();
            for k in available() {
                let mut y = vec![0; tokens * 16];
                let ran = k.ternary_gemm(w, x.view(), &mut y).unwrap();
                let expected = 2 * i32::from(value) * cols as i32;
                assert!(y.iter().all(|&y| y == expected), "{ran} {value} tokens {tokens}");
            }
        }
    }
}
