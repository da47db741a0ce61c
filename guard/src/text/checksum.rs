// SPDX-License-Identifier: AGPL-3.0-or-later
//! Check digits that more than one kind of number has. All take digits by value (0 to 9), the check digit last.

/// ISO/IEC 7812-1, annex B (Luhn): payment cards, Canadian social insurance numbers.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, &d)| {
            let d = u32::from(d);
            match (i % 2, d) {
                (0, _) => d,
                (_, 0..=4) => 2 * d,
                _ => 2 * d - 9,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// ISO/IEC 7064, MOD 11,10: German tax numbers.
pub(crate) fn mod_11_10(digits: &[u8]) -> bool {
    let Some((check, body)) = digits.split_last() else {
        return false;
    };
    let product = body.iter().fold(10u32, |product, &d| {
        let sum = (product + u32::from(d)) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (product + u32::from(*check)) % 10 == 1
}

/// Verhoeff's check over the dihedral group of order ten (Mathematical Centre Tracts 29, 1969): Aadhaar numbers.
pub(crate) fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTATION: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let product = |a: u8, b: u8| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b) % 5 + 5,
        (false, true) => (a + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let mut sum = 0;
    for (i, &d) in digits.iter().rev().enumerate() {
        let turned = (0..i % 8).fold(d, |d, _| PERMUTATION[usize::from(d)]);
        sum = product(sum, turned);
    }
    sum == 0
}

/// The sum of each digit times its weight; weights beyond the digits do not count.
pub(crate) fn weighted(digits: &[u8], weights: &[i32]) -> i32 {
    digits.iter().zip(weights).map(|(&d, w)| i32::from(d) * w).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exactly one last digit must pass after `body`, and it is `check`.
    fn only(check: u8, body: &[u8], passes: fn(&[u8]) -> bool) {
        for last in 0..10 {
            let digits = [body, &[last]].concat();
            assert_eq!(passes(&digits), last == check, "{digits:?}");
        }
    }

    #[test]
    fn published_examples_pass_and_no_other_check_digit_does() {
        only(3, &[7, 9, 9, 2, 7, 3, 9, 8, 7, 1], luhn);
        only(5, &[0, 7, 9, 4], mod_11_10);
        only(9, &[8, 6, 0, 9, 5, 7, 4, 2, 7, 1], mod_11_10);
        only(3, &[2, 3, 6], verhoeff);
        only(6, &[2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4], verhoeff);
    }

    #[test]
    fn swapped_neighbours_are_caught_by_verhoeff() {
        let good = [2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 6];
        for i in 0..good.len() - 1 {
            let mut swapped = good;
            swapped.swap(i, i + 1);
            assert!(!verhoeff(&swapped), "{i}");
        }
    }

    #[test]
    fn weights_are_applied_in_order() {
        assert_eq!(weighted(&[1, 2, 3], &[10, -1]), 8);
    }
}
