// SPDX-License-Identifier: AGPL-3.0-or-later
//! The trait every signal of the guard implements, and what it is told about the text.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::card::Mode;
use crate::error::GuardError;
use crate::finding::{Category, Finding, PiiType};
use crate::reading::{MODEL_WINDOWS, Reading};
use crate::text::numbers::Numbers;
use crate::text::tokens::{self, Token};

/// Finds one kind of thing in a text.
///
/// Implementations work in time linear in the text, keep no state between calls and never put text into names, rules or
/// errors. A detector that runs a model calls [`DetectContext::check_cancelled`] between windows or layers.
pub trait Detector: Send + Sync {
    /// A stable short name, e.g. `email`.
    fn name(&self) -> &'static str;

    /// The signal this detector feeds, for `doctor` and `validate`.
    fn signal(&self) -> Signal;

    /// Further signals it feeds, for a detector of several.
    fn also_feeds(&self) -> &'static [Signal] {
        &[]
    }

    /// The PII types it may report; these become keys of `policies.redactions`.
    fn pii_types(&self) -> &'static [PiiType] {
        &[]
    }

    /// Whether it also reads the normaliser's views of a text, which is asked of every detector of patterns. One that
    /// runs a model answers no and reads [`model_view`](crate::model_view) of the text itself.
    fn reads_views(&self) -> bool {
        true
    }

    /// How much of a text that still grows it must see before what stands there is settled; see [`Hold`].
    fn hold(&self) -> Hold {
        Hold::default()
    }

    /// How its word on a jailbreak or an injection counts beside others'. One that judges texts by a model says
    /// [`Opinion::Model`] of the categories it reports, and of no others: its silence counts too.
    fn opinion(&self, _category: Category) -> Opinion {
        Opinion::Own
    }

    /// Appends what it finds in `text` to `out`, in any order.
    ///
    /// `ctx` was made for this very `text`. Findings may be of any score; the policy's thresholds decide.
    ///
    /// # Errors
    /// [`GuardError::Cancelled`] when asked to stop, [`GuardError::Detector`] when it cannot do its work.
    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError>;
}

/// A detector that several guards share.
impl<D: Detector + ?Sized> Detector for Arc<D> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn signal(&self) -> Signal {
        (**self).signal()
    }

    fn also_feeds(&self) -> &'static [Signal] {
        (**self).also_feeds()
    }

    fn pii_types(&self) -> &'static [PiiType] {
        (**self).pii_types()
    }

    fn reads_views(&self) -> bool {
        (**self).reads_views()
    }

    fn hold(&self) -> Hold {
        (**self).hold()
    }

    fn opinion(&self, category: Category) -> Opinion {
        (**self).opinion(category)
    }

    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        (**self).detect(text, ctx, out)
    }
}

/// What a [`StreamGuard`](crate::StreamGuard) keeps back for a detector at the end of a text that still grows.
///
/// Three things are kept back whatever a detector asks for, so that it need not: an unbroken stretch of text (without white
/// space, quotes, brackets and commas) that is not over, words spaced out letter by letter, and the block of a private key.
/// So a detector whose findings lie within one stretch needs nothing but `after`. The default is meant for a detector of
/// which nothing is known: findings of up to 64 words or a kibibyte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Words at the end of the text that may be the beginning of a finding.
    pub words: usize,
    /// Words before a digit, an `@` or a quote that may be part of the finding it belongs to.
    pub lead: usize,
    /// Bytes from such a sign on in which the finding ends, and in which the words after it stand that count.
    pub signs: usize,
    /// Bytes after something it has reported that may still change its score or its end.
    pub after: usize,
    /// Whether it judges sentences as a whole, as a model does: it is then run once a sentence, on that and the one before.
    pub sentences: bool,
}

impl Default for Hold {
    fn default() -> Self {
        Self { words: 64, lead: 64, signs: 1024, after: 256, sentences: false }
    }
}

impl Hold {
    /// Findings within one unbroken stretch, and the words just after it.
    pub const STRETCH: Self = Self { words: 0, lead: 0, signs: 0, after: 32, sentences: false };
    /// Numbers in groups: the longest is an IBAN, of 33 characters, each behind a separator of up to three bytes.
    pub const NUMBER: Self = Self { words: 2, lead: 2, signs: 192, ..Self::STRETCH };
    /// Whole sentences, judged by a model.
    pub const SENTENCES: Self = Self { words: 0, lead: 0, signs: 0, after: 0, sentences: true };

    /// What serves both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            words: self.words.max(other.words),
            lead: self.lead.max(other.lead),
            signs: self.signs.max(other.signs),
            after: self.after.max(other.after),
            sentences: self.sentences || other.sentences,
        }
    }
}

/// How a detector's score of a jailbreak or an injection is weighed (`docs/guard.md`, "Two opinions").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opinion {
    /// It decides by itself, whatever others say.
    Own,
    /// Rules: what they only suspect needs a model's agreement, where a model reads the text.
    Rules,
    /// A model's probability.
    Model,
}

/// Whose words a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Source {
    /// What a user or a model says.
    #[default]
    Dialogue,
    /// What was fetched for them: chunks of documents, results of tools. Nobody gives orders in it.
    Retrieved,
}

/// The signals the guard reports, one label of a card each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// `labels.toxicity`
    Toxicity,
    /// `labels.jailbreak`
    Jailbreak,
    /// `labels.pii`
    Pii,
}

impl Signal {
    /// The signal of this key.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        [Self::Toxicity, Self::Jailbreak, Self::Pii].into_iter().find(|signal| signal.key() == key)
    }

    /// The label's name in a card.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Toxicity => "toxicity",
            Self::Jailbreak => "jailbreak",
            Self::Pii => "pii",
        }
    }
}

/// What detectors share while they look at one text.
pub struct DetectContext<'a> {
    text: &'a str,
    /// Bytes before it of the text that it is a part of.
    offset: usize,
    mode: Mode,
    source: Source,
    cancelled: &'a (dyn Fn() -> bool + Sync),
    /// Windows that a model may read of the text.
    windows: usize,
    /// What models have left unread.
    partly: Mutex<Vec<Reading>>,
    numbers: OnceLock<Numbers>,
    tokens: OnceLock<Vec<Token>>,
}

impl<'a> DetectContext<'a> {
    /// A context for one text that is never cancelled.
    #[must_use]
    pub fn new(text: &'a str, mode: Mode) -> Self {
        Self::with_cancel(text, mode, &|| false)
    }

    /// A context for one text; `cancelled` is asked now and then and returns true when the work is no longer wanted.
    #[must_use]
    pub fn with_cancel(
        text: &'a str,
        mode: Mode,
        cancelled: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self {
            text,
            offset: 0,
            mode,
            source: Source::Dialogue,
            cancelled,
            windows: MODEL_WINDOWS,
            partly: Mutex::default(),
            numbers: OnceLock::new(),
            tokens: OnceLock::new(),
        }
    }

    /// The same where a model reads so many windows of the text at most (see [`Policy::model_windows`]).
    ///
    /// [`Policy::model_windows`]: crate::Policy::model_windows
    #[must_use]
    pub fn within(mut self, windows: usize) -> Self {
        self.windows = windows;
        self
    }

    /// The same for a text of this source.
    #[must_use]
    pub fn of(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// A context like this one for another reading of the text.
    pub(crate) fn beside<'b>(&'b self, text: &'b str) -> DetectContext<'b> {
        DetectContext::with_cancel(text, self.mode, self.cancelled)
            .of(self.source)
            .within(self.windows)
    }

    /// The same where the text is a part of another that begins so many bytes further.
    pub(crate) fn behind(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// Where the text begins in the one that it is a part of.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// Windows of the text that a detector which runs a model may read.
    #[must_use]
    pub fn model_windows(&self) -> usize {
        self.windows
    }

    /// Notes what a model left unread.
    pub(crate) fn note(&self, reading: Reading) {
        self.partly.lock().unwrap_or_else(PoisonError::into_inner).push(reading);
    }

    /// What models left unread; nothing of those that read all.
    pub(crate) fn take_partly_read(&self) -> Vec<Reading> {
        std::mem::take(&mut self.partly.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whose words the text is.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// On which side of the model the text stands.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns early from a detector when the caller no longer waits for it.
    ///
    /// # Errors
    /// [`GuardError::Cancelled`].
    pub fn check_cancelled(&self) -> Result<(), GuardError> {
        if (self.cancelled)() { Err(GuardError::Cancelled) } else { Ok(()) }
    }

    /// The digit groups of the text, found once for all detectors of numbers.
    pub(crate) fn numbers(&self) -> &Numbers {
        self.numbers.get_or_init(|| Numbers::scan(self.text))
    }

    /// The long unbroken stretches of the text, found once for all detectors of keys and addresses.
    pub(crate) fn tokens(&self) -> &[Token] {
        self.tokens.get_or_init(|| tokens::scan(self.text))
    }
}
