// SPDX-License-Identifier: AGPL-3.0-or-later
//! GGUF, the model files of llama.cpp and bitnet.cpp: versions 2 and 3, little-endian.
//!
//! A [`GgufFile`] stays mapped. Opening it walks the header once and checks everything in it;
//! metadata and tensors are then decoded where they lie, when they are asked for. `docs/formats.md`
//! says exactly what is read and what is refused.

mod checkpoint;
mod config;
mod cursor;
mod dequant;
mod parse;
mod tokenizer;
mod types;
mod value;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use bho_engine::{Storage, WeightBytes};
use bho_kernels::{ForeignTernary, I2sLayout};

use crate::error::ModelError;
use cursor::Cursor;

pub(crate) use checkpoint::GgufCheckpoint;
pub use config::{GgufConfig, GgufRopeScaling};
pub use tokenizer::GgufTokenizer;
pub use types::GgufType;
pub use value::{GgufArray, GgufValue, GgufValueType};

/// A GGUF file: its metadata and its tensors, where they are.
#[derive(Debug, Clone)]
pub struct GgufFile {
    name: String,
    storage: Storage,
    version: u32,
    i2s_layout: I2sLayout,
    metadata: BTreeMap<String, Entry>,
    tensors: BTreeMap<String, GgufTensor>,
}

/// Where a metadata value lies.
#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: GgufValueType,
    at: usize,
}

/// One tensor of a [`GgufFile`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    /// Element type.
    pub kind: GgufType,
    /// Dimensions, row-major as in safetensors: the last is contiguous. The file has them reversed.
    pub shape: Vec<usize>,
    /// Bytes in the file.
    range: Range<usize>,
}

impl GgufTensor {
    /// Number of bytes, the trailer of I2_S included.
    pub fn bytes(&self) -> usize {
        self.range.len()
    }

    /// Where it begins in the file.
    pub fn offset(&self) -> usize {
        self.range.start
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The last dimension; 1 for a scalar.
    pub fn cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Product of all dimensions but the last.
    pub fn rows(&self) -> usize {
        self.elements() / self.cols()
    }
}

impl GgufFile {
    /// Maps the file at `path` and checks its header; tensors are not read.
    ///
    /// # Errors
    /// When the file cannot be mapped or is not GGUF, is big-endian or of another version, or when
    /// its header lies: counts, lengths, dimensions and offsets that do not fit the file, tensors
    /// that overlap, names that stand twice, types that are not read. The message says what and
    /// where.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        Self::parse(&path.display().to_string(), Storage::map(path)?)
    }

    /// [`GgufFile::open`] on bytes that are in memory already.
    ///
    /// # Errors
    /// As [`GgufFile::open`].
    pub fn parse(name: &str, storage: Storage) -> Result<Self, ModelError> {
        let header = parse::header(storage.as_bytes())
            .map_err(|e| ModelError::invalid(name, format!("GGUF: {e}")))?;
        let parse::Header { version, metadata, tensors } = header;
        let i2s_layout = I2sLayout::default();
        Ok(Self { name: name.into(), storage, version, i2s_layout, metadata, tensors })
    }

    /// Reads I2_S tensors in this layout (by default that of x86, as published files have it): the
    /// file does not say which it is.
    #[must_use]
    pub fn with_i2s_layout(self, layout: I2sLayout) -> Self {
        Self { i2s_layout: layout, ..self }
    }

    /// What messages call this file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// All bytes of the file.
    pub fn as_bytes(&self) -> &[u8] {
        self.storage.as_bytes()
    }

    /// All metadata, by key.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, GgufValue<'_>)> {
        self.metadata.keys().filter_map(|key| Some((key.as_str(), self.value(key)?)))
    }

    /// The metadata value of this key, if there is one.
    pub fn value(&self, key: &str) -> Option<GgufValue<'_>> {
        let entry = self.metadata.get(key)?;
        // Checked when the file was opened: fails only if the mapped file was changed since.
        value::read(&mut Cursor::new(self.as_bytes(), entry.at), entry.kind, 0).ok()
    }

    /// The string of this key, if it is there.
    ///
    /// # Errors
    /// [`ModelError::Invalid`] naming the key when its value is of another type; so for all getters.
    pub fn str(&self, key: &str) -> Result<Option<&str>, ModelError> {
        self.get(key, "a string", |value| match value {
            GgufValue::Str(v) => Some(v),
            _ => None,
        })
    }

    /// The integer of this key, of any width and sign but not negative, if it is there.
    ///
    /// # Errors
    /// As [`GgufFile::str`].
    pub fn uint(&self, key: &str) -> Result<Option<u64>, ModelError> {
        self.get(key, "an integer that is not negative", |value| match value {
            GgufValue::Uint(v) => Some(v),
            GgufValue::Int(v) => u64::try_from(v).ok(),
            _ => None,
        })
    }

    /// The finite float of this key, if it is there; an f64 is rounded.
    ///
    /// # Errors
    /// As [`GgufFile::str`].
    pub fn float(&self, key: &str) -> Result<Option<f32>, ModelError> {
        self.get(key, "a finite float", |value| match value {
            GgufValue::Float(v) => Some(v as f32).filter(|v| v.is_finite()),
            _ => None,
        })
    }

    /// The truth value of this key, if it is there.
    ///
    /// # Errors
    /// As [`GgufFile::str`].
    pub fn bool(&self, key: &str) -> Result<Option<bool>, ModelError> {
        self.get(key, "a bool", |value| match value {
            GgufValue::Bool(v) => Some(v),
            _ => None,
        })
    }

    /// The array of this key, if it is there.
    ///
    /// # Errors
    /// As [`GgufFile::str`].
    pub fn array(&self, key: &str) -> Result<Option<GgufArray<'_>>, ModelError> {
        self.get(key, "an array", |value| match value {
            GgufValue::Array(v) => Some(v),
            _ => None,
        })
    }

    fn get<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        take: impl Fn(GgufValue<'a>) -> Option<T>,
    ) -> Result<Option<T>, ModelError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        take(value).map(Some).ok_or_else(|| {
            self.key_error(key, format!("expected {expected}, found {}", value.describe()))
        })
    }

    /// An error about one metadata key, such as that it is missing.
    pub fn key_error(&self, key: &str, message: impl std::fmt::Display) -> ModelError {
        ModelError::invalid(&self.name, format!("metadata {key}: {message}"))
    }

    /// Tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, GgufTensor> {
        &self.tensors
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when there is none.
    pub fn tensor(&self, name: &str) -> Result<&GgufTensor, ModelError> {
        self.tensors.get(name).ok_or_else(|| match self.uint("split.count") {
            Ok(Some(parts @ 2..)) => {
                let message = format!(
                    "missing; the file is one of {parts} parts, and split models are not read: \
                     merge them first (llama-gguf-split --merge)"
                );
                self.error(name, message)
            }
            _ => self.error(name, "missing"),
        })
    }

    /// The bytes of a tensor, uncopied.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when there is none.
    pub fn bytes(&self, name: &str) -> Result<WeightBytes, ModelError> {
        let range = self.tensor(name)?.range.clone();
        WeightBytes::new(&self.storage, range).ok_or_else(|| self.error(name, "outside the file"))
    }

    /// A ternary tensor `[rows, cols]`, ready for import; `None` for any other type.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when there is none of this name, or what
    /// [`ForeignTernary::new`] refuses.
    pub fn ternary(&self, name: &str) -> Result<Option<ForeignTernary<'_>>, ModelError> {
        let tensor = self.tensor(name)?;
        let Some(format) = tensor.kind.ternary(self.i2s_layout) else { return Ok(None) };
        let bytes = &self.as_bytes()[tensor.range.clone()];
        ForeignTernary::new(format, tensor.rows(), tensor.cols(), bytes)
            .map(Some)
            .map_err(|e| self.error(name, e.to_string()))
    }

    /// Rows `rows` of a tensor of any type as f32, into `out` of `rows.len() * cols` values.
    ///
    /// A tensor counts as `[rows, cols]` with all dimensions but the last as rows. Values equal those of the
    /// `gguf` package, bit for bit but for the sign of a ternary zero; nothing but the rows asked
    /// for is read.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when there is none of this name, for rows it does not have, an `out`
    /// of another length, or a value that is not finite (named by row and column).
    pub fn rows_f32(
        &self,
        name: &str,
        rows: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), ModelError> {
        let tensor = self.tensor(name)?;
        let (all, cols) = (tensor.rows(), tensor.cols());
        if rows.start > rows.end || rows.end > all {
            return Err(self.error(name, format!("rows {rows:?} of {all}")));
        }
        if rows.len().checked_mul(cols) != Some(out.len()) {
            let message = format!("{} rows of {cols} do not fit {}", rows.len(), out.len());
            return Err(self.error(name, message));
        }
        if let Some(ternary) = self.ternary(name)? {
            for (row, out) in rows.clone().zip(out.chunks_exact_mut(cols)) {
                let read = ternary.dequantize_row(row, out);
                read.map_err(|e| self.error(name, e.to_string()))?;
            }
        } else {
            let bytes = &self.as_bytes()[tensor.range.clone()];
            let row_bytes = bytes.len() / all;
            let bytes = &bytes[rows.start * row_bytes..rows.end * row_bytes];
            dequant::dequantize(tensor.kind, bytes, out);
        }
        match out.iter().position(|v| !v.is_finite()) {
            Some(i) => {
                let (row, col) = (rows.start + i / cols, i % cols);
                Err(self.error(name, format!("row {row}, column {col} is {}", out[i])))
            }
            None => Ok(()),
        }
    }

    /// A whole tensor of exactly this shape as f32: for norms and biases.
    ///
    /// # Errors
    /// As [`GgufFile::rows_f32`], and for another shape.
    pub fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let tensor = self.tensor(name)?;
        if tensor.shape != shape {
            let message = format!("expected shape {shape:?}, found {:?}", tensor.shape);
            return Err(self.error(name, message));
        }
        let mut out = vec![0.0; tensor.elements()];
        self.rows_f32(name, 0..tensor.rows(), &mut out)?;
        Ok(out)
    }

    /// Where the bytes of the file are.
    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Forgets the pages of a tensor's first `rows` rows: they come back from the file when asked
    /// for.
    pub(crate) fn release(&self, name: &str, rows: usize) {
        if let Some(tensor) = self.tensors.get(name) {
            let start = tensor.range.start;
            let bytes = tensor.bytes() / tensor.rows().max(1) * rows.min(tensor.rows());
            self.storage.release(start..start + bytes);
        }
    }

    /// An error about one tensor of this file.
    pub(crate) fn error(&self, tensor: &str, message: impl Into<String>) -> ModelError {
        ModelError::tensor(&self.name, tensor, message)
    }
}
