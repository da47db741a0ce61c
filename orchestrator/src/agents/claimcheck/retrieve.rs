// SPDX-License-Identifier: AGPL-3.0-or-later
//! Which windows of the sources are read beside a statement: by shared words first, as that costs
//! nothing, then by similarity and shared words together.

use std::collections::HashSet;
use std::ops::Range;

use bho_engine::Embedding;

use super::judge::Statement;
use super::sources::Source;
use crate::agents::{AgentContext, AgentError};
use crate::text::{sentences, stem, words};

/// Sentences that are embedded at most, and their bytes; the others are ruled out by having fewer
/// of the claim's words. Two checks side by side stay within a time-out of 600 ms on two cores.
const MAX_CANDIDATES: usize = 32;
const MAX_CANDIDATE_BYTES: usize = 6 * 1024;
/// Share of similarity in the order of evidence; coverage has the rest.
const RANK_SIMILARITY: f64 = 0.6;
/// Bytes of a window of several sentences, at most: what a cross-encoder reads in one piece.
const MAX_WINDOW_BYTES: usize = 1200;
/// Best sentences whose neighbours are read with them.
const ANCHORS: usize = 3;

/// A sentence that may be evidence, or several in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) source: usize,
    pub(super) span: Range<usize>,
    /// The sentence before it in the same source.
    pub(super) before: Option<Range<usize>>,
}

impl Window {
    pub(super) fn text<'a>(&self, sources: &[Source<'a>]) -> &'a str {
        &sources[self.source].text[self.span.clone()]
    }

    pub(super) fn before<'a>(&self, sources: &[Source<'a>]) -> Option<&'a str> {
        self.before.clone().map(|span| &sources[self.source].text[span])
    }
}

/// A sentence with its neighbours.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    window: Window,
    /// The sentence before that one, and the one after it.
    earlier: Option<Range<usize>>,
    after: Option<Range<usize>>,
}

/// The sentences that share most content words with the claim, in order, and the number of all.
pub(super) fn candidates(
    sources: &[Source<'_>],
    whole: &Statement,
    ctx: &AgentContext<'_>,
) -> Result<(Vec<Candidate>, usize), AgentError> {
    let wanted: HashSet<&str> = whole.claim.stems().collect();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut ranked: Vec<(usize, Candidate)> = Vec::new();
    for (source, Source { text, .. }) in sources.iter().enumerate() {
        let (mut earlier, mut before): (Option<Range<usize>>, Option<Range<usize>>) = (None, None);
        for (n, span) in sentences(text).enumerate() {
            if n % 256 == 0 {
                ctx.cancel.check()?;
            }
            if let (Some((_, last)), Some(previous)) = (ranked.last_mut(), &before)
                && last.window.source == source
                && last.window.span == *previous
            {
                last.after = Some(span.clone());
            }
            let sentence = &text[span.clone()];
            if seen.insert(sentence) {
                let stems: HashSet<String> = words(sentence).map(|w| stem(w.text)).collect();
                let shared = stems.iter().filter(|s| wanted.contains(s.as_str())).count();
                let window = Window { source, span: span.clone(), before: before.clone() };
                ranked.push((shared, Candidate { window, earlier: earlier.take(), after: None }));
            }
            earlier = before.replace(span);
        }
    }
    let total = ranked.len();
    // Stable: of equals the earlier.
    ranked.sort_by_key(|(shared, _)| std::cmp::Reverse(*shared));
    let mut bytes = 0;
    let mut kept: Vec<Candidate> = ranked
        .into_iter()
        .map(|(_, candidate)| candidate)
        .take(MAX_CANDIDATES)
        .take_while(|c| {
            let fits = bytes == 0 || bytes + c.window.span.len() <= MAX_CANDIDATE_BYTES;
            bytes += c.window.span.len();
            fits
        })
        .collect();
    kept.sort_by_key(|c| (c.window.source, c.window.span.start));
    Ok((kept, total))
}

/// A window as it lies to one statement.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) window: Window,
    /// Cosine of statement and window.
    pub(super) similarity: f64,
    /// Share of the statement's content that the window has.
    pub(super) coverage: f64,
}

impl Found {
    pub(super) fn rank(&self) -> f64 {
        RANK_SIMILARITY * self.similarity + (1.0 - RANK_SIMILARITY) * self.coverage
    }
}

/// For each statement its best windows of up to `max_sentences`, best first: `most[0]` sentences for
/// the whole claim, which is the first statement, and `most[1]` for each part.
///
/// Each sentence is read by itself; of the windows around each of the best three sentences only the
/// best is read too. The vector of such a window is the mean of its sentences', by their length: they have been embedded
/// already, and nothing but the choice and a low bar hang on it.
pub(super) fn best(
    statements: &[Statement],
    candidates: &[Candidate],
    sources: &[Source<'_>],
    max_sentences: usize,
    most: [usize; 2],
    ctx: &AgentContext<'_>,
) -> Result<Vec<Vec<Found>>, AgentError> {
    if candidates.is_empty() {
        return Ok(statements.iter().map(|_| Vec::new()).collect());
    }
    let mut texts: Vec<&str> = statements.iter().map(|s| s.text.as_str()).collect();
    texts.extend(candidates.iter().map(|c| c.window.text(sources)));
    let embeddings = ctx.reasoner.embed(&texts, ctx.cancel)?;
    if embeddings.len() != texts.len() {
        let message = format!("{} embeddings for {} texts", embeddings.len(), texts.len());
        return Err(AgentError::new("Model", message));
    }
    let (subjects, embeddings) = embeddings.split_at(statements.len());
    let mut lists = Vec::with_capacity(statements.len());
    for (n, (statement, subject)) in statements.iter().zip(subjects).enumerate() {
        let mut list: Vec<(usize, Found)> = Vec::with_capacity(candidates.len());
        for (at, (candidate, embedding)) in candidates.iter().zip(embeddings).enumerate() {
            ctx.cancel.check()?;
            list.push((at, found(statement, subject, &candidate.window, embedding, sources)));
        }
        // Stable: of equals the earlier.
        list.sort_by(|a, b| b.1.rank().total_cmp(&a.1.rank()));
        list.truncate(most[usize::from(n > 0)]);
        lists.push(list);
    }
    let mut wide: Vec<Wide> = Vec::new();
    if max_sentences > 1 {
        for (at, _) in lists.iter().flat_map(|list| list.iter().take(ANCHORS)) {
            for window in around(&candidates[*at], sources, max_sentences) {
                if !wide.contains(&window) {
                    wide.push(window);
                }
            }
        }
    }
    let embeddings = means(&wide, sources, ctx)?;
    let mut all = Vec::with_capacity(lists.len());
    for ((statement, subject), list) in statements.iter().zip(subjects).zip(lists) {
        let mut added: Vec<Found> = Vec::new();
        for (at, _) in list.iter().take(ANCHORS) {
            let own = around(&candidates[*at], sources, max_sentences);
            let best = wide
                .iter()
                .zip(&embeddings)
                .filter(|(wide, _)| own.contains(wide))
                .map(|(wide, mean)| found(statement, subject, &wide.window, mean, sources))
                .reduce(|a, b| if b.rank() > a.rank() { b } else { a });
            added.extend(best.filter(|b| added.iter().all(|a| a.window != b.window)));
        }
        let mut list: Vec<Found> = list.into_iter().map(|(_, found)| found).collect();
        list.append(&mut added);
        list.sort_by(|a, b| b.rank().total_cmp(&a.rank()));
        all.push(list);
    }
    Ok(all)
}

fn found(
    statement: &Statement,
    subject: &Embedding,
    window: &Window,
    embedding: &Embedding,
    sources: &[Source<'_>],
) -> Found {
    let signs = statement.claim.compare(window.text(sources), window.before(sources));
    let similarity = f64::from(subject.cosine(embedding));
    Found { window: window.clone(), similarity, coverage: signs.coverage }
}

/// A window of several sentences.
#[derive(Debug, PartialEq)]
struct Wide {
    window: Window,
    sentences: Vec<Range<usize>>,
}

/// Of each window the normalised mean of its sentences' vectors, each weighing as much as it is long.
fn means(
    wide: &[Wide],
    sources: &[Source<'_>],
    ctx: &AgentContext<'_>,
) -> Result<Vec<Embedding>, AgentError> {
    let spans = wide.iter().flat_map(|w| w.sentences.iter().map(|s| (w.window.source, s)));
    let texts: Vec<&str> = spans.map(|(source, s)| &sources[source].text[s.clone()]).collect();
    let embeddings =
        if texts.is_empty() { Vec::new() } else { ctx.reasoner.embed(&texts, ctx.cancel)? };
    let mut parts = texts.iter().zip(embeddings);
    let mean = |w: &Wide| {
        let mut sum: Option<Embedding> = None;
        for (text, mut part) in parts.by_ref().take(w.sentences.len()) {
            part.vector.iter_mut().for_each(|v| *v *= text.len() as f32);
            match &mut sum {
                Some(sum) => sum.vector.iter_mut().zip(&part.vector).for_each(|(s, v)| *s += v),
                None => sum = Some(part),
            }
        }
        sum.map(|mut sum| {
            let norm = sum.vector.iter().map(|v| v * v).sum::<f32>().sqrt();
            sum.vector.iter_mut().for_each(|v| *v /= norm.max(f32::MIN_POSITIVE));
            sum
        })
    };
    let means: Option<Vec<Embedding>> = wide.iter().map(mean).collect();
    means.ok_or_else(|| AgentError::new("Model", "fewer embeddings than texts"))
}

/// Windows of two and three sentences around one, within its paragraph.
fn around(candidate: &Candidate, sources: &[Source<'_>], max_sentences: usize) -> Vec<Wide> {
    let Window { source, span, before } = &candidate.window;
    let text = sources[*source].text;
    let joins = |left: &Range<usize>, right: &Range<usize>| {
        let gap = text.get(left.end..right.start).unwrap_or("\n\n");
        gap.matches('\n').count() < 2
    };
    let before = before.as_ref().filter(|b| joins(b, span));
    let after = candidate.after.as_ref().filter(|a| joins(span, a));
    let mut windows = Vec::new();
    let mut add = |sentences: &[&Range<usize>], lead: Option<&Range<usize>>| {
        let [first, .., last] = sentences else { return };
        let span = first.start..last.end;
        if span.len() <= MAX_WINDOW_BYTES {
            let window = Window { source: *source, span, before: lead.cloned() };
            let sentences = sentences.iter().map(|&s| s.clone()).collect();
            windows.push(Wide { window, sentences });
        }
    };
    if let Some(before) = before {
        add(&[before, span], candidate.earlier.as_ref());
    }
    if let Some(after) = after {
        add(&[span, after], candidate.window.before.as_ref());
    }
    if let (Some(before), Some(after), true) = (before, after, max_sentences > 2) {
        add(&[before, span, after], candidate.earlier.as_ref());
    }
    windows
}
