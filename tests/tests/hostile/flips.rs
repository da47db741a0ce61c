// SPDX-License-Identifier: AGPL-3.0-or-later
//! Random damage: the file may load or not; what loads runs.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::file::{MODELS, converted};
use crate::survives;

fn damaged(case: &str, damage: &[(Index, u8)], header_only: bool) -> Vec<u8> {
    let mut bytes = converted(case).bytes();
    let data = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let range = if header_only { 0..data } else { data..bytes.len() };
    for (index, value) in damage {
        let at = range.start + index.index(range.len());
        bytes[at] = *value;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn a_damaged_header_never_panics(
        case in prop::sample::select(&MODELS[..]),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        survives(&damaged(case, &damage, true));
    }

    /// Digits, quotes and brackets keep more headers readable than any byte would.
    #[test]
    fn a_plausibly_damaged_header_never_panics(
        case in prop::sample::select(&MODELS[..]),
        damage in prop::collection::vec(
            (any::<Index>(), prop::sample::select(&b"0123456789\"{}[],:-.eE #a"[..])), 1..6),
    ) {
        survives(&damaged(case, &damage, true));
    }

    #[test]
    fn damaged_data_never_panics(
        case in prop::sample::select(&MODELS[..]),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..64),
    ) {
        survives(&damaged(case, &damage, false));
    }
}
