// SPDX-License-Identifier: AGPL-3.0-or-later
//! The plain facts of some texts, read once: their numbers, names and words.

use std::collections::HashSet;
use std::ops::Range;

use crate::agents::claimcheck::guards::quote;
use crate::agents::claimcheck::judge::Statement;
use crate::agents::claimcheck::measures::{Measure, measures};
use crate::agents::{AgentContext, AgentError};
use crate::text::{Quantity, QuantityKind, Word, is_stop_word, quantities, sentences, stem, words};

/// Spelled numbers up to this are often no counts: `one of them`, `the first to`, `both`, `a third`.
const SMALL: f64 = 3.0;
/// Longest run of capitals that is looked up as initials.
const MAX_INITIALS: usize = 6;
/// Bytes of a sentence of a source that a window of three may have.
const MAX_WINDOW_BYTES: usize = 4096;
/// Capitalised words that name nothing a text could invent.
#[rustfmt::skip]
const NO_NAMES: &[&str] = &[
    "i", "mr", "mrs", "ms", "dr", "bc", "ad", "bce", "ce", "am", "pm",
];

struct Sentence {
    source: usize,
    span: Range<usize>,
    /// The sentence with its neighbours.
    window: Range<usize>,
    stems: HashSet<String>,
}

/// What the sources say.
pub(super) struct Facts {
    sentences: Vec<Sentence>,
    /// Folded words, those of what is known beside the sources among them.
    stems: HashSet<String>,
    /// First letters of the capitalised words, in order.
    initials: String,
    quantities: Vec<Quantity>,
    measures: Vec<Measure>,
}

/// The sentence of the sources that has most of a statement's content words.
pub(super) struct Closest {
    pub(super) source: usize,
    pub(super) span: Range<usize>,
    pub(super) window: Range<usize>,
    /// Share of those words that it has, in 0..=1.
    pub(super) share: f64,
}

impl Facts {
    pub(super) fn of(
        sources: &[&str],
        also: &[&str],
        ctx: &AgentContext<'_>,
    ) -> Result<Self, AgentError> {
        let mut facts = Self {
            sentences: Vec::new(),
            stems: HashSet::new(),
            initials: String::new(),
            quantities: Vec::new(),
            measures: Vec::new(),
        };
        for (source, &text) in sources.iter().enumerate() {
            ctx.cancel.check()?;
            facts.quantities.extend(quantities(text));
            facts.measures.extend(measures(text));
            let spans: Vec<Range<usize>> = sentences(text).collect();
            for (at, span) in spans.iter().enumerate() {
                if at % 256 == 0 {
                    ctx.cancel.check()?;
                }
                let first = &spans[at.saturating_sub(1)];
                let last = &spans[(at + 1).min(spans.len() - 1)];
                let window = first.start..last.end;
                let window = if window.len() <= MAX_WINDOW_BYTES { window } else { span.clone() };
                let stems: HashSet<String> =
                    words(&text[span.clone()]).map(|word| stem(word.text)).collect();
                facts.sentences.push(Sentence { source, span: span.clone(), window, stems });
            }
        }
        for &text in sources.iter().chain(also) {
            facts.stems.extend(words(text).map(|word| stem(word.text)));
            let names = words(text).filter(Word::is_capitalised);
            facts.initials.extend(names.filter_map(|word| word.text.chars().next()));
        }
        for &text in also {
            facts.quantities.extend(quantities(text));
        }
        Ok(facts)
    }

    /// The sentence that has most of a statement's content words; of equals the earlier. None where
    /// no sentence has any.
    pub(super) fn closest(&self, statement: &Statement) -> Option<Closest> {
        let wanted: HashSet<&str> = statement.claim.stems().collect();
        let shared = |s: &Sentence| wanted.iter().filter(|stem| s.stems.contains(**stem)).count();
        let (count, best) = self
            .sentences
            .iter()
            .map(|sentence| (shared(sentence), sentence))
            .reduce(|a, b| if b.0 > a.0 { b } else { a })
            .filter(|(count, _)| *count > 0)?;
        Some(Closest {
            source: best.source,
            span: best.span.clone(),
            window: best.window.clone(),
            share: count as f64 / wanted.len() as f64,
        })
    }

    /// How many different content words a statement has, and how many of them are known.
    pub(super) fn known(&self, statement: &Statement) -> (usize, usize) {
        let wanted: HashSet<&str> = statement.claim.stems().collect();
        let known = wanted.iter().filter(|stem| self.is_known(stem)).count();
        (wanted.len(), known)
    }

    /// A number or name of a sentence that the sources have not, as a reason.
    pub(super) fn unknown(&self, sentence: &str) -> Option<String> {
        self.unknown_number(sentence)
            .or_else(|| self.unknown_name(sentence))
            .map(|what| format!("{} is not in the source", quote(what)))
    }

    fn unknown_number<'s>(&self, sentence: &'s str) -> Option<&'s str> {
        let measured = measures(sentence);
        let all = quantities(sentence);
        let unknown = all.iter().find(|quantity| {
            let digits = sentence[quantity.span.clone()].bytes().any(|b| b.is_ascii_digit());
            let plain = matches!(quantity.kind, QuantityKind::Count | QuantityKind::Ordinal);
            let small = plain && !digits && quantity.value <= SMALL;
            let stated = self.quantities.iter().any(|have| {
                // A year is no count, a count no share.
                let plain = |q: &Quantity| !matches!(q.kind, QuantityKind::Percent);
                (have.kind == quantity.kind || (plain(have) && plain(quantity)))
                    && quantity.agrees(have)
            });
            // `0.4 km` where the source has `400 m`, `half` where it has `50%`.
            let agrees = |want: &Measure| {
                want.span.contains(&quantity.span.start)
                    && self.measures.iter().any(|have| have.kind == want.kind && want.agrees(have))
            };
            !small && !stated && !measured.iter().any(agrees)
        })?;
        Some(&sentence[unknown.span.clone()])
    }

    fn unknown_name<'s>(&self, sentence: &'s str) -> Option<&'s str> {
        let mut last_end = None;
        for word in words(sentence) {
            let begins = last_end.is_none_or(|end: usize| {
                sentence[end..word.start].contains(['.', '!', '?', ':', '\u{201C}', '"'])
            });
            last_end = Some(word.span().end);
            let is_name = word.is_marked_name() || (word.is_capitalised() && !begins);
            if !is_name
                || is_stop_word(word.text)
                || word.is_redaction_mark(sentence)
                || NO_NAMES.iter().any(|w| word.text.eq_ignore_ascii_case(w))
            {
                continue;
            }
            let folded = stem(word.text);
            let spelled_out = initials(&word).is_some_and(|own| self.initials.contains(own));
            if !self.is_known(&folded) && !spelled_out {
                return Some(&sentence[word.span()]);
            }
        }
        None
    }

    /// Whether a folded word, or a kindred form of it, is known: `german` of `germany`.
    fn is_known(&self, folded: &str) -> bool {
        self.stems.contains(folded) || self.stems.iter().any(|other| are_kin(folded, other))
    }
}

/// Whether two folded words begin alike, for at least four letters and three quarters of the shorter.
fn are_kin(a: &str, b: &str) -> bool {
    let shared = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let shorter = a.chars().count().min(b.chars().count());
    shared >= 4 && shared * 4 >= shorter * 3
}

/// A word that is a run of capitals, without a genitive's ending.
fn initials<'w>(word: &Word<'w>) -> Option<&'w str> {
    let bare = word.text.strip_suffix("'s").or_else(|| word.text.strip_suffix("\u{2019}s"));
    let bare = bare.unwrap_or(word.text);
    let fits = (2..=MAX_INITIALS).contains(&bare.chars().count());
    (fits && bare.chars().all(char::is_uppercase)).then_some(bare)
}
