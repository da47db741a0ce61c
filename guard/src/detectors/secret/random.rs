// SPDX-License-Identifier: AGPL-3.0-or-later
//! Values without a form of their own that look random and stand beside a word such as "secret" or "api_key".

use std::ops::Range;

use crate::text::context::{Context, words_before};
use crate::text::floor_boundary;
use crate::text::tokens::entropy;

/// Shorter values may be words. So much of a longer one tells what it is; longer ones by themselves are files (images,
/// certificates).
const SHORTEST: usize = 20;
const READ: usize = 512;
/// Words before the value that are heard, and the bytes in which a line break is looked for.
const REACH: usize = 3;
const WINDOW: usize = 64;

#[rustfmt::skip]
const FOR: &[&str] = &[
    "secret", "secrets", "token", "tokens", "key", "keys", "apikey", "auth", "authorization", "bearer", "credential",
    "credentials", "passphrase", "password", "passwd", "pwd", "api", "webhook", "signing", "cookie", "jwt", "pat",
];
/// Names of variables end in these: `githubToken`, `clientSecret`, `AccountKey`.
const FOR_ENDINGS: &[&str] = &["token", "secret", "key", "apikey", "password", "credentials"];
#[rustfmt::skip]
const AGAINST: &[&str] = &[
    "sha", "sha1", "sha256", "sha384", "sha512", "md5", "crc32", "checksum", "digest", "hash", "hashes", "commit", "rev",
    "revision", "integrity", "uuid", "guid", "etag", "fingerprint", "blob", "tree", "base64", "image", "png", "jpeg",
    "svg", "font", "public", "pub", "primary", "foreign", "cache", "id", "version", "build", "tx", "txid", "block",
    "nonce", "salt", "rsa", "ed25519", "blake2", "blake3", "cid", "doi", "isbn", "file", "path", "url", "href", "src",
];

/// What a value that looks random is, and its score; `None` when it does not look random.
///
/// 0.85 in the company of a word that announces a secret, 0.4 alone, 0.2 beside one that announces a checksum, an
/// identifier or a file. An AWS secret key (40 characters of base64) scores 0.95 where AWS is named or `near_aws`.
pub(super) fn judge(
    text: &str,
    span: &Range<usize>,
    near_aws: bool,
) -> Option<(f32, &'static str)> {
    let whole = &text.as_bytes()[span.clone()];
    let bytes = &whole[..whole.len().min(READ)];
    if bytes.len() < SHORTEST || is_uuid(bytes) {
        return None;
    }
    let rule = if bytes.iter().all(u8::is_ascii_hexdigit) { "random_hex" } else { "random_text" };
    if !looks_random(bytes) {
        return None;
    }
    let is_aws = bytes.len() == 40
        && rule == "random_text"
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    if is_aws && (near_aws || words_before(text, span.start).any(|w| w.eq_ignore_ascii_case("aws")))
    {
        return Some((0.95, "aws_secret_access_key"));
    }
    let score = match company(text, span.start) {
        Context::For => 0.85,
        _ if whole.len() > READ => return None,
        Context::Against => 0.2,
        Context::Silent => 0.4,
    };
    Some((score, rule))
}

/// What the nearest words before a value announce; one against outweighs those for.
fn company(text: &str, at: usize) -> Context {
    let is_one_of = |word: &str, list: &[&str]| list.iter().any(|w| w.eq_ignore_ascii_case(word));
    let ends = |word: &str| {
        FOR_ENDINGS.iter().any(|end| {
            word.len()
                .checked_sub(end.len())
                .and_then(|at| word.get(at..))
                .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
        })
    };
    let mut context = Context::Silent;
    let from = reach(text, at);
    let mut seen = at;
    for word in words_before(text, at).take(REACH) {
        // Words come nearest first; those of another line are another matter.
        seen = text[..seen].rfind(word).unwrap_or(0);
        if seen < from {
            break;
        }
        if is_one_of(word, AGAINST) {
            return Context::Against;
        }
        if is_one_of(word, FOR) || ends(word) {
            context = Context::For;
        }
    }
    context
}

/// Where the words that count begin: on the value's own line, or on the one before when that ends in a `:` or a `=`.
fn reach(text: &str, at: usize) -> usize {
    let announced = |before: &str| before.trim_end().ends_with([':', '=']);
    let before = &text.as_bytes()[at.saturating_sub(WINDOW)..at];
    let Some(offset) = before.iter().rposition(|b| *b == b'\n') else { return 0 };
    let line = at - before.len() + offset + 1;
    let bare = !text.as_bytes()[line..at].iter().any(u8::is_ascii_alphanumeric);
    if bare && announced(&text[floor_boundary(text, line.saturating_sub(4))..line]) {
        0
    } else {
        line
    }
}

/// Whether the bytes are spread as chance spreads them, rather than as words, dates and file names do.
fn looks_random(bytes: &[u8]) -> bool {
    let count = |test: fn(&u8) -> bool| bytes.iter().filter(|b| test(b)).count();
    let (upper, lower, digits) =
        (count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase), count(u8::is_ascii_digit));
    if digits == 0 || upper + lower == 0 {
        return false;
    }
    if bytes.iter().all(u8::is_ascii_hexdigit) {
        return bytes.len() >= 32 && entropy(bytes) >= 3.0;
    }
    // How often a letter meets a digit, or a small letter a capital one in front of a small one.
    let kind = |b: u8| match b {
        b'0'..=b'9' => 0,
        b'A'..=b'Z' => 1,
        b'a'..=b'z' => 2,
        _ => 3,
    };
    let turns = bytes
        .windows(2)
        .filter(|pair| match (kind(pair[0]), kind(pair[1])) {
            (3, _) | (_, 3) => false,
            (a, b) => a != b,
        })
        .count();
    #[expect(clippy::cast_precision_loss, reason = "at most 512")]
    let most = (bytes.len().min(64) as f32).log2();
    entropy(bytes) >= 0.8 * most && turns * 4 >= bytes.len()
}

/// 8-4-4-4-12 hex digits.
fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}
