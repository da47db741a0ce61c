// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bitnet.summarizer`: the sentences of a text that say most of it, in their order.
//!
//! Sentences are embedded, and a linear model says from that, from their words, form and place
//! how much of the text each says (`salience`). They are taken by maximal marginal relevance,
//! so that none repeats another (`select`). Key phrases come from word statistics and, where
//! embeddings tell them apart, from how close they are to the text.

use std::ops::Range;

use bho_engine::Embedding;
use serde_json::{Value, json};

use super::writing::{self, Way};
use super::{Agent, AgentContext, AgentError, AgentSpec, Fields, ParamKind, ParamSpec, input};
use crate::text::phrases::{Phrase, candidates};

mod cues;
mod draft;
mod layout;
mod salience;
mod select;
mod weights;
mod written;

use draft::Reading;
use layout::Layout;
use salience::{Cosines, Salience};
use written::Material;

/// The agent `bitnet.summarizer`.
///
/// Where there is a language model and `method` does not forbid it, that writes the summary from the
/// text, or from the sentences that say most of a long one; else the summary is made of sentences
/// of the text, as follows.
///
/// Headings, code and tables are left out, a sentence out of a turn of a dialogue is led by its
/// speaker, and one that points back (`They do not ...`) is taken rather with the sentence before
/// it. What it gets right and wrong: `docs/agents/summarizer.md`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summarizer;

const MAX_SENTENCES: usize = 100;
const DEFAULT_SENTENCES: usize = 3;
const MAX_CHARS: usize = 1_000_000;
const STYLES: &[&str] = &["extract", "bullets"];

/// Bytes at the start of a text that key phrases are taken from.
const PHRASE_BYTES: usize = 256 * 1024;
const MAX_PHRASES: usize = 32;
const DEFAULT_PHRASES: usize = 8;
/// Candidates that are embedded for each phrase wanted.
const CANDIDATES: usize = 3;
/// Longest title that is read, in bytes.
const MAX_TITLE_BYTES: usize = 600;

static SPEC: AgentSpec = AgentSpec {
    name: "bitnet.summarizer",
    summary: "extracts the sentences that say most, and key phrases",
    params: &[
        ParamSpec {
            name: "text",
            kind: ParamKind::Text,
            required: true,
            help: "what to summarise",
        },
        ParamSpec {
            name: "max_sentences",
            kind: ParamKind::Int { min: 1, max: MAX_SENTENCES as i64 },
            required: false,
            help: "most sentences to keep (3)",
        },
        ParamSpec {
            name: "max_chars",
            kind: ParamKind::Int { min: 1, max: MAX_CHARS as i64 },
            required: false,
            help: "most characters of the summary",
        },
        ParamSpec {
            name: "style",
            kind: ParamKind::Choice(STYLES),
            required: false,
            help: "extract: running text; bullets: one line a sentence",
        },
        ParamSpec {
            name: "key_phrases",
            kind: ParamKind::Int { min: 0, max: MAX_PHRASES as i64 },
            required: false,
            help: "most key phrases (8)",
        },
        ParamSpec {
            name: "title",
            kind: ParamKind::Text,
            required: false,
            help: "title of the text; a heading at its start is taken for one",
        },
        writing::METHOD,
    ],
    outputs: &[
        "text",
        "sentences",
        "key_phrases",
        "coverage",
        "written_by",
        "flagged",
        "checked_by",
        "note",
    ],
    not_yet: None,
};

impl Agent for Summarizer {
    fn spec(&self) -> &'static AgentSpec {
        &SPEC
    }

    fn own_words(&self) -> &'static [&'static str] {
        &["written_by", "checked_by", "note"]
    }

    fn run(&self, input: &Fields, ctx: &AgentContext<'_>) -> Result<Fields, AgentError> {
        ctx.cancel.check()?;
        let text = input::required_text(input, "text", &SPEC)?;
        let most = input::integer(input, "max_sentences", 1, MAX_SENTENCES)?;
        let max_chars = input::integer(input, "max_chars", 1, MAX_CHARS)?;
        let bullets = input::choice(input, "style", STYLES)? == Some("bullets");
        let layout = Layout {
            max_sentences: most.unwrap_or(DEFAULT_SENTENCES),
            max_chars: max_chars.unwrap_or(usize::MAX),
            bullets,
        };
        let max_phrases = wanted_phrases(input)?;
        let way = writing::way(input, ctx, &SPEC)?;
        let title = input::trimmed(input, "title");

        let mut notes = Vec::new();
        let (reading, distinct) = read(text, layout.max_sentences, ctx)?;
        let compared = reading.drafts.len();
        if compared == 0 {
            notes.push("the text has no sentences".to_owned());
        } else if compared < distinct {
            notes.push(format!(
                "{compared} of {distinct} distinct sentences were compared, chosen by word \
                 statistics; the text is too long to compare all"
            ));
        }
        let head = &text[..input::floor_char(text, PHRASE_BYTES)];
        let phrases = candidates(head, max_phrases * CANDIDATES);
        ctx.cancel.check()?;
        if head.len() < text.len() && max_phrases > 0 {
            notes.push(format!("key phrases are from the first {PHRASE_BYTES} bytes"));
        }

        let vectors = Vectors::of(text, &reading, title, &phrases, ctx)?;
        let lost = input::truncated(vectors.sentences.iter().map(|e| e.coverage));
        if lost > 0 {
            notes.push(format!("{lost} tokens were beyond the model's windows"));
        }
        let cosines = Cosines::new(&vectors.sentences);
        let rated = salience::rate(text, &reading, &cosines, vectors.title_cosines().as_deref());
        let logits: Vec<f64> = rated.iter().map(Salience::logit).collect();
        let thinned = compared < distinct;
        let material = Material { text, reading: &reading, logits: &logits, title, thinned };
        let mut written = match way {
            Way::Write(generator) if compared > 0 => {
                match written::write(&material, &layout, generator, ctx)? {
                    Ok(written) => Some(written),
                    Err(why) => {
                        notes.push(writing::extracted(&why));
                        None
                    }
                }
            }
            Way::Write(_) => None,
            Way::Extract(why) => {
                notes.extend(why.map(str::to_owned));
                None
            }
        };
        let (summary, entries) = match &mut written {
            Some(written) => {
                notes.extend(written.note.take());
                (std::mem::take(&mut written.text), std::mem::take(&mut written.entries))
            }
            None => {
                let picked = select::pick(text, &reading.drafts, &cosines, &logits, &layout, ctx)?;
                let chances: Vec<f64> =
                    logits.iter().map(|logit| salience::chance(*logit)).collect();
                layout.write(text, &reading.drafts, &chances, &picked, &mut notes)
            }
        };
        let phrases = best_phrases(&phrases, &vectors, max_phrases);
        let mut result = Fields::from_iter([
            ("text".to_owned(), Value::from(summary)),
            ("sentences".to_owned(), Value::Array(entries)),
            ("key_phrases".to_owned(), Value::from(phrases)),
            ("coverage".to_owned(), json!({"sentences": reading.total, "compared": compared})),
        ]);
        if let Some(written) = written {
            written.tell(&mut result);
        }
        if !notes.is_empty() {
            result.insert("note".to_owned(), notes.join("; ").into());
        }
        Ok(result)
    }
}

/// How many key phrases to give. A list is not that number but what another summary found: a merge
/// of parents hands it on under the same name.
fn wanted_phrases(input: &Fields) -> Result<usize, AgentError> {
    match input::present(input, "key_phrases") {
        Some(Value::Array(_)) => Ok(DEFAULT_PHRASES),
        _ => Ok(input::integer(input, "key_phrases", 0, MAX_PHRASES)?.unwrap_or(DEFAULT_PHRASES)),
    }
}

/// The sentences that are compared, and how many distinct ones there were to choose those from.
fn read(
    text: &str,
    max_sentences: usize,
    ctx: &AgentContext<'_>,
) -> Result<(Reading, usize), AgentError> {
    let mut reading = draft::read(text, ctx)?;
    reading.drafts = draft::substantial(reading.drafts);
    let distinct = reading.drafts.len();
    reading.drafts = draft::thin(text, reading.drafts, max_sentences);
    Ok((reading, distinct))
}

/// Embeddings of a text's parts, from one call of the model.
struct Vectors {
    sentences: Vec<Embedding>,
    title: Option<Embedding>,
    phrases: Vec<Embedding>,
}

impl Vectors {
    fn of(
        text: &str,
        reading: &Reading,
        title: Option<&str>,
        phrases: &[Phrase<'_>],
        ctx: &AgentContext<'_>,
    ) -> Result<Self, AgentError> {
        let title = title.or(reading.title.as_deref());
        let title = title.map(|t| &t[..input::floor_char(t, MAX_TITLE_BYTES)]);
        let sentences = reading.drafts.iter().map(|d| &text[d.span.clone()]);
        let texts: Vec<&str> =
            sentences.chain(title).chain(phrases.iter().map(|p| p.text)).collect();
        let mut embeddings =
            if texts.is_empty() { Vec::new() } else { ctx.reasoner.embed(&texts, ctx.cancel)? };
        if embeddings.len() != texts.len() {
            let message = format!("{} embeddings for {} texts", embeddings.len(), texts.len());
            return Err(AgentError::new("Model", message));
        }
        let mut rest = embeddings.split_off(reading.drafts.len());
        let phrases = rest.split_off(usize::from(title.is_some()));
        Ok(Self { sentences: embeddings, title: rest.pop(), phrases })
    }

    fn title_cosines(&self) -> Option<Vec<f32>> {
        let title = self.title.as_ref()?;
        Some(self.sentences.iter().map(|s| s.cosine(title)).collect())
    }
}

/// What closeness to the text adds at most to the statistics of a phrase.
const CLOSE: f64 = 0.8;
/// What a phrase loses, as a share, that says the same as a better one.
const SAME_PHRASE: f64 = 0.6;

/// The phrases that name the topics best: by their statistics, their closeness to the sentences
/// and unlike each other.
fn best_phrases(phrases: &[Phrase<'_>], vectors: &Vectors, max: usize) -> Vec<String> {
    let closeness: Vec<f64> = vectors
        .phrases
        .iter()
        .map(|phrase| vectors.sentences.iter().map(|s| f64::from(s.cosine(phrase))).sum())
        .collect();
    let low = closeness.iter().copied().fold(f64::INFINITY, f64::min);
    let high = closeness.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let cosines = Cosines::new(&vectors.phrases);
    let mut left: Vec<usize> = (0..phrases.len()).collect();
    let mut worth: Vec<f64> = closeness
        .iter()
        .zip(phrases)
        .map(|(close, phrase)| {
            // Without sentences, or with one candidate, nothing is closer than another.
            let close = if high > low { (close - low) / (high - low) } else { 0.0 };
            phrase.score * (1.0 + CLOSE * close)
        })
        .collect();
    let mut kept = Vec::new();
    while kept.len() < max {
        let best = left.iter().copied().reduce(|a, b| if worth[b] > worth[a] { b } else { a });
        let Some(best) = best else { break };
        left.retain(|&i| i != best);
        for &i in &left {
            worth[i] *= 1.0 - SAME_PHRASE * cosines.overlap(i, best);
        }
        kept.push(crate::text::squeeze(phrases[best].text));
    }
    kept
}

/// A sentence as the salience model sees it, for reports and for fitting the model.
#[derive(Debug, Clone)]
pub struct Rated {
    /// Byte range in the text.
    pub span: Range<usize>,
    /// One value for each of [`feature_names`].
    pub features: Vec<f32>,
    /// What the rules set by hand add to the weighted features.
    pub by_hand: f64,
    /// Worth of the sentence in logits.
    pub logit: f64,
}

/// Names of the salience model's features, in their order.
pub fn feature_names() -> Vec<&'static str> {
    salience::FEATURES.iter().copied().chain(cues::CUES.iter().map(|c| c.words)).collect()
}

/// What the salience model makes of each sentence that a summary of `text` could have.
///
/// # Errors
/// A failure of the model, or `Cancelled`.
pub fn rate(
    text: &str,
    title: Option<&str>,
    ctx: &AgentContext<'_>,
) -> Result<Vec<Rated>, AgentError> {
    let (reading, _) = read(text, DEFAULT_SENTENCES, ctx)?;
    let vectors = Vectors::of(text, &reading, title, &[], ctx)?;
    let cosines = Cosines::new(&vectors.sentences);
    let rated = salience::rate(text, &reading, &cosines, vectors.title_cosines().as_deref());
    let all = reading.drafts.into_iter().zip(rated).map(|(draft, salience)| Rated {
        span: draft.span,
        logit: salience.logit(),
        by_hand: salience.by_hand,
        features: salience.features,
    });
    Ok(all.collect())
}
