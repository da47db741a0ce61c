// SPDX-License-Identifier: AGPL-3.0-or-later
//! Which models a pipeline needs, and wiring them to its agents: the only place that knows concrete models.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bho_engine::{
    BatchedEncoder, CancelToken, Compute, Embedding, Encoder, EngineError, ModelInfo,
};
use bho_models::store::{LocalStore, ModelStore};
use bho_models::{ModelError, ModelSource, load_encoder, load_prompted_encoder};
use bho_orchestrator::agents::{Agent, AgentContext, AgentError, AgentRegistry, AgentSpec, Fields};
use bho_orchestrator::config::Pipeline;
use bho_orchestrator::reasoner::{EncoderReasoner, Reasoner};

use crate::exit::{Exit, Failure};

/// Model of pipelines that name no reasoner.
const DEFAULT_REASONER: &str = "bitnet-s-1.58b";
/// Model of pipelines that name no embedder, and of `bho embed`.
pub(crate) const DEFAULT_EMBEDDER: &str = "mini-embed-small";

/// What a model is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Behind the agents that judge and write.
    Reasoner,
    /// Behind `bitnet.embed`.
    Embedder,
}

/// The role an agent's model has; none for agents that ask no model. An agent that is not listed
/// gets the reasoner, so that forgetting one here costs a load and breaks nothing.
fn role_of(agent: &str) -> Option<Role> {
    match agent {
        "bitnet.embed" => Some(Role::Embedder),
        "bitnet.generate" | "tools.retriever" => None,
        _ => Some(Role::Reasoner),
    }
}

/// One of a pipeline's models, as its file names it.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) role: Role,
    /// The key of the pipeline that decided; none for the default.
    pub(crate) key: Option<&'static str>,
    /// A path wins over a name.
    named: Named,
    /// Ids of the nodes that use it; nothing is loaded for none.
    pub(crate) nodes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Label(String),
    Path(PathBuf),
}

impl Choice {
    /// The label or path as given.
    pub(crate) fn label(&self) -> String {
        match &self.named {
            Named::Label(label) => label.clone(),
            Named::Path(path) => path.display().to_string(),
        }
    }

    /// Where its bytes are.
    pub(crate) fn source(&self, store: &ModelStore) -> Result<ModelSource, ModelError> {
        match &self.named {
            Named::Label(label) => store.resolve(label),
            Named::Path(path) => match std::fs::metadata(path) {
                Ok(_) => Ok(ModelSource::file(path)),
                Err(source) => {
                    Err(ModelError::Io { action: "cannot read", path: path.clone(), source })
                }
            },
        }
    }
}

/// The models of a pipeline; relative paths start at the folder of its file.
pub(crate) fn choices(pipeline: &Pipeline, file: &Path) -> [Choice; 2] {
    let refs = &pipeline.models;
    let choice = |role, path: &Option<String>, path_key, label: &Option<String>, key, default| {
        let (key, named) = match (path, label) {
            (Some(path), _) => {
                (Some(path_key), Named::Path(file.parent().unwrap_or(Path::new("")).join(path)))
            }
            (None, Some(label)) => (Some(key), Named::Label(label.clone())),
            (None, None) => (None, Named::Label(String::from(default))),
        };
        let users = pipeline.nodes.iter().filter(|node| role_of(&node.agent) == Some(role));
        Choice { role, key, named, nodes: users.map(|node| node.id.clone()).collect() }
    };
    [
        choice(
            Role::Reasoner,
            &refs.reasoner_path,
            "models.reasoner_path",
            &refs.reasoner,
            "models.reasoner",
            DEFAULT_REASONER,
        ),
        choice(
            Role::Embedder,
            &refs.embedder_path,
            "models.embedder_path",
            &refs.embedder,
            "models.embedder",
            DEFAULT_EMBEDDER,
        ),
    ]
}

/// Agents with their models behind them.
pub(crate) struct Wired {
    pub(crate) registry: AgentRegistry,
    pub(crate) reasoner: Arc<dyn Reasoner>,
}

/// Loads what the nodes use, each model once, and puts it behind the agents.
pub(crate) fn wire(
    choices: &[Choice; 2],
    mut registry: AgentRegistry,
    threads: usize,
) -> Result<Wired, Failure> {
    if choices.iter().all(|choice| choice.nodes.is_empty()) {
        let models = Models { main: None, infos: Vec::new() };
        return Ok(Wired { registry, reasoner: Arc::new(models) });
    }
    let store = ModelStore::bundled().map_err(failure)?;
    let compute = Compute::new(threads)?;
    let mut loaded: Vec<(String, Arc<dyn Reasoner>)> = Vec::new();
    let mut by_role: [Option<Arc<dyn Reasoner>>; 2] = [None, None];
    for (slot, choice) in by_role.iter_mut().zip(choices) {
        if choice.nodes.is_empty() {
            continue;
        }
        let source = choice.source(&store).map_err(|error| in_pipeline(choice, error))?;
        let identity = source.to_string();
        if let Some((_, reasoner)) = loaded.iter().find(|(known, _)| *known == identity) {
            *slot = Some(Arc::clone(reasoner));
            continue;
        }
        let encoder =
            load_encoder(&source, &compute).map_err(|error| in_pipeline(choice, error))?;
        let batched: Arc<dyn Encoder> = Arc::new(BatchedEncoder::new(encoder)?);
        let reasoner: Arc<dyn Reasoner> = Arc::new(EncoderReasoner::new(batched));
        loaded.push((identity, Arc::clone(&reasoner)));
        *slot = Some(reasoner);
    }
    let [main, embedder] = by_role;
    if let (Some(embedder), true) = (embedder, loaded.len() > 1 || main.is_none()) {
        let names: Vec<_> =
            registry.names().filter(|name| role_of(name) == Some(Role::Embedder)).collect();
        for name in names {
            if let Some(agent) = registry.get(name).cloned() {
                registry.register(On { agent, reasoner: Arc::clone(&embedder) });
            }
        }
    }
    let infos = loaded.iter().flat_map(|(_, reasoner)| reasoner.models()).collect();
    Ok(Wired { registry, reasoner: Arc::new(Models { main, infos }) })
}

/// The store of models, where this user has it.
pub(crate) fn store() -> Result<LocalStore, Failure> {
    let folder =
        |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    // A relative XDG folder is to be ignored, as its specification has it.
    let data = folder("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let home = || folder("HOME").or_else(|| folder("USERPROFILE"));
    let data = data.or_else(|| Some(home()?.join(".local/share")));
    let root = folder("BHO_MODELS_DIR").or_else(|| Some(data?.join("bho/models")));
    root.map(LocalStore::new).ok_or_else(|| {
        Failure::said(
            Exit::Usage,
            "there is no HOME to keep models in; name a folder in BHO_MODELS_DIR",
        )
    })
}

/// The file or folder that is meant by `given`: itself if it is there, else the model of that name
/// in the store. What is neither is given back, for its reader to say so.
pub(crate) fn file(given: &Path) -> Result<PathBuf, Failure> {
    if let (Err(_), Some(name), Ok(store)) = (std::fs::metadata(given), given.to_str(), store())
        && let Some(manifest) = store.get(name).map_err(failure)?
    {
        return store.path(&manifest).map_err(failure);
    }
    Ok(given.to_owned())
}

/// An encoder by the name or alias of a bundled model, by its file, or by its name in the store; `prompt` is the name of what
/// stands before texts, where it is not the model's default.
pub(crate) fn encoder(
    model: &str,
    prompt: Option<&str>,
    threads: usize,
) -> Result<Arc<dyn Encoder>, Failure> {
    let source = match ModelStore::bundled().map_err(failure)?.resolve(model) {
        Err(unknown @ ModelError::Unknown { .. }) => match file(Path::new(model))? {
            path if path.exists() => ModelSource::file(path),
            _ => return Err(failure(unknown)),
        },
        found => found.map_err(failure)?,
    };
    let compute = Compute::new(threads)?;
    load_prompted_encoder(&source, &compute, prompt).map_err(failure)
}

/// A model's error as the end of the program: what is missing or cannot be had is the
/// environment's, what is in the file is the job's.
pub(crate) fn failure(error: ModelError) -> Failure {
    match &error {
        ModelError::Io { .. }
        | ModelError::Unknown { .. }
        | ModelError::Engine(
            EngineError::Io { .. } | EngineError::Threads(_) | EngineError::Kernel(_),
        ) => error.into(),
        ModelError::Cancelled | ModelError::Paused(_) => {
            Failure::said(Exit::Interrupted, error.to_string())
        }
        _ => Failure::said(Exit::Failed, error.to_string()),
    }
}

/// The same for a model that a pipeline names: a name nobody knows is then the pipeline's fault.
fn in_pipeline(choice: &Choice, error: ModelError) -> Failure {
    let Some(key) = choice.key else { return failure(error) };
    match error {
        ModelError::Unknown { .. } => Failure::said(Exit::Failed, format!("{key}: {error}")),
        other => failure(other),
    }
}

/// The models of one run: one answers, all are named in the trace.
struct Models {
    main: Option<Arc<dyn Reasoner>>,
    infos: Vec<ModelInfo>,
}

impl Reasoner for Models {
    fn models(&self) -> Vec<ModelInfo> {
        self.infos.clone()
    }

    fn embed(&self, texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        match &self.main {
            Some(reasoner) => reasoner.embed(texts, cancel),
            None => Err(EngineError::Input("no model was loaded for this agent".into())),
        }
    }
}

/// An agent on a model of its own instead of the run's.
struct On {
    agent: Arc<dyn Agent>,
    reasoner: Arc<dyn Reasoner>,
}

impl Agent for On {
    fn spec(&self) -> &'static AgentSpec {
        self.agent.spec()
    }

    fn run(&self, input: &Fields, ctx: &AgentContext<'_>) -> Result<Fields, AgentError> {
        let ctx = AgentContext {
            node: ctx.node,
            deps: ctx.deps,
            missing: ctx.missing,
            missing_inputs: ctx.missing_inputs,
            reasoner: self.reasoner.as_ref(),
            cancel: ctx.cancel,
            seed: ctx.seed,
            attempt: ctx.attempt,
        };
        self.agent.run(input, &ctx)
    }
}

#[cfg(test)]
mod tests {
    use bho_orchestrator::config::{ModelRefs, Node};

    use super::*;

    fn pipeline(models: ModelRefs, agents: &[&str]) -> Pipeline {
        let node = |agent: &&str| Node {
            id: agent.replace('.', "_"),
            agent: (*agent).to_owned(),
            ..Node::default()
        };
        Pipeline { models, nodes: agents.iter().map(node).collect(), ..Pipeline::default() }
    }

    #[test]
    fn a_path_wins_over_a_name_and_starts_at_the_pipeline() {
        let models = ModelRefs {
            reasoner: Some("named".into()),
            reasoner_path: Some("m/a.safetensors".into()),
            embedder: Some("mini".into()),
            ..ModelRefs::default()
        };
        let [reasoner, embedder] =
            choices(&pipeline(models, &["bitnet.summarizer"]), Path::new("flows/p.yml"));
        assert_eq!(reasoner.named, Named::Path("flows/m/a.safetensors".into()));
        assert_eq!(reasoner.key, Some("models.reasoner_path"));
        assert_eq!(embedder.named, Named::Label("mini".into()));
        let [reasoner, _] = choices(&pipeline(ModelRefs::default(), &[]), Path::new("p.yml"));
        assert_eq!((reasoner.key, reasoner.label().as_str()), (None, DEFAULT_REASONER));
    }

    #[test]
    fn only_the_models_that_nodes_use_are_loaded() {
        let all = ["bitnet.embed", "tools.retriever", "bitnet.claimcheck", "some.new_agent"];
        let [reasoner, embedder] =
            choices(&pipeline(ModelRefs::default(), &all), Path::new("p.yml"));
        assert_eq!(reasoner.nodes, ["bitnet_claimcheck", "some_new_agent"]);
        assert_eq!(embedder.nodes, ["bitnet_embed"]);

        let none = choices(&pipeline(ModelRefs::default(), &all[1..2]), Path::new("p.yml"));
        let wired = wire(&none, AgentRegistry::builtin(), 1).unwrap_or_else(|_| panic!());
        assert!(wired.reasoner.models().is_empty());
        assert!(wired.reasoner.embed(&["x"], &CancelToken::new()).is_err());
    }

    #[test]
    fn every_builtin_agent_has_its_role() {
        let roles: Vec<_> =
            AgentRegistry::builtin().names().map(|name| (name, role_of(name))).collect();
        assert_eq!(
            roles,
            [
                ("bitnet.claimcheck", Some(Role::Reasoner)),
                ("bitnet.embed", Some(Role::Embedder)),
                ("bitnet.generate", None),
                ("bitnet.summarizer", Some(Role::Reasoner)),
                ("bitnet.synthesis", Some(Role::Reasoner)),
                ("tools.retriever", None),
            ]
        );
    }
}
