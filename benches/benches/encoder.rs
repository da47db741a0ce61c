// SPDX-License-Identifier: AGPL-3.0-or-later
//! Latency of the bundled int8 encoder. `tools/peers/bench_encoder.sh` shows it beside onnxruntime.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use bho_benches::{Rng, criterion, encoder, sentences};
use bho_engine::{CancelToken, Encoder};
use bho_models::bert::TokenSequence;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn sequence(rng: &mut Rng, tokens: usize) -> TokenSequence {
    TokenSequence::single((0..tokens).map(|_| 1000 + (rng.bits() % 28_000) as u32).collect())
}

/// One text of so many tokens, from ids to the last layer's vectors.
fn latency(c: &mut Criterion) {
    let never = CancelToken::new();
    for threads in [1, 2] {
        let encoder = encoder(threads);
        let mut group = c.benchmark_group(format!("encoder/minilm-int8/t{threads}"));
        for tokens in [16, 64, 128, 256] {
            let one = [sequence(&mut Rng(tokens as u64), tokens)];
            group.throughput(Throughput::Elements(tokens as u64));
            group.bench_function(tokens.to_string(), |b| {
                b.iter(|| encoder.model().hidden_states(&one, &never));
            });
        }
    }
}

/// Throughput: 32 texts of 128 tokens at once, and real sentences from text to vector.
fn batches(c: &mut Criterion) {
    let never = CancelToken::new();
    let sentences = sentences();
    let texts: Vec<&str> = sentences.iter().map(String::as_str).collect();
    for threads in [1, 2] {
        let encoder = encoder(threads);
        let mut rng = Rng(3);
        let batch: Vec<_> = (0..32).map(|_| sequence(&mut rng, 128)).collect();
        let mut group = c.benchmark_group(format!("batch/minilm-int8/t{threads}"));
        group.throughput(Throughput::Elements(32));
        group.bench_function("32x128_tokens", |b| {
            b.iter(|| encoder.model().hidden_states(&batch, &never));
        });
        group.throughput(Throughput::Elements(texts.len() as u64));
        group.bench_function("200_sentences_from_text", |b| {
            b.iter(|| encoder.embed(&texts, &never));
        });
    }
}

criterion_group!(name = benches; config = criterion(); targets = latency, batches);
criterion_main!(benches);
