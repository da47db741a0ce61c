// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is in a model file, without building the model, and what is wrong with it.

mod audit;
mod facts;
mod open;
mod shapes;
mod template;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bho_engine::Storage;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::ModelError;
use crate::load::ModelSource;
use facts::{JudgeFacts, Memory, TokenizerFacts};
use open::Opened;

pub use audit::{Audit, Finding, Severity, audit};
pub use facts::{
    JudgeFacts as InspectedJudge, Memory as InspectedMemory, ModelSizes,
    TokenizerFacts as InspectedTokenizer, WeightKind,
};

/// The contents of a model file.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The file (the weights file of a folder, or the index of several).
    pub path: PathBuf,
    /// Bytes of all weights files.
    pub bytes: u64,
    /// Its sha256, lower-case hex; those of several files in order, with spaces between.
    pub sha256: String,
    /// `bho v1` for a converted file, `safetensors`, or e.g. `GGUF v3`.
    pub format: String,
    /// Class name in the config, if there is one; GGUF's own name of one that is not known.
    pub architecture: Option<String>,
    /// Weights and other numbers of the model, scales and padding left out.
    pub parameters: u64,
    /// What the config says that matters most, as it says it.
    pub config: Map<String, Value>,
    /// The second network of an encoder that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeFacts>,
    /// The tokenizer, if there is one that can be read.
    pub tokenizer: Option<TokenizerFacts>,
    /// How messages become a prompt, as Jinja.
    pub chat_template: Option<String>,
    /// Memory that the model takes when it runs here; none for what does not run.
    pub memory: Option<Memory>,
    /// Weights files; offsets of tensors count from the beginning of theirs.
    pub files: Vec<PathBuf>,
    /// Tensors by name.
    pub tensors: Vec<TensorInfo>,
    /// Metadata; values too long to show stand as their size.
    pub metadata: BTreeMap<String, String>,
}

/// One tensor.
#[derive(Debug, Clone, Serialize)]
pub struct TensorInfo {
    /// Name in the file.
    pub name: String,
    /// Element type.
    pub dtype: String,
    /// Dimensions as stored.
    pub shape: Vec<usize>,
    /// Bytes.
    pub bytes: u64,
    /// Where it begins in its file.
    pub offset: u64,
    /// Which of the files it is in.
    pub file: usize,
}

/// Reads the headers of a model and hashes its files: one that `bho convert` wrote, safetensors, GGUF,
/// or a folder with a checkpoint in one file or several.
///
/// # Errors
/// When there is no such file or a header is not sound.
pub fn inspect(path: &Path) -> Result<Inspection, ModelError> {
    let mut opened = Opened::open(path)?;
    match opened.broken.pop() {
        Some(error) => Err(error),
        None => facts::inspection(&opened),
    }
}

/// What a file of the program says of itself, and what is wrong with it.
pub(crate) struct Bundled {
    /// Class name in its config.
    pub(crate) architecture: Option<String>,
    /// None where its config does not say them.
    pub(crate) sizes: Option<ModelSizes>,
    /// What `bho convert` wrote into it.
    pub(crate) metadata: BTreeMap<String, String>,
    /// What is severe of what an audit finds.
    pub(crate) severe: Vec<Finding>,
}

/// Reads everything in a file of the program, as [`audit`] does.
///
/// # Errors
/// When it is no file that `bho convert` wrote.
pub(crate) fn bundled(source: &ModelSource) -> Result<Bundled, ModelError> {
    let opened = match source {
        ModelSource::Bundled { name, bytes, .. } => Opened::memory(name, Storage::Static(bytes))?,
        ModelSource::File(path) => Opened::open(path)?,
    };
    let mut severe = audit::look(&opened, source)?;
    severe.retain(|finding| finding.severity == Severity::Severe);
    let (architecture, sizes) = (facts::architecture(&opened), facts::sizes(&opened));
    Ok(Bundled { architecture, sizes, metadata: opened.metadata, severe })
}
