// SPDX-License-Identifier: AGPL-3.0-or-later
//! Keys and tokens that announce themselves: the documented prefixes of those who issue them.

use std::ops::Range;

use crate::text::tokens::{distinct, span_end};

/// What the part after a prefix is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// Letters and digits.
    Alnum,
    /// Letters, digits, `_`, `-`.
    Word,
    /// Letters, digits, `_`, `-`, `.`.
    Dotted,
    /// Hex digits.
    Hex,
    /// `A-Z` and `2-7`.
    Base32,
    /// Letters, digits, `_`, `-`, `/`.
    Path,
}

impl Set {
    fn has(self, b: u8) -> bool {
        match self {
            Self::Alnum => b.is_ascii_alphanumeric(),
            Self::Word => b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'),
            Self::Dotted => b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'),
            Self::Hex => b.is_ascii_hexdigit(),
            Self::Path => b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'/'),
            Self::Base32 => b.is_ascii_uppercase() || matches!(b, b'2'..=b'7'),
        }
    }
}

/// A prefix, what follows it, and how long that may be.
struct Format {
    rule: &'static str,
    prefix: &'static str,
    set: Set,
    min: usize,
    max: usize,
    score: f32,
}

const fn format(
    rule: &'static str,
    prefix: &'static str,
    set: Set,
    min: usize,
    max: usize,
    score: f32,
) -> Format {
    Format { rule, prefix, set, min, max, score }
}

/// Longer prefixes before those that begin alike. Publishable keys and account ids score low: they are no secret.
#[rustfmt::skip]
const FORMATS: &[Format] = &[
    format("aws_access_key_id", "AKIA", Set::Base32, 16, 16, 0.95),
    format("aws_access_key_id", "ASIA", Set::Base32, 16, 16, 0.95),
    format("aws_access_key_id", "ABIA", Set::Base32, 16, 16, 0.95),
    format("aws_access_key_id", "ACCA", Set::Base32, 16, 16, 0.95),
    format("aws_bedrock_key", "ABSK", Set::Alnum, 100, 160, 0.95),
    format("github", "ghp_", Set::Alnum, 36, 36, 0.85),
    format("github", "gho_", Set::Alnum, 36, 36, 0.85),
    format("github", "ghu_", Set::Alnum, 36, 36, 0.85),
    format("github", "ghs_", Set::Alnum, 36, 36, 0.85),
    format("github", "ghr_", Set::Alnum, 36, 76, 0.85),
    format("github_fine_grained", "github_pat_", Set::Word, 82, 82, 0.98),
    format("npm", "npm_", Set::Alnum, 36, 36, 0.85),
    format("pypi", "pypi-AgE", Set::Word, 50, 500, 0.98),
    format("gitlab", "glpat-", Set::Dotted, 20, 300, 0.95),
    format("gitlab", "gldt-", Set::Dotted, 20, 300, 0.95),
    format("gitlab", "glrt-", Set::Dotted, 20, 300, 0.95),
    format("gitlab", "glptt-", Set::Dotted, 20, 300, 0.95),
    format("gitlab", "glcbt-", Set::Dotted, 20, 300, 0.95),
    format("gitlab", "glsoat-", Set::Dotted, 20, 300, 0.95),
    format("gitlab", "glagent-", Set::Word, 40, 64, 0.95),
    format("slack", "xoxb-", Set::Word, 20, 250, 0.95),
    format("slack", "xoxp-", Set::Word, 20, 250, 0.95),
    format("slack", "xoxa-", Set::Word, 20, 250, 0.95),
    format("slack", "xoxo-", Set::Word, 20, 250, 0.95),
    format("slack", "xoxr-", Set::Word, 20, 250, 0.95),
    format("slack", "xoxs-", Set::Word, 20, 250, 0.95),
    format("slack", "xoxe-", Set::Word, 20, 250, 0.95),
    format("slack", "xoxe.xoxp-", Set::Word, 20, 250, 0.95),
    format("slack", "xapp-", Set::Word, 20, 250, 0.95),
    format("slack_webhook", "hooks.slack.com/services/T", Set::Path, 28, 100, 0.98),
    format("slack_webhook", "hooks.slack.com/workflows/T", Set::Path, 28, 150, 0.98),
    format("discord_webhook", "discord.com/api/webhooks/", Set::Path, 60, 120, 0.98),
    format("discord_webhook", "discordapp.com/api/webhooks/", Set::Path, 60, 120, 0.98),
    format("stripe", "sk_live_", Set::Alnum, 16, 247, 0.98),
    format("stripe", "rk_live_", Set::Alnum, 16, 247, 0.98),
    format("stripe", "sk_test_", Set::Alnum, 16, 247, 0.9),
    format("stripe", "rk_test_", Set::Alnum, 16, 247, 0.9),
    format("stripe_publishable", "pk_live_", Set::Alnum, 16, 247, 0.5),
    format("stripe_publishable", "pk_test_", Set::Alnum, 16, 247, 0.4),
    format("stripe_webhook", "whsec_", Set::Alnum, 32, 64, 0.95),
    format("anthropic", "sk-ant-", Set::Word, 24, 200, 0.98),
    format("openai", "sk-proj-", Set::Word, 20, 300, 0.98),
    format("openai", "sk-svcacct-", Set::Word, 20, 300, 0.98),
    format("openai", "sk-admin-", Set::Word, 20, 300, 0.98),
    format("openrouter", "sk-or-v1-", Set::Hex, 64, 64, 0.98),
    format("sk_key", "sk-", Set::Alnum, 32, 96, 0.9),
    format("huggingface", "hf_", Set::Alnum, 30, 40, 0.95),
    format("huggingface", "api_org_", Set::Alnum, 30, 40, 0.95),
    format("google", "AIza", Set::Word, 35, 35, 0.95),
    format("google_oauth", "GOCSPX-", Set::Word, 28, 28, 0.98),
    format("google_oauth", "ya29.", Set::Word, 20, 1024, 0.9),
    format("google_refresh", "1//0", Set::Word, 40, 120, 0.8),
    format("twilio", "SK", Set::Hex, 32, 32, 0.85),
    format("twilio_account", "AC", Set::Hex, 32, 32, 0.5),
    format("sendgrid", "SG.", Set::Dotted, 60, 72, 0.98),
    format("mailgun", "key-", Set::Hex, 32, 32, 0.85),
    format("mailchimp", "md-", Set::Word, 22, 22, 0.5),
    format("crates_io", "cio", Set::Alnum, 32, 32, 0.8),
    format("rubygems", "rubygems_", Set::Hex, 48, 48, 0.98),
    format("docker", "dckr_pat_", Set::Word, 24, 40, 0.98),
    format("digitalocean", "dop_v1_", Set::Hex, 64, 64, 0.98),
    format("digitalocean", "doo_v1_", Set::Hex, 64, 64, 0.98),
    format("digitalocean", "dor_v1_", Set::Hex, 64, 64, 0.98),
    format("shopify", "shpat_", Set::Hex, 32, 32, 0.98),
    format("shopify", "shpca_", Set::Hex, 32, 32, 0.98),
    format("shopify", "shppa_", Set::Hex, 32, 32, 0.98),
    format("shopify", "shpss_", Set::Hex, 32, 32, 0.98),
    format("databricks", "dapi", Set::Hex, 32, 34, 0.9),
    format("atlassian", "ATATT3", Set::Word, 100, 250, 0.98),
    format("linear", "lin_api_", Set::Alnum, 32, 64, 0.98),
    format("notion", "ntn_", Set::Alnum, 40, 60, 0.95),
    format("postman", "PMAK-", Set::Word, 50, 64, 0.98),
    format("new_relic", "NRAK-", Set::Alnum, 27, 27, 0.98),
    format("grafana", "glsa_", Set::Word, 36, 64, 0.98),
    format("grafana", "glc_", Set::Alnum, 32, 400, 0.95),
    format("vault", "hvs.", Set::Word, 24, 200, 0.98),
    format("vault", "hvb.", Set::Word, 24, 300, 0.98),
    format("doppler", "dp.pt.", Set::Alnum, 40, 44, 0.98),
    format("square", "sq0atp-", Set::Word, 22, 22, 0.98),
    format("square", "sq0csp-", Set::Word, 43, 43, 0.98),
    format("groq", "gsk_", Set::Alnum, 48, 56, 0.98),
    format("xai", "xai-", Set::Alnum, 70, 90, 0.98),
    format("replicate", "r8_", Set::Alnum, 37, 40, 0.95),
    format("perplexity", "pplx-", Set::Alnum, 40, 64, 0.98),
    format("supabase", "sbp_", Set::Hex, 40, 40, 0.98),
    format("telegram", "AA", Set::Word, 33, 33, 0.0),
    format("age", "AGE-SECRET-KEY-1", Set::Alnum, 58, 58, 0.98),
];

/// Whether any prefix begins with this byte.
pub(super) fn may_begin(b: u8) -> bool {
    matches!(b, b'1' | b'A' | b'G' | b'N' | b'P' | b'S' | b'a' | b'c' | b'd' | b'g' | b'h' | b'k'..=b'p' | b'r'..=b'y')
}

/// The score of what has a key's prefix and is longer than its keys.
const OVERLONG: f32 = 0.85;

/// A token of a known format.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hit {
    pub(super) span: Range<usize>,
    pub(super) rule: &'static str,
    pub(super) score: f32,
}

/// The token that begins at `at`, within `stop`; looks at a bounded number of bytes.
pub(super) fn at(text: &str, at: usize, stop: usize) -> Option<Hit> {
    let bytes = &text.as_bytes()[..stop];
    let begins = |format: &&Format| bytes[at..].starts_with(format.prefix.as_bytes());
    FORMATS.iter().filter(begins).find_map(|format| {
        let start = at + format.prefix.len();
        let mut end = span_end(bytes, start, format.max + 1, |b| format.set.has(b));
        if format.set != Set::Alnum && format.set != Set::Hex {
            // A full stop or a dash at the end belongs to the sentence.
            let trailing = |b: &&u8| matches!(b, b'.' | b'-');
            end -= bytes[start..end].iter().rev().take_while(trailing).count();
        }
        let body = text.get(start..end)?;
        let ends = bytes.get(end).is_none_or(|b| !b.is_ascii_alphanumeric());
        // Longer than any that is given out, of a kind whose length varies: the prefix tells, and all of the stretch is taken.
        if body.len() > format.max
            && format.min < format.max
            && format.score >= 0.95
            && distinct(body.as_bytes()) >= 6
        {
            let end = span_end(bytes, end, usize::MAX, |b| format.set.has(b));
            return Some(Hit { span: at..end, rule: format.rule, score: OVERLONG });
        }
        // "xxxxxxxx" and the like stand for a key and are none.
        if !(format.min..=format.max).contains(&body.len())
            || !ends
            || distinct(body.as_bytes()) < 6
        {
            return None;
        }
        let hit = |start: usize, score| Hit { span: start..end, rule: format.rule, score };
        match format.rule {
            "telegram" => bot_id(&text.as_bytes()[..at]).map(|len| hit(at - len, 0.95)),
            "sendgrid" => {
                let (id, key) = body.split_once('.')?;
                (id.len() == 22 && key.len() == 43).then(|| hit(at, format.score))
            }
            "slack" if !body.bytes().any(|b| b.is_ascii_digit()) => None,
            "twilio" | "twilio_account" if body.bytes().any(|b| b.is_ascii_uppercase()) => None,
            "github" | "npm" if has_checksum(body) => Some(hit(at, 1.0)),
            _ => Some(hit(at, format.score)),
        }
    })
}

/// Bytes of the `123456789:` that stands before the second half of a Telegram bot's token.
fn bot_id(before: &[u8]) -> Option<usize> {
    let digits = before.strip_suffix(b":")?.iter().rev().take(11);
    let len = digits.take_while(|b| b.is_ascii_digit()).count();
    (8..=10).contains(&len).then_some(len + 1)
}

/// Whether the last six characters are the CRC-32 of those before, in base 62: GitHub's and npm's way to tell tokens from
/// what looks like one ("Behind GitHub's new authentication token formats", 2021).
fn has_checksum(body: &str) -> bool {
    let Some((random, check)) = body.len().checked_sub(6).and_then(|at| body.split_at_checked(at))
    else {
        return false;
    };
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'Z' => Some(b - b'A' + 10),
        b'a'..=b'z' => Some(b - b'a' + 36),
        _ => None,
    };
    let value = check.bytes().try_fold(0u64, |sum, b| Some(sum * 62 + u64::from(digit(b)?)));
    value == Some(u64::from(crc32(random.as_bytes())))
}

/// CRC-32 of ISO/IEC 13239, bit by bit: thirty bytes a token.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, b| {
        (0..8).fold(sum ^ u32::from(*b), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 & 0u32.wrapping_sub(sum & 1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_githubs() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        // Made by hand: "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ" and its CRC-32 in base 62.
        assert!(has_checksum("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"));
        assert!(!has_checksum("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18"));
        assert!(!has_checksum("0mLq1"));
    }

    #[test]
    fn every_format_can_be_met() {
        for format in FORMATS {
            let filler: String =
                "Ab3dEf5hJk7mNp9rStUvWxYz2aB4cD6eFgHiKl".chars().cycle().take(format.min).collect();
            let filler = match format.set {
                Set::Hex => "0a1b2c3d4e5f6978".repeat(8)[..format.min].to_owned(),
                Set::Base32 => filler.to_uppercase().replace(['9'], "2"),
                _ => filler,
            };
            let body = if format.rule == "sendgrid" {
                format!("{}.{}", &filler[..22], &filler.repeat(2)[..43])
            } else {
                filler
            };
            let lead = if format.rule == "telegram" { "123456789:" } else { "" };
            let text = format!("{lead}{}{body}", format.prefix);
            assert!(may_begin(text.as_bytes()[lead.len()]), "{}", format.prefix);
            let hit = at(&text, lead.len(), text.len());
            assert_eq!(hit.map(|hit| (hit.span, hit.rule)), Some((0..text.len(), format.rule)));
        }
    }
}
