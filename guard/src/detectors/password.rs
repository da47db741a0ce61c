// SPDX-License-Identifier: AGPL-3.0-or-later
//! Passwords that are called so: `password: hunter2`, `DB_PASSWORD=...`, "my password is ...", in a dozen languages.

use std::sync::LazyLock;

use memchr::{memchr2_iter, memmem};

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::placeholder::is_placeholder;
use crate::text::{char_before, floor_boundary};

/// The PII type this detector reports.
pub const PASSWORD: PiiType = PiiType::new("password");

/// Finds the value after a name that ends in a word for "password" and a `:`, a `=` or an "is".
///
/// Score: 0.9 for a value of letters with digits or signs among them, 0.8 for a quoted word, 0.5 for a plain word, which is
/// as often a type or a sentence ("password: required"). After "is", a plain word is left. Variables, templates, calls and
/// words of programs (`null`, `String`) are left.
pub struct PasswordDetector;

/// The last part of the name, lower-case.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    "password", "passwd", "passwort", "passphrase", "passcode", "pwd", "pswd", "passw", "pass", "kennwort", "contraseña",
    "contrasena", "senha", "motdepasse", "mdp", "passe", "wachtwoord", "hasło", "haslo", "lösenord", "parola", "şifre",
    "пароль", "密码", "密碼", "口令", "パスワード", "비밀번호",
];

/// Values that say something of a password instead of being one.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "null", "none", "nil", "undefined", "true", "false", "string", "str", "text", "bool", "int", "varchar", "char",
    "bytes", "required", "optional", "empty", "hidden", "missing", "invalid", "incorrect", "wrong", "reset", "changed",
    "change", "password", "passwd", "pwd", "pass", "secret", "input", "value", "here", "yes", "no", "unset", "default",
    "redacted", "expired", "strong", "weak", "prompt", "env", "option", "any", "object", "n/a",
];

const MAX_NAME: usize = 48;
/// Longest name after a value.
const MAX_OTHER: usize = 24;
/// So much of a value tells what it is; however long it is, all of it is the finding.
const VALUE_READ: usize = 1024;
/// Within a longer value no other one is looked for, so that each byte is read by few.
const LONG: usize = 128;

/// Made once: to make it takes longer than to search a short text.
static SAID: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(" is "));

impl Detector for PasswordDetector {
    fn name(&self) -> &'static str {
        "password"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[PASSWORD]
    }

    fn hold(&self) -> Hold {
        // A value in quotes may be of several words, and a comma in one without ends it not.
        Hold { words: 1, signs: 160, ..Hold::STRETCH }
    }

    fn detect(
        &self,
        text: &str,
        _: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let bytes = text.as_bytes();
        let mut free = 0;
        for at in memchr2_iter(b':', b'=', bytes) {
            // "==", "!=", "::", "://" compare and name; ":=" and "=>" assign.
            let next = bytes.get(at + 1).copied().unwrap_or(b' ');
            let before = at.checked_sub(1).map_or(b' ', |i| bytes[i]);
            if matches!(next, b':' | b'/' | b'=')
                || matches!(before, b'=' | b'!' | b'<' | b'>')
                || before == b':' && bytes[at] == b':'
            {
                continue;
            }
            if at >= free && named(text, at) {
                let from = at + 1 + usize::from(next == b'>');
                free = self.value(text, from, "assigned", out);
            }
        }
        free = 0;
        for at in SAID.find_iter(bytes) {
            if at >= free && named(text, at) {
                free = self.value(text, at + 4, "said", out);
            }
        }
        Ok(())
    }
}

impl PasswordDetector {
    /// Adds the value that stands at `from`, if it is one; from where on the next may be looked for.
    fn value(&self, text: &str, from: usize, rule: &'static str, out: &mut Vec<Finding>) -> usize {
        let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'*');
        let mut start = from + text.as_bytes()[from..].iter().take_while(|b| blank(b)).count();
        let rest = &text[start..];
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
        let (value, quoted) = match quote {
            Some(quote) => {
                start += 1;
                let inner = &rest[1..];
                match inner.find([quote, '\n']) {
                    Some(len) if inner[len..].starts_with(quote) => (&inner[..len], true),
                    _ => return from,
                }
            }
            None => {
                let len = bare_len(rest);
                let ends: &[char] = &['.', ':', ')', ']', '}', '*', '?', '\\', ',', '&', '|'];
                (rest[..len].trim_end_matches(ends), false)
            }
        };
        let end = start + value.len();
        if let Some(score) = score(value, quoted, rule) {
            out.push(Finding::pii(PASSWORD, start..end, score, self.name(), rule));
        }
        if value.len() > LONG { end } else { from }
    }
}

/// What may part one value from the next, or belong to it.
const JOINERS: [char; 3] = ['&', ',', '|'];

/// Bytes of a value without quotes at the start of `rest`. [`JOINERS`] end it where another name with a value follows,
/// as in `password=...&user=...`; else they are part of it.
fn bare_len(rest: &str) -> usize {
    let stop = |c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ',' | ';' | '&' | '|')
    };
    let mut len = 0;
    while let Some(at) = rest[len..].find(stop) {
        len += at;
        if !rest[len..].starts_with(JOINERS) || assigns(&rest[len + 1..]) {
            return len;
        }
        len += 1;
    }
    rest.len()
}

/// Whether a name and a `=` or `:` come next.
fn assigns(rest: &str) -> bool {
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let name = rest.bytes().take(MAX_OTHER + 1).take_while(is_name).count();
    (1..=MAX_OTHER).contains(&name) && matches!(rest.as_bytes().get(name), Some(b'=' | b':'))
}

/// How sure it is that `value` is a password; `None` when it is something else.
fn score(value: &str, quoted: bool, rule: &str) -> Option<f32> {
    let value = &value[..floor_boundary(value, VALUE_READ)];
    let length = value.chars().count();
    // "required,string" is no more of a password than "required".
    let first = value.split(JOINERS).next().unwrap_or(value);
    if length < 4
        // A passage in quotes.
        || length > 100 && value.contains(char::is_whitespace)
        || is_placeholder(value)
        || WORDS.iter().any(|word| first.eq_ignore_ascii_case(word))
        || value.starts_with(['/', '\\', '&', '@']) && !quoted
    {
        return None;
    }
    let has = |test: fn(char) -> bool| value.chars().any(test);
    let (letters, digits) = (has(char::is_alphabetic), has(char::is_numeric));
    let signs =
        has(|c| c.is_ascii_punctuation() && !matches!(c, '_' | '-' | '.' | ',' | '&' | '|'));
    // self.password, os.environ["X"], get_password(), Option<String>, a->b
    let code = !quoted
        && (value.contains(['(', '[', '{'])
            || value.contains("::")
            || value.contains("->")
            || (value.contains('.') && !digits && !signs));
    let mixed =
        (letters && digits) || signs && (letters || digits) || digits && length >= 4 && !letters;
    let plain_name = !digits && !signs;
    match (rule, code) {
        (_, true) => None,
        ("said", _) if plain_name && !quoted => None,
        (_, _) if mixed && !plain_name => Some(0.9),
        (_, _) if quoted && !value.contains(' ') => Some(0.8),
        _ => Some(0.5),
    }
}

/// Whether the name that ends before `at` is one for a password.
fn named(text: &str, at: usize) -> bool {
    let from = floor_boundary(text, at.saturating_sub(MAX_NAME));
    let before = text[from..at].trim_end_matches([' ', '\t', '"', '\'', '`', '*', ']', ':']);
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let start = before.char_indices().rev().take_while(|(_, c)| is_name(*c)).last();
    let Some((start, _)) = start else { return false };
    let name = before[start..].trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
    // A name that the window cuts is longer than any here.
    if start == 0 && char_before(text, from).is_some_and(is_name) {
        return false;
    }
    // Most names end otherwise, and this is asked at every colon of a text.
    let last = name.bytes().next_back().unwrap_or(0);
    let may_be = !last.is_ascii() || b"adeopstw".contains(&last.to_ascii_lowercase());
    may_be && NAMES.iter().any(|known| ends_with_word(name, known))
}

/// Whether `name` ends in `known`, at its start, after `_` or `-`, or as the last part of a camelCase name. Letters of ASCII
/// in any case; short words stand apart, so that "bypass" and "compass" are none.
fn ends_with_word(name: &str, known: &str) -> bool {
    let Some(at) = name.len().checked_sub(known.len()).filter(|at| name.is_char_boundary(*at))
    else {
        return false;
    };
    let (head, tail) = name.split_at(at);
    let same =
        tail.eq_ignore_ascii_case(known) || !known.is_ascii() && tail.to_lowercase() == known;
    let apart = head.is_empty()
        || head.ends_with(['_', '-'])
        || tail.starts_with(char::is_uppercase) && !head.ends_with(char::is_uppercase);
    same && (apart || known.len() > 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table, scored};

    #[test]
    fn long_values_are_found_whole() {
        for (before, value) in [
            (" ".repeat(110), "hunter2-Correct7Horse9Battery-staple8-XyZ".to_owned()),
            (String::new(), "密1码".repeat(60) + "TAIL9x"),
            (" ".to_owned(), "aB3$".repeat(40) + "x"),
            (" ".to_owned(), "aB3$".repeat(2000) + "x"),
        ] {
            let text = format!("password:{before}{value} and so on");
            assert_table(&PasswordDetector, &[(&text, &[&value])]);
            let text = format!("password: \"{value}\"");
            assert_table(&PasswordDetector, &[(&text, &[&value])]);
        }
        let passage = "It has 12 words or so, and none of them is a secret. ".repeat(4);
        assert_clean(&PasswordDetector, &[&format!("password: \"{passage}\"")]);
    }

    #[test]
    fn passwords_are_found_exactly() {
        assert_table(
            &PasswordDetector,
            &[
                ("password: hunter2", &["hunter2"]),
                ("Password=S3cr3t!, user=ann", &["S3cr3t!"]),
                ("user: ann / pass: tr0ub4dor&3", &["tr0ub4dor&3"]),
                ("password: a,b|c&d9, he said", &["a,b|c&d9"]),
                ("password=S3cr3t&user=ann", &["S3cr3t"]),
                ("{password:S3cr3t,user:ann}", &["S3cr3t"]),
                ("Server=db;Password=S3cr3t;User Id=ann", &["S3cr3t"]),
                ("DB_PASSWORD='correct-horse9'", &["correct-horse9"]),
                ("{\"password\": \"letmein\", \"a\": 1}", &["letmein"]),
                ("my password is P@ssw0rd123.", &["P@ssw0rd123"]),
                ("The wifi password is \"sunflower\"", &["sunflower"]),
                ("dbPassword => 'abc123'", &["abc123"]),
                ("adminPwd := x9-Yz_7", &["x9-Yz_7"]),
                ("**Password:** `kV7#mm2p`", &["kV7#mm2p"]),
                ("Passwort: Geheim99", &["Geheim99"]),
                ("пароль: Слон2024", &["Слон2024"]),
                ("contraseña: Gato_88", &["Gato_88"]),
                ("密码:abc12345", &["abc12345"]),
                ("pwd=123456", &["123456"]),
                ("--password=Xy7zz9 --host h", &["Xy7zz9"]),
                ("passphrase: \"correct horse battery 7\"", &["correct horse battery 7"]),
            ],
        );
    }

    #[test]
    fn talk_of_passwords_and_code_are_left() {
        assert_clean(
            &PasswordDetector,
            &[
                "",
                "password",
                "password:",
                "password: ",
                "password: required",
                "password:required,string|null",
                "Password: String,",
                "password: Option<String>",
                "password=password",
                "password = getpass.getpass()",
                "password = os.environ[\"PASSWORD\"]",
                "password: ${DB_PASSWORD}",
                "password=<your password>",
                "password: ********",
                "The password is incorrect.",
                "your password is too short",
                "password == other1",
                "password != other1",
                "bypass: road66",
                "compass=north9",
                "trespass: 1234 cases",
                "password_hash: abc123def",
                "password_length = 12345",
                "std::pass::x1234",
                "passing: 1234 students",
                "self.password = self.config.password",
                "\"password\": \"\"",
                "password: \"unclosed1",
            ],
        );
    }

    #[test]
    fn a_plain_word_is_only_suspected() {
        assert_eq!(scored(&PasswordDetector, "password: sunflower"), [("sunflower", 0.5)]);
    }
}
