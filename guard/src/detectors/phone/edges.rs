// SPDX-License-Identifier: AGPL-3.0-or-later
//! Where a telephone number may begin and end, and what may follow it.

use super::{CUES, parts_numbers};
use crate::text::numbers::Group;
use crate::text::{char_after, char_before, is_wordlike};

/// Whether what precedes a number is a link that leads to it.
pub(super) fn is_linked(before: &str) -> bool {
    ["wa.me/", "signal.me/#p/"].iter().any(|link| {
        before.len() >= link.len()
            && before.as_bytes()[before.len() - link.len()..].eq_ignore_ascii_case(link.as_bytes())
    })
}

/// Whether a number may begin at `start`: nothing before it that it would be a part of.
pub(super) fn begins_alone(text: &str, start: usize) -> bool {
    let Some(before) = char_before(text, start) else {
        return true;
    };
    if is_wordlike(before) || before == '+' || before == '@' {
        return false;
    }
    let beyond = char_before(text, start - before.len_utf8());
    match before {
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' => !beyond.is_some_and(is_wordlike),
        // "tel.415..." is fine, "0.415..." and "12:3045..." are not.
        '.' | ',' | ':' => !beyond.is_some_and(|c| c.is_ascii_digit()),
        // A date or a path, unless a link leads to a number.
        '/' | '\\' => !beyond.is_some_and(char::is_alphanumeric) || is_linked(&text[..start]),
        '#' | '$' | '€' | '£' | '¥' => false,
        _ => true,
    }
}

/// Whether a number may end with group `last`.
pub(super) fn ends_alone(text: &str, run: &[Group], last: usize) -> bool {
    if last + 1 < run.len() {
        return parts_numbers(text, run, last + 1);
    }
    let end = run[last].end;
    let Some(after) = char_after(text, end) else {
        return true;
    };
    if is_wordlike(after) {
        return extension_end(text, end).is_some();
    }
    let beyond = char_after(text, end + after.len_utf8());
    match after {
        // "415-555-0100-Fax" names itself; "415-555-0100-A7" is something else.
        '-' | '\u{2010}'..='\u{2015}' => {
            !beyond.is_some_and(is_wordlike) || CUES.announced_at(text, end + after.len_utf8())
        }
        ':' => !beyond.is_some_and(|c| c.is_ascii_digit()),
        '@' | '%' => false,
        _ => true,
    }
}

/// Where an extension that follows a number ends: `x123`, ` ext. 12`, `, extension 4`.
pub(super) fn extension_end(text: &str, end: usize) -> Option<usize> {
    const WORDS: [&str; 5] = ["extension", "ext.", "ext", "x.", "x"];
    // All of it fits into this many bytes; the bound keeps the look-ahead constant.
    let rest = &text.as_bytes()[end..text.len().min(end + 24)];
    let skip =
        |at: usize| at + rest[at..].iter().take_while(|b| matches!(b, b' ' | b',')).count().min(3);
    let at = skip(0);
    let word = WORDS.iter().find(|w| {
        rest.len() >= at + w.len() && rest[at..at + w.len()].eq_ignore_ascii_case(w.as_bytes())
    })?;
    let from = skip(at + word.len());
    let digits = rest[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let to = end + from + digits;
    ((1..=6).contains(&digits) && !char_after(text, to).is_some_and(is_wordlike)).then_some(to)
}
