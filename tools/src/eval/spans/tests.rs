// SPDX-License-Identifier: AGPL-3.0-or-later
//! Spans counted by hand, and against every pair and every byte.

use proptest::prelude::*;

use super::*;

/// Labels: 0 email, 1 LOCATION (place or address), 2 ORGANIZATION (unknown), 3 TITLE (ignored).
fn types() -> Types {
    let mut types = Types::new(&["email", "place", "address", "name"]);
    types.teach("NOTHING", &[]);
    for name in ["email", "LOCATION", "ORGANIZATION", "NOTHING"] {
        types.label_of(name);
    }
    types
}

fn gold(spans: &[(usize, usize, usize)]) -> Vec<Gold> {
    spans.iter().map(|&(start, end, label)| Gold { span: start..end, label }).collect()
}

fn found(types: &mut Types, spans: &[(usize, usize, &str)]) -> Vec<Found> {
    let span = |&(start, end, key): &(usize, usize, &str)| Found {
        span: start..end,
        key: types.key_of(key),
        score: 1.0,
    };
    spans.iter().map(span).collect()
}

fn overall(g: &[(usize, usize, usize)], f: &[(usize, usize, &str)]) -> [f64; OVERALL_FIGURES] {
    let mut types = types();
    let f = found(&mut types, f);
    let counts = judge(&gold(g), &f, &types);
    Sum::of(&[&counts], &[1], types.keys()).overall()
}

#[test]
fn strict_overlap_and_bytes_are_what_they_say() {
    // 0..10 exactly, 20..30 in part, 40..50 missed; 60..70 found for nothing.
    let f = overall(
        &[(0, 10, 0), (20, 30, 0), (40, 50, 0)],
        &[(0, 10, "email"), (20, 25, "email"), (60, 70, "email")],
    );
    let third = 1.0 / 3.0;
    assert_eq!(f[..3].iter().map(|v| (v * 3.0).round()).collect::<Vec<_>>(), [1.0, 1.0, 1.0]);
    assert!((f[3] - 2.0 * third).abs() < 1e-12 && (f[4] - 2.0 * third).abs() < 1e-12);
    assert!((f[6] - 15.0 / 25.0).abs() < 1e-12 && (f[7] - 0.5).abs() < 1e-12, "{f:?}");
    assert!((f[9] - third).abs() < 1e-12);
}

#[test]
fn the_wrong_type_is_wrong_by_type_and_right_by_bytes() {
    let f = overall(&[(0, 10, 0)], &[(0, 10, "name")]);
    assert_eq!((f[1], f[3], f[4], f[7]), (0.0, 0.0, 0.0, 1.0));
}

#[test]
fn a_label_that_accepts_two_types_is_met_by_either() {
    for key in ["place", "address"] {
        let f = overall(&[(0, 10, 1)], &[(0, 10, key)]);
        assert_eq!((f[0], f[1], f[2]), (1.0, 1.0, 1.0), "{key}");
    }
    let mut types = types();
    let f = found(&mut types, &[(2, 4, "address")]);
    let counts = judge(&gold(&[(0, 10, 1)]), &f, &types);
    let place = types.key_of("place");
    assert_eq!(counts.types.len(), 1);
    assert_eq!(counts.types[0].0, place);
    assert_eq!(counts.confusion, [(Some(place), Some(place))]);
}

#[test]
fn unknown_labels_are_apart_and_ignored_ones_excuse() {
    let mut types = types();
    let f = found(&mut types, &[(0, 10, "name"), (20, 30, "name")]);
    let counts = judge(&gold(&[(0, 10, 2), (20, 30, 3)]), &f, &types);
    assert_eq!(counts.apart, [2, 3]);
    // Wrong by type where the label is unknown; out of the count where it is ignored.
    assert_eq!(
        counts.types,
        [(types.key_of("name"), TypeCounts { found: 1, ..TypeCounts::default() })]
    );
    assert_eq!((counts.gold_bytes, counts.found_bytes, counts.common_bytes), (0, 0, 0));
    assert_eq!((counts.wrong, counts.missed), (vec![0], vec![]));
}

#[test]
fn what_an_unknown_label_accepts_is_not_wrong() {
    let mut types = Types::new(&["address"]);
    let location = types.label_of("LOCATION");
    let f = found(&mut types, &[(0, 10, "address")]);
    let counts = judge(&gold(&[(0, 10, location)]), &f, &types);
    assert_eq!((counts.apart.len(), counts.types.len(), counts.wrong.len()), (1, 0, 0));
}

#[test]
fn what_is_neither_labelled_nor_found_has_no_figure() {
    assert!(overall(&[], &[]).iter().all(|figure| figure.is_nan()));
    let f = overall(&[(0, 4, 0)], &[]);
    assert_eq!((f[1], f[2], f[4], f[5], f[9]), (0.0, 0.0, 0.0, 0.0, 0.0));
}

proptest! {
    #[test]
    fn bytes_are_those_counted_one_by_one(
        g in proptest::collection::vec((0usize..60, 1usize..12, 0usize..4), 0..8),
        f in proptest::collection::vec((0usize..60, 1usize..12, 0usize..4), 0..8),
    ) {
        let mut types = types();
        let g: Vec<_> = g.iter().map(|&(at, n, label)| (at, at + n, label)).collect();
        let keys = ["email", "place", "address", "name"];
        let f: Vec<_> = f.iter().map(|&(at, n, key)| (at, at + n, keys[key])).collect();
        let found = found(&mut types, &f);
        let counts = judge(&gold(&g), &found, &types);
        let within = |spans: &[(usize, usize)], at: usize| spans.iter().any(|s| s.0 <= at && at < s.1);
        let known: Vec<_> = g.iter().filter(|s| s.2 < 2).map(|s| (s.0, s.1)).collect();
        let aside: Vec<_> = g.iter().filter(|s| s.2 >= 2).map(|s| (s.0, s.1)).collect();
        let seen: Vec<_> = f.iter().map(|s| (s.0, s.1)).collect();
        let count = |test: &dyn Fn(usize) -> bool| (0..80).filter(|&at| test(at)).count() as u64;
        prop_assert_eq!(counts.gold_bytes, count(&|at| within(&known, at)));
        prop_assert_eq!(counts.common_bytes, count(&|at| within(&known, at) && within(&seen, at)));
        prop_assert_eq!(counts.found_bytes, count(&|at| {
            within(&seen, at) && (within(&known, at) || !within(&aside, at))
        }));
        let hidden = known.iter().filter(|s| (s.0..s.1).all(|at| within(&seen, at))).count();
        prop_assert_eq!(counts.hidden as usize, hidden);
    }

    #[test]
    fn overlap_is_what_every_pair_says(
        g in proptest::collection::vec((0usize..60, 1usize..12, 0usize..2), 0..8),
        f in proptest::collection::vec((0usize..60, 1usize..12, 0usize..3), 0..8),
    ) {
        let mut types = types();
        let keys = ["email", "place", "name"];
        let g: Vec<_> = g.iter().map(|&(at, n, label)| (at, at + n, label)).collect();
        let f: Vec<_> = f.iter().map(|&(at, n, key)| (at, at + n, keys[key])).collect();
        let found = found(&mut types, &f);
        let counts = judge(&gold(&g), &found, &types);
        let fits = |a: &(usize, usize, usize), b: &(usize, usize, &str)| {
            a.0 < b.1 && b.0 < a.1 && ["email", "place"][a.2] == b.2
        };
        let met = g.iter().filter(|a| f.iter().any(|b| fits(a, b))).count();
        let meeting = f.iter().filter(|b| g.iter().any(|a| fits(a, b))).count();
        let sum = |cell: fn(&TypeCounts) -> u32| counts.types.iter().map(|(_, t)| cell(t) as usize).sum::<usize>();
        prop_assert_eq!((sum(|t| t.met), sum(|t| t.meeting)), (met, meeting));
        prop_assert_eq!((sum(|t| t.gold), sum(|t| t.found)), (g.len(), f.len()));
        prop_assert!(sum(|t| t.strict) <= met.min(meeting));
        prop_assert_eq!(counts.missed.len(), g.len() - met);
        prop_assert_eq!(counts.wrong.len(), f.len() - meeting);
    }
}
