// SPDX-License-Identifier: AGPL-3.0-or-later
//! Counts, ranks, shares and amounts: `4 lanes` is not `6 lanes`, but `half` is `50%` and `about
//! 100` allows `95`.

use super::{Effect, Finding, Sides, quote};
use crate::agents::claimcheck::measures::{Kind, Measure, measures};

/// Counts up to this are often said in other words: `both`, `twice`, `a pair`.
const OTHER_WORDS: f64 = 2.0;

pub(super) fn find(sides: &Sides<'_>) -> Option<Finding> {
    let claim = &sides.statement.text;
    let wanted: Vec<Measure> =
        measures(claim).into_iter().filter(|m| !m.kind.is_measured()).collect();
    if wanted.is_empty() {
        return None;
    }
    let stated = measures(sides.evidence);
    for want in &wanted {
        if stated.iter().any(|have| have.kind == want.kind && have.agrees(want)) {
            continue;
        }
        let other = stated.iter().find(|have| have.comparable(want));
        if let Some(other) = other {
            let what = |text: &str, m: &Measure| quote(shown(text, m));
            let why = format!(
                "the claim says {}, the evidence {}",
                what(claim, want),
                what(sides.evidence, other)
            );
            return Finding::new(Effect::Conflicts, why);
        }
        let currencies = stated.iter().any(|have| matches!(have.kind, Kind::Money(_)));
        if matches!(want.kind, Kind::Money(_)) && currencies {
            let why =
                format!("{} is in another currency than the evidence", quote(shown(claim, want)));
            return Finding::new(Effect::LeavesOpen, why);
        }
        let has_digits = |text: &str| text.bytes().any(|b| b.is_ascii_digit());
        let silent = stated.is_empty() && !has_digits(sides.evidence) && !has_digits(sides.before);
        if silent && want.low > OTHER_WORDS && want.kind != Kind::Ordinal {
            let why = format!("the evidence has no number for {}", quote(shown(claim, want)));
            return Finding::new(Effect::LeavesOpen, why);
        }
    }
    None
}

/// A number with the word after it.
fn shown<'a>(text: &'a str, measure: &Measure) -> &'a str {
    let end = measure.span.end;
    let after = &text[end..];
    let mut chars = after.char_indices();
    let gap = chars.next().is_some_and(|(_, c)| c == ' ' || c == '-' || c == '%');
    let word = after[usize::from(gap)..].find(|c: char| !c.is_alphanumeric());
    let extra = if gap { 1 + word.unwrap_or(after.len() - 1) } else { 0 };
    &text[measure.span.start..end + extra]
}

#[cfg(test)]
mod tests {
    use super::*;
    use Effect::{Conflicts, LeavesOpen};

    #[test]
    fn numbers_are_compared_as_they_are_meant() {
        super::super::check(
            find,
            &[
                ("It has 4 lanes", "It has 6 lanes.", Some(Conflicts)),
                ("It has four lanes", "It has 4 lanes.", None),
                ("It has 4 lanes", "It has 6 lanes, later cut to 4 lanes.", None),
                ("It has 4 lanes", "It has 6 cats.", None),
                ("About 100 people came", "95 people came.", None),
                ("About 100 people came", "80 people came.", Some(Conflicts)),
                ("At least 3 people came", "7 people came.", None),
                ("At least 3 people came", "2 people came.", Some(Conflicts)),
                ("Between 3 and 5 people came", "4 people came.", None),
                ("3-5 people came", "9 people came.", Some(Conflicts)),
                ("Half of the people came", "50% of the people came.", None),
                ("Two thirds of the people came", "67 percent of the people came.", None),
                ("One in five people came", "20% of people came.", None),
                ("A quarter of the people came", "60% of the people came.", Some(Conflicts)),
                ("It ranks third", "It ranks 3rd.", None),
                ("It has one hundred and twenty rooms", "It has 120 rooms.", None),
                ("It has one hundred and twenty rooms", "It has 100 rooms.", Some(Conflicts)),
                ("It cost $1.2 million", "It cost $1,204,000.", None),
                ("It cost $5m", "It cost $9m.", Some(Conflicts)),
                ("It cost $5m", "It cost 5 million euros.", Some(LeavesOpen)),
                ("It has 12 rooms", "It has many rooms.", Some(LeavesOpen)),
                ("It has two rooms", "It has both a kitchen and a hall.", None),
                ("It has many rooms", "It has 12 rooms.", None),
            ],
        );
    }
}
