// SPDX-License-Identifier: AGPL-3.0-or-later
//! How the program ends: exit codes, the one place that prints an error, and Ctrl-C.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bho_engine::CancelToken;

/// The exit codes of every verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, whatever was found.
    Success = 0,
    /// The job failed: blocked or failed run, invalid pipeline, bad model file or line.
    Failed = 1,
    /// Wrong usage, or the environment: a missing file, no permission, a bad variable.
    Usage = 2,
    /// Stopped by Ctrl-C (128 + SIGINT, as shells have it).
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a verb did not do its work: an error with its exit code.
///
/// Made by `?` from any error it means [`Exit::Usage`]; [`OrFailed::or_failed`] makes it
/// [`Exit::Failed`].
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// None when everything has been said already.
    error: Option<anyhow::Error>,
}

impl Failure {
    /// A failure that says `message`.
    pub(crate) fn said(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, error: Some(anyhow::Error::msg(message.into())) }
    }

    /// What it says, for those that go on; a closed pipe ends all of it.
    pub(crate) fn message(self) -> Result<String, Self> {
        match &self.error {
            Some(error) if !is_closed_pipe(error) => Ok(chain(error)),
            _ => Err(self),
        }
    }

    /// A failure about which nothing is left to say.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self { exit, error: None }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit: Exit::Usage, error: Some(error.into()) }
    }
}

/// Marks errors that are the job's own failure.
pub(crate) trait OrFailed<T> {
    /// The value, or a failure with [`Exit::Failed`].
    fn or_failed(self) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrFailed<T> for Result<T, E> {
    fn or_failed(self) -> Result<T, Failure> {
        self.map_err(|error| Failure { exit: Exit::Failed, error: Some(error.into()) })
    }
}

/// Runs the program. A panic is an error as well: it ends in [`Exit::Failed`], and what it says, which may quote the text at
/// work, is not printed, only where in the source it happened.
pub(crate) fn guarded(run: impl FnOnce() -> ExitCode) -> ExitCode {
    // Only remembered: a panic that is caught further in is told there, if it is to be told.
    static LAST: Mutex<String> = Mutex::new(String::new());
    std::panic::set_hook(Box::new(|info| {
        if std::env::var_os("BHO_PANICS").is_some_and(|how| how == "show") {
            let _ = writeln!(io::stderr(), "{info}");
        }
        let place = info.location().map_or_else(String::new, |place| format!(" at {place}"));
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }));
    let run = std::panic::AssertUnwindSafe(run);
    std::panic::catch_unwind(run).unwrap_or_else(|_| {
        let place = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        crate::output::error(&format!(
            "this is a bug of bho{place}; what it says may quote your text and is not shown \
             (BHO_PANICS=show shows it)"
        ));
        Exit::Failed.into()
    })
}

/// Turns the outcome of a verb into the exit code, printing its error, if any, to stderr.
pub(crate) fn report(outcome: Result<Exit, Failure>) -> ExitCode {
    let failure = match outcome {
        Ok(exit) => return exit.into(),
        Err(failure) => failure,
    };
    let Some(error) = failure.error else { return failure.exit.into() };
    if is_closed_pipe(&error) {
        // `bho ... | head`: the reader has seen enough.
        return Exit::Success.into();
    }
    crate::output::error(&chain(&error));
    failure.exit.into()
}

/// What printing gave. That the reader has gone, as of `bho ... | head`, is no failure, and hides none of the job.
pub(crate) fn unless_closed(printed: anyhow::Result<()>) -> Result<(), Failure> {
    match printed {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        printed => printed.map_err(Failure::from),
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let is = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is))
}

/// The error and its causes in one line, leaving out causes whose text is already there.
fn chain(error: &anyhow::Error) -> String {
    let mut out = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if out.is_empty() {
            out = text;
        } else if !out.contains(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
    }
    out
}

/// Lets Ctrl-C cancel `token` once; a second one ends the program with 130.
///
/// Returns a flag that says whether it happened. Installed only after input has been read, so that
/// waiting for standard input ends at the first Ctrl-C.
pub(crate) fn cancel_on_interrupt(token: &CancelToken) -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let (flag, token) = (Arc::clone(&interrupted), token.clone());
    let handler = move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(Exit::Interrupted as i32);
        }
        token.cancel();
        let _ = writeln!(io::stderr(), "stopping; Ctrl-C again ends at once");
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        // Ctrl-C then ends the program at once: less graceful, but it ends.
        crate::output::warning(&format!("Ctrl-C cannot be caught: {error}"));
    }
    interrupted
}

/// Ctrl-C for work that comes in turns: it ends the turn that runs, or, while none does, the
/// program with 130.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupts {
    turn: Arc<Mutex<Option<CancelToken>>>,
}

impl Interrupts {
    /// Catches Ctrl-C from now on.
    pub(crate) fn catch() -> Self {
        let interrupts = Self::default();
        let seen = interrupts.clone();
        let handler = move || match &*seen.turn() {
            Some(token) if !token.is_cancelled() => token.cancel(),
            _ => std::process::exit(Exit::Interrupted as i32),
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            crate::output::warning(&format!("Ctrl-C cannot be caught: {error}"));
        }
        interrupts
    }

    /// Runs one turn under a token that Ctrl-C cancels.
    pub(crate) fn during<T>(&self, turn: impl FnOnce(&CancelToken) -> T) -> T {
        let token = CancelToken::new();
        *self.turn() = Some(token.clone());
        let result = turn(&token);
        *self.turn() = None;
        result
    }

    fn turn(&self) -> MutexGuard<'_, Option<CancelToken>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_errors_are_usage_and_marked_ones_the_job() {
        let fail = || -> Result<(), Failure> { Ok(Err(io::Error::other("x"))?) };
        assert_eq!(fail().unwrap_err().exit, Exit::Usage);
        let marked = Err::<(), _>(io::Error::other("x")).or_failed();
        assert_eq!(marked.unwrap_err().exit, Exit::Failed);
    }

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let inner = io::Error::other("disk full");
        let said = anyhow::Error::new(inner).context("cannot write a: disk full");
        assert_eq!(chain(&said), "cannot write a: disk full");
        let inner = io::Error::other("disk full");
        let unsaid = anyhow::Error::new(inner).context("cannot write a");
        assert_eq!(chain(&unsaid), "cannot write a: disk full");
    }

    #[test]
    fn a_closed_pipe_is_success() {
        let pipe = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_closed_pipe(&pipe.context("cannot write")));
        assert!(!is_closed_pipe(&anyhow::Error::new(io::Error::other("x"))));
    }
}
