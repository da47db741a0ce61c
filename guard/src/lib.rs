// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard: finds personal data and jailbreak attempts in a text, redacts or blocks by a policy, and says so in a card.
//!
//! ```
//! use bho_guard::{Action, Guard, Mode, Policy};
//!
//! let guard = Guard::new(Policy::default())?;
//! let card = guard.check("parse:pre", "Write to ann@example.org, please.", Mode::Input)?.card;
//! assert_eq!(card.text, "Write to [EMAIL], please.");
//! assert_eq!(card.actions, [Action::Redact]);
//! assert_eq!(card.redactions[0].span, [9, 24]); // bytes of the text before redaction
//! # Ok::<(), bho_guard::GuardError>(())
//! ```
//!
//! What is here: e-mail and postal addresses, phone numbers, payment cards, IBANs and BICs, dates of birth, IP and MAC
//! addresses, passports, driving licences and the national ids of 12 countries, crypto addresses, credentials in URLs, API
//! keys and tokens, private keys and passwords, each validated as far as its form allows (`docs/guard.md` has the table), and
//! jailbreak heuristics. Names, places and toxicity take a model: whoever has one adds [`detectors::learned`] through
//! [`Guard::builder`], as the program does. Without, `labels.toxicity` stays 0.0; [`Guard::capabilities`] says which
//! signals are live.
//!
//! Everything works in time linear in the text, whatever the text is, and opens no socket and no file but that of a
//! [`Vault`].
//!
//! A detector is one file under `detectors/` and one line in its registry; a [`Detector`] of another crate is added with
//! [`GuardBuilder::detector`].
#![forbid(unsafe_code)]

mod calibration;
mod card;
mod combine;
mod decide;
mod detector;
pub mod detectors;
mod error;
mod finding;
mod guard;
mod lists;
pub mod normalise;
mod operator;
mod policy;
mod reading;
mod redact;
mod settings;
mod stream;
mod templates;
mod text;
mod vault;
mod windows;

pub use calibration::{
    CALIBRATION_FORMAT, Calibration, CalibrationData, CalibrationModel, ScoreMap, SignalCalibration,
};
pub use card::{
    Action, Evidence, GUARD_VERSION, Labels, Mode, ModerationCard, PartlyRead, Redaction,
};
pub use decide::MAX_EVIDENCE;
pub use detector::{DetectContext, Detector, Hold, Opinion, Signal, Source};
pub use error::GuardError;
pub use finding::{Category, Finding, PiiType};
pub use guard::{Capability, Guard, GuardBuilder, Verdict};
pub use lists::{
    AllowEntry, DENIED, DenyAction, DenyEntry, MAX_LIST_ENTRIES, MAX_LIST_REGEXES, MAX_LIST_TEXT,
};
pub use normalise::{Via, View, model_view};
pub use operator::{GuardKeys, HASH_LENGTH, HASH_LENGTHS, Operator};
pub use policy::{
    Policy, PolicyFault, SafeTemplates, Thresholds, kept_by_default, known_pii_types,
};
pub use reading::{MODEL_WINDOWS, WINDOW_BYTES};
pub use redact::redacted;
pub use settings::{
    GUARD_DISABLE_ONNX, GUARD_REGEX_ONLY, GuardEnv, TINYBERT_ONNX_PATH, TINYBERT_PATH,
    TINYBERT_TOKENIZER_DIR,
};
pub use stream::{MAX_HELD, Released, StreamGuard, WITHHELD};
pub use templates::{TEMPLATE_KEYS, safe_text, template_languages};
pub use vault::{Key, Revealed, Vault, VaultError, VaultSecret};
