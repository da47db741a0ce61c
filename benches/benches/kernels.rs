// SPDX-License-Identifier: AGPL-3.0-or-later
//! Matrix kernels and vector maths, every backend this machine can run.
//!
//! Ids are `op/isa/shape/tokens`, shapes as outputs x inputs. `BHO_BENCH_ALL=1` adds the shapes and
//! numbers of tokens that are left out of a usual run; a filter on the command line picks ids.

use std::time::Duration;

use bho_benches::{Random, criterion};
use bho_kernels::{
    DenseTernaryMatrix, Dequant, Int8Matrix, KernelError, Kernels, KvColumns, KvRows, QuantRows,
    RowQuant, TernaryMatrix, available, f16, oracle,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

/// Rows and columns of the linear layers of BitNet b1.58 2B4T, and two of larger models.
const LARGE: [(usize, usize); 6] =
    [(2560, 2560), (2560, 640), (2560, 6912), (6912, 2560), (2048, 8192), (4096, 14336)];

/// Those of a usual run: one that a second-level cache holds as ternary weights, one that it
/// does not.
const USUAL: [(usize, usize); 2] = [(2560, 2560), (2560, 6912)];

/// Rows and columns of the linear layers of MiniLM-L6.
const SMALL: [(usize, usize); 3] = [(384, 384), (1536, 384), (384, 1536)];

/// Tokens side by side.
const TOKENS: [usize; 5] = [1, 8, 32, 128, 512];

/// Most tokens that some backend multiplies by dense weights without unpacking them to ternary tiles.
const DENSE_TOKENS: usize = 4;

/// Multiplications one call of the plain loops of `scalar` may have: above, ten samples of it
/// would take longer than everything else together and say nothing new.
const SCALAR_MACS: usize = 200_000_000;

/// Whether everything is wanted.
fn all() -> bool {
    std::env::var_os("BHO_BENCH_ALL").is_some_and(|value| value == "1")
}

/// Numbers of tokens of this run.
fn tokens() -> &'static [usize] {
    if all() { &TOKENS } else { &TOKENS[..4] }
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Ternary,
    Dense,
    Int8,
}

enum Weights {
    Ternary(TernaryMatrix),
    Dense(DenseTernaryMatrix),
    Int8(Int8Matrix),
}

impl Weights {
    fn bytes(&self) -> usize {
        match self {
            Self::Ternary(w) => w.as_bytes().len(),
            Self::Dense(w) => w.as_bytes().len(),
            Self::Int8(w) => w.as_bytes().len(),
        }
    }

    fn multiply(&self, kernels: &dyn Kernels, x: &QuantRows, y: &mut [i32]) {
        match self {
            Self::Ternary(w) => kernels.ternary_gemm(w.view(), x.view(), y),
            Self::Dense(w) => kernels.ternary_dense_gemm(w.view(), x.view(), y),
            Self::Int8(w) => kernels.int8_gemm(w.view(), x.view(), y),
        }
        .expect("shapes fit");
    }
}

/// What a second is counted in. One token: every weight is read for one multiplication. Many: the
/// reverse.
fn throughput(tokens: usize, bytes: usize, macs: usize) -> Throughput {
    match tokens {
        1 => Throughput::Bytes(bytes as u64),
        _ => Throughput::Elements(macs as u64),
    }
}

/// One matrix with all numbers of tokens on all backends.
fn matrix(c: &mut Criterion, format: Format, (rows, cols): (usize, usize)) {
    let mut random = Random::new((rows * 31 + cols) as u64);
    let (op, plain) = match format {
        Format::Ternary => ("ternary_gemm", random.int8s(rows * cols, -1, 1)),
        Format::Dense => ("ternary_dense_gemm", random.int8s(rows * cols, -1, 1)),
        Format::Int8 => ("int8_gemm", random.int8s(rows * cols, -127, 127)),
    };
    let weights = match format {
        Format::Ternary => Weights::Ternary(TernaryMatrix::pack(rows, cols, &plain).expect("fits")),
        Format::Dense => {
            Weights::Dense(DenseTernaryMatrix::pack(rows, cols, &plain).expect("fits"))
        }
        Format::Int8 => Weights::Int8(Int8Matrix::pack(rows, cols, &plain).expect("fits")),
    };
    let backends = available();
    for &tokens in tokens() {
        if format == Format::Dense && tokens > DENSE_TOKENS {
            break;
        }
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
            assert!(y == expected, "{op} {rows}x{cols}x{tokens}: {} is wrong", kernels.name());

            let mut group = c.benchmark_group(format!("{op}/{}/{rows}x{cols}", kernels.name()));
            group.throughput(throughput(tokens, weights.bytes(), macs));
            group.bench_function(tokens.to_string(), |b| {
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
    for &tokens in tokens() {
        let x = random.floats(tokens * cols);
        let mut quant = QuantRows::new();
        let x = quant.quantize_range(backends[0], &x, cols).expect("whole rows");
        let mut y = vec![0f32; tokens * rows];
        let mut first: Option<Vec<f32>> = None;
        for &kernels in &backends {
            kernels.int8_linear(packed.view(), x, dequant, &mut y).expect("shapes fit");
            let expected = first.get_or_insert_with(|| y.clone());
            assert!(*expected == y, "int8_linear: {} is wrong", kernels.name());
            let id = format!("int8_linear/{}/{rows}x{cols}", kernels.name());
            let mut group = c.benchmark_group(id);
            group.throughput(throughput(tokens, packed.as_bytes().len(), rows * cols * tokens));
            group.bench_function(tokens.to_string(), |b| {
                b.iter(|| kernels.int8_linear(packed.view(), x, dequant, &mut y));
            });
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
    let rows: [(&str, Row<'_>); 7] = [
        ("gelu_erf", &|k, row| k.gelu_erf(row)),
        ("gelu_tanh", &|k, row| k.gelu_tanh(row)),
        ("silu", &|k, row| k.silu(row)),
        ("relu_squared", &|k, row| k.relu_squared(row)),
        ("softmax", &|k, row| k.softmax(row)),
        ("rms_norm", &|k, row| k.rms_norm(row, &gain, 1e-5)),
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

/// Attention of one token over a cache of 16-bit keys and values: four query heads that share a KV
/// head, as in BitNet b1.58 2B4T.
fn kv_cache(c: &mut Criterion) {
    const QUERIES: usize = 4;
    const DIM: usize = 128;
    const POSITIONS: usize = 1024;
    let mut random = Random::new(11);
    let backends = available();
    let q = random.floats(QUERIES * DIM);
    let p = random.floats(QUERIES * POSITIONS);
    let cached = random.floats(POSITIONS * DIM);
    let mut halves = vec![f16::ZERO; cached.len()];
    backends[0].f32_to_f16(&cached, &mut halves);
    let page = [KvRows::f16(&halves, POSITIONS, DIM, DIM).expect("whole rows")];
    let keys = [KvColumns::f16(&halves, 0..POSITIONS, DIM, POSITIONS).expect("whole columns")];
    let scale = 1.0 / (DIM as f32).sqrt();
    type Attend<'a> = &'a dyn Fn(&dyn Kernels, &mut [f32]) -> Result<(), KernelError>;
    let steps: [(&str, usize, Attend<'_>); 2] = [
        ("kv_scores", POSITIONS, &|k, out| k.kv_scores(&q, &keys, scale, out)),
        ("kv_values", DIM, &|k, out| k.kv_values(&p, &page, out)),
    ];
    for (op, width, attend) in steps {
        let mut first: Option<Vec<f32>> = None;
        let mut out = vec![0f32; QUERIES * width];
        for &kernels in &backends {
            attend(kernels, &mut out).expect("shapes fit");
            let expected = first.get_or_insert_with(|| out.clone());
            assert!(*expected == out, "{op}: {} is wrong", kernels.name());
            let mut group = c.benchmark_group(format!("{op}/{}", kernels.name()));
            group.throughput(Throughput::Bytes((POSITIONS * DIM * size_of::<f16>()) as u64));
            group.bench_function(format!("{POSITIONS}x{DIM}"), |b| {
                b.iter(|| attend(kernels, &mut out));
            });
            group.finish();
        }
    }
}

fn main() {
    let mut c = criterion(Duration::from_millis(400));
    let large = if all() { &LARGE[..] } else { &USUAL };
    for &shape in large {
        matrix(&mut c, Format::Ternary, shape);
        matrix(&mut c, Format::Dense, shape);
    }
    for &shape in SMALL.iter().chain(large) {
        matrix(&mut c, Format::Int8, shape);
    }
    for shape in SMALL {
        linear(&mut c, shape);
    }
    vector_maths(&mut c);
    kv_cache(&mut c);
    c.final_summary();
}
