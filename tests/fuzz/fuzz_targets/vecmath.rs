// SPDX-License-Identifier: AGPL-3.0-or-later
//! Every float kernel of every backend this machine can run, on any bits: no panic, no access past
//! the end, the same bits everywhere; and lengths that do not fit are errors.
#![no_main]

use std::ops::Range;

use bho_fuzz::{Fill, Floats, Hostile, bits, print_backends};
use bho_kernels::{
    AttentionHead, F32Matrix, Kernels, KvColumns, KvRows, RopeStyle, RowQuant, available, bf16, f16,
};
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

/// Keys of a page as f16 and int8, their scales, and the columns that are used.
type Transposed = (Vec<f16>, Vec<i8>, Vec<f32>, Range<usize>);

#[derive(Debug, Arbitrary)]
enum Input {
    /// Everything that works on a row; two more rows for gains, biases and the like.
    Row { n: Count<200>, x: Floats, y: Floats, z: Floats, eps: f32 },
    /// f16 and bf16 of any bits.
    Halves { n: Count<200>, bits: Fill },
    Linear {
        rows: Count<40>,
        cols: Count<100>,
        tokens: Count<10>,
        w: Floats,
        x: Floats,
        bias: Option<Floats>,
    },
    Attention {
        queries: Count<10>,
        keys: Count<70>,
        dim: Count<40>,
        gap: Count<20>,
        q: Floats,
        kt: Floats,
        v: Floats,
        scale: f32,
    },
    Cache {
        queries: Count<10>,
        positions: Count<150>,
        dim: Count<70>,
        gap: Count<20>,
        page: Count<150>,
        q: Floats,
        rows: Fill,
        scales: Option<Floats>,
        scale: f32,
    },
    /// Shapes that need not fit their buffers.
    Hostile { sizes: [Hostile; 5], lengths: [Hostile; 4] },
}

/// A number up to `MAX`.
#[derive(Debug, Clone, Copy)]
struct Count<const MAX: usize>(usize);

impl<'a, const MAX: usize> Arbitrary<'a> for Count<MAX> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(u.int_in_range(0..=MAX)?))
    }
}

fuzz_target!(init: print_backends(), |input: Input| match input {
    Input::Row { n: Count(n), x, y, z, eps } => {
        let (x, y, z) = (x.take(n), y.take(n), z.take(n));
        same(|k| row(k, &x, &y, &z, eps));
    }
    Input::Halves { n: Count(n), bits } => {
        let bits = bits.bytes(2 * n);
        same(|k| halves(k, bits.as_chunks().0));
    }
    Input::Linear { rows: Count(rows), cols: Count(cols), tokens: Count(tokens), w, x, bias } => {
        let (rows, cols) = (rows + 1, cols + 1);
        let w = F32Matrix::pack(rows, cols, &w.take(rows * cols)).unwrap();
        let (x, bias) = (x.take(tokens * cols), bias.map(|bias| bias.take(rows)));
        same(|k| {
            let mut y = vec![0.0; tokens * rows];
            k.f32_linear(w.view(), bias.as_deref(), &x, &mut y).unwrap();
            vec![("f32_linear", y)]
        });
    }
    Input::Attention { queries, keys, dim, gap, q, kt, v, scale } => {
        let (queries, keys, dim) = (queries.0, keys.0 + 1, dim.0 + 1);
        let stride = dim + gap.0;
        let q = q.take((queries * stride).saturating_sub(gap.0));
        let kt = kt.take(keys.next_multiple_of(16) * dim);
        let v = v.take(dim.next_multiple_of(16) * keys);
        let head = AttentionHead { q: &q, stride, queries, keys, dim, kt: &kt, v: &v, scale };
        same(|k| {
            let (mut scores, mut out) = (Vec::new(), vec![0.0; queries * dim]);
            k.attention(&head, &mut scores, &mut out).unwrap();
            vec![("attention", out)]
        });
    }
    Input::Cache { queries, positions, dim, gap, page, q, rows, scales, scale } => {
        let (queries, positions, dim, page) = (queries.0, positions.0, dim.0 + 1, page.0 + 1);
        let stride = dim + gap.0;
        let len = |positions: usize| (positions * stride).saturating_sub(gap.0);
        let int8 = rows.int8(len(positions));
        let f16s = halves_of(&rows, len(positions));
        let scales = scales.map(|scales| scales.take(positions));
        // An empty page first: a cache may begin with one.
        let cut = |page: usize| -> Vec<KvRows<'_>> {
            let starts = (0..positions).step_by(page).map(|at| (at, page.min(positions - at)));
            [(0, 0)]
                .into_iter()
                .chain(starts)
                .map(|(at, count)| match &scales {
                    Some(scales) => {
                        let rows = &int8[at * stride..][..len(count)];
                        KvRows::int8(rows, &scales[at..][..count], dim, stride).unwrap()
                    }
                    None => {
                        KvRows::f16(&f16s[at * stride..][..len(count)], count, dim, stride).unwrap()
                    }
                })
                .collect()
        };
        // The same keys transposed, each page with columns in front that are not used.
        let transposed = |page: usize| -> Vec<Transposed> {
            let starts = (0..positions).step_by(page).map(|at| (at, page.min(positions - at)));
            let starts = [(0, 0)].into_iter().chain(starts);
            let page = |(at, count): (usize, usize)| {
                let used = at % 21..at % 21 + count;
                let width = (used.end + 1).next_multiple_of(16);
                let mut f16s_of = vec![f16::NAN; dim * width];
                let mut int8_of = vec![-7; dim * width];
                let mut scales_of = vec![f32::NAN; width];
                for (i, column) in used.clone().enumerate() {
                    for d in 0..dim {
                        f16s_of[d * width + column] = f16s[(at + i) * stride + d];
                        int8_of[d * width + column] = int8[(at + i) * stride + d];
                    }
                    scales_of[column] = scales.as_ref().map_or(1.0, |scales| scales[at + i]);
                }
                (f16s_of, int8_of, scales_of, used)
            };
            starts.map(page).collect()
        };
        let (q, p) = (q.take(queries * dim), q.take(queries * positions));
        let run = |k: &dyn Kernels, page| {
            let pages = cut(page);
            let (mut scores, mut out) = (vec![0.0; queries * positions], vec![0.0; queries * dim]);
            let keys = transposed(page);
            let keys: Vec<_> = keys
                .iter()
                .map(|(f16s, int8, all_scales, used)| match &scales {
                    Some(_) => KvColumns::int8(int8, all_scales, used.clone(), dim).unwrap(),
                    None => KvColumns::f16(f16s, used.clone(), dim, all_scales.len()).unwrap(),
                })
                .collect();
            k.kv_scores(&q, &keys, scale, &mut scores).unwrap();
            k.kv_values(&p, &pages, &mut out).unwrap();
            vec![("kv_scores", scores), ("kv_values", out)]
        };
        let first = run(available()[0], positions.max(1));
        same(|k| run(k, page));
        for ((name, whole), (_, cut)) in first.iter().zip(run(available()[0], page)) {
            assert_eq!(bits(whole), bits(&cut), "{name} in pages");
        }
    }
    Input::Hostile { sizes, lengths } => hostile(sizes.map(|h| h.0), lengths.map(|h| h.0 % 1024)),
});

/// Asserts that all backends give the bits of the first one.
fn same(run: impl Fn(&dyn Kernels) -> Vec<(&'static str, Vec<f32>)>) {
    let backends = available();
    let first = run(backends[0]);
    for k in &backends[1..] {
        for ((name, expected), (_, found)) in first.iter().zip(run(*k)) {
            assert_eq!(bits(expected), bits(&found), "{name} of {}", k.name());
        }
    }
}

fn halves_of(fill: &Fill, n: usize) -> Vec<f16> {
    let bytes = fill.bytes(2 * n);
    bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b)).collect()
}

fn row(
    k: &dyn Kernels,
    x: &[f32],
    y: &[f32],
    z: &[f32],
    eps: f32,
) -> Vec<(&'static str, Vec<f32>)> {
    let n = x.len();
    let (cos, sin) = (&y[..n / 2], &z[..n / 2]);
    let apply = |x: &[f32], f: &dyn Fn(&mut [f32])| {
        let mut x = x.to_vec();
        f(&mut x);
        x
    };
    let rope = |style| apply(&x[..n / 2 * 2], &|v| k.rope(v, cos, sin, style).unwrap());
    let quantize = |f: &dyn Fn(&mut [i8]) -> RowQuant| {
        let mut q = vec![0i8; n];
        let RowQuant { scale, zero, sum } = f(&mut q);
        assert!(scale.is_finite() && (-128..=127).contains(&zero));
        assert_eq!(sum, q.iter().map(|&v| i32::from(v)).sum::<i32>());
        q.into_iter().map(f32::from).chain([scale, zero as f32, sum as f32]).collect()
    };
    let mut f16s = vec![f16::ZERO; n];
    k.f32_to_f16(x, &mut f16s);
    let mut bf16s = vec![bf16::ZERO; n];
    k.f32_to_bf16(x, &mut bf16s);
    for (x, (h, b)) in x.iter().zip(f16s.iter().zip(&bf16s)) {
        let expected = (f16::from_f32(*x).to_bits(), bf16::from_f32(*x).to_bits());
        assert_eq!((h.to_bits(), b.to_bits()), expected, "{x:e} of {}", k.name());
    }
    vec![
        ("layer_norm", apply(x, &|v| k.layer_norm(v, y, z, eps))),
        ("rms_norm", apply(x, &|v| k.rms_norm(v, y, eps))),
        ("softmax", apply(x, &|v| k.softmax(v))),
        ("gelu_erf", apply(x, &|v| k.gelu_erf(v))),
        ("gelu_tanh", apply(x, &|v| k.gelu_tanh(v))),
        ("silu", apply(x, &|v| k.silu(v))),
        ("tanh", apply(x, &|v| k.tanh(v))),
        ("relu", apply(x, &|v| k.relu(v))),
        ("relu_squared", apply(x, &|v| k.relu_squared(v))),
        ("add", apply(x, &|v| k.add(v, y))),
        ("mul", apply(x, &|v| k.mul(v, y))),
        ("rope halves", rope(RopeStyle::Halves)),
        ("rope interleaved", rope(RopeStyle::Interleaved)),
        ("quantize_row", quantize(&|q| k.quantize_row(x, q))),
        ("quantize_row_range", quantize(&|q| k.quantize_row_range(x, q))),
    ]
}

fn halves(k: &dyn Kernels, bits: &[[u8; 2]]) -> Vec<(&'static str, Vec<f32>)> {
    let f16s: Vec<f16> = bits.iter().map(|&b| f16::from_le_bytes(b)).collect();
    let bf16s: Vec<bf16> = bits.iter().map(|&b| bf16::from_le_bytes(b)).collect();
    let (mut f, mut b) = (vec![0.0; bits.len()], vec![0.0; bits.len()]);
    k.f16_to_f32(&f16s, &mut f);
    k.bf16_to_f32(&bf16s, &mut b);
    let exact = f16s.iter().zip(&bf16s).map(|(f, b)| (f.to_f32().to_bits(), b.to_f32().to_bits()));
    assert!(f.iter().zip(&b).map(|(f, b)| (f.to_bits(), b.to_bits())).eq(exact), "{}", k.name());
    let sum = k.probe_read(bits.as_flattened());
    vec![("f16_to_f32", f), ("bf16_to_f32", b), ("probe_read", vec![sum as u32 as f32])]
}

/// All backends say the same of shapes and buffers that need not fit, and none panics.
fn hostile([queries, keys, dim, stride, positions]: [usize; 5], [a, b, c, d]: [usize; 4]) {
    let (floats, f16s) = ([1.0; 1024], [f16::ONE; 1024]);
    let head = AttentionHead {
        q: &floats[..a],
        stride,
        queries,
        keys,
        dim,
        kt: &floats[..b],
        v: &floats[..c],
        scale: 1.0,
    };
    let page = KvRows::f16(&f16s[..a], positions, dim, stride);
    let bytes = KvRows::int8(&[1; 1024][..b], &floats[..d], dim, stride);
    let columns = KvColumns::f16(&f16s[..a], keys..positions, dim, stride);
    let column_bytes = KvColumns::int8(&[1; 1024][..b], &floats[..d], keys..positions, dim);
    let mut first = None;
    for k in available() {
        let mut out = [0.0; 1024];
        let mut said = vec![
            k.attention(&head, &mut Vec::new(), &mut out[..d]),
            k.rope(&mut out[..a], &floats[..b], &floats[..c], RopeStyle::Halves),
            k.rope(&mut out[..a], &floats[..b], &floats[..c], RopeStyle::Interleaved),
        ];
        for keys in [
            columns.iter().chain(&column_bytes).copied().collect(),
            Vec::from_iter(columns.clone()),
        ] {
            said.push(k.kv_scores(&floats[..c], &keys, 1.0, &mut out[..d]));
        }
        for pages in [page.iter().chain(&bytes).copied().collect(), Vec::from_iter(page.clone())] {
            said.push(k.kv_values(&floats[..d], &pages, &mut out[..c]));
        }
        let found = (said, bits(&out));
        assert_eq!(*first.get_or_insert_with(|| found.clone()), found, "{}", k.name());
    }
}
