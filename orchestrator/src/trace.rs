// SPDX-License-Identifier: AGPL-3.0-or-later
//! The trace: one JSON document a run, free of raw personal data.
//!
//! Only texts that passed the guard get in. With `tracing.redact_pii_in_traces` (the default) they
//! are checked once more by a guard that redacts every kind of PII, whatever `policies` lets
//! through; without it, texts and cards stand as published. The source is never recorded, redacted
//! or not; messages of errors are always redacted.

use std::time::Duration;

use bho_engine::ModelInfo;
use bho_guard::ModerationCard;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agents::Fields;
use crate::config::Pipeline;
use crate::guarding::Screening;
use crate::result::RunStatus;
use crate::scheduler::{NodeRecord, NodeTimes, RunContext};

/// Most parts of one result whose origin is recorded.
const MAX_ORIGINS: usize = 256;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Trace {
    /// Which pipeline.
    pub pipeline: PipelineTrace,
    /// Start of the run, milliseconds since 1970 (UTC).
    pub started_unix_ms: u64,
    /// Length of the run, microseconds.
    pub duration_us: u64,
    /// How it ended.
    pub status: RunStatus,
    /// Seed of the run.
    pub seed: u64,
    /// Kernel backend of the models; `none` without models.
    pub isa: String,
    /// Threads a forward pass may use; the largest of the models', 0 without models.
    pub threads: usize,
    /// Nodes that could run at once.
    pub slots: usize,
    /// The models.
    pub models: Vec<ModelTrace>,
    /// Limits, and whether they were kept.
    pub budgets: BudgetTrace,
    /// Nodes in declared order; empty when the input was blocked.
    pub nodes: Vec<NodeTrace>,
    /// Every card: the input's, the nodes' in declared order, the answer's.
    pub cards: Vec<ModerationCard>,
    /// Which node and source gave which part; empty when `tracing.save_provenance` is off.
    pub provenance: Vec<Provenance>,
    /// Fault strings, each once, in declared order.
    pub errors: Vec<String>,
    /// The answer.
    pub answer: AnswerTrace,
}

/// Which pipeline ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PipelineTrace {
    /// `name` of the file.
    pub name: String,
    /// `version` of the file.
    pub version: String,
    /// `schema` of the file.
    pub schema: String,
}

/// A model behind a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelTrace {
    /// Name in the store, or file stem.
    pub name: String,
    /// Architecture.
    pub architecture: String,
    /// Hex sha256 of the weights' file; empty when it was not computed.
    pub sha256: String,
    /// How the weights run.
    pub precision: String,
    /// Bytes of weights.
    pub weight_bytes: u64,
    /// Kernel backend.
    pub isa: String,
    /// Threads of a forward pass.
    pub threads: usize,
}

impl From<ModelInfo> for ModelTrace {
    fn from(info: ModelInfo) -> Self {
        let ModelInfo { name, architecture, sha256, precision, weight_bytes, isa, threads } = info;
        Self { name, architecture, sha256, precision, weight_bytes, isa, threads }
    }
}

/// Limits of a run, and whether they were kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BudgetTrace {
    /// The soft target, milliseconds.
    pub latency_ms: u64,
    /// Whether the run was that short.
    pub latency_met: bool,
    /// The hard limit, milliseconds.
    pub deadline_ms: Option<u64>,
    /// Whether no node was stopped by it.
    pub deadline_met: bool,
    /// Nodes allowed at once.
    pub max_concurrency: u32,
}

/// One node of a run. Times are microseconds; those of phases are sums over the attempts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeTrace {
    /// Node id.
    pub id: String,
    /// Its agent.
    pub agent: String,
    /// `ok`, `refused` (a safe text stands in) or `failed`.
    pub status: NodeStatus,
    /// From the start of the run to the start of the first attempt; null when it never ran.
    pub start_us: Option<u64>,
    /// Time it was ready and waited for a slot.
    pub queue_us: u64,
    /// Guard on the input.
    pub guard_pre_us: u64,
    /// The agent.
    pub agent_us: u64,
    /// Guard on the output.
    pub guard_post_us: u64,
    /// Every attempt, regenerations included.
    pub attempts: Vec<AttemptTrace>,
    /// Its fault string.
    pub error: Option<String>,
    /// Tokens, as its agent reports them.
    pub tokens: Option<u64>,
    /// What a language model did for it.
    pub generation: Option<GenerationTrace>,
    /// Tags of everything that went into it and came of it; not written where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_tags: Vec<String>,
    /// Its published `text`.
    pub text: Option<String>,
}

/// What a language model did for a node, as its agent reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationTrace {
    /// Tokens of the prompt, the chat template's included.
    pub prompt_tokens: u64,
    /// Of those, how many the model had read before, for this or another node.
    pub cached_tokens: u64,
    /// Tokens written.
    pub tokens: u64,
    /// From the request to the first token, waiting included, microseconds.
    pub first_token_us: u64,
    /// Tokens written a second, of all but the first; null where there are fewer than two.
    pub tokens_per_second: Option<f64>,
    /// Why the text ended: `stop` or `length`.
    pub finish: String,
}

impl GenerationTrace {
    /// An agent's report; none of another form, as agents must not write into a trace what they
    /// like.
    pub(crate) fn read(value: Value) -> Option<Self> {
        let generation: Self = serde_json::from_value(value).ok()?;
        ["stop", "length"].contains(&generation.finish.as_str()).then_some(generation)
    }
}

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeStatus {
    /// With its own result.
    Ok,
    /// The guard withheld its text; a safe one stands in.
    Refused,
    /// With a fault.
    Failed,
}

/// One attempt of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptTrace {
    /// Its length, microseconds.
    pub us: u64,
    /// Its fault string.
    pub error: Option<String>,
}

/// Where a part of a node's result comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Provenance {
    /// The node whose result it is in.
    pub node: String,
    /// The part, e.g. `sentences[2]`.
    pub part: String,
    /// The source it names: a document, or a field of the node's input such as `text` or `kb[0]`.
    pub source: Option<String>,
    /// The node that gave this source, where a node did.
    pub source_node: Option<String>,
    /// Bytes of that source, `[start, end)`.
    pub span: Option<[u64; 2]>,
    /// How well it fits, as the agent scores it.
    pub score: Option<f64>,
}

/// The answer of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnswerTrace {
    /// The node that gave it.
    pub node: Option<String>,
    /// The text.
    pub text: String,
}

/// Where one part of a result comes from, as the agent says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Origin {
    part: String,
    source: Option<String>,
    source_node: Option<String>,
    span: Option<[u64; 2]>,
    score: Option<f64>,
}

/// What a result says of where its parts come from: the items of its lists `sentences`,
/// `evidence`, `sources`, `pieces` and `chunks` that are maps with a source or a span.
///
/// `givers` says which node gave which field of the input, so that a source that is such a field
/// is led back to its node.
pub(crate) fn origins(result: &Fields, givers: &[(String, String)]) -> Vec<Origin> {
    let mut out = Vec::new();
    for field in ["sentences", "evidence", "sources", "pieces", "chunks"] {
        let Some(Value::Array(items)) = result.get(field) else { continue };
        for (index, item) in items.iter().enumerate() {
            if out.len() == MAX_ORIGINS {
                return out;
            }
            let Value::Object(item) = item else { continue };
            let named = |keys: &[&str]| {
                keys.iter().find_map(|key| match item.get(*key) {
                    Some(Value::String(text)) => Some(text.clone()),
                    Some(Value::Number(number)) => Some(number.to_string()),
                    _ => None,
                })
            };
            let source = named(&["source", "from", "doc", "id"]);
            let source_node = named(&["node"])
                .or_else(|| source.as_deref().and_then(|source| giver(source, givers)));
            let span = item.get("span").and_then(span);
            if source.is_some() || source_node.is_some() || span.is_some() {
                let score = item.get("score").and_then(Value::as_f64);
                let part = format!("{field}[{index}]");
                out.push(Origin { part, source, source_node, span, score });
            }
        }
    }
    out
}

/// The node that gave a field of the input, or the field it lies in: `kb[2]` lies in `kb`.
fn giver(path: &str, givers: &[(String, String)]) -> Option<String> {
    let lies_in = |field: &str| {
        let rest = path.strip_prefix(field)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some(field.len())
    };
    givers
        .iter()
        .filter_map(|(field, node)| Some((lies_in(field)?, node)))
        .max_by_key(|(len, _)| *len)
        .map(|(_, node)| node.clone())
}

fn span(value: &Value) -> Option<[u64; 2]> {
    let (start, end) = match value {
        Value::Array(ends) if ends.len() == 2 => (&ends[0], &ends[1]),
        Value::Object(map) => (map.get("start")?, map.get("end")?),
        _ => return None,
    };
    Some([start.as_u64()?, end.as_u64()?])
}

/// Everything a trace is made of.
pub(crate) struct TraceInput<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) screening: &'a Screening,
    /// The nodes' side; `None` when the input was blocked.
    pub(crate) nodes: Option<(&'a RunContext, &'a [NodeTimes])>,
    pub(crate) models: Vec<ModelInfo>,
    pub(crate) started_unix_ms: u64,
    pub(crate) elapsed: Duration,
    pub(crate) status: RunStatus,
    pub(crate) seed: u64,
    pub(crate) slots: usize,
    pub(crate) cards: &'a [ModerationCard],
    pub(crate) errors: &'a [String],
    pub(crate) deadline_met: bool,
    pub(crate) answer_node: Option<&'a str>,
    pub(crate) answer: &'a str,
}

/// Writes the trace of a run.
pub(crate) fn write(input: TraceInput<'_>) -> Trace {
    let TraceInput { pipeline, screening, .. } = input;
    // Where the policy's guard is as strict as the recording one, texts have passed it already;
    // but a node may have it switched off.
    let redact = pipeline.tracing.redact_pii_in_traces;
    let text = |text: &str| if redact { screening.record(text) } else { text.to_owned() };
    let cards = input.cards.iter().cloned().map(|mut card| {
        if redact && screening.records_differ() {
            card.text = screening.record(&card.text);
        }
        card
    });
    let mut nodes = Vec::new();
    let mut provenance = Vec::new();
    if let Some((ctx, times)) = input.nodes {
        for (index, (node, times)) in pipeline.nodes.iter().zip(times).enumerate() {
            let Some(record) = ctx.record(index) else { continue };
            nodes.push(NodeTrace {
                id: node.id.clone(),
                agent: node.agent.clone(),
                status: status(record),
                start_us: times.start.map(micros),
                queue_us: micros(times.queue),
                guard_pre_us: micros(times.phases.guard_pre),
                agent_us: micros(times.phases.agent),
                guard_post_us: micros(times.phases.guard_post),
                attempts: times
                    .attempts
                    .iter()
                    .map(|attempt| AttemptTrace {
                        us: micros(attempt.took),
                        error: attempt.fault.as_ref().map(ToString::to_string),
                    })
                    .collect(),
                error: record.fault.as_ref().map(ToString::to_string),
                tokens: record.tokens,
                generation: record.generation.clone(),
                policy_tags: record.tags.iter().cloned().collect(),
                // The answer's node stands with what the output guard let through.
                text: match input.answer_node {
                    Some(id) if id == node.id => Some(text(input.answer)),
                    _ => record.fields.get("text").and_then(Value::as_str).map(text),
                },
            });
            if pipeline.tracing.save_provenance {
                provenance.extend(record.origins.iter().map(|origin| Provenance {
                    node: node.id.clone(),
                    part: origin.part.clone(),
                    source: origin.source.as_deref().map(text),
                    source_node: origin.source_node.as_deref().map(text),
                    span: origin.span,
                    score: origin.score,
                }));
            }
        }
    }
    let latency_ms = pipeline.budgets.latency_ms;
    Trace {
        pipeline: PipelineTrace {
            name: pipeline.name.clone(),
            version: pipeline.version.clone(),
            schema: pipeline.schema.clone(),
        },
        started_unix_ms: input.started_unix_ms,
        duration_us: micros(input.elapsed),
        status: input.status,
        seed: input.seed,
        isa: input.models.first().map_or_else(|| "none".to_owned(), |model| model.isa.clone()),
        threads: input.models.iter().map(|model| model.threads).max().unwrap_or(0),
        slots: input.slots,
        models: input.models.into_iter().map(ModelTrace::from).collect(),
        budgets: BudgetTrace {
            latency_ms,
            latency_met: input.elapsed <= Duration::from_millis(latency_ms),
            deadline_ms: pipeline.budgets.deadline_ms,
            deadline_met: input.deadline_met,
            max_concurrency: pipeline.budgets.max_concurrency,
        },
        nodes,
        cards: cards.collect(),
        provenance,
        errors: input.errors.to_vec(),
        answer: AnswerTrace {
            node: input.answer_node.map(str::to_owned),
            text: text(input.answer),
        },
    }
}

fn status(record: &NodeRecord) -> NodeStatus {
    match (&record.fault, &record.absent) {
        (Some(_), _) => NodeStatus::Failed,
        (None, Some(_)) => NodeStatus::Refused,
        (None, None) => NodeStatus::Ok,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn origins_are_read_from_the_lists_that_agents_give() {
        let result = json!({
            "text": "t",
            "sentences": [{"text": "a", "span": [0, 5]}, "plain", {"text": "no origin"}],
            "evidence": [{"text": "e", "source": "kb[1]", "span": {"start": 3, "end": 9}, "score": 0.5}],
            "sources": [{"node": "claim1", "span": [1]}],
        });
        let givers = [("kb".to_owned(), "retrieve".to_owned())];
        let got = origins(result.as_object().unwrap(), &givers);
        let want = [
            ("sentences[0]", None, None, Some([0, 5]), None),
            ("evidence[0]", Some("kb[1]"), Some("retrieve"), Some([3, 9]), Some(0.5)),
            ("sources[0]", None, Some("claim1"), None, None),
        ];
        assert_eq!(got.len(), want.len());
        for (got, (part, source, node, span, score)) in got.iter().zip(want) {
            assert_eq!(got.part, part);
            assert_eq!((got.source.as_deref(), got.source_node.as_deref()), (source, node));
            assert_eq!((got.span, got.score), (span, score));
        }
    }

    #[test]
    fn a_source_is_led_back_to_the_nearest_field_a_node_gave() {
        let givers: Vec<(String, String)> =
            [("pieces[1]", "b"), ("pieces[10]", "c"), ("pieces", "a")]
                .map(|(field, node)| (field.to_owned(), node.to_owned()))
                .into();
        assert_eq!(giver("pieces[1]", &givers).as_deref(), Some("b"));
        assert_eq!(giver("pieces[10].text", &givers).as_deref(), Some("c"));
        assert_eq!(giver("pieces[2]", &givers).as_deref(), Some("a"));
        assert_eq!(giver("piecesmeal", &givers), None);
    }
}
