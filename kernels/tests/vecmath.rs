// SPDX-License-Identifier: AGPL-3.0-or-later
//! Vector maths of every backend this machine can run: the same bits everywhere, within the stated
//! bounds of plain loops in 64-bit floats, and nothing panics at the extremes.

mod common;

use std::f32::consts::PI;

use bho_kernels::{
    AttentionHead, KernelError, Kernels, KvColumns, KvRows, RopeStyle, RowQuant, available, bf16,
    f16, oracle,
};

use common::Rng;

/// Every length around the edges of 16 lanes, and some large ones.
fn lengths() -> impl Iterator<Item = usize> {
    (1..=70).chain([127, 128, 384, 1000, 1536, 2560])
}

/// Values that trip careless code.
const EXTREMES: [f32; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    1e-45,
    -1e-45,
    1e-20,
    87.9,
    88.1,
    -87.1,
    -103.0,
    200.0,
    -1e10,
    1e10,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    -f32::NAN,
];

/// Bits, with one pattern for all NaNs: which one comes out is not promised.
fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
}

/// What `f` makes of `x` in place.
fn apply(x: &[f32], f: impl Fn(&mut [f32])) -> Vec<f32> {
    let mut y = x.to_vec();
    f(&mut y);
    y
}

fn assert_close(what: &str, y: &[f32], expected: &[f64], tolerance: impl Fn(usize) -> f64) {
    assert_eq!(y.len(), expected.len(), "{what}");
    for (i, (&a, &b)) in y.iter().zip(expected).enumerate() {
        let (error, bound) = ((f64::from(a) - b).abs(), tolerance(i));
        assert!(error <= bound, "{what}[{i}]: {a} for {b}, off by {error:e}, allowed {bound:e}");
    }
}

/// Every operation on one row, by name; `y` and `z` are rows of the same length.
#[rustfmt::skip]
fn outputs(k: &dyn Kernels, x: &[f32], y: &[f32], z: &[f32]) -> Vec<(&'static str, Vec<f32>)> {
    let n = x.len();
    let (cos, sin) = (&y[..n / 2], &z[..n / 2]);
    let even = &x[..n / 2 * 2];
    let quantize = |f: &dyn Fn(&mut [i8]) -> RowQuant| {
        let mut q = vec![0i8; n];
        let RowQuant { scale, zero, sum } = f(&mut q);
        assert_eq!(sum, q.iter().map(|&v| i32::from(v)).sum::<i32>());
        q.into_iter().map(f32::from).chain([scale, zero as f32, sum as f32]).collect()
    };
    let rope = |style| apply(even, |v| k.rope(v, cos, sin, style).unwrap());
    let mut halves = vec![f16::ZERO; n];
    k.f32_to_f16(x, &mut halves);
    let mut brains = vec![bf16::ZERO; n];
    k.f32_to_bf16(x, &mut brains);
    vec![
        ("layer_norm", apply(x, |v| k.layer_norm(v, y, z, 1e-12))),
        ("rms_norm", apply(x, |v| k.rms_norm(v, y, 1e-6))),
        ("softmax", apply(x, |v| k.softmax(v))),
        ("gelu_erf", apply(x, |v| k.gelu_erf(v))),
        ("gelu_tanh", apply(x, |v| k.gelu_tanh(v))),
        ("silu", apply(x, |v| k.silu(v))),
        ("tanh", apply(x, |v| k.tanh(v))),
        ("relu", apply(x, |v| k.relu(v))),
        ("relu_squared", apply(x, |v| k.relu_squared(v))),
        ("add", apply(x, |v| k.add(v, y))),
        ("mul", apply(x, |v| k.mul(v, y))),
        ("rope halves", rope(RopeStyle::Halves)),
        ("rope interleaved", rope(RopeStyle::Interleaved)),
        ("quantize_row", quantize(&|q| k.quantize_row(x, q))),
        ("quantize_row_range", quantize(&|q| k.quantize_row_range(x, q))),
        ("f32_to_f16", halves.iter().map(|h| f32::from(h.to_bits())).collect()),
        ("f16_to_f32", apply(x, |v| k.f16_to_f32(&halves, v))),
        ("f32_to_bf16", brains.iter().map(|h| f32::from(h.to_bits())).collect()),
        ("bf16_to_f32", apply(x, |v| k.bf16_to_f32(&brains, v))),
    ]
}

/// Asserts that all backends give the bits of the first one.
fn assert_same(what: &str, run: impl Fn(&dyn Kernels) -> Vec<(&'static str, Vec<f32>)>) {
    let backends = available();
    let first = run(backends[0]);
    for k in &backends[1..] {
        for ((name, expected), (_, found)) in first.iter().zip(run(*k)) {
            assert_eq!(bits(expected), bits(&found), "{name} of {}, {what}", k.name());
        }
    }
}

#[test]
fn all_backends_give_the_same_bits_at_every_length() {
    let mut rng = Rng(2);
    for n in lengths() {
        for scale in [1e-3, 4.0, 100.0] {
            let (x, y, z) = (rng.floats(n, scale), rng.floats(n, 2.0), rng.floats(n, 1.0));
            assert_same(&format!("{n} values up to {scale}"), |k| outputs(k, &x, &y, &z));
        }
    }
}

#[test]
fn extremes_never_panic_and_give_the_same_bits() {
    let mut rng = Rng(7);
    for n in lengths() {
        // Finite values only, then all of them.
        for kinds in [18, EXTREMES.len()] {
            let x: Vec<f32> =
                (0..n).map(|_| EXTREMES[(rng.next() % kinds as u64) as usize]).collect();
            let (y, z) = (rng.floats(n, 2.0), rng.floats(n, 1.0));
            assert_same(&format!("{n} extremes"), |k| outputs(k, &x, &y, &z));
        }
    }
    // Any bits at all.
    for n in lengths() {
        let mut any =
            || -> Vec<f32> { (0..n).map(|_| f32::from_bits(rng.next() as u32)).collect() };
        let (x, y, z) = (any(), any(), any());
        assert_same(&format!("{n} random bits"), |k| outputs(k, &x, &y, &z));
    }
}

#[test]
fn empty_rows_are_fine() {
    for k in available() {
        for (name, output) in outputs(k, &[], &[], &[]) {
            assert!(output.len() <= 3, "{name}");
        }
    }
}

#[test]
fn activations_stay_within_their_bounds() {
    let gelu = |v: f64| 0.5 * v * (1.0 + oracle::erf(v / 2f64.sqrt()));
    let gelu_tanh = |v: f64| {
        let u = (2.0 / std::f64::consts::PI).sqrt() * (v + 0.044_715 * v.powi(3));
        0.5 * v * (1.0 + u.tanh())
    };
    let silu = |v: f64| v / (1.0 + (-v).exp());
    // A dense sweep, and both tails.
    let x: Vec<f32> = (-200_000..=200_000).map(|i| i as f32 * 1e-4 * 1.000_1).collect();
    let exact = |f: &dyn Fn(f64) -> f64| -> Vec<f64> { x.iter().map(|&v| f(v.into())).collect() };
    // Half a unit in the last place of the result, which is no larger than x.
    let ulp = |i: usize| f64::from(x[i].abs()) * 2f64.powi(-24);
    for k in available() {
        let close = |what: &str, f: &dyn Fn(&mut [f32]), expected: &[f64], bound: f64| {
            assert_close(what, &apply(&x, f), expected, |i| bound + ulp(i));
        };
        close("gelu_erf", &|v| k.gelu_erf(v), &exact(&gelu), 3e-7);
        close("gelu_tanh", &|v| k.gelu_tanh(v), &exact(&gelu_tanh), 5e-7);
        let silus = exact(&silu);
        let relative = |i: usize| silus[i].abs() * 4e-7;
        assert_close("silu", &apply(&x, |v| k.silu(v)), &silus, relative);
        assert_close("tanh", &apply(&x, |v| k.tanh(v)), &exact(&f64::tanh), |_| 3e-7);
        assert_close("relu", &apply(&x, |v| k.relu(v)), &exact(&|v| v.max(0.0)), |_| 0.0);
        let squared = exact(&|v| v.max(0.0).powi(2));
        let half_ulp = |i: usize| squared[i] * 2f64.powi(-24);
        assert_close("relu_squared", &apply(&x, |v| k.relu_squared(v)), &squared, half_ulp);
    }
}

#[test]
fn activations_far_out_are_their_limits() {
    let far = [f32::NEG_INFINITY, f32::MIN, -1e4, 1e4, f32::MAX, f32::INFINITY];
    for k in available() {
        for (name, y) in [
            ("gelu_erf", apply(&far[1..], |v| k.gelu_erf(v))),
            ("gelu_tanh", apply(&far[1..], |v| k.gelu_tanh(v))),
            ("silu", apply(&far[1..], |v| k.silu(v))),
        ] {
            assert!(y[..2].iter().all(|v| v.abs() <= 1e-6), "{name} {y:?}");
            assert_eq!(y[2..], far[3..], "{name}");
        }
        assert_eq!(apply(&far, |v| k.tanh(v)), [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]);
        assert_eq!(apply(&far, |v| k.relu(v)), [0.0, 0.0, 0.0, 1e4, f32::MAX, f32::INFINITY]);
        let squared = [0.0, 0.0, 0.0, 1e8, f32::INFINITY, f32::INFINITY];
        assert_eq!(apply(&far, |v| k.relu_squared(v)), squared);
        for (name, y) in outputs(k, &[f32::NAN], &[1.0], &[1.0]) {
            let defined = name.starts_with("quantize") || name.starts_with("rope");
            assert!(defined || name.starts_with("f32_to") || y[0].is_nan(), "{name} {y:?}");
        }
    }
}

#[test]
fn normalisation_and_softmax_agree_with_the_oracle() {
    let mut rng = Rng(3);
    for n in lengths().filter(|&n| n > 1) {
        let x = rng.floats(n, 4.0);
        let (gain, bias) = (rng.floats(n, 2.0), rng.floats(n, 1.0));
        for k in available() {
            let y = apply(&x, |v| k.layer_norm(v, &gain, &bias, 1e-12));
            assert_close("layer_norm", &y, &oracle::layer_norm(&x, &gain, &bias, 1e-12), |_| 2e-6);
            let y = apply(&x, |v| k.rms_norm(v, &gain, 1e-6));
            assert_close("rms_norm", &y, &oracle::rms_norm(&x, &gain, 1e-6), |_| 1e-6);
            let y = apply(&x, |v| k.softmax(v));
            assert_close("softmax", &y, &oracle::softmax(&x), |_| 3e-7);
        }
    }
}

#[test]
fn softmax_of_masked_and_hopeless_values_is_zero() {
    for k in available() {
        let y = apply(&[-1e30, 0.0, 1e30], |v| k.softmax(v));
        assert_eq!(y, [0.0, 0.0, 1.0]);
        let masked = apply(&[f32::NEG_INFINITY, 1.0, 1.0], |v| k.softmax(v));
        assert_eq!(masked, [0.0, 0.5, 0.5]);
        let nothing = apply(&[f32::NEG_INFINITY; 3], |v| k.softmax(v));
        assert!(nothing.iter().all(|v| v.is_nan()), "{nothing:?}");
    }
}

#[test]
fn rope_turns_pairs_by_their_angles() {
    let mut rng = Rng(8);
    for pairs in (1..=35).chain([64, 128]) {
        let x = rng.floats(2 * pairs, 3.0);
        let angles = rng.floats(pairs, PI);
        let cos: Vec<f32> = angles.iter().map(|a| a.cos()).collect();
        let sin: Vec<f32> = angles.iter().map(|a| a.sin()).collect();
        for style in [RopeStyle::Halves, RopeStyle::Interleaved] {
            let expected = oracle::rope(&x, &cos, &sin, style);
            for k in available() {
                let y = apply(&x, |v| k.rope(v, &cos, &sin, style).unwrap());
                assert_close("rope", &y, &expected, |_| 6e-7);
            }
        }
    }
    // A quarter turn, by hand.
    for k in available() {
        let y = apply(&[1.0, 2.0, 3.0, 4.0], |v| {
            k.rope(v, &[0.0, 1.0], &[1.0, 0.0], RopeStyle::Halves).unwrap();
        });
        assert_eq!(y, [-3.0, 2.0, 1.0, 4.0]);
        let y = apply(&[1.0, 2.0, 3.0, 4.0], |v| {
            k.rope(v, &[0.0, 1.0], &[1.0, 0.0], RopeStyle::Interleaved).unwrap();
        });
        assert_eq!(y, [-2.0, 1.0, 3.0, 4.0]);
    }
}

#[test]
fn every_sixteen_bit_float_widens_exactly() {
    for k in available() {
        // At every offset from a multiple of 16, so that tails see all of them too.
        for offset in [0, 1, 7, 15] {
            let all: Vec<u16> = (0..=u16::MAX).skip(offset).collect();
            let mut y = vec![0f32; all.len()];
            let halves: Vec<f16> = all.iter().map(|&b| f16::from_bits(b)).collect();
            k.f16_to_f32(&halves, &mut y);
            for (h, y) in halves.iter().zip(&y) {
                assert_eq!(y.to_bits(), h.to_f32().to_bits(), "{} {h:?}", k.name());
            }
            let brains: Vec<bf16> = all.iter().map(|&b| bf16::from_bits(b)).collect();
            k.bf16_to_f32(&brains, &mut y);
            for (h, y) in brains.iter().zip(&y) {
                assert_eq!(y.to_bits(), h.to_f32().to_bits(), "{} {h:?}", k.name());
            }
        }
    }
}

#[test]
fn floats_narrow_to_the_nearest_sixteen_bits() {
    let mut rng = Rng(9);
    let mut x: Vec<f32> = EXTREMES.to_vec();
    // Every 16-bit value, the middle to the next one, and the neighbours of both.
    for b in 0..=u16::MAX {
        for wide in [f16::from_bits(b).to_f32(), bf16::from_bits(b).to_f32()] {
            let step = if wide == f16::from_bits(b).to_f32() { 1 << 12 } else { 1 << 15 };
            for at in [wide.to_bits(), wide.to_bits().wrapping_add(step)] {
                x.extend([at.wrapping_sub(1), at, at.wrapping_add(1)].map(f32::from_bits));
            }
        }
    }
    // All exponents and signs with random fractions.
    x.extend((0..1 << 18).map(|_| f32::from_bits(rng.next() as u32)));
    for k in available() {
        let mut halves = vec![f16::ZERO; x.len()];
        k.f32_to_f16(&x, &mut halves);
        for (x, h) in x.iter().zip(&halves) {
            assert_eq!(h.to_bits(), f16::from_f32(*x).to_bits(), "{} {x:e}", k.name());
        }
        let mut brains = vec![bf16::ZERO; x.len()];
        k.f32_to_bf16(&x, &mut brains);
        for (x, h) in x.iter().zip(&brains) {
            assert_eq!(h.to_bits(), bf16::from_f32(*x).to_bits(), "{} {x:e}", k.name());
        }
    }
}

#[test]
fn quantizing_rows_matches_the_definition() {
    let mut rng = Rng(4);
    for k in available() {
        for n in lengths() {
            let x = rng.floats(n, 3.0);
            let mut q = vec![0i8; n];
            let RowQuant { scale, zero, sum } = k.quantize_row(&x, &mut q);
            assert_eq!(zero, 0);
            let absmax = x.iter().fold(0f32, |m, v| m.max(v.abs()));
            assert_eq!(scale, absmax / 127.0);
            for (v, q) in x.iter().zip(&q) {
                assert_eq!(f32::from(*q), (v * (127.0 / absmax)).round_ties_even());
            }
            assert_eq!(sum, q.iter().map(|&v| i32::from(v)).sum::<i32>());
        }
    }
}

#[test]
fn quantizing_over_the_range_keeps_zero_exact_and_all_else_within_half_a_step() {
    let mut rng = Rng(6);
    for k in available() {
        for (shift, n) in [(0.0, 64), (3.0, 33), (-2.5, 17), (0.9, 1), (40.0, 384)] {
            let x: Vec<f32> = rng.floats(n, 1.0).iter().map(|v| v + shift).chain([0.0]).collect();
            let mut q = vec![0i8; x.len()];
            let RowQuant { scale, zero, sum } = k.quantize_row_range(&x, &mut q);
            assert_eq!(i32::from(q[n]), zero);
            assert_eq!(sum, q.iter().map(|&v| i32::from(v)).sum::<i32>());
            for (v, q) in x.iter().zip(&q) {
                let back = scale * (i32::from(*q) - zero) as f32;
                // Half a step, and another half at the ends, where the zero point was rounded.
                assert!((back - v).abs() <= 1.001 * scale, "{} {v} {back}", k.name());
            }
        }
    }
}

#[test]
fn quantizing_extremes_stays_finite() {
    for k in available() {
        let mut q = [0i8; 4];
        let quant = k.quantize_row(&[f32::MAX, f32::MIN, 0.0, 1.0], &mut q);
        assert_eq!((q, quant.sum), ([127, -127, 0, 0], 0));
        assert!(quant.scale.is_finite());
        let zeros = RowQuant { scale: 1e-5 / 127.0, zero: 0, sum: 0 };
        assert_eq!(k.quantize_row(&[0.0; 4], &mut q), zeros);
        for row in [[f32::MAX, f32::MIN, 0.0, 1.0], [f32::NAN, f32::INFINITY, -1.0, 0.0]] {
            let quant = k.quantize_row_range(&row, &mut q);
            assert!(quant.scale.is_finite() && (-128..=127).contains(&quant.zero));
            assert_eq!(quant.sum, q.iter().map(|&v| i32::from(v)).sum::<i32>());
        }
    }
}

#[test]
fn attention_matches_the_definition() {
    let mut rng = Rng(5);
    for (queries, keys, dim, stride) in
        [(1, 1, 1, 1), (5, 5, 4, 20), (17, 17, 12, 36), (9, 33, 32, 96), (4, 16, 17, 17)]
    {
        let q = rng.floats(queries * stride, 1.0);
        let (key, value) = (rng.floats(keys * dim, 1.0), rng.floats(keys * dim, 1.0));
        let (kp, dp) = (keys.next_multiple_of(16), dim.next_multiple_of(16));
        let (mut kt, mut v) = (vec![0f32; kp * dim], vec![0f32; dp * keys]);
        for s in 0..keys {
            for d in 0..dim {
                kt[(s / 16 * dim + d) * 16 + s % 16] = key[s * dim + d];
                v[(d / 16 * keys + s) * 16 + d % 16] = value[s * dim + d];
            }
        }
        let scale = 0.7;
        let head = AttentionHead { q: &q, stride, queries, keys, dim, kt: &kt, v: &v, scale };
        let mut expected = Vec::new();
        for t in 0..queries {
            let query = &q[t * stride..][..dim];
            let logits = oracle::matmul_f64(&key, query, &vec![0.0; keys], keys, dim);
            let logits: Vec<f32> = logits.iter().map(|s| *s as f32 * scale).collect();
            let p = oracle::softmax(&logits);
            expected.extend(
                (0..dim).map(|d| -> f64 {
                    (0..keys).map(|s| p[s] * f64::from(value[s * dim + d])).sum()
                }),
            );
        }
        let run = |k: &dyn Kernels| {
            let (mut scores, mut out) = (Vec::new(), vec![0f32; queries * dim]);
            k.attention(&head, &mut scores, &mut out).unwrap();
            out
        };
        assert_close("attention", &run(available()[0]), &expected, |_| 1e-5);
        assert_same("attention", |k| vec![("attention", run(k))]);
    }
}

#[test]
fn attention_that_does_not_fit_is_refused_by_name() {
    let floats = [1.0; 256];
    let error = |queries, keys, dim, stride| {
        let (q, kt, v) = (&floats[..40], &floats[..], &floats[..]);
        let head = AttentionHead { q, stride, queries, keys, dim, kt, v, scale: 1.0 };
        let run = |k: &dyn Kernels| k.attention(&head, &mut Vec::new(), &mut [0.0; 32]);
        let errors: Vec<_> = available().iter().map(|k| run(*k).err()).collect();
        assert!(errors.iter().all(|e| *e == errors[0]), "{errors:?}");
        errors[0].as_ref().map(ToString::to_string).unwrap_or_default()
    };
    assert_eq!(error(2, 16, 16, 24), "");
    assert_eq!(error(2, 16, 16, 25), "queries: expected 41, found 40");
    assert_eq!(error(3, 16, 16, 16), "attention output: expected 48, found 32");
    assert_eq!(error(2, 17, 16, 16), "keys: expected 512, found 256");
    assert_eq!(error(2, 15, 16, 16), "values: expected 240, found 256");
    assert_eq!(error(2, 16, 16, 15), "attention head size: 16 is outside 1..=15");
    assert!(error(2, 0, 16, 16).starts_with("attention keys: 0 is outside"));
    // Sizes whose products do not fit a usize.
    let (max, huge) = (usize::MAX, usize::MAX / 16 + 1);
    assert_eq!(error(max, 16, 16, 16), format!("attention output: expected {max}, found 32"));
    assert_eq!(error(huge + 2, 16, 16, 16), format!("attention output: expected {max}, found 32"));
    assert_eq!(error(2, 16, 16, max), format!("queries: expected {max}, found 40"));
    for dim in [max, huge, max / 2] {
        assert!(error(2, 16, dim, max).starts_with("attention head size: "));
    }
}

/// Cached rows of one KV head, f16 and int8, and the floats they stand for.
struct Cache {
    halves: Vec<f16>,
    bytes: Vec<i8>,
    scales: Vec<f32>,
    positions: usize,
    dim: usize,
    stride: usize,
}

impl Cache {
    fn new(rng: &mut Rng, positions: usize, dim: usize, stride: usize) -> Self {
        let floats = rng.floats(positions * stride, 2.0);
        Self {
            halves: floats.iter().map(|&v| f16::from_f32(v)).collect(),
            bytes: (0..positions * stride).map(|_| rng.next() as i8).collect(),
            scales: (0..positions).map(|_| rng.float(0.01)).collect(),
            positions,
            dim,
            stride,
        }
    }

    /// Pages of `page` positions; int8 or f16.
    fn pages(&self, int8: bool, page: usize) -> Vec<KvRows<'_>> {
        let Self { positions, dim, stride, .. } = *self;
        (0..positions)
            .step_by(page)
            .map(|at| {
                let count = page.min(positions - at);
                if int8 {
                    let (rows, scales) = (&self.bytes[at * stride..], &self.scales[at..][..count]);
                    KvRows::int8(rows, scales, dim, stride).unwrap()
                } else {
                    KvRows::f16(&self.halves[at * stride..], count, dim, stride).unwrap()
                }
            })
            .collect()
    }

    /// The same transposed, `[dim, width]`, position `at` in column `lead`; others hold NaN.
    fn columns(&self, at: usize, count: usize, lead: usize) -> Columns {
        let width = (lead + count).next_multiple_of(16);
        let mut columns = Columns {
            halves: vec![f16::NAN; self.dim * width],
            bytes: vec![99; self.dim * width],
            scales: vec![f32::NAN; width],
            dim: self.dim,
            used: lead..lead + count,
        };
        for i in 0..count {
            for d in 0..self.dim {
                let (from, to) = ((at + i) * self.stride + d, d * width + lead + i);
                columns.halves[to] = self.halves[from];
                columns.bytes[to] = self.bytes[from];
            }
            columns.scales[lead + i] = self.scales[at + i];
        }
        columns
    }

    fn value(&self, int8: bool, position: usize, d: usize) -> f64 {
        let at = position * self.stride + d;
        if int8 {
            f64::from(self.bytes[at]) * f64::from(self.scales[position])
        } else {
            self.halves[at].to_f64()
        }
    }
}

/// Keys of one page, transposed.
struct Columns {
    halves: Vec<f16>,
    bytes: Vec<i8>,
    scales: Vec<f32>,
    dim: usize,
    used: std::ops::Range<usize>,
}

impl Columns {
    fn view(&self, int8: bool) -> KvColumns<'_> {
        let used = self.used.clone();
        if int8 {
            KvColumns::int8(&self.bytes, &self.scales, used, self.dim).unwrap()
        } else {
            KvColumns::f16(&self.halves, used, self.dim, self.scales.len()).unwrap()
        }
    }
}

#[test]
fn cached_attention_is_within_its_bounds_and_the_same_for_any_paging() {
    const ULP: f64 = 1.0 / (1 << 24) as f64;
    let mut rng = Rng(10);
    let shapes = [1, 2, 3, 4, 5, 8, 9].into_iter().flat_map(|queries| {
        [(1, 1, 1), (7, 16, 16), (65, 32, 80), (130, 17, 33), (40, 64, 64), (33, 128, 640)]
            .map(|(positions, dim, stride)| (queries, positions, dim, stride))
    });
    for (queries, positions, dim, stride) in shapes {
        let cache = Cache::new(&mut rng, positions, dim, stride);
        let q = rng.floats(queries * dim, 1.0);
        let p = rng.floats(queries * positions, 1.0);
        let scale = 0.125f32;
        for int8 in [false, true] {
            let what = format!("{queries} x {positions} x {dim} int8 {int8}");
            let run = |k: &dyn Kernels, page: usize| {
                let pages = cache.pages(int8, page);
                // Pages begin at any column.
                let keys: Vec<_> = (0..positions)
                    .step_by(page)
                    .map(|at| cache.columns(at, page.min(positions - at), at * 7 % 19))
                    .collect();
                let keys: Vec<_> = keys.iter().map(|columns| columns.view(int8)).collect();
                let mut scores = vec![f32::NAN; queries * positions];
                k.kv_scores(&q, &keys, scale, &mut scores).unwrap();
                let mut out = vec![f32::NAN; queries * dim];
                k.kv_values(&p, &pages, &mut out).unwrap();
                vec![("kv_scores", scores), ("kv_values", out)]
            };
            let all = run(available()[0], positions);
            for i in 0..queries {
                for s in 0..positions {
                    let terms =
                        || (0..dim).map(|d| f64::from(q[i * dim + d]) * cache.value(int8, s, d));
                    let expected = f64::from(scale) * terms().sum::<f64>();
                    let magnitude = f64::from(scale) * terms().map(f64::abs).sum::<f64>();
                    let found = f64::from(all[0].1[i * positions + s]);
                    let bound = (dim as f64 + 3.0) * ULP * magnitude;
                    assert!((found - expected).abs() <= bound, "scores {what}");
                }
                for d in 0..dim {
                    let terms = || {
                        (0..positions)
                            .map(|s| f64::from(p[i * positions + s]) * cache.value(int8, s, d))
                    };
                    let (expected, magnitude) =
                        (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
                    let found = f64::from(all[1].1[i * dim + d]);
                    let bound = (positions as f64 + 2.0) * ULP * magnitude;
                    assert!((found - expected).abs() <= bound, "values {what}");
                }
            }
            assert_same(&what, |k| run(k, positions));
            for page in [1, 16, 50] {
                assert_same(&what, |k| run(k, page));
                let cut = run(available()[0], page);
                assert_eq!(bits(&all[0].1), bits(&cut[0].1), "scores {what}, pages of {page}");
                assert_eq!(bits(&all[1].1), bits(&cut[1].1), "values {what}, pages of {page}");
            }
        }
    }
}

#[test]
fn cached_rows_that_do_not_fit_are_refused_by_name() {
    let rows = [f16::ONE; 100];
    let error = |e: Result<KvRows<'_>, KernelError>| e.unwrap_err().to_string();
    assert_eq!(error(KvRows::f16(&rows, 4, 0, 30)), "KV head size: 0 is outside 1..=30");
    assert_eq!(error(KvRows::f16(&rows, 4, 31, 30)), "KV head size: 31 is outside 1..=30");
    assert_eq!(error(KvRows::f16(&rows, 4, 11, 30)), "KV rows: expected 101, found 100");
    assert!(KvRows::f16(&rows, 4, 10, 30).is_ok());
    assert!(KvRows::f16(&rows, usize::MAX, 10, 30).is_err());
    let error8 = KvRows::int8(&[0; 9], &[1.0; 2], 5, 5).unwrap_err();
    assert_eq!(error8.to_string(), "KV rows: expected 10, found 9");
    let wide = [f16::ONE; 256];
    let columns = |positions, dim, stride| match KvColumns::f16(&wide, positions, dim, stride) {
        Ok(_) => String::new(),
        Err(e) => e.to_string(),
    };
    assert_eq!(columns(3..16, 16, 16), "");
    assert!(columns(0..1, 0, 16).starts_with("KV head size: 0 is outside 1..="));
    assert!(columns(0..0, 1, 0).starts_with("KV positions: 0 is outside 1..="));
    assert_eq!(columns(0..1, 16, 17), "KV positions, to whole lanes: expected 32, found 17");
    assert_eq!(columns(0..17, 16, 16), "KV positions: expected 16, found 17");
    assert_eq!(columns(0..16, 17, 16), "KV columns: expected 272, found 256");
    assert_eq!(columns(0..16, 8, 16), "KV columns: expected 128, found 256");
    assert!(!columns(0..16, usize::MAX, 16).is_empty());
    let columns8 = KvColumns::int8(&[0; 256], &[1.0; 16], 0..16, 15).unwrap_err();
    assert_eq!(columns8.to_string(), "KV columns: expected 240, found 256");
    for k in available() {
        let page = |dim| KvRows::f16(&rows, 5, dim, 16).unwrap();
        let columns = |dim| KvColumns::f16(&wide[..16 * dim], 3..8, dim, 16).unwrap();
        let (q, mut scores, mut out) = ([1.0; 32], [0.0; 10], [0.0; 32]);
        let error = |e: Result<(), KernelError>| e.unwrap_err().to_string();
        let no_pages = error(k.kv_scores(&q, &[], 1.0, &mut scores));
        assert!(no_pages.starts_with("KV pages: 0 is outside 1..="), "{no_pages}");
        let mixed = error(k.kv_scores(&q, &[columns(16), columns(8)], 1.0, &mut scores));
        assert_eq!(mixed, "KV head size: expected 16, found 8");
        let queries = error(k.kv_scores(&q[1..], &[columns(16)], 1.0, &mut scores));
        assert_eq!(queries, "queries: expected 16, found 31");
        let short = error(k.kv_scores(&q, &[columns(16)], 1.0, &mut scores[1..]));
        assert_eq!(short, "scores: expected 10, found 9");
        let weights = error(k.kv_values(&scores[1..], &[page(16)], &mut out));
        assert_eq!(weights, "attention weights: expected 10, found 9");
        let output = error(k.kv_values(&scores, &[page(16)], &mut out[1..]));
        assert_eq!(output, "attention output: expected 16, found 31");
        let sines = error(k.rope(&mut out, &[1.0; 16], &[1.0; 15], RopeStyle::Halves));
        assert_eq!(sines, "rotary sines: expected 16, found 15");
        let row = error(k.rope(&mut out[1..], &[1.0; 16], &[1.0; 16], RopeStyle::Halves));
        assert_eq!(row, "rotary row: expected 32, found 31");
    }
}

#[test]
#[should_panic(expected = "gain: expected 4, found 3")]
fn rows_of_different_lengths_are_a_mistake_of_the_caller() {
    available()[0].rms_norm(&mut [1.0; 4], &[1.0; 3], 1e-6);
}
