// SPDX-License-Identifier: AGPL-3.0-or-later
//! JSON Web Tokens (RFC 7519): base64url parts between full stops, the first of which is JSON with an `alg`.

use std::ops::Range;

use crate::text::tokens::span_end;

/// Longer headers are not looked into.
const MAX_HEADER: usize = 4096;

/// A token that begins at `start`, within `stop`, and its score: 1.0 with three parts (five when encrypted), 0.85 when it
/// breaks off after the second.
pub(super) fn at(text: &str, start: usize, stop: usize) -> Option<(Range<usize>, f32)> {
    let bytes = &text.as_bytes()[..stop];
    if !bytes[start..].starts_with(b"ey") && !bytes[start..].starts_with(b"ew") {
        return None;
    }
    let part = |from| span_end(bytes, from, usize::MAX, |b| value_of(b).is_some());
    let mut end = part(start);
    let header = &text[start..end];
    let mut parts = 1;
    while parts < 5 && bytes.get(end) == Some(&b'.') {
        let next = part(end + 1);
        // The signature of an unsecured token is empty, nothing else is.
        if next == end + 1 && parts != 2 {
            break;
        }
        (end, parts) = (next, parts + 1);
    }
    if parts == 4 {
        end = text[..end].rfind('.')?;
    }
    // "header.payload." at the end of a sentence and an empty signature look the same.
    if parts < 2 || header.len() > MAX_HEADER {
        return None;
    }
    let json: serde_json::Value = serde_json::from_slice(&decode(header)?).ok()?;
    json.get("alg")?.as_str()?;
    Some((start..end, if parts >= 3 { 1.0 } else { 0.85 }))
}

fn value_of(b: u8) -> Option<u8> {
    Some(match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    })
}

/// The bytes of base64url without padding; `None` for another character or a length that cannot be.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        let mut word = 0u32;
        for b in chunk {
            word = word << 6 | u32::from(value_of(*b)?);
        }
        word <<= 6 * (4 - chunk.len());
        let bytes = word.to_be_bytes();
        out.extend_from_slice(bytes.get(1..chunk.len().max(2))?);
        if chunk.len() == 1 {
            return None;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_that_of_rfc_4648() {
        for (text, want) in
            [("", ""), ("Zg", "f"), ("Zm8", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob")]
        {
            assert_eq!(decode(text).as_deref(), Some(want.as_bytes()), "{text}");
        }
        assert_eq!(decode("_-8"), Some(vec![0xFF, 0xEF]));
        assert_eq!(decode("Zg=="), None);
        assert_eq!(decode("Zm9vY"), None);
    }

    #[test]
    fn parts_are_counted() {
        let token = |tail: &str| format!("eyJhbGciOiJIUzI1NiJ9{tail}");
        for (tail, len, score) in [
            (".eyJzdWIiOiIxIn0.c2lnbmF0dXJl", 49, 1.0),
            (".eyJzdWIiOiIxIn0.", 37, 1.0),
            (".eyJzdWIiOiIxIn0", 36, 0.85),
            (".a.b.c.d rest", 28, 1.0),
            (".aaaa.bbbb.cccc", 30, 1.0),
        ] {
            let text = token(tail);
            assert_eq!(at(&text, 0, text.len()), Some((0..len, score)), "{tail}");
        }
        for text in [token(""), token("."), "eyJ0eXAiOiJ4In0.a.b".into(), "eyxx.a.b".into()] {
            assert_eq!(at(&text, 0, text.len()), None, "{text}");
        }
    }
}
