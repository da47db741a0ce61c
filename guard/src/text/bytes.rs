// SPDX-License-Identifier: AGPL-3.0-or-later
//! Looking for rare bytes many at a time, and for the end of a word eight at a time.

/// Bytes looked at together: two registers of the smallest vector unit there is.
const CHUNK: usize = 32;

/// Where the first byte stands, at or after `from`, that `test` accepts.
///
/// Most texts have long stretches without a digit or a character outside ASCII. A chunk is tested as a whole, without a
/// branch in between, which compilers turn into vector instructions; one in which there is such a byte is looked through
/// byte by byte.
#[inline(always)]
pub(crate) fn find(bytes: &[u8], from: usize, test: impl Fn(u8) -> bool) -> Option<usize> {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..at + CHUNK) {
        if chunk.iter().fold(false, |any, &b| any | test(b)) {
            break;
        }
        at += CHUNK;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|&b| test(b)).map(|offset| at + offset)
}

/// A run of ASCII letters and digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Run {
    /// Where it ends: where it begins, if there is none.
    pub(crate) end: usize,
    pub(crate) letters: bool,
    pub(crate) digits: bool,
}

/// Where the run of ASCII letters and digits ends that begins at `from`: `from` itself where there is none.
#[inline(always)]
pub(crate) fn alphanumeric_end(bytes: &[u8], from: usize) -> usize {
    alphanumeric_run(bytes, from).end
}

/// The run of ASCII letters and digits that begins at `from`.
///
/// Words are short and of every length, so that a loop over their bytes ends where no processor foresees it. Eight bytes are
/// told apart without a branch instead.
#[inline(always)]
pub(crate) fn alphanumeric_run(bytes: &[u8], from: usize) -> Run {
    let mut run = Run { end: from, ..Run::default() };
    while let Some(eight) = bytes.get(run.end..).and_then(<[u8]>::first_chunk) {
        let kinds = Kinds::of(u64::from_le_bytes(*eight));
        let others = !(kinds.letters | kinds.digits) & HIGH;
        // Bits before the first byte of another kind; all of them where there is none.
        let within = (others & others.wrapping_neg()).wrapping_sub(1) & HIGH;
        run.letters |= kinds.letters & within != 0;
        run.digits |= kinds.digits & within != 0;
        if others != 0 {
            run.end += (others.trailing_zeros() / 8) as usize;
            return run;
        }
        run.end += 8;
    }
    for b in bytes.get(run.end..).unwrap_or_default() {
        if !b.is_ascii_alphanumeric() {
            break;
        }
        run.end += 1;
        run.letters |= b.is_ascii_alphabetic();
        run.digits |= b.is_ascii_digit();
    }
    run
}

const HIGH: u64 = each(0x80);

const fn each(b: u8) -> u64 {
    u64::from_le_bytes([b; 8])
}

/// The upper bit of each byte of a kind; other bits mean nothing.
struct Kinds {
    letters: u64,
    digits: u64,
}

impl Kinds {
    #[inline(always)]
    fn of(bytes: u64) -> Self {
        // No sum of seven bits and at most 0x80 reaches the next byte.
        let low = bytes & !HIGH;
        let at_least = |bytes: u64, b: u8| bytes + each(0x80 - b);
        let within =
            |bytes: u64, first: u8, last: u8| at_least(bytes, first) & !at_least(bytes, last + 1);
        Self {
            letters: within(low | each(0x20), b'a', b'z') & !bytes,
            digits: within(low, b'0', b'9') & !bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Run, alphanumeric_run, find};

    #[test]
    fn every_byte_is_told_apart_at_every_place() {
        for len in 0..20 {
            for at in 0..len {
                for b in 0..=255u8 {
                    let mut bytes: Vec<u8> =
                        b"aZ09zAq5".iter().copied().cycle().take(len).collect();
                    bytes[at] = b;
                    for from in [0, at] {
                        let end = if b.is_ascii_alphanumeric() { len } else { at };
                        let letters = bytes[from..end].iter().any(u8::is_ascii_alphabetic);
                        let digits = bytes[from..end].iter().any(u8::is_ascii_digit);
                        let want = Run { end, letters, digits };
                        assert_eq!(alphanumeric_run(&bytes, from), want, "{b:#x} at {at}");
                    }
                }
            }
        }
        assert_eq!((alphanumeric_run(b"", 0).end, alphanumeric_run(b"ab", 2).end), (0, 2));
    }

    #[test]
    fn the_first_is_found_wherever_it_stands() {
        for len in 0..100 {
            for at in 0..len {
                let mut bytes = vec![b'a'; len];
                bytes[at] = b'1';
                bytes[len - 1] = b'2';
                let digit = |b: u8| b.is_ascii_digit();
                let first = if at + 1 == len { len - 1 } else { at };
                assert_eq!(find(&bytes, 0, digit), Some(first), "{at} of {len}");
                assert_eq!(find(&bytes, at, digit), Some(first), "{at} of {len}");
                assert_eq!(find(&bytes, at + 1, digit), (at + 1 < len).then_some(len - 1));
                assert_eq!(find(&bytes, 0, |b| b == b'x'), None);
            }
        }
        assert_eq!(find(b"abc", 7, |_| true), None);
    }
}
