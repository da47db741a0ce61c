// SPDX-License-Identifier: AGPL-3.0-or-later
//! Credentials inside URLs (RFC 3986): the `user:password` before the host, and secret values of query strings.

use std::sync::LazyLock;

use memchr::{memchr_iter, memmem};

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::floor_boundary;
use crate::text::placeholder::is_placeholder;
use crate::text::tokens::{entropy, span_end};

/// The PII type this detector reports.
pub const URL_CREDENTIALS: PiiType = PiiType::new("url_credentials");

/// Finds credentials in URLs; scheme, host and path are left standing.
///
/// Score: 0.95 for `user:password@`, 0.9 for the value of a parameter such as `access_token`, 0.85 for one such as `key`
/// or `sig` when its value looks random, else 0.4. Values that stand for another (`<token>`, `${TOKEN}`, `***`) are left.
pub struct UrlCredentialsDetector;

/// Longest name of a parameter.
const MAX_NAME: usize = 32;
/// So much of a value tells what it is; however long it is, all of it is the finding.
const VALUE_READ: usize = 4096;
/// So much of a password may stand behind a `/`, `?` or `#` in it.
const MAX_UNESCAPED: usize = 128;

/// Parameters whose value is always a secret.
#[rustfmt::skip]
const SURE: &[&str] = &[
    "token", "access_token", "accesstoken", "refresh_token", "id_token", "auth_token", "authtoken", "api_key", "apikey",
    "api-key", "api_token", "secret", "client_secret", "app_secret", "password", "passwd", "pwd", "passphrase",
    "private_token", "x-amz-security-token", "x-amz-signature", "sessionid", "session_id", "session_token",
    "private_key", "access_key", "secret_key", "subscription-key",
];
/// Parameters whose value may be one.
#[rustfmt::skip]
const PERHAPS: &[&str] = &[
    "key", "sig", "signature", "auth", "code", "session", "sid", "pass", "ticket", "jwt", "hash", "hmac", "otp",
];

/// Made once: to make it takes longer than to search a short text.
static SCHEMES: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new("://"));

impl Detector for UrlCredentialsDetector {
    fn name(&self) -> &'static str {
        "url"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[URL_CREDENTIALS]
    }

    fn hold(&self) -> Hold {
        // A comma or a bracket in a password ends no word.
        Hold { words: 1, ..Hold::STRETCH }
    }

    fn detect(
        &self,
        text: &str,
        _: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let bytes = text.as_bytes();
        for at in SCHEMES.find_iter(bytes) {
            // No slash in a user's name, so a text full of "://" is still read once.
            let start = at + 3;
            let end = span_end(bytes, start, usize::MAX, |b| !ends_authority(b));
            let within = memchr::memrchr(b'@', &bytes[start..end]).map(|i| start + i);
            let Some(host) = within.or_else(|| unescaped(bytes, start, end)) else { continue };
            let end = if host < end { end } else { bytes.len().min(host + 2) };
            let scheme = at.checked_sub(1).is_some_and(|i| bytes[i].is_ascii_alphanumeric());
            let colon = memchr::memchr(b':', &bytes[start..host]).map(|i| start + i);
            let Some(colon) = colon.filter(|_| scheme && host + 1 < end) else {
                continue;
            };
            if !is_placeholder(&text[colon + 1..host]) {
                let found =
                    Finding::pii(URL_CREDENTIALS, start..host, 0.95, self.name(), "userinfo");
                out.push(found);
            }
        }
        let mut free = 0;
        for equals in memchr_iter(b'=', bytes) {
            if equals < free {
                continue;
            }
            let Some(name) = parameter_name(text, equals) else { continue };
            let is_one_of =
                |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
            let (sure, perhaps) = (is_one_of(SURE), is_one_of(PERHAPS));
            if !sure && !perhaps {
                continue;
            }
            let end = span_end(bytes, equals + 1, usize::MAX, |b| !ends_value(b));
            free = end;
            let value = text[equals + 1..end].trim_end_matches(['.', ',', ';', ':', '!', ')']);
            let read = &value[..floor_boundary(value, VALUE_READ)];
            if value.len() < 4 || is_placeholder(value) {
                continue;
            }
            let random = value.len() >= 12 && entropy(read.as_bytes()) >= 3.0;
            let score = match (sure, random) {
                (true, _) => 0.9,
                (false, true) => 0.85,
                (false, false) => 0.4,
            };
            let span = equals + 1..equals + 1 + value.len();
            out.push(Finding::pii(URL_CREDENTIALS, span, score, self.name(), "parameter"));
        }
        Ok(())
    }
}

/// Where the `@` stands of a password that holds a `/`, `?` or `#`, which should have been escaped: behind a part before
/// these that is no host, with a port or a path.
fn unescaped(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    if !matches!(bytes.get(end), Some(b'/' | b'?' | b'#')) || bytes[start] == b'[' {
        return None;
    }
    let colon = start + memchr::memchr(b':', &bytes[start..end])?;
    let rest = &bytes[colon + 1..end];
    if rest.iter().all(u8::is_ascii_digit) || bytes[start..colon].contains(&b'.') {
        return None;
    }
    let last = span_end(bytes, end, MAX_UNESCAPED, |b| !ends_value(b) || matches!(b, b'#' | b'&'));
    memchr::memchr(b'@', &bytes[end..last]).map(|i| end + i)
}

fn ends_authority(b: u8) -> bool {
    b.is_ascii_whitespace() || b.is_ascii_control() || b"/?#\"'<>`\\|{}()".contains(&b)
}

fn ends_value(b: u8) -> bool {
    b.is_ascii_whitespace() || b.is_ascii_control() || b"&#\"'<>`\\|".contains(&b)
}

/// The name before the `=`, if a `?`, `&`, `;` or `#` stands before it as in a query string.
fn parameter_name(text: &str, equals: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    let window = &bytes[equals.saturating_sub(MAX_NAME)..equals];
    let len = window
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        .count();
    let start = equals - len;
    let before = start.checked_sub(1).map(|i| bytes[i]);
    // "&amp;token=" in HTML.
    (len > 0 && matches!(before, Some(b'?' | b'&' | b'#' | b';'))).then(|| &text[start..equals])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn credentials_are_found_and_the_rest_of_the_url_is_left() {
        assert_table(
            &UrlCredentialsDetector,
            &[
                ("https://ann:s3cret@example.org/x", &["ann:s3cret"]),
                ("postgres://app:p@ss:w0rd@db.example.org:5432/main", &["app:p@ss:w0rd"]),
                ("redis://:hunter2@10.0.0.5:6379", &[":hunter2"]),
                ("see mongodb+srv://u:pw123@cluster.example.net.", &["u:pw123"]),
                ("ftp://анна:пароль@example.org", &["анна:пароль"]),
                ("https://example.org/a?token=abc123def", &["abc123def"]),
                ("https://example.org/a?x=1&api_key=K-77aa&y=2", &["K-77aa"]),
                ("https://example.org/cb#access_token=ya.29-x&state=1", &["ya.29-x"]),
                ("<a href=\"/a?x=1&amp;Token=abc123\">", &["abc123"]),
                ("/a?key=AbC9dE2fG7hJ4kL1&z=2", &["AbC9dE2fG7hJ4kL1"]),
                (
                    "?X-Amz-Signature=9f86d081884c7d659a2feaa0c55ad015,",
                    &["9f86d081884c7d659a2feaa0c55ad015"],
                ),
                ("https://a:b@c:d1e@host", &["a:b@c:d1e"]),
                ("postgres://app:p/ss#w?rd@db.example.org/main", &["app:p/ss#w?rd"]),
            ],
        );
        let password = "S3cretPart".repeat(60);
        let url = format!("postgres://app:{password}@db.example.org:5432/main");
        assert_table(&UrlCredentialsDetector, &[(&url, &[&format!("app:{password}")])]);
    }

    #[test]
    fn a_long_value_is_found_whole_wherever_its_characters_end() {
        for (one, count) in [("日本b", 2000), ("ab1", 2000), ("é1x", 3000)] {
            let value = one.repeat(count);
            let text = format!("see ?token={value}&x=1");
            assert_table(&UrlCredentialsDetector, &[(text.as_str(), &[value.as_str()])]);
        }
    }

    #[test]
    fn urls_without_secrets_are_left() {
        assert_clean(
            &UrlCredentialsDetector,
            &[
                "",
                "://",
                "://:@",
                "https://example.org:8080/@ann:x",
                "https://ann@example.org/",
                "http://[::1]:80/@ann",
                "https://example.org:/a@b",
                "git+ssh://example.org:team/project@v1.2",
                "ssh://git@example.org:22/x.git",
                "https://user:<password>@example.org",
                "https://user:${PASSWORD}@example.org",
                "https://user:***@example.org",
                "https://example.org/?token=<token>&x",
                "https://example.org/?token=$TOKEN",
                "https://example.org/?key=home",
                "https://example.org/?sort=name&code=404",
                "let token=abcdef;",
                "a == b",
                "?token=",
                "https://user:pw@",
            ],
        );
    }
}
