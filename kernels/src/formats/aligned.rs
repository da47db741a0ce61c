// SPDX-License-Identifier: AGPL-3.0-or-later
//! Bytes that start on a cache line.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};

use super::TILE_BYTES;

/// Owned bytes whose first one starts a cache line: a tile that crosses two costs two loads.
#[derive(Default)]
pub(crate) struct AlignedBytes {
    /// Longer than `len` by what the alignment takes.
    buffer: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBytes {
    pub(crate) fn new(len: usize, value: u8) -> Self {
        let buffer = vec![value; len + TILE_BYTES - 1];
        // "Impossible" is allowed as an answer, and only costs speed.
        let start = buffer.as_ptr().align_offset(TILE_BYTES).min(TILE_BYTES - 1);
        Self { buffer, start, len }
    }

    /// Makes it `len` bytes long; what they hold is then unspecified (but initialised).
    pub(crate) fn reshape(&mut self, len: usize) {
        if self.start + len > self.buffer.len() {
            *self = Self::new(len, 0);
        }
        self.len = len;
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..][..self.len]
    }
}

impl DerefMut for AlignedBytes {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..][..self.len]
    }
}

impl Clone for AlignedBytes {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.len, 0);
        copy.copy_from_slice(self);
        copy
    }
}

impl PartialEq for AlignedBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for AlignedBytes {}

impl fmt::Debug for AlignedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBytes({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_longer_buffers_start_on_a_line_too() {
        let mut bytes = AlignedBytes::new(3, 7);
        assert_eq!(*bytes, [7; 3]);
        assert_eq!(bytes.clone(), bytes);
        for len in [0, 1, 64, 1000, 5, 1_000_000] {
            bytes.reshape(len);
            assert_eq!((bytes.len(), bytes.as_ptr().align_offset(TILE_BYTES)), (len, 0));
            assert_eq!(bytes.clone().as_ptr().align_offset(TILE_BYTES), 0);
        }
    }
}
