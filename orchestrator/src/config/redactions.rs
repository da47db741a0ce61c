// SPDX-License-Identifier: AGPL-3.0-or-later
//! `policies.redactions`: a flag, an operator's name, or a map with an `operator` and its options; and the keys that
//! operators need.

use bho_guard::{HASH_LENGTHS, Operator};

use crate::yaml::{Kind, Node, Path};

use super::fault::{Faults, quoted};
use super::reader::Section;
use super::{KeySource, Policies, VaultSource};

const EXPECTED: &str = "`true`, `false`, the name of an operator, or a map with an `operator`";
/// Options and the operator each belongs to.
const OPTIONS: &[(&str, &str)] = &[
    ("text", "replace"),
    ("numbered", "replace"),
    ("keep_last", "mask"),
    ("char", "mask"),
    ("length", "hash"),
];
/// More than the longest number that is masked has.
const MAX_KEPT: u64 = 64;
const MAX_PLACEHOLDER: usize = 64;

/// Reads the operators, the key of hashes and the vault; faults operators whose key is not named.
pub(super) fn read(policies: &Section<'_, '_>, out: &mut Policies, faults: &mut Faults) {
    if let Some(section) = faults.child(policies, "hash_key", &["env", "file"]) {
        out.hash_key = key_source(&section, faults);
    }
    if let Some(section) = faults.child(policies, "vault", &["file", "key"]) {
        faults.require(&section, "file");
        faults.require(&section, "key");
        let file = faults.name(&section, "file");
        let key = faults.child(&section, "key", &["env", "file"]);
        let key = key.and_then(|key| key_source(&key, faults));
        out.vault = file.zip(key).map(|(file, key)| VaultSource { file, key });
    }
    let Some(redactions) = faults.open_child(policies, "redactions") else { return };
    for entry in redactions.entries() {
        let path = redactions.path.key(&entry.key);
        let Some(operator) = operator(&entry.value, path, faults) else { continue };
        let needs = match operator {
            Operator::Hash { .. } => Some(("hash_key", "`hash_key: { env: NAME }`")),
            Operator::Pseudonymise => {
                Some(("vault", "`vault: { file: FILE, key: { env: NAME } }`"))
            }
            _ => None,
        };
        if let Some((key, example)) = needs.filter(|(key, _)| policies.entry(key).is_none()) {
            let word = operator.word();
            let message = format!("`{path}` is `{word}`, which needs `policies.{key}`");
            faults
                .error("missing_key_source", &path, entry.value.pos, message)
                .hint(format!("add {example} to `policies`"));
        }
        out.redactions.insert(entry.key.to_string(), operator);
    }
}

fn operator(node: &Node, path: Path<'_>, faults: &mut Faults) -> Option<Operator> {
    if let Kind::Map(_) = node.kind() {
        let keys = ["operator", "text", "numbered", "keep_last", "char", "length"];
        let section = faults.section(node, path, &keys)?;
        faults.require(&section, "operator");
        let entry = section.entry("operator").filter(|entry| !entry.value.is_null())?;
        let operator = word(&entry.value, path.key("operator"), faults)?;
        return Some(options(operator, &section, faults));
    }
    if let Some(crate::yaml::Value::Bool(on)) = node.scalar().map(|scalar| scalar.value) {
        return Some(on.into());
    }
    word(node, path, faults)
}

/// An operator by its name.
fn word(node: &Node, path: Path<'_>, faults: &mut Faults) -> Option<Operator> {
    let words = Operator::words();
    let text = node.text();
    if let Some((_, operator)) = words.iter().find(|(word, _)| text == Some(*word)) {
        return Some(operator.clone());
    }
    let names = words.iter().map(|(word, _)| *word);
    let hint = text.and_then(|text| faults.suggestion(text, names));
    let fault = faults.wrong_type(node, &path, EXPECTED);
    if fault.hint.is_none() {
        fault.hint = hint;
    }
    None
}

/// The operator with its options; one of another operator is a fault.
fn options(mut operator: Operator, section: &Section<'_, '_>, faults: &mut Faults) -> Operator {
    let word = operator.word();
    for (key, owner) in OPTIONS {
        if let Some(entry) = section.entry(key).filter(|_| *owner != word) {
            let message = format!("`{key}` is an option of `{owner}`, not of `{word}`");
            faults.error("unknown_key", &section.path.key(key), entry.key_pos, message);
        }
    }
    match &mut operator {
        Operator::Replace { text, numbered } => {
            *text = faults.name(section, "text").filter(|text| {
                let fits = text.len() <= MAX_PLACEHOLDER && !text.contains(char::is_control);
                if !fits {
                    let message = format!(
                        "`{}` must be one line of at most {MAX_PLACEHOLDER} bytes",
                        section.path.key("text")
                    );
                    let pos = section.entry("text").map_or(section.pos, |entry| entry.value.pos);
                    faults.error("out_of_range", &section.path.key("text"), pos, message);
                }
                fits
            });
            faults.boolean(section, "numbered", numbered);
        }
        Operator::Mask { keep_last, with } => {
            faults.integer(section, "keep_last", 0..=MAX_KEPT, keep_last);
            if let Some(text) = faults.text(section, "char") {
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(c), None) if !c.is_whitespace() && !c.is_control() => *with = c,
                    _ => {
                        let path = section.path.key("char");
                        let found = quoted(&text);
                        let message = format!(
                            "`{path}` must be one character that can be seen, found {found}"
                        );
                        let pos = section.entry("char").map_or(section.pos, |e| e.value.pos);
                        faults.error("out_of_range", &path, pos, message);
                    }
                }
            }
        }
        Operator::Hash { length } => {
            let range = *HASH_LENGTHS.start() as u64..=*HASH_LENGTHS.end() as u64;
            faults.integer(section, "length", range, length);
        }
        _ => {}
    }
    operator
}

/// Where a key comes from: one of `env` and `file`.
fn key_source(section: &Section<'_, '_>, faults: &mut Faults) -> Option<KeySource> {
    let before = faults.len();
    match (faults.name(section, "env"), faults.name(section, "file")) {
        (Some(name), None) => Some(KeySource::Env(name)),
        (None, Some(path)) => Some(KeySource::File(path)),
        _ if faults.len() > before => None,
        _ => {
            let message = format!("`{}` must have one of `env` and `file`", section.path);
            faults
                .error("key_source", &section.path, section.pos, message)
                .hint("a variable, `{ env: NAME }`, or a file, `{ file: PATH }`, holds the key");
            None
        }
    }
}
