// SPDX-License-Identifier: AGPL-3.0-or-later
//! Writing safetensors as a stream, atomically, with aligned data.
//!
//! The `safetensors` crate's writer wants every tensor in memory and aligns data to 8 bytes. Ours
//! takes one tensor at a time and pads the header so that the data begins at a multiple of 64:
//! packed weights are then cache-line aligned where the kernels read them in place.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::error::ModelError;

/// Where the data of a file begins, and packed tensors within it.
const ALIGN: usize = 64;

/// A tensor to be written.
#[derive(Debug, Clone)]
pub(crate) struct TensorPlan {
    pub(crate) name: String,
    /// `U8`, `I8` or `F32`.
    pub(crate) dtype: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: usize,
}

/// A safetensors file being written under a temporary name next to its final one.
pub(crate) struct Writer {
    path: PathBuf,
    out: BufWriter<NamedTempFile>,
    hash: Sha256,
    pending: std::vec::IntoIter<TensorPlan>,
    /// The tensor that is being written, and how many of its bytes are missing.
    current: (String, usize),
    written: u64,
}

/// A new file beside `path`, which goes away with what is returned.
///
/// # Errors
/// When there is no such folder, or no file can be made in it.
pub(crate) fn temporary(path: &Path) -> Result<NamedTempFile, ModelError> {
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".bho-").suffix(".partial");
    #[cfg(unix)]
    {
        // As any new file: what the umask allows, not the 0600 of temporary files.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(parent).map_err(|e| ModelError::write(path, e))
}

impl Writer {
    /// Opens a temporary file beside `path` and writes the header for `plans`, in that order.
    pub(crate) fn create(
        path: &Path,
        metadata: &BTreeMap<String, String>,
        plans: Vec<TensorPlan>,
    ) -> Result<Self, ModelError> {
        let file = temporary(path)?;
        let mut header = Map::new();
        header.insert("__metadata__".into(), json!(metadata));
        let mut offset = 0usize;
        for plan in &plans {
            let end = offset + plan.bytes;
            let entry = json!({
                "dtype": plan.dtype, "shape": plan.shape, "data_offsets": [offset, end],
            });
            header.insert(plan.name.clone(), entry);
            offset = end;
        }
        let mut text = Value::Object(header).to_string().into_bytes();
        let padded = (8 + text.len()).next_multiple_of(ALIGN) - 8;
        text.resize(padded, b' ');
        let mut this = Self {
            path: path.into(),
            out: BufWriter::with_capacity(1 << 20, file),
            hash: Sha256::new(),
            pending: plans.into_iter(),
            current: (String::new(), 0),
            written: 0,
        };
        this.put(&(text.len() as u64).to_le_bytes())?;
        this.put(&text)?;
        Ok(this)
    }

    /// Writes the data of the next planned tensor.
    pub(crate) fn tensor(&mut self, name: &str, data: &[u8]) -> Result<(), ModelError> {
        self.begin(name)?;
        self.data(data)?;
        self.whole()
    }

    /// Begins the next planned tensor; its data follows in pieces.
    pub(crate) fn begin(&mut self, name: &str) -> Result<(), ModelError> {
        self.whole()?;
        match self.pending.next() {
            Some(plan) if plan.name == name => {
                self.current = (plan.name, plan.bytes);
                Ok(())
            }
            other => Err(self.wrong(format!("wrote {name} where {other:?} was planned"))),
        }
    }

    /// More data of the tensor that was begun.
    pub(crate) fn data(&mut self, data: &[u8]) -> Result<(), ModelError> {
        match self.current.1.checked_sub(data.len()) {
            Some(left) => self.current.1 = left,
            None => return Err(self.wrong(format!("wrote too much of {}", self.current.0))),
        }
        self.put(data)
    }

    /// An error unless the tensor that was begun is whole.
    fn whole(&self) -> Result<(), ModelError> {
        match &self.current {
            (_, 0) => Ok(()),
            (name, left) => Err(self.wrong(format!("{left} bytes of {name} are missing"))),
        }
    }

    fn wrong(&self, message: String) -> ModelError {
        ModelError::invalid(self.path.display().to_string(), message)
    }

    fn put(&mut self, data: &[u8]) -> Result<(), ModelError> {
        self.hash.update(data);
        self.written += data.len() as u64;
        self.out.write_all(data).map_err(|e| ModelError::write(&self.path, e))
    }

    /// Puts the file under its final name; returns its size and sha256.
    ///
    /// Without `force`, an existing file of that name is left alone and is an error.
    pub(crate) fn finish(mut self, force: bool) -> Result<(u64, String), ModelError> {
        self.whole()?;
        if let Some(plan) = self.pending.next() {
            return Err(self.wrong(format!("{} was not written", plan.name)));
        }
        let Self { path, out, hash, written, .. } = self;
        let fail = |e| ModelError::write(&path, e);
        let file = out.into_inner().map_err(|e| fail(e.into_error()))?;
        file.as_file().sync_all().map_err(fail)?;
        if force {
            file.persist(&path).map_err(|e| fail(e.error))?;
        } else {
            file.persist_noclobber(&path).map_err(|e| fail(e.error))?;
        }
        Ok((written, crate::hex(&hash.finalize())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Weights;

    fn plan(name: &str, dtype: &'static str, shape: &[usize], bytes: usize) -> TensorPlan {
        TensorPlan { name: name.into(), dtype, shape: shape.to_vec(), bytes }
    }

    #[test]
    fn a_written_file_reads_back_with_aligned_data_and_its_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        let metadata = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        let plans = vec![plan("b", "U8", &[64], 64), plan("a", "F32", &[2], 8)];
        let mut writer = Writer::create(&path, &metadata, plans).unwrap();
        writer.tensor("b", &[7; 64]).unwrap();
        writer.tensor("a", &[0, 0, 128, 63, 0, 0, 0, 64]).unwrap();
        assert!(!path.exists());
        let (bytes, sha256) = writer.finish(false).unwrap();
        let data = std::fs::read(&path).unwrap();
        assert_eq!(bytes, data.len() as u64);
        assert_eq!(sha256, crate::hex(&Sha256::digest(&data)));
        let weights = Weights::open(&path).unwrap();
        assert_eq!(weights.metadata(), &metadata);
        assert_eq!(weights.floats("a", &[2]).unwrap(), [1.0, 2.0]);
        assert_eq!(weights.bytes("b").unwrap().as_bytes(), [7; 64]);
        assert_eq!((data.len() - 72) % ALIGN, 0);
    }

    #[test]
    fn an_unfinished_file_leaves_nothing_and_an_existing_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        let create = || Writer::create(&path, &BTreeMap::new(), vec![plan("a", "U8", &[1], 1)]);
        let mut writer = create().unwrap();
        assert!(writer.tensor("z", &[1]).is_err());
        drop(writer);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        std::fs::write(&path, b"mine").unwrap();
        let mut writer = create().unwrap();
        writer.tensor("a", &[1]).unwrap();
        assert!(writer.finish(false).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }
}
