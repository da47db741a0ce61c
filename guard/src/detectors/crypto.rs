// SPDX-License-Identifier: AGPL-3.0-or-later
//! Addresses of cryptocurrencies, their checksums verified: Base58Check (Bitcoin, Litecoin, Dogecoin, Tron), Bech32 and
//! Bech32m (BIP 173, BIP 350), Ethereum (EIP-55); Solana, which has no checksum, by context.

use std::ops::Range;

use sha2::{Digest as _, Sha256};
use sha3::Keccak256;

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::context::{Context, Cues};
use crate::text::tokens::{distinct, pieces};
use crate::text::{char_after, char_before, is_wordlike};

/// The PII type this detector reports.
pub const CRYPTO: PiiType = PiiType::new("crypto");

/// Finds addresses.
///
/// Score: 1.0 where a checksum holds. An Ethereum address in one case has none: 0.9 beside a word such as "wallet", else
/// 0.6; in mixed case with a wrong checksum 0.75 and 0.3. A Solana address is 32 bytes in Base58, 0.8 beside such a word
/// and 0.3 without.
pub struct CryptoDetector;

#[rustfmt::skip]
const CUES: Cues = Cues {
    positive: &[
        "wallet", "wallets", "address", "addr", "btc", "bitcoin", "eth", "ethereum", "ether", "crypto", "solana", "sol",
        "usdt", "usdc", "erc20", "payout", "deposit", "send", "donate", "donation", "donations", "pay", "blockchain",
        "phantom", "metamask", "recipient", "account",
    ],
    negative: &["commit", "sha1", "hash", "txid", "tx", "transaction", "signature", "block"],
};

impl Detector for CryptoDetector {
    fn name(&self) -> &'static str {
        "crypto"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[CRYPTO]
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
        let bytes = text.as_bytes();
        for token in ctx.tokens() {
            for piece in pieces(bytes, token, |b| b.is_ascii_alphanumeric()) {
                if !(MIN_LEN..=MAX_LEN).contains(&piece.len()) || !is_alone(text, &piece) {
                    continue;
                }
                let word = &text[piece.clone()];
                let Some((base, rule)) = base58check(word)
                    .or_else(|| bech32(word))
                    .or_else(|| ethereum(word))
                    .or_else(|| solana(word))
                else {
                    continue;
                };
                let score = if base < 1.0 {
                    in_context(base, rule, CUES.around(text, &piece))
                } else {
                    base
                };
                out.push(Finding::pii(CRYPTO, piece, score, self.name(), rule));
            }
        }
        Ok(())
    }
}

const MIN_LEN: usize = 26;
/// A Cardano address has 103 characters, one with the name of a test network 108.
const MAX_LEN: usize = 108;

fn in_context(base: f32, rule: &str, context: Context) -> f32 {
    match context {
        Context::For if rule == "solana" => base + 0.5,
        Context::For => (base + 0.45).min(0.9),
        Context::Against => base - 0.3,
        Context::Silent => base,
    }
}

/// Not a part of a longer name: `_`, a letter of another script.
fn is_alone(text: &str, span: &Range<usize>) -> bool {
    !char_before(text, span.start).is_some_and(is_wordlike)
        && !char_after(text, span.end).is_some_and(is_wordlike)
}

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// The bytes of a number in Base58, most significant first; `None` for another character or more than `N` bytes.
///
/// Quadratic in the length, which callers bound.
fn base58<const N: usize>(word: &str) -> Option<([u8; N], usize)> {
    let mut number = [0u8; N];
    let mut len = 0;
    for c in word.bytes() {
        let mut carry = u32::try_from(BASE58.iter().position(|b| *b == c)?).ok()?;
        for byte in number.iter_mut().rev().take(len) {
            carry += u32::from(*byte) * 58;
            *byte = (carry & 0xFF) as u8;
            carry >>= 8;
        }
        while carry > 0 {
            len += 1;
            *number.get_mut(N.checked_sub(len)?)? = (carry & 0xFF) as u8;
            carry >>= 8;
        }
    }
    // Each leading 1 is a leading zero byte.
    len += word.bytes().take_while(|b| *b == b'1').count();
    (len <= N).then_some((number, len))
}

/// A version byte, twenty bytes of hash, and the first four bytes of the double SHA-256 of both.
fn base58check(word: &str) -> Option<(f32, &'static str)> {
    if word.len() > 35 || !word.starts_with(['1', '3', 'L', 'M', 'D', 'A', '9', 'T', 'm', 'n', '2'])
    {
        return None;
    }
    let (bytes, len) = base58::<25>(word)?;
    let (payload, check) = bytes.split_at(21);
    if len != 25 || !Sha256::digest(Sha256::digest(payload)).starts_with(check) {
        return None;
    }
    let rule = match payload[0] {
        0x00 | 0x05 => "bitcoin",
        0x6F | 0xC4 => "bitcoin_testnet",
        0x30 | 0x32 => "litecoin",
        0x1E | 0x16 => "dogecoin",
        0x41 => "tron",
        _ => return None,
    };
    Some((1.0, rule))
}

/// Human-readable part, `1`, data and six characters of a BCH code over both.
fn bech32(word: &str) -> Option<(f32, &'static str)> {
    const CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const CODES: [u32; 2] = [1, 0x2BC8_30A3];
    let (name, data) =
        word.split_once('1').filter(|(name, data)| name.len() <= 9 && data.len() >= 8)?;
    let rule = match name.to_ascii_lowercase().as_str() {
        "bc" => "bitcoin",
        "tb" | "bcrt" => "bitcoin_testnet",
        "ltc" | "tltc" => "litecoin",
        "addr" | "stake" | "addr_test" => "cardano",
        "cosmos" => "cosmos",
        _ => return None,
    };
    let one_case = !word.bytes().any(|b| b.is_ascii_lowercase())
        || !word.bytes().any(|b| b.is_ascii_uppercase());
    let mut sum = 1;
    let name = name.bytes().map(|b| b.to_ascii_lowercase());
    let expanded = name.clone().map(|b| b >> 5).chain([0]).chain(name.map(|b| b & 31));
    for value in expanded {
        sum = polymod(sum, value);
    }
    for b in data.bytes() {
        let value = CHARSET.iter().position(|c| *c == b.to_ascii_lowercase())?;
        sum = polymod(sum, u8::try_from(value).ok()?);
    }
    (one_case && CODES.contains(&sum)).then_some((1.0, rule))
}

fn polymod(sum: u32, value: u8) -> u32 {
    const GENERATOR: [u32; 5] = [0x3B6A_57B2, 0x2650_8E6D, 0x1EA1_19FA, 0x3D42_33DD, 0x2A14_62B3];
    let mut next = (sum & 0x1FF_FFFF) << 5 ^ u32::from(value);
    for (bit, generator) in GENERATOR.iter().enumerate() {
        if sum >> (25 + bit) & 1 == 1 {
            next ^= generator;
        }
    }
    next
}

/// `0x` and 40 hex digits; in mixed case the case of each letter is one bit of a checksum.
fn ethereum(word: &str) -> Option<(f32, &'static str)> {
    let digits = word.strip_prefix("0x").filter(|d| d.len() == 40)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) || distinct(digits.as_bytes()) < 6 {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    if digits == lower || digits == digits.to_ascii_uppercase() {
        return Some((0.6, "ethereum"));
    }
    let hash = Keccak256::digest(lower.as_bytes());
    let right = digits.bytes().enumerate().all(|(i, b)| {
        let nibble = hash[i / 2] >> (4 * (1 - i % 2)) & 0xF;
        !b.is_ascii_alphabetic() || b.is_ascii_uppercase() == (nibble >= 8)
    });
    Some(if right { (1.0, "ethereum") } else { (0.3, "ethereum") })
}

/// A public key: 32 bytes, no checksum.
fn solana(word: &str) -> Option<(f32, &'static str)> {
    if !(32..=44).contains(&word.len()) || distinct(word.as_bytes()) < 12 {
        return None;
    }
    let mixed = word.bytes().any(|b| b.is_ascii_uppercase())
        && word.bytes().any(|b| b.is_ascii_lowercase())
        && word.bytes().any(|b| b.is_ascii_digit());
    let (_, len) = base58::<32>(word).filter(|_| mixed)?;
    (len == 32).then_some((0.3, "solana"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn addresses_with_a_right_checksum_are_found_exactly() {
        assert_table(
            &CryptoDetector,
            &[
                ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", &["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"]),
                ("to 3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy.", &["3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"]),
                (
                    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
                    &["BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4"],
                ),
                (
                    "(bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0)",
                    &["bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"],
                ),
                (
                    "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
                    &["tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7"],
                ),
                (
                    "bitcoin:1BoatSLRHtKNngkdXEeobR76b53LETtpyT?amount=1",
                    &["1BoatSLRHtKNngkdXEeobR76b53LETtpyT"],
                ),
                (
                    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
                    &["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"],
                ),
                (
                    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359/0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
                    &[
                        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
                        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
                    ],
                ),
                (
                    "USDT TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
                    &["TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"],
                ),
            ],
        );
    }

    #[test]
    fn addresses_without_a_checksum_need_a_word_beside_them() {
        let eth = "0x52908400098527886e0f7030069857d2e4169ee7";
        let sol = "7EcDhSYGxXyscszYEp35KHN8vvw3svAuLKTzXwCFLtV";
        for (text, want) in [
            (format!("my wallet: {eth}"), vec![eth]),
            (format!("see {eth}"), vec![]),
            (format!("tx {eth}"), vec![]),
            (format!("solana wallet {sol}"), vec![sol]),
            (format!("see {sol}"), vec![]),
        ] {
            assert_eq!(crate::detectors::testing::found(&CryptoDetector, &text), want, "{text}");
        }
    }

    #[test]
    fn wrong_checksums_and_what_only_looks_alike_are_left() {
        assert_clean(
            &CryptoDetector,
            &[
                "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
                "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
                "bc1QW508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
                "x_1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
                "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa1",
                "0x0000000000000000000000000000000000000000 wallet",
                "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD",
                "da39a3ee5e6b4b0d3255bfef95601890afd80709",
                "wallet da39a3ee5e6b4b0d3255bfef95601890afd80709",
                "1111111111111111111111111111111111",
                "11111111111111111111111111111111111111111111111111111111111111111111111111",
                "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz wallet",
            ],
        );
    }

    #[test]
    fn leading_ones_are_leading_zeros() {
        assert_eq!(base58::<4>("11"), Some(([0; 4], 2)));
        assert_eq!(base58::<4>("1112").map(|(n, len)| (n[3], len)), Some((1, 4)));
        assert_eq!(base58::<4>("zzzzzz"), None);
        assert_eq!(base58::<4>("0"), None);
    }
}
