// SPDX-License-Identifier: AGPL-3.0-or-later
//! Constrained decoding: which tokens may come next.

use super::error::SamplingError;

/// Rules out tokens that would leave a language: a regular expression, a JSON schema, a grammar.
///
/// A constraint follows one generation. The sampler asks it before every token and tells it the
/// token it chose.
pub trait Constraint: Send {
    /// Allows in `mask`, which comes with no token allowed, every token that may come next. When
    /// the text may end here, that includes the end-of-sequence tokens.
    ///
    /// # Errors
    /// [`SamplingError::Constraint`] when the constraint cannot say, for example past its limits.
    fn allowed(&mut self, mask: &mut TokenMask) -> Result<(), SamplingError>;

    /// Takes the chosen token.
    ///
    /// # Errors
    /// [`SamplingError::Constraint`] when the token was not allowed.
    fn accept(&mut self, token: u32) -> Result<(), SamplingError>;

    /// Whether the text so far is a whole member of the language.
    fn is_complete(&mut self) -> bool;
}

/// A set of token ids below the vocabulary size, one bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenMask {
    words: Vec<u32>,
    vocab: usize,
}

impl TokenMask {
    /// The empty set for ids below `vocab`.
    pub fn new(vocab: usize) -> Self {
        Self { words: vec![0; vocab.div_ceil(32)], vocab }
    }

    /// Ids are below this.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// Forbids every token.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Allows `id`; an id past the vocabulary is ignored.
    pub fn allow(&mut self, id: u32) {
        if (id as usize) < self.vocab {
            self.words[id as usize / 32] |= 1 << (id % 32);
        }
    }

    /// Allows the ids whose bits are set: id `i` is bit `i % 32` of word `i / 32`. Bits past the
    /// vocabulary, and words past the mask, are ignored.
    pub fn allow_words(&mut self, words: &[u32]) {
        for (to, from) in self.words.iter_mut().zip(words) {
            *to |= from;
        }
        if let (Some(last), tail @ 1..) = (self.words.last_mut(), self.vocab % 32) {
            *last &= (1 << tail) - 1;
        }
    }

    /// Whether `id` is allowed.
    pub fn allows(&self, id: u32) -> bool {
        self.words.get(id as usize / 32).is_some_and(|w| w >> (id % 32) & 1 == 1)
    }

    /// How many tokens are allowed.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// The allowed ids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.vocab as u32).filter(|&id| self.allows(id))
    }

    /// Sets the logits of all other tokens to `-inf`. `logits`: `[vocab]`.
    pub(super) fn forbid_others(&self, logits: &mut [f32]) {
        for (&word, chunk) in self.words.iter().zip(logits.chunks_mut(32)) {
            if word == 0 {
                chunk.fill(f32::NEG_INFINITY);
            } else {
                for (i, logit) in chunk.iter_mut().enumerate() {
                    if word >> i & 1 == 0 {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_past_the_vocabulary_are_ignored() {
        let mut mask = TokenMask::new(35);
        mask.allow(34);
        mask.allow(35);
        mask.allow_words(&[1 << 31, !0, !0]);
        assert_eq!(mask.iter().collect::<Vec<_>>(), [31, 32, 33, 34]);
        assert_eq!(mask.count(), 4);
        let mut logits = vec![1.0; 35];
        mask.forbid_others(&mut logits);
        let kept: Vec<_> = (0..35).filter(|&i| logits[i] == 1.0).collect();
        assert_eq!(kept, [31, 32, 33, 34]);
        mask.clear();
        assert_eq!(mask.count(), 0);
        assert!(!mask.allows(1000));
    }
}
