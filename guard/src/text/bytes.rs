// SPDX-License-Identifier: AGPL-3.0-or-later
//! Looking for rare bytes many at a time.

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

#[cfg(test)]
mod tests {
    use super::find;

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
