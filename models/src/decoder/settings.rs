// SPDX-License-Identifier: AGPL-3.0-or-later
//! Typed reading of `config.json`, which tells all faults at once.

use std::cell::RefCell;

use serde_json::Value;

use crate::error::ModelError;

/// A JSON object that remembers what was wrong with what was read of it.
pub(crate) struct Settings<'a> {
    file: &'a str,
    value: &'a Value,
    faults: RefCell<Vec<String>>,
}

impl<'a> Settings<'a> {
    pub(crate) fn new(file: &'a str, value: &'a Value) -> Self {
        Self { file, value, faults: RefCell::default() }
    }

    /// Notes a fault; reading goes on.
    pub(crate) fn fault(&self, message: impl Into<String>) {
        self.faults.borrow_mut().push(message.into());
    }

    /// The value at a path such as `rope_scaling.factor`; null counts as absent.
    pub(crate) fn get(&self, path: &str) -> Option<&'a Value> {
        let found = path.split('.').try_fold(self.value, |value, key| value.get(key));
        found.filter(|value| !value.is_null())
    }

    fn read<T>(
        &self,
        path: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(path)?;
        let found = read(value);
        if found.is_none() {
            let mut shown = value.to_string();
            if shown.chars().count() > 60 {
                shown = shown.chars().take(60).chain("…".chars()).collect();
            }
            self.fault(format!("{path} is {shown}; accepted: {expected}"));
        }
        found
    }

    /// A whole number from 1 to `max`, if it is there.
    pub(crate) fn size_if(&self, path: &str, max: usize) -> Option<usize> {
        self.read(path, &format!("1..={max}"), |value| {
            let size = usize::try_from(value.as_u64()?).ok()?;
            (1..=max).contains(&size).then_some(size)
        })
    }

    /// A whole number from 1 to `max`; 1 after a fault.
    pub(crate) fn size(&self, path: &str, max: usize) -> usize {
        if self.get(path).is_none() {
            self.fault(format!("{path} is missing; accepted: 1..={max}"));
        }
        self.size_if(path, max).unwrap_or(1)
    }

    /// A number above 0 that f32 can hold, if it is there.
    pub(crate) fn positive_if(&self, path: &str) -> Option<f32> {
        self.read(path, "a number above 0", |value| {
            let number = value.as_f64()? as f32;
            (number > 0.0 && number.is_finite()).then_some(number)
        })
    }

    /// A number above 0, or what it is without one.
    pub(crate) fn positive(&self, path: &str, default: f32) -> f32 {
        self.positive_if(path).unwrap_or(default)
    }

    /// True or false, or what it is without one.
    pub(crate) fn flag(&self, path: &str, default: bool) -> bool {
        self.read(path, "true, false", Value::as_bool).unwrap_or(default)
    }

    /// A text that is one of `accepted`, by its index.
    pub(crate) fn choice(&self, path: &str, accepted: &[&str]) -> Option<usize> {
        let expected = accepted.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>();
        self.read(path, &expected.join(", "), |value| {
            let text = value.as_str()?;
            accepted.iter().position(|name| *name == text)
        })
    }

    /// A list of texts that are each one of `accepted`, by their indices.
    pub(crate) fn choices(&self, path: &str, accepted: &[&str]) -> Option<Vec<usize>> {
        let names = accepted.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>();
        self.read(path, &format!("a list of {}", names.join(", ")), |value| {
            let index = |value: &Value| accepted.iter().position(|name| value == name);
            value.as_array()?.iter().map(index).collect()
        })
    }

    /// A list of `len` numbers above 0.
    pub(crate) fn positives(&self, path: &str, len: usize) -> Option<Vec<f32>> {
        self.read(path, &format!("{len} numbers above 0"), |value| {
            let number = |value: &Value| value.as_f64().map(|n| n as f32);
            let numbers: Vec<f32> = value.as_array()?.iter().map(number).collect::<Option<_>>()?;
            let sound = numbers.len() == len && numbers.iter().all(|n| *n > 0.0 && n.is_finite());
            sound.then_some(numbers)
        })
    }

    /// What was read, unless something was wrong.
    pub(crate) fn finish<T>(self, what: T) -> Result<T, ModelError> {
        match self.faults.into_inner() {
            faults if faults.is_empty() => Ok(what),
            faults => Err(ModelError::invalid(format!("{}: config", self.file), faults.join("; "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_faults_are_told_with_what_is_accepted() {
        let value = json!({
            "a": 0, "b": -1.5, "c": "x", "d": {"e": [1, 2]}, "f": null, "good": 3, "act": "gelu"
        });
        let settings = Settings::new("config.json", &value);
        assert_eq!((settings.size("good", 3), settings.size_if("f", 9)), (3, None));
        assert_eq!(settings.choice("act", &["silu", "gelu"]), Some(1));
        assert!(settings.flag("absent", true));
        assert_eq!((settings.size("a", 9), settings.size("missing", 9)), (1, 1));
        settings.positive_if("b");
        settings.flag("c", false);
        settings.flag("d.e", false);
        settings.choice("c", &["silu", "gelu"]);
        let error = settings.finish(()).unwrap_err().to_string();
        for part in [
            "config.json: config: a is 0; accepted: 1..=9",
            "missing is missing; accepted: 1..=9",
            "b is -1.5; accepted: a number above 0",
            "c is \"x\"; accepted: true, false",
            "d.e is [1,2]; accepted: true, false",
            "c is \"x\"; accepted: \"silu\", \"gelu\"",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
