// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the tests of agents share: texts as hashed words, the bundled encoder, one node's surroundings.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::OnceLock;

use bho_engine::{CancelToken, Compute, Coverage, Embedding, EngineError, ModelInfo};
use bho_models::{ModelStore, load_encoder};
use bho_orchestrator::agents::{AgentContext, AgentError, AgentRegistry, Fields};
use bho_orchestrator::config::MissingInputs;
use bho_orchestrator::reasoner::{EncoderReasoner, Reasoner};
use bho_orchestrator::text::{is_stop_word, term_id, words};

/// Dimensions of [`hashed`].
pub(crate) const DIM: usize = 512;

/// Bags of hashed content words, L2-normalised: deterministic, and no model's weights in it.
pub(crate) fn hashed(texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
    cancel.check()?;
    let embed = |text: &&str| {
        let mut vector = vec![0.0_f32; DIM];
        let mut tokens = 0;
        for word in words(text).filter(|w| !is_stop_word(w.text)) {
            vector[(term_id(word.text) % DIM as u64) as usize] += 1.0;
            tokens += 1;
        }
        let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
        if norm > 0.0 {
            vector.iter_mut().for_each(|v| *v /= norm);
        }
        Embedding { vector, coverage: Coverage { tokens, windows: tokens.min(1), truncated: 0 } }
    };
    Ok(texts.iter().map(embed).collect())
}

/// Whether every content word of the hypothesis is in the premise.
pub(crate) fn covers(premise: &str, hypothesis: &str) -> bool {
    let has = |id: u64| words(premise).any(|w| term_id(w.text) == id);
    words(hypothesis).filter(|w| !is_stop_word(w.text)).all(|w| has(term_id(w.text)))
}

/// A model of a test.
pub(crate) fn scripted_model() -> ModelInfo {
    ModelInfo {
        name: "scripted".into(),
        architecture: String::new(),
        sha256: String::new(),
        precision: String::new(),
        weight_bytes: 0,
        isa: String::new(),
        threads: 1,
    }
}

/// The bundled `bitnet-s-1.58b`.
pub(crate) fn bundled() -> &'static EncoderReasoner {
    static REASONER: OnceLock<EncoderReasoner> = OnceLock::new();
    REASONER.get_or_init(|| {
        let source = ModelStore::bundled().unwrap().resolve("bitnet-s-1.58b").unwrap();
        EncoderReasoner::new(load_encoder(&source, &Compute::new(2).unwrap()).unwrap())
    })
}

/// A node without parents, at its first attempt.
pub(crate) fn context<'a>(reasoner: &'a dyn Reasoner, cancel: &'a CancelToken) -> AgentContext<'a> {
    AgentContext {
        node: "node",
        deps: &[],
        missing: &[],
        missing_inputs: MissingInputs::SkipAndLabel,
        reasoner,
        cancel,
        seed: 0,
        attempt: 0,
    }
}

/// Runs a built-in agent, and sees that it gives a text and nothing that it does not list.
pub(crate) fn run_agent(
    name: &str,
    input: &Fields,
    context: &AgentContext<'_>,
) -> Result<Fields, AgentError> {
    let registry = AgentRegistry::builtin();
    let agent = registry.get(name).expect("a built-in agent");
    let result = agent.run(input, context)?;
    assert!(result["text"].is_string(), "{name} gives text");
    for key in result.keys().filter(|key| !key.starts_with('_')) {
        assert!(agent.spec().outputs.contains(&key.as_str()), "{name} lists {key}");
    }
    Ok(result)
}
