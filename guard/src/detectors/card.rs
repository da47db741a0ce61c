// SPDX-License-Identifier: AGPL-3.0-or-later
//! Payment card numbers (ISO/IEC 7812): issuer ranges, length and the Luhn digit.

use std::ops::Range;

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::checksum::luhn;
use crate::text::context::{Context, Cues};
use crate::text::numbers::{Gap, Group, gap};
use crate::text::{char_after, char_before, is_wordlike};

/// The PII type this detector reports.
pub const CARD: PiiType = PiiType::new("card");

const MIN_DIGITS: usize = 12;
const MAX_DIGITS: usize = 19;
/// A number in more groups than this was not written as a card.
const MAX_GROUPS: usize = 7;

/// Finds payment card numbers of 12 to 19 digits, with single spaces, dashes or full stops between them, or with two or three
/// spaces and dashes that are the same everywhere.
///
/// Only numbers with a known issuer range and length and a right Luhn digit are reported. Score: 0.95 when grouped as
/// cards are, 0.85 when bare (0.65 for 12 bare digits, which chance meets more often), 0.6 in any other grouping (0.4
/// inside a longer row of numbers); a word such as "card" adds 0.3, one such as "order" or "tracking" takes 0.2.
pub struct CardDetector;

#[rustfmt::skip]
const CUES: Cues = Cues {
    positive: &[
        "card", "cards", "credit", "debit", "visa", "mastercard", "amex", "discover", "diners", "jcb", "maestro", "cc",
        "pan", "karte", "kreditkarte", "carte", "tarjeta", "carta", "cartão", "payment",
    ],
    negative: &[
        "order", "tracking", "invoice", "id", "imei", "serial", "ticket", "reference", "ref", "isbn", "shipment", "sku",
        "timestamp", "epoch", "uid", "uuid", "guid", "aadhaar", "aadhar", "cnpj",
    ],
};

impl Detector for CardDetector {
    fn name(&self) -> &'static str {
        "card"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[CARD]
    }

    fn hold(&self) -> Hold {
        Hold::NUMBER
    }

    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        ctx.numbers().walk(|run, first| {
            let (last, base) = best_from(text, run, first)?;
            let span = run[first].start..run[last].end;
            let score = match CUES.around(text, &span) {
                Context::For => base + 0.3,
                Context::Against => base - 0.2,
                Context::Silent => base,
            };
            out.push(Finding::pii(CARD, span, score, self.name(), "luhn"));
            Some(last + 1)
        });
        Ok(())
    }
}

/// The best card that begins with group `first`: its last group and its base score. Looks at 19 digits at most.
fn best_from(text: &str, run: &[Group], first: usize) -> Option<(usize, f32)> {
    if !may_start(text, run, first) {
        return None;
    }
    let mut digits = [0u8; MAX_DIGITS];
    let mut len = 0;
    let mut shape = Vec::with_capacity(8);
    let mut best: Option<(usize, f32)> = None;
    for (last, group) in run.iter().enumerate().skip(first) {
        if last > first {
            let between = |left: usize| &text[run[left].end..run[left + 1].start];
            let here = gap(text, run[last - 1], *group);
            let fits = match here {
                Gap::Slash => false,
                Gap::Mixed => {
                    between(first) == between(last - 1)
                        && !between(first).contains(['(', ')', '/', '.'])
                }
                _ => gap(text, run[first], run[first + 1]) == here,
            };
            if !fits {
                break;
            }
        }
        if len + group.len() > MAX_DIGITS || shape.len() == MAX_GROUPS {
            break;
        }
        for b in group.digits(text).bytes() {
            digits[len] = b - b'0';
            len += 1;
        }
        shape.push(group.len());
        if len >= MIN_DIGITS && may_end(text, run, last) && is_card(&digits[..len]) {
            let whole = first == 0 && last + 1 == run.len();
            let score = shape_score(&shape, whole);
            if best.is_none_or(|(_, b)| score >= b) {
                best = Some((last, score));
            }
        }
    }
    best
}

/// `whole`: nothing else stands in the run. Three groups of four out of a longer row of them are no card's grouping.
fn shape_score(shape: &[usize], whole: bool) -> f32 {
    match shape {
        [12] => 0.65,
        [_] => 0.85,
        [4, 4, 4, 4] | [4, 4, 4, 4, 1..=3] | [4, 6, 4 | 5] | [6, 7..=13] | [8, 8] => 0.95,
        [4, 4, 4 | 5] | [4, 4, 4, 1..=3] if whole => 0.95,
        _ if whole => 0.6,
        _ => 0.4,
    }
}

/// Whether a number may begin at this group: not inside a longer identifier or decimal.
fn may_start(text: &str, run: &[Group], first: usize) -> bool {
    if first > 0 {
        return matches!(gap(text, run[first - 1], run[first]), Gap::Space | Gap::Mixed);
    }
    let start = run[0].start;
    match char_before(text, start) {
        Some(c) if is_wordlike(c) => false,
        Some(c @ ('-' | '.' | ',' | '+')) => {
            c != '+' && !char_before(text, start - 1).is_some_and(char::is_alphanumeric)
        }
        _ => true,
    }
}

/// Whether a number may end with this group.
fn may_end(text: &str, run: &[Group], last: usize) -> bool {
    if last + 1 < run.len() {
        return matches!(gap(text, run[last], run[last + 1]), Gap::Space | Gap::Mixed | Gap::Slash);
    }
    let end = run[last].end;
    match char_after(text, end) {
        Some(c) if is_wordlike(c) => false,
        Some('-') => !char_after(text, end + 1).is_some_and(char::is_alphanumeric),
        _ => true,
    }
}

fn is_card(digits: &[u8]) -> bool {
    issued(digits) && luhn(digits)
}

/// Whether an issuer gives out cards with this beginning and length.
fn issued(digits: &[u8]) -> bool {
    let prefix = digits[..6].iter().fold(0u32, |n, &d| n * 10 + u32::from(d));
    let lengths: Range<usize> = match prefix {
        // Visa
        400_000..=499_999 => return matches!(digits.len(), 13 | 16 | 19),
        // American Express
        340_000..=349_999 | 370_000..=379_999 => 15..16,
        // Mastercard, old and new series
        510_000..=559_999 | 222_100..=272_099 => 16..17,
        // Mir
        220_000..=220_499 => 16..20,
        // Diners Club
        300_000..=305_999 | 309_500..=309_599 | 380_000..=399_999 => 14..20,
        360_000..=369_999 => 14..20,
        // JCB
        352_800..=358_999 => 16..20,
        // RuPay
        817_000..=820_199 => 16..17,
        // Troy
        979_200..=979_299 => 16..17,
        // Maestro, Dankort, Verve
        500_000..=509_999 | 560_000..=589_999 => 12..20,
        // Discover, UnionPay, RuPay, Maestro and InstaPayment share the sixes
        601_100..=601_199 | 620_000..=629_999 | 637_000..=639_999 | 644_000..=659_999 => 16..20,
        600_000..=699_999 => 12..20,
        _ => return false,
    };
    lengths.contains(&digits.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table, scored};

    #[test]
    fn cards_are_found_exactly() {
        assert_table(
            &CardDetector,
            &[
                ("4111 1111 1111 1111", &["4111 1111 1111 1111"]),
                ("card 4111-1111-1111-1111.", &["4111-1111-1111-1111"]),
                ("4111.1111.1111.1111", &["4111.1111.1111.1111"]),
                ("4111\u{a0}1111\u{a0}1111\u{a0}1111", &["4111\u{a0}1111\u{a0}1111\u{a0}1111"]),
                ("4111111111111111", &["4111111111111111"]),
                ("visa 4222222222222 ok", &["4222222222222"]),
                ("5555 5555 5555 4444", &["5555 5555 5555 4444"]),
                ("2223003122003222", &["2223003122003222"]),
                ("amex 3782 822463 10005", &["3782 822463 10005"]),
                ("371449635398431", &["371449635398431"]),
                ("6011 1111 1111 1117", &["6011 1111 1111 1117"]),
                ("3056 930902 5904", &["3056 930902 5904"]),
                ("JCB: 3530111333300000", &["3530111333300000"]),
                ("6200000000000005", &["6200000000000005"]),
                ("maestro 6759649826438453", &["6759649826438453"]),
                ("4111 1111 1111 1111 12/26 123", &["4111 1111 1111 1111"]),
                ("12 4111 1111 1111 1111", &["4111 1111 1111 1111"]),
                (
                    "4111 1111 1111 1111 5555 5555 5555 4444",
                    &["4111 1111 1111 1111", "5555 5555 5555 4444"],
                ),
                ("(4111111111111111)", &["4111111111111111"]),
                ("4111  1111  1111  1111 5", &["4111  1111  1111  1111"]),
                ("4111 - 1111 - 1111 - 1111", &["4111 - 1111 - 1111 - 1111"]),
                ("credit card 41 1111 1111 1111 11", &["41 1111 1111 1111 11"]),
            ],
        );
    }

    #[test]
    fn numbers_that_are_no_cards_are_left() {
        assert_clean(
            &CardDetector,
            &[
                "",
                "4111 1111 1111 1112",
                "1234 5678 9012 3456",
                "0000 0000 0000 0000",
                "9999999999999995",
                "a4111111111111111",
                "4111111111111111b",
                "x-4111111111111111",
                "0.4111111111111111",
                "4111111111111111-22",
                "41111111111111111111",
                "4111 1111  1111 1111",
                "4111    1111    1111    1111",
                "550e8400-e29b-41d4-a716-446655440000",
                "12345678-1234-1234-1234-123456789012",
                "2021-03-04 12:30:45.123456",
                "order id 600000000008",
                "3.14159265358979323846",
                "4111 1111-1111.1111",
                "tracking 99 41 1111 1111 1111 11",
            ],
        );
    }

    #[test]
    fn a_word_before_moves_the_score() {
        let bare = |text| scored(&CardDetector, text)[0].1;
        assert!(bare("4111111111111111") > bare("order 4111111111111111"));
        assert!(bare("card 4111111111111111") > bare("4111111111111111"));
    }
}
