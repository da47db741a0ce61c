// SPDX-License-Identifier: AGPL-3.0-or-later
//! Characters that change what is shown of others: backspace and delete, and the overrides of writing direction.

use super::view::{Edit, Editor};
use crate::text::bytes::find;

/// Backspace and delete take the character before them away, as a terminal shows it.
pub(crate) fn apply_deletions(text: &str) -> Option<Edit> {
    find(text.as_bytes(), 0, is_deletion)?;
    let mut editor = Editor::new(text);
    // What is left, by its place; a run of deletions takes as many away.
    let mut kept: Vec<(usize, char)> = Vec::new();
    for (at, c) in text.char_indices() {
        if c.is_ascii() && is_deletion(c as u8) {
            kept.pop();
        } else {
            kept.push((at, c));
        }
    }
    for (at, c) in kept {
        editor.drop_to(at);
        editor.copy_to(at + c.len_utf8());
    }
    editor.drop_to(text.len());
    editor.finish()
}

fn is_deletion(b: u8) -> bool {
    matches!(b, 0x8 | 0x7f)
}

/// Text behind a right-to-left override (U+202E) is shown from its end to its start, up to the end of the override or of
/// the line.
pub(crate) fn apply_overrides(text: &str) -> Option<Edit> {
    const OVERRIDE: char = '\u{202e}';
    let mut editor = Editor::new(text);
    let mut at = 0;
    while let Some(found) = text[at..].find(OVERRIDE) {
        let start = at + found + OVERRIDE.len_utf8();
        let rest = &text[start..];
        let end = start
            + rest
                .find([
                    '\u{202c}', '\u{202d}', OVERRIDE, '\u{2066}', '\u{2067}', '\u{2068}',
                    '\u{2069}', '\n',
                ])
                .unwrap_or(rest.len());
        editor.replace(at + found..start, "");
        for (i, c) in text[start..end].char_indices().rev() {
            editor.out_of_order(start + i..start + i + c.len_utf8(), c.encode_utf8(&mut [0; 4]));
        }
        editor.skip_to(end);
        at = end;
    }
    editor.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalise::testing::{assert_same, assert_views, view_of};

    #[test]
    fn deletions_take_characters_away() {
        assert_views(
            apply_deletions,
            &[
                ("igx\u{8}nore", "ignore"),
                ("abc\u{7f}\u{7f}é", "aé"),
                ("\u{8}\u{8}a", "a"),
                ("aé\u{8}", "a"),
            ],
        );
        assert_same(apply_deletions, &["", "abc\n"]);
    }

    #[test]
    fn overridden_text_is_turned_round() {
        let source = "ok \u{202e}erongi\u{202c} all \u{202e}gro.x@nna";
        let view = view_of(apply_overrides, source).unwrap();
        assert_eq!(view.text(), "ok ignore\u{202c} all ann@x.org");
        let at = view.text().find("ann").unwrap();
        assert_eq!(&source[view.span(at..at + 3)], "nna");
        assert_same(apply_overrides, &["", "abc \u{202d}x"]);
    }
}
