// SPDX-License-Identifier: AGPL-3.0-or-later
//! Tensors by name, from a safetensors file that stays mapped.

mod float;
mod header;
mod writer;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use bho_engine::{Storage, WeightBytes};
use safetensors::{Dtype, SafeTensors};

use crate::error::ModelError;

pub(crate) use float::{FloatKind, to_f32};
pub(crate) use writer::{TensorPlan, Writer, temporary};

/// A safetensors file: its tensors where they are, and its metadata.
#[derive(Debug, Clone)]
pub struct Weights {
    name: String,
    storage: Storage,
    tensors: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
}

/// One tensor of a [`Weights`] file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Element type as safetensors names it, e.g. `F32`.
    pub dtype: Dtype,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Bytes in the file.
    range: Range<usize>,
}

impl Tensor {
    /// Number of bytes.
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
}

impl Weights {
    /// Maps the file at `path` and checks its header against its length; tensors are not read.
    ///
    /// # Errors
    /// When the file cannot be mapped, or its header lies: offsets past the end, holes, overlaps,
    /// sizes that contradict shapes.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        Self::parse(&path.display().to_string(), Storage::map(path)?)
    }

    /// [`Weights::open`] on bytes that are in memory already.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub fn parse(name: &str, storage: Storage) -> Result<Self, ModelError> {
        let bytes = storage.as_bytes();
        let invalid =
            |e: &dyn std::fmt::Display| ModelError::invalid(name, format!("not safetensors: {e}"));
        if bytes.starts_with(b"GGUF") {
            return Err(invalid(&"a GGUF file; `bho convert` makes a model file of it"));
        }
        header::check(bytes).map_err(|e| invalid(&e))?;
        let (header, meta) = SafeTensors::read_metadata(bytes).map_err(|e| invalid(&e))?;
        // The crate has checked shapes, sizes and offsets; the data begins behind the header.
        let start = header.checked_add(8).ok_or_else(|| invalid(&"header too long"))?;
        let mut tensors = BTreeMap::new();
        for (tensor, info) in meta.tensors() {
            let (from, to) = info.data_offsets;
            let range = start
                .checked_add(from)
                .zip(start.checked_add(to))
                .filter(|&(from, to)| from <= to && to <= bytes.len())
                .map(|(from, to)| from..to)
                .ok_or_else(|| invalid(&format!("tensor {tensor} lies outside the file")))?;
            let shape = info.shape.clone();
            tensors.insert(tensor, Tensor { dtype: info.dtype, shape, range });
        }
        let metadata = meta.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Self { name: name.into(), storage, tensors, metadata })
    }

    /// What messages call this file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All bytes of the file.
    pub fn as_bytes(&self) -> &[u8] {
        self.storage.as_bytes()
    }

    /// Tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// The metadata of the header.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Whether `bho convert` wrote it.
    pub(crate) fn is_converted(&self) -> bool {
        self.metadata.contains_key(crate::package::keys::FORMAT)
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when there is none.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, ModelError> {
        self.tensors.get(name).ok_or_else(|| self.error(name, "missing"))
    }

    /// The bytes of a tensor, uncopied.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when there is none.
    pub fn bytes(&self, name: &str) -> Result<WeightBytes, ModelError> {
        let range = self.tensor(name)?.range.clone();
        WeightBytes::new(&self.storage, range).ok_or_else(|| self.error(name, "outside the file"))
    }

    /// The bytes of a tensor of this file.
    pub(crate) fn tensor_bytes(&self, tensor: &Tensor) -> &[u8] {
        &self.as_bytes()[tensor.range.clone()]
    }

    /// Where the bytes of the file are.
    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Forgets the pages of a tensor's first `bytes` bytes: they come back from the file when asked
    /// for.
    pub(crate) fn release(&self, tensor: &Tensor, bytes: usize) {
        let start = tensor.range.start;
        self.storage.release(start..start + bytes.min(tensor.bytes()));
    }

    /// A float tensor of exactly this shape, as f32 (F32, F16 or BF16 in the file).
    ///
    /// # Errors
    /// [`ModelError::Tensor`] for a missing tensor, another shape or type, or values that are not
    /// finite.
    pub fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let tensor = self.tensor(name)?;
        if tensor.shape != shape {
            let message = format!("expected shape {shape:?}, found {:?}", tensor.shape);
            return Err(self.error(name, message));
        }
        let kind = FloatKind::of(tensor.dtype).ok_or_else(|| {
            self.error(name, format!("expected F32, F16 or BF16, found {:?}", tensor.dtype))
        })?;
        let values = to_f32(kind, &self.as_bytes()[tensor.range.clone()]);
        match values.iter().position(|v| !v.is_finite()) {
            Some(i) => Err(self.error(name, format!("value {i} is not finite"))),
            None => Ok(values),
        }
    }

    /// An error about one tensor of this file.
    pub(crate) fn error(&self, tensor: &str, message: impl Into<String>) -> ModelError {
        ModelError::tensor(&self.name, tensor, message)
    }
}
