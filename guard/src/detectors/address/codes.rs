// SPDX-License-Identifier: AGPL-3.0-or-later
//! What of an address is not a street: PO boxes, and postcodes beside a state or the word for them.

use super::lists::{STATES, ZIP, among};
use super::words::{Word, word_before, zip};
use super::{Street, beside_numbers};
use crate::text::context::words_before;
use crate::text::numbers::Group;
use crate::text::{char_after, char_before, is_wordlike};

/// "P.O. Box 123", "Postfach 12 34", "Postbus 12".
pub(super) fn po_box(text: &str, group: Group) -> Option<Street> {
    if beside_numbers(text, &(group.start..group.end)).0 {
        return None;
    }
    let word = word_before(text, group.start, &[' ', '#', ':'])?;
    let before = || word_before(text, word.start, &[' ']);
    let start = match word.text {
        w if among(w, &["postfach", "postbus", "postboks"]) => word.start,
        w if among(w, &["box"]) => {
            let before = before()?;
            match before.text {
                b if among(b, &["po", "p.o"]) => before.start,
                b if among(b, &["office"]) => {
                    word_before(text, before.start, &[' '])
                        .filter(|w| among(w.text, &["post"]))?
                        .start
                }
                _ => return None,
            }
        }
        w if among(w, &["postale"]) => {
            before().filter(|b| among(b.text, &["casella", "boîte", "boite"]))?.start
        }
        _ => return None,
    };
    (group.len() <= 6 && !char_after(text, group.end).is_some_and(is_wordlike)).then_some(Street {
        span: start..group.end,
        base: 0.9,
        rule: "po_box",
    })
}

/// "Springfield, IL 62704", and "IL 62704" with less.
pub(super) fn state_and_zip(text: &str, group: Group) -> Option<Street> {
    if group.len() != 5 {
        return None;
    }
    let state = word_before(text, group.start, &[' ']).filter(|w| STATES.contains(&w.text))?;
    let end = zip(text, state.end())?;
    let mut street = Street { span: state.start..end, base: 0.6, rule: "state_and_zip" };
    let mut gap: &[char] = &[' ', ','];
    for _ in 0..3 {
        let Some(town) = word_before(text, street.span.start, gap).filter(Word::is_capital) else {
            break;
        };
        if among(town.text, &["apo", "fpo", "dpo"]) {
            return Some(Street { span: town.start..end, base: 0.85, ..street });
        }
        if gap.len() > 1 && !text[town.end()..state.start].starts_with(',') {
            break;
        }
        street = Street { span: town.start..end, base: 0.75, ..street };
        gap = &[' '];
    }
    Some(street)
}

/// "my zip code is 62704", "PLZ 10115".
pub(super) fn announced_zip(text: &str, group: Group) -> Option<Street> {
    let announced = (4..=6).contains(&group.len())
        && words_before(text, group.start).take(3).any(|word| among(word, ZIP))
        && !char_before(text, group.start).is_some_and(is_wordlike)
        && !char_after(text, group.end).is_some_and(is_wordlike);
    announced.then_some(Street {
        span: group.start..group.end,
        base: 0.75,
        rule: "postcode_beside_word",
    })
}
