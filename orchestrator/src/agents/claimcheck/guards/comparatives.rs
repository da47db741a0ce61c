// SPDX-License-Identifier: AGPL-3.0-or-later
//! Comparisons: `A is larger than B` beside `B is larger than A`, `the largest` beside `the second
//! largest`.

use super::{Effect, Finding, Sides, quote};
use crate::text::{Word, are_antonyms, is_stop_word, stem, words};

/// Content words on each side of a comparison that are compared, at most.
const REACH: usize = 4;

/// `LEFT is MORE than RIGHT`.
struct Comparison {
    left: Vec<String>,
    /// Folded `larger`, or `expensive` of `more expensive`.
    by: String,
    /// `less`, which turns the sides round.
    less: bool,
    right: Vec<String>,
}

pub(super) fn find(sides: &Sides<'_>) -> Option<Finding> {
    let claim = &sides.statement.text;
    compared(claim, sides.sentence).or_else(|| superlative(claim, sides.sentence))
}

fn compared(claim: &str, evidence: &str) -> Option<Finding> {
    let (want, have) = (comparison(claim)?, comparison(evidence)?);
    let meet = |a: &[String], b: &[String]| a.iter().filter(|w| b.contains(w)).count();
    let straight = meet(&want.left, &have.left) + meet(&want.right, &have.right);
    let crossed = meet(&want.left, &have.right) + meet(&want.right, &have.left);
    // Words on both sides of a comparison tell nothing.
    let both = meet(&want.left, &have.right).min(meet(&want.right, &have.left));
    let opposite = are_antonyms(&want.by, &have.by);
    if want.by != have.by && !opposite || straight == crossed {
        return None;
    }
    let turned = crossed > straight && both > 0;
    if crossed > straight && !turned {
        return None;
    }
    let flips = [turned, opposite, want.less != have.less].into_iter().filter(|f| *f).count();
    let why = format!("the claim compares {}, the evidence {}", quote(claim), quote(evidence));
    match flips {
        0 => None,
        n if n % 2 == 1 => Finding::new(Effect::Conflicts, why),
        _ => Finding::new(Effect::Agrees, format!("{why}, which is the same")),
    }
}

fn comparison(text: &str) -> Option<Comparison> {
    let all: Vec<Word<'_>> = words(text).collect();
    let than = all.iter().position(|w| w.text.eq_ignore_ascii_case("than"))?;
    // `more than 5` is a number's business.
    if all.get(than + 1).is_none_or(Word::is_numeric) {
        return None;
    }
    let (at, less) = (0..than).rev().take(REACH).find_map(|i| {
        let lower = all[i].text.to_ascii_lowercase();
        match lower.as_str() {
            "more" => Some((i, false)),
            "less" | "fewer" => Some((i, true)),
            _ if lower.len() > 4 && lower.ends_with("er") && i + 2 >= than => Some((i, false)),
            "worse" => Some((i, false)),
            _ => None,
        }
    })?;
    let content = |w: &&Word<'_>| !is_stop_word(w.text);
    let by = match all[at + 1..than].iter().find(content) {
        Some(word) => stem(word.text),
        None => stem(all[at].text),
    };
    let left = all[..at].iter().filter(content).rev().take(REACH).map(|w| stem(w.text)).collect();
    let stop = |w: &&Word<'_>| {
        !["and", "but", "which", "who", "while"].iter().any(|s| w.text.eq_ignore_ascii_case(s))
    };
    let right = all[than + 1..]
        .iter()
        .take_while(stop)
        .filter(content)
        .take(REACH)
        .map(|w| stem(w.text))
        .collect();
    Some(Comparison { left, by, less, right })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    First,
    Lower,
    OneOf,
}

fn superlative(claim: &str, evidence: &str) -> Option<Finding> {
    let have = superlatives(evidence);
    for (word, rank, shown) in superlatives(claim) {
        let of_it: Vec<_> = have.iter().filter(|(w, _, _)| *w == word).collect();
        if of_it.is_empty() || of_it.iter().any(|(_, r, _)| *r == rank) {
            continue;
        }
        let effect = match (rank, of_it[0].1) {
            (Rank::First, Rank::Lower) | (Rank::Lower, Rank::First) => Effect::Conflicts,
            (Rank::First | Rank::Lower, Rank::OneOf) => Effect::LeavesOpen,
            _ => continue,
        };
        let why = format!("the claim says {}, the evidence {}", quote(&shown), quote(&of_it[0].2));
        return Finding::new(effect, why);
    }
    None
}

/// Superlatives with how they are ranked: `the largest`, `the second-largest`, `one of the largest`.
fn superlatives(text: &str) -> Vec<(String, Rank, String)> {
    const LOWER: &[&str] =
        &["second", "third", "fourth", "fifth", "sixth", "2nd", "3rd", "4th", "5th"];
    let all: Vec<Word<'_>> = words(text).collect();
    let mut found = Vec::new();
    for (at, word) in all.iter().enumerate() {
        let lower = word.text.to_ascii_lowercase();
        if lower.len() < 6 || !lower.ends_with("est") {
            continue;
        }
        let back = |n: usize| {
            at.checked_sub(n).map_or(String::new(), |i| all[i].text.to_ascii_lowercase())
        };
        let (one, two, three, four) = (back(1), back(2), back(3), back(4));
        if LOWER.contains(&one.as_str()) {
            found.push((lower, Rank::Lower, format!("{one} {}", word.text)));
        } else if (one == "the" && two == "of" && three == "one")
            || (one == "the" && two == "among")
            || (two == "the" && three == "of" && four == "one")
        {
            found.push((lower, Rank::OneOf, format!("one of the {}", word.text)));
        } else if one == "the" || one.ends_with('s') {
            found.push((lower, Rank::First, format!("the {}", word.text)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use Effect::{Agrees, Conflicts, LeavesOpen};

    #[test]
    fn comparisons_keep_their_direction() {
        super::super::check(
            find,
            &[
                ("Mars is larger than Venus", "Venus is larger than Mars.", Some(Conflicts)),
                ("Mars is larger than Venus", "Mars is smaller than Venus.", Some(Conflicts)),
                ("Mars is larger than Venus", "Venus is smaller than Mars.", Some(Agrees)),
                ("Mars is larger than Venus", "Mars is larger than Venus.", None),
                ("Mars is larger than Venus", "Mars is older than Venus.", None),
                ("Gold is more costly than tin", "Gold is less costly than tin.", Some(Conflicts)),
                ("Gold is more costly than tin", "Tin is less costly than gold.", Some(Agrees)),
                ("Gold costs more than 5 euros", "Tin costs more than gold.", None),
                ("Mars is larger than Venus", "Mars is a planet.", None),
                ("Lyon is the largest city", "Lyon is the second-largest city.", Some(Conflicts)),
                ("Lyon is the second largest city", "Lyon is the largest city.", Some(Conflicts)),
                (
                    "Lyon is the largest city",
                    "Lyon is one of the largest cities.",
                    Some(LeavesOpen),
                ),
                ("Lyon is one of the largest cities", "Lyon is the largest city.", None),
                ("Lyon is the largest city", "Lyon is the largest city.", None),
                ("Lyon is the best forest city", "Lyon is the second forest.", None),
            ],
        );
    }
}
