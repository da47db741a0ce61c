// SPDX-License-Identifier: AGPL-3.0-or-later
//! `pipeline.v1`: configuration, validation, planning, scheduling, agents and traces.

#![forbid(unsafe_code)]

pub mod agents;
pub mod binding;
pub mod config;
pub mod error;
pub mod guarding;
pub mod merge;
mod panics;
pub mod plan;
pub mod reasoner;
pub mod result;
pub mod run;
pub mod scheduler;
pub mod text;
pub mod trace;
mod yaml;
