// SPDX-License-Identifier: AGPL-3.0-or-later
//! A network that does what a test says.

use std::cell::RefCell;
use std::io::{Cursor, Error, ErrorKind, Read};
use std::time::Duration;

use bho_engine::CancelToken;
use bho_models::ModelError;
use bho_models::store::{
    Event, Link, LocalStore, Manifest, Plan, PullOptions, Response, Transport, TransportError,
};
use sha2::{Digest as _, Sha256};

/// A request: its address and headers.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) url: String,
    headers: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// First byte of the part that is asked for.
    pub(crate) fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

type Answer<'a> = dyn Fn(usize, &Asked) -> Result<Response, TransportError> + 'a;

/// Answers the n-th request as the test says, and keeps what was asked.
pub(crate) struct Net<'a> {
    answer: Box<Answer<'a>>,
    pub(crate) asked: RefCell<Vec<Asked>>,
}

impl<'a> Net<'a> {
    pub(crate) fn new(answer: impl Fn(usize, &Asked) -> Response + 'a) -> Self {
        Self::failing(move |n, asked| Ok(answer(n, asked)))
    }

    pub(crate) fn failing(
        answer: impl Fn(usize, &Asked) -> Result<Response, TransportError> + 'a,
    ) -> Self {
        Self { answer: Box::new(answer), asked: RefCell::default() }
    }

    pub(crate) fn requests(&self) -> usize {
        self.asked.borrow().len()
    }
}

impl Transport for Net<'_> {
    fn get(&self, link: &Link, headers: &[(&str, String)]) -> Result<Response, TransportError> {
        let headers = headers.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let asked = Asked { url: link.to_string(), headers: headers.collect() };
        self.asked.borrow_mut().push(asked.clone());
        (self.answer)(self.requests(), &asked)
    }
}

/// A response with this body.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Response { status, headers, body: Box::new(Cursor::new(body.to_vec())) }
}

/// All of `bytes`, as servers send it.
pub(crate) fn whole(bytes: &[u8], tag: &str) -> Response {
    reply(200, &[("content-length", &bytes.len().to_string()), ("etag", tag)], bytes)
}

/// The part of `bytes` that is asked for, or all of it.
pub(crate) fn part(asked: &Asked, bytes: &[u8], tag: &str) -> Response {
    let same = asked.header("if-range").is_none_or(|wanted| wanted == tag);
    let Some(from) = asked.from().filter(|_| same) else { return whole(bytes, tag) };
    if from >= bytes.len() {
        return reply(416, &[("content-range", &format!("bytes */{}", bytes.len()))], b"");
    }
    let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
    let length = (bytes.len() - from).to_string();
    let headers = [("content-range", range.as_str()), ("content-length", &length), ("etag", tag)];
    reply(206, &headers, &bytes[from..])
}

/// The same response, whose connection breaks behind so many bytes.
pub(crate) fn broken(response: Response, behind: u64) -> Response {
    struct Breaks;
    impl Read for Breaks {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(Error::new(ErrorKind::ConnectionReset, "connection reset"))
        }
    }
    Response { body: Box::new(response.body.take(behind).chain(Breaks)), ..response }
}

/// Text that no two offsets of look the same.
pub(crate) fn content(bytes: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Options whose pauses cost a test no time.
pub(crate) fn options() -> PullOptions {
    PullOptions { backoff: Duration::from_millis(1), retries: 3, ..PullOptions::default() }
}

pub(crate) fn link(text: &str) -> Link {
    Link::parse(text).unwrap()
}

/// Pulls a plan.
pub(crate) fn pull(
    store: &LocalStore,
    net: &Net<'_>,
    plan: &Plan,
    options: &PullOptions,
) -> Result<Manifest, ModelError> {
    plan.pull(store, Some(net), options, &CancelToken::new(), &mut |_: Event<'_>| {})
}

/// Pulls `https://h/m.gguf`.
pub(crate) fn pull_file(
    store: &LocalStore,
    net: &Net<'_>,
    options: &PullOptions,
) -> Result<Manifest, ModelError> {
    let plan = Plan::of_link(&link("https://h/m.gguf"), options).unwrap();
    pull(store, net, &plan, options)
}

/// A new store; the folder lives as long as the first of the two.
pub(crate) fn store() -> (tempfile::TempDir, LocalStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path().join("models"));
    (dir, store)
}

/// The files below a folder of the store.
pub(crate) fn files(store: &LocalStore, folder: &str) -> Vec<String> {
    let Ok(listing) = std::fs::read_dir(store.root().join(folder)) else { return Vec::new() };
    let mut all: Vec<_> =
        listing.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}
