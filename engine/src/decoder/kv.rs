// SPDX-License-Identifier: AGPL-3.0-or-later
//! The KV cache: keys and values of past positions, in pages that sequences share where they begin
//! alike.
//!
//! A page holds [`PAGE`] positions of every layer and KV head. Sequences are lists of pages; full
//! pages are known by the tokens they hold and what came before, so a prompt that begins like an
//! earlier one takes over its pages instead of computing them again. Pages nobody uses stay until
//! room is needed, the one unused longest first.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use bho_kernels::{Kernels, KvColumns, KvRows, f16};

use crate::error::EngineError;

/// Positions of a page.
pub const PAGE: usize = 32;

/// How cached keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KvKind {
    /// Half precision.
    #[default]
    F16,
    /// Single precision: twice the memory, and no rounding at all.
    F32,
    /// 8 bits with a scale per head and position: half the memory, a little coarser.
    Int8,
}

impl KvKind {
    /// `f16`, `f32` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::Int8 => "int8",
        }
    }

    /// Bytes of one cached row of `dim` values.
    fn row_bytes(self, dim: usize) -> usize {
        match self {
            Self::F16 => 2 * dim,
            Self::F32 => 4 * dim,
            Self::Int8 => dim + 4,
        }
    }
}

/// What a cache has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvShape {
    /// Layers of the model.
    pub layers: usize,
    /// Key and value heads of a layer.
    pub heads: usize,
    /// Values per head.
    pub dim: usize,
    /// How they are stored.
    pub kind: KvKind,
}

impl KvShape {
    /// Bytes of one page.
    pub fn page_bytes(&self) -> usize {
        2 * self.layers * self.heads * PAGE * self.kind.row_bytes(self.dim)
    }
}

/// One head's keys or values of a page: `[PAGE, dim]` values, or `[dim, PAGE]` keys, whose scores
/// are computed for many positions at once.
#[derive(Debug)]
enum Rows {
    F16(Box<[f16]>),
    F32(Box<[f32]>),
    Int8 { values: Box<[i8]>, scales: Box<[f32]> },
}

impl Rows {
    fn new(shape: &KvShape) -> Self {
        match shape.kind {
            KvKind::F16 => Self::F16(vec![f16::ZERO; PAGE * shape.dim].into()),
            KvKind::F32 => Self::F32(vec![0.0; PAGE * shape.dim].into()),
            KvKind::Int8 => Self::Int8 {
                values: vec![0; PAGE * shape.dim].into(),
                scales: vec![0.0; PAGE].into(),
            },
        }
    }

    /// Writes the values of one position.
    fn write_row(&mut self, kernels: &dyn Kernels, at: usize, row: &[f32]) {
        let range = at * row.len()..(at + 1) * row.len();
        match self {
            Self::F16(data) => kernels.f32_to_f16(row, &mut data[range]),
            Self::F32(data) => data[range].copy_from_slice(row),
            Self::Int8 { values, scales } => {
                scales[at] = kernels.quantize_row(row, &mut values[range]).scale;
            }
        }
    }

    /// Writes the key of one position.
    fn write_column(&mut self, kernels: &dyn Kernels, at: usize, key: &[f32]) {
        fn scatter<T: Copy>(data: &mut [T], at: usize, values: &[T]) {
            for (column, &value) in data.chunks_exact_mut(PAGE).zip(values) {
                column[at] = value;
            }
        }
        match self {
            Self::F16(data) => {
                let mut narrow = vec![f16::ZERO; key.len()];
                kernels.f32_to_f16(key, &mut narrow);
                scatter(data, at, &narrow);
            }
            Self::F32(data) => scatter(data, at, key),
            Self::Int8 { values, scales } => {
                let mut narrow = vec![0; key.len()];
                scales[at] = kernels.quantize_row(key, &mut narrow).scale;
                scatter(values, at, &narrow);
            }
        }
    }

    fn columns(&self, at: Range<usize>, dim: usize) -> Result<KvColumns<'_>, EngineError> {
        Ok(match self {
            Self::F16(data) => KvColumns::f16(data, at, dim, PAGE)?,
            Self::F32(data) => KvColumns::f32(data, at, dim, PAGE)?,
            Self::Int8 { values, scales } => KvColumns::int8(values, scales, at, dim)?,
        })
    }

    fn rows(&self, at: Range<usize>, dim: usize) -> Result<KvRows<'_>, EngineError> {
        Ok(match self {
            Self::F16(data) => {
                KvRows::f16(&data[at.start * dim..at.end * dim], at.len(), dim, dim)?
            }
            Self::F32(data) => {
                KvRows::f32(&data[at.start * dim..at.end * dim], at.len(), dim, dim)?
            }
            Self::Int8 { values, scales } => {
                KvRows::int8(&values[at.start * dim..at.end * dim], &scales[at], dim, dim)?
            }
        })
    }
}

/// Keys and values of one head of one layer, by page.
#[derive(Debug, Default)]
pub(super) struct HeadPages {
    keys: Vec<Rows>,
    values: Vec<Rows>,
}

impl HeadPages {
    /// Writes one position of a sequence.
    pub(super) fn write(
        &mut self,
        kernels: &dyn Kernels,
        pages: &[usize],
        position: usize,
        (key, value): (&[f32], &[f32]),
    ) {
        let page = pages[position / PAGE];
        self.keys[page].write_column(kernels, position % PAGE, key);
        self.values[page].write_row(kernels, position % PAGE, value);
    }

    /// Keys and values at `positions` of a sequence, page by page.
    pub(super) fn read<'a>(
        &'a self,
        pages: &[usize],
        positions: Range<usize>,
        dim: usize,
    ) -> Result<(Vec<KvColumns<'a>>, Vec<KvRows<'a>>), EngineError> {
        let count = positions.end.div_ceil(PAGE) - positions.start / PAGE;
        let (mut keys, mut values) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut at = positions.start;
        while at < positions.end {
            let end = positions.end.min((at / PAGE + 1) * PAGE);
            let (page, within) = (pages[at / PAGE], at % PAGE..at % PAGE + (end - at));
            keys.push(self.keys[page].columns(within.clone(), dim)?);
            values.push(self.values[page].rows(within, dim)?);
            at = end;
        }
        Ok((keys, values))
    }
}

/// Where a page stands in the tree of known beginnings.
#[derive(Debug)]
struct Page {
    /// Sequences that hold it.
    users: usize,
    /// What it is known by, once it is full.
    key: Option<Prefix>,
    /// What it stands behind, if it is kept as the unfinished end of a sequence.
    tail: Option<Before>,
    /// When it was last given back.
    idle_since: u64,
}

/// The page before and how often that had been reused, so that it never means another page; none
/// at the beginning.
type Before = Option<(usize, u64)>;

/// A full page: its tokens, behind another page or at the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Prefix {
    before: Before,
    tokens: Box<[u32]>,
}

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

/// The positions of one generation.
#[derive(Debug, Default)]
pub struct Sequence {
    pages: Vec<usize>,
    tokens: Vec<u32>,
    /// Full pages that are known by their tokens already.
    known: usize,
    /// Tokens that a pass has written.
    written: usize,
}

impl Sequence {
    /// Tokens whose keys and values are cached.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub(super) fn pages(&self) -> &[usize] {
        &self.pages
    }
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
        for page in sequence.pages {
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
                    head.keys.push(Rows::new(&self.shape));
                    head.values.push(Rows::new(&self.shape));
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
    fn a_reused_page_is_not_taken_for_what_it_held() {
        let mut cache = cache(2);
        let long = tokens(2 * PAGE + 1, 0);
        let first = run(&mut cache, &long[..2 * PAGE]);
        cache.end(first);
        // Pushes out the first page; the second one, which is known behind it, must not be found
        // behind what is there now.
        let other = run(&mut cache, &tokens(PAGE, 5));
        assert_eq!(cache.begin(&[&tokens(PAGE, 5)[..], &long[PAGE..]].concat()).len(), PAGE);
        cache.end(other);
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
