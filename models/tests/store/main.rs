// SPDX-License-Identifier: AGPL-3.0-or-later
//! The model store: what is put there comes back, and whatever is wrong is told.

mod faults;
mod hub;
mod local;
mod requests;
mod support;
