// SPDX-License-Identifier: AGPL-3.0-or-later
//! Talk about jailbreaks as against the use of one.

use std::ops::Range;

use crate::text::floor_boundary;

/// How far to look around a phrase, in bytes; a bound, so that work stays linear.
const REACH: usize = 160;

/// What a phrase that is quoted in a discussion keeps of its weight.
const QUOTED: f32 = 0.5;
/// What a phrase that a discussion introduces without quotes keeps.
const INTRODUCED: f32 = 0.65;

/// Words that announce a phrase as an example of something.
#[rustfmt::skip]
const INTRODUCE: &[&str] = &[
    "phrase", "phrases", "phrasing", "sentence", "sentences", "saying", "says", "called", "like", "such", "means",
    "mean", "word", "words", "example", "examples", "string", "strings", "contains", "containing", "detect",
    "quote", "quoted", "titled", "wrote", "writes", "term",
];

/// Words that name the subject.
#[rustfmt::skip]
const SUBJECT: &[&str] = &[
    "injection", "injections", "attacker", "attackers", "attack", "attacks", "adversarial", "jailbreaks",
    "jailbreaking", "malicious", "vulnerability", "vulnerabilities", "paper", "essay", "researchers", "security",
];

/// The factor for the weight of a phrase at `span`: 1.0 for one that is used.
pub(crate) fn factor(text: &str, span: &Range<usize>) -> f32 {
    let before = &text[floor_boundary(text, span.start.saturating_sub(REACH))..span.start];
    let after = &text[span.end..floor_boundary(text, span.end.saturating_add(REACH))];
    let subject_before = has(before, SUBJECT);
    if !subject_before && !has(after, SUBJECT) && !has(before, INTRODUCE) {
        return 1.0;
    }
    let quoted = is_opened(before)
        && after.contains(['"', '\u{201d}', '\u{201c}', '\u{bb}', '`', '\'', '\u{2019}']);
    if quoted {
        QUOTED
    } else if subject_before {
        INTRODUCED
    } else {
        1.0
    }
}

/// Whether a quotation opens before the phrase and is still open: a mark that stands before a word.
fn is_opened(before: &str) -> bool {
    let mut last = None;
    let mut previous = ' ';
    for c in before.chars() {
        if matches!(c, '"' | '\u{201c}' | '\u{201e}' | '\u{ab}' | '`' | '\'' | '\u{2018}') {
            last = Some(previous.is_whitespace() || matches!(previous, '(' | '[' | ':' | ','));
        } else if matches!(c, '\u{201d}' | '\u{bb}') {
            last = Some(false);
        }
        previous = c;
    }
    last.unwrap_or(false)
}

fn has(text: &str, list: &[&str]) -> bool {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() >= 4)
        .any(|word| list.iter().any(|w| w.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(text: &str) -> f32 {
        let start = text.find("do it").unwrap();
        factor(text, &(start..start + 5))
    }

    #[test]
    fn use_keeps_its_weight() {
        assert_eq!(around("now do it"), 1.0);
        assert_eq!(around("\"do it\""), 1.0);
        assert_eq!(around("do it, then plan the attack"), 1.0);
    }

    #[test]
    fn a_quoted_example_counts_for_half() {
        assert_eq!(around("the phrase \"do it\" is common"), QUOTED);
        assert_eq!(around("A prompt injection says “do it”."), QUOTED);
        assert_eq!(around("what does 'do it' mean in prompt injection?"), QUOTED);
    }

    #[test]
    fn a_subject_before_it_lowers_an_unquoted_phrase() {
        assert_eq!(around("why do attackers write do it"), INTRODUCED);
    }
}
