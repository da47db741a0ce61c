// SPDX-License-Identifier: AGPL-3.0-or-later
//! Caches of this machine, and memory that does not fit into them.

use std::fs;
use std::path::Path;

use bho_engine::PageArena;
use serde::{Serialize, Serializer};

use super::{PageSize, random_bytes};

/// A cache that data goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Cache {
    pub(crate) level: u8,
    pub(crate) bytes: usize,
    /// CPUs that share it.
    pub(crate) shared_by: usize,
}

/// Where bytes are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Cache(u8),
    Dram,
}

impl Place {
    /// `L2`, `DRAM`.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Cache(level) => format!("L{level}"),
            Self::Dram => "DRAM".to_owned(),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// The caches of the first CPU; without a system that tells, sizes that most CPUs have at least.
pub(crate) fn caches() -> Vec<Cache> {
    let found = caches_under(Path::new("/sys/devices/system/cpu/cpu0/cache"));
    if found.is_empty() { ASSUMED.to_vec() } else { found }
}

const ASSUMED: [Cache; 3] = [
    Cache { level: 1, bytes: 32 << 10, shared_by: 1 },
    Cache { level: 2, bytes: 512 << 10, shared_by: 1 },
    Cache { level: 3, bytes: 8 << 20, shared_by: usize::MAX },
];

fn caches_under(folder: &Path) -> Vec<Cache> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let cache = |folder: &Path| {
        let read = |name| fs::read_to_string(folder.join(name)).ok();
        if read("type")?.trim() == "Instruction" {
            return None;
        }
        Some(Cache {
            level: read("level")?.trim().parse().ok()?,
            bytes: parse_size(read("size")?.trim())?,
            shared_by: count_cpus(read("shared_cpu_list")?.trim()).unwrap_or(1),
        })
    };
    let mut caches: Vec<_> = entries.flatten().filter_map(|entry| cache(&entry.path())).collect();
    caches.sort_by_key(|cache| cache.level);
    caches
}

/// `48K`, `32M`.
fn parse_size(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

/// CPUs in a list such as `0-3,8`.
fn count_cpus(list: &str) -> Option<usize> {
    list.split(',').try_fold(0, |count, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        Some(count + last.checked_sub(first)? + 1)
    })
}

/// The fastest place that holds a matrix read over and over by `threads` threads, of which each
/// reads `part` of its `whole` bytes. A tenth of each cache is left to everything else.
pub(crate) fn home(caches: &[Cache], whole: usize, part: usize, threads: usize) -> Place {
    let fits = |cache: &&Cache| {
        let needed = part.saturating_mul(threads.min(cache.shared_by)).min(whole);
        needed <= cache.bytes / 10 * 9
    };
    caches.iter().find(fits).map_or(Place::Dram, |cache| Place::Cache(cache.level))
}

/// Bytes of the memory that figures of main memory are read from: four times the last cache,
/// bounded by what may be taken of `available`.
pub(crate) fn arena_bytes(caches: &[Cache], available: Option<u64>) -> usize {
    const LEAST: usize = 64 << 20;
    const MOST: usize = 4 << 30;
    let last = caches.last().map_or(0, |cache| cache.bytes);
    // There may be one arena a page size, and the machine has other work.
    let quarter = available.map_or(256 << 20, |bytes| usize::try_from(bytes / 4).unwrap_or(MOST));
    let wanted = last.saturating_mul(4).clamp(256 << 20, MOST).min(quarter);
    wanted.max(LEAST).next_multiple_of(1 << 20)
}

/// Memory full of packed ternary weights: every 64-byte line of it can begin a matrix. Read as
/// int8 weights, the same bytes are as good as any.
pub(crate) struct Arena {
    pub(crate) pages: PageSize,
    memory: PageArena,
}

impl Arena {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.as_bytes()
    }
}

/// One arena of `bytes` for each page size that can be had, and what to say of those that cannot.
pub(crate) fn arenas(
    bytes: usize,
    wanted: &[PageSize],
) -> std::io::Result<(Vec<Arena>, Vec<String>)> {
    /// Share of an arena that has to lie on huge pages to be called so.
    const HUGE: f64 = 0.9;
    let pattern: Vec<u8> = random_bytes(1).map(ternary_codes).take(1 << 20).collect();
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let (mut arenas, mut notes) = (Vec::<Arena>::new(), Vec::new());
    for mut pages in wanted {
        let mut memory = PageArena::new(bytes, pages.into())?;
        for chunk in memory.as_mut_bytes().chunks_mut(pattern.len()) {
            chunk.copy_from_slice(&pattern[..chunk.len()]);
        }
        let share = memory.huge_share().unwrap_or(0.0);
        if pages == PageSize::Huge && share < HUGE {
            notes.push(format!(
                "huge pages: {:.0} % of the memory asked for is on them, so no figure is called so \
                 (transparent_hugepage: {})",
                share * 100.0,
                transparent_huge_pages().as_deref().unwrap_or("not known")
            ));
            pages = PageSize::Small;
            if !arenas.is_empty() {
                continue;
            }
        }
        arenas.push(Arena { pages, memory });
    }
    Ok((arenas, notes))
}

/// Four codes of 0, 1 or 2 from eight random bits; the unused code 3 becomes 1.
fn ternary_codes(random: u8) -> u8 {
    let threes = random & (random >> 1) & 0b01_01_01_01;
    random & !(threes << 1)
}

/// The word in brackets in the system's setting: `always`, `madvise` or `never`.
pub(crate) fn transparent_huge_pages() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok()?;
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use bho_kernels::TernaryView;

    use super::*;

    #[test]
    fn caches_are_read_without_those_of_instructions() {
        let dir = tempfile::tempdir().unwrap();
        for (index, files) in [
            ["Data", "1", "48K", "0"],
            ["Instruction", "1", "32K", "0"],
            ["Unified", "2", "2048K", "0-1"],
            ["Unified", "3", "32M", "0-3,8-11"],
        ]
        .iter()
        .enumerate()
        {
            let folder = dir.path().join(format!("index{index}"));
            fs::create_dir(&folder).unwrap();
            for (name, text) in ["type", "level", "size", "shared_cpu_list"].iter().zip(files) {
                fs::write(folder.join(name), format!("{text}\n")).unwrap();
            }
        }
        let found = caches_under(dir.path());
        let [l1, l2, l3] = found[..] else { panic!("{found:?}") };
        assert_eq!(l1, Cache { level: 1, bytes: 48 << 10, shared_by: 1 });
        assert_eq!((l2.bytes, l2.shared_by), (2 << 20, 2));
        assert_eq!((l3.bytes, l3.shared_by), (32 << 20, 8));
        assert!(caches_under(&dir.path().join("missing")).is_empty());
        assert!(!caches().is_empty());
    }

    #[test]
    fn a_matrix_is_at_home_where_the_parts_of_all_threads_fit() {
        let caches = [
            Cache { level: 1, bytes: 40_000, shared_by: 1 },
            Cache { level: 2, bytes: 2_000_000, shared_by: 1 },
            Cache { level: 3, bytes: 10_000_000, shared_by: 8 },
        ];
        let name = |whole, part, threads| home(&caches, whole, part, threads).name();
        assert_eq!(name(36_000, 36_000, 1), "L1");
        assert_eq!(name(36_001, 36_001, 1), "L2");
        assert_eq!(name(3_000_000, 3_000_000, 1), "L3");
        // Rows split between two threads, and all rows read by both.
        assert_eq!(name(3_000_000, 1_500_000, 2), "L2");
        assert_eq!(name(8_000_000, 8_000_000, 2), "L3");
        assert_eq!(name(20_000_000, 10_000_000, 2), "DRAM");
    }

    #[test]
    fn arenas_are_larger_than_the_last_cache_where_memory_allows() {
        let caches = [Cache { level: 3, bytes: 100 << 20, shared_by: 8 }];
        assert_eq!(arena_bytes(&caches, Some(64 << 30)), 400 << 20);
        assert_eq!(arena_bytes(&caches, Some(1 << 30)), 256 << 20);
        assert_eq!(arena_bytes(&caches, Some(1 << 20)), 64 << 20);
        assert_eq!(arena_bytes(&[], None), 256 << 20);
    }

    #[test]
    fn an_arena_holds_ternary_weights_on_the_pages_it_says() {
        let (arenas, notes) = arenas(4 << 20, &[PageSize::Huge, PageSize::Small]).unwrap();
        assert_eq!(arenas[0].pages, PageSize::Small);
        assert_eq!(arenas.len() + notes.len(), 2, "{notes:?}");
        for arena in &arenas {
            let bytes = arena.bytes();
            let rows = bytes.len() / 256;
            TernaryView::new(rows, 1024, bytes).unwrap().check_codes().unwrap();
        }
        assert_eq!(ternary_codes(0b11_10_01_00), 0b01_10_01_00);
        assert_eq!(ternary_codes(0xff), 0x55);
    }
}
