// SPDX-License-Identifier: AGPL-3.0-or-later
//! The KV cache: keys and values of past positions, in pages that sequences share where they begin
//! alike.
//!
//! A page holds [`PAGE`] positions of every layer and KV head. Sequences are lists of pages; full
//! pages are known by the tokens they hold and what came before, so a prompt that begins like an
//! earlier one takes over its pages instead of computing them again. Pages nobody uses stay until
//! room is needed, the one unused longest first.

use std::collections::HashMap;
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
        keys: &mut Vec<KvColumns<'a>>,
        values: &mut Vec<KvRows<'a>>,
    ) -> Result<(), EngineError> {
        keys.clear();
        values.clear();
        let mut at = positions.start;
        while at < positions.end {
            let end = positions.end.min((at / PAGE + 1) * PAGE);
            let (page, within) = (pages[at / PAGE], at % PAGE..at % PAGE + (end - at));
            keys.push(self.keys[page].columns(within.clone(), dim)?);
            values.push(self.values[page].rows(within, dim)?);
            at = end;
        }
        Ok(())
    }
}

/// Where a page stands in the tree of known beginnings.
#[derive(Debug)]
struct Page {
    /// Sequences that hold it.
    users: usize,
    /// What it is known by, once it is full.
    key: Option<Prefix>,
    /// When it was last given back.
    idle_since: u64,
}

/// A full page: its tokens, behind another page or at the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Prefix {
    /// The page before and how often that had been reused, so that a key never means another page.
    before: Option<(usize, u64)>,
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
    max_pages: usize,
    clock: u64,
}

/// The positions of one generation.
#[derive(Debug, Default)]
pub struct Sequence {
    pages: Vec<usize>,
    tokens: Vec<u32>,
    /// Full pages that are known by their tokens already.
    known: usize,
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
            max_pages,
            clock: 0,
        })
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

    /// A sequence that begins with as many of `tokens` as are cached, in whole pages, and at least
    /// one fewer than there are: the last one's logits are not cached.
    pub fn begin(&mut self, tokens: &[u32]) -> Sequence {
        let mut sequence = Sequence::default();
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
        while (sequence.known + 1) * PAGE <= sequence.tokens.len() {
            let index = sequence.known;
            let page = sequence.pages[index];
            let before = index
                .checked_sub(1)
                .map(|b| (sequence.pages[b], self.generations[sequence.pages[b]]));
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
        for page in sequence.pages {
            self.give_back(page);
        }
    }

    fn give_back(&mut self, page: usize) {
        self.clock += 1;
        let entry = &mut self.pages[page];
        entry.users -= 1;
        entry.idle_since = self.clock;
        if entry.users == 0 && entry.key.is_none() {
            self.free.push(page);
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
                self.pages.push(Page { users: 0, key: None, idle_since: 0 });
                self.generations.push(0);
                return self.pages.len() - 1;
            }
            let idle = self.pages.iter().enumerate().filter(|(_, page)| page.users == 0);
            let (page, _) = idle.min_by_key(|(_, page)| page.idle_since).expect("one is available");
            if let Some(key) = self.pages[page].key.take() {
                self.known.remove(&key);
            }
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
    fn a_budget_below_one_page_is_an_error() {
        let shape = KvShape { layers: 1, heads: 1, dim: 8, kind: KvKind::Int8 };
        assert_eq!(shape.page_bytes(), 2 * PAGE * 12);
        assert!(KvCache::new(shape, shape.page_bytes() - 1).is_err());
    }
}
