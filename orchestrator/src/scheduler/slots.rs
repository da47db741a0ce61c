// SPDX-License-Identifier: AGPL-3.0-or-later
//! The threads nodes run on: one rayon pool of one thread a slot, made when first needed.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::RunError;

pub(super) struct Slots(Vec<Option<ThreadPool>>);

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).map(|_| None).collect())
    }

    /// Starts `job` on the slot's thread, which must be idle.
    pub(super) fn spawn(
        &mut self,
        slot: usize,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), RunError> {
        let pool = match &mut self.0[slot] {
            Some(pool) => pool,
            none => none.insert(
                ThreadPoolBuilder::new()
                    .num_threads(1)
                    .thread_name(move |_| format!("bho-node-{slot}"))
                    // Jobs catch their panics; should one slip past (in a destructor, say), the
                    // node times out and the process goes on.
                    .panic_handler(|_| {})
                    .build()
                    .map_err(|error| RunError::Threads(error.to_string()))?,
            ),
        };
        pool.spawn(job);
        Ok(())
    }

    /// Leaves the slot's thread to the job it is stuck in; the next job gets a new one.
    pub(super) fn replace(&mut self, slot: usize) {
        // Dropping a pool does not wait: its thread ends when its job does.
        self.0[slot] = None;
    }
}
