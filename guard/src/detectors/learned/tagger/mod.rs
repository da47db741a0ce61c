// SPDX-License-Identifier: AGPL-3.0-or-later
//! Names, addresses, places and numbers that only their context gives away, by a token classifier and what it cannot know.

mod addresses;
mod evidence;
mod found;
mod labels;
mod lists;
mod names;
mod numbers;
mod places;
#[cfg(test)]
mod tests;
mod words;
mod worth;

use std::ops::Range;
use std::sync::Arc;

use bho_engine::{CancelToken, Encoder};

use super::failed;
use super::pieces::pieces;
use super::plan::Plan;
use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Category, Finding, PiiType};
use crate::normalise::{View, model_view};
use labels::{ADDRESS, Labels};
use words::Words;

pub use labels::TAGGED_TYPES;
pub(super) use worth::signs;

/// Personal data as a token classifier with BIO labels sees it.
///
/// A word's probabilities are the means over its tokens, summed over the labels of a type, and weighed with how the word is
/// written and what stands before it (the model may read small letters only). Words of one kind make one finding: names
/// with their titles, initials, particles and hyphens, addresses over commas and line breaks, together with what the rules
/// for addresses found there. Countries come from a list, the parts of a sure name are found again in the whole text, numbers
/// need a word beside them that says what they are, and what another detector is sure of is left to it.
///
/// A finding's score puts even odds at 0.7, the default threshold, and certainty at 0.85. Linear in the text, apart from
/// the sorting of what other detectors found.
pub struct PiiTagger {
    encoder: Arc<dyn Encoder>,
    labels: Labels,
}

impl PiiTagger {
    /// A tagger over a token-classification model.
    ///
    /// # Errors
    /// [`GuardError::Detector`] when the model's labels are not `O` and `B-`/`I-` of entities, or name none that is known.
    pub fn new(encoder: Arc<dyn Encoder>) -> Result<Self, GuardError> {
        let labels = Labels::of(encoder.as_ref())
            .map_err(|message| GuardError::Detector { detector: "tagger", message })?;
        Ok(Self { encoder, labels })
    }

    /// Notes on the words of a run of the text what the model says of them.
    fn read(
        &self,
        words: &mut Words<'_>,
        run: Range<usize>,
        ctx: &DetectContext<'_>,
    ) -> Result<(), GuardError> {
        let text = words.text;
        let (mut from, end) = (run.start, run.end);
        let mut all = pieces(text, run).peekable();
        while let Some(piece) = all.next() {
            ctx.check_cancelled()?;
            // What two pieces share is half the one's and half the other's: each token far from the edges.
            let to = all.peek().map_or(end, |next| next.start.midpoint(piece.end));
            let part = &text[piece.clone()];
            if part.contains(char::is_alphanumeric) {
                let tags = self
                    .encoder
                    .tag(&[part], &CancelToken::new())
                    .map_err(|error| failed(self.name(), &error))?;
                if let Some(tags) = tags.first() {
                    words.read(tags, piece.start, &(from..to), &self.labels);
                }
            }
            from = to;
        }
        Ok(())
    }
}

impl Detector for PiiTagger {
    fn name(&self) -> &'static str {
        "tagger"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        TAGGED_TYPES
    }

    fn reads_views(&self) -> bool {
        false
    }

    fn hold(&self) -> Hold {
        Hold::SENTENCES
    }

    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let view = model_view(text);
        let mut words = Words::of(view.text());
        heed(&mut words, &view, out);
        let plan = Plan::of(&view, ctx, |cells| worth::of(&words, cells));
        plan.note(self.name(), text.len(), ctx);
        for run in plan.runs() {
            self.read(&mut words, run, ctx)?;
        }
        let mut marks = evidence::weigh(&mut words);
        places::mark(&mut words, &mut marks);
        let mut found = Vec::new();
        addresses::find(&words, &mut marks, &mut found);
        names::find(&words, &marks, &mut found);
        numbers::find(&words, &marks, &mut found);
        out.extend(found.into_iter().filter_map(|found| {
            let span = view.span(found.span.clone());
            let finding =
                || Finding::pii(found.kind, span.clone(), found.score(), self.name(), found.rule);
            (!span.is_empty()).then(finding)
        }));
        Ok(())
    }
}

/// A finding of another detector is taken for certain from this score on.
const CERTAIN: f32 = 0.7;

/// Notes on the words what other detectors found there: what is theirs, and what the rules take for an address.
fn heed(words: &mut Words<'_>, view: &View, others: &[Finding]) {
    let mut others: Vec<(&Finding, bool)> = others
        .iter()
        .filter_map(|finding| match finding.category {
            Category::Pii(ADDRESS) => Some((finding, true)),
            Category::Pii(_) if finding.score >= CERTAIN => Some((finding, false)),
            _ => None,
        })
        .collect();
    others.sort_by_key(|(finding, _)| finding.span.start);
    // Of those that have begun: how far the surest reach. One that ends before a shorter one begins is past.
    let mut others = others.into_iter().peekable();
    let (mut taken, mut ruled) = (0, (0, 0.0f32));
    for word in &mut words.list {
        let span = view.span(word.span.clone());
        // A link, which the view shows as one word.
        word.linked |=
            span.len() > word.span.len() + 4 && &view.text()[word.span.clone()] == "link";
        while let Some((finding, address)) = others.next_if(|(f, _)| f.span.start < span.end) {
            let end = finding.span.end;
            if !address {
                taken = taken.max(end);
            } else if ruled.0 <= finding.span.start {
                ruled = (end, finding.score);
            } else {
                ruled = (ruled.0.max(end), ruled.1.max(finding.score));
            }
        }
        word.taken = taken > span.start;
        word.ruled = if ruled.0 > span.start { ruled.1 } else { 0.0 };
    }
}
