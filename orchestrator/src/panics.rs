// SPDX-License-Identifier: AGPL-3.0-or-later
//! Panics of agents and detectors: caught, and kept from the standard error stream.
//!
//! The standard hook prints a panic's message before anyone can catch it, and an agent's message
//! may quote the text it worked on. A hook put before the one in force stays silent for panics on
//! a thread that is inside [`catch`], and hands all others on. Panics of threads an agent starts
//! by itself are out of reach.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs `f`; a panic in it gives its message, when it has one, and prints nothing.
///
/// What `f` shares with others must stay sound when `f` stops anywhere.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Option<String>> {
    HOOK.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if !INSIDE.try_with(Cell::get).unwrap_or(false) {
                previous(info);
            }
        }));
    });
    let outer = INSIDE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    INSIDE.set(outer);
    result.map_err(|payload| message(payload.as_ref()))
}

fn message(payload: &(dyn Any + Send)) -> Option<String> {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_both_kinds_are_kept() {
        assert_eq!(catch(|| 1), Ok(1));
        assert_eq!(catch(|| panic!("plain")), Err::<(), _>(Some("plain".to_owned())));
        let n = 3;
        assert_eq!(catch(|| panic!("number {n}")), Err::<(), _>(Some("number 3".to_owned())));
        assert_eq!(catch(|| std::panic::panic_any(7)), Err::<(), _>(None));
    }
}
