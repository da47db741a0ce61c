// SPDX-License-Identifier: AGPL-3.0-or-later
//! Numbers that only their context gives away: of accounts, taxes, passports, licences.

use super::evidence::Mark;
use super::found::Found;
use super::labels::NUMBERS;
use super::words::Words;
use crate::text::context::{Context, Cues};

/// Fewer digits are no number of an account or a document.
const MIN_DIGITS: usize = 5;
/// What is left of the probability of a number that no word announces.
const UNANNOUNCED: f32 = 0.4;

/// Numbers in the text, each with the words beside it that say what it is, or else faint.
pub(super) fn find(words: &Words<'_>, marks: &[Mark], out: &mut Vec<Found>) {
    let mut i = 0;
    while i < words.len() {
        let first = i;
        i += 1;
        if marks[first] != Mark::Number {
            continue;
        }
        let (kind, mut p) = words.list[first].number;
        while i < words.len()
            && marks[i] == Mark::Number
            && matches!(words.gap(i), " " | "-" | "." | "/")
        {
            p = p.max(words.list[i].number.1);
            i += 1;
        }
        let span = words.span(first, i - 1);
        let digits = words.text[span.clone()].bytes().filter(u8::is_ascii_digit).count();
        let (_, kind, positive) = NUMBERS[usize::from(kind)];
        let cues = Cues { positive, negative: &[] };
        if digits < MIN_DIGITS {
            continue;
        }
        if cues.around(words.text, &span) != Context::For {
            p *= UNANNOUNCED;
        }
        out.push(Found { span, kind, rule: kind.key(), p, floor: 0.0 });
    }
}
