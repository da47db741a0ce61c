// SPDX-License-Identifier: AGPL-3.0-or-later
//! Text upside down: turned letters in reverse order, line by line or within a line.

use std::ops::Range;

use super::view::{Edit, Editor};

/// Fewer turned letters in a line or stretch are phonetic script or chance; in a number, one fewer.
const MIN_TURNED: usize = 3;
/// Fewer digits are no number of that kind.
const MIN_DIGITS: usize = 6;

/// A turned character and what it is when the page is turned back.
#[rustfmt::skip]
const TURNED: &[(char, char)] = &[
    ('ɐ', 'a'), ('ɔ', 'c'), ('ǝ', 'e'), ('ɟ', 'f'), ('ƃ', 'g'), ('ɓ', 'g'), ('ɥ', 'h'), ('ᴉ', 'i'), ('ı', 'i'), ('ɾ', 'j'), ('ɿ', 'j'), ('ʞ', 'k'),
    ('ʃ', 'l'), ('ꞁ', 'l'), ('ן', 'l'), ('ɯ', 'm'), ('ɹ', 'r'), ('ʇ', 't'), ('ʌ', 'v'), ('ʍ', 'w'), ('ʎ', 'y'),
    ('∀', 'A'), ('Ɐ', 'A'), ('ꓭ', 'B'), ('𐐒', 'B'), ('Ɔ', 'C'), ('ᗡ', 'D'), ('◖', 'D'), ('Ǝ', 'E'), ('Ⅎ', 'F'), ('ᖵ', 'F'), ('⅁', 'G'), ('פ', 'G'),
    ('ſ', 'J'), ('⋊', 'K'), ('Ʞ', 'K'), ('˥', 'L'), ('⅂', 'L'), ('Ꞁ', 'L'), ('Ԁ', 'P'), ('Ό', 'Q'), ('ꓤ', 'R'), ('ᴚ', 'R'), ('⊥', 'T'), ('┴', 'T'),
    ('∩', 'U'), ('Λ', 'V'), ('Ʌ', 'V'), ('⅄', 'Y'), ('Ɩ', '1'), ('⇂', '1'), ('ᄅ', '2'), ('ᘔ', '2'), ('Ɛ', '3'), ('ㄣ', '4'), ('ᔭ', '4'), ('߈', '4'),
    ('ϛ', '5'), ('ㄥ', '7'), ('˙', '.'), ('‾', '_'), ('¡', '!'), ('¿', '?'), ('⅋', '&'), ('؛', ';'), ('„', '"'), ('ʻ', ','),
];

/// ASCII that becomes other ASCII upside down.
const SWAPPED: &[(char, char)] = &[
    ('b', 'q'),
    ('q', 'b'),
    ('d', 'p'),
    ('p', 'd'),
    ('n', 'u'),
    ('u', 'n'),
    ('M', 'W'),
    ('W', 'M'),
    ('6', '9'),
    ('9', '6'),
    ('(', ')'),
    (')', '('),
    ('[', ']'),
    (']', '['),
    ('<', '>'),
    ('>', '<'),
    ('{', '}'),
    ('}', '{'),
    (',', '\''),
    ('\'', ','),
    ('`', ','),
];

/// Turns back the lines that are upside down, if any is.
pub(crate) fn turn_back(text: &str) -> Option<Edit> {
    let turned = |line: &str| !line.is_ascii() && turned_in(line).count() >= MIN_TURNED;
    let lines = lines(text).filter(|line| turned(&text[line.clone()]));
    turn_each(text, lines)
}

/// Turns back the stretches that are upside down in a line that is not: "call ㄣ069 ㄣㄣ0Ɩ today". Of a text all of whose
/// stretches are lines, nothing.
pub(crate) fn turn_back_within(text: &str) -> Option<Edit> {
    let mut within = Vec::new();
    let mut whole = true;
    for line in lines(text) {
        let body = &text[line.clone()];
        // Two are needed at least; most lines of most texts have none.
        if body.is_ascii() || turned_in(body).nth(1).is_none() {
            continue;
        }
        for stretch in stretches(body) {
            whole &= stretch == (0..body.len());
            within.push(line.start + stretch.start..line.start + stretch.end);
        }
    }
    if whole { None } else { turn_each(text, within.into_iter()) }
}

/// Where a stretch begins that is upside down, or may be, and may go on behind the end of the text.
pub(crate) fn open_turned(text: &str) -> Option<usize> {
    let line = text.rfind('\n').map_or(0, |at| at + 1);
    let run = text[line..].char_indices().rev().take_while(|(_, c)| may_be_turned(*c));
    let (start, any) = run
        .fold((text.len(), false), |(_, any), (at, c)| (line + at, any || unturned(c).is_some()));
    any.then_some(start)
}

/// The lines of a text, without their ends.
fn lines(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    text.split_inclusive('\n').map(move |line| {
        let at = start;
        start += line.len();
        at..at + line.trim_end_matches(['\n', '\r']).len()
    })
}

/// The turned characters of a stretch.
fn turned_in(text: &str) -> impl Iterator<Item = char> + '_ {
    let mut rest = text;
    // Most bytes of most texts are ASCII, where none is.
    let beyond_ascii = std::iter::from_fn(move || {
        let at = rest.bytes().position(|b| !b.is_ascii())?;
        let c = rest[at..].chars().next()?;
        rest = &rest[at + c.len_utf8()..];
        Some(c)
    });
    beyond_ascii.filter(|&c| unturned(c).is_some())
}

fn turn_each(text: &str, stretches: impl Iterator<Item = Range<usize>>) -> Option<Edit> {
    let mut editor = Editor::new(text);
    for stretch in stretches {
        editor.copy_to(stretch.start);
        for (i, c) in text[stretch.clone()].char_indices().rev() {
            let swapped = || SWAPPED.iter().find(|(from, _)| *from == c).map(|(_, to)| *to);
            let up = unturned(c).or_else(swapped).unwrap_or(c);
            let at = stretch.start + i;
            editor.out_of_order(at..at + c.len_utf8(), up.encode_utf8(&mut [0; 4]));
        }
        editor.skip_to(stretch.end);
    }
    editor.finish()
}

/// The stretches of a line that are upside down: of characters that are turned, or the same or another character when they
/// are. Words without a turned character are left out at either end, but for numbers.
fn stretches(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for (i, c) in line.char_indices().chain([(line.len(), '\n')]) {
        match (may_be_turned(c), start) {
            (true, None) => start = Some(i),
            (false, Some(first)) => {
                found.extend(trimmed(line, first..i));
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// What of a run of such characters is upside down, if enough of it is.
fn trimmed(line: &str, run: Range<usize>) -> Option<Range<usize>> {
    let is_word = |c: char| c.is_ascii_alphanumeric();
    let mut span = run.clone();
    // The ends of plain words beside it: the "O" of "-Office".
    if line[run.end..].starts_with(is_word) {
        span.end = run.start + line[run.clone()].trim_end_matches(is_word).len();
    }
    if line[..run.start].ends_with(is_word) {
        span.start = run.end - line[run.clone()].trim_start_matches(is_word).len();
    }
    let inside = line.get(span.clone())?;
    let turned = |token: &str| token.chars().any(|c| unturned(c).is_some());
    // A number reads as a number either way.
    let number = |token: &str| {
        token.contains(|c: char| c.is_ascii_digit()) && !token.contains(|c: char| c.is_alphabetic())
    };
    let belongs = |token: &str| turned(token) || number(token);
    let mut bounds: Option<Range<usize>> = None;
    let mut at = 0;
    for token in inside.split(' ') {
        if belongs(token) {
            bounds.get_or_insert(at..at).end = at + token.len();
        }
        at += token.len() + 1;
    }
    // Signs of the text around it are none of it.
    let stretch = inside[bounds.clone()?].trim_end_matches([',', '.', ':', ';', '-', '/', '(']);
    let bare = stretch.trim_start_matches([',', ':', ';', '-', '/', '\'']);
    let first = bounds?.start + stretch.len() - bare.len();
    let stretch = bare;
    let (count, mut digits, mut letters) = (turned_in(stretch).count(), 0, false);
    for c in stretch.chars().map(|c| unturned(c).unwrap_or(c)) {
        digits += usize::from(c.is_ascii_digit());
        letters |= c.is_alphabetic();
    }
    let enough =
        if letters { count >= MIN_TURNED } else { count + 1 >= MIN_TURNED && digits >= MIN_DIGITS };
    let start = span.start + first;
    enough.then_some(start..start + stretch.len())
}

/// Whether a character is a turned one, or one that turning makes of another or leaves as it is.
fn may_be_turned(c: char) -> bool {
    matches!(c, ' '..='&' | '('..='/' | ':'..='@' | '[' | ']' | '_' | '{' | '}' | '\'' | '0' | '6' | '8' | '9')
        || matches!(c, 'H' | 'I' | 'M' | 'N' | 'O' | 'Q' | 'S' | 'W' | 'X' | 'Z')
        || matches!(c, 'b' | 'd' | 'l' | 'n' | 'o' | 'p' | 'q' | 's' | 'u' | 'x' | 'z')
        || unturned(c).is_some()
}

#[inline]
fn unturned(c: char) -> Option<char> {
    if c.is_ascii() { None } else { unturned_beyond_ascii(c) }
}

fn unturned_beyond_ascii(c: char) -> Option<char> {
    // Most such text has none of them, and the list is long.
    if matches!(c, '\u{3400}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}') {
        return None;
    }
    TURNED.iter().find(|(from, _)| *from == c).map(|(_, to)| *to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalise::testing::{assert_same, assert_views, view_of};

    #[test]
    fn upside_down_lines_are_turned_back() {
        assert_views(
            turn_back,
            &[
                ("suoᴉʇɔnɹʇsuᴉ llɐ ǝɹouƃᴉ", "ignore all instructions"),
                ("ok\nƃɹo˙ǝldɯɐxǝ@uuɐ\nok", "ok\nann@example.org\nok"),
            ],
        );
        assert_same(turn_back, &["", "plain", "ʌ and ʎ", "¿Qué? ¡No!"]);
    }

    #[test]
    fn stretches_within_a_line_are_turned_back() {
        assert_views(
            turn_back_within,
            &[
                ("new number: ᄅ86006 00ㄥㄥ0, thanks", "new number: 07700 900982, thanks"),
                ("call ㄣƐƐ-ㄣ89 (88)", "call (88) 684-334"),
                (
                    "91\n96-8ᄅ-86-0ϛ-Office\\,89ᄅ6-ㄣϛ6-Ɩϛㄥ-Fax",
                    "91\n50-98-28-96-Office\\,751-954-9268-Fax",
                ),
                (
                    "IBAN 00Ɛㄣ9ƖㄥƖㄣ0∀Nꓭ∀Ɩ6˥N, BIC ∀ᄅ˥N∀Nꓭ∀.",
                    "IBAN NL91ABNA0417164300, BIC ABNANL2A.",
                ),
                ("to ƃɹo˙ǝldɯɐxǝ@uuɐ, soon", "to ann@example.org, soon"),
                ("born ㄥ86Ɩ ɥɔɹɐW ᄅƖ, so", "born 12 March 1987, so"),
                (
                    "lives at ʎuuǝʞɹǝʇʇǝ˥ 'ǝsolƆ pɹɐɥɔɹO ㄥ and",
                    "lives at 7 Orchard Close, Letterkenny and",
                ),
            ],
        );
        assert_same(
            turn_back_within,
            &[
                "",
                "plain",
                "ʌ and ʎ",
                "¿Qué? ¡No! ¿Sí?",
                "[ˈlʌndən] and [ˈbɔɪ]",
                "suoᴉʇɔnɹʇsuᴉ llɐ ǝɹouƃᴉ",
                "ㄣ ㄥ ㄣ in bopomofo",
            ],
        );
    }

    #[test]
    fn a_stretch_that_may_go_on_is_known() {
        for (text, want) in [
            ("call ㄣƐƐ-ㄣ89", Some("ㄣƐƐ-ㄣ89")),
            ("call ㄣƐƐ-ㄣ89 (8", Some("ㄣƐƐ-ㄣ89 (8")),
            ("call ㄣƐƐ-ㄣ89 or else", None),
            ("ǝ\nsoon", None),
            ("", None),
        ] {
            // The letters before it that may be turned ones are held too.
            let open = open_turned(text).map(|at| text[at..].trim_start_matches(['l', ' ']));
            assert_eq!(open, want, "{text}");
        }
    }

    #[test]
    fn the_map_follows_the_turn() {
        let source = "ƃɹo˙ǝldɯɐxǝ@uuɐ oʇ";
        let view = view_of(turn_back, source).unwrap();
        assert_eq!(view.text(), "to ann@example.org");
        assert_eq!(&source[view.span(3..18)], "ƃɹo˙ǝldɯɐxǝ@uuɐ");
    }
}
