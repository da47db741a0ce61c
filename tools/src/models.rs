// SPDX-License-Identifier: AGPL-3.0-or-later
//! Models by name, path or the keys of a pipeline.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bho_engine::{Compute, Encoder, EngineError};
use bho_models::store::{LocalStore, ModelStore};
use bho_models::{ModelError, ModelSource, load_prompted_encoder};
use bho_orchestrator::config::{Node, Pipeline, Pos};

use crate::exit::{Exit, Failure};

/// Model of pipelines that name no reasoner.
const DEFAULT_REASONER: &str = "bitnet-s-1.58b";
/// Model of pipelines that name no embedder, and of `bho embed`.
pub(crate) const DEFAULT_EMBEDDER: &str = "mini-embed-small";

/// What a model is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Behind the agents that judge and quote.
    Reasoner,
    /// Behind `bitnet.embed`.
    Embedder,
    /// Behind `bitnet.generate`, and beside the encoder of the other agents that can write: the
    /// reasoner, if it is a language model.
    Generator,
    /// Behind the guard's learned detectors.
    Guard,
}

impl Role {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reasoner => "reasoner",
            Self::Embedder => "embedder",
            Self::Generator => "generator",
            Self::Guard => "guard",
        }
    }
}

/// The role an agent's model has; none for agents that ask no model. An agent that is not listed
/// gets the reasoner, so that forgetting one here costs a load and breaks nothing.
pub(crate) fn role_of(agent: &str) -> Option<Role> {
    match agent {
        "bitnet.embed" => Some(Role::Embedder),
        "bitnet.generate" => Some(Role::Generator),
        "tools.retriever" => None,
        _ => Some(Role::Reasoner),
    }
}

/// Whether an agent writes with a language model.
pub(crate) fn writes(agent: &str) -> bool {
    role_of(agent) == Some(Role::Generator)
}

/// Whether a node writes with a language model: its agent does nothing else, or its `method` says so.
pub(crate) fn must_write(node: &Node) -> bool {
    writes(&node.agent) || (can_write(&node.agent) && method(node) == Some("generate"))
}

/// Whether a node writes where there is a language model: unless its `method` forbids it.
pub(crate) fn may_write(node: &Node) -> bool {
    writes(&node.agent) || (can_write(&node.agent) && method(node) != Some("extract"))
}

/// Agents that have their vectors from an encoder and write where they can.
fn can_write(agent: &str) -> bool {
    matches!(agent, "bitnet.summarizer" | "bitnet.claimcheck" | "bitnet.synthesis")
}

/// The parameter `method` of a node, as it stands; a reference is none of the words.
fn method(node: &Node) -> Option<&str> {
    node.params.get("method")?.as_str()
}

/// One of a pipeline's models, as its file names it.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) role: Role,
    /// The key of the pipeline, or the variable, that decided; none for the default.
    pub(crate) key: Option<&'static str>,
    /// The pipeline's file; empty without one.
    pub(crate) file: String,
    /// Where in it the key's value stands.
    pub(crate) pos: Option<Pos>,
    /// A path wins over a name.
    pub(crate) named: Named,
    /// Ids of the nodes that use it; nothing is loaded for none.
    pub(crate) nodes: Vec<String>,
}

/// A name of the store, or a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
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

    /// Where its bytes are: a name is looked up inside the program, then in the store.
    pub(crate) fn source(&self, store: &ModelStore) -> Result<ModelSource, ModelError> {
        match &self.named {
            Named::Label(label) => match store.resolve(label) {
                Err(unknown @ ModelError::Unknown { .. }) => {
                    stored(label)?.map(ModelSource::file).ok_or(unknown)
                }
                found => found,
            },
            Named::Path(path) => match std::fs::metadata(path) {
                Ok(_) => Ok(ModelSource::file(path)),
                Err(source) => {
                    Err(ModelError::Io { action: "cannot read", path: path.clone(), source })
                }
            },
        }
    }

    /// The same nodes on the model of another choice.
    pub(crate) fn named_as(self, other: &Self) -> Self {
        Self { role: self.role, nodes: self.nodes, ..other.clone() }
    }

    /// A model that the guard runs on.
    pub(crate) fn of_guard(key: Option<&'static str>, named: Named) -> Self {
        let (file, pos, nodes) = (String::new(), None, Vec::new());
        Self { role: Role::Guard, key, file, pos, named, nodes }
    }

    /// `FILE:LINE:COLUMN`, or `FILE` where the default decided.
    pub(crate) fn place(&self) -> String {
        match self.pos {
            Some(pos) => format!("{}:{pos}", self.file),
            None => self.file.clone(),
        }
    }
}

/// The models of a pipeline; relative paths start at the folder of its file.
pub(crate) fn choices(pipeline: &Pipeline, file: &Path) -> [Choice; 3] {
    let refs = &pipeline.models;
    let choice = |role, path: &Option<String>, label: &Option<String>, keys: [_; 2], default| {
        let [path_key, label_key] = keys;
        let (key, named) = match (path, label) {
            (Some(path), _) => {
                let folder = file.parent().unwrap_or(Path::new(""));
                (Some(path_key), Named::Path(folder.join(path)))
            }
            (None, Some(label)) => (Some(label_key), Named::Label(label.clone())),
            (None, None) => (None, Named::Label(String::from(default))),
        };
        let users = pipeline.nodes.iter().filter(|node| match role {
            Role::Generator => may_write(node),
            role => role_of(&node.agent) == Some(role),
        });
        let nodes = users.map(|node| node.id.clone()).collect();
        let place = |key: &str| refs.pos.get(key.strip_prefix("models.")?).copied();
        let (file, pos) = (file.display().to_string(), key.and_then(place));
        Choice { role, key, file, pos, named, nodes }
    };
    let reasoner = |role| {
        let keys = ["models.reasoner_path", "models.reasoner"];
        choice(role, &refs.reasoner_path, &refs.reasoner, keys, DEFAULT_REASONER)
    };
    let keys = ["models.embedder_path", "models.embedder"];
    let embedder =
        choice(Role::Embedder, &refs.embedder_path, &refs.embedder, keys, DEFAULT_EMBEDDER);
    [reasoner(Role::Reasoner), embedder, reasoner(Role::Generator)]
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
    if let (Err(_), Some(name)) = (std::fs::metadata(given), given.to_str())
        && let Some(path) = stored(name).map_err(failure)?
    {
        return Ok(path);
    }
    Ok(given.to_owned())
}

/// The file or folder of the store's model of this name; none if there is none, or no store.
fn stored(name: &str) -> Result<Option<PathBuf>, ModelError> {
    let Ok(store) = store() else { return Ok(None) };
    store.get(name)?.map(|manifest| store.path(&manifest)).transpose()
}

/// The error about a name that is neither in the program nor in the store.
pub(crate) fn unknown(bundled: &ModelStore, store: &LocalStore, name: &str) -> ModelError {
    match (bundled.resolve(name), store.unknown(name)) {
        (
            Err(ModelError::Unknown { name, known: inside }),
            ModelError::Unknown { known: stored, .. },
        ) => ModelError::Unknown { name, known: format!("{inside}; in the store: {stored}") },
        (_, unknown) => unknown,
    }
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

/// A model's error as the end of the program.
pub(crate) fn failure(error: ModelError) -> Failure {
    match exit_of(&error) {
        Exit::Usage => error.into(),
        exit => Failure::said(exit, error.to_string()),
    }
}

/// What is missing or cannot be had is the environment's, what is in the file is the job's.
fn exit_of(error: &ModelError) -> Exit {
    match error {
        ModelError::Io { .. }
        | ModelError::Unknown { .. }
        | ModelError::Engine(
            EngineError::Io { .. } | EngineError::Threads(_) | EngineError::Kernel(_),
        ) => Exit::Usage,
        ModelError::Cancelled | ModelError::Paused(_) => Exit::Interrupted,
        _ => Exit::Failed,
    }
}

/// The same for a model that a pipeline names: a name nobody knows is then the pipeline's fault.
pub(crate) fn in_pipeline(choice: &Choice, error: ModelError) -> Failure {
    let Some(key) = choice.key else { return failure(error) };
    let exit = match &error {
        ModelError::Unknown { .. } => Exit::Failed,
        other => exit_of(other),
    };
    Failure::said(exit, format!("{}: {key}: {error}", choice.place()))
}

#[cfg(test)]
mod tests {
    use bho_models::store::ModelUse;
    use bho_orchestrator::agents::AgentRegistry;
    use bho_orchestrator::config::ModelRefs;

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
        let pos = Pos { line: 4, column: 18 };
        let models = ModelRefs {
            reasoner: Some("named".into()),
            reasoner_path: Some("m/a.safetensors".into()),
            embedder: Some("mini".into()),
            pos: [("reasoner_path", pos)].into(),
            ..ModelRefs::default()
        };
        let [reasoner, embedder, generator] =
            choices(&pipeline(models, &["bitnet.summarizer"]), Path::new("flows/p.yml"));
        assert_eq!(reasoner.named, Named::Path("flows/m/a.safetensors".into()));
        assert_eq!(reasoner.key, Some("models.reasoner_path"));
        assert_eq!(reasoner.place(), "flows/p.yml:4:18");
        assert_eq!(embedder.named, Named::Label("mini".into()));
        assert_eq!((generator.key, generator.named), (reasoner.key, reasoner.named));
        let [reasoner, ..] = choices(&pipeline(ModelRefs::default(), &[]), Path::new("p.yml"));
        assert_eq!((reasoner.key, reasoner.label().as_str()), (None, DEFAULT_REASONER));
    }

    #[test]
    fn pipelines_that_name_no_model_get_the_first_of_the_manifest() {
        let bundled = ModelStore::bundled().unwrap();
        for (label, used_as) in
            [(DEFAULT_REASONER, ModelUse::Reasoner), (DEFAULT_EMBEDDER, ModelUse::Embedder)]
        {
            assert_eq!(bundled.find(label), bundled.first_choice(used_as), "{label}");
        }
    }

    #[test]
    fn each_choice_has_the_nodes_that_use_it() {
        let all = [
            "bitnet.embed",
            "tools.retriever",
            "bitnet.claimcheck",
            "some.new_agent",
            "bitnet.generate",
        ];
        let [reasoner, embedder, generator] =
            choices(&pipeline(ModelRefs::default(), &all), Path::new("p.yml"));
        assert_eq!(reasoner.nodes, ["bitnet_claimcheck", "some_new_agent"]);
        assert_eq!(embedder.nodes, ["bitnet_embed"]);
        assert_eq!(generator.nodes, ["bitnet_claimcheck", "bitnet_generate"]);
        let same = reasoner.named_as(&embedder);
        assert_eq!((same.label().as_str(), same.nodes.len()), (DEFAULT_EMBEDDER, 2));
        assert_eq!(same.role, Role::Reasoner);
    }

    #[test]
    fn the_method_of_a_node_says_whether_it_writes() {
        for (agent, method, may, must) in [
            ("bitnet.summarizer", None, true, false),
            ("bitnet.claimcheck", Some("auto"), true, false),
            ("bitnet.synthesis", Some("extract"), false, false),
            ("bitnet.synthesis", Some("generate"), true, true),
            ("bitnet.summarizer", Some("${source.method}"), true, false),
            ("bitnet.generate", Some("extract"), true, true),
            ("bitnet.embed", Some("generate"), false, false),
        ] {
            let params = method.map(|method| ("method".to_owned(), method.into()));
            let params = params.into_iter().collect();
            let node = Node { agent: agent.to_owned(), params, ..Node::default() };
            assert_eq!((may_write(&node), must_write(&node)), (may, must), "{agent} {method:?}");
        }
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
                ("bitnet.generate", Some(Role::Generator)),
                ("bitnet.summarizer", Some(Role::Reasoner)),
                ("bitnet.synthesis", Some(Role::Reasoner)),
                ("tools.retriever", None),
            ]
        );
    }
}
