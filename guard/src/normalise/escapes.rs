// SPDX-License-Identifier: AGPL-3.0-or-later
//! Characters written as `%40`, `&#64;`, `&commat;`, `\x40`, `\u0040`.

use super::view::Editor;

/// HTML's names for characters that personal data and instructions are written with.
#[rustfmt::skip]
const NAMED: &[(&str, &str)] = &[
    ("commat", "@"), ("period", "."), ("plus", "+"), ("lowbar", "_"), ("UnderBar", "_"), ("hyphen", "-"), ("dash", "-"), ("ndash", "-"),
    ("mdash", "-"), ("minus", "-"), ("nbsp", " "), ("ensp", " "), ("emsp", " "), ("thinsp", " "), ("NewLine", "\n"), ("Tab", "\t"),
    ("sol", "/"), ("colon", ":"), ("semi", ";"), ("comma", ","), ("num", "#"), ("percnt", "%"), ("amp", "&"), ("lt", "<"), ("gt", ">"),
    ("quot", "\""), ("apos", "'"), ("excl", "!"), ("quest", "?"), ("lpar", "("), ("rpar", ")"), ("lsqb", "["), ("rsqb", "]"),
    ("lbrack", "["), ("rbrack", "]"), ("equals", "="), ("ast", "*"), ("midast", "*"), ("dollar", "$"), ("shy", ""), ("zwj", ""),
    ("zwnj", ""), ("ZeroWidthSpace", ""),
];

/// Undoes the escape that may begin at `at`; true if one did.
pub(super) fn unescape(text: &str, at: usize, editor: &mut Editor<'_>) -> bool {
    let bytes = &text.as_bytes()[at..];
    let taken = match bytes[0] {
        b'%' => return percent(text, at, editor),
        b'&' => entity(&text[at..]),
        b'\\' => backslash(bytes),
        _ => None,
    };
    let Some((len, with)) = taken else {
        return false;
    };
    editor.replace(at..at + len, with.as_ref());
    true
}

/// What an escape stands for.
enum With {
    Char(char, [u8; 4]),
    Name(&'static str),
}

impl With {
    fn char(code: u32) -> Option<Self> {
        let c = char::from_u32(code).filter(|&c| c >= ' ' || matches!(c, '\t' | '\n'))?;
        let mut buffer = [0; 4];
        c.encode_utf8(&mut buffer);
        Some(Self::Char(c, buffer))
    }
}

impl AsRef<str> for With {
    fn as_ref(&self) -> &str {
        match self {
            Self::Char(c, buffer) => {
                std::str::from_utf8(&buffer[..c.len_utf8()]).unwrap_or_default()
            }
            Self::Name(with) => with,
        }
    }
}

/// A run of `%XX`, each character of the UTF-8 it holds by itself. What is no UTF-8 stays.
fn percent(text: &str, at: usize, editor: &mut Editor<'_>) -> bool {
    let bytes = text.as_bytes();
    let octet = |at: usize| match bytes.get(at..at + 3) {
        Some([b'%', high, low]) => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    };
    let mut buffer = [0; 4];
    let Some(first) = octet(at) else {
        return false;
    };
    let len = match first {
        ..0x80 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    };
    for (i, slot) in buffer[..len].iter_mut().enumerate() {
        match octet(at + 3 * i) {
            Some(byte) => *slot = byte,
            None => return false,
        }
    }
    match std::str::from_utf8(&buffer[..len]) {
        Ok(c) if first >= b' ' || matches!(first, b'\t' | b'\n') => {
            editor.replace(at..at + 3 * len, c);
            true
        }
        _ => false,
    }
}

/// `&#64;`, `&#x40;` (the semicolon may be missing), `&commat;`.
fn entity(text: &str) -> Option<(usize, With)> {
    let body = &text[1..];
    if let Some(number) = body.strip_prefix('#') {
        let (number, radix, start) = match number.strip_prefix(['x', 'X']) {
            Some(number) => (number, 16, 3),
            None => (number, 10, 2),
        };
        let (value, len) = number_at(number.as_bytes(), radix, 8)?;
        let end = start + len;
        let end = end + usize::from(text.as_bytes().get(end) == Some(&b';'));
        return Some((end, With::char(value)?));
    }
    let len = body.bytes().take(16).position(|b| b == b';')?;
    let (_, with) = NAMED.iter().find(|(name, _)| *name == &body[..len])?;
    Some((len + 2, With::Name(with)))
}

/// `\x40`, `\u0040`, `\u{40}`, `\U00000040`.
fn backslash(bytes: &[u8]) -> Option<(usize, With)> {
    let digits = match *bytes.get(1)? {
        b'x' => 2,
        b'u' if bytes.get(2) == Some(&b'{') => {
            let (value, len) = number_at(&bytes[3..], 16, 6)?;
            return (bytes.get(3 + len) == Some(&b'}')).then_some((4 + len, With::char(value)?));
        }
        b'u' => 4,
        b'U' => 8,
        _ => return None,
    };
    let (value, len) = number_at(&bytes[2..], 16, digits)?;
    (len == digits).then_some((2 + len, With::char(value)?))
}

/// The number at the start of `bytes`, of at most `max` digits, and how many it has.
fn number_at(bytes: &[u8], radix: u32, max: usize) -> Option<(u32, usize)> {
    let mut value: u32 = 0;
    let mut len = 0;
    for &b in bytes.iter().take(max) {
        let Some(digit) = char::from(b).to_digit(radix) else {
            break;
        };
        value = value.checked_mul(radix)?.checked_add(digit)?;
        len += 1;
    }
    (len > 0).then_some((value, len))
}

/// The value of a hexadecimal digit.
pub(super) fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).map(|digit| digit as u8)
}
