// SPDX-License-Identifier: AGPL-3.0-or-later
//! National forms that a country's numbering plan makes likely by themselves.

use crate::text::numbers::{Gap, Group, gap};

/// Whether a number from 0 has an area code, a length and groups of the British plan: `0161 496 0753`, `07700 900982`,
/// `020 7946 0958`, `01632 960 001`, `0800 496 0123`.
///
/// Source: Ofcom, the National Telephone Numbering Plan; the groups are those of its annex and of common use.
pub(super) fn is_british(text: &str, groups: &[Group]) -> bool {
    let lens: Vec<usize> = groups.iter().map(|g| g.len()).collect();
    let gaps = || groups.windows(2).map(|w| gap(text, w[0], w[1]));
    // "(020) 7946 0958"
    let enclosed = gaps().next() == Some(Gap::Mixed) && text[groups[0].end..].starts_with(") ");
    if !gaps().skip(usize::from(enclosed)).all(|gap| matches!(gap, Gap::Space | Gap::Dash)) {
        return false;
    }
    let code = groups[0].digits(text).as_bytes();
    match (code, &lens[1..]) {
        // London, Southampton and Portsmouth, Coventry, Northern Ireland, Cardiff.
        ([b'0', b'2', b'0' | b'3' | b'4' | b'8' | b'9'], [4, 4]) => true,
        // The large towns.
        ([b'0', b'1', b'1', _] | [b'0', b'1', _, b'1'], [3, 4]) => true,
        // The others, and mobiles; 070 and 076 are not those of persons.
        ([b'0', b'1', b'2'..=b'9', _, _] | [b'0', b'7', b'1'..=b'5' | b'7'..=b'9', _, _], rest) => {
            matches!(rest, [6] | [3, 3])
        }
        ([b'0', b'7', b'1'..=b'5' | b'7'..=b'9', _], [3, 4]) => true,
        // Freephone, and numbers of firms.
        (
            [b'0', b'3', b'0' | b'3' | b'4' | b'7', _] | [b'0', b'8', b'0' | b'4' | b'7', _],
            [3, 4],
        ) => true,
        _ => false,
    }
}
