// SPDX-License-Identifier: AGPL-3.0-or-later
//! A fixed set of words that every word of a text is looked up in.
//!
//! Most words of a text are in no list, so what counts is how soon that is known: a word is told from others by its ends,
//! which two loads bring, and its length, with no pass over its letters. Up to 16 bytes that is all of the word.

/// No entry.
const NONE: u16 = u16::MAX;

/// Words with a value each. Built once from words that nobody outside chooses.
#[derive(Debug)]
pub(crate) struct WordTable<V> {
    /// By hash: the first entry of a chain.
    heads: Vec<u16>,
    entries: Vec<Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    ends: Ends,
    next: u16,
    word: Box<[u8]>,
    value: V,
}

/// The first and last eight bytes of a word, bit 5 of each set, and its length. That bit is what tells a capital from a
/// small letter of ASCII; digits have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    first: u64,
    last: u64,
    len: usize,
}

impl Ends {
    #[inline(always)]
    fn of(word: &[u8]) -> Self {
        const LOWER: u64 = 0x2020_2020_2020_2020;
        let len = word.len();
        if let (Some(first), Some(last)) = (word.first_chunk(), word.last_chunk()) {
            let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
            return Self { first: first | LOWER, last: last | LOWER, len };
        }
        let first = if let (Some(first), Some(last)) = (word.first_chunk(), word.last_chunk()) {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            u64::from(first) | u64::from(last) << 32
        } else if let (Some(&first), Some(&last)) = (word.first(), word.last()) {
            u64::from(first) | u64::from(word[len / 2]) << 8 | u64::from(last) << 16
        } else {
            0
        };
        Self { first: first | LOWER, last: 0, len }
    }

    #[inline(always)]
    fn hash(self) -> u64 {
        let mixed = self.first ^ self.last.rotate_left(29) ^ (self.len as u64) << 50;
        // Upper bits of a product depend on all bits below them.
        mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48
    }
}

impl<V: Copy> WordTable<V> {
    /// A table of these words, in lower case; of one that stands twice, the first counts. At most 65 535.
    pub(crate) fn new<'w>(words: impl IntoIterator<Item = (&'w [u8], V)>) -> Self {
        let mut table = Self { heads: Vec::new(), entries: Vec::new() };
        for (word, value) in words.into_iter().take(usize::from(NONE)) {
            let ends = Ends::of(word);
            table.entries.push(Entry { ends, next: NONE, word: word.into(), value });
        }
        table.heads = vec![NONE; (2 * table.entries.len()).next_power_of_two()];
        // From the last on, so that the first of its kind is the one that is found.
        for i in (0..table.entries.len()).rev() {
            let slot = table.slot(table.entries[i].ends);
            table.entries[i].next = std::mem::replace(&mut table.heads[slot], i as u16);
        }
        table
    }

    #[inline(always)]
    fn slot(&self, ends: Ends) -> usize {
        ends.hash() as usize & (self.heads.len() - 1)
    }

    /// The value of a word, letters of ASCII in any case.
    #[inline]
    pub(crate) fn get(&self, word: &[u8]) -> Option<V> {
        let ends = Ends::of(word);
        let mut at = self.heads[self.slot(ends)];
        while let Some(entry) = self.entries.get(usize::from(at)) {
            // Bytes that differ in bit 5 alone need not be letters.
            if entry.ends == ends && entry.word.eq_ignore_ascii_case(word) {
                return Some(entry.value);
            }
            at = entry.next;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_case_and_no_others() {
        let words = [
            "a",
            "ab",
            "abc",
            "abcd",
            "abcde",
            "abcdefgh",
            "abcdefghi",
            "abcdefghijklmnop",
            "abcdefghxijklmnop",
            "abcdefghyijklmnop",
            "é",
            "été",
            "gpt4",
        ];
        let table = WordTable::new(words.iter().enumerate().map(|(i, w)| (w.as_bytes(), i)));
        for (i, word) in words.iter().enumerate() {
            assert_eq!(table.get(word.as_bytes()), Some(i), "{word}");
            assert_eq!(table.get(word.to_ascii_uppercase().as_bytes()), Some(i), "{word}");
        }
        for word in [
            "",
            "b",
            "aab",
            "abd",
            "abcf",
            "abcdefghzijklmnop",
            "\u{c9}",
            "\u{89}t\u{e9}",
            "gpT\u{14}",
            "!b",
        ] {
            assert_eq!(table.get(word.as_bytes()), None, "{word:?}");
        }
        assert_eq!(WordTable::<u8>::new([]).get(b"a"), None);
    }

    #[test]
    fn the_first_of_a_word_counts() {
        let table = WordTable::new([(&b"on"[..], 1), (b"on", 2)]);
        assert_eq!(table.get(b"On"), Some(1));
    }
}
