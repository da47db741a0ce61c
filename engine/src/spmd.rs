// SPDX-License-Identifier: AGPL-3.0-or-later
//! One piece of work on all threads at once, in phases: SPMD with light barriers.
//!
//! A forward pass has hundreds of short phases. Forking and joining for each would cost more than
//! some of them; here all threads enter one task and meet at [`Worker::wait`]. A worker that fails
//! or panics releases the others, which then see [`Aborted`].

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::compute::Compute;
use crate::error::EngineError;

/// Rounds a waiting worker spins before it lets others run: longer than phases differ when every
/// worker has a core, short when they share one.
const SPINS: u32 = 4000;

/// Where workers meet; reusable.
struct Barrier {
    count: usize,
    arrived: AtomicUsize,
    phase: AtomicUsize,
    aborted: AtomicBool,
}

/// Another worker failed: there is nothing to wait for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aborted;

impl From<Aborted> for EngineError {
    fn from(_: Aborted) -> Self {
        Self::Aborted
    }
}

/// One thread of the task.
pub(crate) struct Worker<'a> {
    index: usize,
    barrier: &'a Barrier,
}

impl Worker<'_> {
    /// Which worker this is, from 0.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.barrier.count
    }

    /// Waits until all workers are here: what they wrote before, all see after.
    pub(crate) fn wait(&self) -> Result<(), Aborted> {
        let Barrier { count, arrived, phase, aborted } = self.barrier;
        if *count == 1 {
            return Ok(());
        }
        let current = phase.load(Ordering::Acquire);
        if arrived.fetch_add(1, Ordering::AcqRel) + 1 == *count {
            arrived.store(0, Ordering::Relaxed);
            phase.store(current.wrapping_add(1), Ordering::Release);
        } else {
            let mut spins = 0;
            while phase.load(Ordering::Acquire) == current {
                if aborted.load(Ordering::Acquire) {
                    return Err(Aborted);
                }
                spins += 1;
                if spins < SPINS {
                    std::hint::spin_loop();
                } else {
                    std::thread::yield_now();
                }
            }
        }
        if aborted.load(Ordering::Acquire) { Err(Aborted) } else { Ok(()) }
    }
}

/// Releases the others when its worker does not end well, by error or by panic.
struct Release<'a> {
    barrier: &'a Barrier,
    done: bool,
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.barrier.aborted.store(true, Ordering::Release);
        }
    }
}

impl Compute {
    /// Runs `task` on every thread at once.
    ///
    /// # Errors
    /// The error of the first worker, in order, that failed by itself.
    pub(crate) fn spmd(
        &self,
        task: impl Fn(&Worker<'_>) -> Result<(), EngineError> + Sync,
    ) -> Result<(), EngineError> {
        let barrier = Barrier {
            count: self.threads(),
            arrived: AtomicUsize::new(0),
            phase: AtomicUsize::new(0),
            aborted: AtomicBool::new(false),
        };
        let run = |index| {
            let mut release = Release { barrier: &barrier, done: false };
            let result = task(&Worker { index, barrier: &barrier });
            release.done = result.is_ok();
            result
        };
        let results = self.broadcast(run);
        let own = |result: &Result<(), EngineError>| !matches!(result, Err(EngineError::Aborted));
        let (first, others): (Vec<_>, Vec<_>) = results.into_iter().partition(own);
        first.into_iter().chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn phases_see_what_all_workers_wrote_before() {
        for threads in [1, 2, 5] {
            let compute = Compute::new(threads).unwrap();
            let written: Vec<_> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            compute
                .spmd(|worker| {
                    for round in 1..200 {
                        written[worker.index()].store(round, Ordering::Relaxed);
                        worker.wait()?;
                        assert!(written.iter().all(|w| w.load(Ordering::Relaxed) == round));
                        worker.wait()?;
                    }
                    assert_eq!(worker.count(), threads);
                    Ok(())
                })
                .unwrap();
        }
    }

    #[test]
    fn a_failing_worker_releases_the_others_and_its_error_is_told() {
        let compute = Compute::new(3).unwrap();
        let released = Mutex::new(0);
        let result = compute.spmd(|worker| {
            if worker.index() == 2 {
                return Err(EngineError::Cancelled);
            }
            let waited = worker.wait();
            *released.lock().unwrap() += 1;
            Ok(waited?)
        });
        assert!(matches!(result, Err(EngineError::Cancelled)), "{result:?}");
        assert_eq!(*released.lock().unwrap(), 2);
    }

    #[test]
    fn a_panicking_worker_releases_the_others() {
        let compute = Compute::new(2).unwrap();
        let run = || {
            compute.spmd(|worker| {
                assert!(worker.index() == 1, "on purpose");
                Ok(worker.wait()?)
            })
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
        compute.spmd(|worker| Ok(worker.wait()?)).unwrap();
    }
}
