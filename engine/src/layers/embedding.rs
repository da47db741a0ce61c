// SPDX-License-Identifier: AGPL-3.0-or-later
//! Embedding tables: int8 rows with a scale each, or float rows.

use half::{bf16, f16};

use crate::error::EngineError;
use crate::storage::WeightBytes;

/// A table of `[rows, dim]` vectors.
#[derive(Debug, Clone)]
pub struct Embeddings {
    name: String,
    rows: usize,
    dim: usize,
    table: Table,
}

#[derive(Debug, Clone)]
enum Table {
    Int8 {
        bytes: WeightBytes,
        scales: Vec<f32>,
    },
    /// Little-endian 16-bit floats, bfloat16 or half precision.
    Half {
        bytes: WeightBytes,
        bfloat: bool,
    },
    Float(Vec<f32>),
}

impl Embeddings {
    /// A table of int8 rows, `value = scale[row] · int8`.
    ///
    /// # Errors
    /// [`EngineError::Shape`] naming the table.
    pub fn int8(
        name: &str,
        (rows, dim): (usize, usize),
        bytes: WeightBytes,
        scales: Vec<f32>,
    ) -> Result<Self, EngineError> {
        Self::check(name, (rows, dim), bytes.len())?;
        Self::check(name, (rows, 1), scales.len())?;
        Ok(Self { name: name.into(), rows, dim, table: Table::Int8 { bytes, scales } })
    }

    /// A table of 16-bit floats where they are in the file, bfloat16 or half precision.
    ///
    /// # Errors
    /// [`EngineError::Shape`] naming the table.
    pub fn half(
        name: &str,
        (rows, dim): (usize, usize),
        bytes: WeightBytes,
        bfloat: bool,
    ) -> Result<Self, EngineError> {
        Self::check(name, (rows, dim), bytes.len() / 2)?;
        Ok(Self { name: name.into(), rows, dim, table: Table::Half { bytes, bfloat } })
    }

    /// A table of float rows.
    ///
    /// # Errors
    /// [`EngineError::Shape`] naming the table.
    pub fn float(
        name: &str,
        (rows, dim): (usize, usize),
        values: Vec<f32>,
    ) -> Result<Self, EngineError> {
        Self::check(name, (rows, dim), values.len())?;
        Ok(Self { name: name.into(), rows, dim, table: Table::Float(values) })
    }

    fn check(name: &str, (rows, dim): (usize, usize), found: usize) -> Result<(), EngineError> {
        if dim > 0 && rows.checked_mul(dim) == Some(found) {
            return Ok(());
        }
        Err(EngineError::Shape {
            tensor: name.into(),
            expected: format!("{rows} x {dim} values"),
            found: format!("{found} values"),
        })
    }

    /// Number of vectors.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Length of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Bytes of the table.
    pub fn bytes(&self) -> usize {
        match &self.table {
            Table::Int8 { bytes, scales } => bytes.len() + scales.len() * 4,
            Table::Half { bytes, .. } => bytes.len(),
            Table::Float(values) => values.len() * 4,
        }
    }

    /// Adds vector `row` to `out` (`[dim]`).
    ///
    /// # Errors
    /// [`EngineError::Input`] when there is no such row.
    pub fn add_to(&self, row: usize, out: &mut [f32]) -> Result<(), EngineError> {
        if row >= self.rows {
            let (name, last) = (&self.name, self.rows - 1);
            return Err(EngineError::Input(format!("{name} has rows 0..={last}, asked for {row}")));
        }
        let range = row * self.dim..(row + 1) * self.dim;
        match &self.table {
            Table::Int8 { bytes, scales } => {
                let scale = scales[row];
                for (o, &b) in out.iter_mut().zip(&bytes.as_bytes()[range]) {
                    *o += f32::from(b as i8) * scale;
                }
            }
            Table::Half { bytes, bfloat } => {
                let row = &bytes.as_bytes()[2 * range.start..2 * range.end];
                for (o, &b) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                    *o += match bfloat {
                        true => bf16::from_le_bytes(b).to_f32(),
                        false => f16::from_le_bytes(b).to_f32(),
                    };
                }
            }
            Table::Float(values) => {
                for (o, &v) in out.iter_mut().zip(&values[range]) {
                    *o += v;
                }
            }
        }
        Ok(())
    }
}
