// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard's documented environment variables, read through a function the caller gives.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::GuardError;

/// The learned model, a safetensors file.
pub const TINYBERT_PATH: &str = "TINYBERT_PATH";
/// The old name of [`TINYBERT_PATH`].
pub const TINYBERT_ONNX_PATH: &str = "TINYBERT_ONNX_PATH";
/// The directory of that model's tokenizer, where it is not the model's own.
pub const TINYBERT_TOKENIZER_DIR: &str = "TINYBERT_TOKENIZER_DIR";
/// Forces the guard to run without learned models.
pub const GUARD_REGEX_ONLY: &str = "GUARD_REGEX_ONLY";
/// The old name of [`GUARD_REGEX_ONLY`].
pub const GUARD_DISABLE_ONNX: &str = "GUARD_DISABLE_ONNX";

const FORCED: &str = "regex-only is forced";

/// What the environment asks of the guard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuardEnv {
    /// The learned model to use, and the variable that named it.
    pub model: Option<(&'static str, PathBuf)>,
    /// The directory of that model's tokenizer, if it is not beside the model.
    pub tokenizer_dir: Option<PathBuf>,
    /// Run without learned models.
    pub regex_only: bool,
    /// Variables that are set and valid but change nothing, each with the reason.
    pub without_effect: Vec<(&'static str, &'static str)>,
}

impl GuardEnv {
    /// Reads the variables through `lookup` (in the program: `std::env::var_os`).
    ///
    /// An empty value counts as not set. [`TINYBERT_PATH`] wins over its old name; when regex-only is forced, the model
    /// variables are not looked into, so an old deployment that switches ONNX off needs no other change.
    ///
    /// # Errors
    /// [`GuardError::OnnxModel`] for a model in a format this program does not run, [`GuardError::BadFlag`].
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, GuardError> {
        let value = |name: &str| lookup(name).filter(|v| !v.is_empty());
        let mut env = Self::default();
        for name in [GUARD_REGEX_ONLY, GUARD_DISABLE_ONNX] {
            if let Some(text) = value(name) {
                env.regex_only |= flag(name, &text)?;
            }
        }
        for name in [TINYBERT_PATH, TINYBERT_ONNX_PATH] {
            let Some(path) = value(name).map(PathBuf::from) else {
                continue;
            };
            if env.regex_only {
                env.without_effect.push((name, FORCED));
                continue;
            }
            if env.model.is_some() {
                env.without_effect.push((name, "TINYBERT_PATH is set too and wins"));
                continue;
            }
            if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx")) {
                return Err(GuardError::OnnxModel {
                    variable: name,
                    path: path.display().to_string(),
                });
            }
            env.model = Some((name, path));
        }
        env.tokenizer_dir = value(TINYBERT_TOKENIZER_DIR).map(PathBuf::from);
        if env.tokenizer_dir.is_some() && env.model.is_none() {
            env.tokenizer_dir = None;
            let reason = if env.regex_only { FORCED } else { "TINYBERT_PATH is not set" };
            env.without_effect.push((TINYBERT_TOKENIZER_DIR, reason));
        }
        Ok(env)
    }
}

fn flag(name: &'static str, text: &OsString) -> Result<bool, GuardError> {
    let text = text.to_str().map_or("?", str::trim);
    let any = |words: &[&str]| words.iter().any(|w| text.eq_ignore_ascii_case(w));
    if any(&["1", "true", "yes", "on"]) {
        Ok(true)
    } else if any(&["", "0", "false", "no", "off"]) {
        Ok(false)
    } else {
        Err(GuardError::BadFlag { variable: name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Result<GuardEnv, GuardError> {
        GuardEnv::from_lookup(|name| {
            pairs.iter().find(|(k, _)| *k == name).map(|(_, v)| OsString::from(v))
        })
    }

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(env(&[]).unwrap(), GuardEnv::default());
        assert_eq!(
            env(&[("TINYBERT_PATH", ""), ("GUARD_REGEX_ONLY", "")]).unwrap(),
            GuardEnv::default()
        );
    }

    #[test]
    fn a_model_is_accepted_under_both_names() {
        for name in [TINYBERT_PATH, TINYBERT_ONNX_PATH] {
            let got =
                env(&[(name, "m/guard.safetensors"), (TINYBERT_TOKENIZER_DIR, "tok")]).unwrap();
            assert_eq!(got.model, Some((name, PathBuf::from("m/guard.safetensors"))));
            assert_eq!(got.tokenizer_dir, Some(PathBuf::from("tok")));
            assert!(got.without_effect.is_empty());
        }
    }

    #[test]
    fn a_tokenizer_without_its_model_has_no_effect() {
        let got = env(&[(TINYBERT_TOKENIZER_DIR, "tok")]).unwrap();
        assert_eq!(got.tokenizer_dir, None);
        assert_eq!(got.without_effect, [(TINYBERT_TOKENIZER_DIR, "TINYBERT_PATH is not set")]);
        let got = env(&[(GUARD_REGEX_ONLY, "1"), (TINYBERT_TOKENIZER_DIR, "tok")]).unwrap();
        assert_eq!(got.without_effect, [(TINYBERT_TOKENIZER_DIR, "regex-only is forced")]);
    }

    #[test]
    fn an_onnx_file_is_an_error_that_names_the_convert_command() {
        for name in [TINYBERT_PATH, TINYBERT_ONNX_PATH] {
            let message = env(&[(name, "guard.ONNX")]).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains("bho convert"), "{message}");
        }
    }

    #[test]
    fn the_new_name_wins() {
        let got =
            env(&[(TINYBERT_ONNX_PATH, "old.onnx"), (TINYBERT_PATH, "new.safetensors")]).unwrap();
        assert_eq!(got.model, Some((TINYBERT_PATH, PathBuf::from("new.safetensors"))));
        assert!(got.without_effect.iter().any(|(n, _)| *n == TINYBERT_ONNX_PATH));
    }

    #[test]
    fn regex_only_under_both_names_leaves_models_alone() {
        for name in [GUARD_REGEX_ONLY, GUARD_DISABLE_ONNX] {
            for on in ["1", "true", "YES", " on "] {
                let got = env(&[(name, on), (TINYBERT_ONNX_PATH, "m.onnx")]).unwrap();
                assert!(got.regex_only && got.model.is_none());
                assert_eq!(got.without_effect, [(TINYBERT_ONNX_PATH, "regex-only is forced")]);
            }
            for off in ["0", "false", "no", "Off"] {
                assert!(!env(&[(name, off)]).unwrap().regex_only);
            }
            assert_eq!(
                env(&[(name, "maybe")]).unwrap_err(),
                GuardError::BadFlag { variable: name }
            );
        }
    }
}
