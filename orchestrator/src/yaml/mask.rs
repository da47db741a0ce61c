// SPDX-License-Identifier: AGPL-3.0-or-later
//! `${source.text}` unquoted in `{ ... }` and `[ ... ]`: there, strict YAML takes its braces for its own.
//!
//! Before parsing, the characters that mean something in a flow collection are replaced, inside references only, by
//! private-use characters the file does not hold. Each stands for one character, so lines and columns stay right; each
//! is put back in every text, key and message that leaves the parser.

use std::borrow::Cow;

/// What means something in a flow collection.
const MASKED: [char; 5] = ['{', '}', '[', ']', ','];

/// The private-use characters of the basic plane.
const PRIVATE: std::ops::RangeInclusive<u32> = 0xE000..=0xF8FF;

/// The characters that stand for [`MASKED`]; `None` where nothing was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mask(Option<[char; 5]>);

/// Replaces what means something to YAML inside the references of `text`.
///
/// A file that holds (nearly) all 6400 private-use characters is left as it is: then references in flow collections
/// have to be quoted, as strict YAML asks.
pub(super) fn mask(text: &str) -> (Cow<'_, str>, Mask) {
    let Some(first) = references(text).next() else { return (Cow::Borrowed(text), Mask(None)) };
    let Some(stand_ins) = unused_characters(text) else { return (Cow::Borrowed(text), Mask(None)) };
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    out.push_str(&text[..first.start]);
    let mut done = first.start;
    for reference in references(text) {
        out.push_str(&text[done..reference.start]);
        // The dollar sign stays; what follows is masked.
        out.extend(text[reference.clone()].chars().map(|c| swap(c, &MASKED, &stand_ins)));
        done = reference.end;
    }
    out.push_str(&text[done..]);
    (Cow::Owned(out), Mask(Some(stand_ins)))
}

impl Mask {
    /// Puts the replaced characters back.
    pub(super) fn undo(self, text: &str) -> Cow<'_, str> {
        match self.0 {
            Some(stand_ins) if text.contains(stand_ins) => {
                Cow::Owned(text.chars().map(|c| swap(c, &stand_ins, &MASKED)).collect())
            }
            _ => Cow::Borrowed(text),
        }
    }
}

fn swap(c: char, from: &[char; 5], to: &[char; 5]) -> char {
    from.iter().position(|&f| f == c).map_or(c, |i| to[i])
}

/// Byte ranges of `${...}` on one line, holding nothing that YAML needs to see.
fn references(text: &str) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let bytes = text.as_bytes();
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + text.get(from..)?.find("${")?;
            from = start + 2;
            // All of these are ASCII, so the ends are character boundaries.
            let end = (from..bytes.len()).find(|&i| match bytes[i] {
                b'{' | b'}' | b'"' | b'\'' | b'#' | b'\\' | b'\n' | b'\r' => true,
                // `: ` is a key's, as in `{ a: ${x, b: 1 }`.
                b':' => matches!(bytes.get(i + 1), None | Some(b' ' | b'\t' | b'\n' | b'\r')),
                _ => false,
            })?;
            if bytes[end] == b'}' {
                from = end + 1;
                return Some(start..from);
            }
            // Up to `end` there is no other brace, so nothing is searched more than twice.
        }
    })
}

/// Five private-use characters that are in `text` neither as such nor as an escape.
pub(crate) fn unused_characters(text: &str) -> Option<[char; 5]> {
    let first = *PRIVATE.start();
    let mut used = vec![false; PRIVATE.count()];
    let mut take = |code: u32| {
        if let Some(slot) = code.checked_sub(first).and_then(|i| used.get_mut(i as usize)) {
            *slot = true;
        }
    };
    text.chars().for_each(|c| take(u32::from(c)));
    for (at, _) in text.match_indices('\\') {
        let digits = match text.as_bytes().get(at + 1) {
            Some(b'u') => 4,
            Some(b'U') => 8,
            _ => continue,
        };
        let hex = text.get(at + 2..at + 2 + digits);
        if let Some(code) = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
            take(code);
        }
    }
    let mut free = used.iter().zip(PRIVATE).filter(|(used, _)| !**used);
    let mut next = || free.next().and_then(|(_, code)| char::from_u32(code));
    Some([next()?, next()?, next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        references(text).map(|r| &text[r]).collect()
    }

    #[test]
    fn references_are_found() {
        assert_eq!(
            found("{ a: ${source.text}, b: \"${x[0].y} $${z}\" }"),
            ["${source.text}", "${x[0].y}", "${z}"]
        );
        assert_eq!(found("${a, b: c}"), [""; 0]);
        assert_eq!(found("${a\n}"), [""; 0]);
        assert_eq!(found("${a ${b}"), ["${b}"]);
        assert_eq!(found("${a:b}"), ["${a:b}"]);
        assert_eq!(found("${"), [""; 0]);
    }

    #[test]
    fn masking_keeps_the_columns_and_can_be_undone() {
        let text = "é: [${nodes.a.b[0].c}, ${d,e}] # {}";
        let (masked, mask) = mask(text);
        assert_eq!(masked.chars().count(), text.chars().count());
        assert_eq!(masked.matches(['{', '}', '[', ']', ',']).count(), 5);
        assert_eq!(mask.undo(&masked), text);
    }

    #[test]
    fn a_file_may_hold_the_stand_ins_itself() {
        let text = "a: \"\u{e000} \\ue001 \\U0000E002\" ${b}";
        let (masked, mask) = mask(text);
        assert!(!mask.0.unwrap().iter().any(|&c| ('\u{e000}'..='\u{e002}').contains(&c)));
        assert_eq!(mask.undo(&masked), text);
        assert_eq!(mask.undo("\u{e000}\u{e001}\u{e002}"), "\u{e000}\u{e001}\u{e002}");
    }

    #[test]
    fn a_file_that_holds_them_all_is_left_alone() {
        let mut text: String = PRIVATE.filter_map(char::from_u32).collect();
        text.push_str("${a}");
        let (masked, mask) = mask(&text);
        assert!(matches!(masked, Cow::Borrowed(_)));
        assert_eq!(mask.undo(&text), text);
    }
}
