// SPDX-License-Identifier: AGPL-3.0-or-later
//! Key phrases by statistics of the text alone, after RAKE (Rose et al., 2010) with the position
//! and casing cues of YAKE (Campos et al., 2020).

use std::collections::HashMap;
use std::ops::Range;

use super::function_words::FunctionWords;
use super::polarity::is_negation;
use super::words::{Word, stem, term_id, words};

/// Longest phrase, in words.
const MAX_WORDS: usize = 4;

/// Most different candidates that are ranked, in order of appearance.
///
/// Phrases worth naming appear early; the bound keeps memory flat on texts of any length.
const MAX_CANDIDATES: usize = 20_000;

/// A phrase of a text that may tell what it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Phrase<'a> {
    /// As the text writes it.
    pub text: &'a str,
    /// Larger is better; comparable within one text.
    pub score: f64,
}

struct Candidate {
    span: Range<usize>,
    stems: Vec<u64>,
    count: usize,
}

/// The `max` phrases that best tell what a text is about, best first, as the text writes them.
///
/// A candidate is a run of up to four words between function words and punctuation. Its score
/// grows with how often its words and itself occur, with names and with an early first place;
/// phrases made of the words of a better one are left out. Addresses, redaction marks, numbers
/// and single letters are no phrases.
pub fn key_phrases(text: &str, max: usize) -> Vec<String> {
    candidates(text, max).iter().map(|phrase| super::squeeze(phrase.text)).collect()
}

/// The phrases of [`key_phrases`], with their scores.
pub fn candidates(text: &str, max: usize) -> Vec<Phrase<'_>> {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut index: HashMap<Vec<u64>, usize> = HashMap::new();
    let mut seen: HashMap<u64, WordStats> = HashMap::new();
    let mut run: Vec<Word<'_>> = Vec::new();
    let mut last_end = 0;
    let mut at_start = true;
    let mut close = |run: &mut Vec<Word<'_>>, seen: &HashMap<u64, WordStats>| {
        if run.len() <= MAX_WORDS && run.iter().any(|w| !w.is_numeric()) && !run.is_empty() {
            let stems: Vec<u64> = run.iter().map(|w| term_id(w.text)).collect();
            if let Some(&at) = index.get(&stems) {
                candidates[at].count += 1;
            } else if candidates.len() < MAX_CANDIDATES && seen.len() < 4 * MAX_CANDIDATES {
                index.insert(stems.clone(), candidates.len());
                let span = run[0].start..run[run.len() - 1].span().end;
                candidates.push(Candidate { span, stems, count: 1 });
            }
        }
        run.clear();
    };
    let function_words = FunctionWords::of(text);
    for word in words(text) {
        let gap = &text[last_end..word.start];
        let parted = !run.is_empty() && !joins(gap);
        at_start = if last_end == 0 {
            true
        } else {
            at_start && run.is_empty() || gap.contains(['.', '!', '?', '\n', ':'])
        };
        last_end = word.span().end;
        if parted {
            close(&mut run, &seen);
        }
        if function_words.contains(word.text) || !is_content(text, &word, gap) {
            close(&mut run, &seen);
            at_start = false;
            continue;
        }
        let known = seen.len();
        if known < 4 * MAX_CANDIDATES || seen.contains_key(&term_id(word.text)) {
            let stats = seen.entry(term_id(word.text)).or_default();
            stats.count += 1;
            stats.named |= word.is_marked_name() || (!at_start && word.is_capitalised());
        }
        run.push(word);
        at_start = false;
    }
    close(&mut run, &seen);
    rank(text, &candidates, &seen, max)
}

#[derive(Default)]
struct WordStats {
    count: usize,
    named: bool,
}

fn rank<'a>(
    text: &'a str,
    candidates: &[Candidate],
    seen: &HashMap<u64, WordStats>,
    max: usize,
) -> Vec<Phrase<'a>> {
    let length = text.len().max(1) as f64;
    let mut scored: Vec<(f64, usize)> = candidates
        .iter()
        .enumerate()
        .map(|(at, c)| {
            let words: f64 = c
                .stems
                .iter()
                .filter_map(|id| seen.get(id))
                .map(|s| (1.0 + s.count as f64).ln() * if s.named { 1.6 } else { 1.0 })
                .sum();
            // Between the mean, which likes single words, and the sum, which likes long phrases.
            let words = words / (c.stems.len() as f64).sqrt();
            let early = 1.0 - c.span.start as f64 / length;
            (words * (1.0 + (c.count as f64).ln()) * (1.0 + 0.4 * early), at)
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut kept: Vec<(f64, &Candidate)> = Vec::new();
    for (score, at) in scored {
        if kept.len() == max {
            break;
        }
        let c = &candidates[at];
        let covered = kept.iter().any(|(_, k)| {
            let shared = c.stems.iter().filter(|s| k.stems.contains(s)).count();
            shared == c.stems.len() || shared == k.stems.len()
        });
        if !covered {
            kept.push((score, c));
        }
    }
    kept.iter().map(|(score, c)| Phrase { text: &text[c.span.clone()], score: *score }).collect()
}

/// Whether a gap keeps its two words in one phrase.
fn joins(gap: &str) -> bool {
    gap.len() <= 3 && gap.chars().all(|c| matches!(c, ' ' | '-' | '\u{2010}' | '\u{2011}'))
        || gap.len() <= 2 && gap.trim().is_empty() && gap.matches('\n').count() == 1
}

fn is_content(text: &str, word: &Word<'_>, gap: &str) -> bool {
    let after = &text[word.span().end..];
    let address = gap.ends_with(['@', '/', '_', '['])
        || after.starts_with(['@', '_', '/'])
        || after.starts_with("://");
    // `[EMAIL]` and the host of `test@example.com`.
    let marked = gap.ends_with('[') || after.starts_with(']');
    let dotted =
        gap == "." || (after.starts_with('.') && after[1..].starts_with(char::is_alphanumeric));
    let short = word.text.chars().nth(1).is_none() && word.text.is_ascii();
    !(address || marked || dotted || short || is_negation(word.text) || is_filler(word.text))
}

/// Words that are content in a sentence but name no topic.
#[rustfmt::skip]
fn is_filler(word: &str) -> bool {
    const FILLERS: &[&str] = &[
        "use", "make", "get", "include", "take", "give", "say", "become", "call", "know", "go",
        "come", "contain", "seem", "mean", "want", "well", "good", "new", "like", "reach", "store",
        "contact", "please", "thank", "need", "show", "see", "find", "tell", "ask", "try", "put",
        "keep", "bring", "begin", "work", "today", "one", "two", "three", "first", "last", "next",
        "said", "told", "got", "made", "took", "gave", "found", "came", "went", "saw", "kept", "began",
        "became", "known", "done", "hello", "hi", "http", "www", "user", "assistant", "okay", "yes", "thing", "lot", "way",
    ];
    word.len() <= 12 && {
        let folded = stem(word);
        FILLERS.iter().any(|f| *f == folded || (f.len() >= folded.len() && stem(f) == folded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Contact me at test@example.com. BitNet b1.58 is efficient: it stores every \
        weight as -1, 0 or +1, about 1.58 bits each, and reaches the quality of full-precision \
        models of the same size. TinyBERT is a small encoder distilled from BERT that works well \
        for text classification. Call [PHONE] for the slides. BitNet b1.58 is small.";

    #[test]
    fn phrases_name_the_topics_as_written() {
        let phrases = key_phrases(TEXT, 6);
        assert_eq!(phrases[0], "BitNet b1.58", "{phrases:?}");
        assert!(phrases.iter().any(|p| p == "TinyBERT"), "{phrases:?}");
        assert_eq!(phrases.len(), 6);
        let all = key_phrases(TEXT, 100).join("|");
        assert!(
            all.contains("full-precision models") && all.contains("text classification"),
            "{all}"
        );
        for absent in ["example", "PHONE", "test", "com", "|1.58|"] {
            assert!(!all.contains(absent), "{absent} in {all}");
        }
    }

    #[test]
    fn phrases_are_not_repeated_in_parts() {
        let phrases =
            key_phrases("Solar panels. Solar panels cost. Panels of solar. solar PANELS", 10);
        assert_eq!(
            phrases.iter().filter(|p| p.to_lowercase().contains("panels")).count(),
            1,
            "{phrases:?}"
        );
    }

    #[test]
    fn empty_noise_and_long_texts() {
        assert!(key_phrases("", 5).is_empty());
        assert!(key_phrases("the of \0 1 2 3 😀", 5).is_empty());
        assert!(key_phrases(TEXT, 0).is_empty());
        assert_eq!(key_phrases("モデル、模型", 5), ["モデル", "模型"]);
        let long = TEXT.repeat(10_000_000 / TEXT.len());
        let at = std::time::Instant::now();
        assert_eq!(key_phrases(&long, 3).len(), 3);
        assert!(at.elapsed().as_secs() < 60);
        let random: String = (0..200_000).map(|i| format!("w{i}x. ")).collect();
        assert_eq!(key_phrases(&random, 3).len(), 3);
    }
}
