// SPDX-License-Identifier: AGPL-3.0-or-later
//! The prose of a brief in a language model's own words, checked against the lines it read.
//!
//! Verdicts, lists and what is missing are not the model's to tell: they stay below as they are.

use std::collections::HashSet;

use bho_engine::generation::Generated;
use serde_json::{Value, json};

use super::gather::Line;
use crate::agents::writing::{self, Attempted, prompt, sentences};
use crate::agents::{AgentContext, Fields, claimcheck};
use crate::reasoner::Generator;
use crate::text::{clip, ends_with_stop, polarity, stem, terms, words};

/// Sentences of a brief, at most.
const MOST: usize = 6;
/// Characters of a line that the model reads.
const MAX_READ: usize = 1200;
/// Lines that the model reads at most: what comes later in a long brief says less.
const MAX_LINES: usize = 64;

const SUPPORTED: &str = "supported";
/// Share of a claim's content words from which on a sentence says the claim.
const SAID: f64 = 0.75;
/// Beginnings of words that tell a verdict.
#[rustfmt::skip]
const DOUBTS: &[&str] = &[
    "refut", "uncertain", "unclear", "unsupported", "unproven", "unconfirmed", "disprov", "contradict", "false",
    "wrong", "incorrect", "doubt", "whether",
];

/// Where something is from: the field and, where a merge tells, the node.
#[derive(Clone)]
pub(super) struct From {
    pub(super) field: String,
    pub(super) node: Option<String>,
}

impl From {
    pub(super) fn of(line: &Line) -> Self {
        Self { field: line.from.clone(), node: line.node.clone() }
    }
}

/// Written prose, in place of the lines it was made of.
pub(super) struct Written {
    /// The lines it stands for.
    pub(super) made_of: Vec<From>,
    /// Where each sentence begins in the text, and the line that says most of its words.
    from: Vec<(usize, Option<From>)>,
    flagged: Vec<Value>,
    checked_by: &'static str,
    written_by: String,
    answer: Generated,
}

impl Written {
    /// Where the sentence that holds this byte of the prose is from.
    pub(super) fn from(&self, at: usize) -> Option<&From> {
        let next = self.from.partition_point(|(start, _)| *start <= at);
        self.from.get(next.checked_sub(1)?)?.1.as_ref()
    }

    /// Adds to a result what only written prose has.
    pub(super) fn tell(self, result: &mut Fields) {
        result.insert("written_by".to_owned(), self.written_by.into());
        result.insert("flagged".to_owned(), Value::Array(self.flagged));
        result.insert("checked_by".to_owned(), self.checked_by.into());
        if let Some(trace) = writing::trace(&[self.answer]) {
            result.insert("_generation".to_owned(), trace);
        }
    }
}

/// Whether a sentence has nearly all content words of a claim.
fn says(sentence: &str, claim: &str) -> bool {
    let words: HashSet<String> = words(sentence).map(|word| stem(word.text)).collect();
    let wanted: HashSet<String> = terms(claim).into_iter().map(|term| term.stem).collect();
    let there = wanted.intersection(&words).count();
    there > 0 && there as f64 >= SAID * wanted.len() as f64
}

/// Whether a sentence denies or doubts something.
fn doubts(sentence: &str) -> bool {
    words(sentence).any(|word| {
        let lower = word.text.to_lowercase();
        polarity::is_negation(&lower) || DOUBTS.iter().any(|begin| lower.starts_with(begin))
    })
}

/// Puts written prose in place of the prose among `lines`, or says why there is none.
pub(super) fn write(
    lines: &mut Vec<Line>,
    has_lead: bool,
    generator: &dyn Generator,
    ctx: &AgentContext<'_>,
    notes: &mut Vec<String>,
) -> Attempted<Written> {
    let told =
        |at: usize, line: &Line| line.prose || (at == 0 && has_lead && line.verdict.is_none());
    if !lines.iter().enumerate().any(|(at, line)| told(at, line)) {
        return Ok(Err("there is no prose to write from".to_owned()));
    }
    let shown: Vec<&str> =
        lines.iter().take(MAX_LINES).map(|line| clip(&line.text, MAX_READ).0).collect();
    let make = |parts: usize| {
        let pieces = prompt::numbered(shown[..parts].iter().copied());
        let count = sentences::count(MOST);
        let filled = prompt::SYNTHESIS.fill(&[("pieces", &pieces), ("most", &count)]);
        (filled, sentences::schema(MOST, sentences::MAX_CHARS))
    };
    let room = sentences::tokens(MOST, sentences::MAX_CHARS);
    let question = match writing::fit(generator, shown.len(), room, make)? {
        Ok(question) => question,
        Err(why) => return Ok(Err(why)),
    };
    let read = question.parts;
    let (data, answer) = match writing::ask(generator, question, ctx)? {
        Ok(answer) => answer,
        Err(why) => return Ok(Err(why)),
    };
    let mut sentences = sentences::read(&data, MOST, sentences::MAX_CHARS);
    for sentence in sentences.iter_mut().filter(|sentence| !ends_with_stop(sentence)) {
        sentence.push('.');
    }
    if sentences.is_empty() {
        return Ok(Err("its answer has no sentence".to_owned()));
    }
    // A claim that was not borne out stands in its line too, and bears nothing out.
    let unproven = |at: &usize| lines[*at].told().is_some_and(|(verdict, _)| verdict != SUPPORTED);
    let (open, said): (Vec<usize>, Vec<usize>) = (0..read).partition(unproven);
    let text_of = |places: &[usize]| places.iter().map(|&at| shown[at]).collect::<Vec<_>>();
    let checked = claimcheck::copied(&sentences, &text_of(&said), &text_of(&open), ctx)?;
    let (mut text, mut from, mut flagged) = (String::new(), Vec::new(), Vec::new());
    for (place, (sentence, closest)) in sentences.iter().zip(&checked.closest).enumerate() {
        let mut line = closest.as_ref().map(|(source, _)| said[*source]);
        let flag = checked.flagged.iter().find(|flag| flag.at == place);
        let mut why = flag.map(|flag| flag.why.clone());
        let mut told = open.iter().filter_map(|&at| Some((at, lines[at].told()?)));
        let claimed = told.find(|(_, (_, claim))| says(sentence, claim));
        if let Some((at, (verdict, claim))) = claimed {
            line = Some(at);
            if !doubts(sentence) {
                let claim = clip(claim, 80).0;
                why = Some(format!("says as true what a claim check calls {verdict}: \"{claim}\""));
            } else if flag.is_some_and(|flag| !flag.unknown) {
                // It tells the verdict; the other lines do not.
                why = None;
            }
        }
        text.push_str(if text.is_empty() { "" } else { " " });
        from.push((text.len(), line.map(|line| From::of(&lines[line]))));
        text.push_str(sentence);
        flagged.extend(why.map(|why| json!({"sentence": sentence, "why": why})));
    }
    if read < lines.len() {
        notes.push(format!(
            "the language model read {read} of {} lines; the others follow as they are",
            lines.len()
        ));
    }
    let mut made_of = Vec::new();
    let mut at = 0;
    lines.retain(|line| {
        at += 1;
        let replaced = at <= read && told(at - 1, line);
        if replaced {
            made_of.push(From::of(line));
        }
        !replaced
    });
    lines.insert(0, Line::written(text));
    Ok(Ok(Written {
        made_of,
        from,
        flagged,
        checked_by: checked.by,
        written_by: generator.info().name.clone(),
        answer,
    }))
}
