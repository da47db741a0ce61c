// SPDX-License-Identifier: AGPL-3.0-or-later
//! Hardware addresses of network interfaces (IEEE 802, EUI-48).

use memchr::memchr3_iter;

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::context::{Context, Cues};
use crate::text::{char_after, char_before, is_wordlike};

/// The PII type this detector reports.
pub const MAC: PiiType = PiiType::new("mac");

/// Finds addresses of six octets: `00:1b:44:11:3a:b7`, `00-1B-44-11-3A-B7`, `001b.4411.3ab7`.
///
/// Score: 0.9. All octets alike (unset, broadcast) tell nothing about anybody and score 0.4; six pairs of decimal digits
/// may be a time or a serial number and score 0.6; letters alone may be words (`dead.beef.cafe`) and score 0.4. A word such as "mac" adds 0.3, one such as "fingerprint" takes 0.6.
pub struct MacDetector;

#[rustfmt::skip]
const CUES: Cues = Cues {
    positive: &[
        "mac", "ethernet", "ether", "hwaddr", "lladdr", "bssid", "wifi", "wlan", "wlan0", "eth0", "bluetooth", "nic",
        "hardware", "device", "bd_addr", "bdaddr", "physical", "adapter", "interface", "arp", "station",
    ],
    negative: &["fingerprint", "md5", "sha1", "sha256", "serial", "time", "duration", "timecode", "date", "color"],
};

impl Detector for MacDetector {
    fn name(&self) -> &'static str {
        "mac"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[MAC]
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
        let bytes = text.as_bytes();
        let mut free = 0;
        for separator in memchr3_iter(b':', b'-', b'.', bytes) {
            let group = if bytes[separator] == b'.' { 4 } else { 2 };
            let Some(start) = separator.checked_sub(group).filter(|start| *start >= free) else {
                continue;
            };
            let Some(octets) = octets_at(bytes, start, group, bytes[separator]) else {
                continue;
            };
            let end = start + 12 + 12 / group - 1;
            if !is_alone(text, start, end, bytes[separator]) {
                continue;
            }
            free = end;
            let span = start..end;
            let has = |test: fn(&u8) -> bool| bytes[span.clone()].iter().any(test);
            let base = match (has(u8::is_ascii_alphabetic), has(u8::is_ascii_digit)) {
                _ if octets.iter().all(|octet| *octet == octets[0]) => 0.4,
                (true, true) => 0.9,
                (false, _) => 0.6,
                (true, false) => 0.4,
            };
            let score = match CUES.around(text, &span) {
                Context::For => base + 0.3,
                Context::Against => base - 0.6,
                Context::Silent => base,
            };
            out.push(Finding::pii(MAC, span, score, self.name(), "eui48"));
        }
        Ok(())
    }
}

/// Six octets from `start` in groups of two or four hex digits.
fn octets_at(bytes: &[u8], start: usize, group: usize, separator: u8) -> Option<[u8; 6]> {
    let mut octets = [0; 6];
    let mut at = start;
    for (i, octet) in octets.iter_mut().enumerate() {
        if i > 0 && (i * 2).is_multiple_of(group) {
            if *bytes.get(at)? != separator {
                return None;
            }
            at += 1;
        }
        let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
        *octet = u8::try_from(digit(at)? << 4 | digit(at + 1)?).ok()?;
        at += 2;
    }
    Some(octets)
}

/// Not a part of a longer row of octets, such as a key's fingerprint or an EUI-64.
fn is_alone(text: &str, start: usize, end: usize, separator: u8) -> bool {
    let after = char_after(text, end);
    let longer = after == Some(char::from(separator))
        && char_after(text, end + 1).is_some_and(char::is_alphanumeric);
    !char_before(text, start).is_some_and(is_wordlike)
        && !octet_before(text.as_bytes(), start, separator)
        && !after.is_some_and(is_wordlike)
        && !longer
}

/// Whether an octet and a separator stand before `start`, rather than the `mac:` of a label.
fn octet_before(bytes: &[u8], start: usize, separator: u8) -> bool {
    match bytes[..start] {
        [.., a, b, last] if last == separator && a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
            !start.checked_sub(4).is_some_and(|at| bytes[at].is_ascii_alphanumeric())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn addresses_are_found_exactly() {
        assert_table(
            &MacDetector,
            &[
                ("00:1b:44:11:3a:b7", &["00:1b:44:11:3a:b7"]),
                ("(00-1B-44-11-3A-B7),", &["00-1B-44-11-3A-B7"]),
                ("Cisco 001b.4411.3ab7.", &["001b.4411.3ab7"]),
                ("mac:00:1b:44:11:3a:b7", &["00:1b:44:11:3a:b7"]),
                ("MAC address: 00:11:22:33:44:55", &["00:11:22:33:44:55"]),
                ("ether 02:42:ac:11:00:02 txqueuelen 0", &["02:42:ac:11:00:02"]),
                ("a4:5e:60:c2:11:0f: flags", &["a4:5e:60:c2:11:0f"]),
                (
                    "a4:5e:60:c2:11:0f,a4:5e:60:c2:11:0e",
                    &["a4:5e:60:c2:11:0f", "a4:5e:60:c2:11:0e"],
                ),
            ],
        );
    }

    #[test]
    fn what_only_looks_like_an_address_is_left() {
        assert_clean(
            &MacDetector,
            &[
                "",
                "12:30:45",
                "01:02:03:04:05:06",
                "00:00:00:00:00:00",
                "ff:ff:ff:ff:ff:ff",
                "MD5 fingerprint 16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
                "16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
                "00-1b-44-11-3a-b7-0c-0d",
                "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
                "550e8400-e29b-41d4-a716-446655440000",
                "2024-11-21-10-30-00",
                "x00:1b:44:11:3a:b7",
                "00:1b-44:11-3a:b7",
                "00:1g:44:11:3a:b7",
                "1234.5678.9012",
                "dead.beef.cafe",
            ],
        );
    }
}
