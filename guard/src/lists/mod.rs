// SPDX-License-Identifier: AGPL-3.0-or-later
//! `policies.allow` and `policies.deny`: values that are never redacted, and words that always are, or block.

mod deny;

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use unicode_normalization::UnicodeNormalization as _;

use crate::finding::PiiType;
use crate::normalise::is_invisible;
use crate::policy::{Policy, PolicyFault};

pub(crate) use deny::DenyList;

/// The most entries of a policy, those of its files included.
pub const MAX_LIST_ENTRIES: usize = 100_000;
/// The most regular expressions among them.
pub const MAX_LIST_REGEXES: usize = 256;
/// The longest entry, in bytes.
pub const MAX_LIST_TEXT: usize = 1024;
/// A compiled expression takes at most this many bytes.
const MAX_COMPILED: usize = 1 << 20;

/// The type of denied words that are given none.
pub const DENIED: PiiType = PiiType::new("denied");

/// Values that are no personal data here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowEntry {
    /// The type they are allowed as, by its key; none for every type.
    pub kind: Option<String>,
    /// Each a text, or a regular expression between slashes.
    pub texts: Vec<String>,
}

/// What is done with denied words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DenyAction {
    /// They are redacted as personal data of this type, one of the guard's or a new one: `codename` gives `[CODENAME]`.
    Redact(String),
    /// They block the text.
    Block,
}

impl Default for DenyAction {
    fn default() -> Self {
        Self::Redact(DENIED.key().to_owned())
    }
}

/// Words that never pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DenyEntry {
    /// What is done with them.
    pub action: DenyAction,
    /// Each a text, or a regular expression between slashes.
    pub texts: Vec<String>,
}

/// What an entry asks for.
enum Wanted<'e> {
    Text(String),
    Regex(&'e str),
}

/// Reads an entry: `/re/` is an expression, all else a text.
fn read(text: &str) -> Wanted<'_> {
    match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        Some(regex) if !regex.is_empty() => Wanted::Regex(regex),
        _ => Wanted::Text(folded(text)),
    }
}

/// A value as lists compare it: NFKC (which makes full width plain), lower case, without invisible characters, one space
/// for each stretch of white space and none at the ends.
pub(crate) fn folded(value: &str) -> String {
    let plain: String = value.nfkc().filter(|c| !is_invisible(*c)).collect();
    let mut out = String::with_capacity(plain.len());
    for word in plain.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&word.to_lowercase());
    }
    out
}

/// A regular expression within bounds; its matching takes time linear in the text, as all of the crate's does.
fn compile(regex: &str, whole: bool) -> Result<Regex, String> {
    let pattern = if whole { format!("\\A(?:{regex})\\z") } else { regex.to_owned() };
    let built = RegexBuilder::new(&pattern).case_insensitive(true).size_limit(MAX_COMPILED).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
        // The last line says what is wrong; those before it draw the pattern.
        other => {
            let message = other.to_string();
            let line = message.lines().last().unwrap_or_default();
            format!("not a regular expression: {}", line.trim_start_matches("error: "))
        }
    })
}

/// Every fault of the lists, each at its entry.
pub(crate) fn validate(policy: &Policy) -> Vec<PolicyFault> {
    let mut faults = Vec::new();
    let (mut entries, mut regexes) = (0, 0);
    let allow = policy.allow.iter().map(|entry| ("allow", &entry.texts, None));
    let deny = policy.deny.iter().map(|entry| ("deny", &entry.texts, Some(&entry.action)));
    let mut last = ("", 0);
    for (list, texts, action) in allow.chain(deny) {
        last = if last.0 == list { (list, last.1 + 1) } else { (list, 0) };
        let entry = last.1;
        let mut fault = |text, reason| faults.push(PolicyFault::List { list, entry, text, reason });
        if let Some(DenyAction::Redact(kind)) = action {
            match PiiType::named(kind) {
                None => fault(
                    None,
                    format!(
                        "{kind:?} is no name of a type; accepted: a-z, 0-9 and _, at most 48 of them"
                    ),
                ),
                Some(kind) if !policy.redacts(kind) => {
                    fault(
                        None,
                        format!("`redactions.{}` keeps what this entry denies", kind.key()),
                    );
                }
                Some(_) => {}
            }
        }
        for (i, text) in texts.iter().enumerate() {
            entries += 1;
            if entries == MAX_LIST_ENTRIES + 1 {
                fault(Some(i), format!("more than {MAX_LIST_ENTRIES} texts in all"));
            }
            let reason = match read(text) {
                _ if text.len() > MAX_LIST_TEXT => {
                    Some(format!("has {} bytes; at most {MAX_LIST_TEXT} are taken", text.len()))
                }
                Wanted::Text(text) => text.is_empty().then(|| "is empty".to_owned()),
                Wanted::Regex(regex) => {
                    regexes += 1;
                    if regexes == MAX_LIST_REGEXES + 1 {
                        let reason =
                            format!("more than {MAX_LIST_REGEXES} regular expressions in all");
                        fault(Some(i), reason);
                    }
                    let compiled = (regexes <= MAX_LIST_REGEXES)
                        .then(|| compile(regex, list == "allow"))
                        .and_then(Result::err);
                    compiled.or_else(|| {
                        let empty = Regex::new(regex).is_ok_and(|re| re.is_match(""));
                        (list == "deny" && empty).then(|| "matches the empty text".to_owned())
                    })
                }
            };
            if let Some(reason) = reason {
                fault(Some(i), reason);
            }
        }
    }
    faults
}

/// The allow list, ready to compare with.
#[derive(Debug, Default)]
pub(crate) struct AllowList {
    /// By the folded value: the types it is allowed as.
    texts: HashMap<String, Vec<Option<String>>>,
    regexes: Vec<(Option<String>, Regex)>,
}

impl AllowList {
    /// The list of a policy that [`validate`] finds no fault with; entries at fault are left out.
    pub(crate) fn new(policy: &Policy) -> Self {
        let mut list = Self::default();
        for entry in &policy.allow {
            for text in &entry.texts {
                match read(text) {
                    Wanted::Text(text) => {
                        list.texts.entry(text).or_default().push(entry.kind.clone());
                    }
                    Wanted::Regex(regex) => {
                        let regex = compile(regex, true).ok();
                        list.regexes.extend(regex.map(|regex| (entry.kind.clone(), regex)));
                    }
                }
            }
        }
        list
    }

    /// Whether `value`, all of it, is allowed as this type.
    pub(crate) fn allows(&self, kind: PiiType, value: &str) -> bool {
        if self.texts.is_empty() && self.regexes.is_empty() || value.len() > 4 * MAX_LIST_TEXT {
            return false;
        }
        let fits = |wanted: &Option<String>| wanted.as_ref().is_none_or(|key| key == kind.key());
        let value = folded(value);
        self.texts.get(&value).is_some_and(|kinds| kinds.iter().any(fits))
            || self.regexes.iter().any(|(wanted, regex)| fits(wanted) && regex.is_match(&value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMAIL: PiiType = PiiType::new("email");
    const PHONE: PiiType = PiiType::new("phone");

    fn allow(kind: Option<&str>, texts: &[&str]) -> Policy {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        let entry = AllowEntry { kind: kind.map(str::to_owned), texts };
        Policy { allow: vec![entry], ..Policy::default() }
    }

    #[test]
    fn a_value_is_allowed_only_as_a_whole_and_as_its_type() {
        let list = AllowList::new(&allow(Some("email"), &["Support@Example.com", "/.+@a\\.org/"]));
        for (kind, value, want) in [
            (EMAIL, "support@example.com", true),
            (EMAIL, "ＳＵＰＰＯＲＴ@example.com", true),
            (EMAIL, "sup\u{200b}port@example.com", true),
            (EMAIL, "support@example.com.evil.org", false),
            (EMAIL, "x-support@example.com", false),
            (PHONE, "support@example.com", false),
            (EMAIL, "ann@a.org", true),
            (EMAIL, "ANN@A.ORG", true),
            (EMAIL, "ann@a.org.evil.net", false),
            (EMAIL, "ann@aborg", false),
        ] {
            assert_eq!(list.allows(kind, value), want, "{value}");
        }
        let any = AllowList::new(&allow(None, &["+1 415 555 0100"]));
        assert!(any.allows(PHONE, "+1 415  555 0100 ") && any.allows(EMAIL, "+1 415 555 0100"));
    }

    #[test]
    fn alternatives_of_an_expression_are_held_to_the_whole_value_too() {
        let list = AllowList::new(&allow(None, &["/a@b\\.org|c@d\\.org/"]));
        assert!(list.allows(EMAIL, "c@d.org"));
        assert!(!list.allows(EMAIL, "c@d.org.uk") && !list.allows(EMAIL, "aa@b.org"));
    }

    #[test]
    fn ten_thousand_texts_are_fine_and_bounds_hold() {
        let texts: Vec<String> = (0..10_000).map(|i| format!("user{i}@example.org")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let policy = allow(Some("email"), &texts);
        assert!(validate(&policy).is_empty());
        let list = AllowList::new(&policy);
        assert!(list.allows(EMAIL, "user9999@example.org"));
        assert!(!list.allows(EMAIL, "user10000@example.org"));

        let long = "x".repeat(MAX_LIST_TEXT + 1);
        let faults = validate(&allow(None, &["", " \u{200b}", &long, "/(/", "/(x{1000}){1000}/"]));
        let reasons: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 5, "{reasons:#?}");
        assert!(reasons[3].contains("allow[0]: text 4: not a regular expression: unclosed group"));
        assert!(reasons[4].contains("too large"), "{reasons:#?}");
        let many = vec!["/a/"; MAX_LIST_REGEXES + 3];
        assert_eq!(validate(&allow(None, &many)).len(), 1);
    }

    #[test]
    fn a_deny_entry_needs_a_type_that_goes() {
        let entry = |kind: &str| DenyEntry {
            action: DenyAction::Redact(kind.into()),
            texts: vec!["Falcon".into(), "/x*/".into()],
        };
        let mut policy = Policy { deny: vec![entry("codename"), entry("E")], ..Policy::default() };
        policy.redactions.insert("codename".into(), false.into());
        let faults: Vec<String> = validate(&policy).iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 4, "{faults:#?}");
        assert!(faults[0].contains("deny[0]: `redactions.codename` keeps"), "{faults:#?}");
        assert!(faults[1].contains("deny[0]: text 2: matches the empty text"), "{faults:#?}");
        assert!(faults[2].contains("deny[1]: \"E\" is no name"), "{faults:#?}");
    }
}
