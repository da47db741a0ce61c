// SPDX-License-Identifier: AGPL-3.0-or-later
//! How much of a text models read, and what they have left unread.

use std::ops::Range;

use crate::card::PartlyRead;

/// Bytes of a window, the measure of what models read of a text: some 128 tokens of English.
pub const WINDOW_BYTES: usize = 512;

/// Windows that a model reads of one text where the policy does not say: 64 KiB, some 16 000 tokens of English.
pub const MODEL_WINDOWS: usize = 128;

/// What a model has left unread of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The detector that runs it.
    pub(crate) detector: &'static str,
    /// Windows it read, of so many.
    pub(crate) windows: usize,
    pub(crate) of_windows: usize,
    /// The bytes that it did not see, in order, none empty and none touching the next.
    pub(crate) unread: Vec<Range<usize>>,
}

impl Reading {
    /// As a card says it of a text of so many bytes.
    pub(crate) fn of(&self, bytes: usize) -> PartlyRead {
        let unread: usize = self.unread.iter().map(Range::len).sum();
        PartlyRead {
            detector: self.detector.to_owned(),
            bytes: bytes.saturating_sub(unread),
            of_bytes: bytes,
            windows: self.windows,
            of_windows: self.of_windows,
        }
    }

    /// Whether any of these bytes was left unread; of an empty span, whether it lies within such.
    pub(crate) fn leaves_out(&self, span: &Range<usize>) -> bool {
        let first = self.unread.partition_point(|unread| unread.end <= span.start);
        self.unread.get(first).is_some_and(|unread| unread.start < span.end.max(span.start + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_where_all_of_it_is() {
        let reading =
            Reading { detector: "m", windows: 1, of_windows: 3, unread: vec![5..8, 10..12] };
        for (span, left_out) in [
            (0..5, false),
            (0..6, true),
            (4..20, true),
            (7..8, true),
            (8..10, false),
            (9..11, true),
            (12..15, false),
            (6..6, true),
            (8..8, false),
        ] {
            assert_eq!(reading.leaves_out(&span), left_out, "{span:?}");
        }
        let card = reading.of(15);
        assert_eq!((card.bytes, card.of_bytes, card.windows, card.of_windows), (10, 15, 1, 3));
    }
}
