// SPDX-License-Identifier: AGPL-3.0-or-later
//! IP addresses, versions 4 and 6, as `std::net` reads them.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::context::{Context, Cues};
use crate::text::numbers::Group;
use crate::text::{char_after, char_before, is_wordlike};

/// The PII type this detector reports.
pub const IP: PiiType = PiiType::new("ip");

/// Finds IP addresses; a port, prefix length or zone beside one is left standing.
///
/// Score: 0.9. Loopback, unspecified and broadcast addresses tell nothing about anybody and score 0.4, as do short IPv6
/// texts such as `a::1`, which are as often a path in a program; 0.6 for small numbers before a heading. A word such as "ip" adds 0.35, one such as "version"
/// takes 0.6.
pub struct IpDetector;

#[rustfmt::skip]
const CUES: Cues = Cues {
    positive: &[
        "ip", "ips", "ipv4", "ipv6", "address", "addr", "host", "server", "dns", "gateway", "subnet",
    ],
    negative: &[
        "version", "versions", "ver", "v", "release", "releases", "build", "firmware", "rev", "revision", "driver",
        "section", "chapter", "clause", "paragraph", "upgrade", "upgraded", "update", "patch", "chrome", "chromium", "firefox",
        "edge", "safari", "android", "ios", "windows", "kernel", "sdk", "plugin", "package", "library", "jdk",
    ],
};

/// The longest text of an IPv6 address.
const MAX_V6: usize = 45;

impl Detector for IpDetector {
    fn name(&self) -> &'static str {
        "ip"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[IP]
    }

    fn hold(&self) -> Hold {
        Hold::STRETCH
    }

    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let first = out.len();
        self.v6(text, out);
        let sixes = out.len();
        self.v4(text, ctx.numbers().groups(), out);
        // The IPv4 tail of a mapped address is part of the IPv6 one. Both lists are sorted.
        let mut six = first;
        let mut keep = sixes;
        for i in sixes..out.len() {
            while six < sixes && out[six].span.end <= out[i].span.start {
                six += 1;
            }
            if six == sixes || out[six].span.start > out[i].span.start {
                out.swap(keep, i);
                keep += 1;
            }
        }
        out.truncate(keep);
        Ok(())
    }
}

impl IpDetector {
    fn v4(&self, text: &str, groups: &[Group], out: &mut Vec<Finding>) {
        let bytes = text.as_bytes();
        let is_part = |b: &u8| b.is_ascii_digit() || *b == b'.';
        let mut at = 0;
        for start in groups.iter().map(|group| group.start) {
            if start < at {
                continue;
            }
            let len =
                bytes[start..].iter().position(|b| !is_part(b)).unwrap_or(bytes.len() - start);
            at = start + len;
            let body = text[start..at].trim_end_matches('.');
            let end = start + body.len();
            if !(7..=15).contains(&body.len()) {
                continue;
            }
            let Ok(ip) = body.parse::<Ipv4Addr>() else {
                continue;
            };
            if !is_alone(text, start, end) {
                continue;
            }
            let plain = ip.is_loopback() || ip.is_unspecified() || ip.is_broadcast();
            let base = match (plain, is_heading(text, start, end, ip)) {
                (true, _) => 0.4,
                (_, true) => 0.6,
                _ => 0.9,
            };
            self.push(text, start, end, base, "ipv4", out);
        }
    }

    fn v6(&self, text: &str, out: &mut Vec<Finding>) {
        let bytes = text.as_bytes();
        let is_part = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
        let mut at = 0;
        for (colon, _) in text.match_indices(':') {
            if colon < at {
                continue;
            }
            // Hex digits to the left belong to it; the scan cannot go back past what was looked at before.
            let left = bytes[at..colon].iter().rev().take_while(|b| b.is_ascii_hexdigit()).count();
            let start = colon - left;
            let len =
                bytes[colon..].iter().position(|b| !is_part(b)).unwrap_or(bytes.len() - colon);
            at = colon + len;
            let body = text[start..at].trim_end_matches('.');
            // "2001:db8::1:" at the end of a clause.
            let body = match body.strip_suffix(':') {
                Some(short) if !body.ends_with("::") => short,
                _ => body,
            };
            let end = start + body.len();
            if !(2..=MAX_V6).contains(&body.len()) {
                continue;
            }
            let Ok(ip) = body.parse::<Ipv6Addr>() else {
                continue;
            };
            if !is_alone(text, start, end) {
                continue;
            }
            let hex = body.bytes().filter(u8::is_ascii_hexdigit).count();
            let digit = body.bytes().any(|b| b.is_ascii_digit());
            let plain = ip.is_loopback() || ip.is_unspecified();
            let score = if plain || hex < 5 || !digit { 0.4 } else { 0.9 };
            self.push(text, start, end, score, "ipv6", out);
        }
    }

    fn push(
        &self,
        text: &str,
        start: usize,
        end: usize,
        base: f32,
        rule: &'static str,
        out: &mut Vec<Finding>,
    ) {
        let span = start..end;
        let score = match CUES.around(text, &span) {
            Context::For => base + 0.35,
            Context::Against => base - 0.6,
            Context::Silent => base,
        };
        out.push(Finding::pii(IP, span, score, self.name(), rule));
    }
}

/// "4.2.1.3 Scope": small numbers that begin a line, and a word in capitals after them.
fn is_heading(text: &str, start: usize, end: usize, ip: Ipv4Addr) -> bool {
    let mut after = text[end..].chars();
    ip.octets().iter().all(|octet| *octet <= 20)
        && matches!(char_before(text, start), None | Some('\n'))
        && after.next() == Some(' ')
        && after.next().is_some_and(char::is_uppercase)
}

/// Not a part of a longer name or number: `v1.2.3.4`, `1.2.3.4-beta`, `1.2.3.4.5`, `a::b::c`.
fn is_alone(text: &str, start: usize, end: usize) -> bool {
    let before = char_before(text, start);
    let after = char_after(text, end);
    if before.is_some_and(|c| is_wordlike(c) || c == ':' || c == '.')
        || after.is_some_and(is_wordlike)
    {
        return false;
    }
    let joined = |c: Option<char>, beyond: Option<char>| {
        c == Some('-') && beyond.is_some_and(char::is_alphanumeric)
    };
    // A pinned version ("==1.2.3.4", "^1.2.3.4") and a file's name ("1.2.3.4.zip").
    let pinned = |c: Option<char>| c.is_some_and(|c| matches!(c, '=' | '<' | '>' | '~' | '!'));
    if matches!(before, Some('^' | '~'))
        || before == Some('=') && pinned(char_before(text, start - 1))
        || after == Some('.')
            && char_after(text, end + 1).is_some_and(char::is_alphabetic)
            && !text[end..].starts_with(".in-addr")
    {
        return false;
    }
    let before_that = before.and_then(|c| char_before(text, start - c.len_utf8()));
    let after_that = after.and_then(|c| char_after(text, end + c.len_utf8()));
    // A range of addresses, "10.0.0.1-10.0.0.9", has a digit on the far side of the dash; a version has a letter.
    !(joined(before, before_that) && before_that.is_some_and(char::is_alphabetic)
        || joined(after, after_that) && after_that.is_some_and(char::is_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn addresses_are_found_exactly() {
        assert_table(
            &IpDetector,
            &[
                ("from 203.0.113.7.", &["203.0.113.7"]),
                ("192.168.0.1:8080", &["192.168.0.1"]),
                ("10.0.0.0/8", &["10.0.0.0"]),
                ("http://198.51.100.23/x", &["198.51.100.23"]),
                ("10.0.0.1-10.0.0.9", &["10.0.0.1", "10.0.0.9"]),
                ("(255.254.253.252)", &["255.254.253.252"]),
                ("ip 127.0.0.1", &["127.0.0.1"]),
                ("2001:db8::8a2e:370:7334", &["2001:db8::8a2e:370:7334"]),
                (
                    "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
                    &["2001:0db8:85a3:0000:0000:8a2e:0370:7334"],
                ),
                ("[fe80::1]:443", &["fe80::1"]),
                ("fe80::1ff:fe23:4567:890a%eth0", &["fe80::1ff:fe23:4567:890a"]),
                ("::ffff:192.0.2.128 mapped", &["::ffff:192.0.2.128"]),
                ("FE80::ABCD:12", &["FE80::ABCD:12"]),
                ("2001:db8::1: unreachable", &["2001:db8::1"]),
                ("2001:db8::", &["2001:db8::"]),
                ("ping 8.8.8.8, 1.1.1.1", &["8.8.8.8", "1.1.1.1"]),
                ("IPv6 address ::1", &["::1"]),
                ("é203.0.113.7", &[]),
                ("é 203.0.113.7é", &[]),
            ],
        );
    }

    #[test]
    fn what_only_looks_like_an_address_is_left() {
        assert_clean(
            &IpDetector,
            &[
                "",
                "1.2.3",
                "1.2.3.4.5",
                "version 1.2.3.4",
                "v1.2.3.4",
                "upgrade to 10.15.7.2",
                "1.2.3.4-beta",
                "pkg==1.2.3.4",
                "pkg>=1.2.3.4",
                "^1.2.3.4",
                "setup 1.2.3.4.zip",
                "Windows 10.0.3.1",
                "4.2.1.3 Scope of work",
                "see\n4.2.1.3 Scope",
                "Chrome 91.0.4472.124",
                "256.1.1.1",
                "192.168.001.001",
                "12:30:45",
                "00:1b:44:11:3a:b7",
                "std::fmt::Display",
                "a::b",
                "dead::beef",
                "::",
                "127.0.0.1",
                "0.0.0.0",
                "see section 4.2.1.3",
                "1:2",
                "::::::",
                "3.14159.26.5",
                "x.10.0.0.1",
                "crate::a::b::c",
            ],
        );
    }

    #[test]
    fn findings_of_both_versions_do_not_overlap() {
        assert_table(
            &IpDetector,
            &[(
                "::ffff:192.0.2.1 192.0.2.2 2001:db8::5 192.0.2.3",
                &["::ffff:192.0.2.1", "192.0.2.2", "2001:db8::5", "192.0.2.3"],
            )],
        );
    }
}
