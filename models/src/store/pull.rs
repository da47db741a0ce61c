// SPDX-License-Identifier: AGPL-3.0-or-later
//! Models into the store: first what would be pulled, then the pull.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bho_engine::CancelToken;
use serde::Serialize;

use super::fetch::{Wanted, held};
use super::link::Link;
use super::local::LocalStore;
use super::manifest::{Checked, FORMAT, Manifest, Origin, OriginKind, StoredFile};
use super::names;

use super::transfer::{Transfer, Transport, allowed, transfer};
use crate::chat::strftime::strftime;
use crate::error::ModelError;

/// How to pull.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// Name in the store; the source's without one.
    pub name: Option<String>,
    /// Patterns of files to take; what a model needs without one.
    pub files: Vec<String>,
    /// sha256 that the one file must have.
    pub sha256: Option<String>,
    /// Licence to record where the source states none.
    pub licence: Option<String>,
    /// Most bytes of all files.
    pub max_bytes: u64,
    /// Tries after the first one that may fail without bringing a MiB.
    pub retries: u32,
    /// Pause before the second try; it doubles with each, up to 128 times.
    pub backoff: Duration,
    /// How long a connection may bring less than a KiB.
    pub patience: Duration,
    /// Whether http is taken from other machines too.
    pub insecure_http: bool,
    /// Token for the source's own host, sent as a bearer.
    pub token: Option<String>,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            name: None,
            files: Vec::new(),
            sha256: None,
            licence: None,
            max_bytes: 64 << 30,
            retries: 5,
            backoff: Duration::from_millis(250),
            patience: Duration::from_secs(30),
            insecure_http: false,
            token: None,
        }
    }
}

/// What a pull tells while it goes on.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// Bytes of a file are there, of so many if that is known.
    Progress {
        /// The file within the model.
        path: &'a str,
        /// Bytes of it.
        bytes: u64,
        /// Bytes of the whole.
        size: Option<u64>,
    },
    /// Something to know: another try, a wait.
    Note(&'a str),
}

/// What a pull would bring.
#[derive(Debug)]
pub struct Plan {
    /// Name in the store.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The revision there.
    pub revision: Option<String>,
    /// Its licence, as far as known.
    pub licence: Option<String>,
    sources: Vec<Source>,
}

/// Where one file comes from.
#[derive(Debug)]
pub(super) enum Source {
    Web(Wanted),
    File { path: String, from: PathBuf, size: u64, sha256: Option<(String, Checked)> },
}

/// One file of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct Planned<'a> {
    /// Path within the model.
    pub path: &'a str,
    /// Bytes, if known.
    pub size: Option<u64>,
    /// The sha256 that it must have, if known.
    pub sha256: Option<&'a str>,
}

impl Plan {
    pub(super) fn new(
        origin: Origin,
        revision: Option<String>,
        licence: Option<String>,
        named: &str,
        mut sources: Vec<Source>,
        options: &PullOptions,
    ) -> Result<Self, ModelError> {
        let name = options.name.clone().unwrap_or_else(|| named.to_owned());
        names::check_name(&name).map_err(|e| {
            ModelError::invalid(format!("name {name:?}"), format!("{e}; give one with --name"))
        })?;
        if let Some(sum) = &options.sha256 {
            if !names::is_sha256(sum) {
                return Err(ModelError::invalid("--sha256", "accepted: 64 lower-case hex digits"));
            }
            let [source] = sources.as_mut_slice() else {
                let message = format!(
                    "there are {} files; it is for one, choose it with --file",
                    sources.len()
                );
                return Err(ModelError::invalid("--sha256", message));
            };
            let (Source::Web(Wanted { sha256, .. }) | Source::File { sha256, .. }) = source;
            if let Some((stated, _)) = sha256.as_ref().filter(|(stated, _)| stated != sum) {
                let message = format!("the hub says its sha256 is {stated}, expected {sum}");
                return Err(ModelError::invalid(origin.location, message));
            }
            *sha256 = Some((sum.clone(), Checked::User));
        }
        let plan = Self {
            name,
            origin,
            revision,
            licence: licence.or_else(|| options.licence.clone()),
            sources,
        };
        match plan.bytes() {
            Some(bytes) if bytes > options.max_bytes => {
                let message = format!("{bytes} bytes, more than --max-size {}", options.max_bytes);
                Err(ModelError::invalid(plan.origin.location, message))
            }
            _ => Ok(plan),
        }
    }

    /// What pulling one file from the web means.
    ///
    /// # Errors
    /// For an address that may not be asked or has no file name that can be kept.
    pub fn of_link(link: &Link, options: &PullOptions) -> Result<Self, ModelError> {
        allowed(link, options.insecure_http).map_err(|e| transfer(link, e))?;
        let invalid = |message: &str| transfer(link, message);
        let path = link.file_name().ok_or_else(|| invalid("names no file"))?;
        if path.contains('/') {
            return Err(invalid("names a file with a slash in it"));
        }
        names::check_path(&path).map_err(|e| invalid(&format!("the file name {path:?}: {e}")))?;
        let named = stem(&path).to_owned();
        let wanted = Wanted { path, link: link.clone(), size: None, sha256: None };
        let origin = Origin { kind: OriginKind::Url, location: link.shown() };
        Self::new(origin, None, None, &named, vec![Source::Web(wanted)], options)
    }

    /// Its files.
    pub fn files(&self) -> impl Iterator<Item = Planned<'_>> {
        fn sum(sha256: Option<&(String, Checked)>) -> Option<&str> {
            sha256.map(|(sum, _)| sum.as_str())
        }
        self.sources.iter().map(|source| match source {
            Source::Web(Wanted { path, size, sha256, .. }) => {
                Planned { path, size: *size, sha256: sum(sha256.as_ref()) }
            }
            Source::File { path, size, sha256, .. } => {
                Planned { path, size: Some(*size), sha256: sum(sha256.as_ref()) }
            }
        })
    }

    /// Bytes of all files, if all are known.
    pub fn bytes(&self) -> Option<u64> {
        self.files().try_fold(0u64, |sum, file| Some(sum.saturating_add(file.size?)))
    }

    /// Brings the files into the store and names the model. What is there already is not fetched.
    ///
    /// # Errors
    /// Naming the file and what is wrong with it; [`ModelError::Paused`] when cancelled. What has
    /// come of a file is kept, and blobs that are whole too.
    pub fn pull(
        &self,
        store: &LocalStore,
        transport: Option<&dyn Transport>,
        options: &PullOptions,
        cancel: &CancelToken,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<Manifest, ModelError> {
        let _lock = store.lock_shared()?;
        let before = self.predecessor(store)?;
        let (mut files, mut left) = (Vec::new(), options.max_bytes);
        for source in &self.sources {
            let file = match (self.stored(store, source, before.as_ref(), cancel)?, source) {
                (Some(file), _) => {
                    events(Event::Progress {
                        path: &file.path,
                        bytes: file.size,
                        size: Some(file.size),
                    });
                    file
                }
                (None, Source::Web(wanted)) => {
                    let transport = transport
                        .ok_or_else(|| transfer(&wanted.link, "this program has no network"))?;
                    let transfer = Transfer { transport, options, cancel };
                    transfer.fetch(store, &self.name, wanted, left, events)?
                }
                (None, Source::File { path, from, size, sha256 }) => {
                    self.copy(store, (path, from, *size, sha256.as_ref()), cancel, events)?
                }
            };
            left = left.saturating_sub(file.size);
            files.push(file);
        }
        // The pattern is known to be good.
        let pulled = strftime("%Y-%m-%dT%H:%M:%SZ", SystemTime::now()).unwrap_or_default();
        let manifest = Manifest {
            format: FORMAT,
            name: self.name.clone(),
            source: self.origin.clone(),
            revision: self.revision.clone(),
            licence: self.licence.clone(),
            pulled,
            files,
        };
        store.commit(&manifest)?;
        Ok(manifest)
    }

    /// The model that goes by this name now, if it is from the same place.
    fn predecessor(&self, store: &LocalStore) -> Result<Option<Manifest>, ModelError> {
        match store.get(&self.name) {
            Ok(Some(known)) if known.source != self.origin => Err(ModelError::invalid(
                &self.name,
                format!(
                    "there is a model of this name already, from {}; give another with --name, or remove that one",
                    known.source.location
                ),
            )),
            // A damaged manifest is replaced.
            known => Ok(known.unwrap_or_default()),
        }
    }

    /// The file, if the store holds its bytes and they are sound.
    fn stored(
        &self,
        store: &LocalStore,
        source: &Source,
        before: Option<&Manifest>,
        cancel: &CancelToken,
    ) -> Result<Option<StoredFile>, ModelError> {
        let Source::Web(wanted) = source else { return Ok(None) };
        // A commit of a hub does not change.
        let same = before.filter(|before| {
            before.source.kind == OriginKind::Hub && before.revision == self.revision
        });
        let known =
            same.and_then(|before| before.files.iter().find(|file| file.path == wanted.path));
        match (&wanted.sha256, known) {
            (None, Some(file)) => {
                let expected = Some((file.sha256.clone(), Checked::Hub));
                let found = held(store, &Wanted { sha256: expected, ..wanted.clone() }, cancel)?;
                Ok(found.map(|found| StoredFile { checked: file.checked, ..found }))
            }
            _ => held(store, wanted, cancel),
        }
    }
}

/// A file name without what follows its last dot.
pub(super) fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
