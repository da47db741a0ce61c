// SPDX-License-Identifier: AGPL-3.0-or-later
//! `a[start:stop:step]` as Python has it. minijinja 3.0.5 panics on some that are empty, and overflows at the ends
//! of the integers.

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, Value};

use super::values::{Budget, ITEM, invalid};

/// Part of a string or list, as a new one; bounds beyond the ends are cut, negative ones count from the end.
pub(super) fn slice(value: &Value, bounds: &[Value], budget: &Budget) -> Result<Value, Error> {
    let bound = |i: usize| -> Result<Option<i64>, Error> {
        let given = bounds.get(i).filter(|bound| !bound.is_none());
        given.map(|bound| i64::try_from(bound.clone())).transpose()
    };
    let (start, stop, step) = (bound(0)?, bound(1)?, bound(2)?.unwrap_or(1));
    if step == 0 {
        return Err(invalid("cannot slice by step size of 0"));
    }
    if let Some(text) = value.as_str() {
        budget.charge(text.len().saturating_mul(4))?;
        let chars: Vec<char> = text.chars().collect();
        let picked = indices(chars.len(), start, stop, step).map(|i| chars[i]);
        return Ok(Value::from(picked.collect::<String>()));
    }
    let mut items = Vec::new();
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => {}
        ValueKind::Seq | ValueKind::Iterable => {
            for item in value.try_iter()? {
                budget.charge(ITEM)?;
                items.push(item);
            }
        }
        kind => return Err(invalid(format!("value of type {kind} cannot be sliced"))),
    }
    let picked: Vec<_> =
        indices(items.len(), start, stop, step).map(|i| items[i].clone()).collect();
    Ok(if value.is_tuple() { Value::from(Tuple::from(picked)) } else { Value::from(picked) })
}

/// Indices below `len`, in order; `step` is not 0.
fn indices(
    len: usize,
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> impl Iterator<Item = usize> {
    let (len, step) = (len as i128, i128::from(step));
    let (first, last) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let place = |bound: i64| {
        let bound = i128::from(bound);
        (if bound < 0 { bound + len } else { bound }).clamp(first, last)
    };
    let (from, to) = if step > 0 { (first, last) } else { (last, first) };
    let (mut at, to) = (start.map_or(from, place), stop.map_or(to, place));
    std::iter::from_fn(move || {
        let here = usize::try_from(at).ok().filter(|_| if step > 0 { at < to } else { at > to })?;
        at += step;
        Some(here)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_those_of_python() {
        let all = |len, start, stop, step| indices(len, start, stop, step).collect::<Vec<_>>();
        assert_eq!(all(5, None, None, 1), [0, 1, 2, 3, 4]);
        assert_eq!(all(5, None, None, -2), [4, 2, 0]);
        assert_eq!(all(5, Some(3), Some(0), -1), [3, 2, 1]);
        assert_eq!(all(5, Some(-2), None, 1), [3, 4]);
        assert_eq!(all(5, Some(-9), Some(9), 3), [0, 3]);
        assert!(all(5, Some(0), Some(5), -1).is_empty());
        assert_eq!(all(5, Some(0), None, i64::MIN), [0]);
        assert_eq!(all(5, Some(i64::MAX), Some(i64::MIN), i64::MIN), [4]);
        assert!(all(0, None, None, -1).is_empty());
        assert!(all(0, Some(i64::MIN), Some(i64::MAX), i64::MAX).is_empty());
    }
}
