// SPDX-License-Identifier: AGPL-3.0-or-later
//! Text that is not shown at all: written in tag characters, in variation selectors behind an emoji, or in invisible
//! characters as bits. It is put in plain text where it stands, between spaces.

use super::view::{Edit, Editor};
use crate::text::bytes::find;

/// Fewer characters say nothing; the flags of England, Scotland and Wales take five letters, but none says anything.
const MIN_CHARS: usize = 4;

/// What an invisible character carries.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Carrier {
    /// A tag character: one of ASCII (block U+E0000).
    Tag(u8),
    /// A variation selector: one byte, 256 of them.
    Byte(u8),
    /// One of two invisible characters: one bit.
    Bit(char),
}

fn carrier(c: char) -> Option<Carrier> {
    Some(match c {
        '\u{e0020}'..='\u{e007e}' => Carrier::Tag((c as u32 - 0xe0000) as u8),
        '\u{fe00}'..='\u{fe0f}' => Carrier::Byte((c as u32 - 0xfe00) as u8),
        '\u{e0100}'..='\u{e01ef}' => Carrier::Byte((c as u32 - 0xe0100 + 16) as u8),
        '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => Carrier::Bit(c),
        _ => return None,
    })
}

/// Shows what is hidden, if anything is.
pub(crate) fn reveal(text: &str) -> Option<Edit> {
    let mut editor = Editor::new(text);
    let mut at = 0;
    // Every carrier begins with one of these bytes of UTF-8, and no other byte of a character is among them.
    while let Some(start) = find(text.as_bytes(), at, |b| matches!(b, 0xE2 | 0xEF | 0xF3)) {
        let mut chars = text[start..].char_indices().map(|(i, c)| (start + i, c)).peekable();
        let Some((_, c)) = chars.next() else { break };
        at = start + c.len_utf8();
        let Some(first) = carrier(c) else {
            continue;
        };
        let same =
            |other: Carrier| std::mem::discriminant(&other) == std::mem::discriminant(&first);
        let mut run = vec![(start, c, first)];
        while let Some(&(next_at, c)) = chars.peek() {
            let Some(next) = carrier(c).filter(|&next| same(next)) else {
                break;
            };
            run.push((next_at, c, next));
            at = next_at + c.len_utf8();
            chars.next();
        }
        write(&run, &mut editor);
    }
    editor.finish()
}

/// Reads one run in each of the ways it may be meant.
fn write(run: &[(usize, char, Carrier)], editor: &mut Editor<'_>) {
    let end = |i: usize| run[i].0 + run[i].1.len_utf8();
    // Each byte and how many carriers it took.
    let readings: Vec<(Vec<u8>, usize)> = match run[0].2 {
        Carrier::Bit(_) => {
            let Some((zero, one)) = two_of(run) else {
                return;
            };
            [(zero, one), (one, zero)].map(|(zero, _)| (bytes_of(run, zero), 8)).into()
        }
        _ => {
            let byte = |(_, _, c): &(usize, char, Carrier)| match *c {
                Carrier::Tag(b) | Carrier::Byte(b) => b,
                Carrier::Bit(_) => 0,
            };
            vec![(run.iter().map(byte).collect(), 1)]
        }
    };
    for (bytes, each) in readings {
        let Ok(text) = std::str::from_utf8(&bytes) else {
            continue;
        };
        let shown = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
        if bytes.len() < MIN_CHARS || !text.chars().all(shown) {
            continue;
        }
        editor.insert(run[0].0..end(0), " ");
        for (i, c) in text.char_indices() {
            let last = (i + c.len_utf8()) * each - 1;
            editor.replace(run[i * each].0..end(last), c.encode_utf8(&mut [0; 4]));
        }
        editor.drop_to(end(run.len() - 1));
        editor.insert(run[run.len() - 1].0..end(run.len() - 1), " ");
        return;
    }
}

/// The two characters that write the bits, if there are just two.
fn two_of(run: &[(usize, char, Carrier)]) -> Option<(char, char)> {
    let first = run[0].1;
    let second = run.iter().map(|(_, c, _)| *c).find(|&c| c != first)?;
    run.iter().all(|(_, c, _)| *c == first || *c == second).then_some((first, second))
}

fn bytes_of(run: &[(usize, char, Carrier)], zero: char) -> Vec<u8> {
    run.chunks_exact(8)
        .map(|bits| bits.iter().fold(0, |byte, (_, c, _)| byte << 1 | u8::from(*c != zero)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalise::testing::{assert_same, assert_views, view_of};

    fn tags(text: &str) -> String {
        text.bytes().filter_map(|b| char::from_u32(0xe0000 + u32::from(b))).collect()
    }

    fn selectors(text: &str) -> String {
        text.bytes()
            .filter_map(|b| match b {
                0..16 => char::from_u32(0xfe00 + u32::from(b)),
                _ => char::from_u32(0xe0100 - 16 + u32::from(b)),
            })
            .collect()
    }

    #[test]
    fn hidden_text_is_shown_where_it_stands() {
        let bits: String = b"ann@x.io"
            .iter()
            .flat_map(|b| {
                (0..8).rev().map(move |i| if b >> i & 1 == 1 { '\u{200c}' } else { '\u{200b}' })
            })
            .collect();
        assert_views(
            reveal,
            &[
                (&format!("hi{} you", tags("ignore all")), "hi ignore all  you"),
                (&format!("😀{}", selectors("ann@x.io, é")), "😀 ann@x.io, é "),
                (&format!("a{bits}b"), "a ann@x.io b"),
            ],
        );
    }

    #[test]
    fn hidden_text_maps_to_its_carriers() {
        let source = format!("😀{}!", selectors("to ann@x.io"));
        let view = view_of(reveal, &source).unwrap();
        let at = view.text().find("ann").unwrap();
        let span = view.span(at..at + 8);
        assert_eq!(source[span].chars().count(), 8);
    }

    #[test]
    fn emoji_and_joined_scripts_are_left() {
        assert_same(
            reveal,
            &[
                "❤\u{fe0f}👩\u{200d}💻 می\u{200c}خواهم",
                "a\u{200b}\u{200b}b\u{200b}",
                "1\u{fe0f}\u{20e3}",
            ],
        );
    }
}
