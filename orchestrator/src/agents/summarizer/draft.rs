// SPDX-License-Identifier: AGPL-3.0-or-later
//! The sentences of a text that a summary could be made of.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::{AgentContext, AgentError};
use crate::text::{
    FunctionWords, Kind, is_heading, is_stop_word, sentences, squeeze, term_id, turn, words,
};

/// Sentences that are embedded at most (or `max_sentences`, if that is more), and their bytes.
/// Longer texts are first thinned by word statistics, and the result says so. Together about
/// 3000 tokens: well below a second on two cores of a small machine.
const MAX_EMBEDDED: usize = 64;
const MAX_EMBEDDED_BYTES: usize = 12 * 1024;

/// A sentence with fewer different content words (`Call [PHONE] now.`) is left out while others
/// are left.
const MIN_TERMS: usize = 3;

/// A sentence of the text with the keys of its content words, each once.
pub(super) struct Draft {
    pub(super) span: Range<usize>,
    /// Place among all sentences.
    pub(super) index: usize,
    pub(super) terms: Vec<u64>,
    pub(super) heading: bool,
    pub(super) kind: Kind,
    /// Whether it leans on the sentence before it: `They do not block readers.`
    pub(super) leans: bool,
    /// Whose turn it stands in, where that is not said at its start.
    pub(super) speaker: Option<Speaker>,
}

/// A turn of a dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Speaker {
    /// Where the name stands in the text.
    at: usize,
    len: usize,
}

impl Speaker {
    /// The speaker that the sentence at `span` itself names at its start.
    pub(super) fn named(text: &str, span: &Range<usize>) -> Option<Self> {
        let turn = turn(&text[span.clone()])?;
        Some(Self { at: span.start + turn.at, len: turn.name.len() })
    }

    pub(super) fn name<'a>(&self, text: &'a str) -> &'a str {
        &text[self.at..self.at + self.len]
    }
}

/// What was read of a text.
pub(super) struct Reading {
    pub(super) drafts: Vec<Draft>,
    /// Number of all sentences.
    pub(super) total: usize,
    /// The heading that the text begins with.
    pub(super) title: Option<String>,
    /// Whether it is a dialogue: where a sentence stands says nothing then.
    pub(super) dialogue: bool,
}

/// The sentences of a text, of equal ones the first.
pub(super) fn read(text: &str, ctx: &AgentContext<'_>) -> Result<Reading, AgentError> {
    let mut drafts = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut turns: HashMap<&str, usize> = HashMap::new();
    let mut turn: Option<Speaker> = None;
    let mut spoken = 0;
    let mut last_end = 0;
    let mut total = 0;
    let mut title = None;
    let function_words = FunctionWords::of(text);
    let mut all = sentences(text);
    while let Some(span) = all.next() {
        if total % 256 == 0 {
            ctx.cancel.check()?;
        }
        let index = total;
        total += 1;
        let sentence = &text[span.clone()];
        let gap = &text[last_end..span.start];
        last_end = span.end;
        let named = Speaker::named(text, &span).filter(|_| index == 0 || gap.contains('\n'));
        if let Some(speaker) = named {
            *turns.entry(speaker.name(text)).or_default() += 1;
            turn = Some(speaker);
        } else if gap.matches('\n').nth(1).is_some() {
            turn = None;
        }
        spoken += usize::from(turn.is_some());
        let heading = is_heading(text, &span);
        if index == 0 && heading {
            title = Some(squeeze(sentence));
        }
        if !seen.insert(sentence) {
            continue;
        }
        let mut terms: Vec<u64> = words(sentence)
            .filter(|w| !w.is_numeric() && !function_words.contains(w.text))
            .filter(|w| !w.is_redaction_mark(sentence))
            .map(|w| term_id(w.text))
            .collect();
        terms.sort_unstable();
        terms.dedup();
        drafts.push(Draft {
            index,
            terms,
            heading,
            kind: all.kind(),
            leans: leans(sentence),
            speaker: turn.filter(|_| named.is_none()),
            span,
        });
    }
    // Who speaks once is no speaker: `Note: ...`.
    turns.retain(|_, count| *count > 1);
    for draft in &mut drafts {
        draft.speaker = draft.speaker.filter(|s| turns.contains_key(s.name(text)));
    }
    let dialogue = turns.values().sum::<usize>() > 2 && spoken * 2 > total;
    Ok(Reading { drafts, total, title, dialogue })
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

/// Leaves out headings, code, rows of tables and sentences of little content, each unless there
/// is nothing else.
pub(super) fn substantial(mut drafts: Vec<Draft>) -> Vec<Draft> {
    let keep: [fn(&Draft) -> bool; 3] = [
        |d| !matches!(d.kind, Kind::Code | Kind::Row),
        |d| !d.heading,
        |d| d.terms.len() >= MIN_TERMS,
    ];
    for keep in keep {
        if drafts.iter().any(keep) {
            drafts.retain(keep);
        }
    }
    drafts
}

/// Leaves what will be embedded, in the order of the text: of a long text its first sentence and
/// those whose words are most those of the text.
pub(super) fn thin(text: &str, mut drafts: Vec<Draft>, max_sentences: usize) -> Vec<Draft> {
    let limit = MAX_EMBEDDED.max(max_sentences);
    let bytes: usize = drafts.iter().map(|d| d.span.len()).sum();
    if drafts.len() <= max_sentences || (drafts.len() <= limit && bytes <= MAX_EMBEDDED_BYTES) {
        return drafts;
    }
    let frequency = frequency(&drafts);
    let mut ranked: Vec<(f64, usize)> = drafts
        .iter()
        .enumerate()
        .map(|(at, d)| {
            let early = 1.0 - d.span.start as f64 / text.len().max(1) as f64;
            let weight = density(d, &frequency) * (1.0 + 0.3 * early);
            (if at == 0 { f64::INFINITY } else { weight }, at)
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

/// In how many sentences each term stands.
pub(super) fn frequency(drafts: &[Draft]) -> HashMap<u64, u32> {
    let mut frequency: HashMap<u64, u32> = HashMap::new();
    for term in drafts.iter().flat_map(|d| &d.terms) {
        *frequency.entry(*term).or_default() += 1;
    }
    frequency
}

/// How much the words of a sentence are those of the text.
pub(super) fn density(draft: &Draft, frequency: &HashMap<u64, u32>) -> f64 {
    let count = |t: &u64| f64::from(frequency.get(t).copied().unwrap_or(0));
    let weight: f64 = draft.terms.iter().map(|t| count(t).ln_1p()).sum();
    // The added constant keeps a short sentence of common words from winning.
    weight / (draft.terms.len() as f64 + 4.0)
}
