// SPDX-License-Identifier: AGPL-3.0-or-later
//! What a brief says already: lines, and sentences of prose, that are left out.

use std::collections::HashSet;

use bho_engine::{Embedding, EngineError};

use super::gather::Line;
use crate::agents::{AgentContext, AgentError, claimcheck};
use crate::text::{polarity, quantities, sentences, stem, words};

/// Lines, and sentences, that are compared by embedding at most, and the longest of them in bytes.
const MAX_COMPARED: usize = 64;
const MAX_COMPARED_BYTES: usize = 1024;
/// From this cosine on two lines say the same, unless their facts or verdicts differ.
const SAME: f32 = 0.95;

/// Folded words of a line, to compare by.
fn folded(text: &str) -> String {
    let mut out = String::new();
    for word in words(text) {
        out.push_str(&stem(word.text));
        out.push(' ');
    }
    out
}

/// Drops lines that an earlier line already says.
pub(super) fn drop(
    lines: &mut Vec<Line>,
    ctx: &AgentContext<'_>,
    notes: &mut Vec<String>,
) -> Result<(), AgentError> {
    let before = lines.len();
    let mut seen: HashSet<String> = HashSet::new();
    // Equal lines, and those whose every sentence is one of the lead's: a part of a sentence may be what it denies.
    let lead = lines.first().map(|l| l.text.clone()).unwrap_or_default();
    let lead: HashSet<String> = sentences(&lead).map(|span| folded(&lead[span])).collect();
    let mut index = 0;
    let mut stopped = false;
    lines.retain(|line| {
        stopped |= ctx.cancel.is_cancelled();
        if stopped {
            return true;
        }
        let key = folded(&line.text);
        index += 1;
        let told = |span: std::ops::Range<usize>| lead.contains(&folded(&line.text[span]));
        let in_lead = index > 1 && !key.is_empty() && sentences(&line.text).all(told);
        key.is_empty() || (!in_lead && seen.insert(key))
    });
    ctx.cancel.check()?;

    let compared: Vec<usize> = (0..lines.len())
        .filter(|&i| lines[i].text.len() <= MAX_COMPARED_BYTES)
        .take(MAX_COMPARED)
        .collect();
    if compared.len() > 1 {
        let texts: Vec<&str> = compared.iter().map(|&i| lines[i].text.as_str()).collect();
        match ctx.reasoner.embed(&texts, ctx.cancel) {
            Ok(embeddings) => {
                let same = |a: &str, b: &str| first_word(a) == first_word(b) && same_facts(a, b);
                let repeats = repeats(&texts, &embeddings, same, ctx)?;
                let repeats: HashSet<usize> = repeats.into_iter().map(|at| compared[at]).collect();
                let mut at = 0;
                lines.retain(|_| {
                    at += 1;
                    !repeats.contains(&(at - 1))
                });
            }
            Err(EngineError::Cancelled) => return Err(AgentError::cancelled()),
            // The brief does not need the model: words have been compared already.
            Err(_) => {
                notes.push("lines were compared by their words only: the model failed".to_owned());
            }
        }
    }
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    if lines.len() < before {
        let dropped = before - lines.len();
        notes.push(format!("{dropped} repeated line{} left out", plural(dropped)));
    }
    let dropped = drop_sentences(lines, ctx)?;
    if dropped > 0 {
        notes.push(format!("{dropped} repeated sentence{} left out", plural(dropped)));
    }
    Ok(())
}

/// Drops sentences of prose that an earlier line says; gives how many. Verdicts and lists stay
/// whole, and so does the line that says it first.
fn drop_sentences(lines: &mut Vec<Line>, ctx: &AgentContext<'_>) -> Result<usize, AgentError> {
    let mut told: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
    for (i, line) in lines.iter().enumerate().filter(|(_, line)| line.prose) {
        ctx.cancel.check()?;
        told.extend(sentences(&line.text).take(MAX_COMPARED).map(|span| (i, span)));
        if told.len() >= MAX_COMPARED {
            break;
        }
    }
    told.truncate(MAX_COMPARED);
    told.retain(|(_, span)| span.len() <= MAX_COMPARED_BYTES);
    if told.iter().all(|(i, _)| *i == told[0].0) {
        return Ok(0);
    }
    let texts: Vec<&str> = told.iter().map(|(i, span)| &lines[*i].text[span.clone()]).collect();
    let embeddings = match ctx.reasoner.embed(&texts, ctx.cancel) {
        Ok(embeddings) => embeddings,
        Err(EngineError::Cancelled) => return Err(AgentError::cancelled()),
        // That the model failed is noted where lines are compared.
        Err(_) => return Ok(0),
    };
    let repeats = repeats(&texts, &embeddings, same_facts, ctx)?;
    // Within a line an author may repeat himself.
    let first_of = |at: usize| {
        told[..at].iter().zip(&embeddings).any(|((line, _), earlier)| {
            *line != told[at].0 && earlier.cosine(&embeddings[at]) > SAME
        })
    };
    let dropped: Vec<usize> = repeats.into_iter().filter(|&at| first_of(at)).collect();
    let kept: Vec<(usize, String)> = (0..lines.len())
        .filter(|i| dropped.iter().any(|&at| told[at].0 == *i))
        .map(|i| {
            let text = &lines[i].text;
            let rest = sentences(text)
                .filter(|span| !dropped.iter().any(|&at| told[at].0 == i && told[at].1 == *span));
            let rest: Vec<&str> = rest.map(|span| text[span].trim()).collect();
            (i, rest.join(" "))
        })
        .collect();
    for (i, text) in kept {
        lines[i].text = text;
    }
    lines.retain(|line| !line.text.is_empty());
    Ok(dropped.len())
}

/// Places of the texts that repeat an earlier one, in order.
fn repeats(
    texts: &[&str],
    embeddings: &[Embedding],
    same: impl Fn(&str, &str) -> bool,
    ctx: &AgentContext<'_>,
) -> Result<Vec<usize>, AgentError> {
    let mut repeats: Vec<usize> = Vec::new();
    for (b, later) in embeddings.iter().enumerate().take(texts.len()) {
        ctx.cancel.check()?;
        let repeat = embeddings[..b].iter().enumerate().any(|(a, earlier)| {
            !repeats.contains(&a) && earlier.cosine(later) > SAME && same(texts[a], texts[b])
        });
        if repeat {
            repeats.push(b);
        }
    }
    Ok(repeats)
}

/// The first word of a line: the verdict of a claim check.
fn first_word(text: &str) -> Option<String> {
    words(text).next().map(|w| stem(w.text))
}

/// Whether two close texts agree in what an embedding blurs: numbers, negations, and all else that
/// the guards of claim checks tell apart.
fn same_facts(a: &str, b: &str) -> bool {
    let numbers = |t: &str| quantities(t).iter().map(|q| q.value.to_bits()).collect::<Vec<_>>();
    let negations = |t: &str| words(t).filter(|w| polarity::is_negation(w.text)).count();
    negations(a) == negations(b) && numbers(a) == numbers(b) && !claimcheck::differ(a, b)
}
