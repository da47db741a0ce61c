// SPDX-License-Identifier: AGPL-3.0-or-later
//! What Sentence Transformers writes beside a model: prompts, and what is done to token vectors.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Pooling, read_json};
use crate::error::ModelError;

/// Longest prompt, in bytes.
const MAX_PROMPT: usize = 16 << 10;

/// Texts that a model was trained to see before others, such as an instruction before queries; from
/// `config_sentence_transformers.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct Prompts {
    /// Prompts by name, e.g. `query`.
    #[serde(default)]
    pub prompts: BTreeMap<String, String>,
    /// The name of the one that texts have if nothing else is said.
    #[serde(default)]
    pub default_prompt_name: Option<String>,
}

impl Prompts {
    pub(super) fn read(file: &str, json: Value) -> Result<Self, ModelError> {
        let invalid = |message: String| ModelError::invalid(file, message);
        let this: Self = serde_json::from_value(json).map_err(|e| invalid(e.to_string()))?;
        if let Some(long) = this.prompts.iter().find(|(_, text)| text.len() > MAX_PROMPT) {
            let (name, bytes) = (long.0, long.1.len());
            return Err(invalid(format!(
                "prompt {name:?} has {bytes} bytes; accepted: at most {MAX_PROMPT}"
            )));
        }
        match &this.default_prompt_name {
            Some(name) if !this.prompts.contains_key(name) => {
                Err(invalid(format!("default_prompt_name {name:?} is none of its prompts")))
            }
            _ => Ok(this),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.prompts.is_empty()
    }
}

/// How a Sentence Transformers folder pools, if it says.
///
/// # Errors
/// When it does anything else to vectors than this version: a dense layer, say, would be left out.
pub(super) fn modules(dir: &Path) -> Result<Option<Pooling>, ModelError> {
    let file = dir.join("modules.json");
    let mut folder = "1_Pooling".to_owned();
    if let Some(json) = read_json(&file)? {
        let invalid = |message: String| ModelError::invalid(file.display().to_string(), message);
        let list = json.as_array().ok_or_else(|| invalid("is no list of modules".into()))?;
        for module in list {
            let text = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default();
            match text("type").rsplit('.').next().unwrap_or_default() {
                "Transformer" | "Normalize" => {}
                // A name alone: it must not reach outside its folder.
                "Pooling" if !text("path").contains(['/', '\\', '.']) => {
                    text("path").clone_into(&mut folder);
                }
                other => {
                    return Err(invalid(format!(
                        "module {other:?} in {:?}; accepted: Transformer, Pooling, Normalize",
                        text("path")
                    )));
                }
            }
        }
    }
    let file = dir.join(folder).join("config.json");
    let Some(json) = read_json(&file)? else { return Ok(None) };
    let modes = [
        ("pooling_mode_mean_tokens", Pooling::Mean),
        ("pooling_mode_cls_token", Pooling::Cls),
        ("pooling_mode_lasttoken", Pooling::Last),
    ];
    let on = |key: &str| json.get(key).and_then(Value::as_bool).unwrap_or(false);
    let mut chosen = modes.into_iter().filter(|(key, _)| on(key)).map(|(_, pooling)| pooling);
    match (chosen.next(), chosen.next()) {
        (Some(pooling), None) => Ok(Some(pooling)),
        _ => Err(ModelError::invalid(
            file.display().to_string(),
            "pools other than by the mean, by the first or by the last token, which is not \
             supported",
        )),
    }
}
