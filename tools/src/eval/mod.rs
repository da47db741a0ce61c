// SPDX-License-Identifier: AGPL-3.0-or-later
//! Measuring on labelled data: what `bho eval` and `bho guard tune` share.
//!
//! - [`data`] reads labelled texts, [`types`] what their types of personal data are called here
//! - [`ranking`] judges scores against labels, [`spans`] stretches of text against labelled ones
//! - [`bootstrap`] gives intervals for whatever figures can be computed with a weight for each text
//! - [`guard`] has the guard, or a file of predictions, answer; [`measure`] makes the [`document`] of it
//! - [`report`] shows that in a terminal, as JSON and as a page
//! - [`tune`] chooses thresholds and fits maps

pub(crate) mod bootstrap;
pub(crate) mod data;
pub(crate) mod document;
pub(crate) mod guard;
pub(crate) mod latency;
pub(crate) mod measure;
pub(crate) mod mistakes;
pub(crate) mod ranking;
pub(crate) mod report;
pub(crate) mod spans;
pub(crate) mod tune;
pub(crate) mod types;
