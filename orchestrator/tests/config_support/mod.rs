// SPDX-License-Identifier: AGPL-3.0-or-later
//! A registry with the agents of the specification, without their insides.

use std::path::PathBuf;

use bho_orchestrator::agents::{
    Agent, AgentContext, AgentError, AgentRegistry, AgentSpec, Fields, ParamKind, ParamSpec,
};

struct Named(&'static AgentSpec);

impl Agent for Named {
    fn spec(&self) -> &'static AgentSpec {
        self.0
    }

    fn run(&self, _: &Fields, _: &AgentContext<'_>) -> Result<Fields, AgentError> {
        Err(AgentError::new("Test", "not meant to run"))
    }
}

const fn param(
    name: &'static str,
    kind: ParamKind,
    required: bool,
    help: &'static str,
) -> ParamSpec {
    ParamSpec { name, kind, required, help }
}

static SPECS: [AgentSpec; 6] = [
    AgentSpec {
        name: "bitnet.summarizer",
        summary: "the sentences that matter",
        params: &[param(
            "max_sentences",
            ParamKind::Int { min: 1, max: 100 },
            false,
            "how many sentences to keep",
        )],
        outputs: &["text", "key_phrases", "sentences"],
        not_yet: None,
    },
    AgentSpec {
        name: "bitnet.claimcheck",
        summary: "a verdict on a claim",
        params: &[
            param("claim", ParamKind::Text, true, "the statement to check"),
            param("kb", ParamKind::TextOrList, false, "what to check it against"),
        ],
        outputs: &["text", "verdict", "score", "evidence"],
        not_yet: None,
    },
    AgentSpec {
        name: "bitnet.synthesis",
        summary: "one brief of many pieces",
        params: &[param("pieces", ParamKind::TextOrList, false, "what to join")],
        outputs: &["text"],
        not_yet: None,
    },
    AgentSpec {
        name: "tools.retriever",
        summary: "passages of the local knowledge base",
        params: &[
            param("query", ParamKind::TextOrList, true, "what to look for"),
            param("k", ParamKind::Int { min: 1, max: 100 }, false, "how many chunks to return"),
        ],
        outputs: &["text", "chunks"],
        not_yet: Some("there is no index yet"),
    },
    AgentSpec {
        name: "bitnet.embed",
        summary: "the vector of a text",
        params: &[],
        outputs: &["text", "embedding"],
        not_yet: None,
    },
    AgentSpec {
        name: "bitnet.generate",
        summary: "text from a prompt",
        params: &[param("prompt", ParamKind::Text, false, "template of the prompt")],
        outputs: &["text"],
        not_yet: None,
    },
];

pub(crate) fn agents() -> AgentRegistry {
    let mut registry = AgentRegistry::empty();
    for spec in &SPECS {
        registry.register(Named(spec));
    }
    registry
}

pub(crate) fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/pipelines")
}

pub(crate) const EXAMPLES: [&str; 5] =
    ["minimal.yml", "quick_single.yml", "quick_chat.yml", "advanced_rag.yml", "full.yml"];
