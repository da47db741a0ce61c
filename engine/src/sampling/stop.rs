// SPDX-License-Identifier: AGPL-3.0-or-later
//! Stop strings across token boundaries.

use super::error::SamplingError;

/// Most stop strings of one request.
const MAX_STOPS: usize = 64;

/// Most bytes of one stop string.
const MAX_BYTES: usize = 4096;

/// Finds the first of several stop strings in text that comes in pieces.
///
/// The first is the one that ends first; of several that end at the same place, the longest. So
/// the outcome depends on the text alone, not on how it was cut. Text is held back only while it
/// may still turn out to be the beginning of a stop string; the stop string is never given out.
///
/// Each stop string is followed by its Knuth-Morris-Pratt automaton: time is proportional to the
/// text times the number of stop strings (Knuth, Morris and Pratt, SIAM J. Comput. 6(2), 1977).
#[derive(Debug, Clone, Default)]
pub struct StopMatcher {
    stops: Vec<Automaton>,
    /// Text that may be the beginning of a stop string.
    held: String,
    hit: Option<usize>,
}

#[derive(Debug, Clone)]
struct Automaton {
    pattern: Vec<u8>,
    /// `failure[n]`: the longest proper border of the first `n + 1` bytes.
    failure: Vec<usize>,
    /// Bytes of the pattern that the text ends with.
    matched: usize,
}

impl Automaton {
    fn new(pattern: &str) -> Self {
        let pattern = pattern.as_bytes().to_vec();
        let mut failure = vec![0; pattern.len()];
        let mut border = 0;
        for i in 1..pattern.len() {
            while border > 0 && pattern[i] != pattern[border] {
                border = failure[border - 1];
            }
            border += usize::from(pattern[i] == pattern[border]);
            failure[i] = border;
        }
        Self { pattern, failure, matched: 0 }
    }

    /// Takes a byte; whether the pattern ends with it. Not called again after it did.
    fn step(&mut self, byte: u8) -> bool {
        while self.matched > 0 && self.pattern[self.matched] != byte {
            self.matched = self.failure[self.matched - 1];
        }
        self.matched += usize::from(self.pattern[self.matched] == byte);
        self.matched == self.pattern.len()
    }
}

impl StopMatcher {
    /// A matcher for `stops`; without any, text passes through.
    ///
    /// # Errors
    /// [`SamplingError::Stop`] for an empty string, more than 64 of them or one beyond 4096 bytes.
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Result<Self, SamplingError> {
        if stops.len() > MAX_STOPS {
            let message = format!("found {}, accepted: at most {MAX_STOPS}", stops.len());
            return Err(SamplingError::Stop(message));
        }
        for (i, stop) in stops.iter().enumerate() {
            let length = stop.as_ref().len();
            if !(1..=MAX_BYTES).contains(&length) {
                let message = format!("number {i} has {length} bytes, accepted: 1 to {MAX_BYTES}");
                return Err(SamplingError::Stop(message));
            }
        }
        let stops = stops.iter().map(|s| Automaton::new(s.as_ref())).collect();
        Ok(Self { stops, held: String::new(), hit: None })
    }

    /// Takes `text`; appends what can no longer be part of a stop string to `out`.
    ///
    /// Returns the index of the stop string that was found, then and in every later call, which
    /// ignores its text.
    pub fn push(&mut self, text: &str, out: &mut String) -> Option<usize> {
        if self.hit.is_some() {
            return self.hit;
        }
        let before = self.held.len();
        self.held.push_str(text);
        for (i, byte) in text.bytes().enumerate() {
            let mut longest: Option<(usize, usize)> = None;
            for (index, stop) in self.stops.iter_mut().enumerate() {
                let length = stop.pattern.len();
                if stop.step(byte) && longest.is_none_or(|(_, known)| length > known) {
                    longest = Some((index, length));
                }
            }
            if let Some((index, length)) = longest {
                // A stop string begins and ends with whole characters.
                out.push_str(&self.held[..before + i + 1 - length]);
                self.held.clear();
                self.hit = Some(index);
                return self.hit;
            }
        }
        let keep = self.stops.iter().map(|s| s.matched).max().unwrap_or(0);
        let safe = self.held.len() - keep;
        out.push_str(&self.held[..safe]);
        self.held.drain(..safe);
        None
    }

    /// Ends the text: what was held back is no stop string and goes to `out`.
    pub fn finish(&mut self, out: &mut String) {
        out.push_str(&self.held);
        self.held.clear();
    }

    /// Text that is held back.
    pub fn held(&self) -> &str {
        &self.held
    }

    /// Index of the stop string that was found.
    pub fn hit(&self) -> Option<usize> {
        self.hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: over all places where a stop string ends, the first; there, the longest.
    fn naive(text: &str, stops: &[String]) -> (String, Option<usize>) {
        for end in 1..=text.len() {
            let at = stops
                .iter()
                .enumerate()
                .filter(|(_, s)| text.as_bytes()[..end].ends_with(s.as_bytes()))
                .max_by_key(|&(i, s)| (s.len(), std::cmp::Reverse(i)));
            if let Some((index, stop)) = at {
                return (text[..end - stop.len()].to_owned(), Some(index));
            }
        }
        (text.to_owned(), None)
    }

    #[test]
    fn text_is_held_back_only_while_it_may_be_a_stop_string() {
        let mut matcher = StopMatcher::new(&["\n\nUser:", "<end>"]).unwrap();
        let mut out = String::new();
        for (piece, given, held) in [
            ("Hi", "Hi", ""),
            ("\n", "", "\n"),
            ("\n", "", "\n\n"),
            ("\nUs", "\n", "\n\nUs"),
            ("a <", "\n\nUsa ", "<"),
            ("en", "", "<en"),
        ] {
            out.clear();
            assert_eq!(matcher.push(piece, &mut out), None);
            assert_eq!((out.as_str(), matcher.held()), (given, held));
        }
        out.clear();
        assert_eq!(matcher.push("d> more", &mut out), Some(1));
        assert_eq!(matcher.push("more", &mut out), Some(1));
        matcher.finish(&mut out);
        assert_eq!(out, "");
    }

    #[test]
    fn what_cannot_be_matched_is_refused() {
        let stop = |stops: &[&str]| StopMatcher::new(stops).map(|_| ()).map_err(|e| e.to_string());
        assert_eq!(
            stop(&["a", ""]).unwrap_err(),
            "stop strings: number 1 has 0 bytes, accepted: 1 to 4096"
        );
        assert!(stop(&[&"a".repeat(4097)]).is_err());
        assert!(stop(&["a"; 65]).is_err());
        stop(&[]).unwrap();
    }

    proptest! {
        #[test]
        fn any_cut_of_the_text_gives_what_the_naive_search_gives(
            text in "[abé]{0,40}",
            stops in prop::collection::vec("[abé]{1,5}", 0..5),
            cuts in prop::collection::vec(1usize..5, 40),
        ) {
            let mut matcher = StopMatcher::new(&stops).unwrap();
            let (mut out, mut seen) = (String::new(), String::new());
            let mut chars = text.chars().peekable();
            for cut in cuts {
                let piece: String = chars.by_ref().take(cut).collect();
                seen.push_str(&piece);
                let hit = matcher.push(&piece, &mut out);
                let (expected, index) = naive(&seen, &stops);
                prop_assert_eq!(hit, index);
                if hit.is_some() {
                    prop_assert_eq!(&out, &expected);
                    break;
                }
                // Least hold-back: the longest end of the text that begins a stop string.
                let held = (0..=seen.len())
                    .filter(|&i| seen.is_char_boundary(i))
                    .find(|&i| stops.iter().any(|s| s.starts_with(&seen[i..])) || i == seen.len());
                prop_assert_eq!(matcher.held(), &seen[held.unwrap()..]);
                prop_assert_eq!(format!("{out}{}", matcher.held()), seen.clone());
            }
            matcher.finish(&mut out);
            prop_assert_eq!(out, naive(&seen, &stops).0);
        }
    }
}
