// SPDX-License-Identifier: AGPL-3.0-or-later
//! What agents ask of models, whatever is behind: an encoder, a language model, or both.

mod encoder;
mod entailment;
mod generator;

use bho_engine::{CancelToken, Embedding, EngineError, ModelInfo};

pub use encoder::EncoderReasoner;
pub use entailment::{CrossEncoder, Entailer, Entailment, Pair};
pub use generator::{Form, Generator, TextRequest};

/// The models as agents see them.
pub trait Reasoner: Send + Sync {
    /// The models behind it, for traces and provenance.
    fn models(&self) -> Vec<ModelInfo>;

    /// Embeds each text as one vector; see [`bho_engine::Encoder::embed`].
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] or a model failure.
    fn embed(&self, texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError>;

    /// The model that says whether a claim follows from a text, where there is one.
    fn entailer(&self) -> Option<&dyn Entailer> {
        None
    }

    /// The language model, where there is one.
    fn generator(&self) -> Option<&dyn Generator> {
        None
    }
}
