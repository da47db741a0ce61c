// SPDX-License-Identifier: AGPL-3.0-or-later
//! Files and folders of this machine into the store.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bho_engine::CancelToken;

use super::local::LocalStore;
use super::manifest::{Checked, MAX_FILES, Origin, OriginKind, StoredFile, check_paths};
use super::names;
use super::partial::{Incoming, STEP};
use super::pull::{Event, Plan, PullOptions, Source, stem};
use crate::error::ModelError;

impl Plan {
    /// What taking a file, or a folder with all that is in it, into the store means.
    ///
    /// # Errors
    /// For what cannot be read, a file name that cannot be kept everywhere, or too many files.
    pub fn of_local(source: &Path, options: &PullOptions) -> Result<Self, ModelError> {
        let whole = fs::canonicalize(source).map_err(|e| ModelError::read(source, e))?;
        let invalid = |message: String| ModelError::invalid(source.display().to_string(), message);
        let named = whole.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let mut found = Vec::new();
        let named = if whole.is_dir() {
            collect(&whole, "", &mut found)?;
            let wanted = |path: &str| {
                options.files.is_empty()
                    || options.files.iter().any(|pattern| names::matches(pattern, path))
            };
            found.retain(|(path, ..)| wanted(path));
            named
        } else {
            let size = fs::metadata(&whole).map_err(|e| ModelError::read(source, e))?.len();
            let name = stem(&named).to_owned();
            found.push((named, whole.clone(), size));
            name
        };
        if found.is_empty() {
            return Err(invalid("holds no such files".into()));
        }
        check_paths(found.iter().map(|(path, ..)| path.as_str())).map_err(invalid)?;
        let file = |(path, from, size)| Source::File { path, from, size, sha256: None };
        let origin = Origin { kind: OriginKind::Local, location: whole.display().to_string() };
        Self::new(origin, None, None, &named, found.into_iter().map(file).collect(), options)
    }

    /// Copies a file of this machine.
    pub(super) fn copy(
        &self,
        store: &LocalStore,
        (path, from, size, sha256): (&str, &Path, u64, Option<&(String, Checked)>),
        cancel: &CancelToken,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<StoredFile, ModelError> {
        let fail = |e| ModelError::read(from, e);
        crate::package::regular(from)?;
        let mut file = File::open(from).map_err(fail)?;
        let mut incoming =
            Incoming::open(store, &self.name, &from.display().to_string(), cancel, &mut || {})?;
        let mut copied = || {
            incoming.restart()?;
            incoming.save_car()?;
            let mut buffer = vec![0; STEP];
            loop {
                if cancel.is_cancelled() {
                    return Err(ModelError::Paused(format!("{path} is not in the store yet")));
                }
                let n = file.read(&mut buffer).map_err(fail)?;
                if n == 0 {
                    break;
                }
                incoming.put(&buffer[..n])?;
                events(Event::Progress { path, bytes: incoming.bytes, size: Some(size) });
            }
            let invalid =
                |message: String| ModelError::invalid(from.display().to_string(), message);
            if incoming.bytes != size {
                return Err(invalid(format!("has {} bytes where it had {size}", incoming.bytes)));
            }
            match (incoming.sha256(), sha256) {
                (found, Some((expected, _))) if *expected != found => Err(invalid(format!(
                    "its sha256 is {found}, expected {expected}; nothing was stored"
                ))),
                _ => Ok(()),
            }
        };
        if let Err(error) = copied() {
            // The source is here: there is nothing to resume.
            incoming.abandon();
            return Err(error);
        }
        let sha256 = (incoming.finish(store)?, sha256.map(|(_, by)| *by));
        Ok(StoredFile { path: path.into(), sha256: sha256.0, size, checked: sha256.1 })
    }
}

/// All files of a folder: path within it, where, bytes. Links to files count as files, hidden
/// files and folders do not.
fn collect(
    folder: &Path,
    prefix: &str,
    found: &mut Vec<(String, PathBuf, u64)>,
) -> Result<(), ModelError> {
    const DEPTH: usize = 8;
    let invalid = |message: String| ModelError::invalid(folder.display().to_string(), message);
    if prefix.matches('/').count() > DEPTH {
        return Err(invalid(format!("folders are nested more than {DEPTH} deep")));
    }
    let fail = |e| ModelError::read(folder, e);
    let mut entries =
        fs::read_dir(folder).map_err(fail)?.collect::<Result<Vec<_>, _>>().map_err(fail)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name =
            name.to_str().ok_or_else(|| invalid(format!("{} is not UTF-8", name.display())))?;
        if name.starts_with('.') {
            continue;
        }
        let (path, from) = (format!("{prefix}{name}"), entry.path());
        let about = fs::metadata(&from).map_err(|e| ModelError::read(&from, e))?;
        // A link to a folder could lead round in a circle.
        if about.is_dir() && entry.file_type().map_err(fail)?.is_dir() {
            collect(&from, &format!("{path}/"), found)?;
        } else if about.is_file() {
            found.push((path, from, about.len()));
        }
        if found.len() > MAX_FILES {
            return Err(invalid(format!(
                "holds more than {MAX_FILES} files; choose some with --file"
            )));
        }
    }
    Ok(())
}
