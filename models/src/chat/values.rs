// SPDX-License-Identifier: AGPL-3.0-or-later
//! How large a template's values are, and how they look as text.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

/// Deepest nesting of a value that is compared, shown or written as JSON.
const MAX_DEPTH: usize = 64;

/// What looking at one value costs, in bytes of text that could be copied meanwhile.
pub(super) const ITEM: usize = 32;

/// Work that a rendering may still do: bytes copied or looked at, items visited.
#[derive(Debug)]
pub(super) struct Budget(AtomicU64);

impl Budget {
    pub(super) fn new(units: u64) -> Self {
        Self(AtomicU64::new(units))
    }

    /// Takes `units` away.
    pub(super) fn charge(&self, units: usize) -> Result<(), Error> {
        let take = |left: u64| left.checked_sub(units as u64);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(invalid("the template makes too much text")),
        }
    }

    /// Takes away what a walk over the whole of `value` costs, before anything walks over it.
    pub(super) fn charge_all(&self, value: &Value) -> Result<(), Error> {
        self.charge_level(value, 0)
    }

    fn charge_level(&self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(invalid("a value is nested more than 64 levels deep"));
        }
        self.charge(ITEM.saturating_add(width(value)))?;
        match value.kind() {
            ValueKind::Map => {
                for key in value.try_iter()? {
                    let item = value.get_item(&key)?;
                    self.charge_level(&key, depth + 1)?;
                    self.charge_level(&item, depth + 1)?;
                }
            }
            ValueKind::Seq | ValueKind::Iterable => {
                for item in value.try_iter()? {
                    self.charge_level(&item, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Bytes of a string, items of a container.
pub(super) fn width(value: &Value) -> usize {
    value.as_str().map_or_else(|| value.len().unwrap_or(0), str::len)
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// A value as Python's `str` shows it, in containers as `repr` does.
pub(super) fn text(value: &Value, budget: &Budget) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        budget.charge(text.len())?;
        return Ok(text.to_owned());
    }
    budget.charge_all(value)?;
    let mut out = String::new();
    repr(value, &mut out)?;
    Ok(out)
}

fn repr(value: &Value, out: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => {}
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            out.push(quote);
            for c in text.chars() {
                match c {
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    '\t' => out.push_str("\\t"),
                    '\\' => out.push_str("\\\\"),
                    c if c == quote => {
                        out.push('\\');
                        out.push(c);
                    }
                    c => out.push(c),
                }
            }
            out.push(quote);
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let (open, close) = if value.is_tuple() { ('(', ')') } else { ('[', ']') };
            out.push(open);
            let mut n = 0;
            for item in value.try_iter()? {
                separate(n, out);
                repr(&item, out)?;
                n += 1;
            }
            if value.is_tuple() && n == 1 {
                out.push(',');
            }
            out.push(close);
        }
        ValueKind::Map => {
            out.push('{');
            for (n, key) in value.try_iter()?.enumerate() {
                separate(n, out);
                repr(&key, out)?;
                out.push_str(": ");
                repr(&value.get_item(&key)?, out)?;
            }
            out.push('}');
        }
        _ => write!(out, "{value}").map_err(|_| invalid("a value cannot be shown"))?,
    }
    Ok(())
}

fn separate(n: usize, out: &mut String) {
    if n > 0 {
        out.push_str(", ");
    }
}
