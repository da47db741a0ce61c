// SPDX-License-Identifier: AGPL-3.0-or-later
//! The layers models are built from.

mod activation;
mod attention;
mod embedding;
mod layer_norm;
mod linear;

pub use activation::Activation;
pub use attention::{AttentionInput, attention, attention_of_first};
pub use embedding::Embeddings;
pub use layer_norm::LayerNorm;
pub use linear::{Linear, Rows};
