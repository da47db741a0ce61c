// SPDX-License-Identifier: AGPL-3.0-or-later
//! The models of a pipeline, found and put behind its agents.

use std::path::Path;
use std::sync::Arc;

use bho_engine::{
    BatchedEncoder, CancelToken, Compute, Embedding, Encoder, EngineError, ModelInfo,
};
use bho_models::store::ModelStore;
use bho_models::{ModelError, ModelKind, ModelSource, load_encoder, model_kind};
use bho_orchestrator::agents::{
    Agent, AgentContext, AgentError, AgentRegistry, AgentSpec, Fields, Given, ParamFault,
};
use bho_orchestrator::config::{Fault, Pipeline, Severity};
use bho_orchestrator::reasoner::{EncoderReasoner, Entailer, Form, Generator, Reasoner};
use serde_json::Value;

use crate::cli::generation::PagesArg;
use crate::commands::generate::promote;
use crate::exit::{Exit, Failure};
use crate::models::{self, Choice, Role};
use crate::writer::Writer;

/// A choice and the model it stands for; none where nodes write and the pipeline names no language
/// model.
pub(crate) struct Resolved {
    pub(crate) choice: Choice,
    pub(crate) model: Result<Option<ModelSource>, ModelError>,
}

/// Finds the models of a pipeline. A language model stands for the reasoner only where nodes write; what compares texts
/// gets the embedder beside it.
pub(crate) fn resolve(pipeline: &Pipeline, file: &Path) -> Result<Vec<Resolved>, Failure> {
    let store = ModelStore::bundled().map_err(models::failure)?;
    let [mut reasoner, embedder, mut generator] = models::choices(pipeline, file);
    let mut written = Vec::new();
    if generator.nodes.is_empty() {
        // Every node extracts, or asks no model: a language model gives no vectors there either.
        let language_model = |source: ModelSource| writes_at_all(source).is_ok_and(|m| m.is_some());
        if reasoner.key.is_some() && reasoner.source(&store).is_ok_and(language_model) {
            reasoner = reasoner.named_as(&embedder);
        }
    } else {
        let must = pipeline.nodes.iter().filter(|node| models::must_write(node));
        let must: Vec<_> = must.map(|node| node.id.clone()).collect();
        let model = match generator.source(&store) {
            Ok(source) if must.is_empty() => writes_at_all(source),
            found => found.and_then(language_model),
        };
        // Nodes that do as well without a language model have nothing to say of a missing one.
        let wanted = !must.is_empty() || matches!(model, Ok(Some(_)));
        if wanted && !matches!(model, Ok(None)) {
            // It gives no vectors: agents that compare texts get the embedder. What is wrong with it
            // is said once.
            reasoner = reasoner.named_as(&embedder);
        }
        if !matches!(model, Ok(Some(_))) {
            generator.nodes = must;
        }
        if wanted {
            written.push(Resolved { choice: generator, model });
        }
    }
    let found = [reasoner, embedder].map(|choice| {
        let model = choice.source(&store).map(Some);
        Resolved { choice, model }
    });
    Ok(found.into_iter().chain(written).collect())
}

/// The model if it is a language model; what is wrong with it is left to who needs it.
fn writes_at_all(source: ModelSource) -> Result<Option<ModelSource>, ModelError> {
    Ok((model_kind(&source)? == ModelKind::Decoder).then_some(source))
}

/// The model if it writes. A bundled encoder stands for none: it is what pipelines have that name
/// none.
fn language_model(source: ModelSource) -> Result<Option<ModelSource>, ModelError> {
    match (model_kind(&source)?, &source) {
        (ModelKind::Decoder, _) => Ok(Some(source)),
        (ModelKind::Encoder, ModelSource::Bundled { .. }) => Ok(None),
        (ModelKind::Encoder, ModelSource::File(path)) => Err(ModelError::Invalid {
            file: path.display().to_string(),
            message:
                "is an encoder and writes no text, which `bitnet.generate` and method `generate` \
                      need; accepted: a language model that `bho convert` wrote"
                    .into(),
        }),
    }
}

/// The warning of a pipeline whose nodes write and that names no language model.
pub(crate) fn no_language_model(resolved: &[Resolved], pipeline: &Pipeline) -> Option<Fault> {
    let without = resolved.iter().find(|r| matches!(r.model, Ok(None)))?;
    let first = without.choice.nodes.first()?;
    let index = pipeline.nodes.iter().position(|node| node.id == *first)?;
    Some(Fault {
        severity: Severity::Warning,
        code: "no_language_model",
        path: format!("nodes[{index}].agent"),
        pos: pipeline.nodes[index].pos,
        message: format!(
            "`bitnet.generate` and method `generate` need a language model and the pipeline names \
             none; without it fails: {}",
            without.choice.nodes.join(", ")
        ),
        hint: Some(
            "set `models.reasoner_path` to a file that `bho convert` wrote, or `models.reasoner` \
             to a name that `bho models list` shows"
                .into(),
        ),
    })
}

/// Loads the language model as a run would, and compiles what nodes hold their texts to: the first
/// of them that is wrong.
///
/// # Errors
/// When the model cannot be loaded.
pub(crate) fn check_language_model(
    source: &ModelSource,
    pipeline: &Pipeline,
) -> Result<Option<Fault>, ModelError> {
    let ModelSource::File(path) = source else { return Ok(None) };
    let writer = Writer::open(path, &Compute::new(1)?, 1, None)?;
    Ok(bad_form(&writer, pipeline))
}

/// The first schema or regular expression of the file that the model cannot follow.
fn bad_form(writer: &Writer, pipeline: &Pipeline) -> Option<Fault> {
    let nodes = pipeline.nodes.iter().enumerate();
    nodes.filter(|(_, node)| models::writes(&node.agent)).find_map(|(index, node)| {
        let (name, error) = forms(&node.params)
            .find_map(|(name, form)| Some((name, writer.constraint(&form).err()?)))?;
        Some(Fault {
            severity: Severity::Error,
            code: "bad_param",
            path: format!("nodes[{index}].params.{name}"),
            pos: node.pos,
            message: format!("`{name}` of the node `{}`: {error}", node.id),
            hint: None,
        })
    })
}

fn forms(params: &Fields) -> impl Iterator<Item = (&'static str, Form)> {
    let known = |value: &&Value| !value.to_string().contains("${");
    let schema = params.get("schema").filter(known).filter(|value| value.is_object());
    let schema = schema.map(|schema| ("schema", Form::JsonSchema(schema.clone())));
    let regex = params.get("regex").filter(known).and_then(Value::as_str);
    schema.into_iter().chain(regex.map(|regex| ("regex", Form::Regex(regex.to_owned()))))
}

/// Agents with their models behind them.
pub(crate) struct Wired {
    pub(crate) registry: AgentRegistry,
    pub(crate) reasoner: Arc<dyn Reasoner>,
}

/// Loads what the nodes use, each model once, and puts it behind the agents. All share the threads of
/// `compute`; `guard` are the models that the run's guard has there already.
pub(crate) fn wire(
    resolved: Vec<Resolved>,
    pipeline: &Pipeline,
    mut registry: AgentRegistry,
    compute: &Compute,
    guard: Vec<ModelInfo>,
) -> Result<Wired, Failure> {
    let used = resolved.into_iter().filter(|r| !r.choice.nodes.is_empty());
    let used: Vec<_> = used.filter(|r| !matches!(r.model, Ok(None))).collect();
    let mut encoders: Vec<(String, Arc<dyn Reasoner>)> = Vec::new();
    let (mut main, mut embedder, mut writer) = (None, None, None);
    for Resolved { choice, model } in used {
        let failed = |error| models::in_pipeline(&choice, error);
        let Some(source) = model.map_err(failed)? else { continue };
        match choice.role {
            Role::Generator => {
                writer = Some(open_writer(&source, &choice, pipeline, compute)?);
            }
            Role::Reasoner => main = Some(encoder(&mut encoders, &source, compute, failed)?),
            Role::Embedder => embedder = Some(encoder(&mut encoders, &source, compute, failed)?),
            Role::Guard => {}
        }
    }
    if let (Some(embedder), true) = (embedder, encoders.len() > 1 || main.is_none()) {
        let names: Vec<_> =
            registry.names().filter(|name| models::role_of(name) == Some(Role::Embedder)).collect();
        for name in names {
            if let Some(agent) = registry.get(name).cloned() {
                registry.register(On { agent, reasoner: Arc::clone(&embedder) });
            }
        }
    }
    let infos = encoders.iter().flat_map(|(_, reasoner)| reasoner.models());
    let infos = infos.chain(writer.iter().map(|writer| writer.info().clone()));
    let infos = infos.chain(guard).collect();
    Ok(Wired { registry, reasoner: Arc::new(Models { main, writer, infos }) })
}

/// The encoder of this source, which may be loaded already.
fn encoder(
    loaded: &mut Vec<(String, Arc<dyn Reasoner>)>,
    source: &ModelSource,
    compute: &Compute,
    failed: impl Fn(ModelError) -> Failure,
) -> Result<Arc<dyn Reasoner>, Failure> {
    let identity = source.to_string();
    if let Some((_, reasoner)) = loaded.iter().find(|(known, _)| *known == identity) {
        return Ok(Arc::clone(reasoner));
    }
    let encoder = load_encoder(source, compute).map_err(failed)?;
    let batched: Arc<dyn Encoder> = Arc::new(BatchedEncoder::new(encoder)?);
    let reasoner: Arc<dyn Reasoner> = Arc::new(EncoderReasoner::new(batched));
    loaded.push((identity, Arc::clone(&reasoner)));
    Ok(reasoner)
}

fn open_writer(
    source: &ModelSource,
    choice: &Choice,
    pipeline: &Pipeline,
    compute: &Compute,
) -> Result<Writer, Failure> {
    let ModelSource::File(path) = source else {
        let message = format!("{source}: no language model is bundled");
        return Err(Failure::said(Exit::Failed, message));
    };
    // As many as may run at once.
    let at_once = usize::try_from(pipeline.budgets.max_concurrency).unwrap_or(usize::MAX);
    let texts = choice.nodes.len().min(at_once);
    let cache = pipeline.storage.kv_cache;
    let keep = if cache.enabled { cache.max_items as usize } else { 0 };
    let writer = Writer::open(path, compute, texts, Some(keep));
    let writer = writer.map_err(|error| models::in_pipeline(choice, error))?;
    if let Some(fault) = bad_form(&writer, pipeline) {
        let message = format!("{}:{}: {}", choice.file, fault.pos, fault.message);
        return Err(Failure::said(Exit::Failed, message));
    }
    // Before its pages move.
    let writer = writer.with_sha256();
    promote(writer.model(), PagesArg::Auto)?;
    Ok(writer)
}

/// The models of one run: one answers, one writes, all are named in the trace.
#[derive(Default)]
struct Models {
    main: Option<Arc<dyn Reasoner>>,
    writer: Option<Writer>,
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

    fn entailer(&self) -> Option<&dyn Entailer> {
        self.main.as_ref().and_then(|reasoner| reasoner.entailer())
    }

    fn generator(&self) -> Option<&dyn Generator> {
        self.writer.as_ref().map(|writer| writer as &dyn Generator)
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

    fn retrieves(&self) -> bool {
        self.agent.retrieves()
    }

    fn own_words(&self) -> &'static [&'static str] {
        self.agent.own_words()
    }

    fn check_params(&self, given: &Given) -> Vec<ParamFault> {
        self.agent.check_params(given)
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
    use bho_orchestrator::config::Node;

    use super::*;

    fn pipeline(agents: &[&str]) -> Pipeline {
        let node = |agent: &&str| Node {
            id: agent.replace('.', "_"),
            agent: (*agent).to_owned(),
            ..Node::default()
        };
        Pipeline { nodes: agents.iter().map(node).collect(), ..Pipeline::default() }
    }

    fn wired(pipeline: &Pipeline) -> (Vec<Resolved>, Wired) {
        let found = || resolve(pipeline, Path::new("p.yml")).unwrap_or_else(|_| panic!());
        let compute = Compute::new(1).unwrap();
        let wired = wire(found(), pipeline, AgentRegistry::builtin(), &compute, Vec::new());
        (found(), wired.unwrap_or_else(|_| panic!()))
    }

    #[test]
    fn only_the_models_that_nodes_use_are_loaded() {
        let (_, none) = wired(&pipeline(&["tools.retriever"]));
        assert!(none.reasoner.models().is_empty());
        assert!(none.reasoner.embed(&["x"], &CancelToken::new()).is_err());
        let (_, one) = wired(&pipeline(&["bitnet.claimcheck", "bitnet.embed"]));
        assert_eq!(one.reasoner.models().len(), 1, "both roles have the bundled model");
    }

    #[test]
    fn a_pipeline_that_names_no_language_model_is_warned_and_runs_without_one() {
        let pipeline = pipeline(&["tools.retriever", "bitnet.generate"]);
        let (found, wired) = wired(&pipeline);
        assert!(wired.reasoner.generator().is_none());
        let fault = no_language_model(&found, &pipeline).unwrap();
        assert_eq!((fault.severity, fault.path.as_str()), (Severity::Warning, "nodes[1].agent"));
        let silent = self::pipeline(&["bitnet.summarizer"]);
        assert!(no_language_model(&self::wired(&silent).0, &silent).is_none());
    }

    #[test]
    fn forms_with_references_are_left_to_the_run() {
        let params = |value: Value| value.as_object().unwrap().clone();
        let both = params(serde_json::json!({"schema": {"type": "null"}, "regex": "a"}));
        assert_eq!(forms(&both).map(|(name, _)| name).collect::<Vec<_>>(), ["schema", "regex"]);
        let bound = params(serde_json::json!({"schema": {"const": "${source.x}"}, "regex": 5}));
        assert_eq!(forms(&bound).count(), 0);
    }
}
