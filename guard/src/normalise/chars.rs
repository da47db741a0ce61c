// SPDX-License-Identifier: AGPL-3.0-or-later
//! Single characters: what is invisible, what is a digit, which Latin letter something looks like.

use std::sync::LazyLock;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};
use unicode_security::confusable_detection::skeleton;

/// The digit zero of every script (general category Nd), Unicode 16; the other nine follow it.
#[rustfmt::skip]
const ZEROS: &[u32] = &[
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20, 0x1040,
    0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0,
    0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x10D40, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0,
    0x11650, 0x116C0, 0x116D0, 0x116DA, 0x11730, 0x118E0, 0x11950, 0x11BF0, 0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16130,
    0x16A60, 0x16AC0, 0x16B50, 0x16D70, 0x1CCF0, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0,
    0x1E5F1, 0x1E950, 0x1FBF0,
];

/// What a letter of another script, a small capital or a turned one is read as where UTS #39 has no ASCII letter for it.
#[rustfmt::skip]
const LOOKALIKES: &[(char, &str)] = &[
    // Small capitals, to which UTS #39 leads the Cyrillic and Greek letters of that shape.
    ('ᴀ', "a"), ('ʙ', "b"), ('ᴄ', "c"), ('ᴅ', "d"), ('ᴇ', "e"), ('ꜰ', "f"), ('ɢ', "g"), ('ʜ', "h"), ('ɪ', "i"), ('ᴊ', "j"),
    ('ᴋ', "k"), ('ʟ', "l"), ('ᴍ', "m"), ('ɴ', "n"), ('ᴏ', "o"), ('ᴘ', "p"), ('ǫ', "q"), ('ꞯ', "q"), ('ʀ', "r"), ('ꜱ', "s"),
    ('ᴛ', "t"), ('ᴜ', "u"), ('ᴠ', "v"), ('ᴡ', "w"), ('ʏ', "y"), ('ᴢ', "z"), ('ʍ', "m"), ('ɯ', "w"), ('ɾ', "r"),
    // Greek and Cyrillic.
    ('ε', "e"), ('ꞓ', "e"), ('є', "e"), ('э', "e"), ('η', "n"), ('π', "n"), ('п', "n"), ('μ', "u"), ('µ', "u"), ('ω', "w"), ('ψ', "w"),
    ('χ', "x"), ('β', "b"), ('δ', "d"), ('θ', "o"), ('λ', "l"), ('ξ', "e"), ('ζ', "z"), ('Σ', "E"), ('ς', "c"),
    ('и', "u"), ('я', "r"), ('Я', "R"), ('ц', "u"), ('ч', "y"), ('ш', "w"), ('щ', "w"), ('ь', "b"), ('ъ', "b"), ('в', "b"),
    ('з', "e"), ('л', "n"), ('д', "d"), ('т', "t"), ('м', "m"), ('н', "h"), ('к', "k"), ('И', "N"), ('П', "N"), ('Ш', "W"),
    // Latin letters with no decomposition.
    ('ø', "o"), ('Ø', "O"), ('đ', "d"), ('Đ', "D"), ('ħ', "h"), ('Ħ', "H"), ('ł', "l"), ('Ł', "L"), ('ŧ', "t"), ('Ŧ', "T"),
    ('ɨ', "i"), ('ʉ', "u"), ('ɇ', "e"), ('ɍ', "r"), ('ɏ', "y"), ('ƀ', "b"), ('ǥ', "g"), ('Ɨ', "I"), ('Ʉ', "U"), ('Ɇ', "E"),
    ('ɵ', "o"), ('ƒ', "f"), ('ɓ', "b"), ('ɗ', "d"), ('ɠ', "g"), ('ƙ', "k"), ('ƥ', "p"), ('ƭ', "t"), ('ƴ', "y"), ('ŋ', "n"),
    ('ɲ', "n"), ('ɳ', "n"), ('ʂ', "s"), ('ʈ', "t"), ('ʐ', "z"), ('ɕ', "c"), ('ʑ', "z"), ('ɛ', "e"), ('ɔ', "c"), ('ə', "e"),
];

/// The value of a digit of any script that is not ASCII.
pub(crate) fn digit(c: char) -> Option<char> {
    let code = c as u32;
    let index = ZEROS.partition_point(|&zero| zero <= code).checked_sub(1)?;
    char::from_digit(code - ZEROS[index], 10)
}

/// Whether a character shows nothing: zero-width and bidi characters, tags, variation selectors, fillers, controls.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Marks made for Latin, Greek, Cyrillic and symbols: accents, underlines, strokes, enclosing circles.
pub(crate) fn is_accent(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Whether a character is a mark of any script.
pub(crate) fn is_mark(c: char) -> bool {
    !c.is_ascii() && is_combining_mark(c)
}

/// What a character is made of by compatibility (NFKD) without accents, if that is ASCII; at most four characters.
///
/// Also Latin letters in signs that Unicode does not decompose: squared, negative, parenthesised, regional.
pub(crate) fn plain(c: char) -> Option<Short> {
    if matches!(c, '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}') {
        return None;
    }
    let letter = |base: u32, first: char| char::from_u32(c as u32 - base + first as u32);
    let sign = match c as u32 {
        0x249C..=0x24B5 => letter(0x249C, 'a'),
        0x1F110..=0x1F129 => letter(0x1F110, 'A'),
        0x1F150..=0x1F169 => letter(0x1F150, 'A'),
        0x1F170..=0x1F189 => letter(0x1F170, 'A'),
        0x1F1E6..=0x1F1FF => letter(0x1F1E6, 'A'),
        _ => None,
    };
    if let Some(letter) = sign {
        return Some(Short::of(letter));
    }
    let mut short = Short::default();
    let mut fits = true;
    decompose_compatible(c, |part| {
        if part.is_ascii() {
            fits &= short.push(part);
        } else if !is_accent(part) {
            fits = false;
        }
    });
    (fits && !short.as_str().is_empty()).then_some(short)
}

/// What a character is mistaken for.
#[derive(Debug, Clone, Copy)]
struct Alike {
    letters: Short,
    /// By UTS #39 itself, not by [`LOOKALIKES`].
    strict: bool,
}

/// Characters up to here are looked up; most that are asked about are.
const LISTED: u32 = 0x2E00;

static ALIKE: LazyLock<Vec<Option<Alike>>> =
    LazyLock::new(|| (0..LISTED).map(|code| find_alike(char::from_u32(code)?)).collect());

fn alike(c: char) -> Option<Alike> {
    match ALIKE.get(c as usize) {
        Some(alike) => *alike,
        None => find_alike(c),
    }
}

/// Whether UTS #39 itself takes a character for ASCII letters; [`LOOKALIKES`] are read so only beside real ones.
pub(crate) fn is_strict_lookalike(c: char) -> bool {
    alike(c).is_some_and(|alike| alike.strict)
}

/// The ASCII letters that a character is mistaken for, by the skeletons of UTS #39 and [`LOOKALIKES`].
pub(crate) fn latin_lookalike(c: char) -> Option<Short> {
    alike(c).map(|alike| alike.letters)
}

fn find_alike(c: char) -> Option<Alike> {
    if !may_look_latin(c) {
        return None;
    }
    let listed = |c: char| LOOKALIKES.iter().find(|(from, _)| *from == c).map(|(_, to)| *to);
    if let Some(known) = listed(c) {
        return Some(Alike { letters: Short::from(known), strict: false });
    }
    let mut short = Short::default();
    let mut strict = true;
    for part in skeleton(c.encode_utf8(&mut [0; 4])) {
        if is_accent(part) {
            strict = false;
            continue;
        }
        let fits = match listed(part) {
            Some(letter) => {
                strict = false;
                letter.chars().all(|l| short.push(l))
            }
            None => part.is_ascii_alphabetic() && short.push(part),
        };
        if !fits {
            return None;
        }
    }
    let letters = match short.as_str() {
        "" => return None,
        // UTS #39 writes m as rn, and gives capital I and small l the same prototype.
        "rn" => Short::of('m'),
        "l" if c.is_uppercase() => Short::of('I'),
        _ => short,
    };
    Some(Alike { letters, strict })
}

/// Scripts whose letters stand in for Latin ones. Others have lookalikes in UTS #39 too (Arabic alef for l), but nobody
/// reads a word with them as Latin, and all their text would have to be looked up.
fn may_look_latin(c: char) -> bool {
    !matches!(c as u32,
        0x590..=0x109F | 0x1100..=0x139F | 0x1680..=0x1CFF | 0x2E80..=0xA4CF | 0xA800..=0xAB2F | 0xABC0..=0xFAFF
        | 0x20000..=0x10FFFF)
}

/// Up to four ASCII characters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Short {
    bytes: [u8; 4],
    len: u8,
}

impl Short {
    fn of(c: char) -> Self {
        let mut short = Self::default();
        short.push(c);
        short
    }

    fn from(text: &str) -> Self {
        let mut short = Self::default();
        text.chars().all(|c| short.push(c));
        short
    }

    fn push(&mut self, c: char) -> bool {
        let room = usize::from(self.len) < self.bytes.len() && c.is_ascii();
        if room {
            self.bytes[usize::from(self.len)] = c as u8;
            self.len += 1;
        }
        room
    }

    pub(crate) fn as_str(&self) -> &str {
        // Only ASCII is ever pushed.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_sorted_and_start_ten_digits() {
        assert!(ZEROS.windows(2).all(|w| w[0] + 10 <= w[1]));
        for (c, want) in [('٣', '3'), ('९', '9'), ('５', '5'), ('𝟘', '0'), ('𝟿', '9'), ('༠', '0')]
        {
            assert_eq!(digit(c), Some(want), "{c}");
        }
        for c in ['a', 'é', '漢', '٪', '²', '\u{10ffff}'] {
            assert_eq!(digit(c), None, "{c}");
        }
    }

    #[test]
    fn plain_takes_off_what_dresses_a_letter() {
        for (c, want) in [
            ('ａ', "a"),
            ('＠', "@"),
            ('é', "e"),
            ('ệ', "e"),
            ('ⓚ', "k"),
            ('𝓲', "i"),
            ('ﬁ', "fi"),
            ('⒥', "j"),
            ('🅹', "J"),
            ('🇯', "J"),
            ('²', "2"),
            ('①', "1"),
            ('\u{a0}', " "),
        ] {
            assert_eq!(plain(c).as_ref().map(Short::as_str), Some(want), "{c}");
        }
        for c in ['漢', 'й', 'а', '한', '½', 'ﷺ', '—', '❤'] {
            assert!(plain(c).is_none(), "{c}");
        }
    }

    #[test]
    fn lookalikes_are_letters() {
        for (c, want) in [
            ('а', "a"),
            ('о', "o"),
            ('і', "i"),
            ('І', "I"),
            ('ո', "n"),
            ('Ꭺ', "A"),
            ('ɡ', "g"),
            ('ı', "i"),
            ('м', "m"),
            ('т', "t"),
            ('ø', "o"),
            ('ᴡ', "w"),
            ('α', "a"),
            ('ρ', "p"),
        ] {
            assert_eq!(latin_lookalike(c).as_ref().map(Short::as_str), Some(want), "{c}");
        }
        for c in ['漢', 'ж', 'の', '한', 'ا', '—'] {
            assert!(latin_lookalike(c).is_none(), "{c}");
        }
    }
}
