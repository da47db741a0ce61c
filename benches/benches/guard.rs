// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard's built-in detectors on one thread: ordinary prose, text full of personal data, and
//! short messages. The whole check is timed: detectors, policy, redaction and card.

use std::time::Duration;

use bho_benches::{criterion, prose};
use bho_guard::{Guard, Mode, Policy};
use criterion::Throughput;

/// Bytes of the long texts: far above any fixed cost, a few milliseconds a check.
const LONG: usize = 256 << 10;

/// Bytes of the short ones: about a chat message.
const SHORT: usize = 84;

/// One record of a made-up register, from reserved names, numbers and addresses alone.
const RECORD: &str = "Ann Example, ann.example@example.org, +1 (555) 123-4567, card 4111 1111 \
    1111 1111, IBAN GB82 WEST 1234 5698 7654 32, SSN 123-45-6789, host 192.0.2.17. ";

/// Texts of exactly [`SHORT`] characters of prose.
fn messages() -> Vec<String> {
    let words = prose(LONG / 8);
    let chars: Vec<char> = words.chars().collect();
    chars.chunks_exact(SHORT).map(|message| message.iter().collect()).collect()
}

fn main() {
    let mut c = criterion(Duration::from_secs(1)).sample_size(20).configure_from_args();
    let guard = Guard::new(Policy::default()).expect("the default policy is sound");
    let check = |text: &str| guard.check("bench", text, Mode::Input).expect("a verdict");
    let mut group = c.benchmark_group("guard");

    let ordinary = prose(LONG);
    let dense = RECORD.repeat(LONG / RECORD.len());
    let records = LONG / RECORD.len();
    // Prose has almost nothing to redact, a record at least its address, number and card.
    assert!(check(&ordinary).card.redactions.len() < ordinary.len() / 1000);
    assert!(check(&dense).card.redactions.len() >= 3 * records);
    for (name, text) in [("prose-256KiB", &ordinary), ("pii-dense-256KiB", &dense)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| b.iter(|| check(text)));
    }

    let messages = messages();
    let mut next = messages.iter().cycle();
    group.throughput(Throughput::Elements(1));
    group.bench_function("message-84-characters", |b| {
        b.iter(|| check(next.next().map_or("", String::as_str)));
    });
    group.finish();
    c.final_summary();
}
