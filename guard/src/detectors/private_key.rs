// SPDX-License-Identifier: AGPL-3.0-or-later
//! Private keys in their text form: PEM (RFC 7468, OpenSSH, PGP) and PuTTY, whole blocks, those that break off too.

use std::sync::LazyLock;

use memchr::memmem;

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::floor_boundary;

/// The PII type this detector reports.
pub const PRIVATE_KEY: PiiType = PiiType::new("private_key");

/// Finds private keys from their first line to their last.
///
/// Score: 1.0 for a block with its end, 0.95 for one that breaks off, whose base64 is followed as far as it goes; 0.5 for a
/// first line with nothing after it. Line breaks may be written as `\n`, as in JSON. Public keys and certificates are left:
/// they are made to be shown.
pub struct PrivateKeyDetector;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const PUTTY: &[u8] = b"PuTTY-User-Key-File-";
const PUTTY_END: &[u8] = b"Private-MAC:";
/// Longest words between the dashes, e.g. `OPENSSH PRIVATE KEY`.
const MAX_LABEL: usize = 48;
/// Last lines are looked for so far: an RSA key of 16384 bits has 13 kB. Base64 is followed however long it is.
pub(crate) const MAX_BLOCK: usize = 64 << 10;
/// Characters of base64 that make a first line a key.
const MIN_BODY: usize = 16;

/// Made once: to make one takes longer than to search a short text.
static BEGINS: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(BEGIN));
static PUTTIES: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(PUTTY));

impl Detector for PrivateKeyDetector {
    fn name(&self) -> &'static str {
        "private_key"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[PRIVATE_KEY]
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
        for start in BEGINS.find_iter(bytes) {
            if start < free {
                continue;
            }
            let Some(label) = label(&text[start + BEGIN.len()..]) else { continue };
            let from = start + BEGIN.len() + label.len() + 5;
            let (end, whole) = block_end(bytes, from);
            let body = bytes[from..end].iter().filter(|b| b.is_ascii_alphanumeric()).count();
            let score = match (whole, body >= MIN_BODY) {
                (true, true) => 1.0,
                (false, true) => 0.95,
                (_, false) => 0.5,
            };
            free = end;
            out.push(Finding::pii(PRIVATE_KEY, start..end, score, self.name(), "pem"));
        }
        for start in PUTTIES.find_iter(bytes) {
            if start < free {
                continue;
            }
            let next = start + PUTTY.len();
            let stop = floor_boundary(text, start + MAX_BLOCK);
            let stop = memmem::find(&bytes[next..stop], PUTTY).map_or(stop, |at| next + at);
            // The last line is "Private-MAC: " and hex digits.
            let mac =
                memmem::find(&bytes[start..stop], PUTTY_END).map(|i| start + i + PUTTY_END.len());
            let from = mac.unwrap_or(next);
            let line = bytes[from..stop].iter().position(|b| matches!(b, b'\n' | b'\r'));
            let end = match (mac, line) {
                (Some(_), line) => line.map_or(stop, |i| from + i),
                (None, _) => body_end(bytes, from, stop),
            };
            free = end;
            out.push(Finding::pii(PRIVATE_KEY, start..end, 0.95, self.name(), "putty"));
        }
        Ok(())
    }
}

/// A block that is not over: each kind ends in its own way, whatever of another's stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Block {
    Pem,
    Putty,
    /// In its last line.
    PuttyMac,
}

/// Where a block begins that has not ended where the text ends, and may yet: within [`MAX_BLOCK`] bytes of its first line.
pub(crate) fn open_block(text: &str) -> Option<(usize, Block)> {
    let bytes = text.as_bytes();
    let begins = memmem::rfind(bytes, BEGIN)
        .filter(|at| label(&text[at + BEGIN.len()..]).is_some())
        .filter(|at| memmem::find(&bytes[*at..], END).is_none());
    let putty = memmem::rfind(bytes, PUTTY).and_then(|at| {
        let Some(mac) = memmem::find(&bytes[at..], PUTTY_END) else {
            return Some((at, Block::Putty));
        };
        line_end(&bytes[at + mac..]).is_none().then_some((at, Block::PuttyMac))
    });
    let open = begins.map(|at| (at, Block::Pem)).into_iter().chain(putty).min();
    open.filter(|(at, _)| bytes.len() - at < MAX_BLOCK)
}

/// Behind the last line of a block whose beginning is not looked at, if it is there.
pub(crate) fn block_over(text: &str, block: Block) -> Option<usize> {
    let bytes = text.as_bytes();
    match block {
        Block::Pem => memmem::find(bytes, END).and_then(|at| {
            let from = at + END.len();
            let stop = bytes.len().min(from + MAX_LABEL + 5);
            let close = memmem::find(&bytes[from..stop], b"-----").map(|i| from + i + 5);
            close.or((stop < bytes.len()).then_some(from))
        }),
        Block::Putty => {
            let mac = memmem::find(bytes, PUTTY_END)?;
            Some(mac + line_end(&bytes[mac..])?)
        }
        Block::PuttyMac => line_end(bytes),
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| matches!(b, b'\n' | b'\r'))
}

/// The words up to the next dashes, if they are those of a private key.
fn label(rest: &str) -> Option<&str> {
    let window = rest.as_bytes().get(..rest.len().min(MAX_LABEL + 5))?;
    let len = memmem::find(window, b"-----")?;
    let label = rest.get(..len)?;
    let words = label.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ');
    (words && label.contains("PRIVATE KEY")).then_some(label)
}

/// Where the block whose body begins at `from` ends, and whether its last line is there.
fn block_end(bytes: &[u8], from: usize) -> (usize, bool) {
    // Not beyond the next block: each byte is searched once.
    let stop = bytes.len().min(from + MAX_BLOCK);
    let stop = memmem::find(&bytes[from..stop], BEGIN).map_or(stop, |next| from + next);
    let last = memmem::find(&bytes[from..stop], END).map(|at| from + at + END.len());
    if let Some(last) = last {
        let line = stop.min(last + MAX_LABEL + 5);
        let close = memmem::find(&bytes[last..line], b"-----").map_or(last, |at| last + at + 5);
        return (close, true);
    }
    (body_end(bytes, from, bytes.len()), false)
}

/// Where the base64 from `from` on ends, across line breaks, breaks written out (`\n`), quotes, and header lines such as
/// `Proc-Type: 4,ENCRYPTED`.
fn body_end(bytes: &[u8], from: usize, stop: usize) -> usize {
    let (mut at, mut end) = (from, from);
    while at < stop {
        if let Some(len) = gap_len(&bytes[at..stop]) {
            at += len;
            continue;
        }
        let word = (at..stop).find(|&i| !is_base64(bytes[i])).unwrap_or(stop);
        let broken = word == stop || gap_len(&bytes[word..stop]).is_some();
        if word - at >= MIN_BODY && broken || word > at && word == bytes.len() {
            (at, end) = (word, word);
        } else if let Some(header) = header_end(&bytes[at..stop]) {
            at += header;
        } else {
            break;
        }
    }
    end
}

fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')
}

/// Bytes of what may stand between two lines of base64.
fn gap_len(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'\\', b'n' | b'r', ..] => Some(2),
        [b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b'>' | b'|' | b',', ..] => Some(1),
        _ => None,
    }
}

/// Bytes of a header line, `Name-Of-It: value`, up to its break.
fn header_end(rest: &[u8]) -> Option<usize> {
    let line = &rest[..rest.len().min(100)];
    let colon = line.iter().position(|b| !(b.is_ascii_alphanumeric() || *b == b'-'))?;
    if colon < 3 || line[colon] != b':' || !line[0].is_ascii_uppercase() {
        return None;
    }
    (colon..line.len()).find(|&i| matches!(line[i..], [b'\n' | b'\r', ..] | [b'\\', b'n', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table, scored};

    const BODY: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n\
                        MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu";

    #[test]
    fn blocks_are_found_whole() {
        for label in
            ["PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]
        {
            let block = format!("-----BEGIN {label}-----\n{BODY}\nNw==\n-----END {label}-----");
            for block in [block.clone(), block.replace('\n', "\\n"), block.replace('\n', " ")] {
                let text = format!("key: \"{block}\" and {block}.");
                let want = [(block.as_str(), 1.0), (block.as_str(), 1.0)];
                assert_eq!(scored(&PrivateKeyDetector, &text), want);
            }
        }
    }

    #[test]
    fn blocks_that_break_off_are_followed_as_far_as_they_go() {
        let begin = "-----BEGIN RSA PRIVATE KEY-----";
        for (tail, rest) in [
            (format!("\n{BODY}"), ""),
            (format!("\n{BODY}"), "\n\nThat was the key."),
            (format!("\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0F\n\n{BODY}"), "\n..."),
            (format!("\\n{BODY}"), "\" }"),
            (format!(" {}", &BODY[..64]), " is what he sent"),
        ] {
            let key = format!("{begin}{tail}");
            let text = format!("{key}{rest}");
            assert_eq!(scored(&PrivateKeyDetector, &text), [(key.as_str(), 0.95)], "{text}");
        }
        let two = format!("{begin}\n{BODY}\n{begin}\n{BODY}");
        assert_eq!(scored(&PrivateKeyDetector, &two).len(), 2);
    }

    #[test]
    fn putty_keys_end_with_their_mac() {
        let key = "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\nAAAA\n\
                   Private-MAC: 0f1e2d";
        let text = format!("{key}\nbye");
        assert_table(&PrivateKeyDetector, &[(&text, &[key])]);
    }

    #[test]
    fn what_is_public_or_only_named_is_left() {
        let public = format!("-----BEGIN PUBLIC KEY-----\n{BODY}\n-----END PUBLIC KEY-----");
        let certificate = format!("-----BEGIN CERTIFICATE-----\n{BODY}\n-----END CERTIFICATE-----");
        assert_clean(
            &PrivateKeyDetector,
            &[
                "",
                "-----BEGIN ",
                "-----BEGIN PRIVATE KEY",
                "a line such as -----BEGIN RSA PRIVATE KEY----- begins a key",
                "-----BEGIN é PRIVATE KEY-----",
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ann@host",
                &public,
                &certificate,
            ],
        );
    }
}
