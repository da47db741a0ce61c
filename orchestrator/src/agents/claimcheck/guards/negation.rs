// SPDX-License-Identifier: AGPL-3.0-or-later
//! A statement and its denial, by `not` and its kin or by an opposite.

use super::{Effect, Finding, Sides, quote};

/// Share of the claim's content that a sentence must have to be taken for its denial.
const SAME_STATEMENT: f64 = 0.6;

pub(super) fn find(sides: &Sides<'_>) -> Option<Finding> {
    let signs = sides.statement.claim.compare(sides.sentence, Some(sides.before));
    if signs.aligned < SAME_STATEMENT {
        return None;
    }
    if signs.negated && !signs.elsewhere {
        let why = format!("one of claim and evidence is negated: {}", quote(sides.sentence));
        return Finding::new(Effect::Conflicts, why);
    }
    if signs.opposite {
        let why = format!(
            "the evidence has the opposite of a word of the claim: {}",
            quote(sides.sentence)
        );
        return Finding::new(Effect::Conflicts, why);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use Effect::Conflicts;

    #[test]
    fn denials_and_opposites_conflict() {
        super::super::check(
            find,
            &[
                ("The drug is effective", "The drug is not effective.", Some(Conflicts)),
                ("The drug is effective", "The drug isn't effective.", Some(Conflicts)),
                ("The drug is not effective", "The drug is effective.", Some(Conflicts)),
                ("The drug is effective", "The drug is ineffective.", Some(Conflicts)),
                ("The drug is effective", "The drug is not ineffective.", None),
                ("The drug is not effective", "The drug is not effective.", None),
                ("The drug is effective", "It is not cheap, but the drug is effective.", None),
                ("The shop opens early", "The shop opens late.", Some(Conflicts)),
                ("The drug is effective", "The weather was not good.", None),
                ("", "The weather was not good.", None),
            ],
        );
    }
}
