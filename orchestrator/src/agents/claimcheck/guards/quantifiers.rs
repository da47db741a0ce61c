// SPDX-License-Identifier: AGPL-3.0-or-later
//! How many and how often: what holds of some does not hold of all, and `only` excludes the rest.

use super::{Effect, Finding, Sides, quote};
use crate::text::{Word, is_stop_word, stem, words};

/// A place on the scale from none to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    None,
    Few,
    Some,
    Many,
    Most,
    NotAll,
    All,
}

/// A quantifier and the folded words it speaks of.
#[derive(Debug)]
struct Quantified<'a> {
    share: Share,
    word: &'a str,
    /// Whether it counts times (`never`) and not things (`no`).
    times: bool,
    /// Up to two content words after it, for things.
    about: Vec<String>,
}

fn share(word: &str) -> Option<(Share, bool)> {
    if word.len() > 12 {
        return None;
    }
    Some(match word.to_ascii_lowercase().as_str() {
        "all" | "every" | "each" | "everyone" | "everybody" | "everything" => (Share::All, false),
        "most" => (Share::Most, false),
        "many" | "numerous" => (Share::Many, false),
        "some" | "several" | "somebody" | "someone" => (Share::Some, false),
        "few" => (Share::Few, false),
        "no" | "none" | "nobody" | "nothing" => (Share::None, false),
        "always" => (Share::All, true),
        "usually" | "mostly" => (Share::Most, true),
        "often" | "frequently" => (Share::Many, true),
        "sometimes" | "occasionally" => (Share::Some, true),
        "rarely" | "seldom" => (Share::Few, true),
        "never" => (Share::None, true),
        _ => return None,
    })
}

fn quantified(text: &str) -> Vec<Quantified<'_>> {
    let all: Vec<Word<'_>> = words(text).collect();
    let mut found = Vec::new();
    for (at, word) in all.iter().enumerate() {
        let Some((mut share, times)) = share(word.text) else { continue };
        let before = at.checked_sub(1).map_or("", |i| all[i].text).to_ascii_lowercase();
        let after = all.get(at + 1).map_or("", |w| w.text).to_ascii_lowercase();
        // `at all`, `the most famous`, `a few`, `no longer`, `no more than`, `each other`, `some 40`.
        let idiom = match (before.as_str(), word.text.to_ascii_lowercase().as_str(), after.as_str())
        {
            ("at" | "above" | "after", "all", _)
            | ("the" | "at" | "his" | "her" | "its" | "their", "most", _)
            | (_, "no", "longer" | "more" | "doubt" | "one" | "less")
            | (_, "each", "other")
            | (_, "all", "over") => true,
            (_, "some", next) => next.starts_with(|c: char| c.is_ascii_digit()),
            _ => false,
        };
        if idiom {
            continue;
        }
        if before == "not" && share == Share::All {
            share = Share::NotAll;
        }
        if before == "a" && share == Share::Few {
            share = Share::Some;
        }
        let about = all[at + 1..]
            .iter()
            .filter(|w| !is_stop_word(w.text))
            .take(2)
            .map(|w| stem(w.text))
            .collect();
        found.push(Quantified { share, word: word.text, times, about });
    }
    found
}

/// What evidence of one share says of a claim of another.
fn effect(claim: Share, evidence: Share) -> Option<Effect> {
    use Share::{All, Few, Many, Most, None as No, NotAll, Some as Any};
    match (claim, evidence) {
        (No, Any | Many | Most | All)
        | (Any | Many | Most | All, No)
        | (All, NotAll | Few)
        | (NotAll, All)
        | (Most | Many, Few) => Some(Effect::Conflicts),
        (All, Any | Many | Most)
        | (Most, Any | Many)
        | (Many, Any)
        | (Most | Many, NotAll)
        | (No, Few | NotAll) => Some(Effect::LeavesOpen),
        _ => None,
    }
}

pub(super) fn find(sides: &Sides<'_>) -> Option<Finding> {
    let claim = &sides.statement.text;
    let evidence = quantified(sides.sentence);
    for want in quantified(claim) {
        let about = |have: &&Quantified<'_>| {
            have.times == want.times
                && (want.times || have.about.first().is_some_and(|w| want.about.contains(w)))
        };
        let of_it: Vec<&Quantified<'_>> = evidence.iter().filter(about).collect();
        if of_it.iter().any(|have| have.share == want.share) {
            continue;
        }
        if let Some((have, effect)) =
            of_it.iter().find_map(|have| Some((have, effect(want.share, have.share)?)))
        {
            let why = format!(
                "the claim says {}, the evidence {}",
                quote(want.word),
                quote(if have.share == Share::NotAll { "not all" } else { have.word })
            );
            return Finding::new(effect, why);
        }
    }
    let excludes = |text: &str| {
        words(text).any(|w| {
            [
                "only",
                "sole",
                "solely",
                "alone",
                "exclusively",
                "just",
                "unique",
                "nothing",
                "except",
            ]
            .iter()
            .any(|only| w.text.eq_ignore_ascii_case(only))
        })
    };
    let only = words(claim).any(|w| w.text.eq_ignore_ascii_case("only"));
    let idiom = claim.to_lowercase().contains("not only");
    if only && !idiom && !excludes(sides.evidence) && quantified(sides.evidence).is_empty() {
        let why = "the claim says \"only\", the evidence excludes nothing".to_owned();
        return Finding::new(Effect::LeavesOpen, why);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use Effect::{Conflicts, LeavesOpen};

    #[test]
    fn shares_are_compared_on_their_scale() {
        super::super::check(
            find,
            &[
                ("All birds can fly", "Some birds can fly.", Some(LeavesOpen)),
                ("All birds can fly", "Most birds can fly.", Some(LeavesOpen)),
                ("All birds can fly", "Not all birds can fly.", Some(Conflicts)),
                ("All birds can fly", "No birds can fly.", Some(Conflicts)),
                ("All birds can fly", "Every bird can fly.", None),
                ("Some birds can fly", "All birds can fly.", None),
                ("No birds can fly", "Some birds can fly.", Some(Conflicts)),
                ("Most birds can fly", "Few birds can fly.", Some(Conflicts)),
                ("All birds can fly", "Some cats can fly.", None),
                ("He always wins", "He sometimes wins.", Some(LeavesOpen)),
                ("He always wins", "He never wins.", Some(Conflicts)),
                ("He never wins", "He often wins.", Some(Conflicts)),
                ("The most famous bird flies", "Some famous birds fly.", None),
                ("Only birds can fly", "Birds can fly.", Some(LeavesOpen)),
                ("Only birds can fly", "Birds alone can fly.", None),
                ("Birds can fly", "Birds can fly.", None),
                ("It is not only fast", "It is fast.", None),
            ],
        );
    }
}
