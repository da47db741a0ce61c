// SPDX-License-Identifier: AGPL-3.0-or-later
//! Keys and values as pages hold them.

use std::ops::Range;

use bho_kernels::{Kernels, KvColumns, KvRows, f16};

use crate::error::EngineError;

/// Positions of a page.
pub const PAGE: usize = 32;

/// How cached keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KvKind {
    /// Half precision.
    #[default]
    F16,
    /// Single precision: twice the memory, and no rounding at all.
    F32,
    /// 8 bits with a scale per head and position: half the memory, a little coarser.
    Int8,
}

impl KvKind {
    /// `f16`, `f32` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::Int8 => "int8",
        }
    }

    /// Bytes of one cached row of `dim` values.
    fn row_bytes(self, dim: usize) -> usize {
        match self {
            Self::F16 => 2 * dim,
            Self::F32 => 4 * dim,
            Self::Int8 => dim + 4,
        }
    }
}

/// What a cache has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvShape {
    /// Layers of the model.
    pub layers: usize,
    /// Key and value heads of a layer.
    pub heads: usize,
    /// Values per head.
    pub dim: usize,
    /// How they are stored.
    pub kind: KvKind,
}

impl KvShape {
    /// Bytes of one page.
    pub fn page_bytes(&self) -> usize {
        2 * self.layers * self.heads * PAGE * self.kind.row_bytes(self.dim)
    }
}

/// One head's keys or values of a page: `[PAGE, dim]` values, or `[dim, PAGE]` keys, whose scores
/// are computed for many positions at once.
#[derive(Debug)]
enum Rows {
    F16(Box<[f16]>),
    F32(Box<[f32]>),
    Int8 { values: Box<[i8]>, scales: Box<[f32]> },
}

impl Rows {
    fn new(shape: &KvShape) -> Self {
        match shape.kind {
            KvKind::F16 => Self::F16(vec![f16::ZERO; PAGE * shape.dim].into()),
            KvKind::F32 => Self::F32(vec![0.0; PAGE * shape.dim].into()),
            KvKind::Int8 => Self::Int8 {
                values: vec![0; PAGE * shape.dim].into(),
                scales: vec![0.0; PAGE].into(),
            },
        }
    }

    /// Writes the values of one position.
    fn write_row(&mut self, kernels: &dyn Kernels, at: usize, row: &[f32]) {
        let range = at * row.len()..(at + 1) * row.len();
        match self {
            Self::F16(data) => kernels.f32_to_f16(row, &mut data[range]),
            Self::F32(data) => data[range].copy_from_slice(row),
            Self::Int8 { values, scales } => {
                scales[at] = kernels.quantize_row(row, &mut values[range]).scale;
            }
        }
    }

    /// Writes the key of one position.
    fn write_column(&mut self, kernels: &dyn Kernels, at: usize, key: &[f32]) {
        fn scatter<T: Copy>(data: &mut [T], at: usize, values: &[T]) {
            for (column, &value) in data.chunks_exact_mut(PAGE).zip(values) {
                column[at] = value;
            }
        }
        match self {
            Self::F16(data) => {
                let mut narrow = vec![f16::ZERO; key.len()];
                kernels.f32_to_f16(key, &mut narrow);
                scatter(data, at, &narrow);
            }
            Self::F32(data) => scatter(data, at, key),
            Self::Int8 { values, scales } => {
                let mut narrow = vec![0; key.len()];
                scales[at] = kernels.quantize_row(key, &mut narrow).scale;
                scatter(values, at, &narrow);
            }
        }
    }

    fn columns(&self, at: Range<usize>, dim: usize) -> Result<KvColumns<'_>, EngineError> {
        Ok(match self {
            Self::F16(data) => KvColumns::f16(data, at, dim, PAGE)?,
            Self::F32(data) => KvColumns::f32(data, at, dim, PAGE)?,
            Self::Int8 { values, scales } => KvColumns::int8(values, scales, at, dim)?,
        })
    }

    fn rows(&self, at: Range<usize>, dim: usize) -> Result<KvRows<'_>, EngineError> {
        Ok(match self {
            Self::F16(data) => {
                KvRows::f16(&data[at.start * dim..at.end * dim], at.len(), dim, dim)?
            }
            Self::F32(data) => {
                KvRows::f32(&data[at.start * dim..at.end * dim], at.len(), dim, dim)?
            }
            Self::Int8 { values, scales } => {
                KvRows::int8(&values[at.start * dim..at.end * dim], &scales[at], dim, dim)?
            }
        })
    }
}

/// Keys and values of one head of one layer, by page.
#[derive(Debug, Default)]
pub(crate) struct HeadPages {
    keys: Vec<Rows>,
    values: Vec<Rows>,
}

impl HeadPages {
    /// One page more.
    pub(super) fn push(&mut self, shape: &KvShape) {
        self.keys.push(Rows::new(shape));
        self.values.push(Rows::new(shape));
    }

    /// Writes one position of a sequence.
    pub(crate) fn write(
        &mut self,
        kernels: &dyn Kernels,
        pages: &[usize],
        position: usize,
        (key, value): (&[f32], &[f32]),
    ) {
        let page = pages[position / PAGE];
        self.keys[page].write_column(kernels, position % PAGE, key);
        self.values[page].write_row(kernels, position % PAGE, value);
    }

    /// Keys and values at `positions` of a sequence, page by page.
    pub(crate) fn read<'a>(
        &'a self,
        pages: &[usize],
        positions: Range<usize>,
        dim: usize,
    ) -> Result<(Vec<KvColumns<'a>>, Vec<KvRows<'a>>), EngineError> {
        let count = positions.end.div_ceil(PAGE) - positions.start / PAGE;
        let (mut keys, mut values) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut at = positions.start;
        while at < positions.end {
            let end = positions.end.min((at / PAGE + 1) * PAGE);
            let (page, within) = (pages[at / PAGE], at % PAGE..at % PAGE + (end - at));
            keys.push(self.keys[page].columns(within.clone(), dim)?);
            values.push(self.values[page].rows(within, dim)?);
            at = end;
        }
        Ok((keys, values))
    }
}
