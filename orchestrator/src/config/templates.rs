// SPDX-License-Identifier: AGPL-3.0-or-later
//! `policies.output.safe_templates`: whether there are any, their language, and texts of the pipeline's own.

use bho_guard::{Guard, GuardError, Policy, PolicyFault, SafeTemplates, TEMPLATE_KEYS};

use super::Policies;
use super::fault::{Faults, quoted};
use super::reader::Section;

/// Reads the section; faults languages there are none of and texts that the guard would not let through.
pub(super) fn read(output: &Section<'_, '_>, out: &mut Policies, faults: &mut Faults) {
    let keys = ["fallback_enabled", "language", "texts"];
    let Some(section) = faults.child(output, "safe_templates", &keys) else { return };
    faults.boolean(&section, "fallback_enabled", &mut out.fallback_enabled);
    if let Some(language) = faults.name(&section, "language") {
        out.template_language = language;
    }
    let own = faults.child(&section, "texts", TEMPLATE_KEYS);
    for key in TEMPLATE_KEYS.iter().filter(|_| own.is_some()) {
        if let Some(text) = own.as_ref().and_then(|own| faults.name(own, key)) {
            out.templates.insert((*key).to_owned(), text);
        }
    }
    // What a guard of rules makes of them; with models, a run's guard looks once more.
    let policy = Policy {
        safe_templates: SafeTemplates {
            fallback_enabled: true,
            language: out.template_language.clone(),
            texts: out.templates.clone(),
        },
        ..Policy::default()
    };
    let Err(GuardError::InvalidPolicy { faults: found }) = Guard::new(policy) else { return };
    for fault in found {
        match fault {
            PolicyFault::TemplateLanguage { language, known } => {
                let path = section.path.key("language");
                let pos = section.entry("language").map_or(section.pos, |e| e.value.pos);
                let hint = faults.suggestion(&language, known.iter().copied());
                let message =
                    format!("there are no templates in the language {}", quoted(&language));
                faults.error("unknown_language", &path, pos, message).hint = hint;
            }
            PolicyFault::Template { key, reason } => {
                let texts = section.path.key("texts");
                let path = texts.key(&key);
                let entry = own.as_ref().and_then(|own| own.entry(&key));
                let pos = entry.map_or(section.pos, |entry| entry.value.pos);
                faults.error("bad_template", &path, pos, format!("`{path}`: {reason}"));
            }
            _ => {}
        }
    }
}
