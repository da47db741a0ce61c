// SPDX-License-Identifier: AGPL-3.0-or-later
//! The bytes of tokens to text that is safe to show.

use super::error::SamplingError;
use super::stop::StopMatcher;
use super::utf8::Utf8Stream;

/// [`Utf8Stream`], then [`StopMatcher`]: what a caller streams to a user.
///
/// Stop tokens are not its business: the caller compares ids before it looks at bytes, and calls
/// [`TextStream::finish`].
#[derive(Debug, Clone, Default)]
pub struct TextStream {
    utf8: Utf8Stream,
    stops: StopMatcher,
    complete: String,
}

impl TextStream {
    /// A stream that ends at the first of `stops`.
    ///
    /// # Errors
    /// As [`StopMatcher::new`].
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Result<Self, SamplingError> {
        Ok(Self { stops: StopMatcher::new(stops)?, ..Self::default() })
    }

    /// Takes the bytes of a token; appends text that is safe to show to `out`.
    ///
    /// Returns the index of the stop string that was found, then and in every later call.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) -> Option<usize> {
        self.complete.clear();
        self.utf8.push(bytes, &mut self.complete);
        self.stops.push(&self.complete, out)
    }

    /// Ends the text: what was held back goes to `out`, unless a stop string was found before.
    ///
    /// Returns the index of the stop string that was found: bytes held back may complete one that
    /// ends with U+FFFD.
    pub fn finish(&mut self, out: &mut String) -> Option<usize> {
        self.complete.clear();
        self.utf8.finish(&mut self.complete);
        let hit = self.stops.push(&self.complete, out);
        self.stops.finish(out);
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_string_split_inside_a_character_is_found() {
        let mut stream = TextStream::new(&["é!"]).unwrap();
        let mut out = String::new();
        assert_eq!(stream.push(b"caf\xC3", &mut out), None);
        assert_eq!(stream.push(b"\xA9", &mut out), None);
        assert_eq!(out, "caf");
        assert_eq!(stream.push(b"! no", &mut out), Some(0));
        assert_eq!(stream.finish(&mut out), Some(0));
        assert_eq!(out, "caf");
    }

    #[test]
    fn the_end_gives_out_what_was_held_back() {
        let mut stream = TextStream::new(&["<end>"]).unwrap();
        let mut out = String::new();
        assert_eq!(stream.push(b"a <e\xE2\x82", &mut out), None);
        assert_eq!(out, "a ");
        assert_eq!(stream.finish(&mut out), None);
        assert_eq!(out, "a <e\u{FFFD}");
    }
}
