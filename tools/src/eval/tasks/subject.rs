// SPDX-License-Identifier: AGPL-3.0-or-later
//! An agent under measurement, on the models that a pipeline would give it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use bho_engine::{CancelToken, Compute};
use bho_models::ModelError;
use bho_models::store::ModelStore;
use bho_orchestrator::agents::{Agent, AgentContext, AgentRegistry, Fields};
use bho_orchestrator::config::{MissingInputs, ModelRefs, Node, Pipeline};
use bho_orchestrator::reasoner::Reasoner;
use serde_json::Value;

use crate::cli::eval_tasks::AgentOfArgs;
use crate::commands::validate;
use crate::eval::document::ModelReport;
use crate::exit::{Exit, Failure, OrFailed as _};
use crate::{models, wiring};

/// An agent and what it runs on; no guard stands around it.
pub(crate) struct Subject {
    agent: Arc<dyn Agent>,
    reasoner: Arc<dyn Reasoner>,
    pub(crate) models: Vec<ModelReport>,
    /// The pipeline that names the models, without its folders.
    pub(crate) pipeline: Option<String>,
}

impl Subject {
    /// The agent of this name with its models loaded: those of the pipeline, of `--model`, or the bundled ones.
    pub(crate) fn open(args: &AgentOfArgs, agent: &str) -> Result<Self, Failure> {
        let (mut pipeline, file) = match &args.pipeline {
            Some(path) => (validate::valid(path)?, path.clone()),
            // What messages about the model begin with.
            None => (Pipeline::default(), PathBuf::from("--model")),
        };
        if let Some(model) = &args.model {
            pipeline.models = named(model)?;
        }
        let node = Node { id: "eval".to_owned(), agent: agent.to_owned(), ..Node::default() };
        pipeline.nodes = vec![node];
        let compute = Compute::new(args.threads as usize)?;
        let resolved = wiring::resolve(&pipeline, &file)?;
        let registry = AgentRegistry::builtin();
        let wired = wiring::wire(resolved, &pipeline, registry, &compute, Vec::new())?;
        let agent = wired
            .registry
            .get(agent)
            .cloned()
            .ok_or_else(|| Failure::said(Exit::Failed, format!("there is no agent {agent}")))?;
        let infos = wired.reasoner.models().into_iter();
        let models = infos.map(|info| ModelReport { name: info.name, sha256: info.sha256 });
        let short = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(Self {
            agent,
            models: models.collect(),
            reasoner: wired.reasoner,
            pipeline: args.pipeline.as_deref().and_then(short),
        })
    }

    /// Asks the agent once.
    ///
    /// # Errors
    /// [`Exit::Interrupted`] when cancelled; else the agent's error, led by `place`.
    pub(super) fn ask(
        &self,
        input: Value,
        cancel: &CancelToken,
        place: impl Fn() -> String,
    ) -> Result<Fields, Failure> {
        let Value::Object(input) = input else { return Ok(Fields::new()) };
        let context = AgentContext {
            node: "eval",
            deps: &[],
            missing: &[],
            missing_inputs: MissingInputs::SkipAndLabel,
            reasoner: self.reasoner.as_ref(),
            cancel,
            seed: 0,
            attempt: 0,
        };
        let result = self.agent.run(&input, &context);
        if cancel.is_cancelled() {
            return Err(Failure::silent(Exit::Interrupted));
        }
        result.map_err(|error| anyhow!("{}: {error}", place())).or_failed()
    }
}

/// `--model`: a name of the program or of the store, or else a file.
fn named(model: &str) -> Result<ModelRefs, Failure> {
    let store = ModelStore::bundled().map_err(models::failure)?;
    let unknown = matches!(store.resolve(model), Err(ModelError::Unknown { .. }));
    let path = unknown && Path::new(model).exists();
    let [label, path] = [!path, path].map(|is| is.then(|| model.to_owned()));
    Ok(ModelRefs { reasoner: label, reasoner_path: path, ..ModelRefs::default() })
}
