// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bitnet.generate`: free text from a prompt. Its parameters are checked; it needs a decoder.

use super::{Agent, AgentContext, AgentError, AgentSpec, Fields, ParamKind, ParamSpec, input};

/// The agent `bitnet.generate`.
///
/// The encoders that are bundled cannot write text, so a run ends in an error of kind `NoModel`
/// that says so; nothing is made up in its place.
#[derive(Debug, Clone, Copy, Default)]
pub struct Generate;

const PROMPT: ParamSpec = ParamSpec {
    name: "prompt",
    kind: ParamKind::Text,
    required: true,
    help: "what to answer; may hold ${...} references",
};

static SPEC: AgentSpec = AgentSpec {
    name: "bitnet.generate",
    summary: "writes text from a prompt",
    params: &[
        PROMPT,
        ParamSpec {
            name: "max_tokens",
            kind: ParamKind::Int { min: 1, max: 32_768 },
            required: false,
            help: "most tokens to write",
        },
        ParamSpec {
            name: "temperature",
            kind: ParamKind::Number { min: 0.0, max: 5.0 },
            required: false,
            help: "0 takes the likeliest token each time",
        },
        ParamSpec {
            name: "top_p",
            kind: ParamKind::Number { min: 0.0, max: 1.0 },
            required: false,
            help: "keep the likeliest tokens up to this probability",
        },
        ParamSpec {
            name: "top_k",
            kind: ParamKind::Int { min: 0, max: 1_000_000 },
            required: false,
            help: "keep this many of the likeliest tokens; 0 keeps all",
        },
        ParamSpec {
            name: "seed",
            kind: ParamKind::Int { min: 0, max: i64::MAX },
            required: false,
            help: "seed of the sampler; the run's by default",
        },
        ParamSpec {
            name: "schema",
            kind: ParamKind::Any,
            required: false,
            help: "JSON schema the answer must satisfy",
        },
        ParamSpec {
            name: "stop",
            kind: ParamKind::TextOrList,
            required: false,
            help: "texts that end the answer",
        },
    ],
    outputs: &["text"],
    not_yet: Some("needs a decoder model; only encoders are loaded so far"),
};

impl Agent for Generate {
    fn spec(&self) -> &'static AgentSpec {
        &SPEC
    }

    fn run(&self, input: &Fields, ctx: &AgentContext<'_>) -> Result<Fields, AgentError> {
        ctx.cancel.check()?;
        input::required_text(input, "prompt", &SPEC)?;
        Err(AgentError::new(
            "NoModel",
            "bitnet.generate needs a decoder model and none is loaded; \
             bitnet.summarizer, bitnet.claimcheck and bitnet.synthesis work with an encoder",
        ))
    }
}
