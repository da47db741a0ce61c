// SPDX-License-Identifier: AGPL-3.0-or-later
//! Models: file formats, architectures, conversion, inspection and the store.
//!
//! A new architecture is one folder (config, tensor names, forward pass) and one line in the
//! table of `load.rs`.

#![forbid(unsafe_code)]

pub mod bert;
mod chat;
#[cfg(feature = "constraints")]
mod constraint;
mod convert;
pub mod decoder;
mod decoder_tokenizer;
mod error;
pub mod gguf;
mod inspect;
mod load;
mod package;
mod source;
pub mod store;
mod tokenizer;
mod weights;
mod windows;

pub use chat::{ChatInput, ChatTemplate};
#[cfg(feature = "constraints")]
pub use constraint::ConstraintFactory;
pub use convert::{ConvertOptions, ConvertReport, Progress, TensorReport, convert};
pub use decoder_tokenizer::{DecoderTokenizer, EncodeOptions};
pub use error::ModelError;
pub use inspect::{
    Audit, Finding, InspectedJudge, InspectedMemory, InspectedTokenizer, Inspection, ModelSizes,
    Severity, TensorInfo, WeightKind, audit, inspect,
};
pub use load::{
    ModelKind, ModelSource, load_encoder, load_encoder_with_tokenizer, load_prompted_encoder,
    model_kind,
};
pub use package::{Judge, Package, Pooling, Prompts};
pub use store::{ModelEntry, ModelStore};
pub use tokenizer::{TextTokenizer, Tokens};
pub use weights::{Tensor, Weights};

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}
