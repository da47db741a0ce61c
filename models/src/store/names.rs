// SPDX-License-Identifier: AGPL-3.0-or-later
//! What models and their files may be called: names that mean the same on every system and cannot
//! lead out of a folder.

/// Longest name of a model, in bytes.
const MAX_NAME: usize = 96;

/// Longest path of a file within a model, in bytes.
const MAX_PATH: usize = 512;

/// Longest part of a path between slashes, in bytes, as most file systems have it.
const MAX_COMPONENT: usize = 255;

/// Whether `name` can be the name of a model: letters, digits, `.`, `_` and `-`, a letter or digit
/// first.
///
/// # Errors
/// What is wrong and what would be accepted.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.len() > MAX_NAME || !name.chars().all(plain) {
        return Err(format!("accepted: up to {MAX_NAME} letters, digits, '.', '_' and '-'"));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || name.ends_with('.') {
        return Err(
            "accepted: a name that begins with a letter or digit and does not end in '.'".into()
        );
    }
    check_component(name)
}

/// Whether `path` can be a file of a model: relative, with `/` between its parts.
///
/// # Errors
/// What is wrong.
pub(crate) fn check_path(path: &str) -> Result<(), String> {
    if path.len() > MAX_PATH {
        return Err(format!("longer than {MAX_PATH} bytes"));
    }
    if path.starts_with('/') {
        return Err("absolute; accepted: a path within the model".into());
    }
    path.split('/').try_for_each(check_component)
}

fn check_component(part: &str) -> Result<(), String> {
    if part.is_empty() || part == "." || part == ".." {
        return Err(format!("has the part {part:?}; accepted: a plain path within the model"));
    }
    if part.len() > MAX_COMPONENT {
        return Err(format!("a part is longer than {MAX_COMPONENT} bytes"));
    }
    let refused = |c: &char| {
        c.is_control()
            || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
            // Marks that reorder what a terminal shows.
            || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    if let Some(c) = part.chars().find(refused) {
        return Err(format!("holds the character {c:?}, which not every system takes in a name"));
    }
    if part.ends_with(['.', ' ']) {
        return Err("a part ends in a dot or a space, which not every system keeps".into());
    }
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_ascii_uppercase();
    let numbered = ["COM", "LPT"].iter().filter_map(|device| stem.strip_prefix(device));
    let device = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered.into_iter().any(|n| {
            matches!(n, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
        });
    if device {
        return Err(format!("{part:?} names a device on some systems"));
    }
    Ok(())
}

/// Whether `text` is a sha256 as lower-case hex.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `path` matches `pattern`, in which `*` stands for any characters, slashes too, and `?`
/// for one. Takes `path.len() * pattern.len()` steps at most.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), path.chars().collect());
    let (mut p, mut at) = (0, 0);
    // Behind the last `*`, and what that `*` has taken so far.
    let mut star = None;
    while at < path.len() {
        match pattern.get(p) {
            Some('*') => {
                p += 1;
                star = Some((p, at));
            }
            Some(&c) if c == '?' || c == path[at] => (p, at) = (p + 1, at + 1),
            _ => {
                let Some((behind, taken)) = star else { return false };
                star = Some((behind, taken + 1));
                (p, at) = (behind, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_else_somewhere_are_refused() {
        for name in ["bitnet-2b", "a", "SmolLM2-135M_x.v1", "com", "console"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            ".x",
            "-x",
            "x.",
            "a/b",
            "a b",
            "ä",
            "a\0",
            "nul",
            "NUL.txt",
            "com1",
            &"x".repeat(97),
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn paths_stay_within_the_model() {
        for path in ["model.safetensors", "1_Pooling/config.json", ".gitattributes", "a b/ü.json"]
        {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "./a",
            "a/",
            "a\\..\\b",
            "C:/x",
            "a\0b",
            "a\nb",
            "a\u{1b}[2J",
            "x\u{202E}y",
            "aux",
            "a/NUL.safetensors",
            "Com7",
            "lpt¹.x",
            "x.",
            "x ",
            "a*",
            "CON .txt",
            &"x".repeat(256),
            &"x/".repeat(300),
        ] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn patterns_match_as_shells_have_it_but_across_folders() {
        for (pattern, path) in [
            ("*.gguf", "a.gguf"),
            ("*.gguf", "b/a.gguf"),
            ("*Q4_?.gguf", "m.Q4_0.gguf"),
            ("*", ""),
            ("a*b*c", "aXbXbc"),
            ("model-*-of-*", "model-1-of-2"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in
            [("*.gguf", "a.ggufx"), ("?", ""), ("a*b", "ac"), ("", "a"), ("A", "a")]
        {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
        // A naive matcher would take for ever.
        assert!(!matches(&"*a".repeat(40), &"a".repeat(39)));
        assert!(!matches(&format!("{}b", "*a".repeat(200)), &"a".repeat(500)));
    }

    #[test]
    fn sums_are_64_digits() {
        assert!(is_sha256(&"0a".repeat(32)));
        assert!(
            !is_sha256(&"0A".repeat(32))
                && !is_sha256(&"0a".repeat(31))
                && !is_sha256(&"zz".repeat(32))
        );
    }
}
