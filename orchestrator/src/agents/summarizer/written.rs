// SPDX-License-Identifier: AGPL-3.0-or-later
//! A summary in a language model's own words, checked against what it read.

use std::ops::Range;

use serde_json::{Value, json};

use super::draft::Reading;
use super::layout::Layout;
use super::{AgentContext, Fields, input};
use crate::agents::claimcheck::{self, Flag};
use crate::agents::writing::{self, Attempted, prompt, sentences};
use crate::reasoner::Generator;
use crate::text::{clip, ends_with_stop};

/// Longest text that is given to the model whole, in bytes; of a longer one it gets sentences.
const MAX_WHOLE: usize = 12 * 1024;
/// Characters of a sentence that the model reads.
const MAX_READ: usize = 1200;
/// Fewest characters to write a sentence in.
const MIN_CHARS: usize = 40;

/// What a summary is written from.
pub(super) struct Material<'a> {
    pub(super) text: &'a str,
    pub(super) reading: &'a Reading,
    /// Worth of each draft.
    pub(super) logits: &'a [f64],
    pub(super) title: Option<&'a str>,
    /// Whether `reading` lacks sentences of the text.
    pub(super) thinned: bool,
}

/// A written summary.
pub(super) struct Written {
    pub(super) text: String,
    pub(super) entries: Vec<Value>,
    flagged: Vec<Value>,
    checked_by: &'static str,
    written_by: String,
    trace: Option<Value>,
    pub(super) note: Option<String>,
}

impl Written {
    /// Adds to a result what only a written summary has.
    pub(super) fn tell(self, result: &mut Fields) {
        result.insert("written_by".to_owned(), self.written_by.into());
        result.insert("flagged".to_owned(), Value::Array(self.flagged));
        result.insert("checked_by".to_owned(), self.checked_by.into());
        if let Some(trace) = self.trace {
            result.insert("_generation".to_owned(), trace);
        }
    }
}

impl Material<'_> {
    /// The parts of the text that the model reads if `parts` of them fit: with one more than there
    /// are drafts, all of it.
    fn passages(&self, parts: usize) -> Vec<Range<usize>> {
        let drafts = &self.reading.drafts;
        if parts > drafts.len() {
            let whole = 0..self.text.len();
            return vec![whole];
        }
        let mut ranked: Vec<usize> = (0..drafts.len()).collect();
        // Stable: of equals the earlier.
        ranked.sort_by(|&a, &b| self.logits[b].total_cmp(&self.logits[a]));
        ranked.truncate(parts);
        ranked.sort_unstable();
        let span = |at: usize| {
            let span = drafts[at].span.clone();
            span.start..span.start + clip(&self.text[span], MAX_READ).0.len()
        };
        ranked.into_iter().map(span).collect()
    }

    /// What the model is shown of these passages, and what else they tell it: who speaks.
    fn shown(&self, passages: &[Range<usize>]) -> String {
        let speaker = |span: &Range<usize>| {
            let draft = self.reading.drafts.iter().find(|draft| draft.span.start == span.start)?;
            draft.speaker.map(|speaker| speaker.name(self.text))
        };
        let whole = passages.first().is_some_and(|span| span.len() == self.text.len());
        let lines: Vec<String> = passages
            .iter()
            .map(|span| match speaker(span).filter(|_| !whole) {
                Some(name) => format!("{name}: {}", &self.text[span.clone()]),
                None => self.text[span.clone()].to_owned(),
            })
            .collect();
        prompt::quoted(&lines.join("\n"))
    }
}

/// Writes a summary and checks it, or says why there is none.
pub(super) fn write(
    material: &Material<'_>,
    layout: &Layout,
    generator: &dyn Generator,
    ctx: &AgentContext<'_>,
) -> Attempted<Written> {
    let drafts = &material.reading.drafts;
    let mark = if layout.bullets { 2 } else { 0 };
    let chars = sentences::MAX_CHARS.min(layout.max_chars.saturating_sub(mark + 1));
    if chars < MIN_CHARS {
        return Ok(Err(format!("max_chars leaves less than {MIN_CHARS} characters")));
    }
    let most = layout.max_sentences.min(sentences::MAX_SENTENCES);
    let whole = !material.thinned && material.text.len() <= MAX_WHOLE;
    let make = |parts: usize| {
        let shown = material.shown(&material.passages(parts));
        let count = sentences::count(most);
        let filled = prompt::SUMMARIZER.fill(&[("text", &shown), ("most", &count)]);
        (filled, sentences::schema(most, chars))
    };
    let parts = drafts.len() + usize::from(whole);
    let question = match writing::fit(generator, parts, sentences::tokens(most, chars), make)? {
        Ok(question) => question,
        Err(why) => return Ok(Err(why)),
    };
    let parts = question.parts;
    let (data, generated) = match writing::ask(generator, question, ctx)? {
        Ok(answer) => answer,
        Err(why) => return Ok(Err(why)),
    };
    let mut told = sentences::read(&data, most, chars);
    if !layout.bullets {
        for sentence in told.iter_mut().filter(|sentence| !ends_with_stop(sentence)) {
            sentence.push('.');
        }
    }
    fit_chars(&mut told, layout, mark);
    if told.is_empty() {
        return Ok(Err("its answer has no sentence".to_owned()));
    }

    let passages = material.passages(parts);
    let sources: Vec<&str> = passages.iter().map(|span| &material.text[span.clone()]).collect();
    let speakers = drafts.iter().filter_map(|d| d.speaker.map(|s| s.name(material.text)));
    let also: Vec<&str> = speakers.chain(material.title).collect();
    let checked = claimcheck::copied(&told, &sources, &also, ctx)?;
    let entries = told.iter().zip(&checked.closest).map(|(sentence, closest)| {
        let mut entry = json!({"text": sentence});
        if let (Some(map), Some((source, span))) = (entry.as_object_mut(), closest) {
            let start = passages[*source].start;
            map.insert("span".to_owned(), input::span(&(start + span.start..start + span.end)));
        }
        entry
    });
    let entries = entries.collect();
    let flag = |flag: &Flag| json!({"sentence": told[flag.at], "why": flag.why});
    let flagged = checked.flagged.iter().map(flag).collect();
    let note = (parts < drafts.len()).then(|| {
        format!(
            "the language model read {parts} of {} sentences, those that say most: its context has \
             no room for all",
            drafts.len()
        )
    });
    let line = |sentence: &String| match layout.bullets {
        true => format!("- {sentence}"),
        false => sentence.clone(),
    };
    let lines: Vec<String> = told.iter().map(line).collect();
    Ok(Ok(Written {
        text: lines.join(if layout.bullets { "\n" } else { " " }),
        entries,
        flagged,
        checked_by: checked.by,
        written_by: generator.info().name.clone(),
        trace: writing::trace(&[generated]),
        note,
    }))
}

/// Leaves out the sentences from the first on that `max_chars` has no room for.
fn fit_chars(told: &mut Vec<String>, layout: &Layout, mark: usize) {
    let mut used = 0;
    let fits = told.iter().take_while(|sentence| {
        used += mark + sentence.chars().count();
        let fits = used <= layout.max_chars;
        // What parts it from the next.
        used += 1;
        fits
    });
    let fits = fits.count();
    told.truncate(fits);
}
