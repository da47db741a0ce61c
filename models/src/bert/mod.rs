// SPDX-License-Identifier: AGPL-3.0-or-later
//! BERT (arXiv:1810.04805) and its family: MiniLM, TinyBERT, and other post-norm encoders with
//! absolute positions.

mod classify;
mod config;
mod convert;
mod encoder;
mod load;
mod model;
mod spec;

pub use config::{BertConfig, TernaryScale};
pub(crate) use convert::{Conversion, Network};
pub use encoder::BertEncoder;
pub use model::{BertModel, TokenSequence};
pub(crate) use spec::{Scope, SubNorms, TensorKind, packed_shape, tensor_specs};
