// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a learned classifier reads: composed letters, emoji in words, links as one word, nothing invisible.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_public_assigned};
use unicode_normalization::{IsNormalized, is_nfkc_quick};

use super::view::{Edit, Editor, MAX_TEXT};
use super::{Via, View};

/// The view of a text that the guard's classifiers were trained on, and read.
///
/// In this order: NFKC; format characters, private use and unassigned code points dropped, but for the joiner and the
/// emoji selector; each emoji as the words of its CLDR short name between spaces; each `http://` or `https://` link up to
/// the next white space as ` link `; spaces and tabs in a row as one space, none at either end. Linear in the text.
///
/// ```
/// let view = bho_guard::model_view("Ｈｉ 👍  see https://example.org/x");
/// assert_eq!(view.text(), "Hi thumbs up see link");
/// assert_eq!(view.span(3..12), 7..11); // the emoji
/// ```
#[must_use]
pub fn model_view(text: &str) -> View {
    let mut view: Option<View> = None;
    let steps: [fn(&str) -> Option<Edit>; 5] =
        [compose, drop_invisible, name_emoji, name_links, squeeze];
    for step in steps {
        if let Some(edit) = step(view.as_ref().map_or(text, View::text)) {
            view = Some(View::over(view.as_ref(), edit, Via::Model));
        }
    }
    view.unwrap_or_else(|| View::copy(text, Via::Model))
}

/// A text in lower case, with NFKC and without invisible characters, as the deny list reads it; none where it is so already
/// but for capitals in ASCII, which are left as they are. Linear in the text.
pub(crate) fn folded_view(text: &str) -> Option<View> {
    if text.is_ascii() || text.len() > MAX_TEXT {
        return None;
    }
    let mut view: Option<View> = None;
    let steps: [fn(&str) -> Option<Edit>; 3] = [compose, drop_invisible, lower];
    for step in steps {
        if let Some(edit) = step(view.as_ref().map_or(text, View::text)) {
            view = Some(View::over(view.as_ref(), edit, Via::Unicode));
        }
    }
    view
}

/// Small letters for capitals outside ASCII, where one letter has just one.
fn lower(text: &str) -> Option<Edit> {
    let mut editor = Editor::new(text);
    for (at, c) in text.char_indices().filter(|(_, c)| !c.is_ascii()) {
        let mut small = c.to_lowercase();
        if let (Some(one), None) = (small.next(), small.next())
            && one != c
        {
            editor.replace(at..at + c.len_utf8(), one.encode_utf8(&mut [0; 4]));
        }
    }
    editor.finish()
}

/// NFKC, one starter and what composes with it at a time.
fn compose(text: &str) -> Option<Edit> {
    if text.is_ascii() {
        return None;
    }
    let mut editor = Editor::new(text);
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        let mut end = start + c.len_utf8();
        while let Some(&(at, next)) = chars.peek().filter(|(_, next)| composes(*next)) {
            end = at + next.len_utf8();
            chars.next();
        }
        let cluster = &text[start..end];
        if cluster.len() > 1 && is_nfkc_quick(cluster.chars()) != IsNormalized::Yes {
            let composed: String = cluster.nfkc().collect();
            if composed != cluster {
                editor.replace(start..end, &composed);
            }
        }
    }
    editor.finish()
}

/// Whether a character may join the one before it.
fn composes(c: char) -> bool {
    // Vowels and final consonants of Hangul are starters that compose, and so is what the quick check is unsure of.
    !c.is_ascii()
        && (canonical_combining_class(c) != 0
            || is_nfkc_quick(std::iter::once(c)) == IsNormalized::Maybe
            || matches!(c, '\u{ff9e}' | '\u{ff9f}'))
}

fn drop_invisible(text: &str) -> Option<Edit> {
    let mut editor = Editor::new(text);
    for (at, c) in text.char_indices().filter(|(_, c)| !c.is_ascii()) {
        if (is_format(c) || !is_public_assigned(c)) && !matches!(c, '\u{200d}' | '\u{fe0f}') {
            editor.replace(at..at + c.len_utf8(), "");
        }
    }
    editor.finish()
}

/// General category Cf.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'
        | '\u{e0020}'..='\u{e007f}')
}

/// They ask for the text or the emoji form of the character before them.
const SELECTORS: [char; 2] = ['\u{fe0e}', '\u{fe0f}'];
/// The longest emoji sequences have ten characters.
const MAX_EMOJI: usize = 10;

fn name_emoji(text: &str) -> Option<Edit> {
    let mut editor = Editor::new(text);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        // The only emoji that begin in ASCII are keycaps, "1" + U+FE0F + U+20E3, or without the selector.
        let c = bytes[at];
        if c.is_ascii() && !bytes.get(at + 1).is_some_and(|&next| next == 0xEF || next == 0xE2) {
            at += 1;
            continue;
        }
        match emoji_at(&text[at..]) {
            Some((len, name)) => {
                editor.replace(at..at + len, &format!(" {name} "));
                at += len;
            }
            None => {
                let len = text[at..].chars().next().map_or(1, char::len_utf8);
                if text[at..].starts_with(SELECTORS) {
                    // It asked for a form of what is no emoji, or was not needed.
                    editor.replace(at..at + len, "");
                }
                at += len;
            }
        }
    }
    editor.finish()
}

/// Skin tones and hair, which are no emoji by themselves.
const COMPONENTS: &[(char, &str)] = &[
    ('🏻', "light skin tone"),
    ('🏼', "medium-light skin tone"),
    ('🏽', "medium skin tone"),
    ('🏾', "medium-dark skin tone"),
    ('🏿', "dark skin tone"),
    ('🦰', "red hair"),
    ('🦱', "curly hair"),
    ('🦲', "bald"),
    ('🦳', "white hair"),
];

/// The longest emoji that `text` begins with.
fn emoji_at(text: &str) -> Option<(usize, String)> {
    let first = text.chars().next()?;
    if !first.is_ascii() && (first as u32) < 0xA9 {
        return None;
    }
    let mut ends = [0; MAX_EMOJI];
    let mut count = 0;
    for (i, c) in text.char_indices().take(MAX_EMOJI) {
        let part = i == 0 || is_emoji_part(c);
        if !part {
            break;
        }
        ends[count] = i + c.len_utf8();
        count += 1;
    }
    let whole = ends[..count].iter().rev().find_map(|&end| {
        let emoji = emojis::get(&text[..end]).filter(|_| !text[..end].is_ascii())?;
        Some((end, words(emoji.name())))
    });
    // What changes an emoji before it may stand alone too.
    whole.or_else(|| {
        let (_, name) = COMPONENTS.iter().find(|(component, _)| *component == first)?;
        Some((first.len_utf8(), (*name).to_owned()))
    })
}

/// What may stand behind the first character of an emoji.
fn is_emoji_part(c: char) -> bool {
    matches!(c, '\u{200d}' | '\u{fe0f}' | '\u{20e3}' | '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' | '\u{e0020}'..='\u{e007f}')
}

/// A short name as words: "flag: Peru" is "Peru", "kiss: man, man" is "kiss man man".
fn words(name: &str) -> String {
    let words = name.strip_prefix("flag: ").unwrap_or(name);
    words.chars().filter(|c| !matches!(c, ':' | ',' | '“' | '”')).collect()
}

fn name_links(text: &str) -> Option<Edit> {
    let mut editor = Editor::new(text);
    for (at, _) in text.match_indices("http") {
        let rest = &text[at..];
        let scheme = ["https://", "http://"].into_iter().find(|s| rest.starts_with(s));
        let Some(scheme) = scheme.filter(|_| at >= editor.done()) else {
            continue;
        };
        let len = rest.find(char::is_whitespace).unwrap_or(rest.len());
        if len > scheme.len() {
            editor.replace(at..at + len, " link ");
        }
    }
    editor.finish()
}

/// Spaces and tabs in a row become one space, and go at the ends; other white space goes at the ends too.
fn squeeze(text: &str) -> Option<Edit> {
    let mut editor = Editor::new(text);
    let body = text.trim_start();
    editor.drop_to(text.len() - body.len());
    let end = text.trim_end().len();
    let bytes = text.as_bytes();
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let mut at = editor.done();
    while let Some(offset) = bytes.get(at..end).and_then(|rest| rest.iter().position(blank)) {
        let start = at + offset;
        at = start + bytes[start..end].iter().take_while(|b| blank(b)).count();
        if at - start > 1 || bytes[start] == b'\t' {
            editor.replace(start..at, " ");
        }
    }
    editor.copy_to(end);
    editor.drop_to(text.len());
    editor.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_reads_words() {
        for (text, want) in [
            ("", ""),
            ("plain", "plain"),
            (" \t a  b\tc \n", "a b c"),
            ("cafe\u{301} ﬁne １２", "café fine 12"),
            ("a\u{200b}b\u{ad}c\u{e000}", "abc"),
            ("x👍🏽y", "x thumbs up medium skin tone y"),
            ("👩\u{200d}💻!", "woman technologist !"),
            ("1\u{fe0f}\u{20e3} 1 © ❤\u{fe0f}", "keycap 1 1 copyright red heart"),
            ("see http://x.org/y?z, ok http:// https", "see link ok http:// https"),
            ("\u{1100}\u{1161}\u{11a8}", "각"),
            ("ℹ\u{fe0f} 👨\u{200d}❤\u{fe0f}\u{200d}👨 🇵🇪", "i couple with heart man man Peru"),
        ] {
            assert_eq!(model_view(text).text(), want, "{text:?}");
        }
    }

    #[test]
    fn its_words_map_back() {
        let text = " hi  👍🏽 see https://x.org ";
        let view = model_view(text);
        assert_eq!(view.text(), "hi thumbs up medium skin tone see link");
        let span = |word: &str| {
            let at = view.text().find(word).unwrap();
            &text[view.span(at..at + word.len())]
        };
        assert_eq!((span("hi"), span("medium"), span("link")), ("hi", "👍🏽", "https://x.org"));
        assert_eq!(view.span(0..view.text().len()), 1..text.len() - 1);
    }
}
