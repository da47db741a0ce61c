// SPDX-License-Identifier: AGPL-3.0-or-later
//! Repositories of a model hub: what is in one, which files a model needs, and where they are.
//!
//! `{hub}/api/models/{repository}/revision/{revision}` lists a revision as JSON;
//! `{hub}/{repository}/resolve/{revision}/{path}` is a file.

use bho_engine::CancelToken;
use serde_json::Value;

use super::fetch::Wanted;
use super::link::Link;
use super::manifest::{Checked, MAX_FILES, Origin, OriginKind, check_paths};
use super::names;
use super::pull::{Event, Plan, PullOptions, Source};
use super::transfer::{Transfer, Transport, allowed, transfer};
use crate::error::ModelError;

/// Largest listing read, in bytes.
const MAX_LISTING: u64 = 16 << 20;

/// Most files of a repository.
const MAX_LISTED: usize = 100_000;

impl Plan {
    /// What pulling a repository of the hub at `hub` means, as its listing has it.
    ///
    /// # Errors
    /// For an address that may not be asked, a repository that is not there, or a listing that is
    /// not one or names hostile files; if no file or no single choice of files fits.
    pub fn of_hub(
        transport: &dyn Transport,
        (hub, repository, revision): (&Link, &str, &str),
        options: &PullOptions,
        cancel: &CancelToken,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<Self, ModelError> {
        allowed(hub, options.insecure_http).map_err(|e| transfer(hub, e))?;
        let (owner, name) = repository_parts(repository)?;
        check_revision(revision)?;
        let listing = hub.below(&["api", "models", owner, name, "revision", revision]);
        let listing = listing.with_query("blobs=true");
        let text = Transfer { transport, options, cancel }.text(&listing, MAX_LISTING, events)?;
        let invalid = |message: String| transfer(&listing, message);
        let json: Value = serde_json::from_str(&text)
            .map_err(|e| invalid(format!("the listing is not JSON: {e}")))?;
        // Files are asked for by the commit that was listed: a push in between changes nothing.
        let is_commit = |sha: &&str| {
            sha.len() >= 40 && sha.len() <= 64 && sha.bytes().all(|b| b.is_ascii_hexdigit())
        };
        let commit = json.get("sha").and_then(Value::as_str).filter(is_commit).unwrap_or(revision);
        let siblings = json
            .get("siblings")
            .and_then(Value::as_array)
            .filter(|siblings| siblings.len() <= MAX_LISTED)
            .ok_or_else(|| {
                invalid(format!("lists no files (siblings), or more than {MAX_LISTED}"))
            })?;
        let mut paths = Vec::with_capacity(siblings.len());
        for sibling in siblings {
            let path = sibling.get("rfilename").and_then(Value::as_str);
            let path =
                path.ok_or_else(|| invalid("lists a file without a name (rfilename)".into()))?;
            paths.push((path, sibling));
        }
        // All of them, wanted or not: a listing with such a name is not to be trusted.
        check_paths(paths.iter().map(|(path, _)| *path)).map_err(invalid)?;
        let chosen =
            choose(&paths.iter().map(|(path, _)| *path).collect::<Vec<_>>(), &options.files)
                .map_err(invalid)?;
        let wanted = |(path, sibling): &(&str, &Value)| {
            let (lfs, listed) = (sibling.get("lfs"), sibling.get("size").and_then(Value::as_u64));
            let sum = lfs.and_then(|lfs| lfs.get("sha256")).and_then(Value::as_str);
            let parts: Vec<_> =
                [owner, name, "resolve", commit].into_iter().chain(path.split('/')).collect();
            Source::Web(Wanted {
                path: (*path).to_owned(),
                link: hub.below(&parts),
                size: lfs.and_then(|lfs| lfs.get("size")).and_then(Value::as_u64).or(listed),
                sha256: sum
                    .filter(|sum| names::is_sha256(sum))
                    .map(|sum| (sum.to_owned(), Checked::Hub)),
            })
        };
        let files = paths.iter().filter(|(path, _)| chosen.contains(path)).map(wanted).collect();
        Self::new(
            Origin { kind: OriginKind::Hub, location: hub.below(&[owner, name]).shown() },
            Some(commit.to_owned()),
            licence(&json),
            name,
            files,
            options,
        )
    }
}

/// Owner and name of `owner/name`.
fn repository_parts(repository: &str) -> Result<(&str, &str), ModelError> {
    let parts = repository.split_once('/').filter(|(owner, name)| {
        names::check_name(owner).is_ok() && names::check_name(name).is_ok()
    });
    parts.ok_or_else(|| {
        ModelError::invalid(
            repository,
            "is not a repository; accepted: OWNER/NAME, of letters, digits, '.', '_' and '-'",
        )
    })
}

fn check_revision(revision: &str) -> Result<(), ModelError> {
    match names::check_path(revision) {
        Ok(()) => Ok(()),
        Err(e) => Err(ModelError::invalid(format!("--revision {revision:?}"), e)),
    }
}

/// The licence that a listing states.
fn licence(listing: &Value) -> Option<String> {
    let card = listing.get("cardData")?;
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(all) => {
            let all: Vec<_> = all.iter().filter_map(Value::as_str).collect();
            (!all.is_empty()).then(|| all.join(" OR "))
        }
        _ => None,
    };
    let stated = card.get("license").and_then(text);
    // `other` says that the name stands elsewhere.
    let named = || card.get("license_name").and_then(text);
    match stated {
        Some(stated) if stated == "other" => named().or(Some(stated)),
        stated => stated.or_else(named),
    }
    .map(|licence| licence.chars().take(200).collect())
}

/// The files a model needs: those that match a pattern; without patterns, weights with what stands
/// beside them.
fn choose<'a>(paths: &[&'a str], patterns: &[String]) -> Result<Vec<&'a str>, String> {
    if !patterns.is_empty() {
        let mut chosen = Vec::new();
        for pattern in patterns {
            let found: Vec<_> = paths.iter().filter(|path| names::matches(pattern, path)).collect();
            if found.is_empty() {
                return Err(format!("no file matches {pattern:?}; there are {}", some(paths)));
            }
            chosen.extend(found);
        }
        chosen.sort_unstable();
        chosen.dedup();
        return bounded(chosen);
    }
    let with = |path: &str, ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
    let top = |path: &&&str| !path.contains('/') && !path.starts_with('.');
    let text = |path: &str| {
        let upper = path.to_ascii_uppercase();
        ["LICEN", "NOTICE", "USE_POLICY"].iter().any(|start| upper.starts_with(start))
    };
    if paths.iter().filter(top).any(|path| path.ends_with(".safetensors")) {
        let needed = |path: &&&str| {
            let beside =
                with(path, &[".safetensors", ".json", ".jinja", "vocab.txt", "merges.txt"]);
            **path == "1_Pooling/config.json" || (top(path) && (beside || text(path)))
        };
        return bounded(paths.iter().filter(needed).copied().collect());
    }
    let ggufs: Vec<_> = paths.iter().filter(|path| path.ends_with(".gguf")).collect();
    match ggufs.as_slice() {
        [one] => bounded(
            paths.iter().filter(|path| path == one || (top(path) && text(path))).copied().collect(),
        ),
        [] => Err(format!(
            "has no .safetensors or .gguf file; name files with --file; there are {}",
            some(paths)
        )),
        _ => {
            let all: Vec<_> = ggufs.iter().map(|path| **path).collect();
            Err(format!("has {} GGUF files; name one with --file: {}", all.len(), some(&all)))
        }
    }
}

fn bounded(chosen: Vec<&str>) -> Result<Vec<&str>, String> {
    match chosen.len() {
        0..=MAX_FILES => Ok(chosen),
        n => Err(format!("{n} files are chosen; accepted: up to {MAX_FILES}; use --file")),
    }
}

/// The first few names.
fn some(paths: &[&str]) -> String {
    let (shown, more) = (&paths[..paths.len().min(8)], paths.len().saturating_sub(8));
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}
