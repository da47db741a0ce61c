// SPDX-License-Identifier: AGPL-3.0-or-later
//! Requests: redirects that lead nowhere unsafe, and a bounded number of tries. What sends them is
//! somebody else's ([`Transport`]).

use std::io::Read;
use std::time::{Duration, Instant};

use bho_engine::CancelToken;

use super::link::Link;
use super::pull::{Event, PullOptions};
use crate::error::ModelError;

/// Most redirects of a request.
const MAX_REDIRECTS: usize = 10;

/// Longest pause that a server may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(120);

/// What sends a request: the network, or a test.
pub trait Transport {
    /// Sends one GET with these headers and gives what came back, whatever its status. Redirects
    /// are not followed. Reading the body fails if nothing comes for a while.
    ///
    /// # Errors
    /// If no response came, and whether it may come at another try.
    fn get(&self, link: &Link, headers: &[(&str, String)]) -> Result<Response, TransportError>;
}

/// A response, its body unread.
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Box<dyn Read>,
}

/// Why no response came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    /// What happened.
    pub message: String,
    /// Whether another try may help.
    pub retry: bool,
}

impl Response {
    /// The value of a header, its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim())
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.parse().ok()
    }
}

/// How one try ended, if not well.
pub(super) enum Halt {
    /// Another try may help, after a pause if the server asked for one.
    Again(String, Option<Duration>),
    Stop(ModelError),
}

impl From<ModelError> for Halt {
    fn from(error: ModelError) -> Self {
        Self::Stop(error)
    }
}

/// What transfers share.
pub(super) struct Transfer<'a> {
    pub(super) transport: &'a dyn Transport,
    pub(super) options: &'a PullOptions,
    pub(super) cancel: &'a CancelToken,
}

impl Transfer<'_> {
    /// Sends a request along its redirects. `look` sees the first response.
    pub(super) fn send(
        &self,
        link: &Link,
        headers: &[(&str, String)],
        look: impl FnOnce(&Response) -> Result<(), Halt>,
    ) -> Result<Response, Halt> {
        let (mut at, mut look) = (link.clone(), Some(look));
        for _ in 0..=MAX_REDIRECTS {
            if self.cancel.is_cancelled() {
                return Err(ModelError::Cancelled.into());
            }
            let mut all = headers.to_vec();
            // A token is for its hub alone, wherever that sends us on to.
            if let (Some(token), true) = (&self.options.token, at.origin() == link.origin()) {
                all.push(("authorization", format!("Bearer {token}")));
            }
            let response = self.transport.get(&at, &all).map_err(|error| match error.retry {
                true => Halt::Again(error.message, None),
                false => stop(&at, error.message),
            })?;
            if let Some(look) = look.take() {
                look(&response)?;
            }
            if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = response.header("location").unwrap_or_default();
            let next = at
                .join(location)
                .map_err(|e| stop(&at, format!("redirects to an address that is not one: {e}")))?;
            if at.is_secure() && !next.is_secure() {
                return Err(stop(&at, "redirects from https to http, which anyone could change"));
            }
            allowed(&next, self.options.insecure_http)
                .map_err(|e| stop(&at, format!("redirects to {}: {e}", next.shown())))?;
            at = next;
        }
        Err(stop(link, format!("redirects more than {MAX_REDIRECTS} times")))
    }

    /// A small document as text.
    pub(super) fn text(
        &self,
        link: &Link,
        limit: u64,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<String, ModelError> {
        let mut failures = 0;
        loop {
            match self.text_once(link, limit) {
                Ok(text) => return Ok(text),
                Err(Halt::Stop(error)) => return Err(error),
                Err(Halt::Again(message, pause)) => {
                    failures += 1;
                    self.wait((link, &message), failures, pause, events)?;
                }
            }
        }
    }

    fn text_once(&self, link: &Link, limit: u64) -> Result<String, Halt> {
        let response = self.send(link, &[("accept-encoding", "identity".into())], |_| Ok(()))?;
        if response.status != 200 {
            return Err(refused(&response, link));
        }
        let (mut bytes, mut body) = (Vec::new(), response.body.take(limit + 1));
        let mut buffer = [0; 16 << 10];
        let begin = Instant::now();
        loop {
            let n = body.read(&mut buffer);
            match n.map_err(|e| Halt::Again(format!("broke off ({e})"), None))? {
                0 => break,
                n => bytes.extend_from_slice(&buffer[..n]),
            }
            if begin.elapsed() > self.options.patience.saturating_mul(4) {
                let came = bytes.len();
                return Err(Halt::Again(format!("only {came} bytes came in all that time"), None));
            }
        }
        if bytes.len() as u64 > limit {
            return Err(stop(link, format!("is larger than {limit} bytes")));
        }
        String::from_utf8(bytes).map_err(|_| stop(link, "is not UTF-8"))
    }

    /// Pauses before another try, longer each time.
    ///
    /// # Errors
    /// If there have been enough; [`ModelError::Cancelled`].
    pub(super) fn wait(
        &self,
        (link, message): (&Link, &str),
        failures: u32,
        asked: Option<Duration>,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), ModelError> {
        if failures > self.options.retries {
            let message = format!("{message}; given up at try {failures}");
            return Err(transfer(link, message));
        }
        let doubled = self.options.backoff.saturating_mul(1 << (failures - 1).min(7));
        let pause = asked.unwrap_or(doubled);
        let seconds = pause.as_secs_f64();
        events(Event::Note(&format!(
            "{}: {message}; trying again in {seconds:.1} s",
            link.shown()
        )));
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if self.cancel.is_cancelled() {
                return Err(ModelError::Cancelled);
            }
            std::thread::sleep(left.min(Duration::from_millis(20)));
        }
        Ok(())
    }
}

/// Whether an address may be asked at all.
///
/// # Errors
/// What would be accepted.
pub(super) fn allowed(link: &Link, insecure_http: bool) -> Result<(), String> {
    match link.is_secure() || link.is_loopback() || insecure_http {
        true => Ok(()),
        false => {
            Err("http is not secure; use https, or --insecure-http if you trust the network".into())
        }
    }
}

/// What a status other than success means.
pub(super) fn refused(response: &Response, link: &Link) -> Halt {
    let status = response.status;
    let what = match status {
        401 | 403 => {
            "access is refused: the model may need a licence accepted on its page, or a token (BHO_HUB_TOKEN)"
        }
        404 | 410 => "there is no such file, repository or revision",
        429 => "too many requests",
        _ => "the server failed or does not understand",
    };
    let message = format!("status {status}: {what}");
    if !matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504) {
        return stop(link, message);
    }
    match response.number("retry-after").map(Duration::from_secs) {
        Some(pause) if pause > MAX_PAUSE => {
            stop(link, format!("{message}; it asks to come back in {} s", pause.as_secs()))
        }
        pause => Halt::Again(message, pause),
    }
}

/// An end that another try would not change.
pub(super) fn stop(link: &Link, message: impl Into<String>) -> Halt {
    Halt::Stop(transfer(link, message))
}

/// An error about what an address gave.
pub(super) fn transfer(link: &Link, message: impl Into<String>) -> ModelError {
    ModelError::invalid(link.shown(), message)
}
