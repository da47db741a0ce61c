// SPDX-License-Identifier: AGPL-3.0-or-later
//! E-mail addresses, international ones included (RFC 5321, RFC 6531), found outwards from each `@`.

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::{char_after, char_before};

/// The PII type this detector reports.
pub const EMAIL: PiiType = PiiType::new("email");

/// Finds e-mail addresses.
///
/// Score: 1.0 for an address within the limits of RFC 5321 (64 bytes before the `@`), 0.75 for one with a longer local
/// part, 0.3 for the `git@host:` of a repository, 0.2 for what ends like a file (`icon@2x.png`).
///
/// Each byte is looked at a bounded number of times: a scan to either side ends at the next `@`.
pub struct EmailDetector;

impl Detector for EmailDetector {
    fn name(&self) -> &'static str {
        "email"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[EMAIL]
    }

    fn hold(&self) -> Hold {
        Hold::STRETCH
    }

    fn detect(
        &self,
        text: &str,
        _: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        for (at, _) in text.match_indices('@') {
            let Some(start) = local_start(text, at) else {
                continue;
            };
            let Some((end, tld)) = domain_end(text, at + 1) else {
                continue;
            };
            if is_url_userinfo(text, start) {
                continue;
            }
            let score = if is_file_suffix(tld) {
                0.2
            } else if is_repository(&text[start..at], text, end) {
                0.3
            } else if at - start > 64 {
                0.75
            } else {
                1.0
            };
            out.push(Finding::pii(EMAIL, start..end, score, self.name(), "address"));
        }
        Ok(())
    }
}

/// Where the local part before the `@` at `at` begins.
///
/// Of the characters RFC 5322 allows unquoted, `/ = ? ^ \` { | }` are left out: in running text they delimit (paths,
/// query strings, templates) far more often than they belong to an address.
fn local_start(text: &str, at: usize) -> Option<usize> {
    // Scripts written without spaces run into an ASCII address ("联系ann@example.org"): there, the address is the ASCII part.
    let ascii = char_before(text, at)?.is_ascii();
    let mut start = at;
    for (i, c) in text[..at].char_indices().rev() {
        let part = c.is_alphanumeric() && !(ascii && is_unspaced_script(c))
            || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'' | '&' | '#' | '!' | '$' | '*' | '~')
            || matches!(c, '\u{300}'..='\u{36f}');
        if !part {
            break;
        }
        start = i;
    }
    let local = &text[start..at];
    if local.ends_with('.') {
        return None;
    }
    // Two full stops in a row are none of an address ("a stranger...ann@example.org").
    let local = local.rsplit("..").next().unwrap_or(local);
    let trimmed = local.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_');
    (!trimmed.is_empty()).then(|| at - trimmed.len())
}

/// Where the domain that begins at `from` ends, and its last label.
fn domain_end(text: &str, from: usize) -> Option<(usize, &str)> {
    let ascii = char_after(text, from)?.is_ascii();
    let rest = &text[from..];
    let stop = rest
        .find(|c: char| {
            !(c == '.' || c == '-' || c.is_alphanumeric() && !(ascii && is_unspaced_script(c)))
        })
        .unwrap_or(rest.len());
    // Whole labels only, up to the first that cannot be one; then the last that can be a top-level domain.
    let mut end = None;
    let mut at = 0;
    for (i, label) in rest[..stop].split('.').enumerate() {
        let clean = label.trim_end_matches('-');
        if clean.is_empty() || clean.len() > 63 || clean.starts_with('-') {
            break;
        }
        if i > 0 && is_tld(clean) {
            end = Some((from + at + clean.len(), clean));
        }
        if clean.len() != label.len() || at + label.len() > 253 {
            break;
        }
        at += label.len() + 1;
    }
    end
}

/// A top-level domain: letters of any script, or the ASCII form of one (`xn--p1ai`).
fn is_tld(label: &str) -> bool {
    let letters = label.chars().all(char::is_alphabetic) && label.chars().nth(1).is_some();
    letters
        || label.len() > 4 && label.is_char_boundary(4) && label[..4].eq_ignore_ascii_case("xn--")
}

/// Han, kana, Hangul, Thai, Lao, Khmer, Burmese: written without spaces, or with particles stuck to a foreign word.
fn is_unspaced_script(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// `https://user:pass@host`: what stands before the `@` belongs to a URL, and the thing is no mail address.
fn is_url_userinfo(text: &str, start: usize) -> bool {
    const REACH: usize = 128;
    let before = &text.as_bytes()[start.saturating_sub(REACH)..start];
    for (i, &b) in before.iter().enumerate().rev() {
        match b {
            b'/' => return is_scheme(&before[..=i]),
            b'@' | b' ' | b'\t' | b'\r' | b'\n' | b'<' | b'"' => return false,
            _ => {}
        }
    }
    false
}

/// Whether it ends in `https://` or the like. After `mailto://` or `sip://` stands an address, after `x://` perhaps.
fn is_scheme(before: &[u8]) -> bool {
    #[rustfmt::skip]
    const SCHEMES: &[&str] = &[
        "http", "https", "ftp", "ftps", "sftp", "scp", "ssh", "git", "svn", "ws", "wss", "rsync", "smb", "nfs", "dav", "davs",
        "imap", "imaps", "pop", "pop3", "smtp", "smtps", "ldap", "ldaps", "telnet", "vnc", "rdp", "rtsp", "rtmp", "redis",
        "rediss", "mysql", "mariadb", "postgres", "postgresql", "mongodb", "srv", "amqp", "amqps", "mqtt", "mqtts", "nats",
        "kafka", "sqlserver", "mssql", "oracle", "clickhouse", "docker", "tcp", "udp", "socks", "socks4", "socks5",
    ];
    let Some(rest) = before.strip_suffix(b"://") else { return false };
    let len = rest.iter().rev().take_while(|b| b.is_ascii_alphanumeric()).count();
    let scheme = &rest[rest.len() - len..];
    SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()))
}

/// `git@github.com:owner/name`, an address of a machine.
fn is_repository(local: &str, text: &str, end: usize) -> bool {
    matches!(local, "git" | "hg" | "svn")
        && text[end..].starts_with(':')
        && char_after(text, end + 1).is_some_and(|c| c.is_alphanumeric() || c == '/' || c == '~')
}

/// Endings of files that are no top-level domains.
fn is_file_suffix(tld: &str) -> bool {
    [
        "png", "jpg", "jpeg", "gif", "svg", "webp", "bmp", "ico", "css", "js", "json", "html",
        "htm", "php", "exe", "dll", "txt", "xml", "yml", "yaml", "tar", "gz", "pdf", "jar", "whl",
        "tgz",
    ]
    .iter()
    .any(|s| tld.eq_ignore_ascii_case(s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table, scored};

    #[test]
    fn addresses_are_found_exactly() {
        assert_table(
            &EmailDetector,
            &[
                ("Write to ann@example.org.", &["ann@example.org"]),
                ("(ann.lee+news@mail.example.co.uk)", &["ann.lee+news@mail.example.co.uk"]),
                ("<o'brien@example.ie>", &["o'brien@example.ie"]),
                ("'ann@example.org'", &["ann@example.org"]),
                ("mailto:ann@example.org?subject=x", &["ann@example.org"]),
                ("?to=ann@example.org&x=1", &["ann@example.org"]),
                ("a@b.io,c@d.io;e@f.io", &["a@b.io", "c@d.io", "e@f.io"]),
                ("ANN@EXAMPLE.ORG", &["ANN@EXAMPLE.ORG"]),
                ("josé.müller@exámple.com", &["josé.müller@exámple.com"]),
                ("иван@пример.рф пишет", &["иван@пример.рф"]),
                ("用户@例子.公司", &["用户@例子.公司"]),
                ("请联系ann@example.org谢谢", &["ann@example.org"]),
                ("x@xn--e1afmkfd.xn--p1ai", &["x@xn--e1afmkfd.xn--p1ai"]),
                ("see https://example.org/u/ann@example.org/edit", &["ann@example.org"]),
                ("foo@bar@baz.com", &["bar@baz.com"]),
                ("a stranger...ann@example.org", &["ann@example.org"]),
                ("_x-1@a-b.example...", &["_x-1@a-b.example"]),
                ("ann@example.org:hunter2", &["ann@example.org"]),
                ("John <john_doe99@sub.example.museum>!", &["john_doe99@sub.example.museum"]),
                ("ann@example.org- and more", &["ann@example.org"]),
                ("שלח אל ann@example.org היום", &["ann@example.org"]),
            ],
        );
    }

    #[test]
    fn what_only_looks_like_an_address_is_left() {
        assert_clean(
            &EmailDetector,
            &[
                "",
                "@",
                "a@b",
                "@ann on social media",
                "meet @ noon",
                "ann@",
                "ann@.org",
                "ann@example.",
                "ann@-example.org",
                "ann.@example.org",
                "react@17.0.2",
                "icon@2x.png",
                "https://user:secret@example.org/path",
                "ssh://git@example.org/x.git",
                "git@example.org:owner/name.git",
                "user@localhost",
                "#@!.com",
                "a@a@a@a@",
                "x @ y.com",
            ],
        );
    }

    #[test]
    fn an_overlong_local_part_is_still_personal() {
        let text = format!("{}@example.org", "a".repeat(65));
        assert_eq!(scored(&EmailDetector, &text), [(text.as_str(), 0.75)]);
    }
}
