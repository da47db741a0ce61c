// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a line is by its form: a list item, a heading, a turn of a dialogue, code.

use std::ops::Range;

use super::stops::ends_with_stop;
use crate::text::words::is_ideograph;

/// Words of a heading without `#`, at most.
const MAX_HEADING_WORDS: usize = 12;
/// Bytes before a heading on its line, at most.
const MAX_INDENT: usize = 16;
/// Longest name of a speaker, in bytes.
const MAX_NAME: usize = 48;
/// Longest time before a name, in bytes: `[2026-11-22T05:07:02Z]`.
const MAX_TIME: usize = 32;

/// The start of a turn in a dialogue or chat log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn<'a> {
    /// The speaker as the line names them, without brackets.
    pub name: &'a str,
    /// Byte offset of the name in the line.
    pub at: usize,
    /// Byte offset of what is said.
    pub body: usize,
    /// Whether a time stands before the name.
    pub timed: bool,
}

/// The turn that a line begins: `Anna Smith: hello`, `[10:32] <bob> hi`, `Speaker 2 (00:41): yes`.
///
/// A name is one to three words, the first with a capital unless it is the only one. `Note: ...`
/// looks the same: who reads a text asks whether the name comes again.
pub fn turn(line: &str) -> Option<Turn<'_>> {
    let time = time_len(line);
    let mut at = time;
    if line[at..].starts_with("**") {
        at += 2;
    }
    let rest = &line[at..];
    if let Some(inner) = rest.strip_prefix('<') {
        let end = inner.bytes().take(MAX_NAME).position(|b| b == b'>')?;
        let name = &inner[..end];
        let said = inner[end + 1..].starts_with(' ') && is_name(name);
        return said.then_some(Turn { name, at: at + 1, body: at + end + 3, timed: time > 0 });
    }
    let head = &rest[..floor(rest, MAX_NAME + MAX_TIME)];
    let colon = head.find([':', '\u{FF1A}'])?;
    // A time may follow the name; its colons are not the one that ends the label.
    let (name, after) = match head[..colon].find(['(', '[']) {
        Some(open) => {
            let close = open + 1 + head[open + 1..].find([')', ']'])?;
            (&head[..open], close + 1)
        }
        None => (&head[..colon], colon),
    };
    let mark = rest[after..].trim_start_matches('*');
    let colon = mark.chars().next().filter(|c| matches!(c, ':' | '\u{FF1A}'))?;
    let mark = mark[colon.len_utf8()..].trim_start_matches('*');
    let body = line.len() - mark.len();
    let spaced = colon == '\u{FF1A}' || mark.starts_with([' ', '\t']);
    let name = name.trim_end_matches(['*', ' ']);
    (spaced && is_name(name)).then_some(Turn { name, at, body, timed: time > 0 })
}

fn is_name(name: &str) -> bool {
    let mut words = 0;
    let capital = name.starts_with(char::is_uppercase);
    let plain = name.split(' ').all(|word| {
        words += 1;
        let number = words > 1 && word.len() <= 3 && word.bytes().all(|b| b.is_ascii_digit());
        let letters =
            word.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '\'' | '_'));
        let cased = words == 1 || word.starts_with(|c: char| !c.is_lowercase());
        number || (letters && cased && word.chars().next().is_some_and(char::is_alphabetic))
    });
    plain
        && words <= 3
        && name.len() <= MAX_NAME
        && (capital || words == 1)
        && (capital || name.chars().nth(1).is_some())
}

/// Bytes of a time at the start of a line, with the space after: `[10:32] `, `10:32:07 - `; 0 if none.
fn time_len(line: &str) -> usize {
    let is_time = |s: &str| {
        s.contains(':')
            && s.bytes().any(|b| b.is_ascii_digit())
            && s.bytes().all(|b| b.is_ascii_digit() || b":.,/-+ TZAPMapm".contains(&b))
    };
    let head = &line[..floor(line, MAX_TIME)];
    let end = match head.as_bytes().first() {
        Some(b'[' | b'(') => match head.find([']', ')']) {
            Some(close) if is_time(&head[1..close]) => close + 1,
            _ => return 0,
        },
        Some(b'0'..=b'9') => match head.find(' ') {
            Some(space) if is_time(&head[..space]) => space,
            _ => return 0,
        },
        _ => return 0,
    };
    let rest = line[end..].trim_start_matches([' ', '-', '\u{2013}', '|']);
    if rest.len() == line.len() - end { 0 } else { line.len() - rest.len() }
}

/// The speaker whose turn a line begins: `User` of `User: ...`.
///
/// One capitalised ASCII word of 2 to 16 letters, a colon and a space; `Note: ...` is taken for
/// one as well. [`turn`] knows more forms.
pub fn speaker(line: &str) -> Option<&str> {
    let (name, rest) = line[..floor(line, 18)].split_once(':')?;
    let is_name = (2..=16).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_alphabetic());
    (is_name && rest.starts_with(' ')).then_some(name)
}

/// The largest character boundary of `text` at or below `at`.
pub(super) fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Whether a sentence of `text` is a heading: a line of its own that begins with `#`; or one of at
/// most twelve words, without a final stop, above a blank line or an underline; or such a line
/// with a number (`2. Method`, `3.1 Data`) that no further item follows.
pub fn is_heading(text: &str, sentence: &Range<usize>) -> bool {
    // Neither way further than a heading needs: a text may be one line of many sentences.
    let mut from = sentence.start.saturating_sub(MAX_INDENT);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let marker = match text[from..sentence.start].rsplit_once('\n') {
        Some((_, marker)) => marker.trim(),
        None if from == 0 => text[..sentence.start].trim(),
        None => return false,
    };
    let numbered = marker.starts_with(|c: char| c.is_ascii_digit());
    if !marker.is_empty() && !numbered {
        return marker.bytes().all(|b| b == b'#');
    }
    let below = text[sentence.end..].trim_start();
    let gap = &text[sentence.end..text.len() - below.len()];
    let underlined = ["==", "--", "~~"].iter().any(|line| below.starts_with(line));
    let lines = gap.matches('\n').count();
    let title = &text[sentence.clone()];
    (lines > 1 || (lines == 1 && underlined))
        && title.split_whitespace().nth(MAX_HEADING_WORDS).is_none()
        && !ends_with_stop(title)
        && !(numbered && below.starts_with(|c: char| c.is_ascii_digit()))
}

/// Bytes of a list marker, quote mark or heading sign at the start of a line, with the space
/// after; 0 if none.
pub(super) fn marker_len(line: &str) -> usize {
    let mut chars = line.chars();
    let first = chars.next().unwrap_or('\0');
    let sign = match first {
        '-' | '*' | '+' | '\u{2022}' | '\u{2023}' | '\u{25E6}' | '\u{25AA}' | '\u{25CF}'
        | '\u{25CB}' | '\u{2013}' | '\u{2014}' | '\u{00B7}' | '\u{2043}' | '\u{2192}'
        | '\u{25BA}' | '\u{25B6}' | '\u{2713}' | '\u{2714}' | '\u{2717}' | '\u{2610}'
        | '\u{2611}' => first.len_utf8(),
        '>' => line.bytes().take(8).take_while(|b| *b == b'>').count(),
        '#' => line.find(|c| c != '#').filter(|n| *n <= 6).unwrap_or(0),
        '(' => match line.bytes().take(5).position(|b| b == b')') {
            Some(n @ 2..=4) if line[1..n].bytes().all(|b| b.is_ascii_alphanumeric()) => n + 1,
            _ => 0,
        },
        // Circled numbers, and Chinese ones with their comma, stand without a space.
        '\u{2460}'..='\u{2473}' => {
            return first.len_utf8() + usize::from(line[3..].starts_with(' '));
        }
        '一' | '二' | '三' | '四' | '五' | '六' | '七' | '八' | '九' | '十' => {
            return if chars.next() == Some('、') { 6 } else { 0 };
        }
        c if c.is_ascii_alphanumeric() => number_len(line),
        _ => 0,
    };
    if sign == 0 || !line[sign..].starts_with([' ', '\t']) {
        return 0;
    }
    let box_at = &line[sign + 1..];
    let boxed = ["[ ] ", "[x] ", "[X] "].iter().any(|b| box_at.starts_with(b));
    sign + if boxed { 5 } else { 1 }
}

/// `12.`, `3)`, `a)`, `iv)`; `2.1` or `2.1.` before a short title.
fn number_len(line: &str) -> usize {
    let bytes = line.as_bytes();
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    match (digits, bytes.get(digits.max(1))) {
        (0, Some(b')')) => return 2,
        (0, _) => {
            let roman = bytes.iter().take(5).take_while(|b| b"ivx".contains(b)).count();
            return if roman <= 4 && bytes.get(roman) == Some(&b')') { roman + 1 } else { 0 };
        }
        (1..=3, Some(b')')) => return digits + 1,
        (1..=3, Some(b'.')) => {}
        _ => return 0,
    }
    let mut at = digits + 1;
    let mut levels = 1;
    while levels < 5 {
        let more = bytes[at..].iter().take(4).take_while(|b| b.is_ascii_digit()).count();
        if !(1..=3).contains(&more) {
            break;
        }
        levels += 1;
        at += more;
        match bytes.get(at) {
            Some(b'.') => at += 1,
            _ => break,
        }
    }
    if levels == 1 {
        return digits + 1;
    }
    // `3.5 million people`, at a soft wrap, is no title.
    let title = line.get(at..).unwrap_or("").trim_start();
    let short = title.len() <= 120 && title.split_whitespace().nth(MAX_HEADING_WORDS).is_none();
    if short && title.starts_with(char::is_uppercase) && !ends_with_stop(title) { at } else { 0 }
}

/// The mark and length of a code fence, if the line is one: three or more back-quotes or tildes.
pub(super) fn fence(content: &str) -> Option<(u8, usize)> {
    let mark = *content.as_bytes().first().filter(|b| matches!(b, b'`' | b'~'))?;
    let length = content.bytes().take_while(|b| *b == mark).count();
    // A line such as ```code``` opens nothing.
    (length >= 3 && !content[length..].contains('`')).then_some((mark, length))
}

/// Whether a line outside a fence is code: by a prompt or its end, or by its signs if `indented`.
pub(super) fn is_code(content: &str, indented: bool) -> bool {
    const PROMPTS: &[&str] = &[">>> ", "#!/", "#include ", "sudo "];
    const WORDS: &[&str] = &["import ", "def ", "fn ", "let ", "const ", "return ", "class "];
    const SIGNS: &[&str] = &["()", " = ", "->", "::", "==", "=>", "{", "}", "</"];
    let ends = [");", "};", "{", "();"].iter().any(|end| content.ends_with(end));
    let shell = content.strip_prefix("$ ").is_some_and(|c| c.starts_with(char::is_lowercase));
    ends || shell
        || content == "}"
        || PROMPTS.iter().any(|prompt| content.starts_with(prompt))
        || (indented
            && marker_len(content) == 0
            && (content.ends_with(';')
                || WORDS.iter().any(|word| content.starts_with(word))
                || SIGNS.iter().any(|sign| content.contains(sign))))
}

/// Characters up to the first place where a line could have been broken.
pub(super) fn first_word_chars(content: &str) -> usize {
    let mut chars = content.chars();
    if chars.next().is_some_and(is_ideograph) {
        return 1;
    }
    1 + chars.take_while(|c| !c.is_whitespace() && !is_ideograph(*c)).count()
}
