// SPDX-License-Identifier: AGPL-3.0-or-later
//! Names: another person or place in the same role, or two that changed places.

use std::ops::Range;

use super::{Effect, Finding, Sides, quote};
use crate::text::{Word, is_stop_word, stem, terms, words};

/// Share of the claim's other content words from which on another name is another fact of the same
/// thing, and not another thing.
const SAME_REST: f64 = 0.75;

/// A run of capitalised words.
#[derive(Debug, Clone)]
struct Name {
    stems: Vec<String>,
    span: Range<usize>,
    /// The word before it if that is a preposition, and the content word before that.
    slot: Option<(String, String)>,
    /// Words before it.
    at: usize,
}

#[rustfmt::skip]
const PREPOSITIONS: &[&str] = &[
    "in", "at", "from", "by", "of", "to", "with", "near", "on", "for", "against", "into", "after", "under",
];
/// Small words that belong to a name between two capitalised ones.
const INSIDE: &[&str] =
    &["of", "the", "de", "van", "von", "der", "la", "le", "du", "di", "bin", "and"];
/// Capitalised words that are other guards' business, or nobody's.
#[rustfmt::skip]
const NO_NAMES: &[&str] = &[
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
    "sunday", "i", "mr", "mrs", "ms", "dr", "bc", "ad", "bce", "ce",
];
/// Verbs and words that hold both ways round: `A met B`.
#[rustfmt::skip]
const BOTH_WAYS: &[&str] = &[
    "meet", "met", "marri", "marry", "play", "fight", "fought", "tie", "share", "share", "join", "and",
    "with", "between", "both", "border", "resembl", "differ", "divorc", "date",
];

fn names(text: &str) -> Vec<Name> {
    let all: Vec<Word<'_>> = words(text).collect();
    let starts = |at: usize| {
        at == 0 || text[all[at - 1].span().end..all[at].start].contains(['.', '!', '?', ':', '\n'])
    };
    let is_name = |at: usize| {
        let word = &all[at];
        word.is_capitalised()
            && !word.is_redaction_mark(text)
            && !is_stop_word(word.text)
            && !NO_NAMES.iter().any(|w| word.text.eq_ignore_ascii_case(w))
    };
    let joined = |at: usize| {
        let gap = &text[all[at].span().end..all[at + 1].start];
        matches!(gap, " " | "-" | ". " | "\u{a0}")
    };
    let mut found = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if !is_name(at) {
            at += 1;
            continue;
        }
        let first = at;
        let mut last = at;
        while last + 1 < all.len() && joined(last) {
            let inside = INSIDE.contains(&all[last + 1].text);
            if is_name(last + 1) && !starts(last + 1) {
                last += 1;
            } else if inside
                && all[last + 1].text != "and"
                && last + 2 < all.len()
                && joined(last + 1)
                && is_name(last + 2)
            {
                last += 2;
            } else {
                break;
            }
        }
        at = last + 1;
        // A capital at the start of a sentence says nothing of a lone word.
        if first == last && starts(first) && !all[first].is_marked_name() && !acts(&all, first) {
            continue;
        }
        let slot = first.checked_sub(1).and_then(|i| {
            let preposition = all[i].text.to_ascii_lowercase();
            let before = all[..i].iter().rev().find(|w| !is_stop_word(w.text))?;
            PREPOSITIONS.contains(&preposition.as_str()).then(|| (preposition, stem(before.text)))
        });
        let stems = all[first..=last]
            .iter()
            .filter(|w| !INSIDE.contains(&w.text))
            .map(|w| stem(w.text))
            .collect();
        let span = all[first].start..all[last].span().end;
        found.push(Name { stems, span, slot, at: first });
    }
    found
}

/// Whether the word after a lone capitalised first word is a verb that takes a name: `Rome fell`.
fn acts(all: &[Word<'_>], at: usize) -> bool {
    let Some(next) = all.get(at + 1) else { return false };
    let singular = !all[at].text.ends_with('s');
    let verb = ["is", "was", "has", "had", "does", "did", "beat", "defeated", "won", "lost"];
    singular && (verb.contains(&next.text) || next.text.ends_with("ed"))
}

/// Whether a text names a name, by any of its words, its initials or a kindred form (`Germany`,
/// `German`).
fn names_it(name: &Name, text: &str, stems: &[String]) -> bool {
    let initials: String = name.stems.iter().filter_map(|s| s.chars().next()).collect();
    let kin = |a: &str, b: &str| {
        let shared = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
        a == b || shared >= 4
    };
    name.stems.iter().any(|own| stems.iter().any(|s| kin(own, s)))
        || (initials.len() > 1
            && words(&text.replace('.', "")).any(|w| w.text.eq_ignore_ascii_case(&initials)))
}

fn stems(text: &str) -> Vec<String> {
    words(text).map(|w| stem(w.text)).collect()
}

pub(super) fn find(sides: &Sides<'_>) -> Option<Finding> {
    let claim = &sides.statement.text;
    let wanted = names(claim);
    if wanted.is_empty() {
        return None;
    }
    let here = stems(sides.evidence);
    let around = [sides.before, sides.label].join(" ");
    let nearby = stems(&around);
    let is_there =
        |name: &Name| names_it(name, sides.evidence, &here) || names_it(name, &around, &nearby);
    let missing: Vec<&Name> = wanted.iter().filter(|name| !is_there(name)).collect();
    let of_claim = stems(claim);
    let stated = names(sides.sentence);
    if missing.is_empty() {
        return swapped(sides, &wanted, &stated);
    }
    let others: Vec<&Name> =
        stated.iter().filter(|name| !names_it(name, claim, &of_claim)).collect();
    for name in &missing {
        // A name that starts a sentence is its subject.
        let rival = others.iter().find(|other| match (&name.slot, &other.slot) {
            (Some((a, x)), Some((b, y))) => a == b && x == y,
            (None, None) => name.at == 0 && other.at == 0,
            _ => false,
        });
        if let Some(rival) = rival {
            let why = format!(
                "the claim names {}, the evidence {}",
                quote(&claim[name.span.clone()]),
                quote(&sides.sentence[rival.span.clone()])
            );
            let same = missing.len() == 1 && rest(sides, &wanted) >= SAME_REST;
            let effect = if same { Effect::Conflicts } else { Effect::LeavesOpen };
            return Finding::new(effect, why);
        }
    }
    // Every name of the claim is missing where others are named: the text is of someone else.
    if missing.len() == wanted.len() && !others.is_empty() {
        let subject = &sides.sentence[others[0].span.clone()];
        if others[0].at == 0 {
            let name = quote(&claim[missing[0].span.clone()]);
            let why = format!("the claim names {name}, the evidence {}", quote(subject));
            return Finding::new(Effect::LeavesOpen, why);
        }
    }
    None
}

/// Share of the claim's content words, names aside, that the sentence has.
fn rest(sides: &Sides<'_>, wanted: &[Name]) -> f64 {
    let stems = stems(sides.sentence);
    let (mut all, mut there) = (0_u32, 0_u32);
    for term in terms(&sides.statement.text) {
        if wanted.iter().any(|name| name.stems.contains(&term.stem)) {
            continue;
        }
        all += 1;
        there += u32::from(stems.contains(&term.stem));
    }
    if all == 0 { 0.0 } else { f64::from(there) / f64::from(all) }
}

/// `A beat B` beside `B beat A`.
fn swapped(sides: &Sides<'_>, wanted: &[Name], stated: &[Name]) -> Option<Finding> {
    let claim = &sides.statement.text;
    let [a, b, ..] = wanted else { return None };
    let place =
        |name: &Name| stated.iter().position(|s| s.stems.iter().any(|w| name.stems.contains(w)));
    let (at_a, at_b) = (place(a)?, place(b)?);
    if at_a <= at_b || stated.len() != 2 || wanted.len() != 2 {
        return None;
    }
    let said = claim.get(a.span.end..b.span.start)?;
    let other = sides.sentence.get(stated[at_b].span.end..stated[at_a].span.start)?;
    let verbs = |text: &str| -> Vec<String> {
        words(text).filter(|w| !is_stop_word(w.text)).map(|w| stem(w.text)).collect()
    };
    let (said_verbs, other_verbs) = (verbs(said), verbs(other));
    let shared = said_verbs.iter().any(|verb| other_verbs.contains(verb));
    let symmetric = stems(said).iter().any(|s| BOTH_WAYS.contains(&s.as_str()));
    let passive = |text: &str| words(text).any(|w| w.text.eq_ignore_ascii_case("by"));
    if !shared || symmetric || passive(said) != passive(other) {
        return None;
    }
    let why = format!(
        "{} and {} have changed places in the evidence",
        quote(&claim[a.span.clone()]),
        quote(&claim[b.span.clone()])
    );
    Finding::new(Effect::Conflicts, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Effect::{Conflicts, LeavesOpen};

    #[test]
    fn names_are_compared_by_their_role() {
        super::super::check(
            find,
            &[
                ("Curie was born in Warsaw", "Curie was born in Paris.", Some(Conflicts)),
                ("Curie was born in Warsaw", "She was born in Warsaw.", None),
                (
                    "The film was directed by Nolan",
                    "The film was directed by Scott.",
                    Some(Conflicts),
                ),
                (
                    "The film was directed by Nolan",
                    "It was directed by Scott in Rome.",
                    Some(LeavesOpen),
                ),
                ("Ann Lee wrote the book", "Bob Ray wrote the book.", Some(Conflicts)),
                ("Ann Lee wrote a book on bees", "Bob Ray likes tea.", Some(LeavesOpen)),
                ("It is in the United States", "It is in the US.", None),
                ("It is made in Germany", "It is a German car.", None),
                ("Ann Lee beat Bob Ray", "Bob Ray beat Ann Lee.", Some(Conflicts)),
                ("Ann Lee beat Bob Ray", "Bob Ray was beaten by Ann Lee.", None),
                ("Ann Lee met Bob Ray", "Bob Ray met Ann Lee.", None),
                ("Ann Lee beat Bob Ray", "Ann Lee beat Bob Ray.", None),
                ("The bank is closed", "The Bank of Rome is open.", None),
                ("Researchers know it", "Scientists know it.", None),
            ],
        );
    }

    #[test]
    fn what_stands_nearby_counts_as_named() {
        let statement =
            crate::agents::claimcheck::judge::Statement::new("Ann Lee was born in Rome");
        let evidence = "Unlike Bob Ray, she was born in Rome.";
        let find = |before: Option<&str>, label: &str| {
            super::find(&Sides::new(&statement, evidence, before, label))
        };
        assert_eq!(find(Some("Ann Lee is a writer."), ""), None);
        assert_eq!(find(None, "Ann Lee"), None);
    }
}
