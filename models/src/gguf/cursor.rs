// SPDX-License-Identifier: AGPL-3.0-or-later
//! Reading a header forward, never past its end.

/// A place in the bytes of a file.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at byte `at`.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at: at.min(bytes.len()) }
    }

    /// The next byte's offset.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `n` bytes.
    pub(super) fn take(&mut self, n: u64) -> Result<&'a [u8], String> {
        let (at, left) = (self.at, self.left());
        match usize::try_from(n) {
            Ok(n) if n <= left => {
                self.at += n;
                Ok(&self.bytes[at..at + n])
            }
            _ => Err(format!("{n} bytes are needed at byte {at}, where {left} are left")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64)?);
        Ok(out)
    }

    pub(super) fn u8(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, String> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count of things that take at least `min_bytes` each, so that no count is believed that the
    /// file is too short for.
    pub(super) fn count(&mut self, what: &str, min_bytes: usize) -> Result<usize, String> {
        let at = self.at;
        let (count, left) = (self.u64()?, self.left());
        match usize::try_from(count) {
            Ok(n) if n <= left / min_bytes => Ok(n),
            _ => Err(format!(
                "{count} {what} at byte {at}, where {left} bytes are left (at least {min_bytes} each)"
            )),
        }
    }

    /// A string: its length in 64 bits, then UTF-8.
    pub(super) fn str(&mut self) -> Result<&'a str, String> {
        let n = self.u64()?;
        let at = self.at;
        std::str::from_utf8(self.take(n)?).map_err(|e| {
            format!("the string at byte {at} is not UTF-8 from its byte {} on", e.valid_up_to())
        })
    }
}
