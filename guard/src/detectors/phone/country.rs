// SPDX-License-Identifier: AGPL-3.0-or-later
//! Country calling codes.

use std::ops::Range;

/// The country code a number begins with: its digits, and how many digits that country's numbers then have.
///
/// Codes: ITU-T E.164, list of assigned country codes. Lengths: the numbering plans of the countries most written here;
/// the recommendation's own limits elsewhere.
pub(super) fn country(number: &[u8]) -> Option<(usize, Range<usize>)> {
    let digit = |i: usize| number.get(i).map(|b| b - b'0');
    let (a, b) = (digit(0)?, digit(1));
    let one = match a {
        1 => Some(10..11),
        7 => Some(10..11),
        _ => None,
    };
    if let Some(range) = one {
        return Some((1, range));
    }
    let two = match (a, b?) {
        (2, 0) | (9, 0 | 1 | 8) => Some(8..11),
        (2, 7) | (3 | 9, 3 | 4) | (4, 0 | 1 | 8) | (5, 6) | (6, 1) => Some(9..10),
        (3, 0) | (5, 8) => Some(10..11),
        (3, 1) => Some(9..11),
        (3, 2 | 6) | (5, 1) | (6, 6) => Some(8..10),
        (3, 9) => Some(6..12),
        (4, 3 | 9) => Some(5..13),
        (4, 4) => Some(9..11),
        (4 | 6, 5) | (4, 7) => Some(8..9),
        (4, 6) => Some(7..10),
        (5, 2 | 4 | 5) => Some(10..12),
        (5, 3) => Some(6..9),
        (5, 7) => Some(8..11),
        (6, 0) => Some(7..11),
        (6, 2) => Some(7..13),
        (6, 3 | 4) => Some(8..11),
        (8, 1) => Some(9..11),
        (8, 2) => Some(8..12),
        (8, 4) => Some(7..11),
        (8, 6) => Some(10..12),
        (9, 2 | 5) => Some(7..12),
        _ => None,
    };
    if let Some(range) = two {
        return Some((2, range));
    }
    let assigned = match (a, b?, digit(2)?) {
        (2, 1, c) => matches!(c, 1 | 2 | 3 | 6 | 8),
        (2, 2..=4 | 6, _) => true,
        (2, 5, c) => c != 9,
        (2, 9, c) => matches!(c, 0 | 1 | 7 | 8 | 9),
        (3, 5, _) => true,
        (3, 7, _) => true,
        (3, 8, c) => !matches!(c, 4 | 8),
        (4, 2, c) => matches!(c, 0 | 1 | 3),
        (5, 0 | 9, _) => true,
        (6, 7, c) => c != 1,
        (6, 8, _) => true,
        (6, 9, c) => c <= 2,
        (8, 0, c) => matches!(c, 0 | 8),
        (8, 5, c) => matches!(c, 0 | 2 | 3 | 5 | 6),
        (8, 7, c) => matches!(c, 0 | 8),
        (8, 8, c) => matches!(c, 0 | 1 | 2 | 3 | 6 | 8),
        (9, 6, c) => c != 9,
        (9, 7, c) => c != 8,
        (9, 9, c) => matches!(c, 2..=6 | 8),
        _ => false,
    };
    assigned.then_some((3, 5..13))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn country_codes_are_those_assigned() {
        let code = |s: &str| country(s.as_bytes()).map(|(n, _)| n);
        assert_eq!(code("1415"), Some(1));
        assert_eq!(code("4420"), Some(2));
        assert_eq!(code("35121"), Some(3));
        assert_eq!(code("999"), None);
        assert_eq!(code("210"), None);
        assert_eq!(code("4"), None);
    }
}
