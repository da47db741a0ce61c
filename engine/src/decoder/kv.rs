// SPDX-License-Identifier: AGPL-3.0-or-later
//! The KV cache: keys and values of past positions, in pages that sequences share where they begin
//! alike.
//!
//! A page holds [`PAGE`] positions of every layer and KV head. Sequences are lists of pages; full
//! pages are known by the tokens they hold and what came before, so a prompt that begins like an
//! earlier one takes over its pages instead of computing them again. Pages nobody uses stay until
//! room is needed, the one unused longest first, and of one sequence the last first.

mod page;
mod rows;
mod sequence;

use std::collections::{HashMap, VecDeque};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use page::{Before, Page, Prefix};
use rows::HeadPages;
pub use rows::{KvKind, KvShape, PAGE};
pub use sequence::Sequence;

use crate::error::EngineError;

/// The cache of one model.
#[derive(Debug)]
pub struct KvCache {
    shape: KvShape,
    /// By layer and head.
    heads: Vec<RwLock<HeadPages>>,
    pages: Vec<Page>,
    /// How often each page was given to somebody new.
    generations: Vec<u64>,
    free: Vec<usize>,
    known: HashMap<Prefix, usize>,
    /// Unfinished pages that nobody uses and their tokens: the last to end behind each page.
    tails: HashMap<Before, (usize, Box<[u32]>)>,
    max_pages: usize,
    clock: u64,
    /// Ended texts that are kept; none keeps as many as there is room for.
    keep: Option<usize>,
    /// When each of those ended, oldest first.
    ends: VecDeque<u64>,
}

impl KvCache {
    /// An empty cache that takes at most `max_bytes`, a page at a time as positions come.
    ///
    /// # Errors
    /// [`EngineError::Input`] when not even one page fits.
    pub fn new(shape: KvShape, max_bytes: usize) -> Result<Self, EngineError> {
        let max_pages = max_bytes / shape.page_bytes().max(1);
        if max_pages == 0 {
            let needed = shape.page_bytes();
            return Err(EngineError::Input(format!(
                "a KV cache of {max_bytes} bytes holds no page; one takes {needed} bytes"
            )));
        }
        let heads = (0..shape.layers * shape.heads).map(|_| RwLock::default()).collect();
        Ok(Self {
            shape,
            heads,
            pages: Vec::new(),
            generations: Vec::new(),
            free: Vec::new(),
            known: HashMap::new(),
            tails: HashMap::new(),
            max_pages,
            clock: 0,
            keep: None,
            ends: VecDeque::new(),
        })
    }

    /// Keeps what the last `texts` texts that ended have cached, and shares it; 0 shares nothing, also
    /// not between texts of the same time.
    #[must_use]
    pub fn keeping(self, texts: Option<usize>) -> Self {
        Self { keep: texts, ..self }
    }

    /// What it holds.
    pub fn shape(&self) -> KvShape {
        self.shape
    }

    /// Positions that fit in all.
    pub fn capacity(&self) -> usize {
        self.max_pages.saturating_mul(PAGE)
    }

    /// Bytes of the pages there are.
    pub fn bytes(&self) -> usize {
        self.pages.len() * self.shape.page_bytes()
    }

    /// Pages that a sequence can still get.
    pub fn available_pages(&self) -> usize {
        self.max_pages - self.pages.iter().filter(|page| page.users > 0).count()
    }

    /// A sequence that begins with as many of `tokens` as are cached, and at least one fewer than
    /// there are: the last one's logits are not cached.
    ///
    /// Whole pages are shared with whoever uses them. What an ended sequence left of an unfinished
    /// page goes to the first that continues it, as turns of a chat do.
    pub fn begin(&mut self, tokens: &[u32]) -> Sequence {
        let mut sequence = Sequence::default();
        if self.keep == Some(0) {
            return sequence;
        }
        let mut before = None;
        for chunk in tokens[..tokens.len().saturating_sub(1)].chunks_exact(PAGE) {
            let prefix = Prefix { before, tokens: chunk.into() };
            let Some(&page) = self.known.get(&prefix) else { break };
            self.pages[page].users += 1;
            before = Some((page, self.generations[page]));
            sequence.pages.push(page);
            sequence.tokens.extend_from_slice(chunk);
            sequence.known += 1;
        }
        let rest = &tokens[sequence.len()..tokens.len().saturating_sub(1).max(sequence.len())];
        if let Some((page, tail)) = self.tails.get(&before) {
            let page = *page;
            let same = tail.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if same > 0 {
                self.tails.remove(&before);
                self.pages[page].tail = None;
                self.pages[page].users = 1;
                sequence.pages.push(page);
                sequence.tokens.extend_from_slice(&rest[..same]);
            }
        }
        sequence.written = sequence.len();
        sequence
    }

    /// Room for `tokens` more; their keys and values are written by the next forward pass.
    ///
    /// # Errors
    /// [`EngineError::OutOfPages`] when the budget is used up; the sequence is as it was.
    pub fn extend(&mut self, sequence: &mut Sequence, tokens: &[u32]) -> Result<(), EngineError> {
        let needed = (sequence.tokens.len() + tokens.len()).div_ceil(PAGE);
        let missing = needed.saturating_sub(sequence.pages.len());
        if missing > self.available_pages() {
            let available = self.available_pages();
            return Err(EngineError::OutOfPages { needed: missing, available });
        }
        for _ in 0..missing {
            let page = self.take();
            sequence.pages.push(page);
        }
        sequence.tokens.extend_from_slice(tokens);
        Ok(())
    }

    /// Makes the pages that are full known to sequences that begin alike: call it when a forward
    /// pass has written them.
    pub fn publish(&mut self, sequence: &mut Sequence) {
        sequence.written = sequence.tokens.len();
        let shared = self.keep != Some(0);
        while shared && (sequence.known + 1) * PAGE <= sequence.tokens.len() {
            let index = sequence.known;
            let page = sequence.pages[index];
            let before = self.before(sequence, index);
            let tokens = sequence.tokens[index * PAGE..][..PAGE].into();
            let prefix = Prefix { before, tokens };
            // Whoever computed the same at the same time keeps a page of its own.
            if !self.known.contains_key(&prefix) {
                self.known.insert(prefix.clone(), page);
                self.pages[page].key = Some(prefix);
            }
            sequence.known += 1;
        }
    }

    /// Ends a sequence. What it cached stays known until room is needed.
    pub fn end(&mut self, sequence: Sequence) {
        let whole = sequence.known;
        let tokens = sequence.tokens.get(whole * PAGE..sequence.written).unwrap_or_default();
        if let (Some(&page), 1..) = (sequence.pages.get(whole), tokens.len())
            && self.keep != Some(0)
        {
            let before = self.before(&sequence, whole);
            if let Some((old, _)) = self.tails.insert(before, (page, tokens.into())) {
                self.pages[old].tail = None;
                self.free.push(old);
            }
            self.pages[page].tail = Some(before);
        }
        // The last first: pages make room in this order, and one is of no use without those before it.
        for page in sequence.pages.into_iter().rev() {
            self.give_back(page);
        }
        if let Some(keep) = self.keep {
            self.ends.push_back(self.clock);
            if self.ends.len() > keep
                && let Some(end) = self.ends.pop_front()
            {
                self.forget(end);
            }
        }
    }

    /// What page `index` of a sequence stands behind.
    fn before(&self, sequence: &Sequence, index: usize) -> Before {
        let page = *sequence.pages.get(index.checked_sub(1)?)?;
        Some((page, self.generations[page]))
    }

    fn give_back(&mut self, page: usize) {
        self.clock += 1;
        let entry = &mut self.pages[page];
        entry.users -= 1;
        entry.idle_since = self.clock;
        if entry.users == 0 && entry.key.is_none() && entry.tail.is_none() {
            self.free.push(page);
        }
    }

    /// Forgets pages that nobody has used since `end`.
    fn forget(&mut self, end: u64) {
        for page in 0..self.pages.len() {
            let Page { users, key, tail, idle_since } = &self.pages[page];
            if *users == 0 && *idle_since <= end && (key.is_some() || tail.is_some()) {
                self.unname(page);
                self.free.push(page);
            }
        }
    }

    /// Takes back what a page is known by.
    fn unname(&mut self, page: usize) {
        if let Some(key) = self.pages[page].key.take() {
            self.known.remove(&key);
        }
        if let Some(before) = self.pages[page].tail.take() {
            self.tails.remove(&before);
        }
    }

    /// A page for one user; there is one, or room for one.
    fn take(&mut self) -> usize {
        let page = self.free.pop().unwrap_or_else(|| {
            if self.pages.len() < self.max_pages {
                for head in &mut self.heads {
                    let head = head.get_mut().unwrap_or_else(PoisonError::into_inner);
                    head.push(&self.shape);
                }
                self.pages.push(Page { users: 0, key: None, tail: None, idle_since: 0 });
                self.generations.push(0);
                return self.pages.len() - 1;
            }
            let idle = self.pages.iter().enumerate().filter(|(_, page)| page.users == 0);
            let (page, _) = idle.min_by_key(|(_, page)| page.idle_since).expect("one is available");
            self.unname(page);
            page
        });
        self.generations[page] += 1;
        self.pages[page].users = 1;
        page
    }

    /// One head of one layer, to be read.
    pub(super) fn read(&self, layer: usize, head: usize) -> RwLockReadGuard<'_, HeadPages> {
        let lock = &self.heads[layer * self.shape.heads + head];
        lock.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// One head of one layer, to be written.
    pub(super) fn write(
        &self,
        layer: usize,
        head: usize,
    ) -> std::sync::RwLockWriteGuard<'_, HeadPages> {
        let lock = &self.heads[layer * self.shape.heads + head];
        lock.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(pages: usize) -> KvCache {
        let shape = KvShape { layers: 2, heads: 3, dim: 4, kind: KvKind::F16 };
        assert_eq!(shape.page_bytes(), 2 * 2 * 3 * PAGE * 4 * 2);
        KvCache::new(shape, pages * shape.page_bytes()).unwrap()
    }

    fn tokens(n: usize, seed: u32) -> Vec<u32> {
        (0..n as u32).map(|i| i * 7 + seed).collect()
    }

    fn run(cache: &mut KvCache, tokens: &[u32]) -> Sequence {
        let mut sequence = cache.begin(tokens);
        let rest = tokens[sequence.len()..].to_vec();
        cache.extend(&mut sequence, &rest).unwrap();
        cache.publish(&mut sequence);
        sequence
    }

    #[test]
    fn a_prompt_that_begins_alike_shares_whole_pages() {
        let mut cache = cache(10);
        let prompt = tokens(3 * PAGE + 5, 0);
        let first = run(&mut cache, &prompt);
        let mut other = prompt[..2 * PAGE + 3].to_vec();
        other.extend(tokens(PAGE, 9));
        let second = cache.begin(&other);
        assert_eq!((second.len(), second.pages()), (2 * PAGE, &first.pages()[..2]));
        // All but the last token: its logits are wanted.
        assert_eq!(cache.begin(&prompt[..2 * PAGE]).len(), PAGE);
        assert!(cache.begin(&tokens(3 * PAGE, 1)).is_empty());
        assert!(cache.begin(&[]).is_empty());
    }

    #[test]
    fn as_many_texts_are_kept_as_asked_for() {
        let texts = [0, 1, 2].map(|seed| tokens(2 * PAGE + 5, seed));
        let kept = |keep, order: &[usize]| {
            let mut cache = cache(40).keeping(keep);
            for &text in order {
                let sequence = run(&mut cache, &texts[text]);
                cache.end(sequence);
            }
            [0, 1, 2].map(|text| cache.begin(&texts[text]).len())
        };
        let whole = 2 * PAGE + 4;
        assert_eq!(kept(None, &[0, 1, 2]), [whole; 3]);
        assert_eq!(kept(Some(2), &[0, 1, 2]), [0, whole, whole]);
        // The one used last stays longest.
        assert_eq!(kept(Some(2), &[0, 1, 0, 2]), [whole, 0, whole]);
        assert_eq!(kept(Some(0), &[0, 1, 2]), [0; 3]);
        let mut cache = cache(40).keeping(Some(0));
        let running = run(&mut cache, &texts[0]);
        assert!(cache.begin(&texts[0]).is_empty());
        cache.end(running);
        assert_eq!((cache.available_pages(), cache.free.len()), (40, cache.pages.len()));
    }

    #[test]
    fn the_page_unused_longest_makes_room_and_used_ones_stay() {
        let mut cache = cache(4);
        let (a, b) = (tokens(PAGE + 1, 0), tokens(PAGE + 1, 1));
        let first = run(&mut cache, &a);
        let second = run(&mut cache, &b);
        assert_eq!(cache.available_pages(), 0);
        let mut third = cache.begin(&tokens(PAGE, 2));
        let full = cache.extend(&mut third, &tokens(1, 2));
        assert!(matches!(full, Err(EngineError::OutOfPages { needed: 1, available: 0 })));
        cache.end(first);
        // The unfinished page of the first is free, its full one known.
        assert_eq!((cache.available_pages(), cache.begin(&a).len()), (2, PAGE));
        cache.end(second);
        // Three more pages push out b's, as a's is in use again.
        let third = run(&mut cache, &tokens(2 * PAGE + 1, 2));
        assert_eq!(third.pages().len(), 3);
        assert_eq!(cache.begin(&b).len(), 0);
        assert_eq!(cache.begin(&a).len(), PAGE);
    }

    #[test]
    fn what_is_left_of_a_beginning_is_its_begin() {
        let mut cache = cache(4);
        let text = tokens(3 * PAGE + 1, 0);
        let first = run(&mut cache, &text);
        cache.end(first);
        let mut other = Sequence::default();
        for left in [3, 2, 1, 0] {
            cache.extend(&mut other, &tokens(PAGE, 1)).unwrap();
            let found = cache.begin(&text);
            assert_eq!(found.len(), left * PAGE);
            cache.end(found);
        }
    }

    #[test]
    fn of_two_that_begin_alike_the_shared_page_goes_last() {
        let mut cache = cache(3);
        let begin = tokens(PAGE, 0);
        let texts = [1, 2].map(|seed| [&begin[..], &tokens(PAGE, seed), &[0]].concat());
        let both = texts.each_ref().map(|text| run(&mut cache, &text[..2 * PAGE]));
        both.into_iter().for_each(|sequence| cache.end(sequence));
        let mut other = Sequence::default();
        for left in [[1, 2], [1, 1], [0, 0]] {
            cache.extend(&mut other, &tokens(PAGE, 3)).unwrap();
            let found = texts.each_ref().map(|text| cache.begin(text));
            assert_eq!(found.each_ref().map(Sequence::len), left.map(|pages| pages * PAGE));
            found.into_iter().for_each(|sequence| cache.end(sequence));
        }
    }

    #[test]
    fn a_reused_page_is_not_taken_for_what_it_held() {
        let mut cache = cache(4);
        let text = tokens(2 * PAGE, 0);
        // Both compute the same at the same time: the first page is known by its copy of the first
        // sequence, yet the second one stands behind the copy of the second.
        let [mut first, mut second] = [(); 2].map(|()| {
            let mut sequence = cache.begin(&text);
            cache.extend(&mut sequence, &text).unwrap();
            sequence
        });
        cache.publish(&mut first);
        cache.publish(&mut second);
        let unknown = second.pages()[0];
        cache.end(second);
        // The second page must not be found behind what comes into that copy now.
        let other = run(&mut cache, &tokens(PAGE, 5));
        assert_eq!(other.pages(), [unknown]);
        assert_eq!(cache.begin(&[&tokens(PAGE, 5)[..], &text[PAGE..], &[0]].concat()).len(), PAGE);
    }

    #[test]
    fn who_goes_on_where_a_sequence_ended_gets_its_unfinished_page() {
        let mut cache = cache(4);
        let text = tokens(2 * PAGE, 3);
        let first = run(&mut cache, &text[..PAGE + 9]);
        // Not while it is being written.
        assert_eq!(cache.begin(&text).len(), PAGE);
        cache.end(first);
        let mut second = cache.begin(&text[..PAGE + 12]);
        assert_eq!((second.len(), cache.available_pages()), (PAGE + 9, 2));
        // What no pass has written does not count.
        cache.extend(&mut second, &text[PAGE + 9..PAGE + 12]).unwrap();
        cache.end(second);
        // One that turns elsewhere takes what is the same.
        let other = [&text[..PAGE + 4], &[1_000_000; 5]].concat();
        let third = run(&mut cache, &other);
        assert_eq!((third.len(), cache.begin(&text).len()), (PAGE + 9, PAGE));
        cache.end(third);
        assert_eq!(cache.begin(&text).len(), PAGE + 4);
    }

    #[test]
    fn unfinished_pages_make_room_as_others_do() {
        let mut cache = cache(3);
        for seed in 0..20 {
            let sequence = run(&mut cache, &tokens(PAGE / 2, seed % 3));
            cache.end(sequence);
            let sequence = run(&mut cache, &tokens(2 * PAGE + 1, seed + 100));
            assert_eq!((sequence.pages().len(), cache.available_pages()), (3, 0));
            cache.end(sequence);
            assert_eq!(cache.available_pages(), 3);
            assert_eq!(cache.begin(&tokens(PAGE / 2, seed % 3)).len(), 0);
        }
    }

    #[test]
    fn a_budget_below_one_page_is_an_error() {
        let shape = KvShape { layers: 1, heads: 1, dim: 8, kind: KvKind::Int8 };
        assert_eq!(shape.page_bytes(), 2 * PAGE * 12);
        assert!(KvCache::new(shape, shape.page_bytes() - 1).is_err());
    }
}
