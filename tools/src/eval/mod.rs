// SPDX-License-Identifier: AGPL-3.0-or-later
//! Measuring on labelled data: what `bho eval` and `bho guard tune` share.
//!
//! - [`data`] reads labelled texts, [`types`] what their types of personal data are called here
//! - [`ranking`] judges scores against labels, [`spans`] stretches of text against labelled ones
//! - [`bootstrap`] gives intervals for whatever figures can be computed with a weight for each text
//! - [`tasks`] are what agents and embeddings are measured on: summaries, claims, retrieval, similarity, by [`rouge`],
//!   [`selective`], [`correlation`], beside the baselines [`textrank`] and [`bm25`], in [`paired`] comparison
//! - [`guard`] has the guard, or a file of predictions, answer; [`measure`] makes the [`document`] of it
//! - [`report`] shows that in a terminal, as JSON and as a page
//! - [`tune`] chooses thresholds and fits maps

mod bm25;
pub(crate) mod bootstrap;
mod correlation;
pub(crate) mod data;
pub(crate) mod document;
pub(crate) mod guard;
pub(crate) mod latency;
pub(crate) mod lines;
pub(crate) mod measure;
pub(crate) mod mistakes;
mod paired;
mod porter;
pub(crate) mod ranking;
pub(crate) mod report;
mod rouge;
mod selective;
pub(crate) mod spans;
pub(crate) mod tasks;
mod textrank;
pub(crate) mod tune;
pub(crate) mod types;
