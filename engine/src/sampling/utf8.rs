// SPDX-License-Identifier: AGPL-3.0-or-later
//! UTF-8 across token boundaries.

/// Turns the bytes of tokens into text as they come.
///
/// A byte-level vocabulary splits characters between tokens. Bytes that may still become a
/// character are held back (three at most); bytes that cannot become one are U+FFFD. All text
/// together is what [`String::from_utf8_lossy`] makes of all bytes together (one U+FFFD for each
/// maximal part of an ill-formed sequence: Unicode 16, §3.9, table 3-8).
#[derive(Debug, Clone, Default)]
pub struct Utf8Stream {
    /// The beginning of a character: less than a whole one.
    held: Vec<u8>,
}

impl Utf8Stream {
    /// A stream that holds nothing back.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `bytes`; appends what is now complete to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        self.held.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            match std::str::from_utf8(&self.held[at..]) {
                Ok(text) => {
                    out.push_str(text);
                    at = self.held.len();
                }
                Err(error) => {
                    for chunk in self.held[at..].utf8_chunks().take(1) {
                        out.push_str(chunk.valid());
                    }
                    at += error.valid_up_to();
                    if let Some(wrong) = error.error_len() {
                        out.push(char::REPLACEMENT_CHARACTER);
                        at += wrong;
                        continue;
                    }
                }
            }
            break;
        }
        self.held.drain(..at);
    }

    /// Ends the stream: bytes still held back become one U+FFFD.
    pub fn finish(&mut self, out: &mut String) {
        if !self.held.is_empty() {
            self.held.clear();
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }

    /// Bytes held back: the beginning of a character.
    pub fn held(&self) -> &[u8] {
        &self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(chunks: &[Vec<u8>]) -> String {
        let (mut stream, mut out) = (Utf8Stream::new(), String::new());
        for chunk in chunks {
            stream.push(chunk, &mut out);
            assert!(stream.held().len() <= 3);
        }
        stream.finish(&mut out);
        out
    }

    #[test]
    fn characters_come_whole_and_at_once() {
        let (mut stream, mut out) = (Utf8Stream::new(), String::new());
        for (byte, text) in "é€😀".bytes().zip(["", "é", "", "", "€", "", "", "", "😀"]) {
            out.clear();
            stream.push(&[byte], &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn every_pair_of_bytes_is_as_lossy_as_the_whole() {
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let bytes = vec![0xF0, a, b];
                let lossy = String::from_utf8_lossy(&bytes).into_owned();
                assert_eq!(stream(&[vec![0xF0], vec![a], vec![b]]), lossy);
            }
        }
    }

    proptest! {
        #[test]
        fn any_split_of_any_bytes_is_from_utf8_lossy(
            chunks in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..4),
                    prop::collection::vec(
                        prop::sample::select(vec![
                            0x41, 0x80, 0xBF, 0xC2, 0xE0, 0xA0, 0xED, 0x9F, 0xF0, 0x90, 0xF4, 0x8F, 0xFF,
                        ]),
                        0..6,
                    ),
                    any::<char>().prop_map(|c| c.to_string().into_bytes()),
                ],
                0..12,
            ),
            cut in 0usize..8,
        ) {
            let all = chunks.concat();
            let lossy = String::from_utf8_lossy(&all).into_owned();
            prop_assert_eq!(stream(&chunks), lossy.clone());
            let bytes: Vec<Vec<u8>> = all.chunks(cut + 1).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(stream(&bytes), lossy);
        }
    }
}
