// SPDX-License-Identifier: AGPL-3.0-or-later
//! Models by name: those inside the program, and those pulled into a folder of this machine.
//!
//! Nothing here opens a connection: what does is handed in as a [`Transport`].

mod bundled;
mod disk;
mod fetch;
mod hub;
mod import;
mod link;
mod local;
mod manifest;
mod names;
mod partial;
mod pull;
mod transfer;
mod verify;

pub use bundled::{ModelEntry, ModelStore, ModelUse};
pub use link::Link;
pub use local::{Listed, LocalStore, Removed};
pub use manifest::{Checked, Manifest, Origin, OriginKind, StoredFile};
pub use partial::Partial;
pub use pull::{Event, Plan, Planned, PullOptions};
pub use transfer::{Response, Transport, TransportError};
pub use verify::{Unreferenced, Verification, VerifiedModel};
