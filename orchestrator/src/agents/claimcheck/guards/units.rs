// SPDX-License-Identifier: AGPL-3.0-or-later
//! Lengths, masses, temperatures, speeds and durations, each in any unit.

use super::{Effect, Finding, Sides, quote};
use crate::agents::claimcheck::measures::{Measure, measures};

pub(super) fn find(sides: &Sides<'_>) -> Option<Finding> {
    let claim = &sides.statement.text;
    let wanted: Vec<Measure> =
        measures(claim).into_iter().filter(|m| m.kind.is_measured()).collect();
    if wanted.is_empty() {
        return None;
    }
    let stated = measures(sides.evidence);
    let told = |want: &Measure, have: &Measure| {
        let said = quote(&claim[want.span.clone()]);
        format!("the claim says {said}, the evidence {}", quote(&sides.evidence[have.span.clone()]))
    };
    let mut same = None;
    for want in &wanted {
        let of_kind = || stated.iter().filter(|have| have.kind == want.kind);
        if let Some(have) = of_kind().find(|have| have.agrees(want)) {
            if have.unit != want.unit {
                same.get_or_insert_with(|| format!("{}, which is the same", told(want, have)));
            }
        } else if let Some(have) = of_kind().next() {
            return Finding::new(Effect::Conflicts, told(want, have));
        }
    }
    // Every measure of the claim must be there for the texts to say the same.
    let all = wanted
        .iter()
        .all(|want| stated.iter().any(|have| have.agrees(want) && have.kind == want.kind));
    same.filter(|_| all).and_then(|why| Finding::new(Effect::Agrees, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Effect::{Agrees, Conflicts};

    #[test]
    fn units_are_converted() {
        super::super::check(
            find,
            &[
                ("The road is 5 km long", "The road is 5000 m long.", Some(Agrees)),
                ("The road is 5 miles long", "The road is 8 km long.", Some(Agrees)),
                ("The road is 5 km long", "The road is 5 miles long.", Some(Conflicts)),
                ("The road is 5 km long", "The road is 5 kilometres long.", None),
                ("The road is 5 km long", "The road is 7 km long.", Some(Conflicts)),
                ("He weighs 80 kg", "He weighs 176 pounds.", Some(Agrees)),
                ("He weighs 80 kg", "He weighs 80 pounds.", Some(Conflicts)),
                ("Water boils at 100 \u{b0}C", "Water boils at 212 \u{b0}F.", Some(Agrees)),
                ("Water boils at 100 \u{b0}C", "Water boils at 100 \u{b0}F.", Some(Conflicts)),
                ("It moves at 36 km/h", "It moves at 10 m/s.", Some(Agrees)),
                ("It takes 2 hours", "It takes 120 minutes.", Some(Agrees)),
                ("It takes at most 2 hours", "It takes 90 minutes.", Some(Agrees)),
                ("It takes 2 hours", "It takes 3 hours.", Some(Conflicts)),
                ("The road is 5 km long", "The road is long.", None),
                ("He weighs 80 kg and is 180 cm tall", "He weighs 176 pounds.", None),
                ("It cost 5 dollars", "It cost 5 euros.", None),
            ],
        );
    }
}
