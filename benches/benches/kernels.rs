// SPDX-License-Identifier: AGPL-3.0-or-later
//! Matrix kernels and vector maths, every backend this machine can run.

use std::time::Duration;

use bho_benches::{Random, criterion};
use bho_kernels::{
    Dequant, Int8Matrix, Kernels, QuantRows, RowQuant, TernaryMatrix, available, oracle,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

/// Rows and columns of the linear layers of BitNet b1.58 2B4T.
const LARGE: [(usize, usize); 3] = [(2560, 2560), (2560, 6912), (6912, 2560)];

/// Rows and columns of the linear layers of MiniLM-L6.
const SMALL: [(usize, usize); 3] = [(384, 384), (1536, 384), (384, 1536)];

/// Tokens side by side.
const TOKENS: [usize; 4] = [1, 8, 32, 128];

/// Multiplications one call of the plain loops of `scalar` may have: above, ten samples of it
/// would take longer than everything else together and say nothing new.
const SCALAR_MACS: usize = 200_000_000;

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Ternary,
    Int8,
}

enum Weights {
    Ternary(TernaryMatrix),
    Int8(Int8Matrix),
}

impl Weights {
    fn bytes(&self) -> usize {
        match self {
            Self::Ternary(w) => w.as_bytes().len(),
            Self::Int8(w) => w.as_bytes().len(),
        }
    }

    fn multiply(&self, kernels: &dyn Kernels, x: &QuantRows, y: &mut [i32]) {
        match self {
            Self::Ternary(w) => kernels.ternary_gemm(w.view(), x.view(), y),
            Self::Int8(w) => kernels.int8_gemm(w.view(), x.view(), y),
        }
        .expect("shapes fit");
    }
}

/// One matrix with all numbers of tokens on all backends.
fn matrix(c: &mut Criterion, format: Format, (rows, cols): (usize, usize)) {
    let mut random = Random::new((rows * 31 + cols) as u64);
    let (name, plain) = match format {
        Format::Ternary => ("ternary", random.int8s(rows * cols, -1, 1)),
        Format::Int8 => ("int8", random.int8s(rows * cols, -127, 127)),
    };
    let weights = match format {
        Format::Ternary => Weights::Ternary(TernaryMatrix::pack(rows, cols, &plain).expect("fits")),
        Format::Int8 => Weights::Int8(Int8Matrix::pack(rows, cols, &plain).expect("fits")),
    };
    let backends = available();
    for tokens in TOKENS {
        let x = random.int8s(tokens * cols, -127, 127);
        let quant = QuantRows::from_int8(&x, cols).expect("fits");
        let mut y = vec![0i32; tokens * rows];
        let mut expected = vec![0i32; tokens * rows];
        let macs = rows * cols * tokens;
        for (i, &kernels) in backends.iter().enumerate() {
            if kernels.name() == "scalar" && macs > SCALAR_MACS {
                continue;
            }
            // Right before fast: against the fastest other backend, or against plain loops.
            let other = backends.iter().enumerate().rev().find(|(k, _)| *k != i);
            match other {
                Some((_, other)) => weights.multiply(*other, &quant, &mut expected),
                None => {
                    let plain = oracle::matmul_int(&plain, &x, rows, cols);
                    expected = plain.into_iter().map(|v| v as i32).collect();
                }
            }
            weights.multiply(kernels, &quant, &mut y);
            assert!(y == expected, "{name} {rows}x{cols}x{tokens}: {} is wrong", kernels.name());

            // One token: every weight is read for one multiplication. Many: the reverse.
            let (kind, shape, throughput) = if tokens == 1 && format == Format::Ternary {
                ("gemv", format!("{rows}x{cols}"), Throughput::Bytes(weights.bytes() as u64))
            } else if tokens == 1 {
                ("gemm", format!("{rows}x{cols}x1"), Throughput::Bytes(weights.bytes() as u64))
            } else {
                ("gemm", format!("{rows}x{cols}x{tokens}"), Throughput::Elements(macs as u64))
            };
            let mut group = c.benchmark_group(format!("{name}_{kind}"));
            group.throughput(throughput);
            group.bench_function(BenchmarkId::new(kernels.name(), shape), |b| {
                b.iter(|| weights.multiply(kernels, &quant, &mut y));
            });
            group.finish();
        }
    }
}

/// Int8 layers as the encoder runs them: activations with zero points, sums scaled to floats.
fn linear(c: &mut Criterion, (rows, cols): (usize, usize)) {
    let mut random = Random::new((rows * 37 + cols) as u64);
    let backends = available();
    let weights = random.floats(rows * cols);
    let (packed, scales) = Int8Matrix::quantize(rows, cols, &weights).expect("fits");
    let sums = packed.view().row_sums();
    let bias = random.floats(rows);
    let dequant = Dequant { row_scales: &scales, row_sums: Some(&sums), bias: Some(&bias) };
    for tokens in TOKENS {
        let x = random.floats(tokens * cols);
        let mut quant = QuantRows::new();
        let x = quant.quantize_range(backends[0], &x, cols).expect("whole rows");
        let mut y = vec![0f32; tokens * rows];
        let mut first: Option<Vec<f32>> = None;
        for &kernels in &backends {
            kernels.int8_linear(packed.view(), x, dequant, &mut y).expect("shapes fit");
            let expected = first.get_or_insert_with(|| y.clone());
            assert!(*expected == y, "int8_linear: {} is wrong", kernels.name());
            let mut group = c.benchmark_group("int8_linear");
            group.throughput(match tokens {
                1 => Throughput::Bytes(packed.as_bytes().len() as u64),
                n => Throughput::Elements((rows * cols * n) as u64),
            });
            group.bench_function(
                BenchmarkId::new(kernels.name(), format!("{rows}x{cols}x{tokens}")),
                |b| b.iter(|| kernels.int8_linear(packed.view(), x, dequant, &mut y)),
            );
            group.finish();
        }
    }
}

/// Element-wise work on one row as wide as MiniLM's feed-forward part.
fn vector_maths(c: &mut Criterion) {
    const N: usize = 1536;
    let mut random = Random::new(7);
    let x = random.floats(N);
    let gain = random.floats(N);
    let bias = random.floats(N);
    type Row<'a> = &'a dyn Fn(&dyn Kernels, &mut [f32]);
    let rows: [(&str, Row<'_>); 4] = [
        ("gelu_erf", &|k, row| k.gelu_erf(row)),
        ("gelu_tanh", &|k, row| k.gelu_tanh(row)),
        ("softmax", &|k, row| k.softmax(row)),
        ("layer_norm", &|k, row| k.layer_norm(row, &gain, &bias, 1e-12)),
    ];
    let mut group = c.benchmark_group("vecmath");
    group.throughput(Throughput::Elements(N as u64));
    let backends = available();
    for (name, apply) in rows {
        let mut first: Option<Vec<f32>> = None;
        for &kernels in &backends {
            let mut row = x.clone();
            apply(kernels, &mut row);
            let expected = first.get_or_insert_with(|| row.clone());
            assert!(*expected == row, "{name}: {} is wrong", kernels.name());
            // In place, so each call gets a fresh row: the same values every time.
            group.bench_function(BenchmarkId::new(format!("{name}/{}", kernels.name()), N), |b| {
                b.iter_batched_ref(|| x.clone(), |row| apply(kernels, row), BatchSize::SmallInput);
            });
        }
    }
    type Quantize<'a> = &'a dyn Fn(&dyn Kernels, &mut [i8]) -> RowQuant;
    let quantizers: [(&str, Quantize<'_>); 2] = [
        ("quantize_row", &|k, out| k.quantize_row(&x, out)),
        ("quantize_row_range", &|k, out| k.quantize_row_range(&x, out)),
    ];
    let mut out = vec![0i8; N];
    for (name, quantize) in quantizers {
        let mut first: Option<(RowQuant, Vec<i8>)> = None;
        for &kernels in &backends {
            let quant = quantize(kernels, &mut out);
            let expected = first.get_or_insert_with(|| (quant, out.clone()));
            assert!(*expected == (quant, out.clone()), "{name}: {} is wrong", kernels.name());
            group.bench_function(BenchmarkId::new(format!("{name}/{}", kernels.name()), N), |b| {
                b.iter(|| quantize(kernels, &mut out));
            });
        }
    }
    group.finish();
}

fn main() {
    let mut c = criterion(Duration::from_millis(400));
    for shape in LARGE {
        matrix(&mut c, Format::Ternary, shape);
    }
    for shape in SMALL.into_iter().chain(LARGE) {
        matrix(&mut c, Format::Int8, shape);
    }
    for shape in SMALL {
        linear(&mut c, shape);
    }
    vector_maths(&mut c);
    c.final_summary();
}
