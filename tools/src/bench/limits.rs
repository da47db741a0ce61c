// SPDX-License-Identifier: AGPL-3.0-or-later
//! What this CPU can do at most: bytes read a second from each cache and from main memory, and
//! 8-bit multiply-adds a second of each instruction set.
//!
//! A limit is the best of its samples, taken before and after the kernels: what was reached once
//! can be reached.

use std::hint::black_box;

use bho_engine::CancelToken;
use bho_kernels::Kernels;
use serde::Serialize;

use super::PageSize;
use super::memory::{Arena, Cache, Place};
use super::team::{self, Sampling};

/// Bandwidth of reading one place over and over.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ReadLimit {
    pub(crate) from: Place,
    pub(crate) threads: usize,
    pub(crate) pages: PageSize,
    /// Bytes that each thread reads.
    pub(crate) bytes_per_thread: usize,
    /// Places that each thread reads at, in turn: of one and four, what served better.
    pub(crate) streams: usize,
    pub(crate) gb_s: f64,
    pub(crate) median_gb_s: f64,
}

/// Peak of one instruction set, on registers alone; a multiply-add is two operations.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Int8Limit {
    pub(crate) isa: &'static str,
    pub(crate) threads: usize,
    pub(crate) gop_s: f64,
    pub(crate) median_gop_s: f64,
}

#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Limits {
    pub(crate) read: Vec<ReadLimit>,
    pub(crate) int8: Vec<Int8Limit>,
}

/// What a kernel is held against: the lower of the two roofs above it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Roof {
    /// `L3 read` or `int8 peak`.
    pub(crate) by: String,
    pub(crate) gb_s: f64,
    pub(crate) gop_s: f64,
}

impl Limits {
    /// GB/s that `threads` threads read from a place, on the pages that serve best.
    pub(crate) fn bandwidth(&self, from: Place, threads: usize) -> Option<f64> {
        let limits = self.read.iter().filter(|read| read.from == from && read.threads == threads);
        limits.map(|read| read.gb_s).max_by(f64::total_cmp)
    }

    /// GOP/s of `threads` threads.
    pub(crate) fn peak(&self, isa: &str, threads: usize) -> Option<f64> {
        let limit = self.int8.iter().find(|peak| peak.isa == isa && peak.threads == threads);
        limit.map(|peak| peak.gop_s)
    }

    /// The higher of each limit.
    pub(crate) fn or_better(mut self, other: Self) -> Self {
        for read in other.read {
            let same = |known: &&mut ReadLimit| {
                (known.from, known.threads, known.pages) == (read.from, read.threads, read.pages)
            };
            match self.read.iter_mut().find(same) {
                Some(known) if known.gb_s >= read.gb_s => {}
                Some(known) => *known = read,
                None => self.read.push(read),
            }
        }
        for peak in other.int8 {
            let same =
                |known: &&mut Int8Limit| (known.isa, known.threads) == (peak.isa, peak.threads);
            match self.int8.iter_mut().find(same) {
                Some(known) if known.gop_s >= peak.gop_s => {}
                Some(known) => *known = peak,
                None => self.int8.push(peak),
            }
        }
        self
    }

    /// The roof over a kernel that does `ops_per_byte` operations for each byte of weights.
    pub(crate) fn roof(
        &self,
        isa: &str,
        threads: usize,
        from: Place,
        ops_per_byte: f64,
    ) -> Option<Roof> {
        let peak = self.peak(isa, threads).map(|gop_s| Roof {
            by: "int8 peak".to_owned(),
            gb_s: gop_s / ops_per_byte,
            gop_s,
        });
        let read = self.bandwidth(from, threads).map(|gb_s| Roof {
            by: format!("{} read", from.name()),
            gb_s,
            gop_s: gb_s * ops_per_byte,
        });
        peak.into_iter().chain(read).min_by(|a, b| a.gop_s.total_cmp(&b.gop_s))
    }
}

/// Bytes of each cache that a thread reads when `threads` threads do, fastest cache first; none for
/// caches that cannot be told from the one before within `most` bytes a thread.
fn portions(caches: &[Cache], threads: usize, most: usize) -> Vec<(Place, usize)> {
    /// More says nothing new, and of a large cache that others use too, less may be had.
    const ENOUGH: usize = 32 << 20;
    let mut portions = Vec::new();
    let mut previous = 0;
    for cache in caches {
        let sharers = threads.min(cache.shared_by).max(1);
        let half = (cache.bytes / 2 / sharers).min(ENOUGH / sharers);
        let bytes = half.max(2 * previous).min(most) / 4096 * 4096;
        if bytes > previous && bytes <= cache.bytes {
            portions.push((Place::Cache(cache.level), bytes));
        }
        previous = previous.max(cache.bytes);
    }
    portions
}

/// Measures all limits at all numbers of threads, or as many as there is time for before `cancel`;
/// `tick` is told of each.
pub(crate) fn measure(
    caches: &[Cache],
    arenas: &[Arena],
    isas: &[&'static dyn Kernels],
    threads: &[usize],
    sampling: Sampling,
    cancel: &CancelToken,
    tick: &mut dyn FnMut(&str),
) -> Limits {
    let mut limits = Limits::default();
    let reader = bho_kernels::best();
    for &threads in threads {
        for &kernels in isas {
            tick(&format!("int8 peak of {}", kernels.name()));
            limits.int8.extend(int8(kernels, threads, sampling, cancel));
        }
        let mut add = |arena, what: (Place, usize, usize)| {
            tick(&format!("reads from {}", what.0.name()));
            let read = read(reader, arena, what, threads, sampling, cancel);
            let read = Limits { read: read.into_iter().collect(), int8: Vec::new() };
            limits = std::mem::take(&mut limits).or_better(read);
        };
        let most = |arena: &Arena| arena.bytes().len() / threads / 4096 * 4096;
        // Caches are read on the pages that serve best.
        if let Some(arena) = arenas.last() {
            for (from, bytes) in portions(caches, threads, most(arena)) {
                add(arena, (from, bytes, 1));
            }
        }
        for arena in arenas {
            for streams in [1, 4] {
                add(arena, (Place::Dram, most(arena), streams));
            }
        }
    }
    limits
}

fn int8(
    kernels: &'static dyn Kernels,
    threads: usize,
    sampling: Sampling,
    cancel: &CancelToken,
) -> Option<Int8Limit> {
    const ROUNDS: u64 = 10_000;
    let mut done = vec![0u64; threads];
    let seconds =
        team::time(&mut done, sampling, cancel, |done, _| *done = kernels.probe_int8(ROUNDS))?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let giga = 2.0 * done.iter().sum::<u64>() as f64 / 1e9;
    Some(Int8Limit {
        isa: kernels.name(),
        threads,
        gop_s: giga / seconds.min,
        median_gop_s: giga / seconds.median,
    })
}

/// Each thread reads `bytes` of its own, a multiple of 4096, as so many streams side by side: all in
/// one round, or what does not end soon in parts.
fn read(
    kernels: &'static dyn Kernels,
    arena: &Arena,
    (from, bytes, streams): (Place, usize, usize),
    threads: usize,
    sampling: Sampling,
    cancel: &CancelToken,
) -> Option<ReadLimit> {
    /// Bytes of a round: so many that meeting the other threads does not count.
    const ROUND: usize = 4 << 20;
    /// Bytes of one of several streams before the next one has its turn: loads of all of them are
    /// under way at once.
    const TURN: usize = 512;
    let mut portions: Vec<_> = arena.bytes().chunks_exact(bytes).take(threads).collect();
    let stream = bytes / streams;
    let part = stream.min(ROUND / streams);
    let turn = if streams == 1 { part } else { TURN };
    let repeats = ROUND / (part * streams);
    let seconds = team::time(&mut portions, sampling, cancel, |portion, round| {
        let begin = round % (stream / part) * part;
        for _ in 0..repeats {
            for offset in (begin..begin + part).step_by(turn) {
                for first in (0..portion.len()).step_by(stream) {
                    let bytes = &portion[first + offset..][..turn];
                    black_box(kernels.probe_read(black_box(bytes)));
                }
            }
        }
    })?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let giga = (part * streams * repeats * threads) as f64 / 1e9;
    Some(ReadLimit {
        from,
        threads,
        pages: arena.pages,
        bytes_per_thread: bytes,
        streams,
        gb_s: giga / seconds.min,
        median_gb_s: giga / seconds.median,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::memory;
    use super::*;

    fn limits() -> Limits {
        let read = |from, pages, gb_s| ReadLimit {
            from,
            threads: 1,
            pages,
            bytes_per_thread: 1,
            streams: 1,
            gb_s,
            median_gb_s: gb_s,
        };
        let peak = Int8Limit { isa: "avx2", threads: 1, gop_s: 300.0, median_gop_s: 300.0 };
        Limits {
            read: vec![
                read(Place::Cache(3), PageSize::Huge, 50.0),
                read(Place::Dram, PageSize::Small, 10.0),
                read(Place::Dram, PageSize::Huge, 16.0),
            ],
            int8: vec![peak],
        }
    }

    #[test]
    fn the_roof_is_the_lower_of_bandwidth_and_peak() {
        let roof = |from, ops| {
            let roof = limits().roof("avx2", 1, from, ops).unwrap();
            (roof.by, roof.gb_s, roof.gop_s)
        };
        assert_eq!(roof(Place::Dram, 8.0), ("DRAM read".into(), 16.0, 128.0));
        assert_eq!(roof(Place::Cache(3), 8.0), ("int8 peak".into(), 37.5, 300.0));
        // What was not measured is no roof.
        assert_eq!(roof(Place::Cache(1), 8.0).0, "int8 peak");
        assert!(limits().roof("neon", 2, Place::Dram, 8.0).is_none());
    }

    #[test]
    fn the_better_of_two_measurements_counts() {
        let mut other = limits();
        other.read[0].gb_s = 40.0;
        other.read[1].gb_s = 12.0;
        other.int8[0].gop_s = 310.0;
        other.int8.push(Int8Limit { isa: "neon", ..other.int8[0].clone() });
        let better = limits().or_better(other);
        let read: Vec<_> = better.read.iter().map(|read| read.gb_s).collect();
        let int8: Vec<_> = better.int8.iter().map(|peak| (peak.isa, peak.gop_s)).collect();
        assert_eq!((read, int8), (vec![50.0, 12.0, 16.0], vec![("avx2", 310.0), ("neon", 310.0)]));
    }

    #[test]
    fn each_cache_is_read_with_what_does_not_fit_into_the_one_before() {
        let cache = |level, kib: usize, shared_by| Cache { level, bytes: kib << 10, shared_by };
        let caches = [cache(1, 48, 1), cache(2, 2048, 1), cache(3, 32 << 10, 4)];
        let kib = |threads, most: usize| -> Vec<_> {
            portions(&caches, threads, most << 10).into_iter().map(|(_, b)| b >> 10).collect()
        };
        assert_eq!(kib(1, 1 << 20), [24, 1024, 16 << 10]);
        assert_eq!(kib(2, 1 << 20), [24, 1024, 8 << 10]);
        assert_eq!(kib(64, 1 << 20), [24, 1024, 4 << 10]);
        assert_eq!(kib(1, 1500), [24, 1024]);
        assert_eq!(portions(&caches[..1], 1, 4096), [(Place::Cache(1), 4096)]);
    }

    #[test]
    fn all_limits_are_measured_and_positive() {
        let caches = [Cache { level: 1, bytes: 16 << 10, shared_by: 1 }];
        let (arenas, _) = memory::arenas(4 << 20, &[PageSize::Small]).unwrap();
        let sampling = Sampling { sample: Duration::from_micros(50), samples: 2 };
        let scalar = bho_kernels::by_name("scalar").unwrap();
        let never = CancelToken::new();
        let mut ticks = 0;
        let tick = &mut |_: &str| ticks += 1;
        let limits = measure(&caches, &arenas, &[scalar], &[1, 2], sampling, &never, tick);
        assert_eq!((limits.read.len(), limits.int8.len(), ticks), (4, 2, 8));
        let rates = limits.read.iter().map(|read| (read.gb_s, read.median_gb_s));
        let peaks = limits.int8.iter().map(|peak| (peak.gop_s, peak.median_gop_s));
        assert!(rates.chain(peaks).all(|(best, median)| best >= median && median > 0.0));
        assert!(limits.peak("scalar", 2).is_some() && limits.bandwidth(Place::Dram, 2).is_some());
    }
}
