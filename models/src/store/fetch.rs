// SPDX-License-Identifier: AGPL-3.0-or-later
//! One file from an address into the store: resumed where it broke off, and taken only if it is
//! what was announced.

use std::time::Instant;

use bho_engine::CancelToken;

use super::link::Link;
use super::local::LocalStore;
use super::manifest::{Checked, StoredFile};
use super::names;
use super::partial::{Incoming, STEP, sha256_of};
use super::pull::Event;
use super::transfer::{Halt, Response, Transfer, refused, stop, transfer};
use crate::error::ModelError;

/// Fewest bytes in [`super::PullOptions::patience`]; a connection that brings less is given up.
const SLOWEST: u64 = 1024;

/// Bytes after which a connection that broke counts as the first one to do so.
const PROGRESS: u64 = 1 << 20;

/// A file to fetch.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Path within the model.
    pub(super) path: String,
    pub(super) link: Link,
    /// Bytes, as the hub has it.
    pub(super) size: Option<u64>,
    pub(super) sha256: Option<(String, Checked)>,
}

impl Transfer<'_> {
    /// Fetches one file for the model `name`; `limit` bytes at most.
    pub(super) fn fetch(
        &self,
        store: &LocalStore,
        name: &str,
        wanted: &Wanted,
        limit: u64,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<StoredFile, ModelError> {
        let mut wanted = wanted.clone();
        let (note, mut waited) =
            (format!("another process pulls {}; waiting for it", wanted.path), false);
        let mut incoming =
            Incoming::open(store, name, &wanted.link.shown(), self.cancel, &mut || {
                waited = true;
                events(Event::Note(&note));
            })?;
        // The other process may have brought it.
        if waited && let Some(file) = held(store, &wanted, self.cancel)? {
            incoming.abandon();
            return Ok(file);
        }
        if let Err(error) = self.complete(&mut incoming, &mut wanted, limit, events) {
            if incoming.bytes == 0 {
                incoming.abandon();
            }
            return Err(error);
        }
        let size = incoming.bytes;
        let sha256 = incoming.finish(store)?;
        let checked = wanted.sha256.map(|(_, by)| by);
        Ok(StoredFile { path: wanted.path, sha256, size, checked })
    }

    /// Tries until the whole file is there, and is the right one.
    fn complete(
        &self,
        incoming: &mut Incoming,
        wanted: &mut Wanted,
        limit: u64,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), ModelError> {
        let (mut failures, mut mistaken) = (0, false);
        loop {
            let before = incoming.bytes;
            let tried = self.attempt(incoming, wanted, limit, events);
            let (message, pause) = match tried.and_then(|()| judge(incoming, wanted)) {
                Ok(()) => return Ok(()),
                Err(Halt::Stop(ModelError::Cancelled)) => return Err(paused(incoming)),
                Err(Halt::Stop(error)) => return Err(error),
                Err(Halt::Again(message, pause)) => (message, pause),
            };
            if incoming.car.size == Some(incoming.bytes) && incoming.bytes > 0 {
                // All came and it is not what it should be: once may be an accident.
                incoming.restart()?;
                if std::mem::replace(&mut mistaken, true) {
                    return Err(transfer(&wanted.link, format!("{message}; nothing was stored")));
                }
            }
            let moved = incoming.bytes >= before.saturating_add(PROGRESS);
            failures = if moved { 1 } else { failures + 1 };
            match self.wait((&wanted.link, &message), failures, pause, events) {
                Err(ModelError::Cancelled) => return Err(paused(incoming)),
                waited => waited?,
            }
        }
    }

    /// One try: as much as one connection brings.
    fn attempt(
        &self,
        incoming: &mut Incoming,
        wanted: &mut Wanted,
        limit: u64,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Halt> {
        // Without a tag or a sum, nobody could tell if the rest belongs to the same version.
        if incoming.bytes > 0 && incoming.car.etag.is_none() && wanted.sha256.is_none() {
            incoming.restart()?;
        }
        let mut headers = vec![("accept-encoding", "identity".to_owned())];
        if incoming.bytes > 0 {
            headers.push(("range", format!("bytes={}-", incoming.bytes)));
            headers.extend(incoming.car.etag.clone().map(|tag| ("if-range", tag)));
        }
        let link = wanted.link.clone();
        let mut response = self.send(&link, &headers, |first| believe(first, wanted))?;
        let size = accept(&response, incoming, wanted)?;
        if let (Some(size), Some(listed)) = (size, wanted.size)
            && size != listed
        {
            let message = format!("{size} bytes are announced where the hub lists {listed}");
            return Err(stop(&link, message));
        }
        if let Some(size) = size.filter(|&size| size > limit) {
            let message = format!("{size} bytes are announced, --max-size leaves {limit}");
            return Err(stop(&link, message));
        }
        incoming.car.size = size;
        let tag = response.header("etag").filter(|tag| is_strong(tag)).map(str::to_owned);
        if incoming.bytes == 0 || tag.is_some() {
            incoming.car.etag = tag;
        }
        incoming.save_car()?;
        self.read(&mut response, incoming, wanted, limit, events)
    }

    fn read(
        &self,
        response: &mut Response,
        incoming: &mut Incoming,
        wanted: &Wanted,
        limit: u64,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Halt> {
        let size = incoming.car.size;
        events(Event::Progress { path: &wanted.path, bytes: incoming.bytes, size });
        if size == Some(incoming.bytes) {
            return Ok(());
        }
        let mut buffer = vec![0; STEP];
        let (mut since, mut then) = (Instant::now(), incoming.bytes);
        loop {
            if self.cancel.is_cancelled() {
                return Err(ModelError::Cancelled.into());
            }
            let n = match response.body.read(&mut buffer) {
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                // Nothing that is missing broke off.
                Err(_) if size == Some(incoming.bytes) => break,
                Err(e) => {
                    let at = incoming.bytes;
                    return Err(Halt::Again(format!("broke off behind {at} bytes ({e})"), None));
                }
            };
            if n == 0 {
                break;
            }
            let total = incoming.bytes.saturating_add(n as u64);
            if size.is_some_and(|size| total > size) {
                incoming.restart()?;
                return Err(Halt::Again("sent more than it announced".into(), None));
            }
            if total > limit {
                incoming.restart()?;
                let message = format!("sends more than the {limit} bytes that --max-size leaves");
                return Err(stop(&wanted.link, message));
            }
            incoming.put(&buffer[..n])?;
            events(Event::Progress { path: &wanted.path, bytes: total, size });
            if since.elapsed() >= self.options.patience {
                if total - then < SLOWEST {
                    let (came, seconds) = (total - then, since.elapsed().as_secs_f64());
                    let message = format!("only {came} bytes came in {seconds:.1} s");
                    return Err(Halt::Again(message, None));
                }
                (since, then) = (Instant::now(), total);
            }
        }
        match size {
            Some(size) if size != incoming.bytes => {
                Err(Halt::Again(format!("ended at {} of {size} bytes", incoming.bytes), None))
            }
            _ => {
                // Its end is all that tells its size.
                incoming.car.size = Some(incoming.bytes);
                Ok(())
            }
        }
    }
}

/// The file, if the store holds the bytes it must have, and they are sound.
pub(super) fn held(
    store: &LocalStore,
    wanted: &Wanted,
    cancel: &CancelToken,
) -> Result<Option<StoredFile>, ModelError> {
    let Some((sha256, by)) = &wanted.sha256 else { return Ok(None) };
    let blob = store.blob(sha256);
    let Ok(found) = std::fs::metadata(&blob) else { return Ok(None) };
    let whole = wanted.size.is_none_or(|size| size == found.len())
        && sha256_of(&blob, cancel, &mut |_| {})? == *sha256;
    Ok(whole.then(|| StoredFile {
        path: wanted.path.clone(),
        sha256: sha256.clone(),
        size: found.len(),
        checked: Some(*by),
    }))
}

/// Takes over what a hub's first response says of a large file: sha256 and size of what lies at the
/// end of the redirects.
fn believe(response: &Response, wanted: &mut Wanted) -> Result<(), Halt> {
    let tag = response.header("x-linked-etag").map(|tag| tag.trim_matches('"'));
    if let Some(tag) = tag.filter(|tag| names::is_sha256(tag)) {
        match &wanted.sha256 {
            Some((expected, _)) if expected != tag => {
                let message = format!("the hub says its sha256 is {tag}, expected {expected}");
                return Err(stop(&wanted.link, message));
            }
            Some(_) => {}
            None => wanted.sha256 = Some((tag.to_owned(), Checked::Hub)),
        }
    }
    wanted.size = wanted.size.or(response.number("x-linked-size"));
    Ok(())
}

/// What a response means for what is there; gives the bytes of the whole, if known.
fn accept(
    response: &Response,
    incoming: &mut Incoming,
    wanted: &Wanted,
) -> Result<Option<u64>, Halt> {
    match response.status {
        200 => {
            // The whole, from the start: a new version, or a server that knows no parts.
            incoming.restart()?;
            Ok(response.number("content-length").or(wanted.size))
        }
        206 if incoming.bytes == 0 => {
            Err(stop(&wanted.link, "sent a part where the whole was asked for"))
        }
        206 => {
            let range = response.header("content-range").and_then(content_range);
            let Some((from, whole)) = range else {
                return Err(stop(&wanted.link, "sent a part without saying which (Content-Range)"));
            };
            let differ = |a: Option<&str>, b: Option<&str>| a.is_some() && b.is_some() && a != b;
            let other_tag = differ(response.header("etag"), incoming.car.etag.as_deref());
            let other_size =
                whole.is_some() && incoming.car.size.is_some_and(|size| Some(size) != whole);
            if from != incoming.bytes || other_tag || other_size {
                incoming.restart()?;
                let message = "sent a part that does not fit what is here; beginning anew";
                return Err(Halt::Again(message.into(), None));
            }
            Ok(whole.or(incoming.car.size).or(wanted.size))
        }
        416 => {
            // All of it may be here already: then only the sum is left to look at.
            let size =
                response.header("content-range").and_then(|text| text.strip_prefix("bytes */"));
            match size.and_then(|size| size.trim().parse().ok()) {
                Some(size) if size == incoming.bytes => Ok(Some(size)),
                _ => {
                    incoming.restart()?;
                    Err(Halt::Again("has no such part; beginning anew".into(), None))
                }
            }
        }
        _ => Err(refused(response, &wanted.link)),
    }
}

/// Whether the whole file is the right one.
fn judge(incoming: &Incoming, wanted: &Wanted) -> Result<(), Halt> {
    let found = incoming.sha256();
    match &wanted.sha256 {
        Some((expected, by)) if *expected != found => {
            let said = if *by == Checked::User { "expected" } else { "the hub says" };
            Err(Halt::Again(format!("its sha256 is {found}, {said} {expected}"), None))
        }
        _ => Ok(()),
    }
}

/// First byte and size of the whole in `bytes 5-9/10`; the size may be `*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = text.strip_prefix("bytes ")?.trim().split_once('/')?;
    let (from, to) = range.split_once('-')?;
    let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
    let whole = if whole == "*" { None } else { Some(whole.parse().ok()?) };
    (from <= to && whole.is_none_or(|whole| to < whole)).then_some((from, whole))
}

/// Whether a tag stands for the very bytes; a weak one does not.
fn is_strong(tag: &str) -> bool {
    tag.len() >= 2 && tag.len() <= 256 && tag.starts_with('"') && tag.ends_with('"')
}

fn paused(incoming: &Incoming) -> ModelError {
    let of = incoming.car.size.map_or_else(String::new, |size| format!(" of {size}"));
    ModelError::Paused(format!(
        "{}{of} bytes of {} are kept; the same command goes on from there",
        incoming.bytes, incoming.car.location
    ))
}
