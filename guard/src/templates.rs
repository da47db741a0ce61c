// SPDX-License-Identifier: AGPL-3.0-or-later
//! The texts that stand in for a blocked one, in several languages (`safe_templates.json`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::card::Mode;
use crate::error::GuardError;
use crate::finding::Category;
use crate::guard::Guard;
use crate::policy::{PolicyFault, SafeTemplates};

/// The language of templates that are asked for in none.
pub(crate) const DEFAULT_LANGUAGE: &str = "en";

/// The keys of templates, each of which `policies.output.safe_templates.texts` may set.
pub const TEMPLATE_KEYS: &[&str] = &[
    "toxicity_input",
    "toxicity_output",
    "jailbreak_input",
    "jailbreak_output",
    "indirect",
    "denied_input",
    "denied_output",
    "pii",
];

/// A template of more bytes is refused: it stands in for every blocked text.
const MAX_TEMPLATE: usize = 2000;

type Texts = BTreeMap<String, BTreeMap<String, String>>;

/// Read once a process. A file that does not parse, which a test rules out, leaves blocked texts without a template.
static TEXTS: LazyLock<Texts> =
    LazyLock::new(|| serde_json::from_str(include_str!("safe_templates.json")).unwrap_or_default());

/// The languages that templates come in, sorted.
#[must_use]
pub fn template_languages() -> Vec<&'static str> {
    TEXTS.keys().map(String::as_str).collect()
}

/// The language of a tag such as `de-AT` or `pt_BR`, by its first part, if there are templates in it.
fn language(tag: &str) -> Option<&'static str> {
    let primary = tag.split(['-', '_']).next().unwrap_or_default();
    TEXTS.keys().map(String::as_str).find(|known| primary.eq_ignore_ascii_case(known))
}

/// The safe text for a block, in English.
///
/// Chosen by what was found and on which side, so that the reader learns what to change. Every template passes the guard:
/// a test checks each against the default policy.
#[must_use]
pub fn safe_text(cause: Category, mode: Mode) -> &'static str {
    template(DEFAULT_LANGUAGE, key(cause, mode))
}

fn template(language: &str, key: &str) -> &'static str {
    TEXTS.get(language).and_then(|texts| texts.get(key)).map_or("", String::as_str)
}

fn key(cause: Category, mode: Mode) -> &'static str {
    match (cause, mode) {
        (Category::Toxicity, Mode::Input) => "toxicity_input",
        (Category::Toxicity, Mode::Output) => "toxicity_output",
        (Category::Jailbreak, Mode::Input) => "jailbreak_input",
        (Category::Jailbreak, Mode::Output) => "jailbreak_output",
        (Category::Indirect, _) => "indirect",
        (Category::Denied, Mode::Input) => "denied_input",
        (Category::Denied, Mode::Output) => "denied_output",
        (Category::Pii(_), _) => "pii",
    }
}

impl SafeTemplates {
    /// What stands in for a text blocked for this cause: nothing when templates are off.
    #[must_use]
    pub fn text(&self, cause: Category, mode: Mode) -> &str {
        if !self.fallback_enabled {
            return "";
        }
        let key = key(cause, mode);
        let own = self.texts.get(key).map(String::as_str);
        own.unwrap_or_else(|| template(language(&self.language).unwrap_or(DEFAULT_LANGUAGE), key))
    }
}

/// Languages and keys that there are none of, and texts that cannot be templates.
pub(crate) fn validate(templates: &SafeTemplates) -> Vec<PolicyFault> {
    let mut faults = Vec::new();
    if language(&templates.language).is_none() {
        let (language, known) = (templates.language.clone(), template_languages());
        faults.push(PolicyFault::TemplateLanguage { language, known });
    }
    for (key, text) in &templates.texts {
        let reason = if !TEMPLATE_KEYS.contains(&key.as_str()) {
            format!("there is no such template; there are: {}", TEMPLATE_KEYS.join(", "))
        } else if text.trim().is_empty() {
            "is empty; `fallback_enabled: false` leaves blocked texts without one".to_owned()
        } else if text.len() > MAX_TEMPLATE {
            format!("has {} bytes; at most {MAX_TEMPLATE} are taken", text.len())
        } else {
            continue;
        };
        faults.push(PolicyFault::Template { key: key.clone(), reason });
    }
    faults
}

/// Templates of the policy's own that its guard would not let through as they stand.
///
/// # Errors
/// Those of [`Guard::check`].
pub(crate) fn check(guard: &Guard) -> Result<Vec<PolicyFault>, GuardError> {
    let mut faults = Vec::new();
    for (key, text) in &guard.policy().safe_templates.texts {
        let mode = if key.ends_with("_input") { Mode::Input } else { Mode::Output };
        let card = guard.check("template", text, mode)?.card;
        let reason = if !card.allowed {
            format!("the guard itself would not let it through: {}", card.why)
        } else if card.text != *text {
            format!("the guard itself would redact it: {}", card.policy_tags.join(", "))
        } else {
            continue;
        };
        faults.push(PolicyFault::Template { key: key.clone(), reason });
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Guard, Policy};

    #[test]
    fn every_template_is_there_and_passes_the_guard_unchanged() {
        let guard = Guard::new(Policy::default()).unwrap();
        assert_eq!(template_languages(), ["de", "en", "es", "fr", "it", "nl", "pl", "pt"]);
        for language in template_languages() {
            assert_eq!(TEXTS[language].len(), TEMPLATE_KEYS.len(), "{language}");
            for key in TEMPLATE_KEYS {
                let text = template(language, key);
                assert!(!text.is_empty() && text.ends_with('.'), "{language} {key}");
                for mode in [Mode::Input, Mode::Output] {
                    let card = guard.check("template", text, mode).unwrap().card;
                    assert!(card.allowed && card.text == text, "{language} {key}: {card:?}");
                    assert!(card.labels.jailbreak < 0.3, "{language} {key}: {:?}", card.labels);
                }
                // A document that holds it is no attack either.
                let card = guard.check_retrieved("template", text, Mode::Input).unwrap().card;
                assert!(card.allowed, "{language} {key}: {card:?}");
            }
        }
    }

    #[test]
    fn languages_go_by_their_first_part_and_own_texts_win() {
        let mut templates = SafeTemplates { language: "de-AT".into(), ..SafeTemplates::default() };
        let text = |t: &SafeTemplates| t.text(Category::Toxicity, Mode::Input).to_owned();
        assert!(text(&templates).starts_with("Diese Nachricht"));
        templates.texts.insert("toxicity_input".into(), "Please be kind.".into());
        assert_eq!(text(&templates), "Please be kind.");
        templates.fallback_enabled = false;
        assert_eq!(text(&templates), "");
        assert!(validate(&templates).is_empty());
    }

    #[test]
    fn what_cannot_be_a_template_is_told() {
        let mut templates = SafeTemplates { language: "xx".into(), ..SafeTemplates::default() };
        for (key, text) in [("toxicity", "a"), ("pii", " "), ("indirect", &"x".repeat(2001))] {
            templates.texts.insert(key.into(), text.into());
        }
        let faults: Vec<String> = validate(&templates).iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 4, "{faults:#?}");
        assert!(faults[0].contains("language `xx`") && faults[0].contains("de, en"), "{faults:#?}");
    }
}
