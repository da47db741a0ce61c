// SPDX-License-Identifier: AGPL-3.0-or-later
//! The pipeline file: typed schema, decoding with positions, validation.

mod schema;

pub use schema::{
    BlockedPost, BlockedPre, Budgets, Conversation, ConversationKind, DeviceMode, DeviceProfile,
    KvCacheOptions, MissingInputs, ModelRefs, Node, OnError, Pipeline, PlannerOptions, Policies,
    Pos, RagIndexOptions, SCHEMA_ID, Storage, Strategy, Tracing,
};
