// SPDX-License-Identifier: AGPL-3.0-or-later
//! BERT (arXiv:1810.04805) and its family: MiniLM, TinyBERT, and other post-norm encoders with
//! absolute positions.

mod config;
mod encoder;
mod model;
mod spec;

pub use config::BertConfig;
pub use encoder::BertEncoder;
pub(crate) use model::packed_shape;
pub use model::{BertModel, TokenSequence};
pub(crate) use spec::{TensorKind, find_prefix, tensor_specs};
