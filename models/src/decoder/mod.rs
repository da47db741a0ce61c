// SPDX-License-Identifier: AGPL-3.0-or-later
//! Decoder-only language models: from a checkpoint to a converted file, and from that to something
//! that runs.
//!
//! An architecture is one file in `architectures/`, which says what its config means, and one line
//! in the table there.

mod architectures;
mod byte_tokenizer;
mod columns;
mod conversation;
mod convert;
mod encoder;
mod load;
mod names;
mod perplexity;
mod quantizer;
mod random;
mod rope;
mod settings;
mod spec;
mod text;

pub(crate) use architectures::{gives_vectors, is_known, spec};
pub use conversation::{Conversation, Prompt, Turn};
pub use convert::{DecoderOptions, EmbedFormat, HeadFormat, WeightFormat};
pub(crate) use convert::{convert, memory_of};
pub use encoder::DecoderEncoder;
pub use load::{LoadedDecoder, load_decoder};
pub(crate) use names::{HEAD, Stored, scale as scale_name, table_scale};
pub use perplexity::{Perplexity, Windows, perplexity};
pub use random::{SHAPES, make_random, shape};
pub(crate) use spec::{DecoderSpec, HeadSpec};
pub use text::{TextModel, TextOptions};
pub(crate) use text::{ids, special_text};
