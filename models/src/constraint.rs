// SPDX-License-Identifier: AGPL-3.0-or-later
//! Answers held to a regular expression or a JSON schema.
//!
//! The grammars come from users, so they are untrusted: their size and nesting are checked first,
//! compiling runs on a thread with a large stack, and `llguidance` counts the work of compiling and
//! of every token. Past a limit there is an error, never a mask that is wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bho_engine::sampling::{Constraint, SamplingError, TokenMask};
use llguidance::api::{ParserLimits, StopReason, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use crate::decoder_tokenizer::DecoderTokenizer;

/// Longest regular expression, in bytes.
const MAX_REGEX: usize = 16 << 10;

/// Longest JSON schema as text, in bytes.
const MAX_SCHEMA: usize = 256 << 10;

/// Deepest nesting of a JSON schema, and of groups in a regular expression.
const MAX_DEPTH: usize = 64;

/// Stack of the compiling thread: address space, of which only what is used becomes memory.
const STACK: usize = 64 << 20;

/// Tokens longer than this are never allowed: `llguidance` counts their bytes in ten bits.
const MAX_TOKEN: usize = 1000;

/// Makes constraints for the tokens of one model. Building one walks over the whole vocabulary;
/// its constraints share that.
pub struct ConstraintFactory {
    parsers: ParserFactory,
    end: Vec<u32>,
}

impl std::fmt::Debug for ConstraintFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConstraintFactory").field("end", &self.end).finish_non_exhaustive()
    }
}

impl ConstraintFactory {
    /// A factory for the tokens of `tokenizer`; `end` are the ids that end an answer.
    ///
    /// # Errors
    /// As [`ConstraintFactory::from_tokens`].
    pub fn new(tokenizer: &DecoderTokenizer, end: &[u32]) -> Result<Self, SamplingError> {
        let tokens = (0..tokenizer.ids() as u32).map(|id| {
            let text = !tokenizer.is_special(id);
            text.then(|| tokenizer.token_bytes(id))
        });
        Self::from_tokens(tokens, end)
    }

    /// A factory for tokens that stand for these bytes, by id; `None` marks special tokens, which
    /// only `end` allows.
    ///
    /// Tokens without bytes, or with more than 1000, are never allowed.
    ///
    /// # Errors
    /// Without an id in `end`, for one past the tokens, or too many tokens.
    pub fn from_tokens<'t>(
        tokens: impl Iterator<Item = Option<&'t [u8]>>,
        end: &[u32],
    ) -> Result<Self, SamplingError> {
        // A first byte of FF marks special tokens; as text it is no UTF-8 and cannot be allowed.
        let usable = |bytes: &&[u8]| bytes.len() <= MAX_TOKEN && bytes.first() != Some(&0xFF);
        let words: Vec<Vec<u8>> =
            tokens.map(|t| t.filter(usable).unwrap_or_default().to_vec()).collect();
        let vocab = words.len();
        let &[first, ..] = end else {
            return Err(failed("needs a token that ends an answer, found none"));
        };
        if let Some(&id) = end.iter().find(|&&id| id as usize >= vocab) {
            return Err(SamplingError::Token { id, place: "the tokens that end an answer", vocab });
        }
        let built = catch_unwind(AssertUnwindSafe(|| {
            let trie = TokTrie::from(&TokRxInfo::new(vocab as u32, first), &words);
            let trie = trie.with_eos_tokens(end);
            let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
            // Slices speed up masks of JSON strings; they cost one walk over the vocabulary.
            let slices = llguidance::earley::SlicedBiasComputer::general_slices();
            let mut parsers = ParserFactory::new(&env, InferenceCapabilities::default(), &slices)
                .map_err(|e| e.to_string())?;
            parsers.quiet();
            *parsers.limits_mut() = limits();
            Ok::<_, String>(parsers)
        }));
        let parsers = built
            .unwrap_or_else(|_| Err("the vocabulary is not accepted".into()))
            .map_err(failed)?;
        Ok(Self { parsers, end: end.to_vec() })
    }

    /// An answer that `pattern` matches as a whole, in the syntax of Rust's `regex` crate (no
    /// look-around, no back-references).
    ///
    /// # Errors
    /// [`SamplingError::Constraint`] for a pattern that is none, or is past the limits.
    pub fn regex(&self, pattern: &str) -> Result<Box<dyn Constraint>, SamplingError> {
        let length = pattern.len();
        if length > MAX_REGEX {
            return Err(failed(format!(
                "the regular expression has {length} bytes; accepted: at most {MAX_REGEX}"
            )));
        }
        let depth = pattern.bytes().scan(0usize, |depth, byte| {
            *depth = match byte {
                b'(' | b'[' => *depth + 1,
                b')' | b']' => depth.saturating_sub(1),
                _ => *depth,
            };
            Some(*depth)
        });
        check_depth("the regular expression", depth.max().unwrap_or(0))?;
        self.compile(|| TopLevelGrammar::from_regex(pattern))
    }

    /// An answer that is JSON and valid under `schema`, written on one line with `", "` and
    /// `": "`, so that a model cannot go on with white space for ever.
    ///
    /// Which keywords are known: `llguidance`'s documentation of JSON schemas. An unknown one that
    /// would constrain the answer is an error, as are references to other documents. As JSON Schema
    /// has it, an integer may be written `3.0`.
    ///
    /// # Errors
    /// [`SamplingError::Constraint`] for a schema that nothing satisfies, that is not understood,
    /// or is past the limits.
    pub fn json_schema(&self, schema: &Value) -> Result<Box<dyn Constraint>, SamplingError> {
        check_depth("the schema", depth(schema))?;
        let length = schema.to_string().len();
        if length > MAX_SCHEMA {
            return Err(failed(format!(
                "the schema has {length} bytes; accepted: at most {MAX_SCHEMA}"
            )));
        }
        let mut schema = schema.clone();
        if let Value::Object(map) = &mut schema {
            map.insert("x-guidance".into(), json!({ "whitespace_flexible": false }));
        }
        self.compile(|| TopLevelGrammar::from_json_schema(schema))
    }

    fn compile(
        &self,
        grammar: impl FnOnce() -> TopLevelGrammar + Send,
    ) -> Result<Box<dyn Constraint>, SamplingError> {
        let mut matcher = std::thread::scope(|scope| {
            std::thread::Builder::new()
                .name("bho-constraint".into())
                .stack_size(STACK)
                .spawn_scoped(scope, || Matcher::new(self.parsers.create_parser(grammar())))
                .map_err(|e| failed(format!("cannot start the thread that compiles it: {e}")))?
                .join()
                .map_err(|_| failed("the grammar makes the compiler panic"))
        })?;
        if let Some(error) = matcher.get_error() {
            return Err(failed(error));
        }
        // A grammar without any text is found here, not after the first token.
        let first = matcher.compute_mask_or_eos().map_err(|e| failed(e.to_string()))?;
        if first.is_zero() {
            return Err(failed("no text of these tokens satisfies it"));
        }
        Ok(Box::new(Grammar { matcher, end: self.end.clone(), ended: false }))
    }
}

/// What compiling and every token may cost: a state of the lexer takes up to 2 kB.
fn limits() -> ParserLimits {
    ParserLimits {
        max_lexer_states: 25_000,
        max_grammar_size: 200_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// A constraint of one generation.
struct Grammar {
    matcher: Matcher,
    end: Vec<u32>,
    /// Whether a token that ends the answer was taken.
    ended: bool,
}

impl Grammar {
    /// An error if the parser gave up instead of coming to the end of the text.
    fn check(&self) -> Result<(), SamplingError> {
        if let Some(error) = self.matcher.get_error() {
            return Err(failed(error));
        }
        match self.matcher.stop_reason() {
            StopReason::NotStopped | StopReason::NoExtension | StopReason::EndOfSentence => Ok(()),
            StopReason::NoExtensionBias => Err(failed("no token continues the text")),
            reason => Err(failed(format!("the parser gave up: {reason:?}"))),
        }
    }
}

impl Constraint for Grammar {
    fn allowed(&mut self, mask: &mut TokenMask) -> Result<(), SamplingError> {
        self.check()?;
        if self.ended || self.matcher.is_stopped() {
            self.end.iter().for_each(|&id| mask.allow(id));
            return Ok(());
        }
        let allowed = self.matcher.compute_mask_or_eos().map_err(|e| failed(e.to_string()))?;
        self.check()?;
        mask.allow_words(allowed.as_slice());
        Ok(())
    }

    fn accept(&mut self, token: u32) -> Result<(), SamplingError> {
        if self.end.contains(&token) {
            if !self.is_complete() {
                return Err(failed(format!("token {token} ends the answer before it is complete")));
            }
            self.ended = true;
            return Ok(());
        }
        if self.ended {
            return Err(failed(format!("token {token} comes behind the end of the answer")));
        }
        self.matcher.consume_token(token).map_err(|e| failed(e.to_string()))?;
        self.check()
    }

    fn is_complete(&mut self) -> bool {
        self.ended || self.matcher.is_accepting().unwrap_or(false)
    }
}

fn check_depth(what: &str, depth: usize) -> Result<(), SamplingError> {
    if depth > MAX_DEPTH {
        let message = format!("{what} is nested {depth} levels deep; accepted: {MAX_DEPTH}");
        return Err(failed(message));
    }
    Ok(())
}

/// Levels of arrays and objects in a value; stops counting past the limit.
fn depth(value: &Value) -> usize {
    let mut deepest = 0;
    let mut rest = vec![(value, 1)];
    while let Some((value, level)) = rest.pop() {
        deepest = deepest.max(level);
        if deepest > MAX_DEPTH {
            break;
        }
        match value {
            Value::Array(items) => rest.extend(items.iter().map(|v| (v, level + 1))),
            Value::Object(map) => rest.extend(map.values().map(|v| (v, level + 1))),
            _ => {}
        }
    }
    deepest
}

/// An error in llguidance's words, or ours where it has only a code.
fn failed(message: impl Into<String>) -> SamplingError {
    let message = message.into();
    let shown = message.split("<non-verbose/>").next().unwrap_or_default().trim();
    SamplingError::Constraint(match shown {
        "NoExtensionBias" => "no text of these tokens satisfies it".into(),
        shown => shown.chars().take(400).collect(),
    })
}
