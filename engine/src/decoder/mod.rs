// SPDX-License-Identifier: AGPL-3.0-or-later
//! Decoder-only transformers: one implementation for all architectures, which differ in data.
//!
//! - [`DecoderModel`]: the parts and their sizes; `forward` is one pass over the weights for the
//!   new tokens of several sequences
//! - [`KvCache`]: keys and values in pages, shared by sequences that begin alike
//! - [`Projection`], [`RmsNorm`], [`RotaryEmbedding`]: what layers are made of

mod forward;
mod kv;
mod model;
mod norm;
mod projection;
mod rope;

pub use forward::{Scratch, Slice, Want, Wanted};
pub use kv::{KvCache, KvKind, KvShape, PAGE, Sequence};
pub use model::{DecoderConfig, DecoderLayer, DecoderModel, GateActivation, TokenEmbeddings};
pub use norm::RmsNorm;
pub use projection::{Activations, Packed, Projection};
pub use rope::RotaryEmbedding;
