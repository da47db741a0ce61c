// SPDX-License-Identifier: AGPL-3.0-or-later
//! Keys and tokens of services, JSON Web Tokens, and random values that are called secret.

mod formats;
mod jwt;
mod random;

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::char_before;
use crate::text::tokens::{Token, pieces, span_end};

/// The PII type this detector reports.
pub const SECRET: PiiType = PiiType::new("secret");

/// Finds API keys and tokens by the prefixes their issuers document, JSON Web Tokens by their header, and anything that
/// looks random beside a word such as "secret".
///
/// Score: 0.8 to 1.0 for known formats, 1.0 where a checksum holds (GitHub, npm) or a header decodes (JWT); 0.4 to 0.5 for
/// keys that are public by design. Random values: 0.85 beside a word that announces a secret, 0.4 without, 0.2 beside one
/// such as "sha256" or "commit".
pub struct SecretDetector;

/// How far after an AWS access key id its secret may stand.
const AWS_REACH: usize = 200;

impl Detector for SecretDetector {
    fn name(&self) -> &'static str {
        "secret"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[SECRET]
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
        let mut aws_id_end = None;
        for token in ctx.tokens() {
            let first = out.len();
            self.known(text, token, out);
            let mut known =
                out[first..].iter().map(|f| (f.span.clone(), f.rule)).collect::<Vec<_>>();
            known.reverse();
            let random = |b: u8| b != b'.';
            for piece in pieces(text.as_bytes(), token, random) {
                while let Some((span, rule)) = known.last().filter(|(s, _)| s.start < piece.end) {
                    if *rule == "aws_access_key_id" {
                        aws_id_end = Some(span.end);
                    }
                    if span.end > piece.start {
                        break;
                    }
                    known.pop();
                }
                if known.last().is_some_and(|(span, _)| span.start < piece.end) {
                    continue;
                }
                let near_aws = aws_id_end.is_some_and(|end| piece.start - end <= AWS_REACH);
                let Some((score, rule)) = random::judge(text, &piece, near_aws) else { continue };
                let end = span_end(text.as_bytes(), piece.end, 2, |b| b == b'=');
                out.push(Finding::pii(SECRET, piece.start..end, score, self.name(), rule));
            }
        }
        Ok(())
    }
}

impl SecretDetector {
    /// Tokens of a known format, from left to right.
    fn known(&self, text: &str, token: &Token, out: &mut Vec<Finding>) {
        let bytes = text.as_bytes();
        let mut at = token.start;
        while at < token.end {
            if !begins(text, token, at) {
                at += 1;
                continue;
            }
            // What stands before a JWT is no part of its alphabet, so that each byte is read by few attempts only.
            let apart = at == token.start || matches!(bytes[at - 1], b'.' | b'/' | b'+');
            let hit =
                match formats::at(text, at, token.end).filter(|_| formats::may_begin(bytes[at])) {
                    Some(hit) => Some((hit.span, hit.score, hit.rule)),
                    None if apart => {
                        jwt::at(text, at, token.end).map(|(span, score)| (span, score, "jwt"))
                    }
                    None => None,
                };
            match hit {
                Some((span, score, rule)) => {
                    at = span.end.max(at + 1);
                    out.push(Finding::pii(SECRET, span, score, self.name(), rule));
                }
                None => at += 1,
            }
        }
    }
}

/// Whether a name may begin at `at`: no letter or digit before it, but for that of an escape (`\nghp_...`).
fn begins(text: &str, token: &Token, at: usize) -> bool {
    let bytes = text.as_bytes();
    if at == token.start {
        return !char_before(text, at).is_some_and(char::is_alphanumeric);
    }
    let escape = at == token.start + 1
        && matches!(bytes[token.start], b'n' | b'r' | b't')
        && text[..token.start].ends_with('\\');
    escape || !bytes[at - 1].is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table, scored};

    const GITHUB: &str = "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";
    const AWS_ID: &str = "AKIAIOSFODNN7EXAMPLE";
    const AWS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const JWT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

    #[test]
    fn tokens_of_known_formats_are_found_exactly() {
        let openai = format!("sk-proj-{}", "aB3dE5gH7jK9mN1pQ3sT");
        let pat = format!(
            "github_pat_11ABCDEFG0{}_{}",
            "aB3dE5gH7jK9", "Zy9xW7vU5tS3rQ1pO9nM7lK5jI3hG1fE9dC7bA5zY3xW1vU9tS7rQ5pO3nM"
        );
        for token in [
            GITHUB,
            AWS_ID,
            JWT,
            &openai,
            &pat,
            "xoxb-123456789012-abcdefGHIJKL",
            "https://hooks.slack.com/services/T00000000/B00000000/XyZxYz0123456789AbCdEfGh",
            "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
            "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1",
        ] {
            let want = token.strip_prefix("https://").unwrap_or(token);
            for text in [
                token.to_owned(),
                format!("({token})."),
                format!("x=\"{token}\","),
                format!("TOKEN={token}\n"),
            ] {
                assert_table(&SecretDetector, &[(&text, &[want])]);
            }
        }
    }

    #[test]
    fn a_right_checksum_and_a_decoded_header_are_sure() {
        assert_eq!(scored(&SecretDetector, GITHUB), [(GITHUB, 1.0)]);
        let other = GITHUB.replace("17", "18");
        assert_eq!(scored(&SecretDetector, &other), [(other.as_str(), 0.85)]);
        assert_eq!(scored(&SecretDetector, JWT), [(JWT, 1.0)]);
    }

    #[test]
    fn aws_secrets_are_known_by_their_company() {
        let both = format!("{AWS_ID},{AWS_KEY}");
        let named = format!("aws_secret_access_key = {AWS_KEY}");
        assert_table(&SecretDetector, &[(&both, &[AWS_ID, AWS_KEY]), (&named, &[AWS_KEY])]);
        assert_eq!(scored(&SecretDetector, AWS_KEY), [(AWS_KEY, 0.4)]);
    }

    #[test]
    fn random_values_are_found_beside_a_word_for_a_secret() {
        assert_table(
            &SecretDetector,
            &[
                ("api_key: 9fK2mQ7xR4tZ8wB1nC5v", &["9fK2mQ7xR4tZ8wB1nC5v"]),
                ("clientSecret=\"q8Rz-L2vT_9mXw4Kp7Ys0Bd\"", &["q8Rz-L2vT_9mXw4Kp7Ys0Bd"]),
                ("Authorization: Bearer 3fA9kLm2Qx8Zr7Tb5Vn1Wc6Y", &["3fA9kLm2Qx8Zr7Tb5Vn1Wc6Y"]),
                ("my api key:\n  9fK2mQ7xR4tZ8wB1nC5v", &["9fK2mQ7xR4tZ8wB1nC5v"]),
                (
                    "secret token 5f4dcc3b5aa765d61d8327deb882cf99",
                    &["5f4dcc3b5aa765d61d8327deb882cf99"],
                ),
                (
                    "AccountKey=Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZg==;",
                    &["Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZg=="],
                ),
            ],
        );
    }

    #[test]
    fn identifiers_checksums_and_words_are_left() {
        assert_clean(
            &SecretDetector,
            &[
                "",
                "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "checksum = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
                "commit da39a3ee5e6b4b0d3255bfef95601890afd80709",
                "token 550e8400-e29b-41d4-a716-446655440000",
                "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4",
                "integrity sha512-Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3A=",
                "9fK2mQ7xR4tZ8wB1nC5v",
                "special_tokens.json\nbe50c3628f2bf5bb5e3a7f17b1f74611  tokenizer.json",
                "the key is internationalization-of-software-2024-11-21",
                "token: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1",
                "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "ghp_tooshort",
                "AKIAIOSFODNN7EXAMPLEX",
                "xAKIAIOSFODNN7EXAMPLE",
                "sk-learn-contrib-extensions",
                "eyJhbGciOiJIUzI1NiJ9",
                "eyJ4IjoxfQ.eyJzdWIiOiIxIn0.c2ln",
                "pk_live_aB3dE5gH7jK9mN1pQ3sT",
                "https://example.org/key/assets/2024/11/a-long-name-of-a-page-v2.html",
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
            ],
        );
    }

    #[test]
    fn what_stands_after_an_escape_is_found() {
        let text = format!("\"a\\n{GITHUB}\\n\"");
        assert_eq!(scored(&SecretDetector, &text), [(GITHUB, 1.0)]);
    }
}
