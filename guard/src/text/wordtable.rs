// SPDX-License-Identifier: AGPL-3.0-or-later
//! A fixed set of words that every word of a text is looked up in.
//!
//! Most words of a text are in no list, so what counts is how soon that is known: a word is told from others by its ends,
//! which two loads bring, and its length, with no pass over its letters. Up to 16 bytes that is all of the word. Where a
//! chain begins it says of one word in sixteen that it may be there, so that few entries are loaded in vain.

/// No entry.
const NONE: u16 = u16::MAX;

/// Words with a value each. Built once from words that nobody outside chooses.
#[derive(Debug)]
pub(crate) struct WordTable<V> {
    /// By hash.
    heads: Vec<Head>,
    entries: Vec<Entry<V>>,
}

/// The first entry of a chain, and a bit for each of its entries, by hash.
#[derive(Debug, Clone, Copy)]
struct Head {
    entry: u16,
    kinds: u16,
}

#[derive(Debug)]
struct Entry<V> {
    /// With bit 5 set where `letters` has it.
    ends: Ends,
    /// Bit 5 of each letter of ASCII.
    letters: Ends,
    next: u16,
    word: Box<[u8]>,
    value: V,
}

/// The first and last eight bytes of a word, and its length. Of less than eight, `first` holds the first four and the last
/// four, or the first, the middle and the last, and `last` nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    first: u64,
    last: u64,
    len: usize,
}

impl Ends {
    #[inline(always)]
    fn of(word: &[u8]) -> Self {
        let len = word.len();
        if let (Some(first), Some(last)) = (word.first_chunk(), word.last_chunk()) {
            let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
            return Self { first, last, len };
        }
        let first = if let (Some(first), Some(last)) = (word.first_chunk(), word.last_chunk()) {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            u64::from(first) | u64::from(last) << 32
        } else if let (Some(&first), Some(&last)) = (word.first(), word.last()) {
            u64::from(first) | u64::from(word[len / 2]) << 8 | u64::from(last) << 16
        } else {
            0
        };
        Self { first, last: 0, len }
    }

    /// With these bits set too.
    #[inline(always)]
    fn or(self, bits: Self) -> Self {
        Self { first: self.first | bits.first, last: self.last | bits.last, ..self }
    }

    /// The same of letters in any case: bit 5 is what tells a capital from a small letter of ASCII, and counts for nothing.
    #[inline(always)]
    fn hash(self) -> Hash {
        const LOWER: u64 = 0x2020_2020_2020_2020;
        let (first, last) = (self.first | LOWER, self.last | LOWER);
        let mixed = first ^ last.rotate_left(29) ^ (self.len as u64) << 50;
        // Upper bits of a product depend on all bits below them.
        let product = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Hash { slot: (product >> 48) as usize, kind: 1 << (product >> 44 & 15) }
    }
}

struct Hash {
    slot: usize,
    /// One bit of sixteen.
    kind: u16,
}

impl<V: Copy> WordTable<V> {
    /// A table of these words, in lower case; of one that stands twice, the first counts. At most 65 535.
    pub(crate) fn new<'w>(words: impl IntoIterator<Item = (&'w [u8], V)>) -> Self {
        let mut table = Self { heads: Vec::new(), entries: Vec::new() };
        for (word, value) in words.into_iter().take(usize::from(NONE)) {
            let letter = |b: &u8| if b.is_ascii_lowercase() { 0x20 } else { 0 };
            let letters = Ends::of(&word.iter().map(letter).collect::<Vec<u8>>());
            let ends = Ends::of(word);
            table.entries.push(Entry { ends, letters, next: NONE, word: word.into(), value });
        }
        let slots = (2 * table.entries.len()).next_power_of_two();
        table.heads = vec![Head { entry: NONE, kinds: 0 }; slots];
        // From the last on, so that the first of its kind is the one that is found.
        for i in (0..table.entries.len()).rev() {
            let hash = table.entries[i].ends.hash();
            let head = &mut table.heads[hash.slot & (slots - 1)];
            table.entries[i].next = std::mem::replace(&mut head.entry, i as u16);
            head.kinds |= hash.kind;
        }
        table
    }

    /// The value of a word, letters of ASCII in any case.
    #[inline]
    pub(crate) fn get(&self, word: &[u8]) -> Option<V> {
        let ends = Ends::of(word);
        let hash = ends.hash();
        let head = self.heads[hash.slot & (self.heads.len() - 1)];
        if head.kinds & hash.kind == 0 { None } else { self.in_chain(head.entry, ends, word) }
    }

    fn in_chain(&self, mut at: u16, ends: Ends, word: &[u8]) -> Option<V> {
        while let Some(entry) = self.entries.get(usize::from(at)) {
            let same = entry.ends == ends.or(entry.letters);
            if same && (word.len() <= 16 || entry.word.eq_ignore_ascii_case(word)) {
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
