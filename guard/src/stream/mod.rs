// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard over a text that comes in pieces: tokens of a model, chunks of a pipe.
//!
//! # The promise
//!
//! Text is released when nothing that may still come can make it a part of a finding. What is released, put together, is the
//! text that [`Guard::check`] gives for the whole, and no byte of what that redacts is in it; wherever the pieces are cut.
//!
//! It is kept by holding back the end of the text, in the text itself and in every view of it (`normalise`), from the first of
//! these on:
//!
//! - an **unbroken stretch** that is not over: what holds addresses, keys, tokens and encoded text, however long; so too
//!   wrapped base64, words spaced out letter by letter, pairs of hexadecimal digits and digits in words, from their first to
//!   their last;
//! - the **block of a private key** whose last line has not come;
//! - a **passage in rot13 or backwards** that may go on;
//! - **what a detector needs** ([`Hold`](crate::Hold)): so many words that may begin a phrase or a street, so many bytes
//!   behind a digit, an `@` or a quote, in which the number and the words that announce it ("... is my SSN") end;
//! - a **finding** that may still grow, or whose score words after it may change; and a finding is released as a whole.
//!
//! Models judge sentences ([`Hold::SENTENCES`](crate::Hold::SENTENCES)): one is released when they have read it, with the one
//! before it as context; one of more than 512 bytes is cut between words and the last words are read again. A
//! model's findings are so those of the sentence, which may differ from those in the whole text. Of a text that is longer
//! than [`Policy::model_windows`](crate::Policy::model_windows) they read those sentences only that are worth it, up to an
//! eighth of the rest; where they did not look, what rules suspect decides alone, and the card says how much was read.
//!
//! **Blocks** stop the stream: nothing follows, and what was released before cannot be taken back. A sign of a jailbreak is
//! held back with the 256 bytes after it, so that what blocks by itself is never shown; signs further apart add up (within
//! 4 KiB, as in the whole text) to a block that comes when the last of them has been seen.
//!
//! # Bounds
//!
//! At most [`MAX_HELD`] bytes are held back (and [`PIECE`] more while they are looked at). Plain text waits for 24 words, some
//! 140 bytes, and for 200 to 400 beside numbers. What is held back because it is not certain is released after
//! [`MAX_UNSURE`] bytes, as the text so far is judged. What is **not over** by [`MAX_HELD`] bytes is withheld as a whole, up
//! to where it ends, with `[WITHHELD]` in its place: never is a part of it released unseen.
//!
//! Each scan reads [`CONTEXT`] bytes before what is held back, and scans are at least [`STEP`] bytes apart: the work is linear
//! in the text, whatever the pieces are, and so is that of what is held. Memory does not grow with the text but for the card's
//! list of redactions, which ends after [`MAX_REDACTIONS`].
//!
//! # Where whole and stream may differ
//!
//! In texts longer than [`CONTEXT`], rules that look at the whole text look at a window: whether a text is mostly Latin (for
//! words all of whose letters look Latin), whether anything else was spaced out, where the tiles of the jailbreak rules lie.
//! Backspaces cannot take back what was released. Disguises, passages and addresses that spread over more than the bounds
//! above (words of hundreds of bytes in the middle of a street, a rot13 passage that only its thousandth byte makes likely)
//! are judged by what of them was seen.

mod budget;
mod card;
mod edge;
mod sentences;
mod withheld;

use std::fmt;

use crate::card::{Mode, ModerationCard, Redaction};
use crate::detector::{DetectContext, Detector, Hold};
use crate::error::GuardError;
use crate::finding::{Category, Finding, PiiType};
use crate::guard::Guard;
use crate::normalise::View;
use crate::text::floor_boundary;
use budget::Budget;
use edge::Edge;
use withheld::Withholding;

/// Bytes that are held back at most.
pub const MAX_HELD: usize = 8 << 10;
/// The type under which a card lists what was too long to be held back.
pub const WITHHELD: PiiType = PiiType::new("withheld");

/// What is uncertain, but not unfinished, is held back no longer.
const MAX_UNSURE: usize = 2 << 10;
/// Bytes before what is held back that detectors see again: the reach of the jailbreak rules.
const CONTEXT: usize = 4 << 10;
/// Bytes between two scans at least.
const STEP: usize = 64;
/// A large piece is taken in parts of so many bytes.
const PIECE: usize = 4 << 10;
/// Redactions that a card lists.
const MAX_REDACTIONS: usize = 1 << 16;

/// What a [`StreamGuard`] lets through.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Released {
    /// The next part of the redacted text; empty while all of it is held back.
    pub text: String,
    /// What was replaced in it, in bytes of the whole text before redaction.
    pub redactions: Vec<Redaction>,
    /// Whether the stream was blocked: nothing follows, and the card says why.
    pub blocked: bool,
}

/// A guard over one text that comes in pieces: what it releases is what [`Guard::check`] gives for the whole, wherever it is
/// cut, and nothing of what that redacts. `docs/guard.md` states the promise, its limits and the delay.
///
/// ```
/// use bho_guard::{Guard, Mode, Policy, StreamGuard};
///
/// let mut stream = StreamGuard::new(Guard::new(Policy::default())?, "chat:post", Mode::Output)?;
/// let mut shown = String::new();
/// for piece in ["Write to ann@exa", "mple.org about the ", "offer, she will know."] {
///     shown += &stream.push(piece)?.text;
///     assert!(!shown.contains("ann"));
/// }
/// let (rest, card) = stream.finish()?;
/// assert_eq!(shown + &rest.text, "Write to [EMAIL] about the offer, she will know.");
/// assert_eq!(card.redactions[0].span, [9, 24]);
/// # Ok::<(), bho_guard::GuardError>(())
/// ```
///
/// Pieces are whole characters; who reads bytes joins those that a piece cuts. A stream that failed lets nothing through any
/// more: each further call gives the same error.
pub struct StreamGuard {
    guard: Guard,
    hold: Hold,
    /// What each detector asks for behind its findings.
    after: Vec<(&'static str, usize)>,
    /// Detectors that judge sentences.
    readers: Vec<&'static str>,
    /// The text from `base` on; all other places are counted in it.
    text: String,
    base: usize,
    /// Up to here all is released, or withheld.
    done: usize,
    /// Bytes that no scan has seen.
    fresh: usize,
    /// What models have read: the sentence before, and up to where.
    before: usize,
    judged: usize,
    learned: Vec<Finding>,
    budget: Budget,
    /// Withholding, up to where the thing ends that was too long to be held back.
    withholding: Option<Withholding>,
    card: ModerationCard,
    scanned: u64,
    failed: Option<GuardError>,
}

impl StreamGuard {
    /// A guard for one text; `node` and `mode` as in [`Guard::check`].
    ///
    /// # Errors
    /// Those of [`Guard::check`] for an empty text.
    pub fn new(guard: Guard, node: &str, mode: Mode) -> Result<Self, GuardError> {
        let detectors = || guard.detectors().iter();
        let hold = detectors().map(|d| d.hold()).fold(edge::SPELLED, Hold::and);
        let after = detectors().map(|d| (d.name(), d.hold().after)).collect();
        let readers = detectors().filter(|d| d.hold().sentences).map(|d| d.name()).collect();
        let card = guard.decide(node, "", mode, &[], &[])?;
        let budget = Budget::new(guard.policy().model_windows);
        Ok(Self {
            guard,
            hold,
            after,
            readers,
            text: String::new(),
            base: 0,
            done: 0,
            fresh: 0,
            before: 0,
            judged: 0,
            learned: Vec::new(),
            budget,
            withholding: None,
            card,
            scanned: 0,
            failed: None,
        })
    }

    /// Takes the next piece and gives what may be shown by now.
    ///
    /// # Errors
    /// Those of [`Guard::check`]; nothing follows then.
    pub fn push(&mut self, piece: &str) -> Result<Released, GuardError> {
        let mut out = Released::default();
        let mut rest = piece;
        while !rest.is_empty() && self.card.allowed && self.failed.is_none() {
            let (part, more) = rest.split_at(floor_boundary(rest, PIECE));
            rest = more;
            self.text.push_str(part);
            self.fresh += part.len();
            if self.fresh >= STEP {
                self.scan(false, &mut out)?;
            }
        }
        self.checked(out)
    }

    /// Ends the text: the rest of it, and the card of the whole.
    ///
    /// Spans count bytes of the whole text before redaction. The card's `text` is empty, the text having been released as it
    /// came, unless the stream was blocked: then it is what stands in for it. `labels` are the highest seen.
    ///
    /// # Errors
    /// Those of [`Guard::check`].
    pub fn finish(mut self) -> Result<(Released, ModerationCard), GuardError> {
        let mut out = Released::default();
        if self.card.allowed {
            self.scan(true, &mut out)?;
        }
        let out = self.checked(out)?;
        self.card.partly_read = self.budget.partly_read(&self.readers);
        Ok((out, self.card))
    }

    /// Bytes that are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.text.len() - self.done
    }

    /// Bytes that detectors have read so far, views not counted.
    #[must_use]
    pub fn scanned(&self) -> u64 {
        self.scanned
    }

    fn checked(&self, mut out: Released) -> Result<Released, GuardError> {
        out.blocked = !self.card.allowed;
        self.failed.clone().map_or(Ok(out), Err)
    }

    /// Looks at what is held back and releases what is settled; all of it when it is the `last` time.
    fn scan(&mut self, last: bool, out: &mut Released) -> Result<(), GuardError> {
        if self.failed.is_none()
            && let Err(error) = self.try_scan(last, out)
        {
            // What was not wholly checked is never shown.
            self.text.clear();
            self.done = 0;
            self.failed = Some(error);
        }
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn try_scan(&mut self, last: bool, out: &mut Released) -> Result<(), GuardError> {
        self.fresh = 0;
        if self.withholding.is_some() && !self.withhold_on(last, out) {
            self.trim();
            return Ok(());
        }
        let from = edge::word_start(&self.text, self.done.saturating_sub(CONTEXT));
        let window = &self.text[from..];
        let mut edge = Edge::of(window, &self.hold);
        let ctx = DetectContext::new(window, self.card.mode);
        let which = |detector: &dyn Detector| !self.readers.contains(&detector.name());
        let meet = &mut |view: &View| edge.meet(window, view, &self.hold);
        let mut findings = self.guard.find(window, &ctx, &which, meet)?;
        self.scanned += window.len() as u64;
        for finding in &mut findings {
            finding.span = finding.span.start + from..finding.span.end + from;
        }
        let known = |at: usize| if last { self.text.len() } else { at + from };
        let (open, read) = (known(edge.open), known(edge.read));
        let mut settled = known(edge.settled);
        let mut models = self.text.len();
        if self.hold.sentences {
            self.judge(last)?;
            models = self.judged;
            settled = settled.min(models);
            findings.extend(self.learned.iter().cloned());
        }
        findings.retain(|finding| finding.span.end > self.done || finding.span.is_empty());

        // What rules say of a sentence is weighed with what models say of it.
        let unread = |f: &Finding| self.hold.sentences && f.span.end > self.judged;
        let unsure = |f: &Finding| !last && (f.span.end + self.after(f) > read || unread(f));
        let mut to = settled;
        for finding in findings.iter().filter(|f| unsure(f)) {
            to = to.min(finding.span.start);
        }
        to = uncut(&findings, to).max(self.done);
        let mut sure = true;
        if self.text.len() - to > MAX_UNSURE {
            // As if nothing followed, but for what is not over, and for the last words.
            let enough = edge::word_start(&self.text, self.text.len() - MAX_UNSURE / 2);
            let enough = uncut(&findings, enough.min(open).min(models));
            if enough > to {
                (to, sure) = (enough, false);
            }
        }
        let blocking: Vec<_> = findings
            .iter()
            .filter(|f| match f.category {
                Category::Pii(_) => f.span.start < to,
                _ => !sure || !unsure(f),
            })
            .cloned()
            .collect();
        let value = findings
            .iter()
            .any(|f| matches!(f.category, Category::Pii(_)) && f.span.end == self.text.len());
        self.release(to, blocking, out)?;
        if self.card.allowed && !last && self.held() > MAX_HELD {
            self.withhold_rest(value, out);
        }
        self.trim();
        Ok(())
    }

    /// What the detector of a finding asks for behind it, in bytes as they were given: a disguise makes them more.
    fn after(&self, finding: &Finding) -> usize {
        let after = self.after.iter().find(|(name, _)| *name == finding.detector);
        after.map_or(0, |(_, after)| if finding.via.is_some() { 4 * after } else { *after })
    }

    /// Releases what stands before `to`, under the findings that are settled, unless they block.
    fn release(
        &mut self,
        to: usize,
        mut findings: Vec<Finding>,
        out: &mut Released,
    ) -> Result<(), GuardError> {
        let piece = self.done..to;
        let base = self.base + self.done;
        for Finding { category, span, .. } in &mut findings {
            // What is redacted stands in this part; what is moderated may have begun before it.
            *span = match category {
                Category::Pii(_) => {
                    let within = |at: usize| at.clamp(piece.start, piece.end) - piece.start;
                    within(span.start)..within(span.end)
                }
                _ => span.start + self.base..span.end + self.base,
            };
        }
        findings.retain(|f| !f.span.is_empty() || !matches!(f.category, Category::Pii(_)));
        if piece.is_empty() && findings.is_empty() {
            return Ok(());
        }
        findings.sort_by_key(|f| f.span.start);
        let text = &self.text[piece];
        let mut card = {
            let (node, mode) = (&self.card.node, self.card.mode);
            self.guard.decide(node, text, mode, &findings, &self.budget.left_out(&self.readers))?
        };
        for redaction in &mut card.redactions {
            redaction.span = redaction.span.map(|at| at + base);
        }
        for evidence in card.evidence.iter_mut().filter(|e| e.kind.starts_with("PII.")) {
            evidence.span = evidence.span.map(|at| at + base);
        }
        if card.allowed {
            out.text.push_str(&card.text);
            out.redactions.extend(card.redactions.iter().cloned());
            self.done = to;
        }
        self.merge(card);
        Ok(())
    }

    /// Forgets what no scan will look at again.
    fn trim(&mut self) {
        let mut cut = self.done.saturating_sub(CONTEXT + 256);
        if self.hold.sentences {
            cut = cut.min(self.before);
        }
        let cut = floor_boundary(&self.text, cut);
        if cut < CONTEXT {
            return;
        }
        self.text.drain(..cut);
        self.base += cut;
        self.budget.forget(self.base);
        self.done -= cut;
        if self.hold.sentences {
            self.before -= cut;
            self.judged -= cut;
        }
        let done = self.done;
        self.learned.retain_mut(|finding| {
            let behind = |at: usize| at.saturating_sub(cut);
            finding.span = behind(finding.span.start)..behind(finding.span.end);
            finding.span.end > done
        });
    }
}

impl fmt::Debug for StreamGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the text: it holds what has not been redacted yet.
        f.debug_struct("StreamGuard")
            .field("guard", &self.guard)
            .field("held", &self.held())
            .field("card", &self.card)
            .finish_non_exhaustive()
    }
}

/// The last place at or before `to` where no finding of personal data is cut.
fn uncut(findings: &[Finding], to: usize) -> usize {
    let mut spans: Vec<_> = findings
        .iter()
        .filter(|f| matches!(f.category, Category::Pii(_)))
        .map(|f| &f.span)
        .filter(|span| span.start < to)
        .collect();
    spans.sort_unstable_by_key(|span| std::cmp::Reverse(span.start));
    spans
        .into_iter()
        .fold(to, |to, span| if span.start < to && to < span.end { span.start } else { to })
}
