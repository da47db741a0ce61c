// SPDX-License-Identifier: AGPL-3.0-or-later
//! Cooperative cancellation: time-outs and deadlines that really stop work.
//!
//! A [`CancelToken`] is handed down from the run to the node to the forward pass, which reads it
//! between layers (and, in a decoder, between tokens). Tokens form a tree: cancelling a parent
//! cancels its children, and the nearest deadline on the way up applies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The work was stopped before it finished: a time-out, a deadline or a request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled before it finished")]
pub struct Cancelled;

/// A shared flag, optionally with a deadline, that long work polls to know when to stop.
///
/// Cloning is cheap and gives another handle on the same flag.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    cancelled: AtomicBool,
    deadline: Option<Instant>,
    parent: Option<CancelToken>,
    /// Stops when all of these have; none never do.
    all: Vec<CancelToken>,
}

impl CancelToken {
    /// A token without a deadline, stopped only by [`CancelToken::cancel`].
    pub fn new() -> Self {
        Self::default()
    }

    /// A child that stops when this token stops, when it is cancelled itself, or after `timeout`.
    ///
    /// A `timeout` too long for the clock to represent counts as none.
    pub fn child(&self, timeout: Option<Duration>) -> Self {
        Self(Arc::new(Inner {
            cancelled: AtomicBool::new(false),
            deadline: timeout.and_then(|t| Instant::now().checked_add(t)),
            parent: Some(self.clone()),
            all: Vec::new(),
        }))
    }

    /// A token for work that several want: it stops when all of `tokens` have.
    pub fn when_all(tokens: Vec<Self>) -> Self {
        Self(Arc::new(Inner { all: tokens, ..Inner::default() }))
    }

    /// Asks the work under this token, and under its children, to stop.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
    }

    /// Whether the work should stop: cancelled, or past the deadline, here or in a parent.
    pub fn is_cancelled(&self) -> bool {
        let mut token = Some(self);
        let mut now = None;
        while let Some(CancelToken(inner)) = token {
            if inner.cancelled.load(Ordering::Acquire) {
                return true;
            }
            if let Some(deadline) = inner.deadline
                && *now.get_or_insert_with(Instant::now) >= deadline
            {
                return true;
            }
            if !inner.all.is_empty() && inner.all.iter().all(Self::is_cancelled) {
                return true;
            }
            token = inner.parent.as_ref();
        }
        false
    }

    /// [`Cancelled`] if the work should stop, for use with `?` in a loop.
    ///
    /// # Errors
    /// [`Cancelled`] when [`CancelToken::is_cancelled`] holds.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// The nearest deadline of this token and its parents.
    pub fn deadline(&self) -> Option<Instant> {
        let parent = self.0.parent.as_ref().and_then(CancelToken::deadline);
        match (self.0.deadline, parent) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Time left before the nearest deadline; zero when it has passed, `None` without one.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline().map(|d| d.saturating_duration_since(Instant::now()))
    }

    /// Sleeps for `duration`, waking early when the token is cancelled.
    ///
    /// # Errors
    /// [`Cancelled`] when the token stopped before the time was over.
    pub fn sleep(&self, duration: Duration) -> Result<(), Cancelled> {
        // Short slices bound how late a cancel without a deadline is seen.
        const SLICE: Duration = Duration::from_millis(2);
        let end = Instant::now().checked_add(duration);
        loop {
            self.check()?;
            let left = end.map_or(SLICE, |e| e.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(SLICE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_parent_stops_its_children_only() {
        let root = CancelToken::new();
        let child = root.child(None);
        let sibling = root.child(None);
        child.cancel();
        assert!(child.is_cancelled());
        assert!(!sibling.is_cancelled());
        assert!(!root.is_cancelled());
        root.cancel();
        assert!(sibling.is_cancelled());
    }

    #[test]
    fn the_nearest_deadline_applies() {
        let root = CancelToken::new().child(Some(Duration::from_millis(5)));
        let child = root.child(Some(Duration::from_secs(3600)));
        assert!(child.remaining().is_some_and(|r| r <= Duration::from_millis(5)));
        assert_eq!(child.sleep(Duration::from_secs(3600)), Err(Cancelled));
    }

    #[test]
    fn work_that_several_want_goes_on_while_one_does() {
        let (a, b) = (CancelToken::new(), CancelToken::new());
        let both = CancelToken::when_all(vec![a.clone(), b.clone()]);
        a.cancel();
        assert!(!both.is_cancelled());
        b.cancel();
        assert!(both.is_cancelled());
        assert!(!CancelToken::when_all(Vec::new()).is_cancelled());
    }

    #[test]
    fn an_unrepresentable_timeout_is_no_timeout() {
        let token = CancelToken::new().child(Some(Duration::MAX));
        assert!(!token.is_cancelled());
        assert_eq!(token.deadline(), None);
    }
}
