// SPDX-License-Identifier: AGPL-3.0-or-later
//! Forty-six ways to disguise a text, and none.

/// How a text is disguised: all of it, or the secret alone.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Where {
    Text,
    Secret,
}

pub(crate) type Disguise = fn(&str) -> String;

#[rustfmt::skip]
pub(crate) const TECHNIQUES: &[(&str, Where, Disguise)] = &[
    ("none", Where::Text, str::to_owned),
    // arXiv 2504.11168
    ("numbers for letters", Where::Text, leet),
    ("spaces", Where::Text, |t| spaced(t, " ")),
    ("homoglyphs", Where::Text, homoglyphs),
    ("diacritics", Where::Text, |t| each_letter(t, |c, i| format!("{c}{}", ['\u{301}', '\u{308}', '\u{30a}'][i % 3]))),
    ("underline accents", Where::Text, |t| each_letter(t, |c, _| format!("{c}\u{332}"))),
    ("upside down", Where::Text, upside_down),
    ("bidirectional", Where::Text, |t| format!("\u{202e}{}\u{202c}", t.chars().rev().collect::<String>())),
    ("deletions", Where::Text, |t| each_letter(t, |c, i| if i % 2 == 0 { format!("x\u{8}{c}") } else { c.to_string() })),
    ("full width", Where::Text, full_width),
    ("zero width", Where::Text, |t| interleaved(t, &["\u{200b}", "\u{200d}", "\u{2060}", "\u{feff}"])),
    ("emoji smuggling", Where::Text, emoji_smuggling),
    ("unicode tags", Where::Text, tags),
    // Besides.
    ("precomposed letters", Where::Text, precomposed),
    ("mathematical letters", Where::Text, mathematical),
    ("circled letters", Where::Text, circled),
    ("small capitals", Where::Text, small_capitals),
    ("regional letters", Where::Text, |t| each_letter(t, |c, _| ascii_from(c, 'a', 0x1f1e6).to_string())),
    ("all lookalikes", Where::Text, all_lookalikes),
    ("digits of scripts", Where::Text, |t| t.chars().map(|c| ascii_digit_from(c, [0x660, 0x966, 0x1d7d8, 0xe50])).collect()),
    ("unicode separators", Where::Secret, |t| t.replace(' ', "\u{a0}").replace('-', "\u{2013}").replace('.', "\u{2024}")),
    ("soft hyphens", Where::Text, |t| interleaved(t, &["\u{ad}"])),
    ("directional marks", Where::Text, |t| interleaved(t, &["\u{200e}", "\u{2066}", "\u{2069}", "\u{202d}"])),
    ("bare deletions", Where::Text, |t| interleaved(t, &["\u{8}", "\u{7f}"])),
    ("tags between", Where::Text, |t| interleaved(t, &["\u{e0061}", "\u{e007f}"])),
    ("dots between", Where::Text, dotted),
    ("spaces alone", Where::Secret, |t| spaced(t, " ")),
    ("numbers for letters alone", Where::Secret, leet),
    ("upside down alone", Where::Secret, upside_down),
    ("line ends between", Where::Secret, |t| spaced(&t.replace(' ', ""), "\n")),
    ("upper case", Where::Text, str::to_uppercase),
    ("base64", Where::Secret, |t| base64(t.as_bytes())),
    ("base64 of all", Where::Text, |t| base64(t.as_bytes())),
    ("base64url of all", Where::Text, |t| base64(t.as_bytes()).replace('+', "-").replace('/', "_").replace('=', "")),
    ("base64 twice", Where::Text, |t| base64(base64(t.as_bytes()).as_bytes())),
    ("hexadecimal", Where::Secret, |t| t.bytes().map(|b| format!("{b:02x}")).collect()),
    ("hexadecimal pairs", Where::Text, |t| t.bytes().map(|b| format!("{b:02x} ")).collect()),
    ("backslash x", Where::Text, |t| t.bytes().map(|b| format!("\\x{b:02x}")).collect()),
    ("backslash u", Where::Text, |t| t.bytes().map(|b| format!("\\u{b:04x}")).collect()),
    ("percent", Where::Text, |t| t.bytes().map(|b| format!("%{b:02X}")).collect()),
    ("percent twice", Where::Secret, |t| t.bytes().map(|b| format!("%25{b:02X}")).collect()),
    ("entities", Where::Text, |t| t.bytes().map(|b| format!("&#{b};")).collect()),
    ("hexadecimal entities", Where::Text, |t| t.bytes().map(|b| format!("&#x{b:x};")).collect()),
    ("rot13", Where::Text, |t| t.chars().map(rot13).collect()),
    ("backwards", Where::Text, |t| t.chars().rev().collect()),
    ("full width percent", Where::Secret, |t| full_width(&t.bytes().map(|b| format!("%{b:02X}")).collect::<String>())),
    ("zero-width bits", Where::Text, bits),
];

fn each_letter(text: &str, f: impl Fn(char, usize) -> String) -> String {
    text.chars()
        .enumerate()
        .map(|(i, c)| if c.is_ascii_alphabetic() { f(c, i) } else { c.to_string() })
        .collect()
}

fn interleaved(text: &str, with: &[&str]) -> String {
    text.chars().enumerate().map(|(i, c)| format!("{c}{}", with[i % with.len()])).collect()
}

fn spaced(text: &str, gap: &str) -> String {
    text.chars().map(String::from).collect::<Vec<_>>().join(gap)
}

fn dotted(text: &str) -> String {
    // Signs stay as they are, or nobody could read it.
    let words = text.split(' ').map(|word| {
        if word.chars().all(char::is_alphanumeric) { spaced(word, ".") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn leet(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            'o' | 'O' => '0',
            'i' | 'I' => '1',
            'e' | 'E' => '3',
            'a' | 'A' => '4',
            's' | 'S' => '5',
            't' | 'T' => '7',
            _ => c,
        })
        .collect()
}

fn homoglyphs(text: &str) -> String {
    const PAIRS: &[(char, char)] = &[
        ('a', 'а'),
        ('c', 'с'),
        ('e', 'е'),
        ('i', 'і'),
        ('j', 'ј'),
        ('o', 'о'),
        ('p', 'р'),
        ('s', 'ѕ'),
        ('x', 'х'),
        ('y', 'у'),
        ('A', 'А'),
        ('B', 'В'),
        ('E', 'Е'),
        ('I', 'І'),
        ('O', 'О'),
        ('P', 'Р'),
        ('T', 'Т'),
        ('M', 'М'),
        ('H', 'Н'),
    ];
    swap(text, PAIRS)
}

fn all_lookalikes(text: &str) -> String {
    const PAIRS: &[(char, char)] = &[
        ('a', 'α'),
        ('b', 'Ь'),
        ('c', 'ϲ'),
        ('d', 'ԁ'),
        ('e', 'ҽ'),
        ('f', 'ẝ'),
        ('g', 'ց'),
        ('h', 'һ'),
        ('i', 'ι'),
        ('k', 'κ'),
        ('l', 'ӏ'),
        ('m', 'м'),
        ('n', 'ո'),
        ('o', 'ο'),
        ('p', 'ρ'),
        ('q', 'ԛ'),
        ('r', 'г'),
        ('s', 'ꜱ'),
        ('t', 'τ'),
        ('u', 'υ'),
        ('v', 'ν'),
        ('w', 'ԝ'),
        ('x', 'χ'),
        ('y', 'γ'),
        ('z', 'ᴢ'),
    ];
    swap(text, PAIRS)
}

fn small_capitals(text: &str) -> String {
    const PAIRS: &[(char, char)] = &[
        ('a', 'ᴀ'),
        ('b', 'ʙ'),
        ('c', 'ᴄ'),
        ('d', 'ᴅ'),
        ('e', 'ᴇ'),
        ('f', 'ꜰ'),
        ('g', 'ɢ'),
        ('h', 'ʜ'),
        ('i', 'ɪ'),
        ('k', 'ᴋ'),
        ('l', 'ʟ'),
        ('m', 'ᴍ'),
        ('n', 'ɴ'),
        ('o', 'ᴏ'),
        ('p', 'ᴘ'),
        ('r', 'ʀ'),
        ('s', 'ꜱ'),
        ('t', 'ᴛ'),
        ('u', 'ᴜ'),
        ('v', 'ᴠ'),
        ('w', 'ᴡ'),
        ('y', 'ʏ'),
    ];
    swap(text, PAIRS)
}

fn precomposed(text: &str) -> String {
    const PAIRS: &[(char, char)] = &[
        ('a', 'å'),
        ('c', 'ç'),
        ('e', 'ë'),
        ('g', 'ğ'),
        ('i', 'ï'),
        ('n', 'ñ'),
        ('o', 'ø'),
        ('s', 'š'),
        ('t', 'ť'),
        ('u', 'ů'),
        ('l', 'ł'),
        ('d', 'đ'),
        ('r', 'ř'),
        ('y', 'ý'),
    ];
    swap(text, PAIRS)
}

fn swap(text: &str, pairs: &[(char, char)]) -> String {
    text.chars()
        .map(|c| pairs.iter().find(|(from, _)| *from == c).map_or(c, |(_, to)| *to))
        .collect()
}

/// The letter of a block that begins at `block`, lower case and upper case alike.
fn ascii_from(c: char, first: char, block: u32) -> char {
    char::from_u32(c.to_ascii_lowercase() as u32 - first as u32 + block).unwrap()
}

fn ascii_digit_from(c: char, zeros: [u32; 4]) -> char {
    match c.to_digit(10) {
        Some(digit) => char::from_u32(zeros[digit as usize % 4] + digit).unwrap(),
        None => c,
    }
}

fn mathematical(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            'a'..='z' => ascii_from(c, 'a', 0x1d5ee),
            'A'..='Z' => char::from_u32(c as u32 - 65 + 0x1d5d4).unwrap(),
            '0'..='9' => char::from_u32(c as u32 - 48 + 0x1d7ec).unwrap(),
            _ => c,
        })
        .collect()
}

fn circled(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' => ascii_from(c, 'a', 0x24d0),
            '1'..='9' => char::from_u32(c as u32 - 49 + 0x2460).unwrap(),
            '0' => '⓪',
            _ => c,
        })
        .collect()
}

fn full_width(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            ' ' => '\u{3000}',
            '!'..='~' => char::from_u32(c as u32 + 0xfee0).unwrap(),
            _ => c,
        })
        .collect()
}

fn upside_down(text: &str) -> String {
    const UP: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?!()_@+-: ";
    const DOWN: &str =
        "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz∀ꓭƆᗡƎℲ⅁HIſʞ˥WNOԀQᴚS┴∩ΛMX⅄Z0ƖᄅƐㄣϛ9ㄥ86˙'¿¡)(‾@+-: ";
    let turn = |c: char| {
        let at = UP.chars().position(|up| up == c).expect("a character of the fixtures");
        DOWN.chars().nth(at).unwrap()
    };
    text.chars().rev().map(turn).collect()
}

fn emoji_smuggling(text: &str) -> String {
    let carried = text.bytes().map(|b| char::from_u32(0xe0100 + u32::from(b) - 16).unwrap());
    format!("Nice day 😊{}!", carried.collect::<String>())
}

fn tags(text: &str) -> String {
    format!(
        "Nice day{}!",
        text.bytes().map(|b| char::from_u32(0xe0000 + u32::from(b)).unwrap()).collect::<String>()
    )
}

fn bits(text: &str) -> String {
    let bit = |b: u8, i: u8| if b >> i & 1 == 1 { '\u{200c}' } else { '\u{200b}' };
    let carried = text.bytes().flat_map(|b| (0..8).rev().map(move |i| bit(b, i)));
    format!("Nice{} day", carried.collect::<String>())
}

fn rot13(c: char) -> char {
    let turn = |c: char, first: u8| char::from((c as u8 - first + 13) % 26 + first);
    match c {
        'a'..='z' => turn(c, b'a'),
        'A'..='Z' => turn(c, b'A'),
        _ => c,
    }
}

fn base64(bytes: &[u8]) -> String {
    const CODE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let bits = (0..3)
                .fold(0u32, |bits, i| bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
            (0..4).map(move |i| match i <= chunk.len() {
                true => char::from(CODE[(bits >> (18 - 6 * i)) as usize & 63]),
                false => '=',
            })
        })
        .collect()
}
