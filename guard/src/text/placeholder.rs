// SPDX-License-Identifier: AGPL-3.0-or-later
//! Values that stand where a secret would: variables, templates, stars.

use super::tokens::distinct;

/// Whether a value only stands for a secret: `<token>`, `${TOKEN}`, `$TOKEN`, `{{ token }}`, `%s`, `[REDACTED]`, `****`,
/// `xxxx`, or nothing at all.
pub(crate) fn is_placeholder(value: &str) -> bool {
    let variable = |name: &str| {
        name.starts_with(['{', '('])
            || !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    value.starts_with(['<', '{', '['])
        || value.starts_with("%s")
        || value.starts_with("%(")
        || value.strip_prefix('$').is_some_and(variable)
        || distinct(value.as_bytes()) < 3
}

#[cfg(test)]
mod tests {
    use super::is_placeholder;

    #[test]
    fn placeholders_are_told_from_values() {
        for value in [
            "", "****", "xxxxxx", "<token>", "${X}", "$(pass)", "$TOKEN_1", "{{t}}", "%s",
            "[SECRET]", "...",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
        for value in ["hunter2", "$ecret", "%40bc", "abc", "x-1"] {
            assert!(!is_placeholder(value), "{value}");
        }
    }
}
