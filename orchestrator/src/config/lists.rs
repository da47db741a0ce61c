// SPDX-License-Identifier: AGPL-3.0-or-later
//! `policies.allow` and `policies.deny`: entries, and the files they name.

use std::fs::File;
use std::io::Read as _;
use std::path::Path as FilePath;

use bho_guard::detectors::learned::TAGGED_TYPES;
use bho_guard::{Policy, PolicyFault, known_pii_types};

use crate::yaml::{Kind, Node, Path};

use super::fault::{Faults, quoted};
use super::reader::Section;
use super::{ListEntry, Policies, Pos};

/// Largest file of a list, in bytes.
const MAX_FILE: u64 = 4 << 20;
/// The most files the lists of a pipeline may name.
const MAX_FILES: usize = 16;
/// Faults that are told of the lists' texts.
const MAX_FAULTS: usize = 20;

/// Where an entry comes from, to tell its faults there.
struct Place {
    /// Which of the list's items it is; items at fault make no entry.
    index: usize,
    pos: Pos,
    /// Of its texts, where they stand in the pipeline.
    texts: Vec<Pos>,
    /// Of its texts, their lines in its file.
    lines: Vec<usize>,
}

/// Reads both lists; `folder` is the pipeline's, if it is a file.
pub(super) fn read(
    root: &Node,
    folder: Option<&FilePath>,
    out: &mut Policies,
    faults: &mut Faults,
) {
    let Some(section) = root.entry("policies") else { return };
    let policies = Path::ROOT.key("policies");
    let mut places = [Vec::new(), Vec::new()];
    let mut files = 0;
    let lists = [("allow", &mut out.allow), ("deny", &mut out.deny)];
    for ((key, list), places) in lists.into_iter().zip(&mut places) {
        let Some(entry) = section.value.entry(key).filter(|entry| !entry.value.is_null()) else {
            continue;
        };
        let path = policies.key(key);
        let Kind::Seq(items) = entry.value.kind() else {
            faults.wrong_type(&entry.value, &path, "a list of texts and maps");
            continue;
        };
        for (i, item) in items.iter().enumerate() {
            files += usize::from(item.entry("file").is_some());
            if files > MAX_FILES {
                let message = format!("the lists name more than {MAX_FILES} files");
                faults.error("bad_list_entry", &path.index(i), item.pos, message);
                break;
            }
            if let Some((entry, place)) = entry_of(item, path.index(i), key, folder, faults) {
                list.push(entry);
                places.push(Place { index: i, ..place });
            }
        }
    }
    if places.iter().all(Vec::is_empty) {
        return;
    }
    let (allow, deny) = crate::guarding::lists(out);
    let policy = Policy { allow, deny, redactions: out.redactions.clone(), ..Policy::default() };
    let mut told = 0;
    for fault in policy.validate() {
        let PolicyFault::List { list, entry, text, reason } = fault else { continue };
        told += 1;
        if told > MAX_FAULTS {
            return;
        }
        let (place, given) = match list {
            "allow" => (&places[0][entry], &out.allow[entry]),
            _ => (&places[1][entry], &out.deny[entry]),
        };
        let (pos, what) = match (text, &given.file) {
            (None, _) => (place.pos, String::new()),
            (Some(text), None) => (*place.texts.get(text).unwrap_or(&place.pos), String::new()),
            (Some(text), Some(file)) => {
                let line = place.lines.get(text).copied().unwrap_or_default();
                (place.pos, format!("{}, line {line}: ", quoted(file)))
            }
        };
        let path = policies.key(list);
        let path = path.index(place.index);
        faults.error("bad_list_entry", &path, pos, format!("`{path}`: {what}{reason}"));
    }
}

/// One entry: a text, or a map.
fn entry_of(
    item: &Node,
    path: Path<'_>,
    list: &str,
    folder: Option<&FilePath>,
    faults: &mut Faults,
) -> Option<(ListEntry, Place)> {
    let mut place = Place { index: 0, pos: item.pos, texts: vec![item.pos], lines: Vec::new() };
    let Kind::Map(_) = item.kind() else {
        let Some(text) = item.text() else {
            faults.wrong_type(item, &path, "a text, or a map with `text` or `file`");
            return None;
        };
        return Some((ListEntry { texts: vec![text.to_owned()], ..ListEntry::default() }, place));
    };
    let keys: &[&'static str] = if list == "deny" {
        &["type", "text", "file", "action"]
    } else {
        &["type", "text", "file"]
    };
    let before = faults.len();
    let section = faults.section(item, path, keys)?;
    let mut entry = ListEntry { kind: faults.name(&section, "type"), ..ListEntry::default() };
    entry.block = list == "deny" && blocks(&section, faults);
    check_type(&section, &entry, list, faults);
    match (section.entry("text"), faults.name(&section, "file")) {
        (Some(text), None) => {
            if let Kind::Seq(items) = text.value.kind() {
                place.texts = items.iter().map(|item| item.pos).collect();
                entry.texts = faults.names(&section, "text");
            } else {
                place.texts = vec![text.value.pos];
                entry.texts = faults.name(&section, "text").into_iter().collect();
            }
        }
        (None, Some(file)) => {
            let pos = section.entry("file").map_or(section.pos, |entry| entry.value.pos);
            place.pos = pos;
            match file_texts(folder, &file) {
                Ok(lines) => (place.lines, entry.texts) = lines.into_iter().unzip(),
                Err(reason) => {
                    let path = section.path.key("file");
                    faults.error(
                        "unreadable_list",
                        &path,
                        pos,
                        format!("{}: {reason}", quoted(&file)),
                    );
                }
            }
            entry.file = Some(file);
        }
        _ if faults.len() > before => {}
        _ => {
            let message = format!("`{}` must have one of `text` and `file`", section.path);
            faults.error("bad_list_entry", &section.path, section.pos, message);
        }
    }
    (faults.len() == before).then_some((entry, place))
}

/// Whether the action is to block.
fn blocks(section: &Section<'_, '_>, faults: &mut Faults) -> bool {
    let Some(word) = faults.name(section, "action") else { return false };
    if !["redact", "block"].contains(&&*word) {
        let path = section.path.key("action");
        let pos = section.entry("action").map_or(section.pos, |entry| entry.value.pos);
        let message = format!("`{path}` must be `redact` or `block`, found {}", quoted(&word));
        faults.error("unknown_word", &path, pos, message);
    }
    word == "block"
}

/// What is allowed is allowed as a type there is; what blocks has none.
fn check_type(section: &Section<'_, '_>, entry: &ListEntry, list: &str, faults: &mut Faults) {
    let Some((kind, place)) = entry.kind.as_deref().zip(section.entry("type")) else { return };
    let (path, pos) = (section.path.key("type"), place.value.pos);
    if entry.block {
        let message = format!("`{path}` is for what is redacted, not for what blocks");
        faults.error("bad_list_entry", &path, pos, message);
        return;
    }
    let types = known_pii_types();
    let mut known: Vec<&str> = types.iter().chain(TAGGED_TYPES).map(|kind| kind.key()).collect();
    known.sort_unstable();
    known.dedup();
    if list == "allow" && !known.contains(&kind) {
        let hint = faults.suggestion(kind, known.into_iter());
        let message = format!("the guard knows no kind of PII called {}", quoted(kind));
        faults.error("unknown_pii_type", &path, pos, message).hint = hint;
    }
}

/// The texts of a file, one a line, with their line numbers; empty lines and those that begin with `#` are none.
fn file_texts(folder: Option<&FilePath>, file: &str) -> Result<Vec<(usize, String)>, String> {
    let Some(folder) = folder else {
        return Err("a pipeline that is no file itself cannot name one; put the texts here".into());
    };
    let path = folder.join(file);
    let said = |error: std::io::Error| format!("cannot be read: {error}");
    let meta = std::fs::metadata(&path).map_err(said)?;
    // A pipe would hang, a device would never end.
    if !meta.is_file() {
        return Err("is no file".into());
    }
    let mut bytes = Vec::new();
    File::open(&path).and_then(|f| f.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(said)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("is larger than {MAX_FILE} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        format!("is not UTF-8 from byte {} on", error.utf8_error().valid_up_to())
    })?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate();
    let texts = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    Ok(texts.map(|(i, line)| (i + 1, line.to_owned())).collect())
}
