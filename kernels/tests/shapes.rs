// SPDX-License-Identifier: AGPL-3.0-or-later
//! Shapes around the edges of the largest blocks any backend works on: 32 tokens x 32 rows x 64
//! inputs. Every backend this machine can run, against the plain-loop oracle.

use bho_kernels::{Int8Matrix, Kernels, QuantRows, TernaryMatrix, available, oracle};

/// Weights and activations of one shape, and what they give.
struct Case {
    rows: usize,
    cols: usize,
    tokens: usize,
    x: Vec<i8>,
    trits: Vec<i8>,
    bytes: Vec<i8>,
    expected: [Vec<i64>; 2],
}

/// splitmix64 of the index.
fn random(index: usize) -> i8 {
    let mut z = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 56) as i8
}

impl Case {
    fn new(rows: usize, cols: usize, tokens: usize, values: impl Fn(usize) -> i8) -> Self {
        let x: Vec<i8> = (0..tokens * cols).map(&values).collect();
        let bytes: Vec<i8> = (0..rows * cols).map(|i| values(i + x.len())).collect();
        let trits: Vec<i8> = bytes.iter().map(|&v| (v % 3).signum()).collect();
        let expected = [&trits, &bytes].map(|w| oracle::matmul_int(w, &x, rows, cols));
        Self { rows, cols, tokens, x, trits, bytes, expected }
    }

    fn random(rows: usize, cols: usize, tokens: usize) -> Self {
        let seed = (rows * 1000 + cols) * 1000 + tokens;
        Self::new(rows, cols, tokens, |i| random((seed << 24) + i))
    }

    fn check(&self, k: &dyn Kernels) {
        let x = QuantRows::from_int8(&self.x, self.cols).unwrap();
        let ternary = TernaryMatrix::pack(self.rows, self.cols, &self.trits).unwrap();
        let int8 = Int8Matrix::pack(self.rows, self.cols, &self.bytes).unwrap();
        let mut y = [vec![0; self.tokens * self.rows], vec![0; self.tokens * self.rows]];
        k.ternary_gemm(ternary.view(), x.view(), &mut y[0]).unwrap();
        k.int8_gemm(int8.view(), x.view(), &mut y[1]).unwrap();
        for ((y, expected), format) in y.iter().zip(&self.expected).zip(["ternary", "int8"]) {
            assert!(
                y.iter().map(|&v| i64::from(v)).eq(expected.iter().copied()),
                "{format} {} {}x{} tokens {}",
                k.name(),
                self.rows,
                self.cols,
                self.tokens
            );
        }
    }
}

fn check(case: &Case) {
    for k in available() {
        case.check(k);
    }
}

#[test]
fn all_inputs_to_200_with_all_tokens_to_70() {
    let rows = [1, 16, 17, 31, 32, 33, 49, 64];
    for cols in 1..=200 {
        for (i, rows) in rows.into_iter().enumerate() {
            // 37 and 70 have no common factor: each number of rows meets each number of tokens.
            check(&Case::random(rows, cols, 1 + (37 * cols + 13 * i) % 70));
        }
    }
}

#[test]
fn all_tokens_to_70_at_the_edges_of_inputs() {
    for cols in [1, 63, 64, 65, 128, 200] {
        for rows in [16, 33] {
            for tokens in 1..=70 {
                check(&Case::random(rows, cols, tokens));
            }
        }
    }
}

#[test]
fn stretches_of_inputs_and_blocks_of_tokens_add_up() {
    // Weights go through the caches 768 inputs at a time, tokens 512 KiB.
    for (rows, cols, tokens) in [(33, 767, 40), (32, 769, 64), (17, 1600, 33), (48, 4097, 161)] {
        check(&Case::random(rows, cols, tokens));
    }
}

#[test]
fn ternary_rows_longer_than_a_plane_can_sum_are_cut_where_they_should() {
    // Sums of planes that count 4^p times are shifted back every 2^18 inputs.
    let (rows, cols) = (17, (1 << 18) + 37);
    let weights: Vec<i8> = (0..rows * cols).map(|i| (random(i) % 3).signum()).collect();
    let packed = TernaryMatrix::pack(rows, cols, &weights).unwrap();
    for tokens in 1..=2 {
        let x: Vec<i8> = (0..tokens * cols).map(|i| random(!i)).collect();
        let expected = oracle::matmul_int(&weights, &x, rows, cols);
        let x = QuantRows::from_int8(&x, cols).unwrap();
        for k in available() {
            let mut y = vec![0; tokens * rows];
            k.ternary_gemm(packed.view(), x.view(), &mut y).unwrap();
            assert!(y.iter().map(|&v| i64::from(v)).eq(expected.iter().copied()), "{}", k.name());
        }
    }
}

#[test]
fn the_largest_products_do_not_saturate() {
    for (x, w) in [(-128, -128), (127, -128), (-128, 127), (127, 127)] {
        for (rows, cols, tokens) in [(33, 200, 70), (16, 4096, 32), (32, 1 << 16, 8)] {
            let tokens_end = tokens * cols;
            check(&Case::new(rows, cols, tokens, |i| if i < tokens_end { x } else { w }));
        }
    }
}

#[test]
fn threads_do_not_disturb_each_other() {
    for k in available() {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for round in 0..8 {
                        Case::random(33 + thread, 130 + round, 20 + 9 * thread).check(k);
                    }
                });
            }
        });
    }
}
