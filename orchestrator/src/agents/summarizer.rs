// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bitnet.summarizer`: the sentences of a text that say most of it, in their order.
//!
//! Sentences are embedded; one is worth the more, the closer it is to all others (centrality,
//! after LexRank, Erkan and Radev 2004), the earlier it stands and the more it holds. They are
//! taken by maximal marginal relevance (Carbonell and Goldstein, 1998), so that none repeats
//! another.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use bho_engine::Embedding;
use serde_json::{Value, json};

use super::{Agent, AgentContext, AgentError, AgentSpec, Fields, ParamKind, ParamSpec, input};
use crate::text::{
    clip, ends_with_stop, is_heading, is_stop_word, key_phrases, sentences, speaker, squeeze,
    term_id, words,
};

/// The agent `bitnet.summarizer`.
///
/// Headings are left out, a sentence out of a turn of a dialogue is led by its speaker, and one
/// that points back (`They do not ...`) is taken rather with the sentence before it.
///
/// One sentence of each abstract of the SciTLDR test set (618) reaches a ROUGE-1 F1 of 31.3 with
/// the bundled encoder; the first sentence 28.3, the best single one 45.7
/// (`examples/agents_report.rs`).
#[derive(Debug, Clone, Copy, Default)]
pub struct Summarizer;

const MAX_SENTENCES: usize = 100;
const DEFAULT_SENTENCES: usize = 3;
const MAX_CHARS: usize = 1_000_000;
const STYLES: &[&str] = &["extract", "bullets"];

/// Sentences that are embedded at most (or `max_sentences`, if that is more), and their bytes.
/// Longer texts are first thinned by word statistics, and the result says so. Together about
/// 3000 tokens: well below a second on two cores of a small machine.
const MAX_EMBEDDED: usize = 64;
const MAX_EMBEDDED_BYTES: usize = 12 * 1024;

/// Bytes at the start of a text that key phrases are taken from.
const PHRASE_BYTES: usize = 256 * 1024;
const PHRASES: usize = 8;

/// A sentence with fewer different content words (`Call [PHONE] now.`) is left out while others
/// are left.
const MIN_TERMS: usize = 3;
/// Content words from which on a sentence counts as full.
const FULL_TERMS: f64 = 8.0;

const W_CENTRALITY: f64 = 0.65;
const W_POSITION: f64 = 0.2;
const W_LENGTH: f64 = 0.15;
/// Relevance against redundancy. Even, as cosines between sentences of one text lie low (0.2 to
/// 0.6 with MiniLM-class encoders) beside scores.
const MMR_LAMBDA: f64 = 0.5;
/// What a sentence loses that leans on one that is not in the summary. It is for reading: ROUGE-1
/// on SciTLDR's development set is 29.9 with it and 30.0 without.
const LEANS: f64 = 0.1;
/// From this cosine on, a sentence says what another said.
const SAME: f32 = 0.95;

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
    ],
    outputs: &["text", "sentences", "key_phrases", "coverage", "note"],
    not_yet: None,
};

/// A sentence of the text with the keys of its content words, each once.
struct Draft {
    span: Range<usize>,
    /// Place among all sentences.
    index: usize,
    terms: Vec<u64>,
    heading: bool,
    /// Whether it leans on the sentence before it: `They do not block readers.`
    leans: bool,
    /// Whose turn it stands in, where that is not said at its start.
    speaker: Option<Speaker>,
}

/// A turn of a dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Speaker {
    /// Where the name stands in the text.
    at: usize,
    len: usize,
}

impl Speaker {
    fn name<'a>(&self, text: &'a str) -> &'a str {
        &text[self.at..self.at + self.len]
    }
}

impl Agent for Summarizer {
    fn spec(&self) -> &'static AgentSpec {
        &SPEC
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

        let mut notes = Vec::new();
        let (drafts, total) = drafts(text, ctx)?;
        let drafts = substantial(drafts);
        let distinct = drafts.len();
        let read = thin(text, drafts, layout.max_sentences);
        if read.is_empty() {
            notes.push("the text has no sentences".to_owned());
        } else if read.len() < distinct {
            notes.push(format!(
                "{} of {distinct} distinct sentences were compared, chosen by word statistics; \
                 the text is too long to compare all",
                read.len()
            ));
        }
        let texts: Vec<&str> = read.iter().map(|d| &text[d.span.clone()]).collect();
        let embeddings =
            if texts.is_empty() { Vec::new() } else { ctx.reasoner.embed(&texts, ctx.cancel)? };
        let lost = input::truncated(embeddings.iter().map(|e| e.coverage));
        if lost > 0 {
            notes.push(format!("{lost} tokens were beyond the model's windows"));
        }
        let scores = score(&read, &embeddings);
        let picked = pick(text, &read, &embeddings, &scores, &layout, ctx)?;
        let (summary, entries) = layout.write(text, &read, &scores, &picked, &mut notes);

        let head = &text[..input::floor_char(text, PHRASE_BYTES)];
        ctx.cancel.check()?;
        let phrases = key_phrases(head, PHRASES);
        if head.len() < text.len() {
            notes.push(format!("key phrases are from the first {PHRASE_BYTES} bytes"));
        }
        let mut result = Fields::from_iter([
            ("text".to_owned(), Value::from(summary)),
            ("sentences".to_owned(), Value::Array(entries)),
            ("key_phrases".to_owned(), Value::from(phrases)),
            ("coverage".to_owned(), json!({"sentences": total, "compared": read.len()})),
        ]);
        if !notes.is_empty() {
            result.insert("note".to_owned(), notes.join("; ").into());
        }
        Ok(result)
    }
}

/// The sentences of a text, of equal ones the first, and the number of all.
fn drafts(text: &str, ctx: &AgentContext<'_>) -> Result<(Vec<Draft>, usize), AgentError> {
    let mut drafts = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut turns: HashMap<&str, usize> = HashMap::new();
    let mut turn: Option<Speaker> = None;
    let mut last_end = 0;
    let mut total = 0;
    for (index, span) in sentences(text).enumerate() {
        if index % 256 == 0 {
            ctx.cancel.check()?;
        }
        total += 1;
        let sentence = &text[span.clone()];
        let gap = &text[last_end..span.start];
        last_end = span.end;
        let named = speaker(sentence).filter(|_| index == 0 || gap.contains('\n'));
        if let Some(name) = named {
            *turns.entry(name).or_default() += 1;
            turn = Some(Speaker { at: span.start, len: name.len() });
        } else if gap.matches('\n').nth(1).is_some() {
            turn = None;
        }
        if !seen.insert(sentence) {
            continue;
        }
        let mut terms: Vec<u64> = words(sentence)
            .filter(|w| !w.is_numeric() && !is_stop_word(w.text))
            .filter(|w| !w.is_redaction_mark(sentence))
            .map(|w| term_id(w.text))
            .collect();
        terms.sort_unstable();
        terms.dedup();
        drafts.push(Draft {
            index,
            terms,
            heading: is_heading(text, &span),
            leans: leans(sentence),
            speaker: turn.filter(|_| named.is_none()),
            span,
        });
    }
    // Who speaks once is no speaker: `Note: ...`.
    for draft in &mut drafts {
        draft.speaker = draft.speaker.filter(|s| turns.get(s.name(text)).is_some_and(|n| *n > 1));
    }
    Ok((drafts, total))
}

/// Whether a sentence begins with a word that points back: a pronoun or a link.
fn leans(sentence: &str) -> bool {
    const BACK: &[&str] = &[
        "he",
        "she",
        "it",
        "they",
        "him",
        "her",
        "them",
        "his",
        "hers",
        "its",
        "their",
        "theirs",
        "but",
        "however",
        "so",
        "then",
        "therefore",
        "thus",
        "hence",
        "moreover",
        "furthermore",
        "also",
        "instead",
        "otherwise",
        "yet",
        "and",
        "or",
    ];
    // `This works`, but not `This paper`: a pronoun is followed by a function word.
    const POINTING: &[&str] = &["this", "that", "these", "those", "such"];
    let is = |word: &str, list: &[&str]| list.iter().any(|w| w.eq_ignore_ascii_case(word));
    let mut words = words(sentence);
    let first = words.next().map_or("", |w| w.text);
    let second = words.next().map_or("", |w| w.text);
    is(first, BACK) || (is(first, POINTING) && is_stop_word(second))
}

/// Leaves out headings and sentences of little content, unless there are no others.
fn substantial(mut drafts: Vec<Draft>) -> Vec<Draft> {
    if drafts.iter().any(|d| !d.heading) {
        drafts.retain(|d| !d.heading);
    }
    if drafts.iter().any(|d| d.terms.len() >= MIN_TERMS) {
        drafts.retain(|d| d.terms.len() >= MIN_TERMS);
    }
    drafts
}

/// Leaves what will be embedded, in the order of the text: of a long text the sentences whose
/// words are most those of the text.
fn thin(text: &str, mut drafts: Vec<Draft>, max_sentences: usize) -> Vec<Draft> {
    let limit = MAX_EMBEDDED.max(max_sentences);
    let bytes: usize = drafts.iter().map(|d| d.span.len()).sum();
    if drafts.len() <= max_sentences || (drafts.len() <= limit && bytes <= MAX_EMBEDDED_BYTES) {
        return drafts;
    }
    let mut frequency: HashMap<u64, u32> = HashMap::new();
    for term in drafts.iter().flat_map(|d| &d.terms) {
        *frequency.entry(*term).or_default() += 1;
    }
    let mut ranked: Vec<(f64, usize)> = drafts
        .iter()
        .enumerate()
        .map(|(at, d)| {
            let weight: f64 = d.terms.iter().map(|t| f64::from(frequency[t]).ln_1p()).sum();
            // The added constant keeps a short sentence of common words from winning.
            let density = weight / (d.terms.len() as f64 + 4.0);
            let early = 1.0 - d.span.start as f64 / text.len().max(1) as f64;
            (density * (1.0 + 0.3 * early), at)
        })
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut keep = vec![false; drafts.len()];
    let (mut count, mut bytes) = (0, 0);
    for (_, at) in ranked {
        let length = drafts[at].span.len();
        if count == limit || (count >= max_sentences && bytes + length > MAX_EMBEDDED_BYTES) {
            break;
        }
        keep[at] = true;
        (count, bytes) = (count + 1, bytes + length);
    }
    let mut keep = keep.into_iter();
    drafts.retain(|_| keep.next().unwrap_or(false));
    drafts
}

/// Worth of each sentence, in 0..=1.
fn score(read: &[Draft], embeddings: &[Embedding]) -> Vec<f64> {
    let n = embeddings.len();
    let centrality: Vec<f64> = embeddings
        .iter()
        .enumerate()
        .map(|(i, e)| {
            let others = embeddings.iter().enumerate().filter(|(j, _)| *j != i);
            let sum: f64 = others.map(|(_, o)| f64::from(e.cosine(o)).max(0.0)).sum();
            if n > 1 { sum / (n - 1) as f64 } else { 1.0 }
        })
        .collect();
    let best = centrality.iter().copied().fold(0.0, f64::max);
    read.iter()
        .zip(&centrality)
        .map(|(draft, &c)| {
            let central = if best > 0.0 { c / best } else { 0.0 };
            let position = 1.0 / ((1 + draft.index) as f64).sqrt();
            let length = (draft.terms.len() as f64 / FULL_TERMS).min(1.0);
            W_CENTRALITY * central + W_POSITION * position + W_LENGTH * length
        })
        .collect()
}

/// Indices of the sentences of the summary, in the order of the text.
fn pick(
    text: &str,
    read: &[Draft],
    embeddings: &[Embedding],
    scores: &[f64],
    layout: &Layout,
    ctx: &AgentContext<'_>,
) -> Result<Vec<usize>, AgentError> {
    let mut left: Vec<usize> = (0..read.len().min(embeddings.len())).collect();
    let mut nearest = vec![0.0_f32; left.len()];
    let lengths: Vec<usize> = left.iter().map(|&i| layout.cost(text, &read[i])).collect();
    let mut picked: Vec<usize> = Vec::new();
    let mut used = 0;
    while picked.len() < layout.max_sentences {
        ctx.cancel.check()?;
        let fits = |i: usize| used + lengths[i] <= layout.max_chars;
        // When none fits, the best first sentence is cut; see `Layout::write`.
        let any_fits = !picked.is_empty() || left.iter().any(|&i| fits(i));
        left.retain(|&i| nearest[i] < SAME && (fits(i) || !any_fits));
        let alone = |i: usize| {
            let draft: &Draft = &read[i];
            draft.leans && !picked.iter().any(|&p: &usize| read[p].index + 1 == draft.index)
        };
        let worth = |i: usize| {
            MMR_LAMBDA * scores[i]
                - (1.0 - MMR_LAMBDA) * f64::from(nearest[i])
                - if alone(i) { LEANS } else { 0.0 }
        };
        // Of equals the first: `max_by` would take the last.
        let best = left.iter().copied().reduce(|a, b| if worth(b) > worth(a) { b } else { a });
        let Some(best) = best else { break };
        used += lengths[best] + 1;
        left.retain(|&i| i != best);
        for &i in &left {
            nearest[i] = nearest[i].max(embeddings[i].cosine(&embeddings[best]));
        }
        picked.push(best);
    }
    picked.sort_unstable();
    Ok(picked)
}

/// How the summary is laid out.
struct Layout {
    max_sentences: usize,
    max_chars: usize,
    bullets: bool,
}

impl Layout {
    /// Characters a sentence takes at most, without what parts it from the next.
    fn cost(&self, text: &str, draft: &Draft) -> usize {
        let mark = if self.bullets { 2 } else { 0 };
        mark + self.line(text, draft, None).chars().count()
    }

    /// A sentence as the summary shows it: with its speaker, unless that was `said` before, and
    /// in running text with a stop.
    fn line(&self, text: &str, draft: &Draft, said: Option<Speaker>) -> String {
        let mut line = squeeze(&text[draft.span.clone()]);
        if let Some(speaker) = draft.speaker.filter(|s| Some(*s) != said) {
            line = format!("{}: {line}", speaker.name(text));
        }
        if !self.bullets && !ends_with_stop(&line) && line.ends_with(char::is_alphanumeric) {
            line.push('.');
        }
        line
    }

    /// The summary and its `sentences` entries.
    fn write(
        &self,
        text: &str,
        read: &[Draft],
        scores: &[f64],
        picked: &[usize],
        notes: &mut Vec<String>,
    ) -> (String, Vec<Value>) {
        let mark = if self.bullets { "- " } else { "" };
        let mut lines = Vec::new();
        let mut entries = Vec::new();
        let mut said = None;
        for &i in picked {
            let draft = &read[i];
            let mut span = draft.span.clone();
            let mut line = self.line(text, draft, said);
            said = draft.speaker.or_else(|| {
                let name = speaker(&text[span.clone()])?;
                Some(Speaker { at: span.start, len: name.len() })
            });
            let room = self.max_chars.saturating_sub(mark.len());
            // Only a first sentence can be longer than the limit; see `pick`.
            if picked.len() == 1 && line.chars().count() > room {
                let (head, cut) = clip(&text[span.clone()], room.saturating_sub(1));
                span.end = span.start + head.len();
                line = squeeze(head);
                if cut {
                    line.push('\u{2026}');
                    notes.push("the sentence was cut at max_chars".to_owned());
                }
            }
            lines.push(format!("{mark}{line}"));
            entries.push(json!({
                "text": &text[span.clone()],
                "span": input::span(&span),
                "score": input::score(scores[i]),
            }));
        }
        let mut summary = lines.join(if self.bullets { "\n" } else { " " });
        if summary.chars().count() > self.max_chars {
            // Less room than a bullet and an ellipsis take.
            summary = summary.chars().take(self.max_chars).collect();
        }
        (summary, entries)
    }
}
