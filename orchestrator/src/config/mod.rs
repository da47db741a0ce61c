// SPDX-License-Identifier: AGPL-3.0-or-later
//! The pipeline file: typed schema, decoding with positions, validation.
//!
//! [`load_str`] reads a file's text, collects every fault with its line and column, and gives a [`Pipeline`] if none
//! of them is an error:
//!
//! ```
//! use bho_orchestrator::agents::AgentRegistry;
//! use bho_orchestrator::config;
//!
//! let text = "version: 0.1.0\nschema: pipeline.v1\nname: demo\nnode: []\n";
//! let loaded = config::load_str(text, &AgentRegistry::empty());
//! assert!(loaded.pipeline.is_none());
//! assert_eq!(
//!     loaded.render("demo.yml"),
//!     "demo.yml:1:1: error[missing_key]: the key `nodes` is missing\n\
//!      demo.yml:4:1: error[unknown_key]: `node` is not a key here\n  hint: did you mean `nodes`?\n",
//! );
//! ```

mod calibration;
mod decode;
mod effective;
mod error;
mod fault;
mod lists;
mod load;
mod not_yet;
mod reader;
mod redactions;
mod schema;
mod templates;
mod validate;
mod words;

pub use error::ConfigError;
pub use fault::{Fault, Severity};
pub use load::{Loaded, MAX_SOURCE_BYTES, load_bytes, load_file, load_str};
pub use schema::{
    BlockedPost, BlockedPre, Budgets, CalibrationSource, Conversation, ConversationKind,
    DeviceMode, DeviceProfile, KeySource, KvCacheOptions, ListEntry, MAX_NODES, MissingInputs,
    ModelRefs, Node, OnError, OnInjection, Pipeline, PlannerOptions, Policies, Pos,
    RagIndexOptions, Retrieved, SCHEMA_ID, Storage, Strategy, Tracing, VaultSource,
};
