// SPDX-License-Identifier: AGPL-3.0-or-later
//! From bytes to text that is fit to parse: size, encoding, control characters.

use crate::config::Pos;

use super::YamlFault;

/// The text of `bytes`, its byte-order mark taken off.
pub(super) fn check(bytes: &[u8], max_bytes: usize) -> Result<&str, YamlFault> {
    if bytes.len() > max_bytes {
        return Err(too_large(bytes.len() as u64, max_bytes));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(not_utf8(bytes, error.valid_up_to())),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.char_indices().find(|&(_, c)| !is_printable(c)) {
        None => Ok(text),
        Some((at, c)) => Err(control_character(text, at, c, bytes.len() - text.len())),
    }
}

/// The fault of a source of `bytes` bytes.
pub(super) fn too_large(bytes: u64, max_bytes: usize) -> YamlFault {
    YamlFault::new(
        "too_large",
        Pos { line: 1, column: 1 },
        format!("the file has {bytes} bytes; at most {max_bytes} are read"),
    )
    .hint("keep long texts in files of their own and pass them as the source of a run")
}

fn not_utf8(bytes: &[u8], valid: usize) -> YamlFault {
    let before = std::str::from_utf8(&bytes[..valid]).unwrap_or_default();
    let before = before.strip_prefix('\u{feff}').unwrap_or(before);
    let byte = bytes.get(valid).copied().unwrap_or_default();
    let fault = YamlFault::new(
        "not_utf8",
        end_of(before),
        format!("byte {valid} (0x{byte:02X}) is not UTF-8"),
    );
    match bytes {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => fault.hint("this is UTF-16; save the file as UTF-8"),
        _ => fault.hint("save the file as UTF-8"),
    }
}

fn control_character(text: &str, at: usize, c: char, offset: usize) -> YamlFault {
    let name = if c == '\0' { " (NUL)" } else { "" };
    let fault = YamlFault::new(
        "control_character",
        end_of(&text[..at]),
        format!(
            "byte {} is the control character U+{:04X}{name}, which YAML does not allow",
            at + offset,
            u32::from(c)
        ),
    );
    match text.as_bytes() {
        [0, _, ..] | [_, 0, ..] => fault.hint("this looks like UTF-16; save the file as UTF-8"),
        _ => fault
            .hint("in double quotes, a control character can be written as an escape: \"\\x07\""),
    }
}

/// `c-printable` of YAML 1.2, without the byte-order mark's special cases.
fn is_printable(c: char) -> bool {
    matches!(c,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}'
        | '\u{10000}'..='\u{10ffff}')
}

/// The position just after `text`.
fn end_of(text: &str) -> Pos {
    let mut pos = Pos { line: 1, column: 1 };
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\n' || (c == '\r' && chars.peek() != Some(&'\n')) {
            pos = Pos { line: pos.line + 1, column: 1 };
        } else {
            pos.column += 1;
        }
    }
    pos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_taken_off() {
        assert_eq!(check(b"\xEF\xBB\xBFa: 1", 100), Ok("a: 1"));
    }

    #[test]
    fn bad_bytes_are_named_with_offset_and_position() {
        let fault = check(b"a: 1\nb: \xFF", 100).unwrap_err();
        assert_eq!((fault.code, fault.pos), ("not_utf8", Pos { line: 2, column: 4 }));
        assert!(fault.message.starts_with("byte 8 (0xFF)"), "{}", fault.message);
        let fault = check(b"\xEF\xBB\xBFa: \xC3", 100).unwrap_err();
        assert_eq!((fault.pos.column, &*fault.message), (4, "byte 6 (0xC3) is not UTF-8"));
    }

    #[test]
    fn control_characters_are_named() {
        let fault = check(b"a: 1\r\nb: \0", 100).unwrap_err();
        assert_eq!((fault.code, fault.pos), ("control_character", Pos { line: 2, column: 4 }));
        assert!(fault.message.contains("U+0000 (NUL)"), "{}", fault.message);
        assert!(check("tab\tand\u{85}and \u{a0}".as_bytes(), 100).is_ok());
    }

    #[test]
    fn utf16_is_recognised() {
        let bytes: Vec<u8> = "\u{feff}a: 1".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(check(&bytes, 100).unwrap_err().hint.unwrap().contains("UTF-16"));
        assert!(check(&bytes[2..], 100).unwrap_err().hint.unwrap().contains("UTF-16"));
    }
}
