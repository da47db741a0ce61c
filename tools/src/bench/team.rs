// SPDX-License-Identifier: AGPL-3.0-or-later
//! Threads that work in step, and how long their rounds take.
//!
//! A decoder runs one matrix after another with a barrier between them, on threads that are there
//! already. So the barrier is in the time and the start of threads is not.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bho_engine::CancelToken;
use serde::Serialize;

/// How long and how often to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampling {
    /// Rounds are repeated until a sample takes this long.
    pub(crate) sample: Duration,
    /// Samples, of which the median counts.
    pub(crate) samples: usize,
}

/// Seconds of one round.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Seconds {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// Samples taken.
    pub(crate) samples: usize,
    /// Rounds in each sample.
    pub(crate) rounds: usize,
}

/// Times rounds of `work`: in each, every worker works once, on a thread of its own (the first on
/// this one), and waits for the others. `work` gets the number of the round.
///
/// `None` when there is no worker, or once `cancel` asks to stop.
pub(crate) fn time<W: Send>(
    workers: &mut [W],
    sampling: Sampling,
    cancel: &CancelToken,
    work: impl Fn(&mut W, usize) + Sync,
) -> Option<Seconds> {
    let (leader, others) = workers.split_first_mut()?;
    let barrier = &Barrier::new(others.len() + 1);
    // Rounds until the threads meet again; none sends them home.
    let batch = &AtomicUsize::new(0);
    let work = &work;
    std::thread::scope(|scope| {
        let _guard = barrier.guard();
        for worker in others {
            scope.spawn(move || {
                let _guard = barrier.guard();
                let mut round = 0;
                loop {
                    barrier.wait();
                    let rounds = batch.load(Ordering::Relaxed);
                    if rounds == 0 {
                        return;
                    }
                    for _ in 0..rounds {
                        work(worker, round);
                        round += 1;
                        barrier.wait();
                    }
                }
            });
        }
        let mut round = 0;
        let mut run = |rounds: usize| {
            batch.store(rounds, Ordering::Relaxed);
            barrier.wait();
            let start = Instant::now();
            for _ in 0..rounds {
                work(leader, round);
                round += 1;
                barrier.wait();
            }
            start.elapsed()
        };
        // The first round warms up; then as many rounds as a sample needs.
        run(1);
        let mut rounds = 1;
        let mut seconds = Vec::with_capacity(sampling.samples);
        while seconds.len() < sampling.samples && !cancel.is_cancelled() {
            let took = run(rounds);
            if seconds.is_empty() && took < sampling.sample {
                let missing = sampling.sample.as_secs_f64() / took.as_secs_f64().max(1e-9);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "small"
                )]
                let factor = (missing * 1.2).min(16.0).ceil() as usize;
                rounds *= factor.max(2);
                continue;
            }
            seconds.push(took.as_secs_f64() / rounds as f64);
        }
        batch.store(0, Ordering::Relaxed);
        barrier.wait();
        if seconds.len() < sampling.samples {
            return None;
        }
        seconds.sort_by(f64::total_cmp);
        let (min, max) = (*seconds.first()?, *seconds.last()?);
        Some(Seconds {
            median: seconds[seconds.len() / 2],
            min,
            max,
            samples: seconds.len(),
            rounds,
        })
    })
}

/// A barrier for rounds of microseconds: waiting threads spin first, and give way after that.
struct Barrier {
    threads: usize,
    arrived: AtomicUsize,
    generation: AtomicUsize,
    /// A thread has panicked: those that wait for it must not wait for ever.
    broken: AtomicBool,
}

impl Barrier {
    /// About 50 µs: longer waits mean that the other thread has lost its core.
    const SPINS: u32 = 1000;

    fn new(threads: usize) -> Self {
        Self {
            threads,
            arrived: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        }
    }

    fn wait(&self) {
        if self.threads == 1 {
            return;
        }
        let generation = self.generation.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.arrived.store(0, Ordering::Relaxed);
            self.generation.store(generation.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut spins = 0;
        while self.generation.load(Ordering::Acquire) == generation {
            assert!(!self.broken.load(Ordering::Relaxed), "another thread has panicked");
            if spins < Self::SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// Breaks the barrier if its thread panics.
    fn guard(&self) -> impl Drop + '_ {
        struct Guard<'a>(&'a AtomicBool);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
        }
        Guard(&self.broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Sampling = Sampling { sample: Duration::from_micros(200), samples: 3 };

    #[test]
    fn workers_do_the_same_rounds_in_step() {
        let never = CancelToken::new();
        for threads in [1, 2, 5] {
            let reached: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            let mut workers: Vec<(usize, usize)> = (0..threads).map(|i| (i, 0)).collect();
            let seconds = time(&mut workers, QUICK, &never, |(worker, done), round| {
                assert_eq!(*done, round);
                *done += 1;
                reached[*worker].store(round, Ordering::SeqCst);
                // No other is more than the round before or after.
                let others = reached.iter().map(|other| other.load(Ordering::SeqCst));
                assert!(others.into_iter().all(|other| other.abs_diff(round) <= 1));
            })
            .unwrap();
            assert!(workers.iter().all(|(_, done)| *done == workers[0].1), "{workers:?}");
            assert!(workers[0].1 > seconds.samples * seconds.rounds);
            assert!(seconds.min <= seconds.median && seconds.median <= seconds.max);
            assert_eq!(seconds.samples, 3);
        }
    }

    #[test]
    fn it_stops_when_asked_and_needs_a_worker() {
        let cancel = CancelToken::new();
        assert!(time(&mut [(); 0], QUICK, &cancel, |(), _| {}).is_none());
        let stop = |(): &mut (), round| {
            if round == 1 {
                cancel.cancel();
            }
        };
        assert!(time(&mut [(); 2], QUICK, &cancel, stop).is_none());
    }

    #[test]
    fn a_panic_ends_all_threads() {
        let never = CancelToken::new();
        let outcome = std::panic::catch_unwind(|| {
            time(&mut [0, 1, 2], QUICK, &never, |worker, round| {
                assert!(*worker != 1 || round != 2, "on purpose");
            })
        });
        assert!(outcome.is_err());
    }
}
