// SPDX-License-Identifier: AGPL-3.0-or-later
//! One cheap scan that says which steps could change a text at all.

use super::turned::MAX_PASSAGE_GAP;
use super::words::{AT, DIGIT, DOT, PLAIN, REVERSED, ROT13, telling};
use crate::text::bytes::alphanumeric_run;

/// Fewer single letters in a row are not a word that was spaced out.
pub(crate) const MIN_CELLS: usize = 5;
/// Letters and digits in a row that may be an encoding.
pub(crate) const MIN_RUN: usize = 12;
/// Fewer bytes in pairs of hexadecimal digits are none of a text.
pub(crate) const MIN_PAIRS: usize = 6;
/// Fewer digits in words are no number that anybody looks for.
pub(crate) const MIN_DIGIT_WORDS: usize = 7;
/// Fewer words that make sense in rot13 or backwards only are chance.
pub(crate) const MIN_TURNED: usize = 3;

/// What a text may hold. Each is necessary for its step to change anything, none is sufficient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Triggers {
    /// Characters outside ASCII.
    pub(crate) unicode: bool,
    /// Control characters other than white space.
    pub(crate) control: bool,
    /// `%41`, `&#65;`, `\x41`: the characters they begin with.
    pub(crate) escape: bool,
    /// A long run of letters and digits that is no plain word, or pairs of hexadecimal digits.
    pub(crate) encoded: bool,
    /// Single letters in a row.
    pub(crate) spaced: bool,
    /// The words "at" and "dot" in some form, or many digits in words.
    pub(crate) spelled: bool,
    /// A token of letters and of what stands for letters.
    pub(crate) leet: bool,
    /// Words in rot13.
    pub(crate) rot13: bool,
    /// Words backwards.
    pub(crate) reversed: bool,
}

impl Triggers {
    pub(crate) fn any(&self) -> bool {
        *self != Self::default()
    }

    /// One pass over the bytes.
    pub(crate) fn scan(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut seen = Self::default();
        let (mut cells, mut pairs, mut digit_words) = (0, 0, 0);
        let (mut rot13, mut reversed) = (Signs::default(), Signs::default());
        let mut tokens = 0;
        let mut addressed = false;
        let mut at = 0;
        while at < bytes.len() {
            let b = bytes[at];
            if !b.is_ascii_alphanumeric() {
                match b {
                    b'\t' | b'\n' | b'\r' | b' ' => {
                        tokens += usize::from(at > 0 && !bytes[at - 1].is_ascii_whitespace());
                    }
                    0x80.. => seen.unicode = true,
                    b'%' | b'&' | b'\\' => seen.escape = true,
                    b'@' | b'$' | b'!' | b'|' | b'+' => {
                        seen.leet |= bytes.get(at + 1).is_some_and(u8::is_ascii_alphabetic);
                        if b == b'@' {
                            addressed = true;
                            // "moc.elpmaxe@nna" has no other word to give it away.
                            seen.reversed |= reads_backwards(&bytes[..at]);
                        }
                    }
                    ..0x20 | 0x7f => seen.control = true,
                    _ => {}
                }
                at += 1;
                continue;
            }
            let start = at;
            let run = alphanumeric_run(bytes, start);
            at = run.end;
            let len = at - start;
            let place = tokens;
            if bytes.get(at) == Some(&b' ') {
                at += 1;
                tokens += 1;
            }
            if len == 1 {
                cells += 1;
                seen.spaced |= cells >= MIN_CELLS;
                (pairs, digit_words) = (0, 0);
                continue;
            }
            cells = 0;
            let pair = len == 2 && bytes[start..run.end].iter().all(u8::is_ascii_hexdigit);
            pairs = if pair { pairs + 1 } else { 0 };
            // What base64 in small letters alone can say has no "@", and every second letter of three is one of f to l or v
            // to z: nothing that a detector knows.
            let mixed =
                || run.digits || bytes[start + 1..run.end].iter().any(u8::is_ascii_uppercase);
            seen.encoded |= pairs >= MIN_PAIRS || len >= MIN_RUN && mixed();
            if run.digits {
                seen.leet |= run.letters;
                continue;
            }
            let known = telling(&bytes[start..run.end]);
            if known == 0 {
                digit_words = 0;
                continue;
            }
            digit_words = if known & DIGIT == 0 { 0 } else { digit_words + 1 };
            seen.spelled |= digit_words >= MIN_DIGIT_WORDS;
            if known & AT != 0 {
                let before = bytes[..start].iter().rev().find(|b| **b != b' ');
                seen.spelled |= before
                    .is_some_and(|b| matches!(b, b'[' | b'(' | b'{' | b'<' | b'_' | b'-' | b'*'));
                addressed = true;
            }
            seen.spelled |= known & DOT != 0 && addressed;
            if known & PLAIN == 0 {
                if known & ROT13 != 0 {
                    rot13.add(place, len);
                }
                if known & REVERSED != 0 {
                    reversed.add(place, len);
                }
            }
        }
        seen.rot13 = rot13.a_passage();
        seen.reversed |= reversed.a_passage();
        seen
    }
}

/// Words that are words in another reading only. A long text has some by chance: what counts is how near to each other
/// they stand.
#[derive(Default)]
struct Signs {
    /// The white space before the latest.
    latest: [Option<usize>; MIN_TURNED],
    near: bool,
    /// Those of more than two letters.
    long: usize,
}

impl Signs {
    /// Adds one of `len` letters, behind so much white space.
    fn add(&mut self, token: usize, len: usize) {
        self.latest.rotate_left(1);
        self.latest[MIN_TURNED - 1] = Some(token);
        let reach = MAX_PASSAGE_GAP * (MIN_TURNED - 1);
        self.near |= self.latest[0].is_some_and(|first| token - first <= reach);
        self.long += usize::from(len > 2);
    }

    fn a_passage(&self) -> bool {
        self.near && self.long >= MIN_TURNED
    }
}

/// Whether an address that ends here began with a top-level domain backwards, as in `moc.elpmaxe@`.
fn reads_backwards(before: &[u8]) -> bool {
    const REACH: usize = 64;
    let tail = &before[before.len().saturating_sub(REACH)..];
    let start = tail.iter().rposition(u8::is_ascii_whitespace).map_or(0, |i| i + 1);
    super::turned::is_backward_domain(&tail[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_has_none() {
        for text in [
            "",
            "Please meet me at noon; the report is due on Monday at 10:30.",
            "Point of order: 3 of 4 members voted, one two three.",
            "No way, said Ann. I saw a cat (see fig. 2).",
            "call 415-555-0100 or so",
            "Understanding of internationalization",
        ] {
            assert!(!Triggers::scan(text).any(), "{text}: {:?}", Triggers::scan(text));
        }
    }

    #[test]
    fn each_disguise_is_noticed() {
        let seen = |text: &str| Triggers::scan(text);
        assert!(seen("é").unicode);
        assert!(seen("a\u{8}b").control);
        assert!(seen("%40").escape && seen("&#64;").escape && seen("\\x40").escape);
        assert!(seen("am9obkBleGFtcGxlLmNvbQ==").encoded && seen("aWdubGVmYWxs").encoded);
        assert!(seen("6a 6f 68 6e 40 78").encoded);
        assert!(seen("i g n o r e").spaced && seen("i.g.n.o.r.e").spaced);
        assert!(seen("ann [at] example").spelled && seen("ann at example dot org").spelled);
        assert!(seen("one two three four five six seven").spelled);
        assert!(seen("1gnore").leet && seen("p@ssword").leet);
        assert!(seen("vtaber nyy cerivbhf").rot13);
        assert!(seen("snoitcurtsni suoiverp lla erongi").reversed);
        assert!(seen("moc.elpmaxe@nna").reversed);
        // Spread as far as a passage may be, and further.
        let spread = |gap: &str| format!("vtaber {gap} nyy   {gap} \n cerivbhf");
        assert!(seen(&spread(&"xq ".repeat(16))).rot13);
        assert!(!seen(&spread(&"xq ".repeat(17))).rot13);
    }
}
