// SPDX-License-Identifier: AGPL-3.0-or-later
//! Matmuls and vector maths, `op/isa/shape`, every backend this machine can run.
//!
//! One token is counted in bytes of weights streamed, blocks of tokens in multiply-adds.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use bho_benches::{Rng, criterion};
use bho_kernels::{Dequant, Int8Matrix, Kernels, QuantRows, TernaryMatrix, available, by_name};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const TERNARY: [(usize, usize); 3] = [(2560, 2560), (2560, 6912), (6912, 2560)];
const INT8: [(usize, usize); 3] = [(384, 384), (1536, 384), (384, 1536)];
const TOKENS: [usize; 4] = [1, 8, 32, 128];

fn throughput(rows: usize, cols: usize, tokens: usize, weight_bytes: usize) -> Throughput {
    match tokens {
        1 => Throughput::Bytes(weight_bytes as u64),
        n => Throughput::Elements((rows * cols * n) as u64),
    }
}

fn matmuls(c: &mut Criterion) {
    let mut rng = Rng(1);
    let scalar = by_name("scalar").expect("always there");
    for tokens in TOKENS {
        for (rows, cols) in TERNARY {
            let weights: Vec<i8> = (0..rows * cols).map(|_| (rng.bits() % 3) as i8 - 1).collect();
            let packed = TernaryMatrix::pack(rows, cols, &weights).expect("ternary");
            let x: Vec<i8> = (0..tokens * cols).map(|_| rng.bits() as i8).collect();
            let x = QuantRows::from_int8(&x, cols).expect("whole rows");
            let mut y = vec![0; tokens * rows];
            let mut expected = vec![0; tokens * rows];
            scalar.ternary_gemm(packed.view(), x.view(), &mut expected).expect("shapes");
            for k in fast() {
                let mut group = c.benchmark_group(format!("ternary_gemm/{}", k.name()));
                group.throughput(throughput(rows, cols, tokens, packed.as_bytes().len()));
                k.ternary_gemm(packed.view(), x.view(), &mut y).expect("shapes");
                assert!(y == expected, "{} is wrong", k.name());
                let id = BenchmarkId::from_parameter(format!("{rows}x{cols}/n{tokens}"));
                group.bench_function(id, |b| {
                    b.iter(|| k.ternary_gemm(packed.view(), x.view(), &mut y));
                });
            }
        }
        for (rows, cols) in INT8 {
            let weights: Vec<f32> = (0..rows * cols).map(|_| rng.float()).collect();
            let (packed, scales) = Int8Matrix::quantize(rows, cols, &weights).expect("shapes");
            let sums = packed.view().row_sums();
            let x: Vec<f32> = (0..tokens * cols).map(|_| rng.float()).collect();
            let dequant = Dequant { row_scales: &scales, row_sums: Some(&sums), bias: None };
            let mut quant = QuantRows::new();
            let x = quant.quantize_range(scalar, &x, cols).expect("whole rows");
            let mut y = vec![0.0; tokens * rows];
            let mut expected = vec![0.0; tokens * rows];
            scalar.int8_linear(packed.view(), x, dequant, &mut expected).expect("shapes");
            for k in fast() {
                let mut group = c.benchmark_group(format!("int8_linear/{}", k.name()));
                group.throughput(throughput(rows, cols, tokens, packed.as_bytes().len()));
                k.int8_linear(packed.view(), x, dequant, &mut y).expect("shapes");
                assert!(y == expected, "{} is wrong", k.name());
                let id = BenchmarkId::from_parameter(format!("{rows}x{cols}/n{tokens}"));
                group.bench_function(id, |b| {
                    b.iter(|| k.int8_linear(packed.view(), x, dequant, &mut y));
                });
            }
        }
    }
}

/// The backends worth timing: all but `scalar`, unless it is the only one.
fn fast() -> Vec<&'static dyn Kernels> {
    let all = available();
    if all.len() == 1 { all } else { all[1..].to_vec() }
}

fn vector_maths(c: &mut Criterion) {
    let mut rng = Rng(2);
    let x: Vec<f32> = (0..128 * 1536).map(|_| 4.0 * rng.float()).collect();
    let ones = vec![1f32; 384];
    for k in fast() {
        let mut group = c.benchmark_group(format!("vector/{}", k.name()));
        group.throughput(Throughput::Elements(x.len() as u64));
        let mut y = x.clone();
        let mut q = QuantRows::new();
        group.bench_function("quantize_range", |b| {
            b.iter(|| q.quantize_range(k, &x, 1536).map(|v| v.rows()));
        });
        group.bench_function("gelu_erf", |b| {
            b.iter(|| {
                y.copy_from_slice(&x);
                k.gelu_erf(&mut y);
            });
        });
        group.bench_function("softmax_rows_of_128", |b| {
            b.iter(|| {
                y.copy_from_slice(&x);
                y.chunks_exact_mut(128).for_each(|row| k.softmax(row));
            });
        });
        group.bench_function("layer_norm_rows_of_384", |b| {
            b.iter(|| {
                y.copy_from_slice(&x);
                y.chunks_exact_mut(384).for_each(|row| k.layer_norm(row, &ones, &ones, 1e-12));
            });
        });
    }
}

criterion_group!(name = benches; config = criterion(); targets = matmuls, vector_maths);
criterion_main!(benches);
