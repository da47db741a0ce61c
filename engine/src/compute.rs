// SPDX-License-Identifier: AGPL-3.0-or-later
//! The kernels and the threads a forward pass runs on.

use std::sync::{Arc, Mutex, PoisonError};

use bho_kernels::Kernels;
use rayon::prelude::*;

use crate::error::EngineError;

/// Tokens of a block at most: its widest activations stay in the second-level cache.
const MAX_BLOCK: usize = 64;

/// Token blocks are multiples of this, the tokens kernels take side by side.
const BLOCK_STEP: usize = 8;

/// A kernel backend and a pool of compute threads; cloning shares both.
///
/// One is made per process. Work enters the pool only from threads that are not in it, so that a
/// waiting thread never picks up somebody else's work.
#[derive(Clone)]
pub struct Compute {
    kernels: &'static dyn Kernels,
    /// None for a single thread: then work runs where it is called.
    pool: Option<Arc<rayon::ThreadPool>>,
    /// Held by whoever has all threads at once.
    all_threads: Arc<Mutex<()>>,
}

impl std::fmt::Debug for Compute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compute({}, {} threads)", self.kernels.name(), self.threads())
    }
}

impl Compute {
    /// Compute on the process's kernel backend with `threads` threads (at least 1).
    ///
    /// # Errors
    /// When the backend asked for by the environment is not available, or threads cannot start.
    pub fn new(threads: usize) -> Result<Self, EngineError> {
        Self::with_kernels(bho_kernels::kernels()?, threads)
    }

    /// [`Compute::new`] on a given backend, for tests and benches.
    ///
    /// # Errors
    /// When threads cannot start.
    pub fn with_kernels(
        kernels: &'static dyn Kernels,
        threads: usize,
    ) -> Result<Self, EngineError> {
        let pool = match threads {
            0 | 1 => None,
            n => Some(Arc::new(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(n)
                    .thread_name(|i| format!("bho-compute-{i}"))
                    .build()
                    .map_err(|e| EngineError::Threads(e.to_string()))?,
            )),
        };
        Ok(Self { kernels, pool, all_threads: Arc::default() })
    }

    /// The kernel backend.
    pub fn kernels(&self) -> &'static dyn Kernels {
        self.kernels
    }

    /// Threads work is spread over.
    pub fn threads(&self) -> usize {
        self.pool.as_ref().map_or(1, |p| p.current_num_threads())
    }

    /// Runs `task` on every item, in any order, on all threads.
    ///
    /// # Errors
    /// The error of the first item, in order, that failed.
    pub fn for_each<T: Send>(
        &self,
        items: Vec<T>,
        task: impl Fn(T) -> Result<(), EngineError> + Sync + Send,
    ) -> Result<(), EngineError> {
        match &self.pool {
            Some(pool) if items.len() > 1 => {
                pool.install(|| items.into_par_iter().with_max_len(1).try_for_each(task))
            }
            _ => items.into_iter().try_for_each(task),
        }
    }

    /// Runs `task` once on each thread, all at the same time, with the thread's number.
    ///
    /// One such task runs at a time: two whose threads wait for each other would never end.
    pub(crate) fn broadcast<T: Send>(&self, task: impl Fn(usize) -> T + Sync) -> Vec<T> {
        match &self.pool {
            Some(pool) => {
                let _all = self.all_threads.lock().unwrap_or_else(PoisonError::into_inner);
                pool.broadcast(|context| task(context.index()))
            }
            None => vec![task(0)],
        }
    }

    /// Tokens per block when `tokens` are spread over the threads: even shares, multiples of the
    /// kernels' step, small enough for the cache.
    pub fn block_tokens(&self, tokens: usize) -> usize {
        let threads = self.threads();
        let blocks = tokens.div_ceil(MAX_BLOCK).next_multiple_of(threads);
        tokens.div_ceil(blocks.max(1)).next_multiple_of(BLOCK_STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_even_shares_within_the_cache_limit() {
        let one = Compute::new(1).unwrap();
        let two = Compute::new(2).unwrap();
        assert_eq!((one.threads(), two.threads()), (1, 2));
        assert_eq!(one.block_tokens(16), 16);
        assert_eq!(two.block_tokens(16), 8);
        assert_eq!(two.block_tokens(128), 64);
        assert_eq!(two.block_tokens(1000), 64);
        assert_eq!(one.block_tokens(0), 0);
    }

    #[test]
    fn every_item_runs_once_and_a_failure_is_reported() {
        for threads in [1, 3] {
            let compute = Compute::new(threads).unwrap();
            let mut out = vec![0; 100];
            let items: Vec<_> = out.iter_mut().enumerate().collect();
            compute
                .for_each(items, |(i, o)| {
                    *o += i;
                    Ok(())
                })
                .unwrap();
            assert!(out.iter().enumerate().all(|(i, &o)| o == i));
            let fail = compute.for_each((0..10).collect(), |i| {
                if i == 3 { Err(EngineError::Cancelled) } else { Ok(()) }
            });
            assert!(matches!(fail, Err(EngineError::Cancelled)));
        }
    }
}
