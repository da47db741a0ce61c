// SPDX-License-Identifier: AGPL-3.0-or-later
//! Checkpoints as conversions read them: tensors by name, a few rows at a time, whatever files they
//! are in.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use bho_kernels::{ForeignTernary, HfScale, TernaryFormat};
use safetensors::Dtype;
use serde_json::Value;

use crate::error::ModelError;
use crate::package::read_json;
use crate::weights::{FloatKind, Tensor, Weights, to_f32};

/// What a scale beside packed ternary weights does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackedScale {
    /// The output is multiplied by it.
    Multiply,
    /// The output is divided by it.
    Divide,
}

/// A checkpoint.
pub(crate) trait Source {
    /// What messages call it.
    fn name(&self) -> &str;

    /// All tensors.
    fn names(&self) -> Vec<String>;

    /// Dimensions of a tensor as it means them: `[rows, cols]` for packed weights too, where the
    /// file says so.
    fn shape(&self, tensor: &str) -> Option<Vec<usize>>;

    /// Bytes of a tensor in its file.
    fn bytes(&self, tensor: &str) -> u64;

    /// Whether a tensor is stored in 16 bits, and as bfloat16.
    fn half(&self, tensor: &str) -> Option<FloatKind>;

    /// Some rows of a float tensor of shape `[_, cols]`, appended to `out`.
    ///
    /// # Errors
    /// Naming the tensor that is missing, of another shape or type, or has a value that is not
    /// finite.
    fn floats(
        &self,
        tensor: &str,
        cols: usize,
        rows: Range<usize>,
        out: &mut Vec<f32>,
    ) -> Result<(), ModelError>;

    /// The packed ternary weights of a tensor; none where it has floats.
    ///
    /// # Errors
    /// As [`Source::floats`].
    fn ternary(
        &self,
        tensor: &str,
        shape: (usize, usize),
        scale: Option<PackedScale>,
    ) -> Result<Option<ForeignTernary<'_>>, ModelError>;

    /// Forgets the pages of a tensor's first `rows` rows, which were read: they come back from the file
    /// when asked for.
    fn release(&self, tensor: &str, rows: usize);

    /// An error about a tensor.
    fn error(&self, tensor: &str, message: String) -> ModelError {
        ModelError::tensor(self.name(), tensor, message)
    }
}

/// One safetensors file or several with an index.
pub(crate) struct Checkpoint {
    name: String,
    files: Vec<Weights>,
    /// Which file holds a tensor.
    tensors: BTreeMap<String, usize>,
}

/// Most files of a sharded checkpoint.
const MAX_SHARDS: usize = 4096;

/// Whether an index may name this file: a name alone, as an index must not reach outside its folder.
pub(crate) fn is_shard(file: &str) -> bool {
    file.ends_with(".safetensors") && !file.contains(['/', '\\']) && !file.starts_with('.')
}

impl Checkpoint {
    /// `model.safetensors` of a folder, or the files that `model.safetensors.index.json` lists.
    ///
    /// # Errors
    /// Naming the file that is missing or wrong.
    pub(crate) fn open(dir: &Path) -> Result<Self, ModelError> {
        let single = dir.join("model.safetensors");
        let index = dir.join("model.safetensors.index.json");
        match read_json(&index)? {
            Some(json) if !single.exists() => Self::sharded(dir, &index, &json),
            _ => Ok(Self::single(Weights::open(&single)?)),
        }
    }

    /// A single file.
    pub(crate) fn single(weights: Weights) -> Self {
        let tensors = weights.tensors().keys().map(|name| (name.clone(), 0)).collect();
        Self { name: weights.name().into(), files: vec![weights], tensors }
    }

    fn sharded(dir: &Path, index: &Path, json: &Value) -> Result<Self, ModelError> {
        let name = index.display().to_string();
        let invalid = |message: String| ModelError::invalid(&name, message);
        let map = json
            .get("weight_map")
            .and_then(Value::as_object)
            .ok_or_else(|| invalid("weight_map is missing; it maps tensors to files".into()))?;
        let (mut files, mut numbers) = (Vec::new(), BTreeMap::new());
        let mut tensors = BTreeMap::new();
        for (tensor, file) in map {
            let file = file.as_str().filter(|file| is_shard(file));
            let Some(file) = file else {
                return Err(invalid(format!(
                    "weight_map: tensor {tensor} is in {}; accepted: the name of a .safetensors \
                     file beside the index",
                    map[tensor]
                )));
            };
            let number = match numbers.get(file) {
                Some(&number) => number,
                None if files.len() == MAX_SHARDS => {
                    return Err(invalid(format!("lists more than {MAX_SHARDS} files")));
                }
                None => {
                    files.push(Weights::open(&dir.join(file))?);
                    numbers.insert(file, files.len() - 1);
                    files.len() - 1
                }
            };
            if !files[number].tensors().contains_key(tensor) {
                return Err(invalid(format!("weight_map: {file} has no tensor {tensor}")));
            }
            tensors.insert(tensor.clone(), number);
        }
        if files.is_empty() {
            return Err(invalid("weight_map is empty".into()));
        }
        Ok(Self { name, files, tensors })
    }

    /// Its files.
    pub(crate) fn files(&self) -> &[Weights] {
        &self.files
    }

    fn find(&self, tensor: &str) -> Option<(&Weights, &Tensor)> {
        let file = &self.files[*self.tensors.get(tensor)?];
        Some((file, file.tensors().get(tensor)?))
    }

    fn need(&self, tensor: &str) -> Result<(&Weights, &Tensor), ModelError> {
        self.find(tensor).ok_or_else(|| self.error(tensor, "missing".into()))
    }
}

impl Source for Checkpoint {
    fn name(&self) -> &str {
        &self.name
    }

    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn shape(&self, tensor: &str) -> Option<Vec<usize>> {
        self.find(tensor).map(|(_, tensor)| tensor.shape.clone())
    }

    fn bytes(&self, tensor: &str) -> u64 {
        self.find(tensor).map_or(0, |(_, tensor)| tensor.bytes() as u64)
    }

    fn half(&self, tensor: &str) -> Option<FloatKind> {
        let kind = FloatKind::of(self.find(tensor)?.1.dtype)?;
        (kind != FloatKind::F32).then_some(kind)
    }

    fn floats(
        &self,
        tensor: &str,
        cols: usize,
        rows: Range<usize>,
        out: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let (file, found) = self.need(tensor)?;
        let matches = match found.shape[..] {
            [n] => n == cols && rows.end <= 1,
            [n, width] => width == cols && rows.end <= n,
            _ => false,
        };
        if !matches {
            let message = format!("expected rows of {cols} values, found {:?}", found.shape);
            return Err(self.error(tensor, message));
        }
        let kind = FloatKind::of(found.dtype).ok_or_else(|| {
            self.error(tensor, format!("expected F32, F16 or BF16, found {:?}", found.dtype))
        })?;
        let width = found.bytes() / found.elements().max(1) * cols;
        let bytes = &file.tensor_bytes(found)[rows.start * width..rows.end * width];
        let values = to_f32(kind, bytes);
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            let (row, col) = (rows.start + i / cols, i % cols);
            return Err(self.error(tensor, format!("row {row}, column {col} is {}", values[i])));
        }
        out.extend_from_slice(&values);
        Ok(())
    }

    fn ternary(
        &self,
        tensor: &str,
        (rows, cols): (usize, usize),
        scale: Option<PackedScale>,
    ) -> Result<Option<ForeignTernary<'_>>, ModelError> {
        let (file, found) = self.need(tensor)?;
        if found.dtype != Dtype::U8 {
            return Ok(None);
        }
        let packed = vec![rows.div_ceil(4), cols];
        if found.shape != packed {
            let message = format!("expected packed shape {packed:?}, found {:?}", found.shape);
            return Err(self.error(tensor, message));
        }
        let name = format!("{tensor}_scale");
        let mut value = Vec::new();
        match self.need(&name)?.1.shape[..] {
            [] => value.extend(self.need(&name)?.0.floats(&name, &[])?),
            _ => self.floats(&name, 1, 0..1, &mut value)?,
        }
        let scale = match scale {
            Some(PackedScale::Multiply) => HfScale::Multiply(value[0]),
            Some(PackedScale::Divide) => HfScale::Divide(value[0]),
            None => {
                let message = "packed in uint8, but by the config this layer is no BitLinear \
                               (quantization_config and its modules_to_not_convert)";
                return Err(self.error(tensor, message.into()));
            }
        };
        let bytes = file.tensor_bytes(found);
        ForeignTernary::new(TernaryFormat::HfPacked(scale), rows, cols, bytes)
            .map(Some)
            .map_err(|e| self.error(tensor, e.to_string()))
    }

    fn release(&self, tensor: &str, rows: usize) {
        if let Some((file, found)) = self.find(tensor) {
            // Packed weights have four rows in one: more is given back than was read.
            let all = found.shape.first().map_or(1, |&rows| rows).max(1);
            file.release(found, found.bytes() / all * rows.min(all));
        }
    }
}
