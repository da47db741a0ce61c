// SPDX-License-Identifier: AGPL-3.0-or-later
//! Anonymous memory on small or huge pages.
//!
//! Weights that are read once per token come from main memory, and there the walk through 4 KiB
//! pages costs more than the bytes: one 2 MiB page replaces 512 of them. Linux gives such pages on
//! request where it can (`transparent_hugepage` is `madvise` or `always`, and free memory is not in
//! pieces), so a [`PageArena`] can be asked what it really got.

use std::io;
use std::ops::Range;

use memmap2::MmapMut;

/// Bytes of a huge page where pages have 4 KiB.
pub const HUGE_PAGE: usize = 2 << 20;

/// Which pages memory should be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pages {
    /// The system's smallest, usually 4 KiB.
    Small,
    /// Transparent huge pages, where the system gives them.
    Huge,
}

/// Zeroed memory of one process, aligned to [`HUGE_PAGE`].
///
/// Pages are given when they are first written, by the node of the thread that writes.
#[derive(Debug)]
pub struct PageArena {
    map: MmapMut,
    /// Where the arena is within the mapping.
    range: Range<usize>,
}

impl PageArena {
    /// At least `len` zeroed bytes on such pages: whole huge pages, so that none is shared with
    /// other memory. Outside Linux the pages are as the system likes.
    ///
    /// # Errors
    /// When the system gives no memory: what it said.
    pub fn new(len: usize, pages: Pages) -> io::Result<Self> {
        let too_large = || io::Error::new(io::ErrorKind::OutOfMemory, "no such amount of memory");
        let len = len.max(1).checked_next_multiple_of(HUGE_PAGE).ok_or_else(too_large)?;
        let map = MmapMut::map_anon(len.checked_add(HUGE_PAGE).ok_or_else(too_large)?)?;
        let start = map.as_ptr().align_offset(HUGE_PAGE);
        // Advice that is refused leaves ordinary memory; `huge_share` tells.
        #[cfg(target_os = "linux")]
        let _ = map.advise(match pages {
            Pages::Small => memmap2::Advice::NoHugePage,
            Pages::Huge => memmap2::Advice::HugePage,
        });
        #[cfg(not(target_os = "linux"))]
        let _ = pages;
        Ok(Self { map, range: start..start + len })
    }

    /// All bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.map[self.range.clone()]
    }

    /// All bytes, to be written.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.map[self.range.clone()]
    }

    /// Which share of what has been written so far lies on huge pages, in 0..=1; `None` where the
    /// system does not tell.
    ///
    /// Linux counts per area of equal settings, and may have joined this one to a neighbour: then
    /// the share is that of both.
    pub fn huge_share(&self) -> Option<f64> {
        let begin = self.as_bytes().as_ptr().addr() as u64;
        let smaps = std::fs::read_to_string("/proc/self/smaps").ok()?;
        huge_share(&smaps, begin..begin + self.range.len() as u64)
    }
}

/// `AnonHugePages / Rss` over the areas of `/proc/self/smaps` that touch `range`.
fn huge_share(smaps: &str, range: Range<u64>) -> Option<f64> {
    let (mut resident, mut huge, mut seen, mut inside) = (0u64, 0u64, false, false);
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next()?;
        if let Some((begin, end)) = first.split_once('-') {
            let address = |text| u64::from_str_radix(text, 16).ok();
            inside = address(begin)? < range.end && range.start < address(end)?;
            seen |= inside;
        } else if inside && matches!(first, "Rss:" | "AnonHugePages:") {
            let kib: u64 = words.next()?.parse().ok()?;
            *(if first == "Rss:" { &mut resident } else { &mut huge }) += kib;
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "KiB of memory are far below 2^53")]
    let share = if resident == 0 { 0.0 } else { huge as f64 / resident as f64 };
    seen.then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arena_is_aligned_zeroed_and_as_long_as_asked() {
        for pages in [Pages::Small, Pages::Huge] {
            for len in [0, 1, HUGE_PAGE, HUGE_PAGE + 1] {
                let mut arena = PageArena::new(len, pages).unwrap();
                let bytes = arena.as_mut_bytes();
                assert!(bytes.len() >= len.max(1) && bytes.len().is_multiple_of(HUGE_PAGE));
                assert_eq!(bytes.as_ptr().align_offset(HUGE_PAGE), 0);
                assert!(bytes.iter().all(|&byte| byte == 0));
                bytes.fill(7);
                assert!(arena.as_bytes().iter().all(|&byte| byte == 7));
            }
        }
    }

    #[test]
    fn more_than_there_is_is_an_error() {
        assert!(PageArena::new(usize::MAX, Pages::Small).is_err());
        assert!(PageArena::new(usize::MAX - 2 * HUGE_PAGE, Pages::Huge).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_arena_tells_which_pages_it_is_on() {
        // A system that keeps no such account tells nothing.
        let share = |pages| {
            let mut arena = PageArena::new(4 * HUGE_PAGE, pages).unwrap();
            arena.as_mut_bytes().fill(1);
            arena.huge_share().unwrap_or(0.0)
        };
        // Only areas of equal settings are joined, so a neighbour's huge pages are never counted.
        assert_eq!(share(Pages::Small), 0.0);
        assert!((0.0..=1.0).contains(&share(Pages::Huge)));
    }

    #[test]
    fn shares_are_read_from_the_areas_of_the_arena() {
        let smaps = "\
00400000-00500000 r-xp 00000000 fe:00 1 /usr/bin/x
Rss:                 900 kB
AnonHugePages:       800 kB
7f0000000000-7f0000800000 rw-p 00000000 00:00 0
Size:               8192 kB
Rss:                8192 kB
AnonHugePages:      6144 kB
VmFlags: rd wr mr mw me ac hg
";
        let inside = 0x7f00_0020_0000..0x7f00_0060_0000;
        assert_eq!(huge_share(smaps, inside), Some(0.75));
        assert_eq!(huge_share(smaps, 0x0040_0000..0x7f00_0080_0000), Some(6944.0 / 9092.0));
        assert_eq!(huge_share(smaps, 0x7f00_0080_0000..0x7f00_0090_0000), None);
        assert_eq!(huge_share("", 0..1), None);
        assert_eq!(
            huge_share(&smaps.replace("6144", "many"), 0x7f00_0020_0000..0x7f00_0020_0001),
            None
        );
    }
}
