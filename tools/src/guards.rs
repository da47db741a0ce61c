// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard's learned detectors: which models they run on, loaded once and before the first text.
//!
//! A tagger finds names, addresses and the like, a classifier toxicity and jailbreaks; those of the manifest are bundled. A
//! user's model takes the place of the one of its kind, which its config tells. It is named, the first that is there deciding, by
//! `TINYBERT_PATH`, `models.guard_path` or `models.guard`. With a model that is missing or damaged the guard works by its
//! rules alone and a warning says so, unless `policies.guard_required` is set; a model whose labels do not say what the
//! guard asks for is always refused.

use std::path::Path;
use std::sync::Arc;

use bho_engine::{Compute, Encoder, ModelInfo};
use bho_guard::detectors::learned::{Moderator, PiiTagger, Recall};
use bho_guard::{Detector, GuardEnv, GuardError};
use bho_models::store::ModelUse;
use bho_models::{ModelError, ModelStore, load_encoder, load_encoder_with_tokenizer};
use bho_orchestrator::config::Pipeline;

use crate::exit::{Exit, Failure};
use crate::models::{self, Choice, Named};
use crate::output;

/// The kinds of models that the guard has, and how the manifest calls them; a program whose manifest has no model of a kind
/// has no detector of that kind.
const KINDS: [(Kind, ModelUse); 2] =
    [(Kind::Tagger, ModelUse::Tagger), (Kind::Moderator, ModelUse::Moderator)];

/// What happens where the models cannot be had.
pub(crate) const RULES_ALONE: &str = "the guard works by its rules alone";

/// What a model does for the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Labels tokens.
    Tagger,
    /// Scores texts.
    Moderator,
}

/// A learned detector and its model.
pub(crate) struct Part {
    pub(crate) choice: Choice,
    /// Where the model's bytes are, for people.
    pub(crate) source: String,
    pub(crate) info: ModelInfo,
    pub(crate) kind: Kind,
    pub(crate) detector: Arc<dyn Detector>,
}

/// Why a guard does not have the models it should have.
#[derive(Debug)]
pub(crate) struct Unfit {
    pub(crate) choice: Choice,
    pub(crate) message: String,
    /// Whether the guard may do without: the model is missing or damaged, not a wrong one.
    pub(crate) dispensable: bool,
}

impl Unfit {
    /// What is wrong, and who named the model.
    pub(crate) fn describe(&self) -> String {
        let Self { choice, message, .. } = self;
        match (choice.key, choice.file.is_empty()) {
            (Some(key), false) => format!("{}: {key}: {message}", choice.place()),
            (Some(key), true) => format!("{key}: {message}"),
            (None, _) => format!("the guard's model {}: {message}", choice.label()),
        }
    }
}

/// The learned detectors of a guard, and what they run on.
#[derive(Default)]
pub(crate) struct Learned {
    pub(crate) detectors: Vec<Arc<dyn Detector>>,
    pub(crate) models: Vec<ModelInfo>,
    /// Why there are none although there should be; it has been printed.
    pub(crate) warning: Option<String>,
}

/// The guard's variables; those that change nothing are warned of.
///
/// # Errors
/// [`GuardError`] for one that cannot be meant.
pub(crate) fn environment() -> Result<GuardEnv, GuardError> {
    let environment = GuardEnv::from_lookup(|name| std::env::var_os(name))?;
    for (variable, reason) in &environment.without_effect {
        output::warning(&format!("{variable} is set and has no effect: {reason}"));
    }
    Ok(environment)
}

/// The learned detectors of the guard that a user without a pipeline has.
///
/// # Errors
/// As [`environment`] and [`load`].
pub(crate) fn bundled(threads: usize) -> Result<Vec<Arc<dyn Detector>>, Failure> {
    Ok(load(&environment()?, None, &Compute::new(threads)?)?.detectors)
}

/// The learned detectors of a pipeline's guard, or of the default one; their models work on `compute`.
///
/// Prints a warning where there are none for want of a model.
///
/// # Errors
/// A model with wrong labels; where the pipeline requires models, any fault of one.
pub(crate) fn load(
    environment: &GuardEnv,
    pipeline: Option<(&Pipeline, &Path)>,
    compute: &Compute,
) -> Result<Learned, Failure> {
    let required = pipeline.is_some_and(|(pipeline, _)| pipeline.policies.guard_required);
    if required && environment.regex_only {
        let message = "policies.guard_required is set, and GUARD_REGEX_ONLY or GUARD_DISABLE_ONNX switches the models off";
        return Err(Failure::said(Exit::Failed, message));
    }
    let store = ModelStore::bundled().map_err(models::failure)?;
    match parts(environment, pipeline, &store, compute) {
        Ok(parts) => {
            let models = parts.iter().map(|part| part.info.clone()).collect();
            let detectors = parts.into_iter().map(|part| part.detector).collect();
            Ok(Learned { detectors, models, warning: None })
        }
        Err(unfit) if unfit.dispensable && !required => {
            let warning = format!("{}; {RULES_ALONE}", unfit.describe());
            output::warning(&warning);
            Ok(Learned { warning: Some(warning), ..Learned::default() })
        }
        Err(unfit) => {
            let why = if unfit.dispensable { "; policies.guard_required is set" } else { "" };
            Err(Failure::said(Exit::Failed, format!("{}{why}", unfit.describe())))
        }
    }
}

/// The learned detectors, the tagger first. The user's model is looked at before the bundled ones.
///
/// # Errors
/// The first model that cannot serve: then there is no detector at all.
pub(crate) fn parts(
    environment: &GuardEnv,
    pipeline: Option<(&Pipeline, &Path)>,
    store: &ModelStore,
    compute: &Compute,
) -> Result<Vec<Part>, Box<Unfit>> {
    if environment.regex_only {
        return Ok(Vec::new());
    }
    let tokenizer = environment.tokenizer_dir.as_deref();
    let mut parts = Vec::new();
    if let Some(choice) = chosen(environment, pipeline) {
        parts.push(part(choice, store, tokenizer, compute)?);
    }
    for (kind, used_as) in KINDS {
        if let Some(entry) = store.first_choice(used_as)
            && parts.iter().all(|part| part.kind != kind)
        {
            let choice = Choice::of_guard(None, Named::Label(entry.name.clone()));
            parts.push(part(choice, store, None, compute)?);
        }
    }
    parts.sort_by_key(|part| part.kind == Kind::Moderator);
    Ok(parts)
}

/// The model that a variable or the pipeline names.
fn chosen(environment: &GuardEnv, pipeline: Option<(&Pipeline, &Path)>) -> Option<Choice> {
    let file = pipeline.map_or(String::new(), |(_, file)| file.display().to_string());
    if let Some((variable, path)) = &environment.model {
        let choice = Choice::of_guard(Some(variable), Named::Path(path.clone()));
        return Some(Choice { file, ..choice });
    }
    let (pipeline, path) = pipeline?;
    let refs = &pipeline.models;
    let folder = path.parent().unwrap_or(Path::new(""));
    let (key, named) = match (&refs.guard_path, &refs.guard) {
        (Some(path), _) => ("models.guard_path", Named::Path(folder.join(path))),
        (None, Some(name)) => ("models.guard", Named::Label(name.clone())),
        (None, None) => return None,
    };
    let pos = key.strip_prefix("models.").and_then(|key| refs.pos.get(key)).copied();
    Some(Choice { file, pos, ..Choice::of_guard(Some(key), named) })
}

/// Loads a model and puts the detector of its kind over it.
fn part(
    choice: Choice,
    store: &ModelStore,
    tokenizer: Option<&Path>,
    compute: &Compute,
) -> Result<Part, Box<Unfit>> {
    let unfit =
        |dispensable, message| Box::new(Unfit { choice: choice.clone(), message, dispensable });
    let damaged =
        |error: ModelError| unfit(!matches!(error, ModelError::Labels { .. }), error.to_string());
    let wrong = |error: GuardError| match error {
        GuardError::Detector { message, .. } => unfit(false, message),
        other => unfit(false, other.to_string()),
    };
    let source = choice.source(store).map_err(damaged)?;
    let encoder = match tokenizer {
        Some(folder) => load_encoder_with_tokenizer(&source, compute, folder),
        None => load_encoder(&source, compute),
    };
    let encoder = encoder.map_err(damaged)?;
    let info = encoder.info().clone();
    let Some(kind) = kind_of(&info) else {
        let message = format!(
            "model {} is a {}, which labels nothing; accepted: a sequence or a token classifier",
            info.name, info.architecture
        );
        return Err(unfit(false, message));
    };
    let encoder: Arc<dyn Encoder> = Arc::new(Recall::new(encoder));
    let detector: Arc<dyn Detector> = match kind {
        Kind::Tagger => Arc::new(PiiTagger::new(encoder).map_err(wrong)?),
        Kind::Moderator => Arc::new(Moderator::new(encoder).map_err(wrong)?),
    };
    let source = source.to_string();
    Ok(Part { choice, source, info, kind, detector })
}

/// What a model does for the guard, by the class that its config names.
fn kind_of(info: &ModelInfo) -> Option<Kind> {
    let is = |class: &str| info.architecture.ends_with(class);
    if is("ForTokenClassification") {
        Some(Kind::Tagger)
    } else if is("ForSequenceClassification") {
        Some(Kind::Moderator)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use bho_orchestrator::config::{ModelRefs, Policies, Pos};

    use super::*;

    fn pipeline(guard: Option<&str>, path: Option<&str>) -> Pipeline {
        let models = ModelRefs {
            guard: guard.map(str::to_owned),
            guard_path: path.map(str::to_owned),
            pos: [("guard", Pos { line: 4, column: 10 })].into(),
            ..ModelRefs::default()
        };
        Pipeline { models, ..Pipeline::default() }
    }

    fn loaded(environment: &GuardEnv, pipeline: &Pipeline) -> Result<Learned, Failure> {
        let file = Path::new("flows/p.yml");
        load(environment, Some((pipeline, file)), &Compute::new(1).unwrap())
    }

    #[test]
    fn the_bundled_models_are_of_their_kinds() {
        let store = ModelStore::bundled().unwrap();
        let compute = Compute::new(1).unwrap();
        let parts = parts(&GuardEnv::default(), None, &store, &compute);
        let parts = parts.unwrap_or_else(|unfit| panic!("{}", unfit.describe()));
        let kinds: Vec<_> = parts.iter().map(|part| (part.kind, part.info.name.as_str())).collect();
        assert_eq!(kinds, [(Kind::Tagger, "rampart-pii"), (Kind::Moderator, "tinybert-guard")]);
        for part in &parts {
            assert_eq!(part.info.sha256, store.find(&part.info.name).unwrap().sha256);
        }
    }

    #[test]
    fn a_variable_wins_over_a_path_and_that_over_a_name() {
        let file = Path::new("flows/p.yml");
        let key = |environment: &GuardEnv, pipeline: &Pipeline| {
            let choice = chosen(environment, Some((pipeline, file))).unwrap();
            (choice.key.unwrap(), choice.label(), choice.place())
        };
        let mut environment = GuardEnv::default();
        let both = pipeline(Some("a"), Some("m/a.safetensors"));
        let (key_of_path, label, place) = key(&environment, &both);
        assert_eq!(key_of_path, "models.guard_path");
        assert_eq!(Path::new(&label), Path::new("flows/m/a.safetensors"));
        assert_eq!(place, "flows/p.yml");
        let (key_of_name, label, place) = key(&environment, &pipeline(Some("a"), None));
        assert_eq!((key_of_name, label.as_str()), ("models.guard", "a"));
        assert_eq!(place, "flows/p.yml:4:10");
        assert!(chosen(&environment, Some((&pipeline(None, None), file))).is_none());
        environment.model = Some(("TINYBERT_PATH", PathBuf::from("b.safetensors")));
        assert_eq!(key(&environment, &both).1, "b.safetensors");
        assert!(chosen(&environment, None).is_some());
    }

    #[test]
    fn a_missing_model_is_a_warning_or_an_error_if_it_is_required() {
        let mut missing = pipeline(Some("gpt-7"), None);
        let learned = loaded(&GuardEnv::default(), &missing).unwrap_or_else(|_| panic!());
        assert!(learned.detectors.is_empty() && learned.models.is_empty());
        let warning = learned.warning.unwrap();
        assert!(
            warning.starts_with("flows/p.yml:4:10: models.guard: no model is called \"gpt-7\"")
        );
        assert!(warning.ends_with(RULES_ALONE), "{warning}");
        missing.policies = Policies { guard_required: true, ..Policies::default() };
        let message = loaded(&GuardEnv::default(), &missing).err().unwrap().message();
        assert!(message.is_ok_and(|message| message.ends_with("policies.guard_required is set")));
        let rules = GuardEnv { regex_only: true, ..GuardEnv::default() };
        let message = loaded(&rules, &missing).err().unwrap().message();
        assert!(message.is_ok_and(|message| message.contains("GUARD_REGEX_ONLY")));
        missing.policies.guard_required = false;
        assert!(loaded(&rules, &missing).is_ok_and(|learned| learned.warning.is_none()));
    }

    #[test]
    fn a_model_that_labels_nothing_is_refused() {
        let embedder = pipeline(Some("minilm-l6-int8"), None);
        let message = loaded(&GuardEnv::default(), &embedder).err().unwrap().message();
        assert!(message.is_ok_and(|message| message.contains("is a BertModel")));
    }
}
