// SPDX-License-Identifier: AGPL-3.0-or-later
//! The statements that a compound claim makes, each as a sentence of its own.
//!
//! `A was born in Ulm and died in 1955` says two things, which different sentences may bear out.
//! Cut too often, a claim changes its meaning (`he wrote and directed it`, `if it rains and...`), so
//! only what is plainly two clauses is cut: at semicolons and sentence ends, at `and` or `but`
//! between two finite verbs, and at relative clauses between commas.

use std::ops::Range;

use crate::text::{Word, is_stop_word, sentences, words};

/// A part of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// As a sentence of its own: the subject of the first clause is said again.
    pub(super) text: String,
    /// The bytes of the claim that say it.
    pub(super) span: Range<usize>,
}

/// Parts of a claim at most; a longer list of clauses is no single claim and is left whole.
const MAX_PARTS: usize = 6;
/// Words of a subject that is said again, at most.
const MAX_SUBJECT: usize = 10;
/// Words from the start of a clause to its verb, at most.
const TO_VERB: usize = 7;

/// Finite verbs that are told without grammar: auxiliaries, and common verbs in the past or in the
/// third person whose forms are no nouns.
#[rustfmt::skip]
const FINITE: &[&str] = &[
    "is", "was", "are", "were", "has", "had", "have", "can", "could", "will", "would", "does", "did",
    "may", "might", "must", "should", "shall", "cannot", "isn't", "wasn't", "aren't", "weren't",
    "doesn't", "didn't", "hasn't", "hadn't", "can't", "won't", "couldn't", "wouldn't",
    "became", "began", "went", "came", "took", "gave", "wrote", "won", "lost", "left", "led", "made",
    "met", "ran", "rose", "saw", "sold", "spoke", "spent", "stood", "told", "thought", "sang", "grew",
    "flew", "fell", "fought", "found", "got", "held", "kept", "knew", "drew", "drove", "broke",
    "brought", "built", "bought", "chose", "died", "beat", "sank", "taught", "wore", "withdrew",
    "becomes", "contains", "includes", "consists", "belongs", "receives", "requires", "provides",
    "allows", "gives", "takes", "goes", "comes", "makes", "gets", "uses", "keeps", "begins", "wins",
    "lives", "eats", "writes", "reads", "produces", "supports", "stores", "weighs",
];
/// Forms that are the past and never (or hardly ever) a participle after `was`.
#[rustfmt::skip]
const ACTIVE: &[&str] = &[
    "died", "became", "began", "went", "came", "took", "gave", "wrote", "won", "rose", "saw", "spoke",
    "sang", "grew", "flew", "fell", "knew", "drew", "drove", "broke", "chose", "sank", "wore", "lived",
    "moved", "retired", "returned", "arrived", "graduated", "served", "worked", "appeared", "joined",
    "received", "earned", "attended", "studied", "remained", "continued", "started", "ended",
];
/// Participles that go on with the auxiliary before them: `was born in A and raised in B`.
#[rustfmt::skip]
const PASSIVE: &[&str] = &[
    "raised", "educated", "buried", "based", "located", "situated", "released", "published", "killed",
    "awarded", "inspired", "known",
];
const BE: &[&str] = &["is", "was", "are", "were", "been", "be"];
/// Words in whose reach a cut would change what is said.
#[rustfmt::skip]
const BLOCKERS: &[&str] = &[
    "if", "whether", "unless", "or", "either", "neither", "nor", "because", "when", "while", "between",
    "both", "that", "although", "though", "since", "until", "than", "only", "how", "why", "what",
    "where", "who", "which", "whom",
];
/// Subjects that do not distribute: `nobody came and stayed` says neither part.
#[rustfmt::skip]
const SHARED_NOT: &[&str] = &[
    "no", "none", "nobody", "nothing", "few", "some", "any", "neither", "either", "each", "one", "never",
    "many", "most", "several", "half",
];
/// Words that begin a clause with a subject of its own.
#[rustfmt::skip]
const STARTERS: &[&str] = &[
    "the", "a", "an", "its", "his", "her", "their", "this", "these", "it", "he", "she", "they", "all",
    "there",
];
const PRONOUNS: &[&str] = &["it", "he", "she", "they"];
/// What may stand between `and` and the verb.
const ADVERBS: &[&str] = &["also", "then", "later", "still", "now", "not", "never", "even", "once"];

fn one_of(word: &str, list: &[&str]) -> bool {
    word.len() <= 12 && list.iter().any(|w| word.eq_ignore_ascii_case(w))
}

/// The parts of a claim in its order; none for a claim that says one thing.
pub(super) fn decompose(claim: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for sentence in sentences(claim) {
        let mut start = sentence.start;
        for piece in claim[sentence].split(';') {
            clause(claim, start..start + piece.len(), &mut parts);
            start += piece.len() + 1;
        }
    }
    parts.retain(|part| words(&part.text).nth(1).is_some());
    if (2..=MAX_PARTS).contains(&parts.len()) { parts } else { Vec::new() }
}

/// A clause with a relative clause between commas taken out, then cut at its conjunctions.
fn clause(claim: &str, range: Range<usize>, parts: &mut Vec<Part>) {
    let all = words_of(claim, &range);
    let relative = all.iter().enumerate().position(|(i, w)| {
        i > 0
            && one_of(w.text, &["who", "which"])
            && claim[all[i - 1].span().end..w.start].trim() == ","
            && all.get(i + 1).is_some_and(|_| is_finite(&all, i + 1))
    });
    let Some(at) = relative else { return conjunctions(claim, range, None, parts) };
    let head = all[0].start..all[at - 1].span().end;
    let head_verb = (1..at).find(|&i| is_finite(&all, i));
    // The comma after which the main clause goes on with its verb.
    let resumes = (at + 2..all.len())
        .find(|&i| claim[all[i - 1].span().end..all[i].start].trim() == "," && is_finite(&all, i));
    match (head_verb, resumes) {
        (None, Some(rest)) if at <= MAX_SUBJECT && !undivided(&all[..at]) => {
            let subject = &claim[head];
            let main = all[rest].start..range.end;
            conjunctions(claim, main, Some(subject), parts);
            let aside = all[at + 1].start..all[rest - 1].span().end;
            conjunctions(claim, aside, Some(subject), parts);
        }
        (Some(verb), None) if !all[..at].iter().any(|w| one_of(w.text, BLOCKERS)) => {
            // What it is about ends the main clause; only a name is told without grammar.
            let first = (verb + 1..at).rev().take_while(|&i| all[i].is_capitalised()).last();
            let Some(first) = first else { return conjunctions(claim, range, None, parts) };
            let the = first > 0 && all[first - 1].text.eq_ignore_ascii_case("the");
            let name = all[first - usize::from(the)].start..head.end;
            conjunctions(claim, head, None, parts);
            conjunctions(claim, all[at + 1].start..range.end, Some(&claim[name]), parts);
        }
        _ => conjunctions(claim, range, None, parts),
    }
}

/// A clause cut at each `and` or `but` that parts two finite verbs. `subject` is said before it.
fn conjunctions(claim: &str, range: Range<usize>, subject: Option<&str>, parts: &mut Vec<Part>) {
    let all = words_of(claim, &range);
    let whole = |parts: &mut Vec<Part>| push(claim, range.clone(), subject, parts);
    let first = usize::from(subject.is_none());
    let Some(verb) = (first..all.len()).find(|&i| is_finite(&all, i)) else { return whole(parts) };
    let Some(cut) = (verb + 2..all.len())
        .find(|&i| one_of(all[i].text, &["and", "but"]) && continues(&all, i + 1).is_some())
    else {
        return whole(parts);
    };
    let own_subject = &all[..verb];
    if all[..cut].iter().any(|w| one_of(w.text, BLOCKERS))
        || undivided(own_subject)
        || own_subject.len() > MAX_SUBJECT
        || all[..cut].iter().any(|w| one_of(w.text, &["said", "says", "claimed", "believed"]))
    {
        return whole(parts);
    }
    let Some(next) = continues(&all, cut + 1) else { return whole(parts) };
    let said = match (subject, own_subject.last()) {
        (None, Some(last)) => claim[all[0].start..last.span().end].to_owned(),
        (Some(subject), _) => subject.to_owned(),
        (None, None) => return whole(parts),
    };
    let left = range.start..all[cut - 1].span().end;
    let (subject_of_right, right) = match next {
        Continues::Own => (None, all[cut + 1].start..range.end),
        Continues::Pronoun => match all.get(cut + 2) {
            Some(word) => (Some(said), word.start..range.end),
            None => return whole(parts),
        },
        Continues::Shared => {
            let Some(carried) = auxiliary(&all, verb, cut) else { return whole(parts) };
            let said = if carried.is_empty() { said } else { format!("{said} {carried}") };
            (Some(said), all[cut + 1].start..range.end)
        }
    };
    push(claim, left, subject, parts);
    conjunctions(claim, right, subject_of_right.as_deref(), parts);
}

enum Continues {
    /// A verb follows: the subject is the same.
    Shared,
    /// A pronoun and a verb follow.
    Pronoun,
    /// Another subject and a verb follow.
    Own,
}

/// What the words from `at` on are to a clause before them; `None` if they are no clause.
fn continues(all: &[Word<'_>], at: usize) -> Option<Continues> {
    let word = all.get(at)?;
    let skip = usize::from(one_of(word.text, ADVERBS));
    // `and painted walls` has no verb, `and painted the walls` has.
    let verb = |at: usize| {
        let known = |w: &Word<'_>| one_of(w.text, FINITE) || one_of(w.text, ACTIVE);
        let governs = all.get(at + 1).is_some_and(|w| is_stop_word(w.text) || w.is_capitalised());
        is_finite(all, at) && (all.get(at).is_some_and(known) || governs)
    };
    if verb(at + skip) {
        // A verb alone, as in `sang and danced`, is left with the other.
        return (all.len() > at + skip + 1).then_some(Continues::Shared);
    }
    let begins = one_of(word.text, STARTERS) || word.is_capitalised();
    let verb = (at + 1..all.len().min(at + TO_VERB)).find(|&i| is_finite(all, i))?;
    let stops = |w: &Word<'_>| one_of(w.text, &["and", "or", "but", "who", "which", "that"]);
    if !begins || all[at..verb].iter().any(stops) || all.len() <= verb + 1 {
        return None;
    }
    let pronoun = verb == at + 1 && one_of(word.text, PRONOUNS);
    Some(if pronoun { Continues::Pronoun } else { Continues::Own })
}

/// The auxiliary that the verb after the conjunction needs said again; `None` where only grammar
/// could tell whether it does.
fn auxiliary<'a>(all: &[Word<'a>], verb: usize, cut: usize) -> Option<&'a str> {
    let next = &all[cut + 1];
    let after_be = one_of(all[verb].text, BE);
    let participle = next.text.ends_with("ed") && !one_of(next.text, FINITE);
    if one_of(next.text, ADVERBS) || one_of(next.text, ACTIVE) || !after_be {
        return Some("");
    }
    let by = all.get(cut + 2).is_some_and(|w| w.text.eq_ignore_ascii_case("by"));
    if by || one_of(next.text, PASSIVE) {
        return Some(all[verb].text);
    }
    (!participle).then_some("")
}

/// Whether what is said of this subject is not said of each part by itself.
fn undivided(subject: &[Word<'_>]) -> bool {
    subject.first().is_some_and(|w| one_of(w.text, SHARED_NOT))
        || subject.iter().any(|w| one_of(w.text, BLOCKERS))
}

/// Whether word `i` is a finite verb, as far as its form and the word before it tell.
fn is_finite(all: &[Word<'_>], i: usize) -> bool {
    let Some(word) = all.get(i) else { return false };
    if one_of(word.text, FINITE) {
        return true;
    }
    #[rustfmt::skip]
    const NOT_BEFORE: &[&str] = &[
        "the", "a", "an", "of", "his", "her", "its", "their", "in", "by", "with", "for", "be", "been",
        "being", "to", "and", "or", "most", "more", "very", "this",
    ];
    let before = i.checked_sub(1).and_then(|at| all.get(at));
    word.text.len() >= 5
        && word.text.ends_with("ed")
        && !word.is_capitalised()
        // After a conjunction the caller has looked at what stands before it.
        && before.is_none_or(|b| {
            one_of(b.text, &["and", "but"]) || !one_of(b.text, NOT_BEFORE) && !one_of(b.text, BE)
        })
}

fn words_of<'a>(claim: &'a str, range: &Range<usize>) -> Vec<Word<'a>> {
    words(&claim[range.clone()])
        .map(|w| Word { text: w.text, start: w.start + range.start })
        .collect()
}

fn push(claim: &str, range: Range<usize>, subject: Option<&str>, parts: &mut Vec<Part>) {
    let text = claim[range.clone()].trim_matches(|c: char| c.is_whitespace() || ",.;:".contains(c));
    if text.is_empty() {
        return;
    }
    let start = range.start + claim[range].find(text).unwrap_or_default();
    let span = start..start + text.len();
    let text = subject.map_or(text.to_owned(), |subject| format!("{subject} {text}"));
    parts.push(Part { text, span });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(claim: &str) -> Vec<String> {
        let parts = decompose(claim);
        for part in &parts {
            assert!(part.text.ends_with(&claim[part.span.clone()]), "{part:?}");
        }
        parts.into_iter().map(|p| p.text).collect()
    }

    #[test]
    fn compound_claims_are_cut_into_statements() {
        for (claim, parts) in [
            (
                "Einstein was born in Ulm and died in 1955.",
                &["Einstein was born in Ulm", "Einstein died in 1955"][..],
            ),
            (
                "The bridge is 5 km long; it was opened in 1937.",
                &["The bridge is 5 km long", "it was opened in 1937"],
            ),
            (
                "BitNet uses ternary weights, but the activations are int8.",
                &["BitNet uses ternary weights", "the activations are int8"],
            ),
            (
                "Marie Curie, who was born in Warsaw, won two Nobel Prizes.",
                &["Marie Curie won two Nobel Prizes", "Marie Curie was born in Warsaw"],
            ),
            (
                "The tower is in Paris, which is the capital of France.",
                &["The tower is in Paris", "Paris is the capital of France"],
            ),
            (
                "She was born in Rome and raised in Milan.",
                &["She was born in Rome", "She was raised in Milan"],
            ),
            (
                "The film was made in 1999 and it won an award and was sold to Japan.",
                &[
                    "The film was made in 1999",
                    "The film won an award",
                    "The film was sold to Japan",
                ],
            ),
            ("Rust is fast. Python is popular.", &["Rust is fast", "Python is popular"]),
        ] {
            assert_eq!(texts(claim), parts, "{claim}");
        }
    }

    #[test]
    fn what_is_one_statement_stays_one() {
        for claim in [
            "He wrote and directed the film.",
            "Salt and pepper are common spices.",
            "If it rains and the roof is open, the floor gets wet.",
            "Nobody came to the house and stayed for dinner.",
            "He said that Rome is old and Paris is older.",
            "The war took place between 1939 and 1945.",
            "It has a red roof and painted walls.",
            "He was not only kind and was loved by all.",
            "The dog who was lost and found again is old.",
            "BitNet uses 1.58-bit weights",
            "",
            "and",
            ";;;",
        ] {
            assert_eq!(texts(claim), [""; 0], "{claim}");
        }
    }

    #[test]
    fn hostile_claims_are_cut_into_few_parts_or_none() {
        for odd in [
            "and was ".repeat(300),
            "a is b; ".repeat(300),
            "X, who was y, ".repeat(100),
            "😀, who is 😀, is 😀 and is 😀".into(),
            "\0;\0 and is \0".into(),
        ] {
            let parts = decompose(&odd);
            assert!(parts.len() <= MAX_PARTS);
            for part in parts {
                assert!(odd.get(part.span).is_some());
            }
        }
    }
}
