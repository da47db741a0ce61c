// SPDX-License-Identifier: AGPL-3.0-or-later
//! From a file to a pipeline and its faults.

use std::io::Read;
use std::path::Path as FilePath;

use crate::agents::AgentRegistry;
use crate::yaml;

use super::fault::Faults;
use super::{ConfigError, Fault, Pipeline, calibration, decode, lists, not_yet, validate};

/// Largest pipeline file that is read, in bytes.
pub const MAX_SOURCE_BYTES: usize = 1 << 20;

/// What loading gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The pipeline, if no fault is an error.
    pub pipeline: Option<Pipeline>,
    /// Every fault found, in the order of the file.
    pub faults: Vec<Fault>,
}

impl Loaded {
    /// Every fault as `FILE:LINE:COL: error[code]: message` lines, hints below.
    pub fn render(&self, file: &str) -> String {
        self.faults.iter().map(|fault| fault.render(file)).collect()
    }

    /// The pipeline.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all faults if one of them is an error.
    pub fn into_pipeline(self) -> Result<Pipeline, ConfigError> {
        let Self { pipeline, faults } = self;
        pipeline.ok_or(ConfigError::Invalid { faults })
    }

    fn unread(fault: yaml::YamlFault) -> Self {
        let mut faults = Faults::default();
        faults.yaml(fault);
        Self { pipeline: None, faults: faults.sorted() }
    }
}

/// Loads a pipeline from its text; `agents` are those it may name. Its lists may name no files, as they would stand nowhere.
pub fn load_str(text: &str, agents: &AgentRegistry) -> Loaded {
    load_bytes(text.as_bytes(), agents)
}

/// Loads a pipeline from the bytes of its file. Whatever they are, the result is a pipeline or faults.
pub fn load_bytes(bytes: &[u8], agents: &AgentRegistry) -> Loaded {
    load(bytes, None, agents)
}

/// `folder` is where files that the pipeline names are looked for.
fn load(bytes: &[u8], folder: Option<&FilePath>, agents: &AgentRegistry) -> Loaded {
    let yaml::Parsed { document, faults: yaml_faults } = yaml::parse(bytes, &limits());
    let mut faults = Faults::default();
    yaml_faults.into_iter().for_each(|fault| faults.yaml(fault));
    let Some(document) = document else {
        return Loaded { pipeline: None, faults: faults.sorted() };
    };
    let mut decoded = decode::decode(&document.root, &mut faults);
    let policies = &mut decoded.pipeline.policies;
    lists::read(&document.root, folder, policies, &mut faults);
    calibration::read(policies, folder, &mut faults);
    validate::validate(&document, &decoded, agents, &mut faults);
    not_yet::list(&document.root, &decoded, agents, &mut faults);
    let pipeline = (!faults.any_error()).then_some(decoded.pipeline);
    Loaded { pipeline, faults: faults.sorted() }
}

/// Loads a pipeline from a file. One that is too large is not read. Files of lists are relative to its folder.
///
/// # Errors
/// [`ConfigError::Io`] if the file cannot be read. What is wrong in the file is in [`Loaded::faults`].
pub fn load_file(path: &FilePath, agents: &AgentRegistry) -> Result<Loaded, ConfigError> {
    let io = |source| ConfigError::Io { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    if size > MAX_SOURCE_BYTES as u64 {
        return Ok(Loaded::unread(yaml::too_large(size, &limits())));
    }
    // A pipe or a device has no size of its own.
    let mut bytes = Vec::new();
    file.take(MAX_SOURCE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    Ok(load(&bytes, Some(path.parent().unwrap_or(FilePath::new(""))), agents))
}

fn limits() -> yaml::Limits {
    yaml::Limits { source_bytes: MAX_SOURCE_BYTES, ..yaml::Limits::default() }
}
