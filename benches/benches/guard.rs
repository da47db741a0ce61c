// SPDX-License-Identifier: AGPL-3.0-or-later
//! The guard's rules on one thread: bytes a second on prose, on text full of personal data, and
//! the latency of a short text.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use bho_benches::{criterion, sentences};
use bho_guard::{Guard, Mode, Policy};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn repeat(text: &str, bytes: usize) -> String {
    text.repeat(bytes.div_ceil(text.len()))
}

fn check(c: &mut Criterion) {
    let guard = Guard::new(Policy::default()).expect("a sound policy");
    let prose = repeat(&sentences().join(" "), 1 << 20);
    let personal = "Write to ann.lee@example.org, call +1 (555) 201-4567, or pay by card \
                    4111 1111 1111 1111 or from DE89 3704 0044 0532 0130 00. Thank you for it. ";
    let dense = repeat(personal, 1 << 18);
    let short =
        "Please send the report to the office by noon and call me when it is done. Thank you.";
    let mut group = c.benchmark_group("guard");
    for (name, text) in [("prose", prose.as_str()), ("personal_data", &dense), ("short", short)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| b.iter(|| guard.check("bench", text, Mode::Input)));
    }
}

criterion_group!(name = benches; config = criterion(); targets = check);
criterion_main!(benches);
