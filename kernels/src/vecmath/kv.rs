// SPDX-License-Identifier: AGPL-3.0-or-later
//! Attention over a cache of keys and values, as decoders need it: the queries of all heads that
//! share a KV head (arXiv:2305.13245) read its rows once.

use core::ops::Range;

use half::f16;

use super::convert::HalfLanes;
use super::{LANES, Lanes, padded};
use crate::error::KernelError;
use crate::formats::MAX_DIM;

/// Keys or values of one KV head at consecutive positions: a cache, or one page of it.
#[derive(Debug, Clone, Copy)]
pub struct KvRows<'a> {
    data: KvData<'a>,
    positions: usize,
    dim: usize,
    stride: usize,
}

#[derive(Debug, Clone, Copy)]
enum KvData<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Int8 { values: &'a [i8], scales: &'a [f32] },
}

impl<'a> KvRows<'a> {
    /// Rows of f16.
    ///
    /// - `data`: `[positions, stride]`, the first `dim` values of each row used; the last row may
    ///   end after them, and anything may follow
    ///
    /// # Errors
    /// [`KernelError::Dimension`] unless `1 <= dim <= stride` and `dim <=` [`MAX_DIM`],
    /// [`KernelError::Shape`] when the rows do not fit.
    pub fn f16(
        data: &'a [f16],
        positions: usize,
        dim: usize,
        stride: usize,
    ) -> Result<Self, KernelError> {
        check_rows(data.len(), positions, dim, stride)?;
        Ok(Self { data: KvData::F16(data), positions, dim, stride })
    }

    /// Rows of f32, for caches that must add no rounding of their own.
    ///
    /// - `data`: as in [`KvRows::f16`]
    ///
    /// # Errors
    /// As [`KvRows::f16`].
    pub fn f32(
        data: &'a [f32],
        positions: usize,
        dim: usize,
        stride: usize,
    ) -> Result<Self, KernelError> {
        check_rows(data.len(), positions, dim, stride)?;
        Ok(Self { data: KvData::F32(data), positions, dim, stride })
    }

    /// Rows of int8, each with a scale: the value is `scale · int8`, as
    /// [`Kernels::quantize_row`](crate::Kernels::quantize_row) makes them.
    ///
    /// - `values`: `[positions, stride]`, as in [`KvRows::f16`]; `scales`: `[positions]`
    ///
    /// # Errors
    /// As [`KvRows::f16`].
    pub fn int8(
        values: &'a [i8],
        scales: &'a [f32],
        dim: usize,
        stride: usize,
    ) -> Result<Self, KernelError> {
        let positions = scales.len();
        check_rows(values.len(), positions, dim, stride)?;
        Ok(Self { data: KvData::Int8 { values, scales }, positions, dim, stride })
    }

    /// Number of positions.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Values per row.
    pub fn dim(&self) -> usize {
        self.dim
    }
}

/// Keys of one KV head at consecutive positions, transposed: lanes run along positions, so that a
/// score needs no sum over lanes.
#[derive(Debug, Clone, Copy)]
pub struct KvColumns<'a> {
    data: KvData<'a>,
    first: usize,
    positions: usize,
    dim: usize,
    stride: usize,
}

impl<'a> KvColumns<'a> {
    /// Columns of f16: the value of dimension `d` at a position stands at `d * stride + position`.
    ///
    /// - `data`: `[dim, stride]`, `stride` a multiple of 16; the `positions` are used, anything may
    ///   stand at the others
    ///
    /// # Errors
    /// [`KernelError::Dimension`] for no dimensions or a `stride` that is no multiple of 16,
    /// [`KernelError::Shape`] when positions or data do not fit.
    pub fn f16(
        data: &'a [f16],
        positions: Range<usize>,
        dim: usize,
        stride: usize,
    ) -> Result<Self, KernelError> {
        Self::new(KvData::F16(data), data.len(), positions, dim, stride)
    }

    /// Columns of f32.
    ///
    /// # Errors
    /// As [`KvColumns::f16`].
    pub fn f32(
        data: &'a [f32],
        positions: Range<usize>,
        dim: usize,
        stride: usize,
    ) -> Result<Self, KernelError> {
        Self::new(KvData::F32(data), data.len(), positions, dim, stride)
    }

    /// Columns of int8 with a scale for each position, used or not.
    ///
    /// - `scales`: `[stride]`
    ///
    /// # Errors
    /// As [`KvColumns::f16`].
    pub fn int8(
        values: &'a [i8],
        scales: &'a [f32],
        positions: Range<usize>,
        dim: usize,
    ) -> Result<Self, KernelError> {
        let data = KvData::Int8 { values, scales };
        Self::new(data, values.len(), positions, dim, scales.len())
    }

    fn new(
        data: KvData<'a>,
        found: usize,
        positions: Range<usize>,
        dim: usize,
        stride: usize,
    ) -> Result<Self, KernelError> {
        KernelError::dimension("KV head size", MAX_DIM, dim)?;
        KernelError::dimension("KV positions", MAX_DIM, stride)?;
        KernelError::check("KV positions, to whole lanes", stride.next_multiple_of(LANES), stride)?;
        if positions.start > positions.end || positions.end > stride {
            let (expected, found) = (stride, positions.end);
            return Err(KernelError::Shape { what: "KV positions", expected, found });
        }
        let needed = dim.saturating_mul(stride);
        KernelError::check("KV columns", needed, found)?;
        Ok(Self { data, first: positions.start, positions: positions.len(), dim, stride })
    }

    /// Number of positions.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Values per position.
    pub fn dim(&self) -> usize {
        self.dim
    }
}

fn check_rows(
    found: usize,
    positions: usize,
    dim: usize,
    stride: usize,
) -> Result<(), KernelError> {
    KernelError::dimension("KV head size", stride.min(MAX_DIM), dim)?;
    let needed = match positions.checked_sub(1) {
        None => Some(0),
        Some(before) => before.checked_mul(stride).and_then(|start| start.checked_add(dim)),
    };
    match needed {
        Some(needed) if needed <= found => Ok(()),
        _ => {
            let expected = needed.unwrap_or(usize::MAX);
            Err(KernelError::Shape { what: "KV rows", expected, found })
        }
    }
}

/// How the values of a page become floats.
trait Cached: Copy {
    type Value: Copy + Default;
    fn widen(self, values: &[Self::Value; LANES]) -> Lanes;
    fn scale(self, position: usize) -> f32;
}

#[derive(Clone, Copy)]
struct CachedF16<H>(H);

impl<H: HalfLanes> Cached for CachedF16<H> {
    type Value = f16;
    #[inline(always)]
    fn widen(self, values: &[f16; LANES]) -> Lanes {
        self.0.widen(values)
    }
    #[inline(always)]
    fn scale(self, _: usize) -> f32 {
        1.0
    }
}

#[derive(Clone, Copy)]
struct CachedF32;

impl Cached for CachedF32 {
    type Value = f32;
    #[inline(always)]
    fn widen(self, values: &[f32; LANES]) -> Lanes {
        *values
    }
    #[inline(always)]
    fn scale(self, _: usize) -> f32 {
        1.0
    }
}

#[derive(Clone, Copy)]
struct CachedInt8<'a>(&'a [f32]);

impl Cached for CachedInt8<'_> {
    type Value = i8;
    #[inline(always)]
    fn widen(self, values: &[i8; LANES]) -> Lanes {
        values.map(f32::from)
    }
    #[inline(always)]
    fn scale(self, position: usize) -> f32 {
        self.0[position]
    }
}

/// Positions whose rows stay in the first-level cache while all queries read them.
const BLOCK: usize = 64;

/// Positions of all pages, after all shapes were checked; `pages` gives the head size and the
/// positions of each.
///
/// `per_query` and `per_position` are the buffers `[queries, dim]` and `[queries, positions]`.
fn check_pages(
    pages: impl Iterator<Item = (usize, usize)> + Clone,
    per_query: (&'static str, usize),
    per_position: (&'static str, usize),
) -> Result<usize, KernelError> {
    KernelError::dimension("KV pages", MAX_DIM, pages.clone().count())?;
    let dim = pages.clone().map(|(dim, _)| dim).next().unwrap_or(1);
    for (found, _) in pages.clone() {
        KernelError::check("KV head size", dim, found)?;
    }
    let queries = per_query.1 / dim;
    KernelError::check(per_query.0, queries * dim, per_query.1)?;
    let positions = pages.map(|(_, positions)| positions).sum();
    KernelError::check(per_position.0, queries * positions, per_position.1)?;
    Ok(positions)
}

/// `sums += a · b`.
#[inline(always)]
fn add_product(sums: &mut Lanes, a: &Lanes, b: &Lanes) {
    for l in 0..LANES {
        sums[l] += a[l] * b[l];
    }
}

/// `scores[q, p] = scale · Σ_d q[q, d] · keys[p, d]`.
#[inline(always)]
pub(crate) fn kv_scores(
    halves: impl HalfLanes,
    q: &[f32],
    keys: &[KvColumns<'_>],
    scale: f32,
    scores: &mut [f32],
) -> Result<(), KernelError> {
    let pages = keys.iter().map(|page| (page.dim, page.positions));
    let positions = check_pages(pages, ("queries", q.len()), ("scores", scores.len()))?;
    let mut first = 0;
    for page in keys {
        let out = Scores { q, scale, scores: &mut *scores, positions, first };
        match page.data {
            KvData::F32(rows) => out.of_page(page, rows, CachedF32),
            KvData::F16(rows) => out.of_page(page, rows, CachedF16(halves)),
            KvData::Int8 { values, scales } => out.of_page(page, values, CachedInt8(scales)),
        }
        first += page.positions;
    }
    Ok(())
}

/// Where the scores of one page go.
struct Scores<'a> {
    q: &'a [f32],
    scale: f32,
    scores: &'a mut [f32],
    positions: usize,
    /// The page's first position.
    first: usize,
}

impl Scores<'_> {
    #[inline(always)]
    fn of_page<C: Cached>(mut self, page: &KvColumns<'_>, columns: &[C::Value], cached: C) {
        let queries = self.q.len() / page.dim;
        let end = page.first + page.positions;
        // A block of positions stays in the first-level cache for all queries.
        for lane0 in (page.first / LANES * LANES..end).step_by(LANES) {
            let mut q = 0;
            while q < queries {
                q += match queries - q {
                    1 => self.block::<1, C>(page, columns, cached, q, lane0),
                    2 => self.block::<2, C>(page, columns, cached, q, lane0),
                    3 => self.block::<3, C>(page, columns, cached, q, lane0),
                    _ => self.block::<4, C>(page, columns, cached, q, lane0),
                };
            }
        }
    }

    /// Scores of queries `q..q + Q` at 16 positions; returns `Q`.
    #[inline(always)]
    fn block<const Q: usize, C: Cached>(
        &mut self,
        page: &KvColumns<'_>,
        columns: &[C::Value],
        cached: C,
        q: usize,
        lane0: usize,
    ) -> usize {
        let queries: [_; Q] = core::array::from_fn(|i| &self.q[(q + i) * page.dim..][..page.dim]);
        let mut sums = [[0f32; LANES]; Q];
        for d in 0..page.dim {
            let Some(lanes) = columns[d * page.stride + lane0..].first_chunk::<LANES>() else {
                break; // the pages' shapes were checked
            };
            let key = cached.widen(lanes);
            for i in 0..Q {
                add_product(&mut sums[i], &[queries[i][d]; LANES], &key);
            }
        }
        let begin = page.first.max(lane0);
        let end = (page.first + page.positions).min(lane0 + LANES);
        for i in 0..Q {
            let at = (q + i) * self.positions + self.first + (begin - page.first);
            let out = &mut self.scores[at..][..end - begin];
            for (out, position) in out.iter_mut().zip(begin..) {
                *out = sums[i][position - lane0] * (self.scale * cached.scale(position));
            }
        }
        Q
    }
}

/// `out[q, d] = Σ_p p[q, p] · values[p, d]`.
#[inline(always)]
pub(crate) fn kv_values(
    halves: impl HalfLanes,
    p: &[f32],
    values: &[KvRows<'_>],
    out: &mut [f32],
) -> Result<(), KernelError> {
    let pages = values.iter().map(|page| (page.dim, page.positions));
    let positions =
        check_pages(pages, ("attention output", out.len()), ("attention weights", p.len()))?;
    out.fill(0.0);
    let mut first = 0;
    for page in values {
        let out = Values { p, positions, first, out: &mut *out };
        match page.data {
            KvData::F32(rows) => out.of_page(page, rows, CachedF32),
            KvData::F16(rows) => out.of_page(page, rows, CachedF16(halves)),
            KvData::Int8 { values, scales } => out.of_page(page, values, CachedInt8(scales)),
        }
        first += page.positions;
    }
    Ok(())
}

/// Where the weighted values of one page are added.
struct Values<'a> {
    p: &'a [f32],
    positions: usize,
    /// The page's first position.
    first: usize,
    out: &'a mut [f32],
}

impl Values<'_> {
    #[inline(always)]
    fn of_page<C: Cached>(mut self, page: &KvRows<'_>, rows: &[C::Value], cached: C) {
        let queries = self.out.len() / page.dim;
        for start in (0..page.positions).step_by(BLOCK) {
            let end = page.positions.min(start + BLOCK);
            let mut q = 0;
            while q < queries {
                q += match queries - q {
                    1 => self.block::<1, C>(page, rows, cached, q, start..end),
                    2 => self.block::<2, C>(page, rows, cached, q, start..end),
                    3 => self.block::<3, C>(page, rows, cached, q, start..end),
                    _ => self.block::<4, C>(page, rows, cached, q, start..end),
                };
            }
        }
    }

    /// Adds the values weighted for queries `q..q + Q`; returns `Q`.
    #[inline(always)]
    fn block<const Q: usize, C: Cached>(
        &mut self,
        page: &KvRows<'_>,
        rows: &[C::Value],
        cached: C,
        q: usize,
        range: Range<usize>,
    ) -> usize {
        // Slices of one length: no bounds to check inside.
        let weights: [&[f32]; Q] = core::array::from_fn(|i| {
            &self.p[(q + i) * self.positions + self.first..][range.clone()]
        });
        let count = range.len();
        for d in (0..page.dim).step_by(LANES) {
            let width = LANES.min(page.dim - d);
            let mut sums: [Lanes; Q] =
                core::array::from_fn(|i| padded(&self.out[(q + i) * page.dim + d..][..width], 0.0));
            let rows = &rows[(range.start * page.stride + d).min(rows.len())..];
            for j in 0..count {
                let row = &rows[j * page.stride..][..width];
                let value = match row.first_chunk::<LANES>() {
                    Some(lanes) => cached.widen(lanes),
                    None => cached.widen(&padded(row, C::Value::default())),
                };
                let scale = cached.scale(range.start + j);
                for i in 0..Q {
                    add_product(&mut sums[i], &[weights[i][j] * scale; LANES], &value);
                }
            }
            for i in 0..Q {
                let out = &mut self.out[(q + i) * page.dim + d..][..width];
                out.copy_from_slice(&sums[i][..width]);
            }
        }
        Q
    }
}
