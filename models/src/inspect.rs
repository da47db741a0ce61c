// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is in a model file, without building the model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::ModelError;
use crate::package::{FORMAT, Package, keys};
use crate::weights::Weights;

/// Metadata values longer than this are reported by their size.
const SHOWN: usize = 2048;

/// The contents of a model file.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The file (the weights file of a folder).
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its sha256, lower-case hex.
    pub sha256: String,
    /// `bho v1` for a converted file, else `safetensors`.
    pub format: String,
    /// Class name in the config, if there is one.
    pub architecture: Option<String>,
    /// Weights and other numbers stored.
    pub parameters: u64,
    /// Tensors by name.
    pub tensors: Vec<TensorInfo>,
    /// Metadata; values too long to show stand as their size.
    pub metadata: BTreeMap<String, String>,
}

/// One tensor.
#[derive(Debug, Clone, Serialize)]
pub struct TensorInfo {
    /// Name.
    pub name: String,
    /// Element type.
    pub dtype: String,
    /// Dimensions as stored.
    pub shape: Vec<usize>,
    /// Bytes.
    pub bytes: u64,
}

/// Reads the header of a safetensors file (or of a folder's), and hashes the file.
///
/// # Errors
/// When there is no such file or its header is not sound.
pub fn inspect(path: &Path) -> Result<Inspection, ModelError> {
    let file = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
    let weights = Weights::open(&file)?;
    let converted = weights.metadata().get(keys::FORMAT).is_some_and(|f| f == FORMAT);
    let architecture = Package::open(path).ok().and_then(|p| {
        let name = p.config.get("architectures")?.as_array()?.first()?.as_str()?;
        Some(name.to_owned())
    });
    let tensors: Vec<_> = weights
        .tensors()
        .iter()
        .map(|(name, t)| TensorInfo {
            name: name.clone(),
            dtype: format!("{:?}", t.dtype),
            shape: t.shape.clone(),
            bytes: t.bytes() as u64,
        })
        .collect();
    let parameters = weights
        .tensors()
        .iter()
        .filter(|(n, _)| !n.ends_with("_scale"))
        .map(|(_, t)| t)
        .fold(0u64, |sum, t| sum.saturating_add(t.elements() as u64));
    let metadata = weights.metadata().iter().map(|(k, v)| (k.clone(), shown(v))).collect();
    Ok(Inspection {
        path: file,
        bytes: weights.as_bytes().len() as u64,
        sha256: crate::hex(&Sha256::digest(weights.as_bytes())),
        format: if converted { format!("bho v{FORMAT}") } else { "safetensors".into() },
        architecture,
        parameters,
        tensors,
        metadata,
    })
}

fn shown(value: &str) -> String {
    if value.len() <= SHOWN {
        return value.to_owned();
    }
    let what = match serde_json::from_str::<Value>(value) {
        Ok(Value::Object(_)) => "JSON object",
        Ok(_) => "JSON",
        Err(_) => "text",
    };
    format!("<{what}, {} bytes>", value.len())
}
